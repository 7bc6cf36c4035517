//! What changes a table into what it should be: fresh rows against current ones, as multisets.
//!
//! Both come sorted by all columns, so that one pass over them is enough and memory is bounded by two
//! batches. A row that is there as often as before is no change, and nobody downstream hears of it.

use std::sync::Arc;

use arrow::{
    array::{AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch},
    compute::filter_record_batch,
    datatypes::{SchemaRef, UInt32Type},
    row::{RowConverter, Rows, SortField},
};
use datafusion::execution::SendableRecordBatchStream;
use futures::TryStreamExt as _;

use crate::{
    engine_error,
    error::{Error, Result},
    lake::Displaced,
};

/// What a comparison found.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Current rows that go.
    pub(super) displaced: Displaced,
    pub(super) gone: u64,
    pub(super) came: u64,
    /// Rows that were computed.
    pub(super) fresh: u64,
}

/// Compares `fresh` rows with `current` ones, which have the same columns and then their place (file and
/// row); rows that come go to `added`, in order.
pub(super) async fn difference(
    fresh: SendableRecordBatchStream,
    current: SendableRecordBatchStream,
    schema: &SchemaRef,
    mut added: impl AsyncFnMut(RecordBatch) -> Result<()>,
) -> Result<Difference> {
    let width = schema.fields().len();
    let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
    let converter = RowConverter::new(fields.collect()).map_err(|e| Error::bug("rows cannot be compared").cause(e))?;
    let converter = Arc::new(converter);
    let mut fresh = Cursor::new(fresh, Arc::clone(&converter), width);
    let mut current = Cursor::new(current, converter, width);
    let mut found = Difference::default();
    let mut comes = BooleanBufferBuilder::new(0);
    loop {
        let has_fresh = fresh.fill().await?;
        let has_current = current.fill().await?;
        let order = match (has_fresh, has_current) {
            (false, false) => break,
            (true, false) => std::cmp::Ordering::Less,
            (false, true) => std::cmp::Ordering::Greater,
            (true, true) => fresh.row().cmp(current.row()),
        };
        if order.is_ge() {
            if order.is_gt() {
                let (file, row) = current.place(width);
                found.displaced.entry(file).or_default().insert(row);
                found.gone += 1;
            }
            current.at += 1;
        }
        if order.is_le() {
            comes.append(order.is_lt());
            fresh.at += 1;
            if fresh.at == fresh.rows()
                && let Some((batch, _)) = &fresh.batch
            {
                let mask = BooleanArray::new(comes.finish(), None);
                let count = mask.true_count();
                if count > 0 {
                    found.came += count as u64;
                    let rows =
                        filter_record_batch(batch, &mask).map_err(|e| Error::bug("rows cannot be picked").cause(e))?;
                    added(rows).await?;
                }
            }
        }
    }
    found.fresh = fresh.read;
    Ok(found)
}

/// A sorted stream, a row at a time.
struct Cursor {
    stream: SendableRecordBatchStream,
    converter: Arc<RowConverter>,
    width: usize,
    batch: Option<(RecordBatch, Rows)>,
    at: usize,
    /// Rows so far.
    read: u64,
    ended: bool,
}

impl Cursor {
    fn new(stream: SendableRecordBatchStream, converter: Arc<RowConverter>, width: usize) -> Self {
        Self { stream, converter, width, batch: None, at: 0, read: 0, ended: false }
    }

    fn rows(&self) -> usize {
        self.batch.as_ref().map_or(0, |(batch, _)| batch.num_rows())
    }

    /// Whether there is a row.
    async fn fill(&mut self) -> Result<bool> {
        while self.at >= self.rows() {
            if self.ended {
                return Ok(false);
            }
            let Some(batch) = self.stream.try_next().await.map_err(engine_error)? else {
                self.ended = true;
                continue;
            };
            self.read += batch.num_rows() as u64;
            let rows = self
                .converter
                .convert_columns(&batch.columns()[..self.width])
                .map_err(|e| Error::bug("rows cannot be compared").cause(e))?;
            (self.batch, self.at) = (Some((batch, rows)), 0);
        }
        Ok(true)
    }

    fn row(&self) -> &[u8] {
        self.batch.as_ref().map_or(&[], |(_, rows)| rows.row(self.at).data())
    }

    fn place(&self, width: usize) -> (usize, u32) {
        let number = |column: usize| {
            let batch = self.batch.as_ref().map(|(batch, _)| batch.column(column));
            batch.map_or(0, |places| places.as_primitive::<UInt32Type>().value(self.at))
        };
        (number(width) as usize, number(width + 1))
    }
}
