//! CSV: a header, quotes where needed, and the habits of different exporters.

use std::io::{self, Write};

use crate::dice::Dice;
use crate::output_file::OutputFile;
use crate::row::{Layout, Row};
use crate::summary::BrokenKind;

pub(crate) struct Csv {
    file: OutputFile,
    /// The columns in the order in which this file has them.
    order: Vec<usize>,
    /// How many columns are known; what is wrong with a record is wrong in one of these.
    known: usize,
    messy: f64,
    line_end: &'static [u8],
    quote_all: bool,
    line: Vec<u8>,
}

impl Csv {
    pub(crate) fn new(layout: &Layout, file: OutputFile, dice: &mut Dice) -> io::Result<Self> {
        let names = layout.names();
        let mut order: Vec<usize> = (0..names.len()).collect();
        let odd = layout.messy > 0.0;
        if odd && dice.chance(0.2) {
            order.rotate_left(dice.index(names.len()));
        }
        let with_mark = odd && dice.chance(0.3);
        let mut csv = Self {
            file,
            order,
            known: layout.known().len(),
            messy: layout.messy,
            line_end: if odd && dice.chance(0.3) { b"\r\n" } else { b"\n" },
            quote_all: odd && dice.chance(0.2),
            line: Vec::with_capacity(1024),
        };
        if with_mark {
            csv.line.extend_from_slice("\u{feff}".as_bytes());
        }
        for place in 0..csv.order.len() {
            csv.separate(place);
            csv.field(names[csv.order[place]], false);
        }
        csv.end_line()?;
        Ok(csv)
    }

    pub(crate) fn write(&mut self, row: &mut Row) -> io::Result<()> {
        let dice = &mut row.dice;
        let victim = dice.index(self.known);
        let fields = if row.broken == Some(BrokenKind::FieldCount) {
            let off = 1 + dice.index(2);
            if dice.chance(0.5) { self.order.len() - off } else { self.order.len() + off }
        } else {
            self.order.len()
        };
        self.line.clear();
        for place in 0..fields {
            self.separate(place);
            let Some(&index) = self.order.get(place) else {
                self.field("surplus", false);
                continue;
            };
            if row.broken == Some(BrokenKind::InvalidUtf8) && index == victim {
                self.line.extend_from_slice(b"caf\xe9");
                continue;
            }
            let quoted = dice.chance(self.messy * 0.05);
            match row.cells[index].text() {
                Some(text) => self.field(&text, quoted),
                None => self.field("", false),
            }
        }
        self.end_line()?;
        if dice.chance(self.messy * 0.005) {
            self.file.write_all(self.line_end)?;
        }
        Ok(())
    }

    /// Adds a record that ends within a quoted field.
    pub(crate) fn tear(&mut self) -> io::Result<()> {
        let clean = |byte: &u8| byte.is_ascii_alphanumeric();
        let start: Vec<u8> = self.line.iter().copied().filter(clean).take(12).collect();
        self.file.write_all(&start)?;
        self.file.write_all(b",\"")?;
        self.file.write_all(&start[..start.len() / 2])
    }

    pub(crate) fn finish(self) -> io::Result<u64> {
        self.file.finish()
    }

    fn separate(&mut self, place: usize) {
        if place > 0 {
            self.line.push(b',');
        }
    }

    fn field(&mut self, text: &str, quoted: bool) {
        let needs_quotes = |byte: u8| matches!(byte, b',' | b'"' | b'\r' | b'\n');
        if !(quoted || self.quote_all || text.bytes().any(needs_quotes)) {
            self.line.extend_from_slice(text.as_bytes());
            return;
        }
        self.line.push(b'"');
        for byte in text.bytes() {
            if byte == b'"' {
                self.line.push(b'"');
            }
            self.line.push(byte);
        }
        self.line.push(b'"');
    }

    fn end_line(&mut self) -> io::Result<()> {
        self.line.extend_from_slice(self.line_end);
        self.file.write_all(&self.line)
    }
}
