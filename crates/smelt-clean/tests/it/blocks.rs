//! How a file is cut into blocks, and what a record's position is.

use std::io::{self, Cursor, Read, Write};

use proptest::prelude::*;
use smelt_clean::{Compression, Format, Input, Limits, ReadOptions, Reason, count_records, detect, open};

use crate::support::{clean, clean_input, orders, plain, texts};

const LONGEST: usize = 64;

fn line() -> impl Strategy<Value = Vec<u8>> {
    let order = br#"{"a":"x","b":2}"#.to_vec();
    let long = |length: usize| {
        let mut line = br#"{"a":""#.to_vec();
        line.resize(length - 2, b'y');
        line.extend(b"\"}");
        line
    };
    prop_oneof![
        4 => Just(order),
        1 => Just(b"1,\"two\nlines\"".to_vec()),
        1 => Just(b"1,\"\"\"\"".to_vec()),
        1 => Just(b"{\"a\":\"caf\xC3\xA9\"}".to_vec()),
        1 => Just(b"{\"a\":\"\xFF\"}".to_vec()),
        1 => Just(b"not a record".to_vec()),
        1 => prop::sample::select(vec!["", " ", "\t\x0b\x0c\r "]).prop_map(Into::into),
        1 => Just(vec![b' '; 3 * LONGEST]),
        1 => (LONGEST - 2..LONGEST + 4).prop_map(long),
        1 => (LONGEST + 4..10 * LONGEST).prop_map(long),
        1 => Just(b"5,\"never closed".to_vec()),
    ]
}

fn file() -> impl Strategy<Value = Vec<u8>> {
    let end = prop::sample::select(vec![&b"\n"[..], b"\n", b"\r\n"]);
    let lines = prop::collection::vec((line(), end), 0..12);
    (lines, any::<bool>(), any::<bool>()).prop_map(|(lines, mark, cut)| {
        let mut file = if mark { b"\xEF\xBB\xBF".to_vec() } else { Vec::new() };
        for (line, end) in lines {
            file.extend(line);
            file.extend(end);
        }
        if cut {
            file.pop();
        }
        file
    })
}

fn limits(block_bytes: usize) -> Limits {
    Limits {
        block_bytes,
        // The smaller, the more often it is what ends a block.
        block_records: 1 + block_bytes % 5,
        max_record_bytes: LONGEST,
        kept_record_bytes: 20,
        ..Limits::default()
    }
}

/// A stream that hands out little at a time, and is interrupted before every read.
struct Reluctant(Cursor<Vec<u8>>, bool);

impl Read for Reluctant {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.1 = !self.1;
        if self.1 {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let length = buffer.len().min(5);
        self.0.read(&mut buffer[..length])
    }
}

pub(crate) fn compress(bytes: &[u8], compression: Compression) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
            encoder.write_all(bytes).unwrap();
            encoder.finish().unwrap()
        }
        Compression::Zstd => zstd::encode_all(bytes, 1).unwrap(),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3_000))]

    #[test]
    fn where_blocks_end_and_how_bytes_arrive_never_matters(
        file in file(),
        csv in any::<bool>(),
        cut_at in any::<prop::sample::Index>(),
    ) {
        let format = if csv { Format::Csv } else { Format::JsonLines };
        let file = if csv { [b"a,b\n", &file[..]].concat() } else { file };
        let spec = texts(&["a"]);
        let mut options = plain(format);
        options.limits = limits(1 << 20);
        let whole = clean(&spec, &file, &options).unwrap();
        prop_assert_eq!(whole.records, (whole.rows.len() + whole.rejected.len()) as u64);

        for block_bytes in [1, 2, 3, 7, LONGEST, 1_000] {
            options.limits = limits(block_bytes);
            prop_assert_eq!(&clean(&spec, &file, &options).unwrap(), &whole);
        }
        let stream = Input::Stream(Box::new(Reluctant(Cursor::new(file.clone()), false)));
        prop_assert_eq!(&clean_input(&spec, stream, &options).unwrap(), &whole);

        for compression in [Compression::Gzip, Compression::Zstd] {
            options.compression = compression;
            // Concatenated members and frames are one file, also when they cut a record in two.
            let (one, two) = file.split_at(cut_at.index(file.len() + 1));
            let parts = [compress(one, compression), compress(two, compression)].concat();
            prop_assert_eq!(&clean(&spec, &parts, &options).unwrap(), &whole);
            let stream = Input::Stream(Box::new(Reluctant(Cursor::new(parts), false)));
            prop_assert_eq!(&clean_input(&spec, stream, &options).unwrap(), &whole);
            let packed = compress(&file, compression);
            prop_assert_eq!(count_records(Input::Bytes(packed.into()), &options).unwrap(), whole.records);
        }
    }

    #[test]
    fn arbitrary_bytes_in_any_format_never_panic(
        bytes in prop::collection::vec(any::<u8>(), 0..300),
        format in prop::sample::select(vec![Format::JsonLines, Format::Csv, Format::Parquet]),
        compression in prop::sample::select(vec![Compression::None, Compression::Gzip, Compression::Zstd]),
        packed in any::<bool>(),
    ) {
        let mut options = ReadOptions::new(format, compression);
        options.limits = limits(16);
        let bytes = if packed { compress(&bytes, compression) } else { bytes };
        // Rows, rejected records or an error of the file: `clean` has checked the accounts.
        let _outcome = clean(&orders(), bytes, &options);
    }
}

#[test]
fn positions_count_records_from_one_through_all_blocks_without_blank_lines() {
    let mut options = plain(Format::JsonLines);
    options.limits.block_bytes = 20;
    let file = "\u{feff}{\"a\":1}\n\n   \n{\"a\":2}\r\nbroken\n\x0b\x0c\n{\"a\":4}\n\n{\"a\":5}";
    let outcome = clean(&texts(&["a"]), file, &options).unwrap();
    let positions = outcome.rows.iter().map(|row| row.last().unwrap().clone().unwrap());
    assert_eq!(positions.collect::<Vec<_>>(), ["1", "2", "4", "5"]);
    for (position, value) in [(1, "1"), (2, "2"), (4, "4"), (5, "5")] {
        assert_eq!(outcome.row(position).unwrap()[0], Some(value));
    }
    assert_eq!(outcome.codes(3), ["unreadable"]);
}

#[test]
fn a_byte_order_mark_counts_only_at_the_start_of_the_file() {
    let file = "{\"a\":1}\n\u{feff}{\"a\":2}\n";
    let outcome = clean(&texts(&["a"]), file, &plain(Format::JsonLines)).unwrap();
    assert_eq!(outcome.codes(2), ["unreadable"]);
}

#[test]
fn the_longest_record_allowed_is_read_and_one_byte_more_is_rejected_with_its_start() {
    let mut options = plain(Format::JsonLines);
    options.limits = limits(1 << 20);
    let fits = format!("{{\"a\":\"{}\"}}", "y".repeat(LONGEST - 8));
    let longer = format!("{{\"a\":\"{}\"}}", "y".repeat(LONGEST - 7));
    assert_eq!(fits.len(), LONGEST);
    let file = format!("{fits}\r\n{longer}\n{fits}");
    let outcome = clean(&texts(&["a"]), file, &options).unwrap();
    assert_eq!((outcome.rows.len(), outcome.rejected.len()), (2, 1));
    let rejected = &outcome.rejected[0];
    assert_eq!(rejected.position, 2);
    assert_eq!(rejected.record, "{\"a\":\"yyyyyyyyyyyyyy … (cut: 65 bytes in all)");
    let detail = "65 bytes long, the limit is 64".to_owned();
    assert_eq!(rejected.reasons, [Reason::Unreadable { detail }]);
}

#[test]
fn an_empty_file_has_no_blocks() {
    for bytes in ["", "\n", "\n \r\n\t\n", "\u{feff}"] {
        let options = plain(Format::JsonLines);
        let mut blocks = open(Input::Bytes(bytes.into()), &options).unwrap();
        assert!(blocks.next().is_none(), "{bytes:?}");
        assert!(blocks.next().is_none(), "{bytes:?}");
    }
}

#[test]
fn limits_that_cannot_work_are_refused() {
    for (block_bytes, max_record_bytes, block_records) in
        [(0, 1, 1), (1, 0, 1), (1, 1, 0), (usize::MAX, 1, 1), (1, usize::MAX, 1)]
    {
        let mut options = plain(Format::JsonLines);
        options.limits.block_bytes = block_bytes;
        options.limits.max_record_bytes = max_record_bytes;
        options.limits.block_records = block_records;
        assert!(open(Input::Bytes("{}".into()), &options).is_err());
    }
}

#[test]
fn a_file_name_tells_format_and_compression() {
    use Compression::{Gzip, None as Plain, Zstd};
    use Format::{Csv, JsonLines, Parquet};
    for (name, expected) in [
        ("orders.jsonl", Some((JsonLines, Plain))),
        ("a/b.c/orders.NDJSON.GZ", Some((JsonLines, Gzip))),
        ("orders.json.zst", Some((JsonLines, Zstd))),
        ("orders.2024-01-01.csv", Some((Csv, Plain))),
        ("orders.csv.gz", Some((Csv, Gzip))),
        ("orders.parquet", Some((Parquet, Plain))),
        ("orders.parquet.gz", Some((Parquet, Gzip))),
        ("orders.gz", None),
        ("csv", None),
        ("orders.txt", None),
        ("", None),
    ] {
        assert_eq!(detect(name), expected, "{name}");
    }
}
