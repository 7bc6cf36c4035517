//! Claim: a rollback brings back a snapshot's contents and its coverage; what came later is pending
//! again, or held until it is released, and takes its old place in the order.

use smelt::{
    error::Kind,
    lake::{BatchId, SnapshotId},
};

use crate::{contents::told, shop::Undisturbed};

/// Proves: contents and coverage are those of the target; the next run takes the later batches in
/// again, and the tables are those of a warehouse that was never rolled back.
#[tokio::test(flavor = "multi_thread")]
async fn later_batches_are_pending_again_after_a_rollback() {
    let undisturbed = Undisturbed::shared();
    let site = undisturbed.after[3].site.copy();
    let process = site.process();
    for (to, through) in [(2, 2), (4, 4), (1, 1)] {
        let published = process.rollback(SnapshotId(to), false).await.unwrap();
        let target = process.lake.snapshot(SnapshotId(to)).await.unwrap();
        assert_eq!(published.coverage, target.coverage);
        assert_eq!(published.coverage.through, BatchId(through));
        assert_eq!(published.entities, target.entities);
        let expected = &undisturbed.after[to as usize - 1].seen;
        process.see_newest().await.unwrap().same_as(expected).unwrap_or_else(|problem| panic!("to {to}: {problem}"));
    }
    process.run().await.unwrap();
    process.see_newest().await.unwrap().same_as(&undisturbed.after[3].seen).unwrap();
    process.ingest(4).await.unwrap();
    process.run().await.unwrap();
    process.see_newest().await.unwrap().same_as(&undisturbed.after[4].seen).unwrap();
    site.tidy().await.unwrap();
    process.see_newest().await.unwrap().same_as(&undisturbed.after[4].seen).unwrap();
}

/// Proves: held batches stay out of runs and rebuilds alike until they are released; released in the
/// middle of the order they take their old place, so that the tables equal those of a rebuild, and
/// once all are released, those of a warehouse where nothing was ever held.
#[tokio::test(flavor = "multi_thread")]
async fn batches_held_by_a_rollback_take_their_old_place_when_released() {
    let undisturbed = Undisturbed::shared();
    let site = undisturbed.after[3].site.copy();
    let process = site.process();
    process.rollback(SnapshotId(2), true).await.unwrap();
    let held: Vec<u64> = process.lake.holds().await.unwrap().iter().map(|hold| hold.batch.0).collect();
    assert_eq!(held, [3, 4]);
    assert_eq!(process.run().await.unwrap().snapshot, None, "held batches are no work");
    process.see_newest().await.unwrap().same_as(&undisturbed.after[1].seen).unwrap();

    process.ingest(4).await.unwrap();
    // Twice released: batch 3 with 4 still held, then 4.
    for released in [None, Some("3"), Some("4")] {
        if let Some(batch) = released {
            process.lake.release(batch).await.unwrap();
        }
        process.run().await.unwrap().snapshot.expect("there is work");
        let incremental = process.see_newest().await.unwrap();
        let copy = site.copy();
        copy.process().rebuild().await.unwrap();
        let rebuilt = copy.process().see_newest().await.unwrap();
        incremental.same_as(&rebuilt).unwrap_or_else(|problem| panic!("after releasing {released:?}: {problem}"));
        if released != Some("4") {
            assert!(incremental.same_as(&undisturbed.after[4].seen).is_err(), "held records must be missing");
        }
    }
    process.see_newest().await.unwrap().same_as(&undisturbed.after[4].seen).unwrap();
}

/// Proves: a rollback to what never was says so and changes nothing; one to the newest is the newest.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_an_unknown_snapshot_is_refused() {
    let undisturbed = Undisturbed::shared();
    let site = undisturbed.after[1].site.copy();
    let process = site.process();
    for unknown in [0, 3, u64::MAX] {
        let error = process.rollback(SnapshotId(unknown), false).await.unwrap_err();
        assert_eq!(error.kind(), Kind::Input, "{}", told(&error));
    }
    assert_eq!(process.see_newest().await.unwrap(), undisturbed.after[1].seen);
    process.rollback(SnapshotId(2), false).await.unwrap();
    process.see_newest().await.unwrap().same_as(&undisturbed.after[1].seen).unwrap();
}
