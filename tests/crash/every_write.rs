//! Claim: whichever write a process fails at, readers see the old or the new snapshot whole, and the
//! next run simply works.
//!
//! Each trial does one piece of work on a copy of the same lake and lets it fail at its k-th write, in
//! one [`Mode`]. Without anything else done to the lake, a reader must see the contents from before
//! the work or from after it. Then, the dead process's lease having run out, the next extracts land
//! and run, and the warehouse must equal the undisturbed one; and garbage collection must find all
//! that the dead process left.

use std::{collections::BTreeMap, sync::Arc};

use crate::{
    chance::Chance,
    contents::{Outcome, Seen, told},
    faults::{Faults, Mode},
    shop::Undisturbed,
    site::{KEEP_ONE, Process, Site},
    size::is_long,
};
use smelt::{error::Result, lake::SnapshotId};

/// What fails.
#[derive(Debug, Clone, Copy)]
enum Work {
    Ingest,
    Run,
    Rollback,
    RollbackAndHold,
    Rebuild,
    Collect,
}

/// Extracts 0 and 1 are in every base, 2 is landed by or before the work, 3 comes after it.
const WORKED: usize = 2;
const NEXT: usize = 3;

impl Work {
    async fn base(self, undisturbed: &Undisturbed) -> Site {
        match self {
            Self::Ingest => undisturbed.after[WORKED - 1].site.copy(),
            Self::Run => undisturbed.about_to_run(WORKED).await,
            Self::Rollback | Self::RollbackAndHold | Self::Rebuild | Self::Collect => {
                undisturbed.after[WORKED].site.copy()
            }
        }
    }

    async fn perform(self, process: &Process) -> Result<()> {
        match self {
            Self::Ingest => process.ingest(WORKED).await.map(drop),
            Self::Run => process.run().await.map(drop),
            Self::Rollback => process.rollback(SnapshotId(1), false).await.map(drop),
            Self::RollbackAndHold => process.rollback(SnapshotId(1), true).await.map(drop),
            Self::Rebuild => process.rebuild().await.map(drop),
            Self::Collect => process.collect(KEEP_ONE).await.map(drop),
        }
    }

    /// What readers see before and after; the snapshot's number tells which it is.
    fn seen(self, undisturbed: &Undisturbed) -> (&Seen, Option<&Seen>) {
        let at = |extract: usize| &undisturbed.after[extract].seen;
        match self {
            Self::Ingest => (at(WORKED - 1), None),
            Self::Run => (at(WORKED - 1), Some(at(WORKED))),
            Self::Rollback | Self::RollbackAndHold => (at(WORKED), Some(at(0))),
            Self::Rebuild => (at(WORKED), Some(at(WORKED))),
            Self::Collect => (at(WORKED), None),
        }
    }
}

/// One failure at one write.
struct Trial<'a> {
    undisturbed: &'a Undisturbed,
    work: Work,
    base: &'a Site,
    write: u64,
    mode: Mode,
}

impl Trial<'_> {
    async fn judge(&self) -> Outcome {
        let site = self.base.copy();
        let faults = Arc::new(Faults::at(self.write, self.mode));
        let ended = self.work.perform(&site.meddled(&faults)).await;
        if !faults.struck() {
            return Err(format!("the work has {} writes only", faults.writes().len()));
        }

        let process = site.process();
        let seen =
            process.see_newest().await.map_err(|problem| format!("a reader sees no whole snapshot: {problem}"))?;
        let (before, after) = self.work.seen(self.undisturbed);
        let expected = match after {
            _ if seen.id == before.id => before,
            Some(after) if seen.id == before.id.next() => after,
            _ => return Err(format!("snapshot {} is the newest, which nobody published", seen.id)),
        };
        seen.same_as(expected).map_err(|problem| format!("snapshot {} is neither old nor new: {problem}", seen.id))?;
        if ended.is_ok() && after.is_some() && seen.id == before.id {
            return Err("the work says it is done, but readers see the old snapshot".into());
        }
        self.older_snapshots_are_whole(&process, seen.id).await?;

        site.outlast_lease();
        let next = async {
            process.ingest(WORKED).await?;
            process.ingest(NEXT).await?;
            for hold in process.lake.holds().await? {
                process.lake.release(&hold.batch.to_string()).await?;
            }
            process.run().await
        };
        next.await.map_err(|e| format!("the next run does not work: {}", told(&e)))?;
        let seen = process.see_newest().await?;
        seen.same_as(&self.undisturbed.after[NEXT].seen)
            .map_err(|problem| format!("after the next run the warehouse differs from the undisturbed: {problem}"))?;
        site.tidy().await.map_err(|problem| format!("what the work left is not cleaned up: {problem}"))?;
        process.see_newest().await.map_err(|problem| format!("garbage collection took too much: {problem}")).map(drop)
    }

    async fn older_snapshots_are_whole(&self, process: &Process, newest: SnapshotId) -> Outcome {
        for id in process.lake.snapshots().await.map_err(|e| told(&e))? {
            let known = self.undisturbed.after.iter().find(|after| after.seen.id == id);
            if let Some(known) = known.filter(|_| id < newest) {
                let snapshot = process.lake.snapshot(id).await.map_err(|e| told(&e))?;
                let seen =
                    process.see(&snapshot).await.map_err(|e| format!("snapshot {id} is kept but broken: {e}"))?;
                seen.same_as(&known.seen).map_err(|e| format!("snapshot {id} is kept but changed: {e}"))?;
            }
        }
        Ok(())
    }
}

/// Fails the work at every write in every mode, or at a sample that has every class of writes.
async fn fail_everywhere(work: Work) {
    let undisturbed = Undisturbed::shared();
    let base = work.base(&undisturbed).await;
    let faults = Arc::new(Faults::none());
    work.perform(&base.copy().meddled(&faults)).await.unwrap();
    let mut classes: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let writes = faults.writes();
    for (write, operation) in (1..).zip(&writes) {
        classes.entry(operation.class()).or_default().push(write);
    }
    let every = |modes: &[Mode], write: u64| modes.iter().map(|mode| (write, *mode)).collect::<Vec<_>>();
    let mut chance = Chance::new(&format!("{work:?}"));
    let failures: Vec<(u64, Mode)> = if is_long() {
        (1..=writes.len() as u64).flat_map(|write| every(&Mode::ALL, write)).collect()
    } else {
        let sample = classes.iter().flat_map(|(class, writes)| {
            let write = *chance.one_of(writes);
            // The commit points in every mode, the others in one.
            let is_commit = ["Put snapshot", "Put manifest"].contains(&class.as_str());
            if is_commit { every(&Mode::ALL, write) } else { every(&[*chance.one_of(&Mode::ALL)], write) }
        });
        sample.collect()
    };
    println!("{work:?}: {} writes of {} classes, {} failures", writes.len(), classes.len(), failures.len());
    let mut problems = Vec::new();
    for (write, mode) in failures {
        let trial = Trial { undisturbed: &undisturbed, work, base: &base, write, mode };
        if let Err(problem) = trial.judge().await {
            let operation = &writes[write as usize - 1];
            problems.push(format!("{work:?} fails at write {write} (about {operation}), {mode}: {problem}"));
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// Proves: a landing is all or nothing, and can be repeated.
#[tokio::test(flavor = "multi_thread")]
async fn an_ingest_that_fails_at_any_write_can_be_repeated() {
    fail_everywhere(Work::Ingest).await;
}

/// Proves law 4 for runs that add.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_fails_at_any_write_shows_the_old_or_the_new_snapshot() {
    fail_everywhere(Work::Run).await;
}

/// Proves law 4 for rollbacks, whose files older snapshots share.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_that_fails_at_any_write_shows_the_old_or_the_new_snapshot() {
    fail_everywhere(Work::Rollback).await;
}

/// Proves that a rollback that holds batches leaves none held that a release does not bring back.
#[tokio::test(flavor = "multi_thread")]
async fn a_holding_rollback_that_fails_at_any_write_loses_no_batch() {
    fail_everywhere(Work::RollbackAndHold).await;
}

/// Proves law 4 for rebuilds, which replace every file.
#[tokio::test(flavor = "multi_thread")]
async fn a_rebuild_that_fails_at_any_write_shows_the_old_or_the_new_snapshot() {
    fail_everywhere(Work::Rebuild).await;
}

/// Proves that half a garbage collection harms nothing and is finished by the next.
#[tokio::test(flavor = "multi_thread")]
async fn a_garbage_collection_that_fails_at_any_write_takes_nothing_needed() {
    fail_everywhere(Work::Collect).await;
}
