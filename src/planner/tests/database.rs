//! Tables in memory: what a session reads, what a batch did, and the images and key sets of plans.

use std::{
    any::Any,
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
};

use async_trait::async_trait;
use datafusion::{
    arrow::{
        array::{ArrayRef, Decimal128Array, Int64Array, RecordBatch, StringViewArray, UInt32Array},
        compute::{cast, concat_batches, take_record_batch},
        datatypes::{DataType, Field, Schema, SchemaRef},
        util::display::{ArrayFormatter, FormatOptions},
    },
    catalog,
    common::{Constraint, Constraints, DFSchema, NullEquality, Result as PlanResult, TableReference},
    datasource::{MemTable, TableProvider, TableType, provider_as_source, source_as_provider},
    logical_expr::{Expr, LogicalPlan, LogicalPlanBuilder, TableScan},
    physical_plan::ExecutionPlan,
    prelude::SessionContext,
};
use futures::TryStreamExt as _;

use super::data::{Batch, Change, Row};
use crate::{
    engine::{self, JoinPreference, Limits, Purpose, SessionFactory, SqlText, plan},
    error::SourceFile,
    gold::unique_keys,
    planner::{Image, KeySet, MATCHING, Matched, Tables},
};

/// A row as text, each value apart.
pub(super) type Shown = Vec<String>;

/// A numbered row.
pub(super) type Numbered = (i64, Row);

/// The three tables.
#[derive(Clone)]
pub(super) struct Database {
    tables: [Vec<Numbered>; 3],
    next: i64,
}

/// What went and what came.
#[derive(Clone)]
pub(super) struct Difference {
    pub(super) before: RecordBatch,
    pub(super) after: RecordBatch,
}

impl Difference {
    pub(super) fn is_empty(&self) -> bool {
        self.before.num_rows() == 0 && self.after.num_rows() == 0
    }

    /// Of a model's rows, as multisets.
    pub(super) fn between(then: &RecordBatch, now: &RecordBatch) -> Self {
        let only = |of: &RecordBatch, without: &RecordBatch| {
            let mut without = texts(without);
            let mut kept = Vec::new();
            for (place, row) in (0..).zip(texts(of)) {
                match without.iter().position(|other| *other == row) {
                    Some(same) => drop(without.swap_remove(same)),
                    None => kept.push(place),
                }
            }
            take_record_batch(of, &UInt32Array::from(kept)).unwrap()
        };
        Self { before: only(then, now), after: only(now, then) }
    }
}

pub(super) const TABLES: [&str; 3] = ["t0", "t1", "t2"];

impl Database {
    pub(super) fn new(tables: &[Vec<Row>; 3]) -> Self {
        let mut database = Self { tables: Default::default(), next: 0 };
        for (table, rows) in tables.iter().enumerate() {
            for row in rows {
                database.insert(table, *row);
            }
        }
        database
    }

    /// Gives the row its number.
    pub(super) fn insert(&mut self, table: usize, row: Row) -> Numbered {
        self.next += 1;
        let row = (row.numbered(self.next), row);
        self.put(table, row);
        row
    }

    pub(super) fn put(&mut self, table: usize, row: Numbered) {
        self.tables[table].push(row);
    }

    pub(super) fn rows(&self, table: usize) -> RecordBatch {
        rows_of(&self.tables[table])
    }

    pub(super) fn apply(&mut self, batch: &Batch) {
        for (table, change) in batch {
            self.change(usize::from(*table) % 3, change);
        }
    }

    fn change(&mut self, table: usize, change: &Change) {
        let rows = &mut self.tables[table];
        let at = |place: &usize| place % rows.len().max(1);
        match change {
            Change::Insert(row) => {
                self.insert(table, *row);
            }
            _ if rows.is_empty() => {}
            Change::Delete(place) => drop(rows.remove(at(place))),
            Change::Update(place, row) => {
                let place = at(place);
                rows[place].1 = Row { world: rows[place].1.world, ..*row };
            }
            Change::Set(place, column, value) => {
                let place = at(place);
                let row = &mut rows[place].1;
                match usize::from(*column) % 5 {
                    3 => row.text = *value,
                    4 => row.decimal = *value,
                    number => row.numbers[number] = *value,
                }
            }
            Change::Renew(place) => {
                let place = at(place);
                let row = rows.remove(place).1;
                self.insert(table, row);
            }
        }
    }

    /// What differs in a table from what it was, net.
    pub(super) fn since(&self, then: &Self, table: usize) -> Difference {
        let only = |of: &[Numbered], without: &[Numbered]| {
            rows_of(&of.iter().filter(|row| !without.contains(row)).copied().collect::<Vec<_>>())
        };
        let (now, then) = (&self.tables[table], &then.tables[table]);
        Difference { before: only(then, now), after: only(now, then) }
    }

    /// The worlds in which something differs.
    pub(super) fn worlds_since(&self, then: &Self) -> BTreeSet<u8> {
        let differing = std::iter::zip(&self.tables, &then.tables).flat_map(|(now, then)| {
            let came = now.iter().filter(|row| !then.contains(row));
            came.chain(then.iter().filter(|row| !now.contains(row)))
        });
        differing.map(|(_, row)| row.world).collect()
    }
}

fn rows_of(rows: &[Numbered]) -> RecordBatch {
    let number =
        |place: usize| -> ArrayRef { Arc::new(rows.iter().map(|(_, row)| row.number(place)).collect::<Int64Array>()) };
    let decimals = rows.iter().map(|(_, row)| row.decimal()).collect::<Decimal128Array>();
    let columns: [(&str, ArrayRef); 6] = [
        ("n", Arc::new(rows.iter().map(|(number, _)| Some(*number)).collect::<Int64Array>())),
        ("k", number(0)),
        ("g", number(1)),
        ("v", number(2)),
        ("s", Arc::new(rows.iter().map(|(_, row)| row.text()).collect::<StringViewArray>())),
        ("d", Arc::new(decimals.with_precision_and_scale(10, 2).unwrap())),
    ];
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, column)| (name, column, true))).unwrap()
}

/// A table of some rows.
pub(super) fn table_of(rows: RecordBatch, key: Option<Vec<usize>>) -> Arc<MemTable> {
    let table = MemTable::try_new(rows.schema(), vec![vec![rows]]).unwrap();
    let key = key.filter(|key| !key.is_empty()).map(Constraint::PrimaryKey);
    Arc::new(table.with_constraints(Constraints::new_unverified(key.into_iter().collect())))
}

/// The rows as text, in their order.
pub(super) fn texts(rows: &RecordBatch) -> Vec<Shown> {
    let options = FormatOptions::new().with_null("NULL");
    let columns: Vec<_> =
        rows.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
    let row = |row| columns.iter().map(|column| column.value(row).to_string()).collect();
    (0..rows.num_rows()).map(row).collect()
}

/// The rows as text, sorted.
pub(super) fn shown(rows: &RecordBatch) -> Vec<Shown> {
    let mut rows = texts(rows);
    rows.sort();
    rows
}

/// What an error says where the engine does not trust a plan of its own: sorts below unions with constant
/// columns, or below windows over a column that a filter leaves one value.
pub(super) const REFUSED: &str = "SanityCheckPlan";
/// The same, of windows that partition by what is computed: not even the model is computed then.
const UNORDERED: &str = "Expects PARTITION BY expression to be ordered";

/// What an error says of a query that gives more rows than anybody wants to look at one by one: a few joins of everything
/// with everything do.
pub(super) const ENDLESS: &str = "there is no end of rows";
const MOST_ROWS: usize = 100_000;

/// What computes.
pub(super) struct Session {
    context: SessionContext,
}

impl Session {
    pub(super) fn new() -> Self {
        let limits = Limits {
            memory: 256 << 20,
            threads: 1,
            spill: std::env::temp_dir().join("smelt-planner-tests"),
            batch_size: 8192,
        };
        Self { context: SessionFactory::new(limits).unwrap().session("shop", JoinPreference::Hash) }
    }

    pub(super) fn register(&self, schema: &str, name: &str, table: Arc<MemTable>) {
        let name = TableReference::partial(schema, name);
        let _ = self.context.deregister_table(name.clone());
        self.context.register_table(name, table).unwrap();
    }

    pub(super) fn register_bare(&self, name: &str, table: Arc<MemTable>) {
        let _ = self.context.deregister_table(name);
        self.context.register_table(name, table).unwrap();
    }

    pub(super) fn register_database(&self, database: &Database) {
        for (number, name) in TABLES.iter().enumerate() {
            self.register("staging", name, table_of(database.rows(number), Some(vec![0])));
        }
    }

    pub(super) async fn plan(&self, sql: &str) -> Result<LogicalPlan, String> {
        let text = SqlText::whole(SourceFile::new("model.sql", sql));
        plan(&self.context, &text, Purpose::Query).await.map_err(|e| format!("{e:?}"))
    }

    /// The rows of a plan; columns are called c0, c1, ...
    pub(super) async fn rows(&self, plan: &LogicalPlan) -> Result<RecordBatch, String> {
        let failed = |e: datafusion::error::DataFusionError| {
            let text = e.to_string();
            let refused = if text.contains(UNORDERED) { REFUSED } else { "" };
            format!("{refused}{text}\n{}", plan.display_indent())
        };
        let mut stream = engine::run(&self.context, plan.clone()).await.map_err(failed)?;
        let (mut batches, mut rows) = (Vec::<RecordBatch>::new(), 0);
        while let Some(batch) = stream.try_next().await.map_err(failed)? {
            rows += batch.num_rows();
            if rows > MOST_ROWS {
                return Err(format!("{ENDLESS}\n{}", plan.display_indent()));
            }
            batches.push(batch);
        }
        let schema = schema_of(plan.schema(), "c");
        let batches: Vec<RecordBatch> = batches.iter().map(|batch| as_schema(batch, &schema)).collect();
        Ok(concat_batches(&schema, &batches).unwrap())
    }

    /// Makes key sets, each from those before it: their rows.
    pub(super) async fn key_sets(&self, sets: &[KeySet], tables: &InMemory) -> Result<Vec<RecordBatch>, String> {
        let mut made = Vec::new();
        for set in sets {
            let rows = self.rows(&set.plan).await?;
            let table = tables.keys.lock().unwrap().get(&set.number).cloned();
            if let Some(table) = table {
                *table.batches[0].write().await = vec![as_schema(&rows, &table.schema())];
            }
            made.push(rows);
        }
        Ok(made)
    }
}

/// A unique key of a plan's rows.
pub(super) fn unique_key(plan: &LogicalPlan) -> Option<Vec<usize>> {
    unique_keys(plan).into_iter().next().map(|key| key.into_iter().collect())
}

fn schema_of(schema: &DFSchema, name: &str) -> SchemaRef {
    let fields = schema.fields().iter().enumerate();
    let field = |(place, field): (usize, &Arc<Field>)| -> Field {
        // What a NULL of no type is does not matter, but there are no tables of it.
        let data_type = if field.data_type().is_null() { &DataType::Int64 } else { field.data_type() };
        Field::new(format!("{name}{place}"), data_type.clone(), true)
    };
    Arc::new(Schema::new(fields.map(field).collect::<Vec<_>>()))
}

fn as_schema(rows: &RecordBatch, schema: &SchemaRef) -> RecordBatch {
    let columns = std::iter::zip(rows.columns(), schema.fields());
    let columns = columns.map(|(column, field)| cast(column, field.data_type()).unwrap());
    RecordBatch::try_new(Arc::clone(schema), columns.collect()).unwrap()
}

/// Images and key sets as tables in memory. Key sets are filled when they are made.
pub(super) struct InMemory {
    differences: BTreeMap<String, Difference>,
    /// The tables as they were, by name; the model's own rows among them under no name.
    then: BTreeMap<String, RecordBatch>,
    keys: Mutex<BTreeMap<usize, Arc<MemTable>>>,
    /// Whether rows of tables are looked up by keys.
    looks_up: bool,
}

impl InMemory {
    pub(super) fn new(differences: BTreeMap<String, Difference>) -> Self {
        Self { differences, then: BTreeMap::new(), keys: Mutex::default(), looks_up: false }
    }

    /// As in a lake.
    pub(super) fn looking_up(self) -> Self {
        Self { looks_up: true, ..self }
    }

    /// With the tables as they were.
    pub(super) fn with_before(self, then: BTreeMap<String, RecordBatch>) -> Self {
        Self { then, ..self }
    }

    /// With the tables as they were, and the model's own rows.
    pub(super) fn since(self, mut then: BTreeMap<String, RecordBatch>, current: RecordBatch) -> Self {
        then.insert(String::new(), current);
        self.with_before(then)
    }

    pub(super) fn changed(&self, table: &TableReference) -> bool {
        !self.differences[table.table()].is_empty()
    }

    /// All of them, as SQL calls them.
    pub(super) fn register(&self, session: &Session) {
        let mut named: Vec<(String, Arc<MemTable>)> = Vec::new();
        for (table, difference) in &self.differences {
            for (image, rows) in [(Image::Before, &difference.before), (Image::After, &difference.after)] {
                named.push((image_name(table, image), table_of(rows.clone(), None)));
            }
        }
        for (table, rows) in &self.then {
            let name = if table.is_empty() { CURRENT.to_owned() } else { then_name(table) };
            named.push((name, table_of(rows.clone(), None)));
        }
        for (number, keys) in self.keys.lock().unwrap().iter() {
            named.push((key_set_name(*number), Arc::clone(keys)));
        }
        for (name, table) in named {
            session.register_bare(&name, table);
        }
    }
}

const CURRENT: &str = "current";

fn image_name(table: &str, image: Image) -> String {
    format!("{image:?}_{table}").to_lowercase()
}

fn then_name(table: &str) -> String {
    format!("then_{table}")
}

pub(super) fn key_set_name(number: usize) -> String {
    format!("key_set_{number}")
}

pub(super) fn scan(name: &str, table: &Arc<MemTable>) -> PlanResult<LogicalPlan> {
    let source = provider_as_source(Arc::<MemTable>::clone(table));
    LogicalPlanBuilder::scan(TableReference::bare(name), source, None)?.build()
}

impl Tables for InMemory {
    fn image(&self, table: &TableReference, image: Image) -> PlanResult<LogicalPlan> {
        let difference = &self.differences[table.table()];
        let rows = match image {
            Image::Before => &difference.before,
            Image::After => &difference.after,
        };
        scan(&image_name(table.table(), image), &table_of(rows.clone(), None))
    }

    fn changed_rows(&self, table: &TableReference) -> Option<u64> {
        let difference = &self.differences[table.table()];
        Some(difference.before.num_rows().max(difference.after.num_rows()) as u64)
    }

    fn before(&self, like: &TableScan) -> PlanResult<Option<LogicalPlan>> {
        let Some(rows) = self.then.get(like.table_name.table()) else { return Ok(None) };
        let source = provider_as_source(table_of(rows.clone(), None));
        let name = TableReference::bare(then_name(like.table_name.table()));
        LogicalPlanBuilder::scan(name, source, like.projection.clone())?.build().map(Some)
    }

    fn current(&self) -> PlanResult<Option<LogicalPlan>> {
        let Some(rows) = self.then.get("") else { return Ok(None) };
        scan(CURRENT, &table_of(rows.clone(), None)).map(Some)
    }

    fn keys(&self, number: usize, plan: &LogicalPlan) -> PlanResult<LogicalPlan> {
        let mut keys = self.keys.lock().unwrap();
        let table =
            keys.entry(number).or_insert_with(|| table_of(RecordBatch::new_empty(schema_of(plan.schema(), "k")), None));
        scan(&key_set_name(number), table)
    }

    fn matching(&self, like: &TableScan, by: &Matched<'_>) -> PlanResult<Option<LogicalPlan>> {
        if !self.looks_up || !like.filters.is_empty() || like.fetch.is_some() {
            return Ok(None);
        }
        self.keys(by.set.number, &by.set.plan)?;
        let keys = Arc::clone(&self.keys.lock().unwrap()[&by.set.number]);
        let stored = |place: usize| like.projection.as_ref().map_or(place, |projection| projection[place]);
        let columns = by.columns.iter().map(|&(place, key)| (stored(place), key)).collect();
        let found = Found { table: source_as_provider(&like.source)?, columns, keys, nulls: by.nulls };
        let name = TableReference::bare(format!("{MATCHING} {}", like.table_name.table()));
        let source = provider_as_source(Arc::new(found));
        LogicalPlanBuilder::scan(name, source, like.projection.clone())?.build().map(Some)
    }
}

/// Those rows of a table that have keys of a set, and, as a lookup may, every third of the others.
#[derive(Debug)]
struct Found {
    table: Arc<dyn TableProvider>,
    /// Pairs of the table's column and the set's.
    columns: Vec<(usize, usize)>,
    keys: Arc<MemTable>,
    nulls: NullEquality,
}

impl Found {
    /// What tells keys, of a table's rows or of the set's.
    fn told(&self, rows: &RecordBatch, column: impl Fn(&(usize, usize)) -> usize) -> Vec<Shown> {
        let schema = self.table.schema();
        let values = self.columns.iter().map(|pair| {
            let field = schema.field(pair.0).as_ref().clone().with_nullable(true);
            (field, cast(rows.column(column(pair)), schema.field(pair.0).data_type()).unwrap())
        });
        let (fields, values): (Vec<_>, Vec<_>) = values.unzip();
        texts(&RecordBatch::try_new(Arc::new(Schema::new(fields)), values).unwrap())
    }
}

#[async_trait]
impl TableProvider for Found {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn catalog::Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> PlanResult<Arc<dyn ExecutionPlan>> {
        let table = (self.table.as_ref() as &dyn Any).downcast_ref::<MemTable>().unwrap();
        let all = concat_batches(&self.schema(), &*table.batches[0].read().await).unwrap();
        let keys = concat_batches(&self.keys.schema(), &*self.keys.batches[0].read().await).unwrap();
        let wanted: BTreeSet<Shown> = self.told(&keys, |(_, key)| *key).into_iter().collect();
        let matches = |key: &Shown| {
            let null = self.nulls == NullEquality::NullEqualsNothing && key.iter().any(|value| value == "NULL");
            !null && wanted.contains(key)
        };
        let rows = self.told(&all, |(column, _)| *column).into_iter().enumerate();
        let found = rows.filter(|(place, key)| matches(key) || place % 3 == 0).map(|(place, _)| place as u32);
        let found = take_record_batch(&all, &UInt32Array::from_iter_values(found)).unwrap();
        table_of(found, None).scan(state, projection, filters, limit).await
    }
}
