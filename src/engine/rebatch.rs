//! An operator that gives its input's rows as they are, in other batches, and the way to put it
//! below operators of a finished plan.

use std::{fmt, sync::Arc};

use datafusion::{
    common::{
        Result, internal_err,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    execution::{SendableRecordBatchStream, TaskContext},
    physical_expr::PhysicalExpr,
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
    },
};

/// How batches become other batches with the same rows in the same order.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rebatch {
    /// As `EXPLAIN` shows it.
    pub(super) name: &'static str,
    pub(super) batches: fn(SendableRecordBatchStream) -> SendableRecordBatchStream,
}

impl Rebatch {
    /// Puts the operator below every input of the nodes that want it.
    pub(super) fn below(
        self,
        plan: Arc<dyn ExecutionPlan>,
        wanted: impl Fn(&Arc<dyn ExecutionPlan>) -> bool,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            if !wanted(&node) {
                return Ok(Transformed::no(node));
            }
            let inputs = node.children().into_iter().map(|input| self.over(Arc::clone(input))).collect();
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            node.replace_children(inputs, options).map(Transformed::yes)
        })
        .data()
    }

    fn over(self, input: Arc<dyn ExecutionPlan>) -> Arc<dyn ExecutionPlan> {
        Arc::new(RebatchExec { how: self, input })
    }
}

#[derive(Debug)]
struct RebatchExec {
    how: Rebatch,
    input: Arc<dyn ExecutionPlan>,
}

impl DisplayAs for RebatchExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.how.name)
    }
}

impl ExecutionPlan for RebatchExec {
    fn name(&self) -> &str {
        self.how.name
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        self.input.properties()
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        vec![&self.input]
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
            (Some(input), true) => Ok(self.how.over(input)),
            _ => internal_err!("{} has one input", self.how.name),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        self.input.execute(partition, context).map(self.how.batches)
    }
}
