//! SQL together with the place where each of its characters was written.
//!
//! Models are templates, so the SQL that is planned is not the text in the file. Every complaint
//! about it must still point into the file: [`SqlText`] carries the map back.

use std::ops::Range;

use datafusion::sql::sqlparser::tokenizer::{Location, Span};

use crate::error::{Error, SourceFile};

/// SQL ready to be planned.
#[derive(Debug, Clone)]
pub struct SqlText {
    file: SourceFile,
    text: String,
    /// In order of `at`, the first at 0.
    pieces: Vec<Piece>,
}

/// The text from `at` up to the next piece, and where it comes from.
#[derive(Debug, Clone)]
pub(crate) struct Piece {
    pub(crate) at: usize,
    pub(crate) origin: Origin,
}

#[derive(Debug, Clone)]
pub(crate) enum Origin {
    /// Character for character what the file has from this offset.
    Copied(usize),
    /// Made by what the file has in this span.
    Made(Range<usize>),
}

impl SqlText {
    /// A file that is SQL from its first to its last character.
    pub fn whole(file: SourceFile) -> Self {
        let text = file.text().to_owned();
        Self { file, text, pieces: vec![Piece { at: 0, origin: Origin::Copied(0) }] }
    }

    /// SQL that was made from one place of a file, such as a test in a YAML file.
    pub fn made(text: impl Into<String>, file: SourceFile, span: Range<usize>) -> Self {
        Self { file, text: text.into(), pieces: vec![Piece { at: 0, origin: Origin::Made(span) }] }
    }

    pub(crate) fn mapped(text: String, file: SourceFile, pieces: Vec<Piece>) -> Self {
        Self { file, text, pieces }
    }

    pub fn text(&self) -> &str {
        &self.text
    }

    pub fn file(&self) -> &SourceFile {
        &self.file
    }

    /// An input error that points at the place in the file that the bytes `range` of the SQL
    /// come from.
    pub fn error(&self, range: Range<usize>, message: impl Into<String>) -> Error {
        Error::input(message).at(&self.file, self.span(range))
    }

    /// The same for a span of the SQL parser; an empty one points at the whole file's start.
    pub(crate) fn error_at(&self, span: Span, message: impl Into<String>) -> Error {
        self.error(self.bytes(span), message)
    }

    /// The bytes of the SQL that a span of the SQL parser covers.
    pub(crate) fn bytes(&self, span: Span) -> Range<usize> {
        let start = self.byte(span.start);
        start..self.byte(span.end).max(start)
    }

    /// The byte offset of a line and column, both from 1 (0 is no place: the start).
    fn byte(&self, place: Location) -> usize {
        let lines = usize::try_from(place.line.saturating_sub(1)).unwrap_or(usize::MAX);
        let start: usize = self.text.split_inclusive('\n').take(lines).map(str::len).sum();
        let columns = usize::try_from(place.column.saturating_sub(1)).unwrap_or(usize::MAX);
        let line = self.text[start..].split('\n').next().unwrap_or_default();
        start + line.chars().take(columns).map(char::len_utf8).sum::<usize>()
    }

    /// The file's span that the bytes `range` of the SQL come from.
    pub(crate) fn span(&self, range: Range<usize>) -> Range<usize> {
        let first = self.origin(range.start);
        let last = self.origin(range.end.saturating_sub(1).max(range.start));
        first.start..last.end.max(first.end)
    }

    fn origin(&self, at: usize) -> Range<usize> {
        let after = self.pieces.partition_point(|piece| piece.at <= at);
        match self.pieces.get(after.saturating_sub(1)) {
            Some(Piece { at: start, origin: Origin::Copied(from) }) => {
                let from = from + (at - start);
                from..from + 1
            }
            Some(Piece { origin: Origin::Made(span), .. }) => span.clone(),
            None => 0..0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn made_text_points_at_what_made_it_and_copied_text_at_itself() {
        let file = SourceFile::new("a.sql", "select {{ x }} from t\nwhere y");
        let text = "select a, b from t\nwhere y".to_owned();
        let pieces = vec![
            Piece { at: 0, origin: Origin::Copied(0) },
            Piece { at: 7, origin: Origin::Made(7..14) },
            Piece { at: 11, origin: Origin::Copied(14) },
        ];
        let sql = SqlText::mapped(text, file, pieces);
        assert_eq!(sql.span(7..8), 7..14);
        assert_eq!(sql.span(17..18), 20..21);
        let span = Span::new(Location::new(2, 7), Location::new(2, 8));
        assert_eq!(&sql.file().text()[sql.span(sql.bytes(span))], "y");
    }
}
