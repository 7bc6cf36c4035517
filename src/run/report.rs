//! What a run says when it is done, as fields; the CLI makes it readable.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{Audited, Followed, Staleness};
use crate::{
    error::Result,
    lake::{EntityTotals, Lake, Snapshot, SnapshotId, layout},
};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RunReport {
    /// The snapshot that was published; `None` when there was nothing to do.
    pub snapshot: Option<SnapshotId>,
    pub entities: Vec<EntityReport>,
    pub models: Vec<ModelReport>,
    pub dropped: Vec<String>,
    pub audit: Audited,
    pub stale: Vec<Staleness>,
    pub seconds: f64,
    /// Of raw files.
    pub bytes_read: u64,
    /// Of data files.
    pub bytes_written: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EntityReport {
    pub entity: String,
    pub owner: String,
    pub reason: String,
    /// Records that this run read.
    pub records: u64,
    /// Of those: older than the newest version that an earlier run had seen.
    pub late: u64,
    pub quarantined: u64,
    /// Columns that the contract does not name, by the records that had them.
    pub drift: BTreeMap<String, u64>,
    /// Columns that the contract names and a CSV or Parquet file lacks, by the records of such files:
    /// NULL in their rows.
    pub missing: BTreeMap<String, u64>,
    /// The running totals after the run.
    pub totals: EntityTotals,
    /// Rows that began to wait in this run for a row that they name, of another entity; `None` for
    /// entities whose contract has no `waitsFor`.
    pub waiting: Option<u64>,
    pub seconds: f64,
    pub bytes_read: u64,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ModelReport {
    pub model: String,
    pub owner: String,
    pub reason: String,
    pub followed: Followed,
    /// Of the table.
    pub rows: u64,
    pub seconds: f64,
    pub bytes_written: u64,
}

impl RunReport {
    /// The report of the run that published a snapshot; none where it is not kept.
    ///
    /// # Errors
    /// `Data` when it cannot be read.
    pub async fn of(lake: &Lake, snapshot: &Snapshot) -> Result<Option<Self>> {
        lake.read_json_if_there(&layout::run_report(&snapshot.run)).await
    }

    /// Puts it into the run ledger. It is only a report: a run whose report is not kept is as good.
    pub(super) async fn keep(&self, lake: &Lake, snapshot: &Snapshot) {
        if let Err(error) = lake.put_json(&layout::run_report(&snapshot.run), self).await {
            tracing::warn!(%error, "the run's report is not kept");
        }
    }
}
