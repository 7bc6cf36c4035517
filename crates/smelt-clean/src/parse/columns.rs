//! Typed columns, as Parquet has them, read back as records of texts.
//!
//! A timestamp column whose values become timestamps keeps its type: without a zone it is UTC, with
//! one it is stored in UTC. Any other type goes through its usual text, so that a value means the
//! same in every format. A nested value makes its record unreadable, as in JSON.

use std::fmt::{self, Write};

use arrow::{
    array::{Array, ArrayRef, AsArray, BinaryViewArray, Int64Array, StringViewArray},
    buffer::NullBuffer,
    compute::{can_cast_types, cast},
    datatypes::{DataType, Int64Type, TimeUnit},
    error::ArrowError,
    record_batch::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};

use crate::{
    Kind,
    clean::{Plan, Raw, Record, UnknownColumns},
    limits::cut,
};

/// Parses the records of one batch.
pub(crate) struct ColumnParser<'b> {
    batch: &'b RecordBatch,
    columns: Vec<Column<'b>>,
}

struct Column<'b> {
    name: &'b str,
    /// Its index in the plan, if it is known there.
    index: Option<usize>,
    source: &'b ArrayRef,
    nulls: Option<NullBuffer>,
    values: Values,
}

enum Values {
    Texts(StringViewArray),
    Bytes(BinaryViewArray),
    Instants(Int64Array, TimeUnit),
    /// Nested, or of a type without a text.
    Unreadable,
}

impl<'b> ColumnParser<'b> {
    pub(crate) fn new(batch: &'b RecordBatch, plan: &Plan) -> Result<Self, ArrowError> {
        let schema = batch.schema_ref();
        let mut columns = Vec::with_capacity(batch.num_columns());
        for (field, source) in schema.fields().iter().zip(batch.columns()) {
            let index = plan.index_of(field.name());
            let kind = index.and_then(|index| plan.columns.get(index));
            let kind = kind.map(|column| &column.kind);
            columns.push(Column {
                name: field.name(),
                index,
                source,
                nulls: source.logical_nulls(),
                values: Values::new(source, kind)?,
            });
        }
        Ok(Self { batch, columns })
    }

    pub(crate) fn records(&self) -> usize {
        self.batch.num_rows()
    }

    /// Fills `record` from a row, or tells why the row cannot be read.
    pub(crate) fn parse<'a>(
        &'a self,
        row: usize,
        record: &mut Record<'a>,
        unknown: &mut UnknownColumns,
    ) -> Result<(), Unreadable<'a>> {
        for column in &self.columns {
            let value = column.value(row)?;
            match column.index {
                Some(index) => record.set(index, value),
                None => unknown.see(column.name),
            }
        }
        Ok(())
    }

    /// The record as a JSON object of its values' texts.
    pub(crate) fn show(&self, row: usize, limit: usize) -> String {
        let mut shown = Bounded { text: String::new(), limit };
        match self.write(row, &mut shown) {
            Ok(()) => shown.text,
            Err(fmt::Error) => shown.text + " … (cut)",
        }
    }

    fn write(&self, row: usize, shown: &mut Bounded) -> fmt::Result {
        let options = FormatOptions::new().with_display_error(true);
        let mut separator = "";
        shown.write_str("{")?;
        for column in &self.columns {
            if column.is_null(row) {
                continue;
            }
            write!(shown, "{separator}")?;
            write_json(shown, column.name)?;
            shown.write_str(": ")?;
            if let Ok(Raw::Text(text)) = column.value(row) {
                write_json(shown, text)?;
            } else {
                // Nested values can be large: they are written through the bound, too.
                let mut text = Bounded { text: String::new(), limit: shown.limit };
                let formatter = ArrayFormatter::try_new(column.source, &options);
                let written = formatter.map(|formatter| write!(text, "{}", formatter.value(row)));
                write_json(shown, &text.text)?;
                written.unwrap_or_else(|_| shown.write_str("?"))?;
            }
            separator = ", ";
        }
        shown.write_str("}")
    }
}

impl Column<'_> {
    fn is_null(&self, row: usize) -> bool {
        self.nulls.as_ref().is_some_and(|nulls| nulls.is_null(row))
    }

    fn value(&self, row: usize) -> Result<Raw<'_>, Unreadable<'_>> {
        if self.is_null(row) {
            return Ok(Raw::Null);
        }
        match &self.values {
            Values::Texts(texts) if texts.is_valid(row) => Ok(Raw::Text(texts.value(row))),
            Values::Instants(instants, unit) => Ok(Raw::Instant(instants.value(row), *unit)),
            Values::Bytes(bytes) => match simdutf8::basic::from_utf8(bytes.value(row)) {
                Ok(text) => Ok(Raw::Text(text)),
                Err(_) => Err(Unreadable::InvalidUtf8 { column: self.name }),
            },
            Values::Texts(_) | Values::Unreadable => {
                Err(Unreadable::NoText { column: self.name, data_type: self.source.data_type() })
            }
        }
    }
}

impl Values {
    fn new(source: &ArrayRef, kind: Option<&Kind>) -> Result<Self, ArrowError> {
        Ok(match source.data_type() {
            DataType::Timestamp(unit, _) => {
                let instants = cast(source, &DataType::Int64)?;
                if kind == Some(&Kind::Timestamp) {
                    Self::Instants(instants.as_primitive::<Int64Type>().clone(), *unit)
                } else {
                    // Without its zone's name, the text is that of the instant in UTC.
                    Self::texts(&cast(&instants, &DataType::Timestamp(*unit, None))?)?
                }
            }
            DataType::Binary | DataType::LargeBinary | DataType::FixedSizeBinary(_) | DataType::BinaryView => {
                let bytes = cast(source, &DataType::Binary)?;
                Self::Bytes(cast(&bytes, &DataType::BinaryView)?.as_binary_view().clone())
            }
            nested if nested.is_nested() => Self::Unreadable,
            other if can_cast_types(other, &DataType::Utf8View) => Self::texts(source)?,
            _ => Self::Unreadable,
        })
    }

    fn texts(source: &dyn Array) -> Result<Self, ArrowError> {
        let texts = cast(source, &DataType::Utf8View)?;
        Ok(Self::Texts(texts.as_string_view().clone()))
    }
}

/// Why a row cannot be read.
#[derive(Debug)]
pub(crate) enum Unreadable<'a> {
    NoText { column: &'a str, data_type: &'a DataType },
    InvalidUtf8 { column: &'a str },
}

impl fmt::Display for Unreadable<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoText { column, data_type } => {
                let data_type = cut(&data_type.to_string(), 100);
                write!(formatter, "`{column}` has a value of type {data_type}")
            }
            Self::InvalidUtf8 { column } => write!(formatter, "`{column}` is not UTF-8"),
        }
    }
}

/// Text that stops growing.
struct Bounded {
    text: String,
    limit: usize,
}

impl Write for Bounded {
    fn write_str(&mut self, more: &str) -> fmt::Result {
        let room = self.limit - self.text.len();
        self.text.push_str(&more[..more.floor_char_boundary(room)]);
        if more.len() > room { Err(fmt::Error) } else { Ok(()) }
    }
}

fn write_json(to: &mut impl Write, text: &str) -> fmt::Result {
    to.write_char('"')?;
    let mut from = 0;
    for (at, character) in text.char_indices() {
        if matches!(character, '"' | '\\' | '\0'..' ') {
            to.write_str(&text[from..at])?;
            match character {
                '"' | '\\' => write!(to, "\\{character}")?,
                _ => write!(to, "\\u{:04x}", u32::from(character))?,
            }
            from = at + character.len_utf8();
        }
    }
    to.write_str(&text[from..])?;
    to.write_char('"')
}
