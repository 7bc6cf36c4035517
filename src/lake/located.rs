//! The rows of a table with the place of each, so that they can go: all of them, or those with certain keys.

use std::{
    collections::HashSet,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{ArrayRef, BooleanArray, RecordBatch, UInt32Array},
    compute::filter,
    datatypes::{DataType, Field, Schema, SchemaRef},
    row::{RowConverter, SortField},
};
use datafusion::{
    common::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{stream::RecordBatchStreamAdapter, streaming::PartitionStream},
};
use futures::{StreamExt as _, TryStreamExt as _};

use super::{
    FileRows, Lake, TableFiles, TableName,
    parquet_files::{read_columns, read_rows},
};
use crate::error::{Error, Result};

/// The position of a row's file in the table's list, and of the row in its file: the last two columns.
const PLACE_COLUMNS: [&str; 2] = ["_file", "_row"];

/// Values of some columns, NULL being one.
pub(crate) struct Keys {
    columns: Vec<usize>,
    converter: RowConverter,
    values: HashSet<Box<[u8]>>,
}

impl Keys {
    /// Keys in some columns of a table, from batches of these columns.
    pub(crate) fn new(schema: &Schema, columns: Vec<usize>, batches: &[RecordBatch]) -> Result<Self> {
        let failed = |e| Error::bug("keys cannot be compared").cause(e);
        let fields = columns.iter().map(|&column| SortField::new(schema.field(column).data_type().clone()));
        let converter = RowConverter::new(fields.collect()).map_err(failed)?;
        let mut values = HashSet::new();
        for batch in batches {
            let cast = std::iter::zip(batch.columns(), &columns)
                .map(|(keys, &column)| arrow::compute::cast(keys, schema.field(column).data_type()))
                .collect::<Result<Vec<_>, _>>()
                .map_err(failed)?;
            values.extend(converter.convert_columns(&cast).map_err(failed)?.iter().map(|row| row.as_ref().into()));
        }
        Ok(Self { columns, converter, values })
    }

    fn have(&self, rows: &RecordBatch) -> Result<BooleanArray> {
        let encoded = self
            .converter
            .convert_columns(rows.columns())
            .map_err(|e| Error::bug("keys cannot be compared").cause(e))?;
        Ok(encoded.iter().map(|row| Some(self.values.contains(row.as_ref()))).collect())
    }
}

/// A table's rows as one partition of a plan; can be taken once.
pub(crate) struct LocatedRows {
    schema: SchemaRef,
    source: Mutex<Option<Source>>,
}

struct Source {
    lake: Lake,
    table: TableName,
    files: TableFiles,
    keys: Option<Keys>,
}

impl LocatedRows {
    /// Without keys, all rows.
    pub(crate) fn new(lake: &Lake, table: &TableName, files: TableFiles, keys: Option<Keys>) -> Self {
        let places = PLACE_COLUMNS.map(|name| Arc::new(Field::new(name, DataType::UInt32, false)));
        let schema = Schema::new(files.schema.fields().iter().cloned().chain(places).collect::<Vec<_>>());
        let source = Source { lake: lake.clone(), table: table.clone(), files, keys };
        Self { schema: Arc::new(schema), source: Mutex::new(Some(source)) }
    }
}

impl fmt::Debug for LocatedRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LocatedRows")
    }
}

impl PartitionStream for LocatedRows {
    fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    fn execute(&self, _: Arc<TaskContext>) -> SendableRecordBatchStream {
        let source = self.source.lock().unwrap_or_else(PoisonError::into_inner).take();
        let schema = Arc::clone(&self.schema);
        let batches = futures::stream::iter(source).flat_map(move |source| {
            let (schema, count) = (Arc::clone(&schema), source.files.files.len());
            let source = Arc::new(source);
            futures::stream::iter(0..count)
                .then(move |file| {
                    let (source, schema) = (Arc::clone(&source), Arc::clone(&schema));
                    async move { source.file(file, &schema).await }
                })
                .map_ok(|batches| futures::stream::iter(batches.into_iter().map(Ok::<_, Error>)))
                .try_flatten()
        });
        let batches = batches.map_err(|error| DataFusionError::External(Box::new(error)));
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

impl Source {
    async fn file(&self, number: usize, schema: &SchemaRef) -> Result<Vec<RecordBatch>> {
        let file = &self.files.files[number];
        let folder = self.lake.table_folder(&self.table);
        let located = match &self.keys {
            None => {
                let all: Vec<usize> = (0..self.files.schema.fields().len()).collect();
                read_columns(&self.lake, &folder, file, &self.files.schema, &all).await?
            }
            Some(keys) => {
                // The keys' columns say which rows; of the others, only their pages are read.
                let mut found = roaring::RoaringBitmap::new();
                for FileRows { rows, places } in
                    read_columns(&self.lake, &folder, file, &self.files.schema, &keys.columns).await?
                {
                    let wanted = filter(&places, &keys.have(&rows)?)
                        .map_err(|e| Error::bug("rows cannot be picked").cause(e))?;
                    let wanted = arrow::array::AsArray::as_primitive::<arrow::datatypes::UInt32Type>(&wanted);
                    found.extend(wanted.values().iter().copied());
                }
                if found.is_empty() {
                    return Ok(Vec::new());
                }
                let mut places = found.iter();
                let batches = read_rows(&self.lake, &folder, file, &self.files.schema, &found).await?;
                let located = batches.into_iter().map(|rows| {
                    let places = places.by_ref().take(rows.num_rows()).collect::<Vec<_>>();
                    FileRows { rows, places: places.into() }
                });
                located.collect()
            }
        };
        let placed = located.into_iter().map(|FileRows { rows, places }| {
            let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
            columns.push(Arc::new(UInt32Array::from(vec![number as u32; rows.num_rows()])));
            columns.push(Arc::new(places));
            RecordBatch::try_new(Arc::clone(schema), columns).map_err(|e| Error::bug("rows have no place").cause(e))
        });
        placed.collect()
    }
}
