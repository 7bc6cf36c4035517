//! How values look to people and programs: the one place that turns Arrow arrays into text.
//!
//! A timestamp is UTC and shows no zone. A decimal is written out exactly. NULL is never text: the
//! callers decide what stands for it.

use std::{fmt::Write as _, sync::Arc};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, RecordBatch, make_array},
        compute::cast,
        datatypes::{DataType, Field, Float32Type, Float64Type, Schema, SchemaRef},
        error::ArrowError,
        util::display::{ArrayFormatter, FormatOptions},
    },
    error::Result,
};

/// The spelling of booleans and of the seam between date and time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spelling {
    /// `t`, `2024-05-01 12:30:00`: as PostgreSQL prints it.
    Postgres,
    /// `true`, `2024-05-01 12:30:00`: for people and CSV.
    Plain,
    /// `true`, `2024-05-01T12:30:00`: ISO 8601, for JSON.
    Iso,
}

/// The type a column has once it leaves the engine: no dictionaries, and timestamps without a zone.
pub fn shown_type(data_type: &DataType) -> DataType {
    match data_type {
        DataType::Timestamp(unit, Some(_)) => DataType::Timestamp(*unit, None),
        DataType::Dictionary(_, values) => shown_type(values),
        other => other.clone(),
    }
}

/// The schema of what leaves the engine; see [`shown_type`].
pub fn shown_schema(schema: &Schema) -> SchemaRef {
    let fields: Vec<Field> = schema
        .fields()
        .iter()
        .map(|field| field.as_ref().clone().with_data_type(shown_type(field.data_type())))
        .collect();
    Arc::new(Schema::new_with_metadata(fields, schema.metadata().clone()))
}

/// The batch in its [`shown_schema`], which the caller computed once for the whole result.
pub fn shown_batch(batch: &RecordBatch, shown: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let columns = batch.columns().iter().map(shown_array).collect::<Result<Vec<_>, _>>()?;
    RecordBatch::try_new(Arc::clone(shown), columns)
}

fn shown_array(array: &ArrayRef) -> Result<ArrayRef, ArrowError> {
    match array.data_type() {
        // The values are UTC already: only the label goes.
        DataType::Timestamp(unit, Some(_)) => {
            let data = array.to_data().into_builder().data_type(DataType::Timestamp(*unit, None)).build()?;
            Ok(make_array(data))
        }
        DataType::Dictionary(_, values) => shown_array(&cast(array, values)?),
        _ => Ok(Arc::clone(array)),
    }
}

/// Writes one column's values.
pub struct ColumnText<'a> {
    array: &'a dyn Array,
    spelling: Spelling,
    rest: ArrayFormatter<'a>,
}

impl<'a> ColumnText<'a> {
    pub fn new(array: &'a dyn Array, spelling: Spelling) -> Result<Self, ArrowError> {
        Ok(Self { array, spelling, rest: ArrayFormatter::try_new(array, &options(spelling))? })
    }

    /// Appends the value in `row`; `false`, and nothing appended, where it is NULL.
    pub fn write(&self, row: usize, out: &mut String) -> Result<bool, ArrowError> {
        if self.array.is_null(row) {
            return Ok(false);
        }
        match self.array.data_type() {
            DataType::Null => return Ok(false),
            DataType::Boolean if self.spelling == Spelling::Postgres => {
                out.push(if self.array.as_boolean().value(row) { 't' } else { 'f' });
            }
            DataType::Float32 => {
                let value = self.array.as_primitive::<Float32Type>().value(row);
                write_float(f64::from(value), value, out);
            }
            DataType::Float64 => {
                let value = self.array.as_primitive::<Float64Type>().value(row);
                write_float(value, value, out);
            }
            DataType::Binary | DataType::LargeBinary | DataType::BinaryView | DataType::FixedSizeBinary(_) => {
                out.push_str("\\x");
                self.write_rest(row, out)?;
            }
            DataType::Timestamp(..) | DataType::Date64 => {
                let start = out.len();
                self.write_rest(row, out)?;
                trim_fraction(out, start);
            }
            _ => self.write_rest(row, out)?,
        }
        Ok(true)
    }

    fn write_rest(&self, row: usize, out: &mut String) -> Result<(), ArrowError> {
        self.rest
            .value(row)
            .write(out)
            .map_err(|error| ArrowError::ComputeError(format!("a value cannot be shown: {error}")))
    }
}

fn options(spelling: Spelling) -> FormatOptions<'static> {
    let stamp = match spelling {
        Spelling::Iso => Some("%Y-%m-%dT%H:%M:%S%.f"),
        Spelling::Postgres | Spelling::Plain => Some("%Y-%m-%d %H:%M:%S%.f"),
    };
    FormatOptions::new()
        .with_display_error(false)
        .with_timestamp_format(stamp)
        .with_timestamp_tz_format(stamp)
        .with_datetime_format(stamp)
        .with_time_format(Some("%H:%M:%S%.f"))
}

/// The shortest text that reads back as the same number; `exact` is the value in its own width.
fn write_float(value: f64, exact: impl std::fmt::Display, out: &mut String) {
    if value.is_nan() {
        out.push_str("NaN");
    } else if value.is_infinite() {
        out.push_str(if value > 0.0 { "Infinity" } else { "-Infinity" });
    } else {
        // Writing to a `String` cannot fail.
        let _ = write!(out, "{exact}");
    }
}

/// `12:30:00.500` is `12:30:00.5`.
fn trim_fraction(out: &mut String, start: usize) {
    if out[start..].contains('.') {
        let kept = out.trim_end_matches('0').trim_end_matches('.').len();
        out.truncate(kept);
    }
}

#[cfg(test)]
mod tests {
    use datafusion::arrow::array::{
        BooleanArray, Decimal128Array, Float64Array, StringArray, TimestampMicrosecondArray,
    };

    use super::*;

    fn text(array: &dyn Array, spelling: Spelling) -> Vec<Option<String>> {
        let column = ColumnText::new(array, spelling).unwrap();
        (0..array.len())
            .map(|row| {
                let mut out = String::new();
                column.write(row, &mut out).unwrap().then_some(out)
            })
            .collect()
    }

    #[test]
    fn timestamps_show_utc_without_a_zone_and_without_idle_zeros() {
        let stamps =
            TimestampMicrosecondArray::from(vec![Some(1_714_566_600_000_000), Some(1_714_566_600_500_000), None])
                .with_timezone("UTC");
        let batch = RecordBatch::try_from_iter([("at", Arc::new(stamps) as ArrayRef)]).unwrap();
        let shown = shown_batch(&batch, &shown_schema(&batch.schema())).unwrap();
        assert_eq!(
            text(shown.column(0), Spelling::Plain),
            [Some("2024-05-01 12:30:00".into()), Some("2024-05-01 12:30:00.5".into()), None]
        );
        assert_eq!(text(shown.column(0), Spelling::Iso)[0].as_deref(), Some("2024-05-01T12:30:00"));
    }

    #[test]
    fn decimals_are_exact_and_floats_read_back() {
        let decimals =
            Decimal128Array::from(vec![i128::from(i64::MAX) * 1_000_000, -5]).with_precision_and_scale(38, 2).unwrap();
        assert_eq!(text(&decimals, Spelling::Plain), [Some("92233720368547758070000.00".into()), Some("-0.05".into())]);
        let floats = Float64Array::from(vec![0.1, f64::NAN, f64::NEG_INFINITY]);
        assert_eq!(
            text(&floats, Spelling::Postgres),
            [Some("0.1".into()), Some("NaN".into()), Some("-Infinity".into())]
        );
    }

    #[test]
    fn booleans_follow_the_spelling_and_null_is_not_text() {
        let flags = BooleanArray::from(vec![Some(true), None]);
        assert_eq!(text(&flags, Spelling::Postgres), [Some("t".into()), None]);
        assert_eq!(text(&flags, Spelling::Plain), [Some("true".into()), None]);
        assert_eq!(text(&StringArray::from(vec![Some(""), None]), Spelling::Plain), [Some(String::new()), None]);
    }
}
