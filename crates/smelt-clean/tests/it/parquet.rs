//! Parquet: typed columns mean what their texts mean.

use std::{
    io::{Cursor, Seek, Write},
    sync::Arc,
};

use ::parquet::{
    arrow::ArrowWriter,
    basic::{BrotliLevel, Compression as Codec, GzipLevel, ZstdLevel},
    data_type::{FixedLenByteArray, FixedLenByteArrayType, Int96, Int96Type},
    file::{properties::WriterProperties, writer::SerializedFileWriter},
    schema::parser::parse_message_type,
};
use arrow::{
    array::{
        ArrayRef, BinaryArray, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array,
        ListArray, NullArray, RecordBatch, StringArray, TimestampMicrosecondArray, TimestampMillisecondArray,
        TimestampNanosecondArray, TimestampSecondArray,
    },
    datatypes::Int32Type,
};
use smelt_clean::{ColumnSpec, Compression, EntitySpec, Format, Input, Kind, ReadError, ReadOptions, count_records};

use crate::{
    blocks::compress,
    support::{clean, clean_input, money, plain, texts},
};

pub(crate) fn write(batch: &RecordBatch) -> Vec<u8> {
    write_as(batch, WriterProperties::builder().build())
}

fn write_as(batch: &RecordBatch, properties: WriterProperties) -> Vec<u8> {
    let mut file = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut file, batch.schema(), Some(properties)).unwrap();
    writer.write(batch).unwrap();
    writer.close().unwrap();
    file
}

fn batch<const N: usize>(columns: [(&str, ArrayRef); N]) -> RecordBatch {
    RecordBatch::try_from_iter_with_nullable(columns.map(|(name, array)| (name, array, true))).unwrap()
}

fn typed(kind: Kind) -> EntitySpec {
    let mut spec = texts(&[]);
    spec.columns.push(ColumnSpec::new("value", kind));
    spec
}

const NULL: &str = "NULL";
const REJECTED: &str = "rejected";

/// What became of the values of one column, as text.
fn values(kind: Kind, column: ArrayRef) -> Vec<String> {
    let rows = column.len() as u64;
    let file = write(&batch([("value", column)]));
    let outcome = clean(&typed(kind), file, &plain(Format::Parquet)).unwrap();
    let value = |position| {
        let row = outcome.row(position);
        row.map_or(REJECTED, |row| row[2].unwrap_or(NULL)).to_owned()
    };
    (1..=rows).map(value).collect()
}

#[test]
fn a_typed_value_is_cleaned_through_its_usual_text() {
    let integers: ArrayRef = Arc::new(Int64Array::from(vec![Some(2), None, Some(1_700_000_000)]));
    assert_eq!(values(Kind::Count, integers.clone()), ["2", NULL, "1700000000"]);
    assert_eq!(values(money(), integers.clone()), ["2.00", NULL, "1700000000.00"]);
    assert_eq!(values(Kind::Timestamp, integers.clone()), [REJECTED, NULL, "2023-11-14 22:13:20.000000"]);
    assert_eq!(values(Kind::Identifier, integers), ["2", NULL, "1700000000"]);

    let floats: ArrayRef = Arc::new(Float64Array::from(vec![2.0, 12.345, -0.001]));
    assert_eq!(values(money(), floats.clone()), ["2.00", "12.35", "0.00"]);
    assert_eq!(values(Kind::Count, floats), [REJECTED, REJECTED, REJECTED]);

    let decimals = Decimal128Array::from(vec![123_450, -5]).with_precision_and_scale(20, 4).unwrap();
    assert_eq!(values(money(), Arc::new(decimals)), ["12.35", "0.00"]);

    let flags: ArrayRef = Arc::new(BooleanArray::from(vec![Some(true), Some(false), None]));
    assert_eq!(values(Kind::Flag, flags.clone()), ["true", "false", NULL]);
    assert_eq!(values(Kind::Text, flags), ["true", "false", NULL]);

    let days = Date32Array::from(vec![19_783, -719_162, 2_932_897]);
    let expected = ["2024-03-01 00:00:00.000000", "0001-01-01 00:00:00.000000", REJECTED];
    assert_eq!(values(Kind::Timestamp, Arc::new(days)), expected);

    let bytes = BinaryArray::from(vec![Some(&b" ok "[..]), Some(b"\xFF"), None]);
    assert_eq!(values(Kind::Text, Arc::new(bytes)), ["ok", REJECTED, NULL]);

    assert_eq!(values(money(), Arc::new(NullArray::new(1))), [NULL]);
}

#[test]
fn a_typed_timestamp_is_an_instant_in_utc_in_any_unit_and_zone() {
    let noon = 1_709_294_400_i64;
    let expected = ["2024-03-01 12:00:00.000000", NULL];
    let columns: [ArrayRef; 4] = [
        Arc::new(TimestampSecondArray::from(vec![Some(noon), None])),
        Arc::new(TimestampMillisecondArray::from(vec![Some(noon * 1_000), None])),
        Arc::new(TimestampMicrosecondArray::from(vec![Some(noon * 1_000_000), None])),
        Arc::new(
            TimestampNanosecondArray::from(vec![Some(noon * 1_000_000_000 + 999), None]).with_timezone("Europe/Berlin"),
        ),
    ];
    for column in columns {
        assert_eq!(values(Kind::Timestamp, column), expected);
    }
    let edges = TimestampMicrosecondArray::from(vec![
        -62_135_596_800_000_000,
        -62_135_596_800_000_001,
        253_402_300_799_999_999,
        253_402_300_800_000_000,
        i64::MAX,
    ]);
    let first = "0001-01-01 00:00:00.000000";
    let last = "9999-12-31 23:59:59.999999";
    assert_eq!(values(Kind::Timestamp, Arc::new(edges)), [first, REJECTED, last, REJECTED, REJECTED]);

    let before_1970 = TimestampNanosecondArray::from(vec![-1]);
    assert_eq!(values(Kind::Timestamp, Arc::new(before_1970)), ["1969-12-31 23:59:59.999999"]);
    let as_text = TimestampMicrosecondArray::from(vec![noon * 1_000_000]).with_timezone("UTC");
    assert_eq!(values(Kind::Text, Arc::new(as_text)), ["2024-03-01T12:00:00"]);
}

#[test]
fn a_nested_value_makes_its_record_unreadable_and_a_nested_null_does_not() {
    let lists = ListArray::from_iter_primitive::<Int32Type, _, _>(vec![Some(vec![Some(1), None]), None, Some(vec![])]);
    let names: ArrayRef = Arc::new(StringArray::from(vec!["\"x\"\n", "y", "z"]));
    let file = write(&batch([("a", names), ("list", Arc::new(lists))]));
    let outcome = clean(&texts(&["a"]), file, &plain(Format::Parquet)).unwrap();
    assert_eq!(outcome.codes(1), ["unreadable"]);
    assert_eq!(outcome.row(2).unwrap()[0], Some("y"));
    assert_eq!(outcome.codes(3), ["unreadable"]);
    assert_eq!(outcome.rejected[0].record, r#"{"a": "\"x\"\u000a", "list": "[1, ]"}"#);
    assert_eq!(outcome.unknown_columns, [("list".to_owned(), 1)].into());
}

#[test]
fn a_rejected_record_is_kept_as_text_and_cut() {
    let names: ArrayRef = Arc::new(StringArray::from(vec!["x".repeat(1_000)]));
    let at: ArrayRef = Arc::new(TimestampMicrosecondArray::from(vec![0]).with_timezone("UTC"));
    let bad: ArrayRef = Arc::new(StringArray::from(vec!["bad"]));
    let file = write(&batch([("value", bad), ("at", at), ("name", names)]));
    let mut options = plain(Format::Parquet);
    options.limits.kept_record_bytes = 60;
    let outcome = clean(&typed(Kind::Count), file, &options).unwrap();
    let start = r#"{"value": "bad", "at": "1970-01-01T00:00:00", "name": "xxxxx"#;
    assert_eq!(outcome.rejected[0].record, format!("{start} … (cut)"));
}

#[test]
fn int96_timestamps_of_all_years_and_uuids_are_read() {
    let schema = "message records { optional int96 value; required fixed_len_byte_array(16) a (UUID); }";
    let mut file = Vec::new();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    let mut writer = SerializedFileWriter::new(&mut file, schema, Arc::default()).unwrap();
    let mut group = writer.next_row_group().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let mut value = Int96::new();
    // Nanoseconds of the day in the low words, then the Julian day of 9999-12-31.
    value.set_data(1_000, 0, 5_373_484);
    column.typed::<Int96Type>().write_batch(&[value], Some(&[1, 0]), None).unwrap();
    column.close().unwrap();
    let mut column = group.next_column().unwrap().unwrap();
    let uuid = FixedLenByteArray::from((0..16).map(|byte| byte * 16 + 10).collect::<Vec<u8>>());
    let uuids = [uuid.clone(), uuid];
    column.typed::<FixedLenByteArrayType>().write_batch(&uuids, None, None).unwrap();
    column.close().unwrap();
    group.close().unwrap();
    writer.close().unwrap();

    let mut spec = texts(&["a"]);
    spec.columns.push(ColumnSpec::new("value", Kind::Timestamp));
    let outcome = clean(&spec, file, &plain(Format::Parquet)).unwrap();
    let uuid = Some("0a1a2a3a-4a5a-6a7a-8a9a-aabacadaeafa");
    let last_day = Some("9999-12-31 00:00:00.000001");
    let row = |position| -> Vec<_> {
        let row = outcome.row(position).unwrap();
        vec![row[0], row[3]]
    };
    assert_eq!((row(1), row(2)), (vec![uuid, last_day], vec![uuid, None]));
}

fn numbered(rows: i32) -> RecordBatch {
    let numbers: ArrayRef = Arc::new(Int32Array::from_iter_values(1..=rows));
    let names = (1..=rows).map(|row| format!("name {row}"));
    batch([("a", numbers), ("name", Arc::new(StringArray::from_iter_values(names)))])
}

#[test]
fn positions_run_through_row_groups_and_blocks_however_the_file_arrives_and_is_encoded() {
    let codecs = [
        Codec::UNCOMPRESSED,
        Codec::SNAPPY,
        Codec::GZIP(GzipLevel::default()),
        Codec::BROTLI(BrotliLevel::default()),
        Codec::LZ4_RAW,
        Codec::ZSTD(ZstdLevel::default()),
    ];
    for codec in codecs {
        let properties =
            WriterProperties::builder().set_compression(codec).set_max_row_group_row_count(Some(300)).build();
        let file = write_as(&numbered(1_000), properties);
        let mut options = plain(Format::Parquet);
        options.limits.block_bytes = 2_000;
        let outcome = clean(&texts(&["a"]), &file, &options).unwrap();
        assert_eq!(outcome.records, 1_000);
        for (position, row) in (1..).zip(&outcome.rows) {
            assert_eq!(row[0], Some(i32::to_string(&position)));
            assert_eq!(row.last().unwrap(), &Some(position.to_string()));
        }
        let bytes = |file: &[u8]| Input::Bytes(file.to_vec().into());
        assert_eq!(count_records(bytes(&file), &options).unwrap(), 1_000);

        let mut on_disk = tempfile::tempfile().unwrap();
        on_disk.write_all(&file).unwrap();
        on_disk.rewind().unwrap();
        assert_eq!(clean_input(&texts(&["a"]), Input::File(on_disk), &options).unwrap(), outcome);
        let stream = Input::Stream(Box::new(Cursor::new(file.clone())));
        assert_eq!(clean_input(&texts(&["a"]), stream, &options).unwrap(), outcome);
        for compression in [Compression::Gzip, Compression::Zstd] {
            options.compression = compression;
            let packed = compress(&file, compression);
            assert_eq!(clean(&texts(&["a"]), &packed, &options).unwrap(), outcome);
            let cut = clean(&texts(&["a"]), &packed[..packed.len() - 5], &options);
            assert!(matches!(cut, Err(ReadError::Truncated { .. })));
            options.limits.spooled_bytes = 100;
            let refused = clean(&texts(&["a"]), &packed, &options);
            assert!(matches!(refused, Err(ReadError::TooLargeToSpool { limit: 100 })));
            options.limits.spooled_bytes = 1 << 20;
        }
    }
}

#[test]
fn an_empty_parquet_file_has_columns_but_no_blocks() {
    let file = write(&numbered(0));
    let outcome = clean(&texts(&["a"]), file, &plain(Format::Parquet)).unwrap();
    assert_eq!(outcome.records, 0);
}

#[test]
fn the_same_column_twice_is_an_error_of_the_file() {
    let schema = "message records { optional int32 a; optional int64 a; }";
    let mut file = Vec::new();
    let schema = Arc::new(parse_message_type(schema).unwrap());
    SerializedFileWriter::new(&mut file, schema, Arc::default()).unwrap().close().unwrap();
    let refused = clean(&texts(&["a"]), file, &plain(Format::Parquet));
    assert!(matches!(refused, Err(ReadError::RepeatedColumn { column }) if column == "a"));
}

#[test]
fn a_damaged_parquet_file_gives_an_error_or_all_its_records_but_never_a_panic() {
    let file = write(&numbered(50));
    let options = ReadOptions::new(Format::Parquet, Compression::None);
    let mut errors = 0;
    for at in 0..file.len() {
        for change in [0x01, 0x80, 0xFF] {
            let mut changed = file.clone();
            changed[at] ^= change;
            match clean(&texts(&["a"]), changed, &options) {
                Ok(outcome) => assert_eq!(outcome.records, 50),
                Err(ReadError::Parquet { .. } | ReadError::RepeatedColumn { .. }) => errors += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    assert!(errors > file.len());
    for length in 0..file.len() {
        let cut = clean(&texts(&["a"]), &file[..length], &options);
        assert!(matches!(cut, Err(ReadError::Parquet { .. })), "cut after {length} bytes");
    }
}
