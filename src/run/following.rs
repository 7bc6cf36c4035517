//! What the planner's plans read beside a model's own tables, and making their key sets.
//!
//! In:  a candidate, in which some inputs have changed.
//! Out: for an incremental plan, the key sets filled, each after those that it reads, so that what is read of tables
//! afterwards can be looked up by them.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet, btree_map::Entry},
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use arrow::{
    array::RecordBatch,
    datatypes::{Field, Schema, SchemaRef},
};
use datafusion::{
    catalog::TableProvider,
    common::{
        DataFusionError, Result as PlanResult, TableReference, internal_err,
        runtime::SpawnedTask,
        tree_node::{TreeNode as _, TreeNodeRecursion},
    },
    datasource::{MemTable, provider_as_source, source_as_provider},
    logical_expr::{LogicalPlan, LogicalPlanBuilder, TableScan},
    prelude::SessionContext,
};
use futures::TryStreamExt as _;
use object_store::path::Path;

use super::{Workshop, in_order::in_order};
use crate::{
    engine::{self, compact, ran_out_of_memory},
    engine_error,
    error::{Error, Result},
    lake::{
        Candidate, ChangeFile, ChangeSet, FileEntry, LakeTable, MatchingRows, TableFiles, TableName, content_bytes,
    },
    planner::{Image, Incremental, KeySet, MATCHING, Matched, Tables},
};

/// With more affected keys than this share of the table's rows, all of it is computed.
const WORTH: u64 = 3;
/// A table so small is not worth a second thought.
const SMALL: u64 = 50_000;

/// With no more rows to read, a query is one thread's: dealing out rows and putting groups together again costs
/// more than further threads bring, and other queries run beside it.
const FEW: u64 = 1 << 19;

/// Key sets of one model that are made at once, where they do not read each other.
const AT_ONCE: usize = 2;

/// Why an attempt gave nothing.
pub(super) enum Failure {
    /// The joins do not fit: those that spill may.
    Memory(DataFusionError),
    /// The incremental plan does not work out: all rows are to be computed.
    Whole(String),
    Other(Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

pub(super) fn not_worked_out(failure: &DataFusionError) -> Failure {
    Failure::Whole(format!("its incremental plan fails: {}", failure.find_root()))
}

impl Workshop<'_> {
    /// Makes the key sets of a plan; gives the affected keys. `rows` are those of the table.
    pub(super) async fn affected_keys(
        &self,
        context: &SessionContext,
        plan: &Incremental,
        tables: &RunTables,
        rows: u64,
    ) -> Result<Vec<RecordBatch>, Failure> {
        // By difference, groups are not read.
        let most = if plan.by_difference.is_some() { u64::MAX } else { SMALL.max(rows / WORTH) };
        self.key_sets(context, &plan.key_sets, tables, |set, count| {
            if set == plan.affected_keys && count > most {
                return Err(Failure::Whole(format!("the change affects {count} keys")));
            }
            Ok(())
        })
        .await?;
        let set = plan.key_sets.iter().find(|set| set.number == plan.affected_keys);
        let set = set.ok_or_else(|| Error::bug("a plan has no set of affected keys"))?;
        tables.made(set).await.map_err(|e| not_worked_out(&e))
    }

    /// Makes key sets, each after those that it reads. Once it is known how many keys a set has, `check` may end it.
    pub(super) async fn key_sets(
        &self,
        context: &SessionContext,
        sets: &[KeySet],
        tables: &RunTables,
        check: impl Fn(usize, u64) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let most_bytes = self.project.settings.memory_limit.0 / 4;
        let bytes = Arc::new(AtomicUsize::new(0));
        for set in sets {
            tables.set(set.number, &set.plan).map_err(|e| not_worked_out(&e))?;
        }
        let place = |number: &usize| sets.iter().position(|set| set.number == *number);
        let after = sets.iter().map(|set| Ok(tables.read_by(&set.plan)?.iter().filter_map(place).collect()));
        let after = after.collect::<PlanResult<Vec<Vec<usize>>>>().map_err(|e| not_worked_out(&e))?;
        let made = in_order(&after, AT_ONCE, async |place| {
            let set = &sets[place];
            let started = Instant::now();
            let failed = |e: DataFusionError| {
                if ran_out_of_memory(&e) { Failure::Memory(e) } else { not_worked_out(&e) }
            };
            let (context, plan, bytes) = (context.clone(), set.plan.clone(), Arc::clone(&bytes));
            let made_now = in_a_task(async move { rows_of(&context, plan, &bytes, most_bytes).await });
            let Some(batches) = made_now.await?.map_err(failed)? else {
                return Err(Failure::Whole("the change is too large to be followed in memory".into()));
            };
            let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
            let seconds = started.elapsed().as_secs_f64();
            tracing::debug!(set = set.number, rows = count, seconds, "key set");
            tracing::trace!(set = set.number, plan = %set.plan.display_indent(), "its plan");
            tables.fill(set, &batches).await.map_err(failed)?;
            check(set.number, count as u64)
        });
        made.await.map(drop)
    }

    /// The change sets of the inputs that changed.
    pub(super) async fn images(&self, candidate: &Candidate, inputs: &[TableName]) -> Result<RunTables> {
        let (mut images, mut before_all, mut changed_rows) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut rows = 0;
        for input in inputs {
            let Some(change) = candidate.change(input) else { continue };
            let ChangeSet::Rows { before, after } = &change.changes else { continue };
            for (image, files) in [(Image::Before, before), (Image::After, after)] {
                let provider = self.image(candidate, &change.schema, files)?;
                let here = files.iter().map(|file| file.rows).sum::<u64>();
                rows += here;
                let most: &mut u64 = changed_rows.entry(input.to_string()).or_default();
                *most = here.max(*most);
                images.insert((input.to_string(), image), provider);
            }
            if let Some(files) = candidate.base_files(input).await?.filter(|files| files.schema == change.schema) {
                before_all.insert(input.to_string(), self.lake_table(input, files)?);
            }
        }
        let (found, keys) = (Arc::default(), Mutex::default());
        Ok(RunTables { images, rows, changed_rows, before: before_all, current: None, found, keys })
    }

    /// One side of a change set.
    fn image(&self, candidate: &Candidate, schema: &SchemaRef, files: &[ChangeFile]) -> Result<Arc<dyn TableProvider>> {
        if let Some(rows) = candidate.kept_rows(files) {
            return Ok(Arc::new(MemTable::try_new(Arc::clone(schema), vec![rows]).map_err(engine_error)?));
        }
        tracing::debug!(file = files.first().map(|file| &file.path), "what changed is read from its files");
        let entries = files.iter().map(|file| FileEntry {
            path: file.path.clone(),
            bytes: file.bytes,
            rows: file.rows,
            deleted: None,
            stats: Arc::new(serde_json::Value::Null),
            modified: 0,
        });
        let files = TableFiles { files: entries.collect(), ..TableFiles::empty(Arc::clone(schema)) };
        Ok(Arc::new(LakeTable::new(self.lake, Path::default(), files).map_err(engine_error)?))
    }
}

/// Does something in a task of its own: what a run does at once is one task, and would take turns.
pub(super) async fn in_a_task<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Result<T> {
    SpawnedTask::spawn(work).await.map_err(|e| Error::bug("a part of a run stopped").cause(e))
}

/// A plan's rows, whose bytes are added to those that are held; none if these become more than `most`.
async fn rows_of(
    context: &SessionContext,
    plan: LogicalPlan,
    held: &AtomicUsize,
    most: usize,
) -> PlanResult<Option<Vec<RecordBatch>>> {
    let mut rows = engine::run(context, plan).await?;
    let mut batches = Vec::new();
    while let Some(batch) = rows.try_next().await? {
        let bytes = content_bytes(&batch);
        if held.fetch_add(bytes, Ordering::Relaxed) + bytes > most {
            return Ok(None);
        }
        // What is looked up shows a few texts of each page that it holds.
        batches.push(compact(&batch)?);
    }
    Ok(Some(batches))
}

/// Whether it is known which rows of a changed table went and came.
pub(super) fn has_rows(candidate: &Candidate, table: &TableName) -> bool {
    candidate.change(table).is_some_and(|change| matches!(change.changes, ChangeSet::Rows { .. }))
}

/// What the planner's plans read beside the model's own tables.
pub(super) struct RunTables {
    images: BTreeMap<(String, Image), Arc<dyn TableProvider>>,
    /// Rows of all images.
    rows: u64,
    /// By table, rows that went or came.
    changed_rows: BTreeMap<String, u64>,
    /// The changed tables as they were.
    before: BTreeMap<String, LakeTable>,
    /// The model's own table.
    current: Option<LakeTable>,
    /// Rows that were found in tables.
    found: Arc<AtomicU64>,
    keys: Mutex<BTreeMap<usize, Arc<MemTable>>>,
}

/// A table as the lake calls it.
pub(super) fn name_of(table: &TableReference) -> String {
    format!("{}.{}", table.schema().unwrap_or(crate::engine::GOLD), table.table())
}

impl RunTables {
    /// With the rows that the model has before it follows.
    pub(super) fn with_current(self, current: LakeTable) -> Self {
        Self { current: Some(current), ..self }
    }

    /// Has the plans that follow this change use as many threads as are worth it.
    pub(super) fn suit<'p>(
        &self,
        context: &SessionContext,
        plans: impl IntoIterator<Item = &'p LogicalPlan>,
    ) -> PlanResult<()> {
        let mut rows = self.rows;
        for plan in plans {
            plan.apply(|node| {
                if let LogicalPlan::TableScan(scan) = node {
                    let provider = source_as_provider(&scan.source)?;
                    let whole = (provider.as_ref() as &dyn Any).downcast_ref::<LakeTable>();
                    rows = rows.max(whole.map_or(0, LakeTable::rows));
                }
                Ok(TreeNodeRecursion::Continue)
            })?;
        }
        if rows <= FEW {
            context.state_ref().write().config_mut().options_mut().execution.target_partitions = 1;
        }
        Ok(())
    }

    pub(super) fn rows_read(&self) -> u64 {
        self.found.load(Ordering::Relaxed)
    }

    pub(super) fn changed(&self, table: &TableReference) -> bool {
        self.images.contains_key(&(name_of(table), Image::After))
    }

    /// The table of a key set, which is filled when the set is made.
    fn set(&self, number: usize, plan: &LogicalPlan) -> PlanResult<Arc<MemTable>> {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let fields = plan.schema().fields().iter().enumerate();
        let fields = fields.map(|(place, field)| Field::new(format!("k{place}"), field.data_type().clone(), true));
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        match keys.entry(number) {
            Entry::Occupied(known) if known.get().schema() == schema => Ok(Arc::clone(known.get())),
            Entry::Occupied(_) => internal_err!("two key sets have the number {number}"),
            Entry::Vacant(new) => Ok(Arc::clone(new.insert(Arc::new(MemTable::try_new(schema, vec![Vec::new()])?)))),
        }
    }

    /// The rows of a key set that is made.
    async fn made(&self, set: &KeySet) -> PlanResult<Vec<RecordBatch>> {
        let mut rows = Vec::new();
        for partition in &self.set(set.number, &set.plan)?.batches {
            rows.extend(partition.read().await.iter().cloned());
        }
        Ok(rows)
    }

    /// The key sets that a plan reads, and looks rows up by.
    fn read_by(&self, plan: &LogicalPlan) -> PlanResult<BTreeSet<usize>> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let mut read = BTreeSet::new();
        plan.apply(|node| {
            if let LogicalPlan::TableScan(scan) = node {
                let provider = source_as_provider(&scan.source)?;
                let provider = provider.as_ref() as &dyn Any;
                let by = provider.downcast_ref::<MatchingRows>().map(|rows| Arc::as_ptr(rows.set()));
                let table = by.or_else(|| provider.downcast_ref::<MemTable>().map(std::ptr::from_ref));
                let is_it = |(_, set): &(&usize, &Arc<MemTable>)| Some(Arc::as_ptr(set)) == table;
                read.extend(keys.iter().find(is_it).map(|(number, _)| *number));
            }
            Ok(TreeNodeRecursion::Continue)
        })?;
        Ok(read)
    }

    async fn fill(&self, set: &KeySet, batches: &[RecordBatch]) -> PlanResult<()> {
        let table = self.set(set.number, &set.plan)?;
        let schema: SchemaRef = table.schema();
        let cast = batches.iter().map(|batch| {
            let columns = std::iter::zip(batch.columns(), schema.fields())
                .map(|(column, field)| arrow::compute::cast(column, field.data_type()))
                .collect::<Result<Vec<_>, _>>()?;
            RecordBatch::try_new(Arc::clone(&schema), columns)
        });
        let cast = cast.collect::<Result<Vec<_>, _>>()?;
        for partition in &table.batches {
            partition.write().await.clone_from(&cast);
        }
        Ok(())
    }
}

/// A scan with the columns of another.
fn scan_like(name: String, provider: Arc<dyn TableProvider>, like: &TableScan) -> PlanResult<LogicalPlan> {
    LogicalPlanBuilder::scan(TableReference::bare(name), provider_as_source(provider), like.projection.clone())?.build()
}

fn scan(name: String, provider: Arc<dyn TableProvider>) -> PlanResult<LogicalPlan> {
    LogicalPlanBuilder::scan(TableReference::bare(name), provider_as_source(provider), None)?.build()
}

impl Tables for RunTables {
    fn image(&self, table: &TableReference, image: Image) -> PlanResult<LogicalPlan> {
        let name = name_of(table);
        let side = match image {
            Image::Before => "before",
            Image::After => "after",
        };
        match self.images.get(&(name.clone(), image)) {
            Some(provider) => scan(format!("{side} {name}"), Arc::clone(provider)),
            None => datafusion::common::plan_err!("{name} has no change set"),
        }
    }

    fn keys(&self, number: usize, plan: &LogicalPlan) -> PlanResult<LogicalPlan> {
        scan(format!("keys {number}"), self.set(number, plan)?)
    }

    fn changed_rows(&self, table: &TableReference) -> Option<u64> {
        self.changed_rows.get(&name_of(table)).copied()
    }

    fn before(&self, scan: &TableScan) -> PlanResult<Option<LogicalPlan>> {
        let name = name_of(&scan.table_name);
        let table = self.before.get(&name).cloned();
        table.map(|table| scan_like(format!("{name} before"), Arc::new(table), scan)).transpose()
    }

    fn current(&self) -> PlanResult<Option<LogicalPlan>> {
        let table = self.current.clone();
        table.map(|table| self::scan("current".into(), Arc::new(table))).transpose()
    }

    fn matching(&self, scan: &TableScan, by: &Matched<'_>) -> PlanResult<Option<LogicalPlan>> {
        let provider = source_as_provider(&scan.source)?;
        let table = (provider.as_ref() as &dyn Any).downcast_ref::<LakeTable>();
        let (Some(table), true) = (table, scan.filters.is_empty() && scan.fetch.is_none()) else { return Ok(None) };
        let set = self.set(by.set.number, &by.set.plan)?;
        let stored = |place: usize| scan.projection.as_ref().map_or(place, |projection| projection[place]);
        let columns = by.columns.iter().map(|&(place, key)| (stored(place), key)).collect();
        let rows = MatchingRows::new(table.clone(), columns, set, by.nulls, Arc::clone(&self.found));
        let name = format!("{MATCHING} {}", name_of(&scan.table_name));
        scan_like(name, Arc::new(rows), scan).map(Some)
    }
}
