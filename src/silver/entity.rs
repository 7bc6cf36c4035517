//! One entity's step of a run: from its raw files to changes of its tables and new totals.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{Array, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::{Schema, SchemaRef},
};
use datafusion::{
    execution::TaskContext,
    physical_expr::{LexOrdering, PhysicalSortExpr, expressions::Column},
    physical_plan::{
        ExecutionPlan, SendableRecordBatchStream,
        coalesce_partitions::CoalescePartitionsExec,
        sorts::sort::SortExec,
        stream::RecordBatchStreamAdapter,
        streaming::{PartitionStream, StreamingTableExec},
    },
};
use tokio::sync::mpsc;

use super::{
    clean_files::{self, ARRIVAL_COLUMN, Counts},
    quarantine::{self, Quarantine},
    resolve::{Added, Resolver},
    winners::{Events, Winners},
};
use crate::{
    bronze::LandedFile,
    engine::beside,
    error::{Error, Result},
    lake::{
        Candidate, ChangeSet, EntityTotals, FileRef, FileWriter, TableChange, TableEdit, TableFiles, TableName, concat,
    },
    project::Contract,
};

/// Events of one chunk that is resolved against standing rows.
const CHUNK_ROWS: usize = 128 * 1024;

/// A raw file of the entity.
#[derive(Debug, Clone)]
pub struct RawFile {
    pub reference: FileRef,
    pub landed: LandedFile,
}

/// How the files meet the tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Work {
    /// They are new, and later in arrival order than all that is covered.
    Add,
    /// They are all there is: the tables are made anew.
    Replay,
}

/// The tables that an entity has.
#[derive(Debug, Clone)]
pub struct EntityTables {
    pub cleaned: TableName,
    pub history: Option<TableName>,
    /// Deletes that won: for entities with history all of them, else the newest of each deleted key.
    pub tombstones: TableName,
    pub quarantine: TableName,
}

impl EntityTables {
    pub fn of(contract: &Contract) -> Self {
        let [cleaned, history, tombstones, quarantine] = contract.tables().map(TableName::staging);
        Self { cleaned, history: contract.history.then_some(history), tombstones, quarantine }
    }

    /// The columns that are together unique in one of the tables; `None` for other tables.
    pub fn key(&self, contract: &Contract, table: &TableName) -> Option<Vec<String>> {
        let name = |&column: &usize| contract.spec.columns[column].name.clone();
        let key: Vec<String> = contract.spec.key.iter().map(name).collect();
        if *table == self.cleaned {
            return Some(key);
        }
        // One event a key and version; without history there is one tombstone a key, too.
        (*table == self.tombstones || Some(table) == self.history.as_ref())
            .then(|| key.into_iter().chain([name(&contract.spec.version)]).collect())
    }

    /// The tables that models may read, with their columns.
    pub fn readable(&self, contract: &Contract) -> Vec<(TableName, SchemaRef)> {
        let (rows, identity) = table_schemas(contract);
        let of_rows = [Some(&self.cleaned), self.history.as_ref()].into_iter().flatten();
        let of_rows = of_rows.map(|table| (table.clone(), Arc::clone(&rows)));
        of_rows.chain([(self.tombstones.clone(), identity)]).collect()
    }

    pub fn all(&self) -> impl Iterator<Item = &TableName> {
        [&self.cleaned, &self.tombstones, &self.quarantine].into_iter().chain(&self.history)
    }
}

/// What a step did.
#[derive(Debug, Clone)]
pub struct EntityOutcome {
    /// The entity's running totals after it.
    pub totals: EntityTotals,
    /// Records read by this step, and bytes of raw.
    pub records: u64,
    pub bytes: u64,
    pub late: u64,
    pub quarantined: u64,
    pub drift: std::collections::BTreeMap<String, u64>,
    pub missing: std::collections::BTreeMap<String, u64>,
}

/// Takes an entity's files into the candidate.
///
/// # Errors
/// `Data` when a raw file cannot be read any more.
pub async fn run_entity(
    engine: &Arc<TaskContext>,
    candidate: &Candidate,
    contract: &Contract,
    files: &[RawFile],
    work: Work,
    before: &EntityTotals,
) -> Result<EntityOutcome> {
    let tables = EntityTables::of(contract);
    let mut step = Step { engine, candidate, contract, tables, work };
    let mut totals = match work {
        Work::Add => before.clone(),
        Work::Replay => EntityTotals::default(),
    };
    let counted = step.run(files, totals.newest_version).await?;
    totals.raw += counted.counts.records;
    totals.late += counted.counts.late;
    totals.superseded += counted.superseded;
    totals.quarantined += counted.quarantined;
    totals.tombstones = totals.tombstones.saturating_add_signed(counted.tombstone_balance);
    totals.newest_version = totals.newest_version.max(counted.counts.newest_version);
    for (column, count) in &counted.counts.unknown_columns {
        *totals.drift.entry(column.clone()).or_default() += count;
    }
    let cleaned = step.candidate.files(&step.tables.cleaned).await?;
    totals.current = cleaned.map_or(0, |files| files.rows());
    Ok(EntityOutcome {
        totals,
        records: counted.counts.records,
        bytes: counted.counts.bytes,
        late: counted.counts.late,
        quarantined: counted.quarantined,
        drift: counted.counts.unknown_columns,
        missing: counted.counts.missing_columns,
    })
}

struct Step<'a> {
    engine: &'a Arc<TaskContext>,
    candidate: &'a Candidate,
    contract: &'a Contract,
    tables: EntityTables,
    work: Work,
}

struct Counted {
    counts: Counts,
    superseded: u64,
    quarantined: u64,
    tombstone_balance: i64,
}

impl Step<'_> {
    async fn run(&mut self, files: &[RawFile], newest_seen: Option<i64>) -> Result<Counted> {
        let lake = self.candidate.lake().clone();
        let run = self.candidate.run().clone();
        let cleaners = self.engine.session_config().target_partitions();
        let cleaning = clean_files::start(&lake, self.contract, files, cleaners, newest_seen);
        let sorted = self.sorted(cleaning.rows)?;

        let writer = FileWriter::table(&lake, &self.tables.quarantine, &run, quarantine::schema());
        let entity = self.contract.entity.as_str().to_owned();
        let mut rejected = cleaning.rejected;
        // Moved in: where the writer fails, cleaners must not wait for room in the channel.
        let quarantine = async move {
            let mut quarantine = Quarantine::new(&entity, files, writer);
            while let Some((ordinal, records)) = rejected.recv().await {
                quarantine.take(ordinal, records).await?;
            }
            quarantine.finish().await
        };
        let (rows, quarantined) = tokio::join!(self.take_rows(sorted), quarantine);
        // The threads' own failure is the cause of whatever else went wrong.
        let counts = cleaning.tasks.finish().await?;
        let (superseded, tombstone_balance) = rows?;
        let (quarantine_files, quarantined) = quarantined?;
        self.record_whole_or_more(self.tables.quarantine.clone(), quarantine::schema(), quarantine_files).await?;
        Ok(Counted { counts, superseded, quarantined, tombstone_balance })
    }

    /// Sorts the cleaners' rows by key, version and arrival; spills when memory is short.
    fn sorted(&self, outputs: Vec<mpsc::Receiver<RecordBatch>>) -> Result<SendableRecordBatchStream> {
        let spec = &self.contract.spec;
        let schema = clean_files::rows_schema(spec);
        let arrival = schema.index_of(ARRIVAL_COLUMN).map_err(|e| Error::bug("rows have no arrival").cause(e))?;
        let order =
            spec.key.iter().copied().chain([spec.version, arrival]).map(|column| {
                PhysicalSortExpr::new_default(Arc::new(Column::new(schema.field(column).name(), column)))
            });
        let order = LexOrdering::new(order).ok_or_else(|| Error::bug("an entity has no key"))?;
        let partitions = outputs
            .into_iter()
            .map(|output| {
                Arc::new(CleanRows { schema: Arc::clone(&schema), output: Mutex::new(Some(output)) })
                    as Arc<dyn PartitionStream>
            })
            .collect();
        let source = StreamingTableExec::try_new(Arc::clone(&schema), partitions, None, [], false, None)
            .map_err(crate::engine_error)?;
        // One sort of all cleaners' rows: sorting each cleaner's and merging them would copy every row
        // once more. Its batches are sorted on all cores.
        let sorted = SortExec::new(order, Arc::new(CoalescePartitionsExec::new(Arc::new(source))));
        sorted.execute(0, Arc::clone(self.engine)).map(beside).map_err(crate::engine_error)
    }

    /// Takes the sorted rows into the tables; returns the superseded and the tombstone balance.
    async fn take_rows(&mut self, sorted: SendableRecordBatchStream) -> Result<(u64, i64)> {
        let spec = &self.contract.spec;
        let winners = Winners::new(sorted, &spec.key, spec.version, self.contract.history);
        let standing = match self.work {
            Work::Replay => None,
            Work::Add => self.candidate.base_files(&self.tables.cleaned).await?,
        };
        match standing {
            Some(cleaned) if cleaned.rows() > 0 || self.standing_tombstones().await? => {
                self.meet(winners, cleaned).await
            }
            _ => self.fill(winners).await,
        }
    }

    async fn standing_tombstones(&self) -> Result<bool> {
        Ok(self.candidate.base_files(&self.tables.tombstones).await?.is_some_and(|files| files.rows() > 0))
    }

    /// There is nothing to meet: winners become the tables as they come.
    async fn fill(&mut self, mut winners: Winners) -> Result<(u64, i64)> {
        let lake = self.candidate.lake().clone();
        let run = self.candidate.run().clone();
        let (rows_schema, identity_schema) = table_schemas(self.contract);
        let spec = &self.contract.spec;
        let row_columns: Vec<usize> = (0..spec.columns.len()).collect();
        let identity: Vec<usize> = spec.key.iter().copied().chain([spec.version]).collect();
        let mut cleaned = FileWriter::table(&lake, &self.tables.cleaned, &run, Arc::clone(&rows_schema));
        let mut tombstones = FileWriter::table(&lake, &self.tables.tombstones, &run, Arc::clone(&identity_schema));
        let mut history =
            self.tables.history.as_ref().map(|table| FileWriter::table(&lake, table, &run, Arc::clone(&rows_schema)));
        let mut deleted_winners = 0_i64;
        while let Some(events) = winners.next().await? {
            let deleted = arrow::array::AsArray::as_boolean(events.rows.column(spec.columns.len())).clone();
            let failed = |e| Error::bug("events cannot be split").cause(e);
            let live = arrow::compute::not(&deleted).map_err(failed)?;
            let pick = |mask: &BooleanArray, columns: &[usize]| {
                filter_record_batch(&events.rows, mask).and_then(|rows| rows.project(columns)).map_err(failed)
            };
            let live_winners = arrow::compute::and(&live, &events.winner).map_err(failed)?;
            deleted_winners += (events.winner.true_count() - live_winners.true_count()) as i64;
            cleaned.write(&pick(&live_winners, &row_columns)?).await?;
            if let Some(history) = &mut history {
                history.write(&pick(&live, &row_columns)?).await?;
            }
            tombstones.write(&pick(&deleted, &identity)?).await?;
        }
        let (tables, superseded) = (self.tables.clone(), winners.superseded);
        self.record_whole(tables.cleaned, Arc::clone(&rows_schema), cleaned.finish().await?).await?;
        self.record_whole(tables.tombstones, identity_schema, tombstones.finish().await?).await?;
        if let (Some(table), Some(history)) = (tables.history, history) {
            self.record_whole(table, rows_schema, history.finish().await?).await?;
        }
        Ok((superseded, deleted_winners))
    }

    /// Winners meet the rows that are there.
    async fn meet(&mut self, mut winners: Winners, cleaned: TableFiles) -> Result<(u64, i64)> {
        let lake = self.candidate.lake().clone();
        let (rows_schema, identity_schema) = table_schemas(self.contract);
        let there = |files: Option<TableFiles>, schema: &SchemaRef| {
            files.unwrap_or_else(|| TableFiles::empty(Arc::clone(schema)))
        };
        let tombstones = there(self.candidate.base_files(&self.tables.tombstones).await?, &identity_schema);
        let history = match &self.tables.history {
            Some(table) => Some(there(self.candidate.base_files(table).await?, &rows_schema)),
            None => None,
        };
        let key = self.contract.spec.key.clone();
        let edit = |table: &TableName, files: &TableFiles, order: Vec<usize>| {
            TableEdit::new(self.candidate, table, files.clone(), order)
        };
        let mut to_cleaned = edit(&self.tables.cleaned, &cleaned, key.clone());
        let mut to_tombstones = edit(&self.tables.tombstones, &tombstones, (0..key.len()).collect());
        let mut to_history = match (&self.tables.history, &history) {
            (Some(table), Some(files)) => Some(edit(table, files, key)),
            _ => None,
        };
        let mut resolver = Resolver::new(&lake, self.contract, &self.tables, cleaned, history, tombstones)?;

        let mut chunks = Chunks::default();
        loop {
            let next = winners.next().await?;
            let ended = next.is_none();
            if let Some(chunk) = chunks.take(next)? {
                let Added { cleaned, history, tombstones } = resolver.resolve(&chunk).await?;
                to_cleaned.add(&cleaned).await?;
                to_tombstones.add(&tombstones).await?;
                if let (Some(edit), Some(rows)) = (&mut to_history, history) {
                    edit.add(&rows).await?;
                }
            }
            if ended {
                break;
            }
        }
        let superseded = winners.superseded + resolver.superseded;
        let balance = resolver.tombstone_balance;
        let owner = &self.contract.owner;
        let mut changes = vec![
            (self.tables.cleaned.clone(), to_cleaned.finish(&resolver.cleaned.displaced, owner).await?),
            (self.tables.tombstones.clone(), to_tombstones.finish(&resolver.tombstones.displaced, owner).await?),
        ];
        if let (Some(table), Some(standing), Some(edit)) = (&self.tables.history, resolver.history, to_history) {
            changes.push((table.clone(), edit.finish(&standing.displaced, owner).await?));
        }
        for (table, change) in changes {
            if let Some(change) = change {
                self.candidate.record(table, change);
            }
        }
        Ok((superseded, balance))
    }

    /// The table's content is these files and nothing else.
    async fn record_whole(
        &mut self,
        table: TableName,
        schema: SchemaRef,
        added: Vec<crate::lake::FileEntry>,
    ) -> Result<()> {
        let removed = self.candidate.base_files(&table).await?.map_or_else(Vec::new, |base| base.files);
        let owner = self.contract.owner.clone();
        self.candidate.record(table, TableChange { schema, removed, added, changes: ChangeSet::Whole, owner });
        Ok(())
    }

    /// For the quarantine, which only grows unless the entity is replayed.
    async fn record_whole_or_more(
        &mut self,
        table: TableName,
        schema: SchemaRef,
        added: Vec<crate::lake::FileEntry>,
    ) -> Result<()> {
        let there = self.candidate.base_files(&table).await?;
        if self.work == Work::Replay || there.is_none() {
            return self.record_whole(table, schema, added).await;
        }
        if !added.is_empty() {
            let owner = self.contract.owner.clone();
            let change = TableChange { schema, removed: Vec::new(), added, changes: ChangeSet::Whole, owner };
            self.candidate.record(table, change);
        }
        Ok(())
    }
}

/// The schemas of the cleaned (and history) table, and of the tombstones.
fn table_schemas(contract: &Contract) -> (SchemaRef, SchemaRef) {
    let spec = &contract.spec;
    let rows = clean_files::rows_schema(spec);
    let project = |columns: Vec<usize>| {
        Arc::new(Schema::new(columns.into_iter().map(|column| rows.field(column).clone()).collect::<Vec<_>>()))
    };
    let identity = spec.key.iter().copied().chain([spec.version]).collect();
    (project((0..spec.columns.len()).collect()), project(identity))
}

/// Gathers events into chunks of whole keys.
#[derive(Default)]
struct Chunks {
    rows: Vec<RecordBatch>,
    winner: Vec<BooleanArray>,
    count: usize,
}

impl Chunks {
    /// Takes more events (`None`: there are no more); gives a chunk when enough have gathered.
    fn take(&mut self, events: Option<Events>) -> Result<Option<Events>> {
        let ended = events.is_none();
        if let Some(events) = events {
            self.count += events.rows.num_rows();
            self.rows.push(events.rows);
            self.winner.push(events.winner);
        }
        if self.count == 0 || (self.count < CHUNK_ROWS && !ended) {
            return Ok(None);
        }
        let rows = concat(&self.rows[0].schema(), &self.rows)?;
        let masks: Vec<&dyn Array> = self.winner.iter().map(|mask| mask as &dyn Array).collect();
        let winner = arrow::compute::concat(&masks).map_err(|e| Error::bug("masks cannot be joined").cause(e))?;
        let winner = arrow::array::AsArray::as_boolean(&winner).clone();
        // A key whose winner has not come yet waits for the next chunk.
        let Some(last) = (0..winner.len()).rev().find(|&row| winner.value(row)) else { return Ok(None) };
        let (whole, rest) = (last + 1, rows.num_rows() - last - 1);
        self.rows = vec![rows.slice(whole, rest)];
        self.winner = vec![winner.slice(whole, rest)];
        self.count = rest;
        Ok(Some(Events { rows: rows.slice(0, whole), winner: winner.slice(0, whole) }))
    }
}

/// One cleaner's rows as a partition of a plan.
struct CleanRows {
    schema: SchemaRef,
    output: Mutex<Option<mpsc::Receiver<RecordBatch>>>,
}

impl fmt::Debug for CleanRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CleanRows")
    }
}

impl PartitionStream for CleanRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let output = self.output.lock().unwrap_or_else(PoisonError::into_inner).take();
        let rows = futures::stream::unfold(output, |output| async {
            let mut output = output?;
            let batch = output.recv().await?;
            Some((Ok(batch), Some(output)))
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), rows))
    }
}
