//! What the caller says about a file: where its bytes are, and how to read them.

use std::{fmt, fs::File, io::Read};

use bytes::Bytes;

use super::ReadError;
use crate::Limits;

/// Where a file's bytes come from. A `File` is read from where it stands; Parquet needs all of it.
pub enum Input {
    Stream(Box<dyn Read + Send>),
    File(File),
    Bytes(Bytes),
}

impl fmt::Debug for Input {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Stream(_) => "Stream",
            Self::File(_) => "File",
            Self::Bytes(_) => "Bytes",
        })
    }
}

/// How the records of a file are written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// One JSON object a line.
    JsonLines,
    /// A header, then records with as many fields.
    Csv,
    Parquet,
}

/// How a whole file is compressed. Concatenated gzip members or zstd frames are one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compression {
    None,
    Gzip,
    Zstd,
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::None => "plain",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// The ASCII characters that separate and quote CSV fields.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CsvDialect {
    pub delimiter: u8,
    pub quote: u8,
}

impl Default for CsvDialect {
    fn default() -> Self {
        Self { delimiter: b',', quote: b'"' }
    }
}

/// How to read a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReadOptions {
    pub format: Format,
    pub compression: Compression,
    pub csv: CsvDialect,
    pub limits: Limits,
}

impl ReadOptions {
    /// With commas, double quotes and the default limits.
    pub fn new(format: Format, compression: Compression) -> Self {
        Self { format, compression, csv: CsvDialect::default(), limits: Limits::default() }
    }

    pub(super) fn check(&self) -> Result<(), ReadError> {
        let CsvDialect { delimiter, quote } = self.csv;
        let separates = |byte: u8| byte.is_ascii() && !matches!(byte, b'\n' | b'\r');
        if !separates(delimiter) || !separates(quote) || delimiter == quote {
            return Err(ReadError::Options {
                detail: "CSV delimiter and quote must be two ASCII characters, not line ends",
            });
        }
        let limits = self.limits;
        // Ranges of a block are kept in 32 bits.
        for bound in [limits.block_bytes, limits.max_record_bytes] {
            if !(1..=1 << 30).contains(&bound) {
                return Err(ReadError::Options {
                    detail: "a block and a record are limited to between one byte and 1 GiB",
                });
            }
        }
        if limits.block_records == 0 {
            return Err(ReadError::Options { detail: "a block has at least one record" });
        }
        Ok(())
    }
}

/// Format and compression by a file's name, in any case: `.jsonl`, `.ndjson`, `.json`, `.csv` or
/// `.parquet`, then perhaps `.gz` or `.zst`.
pub fn detect(file_name: &str) -> Option<(Format, Compression)> {
    let name = file_name.to_ascii_lowercase();
    let (name, compression) = if let Some(name) = name.strip_suffix(".gz") {
        (name, Compression::Gzip)
    } else if let Some(name) = name.strip_suffix(".zst") {
        (name, Compression::Zstd)
    } else {
        (name.as_str(), Compression::None)
    };
    let (_, extension) = name.rsplit_once('.')?;
    let format = match extension {
        "jsonl" | "ndjson" | "json" => Format::JsonLines,
        "csv" => Format::Csv,
        "parquet" => Format::Parquet,
        _ => return None,
    };
    Some((format, compression))
}
