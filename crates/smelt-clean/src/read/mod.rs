//! From a file's bytes to blocks of whole records.
//!
//! Finding where records begin and end depends on everything before, so it is done by one thread a
//! file, and is kept cheap: decompress, look for line ends, count. What is in the records is the
//! business of whoever cleans the blocks, in parallel. A record's position is fixed here: 1-based,
//! counting neither a CSV header nor blank lines.

mod error;
mod header;
mod options;
mod parquet;
mod source;
mod splitter;
mod text;

use std::sync::Arc;

use arrow::record_batch::RecordBatch;

pub use self::{
    error::ReadError,
    options::{Compression, CsvDialect, Format, Input, ReadOptions, detect},
};
pub(crate) use self::{header::Header, text::TextBlock};
use self::{parquet::ParquetReader, source::Source, text::TextReader};

/// Version of what a record is and how its values are read, for all formats together. It grows
/// when some file gives other records, other positions or other raw values than before.
pub const READ_SEMANTICS_VERSION: u32 = 1;

/// Consecutive whole records of one file.
#[derive(Debug)]
pub struct Block {
    content: Content,
    first_position: u64,
}

#[derive(Debug)]
pub(crate) enum Content {
    JsonLines(TextBlock),
    Csv(TextBlock, Arc<Header>),
    Columns(RecordBatch),
}

impl Block {
    /// How many records there are.
    pub fn records(&self) -> usize {
        match &self.content {
            Content::JsonLines(text) | Content::Csv(text, _) => text.len(),
            Content::Columns(batch) => batch.num_rows(),
        }
    }

    /// The position in the file of the first record; the others follow without a gap.
    pub fn first_position(&self) -> u64 {
        self.first_position
    }

    /// About how much memory the block takes.
    pub fn memory_bytes(&self) -> usize {
        match &self.content {
            Content::JsonLines(text) | Content::Csv(text, _) => text.memory_bytes(),
            Content::Columns(batch) => batch.get_array_memory_size(),
        }
    }

    pub(crate) fn content(&self) -> &Content {
        &self.content
    }
}

/// The blocks of one file, in order. Ends after the first error.
pub struct BlockReader {
    records: Option<Records>,
    next_position: u64,
}

enum Records {
    JsonLines(TextReader),
    Csv {
        reader: TextReader,
        header: Arc<Header>,
        /// The rest of the block that began with the header.
        first: Option<TextBlock>,
    },
    Columns(Box<ParquetReader>),
}

/// Opens a file. Of a CSV file, the header is read; of a Parquet file, the footer.
///
/// # Errors
/// When the options make no sense, or the file's beginning (or footer) cannot be read.
pub fn open(input: Input, options: &ReadOptions) -> Result<BlockReader, ReadError> {
    options.check()?;
    let records = match options.format {
        Format::JsonLines => {
            let source = Source::open(input, options.compression)?;
            Records::JsonLines(TextReader::lines(source, options.limits))
        }
        Format::Csv => {
            let source = Source::open(input, options.compression)?;
            let mut reader = TextReader::csv(source, options.csv, options.limits);
            let (header, first) = Header::read(&mut reader, options.csv)?;
            Records::Csv { reader, header: Arc::new(header), first }
        }
        Format::Parquet => Records::Columns(Box::new(ParquetReader::open(input, options)?)),
    };
    Ok(BlockReader { records: Some(records), next_position: 1 })
}

impl Iterator for BlockReader {
    type Item = Result<Block, ReadError>;

    fn next(&mut self) -> Option<Self::Item> {
        let content = match self.records.as_mut()?.next_content() {
            Ok(Some(content)) => content,
            end => {
                self.records = None;
                return end.err().map(Err);
            }
        };
        let block = Block { content, first_position: self.next_position };
        self.next_position += block.records() as u64;
        Some(Ok(block))
    }
}

impl std::iter::FusedIterator for BlockReader {}

impl Records {
    fn next_content(&mut self) -> Result<Option<Content>, ReadError> {
        Ok(match self {
            Self::JsonLines(reader) => reader.next_block()?.map(Content::JsonLines),
            Self::Csv { reader, header, first } => {
                let block = match first.take() {
                    Some(block) => Some(block),
                    None => reader.next_block()?,
                };
                block.map(|block| Content::Csv(block, header.clone()))
            }
            Self::Columns(reader) => reader.next_batch()?.map(Content::Columns),
        })
    }
}

/// How many records a file has: as many as its blocks would have. Of a Parquet file only the footer
/// is read.
///
/// # Errors
/// Those of [`open`] and of reading all blocks.
pub fn count_records(input: Input, options: &ReadOptions) -> Result<u64, ReadError> {
    let blocks = open(input, options)?;
    if let Some(Records::Columns(reader)) = &blocks.records {
        return Ok(reader.records());
    }
    let mut records = 0;
    for block in blocks {
        records += block?.records() as u64;
    }
    Ok(records)
}
