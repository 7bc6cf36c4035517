//! A file's bytes, decompressed, without a byte order mark.

use std::{
    error::Error,
    fmt,
    io::{self, BufReader, Cursor, Read},
};

use bytes::Buf;

use super::{Compression, Input, ReadError};

const COMPRESSED_BUFFER_BYTES: usize = 128 << 10;
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// Decompressed bytes, counted.
pub(super) struct Source {
    reader: Box<dyn Read + Send>,
    compression: Compression,
    bytes: u64,
    state: State,
}

enum State {
    HasMore,
    Complete,
    /// None once the error has been taken.
    Failed(Option<io::Error>),
}

impl Source {
    /// Opens a text file; skips the byte order mark, which is not counted.
    pub(super) fn open(input: Input, compression: Compression) -> Result<Self, ReadError> {
        let mut source = Self::open_binary(input, compression)?;
        let mut start = Vec::new();
        source.read(&mut start, BYTE_ORDER_MARK.len());
        if let Some(error) = source.take_error(0) {
            return Err(error);
        }
        if start == BYTE_ORDER_MARK {
            start.clear();
        }
        let rest = std::mem::replace(&mut source.reader, Box::new(io::empty()));
        source.reader = Box::new(Read::chain(Cursor::new(start), rest));
        source.state = State::HasMore;
        source.bytes = 0;
        Ok(source)
    }

    /// Opens a file whose bytes are to be left as they are.
    pub(super) fn open_binary(input: Input, compression: Compression) -> Result<Self, ReadError> {
        let reader = Outside(match input {
            Input::Stream(stream) => stream,
            Input::File(file) => Box::new(file),
            Input::Bytes(bytes) => Box::new(bytes.reader()),
        });
        let buffered = |reader| BufReader::with_capacity(COMPRESSED_BUFFER_BYTES, reader);
        let reader: Box<dyn Read + Send> = match compression {
            Compression::None => Box::new(reader),
            Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(buffered(reader))),
            Compression::Zstd => {
                let decoder = zstd::stream::read::Decoder::with_buffer(buffered(reader));
                Box::new(decoder.map_err(|source| ReadError::Io { bytes: 0, records: 0, source })?)
            }
        };
        Ok(Self { reader, compression, bytes: 0, state: State::HasMore })
    }

    /// Appends up to `at_most` bytes; fewer only when there are no more.
    pub(super) fn read(&mut self, to: &mut Vec<u8>, at_most: usize) {
        let before = to.len();
        // What came before an error stays in the vector.
        let result = self.reader.by_ref().take(at_most as u64).read_to_end(to);
        self.bytes += (to.len() - before) as u64;
        self.state = match result {
            Ok(read) if read == at_most => State::HasMore,
            Ok(_) => State::Complete,
            Err(error) => State::Failed(Some(error)),
        };
    }

    pub(super) fn has_more(&self) -> bool {
        matches!(self.state, State::HasMore)
    }

    /// Whether the end was reached, rather than an error.
    pub(super) fn is_complete(&self) -> bool {
        matches!(self.state, State::Complete)
    }

    /// How many bytes have come.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Why no more bytes come, where that is not simply their end. Told once.
    pub(super) fn take_error(&mut self, records: u64) -> Option<ReadError> {
        let State::Failed(error) = &mut self.state else {
            return None;
        };
        let error = error.take()?;
        let (compression, bytes) = (self.compression, self.bytes);
        Some(match error.downcast::<OutsideError>() {
            Ok(OutsideError(source)) => ReadError::Io { bytes, records, source },
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                ReadError::Truncated { compression, bytes, records }
            }
            Err(error) => ReadError::Corrupt { compression, bytes, records, detail: error.to_string() },
        })
    }
}

/// The caller's reader. Its errors are marked, to tell them from those of a decoder above it.
struct Outside(Box<dyn Read + Send>);

impl Read for Outside {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.0.read(buffer) {
                // A gzip decoder takes an interruption in the header for the end of the file.
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => return result.map_err(|error| io::Error::other(OutsideError(error))),
            }
        }
    }
}

#[derive(Debug)]
struct OutsideError(io::Error);

impl fmt::Display for OutsideError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl Error for OutsideError {}
