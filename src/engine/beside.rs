//! Streams whose rows are made in a task of their own, while others work with the rows before.

use datafusion::{
    arrow::datatypes::SchemaRef, common::Result, execution::SendableRecordBatchStream,
    physical_plan::stream::RecordBatchReceiverStream,
};
use futures::StreamExt as _;
use tokio::runtime::Handle;

/// Batches that wait for whoever takes them.
const AHEAD: usize = 2;

/// Polls a stream in a task of its own, so that what makes its rows works beside what takes them.
pub fn beside(rows: SendableRecordBatchStream) -> SendableRecordBatchStream {
    beside_on(&Handle::current(), rows.schema(), (), async move { Ok(rows) })
}

/// Starts a stream and polls it on other threads. Dropping what is returned ends it; what is `held`
/// is dropped when it has really ended, which is later.
pub(super) fn beside_on(
    threads: &Handle,
    schema: SchemaRef,
    held: impl Send + 'static,
    start: impl Future<Output = Result<SendableRecordBatchStream>> + Send + 'static,
) -> SendableRecordBatchStream {
    let mut receiver = RecordBatchReceiverStream::builder(schema, AHEAD);
    let sender = receiver.tx();
    let work = async move {
        let _held = held;
        let mut rows = start.await?;
        while let Some(batch) = rows.next().await {
            if sender.send(batch).await.is_err() {
                break;
            }
        }
        Ok(())
    };
    receiver.spawn_on(work, threads);
    receiver.build()
}
