//! The fate of a process that is stopped at a chosen request, and goes on when told.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::meddled_store::{Fate, Operation, Verdict};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nobody has come to it yet.
    Shut,
    /// The process stands before it: none of its requests is done.
    Reached,
    Open,
}

pub(crate) struct Gate {
    place: Box<dyn Fn(&Operation) -> bool + Send + Sync>,
    /// Matching requests that pass before one is stopped.
    passing: AtomicU64,
    state: watch::Sender<State>,
}

impl Gate {
    /// Before the first request that `place` describes.
    pub(crate) fn before(place: impl Fn(&Operation) -> bool + Send + Sync + 'static) -> Self {
        Self::after_passing(0, place)
    }

    /// Before the first request of a class (see [`Operation::class`]).
    pub(crate) fn before_class(class: &str) -> Self {
        let class = class.to_owned();
        Self::before(move |operation| operation.class() == class)
    }

    /// Before a request that `place` describes, once so many others were done.
    pub(crate) fn after_passing(count: u64, place: impl Fn(&Operation) -> bool + Send + Sync + 'static) -> Self {
        Self { place: Box::new(place), passing: AtomicU64::new(count), state: watch::Sender::new(State::Shut) }
    }

    /// Waits until the process stands before it; `false` when `process` ended without coming there.
    pub(crate) async fn reached<T>(&self, process: &tokio::task::JoinHandle<T>) -> bool {
        let mut state = self.state.subscribe();
        let ended = async {
            while !process.is_finished() {
                tokio::time::sleep(Duration::from_millis(2)).await;
            }
        };
        tokio::select! {
            reached = state.wait_for(|state| *state == State::Reached) => reached.is_ok(),
            () = ended => *self.state.borrow() == State::Reached,
        }
    }

    pub(crate) fn open(&self) {
        self.state.send_replace(State::Open);
    }
}

#[async_trait]
impl Fate for Gate {
    async fn decide(&self, operation: &Operation) -> Verdict {
        let mut state = self.state.subscribe();
        if *state.borrow() == State::Shut && (self.place)(operation) {
            let passes = self.passing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
            if passes.is_err() {
                self.state.send_if_modified(|state| {
                    let first = *state == State::Shut;
                    if first {
                        *state = State::Reached;
                    }
                    first
                });
            }
        }
        // A stopped process makes no request at all. Its gate is opened before it goes.
        let _ = state.wait_for(|state| *state != State::Reached).await;
        Verdict::Do
    }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Gate({:?})", *self.state.borrow())
    }
}
