//! Texts that own what they show, before they are kept.
//!
//! A text column is a list of views into buffers. A join's output shows a few texts of each of its
//! input's buffers, and every batch of it would be counted by a sort with all of them: a sort of
//! megabytes is refused for gigabytes. And every batch that a join gives holds all the buffers of the
//! rows that it keeps, so that joins of joins spend their time in counting references. So below sorts
//! and joins, batches that show little of what they hold, or hold many buffers, are copied together.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{ArrayRef, AsArray, RecordBatch},
        datatypes::DataType,
    },
    common::{Result, config::ConfigOptions},
    execution::SendableRecordBatchStream,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{ExecutionPlan, joins::HashJoinExec, sorts::sort::SortExec, stream::RecordBatchStreamAdapter},
};
use futures::TryStreamExt as _;

use super::rebatch::Rebatch;

/// The rule that has texts copied together below sorts and joins of them.
#[derive(Debug)]
pub(super) struct CompactViews;

impl PhysicalOptimizerRule for CompactViews {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        Rebatch { name: "CompactExec", batches: compacted }.below(plan, |node| {
            let is_text = |data_type: &DataType| *data_type == DataType::Utf8View;
            (node.is::<SortExec>() || node.is::<HashJoinExec>())
                && node.schema().fields().iter().any(|field| is_text(field.data_type()))
        })
    }

    fn name(&self) -> &'static str {
        "compact_views"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

fn compacted(batches: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let schema = batches.schema();
    Box::pin(RecordBatchStreamAdapter::new(schema, batches.and_then(|batch| async move { compact(&batch) })))
}

/// The batch with texts that hold little more than they show.
pub(crate) fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    if batch.num_columns() == 0 {
        return Ok(batch.clone());
    }
    let columns = batch.columns().iter().map(|column| own(column).unwrap_or_else(|| Arc::clone(column))).collect();
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// A copy of the column's texts, where they are less than half of what the column holds, or in many buffers.
fn own(column: &ArrayRef) -> Option<ArrayRef> {
    /// Texts up to so many bytes lie in the views themselves.
    const INLINE: u32 = 12;
    const MANY: usize = 4;
    let views = column.as_string_view_opt()?;
    if views.data_buffers().len() > MANY {
        return Some(Arc::new(views.gc()));
    }
    let held: usize = views.data_buffers().iter().map(|buffer| buffer.capacity()).sum();
    let shown: usize = views.lengths().filter(|length| *length > INLINE).map(|length| length as usize).sum();
    (held > 2 * shown).then(|| Arc::new(views.gc()) as ArrayRef)
}
