//! What a run would publish, and publishing it: the one commit point.
//!
//! A candidate starts as its base snapshot's state and collects changes to tables. Publishing
//! prepares one log entry a changed table, puts snapshot n+1 create-only, then copies the entries
//! into the tables' logs. A writer that dies after the put leaves copying to the next one.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use arrow::{array::RecordBatch, datatypes::SchemaRef};
use futures::{StreamExt, TryStreamExt};
use serde::{Deserialize, Serialize};

use super::{
    ChangeFile, ChangeSet, Coverage, Definitions, EntityTotals, FileEntry, Lake, Lease, Origin, Put, RunId, Snapshot,
    SnapshotId, TableFiles, TableName, TableState,
    change_rows::ChangeRows,
    delta::{Entry, Protocols, entry_bytes, log_path},
    layout,
    snapshot::FORMAT,
    store::refused,
};
use crate::{
    error::{Error, Kind, Result},
    project::hex_sha256,
};

/// How one table would change.
#[derive(Debug, Clone)]
pub struct TableChange {
    pub schema: SchemaRef,
    pub removed: Vec<FileEntry>,
    pub added: Vec<FileEntry>,
    pub changes: ChangeSet,
    pub owner: String,
}

/// Says which snapshot a run builds on: what it leaves is garbage once the next number is taken.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct RunRecord {
    pub(super) base: SnapshotId,
    /// An older snapshot whose files the run would publish again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) shares: Option<SnapshotId>,
}

/// A state of the warehouse that is not published yet.
#[derive(Debug)]
pub struct Candidate {
    lake: Lake,
    run: RunId,
    base: Option<Snapshot>,
    /// By table; none for one that is dropped.
    changes: Mutex<BTreeMap<TableName, Option<Arc<TableChange>>>>,
    /// The base's tables as read so far: log replay is paid once.
    base_files: Mutex<BTreeMap<TableName, TableFiles>>,
    kept: Arc<ChangeRows>,
    /// Set before the snapshot is put: from then on it may be published, whatever the store answers.
    put_tried: AtomicBool,
}

/// What a snapshot says beside its tables.
#[derive(Debug)]
pub struct Contents {
    pub coverage: Coverage,
    pub definitions: Definitions,
    pub entities: BTreeMap<String, EntityTotals>,
    pub broken: Option<BTreeSet<String>>,
}

impl Candidate {
    /// Begins on the newest snapshot (or none), under a lease. What `shares` names, an older snapshot
    /// whose files it would publish again, does not expire until this run is over: read it after.
    pub async fn begin(lake: &Lake, lease: &Lease, base: Option<Snapshot>, shares: Option<SnapshotId>) -> Result<Self> {
        let record = RunRecord { base: base.as_ref().map_or(SnapshotId(0), |base| base.id), shares };
        lake.put_json(&layout::run_record(lease.run()), &record).await?;
        Ok(Self {
            lake: lake.clone(),
            run: lease.run().clone(),
            base,
            changes: Mutex::default(),
            base_files: Mutex::default(),
            kept: Arc::default(),
            put_tried: AtomicBool::new(false),
        })
    }

    /// One that is never published, in an empty lake of its own: there is nobody to be kept out.
    pub fn aside(lake: &Lake) -> Self {
        Self {
            lake: lake.clone(),
            run: RunId("aside".into()),
            base: None,
            changes: Mutex::default(),
            base_files: Mutex::default(),
            kept: Arc::default(),
            put_tried: AtomicBool::new(false),
        }
    }

    pub fn lake(&self) -> &Lake {
        &self.lake
    }

    pub fn run(&self) -> &RunId {
        &self.run
    }

    pub fn base(&self) -> Option<&Snapshot> {
        self.base.as_ref()
    }

    fn changes(&self) -> MutexGuard<'_, BTreeMap<TableName, Option<Arc<TableChange>>>> {
        self.changes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anything would change in a table.
    pub fn changed(&self, table: &TableName) -> bool {
        self.changes().contains_key(table)
    }

    pub fn change(&self, table: &TableName) -> Option<Arc<TableChange>> {
        self.changes().get(table).cloned().flatten()
    }

    /// The tables as they would be.
    pub fn tables(&self) -> BTreeSet<TableName> {
        let mut tables: BTreeSet<TableName> = self.base.iter().flat_map(|base| base.tables.keys()).cloned().collect();
        for (table, change) in self.changes().iter() {
            if change.is_some() {
                tables.insert(table.clone())
            } else {
                tables.remove(table)
            };
        }
        tables
    }

    /// A table's files as they would be; `None` for a table that is not there.
    pub async fn files(&self, table: &TableName) -> Result<Option<TableFiles>> {
        let base = self.base_files(table).await?;
        let change = match self.changes().get(table) {
            None => return Ok(base),
            Some(None) => return Ok(None),
            Some(Some(change)) => Arc::clone(change),
        };
        let tells_deletions = base.as_ref().is_some_and(|base| base.tells_deletions);
        let removed: BTreeSet<&str> = change.removed.iter().map(|file| file.path.as_str()).collect();
        let kept = base.into_iter().flat_map(|base| base.files).filter(|file| !removed.contains(file.path.as_str()));
        let files = kept.chain(change.added.iter().cloned()).collect();
        Ok(Some(TableFiles { schema: change.schema.clone(), files, tells_deletions }))
    }

    /// A table's files in the base snapshot.
    pub async fn base_files(&self, table: &TableName) -> Result<Option<TableFiles>> {
        let Some(state) = self.base.as_ref().and_then(|base| base.tables.get(table)) else { return Ok(None) };
        let known = self.base_files.lock().unwrap_or_else(PoisonError::into_inner).get(table).cloned();
        if known.is_some() {
            return Ok(known);
        }
        let files = self.lake.table_files(table, state).await?;
        self.base_files.lock().unwrap_or_else(PoisonError::into_inner).insert(table.clone(), files.clone());
        Ok(Some(files))
    }

    /// Keeps the rows of change sets while they take no more than so many bytes.
    pub(crate) fn keeping(self, bytes: usize) -> Self {
        Self { kept: Arc::new(ChangeRows::new(bytes)), ..self }
    }

    pub(super) fn kept(&self) -> &Arc<ChangeRows> {
        &self.kept
    }

    /// The rows of one side of a change set, if they are kept.
    pub(crate) fn kept_rows(&self, files: &[ChangeFile]) -> Option<Vec<RecordBatch>> {
        self.kept.of(files.iter().map(|file| file.path.as_str()))
    }

    /// Bytes of the data files that this candidate adds.
    pub fn bytes_added(&self) -> u64 {
        let changes = self.changes();
        let added = changes.values().flatten().flat_map(|change| &change.added);
        // A file with deletions was there before.
        added.filter(|file| file.deleted.is_none()).map(|file| file.bytes).sum()
    }

    pub fn record(&self, table: TableName, change: TableChange) {
        self.changes().insert(table, Some(Arc::new(change)));
    }

    pub fn drop_table(&self, table: TableName) {
        self.changes().insert(table, None);
    }

    /// Publishes as the base's next snapshot and copies the log entries.
    ///
    /// # Errors
    /// `Conflict` when another writer published first: nothing of this run is seen. `Data` when a
    /// foreign writer has written to a table's log. `OutcomeUnknown` when the store did not say
    /// whether the snapshot was put.
    pub async fn publish(&self, lease: &Lease, origin: Origin, contents: Contents) -> Result<Snapshot> {
        let Contents { coverage, definitions, entities, broken } = contents;
        let id = self.id();
        let mut tables: BTreeMap<TableName, TableState> = BTreeMap::new();
        let mut retired = BTreeMap::new();
        let changes = self.changes().clone();
        if let Some(base) = &self.base {
            retired.clone_from(&base.retired);
            for (table, state) in &base.tables {
                let state = TableState { changes: None, ..state.clone() };
                if matches!(changes.get(table), Some(None)) {
                    retired.insert(table.clone(), self.prepare_drop(table, &state, id).await?);
                } else {
                    tables.insert(table.clone(), state);
                }
            }
        }
        for (table, change) in changes.iter().filter_map(|(table, change)| Some((table, change.as_deref()?))) {
            let before = tables.get(table).or_else(|| retired.get(table)).cloned();
            let state = self.prepare(table, change, before.as_ref(), id).await?;
            retired.remove(table);
            tables.insert(table.clone(), state);
        }
        let snapshot = Snapshot {
            format: FORMAT,
            id,
            parent: self.base.as_ref().map(|base| base.id),
            origin,
            run: self.run.clone(),
            published_at: self.lake.clock().now(),
            coverage,
            definitions,
            entities,
            broken,
            tables,
            retired,
        };
        lease.still_held().await?;
        self.put_tried.store(true, Ordering::SeqCst);
        self.put_snapshot(&snapshot).await?;
        match self.lake.roll_forward(&snapshot).await {
            Err(foreign) if foreign.kind() == Kind::Data => {
                return Err(Error::data(format!("snapshot {id} is published, but not copied into every table's log"))
                    .cause(foreign)
                    .hint("smelt reads it; for other readers move the foreign log entry away, then run again"));
            }
            // It is published, and readers find the entries where they were prepared.
            Err(error) => tracing::warn!(%error, "not all log entries are copied; the next run does the rest"),
            Ok(()) => {}
        }
        Ok(snapshot)
    }

    /// The snapshot that this candidate would be.
    fn id(&self) -> SnapshotId {
        self.base.as_ref().map_or(SnapshotId(1), |base| base.id.next())
    }

    /// What a failure on the way to the publish really is: where another writer has published
    /// meanwhile, files that were collected or log entries that are taken are a lost race.
    pub async fn explain(&self, failure: Error) -> Error {
        if failure.kind() == Kind::Conflict || self.put_tried.load(Ordering::SeqCst) {
            return failure;
        }
        match self.lake.snapshots().await {
            Ok(published) if published.last() >= Some(&self.id()) => self.overtaken().cause(failure),
            _ => failure,
        }
    }

    fn overtaken(&self) -> Error {
        Error::conflict(format!("another writer published snapshot {} first", self.id()))
            .hint("nothing of this run was published: run again")
    }

    async fn put_snapshot(&self, snapshot: &Snapshot) -> Result<()> {
        match self.lake.put_snapshot(snapshot).await {
            Ok(Put::Created) => {
                // Whoever slept for so long that the number had expired again is not the next one.
                // Where the store does not tell, it is published: it is there.
                if self.lake.snapshots().await.is_ok_and(|published| published.last() > Some(&snapshot.id)) {
                    self.lake.delete(&layout::snapshot(snapshot.id)).await?;
                    return Err(self.overtaken());
                }
                Ok(())
            }
            Ok(Put::Taken) => Err(self.overtaken()),
            Err(failure) => match self.lake.snapshot(snapshot.id).await {
                Ok(there) if there.run == self.run => Ok(()),
                Ok(_) => Err(self.overtaken()),
                Err(missing) if missing.kind() == Kind::Input => {
                    if refused(&failure) {
                        self.put_tried.store(false, Ordering::SeqCst);
                    }
                    Err(failure)
                }
                Err(_) => Err(Error::outcome_unknown(format!(
                    "the store did not say whether snapshot {} was published",
                    snapshot.id
                ))
                .cause(failure)
                .hint("look at `smelt snapshots` once the store answers; running again is safe")),
            },
        }
    }

    async fn prepare(
        &self,
        table: &TableName,
        change: &TableChange,
        before: Option<&TableState>,
        id: SnapshotId,
    ) -> Result<TableState> {
        let base = match before {
            Some(state) => Some(self.lake.table_files(table, state).await?),
            None => None,
        };
        let same_schema = base.as_ref().is_some_and(|base| base.schema == change.schema);
        let files = self.files(table).await?.unwrap_or_else(|| TableFiles::empty(change.schema.clone()));
        let version = before.map_or(0, |state| state.version + 1);
        let deletes = change.added.iter().any(|file| file.deleted.is_some());
        let told = base.as_ref().is_some_and(|base| base.tells_deletions);
        let bytes = entry_bytes(&Entry {
            schema: (!same_schema).then_some(&*change.schema),
            protocol: match before {
                _ if deletes && !told => Some(Protocols::Deletions),
                None => Some(Protocols::Plain),
                Some(_) => None,
            },
            removed: &change.removed,
            added: &change.added,
            snapshot: id,
            now_ms: self.lake.clock().now().timestamp_millis(),
            table,
        })?;
        self.put_entry(
            table,
            version,
            bytes,
            TableState {
                version,
                entry: String::new(),
                entry_sha256: String::new(),
                rows: files.rows(),
                files: files.files.len() as u64,
                bytes: files.bytes(),
                owner: change.owner.clone(),
                changes: Some(change.changes.clone()),
            },
        )
        .await
    }

    /// A dropped table's log stays, with no files; its version counts on if the table returns.
    async fn prepare_drop(&self, table: &TableName, state: &TableState, id: SnapshotId) -> Result<TableState> {
        let files = self.lake.table_files(table, state).await?;
        let bytes = entry_bytes(&Entry {
            schema: None,
            protocol: None,
            removed: &files.files,
            added: &[],
            snapshot: id,
            now_ms: self.lake.clock().now().timestamp_millis(),
            table,
        })?;
        let empty =
            TableState { rows: 0, files: 0, bytes: 0, version: state.version + 1, changes: None, ..state.clone() };
        self.put_entry(table, state.version + 1, bytes, empty).await
    }

    async fn put_entry(
        &self,
        table: &TableName,
        version: u64,
        bytes: bytes::Bytes,
        state: TableState,
    ) -> Result<TableState> {
        let log = log_path(&self.lake.table_folder(table), version);
        if self.lake.read_if_there(&log).await?.is_some() {
            return Err(foreign(table, version));
        }
        let path = layout::entry(&self.run, table);
        let entry_sha256 = hex_sha256(&bytes);
        self.lake.put_unique(&path, bytes).await?;
        Ok(TableState { entry: path.to_string(), entry_sha256, ..state })
    }

    /// Removes what this run wrote, unless it may be published. Best effort: gc finds the rest.
    pub async fn discard(self) {
        if self.put_tried.load(Ordering::SeqCst) {
            // Only another writer's snapshot in its place says that it never will be.
            match self.lake.snapshot(self.id()).await {
                Ok(there) if there.run != self.run => {}
                _ => return,
            }
        }
        // Writers that were dropped with the failure have files on their way.
        let _nothing_is_written = self.lake.writing.write().await;
        for object in self.lake.table_objects().await.unwrap_or_default() {
            let name = object.location.filename().unwrap_or_default();
            if layout::run_of_data_file(name).as_ref() == Some(&self.run) {
                let _ = self.lake.delete(&object.location).await;
            }
        }
        let _ = self.lake.delete_run(&self.run).await;
    }
}

fn foreign(table: &TableName, version: u64) -> Error {
    Error::data(format!("someone else has written version {version} of table `{table}`"))
        .hint("only smelt may write to its tables' `_delta_log`: move the foreign log entry away, then run again")
}

impl Lake {
    /// Copies a published snapshot's log entries into the tables' logs, where they are not yet.
    ///
    /// # Errors
    /// `Data` when a version is taken by other bytes: a foreign writer.
    pub async fn roll_forward(&self, snapshot: &Snapshot) -> Result<()> {
        let mine = format!("{}/", layout::run(&snapshot.run));
        let states = snapshot.tables.iter().chain(&snapshot.retired);
        let states: Vec<(TableName, TableState)> = states
            .filter(|(_, state)| state.entry.starts_with(&mine))
            .map(|(table, state)| (table.clone(), state.clone()))
            .collect();
        futures::stream::iter(states.into_iter().map(|(table, state)| async move {
            let (table, state) = (&table, &state);
            let log = log_path(&self.table_folder(table), state.version);
            if let Some(there) = self.read_if_there(&log).await? {
                return if hex_sha256(&there) == state.entry_sha256 {
                    Ok(())
                } else {
                    Err(foreign(table, state.version))
                };
            }
            let bytes = self.prepared_entry(table, state).await?;
            match self.put_new(&log, bytes).await? {
                Put::Created => self.checkpoint(table, state).await,
                Put::Taken => Err(foreign(table, state.version)),
            }
        }))
        .buffer_unordered(8)
        .try_collect::<Vec<()>>()
        .await?;
        Ok(())
    }

    /// Every so many versions, a checkpoint keeps log replay short.
    async fn checkpoint(&self, table: &TableName, state: &TableState) -> Result<()> {
        const EVERY: u64 = 10;
        if state.version == 0 || !state.version.is_multiple_of(EVERY) {
            return Ok(());
        }
        let log_store = self.log_store(table, None).await?;
        let mut delta = deltalake_core::DeltaTable::new(log_store);
        let written = async {
            delta.load_version(state.version).await?;
            deltalake_core::checkpoints::create_checkpoint(&delta, None).await
        };
        if let Err(error) = written.await {
            // A checkpoint is a shortcut: without it the log is only longer.
            tracing::warn!(%table, %error, "no checkpoint was written");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use arrow::{
        array::{ArrayRef, Int64Array, RecordBatch},
        datatypes::{DataType, Field, Schema},
    };
    use object_store::{
        memory::InMemory,
        throttle::{ThrottleConfig, ThrottledStore},
    };

    use super::*;
    use crate::{clock::SystemClock, lake::FileWriter, project::Zones};

    /// A file is put by a task of its own, which outlives a writer that is dropped.
    #[tokio::test]
    async fn what_is_on_its_way_when_a_run_fails_does_not_stay_either() {
        let slow = ThrottleConfig { wait_put_per_call: Duration::from_millis(50), ..ThrottleConfig::default() };
        let store = Arc::new(ThrottledStore::new(InMemory::new(), slow));
        let lake = Lake::on(store, Zones::default(), Arc::new(SystemClock), "memory");
        let candidate = Candidate::aside(&lake);
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
        let values: ArrayRef = Arc::new(Int64Array::from(vec![1, 2, 3]));
        let rows = RecordBatch::try_new(Arc::clone(&schema), vec![values]).unwrap();

        let mut writer = FileWriter::table(&lake, &TableName::gold("t"), candidate.run(), schema);
        writer.write(&rows).await.unwrap();
        writer.cut().await.unwrap();
        drop(writer);
        candidate.discard().await;
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(lake.table_objects().await.unwrap().is_empty());
    }
}
