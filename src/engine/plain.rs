//! Filters and projections of rows that are in memory, done as they are written.
//!
//! Half of the rules come to that on a run of changes, a few thousand rows each. To optimise and plan such a query takes many times
//! what it takes to look at its rows. Columns that nobody asks for are computed, too: what is run here asks for few.

use std::{any::Any, sync::Arc};

use datafusion::{
    arrow::{
        array::{RecordBatch, RecordBatchOptions},
        compute::filter_record_batch,
        datatypes::SchemaRef,
    },
    catalog::TableProvider,
    common::{Result, cast::as_boolean_array, tree_node::TreeNode as _},
    datasource::{MemTable, source_as_provider},
    execution::{SendableRecordBatchStream, SessionState},
    logical_expr::{Expr, LogicalPlan, TableScan, simplify::SimplifyContext},
    optimizer::simplify_expressions::ExprSimplifier,
    physical_expr::PhysicalExpr,
    physical_plan::stream::RecordBatchStreamAdapter,
};
use futures::StreamExt as _;

/// What is done with each batch, in turn.
enum Step {
    Filter(Arc<dyn PhysicalExpr>),
    Project(SchemaRef, Vec<Arc<dyn PhysicalExpr>>),
}

impl Step {
    fn take(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let rows = batch.num_rows();
        Ok(match self {
            Self::Filter(predicate) => {
                let kept = predicate.evaluate(batch)?.into_array(rows)?;
                filter_record_batch(batch, as_boolean_array(&kept)?)?
            }
            Self::Project(schema, columns) => {
                let columns = columns.iter().map(|column| column.evaluate(batch)?.into_array(rows));
                let options = RecordBatchOptions::new().with_row_count(Some(rows));
                RecordBatch::try_new_with_options(Arc::clone(schema), columns.collect::<Result<_>>()?, &options)?
            }
        })
    }
}

/// The rows of such a plan; none if it is another.
pub(super) async fn rows(state: &SessionState, plan: &LogicalPlan) -> Result<Option<SendableRecordBatchStream>> {
    let mut steps = Vec::new();
    let Some(scan) = steps_to(state, plan, &mut steps)? else { return Ok(None) };
    let provider = source_as_provider(&scan.source)?;
    let Some(table) = in_memory(&provider) else { return Ok(None) };
    let mut batches = Vec::new();
    for partition in &table.batches {
        for batch in partition.read().await.iter() {
            batches.push(match &scan.projection {
                Some(columns) => batch.project(columns)?,
                None => batch.clone(),
            });
        }
    }
    let done = futures::stream::iter(batches)
        .map(move |batch| steps.iter().try_fold(batch, |batch, step| step.take(&batch)))
        .filter(|batch| std::future::ready(batch.as_ref().map_or(true, |batch| batch.num_rows() > 0)));
    let schema = Arc::clone(plan.schema().inner());
    Ok(Some(Box::pin(RecordBatchStreamAdapter::new(schema, done))))
}

fn in_memory(provider: &Arc<dyn TableProvider>) -> Option<&MemTable> {
    (provider.as_ref() as &dyn Any).downcast_ref()
}

/// The steps from the scan of a table in memory to the rows of a plan.
fn steps_to<'p>(state: &SessionState, plan: &'p LogicalPlan, steps: &mut Vec<Step>) -> Result<Option<&'p TableScan>> {
    let input = match plan {
        LogicalPlan::TableScan(scan) => {
            let all = scan.filters.is_empty() && scan.fetch.is_none();
            let is_plain = all && in_memory(&source_as_provider(&scan.source)?).is_some();
            return Ok(is_plain.then_some(scan));
        }
        LogicalPlan::SubqueryAlias(alias) => &alias.input,
        LogicalPlan::Filter(filter) => &filter.input,
        LogicalPlan::Projection(projection) => &projection.input,
        _ => return Ok(None),
    };
    let has_query = |part: &Expr| {
        use Expr::{Exists, InSubquery, ScalarSubquery, SetComparison};
        matches!(part, Exists(_) | InSubquery(_) | ScalarSubquery(_) | SetComparison(_))
    };
    for expr in plan.expressions() {
        if expr.exists(|part| Ok(has_query(part)))? {
            return Ok(None);
        }
    }
    let Some(scan) = steps_to(state, input, steps)? else { return Ok(None) };
    // Literals get their columns' types, and functions that are but spellings of others are written as these.
    let context = SimplifyContext::builder()
        .with_schema(Arc::clone(input.schema()))
        .with_config_options(Arc::clone(state.config_options()))
        .with_query_execution_start_time(state.execution_props().query_execution_start_time);
    let simplifier = ExprSimplifier::new(context.build());
    let physical = |expr: &Expr| state.create_physical_expr(simplifier.simplify(expr.clone())?, input.schema());
    match plan {
        LogicalPlan::Filter(filter) => steps.push(Step::Filter(physical(&filter.predicate)?)),
        LogicalPlan::Projection(projection) => {
            let columns = projection.expr.iter().map(physical).collect::<Result<_>>()?;
            steps.push(Step::Project(Arc::clone(projection.schema.inner()), columns));
        }
        _ => {}
    }
    Ok(Some(scan))
}
