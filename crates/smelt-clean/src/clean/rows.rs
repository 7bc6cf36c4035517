//! From the raw values of a record to a row, or to the reasons why there is none.
//!
//! First every value is cleaned and every reason collected; only then is the row appended, so that
//! columns never have to be rolled back.

use std::sync::Arc;

use arrow::{
    array::{
        ArrayRef, BooleanBuilder, Decimal128Builder, Int32Builder, StringViewBuilder, TimestampMicrosecondBuilder,
        UInt64Builder,
    },
    datatypes::{DataType, SchemaRef},
    error::ArrowError,
    record_batch::RecordBatch,
};

use super::{
    plan::{Column, Plan, Value},
    record::{Raw, Record},
};
use crate::{
    Kind, Limits, Reason, Rejected,
    limits::cut,
    value::{code, count, email, flag, identifier, money, status, text, timestamp},
};

/// The rows and the rejected records of one block.
pub(super) struct Rows<'p, 'a> {
    plan: &'p Plan,
    limits: Limits,
    builders: Vec<Builder>,
    deleted: BooleanBuilder,
    positions: UInt64Builder,
    rejected: Vec<Rejected>,
    clean: Vec<Clean<'a>>,
    reasons: Vec<Reason>,
    buffer: String,
}

/// A value that may enter its column.
#[derive(Clone, Copy)]
enum Clean<'a> {
    Null,
    /// Trimmed, and normalised on its way into the column: that cannot fail.
    Text(Raw<'a>),
    /// The column's default text.
    Default,
    Money(i128),
    Count(i32),
    Flag(bool),
    Timestamp(i64),
}

enum Builder {
    Text(StringViewBuilder),
    Money(Decimal128Builder),
    Count(Int32Builder),
    Flag(BooleanBuilder),
    Timestamp(TimestampMicrosecondBuilder),
}

enum Operation {
    Upsert,
    Delete,
}

impl<'p, 'a> Rows<'p, 'a> {
    pub(super) fn new(plan: &'p Plan, limits: Limits, records: usize) -> Self {
        let builder = |column: &Column| Builder::new(&column.kind, records);
        Self {
            plan,
            limits,
            builders: plan.columns.iter().map(builder).collect(),
            deleted: BooleanBuilder::with_capacity(records),
            positions: UInt64Builder::with_capacity(records),
            rejected: Vec::new(),
            clean: Vec::with_capacity(plan.columns.len()),
            reasons: Vec::new(),
            buffer: String::new(),
        }
    }

    /// Makes a row of the record, or rejects it with all its reasons.
    pub(super) fn add(&mut self, record: &Record<'a>, position: u64, source: impl FnOnce() -> String) {
        let deleted = matches!(self.operation(record), Operation::Delete);
        self.clean.clear();
        for (index, column) in self.plan.columns.iter().enumerate() {
            let value = if deleted && !column.identifies {
                Clean::Null
            } else {
                self.settle(column, record, record.get(index))
            };
            self.clean.push(value);
        }
        if !self.reasons.is_empty() {
            let reasons = std::mem::take(&mut self.reasons);
            return self.reject(position, reasons, source());
        }
        let columns = self.plan.columns.iter().zip(&mut self.builders);
        for ((column, builder), value) in columns.zip(&self.clean) {
            builder.append(column, *value, record, &mut self.buffer);
        }
        self.deleted.append_value(deleted);
        self.positions.append_value(position);
    }

    pub(super) fn reject(&mut self, position: u64, reasons: Vec<Reason>, record: String) {
        self.rejected.push(Rejected { position, reasons, record });
    }

    pub(super) fn finish(self, schema: SchemaRef) -> Result<(RecordBatch, Vec<Rejected>), ArrowError> {
        let (mut deleted, mut positions) = (self.deleted, self.positions);
        let added: [ArrayRef; 2] = [Arc::new(deleted.finish()), Arc::new(positions.finish())];
        let columns = self.builders.into_iter().map(Builder::finish);
        let rows = RecordBatch::try_new(schema, columns.chain(added).collect())?;
        Ok((rows, self.rejected))
    }

    fn operation(&mut self, record: &Record<'a>) -> Operation {
        let value = record.trim(record.get(self.plan.operation()));
        let Some(text) = record.text(value) else {
            return Operation::Upsert;
        };
        if text.is_empty() || self.plan.null_texts.contains(text) {
            return Operation::Upsert;
        }
        match text.as_bytes() {
            [b'i' | b'I' | b'c' | b'C' | b'u' | b'U'] => Operation::Upsert,
            [b'd' | b'D'] => Operation::Delete,
            _ => {
                let value = cut(text, self.limits.kept_value_bytes);
                self.reasons.push(Reason::UnknownOperation { value });
                Operation::Upsert
            }
        }
    }

    /// Takes a value through all the rules of its column.
    fn settle(&mut self, column: &Column, record: &Record<'a>, value: Raw<'a>) -> Clean<'a> {
        let value = record.trim(value);
        let parsed = match (record.text(value), value) {
            (Some(text), _) if self.plan.null_texts.contains(text) => Some(Clean::Null),
            (Some(text), _) => parse(&column.kind, text, value),
            (None, Raw::Instant(instant, unit)) => timestamp::from_unit(instant, unit).map(Clean::Timestamp),
            (None, _) => Some(Clean::Null),
        };
        let Some(parsed) = parsed else {
            self.reasons.push(Reason::Unparsable {
                column: column.name.clone(),
                kind: column.kind.name(),
                value: match (record.text(value), value) {
                    (Some(text), _) => cut(text, self.limits.kept_value_bytes),
                    (None, Raw::Instant(instant, unit)) => {
                        format!("{instant} {unit:?}s since 1970")
                    }
                    (None, _) => String::new(),
                },
            });
            return Clean::Null;
        };
        let settled = match parsed {
            Clean::Null => column.default(),
            value => value,
        };
        match settled {
            Clean::Null if column.required => self.reasons.push(Reason::Required { column: column.name.clone() }),
            Clean::Money(amount) => self.check_bounds(column, amount),
            Clean::Count(count) => self.check_bounds(column, i128::from(count)),
            Clean::Timestamp(micros) => self.check_bounds(column, i128::from(micros)),
            _ => {}
        }
        settled
    }

    fn check_bounds(&mut self, column: &Column, number: i128) {
        if number < column.minimum {
            self.reasons.push(Reason::BelowMinimum {
                column: column.name.clone(),
                value: column.show(number),
                minimum: column.show(column.minimum),
            });
        }
        if number > column.maximum {
            self.reasons.push(Reason::AboveMaximum {
                column: column.name.clone(),
                value: column.show(number),
                maximum: column.show(column.maximum),
            });
        }
    }
}

/// A trimmed text that is not NULL as a value of `kind`; none when it is not one.
fn parse<'a>(kind: &Kind, text: &str, value: Raw<'a>) -> Option<Clean<'a>> {
    match kind {
        Kind::Text | Kind::Identifier | Kind::Email | Kind::Code | Kind::Status { aliases: _ } => {
            Some(Clean::Text(value))
        }
        Kind::Money { precision, scale } => money::parse(text, *precision, *scale).map(Clean::Money),
        Kind::Count => count::parse(text).map(Clean::Count),
        Kind::Flag => flag::parse(text).map(Clean::Flag),
        Kind::Timestamp => timestamp::parse(text).map(Clean::Timestamp),
    }
}

impl Column {
    fn default<'a>(&self) -> Clean<'a> {
        match self.default {
            None => Clean::Null,
            Some(Value::Text(_)) => Clean::Default,
            Some(Value::Money(amount)) => Clean::Money(amount),
            Some(Value::Count(count)) => Clean::Count(count),
            Some(Value::Flag(flag)) => Clean::Flag(flag),
            Some(Value::Timestamp(micros)) => Clean::Timestamp(micros),
        }
    }
}

impl Builder {
    fn new(kind: &Kind, capacity: usize) -> Self {
        match kind.data_type() {
            decimal @ DataType::Decimal128(..) => {
                Self::Money(Decimal128Builder::with_capacity(capacity).with_data_type(decimal))
            }
            DataType::Int32 => Self::Count(Int32Builder::with_capacity(capacity)),
            DataType::Boolean => Self::Flag(BooleanBuilder::with_capacity(capacity)),
            DataType::Timestamp(..) => Self::Timestamp(TimestampMicrosecondBuilder::with_capacity(capacity)),
            _ => Self::Text(StringViewBuilder::with_capacity(capacity)),
        }
    }

    fn append(&mut self, column: &Column, value: Clean<'_>, record: &Record<'_>, buffer: &mut String) {
        match (self, value) {
            (Self::Text(builder), Clean::Text(raw)) => {
                let trimmed = record.text(raw).unwrap_or_default();
                builder.append_value(match &column.kind {
                    Kind::Identifier => identifier::normalise(trimmed, buffer),
                    Kind::Email => email::normalise(trimmed, buffer),
                    Kind::Code => code::normalise(trimmed, buffer),
                    Kind::Status { aliases } => status::normalise(trimmed, aliases, buffer),
                    _ => text::normalise(trimmed),
                });
            }
            (Self::Text(builder), _) => match (&column.default, value) {
                (Some(Value::Text(default)), Clean::Default) => builder.append_value(default),
                _ => builder.append_null(),
            },
            (Self::Money(builder), Clean::Money(amount)) => builder.append_value(amount),
            (Self::Count(builder), Clean::Count(count)) => builder.append_value(count),
            (Self::Flag(builder), Clean::Flag(flag)) => builder.append_value(flag),
            (Self::Timestamp(builder), Clean::Timestamp(micros)) => builder.append_value(micros),
            (Self::Money(builder), _) => builder.append_null(),
            (Self::Count(builder), _) => builder.append_null(),
            (Self::Flag(builder), _) => builder.append_null(),
            (Self::Timestamp(builder), _) => builder.append_null(),
        }
    }

    fn finish(self) -> ArrayRef {
        match self {
            Self::Text(mut builder) => Arc::new(builder.finish()),
            Self::Money(mut builder) => Arc::new(builder.finish()),
            Self::Count(mut builder) => Arc::new(builder.finish()),
            Self::Flag(mut builder) => Arc::new(builder.finish()),
            Self::Timestamp(mut builder) => Arc::new(builder.finish()),
        }
    }
}
