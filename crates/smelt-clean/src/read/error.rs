//! Why a file as a whole cannot be read. A bad record is no such reason.

use std::io;

use thiserror::Error;

use super::Compression;

/// Why a file cannot be read, or no further.
#[derive(Debug, Error)]
pub enum ReadError {
    /// A setting of the caller's.
    #[error("the file cannot be read as asked: {detail}")]
    Options { detail: &'static str },
    /// The disk or the network, not the file's contents.
    #[error("reading stopped after {bytes} bytes and {records} records")]
    Io { bytes: u64, records: u64, source: io::Error },
    /// `bytes` and `records` are what was decompressed before.
    #[error("the {compression} stream is cut off after {bytes} bytes and {records} records")]
    Truncated { compression: Compression, bytes: u64, records: u64 },
    /// `bytes` and `records` are what was decompressed before.
    #[error("the {compression} stream is corrupt after {bytes} bytes and {records} records: {detail}")]
    Corrupt { compression: Compression, bytes: u64, records: u64, detail: String },
    #[error("the CSV file has no header, only blank lines")]
    NoHeader,
    #[error("the CSV header cannot be read: {detail}")]
    Header { detail: String },
    #[error("the file has column `{column}` more than once")]
    RepeatedColumn { column: String },
    #[error("the Parquet file cannot be read: {detail}")]
    Parquet { detail: String },
    /// A streamed or compressed Parquet file.
    #[error("the Parquet file has more than the {limit} bytes that may be spooled to disk")]
    TooLargeToSpool { limit: u64 },
    /// The temporary file of a streamed or compressed Parquet file.
    #[error("the Parquet file cannot be spooled to a temporary file")]
    Spool { source: io::Error },
}
