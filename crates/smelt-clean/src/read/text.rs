//! Blocks of text records, for JSON Lines and CSV alike.
//!
//! A record longer than the limit is passed over in the stream: its start is kept and the rest is
//! only counted, so that it costs bounded memory and itself alone. What a record is never depends
//! on where blocks end.

use std::{fmt, ops::Range};

use super::{CsvDialect, ReadError, source::Source, splitter::Splitter};
use crate::{Limits, value::white_space::is_blank};

const PASSED_OVER_BYTES: usize = 64 << 10;

/// Whole records, one after the other, and what is wrong with some of them.
#[derive(Debug, Default)]
pub(crate) struct TextBlock {
    bytes: Vec<u8>,
    /// Without line ends.
    records: Vec<Range<u32>>,
    /// By index of the record, ascending.
    flaws: Vec<(usize, Flaw)>,
}

/// One record of text.
pub(crate) struct TextRecord<'a> {
    /// The record, or its start when it is too long.
    pub(crate) bytes: &'a [u8],
    pub(crate) readable: Result<&'a str, Flaw>,
}

/// Why a record cannot be read, whatever is in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Flaw {
    TooLong { bytes: u64, limit: usize },
    UnclosedQuote { bytes: u64 },
    InvalidUtf8,
}

impl fmt::Display for Flaw {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { bytes, limit } => {
                write!(formatter, "{bytes} bytes long, the limit is {limit}")
            }
            Self::UnclosedQuote { .. } => formatter.write_str("a quote is never closed"),
            Self::InvalidUtf8 => formatter.write_str("not UTF-8"),
        }
    }
}

impl TextRecord<'_> {
    /// The record's length in bytes in the file.
    pub(crate) fn full_length(&self) -> u64 {
        match self.readable {
            Err(Flaw::TooLong { bytes, .. } | Flaw::UnclosedQuote { bytes }) => bytes,
            _ => self.bytes.len() as u64,
        }
    }
}

impl TextBlock {
    pub(crate) fn len(&self) -> usize {
        self.records.len()
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        self.bytes.capacity() + self.records.capacity() * size_of::<Range<u32>>()
    }

    pub(crate) fn records(&self) -> impl Iterator<Item = TextRecord<'_>> {
        // Mostly the block is UTF-8 as a whole, and need not be looked at record by record.
        let whole = simdutf8::basic::from_utf8(&self.bytes).ok();
        let mut flaws = self.flaws.iter().copied().peekable();
        self.records.iter().enumerate().map(move |(index, range)| {
            let range = range.start as usize..range.end as usize;
            let bytes = &self.bytes[range.clone()];
            let flaw = flaws.next_if(|(flawed, _)| *flawed == index);
            let readable = match (flaw, whole) {
                (Some((_, flaw)), _) => Err(flaw),
                (None, Some(text)) => Ok(&text[range]),
                (None, None) => simdutf8::basic::from_utf8(bytes).map_err(|_| Flaw::InvalidUtf8),
            };
            TextRecord { bytes, readable }
        })
    }

    /// Takes the first record out of the block; none when there is none.
    pub(super) fn take_first(&mut self) -> Option<Result<String, Flaw>> {
        let first = self.records().next()?.readable.map(str::to_owned);
        self.records.remove(0);
        self.flaws.retain(|(index, _)| *index > 0);
        for (index, _) in &mut self.flaws {
            *index -= 1;
        }
        Some(first)
    }

    fn push(&mut self, range: Range<usize>, flaw: Option<Flaw>) {
        if let Some(flaw) = flaw {
            self.flaws.push((self.records.len(), flaw));
        }
        self.records.push(range.start as u32..range.end as u32);
    }
}

/// Reads blocks of text records.
pub(super) struct TextReader {
    source: Source,
    splitter: Splitter,
    limits: Limits,
    /// The block being filled.
    block: TextBlock,
    /// Where in it the current record starts, and how far the splitter has looked.
    start: usize,
    seen: usize,
    /// How many records are in the blocks before.
    records: u64,
}

impl TextReader {
    pub(super) fn lines(source: Source, limits: Limits) -> Self {
        Self::new(source, Splitter::Lines, limits)
    }

    pub(super) fn csv(source: Source, dialect: CsvDialect, limits: Limits) -> Self {
        Self::new(source, Splitter::csv(dialect), limits)
    }

    fn new(source: Source, splitter: Splitter, limits: Limits) -> Self {
        Self { source, splitter, limits, block: TextBlock::default(), start: 0, seen: 0, records: 0 }
    }

    /// Whether the file turned out to have no bytes at all.
    pub(super) fn is_empty(&self) -> bool {
        self.source.bytes() == 0
    }

    /// The next block, with at least one record; none at the end of the file.
    ///
    /// # Errors
    /// When the file breaks off, once the whole records before have been handed out.
    pub(super) fn next_block(&mut self) -> Result<Option<TextBlock>, ReadError> {
        self.split();
        while !self.is_full() && self.source.has_more() {
            // One byte more may be the carriage return of the line's end.
            if self.block.bytes.len() - self.start > self.limits.max_record_bytes + 1 {
                self.pass_over();
            } else {
                self.read_more();
            }
            self.split();
        }
        let end = self.block.bytes.len();
        if self.source.is_complete() && self.seen == end {
            self.end_record(end);
            self.start = end;
        }
        if self.block.len() == 0 {
            return match self.source.take_error(self.records) {
                Some(error) => Err(error),
                None => Ok(None),
            };
        }
        self.records += self.block.len() as u64;
        Ok(Some(self.take_block()))
    }

    fn is_full(&self) -> bool {
        let records = self.block.len();
        let bytes = self.block.bytes.len();
        records > 0 && (bytes >= self.limits.block_bytes || records >= self.limits.block_records)
    }

    /// Hands out the block, and begins the next one with what follows its last record.
    fn take_block(&mut self) -> TextBlock {
        let mut next = TextBlock::default();
        let rest = &self.block.bytes[self.start..];
        if self.source.has_more() {
            next.bytes.reserve(self.limits.block_bytes.max(rest.len()));
        }
        next.bytes.extend_from_slice(rest);
        self.block.bytes.truncate(self.start);
        self.seen -= self.start;
        self.start = 0;
        std::mem::replace(&mut self.block, next)
    }

    fn read_more(&mut self) {
        let wanted = self.limits.block_bytes;
        let room = wanted.saturating_sub(self.block.bytes.len());
        let at_most = if room > 0 { room } else { wanted };
        self.source.read(&mut self.block.bytes, at_most);
    }

    /// Finds the records that end in the bytes that the splitter has not seen.
    fn split(&mut self) {
        while self.block.len() < self.limits.block_records {
            let unseen = &self.block.bytes[self.seen..];
            let Some(length) = self.splitter.record_end(unseen) else {
                self.seen = self.block.bytes.len();
                break;
            };
            self.end_record(self.seen + length);
            self.seen += length + 1;
            self.start = self.seen;
        }
        if self.block.len() == 0 {
            // So far there are only blank lines: they take no room.
            self.block.bytes.drain(..self.start);
            self.seen -= self.start;
            self.start = 0;
        }
    }

    /// Adds the current record, which ends before `end`, unless it is blank.
    fn end_record(&mut self, end: usize) {
        let record = &self.block.bytes[self.start..end];
        let record = record.strip_suffix(b"\r").unwrap_or(record);
        if !is_blank(record) {
            let length = record.len();
            let flaw = self.flaw(length as u64);
            let kept = match flaw {
                Some(Flaw::TooLong { .. }) => self.kept_bytes().min(length),
                _ => length,
            };
            self.block.push(self.start..self.start + kept, flaw);
        }
    }

    /// What is wrong with the current record, ended after so many bytes.
    fn flaw(&self, bytes: u64) -> Option<Flaw> {
        let limit = self.limits.max_record_bytes;
        if self.splitter.is_in_quotes() {
            Some(Flaw::UnclosedQuote { bytes })
        } else if bytes > limit as u64 {
            Some(Flaw::TooLong { bytes, limit })
        } else {
            None
        }
    }

    fn kept_bytes(&self) -> usize {
        let Limits { kept_record_bytes, max_record_bytes, .. } = self.limits;
        kept_record_bytes.min(max_record_bytes)
    }

    /// Reads on to the end of a record that is too long, without keeping it.
    fn pass_over(&mut self) {
        let record = &self.block.bytes[self.start..];
        let mut length = record.len() as u64;
        let mut last = record.last().copied();
        let mut blank = is_blank(record);
        let kept = self.start + self.kept_bytes();
        self.block.bytes.truncate(kept);

        let mut piece = Vec::new();
        let mut next = 0;
        while next == 0 && self.source.has_more() {
            piece.clear();
            self.source.read(&mut piece, PASSED_OVER_BYTES);
            let end = self.splitter.record_end(&piece);
            let part = &piece[..end.unwrap_or(piece.len())];
            length += part.len() as u64;
            last = part.last().copied().or(last);
            blank = blank && is_blank(part);
            next = end.map_or(0, |end| end + 1);
        }
        if last == Some(b'\r') {
            length -= 1;
        }
        let ended = next > 0 || self.source.is_complete();
        if ended && !blank {
            let flaw = self.flaw(length);
            self.block.push(self.start..kept, flaw);
        } else {
            self.block.bytes.truncate(self.start);
        }
        self.start = self.block.bytes.len();
        self.seen = self.start;
        if next > 0 {
            self.block.bytes.extend_from_slice(&piece[next..]);
        }
    }
}
