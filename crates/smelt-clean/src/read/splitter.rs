//! Where a record of text ends: at a line feed, unless it stands in a quoted CSV field.
//!
//! A quote opens a field only at the field's start, and there is no way to know whether a line feed
//! is quoted but to have seen every quote before it. So the splitter keeps its state from one piece
//! of the file to the next.

use memchr::{memchr, memchr2};

use super::CsvDialect;

pub(super) enum Splitter {
    Lines,
    Csv { dialect: CsvDialect, state: State },
}

/// Where in a CSV record the last byte left off.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    FieldStart,
    Unquoted,
    Quoted,
    /// After a quote in a quoted field: doubled by the next byte, or the closing one.
    QuoteInQuoted,
}

impl Splitter {
    pub(super) fn csv(dialect: CsvDialect) -> Self {
        Self::Csv { dialect, state: State::FieldStart }
    }

    /// Looks at more bytes of the current record: how many belong to it before the line feed that
    /// ends it, or none when it does not end here. The next record starts after the line feed.
    pub(super) fn record_end(&mut self, bytes: &[u8]) -> Option<usize> {
        match self {
            Self::Lines => memchr(b'\n', bytes),
            Self::Csv { dialect, state } => state.record_end(*dialect, bytes),
        }
    }

    /// Whether the current record, should the file end here, has a quote that was never closed.
    pub(super) fn is_in_quotes(&self) -> bool {
        match self {
            Self::Lines => false,
            Self::Csv { state, .. } => *state == State::Quoted,
        }
    }
}

impl State {
    fn record_end(&mut self, dialect: CsvDialect, bytes: &[u8]) -> Option<usize> {
        let CsvDialect { delimiter, quote } = dialect;
        let mut at = 0;
        while at < bytes.len() {
            match *self {
                Self::Quoted => {
                    at += memchr(quote, &bytes[at..])? + 1;
                    *self = Self::QuoteInQuoted;
                }
                Self::QuoteInQuoted | Self::FieldStart if bytes[at] == quote => {
                    *self = Self::Quoted;
                    at += 1;
                }
                Self::QuoteInQuoted => *self = Self::Unquoted,
                Self::FieldStart | Self::Unquoted => {
                    let Some(length) = memchr2(quote, b'\n', &bytes[at..]) else {
                        *self = Self::after_unquoted(bytes[bytes.len() - 1], delimiter);
                        return None;
                    };
                    let found = at + length;
                    if bytes[found] == b'\n' {
                        *self = Self::FieldStart;
                        return Some(found);
                    }
                    // Not at a field's start (that was looked at above), the quote means itself.
                    let opens = length > 0 && bytes[found - 1] == delimiter;
                    *self = if opens { Self::Quoted } else { Self::Unquoted };
                    at = found + 1;
                }
            }
        }
        None
    }

    fn after_unquoted(last: u8, delimiter: u8) -> Self {
        if last == delimiter { Self::FieldStart } else { Self::Unquoted }
    }
}
