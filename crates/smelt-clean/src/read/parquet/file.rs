//! Random access to a Parquet file, which is read from its end.
//!
//! What is streamed or compressed as a whole is spooled to an unnamed temporary file first.

use std::{
    fs::File,
    io::{Seek, Write},
};

use bytes::Bytes;
use parquet::{
    errors::{ParquetError, Result as ParquetResult},
    file::reader::{ChunkReader, Length},
};

use crate::read::{Compression, Input, ReadError, ReadOptions, source::Source};

const SPOOLED_PIECE_BYTES: usize = 256 << 10;

/// Where the file's bytes are.
pub(super) enum ParquetFile {
    File(File),
    Bytes(Bytes),
}

impl ParquetFile {
    pub(super) fn open(input: Input, options: &ReadOptions) -> Result<Self, ReadError> {
        match (input, options.compression) {
            (Input::Bytes(bytes), Compression::None) => Ok(Self::Bytes(bytes)),
            (Input::File(file), Compression::None) => Ok(Self::File(file)),
            (input, compression) => {
                let source = Source::open_binary(input, compression)?;
                spool(source, options.limits.spooled_bytes).map(Self::File)
            }
        }
    }

    /// A damaged or hostile footer may point anywhere, and memory is taken for what it says.
    fn check(&self, start: u64, length: usize) -> ParquetResult<()> {
        let end = start.checked_add(length as u64);
        if end.is_none_or(|end| end > self.len()) {
            return Err(ParquetError::General(format!(
                "{length} bytes at {start} are outside the file of {} bytes",
                self.len()
            )));
        }
        Ok(())
    }
}

impl Length for ParquetFile {
    fn len(&self) -> u64 {
        match self {
            Self::File(file) => Length::len(file),
            Self::Bytes(bytes) => Length::len(bytes),
        }
    }
}

impl ChunkReader for ParquetFile {
    type T = Box<dyn std::io::Read>;

    fn get_read(&self, start: u64) -> ParquetResult<Self::T> {
        self.check(start, 0)?;
        Ok(match self {
            Self::File(file) => Box::new(file.get_read(start)?),
            Self::Bytes(bytes) => Box::new(bytes.get_read(start)?),
        })
    }

    fn get_bytes(&self, start: u64, length: usize) -> ParquetResult<Bytes> {
        self.check(start, length)?;
        match self {
            Self::File(file) => file.get_bytes(start, length),
            Self::Bytes(bytes) => bytes.get_bytes(start, length),
        }
    }
}

fn spool(mut source: Source, limit: u64) -> Result<File, ReadError> {
    let failed = |source| ReadError::Spool { source };
    let mut file = tempfile::tempfile().map_err(failed)?;
    let mut piece = Vec::new();
    while source.has_more() {
        piece.clear();
        source.read(&mut piece, SPOOLED_PIECE_BYTES);
        if source.bytes() > limit {
            return Err(ReadError::TooLargeToSpool { limit });
        }
        file.write_all(&piece).map_err(failed)?;
    }
    if let Some(error) = source.take_error(0) {
        return Err(error);
    }
    file.rewind().map_err(failed)?;
    Ok(file)
}
