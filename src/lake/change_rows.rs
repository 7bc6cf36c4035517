//! Rows of change sets, kept from when a run writes them until it is over, while there is room: models, rules and the
//! audit all look at them.

use std::{
    collections::HashMap,
    iter,
    sync::{Mutex, PoisonError},
};

use arrow::{array::RecordBatch, compute::BatchCoalescer, datatypes::SchemaRef};
use datafusion::common::Result;
use object_store::path::Path;

use super::content_bytes;
use crate::engine::compact;

/// Rows of a batch: what readers of files give, too.
const BATCH_ROWS: usize = 8192;

/// Rows by the file that has them, while they take no more than so many bytes.
#[derive(Debug, Default)]
pub(super) struct ChangeRows {
    most: usize,
    files: Mutex<Files>,
}

#[derive(Debug, Default)]
struct Files {
    rows: HashMap<Path, Vec<RecordBatch>>,
    bytes: usize,
}

impl Files {
    fn forget(&mut self, file: &Path) {
        if let Some(rows) = self.rows.remove(file) {
            self.bytes -= rows.iter().map(content_bytes).sum::<usize>();
        }
    }
}

impl ChangeRows {
    /// Room for so many bytes.
    pub(super) fn new(most: usize) -> Self {
        Self { most, files: Mutex::default() }
    }

    /// The rows of some files; none if not all of them are kept.
    pub(super) fn of<'f>(&self, mut files: impl Iterator<Item = &'f str>) -> Option<Vec<RecordBatch>> {
        let kept = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        files.try_fold(Vec::new(), |mut rows, file| {
            rows.extend_from_slice(kept.rows.get(&Path::from(file))?);
            Some(rows)
        })
    }

    /// Keeps none of some files: they will not be asked for.
    pub(super) fn forget<'f>(&self, files: impl Iterator<Item = &'f str>) {
        let mut kept = self.files.lock().unwrap_or_else(PoisonError::into_inner);
        for file in files {
            kept.forget(&Path::from(file));
        }
    }

    /// Keeps the rows of a file, if there is room for them. Those of an attempt that was given up, which had a file of
    /// this name, are not its rows.
    pub(super) fn keep(&self, file: &Path, schema: &SchemaRef, rows: &[RecordBatch]) -> Result<()> {
        let bytes = rows.iter().map(content_bytes).sum::<usize>();
        {
            let mut files = self.files.lock().unwrap_or_else(PoisonError::into_inner);
            files.forget(file);
            if files.bytes + bytes > self.most {
                return Ok(());
            }
            files.bytes += bytes;
        }
        let rows = together(schema, rows)?;
        self.files.lock().unwrap_or_else(PoisonError::into_inner).rows.insert(file.clone(), rows);
        Ok(())
    }
}

/// The rows in batches of one size, with texts that hold little more than they show.
fn together(schema: &SchemaRef, rows: &[RecordBatch]) -> Result<Vec<RecordBatch>> {
    let mut together = BatchCoalescer::new(SchemaRef::clone(schema), BATCH_ROWS);
    for rows in rows {
        let rows = RecordBatch::try_new(SchemaRef::clone(schema), rows.columns().to_vec())?;
        // Room is made for all texts of what is pushed, each time that some of them are copied.
        for from in (0..rows.num_rows()).step_by(BATCH_ROWS) {
            together.push_batch(rows.slice(from, BATCH_ROWS.min(rows.num_rows() - from)))?;
        }
    }
    together.finish_buffered_batch()?;
    // It makes room for more than comes.
    iter::from_fn(|| together.next_completed_batch()).map(|rows| compact(&rows)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use arrow::{
        array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray, UInt32Array},
        compute::{concat_batches, take},
        datatypes::{DataType, Field, Int64Type, Schema},
    };

    use super::*;

    fn rows(values: std::ops::Range<i64>) -> RecordBatch {
        let schema = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, false)]));
        let values: ArrayRef = Arc::new(Int64Array::from_iter_values(values));
        RecordBatch::try_new(schema, vec![values]).unwrap()
    }

    #[test]
    fn files_are_kept_as_long_as_there_is_room() {
        let table = Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]));
        let kept = ChangeRows::new(8 * 10_000);
        kept.keep(&Path::from("a"), &table, &[rows(0..5), rows(5..9_000)]).unwrap();
        kept.keep(&Path::from("large"), &table, &[rows(0..1_001)]).unwrap();
        kept.keep(&Path::from("b"), &table, &[rows(9_000..10_000)]).unwrap();

        let both = kept.of(["a", "b"].into_iter()).unwrap();
        assert!(
            both.iter().all(|batch| batch.schema() == table && batch.num_rows() <= BATCH_ROWS),
            "as the table has them"
        );
        let values = concat_batches(&table, &both).unwrap();
        assert!(values.column(0).as_primitive::<Int64Type>().values().iter().copied().eq(0..10_000));
        assert_eq!(values.column(0).null_count(), 0);
        assert_eq!(kept.of(["a", "large"].into_iter()), None);
        assert_eq!(kept.of(std::iter::empty()), Some(Vec::new()));

        // A file of the same name, after an attempt that was given up.
        kept.keep(&Path::from("b"), &table, &[rows(0..1_001)]).unwrap();
        assert_eq!(kept.of(["b"].into_iter()), None, "there is no room for it, and it is not the other");
        kept.keep(&Path::from("b"), &table, &[rows(0..900)]).unwrap();
        assert_eq!(kept.of(["b"].into_iter()).unwrap().iter().map(RecordBatch::num_rows).sum::<usize>(), 900);

        kept.forget(["a", "none"].into_iter());
        kept.keep(&Path::from("large"), &table, &[rows(0..9_000)]).unwrap();
        assert!(kept.of(["large", "b"].into_iter()).is_some());
    }

    #[test]
    fn texts_that_are_kept_take_the_room_that_is_counted() {
        let texts: StringViewArray =
            (0..400_000).map(|n| Some(format!("a text that is not in its view {n:07}"))).collect();
        let few = UInt32Array::from_iter_values((0..100_000).map(|n| 4 * n));
        let texts = take(&texts, &few, None).unwrap();
        let rows = RecordBatch::try_from_iter_with_nullable([("t", texts, true)]).unwrap();
        let counted = content_bytes(&rows);
        let held: usize = together(&rows.schema(), &[rows])
            .unwrap()
            .iter()
            .map(|batch| batch.column(0).get_array_memory_size())
            .sum();
        assert!(held < 2 * counted, "{held} bytes are held, {counted} counted");
    }
}
