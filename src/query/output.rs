//! An answer written out: as a table for people, CSV, JSON Lines or Parquet.
//!
//! CSV quotes as RFC 4180 says, with a header and lines that end in LF; NULL is an empty field and an
//! empty text is `""`. JSON Lines has one object a row: integers and floats are numbers, decimals are
//! strings so that no reader rounds them, timestamps are ISO 8601 in UTC without a zone, and a float
//! that is no number is a string. Parquet keeps the types, with timestamps in UTC without a zone.

use std::io::{self, Write};

use clap::ValueEnum;
use datafusion::arrow::{array::RecordBatch, datatypes::DataType, error::ArrowError};
use parquet::{
    arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions},
    basic::{Compression, ZstdLevel},
    errors::ParquetError,
    file::properties::WriterProperties,
};

use super::{Answer, ColumnText, Page, Spelling, SqlError, aligned};
use crate::error::{Error, Result};

/// What an answer is written as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Aligned columns for people.
    Table,
    /// Comma-separated with a header; NULL is empty, an empty text is "".
    Csv,
    /// One JSON object a line; decimals are strings.
    Json,
    /// A Parquet file.
    Parquet,
}

impl Format {
    /// The format a file's name asks for.
    pub fn of_file(path: &std::path::Path) -> Option<Self> {
        match path.extension()?.to_str()?.to_ascii_lowercase().as_str() {
            "csv" => Some(Self::Csv),
            "json" | "jsonl" | "ndjson" => Some(Self::Json),
            "parquet" | "pq" => Some(Self::Parquet),
            "txt" => Some(Self::Table),
            _ => None,
        }
    }
}

/// How much was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub rows: u64,
    /// `false` where the reader went away, or a table on a terminal was cut.
    pub complete: bool,
}

/// Writes the whole answer. A reader that goes away early is no error.
///
/// # Errors
/// Those of the statement; `Unavailable` where the sink cannot be written.
pub async fn write(mut answer: Answer, format: Format, page: Page, sink: &mut (dyn Write + Send)) -> Result<Written> {
    let mut rows = 0;
    let written = match format {
        Format::Table => aligned::write(&mut answer, page, sink, &mut rows).await,
        Format::Csv => csv(&mut answer, sink, &mut rows).await,
        Format::Json => json(&mut answer, sink, &mut rows).await,
        Format::Parquet => parquet(&mut answer, sink, &mut rows).await,
    };
    match written {
        Ok(complete) => Ok(Written { rows, complete }),
        Err(Stop::Sink(error)) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Written { rows, complete: false }),
        Err(Stop::Sink(error)) => Err(Error::unavailable("the answer cannot be written out").cause(error)),
        Err(Stop::Statement(error)) => Err(error.into()),
    }
}

/// Why writing stopped early.
#[derive(Debug)]
pub(super) enum Stop {
    Sink(io::Error),
    Statement(SqlError),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Sink(error)
    }
}
impl From<SqlError> for Stop {
    fn from(error: SqlError) -> Self {
        Self::Statement(error)
    }
}
impl From<ArrowError> for Stop {
    fn from(error: ArrowError) -> Self {
        Self::Statement(SqlError::new("22000", error.to_string()))
    }
}
impl From<ParquetError> for Stop {
    fn from(error: ParquetError) -> Self {
        match error {
            ParquetError::External(inner) => match inner.downcast::<io::Error>() {
                Ok(error) => Self::Sink(*error),
                Err(inner) => Self::Sink(io::Error::other(inner)),
            },
            error => Self::Statement(SqlError::new("0A000", error.to_string())),
        }
    }
}

/// The columns of a batch, ready to be written as text.
pub(super) fn columns(batch: &RecordBatch, spelling: Spelling) -> Result<Vec<ColumnText<'_>>, ArrowError> {
    batch.columns().iter().map(|column| ColumnText::new(column.as_ref(), spelling)).collect()
}

async fn csv(answer: &mut Answer, sink: &mut (dyn Write + Send), rows: &mut u64) -> Result<bool, Stop> {
    let mut out = String::new();
    let names: Vec<String> = answer.schema.fields().iter().map(|field| field.name().clone()).collect();
    for (position, name) in names.iter().enumerate() {
        comma(position, &mut out);
        csv_field(name, &mut out);
    }
    out.push('\n');
    sink.write_all(out.as_bytes())?;
    let mut field = String::new();
    while let Some(batch) = answer.next().await {
        let batch = batch?;
        let columns = columns(&batch, Spelling::Plain)?;
        out.clear();
        for row in 0..batch.num_rows() {
            for (position, column) in columns.iter().enumerate() {
                comma(position, &mut out);
                field.clear();
                if column.write(row, &mut field)? {
                    csv_field(&field, &mut out);
                }
            }
            out.push('\n');
        }
        sink.write_all(out.as_bytes())?;
        *rows += batch.num_rows() as u64;
    }
    sink.flush()?;
    Ok(true)
}

fn comma(position: usize, out: &mut String) {
    if position > 0 {
        out.push(',');
    }
}

fn csv_field(text: &str, out: &mut String) {
    if text.is_empty() || text.contains([',', '"', '\n', '\r']) || text != text.trim() {
        out.push('"');
        out.push_str(&text.replace('"', "\"\""));
        out.push('"');
    } else {
        out.push_str(text);
    }
}

async fn json(answer: &mut Answer, sink: &mut (dyn Write + Send), rows: &mut u64) -> Result<bool, Stop> {
    let keys: Vec<String> = answer.schema.fields().iter().map(|field| json_text(field.name())).collect();
    let bare: Vec<bool> = answer.schema.fields().iter().map(|field| is_bare(field.data_type())).collect();
    let (mut out, mut value) = (String::new(), String::new());
    while let Some(batch) = answer.next().await {
        let batch = batch?;
        let columns = columns(&batch, Spelling::Iso)?;
        out.clear();
        for row in 0..batch.num_rows() {
            out.push('{');
            for (position, column) in columns.iter().enumerate() {
                comma(position, &mut out);
                out.push_str(&keys[position]);
                out.push(':');
                value.clear();
                if !column.write(row, &mut value)? {
                    out.push_str("null");
                } else if bare[position] && value != "NaN" && !value.ends_with("Infinity") {
                    out.push_str(&value);
                } else {
                    out.push_str(&json_text(&value));
                }
            }
            out.push_str("}\n");
        }
        sink.write_all(out.as_bytes())?;
        *rows += batch.num_rows() as u64;
    }
    sink.flush()?;
    Ok(true)
}

/// Types whose text is a JSON value as it stands (but for `NaN` and `Infinity`).
fn is_bare(data_type: &DataType) -> bool {
    data_type.is_integer() || matches!(data_type, DataType::Boolean | DataType::Float32 | DataType::Float64)
}

fn json_text(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// The properties every Parquet file of ours has.
pub(super) fn parquet_options() -> ArrowWriterOptions {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::default()))
        .set_created_by(CREATOR.to_owned())
        .build();
    // Readers take the types from Parquet's own schema; Arrow's would only tell how we held the rows.
    ArrowWriterOptions::new().with_properties(properties).with_skip_arrow_metadata(true)
}

const CREATOR: &str = concat!("smelt ", env!("CARGO_PKG_VERSION"));

async fn parquet(answer: &mut Answer, sink: &mut (dyn Write + Send), rows: &mut u64) -> Result<bool, Stop> {
    let mut writer = ArrowWriter::try_new_with_options(sink, answer.schema.clone(), parquet_options())?;
    while let Some(batch) = answer.next().await {
        let batch = batch?;
        writer.write(&batch)?;
        *rows += batch.num_rows() as u64;
    }
    writer.close()?;
    Ok(true)
}
