//! The rows of a table with the place of each, so that they can go: all of them, or those with certain keys.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{ArrayRef, RecordBatch, UInt32Array},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use datafusion::{
    common::{DataFusionError, runtime::SpawnedTask},
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{stream::RecordBatchStreamAdapter, streaming::PartitionStream},
};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _};

use super::{FileRows, Keys, Lake, TableFiles, TableName, lookup::lookup, read_columns};
use crate::error::{Error, Result};

/// The position of a row's file in the table's list, and of the row in its file: the last two columns.
const PLACE_COLUMNS: [&str; 2] = ["_file", "_row"];

/// Files that are read at once.
const READERS: usize = 2;

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
                .map(move |file| {
                    let (source, schema) = (Arc::clone(&source), Arc::clone(&schema));
                    let rows = SpawnedTask::spawn(async move { source.file(file, &schema).await });
                    rows.map(|rows| rows.map_err(|e| Error::bug("a reader stopped").cause(e)).flatten())
                })
                .buffered(READERS)
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
        let all: Vec<usize> = (0..self.files.schema.fields().len()).collect();
        let located = match &self.keys {
            None => read_columns(&self.lake, &folder, file, &self.files.schema, &all).await?,
            Some(keys) => lookup(&self.lake, &folder, file, &self.files.schema, keys, &all).await?,
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
