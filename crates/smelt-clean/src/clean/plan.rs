//! An entity spec made ready for use: checked, with defaults and bounds parsed and names indexed.

use std::collections::HashMap;

use crate::{
    EntitySpec, Kind, OPERATION_COLUMN, SpecError,
    value::{code, count, email, flag, identifier, money, status, timestamp, white_space},
};

pub(crate) struct Plan {
    pub(crate) columns: Vec<Column>,
    pub(crate) null_texts: NullTexts,
    /// Index by name; that of `_op` is the number of columns.
    by_name: HashMap<String, usize>,
}

pub(crate) struct Column {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
    /// Part of the key or the version: looked at in a delete, too.
    pub(crate) identifies: bool,
    pub(crate) default: Option<Value>,
    /// Bounds on the number behind the value: an amount's units, a count, a timestamp's
    /// microseconds. The least and greatest number stand for no bound.
    pub(crate) minimum: i128,
    pub(crate) maximum: i128,
}

/// A clean value that belongs to the spec, not to a record.
pub(crate) enum Value {
    Text(String),
    Money(i128),
    Count(i32),
    Flag(bool),
    Timestamp(i64),
}

impl Plan {
    pub(crate) fn new(spec: &EntitySpec) -> Result<Self, SpecError> {
        spec.check_shape()?;
        let null_texts = NullTexts::new(&spec.null_texts);
        let mut columns = Vec::with_capacity(spec.columns.len());
        for index in 0..spec.columns.len() {
            columns.push(Column::new(spec, index, &null_texts)?);
        }
        let names = spec.columns.iter().map(|column| column.name.as_str());
        Ok(Self {
            columns,
            null_texts,
            by_name: names
                .chain([OPERATION_COLUMN])
                .enumerate()
                .map(|(index, name)| (name.to_owned(), index))
                .collect(),
        })
    }

    /// The columns that a file with these ones lacks.
    pub(crate) fn missing_from(&self, names: &[impl AsRef<str>]) -> Vec<String> {
        let has = |column: &str| names.iter().any(|name| name.as_ref() == column);
        self.columns.iter().map(|column| column.name.clone()).filter(|column| !has(column)).collect()
    }

    /// The index of a file's column among the plan's columns and `_op`.
    pub(crate) fn index_of(&self, name: &str) -> Option<usize> {
        self.by_name.get(name).copied()
    }

    /// The index of `_op`, which follows the columns.
    pub(crate) fn operation(&self) -> usize {
        self.columns.len()
    }
}

impl Column {
    fn new(spec: &EntitySpec, index: usize, null_texts: &NullTexts) -> Result<Self, SpecError> {
        let column = &spec.columns[index];
        let parse = |role, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => {
                let value = Value::parse(&column.kind, text, null_texts);
                value.map(Some).ok_or_else(|| SpecError::Value {
                    column: column.name.clone(),
                    role,
                    kind: column.kind.name(),
                    text: text.clone(),
                })
            }
        };
        let bound = |role, text| match parse(role, text)? {
            None => Ok(None),
            Some(value) => value.number().map(Some).ok_or_else(|| SpecError::Unordered {
                column: column.name.clone(),
                role,
                kind: column.kind.name(),
            }),
        };
        let default = parse("default", &column.default)?;
        let minimum = bound("minimum", &column.minimum)?.unwrap_or(i128::MIN);
        let maximum = bound("maximum", &column.maximum)?.unwrap_or(i128::MAX);
        if minimum > maximum {
            return Err(SpecError::NothingBetween {
                column: column.name.clone(),
                minimum: column.minimum.clone().unwrap_or_default(),
                maximum: column.maximum.clone().unwrap_or_default(),
            });
        }
        let number = default.as_ref().and_then(Value::number);
        if number.is_some_and(|number| !(minimum..=maximum).contains(&number)) {
            return Err(SpecError::DefaultOutside {
                column: column.name.clone(),
                default: column.default.clone().unwrap_or_default(),
            });
        }
        let identifies = spec.identifies(index);
        Ok(Self {
            name: column.name.clone(),
            kind: column.kind.clone(),
            required: column.required || identifies,
            identifies,
            default,
            minimum,
            maximum,
        })
    }

    /// A number within the column's reach as the clean value it stands for.
    pub(crate) fn show(&self, number: i128) -> String {
        match (&self.kind, i64::try_from(number)) {
            (Kind::Money { scale, .. }, _) => money::format(number, *scale),
            (Kind::Timestamp, Ok(micros)) => timestamp::format(micros),
            _ => number.to_string(),
        }
    }
}

impl Value {
    /// The same steps that a record's value goes through; none when it is NULL or no such value.
    fn parse(kind: &Kind, text: &str, null_texts: &NullTexts) -> Option<Self> {
        let text = white_space::trim(text);
        if null_texts.contains(text) {
            return None;
        }
        let mut buffer = String::new();
        Some(match kind {
            Kind::Text => Self::Text(text.to_owned()),
            Kind::Identifier => Self::Text(identifier::normalise(text, &mut buffer).to_owned()),
            Kind::Email => Self::Text(email::normalise(text, &mut buffer).to_owned()),
            Kind::Code => Self::Text(code::normalise(text, &mut buffer).to_owned()),
            Kind::Status { aliases } => Self::Text(status::normalise(text, aliases, &mut buffer).to_owned()),
            Kind::Money { precision, scale } => Self::Money(money::parse(text, *precision, *scale)?),
            Kind::Count => Self::Count(count::parse(text)?),
            Kind::Flag => Self::Flag(flag::parse(text)?),
            Kind::Timestamp => Self::Timestamp(timestamp::parse(text)?),
        })
    }

    /// The number behind a value that has an order.
    fn number(&self) -> Option<i128> {
        match self {
            Self::Money(amount) => Some(*amount),
            Self::Count(count) => Some(i128::from(*count)),
            Self::Timestamp(micros) => Some(i128::from(*micros)),
            Self::Text(_) | Self::Flag(_) => None,
        }
    }
}

/// The texts that mean NULL, behind a filter by length that most values do not pass.
pub(crate) struct NullTexts {
    texts: Vec<String>,
    /// Bit `n`: there is a text of `n` bytes; bit 63 stands for every greater length, too.
    lengths: u64,
}

impl NullTexts {
    fn new(texts: &[String]) -> Self {
        let bit = |text: &String| 1 << text.len().min(63);
        Self { texts: texts.to_vec(), lengths: texts.iter().map(bit).fold(0, |all, bit: u64| all | bit) }
    }

    pub(crate) fn contains(&self, text: &str) -> bool {
        self.lengths >> text.len().min(63) & 1 == 1 && self.texts.iter().any(|null| null == text)
    }
}
