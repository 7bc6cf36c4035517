//! Claim: over many runs, exactly the snapshots that retention protects are kept, whole, and what
//! they do not need is gone, so that a lake does not grow with the number of its runs.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    sync::Arc,
};

use chrono::TimeDelta;
use smelt::{error::Kind, lake::SnapshotId};

use crate::{
    contents::{Seen, told},
    shop::{Range, Shop},
    site::Site,
    size::by_size,
};

/// Proves, with 40 days passing in the middle of a row of daily runs: the snapshots from before expire
/// by themselves, every one from after is readable and as it was; a rollback to the oldest that is kept
/// works, and one to an expired one says so; and what is left is bounded by what is kept.
#[tokio::test(flavor = "multi_thread")]
async fn many_runs_leave_what_retention_protects_and_nothing_else() {
    let days = by_size(24, 149);
    let shop = Arc::new(Shop::simulate(Range::Small, by_size(150, 600), days));
    let retention = shop.project.settings.retention;
    let site = Site::new(&shop);
    let process = site.process();
    let runs = u64::from(days) + 1;
    let middle = runs / 2;
    let mut published: BTreeMap<SnapshotId, Seen> = BTreeMap::new();
    for extract in 0..shop.extracts.len() {
        if extract as u64 == middle {
            site.advance(TimeDelta::days(40));
        }
        process.ingest(extract).await.unwrap();
        let report = process.run().await.unwrap();
        let seen = process.see_newest().await.unwrap();
        assert_eq!(Some(seen.id), report.snapshot, "each day publishes");
        published.insert(seen.id, seen);
    }
    let kept_by_runs = process.lake.snapshots().await.unwrap().len() as u64;
    assert!(kept_by_runs < runs - middle + 8, "runs expire snapshots by themselves, but {kept_by_runs} are kept");

    process.collect(retention).await.unwrap();
    let protected: Vec<SnapshotId> = (middle + 1..=runs).map(SnapshotId).collect();
    assert!(protected.len() as u64 >= retention.snapshots);
    assert_eq!(process.lake.snapshots().await.unwrap(), protected);
    for id in &protected {
        let snapshot = process.lake.snapshot(*id).await.unwrap();
        let seen = process.see(&snapshot).await.unwrap();
        seen.same_as(&published[id]).unwrap_or_else(|problem| panic!("snapshot {id}: {problem}"));
    }
    site.is_tidy().await.unwrap();
    let kept = protected.len();
    for (table, log) in logs(&site) {
        // Versions since the last checkpoint before the oldest that is kept, checkpoints, and their pointer.
        assert!(log.len() <= kept + 10 + kept / 10 + 3, "the log of {} has {} files", table.display(), log.len());
    }

    for expired in [1, middle] {
        for error in [
            process.lake.snapshot(SnapshotId(expired)).await.unwrap_err(),
            process.rollback(SnapshotId(expired), false).await.unwrap_err(),
        ] {
            assert_eq!(error.kind(), Kind::Input, "{}", told(&error));
            assert!(error.message().contains("expired"), "{}", told(&error));
        }
    }
    process.rollback(protected[0], false).await.unwrap();
    process.see_newest().await.unwrap().same_as(&published[&protected[0]]).unwrap();
    process.run().await.unwrap();
    process.see_newest().await.unwrap().same_as(&published[&SnapshotId(runs)]).unwrap();

    site.tidy().await.unwrap();
    process.see_newest().await.unwrap().same_as(&published[&SnapshotId(runs)]).unwrap();
    for (table, log) in logs(&site) {
        assert!(
            log.len() <= 14,
            "with one snapshot kept, the log of {} still has {} files",
            table.display(),
            log.len()
        );
    }
    let runs_kept = site.files_in("_smelt/runs").into_iter().filter_map(|path| path.iter().nth(2).map(PathBuf::from));
    let runs_kept: BTreeSet<PathBuf> = runs_kept.collect();
    assert!(runs_kept.len() <= logs(&site).len() + 1, "{} run folders are kept", runs_kept.len());
    assert!(site.files_in("_smelt/lease").len() <= 9, "old leases pile up");
    assert_eq!(site.empty_folders(), Vec::<PathBuf>::new());
}

/// The files of each table's log.
fn logs(site: &Site) -> BTreeMap<PathBuf, Vec<PathBuf>> {
    let mut logs: BTreeMap<PathBuf, Vec<PathBuf>> = BTreeMap::new();
    for path in ["staging", "gold"].iter().flat_map(|zone| site.files_in(zone)) {
        let folder = path.parent().unwrap().to_owned();
        if folder.ends_with("_delta_log") {
            logs.entry(folder).or_default().push(path);
        }
    }
    logs
}
