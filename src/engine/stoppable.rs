//! Statements that end when they are told to.
//!
//! An async task can be stopped only where it waits, and a join of everything with everything over
//! rows in memory never waits: it would keep its thread for hours, and with it the timers and
//! sockets of that thread's runtime. So people's statements run on threads of their own
//! ([`execute`]), and the inputs of such joins come in small pieces with a pause after each
//! ([`Pauses`]). A dropped statement gives its threads back within a piece's work.

use std::sync::{Arc, OnceLock};

use datafusion::{
    arrow::array::RecordBatch,
    common::{Result, config::ConfigOptions},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_optimizer::PhysicalOptimizerRule,
    physical_plan::{
        ExecutionPlan, execute_stream,
        joins::{CrossJoinExec, NestedLoopJoinExec},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::{StreamExt as _, stream};
use tokio::runtime::{Builder, Runtime};

use super::{beside::beside_on, rebatch::Rebatch};
use crate::error::{Error, Result as SmeltResult};

/// Rows of a piece: with a million rows on the join's other side, about a second's work.
const PIECE: usize = 256;

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
    let schema = plan.schema();
    Ok(beside_on(threads()?.handle(), schema, held, async move { execute_stream(plan, context) }))
}

/// One set of threads a process, for as long as it lives.
fn threads() -> SmeltResult<&'static Runtime> {
    static THREADS: OnceLock<std::io::Result<Runtime>> = OnceLock::new();
    THREADS
        .get_or_init(|| Builder::new_multi_thread().thread_name("statement").enable_all().build())
        .as_ref()
        .map_err(|e| Error::unavailable(format!("statements get no threads: {e}")))
}

/// The rule that puts pauses below joins that compare every row with every row.
#[derive(Debug)]
pub(super) struct Pauses;

impl PhysicalOptimizerRule for Pauses {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, _: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        Rebatch { name: "PausingExec", batches: in_pieces }
            .below(plan, |node| node.is::<NestedLoopJoinExec>() || node.is::<CrossJoinExec>())
    }

    fn name(&self) -> &'static str {
        "pauses"
    }

    fn schema_check(&self) -> bool {
        true
    }
}

/// Small pieces, with a pause before each.
fn in_pieces(batches: SendableRecordBatchStream) -> SendableRecordBatchStream {
    let schema = batches.schema();
    let pieces = stream::try_unfold((batches, None), |(mut batches, mut rest): (_, Option<RecordBatch>)| async move {
        loop {
            if let Some(batch) = rest.take().filter(|batch| batch.num_rows() > 0) {
                tokio::task::yield_now().await;
                let length = batch.num_rows().min(PIECE);
                let rest = batch.slice(length, batch.num_rows() - length);
                return Ok(Some((batch.slice(0, length), (batches, Some(rest)))));
            }
            rest = batches.next().await.transpose()?;
            if rest.is_none() {
                return Ok(None);
            }
        }
    });
    Box::pin(RecordBatchStreamAdapter::new(schema, pieces))
}
