//! Where every object lies below the lake's root. Numbers are padded so that names sort.

use object_store::path::Path;

use super::{BatchId, RunId, SnapshotId, TableName};

/// Everything of smelt's own but the zones.
pub const OWN: &str = "_smelt";
pub const BATCHES: &str = "_smelt/batches";
pub const RECEIPTS: &str = "_smelt/receipts";
pub const HOLDS: &str = "_smelt/holds";
pub const SNAPSHOTS: &str = "_smelt/snapshots";
pub const LEASE: &str = "_smelt/lease";
pub const RUNS: &str = "_smelt/runs";
pub const PINS: &str = "_smelt/pins";

pub fn batch(batch: BatchId) -> Path {
    Path::from(format!("{BATCHES}/{:020}.json", batch.0))
}

pub fn snapshot(snapshot: SnapshotId) -> Path {
    Path::from(format!("{SNAPSHOTS}/{:020}.json", snapshot.0))
}

pub fn lease(fence: u64) -> Path {
    Path::from(format!("{LEASE}/{fence:020}.json"))
}

/// All that a run leaves outside the tables' folders.
pub fn run(run: &RunId) -> Path {
    Path::from(format!("{RUNS}/{run}"))
}

pub fn run_record(run: &RunId) -> Path {
    Path::from(format!("{RUNS}/{run}/run.json"))
}

/// The run whose folder an object is in.
pub fn run_of(object: &Path) -> Option<RunId> {
    let (run, _) = object.as_ref().strip_prefix(RUNS)?.strip_prefix('/')?.split_once('/')?;
    Some(RunId(run.to_owned()))
}

/// What the run reported.
pub fn run_report(run: &RunId) -> Path {
    Path::from(format!("{RUNS}/{run}/report.json"))
}

/// A table's prepared log entry.
pub fn entry(run: &RunId, table: &TableName) -> Path {
    Path::from(format!("{RUNS}/{run}/entries/{table}.json"))
}

/// One file of a table's change set.
pub fn change(run: &RunId, table: &TableName, side: &str, number: usize) -> Path {
    Path::from(format!("{RUNS}/{run}/changes/{table}/{side}-{number:05}.parquet"))
}

/// The number in a padded name such as `00000000000000000012.json`.
pub fn number(path: &Path) -> Option<u64> {
    path.filename()?.strip_suffix(".json")?.parse().ok()
}

/// A data file's name in its table's folder: `part-<run>-<number>.parquet`.
pub fn data_file(run: &RunId, number: usize) -> String {
    format!("part-{run}-{number:05}.parquet")
}

/// The run that wrote a data file.
pub fn run_of_data_file(name: &str) -> Option<RunId> {
    let (run, _) = name.strip_prefix("part-")?.strip_suffix(".parquet")?.rsplit_once('-')?;
    Some(RunId(run.to_owned()))
}
