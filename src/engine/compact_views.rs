//! Texts that own what they show, before they are kept.
//!
//! A text column is a list of views into buffers. A join's output shows a few texts of each of its
//! input's buffers, and every batch of it would be counted by a sort with all of them: a sort of
//! megabytes is refused for gigabytes. So below a sort, batches that show little of what they hold
//! are copied together.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::array::{ArrayRef, AsArray, RecordBatch},
    arrow::datatypes::DataType,
    common::{
        Result,
        config::ConfigOptions,
        internal_err,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
        sorts::sort::SortExec, stream::RecordBatchStreamAdapter,
    },
};
use futures::TryStreamExt as _;

/// The rule that puts [`CompactExec`] below sorts of texts.
#[derive(Debug)]
pub(super) struct CompactViews;

impl PhysicalOptimizerRule for CompactViews {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            let Some(sort) = node.downcast_ref::<SortExec>() else { return Ok(Transformed::no(node)) };
            let input = Arc::clone(sort.input());
            if !input.schema().fields().iter().any(|field| *field.data_type() == DataType::Utf8View) {
                return Ok(Transformed::no(node));
            }
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            node.replace_children(vec![Arc::new(CompactExec(input))], options).map(Transformed::yes)
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "compact_views"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

#[derive(Debug)]
struct CompactExec(Arc<dyn ExecutionPlan>);

impl DisplayAs for CompactExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("CompactExec")
    }
}

impl ExecutionPlan for CompactExec {
    fn name(&self) -> &'static str {
        "CompactExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.0.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.0]
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn maintains_input_order(&self) -> Vec<bool> {
        vec![true]
    }

    fn replace_children(
        self: Arc<Self>,
        mut children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        match (children.pop(), children.is_empty()) {
            (Some(input), true) => Ok(Arc::new(Self(input))),
            _ => internal_err!("there is one input to compact"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let batches = self.0.execute(partition, context)?.and_then(|batch| async move { compact(&batch) });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), batches)))
    }
}

fn compact(batch: &RecordBatch) -> Result<RecordBatch> {
    let columns = batch.columns().iter().map(|column| own(column).unwrap_or_else(|| Arc::clone(column))).collect();
    Ok(RecordBatch::try_new(batch.schema(), columns)?)
}

/// A copy of the column's texts, where they are less than half of what the column holds.
fn own(column: &ArrayRef) -> Option<ArrayRef> {
    /// Texts up to so many bytes lie in the views themselves.
    const INLINE: u32 = 12;
    let views = column.as_string_view_opt()?;
    let held: usize = views.data_buffers().iter().map(|buffer| buffer.capacity()).sum();
    let shown: usize = views.lengths().filter(|length| *length > INLINE).map(|length| length as usize).sum();
    (held > 2 * shown).then(|| Arc::new(views.gc()) as ArrayRef)
}
