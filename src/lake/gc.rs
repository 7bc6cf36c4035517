//! What no snapshot, reader or run needs any more: found by mark and sweep, in this order.
//!
//! 1. Expire: delete the records of snapshots beyond the retention (never the newest, never a pinned one).
//! 2. Mark: every file of every table of every snapshot that is kept or pinned.
//! 3. Sweep: data files, log entries and run folders that are unmarked, and whose run can no longer
//!    publish, because the snapshot it would have published is taken. Files that such a run was
//!    killed over go with it, those of other processes after a day.
//!
//! Holding the run lease is not needed: a running candidate's files carry its run's name.

use std::collections::{BTreeMap, BTreeSet};

use chrono::TimeDelta;
use object_store::{ObjectMeta, path::Path};
use serde::Serialize;

use super::{Lake, RunId, Snapshot, SnapshotId, TableName, Zone, candidate::RunRecord, layout, unfinished::Unfinished};
use crate::{
    error::{Kind, Result},
    project::Retention,
};

/// What a collection did.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Collected {
    pub expired_snapshots: Vec<SnapshotId>,
    pub kept_snapshots: usize,
    pub deleted_objects: u64,
    pub freed_bytes: u64,
}

impl Lake {
    /// The snapshots that retention no longer protects.
    pub async fn expirable(&self, retention: Retention) -> Result<Vec<SnapshotId>> {
        let all = self.snapshots().await?;
        let beyond = all.len().saturating_sub(usize::try_from(retention.snapshots.max(1)).unwrap_or(usize::MAX));
        let protected = self.protected().await?;
        let days = i64::try_from(retention.days).ok().and_then(TimeDelta::try_days).unwrap_or(TimeDelta::MAX);
        let horizon = self.clock().now().checked_sub_signed(days);
        let mut expirable = Vec::new();
        for id in &all[..beyond] {
            let old = match (self.snapshot(*id).await, horizon) {
                (Ok(snapshot), Some(horizon)) => snapshot.published_at < horizon,
                (_, None) => false,
                // A damaged record protects nothing, and expiring it must not be stopped by it.
                (Err(damaged), _) if damaged.kind() == Kind::Data => true,
                // Another collection was faster.
                (Err(expired), _) if expired.kind() == Kind::Input => false,
                (Err(error), _) => return Err(error),
            };
            if old && !protected.contains(id) {
                expirable.push(*id);
            }
        }
        Ok(expirable)
    }

    /// Expires, marks and sweeps. With `dry_run` only says what it would do.
    pub async fn collect(&self, retention: Retention, dry_run: bool) -> Result<Collected> {
        let expired = self.expirable(retention).await?;
        let mut records = Vec::new();
        if !dry_run {
            for id in &expired {
                records.push(self.snapshot(*id).await.ok());
                self.delete(&layout::snapshot(*id)).await?;
            }
        }
        // From here on a reader either pinned in time to be seen below, or finds its snapshot gone.
        let late = self.protected().await?;
        if expired.iter().any(|id| late.contains(id)) {
            for record in records.iter().flatten().filter(|record| late.contains(&record.id)) {
                self.put_snapshot(record).await?;
            }
            return Ok(Collected::default());
        }
        let mut done = Collected { expired_snapshots: expired.clone(), ..Collected::default() };
        // In this order: a run that begins later has no object in the first listing, and one that
        // publishes meanwhile is found by the snapshots, which are read last.
        let objects = self.table_objects().await?;
        let unfinished = self.unfinished().await?;
        let found = self.runs().await?;
        let mut kept = Vec::new();
        for id in self.snapshots().await? {
            if !expired.contains(&id) {
                kept.push(self.snapshot(id).await?);
            }
        }
        // Another collection, or one that died, may have expired what is still read or shared.
        if late.iter().any(|id| kept.iter().all(|snapshot| snapshot.id != *id)) {
            return Ok(Collected::default());
        }
        done.kept_snapshots = kept.len();
        let Some(newest) = kept.last().map(|snapshot| snapshot.id) else { return Ok(done) };
        let runs = judge(found, &kept, newest);
        let mut garbage = self.unneeded(objects, &kept, &runs).await?;
        for run in &runs.dead {
            garbage.extend(self.list(layout::run(run).as_ref(), None).await?);
        }
        // Before the records that tell whose they are.
        for file in unfinished.into_iter().filter(|file| runs.have_left(file)) {
            done.deleted_objects += 1;
            done.freed_bytes += file.size;
            if !dry_run {
                self.delete_unfinished(file).await?;
            }
        }
        for object in garbage {
            done.deleted_objects += 1;
            done.freed_bytes += object.size;
            if !dry_run {
                self.delete(&object.location).await?;
            }
        }
        Ok(done)
    }

    /// The snapshots that live readers hold, and those that a running rollback would publish again.
    async fn protected(&self) -> Result<BTreeSet<SnapshotId>> {
        let mut protected: BTreeSet<SnapshotId> = self.pinned().await?.into_iter().collect();
        let runs = self.runs().await?;
        let newest = self.snapshots().await?.last().copied();
        let live = runs.into_values().flatten().filter(|record| Some(record.base) >= newest);
        protected.extend(live.filter_map(|record| record.shares));
        Ok(protected)
    }

    /// Every object in the tables' folders.
    pub(super) async fn table_objects(&self) -> Result<Vec<ObjectMeta>> {
        let mut objects = Vec::new();
        for zone in [Zone::Staging, Zone::Gold] {
            objects.extend(self.list(self.zone_folder(zone).as_ref(), None).await?);
        }
        Ok(objects)
    }

    /// The runs that left anything, with their records.
    async fn runs(&self) -> Result<BTreeMap<RunId, Option<RunRecord>>> {
        let objects = self.list(layout::RUNS, None).await?;
        let names = objects.iter().filter_map(|object| object.location.as_ref().split('/').nth(2));
        let mut runs = BTreeMap::new();
        for name in names.collect::<BTreeSet<_>>() {
            let run = RunId(name.to_owned());
            // Without a record the run is being deleted: its record came first of all.
            let record = match self.read_json_if_there::<RunRecord>(&layout::run_record(&run)).await {
                Err(damaged) if damaged.kind() == Kind::Data => None,
                record => record?,
            };
            runs.insert(run, record);
        }
        Ok(runs)
    }

    async fn unneeded(&self, objects: Vec<ObjectMeta>, kept: &[Snapshot], runs: &Runs) -> Result<Vec<ObjectMeta>> {
        // Each version of each table once, however many snapshots share it.
        let mut versions: BTreeMap<&TableName, BTreeMap<u64, &super::TableState>> = BTreeMap::new();
        for snapshot in kept {
            for (table, state) in snapshot.tables.iter().chain(&snapshot.retired) {
                versions.entry(table).or_default().insert(state.version, state);
            }
        }
        let mut live = BTreeSet::new();
        let mut first_entry: BTreeMap<Path, u64> = BTreeMap::new();
        for (table, states) in &versions {
            let folder = self.table_folder(table);
            for state in states.values() {
                for file in self.table_files(table, state).await?.files {
                    live.insert(Path::from(format!("{folder}/{}", file.path)));
                }
            }
            if let Some(oldest) = states.keys().next() {
                first_entry.insert(folder, *oldest);
            }
        }
        let checkpoints = newest_checkpoints(&objects, &first_entry);
        let needed = |object: &ObjectMeta| {
            let name = object.location.filename().unwrap_or_default();
            if let Some(run) = layout::run_of_data_file(name) {
                return live.contains(&object.location) || runs.live.contains(&run);
            }
            // Replay begins at the newest checkpoint that every kept version can use.
            log_entry(&object.location).is_none_or(|(folder, version)| {
                checkpoints.get(&folder).is_none_or(|checkpoint| version >= *checkpoint)
            })
        };
        Ok(objects.into_iter().filter(|object| !needed(object)).collect())
    }

    /// Deletes a run's folder.
    pub(super) async fn delete_run(&self, run: &RunId) -> Result<()> {
        for object in self.list(layout::run(run).as_ref(), None).await? {
            self.delete(&object.location).await?;
        }
        Ok(())
    }
}

#[derive(Debug, Default)]
struct Runs {
    /// May still publish: their files are a running candidate's.
    live: BTreeSet<RunId>,
    dead: BTreeSet<RunId>,
}

impl Runs {
    /// Whether nobody is going to finish a file, or to need it.
    fn have_left(&self, file: &Unfinished) -> bool {
        let is_dead = match file.location.filename().and_then(layout::run_of_data_file) {
            Some(run) => !self.live.contains(&run),
            None => layout::run_of(&file.location).is_some_and(|run| self.dead.contains(&run)),
        };
        is_dead || file.is_abandoned()
    }
}

/// Which runs may still publish, and which are neither that nor of a kept snapshot.
fn judge(found: BTreeMap<RunId, Option<RunRecord>>, kept: &[Snapshot], newest: SnapshotId) -> Runs {
    let needed: BTreeSet<&str> = kept
        .iter()
        .flat_map(|snapshot| {
            let entries = snapshot.tables.values().chain(snapshot.retired.values());
            entries.filter_map(|state| state.entry.split('/').nth(2)).chain([snapshot.run.0.as_str()])
        })
        .collect();
    let mut runs = Runs::default();
    for (run, record) in found {
        if record.is_some_and(|record| record.base >= newest) {
            runs.live.insert(run);
        } else if !needed.contains(run.0.as_str()) {
            runs.dead.insert(run);
        }
    }
    runs
}

/// The folder and version of an object in a `_delta_log`.
fn log_entry(path: &Path) -> Option<(Path, u64)> {
    let (folder, name) = path.as_ref().split_once("/_delta_log/")?;
    Some((Path::from(folder), name.get(..20)?.parse().ok()?))
}

/// By table folder: the newest checkpoint that is not newer than the oldest version still needed.
fn newest_checkpoints(objects: &[ObjectMeta], first_entry: &BTreeMap<Path, u64>) -> BTreeMap<Path, u64> {
    let mut newest = BTreeMap::new();
    for object in objects.iter().filter(|object| object.location.as_ref().ends_with(".checkpoint.parquet")) {
        if let Some((folder, version)) = log_entry(&object.location)
            && first_entry.get(&folder).is_some_and(|oldest| version <= *oldest)
        {
            let best = newest.entry(folder).or_insert(version);
            *best = version.max(*best);
        }
    }
    newest
}
