//! Filters and projections of rows that are in memory, done as they are written.
//!
//! Most rules come to that on a run of changes, a few thousand rows each. To optimise and plan such a query takes many times
//! what it takes to look at its rows.

use std::{any::Any, sync::Arc};

use datafusion::{
    arrow::{
        array::{RecordBatch, RecordBatchOptions},
        compute::filter_record_batch,
        datatypes::SchemaRef,
    },
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
    let Some(table) = (provider.as_ref() as &dyn Any).downcast_ref::<MemTable>() else { return Ok(None) };
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

/// The steps from a scan of a table to the rows of a plan.
fn steps_to<'p>(state: &SessionState, plan: &'p LogicalPlan, steps: &mut Vec<Step>) -> Result<Option<&'p TableScan>> {
    let input = match plan {
        LogicalPlan::TableScan(scan) => {
            return Ok(Some(scan).filter(|scan| scan.filters.is_empty() && scan.fetch.is_none()));
        }
        LogicalPlan::SubqueryAlias(alias) => &alias.input,
        LogicalPlan::Filter(filter) => &filter.input,
        LogicalPlan::Projection(projection) => &projection.input,
        _ => return Ok(None),
    };
    let asks_more = |expr: &Expr| {
        expr.exists(|part| Ok(matches!(part, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_))))
    };
    for expr in plan.expressions() {
        if asks_more(&expr)? {
            return Ok(None);
        }
    }
    let Some(scan) = steps_to(state, input, steps)? else { return Ok(None) };
    // Literals get their columns' types, and functions that are but spellings of others are written as these.
    let context = SimplifyContext::builder().with_schema(Arc::clone(input.schema()));
    let simplifier = ExprSimplifier::new(context.with_config_options(Arc::clone(state.config_options())).build());
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
