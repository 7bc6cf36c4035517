//! As what Arrow types the columns of a Parquet file are read.

use std::sync::Arc;

use arrow::{
    array::{Array, ArrayRef, FixedSizeBinaryArray, StringViewBuilder},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit},
    error::ArrowError,
    record_batch::RecordBatch,
};
use parquet::{
    basic::{LogicalType, Type as PhysicalType},
    schema::types::TypePtr,
};

/// The types to ask the reader for: those it would choose, but for a few.
pub(super) fn to_read(chosen: &Schema, columns: &[TypePtr]) -> SchemaRef {
    let fields = chosen.fields().iter().zip(columns);
    let fields = fields.map(|(field, column)| {
        let data_type = match field.data_type() {
            // Views share a page's bytes, however often a long value is repeated.
            DataType::Utf8 => DataType::Utf8View,
            DataType::Binary => DataType::BinaryView,
            // Nanoseconds do not reach all years.
            DataType::Timestamp(..) if is_int96(column) => DataType::Timestamp(TimeUnit::Microsecond, None),
            other => other.clone(),
        };
        Field::clone(field).with_data_type(data_type)
    });
    Arc::new(Schema::new(fields.collect::<Vec<_>>()))
}

fn is_int96(column: &TypePtr) -> bool {
    column.is_primitive() && column.get_physical_type() == PhysicalType::INT96
}

/// Indexes of the columns that hold UUIDs.
pub(super) fn uuids(columns: &[TypePtr]) -> Vec<usize> {
    let is_uuid = |index: &usize| columns[*index].get_basic_info().logical_type_ref() == Some(&LogicalType::Uuid);
    (0..columns.len()).filter(is_uuid).collect()
}

/// Gives UUIDs their usual text, since Arrow has no type for them.
pub(super) fn with_uuid_texts(batch: RecordBatch, uuids: &[usize]) -> Result<RecordBatch, ArrowError> {
    if uuids.is_empty() {
        return Ok(batch);
    }
    let (schema, mut columns, _) = batch.into_parts();
    let mut fields: Vec<Field> = schema.fields().iter().map(|field| Field::clone(field)).collect();
    for &index in uuids {
        if let Some(bytes) = columns[index].as_any().downcast_ref::<FixedSizeBinaryArray>() {
            columns[index] = uuid_texts(bytes);
            fields[index].set_data_type(DataType::Utf8View);
        }
    }
    RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)
}

fn uuid_texts(uuids: &FixedSizeBinaryArray) -> ArrayRef {
    let mut texts = StringViewBuilder::with_capacity(uuids.len());
    let mut text = String::new();
    for uuid in uuids {
        let Some(bytes) = uuid else {
            texts.append_null();
            continue;
        };
        text.clear();
        for (index, byte) in bytes.iter().enumerate() {
            if [4, 6, 8, 10].contains(&index) {
                text.push('-');
            }
            for digit in [byte >> 4, byte & 15] {
                text.extend(char::from_digit(u32::from(digit), 16));
            }
        }
        texts.append_value(&text);
    }
    Arc::new(texts.finish())
}
