//! The first record of a CSV file: the names of its columns, which must differ.

use std::collections::HashSet;

use super::{
    CsvDialect, ReadError,
    text::{TextBlock, TextReader},
};
use crate::parse::fields;

/// The columns of a CSV file, in order, and how its fields are written.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) names: Vec<String>,
    pub(crate) dialect: CsvDialect,
}

impl Header {
    /// Reads the header, and the rest of the block that it is in. An empty file has no columns.
    pub(super) fn read(reader: &mut TextReader, dialect: CsvDialect) -> Result<(Self, Option<TextBlock>), ReadError> {
        let mut block = reader.next_block()?;
        let names = match block.as_mut().and_then(TextBlock::take_first) {
            Some(Ok(line)) => fields(&line, dialect),
            Some(Err(flaw)) => {
                return Err(ReadError::Header { detail: flaw.to_string() });
            }
            None if reader.is_empty() => Vec::new(),
            None => return Err(ReadError::NoHeader),
        };
        let mut seen = HashSet::new();
        if let Some(column) = names.iter().find(|name| !seen.insert(name.as_str())) {
            return Err(ReadError::RepeatedColumn { column: column.clone() });
        }
        let rest = block.filter(|rest| rest.len() > 0);
        Ok((Self { names, dialect }, rest))
    }
}
