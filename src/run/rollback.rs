//! `smelt rollback N`: snapshot n+1 with the contents and the coverage of snapshot N.

use std::collections::HashMap;

use crate::{
    error::{Error, Result},
    lake::{
        Candidate, ChangeSet, Contents, FileEntry, Lake, Lease, LeaseOptions, Origin, Snapshot, SnapshotId, TableChange,
    },
};

/// Publishes the contents of `to` as the next snapshot. Batches that came later are pending again;
/// with `hold` they are held, so that the next run leaves them out.
///
/// # Errors
/// `Input` when `to` was never published or has expired.
pub async fn rollback(lake: &Lake, to: SnapshotId, hold: bool, lease: LeaseOptions) -> Result<Snapshot> {
    let lease = lake.lease(lease).await?;
    let outcome = rolled_back(lake, &lease, to, hold).await;
    lease.release().await;
    outcome
}

async fn rolled_back(lake: &Lake, lease: &Lease, to: SnapshotId, hold: bool) -> Result<Snapshot> {
    let newest = lake.newest().await?.ok_or_else(|| Error::input("nothing is published yet"))?;
    lake.roll_forward(&newest).await?;
    let candidate = Candidate::begin(lake, lease, Some(newest.clone()), Some(to)).await?;
    match publish(&candidate, lease, to, hold, &newest).await {
        Err(error) => {
            let error = candidate.explain(error).await;
            candidate.discard().await;
            Err(error)
        }
        published => published,
    }
}

async fn publish(
    candidate: &Candidate,
    lease: &Lease,
    to: SnapshotId,
    hold: bool,
    newest: &Snapshot,
) -> Result<Snapshot> {
    let lake = candidate.lake().clone();
    let target = lake.snapshot(to).await?;
    if hold {
        // Before the publish: a crash between the two leaves batches held that a release brings back.
        for manifest in lake.manifests(target.coverage.through).await? {
            lake.hold_exactly(manifest.batch, None).await?;
        }
        // What the target left out, too, though it landed before.
        for file in &target.coverage.without {
            lake.hold_exactly(file.batch, Some(file.file)).await?;
        }
    }
    for (table, state) in &target.tables {
        let now = newest.tables.get(table);
        if now.is_some_and(|now| now.version == state.version) {
            continue;
        }
        let then = lake.table_files(table, state).await?;
        let current = match now {
            Some(now) => lake.table_files(table, now).await?.files,
            None => Vec::new(),
        };
        // The same file may have other rows deleted now.
        let beyond = |files: &[FileEntry], others: &[FileEntry]| -> Vec<FileEntry> {
            let others: HashMap<&str, &FileEntry> = others.iter().map(|file| (file.path.as_str(), file)).collect();
            let same = |file: &FileEntry| others.get(file.path.as_str()).is_some_and(|o| o.deleted == file.deleted);
            files.iter().filter(|file| !same(file)).cloned().collect()
        };
        candidate.record(
            table.clone(),
            TableChange {
                schema: then.schema.clone(),
                removed: beyond(&current, &then.files),
                added: beyond(&then.files, &current),
                changes: ChangeSet::Whole,
                owner: state.owner.clone(),
            },
        );
    }
    for table in newest.tables.keys().filter(|table| !target.tables.contains_key(table)) {
        candidate.drop_table(table.clone());
    }
    // A collection that overlooked this run has taken its record.
    lake.snapshot(to).await?;
    let Snapshot { coverage, definitions, entities, broken, .. } = target;
    candidate.publish(lease, Origin::Rollback(to), Contents { coverage, definitions, entities, broken }).await
}
