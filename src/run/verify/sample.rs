//! A share of a table's rows, the same on both sides: those whose key has a hash below a bound.

use std::{fmt, sync::Arc};

use arrow::{
    array::{BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::{Schema, SchemaRef},
    row::{RowConverter, SortField},
};
use datafusion::{
    common::Result,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{stream::RecordBatchStreamAdapter, streaming::PartitionStream},
};
use futures::TryStreamExt as _;
use twox_hash::XxHash64;

/// Which rows are in it.
#[derive(Debug, Clone)]
pub(super) struct Sample {
    /// Where the key's columns are.
    columns: Vec<usize>,
    converter: Arc<RowConverter>,
    /// Rows with a smaller hash are in.
    bound: u64,
    seed: u64,
}

impl Sample {
    /// About `percent` of the keys; with another seed, others.
    pub(super) fn new(schema: &Schema, columns: Vec<usize>, percent: f64, seed: u64) -> Result<Self> {
        let fields = columns.iter().map(|&column| SortField::new(schema.field(column).data_type().clone()));
        let converter = Arc::new(RowConverter::new(fields.collect())?);
        Ok(Self { columns, converter, bound: (percent / 100.0 * u64::MAX as f64) as u64, seed })
    }

    fn of(&self, batch: &RecordBatch) -> Result<RecordBatch> {
        let keys: Vec<_> = self.columns.iter().map(|&column| Arc::clone(batch.column(column))).collect();
        let keys = self.converter.convert_columns(&keys)?;
        let mask: BooleanArray =
            keys.iter().map(|key| Some(XxHash64::oneshot(self.seed, key.as_ref()) < self.bound)).collect();
        Ok(filter_record_batch(batch, &mask)?)
    }
}

/// The sample's rows of a partition.
pub(super) struct Sampled<P> {
    rows: P,
    sample: Sample,
}

impl<P> Sampled<P> {
    pub(super) fn new(rows: P, sample: Sample) -> Self {
        Self { rows, sample }
    }
}

impl<P> fmt::Debug for Sampled<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Sampled")
    }
}

impl<P: PartitionStream> PartitionStream for Sampled<P> {
    fn schema(&self) -> &SchemaRef {
        self.rows.schema()
    }

    fn execute(&self, context: Arc<TaskContext>) -> SendableRecordBatchStream {
        let sample = self.sample.clone();
        let rows = self.rows.execute(context).and_then(move |batch| std::future::ready(sample.of(&batch)));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(self.rows.schema()), rows))
    }
}

#[cfg(test)]
mod tests {
    use arrow::{
        array::{AsArray as _, Int64Array},
        datatypes::{DataType, Field, Int64Type},
    };

    use super::*;

    #[test]
    fn a_sample_has_about_its_share_and_another_seed_gives_other_rows() {
        let schema = Arc::new(Schema::new(vec![Field::new("id", DataType::Int64, true)]));
        let ids = Arc::new((0..10_000).collect::<Int64Array>());
        let batch = RecordBatch::try_new(Arc::clone(&schema), vec![ids]).unwrap();
        let picked = |percent, seed| {
            let rows = Sample::new(&schema, vec![0], percent, seed).unwrap().of(&batch).unwrap();
            rows.column(0).as_primitive::<Int64Type>().values().to_vec()
        };
        let tenth = picked(10.0, 1);
        assert!((900..1_100).contains(&tenth.len()), "{}", tenth.len());
        assert_eq!(tenth, picked(10.0, 1));
        let both = picked(10.0, 2).into_iter().filter(|id| tenth.binary_search(id).is_ok()).count();
        assert!((50..150).contains(&both), "{both}");
        assert_eq!(picked(100.0, 3).len(), 10_000);
    }
}
