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
    common::DataFusionError,
    execution::{SendableRecordBatchStream, TaskContext},
    physical_plan::{stream::RecordBatchStreamAdapter, streaming::PartitionStream},
};
use futures::StreamExt as _;

use super::{FileRows, Keys, Lake, PlacedRows, TableFiles, TableName, placed_rows};
use crate::error::{Error, Result};

/// The position of a row's file in the table's list, and of the row in its file: the last two columns.
const PLACE_COLUMNS: [&str; 2] = ["_file", "_row"];

/// A table's rows as one partition of a plan; can be taken once.
pub(crate) struct LocatedRows {
    schema: SchemaRef,
    rows: Mutex<Option<PlacedRows>>,
}

impl LocatedRows {
    /// Without keys, all rows.
    pub(crate) fn new(lake: &Lake, table: &TableName, files: &TableFiles, keys: Option<Keys>) -> Self {
        let places = PLACE_COLUMNS.map(|name| Arc::new(Field::new(name, DataType::UInt32, false)));
        let schema = Schema::new(files.schema.fields().iter().cloned().chain(places).collect::<Vec<_>>());
        let all = (0..files.schema.fields().len()).collect();
        Self { schema: Arc::new(schema), rows: Mutex::new(Some(placed_rows(lake, table, files, keys, all))) }
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
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).take();
        let schema = Arc::clone(&self.schema);
        let batches = futures::stream::iter(rows).flatten().map(move |found| {
            found
                .and_then(|(file, rows)| placed(&schema, file, rows))
                .map_err(|error| DataFusionError::External(Box::new(error)))
        });
        Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches))
    }
}

fn placed(schema: &SchemaRef, file: usize, FileRows { rows, places }: FileRows) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    columns.push(Arc::new(UInt32Array::from(vec![file as u32; rows.num_rows()])));
    columns.push(Arc::new(places));
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|e| Error::bug("rows have no place").cause(e))
}
