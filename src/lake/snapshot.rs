//! The published record of one state of the warehouse: `_smelt/snapshots/<n>.json`.
//!
//! It is the only record of what is covered. Stored format: [`FORMAT`]; a newer one is refused.

use std::collections::{BTreeMap, BTreeSet};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::{BatchId, Lake, Put, RunId, SnapshotId, TableName, layout};
use crate::{
    error::{Error, Result},
    project::hex_sha256,
};

pub(super) const FORMAT: u32 = 1;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Snapshot {
    pub format: u32,
    pub id: SnapshotId,
    pub parent: Option<SnapshotId>,
    pub origin: Origin,
    pub run: RunId,
    pub published_at: DateTime<Utc>,
    pub coverage: Coverage,
    pub definitions: Definitions,
    /// By entity name.
    pub entities: BTreeMap<String, EntityTotals>,
    /// The rules that did not hold, all of severity `warn`; none where that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub broken: Option<BTreeSet<String>>,
    pub tables: BTreeMap<TableName, TableState>,
    /// Dropped tables: their Delta versions count on should they return.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub retired: BTreeMap<TableName, TableState>,
}

/// What made the snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Origin {
    Run,
    Rebuild,
    /// The contents of an earlier snapshot.
    Rollback(SnapshotId),
}

/// Which raw files the snapshot's rows come from.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Every file of every batch up to this one …
    pub through: BatchId,
    /// … but these, which were held.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub without: BTreeSet<FileRef>,
}

impl Coverage {
    pub fn covers(&self, file: FileRef) -> bool {
        file.batch <= self.through && !self.without.contains(&file)
    }
}

/// One landed file: its batch and its place in the batch's path order, from 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileRef {
    pub batch: BatchId,
    pub file: usize,
}

/// Fingerprints of what the rows were computed with.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Definitions {
    /// By entity.
    pub contracts: BTreeMap<String, String>,
    /// By model.
    pub models: BTreeMap<String, String>,
    /// All quality rules and data tests together: a change is audited, not recomputed.
    pub checks: String,
}

/// An entity's running totals. `raw = current + superseded + tombstones + quarantined`, always,
/// and each is counted where it happens.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntityTotals {
    /// Records that the readers passed on.
    pub raw: u64,
    /// Rows of the cleaned table.
    pub current: u64,
    /// Valid records that lost to another of their key.
    pub superseded: u64,
    /// Keys whose winner is a delete.
    pub tombstones: u64,
    /// Records that the quarantine's writer took.
    pub quarantined: u64,
    /// Records older than the newest `updated_at` that an earlier run had seen.
    pub late: u64,
    /// The newest version seen, in microseconds since 1970.
    pub newest_version: Option<i64>,
    /// Columns that the contract does not name, and in how many records each was.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub drift: BTreeMap<String, u64>,
}

impl EntityTotals {
    /// Law 3.
    pub fn balanced(&self) -> bool {
        self.raw == self.current + self.superseded + self.tombstones + self.quarantined
    }
}

/// One table at one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableState {
    /// The exact Delta version.
    pub version: u64,
    /// Where that version's log entry was prepared, and its SHA-256.
    pub entry: String,
    pub entry_sha256: String,
    pub rows: u64,
    pub files: u64,
    pub bytes: u64,
    pub owner: String,
    /// What this snapshot changed in the table; `None` when nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub changes: Option<ChangeSet>,
}

/// The rows that went and came with one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ChangeSet {
    /// Take the table whole: it was made or rewritten as a whole.
    Whole,
    /// Exactly these rows: before images went, after images came.
    Rows { before: Vec<ChangeFile>, after: Vec<ChangeFile> },
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangeFile {
    /// Below the lake's root.
    pub path: String,
    pub rows: u64,
    pub bytes: u64,
}

/// The record as it is stored: with the hash of its text, so that no damage passes for a snapshot.
#[derive(Serialize, Deserialize)]
struct Stored {
    sha256: String,
    snapshot: Box<RawValue>,
}

impl Lake {
    /// Puts a snapshot's record under its number, which must be free.
    pub(super) async fn put_snapshot(&self, snapshot: &Snapshot) -> Result<Put> {
        let text = serde_json::to_string_pretty(snapshot)
            .and_then(|text| Ok((hex_sha256(text.as_bytes()), RawValue::from_string(text)?)));
        let (sha256, snapshot_text) = text.map_err(|e| Error::bug("a snapshot does not become JSON").cause(e))?;
        self.put_json(&layout::snapshot(snapshot.id), &Stored { sha256, snapshot: snapshot_text }).await
    }

    /// The numbers of the published snapshots, oldest first.
    pub async fn snapshots(&self) -> Result<Vec<SnapshotId>> {
        let found = self.list(layout::SNAPSHOTS, None).await?;
        Ok(found.iter().filter_map(|object| layout::number(&object.location)).map(SnapshotId).collect())
    }

    /// The newest published snapshot, if any.
    pub async fn newest(&self) -> Result<Option<Snapshot>> {
        loop {
            let Some(id) = self.snapshots().await?.pop() else { return Ok(None) };
            // Gone between listing and reading only if a newer one was published meanwhile.
            if let Some(snapshot) = self.snapshot_if_there(id).await? {
                return Ok(Some(snapshot));
            }
        }
    }

    /// A snapshot by number.
    ///
    /// # Errors
    /// `Input` when it was never published or has expired; `Data` when its file is damaged.
    pub async fn snapshot(&self, id: SnapshotId) -> Result<Snapshot> {
        if let Some(snapshot) = self.snapshot_if_there(id).await? {
            return Ok(snapshot);
        }
        let known = self.snapshots().await?;
        Err(match (known.first(), known.last()) {
            (Some(first), Some(last)) if id < *first => Error::input(format!(
                "snapshot {id} has expired: the oldest that is kept is {first}, the newest {last}"
            ))
            .hint("`retention` in smelt.yml says how long snapshots are kept"),
            (Some(first), Some(last)) => {
                Error::input(format!("there is no snapshot {id}: there are {first} to {last}"))
                    .hint("`smelt snapshots` lists them")
            }
            _ => Error::input("nothing is published yet").hint("land extracts with `smelt ingest`, then `smelt run`"),
        })
    }

    async fn snapshot_if_there(&self, id: SnapshotId) -> Result<Option<Snapshot>> {
        let path = layout::snapshot(id);
        let damaged = || {
            Error::data(format!("`{path}` is damaged"))
                .hint("this file is smelt's own and never edited: restore it from a backup of the lake")
        };
        let Some(stored) = self.read_json_if_there::<Stored>(&path).await? else { return Ok(None) };
        let text = stored.snapshot.get();
        if hex_sha256(text.as_bytes()) != stored.sha256 {
            return Err(damaged());
        }
        let value: serde_json::Value = serde_json::from_str(text).map_err(|e| damaged().cause(e))?;
        if value["format"].as_u64().unwrap_or(0) > u64::from(FORMAT) {
            return Err(Error::input(format!(
                "snapshot {id} was written by a newer smelt (format {})",
                value["format"]
            ))
            .hint("upgrade this smelt"));
        }
        let snapshot: Snapshot = serde_json::from_value(value).map_err(|e| damaged().cause(e))?;
        if snapshot.id != id {
            return Err(Error::data(format!("`{path}` is damaged: it says it is snapshot {}", snapshot.id))
                .hint("restore the file from a backup"));
        }
        Ok(Some(snapshot))
    }
}
