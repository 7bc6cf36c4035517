//! Records that do not become rows, with every reason why.

use std::fmt;

/// A record that does not become a row. It is rejected once, however many reasons it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// 1-based position of the record in its file.
    pub position: u64,
    /// At least one, in the order of the spec's columns.
    pub reasons: Vec<Reason>,
    /// The record as it came, invalid UTF-8 replaced, cut with a note when it is too long to keep.
    /// A Parquet record is written as a JSON object of its values' texts.
    pub record: String,
}

/// Why a record does not become a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reason {
    /// The record as a whole makes no sense: broken JSON, a wrong number of CSV fields, ….
    Unreadable { detail: String },
    /// `_op` is none of insert, update and delete.
    UnknownOperation { value: String },
    /// A required value is NULL.
    Required { column: String },
    /// A value that is not NULL is not of its column's kind. Long values are cut.
    Unparsable { column: String, kind: &'static str, value: String },
    /// A clean value is less than the column's minimum.
    BelowMinimum { column: String, value: String, minimum: String },
    /// A clean value is greater than the column's maximum.
    AboveMaximum { column: String, value: String, maximum: String },
}

impl Reason {
    /// A stable word for counting and filtering, independent of the message.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "unreadable",
            Self::UnknownOperation { .. } => "unknown_operation",
            Self::Required { .. } => "required",
            Self::Unparsable { .. } => "unparsable",
            Self::BelowMinimum { .. } => "below_minimum",
            Self::AboveMaximum { .. } => "above_maximum",
        }
    }

    /// The column the reason is about; none when it is the record as a whole.
    pub fn column(&self) -> Option<&str> {
        match self {
            Self::Unreadable { .. } => None,
            Self::UnknownOperation { .. } => Some(crate::OPERATION_COLUMN),
            Self::Required { column }
            | Self::Unparsable { column, .. }
            | Self::BelowMinimum { column, .. }
            | Self::AboveMaximum { column, .. } => Some(column),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable { detail } => write!(formatter, "cannot be read: {detail}"),
            Self::UnknownOperation { value } => {
                write!(formatter, "`_op` is `{value}`, not one of i, c, u, d")
            }
            Self::Required { column } => write!(formatter, "`{column}` is required, but NULL"),
            Self::Unparsable { column, kind, value } => {
                write!(formatter, "`{column}` is not valid as {kind}: `{value}`")
            }
            Self::BelowMinimum { column, value, minimum } => {
                write!(formatter, "`{column}` is {value}, less than {minimum}")
            }
            Self::AboveMaximum { column, value, maximum } => {
                write!(formatter, "`{column}` is {value}, more than {maximum}")
            }
        }
    }
}

/// The bytes of a text record as they are kept: valid UTF-8, at most `limit` bytes and, when
/// something is missing, a note with the record's full length.
pub(crate) fn keep(bytes: &[u8], full_length: u64, limit: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(limit)]);
    // Replacement characters are longer than the bytes they stand for.
    let kept = &text[..text.floor_char_boundary(limit)];
    if full_length <= limit as u64 && kept.len() == text.len() {
        text.into_owned()
    } else {
        format!("{kept} … (cut: {full_length} bytes in all)")
    }
}
