//! One record's values as they were read, before any rule is applied to them.

use arrow::datatypes::TimeUnit;

use crate::value::white_space;

/// A value as it stands in the file.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Raw<'a> {
    /// NULL, or not there.
    Null,
    /// A text that stands in the block just as it is.
    Text(&'a str),
    /// A text that had escapes or doubled quotes: a range of the record's rebuilt text.
    Rebuilt { start: usize, end: usize },
    /// A typed timestamp, in UTC.
    Instant(i64, TimeUnit),
}

/// The values of one record at a time, reused for all records of a block: one for each column of
/// the plan, then the operation.
pub(crate) struct Record<'a> {
    values: Vec<Raw<'a>>,
    rebuilt: String,
}

impl<'a> Record<'a> {
    pub(crate) fn new(columns: usize) -> Self {
        Self { values: vec![Raw::Null; columns + 1], rebuilt: String::new() }
    }

    /// Forgets the record before.
    pub(crate) fn clear(&mut self) {
        self.values.fill(Raw::Null);
        self.rebuilt.clear();
    }

    pub(crate) fn set(&mut self, column: usize, value: Raw<'a>) {
        self.values[column] = value;
    }

    pub(crate) fn get(&self, column: usize) -> Raw<'a> {
        self.values[column]
    }

    /// Where parsers write texts that do not stand in the block as they are.
    pub(crate) fn rebuilt(&mut self) -> &mut String {
        &mut self.rebuilt
    }

    /// The text of a value of this record, if it has one.
    pub(crate) fn text<'r>(&'r self, value: Raw<'a>) -> Option<&'r str>
    where
        'a: 'r,
    {
        match value {
            Raw::Text(text) => Some(text),
            Raw::Rebuilt { start, end } => Some(&self.rebuilt[start..end]),
            Raw::Null | Raw::Instant(..) => None,
        }
    }

    /// A value of this record without the white space around it.
    pub(crate) fn trim(&self, value: Raw<'a>) -> Raw<'a> {
        match value {
            Raw::Text(text) => Raw::Text(white_space::trim(text)),
            Raw::Rebuilt { start, end } => {
                let trimmed = white_space::trimmed(&self.rebuilt[start..end]);
                Raw::Rebuilt { start: start + trimmed.start, end: start + trimmed.end }
            }
            Raw::Null | Raw::Instant(..) => value,
        }
    }
}
