//! Claim: of two runs that both believe to hold the lease, one publishes and the other fails with a
//! conflict; a process that was paused for longer than its lease changes nothing when it wakes up.

use std::{collections::BTreeSet, sync::Arc};

use smelt::{
    error::{Error, Kind},
    run::RunReport,
};

use crate::{
    chance::Chance,
    contents::{Outcome, told},
    faults::Faults,
    gate::Gate,
    shop::Undisturbed,
    site::{Going, KEEP_ONE, Site},
    size::by_size,
};

const WORKED: usize = 2;
const NEXT: usize = 3;

type Running = Going<Result<RunReport, Error>>;

/// A run of a process of its own, stopped at the gate.
async fn stopped(site: &Site, gate: &Arc<Gate>) -> Outcome<Running> {
    let running = site.meddled(gate).start(|process| async move { process.run().await });
    if gate.reached(&running).await {
        return Ok(running);
    }
    Err(format!("the run ended before its gate: {:?}", running.ended().await.map_err(|e| told(&e))))
}

/// The classes of writes of a run, up to the publish, in the order of their first.
async fn classes_before_publish(base: &Site) -> Vec<String> {
    let faults = Arc::new(Faults::none());
    base.copy().meddled(&faults).run().await.unwrap();
    let mut classes: Vec<String> = Vec::new();
    for write in faults.writes() {
        if !classes.contains(&write.class()) {
            classes.push(write.class());
        }
        if write.class() == "Put snapshot" {
            break;
        }
    }
    classes
}

/// It conflicts; or, where it had not planned yet, it finds that nothing is left to do.
fn publishes_nothing(ended: Result<RunReport, Error>) -> Outcome {
    match ended {
        Ok(report) if report.snapshot.is_none() => Ok(()),
        Err(error) if error.kind() == Kind::Conflict => Ok(()),
        Err(error) => Err(format!("it should fail with a conflict, not with {}", told(&error))),
        Ok(report) => Err(format!("it should fail with a conflict, but published {:?}", report.snapshot)),
    }
}

/// The lake is as if only one run had been: contents, files, and what comes next.
async fn is_undisturbed(site: &Site, undisturbed: &Undisturbed) -> Outcome {
    let process = site.process();
    process.see_newest().await?.same_as(&undisturbed.after[WORKED].seen)?;
    site.tidy().await?;
    process.see_newest().await?.same_as(&undisturbed.after[WORKED].seen)?;
    site.outlast_lease();
    process.ingest(NEXT).await.map_err(|e| told(&e))?;
    process.run().await.map_err(|e| format!("the next run does not work: {}", told(&e)))?;
    process.see_newest().await?.same_as(&undisturbed.after[NEXT].seen)
}

/// Proves: wherever a run stops, if another takes over, publishes and collects garbage meanwhile, it
/// wakes up to a conflict, and nothing of it is seen or left.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_wakes_after_another_has_published_fails_and_leaves_nothing() {
    let undisturbed = Undisturbed::shared();
    let base = undisturbed.about_to_run(WORKED).await;
    let mut problems = Vec::new();
    for class in classes_before_publish(&base).await {
        let judged = async {
            let site = base.copy();
            let gate = Arc::new(Gate::before_class(&class));
            let running = stopped(&site, &gate).await?;
            let taken_over = class != "Put lease";
            if taken_over {
                site.outlast_lease();
            }
            let other = site.process();
            other.run().await.map_err(|e| format!("the other run does not work: {}", told(&e)))?;
            other.collect(KEEP_ONE).await.map_err(|e| format!("collecting: {}", told(&e)))?;
            let published = other.see_newest().await?;
            let files_of_others: BTreeSet<_> = site.files();
            gate.open();
            let ended = running.ended().await;
            if taken_over {
                publishes_nothing(ended)?;
                let left: Vec<_> = site.files().difference(&files_of_others).cloned().collect();
                // A lease's own record is overwritten when it is given back; it says nothing any more.
                if let Some(file) = left.iter().find(|file| !file.starts_with("_smelt/lease")) {
                    return Err(format!("it left {}", file.display()));
                }
            } else if let Err(error) = ended
                && error.kind() != Kind::Conflict
            {
                return Err(format!("without a lease it should do nothing, or conflict: {}", told(&error)));
            }
            let seen = other.see_newest().await?;
            if seen.id != published.id {
                return Err(format!("snapshot {} was published after {}", seen.id, published.id));
            }
            is_undisturbed(&site, &undisturbed).await
        };
        if let Err(problem) = judged.await {
            problems.push(format!("stopped before its first `{class}`: {problem}"));
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// Proves that a free number is not enough to publish: a run that sleeps until the snapshot in its place
/// has been published by another, followed by a newer one, and expired, finds the number free again.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_wakes_after_its_number_has_expired_fails_and_leaves_nothing() {
    let undisturbed = Undisturbed::shared();
    let site = undisturbed.about_to_run(WORKED).await;
    let gate = Arc::new(Gate::before_class("Put snapshot"));
    let running = stopped(&site, &gate).await.unwrap();
    site.outlast_lease();
    let other = site.process();
    let overtaken = other.run().await.unwrap().snapshot.unwrap();
    other.ingest(NEXT).await.unwrap();
    other.run().await.unwrap();
    other.collect(KEEP_ONE).await.unwrap();
    let published = other.see_newest().await.unwrap();
    assert!(other.lake.snapshot(overtaken).await.is_err(), "snapshot {overtaken} has expired");
    let files_of_others = site.files();

    gate.open();
    publishes_nothing(running.ended().await).unwrap();
    let left: Vec<_> = site.files().difference(&files_of_others).cloned().collect();
    assert!(left.iter().all(|file| file.starts_with("_smelt/lease")), "it left {left:?}");
    other.see_newest().await.unwrap().same_as(&published).unwrap();
    other.see_newest().await.unwrap().same_as(&undisturbed.after[NEXT].seen).unwrap();
}

/// Proves the other order: a run whose lease was taken over, but that wakes before the other publishes,
/// may still publish; then the other conflicts, wherever it stood.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_conflicts_when_the_one_it_took_over_from_publishes_first() {
    let undisturbed = Undisturbed::shared();
    let base = undisturbed.about_to_run(WORKED).await;
    let mut problems = Vec::new();
    for class in classes_before_publish(&base).await {
        if class == "Put lease" {
            continue;
        }
        let judged = async {
            let site = base.copy();
            let first_gate = Arc::new(Gate::before_class("Put snapshot"));
            let first = stopped(&site, &first_gate).await?;
            site.outlast_lease();
            let second_gate = Arc::new(Gate::before_class(&class));
            let second = stopped(&site, &second_gate).await?;
            first_gate.open();
            let published = first.ended().await;
            published.map_err(|e| format!("the first run cannot publish: {}", told(&e)))?;
            second_gate.open();
            publishes_nothing(second.ended().await)?;
            is_undisturbed(&site, &undisturbed).await
        };
        if let Err(problem) = judged.await {
            problems.push(format!("the second run stopped before its first `{class}`: {problem}"));
        }
    }
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// Proves that runs that start together publish once: the others conflict or find nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn of_runs_that_start_together_one_publishes() {
    let undisturbed = Undisturbed::shared();
    for round in 0..by_size(1, 10) {
        let site = undisturbed.about_to_run(WORKED).await;
        let starting: Vec<Running> =
            (0..4).map(|_| site.process().start(|process| async move { process.run().await })).collect();
        let mut published = 0;
        for running in starting {
            match running.ended().await {
                Ok(report) => published += usize::from(report.snapshot.is_some()),
                Err(error) => assert_eq!(error.kind(), Kind::Conflict, "round {round}: {}", told(&error)),
            }
        }
        assert_eq!(published, 1, "round {round}");
        is_undisturbed(&site, &undisturbed).await.unwrap_or_else(|problem| panic!("round {round}: {problem}"));
    }
}

/// Proves that a rollback is fenced like a run: a run that was paused meanwhile does not undo it.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_wakes_after_a_rollback_fails() {
    let undisturbed = Undisturbed::shared();
    let base = undisturbed.about_to_run(WORKED).await;
    let classes = classes_before_publish(&base).await;
    let mut chance = Chance::new("a_run_that_wakes_after_a_rollback_fails");
    for _ in 0..by_size(1, 8) {
        // With the lease in hand.
        let class = chance.one_of(&classes[1..]);
        let judged = async {
            let site = base.copy();
            let gate = Arc::new(Gate::before_class(class));
            let running = stopped(&site, &gate).await?;
            site.outlast_lease();
            let to = undisturbed.after[0].seen.id;
            let process = site.process();
            process.rollback(to, false).await.map_err(|e| told(&e))?;
            gate.open();
            publishes_nothing(running.ended().await)?;
            process.see_newest().await?.same_as(&undisturbed.after[0].seen)?;
            process.run().await.map_err(|e| told(&e))?;
            is_undisturbed(&site, &undisturbed).await
        };
        judged.await.unwrap_or_else(|problem| panic!("stopped before its first `{class}`: {problem}"));
    }
}
