//! JSON Lines: one object a line, unless something is wrong with it.

use std::io::{self, Write};

use crate::dice::Dice;
use crate::output_file::OutputFile;
use crate::row::{Cell, Layout, Row};
use crate::summary::BrokenKind;

pub(crate) struct JsonLines {
    file: OutputFile,
    names: Vec<&'static str>,
    /// How many columns are known; what is wrong with a record is wrong in one of these.
    known: usize,
    messy: f64,
    /// Whether there is a space after commas and colons.
    spaced: bool,
    /// Whether everything but ASCII is escaped.
    ascii: bool,
    line: Vec<u8>,
}

/// What is wrong with one value, seen from the encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    Nested,
    NoUtf8,
}

impl JsonLines {
    pub(crate) fn new(layout: &Layout, file: OutputFile, dice: &mut Dice) -> Self {
        Self {
            file,
            names: layout.names(),
            known: layout.known().len(),
            messy: layout.messy,
            spaced: layout.messy > 0.0 && dice.chance(0.3),
            ascii: layout.messy > 0.0 && dice.chance(0.3),
            line: Vec::with_capacity(1024),
        }
    }

    pub(crate) fn write(&mut self, row: &mut Row) -> io::Result<()> {
        self.line.clear();
        match row.broken {
            Some(BrokenKind::NotAnObject) => self.no_object(row)?,
            Some(BrokenKind::Malformed) => {
                self.object(row, None)?;
                self.spoil(&mut row.dice);
            }
            Some(BrokenKind::NestedValue) => self.object(row, Some(Fault::Nested))?,
            Some(BrokenKind::InvalidUtf8) => self.object(row, Some(Fault::NoUtf8))?,
            _ => self.object(row, None)?,
        }
        self.file.write_all(&self.line)?;
        self.file.write_all(b"\n")?;
        if row.dice.chance(self.messy * 0.005) {
            self.file.write_all(b"\n")?;
        }
        Ok(())
    }

    /// Adds the first half of the last line again, without a line end.
    pub(crate) fn tear(&mut self) -> io::Result<()> {
        let half = (self.line.len() / 2).max(1).min(self.line.len());
        self.file.write_all(&self.line[..half])
    }

    pub(crate) fn finish(self) -> io::Result<u64> {
        self.file.finish()
    }

    fn object(&mut self, row: &mut Row, fault: Option<Fault>) -> io::Result<()> {
        let count = row.cells.len();
        let dice = &mut row.dice;
        let victim = dice.index(self.known);
        let unordered = dice.chance(self.messy * 0.2);
        let first = if unordered { dice.index(count) } else { 0 };
        self.line.push(b'{');
        for step in 0..count {
            let index = (first + step) % count;
            let fault = fault.filter(|_| index == victim);
            let cell = &row.cells[index];
            if *cell == Cell::Absent && fault.is_none() {
                continue;
            }
            if dice.chance(self.messy * 0.005) {
                // Of a repeated key the last value counts.
                self.name(index);
                self.line.extend_from_slice(br#""overwritten""#);
            }
            self.name(index);
            match fault {
                None => self.value(cell)?,
                Some(Fault::NoUtf8) => self.line.extend_from_slice(b"\"caf\xe9\""),
                Some(Fault::Nested) => {
                    let (open, close) = dice.pick(&[(r#"{"value":"#, '}'), ("[", ']')]);
                    self.line.extend_from_slice(open.as_bytes());
                    self.value(cell)?;
                    self.line.push(close as u8);
                }
            }
        }
        self.line.push(b'}');
        Ok(())
    }

    /// Writes a name and what is between it and its value.
    fn name(&mut self, index: usize) {
        if self.line.last() != Some(&b'{') {
            self.line.push(b',');
            if self.spaced {
                self.line.push(b' ');
            }
        }
        self.line.push(b'"');
        self.line.extend_from_slice(self.names[index].as_bytes());
        self.line.extend_from_slice(b"\":");
        if self.spaced {
            self.line.push(b' ');
        }
    }

    fn value(&mut self, cell: &Cell) -> io::Result<()> {
        match cell {
            Cell::Absent | Cell::Null => self.line.extend_from_slice(b"null"),
            Cell::Number(digits) => self.line.extend_from_slice(digits.as_bytes()),
            Cell::Flag(true) => self.line.extend_from_slice(b"true"),
            Cell::Flag(false) => self.line.extend_from_slice(b"false"),
            Cell::Text(text) => self.text(text)?,
            Cell::Time(_) => self.text(&cell.text().unwrap_or_default())?,
        }
        Ok(())
    }

    fn text(&mut self, text: &str) -> io::Result<()> {
        if !self.ascii || text.is_ascii() {
            return Ok(serde_json::to_writer(&mut self.line, text)?);
        }
        let escaped = serde_json::to_string(text)?;
        for letter in escaped.chars() {
            if letter.is_ascii() {
                self.line.push(letter as u8);
            } else {
                for unit in letter.encode_utf16(&mut [0; 2]) {
                    write!(self.line, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }

    /// A line of JSON that is an array, a text, a number or nothing.
    fn no_object(&mut self, row: &mut Row) -> io::Result<()> {
        let texts: Vec<_> = row.cells[..self.known].iter().map(Cell::text).collect();
        match row.dice.below(4) {
            0 => serde_json::to_writer(&mut self.line, &texts)?,
            1 => serde_json::to_writer(&mut self.line, &texts[0])?,
            2 => write!(self.line, "{}", row.dice.below(100_000))?,
            _ => self.line.extend_from_slice(b"null"),
        }
        Ok(())
    }

    /// Turns the object in `line` into something that is no JSON.
    fn spoil(&mut self, dice: &mut Dice) {
        let line = &mut self.line;
        match dice.below(7) {
            0 => {
                // Cut off between two characters, so that this is all that is wrong.
                let text = String::from_utf8_lossy(line);
                let end = text.floor_char_boundary(1 + dice.index(text.len() - 2));
                line.truncate(end);
            }
            1 => {
                line.pop();
                line.extend_from_slice(b",}");
            }
            2 => {
                if let Some(colon) = line.iter().position(|&byte| byte == b':') {
                    line[colon] = b' ';
                }
            }
            3 => line.extend_from_slice(b" <EOF>"),
            4 => {
                for byte in line.iter_mut().filter(|byte| **byte == b'"') {
                    *byte = b'\'';
                }
            }
            5 => {
                line.splice(1..1, *br#""ratio":NaN,"#);
            }
            _ => line.extend_from_within(..),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entity::Entity;
    use crate::options::{Compression, Format};
    use crate::row::Times;

    #[test]
    fn a_text_reads_the_same_whether_or_not_it_is_escaped() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("a.jsonl");
        let layout = Layout {
            entity: Entity::Products,
            format: Format::JsonLines,
            times: Times::Text,
            operations: false,
            drifted: false,
            messy: 0.0,
        };
        let text = "Café \"🌿\"\n\u{b}\\";
        for ascii in [false, true] {
            let file = OutputFile::create(&path, Compression::None).unwrap();
            let mut dice = crate::dice::Seed(1).dice(crate::dice::Purpose::Day, 0, 0);
            let mut encoder = JsonLines::new(&layout, file, &mut dice);
            encoder.ascii = ascii;
            encoder.text(text).unwrap();
            assert_eq!(encoder.line.is_ascii(), ascii);
            let read: String = serde_json::from_slice(&encoder.line).unwrap();
            assert_eq!(read, text);
        }
    }
}
