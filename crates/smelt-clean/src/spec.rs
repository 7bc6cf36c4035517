//! What a clean row of an entity is: its columns, their kinds, and the rules a value must meet.

use std::{collections::HashSet, fmt, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use thiserror::Error;

use crate::{
    clean::Plan,
    value::{code, count, email, flag, identifier, money, status, text, timestamp},
};

/// The optional column that says what happened to the source row.
pub const OPERATION_COLUMN: &str = "_op";
/// Added to the rows: whether the record is a delete.
pub const DELETED_COLUMN: &str = "_deleted";
/// Added to the rows: the record's 1-based position in its file.
pub const POSITION_COLUMN: &str = "_position";

/// How the records of one entity become rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EntitySpec {
    /// The columns of a row, in order. Columns of a file are matched by exact name.
    pub columns: Vec<ColumnSpec>,
    /// Indexes of the business key's columns. They are always required.
    pub key: Vec<usize>,
    /// Index of the timestamp that orders the images of one row. It is always required.
    pub version: usize,
    /// Values that mean NULL, compared exactly after trimming.
    pub null_texts: Vec<String>,
}

/// One column of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ColumnSpec {
    pub name: String,
    pub kind: Kind,
    /// Whether NULL rejects the record (deletes excepted).
    pub required: bool,
    /// Takes the place of NULL. Written as a source would write it.
    pub default: Option<String>,
    /// The least clean value, for money, counts and timestamps.
    pub minimum: Option<String>,
    /// The greatest clean value, for money, counts and timestamps.
    pub maximum: Option<String>,
}

/// What the values of a column mean, and so how they are normalised; see [`value`](crate::value).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Kind {
    Text,
    Identifier,
    Email,
    Code,
    /// `aliases` map a normalised status to the one to use instead; they are not chained.
    Status {
        aliases: Vec<(String, String)>,
    },
    /// A decimal of `precision` digits, `scale` of them after the point.
    Money {
        precision: u8,
        scale: i8,
    },
    Count,
    Flag,
    Timestamp,
}

impl EntitySpec {
    /// Checks the spec.
    ///
    /// # Errors
    /// The first rule it breaks.
    pub fn validate(&self) -> Result<(), SpecError> {
        Plan::new(self).map(|_| ())
    }

    /// The types of the spec's columns: `Utf8View`, `Decimal128`, `Int32`, `Boolean`, and
    /// `Timestamp(Microsecond, None)` meaning UTC. Key and version are not nullable; anything else
    /// is, since a delete carries nothing else.
    pub fn schema(&self) -> SchemaRef {
        Arc::new(Schema::new(self.fields()))
    }

    /// The schema of [`Cleaned::rows`](crate::Cleaned::rows): the spec's columns, then
    /// `_deleted: Boolean` and `_position: UInt64`.
    pub fn rows_schema(&self) -> SchemaRef {
        let mut fields = self.fields();
        fields.push(Field::new(DELETED_COLUMN, DataType::Boolean, false));
        fields.push(Field::new(POSITION_COLUMN, DataType::UInt64, false));
        Arc::new(Schema::new(fields))
    }

    fn fields(&self) -> Vec<Field> {
        let field = |(index, column): (usize, &ColumnSpec)| {
            Field::new(&column.name, column.kind.data_type(), !self.identifies(index))
        };
        self.columns.iter().enumerate().map(field).collect()
    }

    /// Whether the column is part of the key or the version: all that is looked at in a delete.
    pub(crate) fn identifies(&self, column: usize) -> bool {
        column == self.version || self.key.contains(&column)
    }

    /// The rules that need no value to be parsed.
    pub(crate) fn check_shape(&self) -> Result<(), SpecError> {
        let mut names = HashSet::new();
        for column in &self.columns {
            let name = column.name.as_str();
            if [OPERATION_COLUMN, DELETED_COLUMN, POSITION_COLUMN].contains(&name) {
                return Err(SpecError::ReservedName { column: name.to_owned() });
            }
            if !names.insert(name) {
                return Err(SpecError::RepeatedColumn { column: name.to_owned() });
            }
            column.kind.check(name)?;
        }
        if self.key.is_empty() {
            return Err(SpecError::NoKey);
        }
        for &index in self.key.iter().chain([&self.version]) {
            if index >= self.columns.len() {
                return Err(SpecError::NoSuchColumn { index });
            }
        }
        let version = &self.columns[self.version];
        if version.kind != Kind::Timestamp {
            return Err(SpecError::VersionKind { column: version.name.clone(), kind: version.kind.name() });
        }
        Ok(())
    }
}

impl ColumnSpec {
    /// A column without default and bounds that may be NULL.
    pub fn new(name: impl Into<String>, kind: Kind) -> Self {
        Self { name: name.into(), kind, required: false, default: None, minimum: None, maximum: None }
    }
}

impl Kind {
    /// The kind's name in messages and test vectors.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Text => "text",
            Self::Identifier => "identifier",
            Self::Email => "email",
            Self::Code => "code",
            Self::Status { .. } => "status",
            Self::Money { .. } => "money",
            Self::Count => "count",
            Self::Flag => "flag",
            Self::Timestamp => "timestamp",
        }
    }

    /// The Arrow type of the kind's clean values.
    pub fn data_type(&self) -> DataType {
        match self {
            Self::Text | Self::Identifier | Self::Email | Self::Code | Self::Status { aliases: _ } => {
                DataType::Utf8View
            }
            Self::Money { precision, scale } => DataType::Decimal128(*precision, *scale),
            Self::Count => DataType::Int32,
            Self::Flag => DataType::Boolean,
            Self::Timestamp => DataType::Timestamp(TimeUnit::Microsecond, None),
        }
    }

    /// Grows whenever the kind's normaliser gives another result for some value.
    pub fn semantics_version(&self) -> u32 {
        match self {
            Self::Text => text::SEMANTICS_VERSION,
            Self::Identifier => identifier::SEMANTICS_VERSION,
            Self::Email => email::SEMANTICS_VERSION,
            Self::Code => code::SEMANTICS_VERSION,
            Self::Status { .. } => status::SEMANTICS_VERSION,
            Self::Money { .. } => money::SEMANTICS_VERSION,
            Self::Count => count::SEMANTICS_VERSION,
            Self::Flag => flag::SEMANTICS_VERSION,
            Self::Timestamp => timestamp::SEMANTICS_VERSION,
        }
    }

    fn check(&self, column: &str) -> Result<(), SpecError> {
        match self {
            Self::Money { precision, scale } => {
                let digits = 1..=money::MAX_PRECISION;
                let places = 0..=i16::from(*precision);
                if !digits.contains(precision) || !places.contains(&i16::from(*scale)) {
                    return Err(SpecError::MoneyDigits {
                        column: column.to_owned(),
                        precision: *precision,
                        scale: *scale,
                    });
                }
            }
            Self::Status { aliases } => {
                let mut buffer = String::new();
                let mut seen = HashSet::new();
                for (alias, _) in aliases {
                    let reachable = status::normalise(alias, &[], &mut buffer) == alias;
                    if !reachable || !seen.insert(alias) {
                        return Err(SpecError::Alias { column: column.to_owned(), alias: alias.clone() });
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// What is wrong with an [`EntitySpec`].
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecError {
    #[error("column name `{column}` is reserved")]
    ReservedName { column: String },
    #[error("column `{column}` is declared twice")]
    RepeatedColumn { column: String },
    #[error("an entity needs at least one key column")]
    NoKey,
    #[error("there is no column number {index}")]
    NoSuchColumn { index: usize },
    #[error("`{column}` orders the images of a row, so its kind must be timestamp, not {kind}")]
    VersionKind { column: String, kind: &'static str },
    #[error("`{column}` cannot be DECIMAL({precision},{scale}): precision is 1 to 38, scale 0 to precision")]
    MoneyDigits { column: String, precision: u8, scale: i8 },
    #[error(
        "status alias `{alias}` of `{column}` never applies: write it once, in lower case, with `_` for spaces and hyphens"
    )]
    Alias { column: String, alias: String },
    #[error("the {role} of `{column}` is not valid as {kind}: `{text}`")]
    Value { column: String, role: &'static str, kind: &'static str, text: String },
    #[error("`{column}` cannot have a {role}: only money, counts and timestamps have an order, {kind} has none")]
    Unordered { column: String, role: &'static str, kind: &'static str },
    #[error("no value of `{column}` is at least {minimum} and at most {maximum}")]
    NothingBetween { column: String, minimum: String, maximum: String },
    #[error("the default {default} of `{column}` is outside its bounds")]
    DefaultOutside { column: String, default: String },
}
