//! Encoders: rows in, the bytes of one file out. Each file has a style of its own, as if another
//! system had written it.

mod csv;
mod json_lines;
mod parquet;

use std::io;

use crate::dice::Dice;
use crate::options::{Compression, Format};
use crate::output_file::OutputFile;
use crate::row::{Layout, Row};

use csv::Csv;
use json_lines::JsonLines;
use parquet::Parquet;

pub(crate) enum Encoder {
    JsonLines(JsonLines),
    Csv(Csv),
    Parquet(Box<Parquet>),
}

impl Encoder {
    /// An encoder for a file, whose style the dice decide. Parquet compresses by itself.
    pub(crate) fn new(
        layout: &Layout,
        compression: Compression,
        file: OutputFile,
        dice: &mut Dice,
    ) -> io::Result<Self> {
        Ok(match layout.format {
            Format::JsonLines => Self::JsonLines(JsonLines::new(layout, file, dice)),
            Format::Csv => Self::Csv(Csv::new(layout, file, dice)?),
            Format::Parquet => Self::Parquet(Box::new(Parquet::new(layout, compression, file)?)),
        })
    }

    pub(crate) fn write(&mut self, row: &mut Row) -> io::Result<()> {
        match self {
            Self::JsonLines(encoder) => encoder.write(row),
            Self::Csv(encoder) => encoder.write(row),
            Self::Parquet(encoder) => encoder.write(row),
        }
    }

    /// Adds a copy of the last record, cut off in the middle; nothing can follow. Returns whether
    /// the format has such a thing.
    pub(crate) fn tear(&mut self) -> io::Result<bool> {
        match self {
            Self::JsonLines(encoder) => encoder.tear().map(|()| true),
            Self::Csv(encoder) => encoder.tear().map(|()| true),
            Self::Parquet(_) => Ok(false),
        }
    }

    /// Ends the file; returns its size on disk.
    pub(crate) fn finish(self) -> io::Result<u64> {
        match self {
            Self::JsonLines(encoder) => encoder.finish(),
            Self::Csv(encoder) => encoder.finish(),
            Self::Parquet(encoder) => encoder.finish(),
        }
    }
}
