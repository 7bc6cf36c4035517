//! Files that break off, are corrupt, or cannot be read to their end.

use std::io::{self, Cursor, Read};

use smelt_clean::{Compression, Format, Input, ReadError, ReadOptions, open};

use crate::{
    blocks::compress,
    support::{clean, texts},
};

fn lines(records: usize) -> String {
    let line = |record| format!("{{\"a\":\"{record}\"}}\n");
    (0..records).map(line).collect::<Vec<_>>().concat()
}

/// Reads all blocks: how many records came, and the error at the end.
fn read(input: Input, compression: Compression) -> (u64, Option<ReadError>) {
    let mut options = ReadOptions::new(Format::JsonLines, compression);
    options.limits.block_bytes = 100;
    let mut blocks = match open(input, &options) {
        Ok(blocks) => blocks,
        Err(error) => return (0, Some(error)),
    };
    let mut records = 0;
    let error = loop {
        match blocks.next() {
            Some(Ok(block)) => records += block.records() as u64,
            Some(Err(error)) => break Some(error),
            None => break None,
        }
    };
    assert!(blocks.next().is_none(), "nothing follows the end");
    (records, error)
}

#[test]
fn a_stream_cut_anywhere_is_an_error_that_says_how_far_it_was_readable() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let file = lines(200);
        let packed = compress(file.as_bytes(), compression);
        for length in 0..packed.len() {
            let cut = packed[..length].to_vec();
            let (came, error) = read(Input::Bytes(cut.into()), compression);
            let Some(ReadError::Truncated { bytes, records, .. }) = error else {
                panic!("{compression} cut after {length} bytes: {error:?}");
            };
            assert_eq!(records, came);
            let whole_lines = file.as_bytes()[..bytes as usize].split(|byte| *byte == b'\n');
            assert_eq!(came, whole_lines.count() as u64 - 1);
        }
        let (came, error) = read(Input::Bytes(packed.into()), compression);
        assert!(came == 200 && error.is_none());
    }
}

#[test]
fn a_corrupt_gzip_stream_never_passes_for_other_contents() {
    let file = lines(50);
    let packed = compress(file.as_bytes(), Compression::Gzip);
    let options = ReadOptions::new(Format::JsonLines, Compression::Gzip);
    let original = clean(&texts(&["a"]), &packed, &options).unwrap();
    let mut corrupt = 0;
    for bit in 0..packed.len() * 8 {
        let mut changed = packed.clone();
        changed[bit / 8] ^= 1 << (bit % 8);
        match clean(&texts(&["a"]), changed, &options) {
            // A time stamp in the header, say.
            Ok(outcome) => assert_eq!(outcome, original),
            Err(ReadError::Corrupt { .. }) => corrupt += 1,
            Err(ReadError::Truncated { .. }) => {}
            Err(other) => panic!("{other:?}"),
        }
    }
    assert!(corrupt > packed.len());
}

#[test]
fn what_is_not_compressed_as_told_is_corrupt() {
    for compression in [Compression::Gzip, Compression::Zstd] {
        let (came, error) = read(Input::Bytes(lines(3).into()), compression);
        assert!(came == 0 && matches!(error, Some(ReadError::Corrupt { .. })), "{error:?}");

        let mut followed = compress(lines(3).as_bytes(), compression);
        followed.extend(b"and then something else");
        let (came, error) = read(Input::Bytes(followed.into()), compression);
        assert!(came == 3 && matches!(error, Some(ReadError::Corrupt { .. })), "{error:?}");
    }
}

/// Fails once its bytes are read.
struct Failing(Cursor<Vec<u8>>);

impl Read for Failing {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 if !buffer.is_empty() => Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the connection was reset")),
            read => Ok(read),
        }
    }
}

#[test]
fn a_source_that_fails_is_not_taken_for_a_damaged_file() {
    for compression in [Compression::None, Compression::Gzip, Compression::Zstd] {
        let mut bytes = compress(lines(40).as_bytes(), compression);
        bytes.truncate(bytes.len() - 3);
        let (came, error) = read(Input::Stream(Box::new(Failing(Cursor::new(bytes)))), compression);
        let Some(ReadError::Io { records, source, .. }) = error else {
            panic!("{compression}: {error:?}");
        };
        assert_eq!(records, came);
        assert_eq!(source.to_string(), "the connection was reset");
    }
}
