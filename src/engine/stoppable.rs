//! Statements that end when they are told to.
//!
//! An async task can be stopped only where it waits, and a join of everything with everything over
//! rows in memory never waits: it would keep its thread for hours, and with it the timers and
//! sockets of that thread's runtime. So people's statements run on threads of their own
//! ([`execute`]), and the inputs of such joins come in small pieces with a pause after each
//! ([`Pauses`]). A dropped statement gives its threads back within a piece's work.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use datafusion::{
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
        execute_stream,
        joins::{CrossJoinExec, NestedLoopJoinExec},
        stream::{RecordBatchReceiverStream, RecordBatchStreamAdapter},
    },
};
use futures::{StreamExt as _, stream};
use tokio::runtime::{Builder, Runtime};

use crate::error::{Error, Result as SmeltResult};

/// Rows of a piece: with a million rows on the join's other side, about a second's work.
const PIECE: usize = 256;
/// Batches of a statement that wait for whoever reads them.
const AHEAD: usize = 2;

/// Runs a plan on the statements' threads. Dropping the stream stops it.
///
/// # Errors
/// `Unavailable` where there are no threads to be had. The stream has the plan's own errors.
pub(crate) fn execute(
    plan: Arc<dyn ExecutionPlan>,
    context: Arc<TaskContext>,
    // Held until the plan has really ended, which is later than when it is dropped.
    held: impl Send + 'static,
) -> SmeltResult<SendableRecordBatchStream> {
    let mut receiver = RecordBatchReceiverStream::builder(plan.schema(), AHEAD);
    let sender = receiver.tx();
    let work = async move {
        let _held = held;
        let mut rows = execute_stream(plan, context)?;
        while let Some(batch) = rows.next().await {
            if sender.send(batch).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    receiver.spawn_on(work, threads()?.handle());
    Ok(receiver.build())
}

/// One set of threads a process, for as long as it lives.
fn threads() -> SmeltResult<&'static Runtime> {
    static THREADS: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    THREADS
        .get_or_init(|| Builder::new_multi_thread().thread_name("statement").enable_all().build())
        .as_ref()
        .map_err(|e| Error::unavailable(format!("statements get no threads: {e}")))
}

/// The rule that puts [`PausingExec`] below joins that compare every row with every row.
#[derive(Debug)]
pub(super) struct Pauses;

impl PhysicalOptimizerRule for Pauses {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        plan.transform_up(|node| {
            if !(node.is::<NestedLoopJoinExec>() || node.is::<CrossJoinExec>()) {
                return Ok(Transformed::no(node));
            }
            let inputs =
                node.children().into_iter().map(|input| Arc::new(PausingExec(Arc::clone(input))) as _).collect();
            let options = ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute);
            node.replace_children(inputs, options).map(Transformed::yes)
        })
        .data()
    }

    fn name(&self) -> &'static str {
        "pauses"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Its input's rows in pieces, with a pause after each.
#[derive(Debug)]
struct PausingExec(Arc<dyn ExecutionPlan>);

impl DisplayAs for PausingExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PausingExec")
    }
}

impl ExecutionPlan for PausingExec {
    fn name(&self) -> &'static str {
        "PausingExec"
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
            _ => internal_err!("a pause has one input"),
        }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, context: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        let input = self.0.execute(partition, context)?;
        let pieces = stream::try_unfold((input, None), |(mut input, mut rest)| async move {
            loop {
                if let Some(batch) =
                    rest.take().filter(|batch: &datafusion::arrow::array::RecordBatch| batch.num_rows() > 0)
                {
                    tokio::task::yield_now().await;
                    let length = batch.num_rows().min(PIECE);
                    let rest = batch.slice(length, batch.num_rows() - length);
                    return Ok(Some((batch.slice(0, length), (input, Some(rest)))));
                }
                rest = input.next().await.transpose()?;
                if rest.is_none() {
                    return Ok(None);
                }
            }
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(self.schema(), pieces)))
    }
}
