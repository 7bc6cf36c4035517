//! From one record to its raw values, or to why it cannot be read. One format a file.
//!
//! JSON and CSV are parsed here rather than by a library because what is wanted is less than any
//! library does, and faster for it: a flat record whose values are borrowed from the block, already
//! under their column's index. `tests/it` holds both parsers to the libraries' verdicts and values.

mod columns;
mod csv;
mod json;

pub(crate) use self::{
    columns::ColumnParser,
    csv::{CsvParser, fields},
    json::JsonParser,
};
