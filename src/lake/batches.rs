//! What the lake asks of Arrow's batches.

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::concat_batches,
    datatypes::{DataType, SchemaRef},
};

use crate::error::{Error, Result};

/// The bytes of a batch's values. Views of texts share buffers, so their buffers' sizes say nothing.
pub(crate) fn content_bytes(batch: &RecordBatch) -> usize {
    let column = |column: &ArrayRef| match column.data_type() {
        // The low half of a view is its length.
        DataType::Utf8View => {
            column.as_string_view().views().iter().map(|view| (*view as u32) as usize).sum::<usize>()
                + 16 * column.len()
        }
        DataType::Utf8 => {
            let offsets = column.as_string::<i32>().value_offsets();
            let (first, last) = (offsets.first().copied(), offsets.last().copied());
            (last.unwrap_or_default() - first.unwrap_or_default()) as usize + 4 * column.len()
        }
        other => other.primitive_width().unwrap_or(8) * column.len(),
    };
    batch.columns().iter().map(column).sum()
}

/// One batch of many.
pub(crate) fn concat(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch> {
    concat_batches(schema, batches).map_err(|e| Error::bug("batches of one table do not fit together").cause(e))
}
