//! What a simulation has written, counted where it is written.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::draft::Draft;
use crate::entity::Entity;

/// What [`simulate`](crate::simulate) has written.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// One for each of [`Entity::ALL`], in that order.
    pub entities: Vec<EntitySummary>,
}

/// What was written of one entity.
///
/// Redelivered files count in `redelivered_files` and `bytes` only. A record that must go into
/// quarantine counts in `records` and `broken` only, so that the other figures are about records
/// that a warehouse can read; one record may count in several of them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EntitySummary {
    /// Which entity.
    pub entity: Entity,
    /// Files that are not redelivered ones, empty extracts included.
    pub files: u64,
    /// Files that are copies of earlier ones.
    pub redelivered_files: u64,
    /// Files that have a column nobody knows.
    pub drifted_files: u64,
    /// Size of all files on disk.
    pub bytes: u64,
    /// Records in all files but the redelivered ones.
    pub records: u64,
    /// Records in a later extract than the one that their `updated_at` falls in.
    pub late: u64,
    /// Records that came before with the same content.
    pub duplicates: u64,
    /// Records with the key and `updated_at` of another one but another content (of n rivals,
    /// n - 1 count).
    pub ties: u64,
    /// Deletes.
    pub deletes: u64,
    /// Upserts newer than a delete of their key.
    pub revivals: u64,
    /// Upserts older than a delete of their key that an earlier extract carries.
    pub stale: u64,
    /// Records in an earlier extract than the first record of something they refer to (order,
    /// customer or product), or whose order, customer or product never comes.
    pub orphans: u64,
    /// Records for quarantine, by what is wrong with them.
    pub broken: BTreeMap<BrokenKind, u64>,
}

/// What is wrong with a record that must go into quarantine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum BrokenKind {
    /// A line that is no JSON.
    Malformed,
    /// A line of JSON that is no object.
    NotAnObject,
    /// A JSON object with an object or array as a value.
    NestedValue,
    /// Bytes that are no UTF-8.
    InvalidUtf8,
    /// A CSV record with too few or too many fields.
    FieldCount,
    /// The last record of a file, cut off where the transfer broke.
    Torn,
    /// A required value is NULL.
    MissingRequired,
    /// A value that does not parse.
    Unparsable,
    /// An `_op` that nobody knows.
    UnknownOperation,
    /// A quantity of zero or less.
    QuantityBelowOne,
    /// An amount below zero.
    NegativeMoney,
}

impl Summary {
    pub(crate) fn new() -> Self {
        Self { entities: Entity::ALL.map(EntitySummary::new).to_vec() }
    }

    /// What was written of one entity.
    pub fn entity(&self, entity: Entity) -> &EntitySummary {
        &self.entities[entity as usize]
    }

    pub(crate) fn entity_mut(&mut self, entity: Entity) -> &mut EntitySummary {
        &mut self.entities[entity as usize]
    }

    /// Records of all entities, redelivered files aside.
    pub fn records(&self) -> u64 {
        self.entities.iter().map(|entity| entity.records).sum()
    }

    /// Files of all entities, redelivered ones included.
    pub fn files(&self) -> u64 {
        let files = |entity: &EntitySummary| entity.files + entity.redelivered_files;
        self.entities.iter().map(files).sum()
    }

    /// Size of all files on disk.
    pub fn bytes(&self) -> u64 {
        self.entities.iter().map(|entity| entity.bytes).sum()
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (mine, theirs) in self.entities.iter_mut().zip(&other.entities) {
            mine.add(theirs);
        }
    }
}

impl EntitySummary {
    fn new(entity: Entity) -> Self {
        Self {
            entity,
            files: 0,
            redelivered_files: 0,
            drifted_files: 0,
            bytes: 0,
            records: 0,
            late: 0,
            duplicates: 0,
            ties: 0,
            deletes: 0,
            revivals: 0,
            stale: 0,
            orphans: 0,
            broken: BTreeMap::new(),
        }
    }

    /// Records for quarantine, of all kinds.
    pub fn broken_records(&self) -> u64 {
        self.broken.values().sum()
    }

    /// Counts a record that is written.
    pub(crate) fn count(&mut self, record: &Draft, broken: Option<BrokenKind>) {
        self.records += 1;
        if let Some(kind) = broken {
            *self.broken.entry(kind).or_default() += 1;
            return;
        }
        let marks = record.marks;
        self.late += u64::from(marks.late);
        self.duplicates += u64::from(marks.duplicate);
        self.ties += u64::from(marks.tie);
        self.deletes += u64::from(record.deleted);
        self.revivals += u64::from(marks.revival);
        self.stale += u64::from(marks.stale);
        self.orphans += u64::from(marks.orphan);
    }

    /// Counts a cut-off copy of a record at the end of a file.
    pub(crate) fn count_torn(&mut self) {
        self.records += 1;
        *self.broken.entry(BrokenKind::Torn).or_default() += 1;
    }

    fn add(&mut self, other: &Self) {
        self.files += other.files;
        self.redelivered_files += other.redelivered_files;
        self.drifted_files += other.drifted_files;
        self.bytes += other.bytes;
        self.records += other.records;
        self.late += other.late;
        self.duplicates += other.duplicates;
        self.ties += other.ties;
        self.deletes += other.deletes;
        self.revivals += other.revivals;
        self.stale += other.stale;
        self.orphans += other.orphans;
        for (kind, count) in &other.broken {
            *self.broken.entry(*kind).or_default() += count;
        }
    }
}
