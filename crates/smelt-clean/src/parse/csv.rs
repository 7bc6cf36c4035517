//! One CSV record: fields as RFC 4180 has them, and as many as the header names.
//!
//! A quote means something only at the start of a field. A quoted field ends at the next quote that
//! is not doubled. More than white space between there and the delimiter says that one of the two quotes
//! was not meant as such, and that the field may have swallowed lines: the record cannot be read.

use std::fmt;

use memchr::memchr;

use crate::{
    clean::{Plan, Raw, Record, UnknownColumns},
    read::{CsvDialect, Header},
};

/// Parses records of files with one header.
pub(crate) struct CsvParser<'h> {
    header: &'h Header,
    /// For each field: the index of its column, if it is known.
    columns: Vec<Option<usize>>,
}

impl<'h> CsvParser<'h> {
    pub(crate) fn new(header: &'h Header, plan: &Plan) -> Self {
        let columns = header.names.iter().map(|name| plan.index_of(name));
        Self { columns: columns.collect(), header }
    }

    /// Fills `record` from a line, or tells why the line cannot be read.
    pub(crate) fn parse<'a>(
        &self,
        line: &'a str,
        record: &mut Record<'a>,
        unknown: &mut UnknownColumns,
    ) -> Result<(), Unreadable> {
        let mut found = 0;
        let mut fields = Fields::new(line, self.header.dialect);
        while let Some(value) = fields.next(record.rebuilt()) {
            if let Some(Some(column)) = self.columns.get(found) {
                record.set(*column, value);
            }
            found += 1;
        }
        if let Some(field) = fields.text_after_quote {
            return Err(Unreadable::TextAfterQuote { field });
        }
        if found != self.columns.len() {
            return Err(Unreadable::FieldCount { found, expected: self.columns.len() });
        }
        for (name, column) in self.header.names.iter().zip(&self.columns) {
            if column.is_none() {
                unknown.see(name);
            }
        }
        Ok(())
    }
}

/// Why a record is not what its header says.
#[derive(Debug)]
pub(crate) enum Unreadable {
    FieldCount {
        found: usize,
        expected: usize,
    },
    /// The first such field, counted from 1.
    TextAfterQuote {
        field: usize,
    },
}

impl fmt::Display for Unreadable {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FieldCount { found, expected } => {
                write!(formatter, "{found} fields, but the header has {expected}")
            }
            Self::TextAfterQuote { field } => write!(formatter, "field {field} goes on after its closing quote"),
        }
    }
}

/// The fields of one record as texts.
pub(crate) fn fields(line: &str, dialect: CsvDialect) -> Vec<String> {
    let mut record = Record::new(0);
    let mut fields = Fields::new(line, dialect);
    let mut texts = Vec::new();
    while let Some(field) = fields.next(record.rebuilt()) {
        texts.push(record.text(field).unwrap_or_default().to_owned());
    }
    texts
}

struct Fields<'a> {
    dialect: CsvDialect,
    /// What follows the last delimiter; none after the last field.
    rest: Option<&'a str>,
    /// Fields so far.
    count: usize,
    /// The first quoted field with more than white space after it.
    text_after_quote: Option<usize>,
}

impl<'a> Fields<'a> {
    fn new(line: &'a str, dialect: CsvDialect) -> Self {
        Self { dialect, rest: Some(line), count: 0, text_after_quote: None }
    }

    fn next(&mut self, rebuilt: &mut String) -> Option<Raw<'a>> {
        let rest = self.rest?;
        self.count += 1;
        if rest.as_bytes().first() == Some(&self.dialect.quote) {
            return Some(self.quoted(&rest[1..], rebuilt));
        }
        Some(Raw::Text(self.up_to_delimiter(rest)))
    }

    /// What stands in `rest` before the next delimiter; the field ends there.
    fn up_to_delimiter(&mut self, rest: &'a str) -> &'a str {
        if let Some(end) = memchr(self.dialect.delimiter, rest.as_bytes()) {
            self.rest = Some(&rest[end + 1..]);
            &rest[..end]
        } else {
            self.rest = None;
            rest
        }
    }

    /// A field whose opening quote has been read. Borrowed, unless quotes are doubled in it.
    fn quoted(&mut self, field: &'a str, rebuilt: &mut String) -> Raw<'a> {
        let quote = self.dialect.quote;
        let start = rebuilt.len();
        let mut from = 0;
        loop {
            // Without a closing quote the field is all the rest.
            let Some(length) = memchr(quote, &field.as_bytes()[from..]) else {
                rebuilt.push_str(&field[from..]);
                self.rest = None;
                break;
            };
            let end = from + length;
            if field.as_bytes().get(end + 1) == Some(&quote) {
                rebuilt.push_str(&field[from..=end]);
                from = end + 2;
                continue;
            }
            let after = self.up_to_delimiter(&field[end + 1..]);
            if !after.trim_ascii().is_empty() {
                self.text_after_quote.get_or_insert(self.count);
            }
            if from == 0 {
                return Raw::Text(&field[..end]);
            }
            rebuilt.push_str(&field[from..end]);
            break;
        }
        Raw::Rebuilt { start, end: rebuilt.len() }
    }
}
