//! The last image of each key, and of each key and version, in a sorted stream.

use std::collections::VecDeque;

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch},
    compute::{filter_record_batch, kernels::cmp::distinct, or},
};
use futures::TryStreamExt;
use datafusion::physical_plan::SendableRecordBatchStream;

use crate::error::{Error, Result};

/// Rows sorted by key, version and arrival; gives events, marks winners.
///
/// An *event* is the last row of its key and version, a *winner* the last of its key: a winner is
/// an event. Without history only winners matter and other events are dropped as superseded.
pub(super) struct Winners {
    sorted: SendableRecordBatchStream,
    key: Vec<usize>,
    version: usize,
    history: bool,
    /// The last batch, which waits for the first row of the next.
    pending: Option<RecordBatch>,
    ready: VecDeque<Events>,
    ended: bool,
    /// Rows that lost to a later row of their key, here.
    pub(super) superseded: u64,
}

/// Some events in key order, and which of them are winners.
#[derive(Debug)]
pub(super) struct Events {
    pub(super) rows: RecordBatch,
    pub(super) winner: BooleanArray,
}

impl Winners {
    pub(super) fn new(sorted: SendableRecordBatchStream, key: &[usize], version: usize, history: bool) -> Self {
        Self {
            sorted,
            key: key.to_vec(),
            version,
            history,
            pending: None,
            ready: VecDeque::new(),
            ended: false,
            superseded: 0,
        }
    }

    pub(super) async fn next(&mut self) -> Result<Option<Events>> {
        loop {
            if let Some(events) = self.ready.pop_front() {
                return Ok(Some(events));
            }
            if self.ended {
                return Ok(None);
            }
            let next = self.sorted.try_next().await.map_err(crate::engine_error)?.filter(|batch| batch.num_rows() > 0);
            let ended = next.is_none();
            if let Some(batch) = std::mem::replace(&mut self.pending, next) {
                let events = self.mark(&batch)?;
                self.ready.extend(events);
            }
            self.ended = ended;
        }
    }

    fn mark(&mut self, batch: &RecordBatch) -> Result<Option<Events>> {
        let winner = self.last_of(batch, &self.key)?;
        self.superseded += winner.false_count() as u64;
        let events = if self.history {
            let mut columns = self.key.clone();
            columns.push(self.version);
            self.last_of(batch, &columns)?
        } else {
            winner.clone()
        };
        let failed = |e| Error::bug("events cannot be picked").cause(e);
        let rows = filter_record_batch(batch, &events).map_err(failed)?;
        let winner = arrow::compute::filter(&winner, &events).map_err(failed)?;
        let winner = arrow::array::AsArray::as_boolean(&winner).clone();
        Ok((rows.num_rows() > 0).then_some(Events { rows, winner }))
    }

    /// Which rows differ from the row after them in one of the columns.
    fn last_of(&self, batch: &RecordBatch, columns: &[usize]) -> Result<BooleanArray> {
        let rows = batch.num_rows();
        let mut differs: Option<BooleanArray> = None;
        let failed = |e| Error::bug("neighbouring rows cannot be compared").cause(e);
        for &column in columns {
            let values = batch.column(column);
            let inside = distinct(&values.slice(0, rows - 1), &values.slice(1, rows - 1)).map_err(failed)?;
            let across: BooleanArray = match &self.pending {
                None => BooleanArray::from(vec![true]),
                Some(next) => {
                    let (last, first): (ArrayRef, ArrayRef) = (values.slice(rows - 1, 1), next.column(column).slice(0, 1));
                    distinct(&last, &first).map_err(failed)?
                }
            };
            let joined = arrow::compute::concat(&[&inside, &across]).map_err(failed)?;
            let joined = arrow::array::AsArray::as_boolean(&joined).clone();
            differs = Some(match differs {
                None => joined,
                Some(before) => or(&before, &joined).map_err(failed)?,
            });
        }
        differs.ok_or_else(|| Error::bug("an entity has no key"))
    }
}
