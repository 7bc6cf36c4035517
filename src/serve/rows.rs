//! Answers in PostgreSQL's wire formats: the types columns are announced as, and their values as text
//! or binary.
//!
//! Decimals keep all their digits, and timestamps go out as `timestamp` without a zone.

use std::sync::Arc;

use bytes::{BufMut as _, BytesMut};
use datafusion::arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch},
    compute::cast,
    datatypes::{
        DataType, Date32Type, Decimal128Type, Field, Float32Type, Float64Type, Int16Type, Int32Type, Int64Type, Schema,
        TimeUnit, TimestampMicrosecondType,
    },
    error::ArrowError,
};
use datafusion_postgres::{
    arrow_pg::{
        datatypes::{PG_OID_ALIAS_KEY, field_into_pg_type},
        encoder::encode_value,
    },
    pgwire::{
        api::{
            Type,
            portal::Format,
            results::{DataRowEncoder, FieldFormat, FieldInfo, QueryResponse},
        },
        error::{PgWireError, PgWireResult},
        messages::data::DataRow,
    },
};
use futures::{StreamExt as _, stream};

use super::wire_error;
use crate::query::{Answer, ColumnText, Spelling, SqlError, shown_type};

/// Days and microseconds from 1970-01-01, where Arrow counts from, to 2000-01-01, where PostgreSQL does.
const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// The PostgreSQL type a column is announced as.
pub(super) fn pg_type(field: &Field) -> PgWireResult<Type> {
    match shown_type(field.data_type()) {
        DataType::Decimal32(..) | DataType::Decimal64(..) | DataType::Decimal256(..) => Ok(Type::NUMERIC),
        shown => field_into_pg_type(&Arc::new(field.clone().with_data_type(shown))),
    }
}

/// The announced columns of a result; `formats` must fit them (see [`fits`]).
pub(super) fn fields(schema: &Schema, formats: &Format) -> PgWireResult<Vec<FieldInfo>> {
    let announce = |(position, field): (usize, &Arc<Field>)| {
        let info = FieldInfo::new(field.name().clone(), None, None, pg_type(field)?, formats.format_for(position));
        Ok(match field.data_type() {
            DataType::Decimal128(precision, scale) | DataType::Decimal256(precision, scale) if *scale >= 0 => {
                info.with_type_modifier(((i32::from(*precision) << 16) | i32::from(*scale)) + 4)
            }
            _ => info,
        })
    };
    schema.fields().iter().enumerate().map(announce).collect()
}

/// Whether a client's format codes are for so many values.
pub(super) fn fits(formats: &Format, count: usize) -> PgWireResult<()> {
    match formats {
        Format::Individual(codes) if codes.len() != count => {
            let message = format!("the message has {} format codes for {count} values", codes.len());
            Err(wire_error(SqlError::new("08P01", message)))
        }
        _ => Ok(()),
    }
}

/// The answer as a stream of rows; it holds the answer's view until it is dropped.
pub(super) fn response(answer: Answer, fields: Vec<FieldInfo>, tag: &str) -> QueryResponse {
    let fields = Arc::new(fields);
    let announced = Arc::clone(&fields);
    let batches = stream::unfold(answer, |mut answer| async move { answer.next().await.map(|batch| (batch, answer)) });
    let rows = batches.flat_map(move |batch| {
        let encoded = batch.map_err(wire_error).and_then(|batch| encode(&batch, &announced));
        stream::iter(match encoded {
            Ok(rows) => rows.into_iter().map(Ok).collect::<Vec<_>>(),
            Err(error) => vec![Err(error)],
        })
    });
    // A cursor may be asked again after its last row.
    let mut response = QueryResponse::new(fields, rows.fuse());
    response.set_command_tag(tag);
    response
}

/// One row of texts, for `SHOW`.
pub(super) fn texts(names: &[&str], rows: Vec<Vec<Option<String>>>, tag: &str) -> QueryResponse {
    let fields = names
        .iter()
        .map(|name| FieldInfo::new((*name).to_owned(), None, None, Type::TEXT, FieldFormat::Text))
        .collect();
    let rows = rows.into_iter().map(|cells| {
        let mut row = BytesMut::new();
        for cell in &cells {
            put(cell.as_ref().map(String::as_bytes), &mut row)?;
        }
        Ok(DataRow::new(row, cells.len() as i16))
    });
    let mut response = QueryResponse::new(Arc::new(fields), stream::iter(rows.collect::<Vec<_>>()));
    response.set_command_tag(tag);
    response
}

fn encode(batch: &RecordBatch, fields: &[FieldInfo]) -> PgWireResult<Vec<DataRow>> {
    let columns: Vec<Column<'_>> = batch
        .columns()
        .iter()
        .zip(batch.schema_ref().fields())
        .zip(fields)
        .map(|((array, field), info)| Column::new(array, field, info))
        .collect::<PgWireResult<_>>()?;
    (0..batch.num_rows())
        .map(|row| {
            let mut out = BytesMut::with_capacity(16 * columns.len());
            for column in &columns {
                column.put(row, &mut out)?;
            }
            Ok(DataRow::new(out, columns.len() as i16))
        })
        .collect()
}

/// How one column's values are written.
enum Column<'a> {
    Text(ColumnText<'a>),
    Binary(ArrayRef, Binary),
    /// Arrays, structures and names of the catalogue.
    Library(ArrayRef, &'a Field, &'a FieldInfo),
}

#[derive(Clone, Copy)]
enum Binary {
    Boolean,
    Int16,
    Int32,
    Int64,
    Float32,
    Float64,
    Decimal { scale: u16 },
    Date,
    Timestamp,
    Text,
}

impl<'a> Column<'a> {
    fn new(array: &'a ArrayRef, field: &'a Field, info: &'a FieldInfo) -> PgWireResult<Self> {
        let as_text = info.format() == FieldFormat::Text;
        let library = || Self::Library(Arc::clone(array), field, info);
        if array.data_type().is_nested() || (!as_text && field.metadata().contains_key(PG_OID_ALIAS_KEY)) {
            return Ok(library());
        }
        if as_text {
            return Ok(Self::Text(ColumnText::new(array.as_ref(), Spelling::Postgres).map_err(unshowable)?));
        }
        let (as_type, how) = match array.data_type() {
            DataType::Boolean => (DataType::Boolean, Binary::Boolean),
            DataType::Int8 | DataType::Int16 | DataType::UInt8 => (DataType::Int16, Binary::Int16),
            DataType::Int32 | DataType::UInt16 => (DataType::Int32, Binary::Int32),
            DataType::Int64 | DataType::UInt32 => (DataType::Int64, Binary::Int64),
            DataType::Float16 | DataType::Float32 => (DataType::Float32, Binary::Float32),
            DataType::Float64 => (DataType::Float64, Binary::Float64),
            DataType::Decimal128(precision, scale) if *scale >= 0 => {
                (DataType::Decimal128(*precision, *scale), Binary::Decimal { scale: scale.unsigned_abs().into() })
            }
            DataType::UInt64 => (DataType::Decimal128(20, 0), Binary::Decimal { scale: 0 }),
            DataType::Date32 | DataType::Date64 if info.datatype() == &Type::DATE => (DataType::Date32, Binary::Date),
            DataType::Timestamp(..) => (DataType::Timestamp(TimeUnit::Microsecond, None), Binary::Timestamp),
            DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => (DataType::Utf8View, Binary::Text),
            _ => return Ok(library()),
        };
        Ok(Self::Binary(cast(array, &as_type).map_err(unshowable)?, how))
    }

    fn put(&self, row: usize, out: &mut BytesMut) -> PgWireResult<()> {
        match self {
            Self::Text(column) => {
                let mut text = String::new();
                let present = column.write(row, &mut text).map_err(unshowable)?;
                put(present.then_some(text.as_bytes()), out)
            }
            Self::Binary(array, _) if array.is_null(row) => put(None, out),
            Self::Binary(array, how) => how.put(array, row, out),
            Self::Library(array, field, info) => {
                let mut encoder = DataRowEncoder::new(Arc::new(vec![(*info).clone()]));
                encode_value(&mut encoder, array, row, field, info)?;
                out.extend_from_slice(&encoder.take_row().data);
                Ok(())
            }
        }
    }
}

impl Binary {
    fn put(self, array: &ArrayRef, row: usize, out: &mut BytesMut) -> PgWireResult<()> {
        match self {
            Self::Boolean => put(Some(&[u8::from(array.as_boolean().value(row))]), out),
            Self::Int16 => put(Some(&array.as_primitive::<Int16Type>().value(row).to_be_bytes()), out),
            Self::Int32 => put(Some(&array.as_primitive::<Int32Type>().value(row).to_be_bytes()), out),
            Self::Int64 => put(Some(&array.as_primitive::<Int64Type>().value(row).to_be_bytes()), out),
            Self::Float32 => put(Some(&array.as_primitive::<Float32Type>().value(row).to_be_bytes()), out),
            Self::Float64 => put(Some(&array.as_primitive::<Float64Type>().value(row).to_be_bytes()), out),
            Self::Decimal { scale } => {
                put(Some(&numeric(array.as_primitive::<Decimal128Type>().value(row), scale)), out)
            }
            Self::Date => {
                let days =
                    array.as_primitive::<Date32Type>().value(row).checked_sub(EPOCH_DAYS).ok_or_else(out_of_range)?;
                put(Some(&days.to_be_bytes()), out)
            }
            Self::Timestamp => {
                let micros = array.as_primitive::<TimestampMicrosecondType>().value(row);
                put(Some(&micros.checked_sub(EPOCH_MICROS).ok_or_else(out_of_range)?.to_be_bytes()), out)
            }
            Self::Text => put(Some(array.as_string_view().value(row).as_bytes()), out),
        }
    }
}

/// A field of a `DataRow`: its length, -1 for NULL, and its bytes.
fn put(value: Option<&[u8]>, out: &mut BytesMut) -> PgWireResult<()> {
    match value {
        None => out.put_i32(-1),
        Some(bytes) => {
            out.put_i32(i32::try_from(bytes.len()).map_err(|_| out_of_range())?);
            out.put_slice(bytes);
        }
    }
    Ok(())
}

/// PostgreSQL's binary numeric: groups of four decimal digits around the point.
pub(super) fn numeric(value: i128, scale: u16) -> Vec<u8> {
    const NEGATIVE: u16 = 0x4000;
    let digits = format!("{:0>width$}", value.unsigned_abs(), width = usize::from(scale) + 1);
    let (whole, fraction) = digits.split_at(digits.len() - usize::from(scale));
    // Whole digits are grouped from the point to the left, fraction digits from the point to the right.
    let padded = format!(
        "{}{whole}{fraction}{}",
        "0".repeat((4 - whole.len() % 4) % 4),
        "0".repeat((4 - fraction.len() % 4) % 4)
    );
    let groups: Vec<i16> = padded
        .as_bytes()
        .chunks(4)
        .map(|group| group.iter().fold(0, |sum, digit| sum * 10 + i16::from(digit - b'0')))
        .collect();
    let mut weight = (whole.len().div_ceil(4)) as i16 - 1;
    let leading = groups.iter().take_while(|group| **group == 0).count();
    let trailing = groups.iter().rev().take_while(|group| **group == 0).count();
    let kept = if leading == groups.len() { &[][..] } else { &groups[leading..groups.len() - trailing] };
    weight = if kept.is_empty() { 0 } else { weight - leading as i16 };

    let mut out = Vec::with_capacity(8 + 2 * kept.len());
    out.put_i16(kept.len() as i16);
    out.put_i16(weight);
    out.put_u16(if value < 0 { NEGATIVE } else { 0 });
    out.put_u16(scale);
    for group in kept {
        out.put_i16(*group);
    }
    out
}

fn unshowable(error: ArrowError) -> PgWireError {
    wire_error(SqlError::new("22000", error.to_string()))
}

fn out_of_range() -> PgWireError {
    wire_error(SqlError::new("22008", "a value is out of the range of its wire type"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What PostgreSQL's `numeric_send` gives, as 16-bit words.
    fn words(value: i128, scale: u16) -> Vec<u16> {
        numeric(value, scale).chunks(2).map(|pair| u16::from_be_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn numerics_have_postgres_groups_weight_and_sign() {
        assert_eq!(words(0, 2), [0, 0, 0, 2]);
        assert_eq!(words(1250, 2), [2, 0, 0, 2, 12, 5000]);
        assert_eq!(words(-1250, 2), [2, 0, 0x4000, 2, 12, 5000]);
        assert_eq!(words(5, 2), [1, 0xFFFF, 0, 2, 500]);
        assert_eq!(words(5, 6), [1, 0xFFFE, 0, 6, 500]);
        assert_eq!(words(100_000_000, 0), [1, 2, 0, 0, 1]);
        assert_eq!(words(123_456_789, 4), [3, 1, 0, 4, 1, 2345, 6789]);
        assert_eq!(words(i128::from(i64::MAX), 0), [5, 4, 0, 0, 922, 3372, 368, 5477, 5807]);
    }
}
