//! Queries that filter, project, put together and group rows that are in memory, done as they are written.
//!
//! Half of the rules come to that on a run of changes, and most key sets: a few thousand rows each. To optimise and
//! plan such a query takes many times what it takes to look at its rows.
//!
//! From the top down it is asked which columns are wanted, and only they are made. Groups are held in memory, where
//! their rows are already; queries that are to spill are left to the planner.

use std::{any::Any, collections::BTreeSet, sync::Arc};

use datafusion::{
    arrow::{
        array::{ArrayRef, Int64Array, RecordBatch, RecordBatchOptions},
        compute::filter_record_batch,
        datatypes::{DataType, Field, Schema, SchemaRef},
    },
    catalog::TableProvider,
    common::{
        DFSchema, DFSchemaRef, Result, ScalarValue,
        cast::{as_boolean_array, as_int64_array},
        tree_node::TreeNode as _,
    },
    datasource::{MemTable, source_as_provider},
    execution::{SendableRecordBatchStream, SessionState, memory_pool::MemoryConsumer},
    functions_aggregate::sum::sum_udaf,
    logical_expr::{
        Aggregate, Distinct, EmitTo, Expr, ExprSchemable as _, LogicalPlan, Projection, TableScan, Union,
        simplify::SimplifyContext,
    },
    optimizer::simplify_expressions::ExprSimplifier,
    physical_expr::PhysicalExpr,
    physical_plan::{
        aggregates::{group_values::new_group_values, order::GroupOrdering},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::StreamExt as _;

/// Operators below each other, at most.
const DEEPEST: usize = 100;

type Batches = Box<dyn Iterator<Item = Result<RecordBatch>> + Send>;

/// The rows of such a query; none if it is another.
pub(super) fn rows(state: &SessionState, plan: &LogicalPlan) -> Result<Option<SendableRecordBatchStream>> {
    let all: Vec<usize> = (0..plan.schema().fields().len()).collect();
    let Some(batches) = (Plain { state }).rows(plan, &all, DEEPEST)? else { return Ok(None) };
    let rows = futures::stream::iter(batches)
        .filter(|batch| std::future::ready(batch.as_ref().map_or(true, |batch| batch.num_rows() > 0)));
    let schema = Arc::clone(plan.schema().inner());
    Ok(Some(Box::pin(RecordBatchStreamAdapter::new(schema, rows))))
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
    /// The wanted columns of an operator's rows; none if rows have to be planned for.
    fn rows(self, plan: &LogicalPlan, wanted: &[usize], deepest: usize) -> Result<Option<Batches>> {
        let Some(deepest) = deepest.checked_sub(1) else { return Ok(None) };
        match plan {
            LogicalPlan::TableScan(scan) => scanned(scan, wanted),
            LogicalPlan::SubqueryAlias(alias) => self.rows(&alias.input, wanted, deepest),
            LogicalPlan::Filter(filter) => {
                let Some(over) = self.over(&[&filter.predicate], wanted, filter.input.schema())? else {
                    return Ok(None);
                };
                let Some(rows) = self.rows(&filter.input, &over.columns, deepest)? else { return Ok(None) };
                let kept = over.places(wanted);
                Ok(Some(Box::new(rows.map(move |batch| {
                    let batch = batch?;
                    let matches = over.exprs[0].evaluate(&batch)?.into_array(batch.num_rows())?;
                    Ok(filter_record_batch(&batch.project(&kept)?, as_boolean_array(&matches)?)?)
                }))))
            }
            LogicalPlan::Projection(projection) => {
                let exprs: Vec<&Expr> = wanted.iter().map(|&place| &projection.expr[place]).collect();
                let Some(over) = self.over(&exprs, &[], projection.input.schema())? else { return Ok(None) };
                let Some(rows) = self.rows(&projection.input, &over.columns, deepest)? else { return Ok(None) };
                let schema = part_of(&projection.schema, wanted)?;
                Ok(Some(Box::new(rows.map(move |batch| {
                    let batch = batch?;
                    let columns = over.exprs.iter().map(|expr| expr.evaluate(&batch)?.into_array(batch.num_rows()));
                    with_rows(&schema, columns.collect::<Result<_>>()?, batch.num_rows())
                }))))
            }
            LogicalPlan::Union(union) => self.union(union, wanted, deepest),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                // What is the same in all rows tells no two of them apart.
                let constants: Vec<_> =
                    (0..input.schema().fields().len()).map(|place| constant(input, place)).collect();
                let columns: Vec<usize> = (0..constants.len()).filter(|place| constants[*place].is_none()).collect();
                let Some(rows) = self.rows(input, &columns, deepest)? else { return Ok(None) };
                let schema = part_of(input.schema(), &columns)?;
                let Some(grouped) = self.grouped(rows, schema, |batch| Ok(batch.columns().to_vec()), None) else {
                    return Ok(None);
                };
                let (wanted, schema) = (wanted.to_vec(), part_of(plan.schema(), wanted)?);
                Ok(Some(Box::new(grouped.map(move |batch| {
                    let batch = batch?;
                    let column = |place: &usize| match &constants[*place] {
                        Some(value) => value.to_array_of_size(batch.num_rows()),
                        None => Ok(Arc::clone(batch.column(columns.partition_point(|column| column < place)))),
                    };
                    with_rows(&schema, wanted.iter().map(column).collect::<Result<_>>()?, batch.num_rows())
                }))))
            }
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate, wanted, deepest),
            _ => Ok(None),
        }
    }

    fn union(self, union: &Union, wanted: &[usize], deepest: usize) -> Result<Option<Batches>> {
        let types = |schema: &DFSchemaRef| -> Vec<DataType> {
            wanted.iter().map(|&place| schema.field(place).data_type().clone()).collect()
        };
        let mut branches = Vec::new();
        for input in &union.inputs {
            if types(input.schema()) != types(&union.schema) {
                return Ok(None);
            }
            let Some(rows) = self.rows(input, wanted, deepest)? else { return Ok(None) };
            branches.push(rows);
        }
        let schema = part_of(&union.schema, wanted)?;
        let named = move |batch: Result<RecordBatch>| {
            let batch = batch?;
            with_rows(&schema, batch.columns().to_vec(), batch.num_rows())
        };
        Ok(Some(Box::new(branches.into_iter().flatten().map(named))))
    }

    /// Groups alone, or with the sum of one column of whole numbers.
    fn aggregate(self, aggregate: &Aggregate, wanted: &[usize], deepest: usize) -> Result<Option<Batches>> {
        let groups = &aggregate.group_expr;
        let summed = match aggregate.aggr_expr.as_slice() {
            [] => None,
            [value] => match summed(value, aggregate.input.schema())? {
                Some(summed) => Some(summed),
                None => return Ok(None),
            },
            _ => return Ok(None),
        };
        let once = aggregate.schema.fields().len() == groups.len() + usize::from(summed.is_some());
        if !once || groups.iter().any(|group| matches!(group, Expr::GroupingSet(_))) {
            return Ok(None);
        }
        let exprs: Vec<&Expr> = groups.iter().chain(summed).collect();
        let Some(over) = self.over(&exprs, &[], aggregate.input.schema())? else { return Ok(None) };
        let Some(rows) = self.rows(&aggregate.input, &over.columns, deepest)? else { return Ok(None) };
        let schema = part_of(&aggregate.schema, &(0..groups.len()).collect::<Vec<_>>())?;
        let mut exprs = over.exprs;
        let summed = summed.and_then(|_| exprs.pop());
        let group = move |batch: &RecordBatch| {
            exprs.iter().map(|expr| expr.evaluate(batch)?.into_array(batch.num_rows())).collect()
        };
        let Some(grouped) = self.grouped(rows, schema, group, summed) else { return Ok(None) };
        let (wanted, schema) = (wanted.to_vec(), part_of(&aggregate.schema, wanted)?);
        Ok(Some(Box::new(grouped.map(move |batch| {
            let columns = batch?.project(&wanted)?;
            with_rows(&schema, columns.columns().to_vec(), columns.num_rows())
        }))))
    }

    /// The groups of rows, which have a schema, then the sum of each. None where they could have to spill.
    fn grouped(
        self,
        rows: Batches,
        schema: SchemaRef,
        group: impl Fn(&RecordBatch) -> Result<Vec<ArrayRef>> + Send + 'static,
        summed: Option<Arc<dyn PhysicalExpr>>,
    ) -> Option<Batches> {
        let options = self.state.config_options();
        if schema.fields().is_empty() || !options.optimizer.prefer_hash_join {
            return None;
        }
        let size = options.execution.batch_size.into();
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
            let mut columns = groups.emit(EmitTo::All)?;
            let mut fields: Vec<_> = schema.fields().iter().cloned().collect();
            if summed.is_some() {
                columns.push(Arc::new(Int64Array::from(sums)));
                fields.push(Arc::new(Field::new("sum", DataType::Int64, true)));
            }
            Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
        };
        Some(Box::new(std::iter::once_with(all).flat_map(move |all| pieces(all, size))))
    }

    /// Expressions as they are evaluated over those columns of a schema that they read, and more. None if one of them
    /// holds a query.
    fn over(self, exprs: &[&Expr], more: &[usize], schema: &DFSchema) -> Result<Option<Over>> {
        let is_query = |part: &Expr| {
            use Expr::{Exists, InSubquery, ScalarSubquery, SetComparison};
            matches!(part, Exists(_) | InSubquery(_) | ScalarSubquery(_) | SetComparison(_))
        };
        let mut columns: BTreeSet<usize> = more.iter().copied().collect();
        for expr in exprs {
            if expr.exists(|part| Ok(is_query(part)))? {
                return Ok(None);
            }
            for column in expr.column_refs() {
                columns.insert(schema.index_of_column(column)?);
            }
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
        Ok(Some(Over { columns: columns.into_iter().collect(), exprs }))
    }
}

fn scanned(scan: &TableScan, wanted: &[usize]) -> Result<Option<Batches>> {
    let provider: Arc<dyn TableProvider> = source_as_provider(&scan.source)?;
    let Some(table) = (provider.as_ref() as &dyn Any).downcast_ref::<MemTable>() else { return Ok(None) };
    if !scan.filters.is_empty() || scan.fetch.is_some() {
        return Ok(None);
    }
    let columns: Vec<usize> = match &scan.projection {
        Some(columns) => wanted.iter().map(|&place| columns[place]).collect(),
        None => wanted.to_vec(),
    };
    let mut batches = Vec::new();
    for partition in &table.batches {
        // Whoever fills a table does so before it is read.
        let Ok(partition) = partition.try_read() else { return Ok(None) };
        for batch in partition.iter() {
            batches.push(batch.project(&columns)?);
        }
    }
    Ok(Some(Box::new(batches.into_iter().map(Ok))))
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
