//! Several pieces of a run's work at once, each after those that it depends on.

use std::collections::BTreeSet;

use futures::{StreamExt as _, stream::FuturesUnordered};

use crate::error::Error;

/// Does one piece of work for each entry of `after`, which names the pieces that it depends on by their
/// positions, earlier ones; at most so many at once. Gives what they came to, in their order. After a failure
/// nothing more is begun, and what runs comes to an end.
pub(super) async fn in_order<T, E: From<Error>, F: Future<Output = Result<T, E>>>(
    after: &[Vec<usize>],
    at_once: usize,
    begin: impl Fn(usize) -> F,
) -> Result<Vec<T>, E> {
    let mut pending: BTreeSet<usize> = (0..after.len()).collect();
    let mut unfinished = pending.clone();
    let mut running = FuturesUnordered::new();
    let mut done: Vec<Option<T>> = after.iter().map(|_| None).collect();
    let mut failed = None;
    loop {
        while failed.is_none() && running.len() < at_once {
            let ready = |piece: &usize| after[*piece].iter().all(|other| !unfinished.contains(other));
            let Some(piece) = pending.iter().copied().find(ready) else { break };
            pending.remove(&piece);
            let work = begin(piece);
            running.push(async move { (piece, work.await) });
        }
        match running.next().await {
            None => break,
            Some((_, Err(error))) => failed = failed.or(Some(error)),
            Some((piece, Ok(outcome))) => {
                unfinished.remove(&piece);
                done[piece] = Some(outcome);
            }
        }
    }
    match failed {
        Some(error) => Err(error),
        None if !unfinished.is_empty() => Err(Error::bug("pieces of a run's work wait for each other").into()),
        None => Ok(done.into_iter().flatten().collect()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[tokio::test]
    async fn a_piece_begins_when_those_that_it_depends_on_are_done() {
        let log = Mutex::new(Vec::new());
        let after = [vec![], vec![0], vec![], vec![1, 2]];
        let outcomes = in_order(&after, 2, async |piece| {
            log.lock().unwrap().push(format!("begins {piece}"));
            tokio::task::yield_now().await;
            log.lock().unwrap().push(format!("ends {piece}"));
            Ok::<_, Error>(piece * 10)
        });
        assert_eq!(outcomes.await.unwrap(), [0, 10, 20, 30]);
        let log = log.into_inner().unwrap();
        let at = |said: &str| log.iter().position(|line| line == said).unwrap();
        assert!(at("begins 2") < at("ends 0"), "two at once: {log:?}");
        assert!(at("ends 0") < at("begins 1") && at("ends 1") < at("begins 3"), "{log:?}");
    }

    #[tokio::test]
    async fn after_a_failure_nothing_begins_and_what_runs_ends() {
        let ended = Mutex::new(Vec::new());
        let after = [vec![], vec![], vec![]];
        let failure = in_order(&after, 2, async |piece| {
            if piece == 0 {
                return Err(Error::data("no"));
            }
            tokio::task::yield_now().await;
            ended.lock().unwrap().push(piece);
            Ok(())
        });
        assert!(failure.await.is_err());
        assert_eq!(ended.into_inner().unwrap(), [1]);
    }
}
