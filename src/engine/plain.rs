//! Queries that filter, project, put together and group rows that are in memory, done as they are written.
//!
//! Half of the rules come to that on a run of changes, and most key sets: a few thousand rows each. To optimise and
//! plan such a query takes many times what it takes to look at its rows.
//!
//! From the top down it is asked which columns are wanted, and only they are made. Many rows are left to the planner,
//! and so are groups where queries are to spill.

use std::{any::Any, collections::BTreeSet, sync::Arc};

use datafusion::{
    arrow::{
        array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions},
        compute::filter_record_batch,
        datatypes::{DataType, Field, Schema, SchemaRef},
    },
    catalog::TableProvider,
    common::{
        DFSchema, Result, ScalarValue,
        cast::{as_boolean_array, as_int64_array},
        internal_err,
        tree_node::TreeNode as _,
    },
    datasource::{MemTable, source_as_provider},
    execution::{SendableRecordBatchStream, SessionState, memory_pool::MemoryConsumer},
    functions_aggregate::sum::sum_udaf,
    logical_expr::{
        Aggregate, Distinct, EmitTo, Expr, ExprSchemable as _, LogicalPlan, Operator, Projection, TableScan,
        simplify::SimplifyContext,
    },
    optimizer::simplify_expressions::ExprSimplifier,
    physical_expr::PhysicalExpr,
    physical_plan::{
        aggregates::{group_values::new_group_values, order::GroupOrdering},
        stream::RecordBatchStreamAdapter,
    },
};

/// Operators below each other, at most.
const DEEPEST: usize = 100;

/// Rows in all tables that are read, at most: with more of them, planning is the least of it.
const MOST: usize = 128 * 1024;

type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// The rows of such a query; none if it is another.
pub(super) fn rows(state: &SessionState, plan: &LogicalPlan) -> Result<Option<SendableRecordBatchStream>> {
    let can_group = state.config_options().optimizer.prefer_hash_join;
    if !(Read { rows: 0, can_group }).can_be(plan, false, DEEPEST)? {
        return Ok(None);
    }
    let all: Vec<usize> = (0..plan.schema().fields().len()).collect();
    let rows = futures::stream::iter(Plain { state }.rows(plan, &all)?);
    let schema = Arc::clone(plan.schema().inner());
    Ok(Some(Box::pin(RecordBatchStreamAdapter::new(schema, rows))))
}

/// What is known of a query before anything is made of it.
struct Read {
    rows: usize,
    /// Whether joins, and so groups, are to be in memory.
    can_group: bool,
}

impl Read {
    /// Whether all of it can be done here. The planner takes what is `filtered` first to whatever is computed of it,
    /// which may fail for rows that are left out; here it would be computed first.
    fn can_be(&mut self, plan: &LogicalPlan, filtered: bool, deepest: usize) -> Result<bool> {
        let Some(deepest) = deepest.checked_sub(1) else { return Ok(false) };
        for expr in plan.expressions() {
            if expr.exists(|part| Ok(is_query(part)))? {
                return Ok(false);
            }
        }
        match plan {
            LogicalPlan::TableScan(scan) => {
                let provider = source_as_provider(&scan.source)?;
                let Some(table) = in_memory(&provider) else { return Ok(false) };
                for partition in &table.batches {
                    // Whoever fills a table does so before it is read.
                    let Ok(partition) = partition.try_read() else { return Ok(false) };
                    self.rows += partition.iter().map(RecordBatch::num_rows).sum::<usize>();
                }
                Ok(scan.filters.is_empty() && scan.fetch.is_none() && self.rows <= MOST)
            }
            LogicalPlan::SubqueryAlias(alias) => self.can_be(&alias.input, filtered, deepest),
            LogicalPlan::Filter(filter) => {
                let filtered = filtered || !is_of_values(&filter.predicate, &filter.input);
                self.can_be(&filter.input, filtered, deepest)
            }
            LogicalPlan::Projection(projection) => {
                if filtered && projection.expr.iter().any(may_fail) {
                    return Ok(false);
                }
                self.can_be(&projection.input, filtered, deepest)
            }
            LogicalPlan::Union(union) => {
                for input in &union.inputs {
                    let same = |(one, other): (&Arc<Field>, &Arc<Field>)| one.data_type() == other.data_type();
                    let alike = std::iter::zip(input.schema().fields(), union.schema.fields()).all(same);
                    if !alike || !self.can_be(input, filtered, deepest)? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                let some = (0..input.schema().fields().len()).any(|place| constant(input, place).is_none());
                Ok(self.can_group && some && self.can_be(input, filtered, deepest)?)
            }
            LogicalPlan::Aggregate(Aggregate { input, group_expr, aggr_expr, schema, .. }) => {
                let values = aggr_expr.iter().map(|value| summed(value, input.schema())).collect::<Result<Vec<_>>>()?;
                let Some(values) = values.into_iter().collect::<Option<Vec<_>>>().filter(|some| some.len() <= 1) else {
                    return Ok(false);
                };
                let sets = group_expr.iter().any(|group| matches!(group, Expr::GroupingSet(_)));
                let once = schema.fields().len() == group_expr.len() + values.len();
                let fails = filtered && group_expr.iter().chain(values).any(may_fail);
                let can_be = self.can_group && !group_expr.is_empty() && !sets && once && !fails;
                Ok(can_be && self.can_be(input, filtered, deepest)?)
            }
            _ => Ok(false),
        }
    }
}

fn is_query(part: &Expr) -> bool {
    use Expr::{Exists, InSubquery, ScalarSubquery, SetComparison};
    matches!(part, Exists(_) | InSubquery(_) | ScalarSubquery(_) | SetComparison(_))
}

/// Whether a condition on groups reads only what is computed of each.
fn is_of_values(predicate: &Expr, input: &LogicalPlan) -> bool {
    let LogicalPlan::Aggregate(aggregate) = input else { return false };
    let place = |column| aggregate.schema.maybe_index_of_column(column);
    predicate.column_refs().into_iter().all(|column| place(column).is_some_and(|at| at >= aggregate.group_expr.len()))
}

/// Whether an expression is more than columns, literals and comparisons.
fn may_fail(expr: &Expr) -> bool {
    use Operator::{And, Eq, Gt, GtEq, IsDistinctFrom, IsNotDistinctFrom, Lt, LtEq, NotEq, Or};
    let fails_never = |part: &Expr| match part {
        Expr::BinaryExpr(binary) => {
            matches!(binary.op, Eq | NotEq | Lt | LtEq | Gt | GtEq | IsDistinctFrom | IsNotDistinctFrom | And | Or)
        }
        Expr::Column(_) | Expr::Literal(..) | Expr::Alias(_) | Expr::Not(_) | Expr::IsNull(_) => true,
        Expr::IsNotNull(_) | Expr::Case(_) | Expr::InList(_) | Expr::Between(_) => true,
        _ => false,
    };
    !matches!(expr.exists(|part| Ok(!fails_never(part))), Ok(false))
}

fn in_memory(provider: &Arc<dyn TableProvider>) -> Option<&MemTable> {
    (provider.as_ref() as &dyn Any).downcast_ref()
}

#[derive(Clone, Copy)]
struct Plain<'s> {
    state: &'s SessionState,
}

/// Expressions over some columns of an operator's rows.
struct Over {
    /// The columns, by their places.
    columns: Vec<usize>,
    exprs: Vec<Arc<dyn PhysicalExpr>>,
}

impl Over {
    /// Where some of the operator's columns are among these.
    fn places(&self, of: &[usize]) -> Vec<usize> {
        of.iter().filter_map(|column| self.columns.iter().position(|here| here == column)).collect()
    }
}

impl Plain<'_> {
    /// The wanted columns of an operator's rows, in batches that have some.
    fn rows(self, plan: &LogicalPlan, wanted: &[usize]) -> Result<Batches> {
        match plan {
            LogicalPlan::TableScan(scan) => scanned(scan, wanted),
            LogicalPlan::SubqueryAlias(alias) => self.rows(&alias.input, wanted),
            LogicalPlan::Filter(filter) => {
                let over = self.over(&[&filter.predicate], wanted, filter.input.schema())?;
                let rows = self.rows(&filter.input, &over.columns)?;
                let kept = over.places(wanted);
                let matching = move |batch: Result<RecordBatch>| -> Result<RecordBatch> {
                    let batch = batch?;
                    let matches = over.exprs[0].evaluate(&batch)?.into_array(batch.num_rows())?;
                    Ok(filter_record_batch(&batch.project(&kept)?, as_boolean_array(&matches)?)?)
                };
                let some = |batch: &Result<RecordBatch>| batch.as_ref().map_or(true, |batch| batch.num_rows() > 0);
                Ok(Box::new(rows.map(matching).filter(some)))
            }
            LogicalPlan::Projection(projection) => {
                let exprs: Vec<&Expr> = wanted.iter().map(|&place| &projection.expr[place]).collect();
                let over = self.over(&exprs, &[], projection.input.schema())?;
                let rows = self.rows(&projection.input, &over.columns)?;
                let schema = part_of(&projection.schema, wanted)?;
                Ok(Box::new(rows.map(move |batch| {
                    let batch = batch?;
                    let columns = over.exprs.iter().map(|expr| expr.evaluate(&batch)?.into_array(batch.num_rows()));
                    with_rows(&schema, columns.collect::<Result<_>>()?, batch.num_rows())
                })))
            }
            LogicalPlan::Union(union) => {
                let branches = union.inputs.iter().map(|input| self.rows(input, wanted));
                let branches = branches.collect::<Result<Vec<_>>>()?;
                let schema = part_of(&union.schema, wanted)?;
                Ok(Box::new(branches.into_iter().flatten().map(move |batch| {
                    let batch = batch?;
                    with_rows(&schema, batch.columns().to_vec(), batch.num_rows())
                })))
            }
            LogicalPlan::Distinct(Distinct::All(input)) => {
                // What is the same in all rows tells no two of them apart.
                let constants: Vec<_> =
                    (0..input.schema().fields().len()).map(|place| constant(input, place)).collect();
                let columns: Vec<usize> = (0..constants.len()).filter(|place| constants[*place].is_none()).collect();
                let (rows, schema) = (self.rows(input, &columns)?, part_of(input.schema(), &columns)?);
                let grouped = self.grouped(rows, schema, |batch| Ok(batch.columns().to_vec()), None);
                let (wanted, schema) = (wanted.to_vec(), part_of(plan.schema(), wanted)?);
                Ok(Box::new(grouped.map(move |batch| {
                    let batch = batch?;
                    let column = |place: &usize| match &constants[*place] {
                        Some(value) => value.to_array_of_size(batch.num_rows()),
                        None => Ok(Arc::clone(batch.column(columns.partition_point(|column| column < place)))),
                    };
                    with_rows(&schema, wanted.iter().map(column).collect::<Result<_>>()?, batch.num_rows())
                })))
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, wanted),
            other => internal_err!("{} is not plain", other.display()),
        }
    }

    /// Groups alone, or with the sum of one column of whole numbers.
    fn aggregate(self, aggregate: &Aggregate, wanted: &[usize]) -> Result<Batches> {
        let groups = &aggregate.group_expr;
        let sum = match aggregate.aggr_expr.first() {
            Some(value) => summed(value, aggregate.input.schema())?,
            None => None,
        };
        let exprs: Vec<&Expr> = groups.iter().chain(sum).collect();
        let mut over = self.over(&exprs, &[], aggregate.input.schema())?;
        let rows = self.rows(&aggregate.input, &over.columns)?;
        let schema = part_of(&aggregate.schema, &(0..groups.len()).collect::<Vec<_>>())?;
        let sum = sum.and_then(|_| over.exprs.pop());
        let group = move |batch: &RecordBatch| {
            over.exprs.iter().map(|expr| expr.evaluate(batch)?.into_array(batch.num_rows())).collect()
        };
        let (columns, schema) = (wanted.to_vec(), (schema, part_of(&aggregate.schema, wanted)?));
        Ok(Box::new(self.grouped(rows, schema.0, group, sum).map(move |batch| {
            let batch = batch?.project(&columns)?;
            with_rows(&schema.1, batch.columns().to_vec(), batch.num_rows())
        })))
    }

    /// The groups of rows, which have a schema, then the sum of each.
    fn grouped(
        self,
        rows: Batches,
        schema: SchemaRef,
        group: impl Fn(&RecordBatch) -> Result<Vec<ArrayRef>> + Send + 'static,
        summed: Option<Arc<dyn PhysicalExpr>>,
    ) -> Batches {
        let size = self.state.config_options().execution.batch_size.into();
        let memory = MemoryConsumer::new("groups of rows in memory").register(&self.state.runtime_env().memory_pool);
        let all = move || -> Result<RecordBatch> {
            let mut groups = new_group_values(Arc::clone(&schema), &GroupOrdering::None)?;
            let (mut places, mut sums): (Vec<usize>, Vec<Option<i64>>) = (Vec::new(), Vec::new());
            for batch in rows {
                let batch = batch?;
                groups.intern(&group(&batch)?, &mut places)?;
                if let Some(summed) = &summed {
                    sums.resize(groups.len(), None);
                    let values = summed.evaluate(&batch)?.into_array(batch.num_rows())?;
                    for (&place, value) in std::iter::zip(&places, as_int64_array(&values)?) {
                        // As the engine's sum does.
                        sums[place] = value.map(|value| sums[place].unwrap_or(0).wrapping_add(value)).or(sums[place]);
                    }
                }
                memory.try_resize(groups.size() + sums.capacity() * size_of::<Option<i64>>())?;
            }
            if groups.is_empty() {
                return Ok(RecordBatch::new_empty(schema));
            }
            let mut columns = groups.emit(EmitTo::All)?;
            let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
            if summed.is_some() {
                columns.push(Arc::new(Int64Array::from(sums)));
                fields.push(Arc::new(Field::new("sum", DataType::Int64, true)));
            }
            Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
        };
        Box::new(std::iter::once_with(all).flat_map(move |all| pieces(all, size)))
    }

    /// Expressions as they are evaluated over those columns of a schema that they read, and more.
    fn over(self, exprs: &[&Expr], more: &[usize], schema: &DFSchema) -> Result<Over> {
        let mut columns: BTreeSet<usize> = more.iter().copied().collect();
        for column in exprs.iter().flat_map(|expr| expr.column_refs()) {
            columns.insert(schema.index_of_column(column)?);
        }
        let fields = columns.iter().map(|&place| {
            let (qualifier, field) = schema.qualified_field(place);
            (qualifier.cloned(), Arc::clone(field))
        });
        let read = Arc::new(DFSchema::new_with_metadata(fields.collect(), schema.metadata().clone())?);
        // Literals get their columns' types, and functions that are but spellings of others are written as these.
        let context = SimplifyContext::builder()
            .with_schema(Arc::clone(&read))
            .with_config_options(Arc::clone(self.state.config_options()))
            .with_query_execution_start_time(self.state.execution_props().query_execution_start_time);
        let simplifier = ExprSimplifier::new(context.build());
        let physical = |expr: &&Expr| self.state.create_physical_expr(simplifier.simplify((*expr).clone())?, &read);
        let exprs = exprs.iter().map(physical).collect::<Result<_>>()?;
        Ok(Over { columns: columns.into_iter().collect(), exprs })
    }
}

fn scanned(scan: &TableScan, wanted: &[usize]) -> Result<Batches> {
    let provider = source_as_provider(&scan.source)?;
    let Some(table) = in_memory(&provider) else { return internal_err!("{} is not in memory", scan.table_name) };
    let columns: Vec<usize> = match &scan.projection {
        Some(columns) => wanted.iter().map(|&place| columns[place]).collect(),
        None => wanted.to_vec(),
    };
    let mut batches = Vec::new();
    for partition in &table.batches {
        let Ok(partition) = partition.try_read() else {
            return internal_err!("{} is filled while it is read", scan.table_name);
        };
        for batch in partition.iter().filter(|batch| batch.num_rows() > 0) {
            batches.push(batch.project(&columns)?);
        }
    }
    Ok(Box::new(batches.into_iter().map(Ok)))
}

/// What a sum of whole numbers adds up, if it is nothing else.
fn summed<'e>(value: &'e Expr, schema: &DFSchema) -> Result<Option<&'e Expr>> {
    let value = if let Expr::Alias(alias) = value { &alias.expr } else { value };
    let Expr::AggregateFunction(function) = value else { return Ok(None) };
    let params = &function.params;
    let is_plain = function.func == sum_udaf()
        && !params.distinct
        && params.filter.is_none()
        && params.order_by.is_empty()
        && params.null_treatment.is_none();
    let [of] = params.args.as_slice() else { return Ok(None) };
    Ok((is_plain && of.get_type(schema)? == DataType::Int64).then_some(of))
}

/// The value that a column has in all rows, where it is written so.
fn constant(plan: &LogicalPlan, place: usize) -> Option<ScalarValue> {
    match plan {
        LogicalPlan::SubqueryAlias(alias) => constant(&alias.input, place),
        LogicalPlan::Projection(Projection { expr, input, .. }) => match expr[place].clone().unalias() {
            Expr::Literal(value, _) => Some(value),
            Expr::Column(column) => constant(input, input.schema().maybe_index_of_column(&column)?),
            _ => None,
        },
        _ => None,
    }
}

fn part_of(schema: &DFSchema, wanted: &[usize]) -> Result<SchemaRef> {
    Ok(Arc::new(schema.as_arrow().project(wanted)?))
}

fn with_rows(schema: &SchemaRef, columns: Vec<ArrayRef>, rows: usize) -> Result<RecordBatch> {
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    Ok(RecordBatch::try_new_with_options(Arc::clone(schema), columns, &options)?)
}

/// Rows in batches of a size.
fn pieces(all: Result<RecordBatch>, size: usize) -> Vec<Result<RecordBatch>> {
    match all {
        Ok(all) => {
            let starts = (0..all.num_rows()).step_by(size);
            starts.map(|start| Ok(all.slice(start, size.min(all.num_rows() - start)))).collect()
        }
        Err(failure) => vec![Err(failure)],
    }
}
