//! CSV, held to the records and fields of a CSV library.

use csv_core::{ReadRecordResult, ReaderBuilder, Terminator};
use proptest::prelude::*;
use smelt_clean::{CsvDialect, Format, ReadError, value::white_space};

use crate::support::{clean, plain, texts};

/// The library's records, each with its bytes in the file.
fn records(file: &[u8]) -> Vec<(&[u8], Vec<String>)> {
    let mut reader = ReaderBuilder::new().terminator(Terminator::Any(b'\n')).build();
    let (mut output, mut ends) = (vec![0; file.len() + 1], vec![0; file.len() + 2]);
    let mut records = Vec::new();
    let mut at = 0;
    loop {
        let (mut written, mut fields) = (0, 0);
        let start = at;
        loop {
            let (result, read, wrote, ended) =
                reader.read_record(&file[at..], &mut output[written..], &mut ends[fields..]);
            (at, written, fields) = (at + read, written + wrote, fields + ended);
            match result {
                ReadRecordResult::InputEmpty => {}
                ReadRecordResult::Record => break,
                ReadRecordResult::End => return records,
                other => panic!("buffers are large enough: {other:?}"),
            }
        }
        let starts = [0].into_iter().chain(ends[..fields].iter().copied());
        let texts =
            starts.zip(&ends[..fields]).map(|(start, end)| String::from_utf8_lossy(&output[start..*end]).into_owned());
        records.push((&file[start..at], texts.collect()));
    }
}

/// Whether a quoted field of a record has more than white space before its delimiter, which the library
/// takes as part of the field.
fn goes_on_after_a_quote(record: &[u8]) -> bool {
    let lines_skipped = record.iter().take_while(|byte| **byte == b'\n').count();
    let mut rest = &record[lines_skipped..];
    while let Some((&first, after)) = rest.split_first() {
        let mut end = 0;
        if first == b'"' {
            while let Some(quote) = after[end..].iter().position(|byte| *byte == b'"') {
                end += quote + 1;
                if after.get(end) != Some(&b'"') {
                    let length = after[end..].iter().position(|byte| *byte == b',').unwrap_or(after.len() - end);
                    if !after[end..end + length].trim_ascii().is_empty() {
                        return true;
                    }
                    break;
                }
                end += 1;
            }
            rest = &after[end..];
        }
        let Some(delimiter) = rest.iter().position(|byte| *byte == b',') else { return false };
        rest = &rest[delimiter + 1..];
    }
    false
}

fn piece() -> impl Strategy<Value = &'static str> {
    let pieces = ["\"", "\"", "\"", ",", ",", "\n", "\n", "\r\n", "\r", " ", "a", "é", "\"\"", "b c"];
    prop::sample::select(pieces.to_vec())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn any_mix_of_quotes_delimiters_and_line_ends_is_read_as_the_library_reads_it(
        pieces in prop::collection::vec(piece(), 0..30),
        block_bytes in 1_usize..40,
    ) {
        let file = format!("one,two\n{}", pieces.concat());
        let mut options = plain(Format::Csv);
        options.limits.block_bytes = block_bytes;
        let outcome = clean(&texts(&["one", "two"]), &file, &options).unwrap();

        // A record appended to the file is lost in a quote that was never closed.
        let probed = format!("{file}\nthe,probe\n");
        let mut expected = records(probed.as_bytes());
        let unclosed = expected.pop().unwrap().1 != ["the", "probe"];
        let mut expected = records(file.as_bytes());
        expected.remove(0);
        let is_unclosed = expected.len().checked_sub(1).filter(|_| unclosed);
        let expected = expected.into_iter().enumerate();
        let expected = expected.filter(|(_, (bytes, _))| !white_space::is_blank(bytes));

        let mut position = 0;
        for (index, (bytes, fields)) in expected {
            position += 1;
            let row = outcome.row(position).map(|row| row[..2].to_vec());
            if fields.len() == 2 && is_unclosed != Some(index) && !goes_on_after_a_quote(bytes) {
                let fields = fields.iter().map(|field| Some(white_space::trim(field))).collect();
                prop_assert_eq!(row, Some(fields), "record {} of {:?}", position, file);
            } else {
                prop_assert_eq!(row, None, "record {} of {:?}", position, file);
                prop_assert_eq!(outcome.codes(position), vec!["unreadable"]);
            }
        }
        prop_assert_eq!(outcome.records, position, "{:?}", file);
    }
}

#[test]
fn an_unclosed_quote_makes_the_rest_of_the_file_one_unreadable_record() {
    let file = "one,two\n1,2\n3,\"4\n5,6\n7,8\n";
    let outcome = clean(&texts(&["one", "two"]), file, &plain(Format::Csv)).unwrap();
    assert_eq!((outcome.records, outcome.rows.len()), (2, 1));
    assert_eq!(outcome.rejected[0].record, "3,\"4\n5,6\n7,8\n");
    assert_eq!(outcome.rejected[0].reasons[0].to_string(), "cannot be read: a quote is never closed");
}

#[test]
fn a_record_with_a_field_too_few_or_too_many_costs_only_itself() {
    let outcome = clean(
        &texts(&["one", "two"]),
        "\u{feff}two,extra,one\r\n\r\n1,2\r\n \t \r\n1,2,3,4\r\nb,x,\"a\nnext\"\r\n",
        &plain(Format::Csv),
    )
    .unwrap();
    assert_eq!((outcome.codes(1), outcome.codes(2)), (vec!["unreadable"], vec!["unreadable"]));
    assert_eq!(outcome.row(3).unwrap()[..2], [Some("a\nnext"), Some("b")]);
    assert_eq!(outcome.unknown_columns, [("extra".to_owned(), 1)].into());
}

#[test]
fn other_delimiters_and_quotes_are_read_as_told() {
    let mut options = plain(Format::Csv);
    options.csv = CsvDialect { delimiter: b';', quote: b'\'' };
    let outcome = clean(&texts(&["one", "two"]), "one;two\n'a;''b''';\"c\"\n", &options).unwrap();
    assert_eq!(outcome.row(1).unwrap()[..2], [Some("a;'b'"), Some("\"c\"")]);
}

#[test]
fn a_header_that_cannot_be_used_is_an_error_of_the_file() {
    let read = |file: &[u8]| clean(&texts(&["one"]), file, &plain(Format::Csv));
    assert_eq!(read(b"").unwrap().records, 0);
    assert_eq!(read(b"\xEF\xBB\xBF").unwrap().records, 0);
    assert_eq!(read(b"one").unwrap().records, 0);
    assert!(matches!(read(b"\n \r\n"), Err(ReadError::NoHeader)));
    let repeated = read(b"one,two,one\n1,2,3\n").unwrap_err();
    assert_eq!(repeated.to_string(), "the file has column `one` more than once");
    assert!(matches!(read(b"one,\"two\n1,2\n"), Err(ReadError::Header { .. })));
    assert!(matches!(read(b"one,\xFF\n1,2\n"), Err(ReadError::Header { .. })));
}

#[test]
fn a_dialect_that_cannot_work_is_refused() {
    for (delimiter, quote) in [(b',', b','), (b'\n', b'"'), (b',', b'\r'), (0xA7, b'"')] {
        let mut options = plain(Format::Csv);
        options.csv = CsvDialect { delimiter, quote };
        let refused = clean(&texts(&["one"]), "one\n", &options);
        assert!(matches!(refused, Err(ReadError::Options { .. })));
    }
}
