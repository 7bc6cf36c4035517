//! Picked rows are those that the Parquet crate's own reader gives, whatever a file holds; and damaged bytes are told,
//! never a panic.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use arrow::{
    array::{
        Array, ArrayRef, BooleanArray, Date32Array, Decimal128Array, Float64Array, Int32Array, Int64Array, RecordBatch,
        StringViewArray, TimestampMicrosecondArray, UInt64Array,
    },
    compute::{concat, concat_batches, take_record_batch},
    datatypes::{DataType, Field, Schema, TimeUnit},
};
use bytes::Bytes;
use parquet::{
    arrow::{
        ArrowWriter,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReaderBuilder},
    },
    basic::{Compression, Encoding},
    file::{
        metadata::{PageIndexPolicy, ParquetMetaData},
        properties::WriterProperties,
    },
};
use proptest::prelude::*;
use roaring::RoaringBitmap;
use smelt_pages::Picker;

/// One column's values, of every type that smelt stores, by number: the same number is the same value.
fn column(kind: usize, numbers: &[Option<u16>]) -> ArrayRef {
    let numbers = || numbers.iter().copied();
    match kind {
        0 => Arc::new(
            numbers().map(|n| n.map(|n| "text ".repeat(n as usize % 5) + &n.to_string())).collect::<StringViewArray>(),
        ),
        1 => Arc::new(numbers().map(|n| n.map(|n| i32::from(n) - 9_000)).collect::<Int32Array>()),
        2 => Arc::new(numbers().map(|n| n.map(|n| i64::from(n) << 40)).collect::<Int64Array>()),
        3 => Arc::new(numbers().map(|n| n.map(|n| n % 3 == 0)).collect::<BooleanArray>()),
        4 => Arc::new(numbers().map(|n| n.map(|n| i32::from(n) - 30_000)).collect::<Date32Array>()),
        5 => Arc::new(
            numbers()
                .map(|n| n.map(|n| i64::from(n) * 1_000_003))
                .collect::<TimestampMicrosecondArray>()
                .with_timezone("UTC"),
        ),
        6 => Arc::new(numbers().map(|n| n.map(|n| f64::from(n) / 7.0)).collect::<Float64Array>()),
        wide => {
            let (precision, scale) = [(7, 2), (18, 2), (38, 6)][(wide - 7) % 3];
            let numbers =
                numbers().map(|n| n.map(|n| (i128::from(n) - 20_000) * if precision > 18 { 1 << 70 } else { 1 }));
            Arc::new(numbers.collect::<Decimal128Array>().with_precision_and_scale(precision, scale).unwrap())
        }
    }
}
const KINDS: usize = 10;

#[derive(Debug, Clone)]
struct Stored {
    kinds: Vec<(usize, bool, bool)>,
    rows: Vec<Vec<Option<u16>>>,
    page_rows: usize,
    group_rows: usize,
}

impl Stored {
    fn batch(&self) -> RecordBatch {
        let fields = self.kinds.iter().enumerate().map(|(place, (kind, nullable, _))| {
            Field::new(format!("c{place}"), column(*kind, &[]).data_type().clone(), *nullable)
        });
        let columns = self.kinds.iter().enumerate().map(|(place, (kind, nullable, _))| {
            let numbers = self.rows.iter().map(|row| row[place].or((!nullable).then_some(0)));
            column(*kind, &numbers.collect::<Vec<_>>())
        });
        RecordBatch::try_new(Arc::new(Schema::new(fields.collect::<Vec<_>>())), columns.collect()).unwrap()
    }

    fn file(&self) -> Bytes {
        let batch = self.batch();
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_data_page_row_count_limit(self.page_rows)
            .set_write_batch_size(self.page_rows)
            .set_max_row_group_row_count(Some(self.group_rows));
        for (place, (_, _, dictionary)) in self.kinds.iter().enumerate() {
            properties = properties.set_column_dictionary_enabled(format!("c{place}").into(), *dictionary);
        }
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        bytes.into()
    }
}

fn footer(file: &Bytes) -> ArrowReaderMetadata {
    let options = ArrowReaderOptions::new().with_page_index_policy(PageIndexPolicy::Required);
    ArrowReaderMetadata::load(file, options).unwrap()
}

/// By column, the arrays that are picked from a file.
fn picked_from(file: &Bytes, picker: &Picker) -> Result<Vec<Vec<ArrayRef>>, smelt_pages::Damage> {
    let each = (0..picker.columns()).map(|column| {
        let ranges = picker.ranges(column);
        let bytes = ranges.iter().map(|range| &file[range.start as usize..range.end as usize]);
        picker.pick(column, &bytes.collect::<Vec<_>>())
    });
    each.collect()
}

/// The picked rows; none where they cannot be picked.
fn picked(
    file: &Bytes,
    damaged: &Bytes,
    columns: &[&str],
    rows: &RoaringBitmap,
) -> Option<Result<Vec<ArrayRef>, smelt_pages::Damage>> {
    let footer = footer(file);
    let picker = Picker::new(Arc::clone(footer.metadata()), footer.schema(), columns, rows)?;
    Some(picked_from(damaged, &picker).map(|columns| {
        columns
            .iter()
            .map(|arrays| concat(&arrays.iter().map(|array| array.as_ref()).collect::<Vec<_>>()).unwrap())
            .collect()
    }))
}

fn stored() -> impl Strategy<Value = Stored> {
    let kinds = prop::collection::vec((0..KINDS, any::<bool>(), any::<bool>()), 1..5);
    (kinds, prop_oneof![Just(3_u16), Just(400), Just(u16::MAX)], 0.0..1.0_f64).prop_flat_map(
        |(kinds, different, known)| {
            let value = prop::option::weighted(known, any::<u16>().prop_map(move |n| n % different));
            let rows = prop::collection::vec(prop::collection::vec(value, kinds.len()), 1..600);
            (Just(kinds), rows, 1..200_usize, 1..400_usize).prop_map(|(kinds, rows, page_rows, group_rows)| Stored {
                kinds,
                rows,
                page_rows,
                group_rows,
            })
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn picked_rows_are_those_of_the_file(
        stored in stored(),
        wanted in prop::collection::vec(any::<prop::sample::Index>(), 1..80),
        reversed in any::<bool>(),
    ) {
        let (batch, file) = (stored.batch(), stored.file());
        let rows: RoaringBitmap = wanted.iter().map(|row| row.index(batch.num_rows()) as u32).collect();
        let schema = batch.schema();
        let mut columns: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
        if reversed {
            columns.reverse();
        }
        let found = picked(&file, &file, &columns, &rows).expect("all of it can be picked").unwrap();
        let places = UInt64Array::from_iter_values(rows.iter().map(u64::from));
        let expected = take_record_batch(&batch, &places).unwrap();
        for (name, found) in columns.iter().zip(found) {
            prop_assert_eq!(&found, expected.column_by_name(name).unwrap(), "{}", name);
        }
    }

    /// Whatever bit is wrong: rows, or a failure.
    #[test]
    fn damaged_pages_are_told(
        stored in stored(),
        wanted in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
        flips in prop::collection::vec((any::<prop::sample::Index>(), 0..8_u32), 1..12),
    ) {
        let file = stored.file();
        let rows: RoaringBitmap = wanted.iter().map(|row| row.index(stored.rows.len()) as u32).collect();
        let names: Vec<String> = (0..stored.kinds.len()).map(|place| format!("c{place}")).collect();
        let columns: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut damaged = file.to_vec();
        for (at, bit) in flips {
            let at = at.index(damaged.len());
            damaged[at] ^= 1 << bit;
        }
        if let Some(Ok(found)) = picked(&file, &damaged.into(), &columns, &rows) {
            prop_assert!(found.iter().all(|column| column.len() as u64 == rows.len()));
        }
    }
}

/// Arrays are cut after so many rows, in every column alike; the library's reader gives the same ones.
#[test]
fn many_rows_are_many_arrays() {
    let numbers = |salt: u32| -> Vec<Option<u16>> {
        (0..50_000_u32)
            .map(|row| (row % 97 != salt).then_some((row.wrapping_mul(2_654_435_761) >> 16) as u16))
            .collect()
    };
    let rows: Vec<Vec<Option<u16>>> =
        std::iter::zip(numbers(1), numbers(2)).map(|(one, other)| vec![one, other, Some(7)]).collect();
    let stored = Stored {
        kinds: vec![(0, true, false), (8, true, true), (3, false, false)],
        rows,
        page_rows: 2048,
        group_rows: 16_384,
    };
    let file = stored.file();
    let rows: RoaringBitmap = (0..50_000).filter(|row| row % 3 != 0).collect();
    let footer = footer(&file);
    let picker = Picker::new(Arc::clone(footer.metadata()), footer.schema(), &["c0", "c1", "c2"], &rows).unwrap();
    let picked = picked_from(&file, &picker).unwrap();
    assert!(picked.iter().all(|arrays| arrays.len() == 5 && arrays[0].len() == 8192));
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap();
    let all = concat_batches(&stored.batch().schema(), &reader.map(Result::unwrap).collect::<Vec<_>>()).unwrap();
    let places = UInt64Array::from_iter_values(rows.iter().map(u64::from));
    let expected = take_record_batch(&all, &places).unwrap();
    for (arrays, expected) in picked.iter().zip(expected.columns()) {
        let found = concat(&arrays.iter().map(|array| array.as_ref()).collect::<Vec<_>>()).unwrap();
        assert_eq!(&found, expected);
    }
}

#[test]
fn what_is_compressed_or_encoded_otherwise_is_not_picked() {
    let stored = Stored { kinds: vec![(1, true, false)], rows: vec![vec![Some(1)]; 50], page_rows: 10, group_rows: 50 };
    let batch = stored.batch();
    let other = [
        WriterProperties::builder().set_compression(Compression::LZ4_RAW),
        WriterProperties::builder().set_dictionary_enabled(false).set_encoding(Encoding::DELTA_BINARY_PACKED),
    ];
    for properties in other {
        let mut bytes = Vec::new();
        let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), Some(properties.build())).unwrap();
        writer.write(&batch).unwrap();
        writer.close().unwrap();
        let file = Bytes::from(bytes);
        assert!(picked(&file, &file, &["c0"], &[7].into_iter().collect()).is_none());
    }
    let unsupported = Schema::new(vec![Field::new("c0", DataType::Time64(TimeUnit::Microsecond), true)]);
    let file = stored.file();
    assert!(Picker::new(Arc::clone(footer(&file).metadata()), &unsupported, &["c0"], &RoaringBitmap::new()).is_none());
}

/// What an index of pages leaves out is told: no row is missing silently.
#[test]
fn an_index_without_its_pages_is_a_damage() {
    let rows = vec![vec![Some(1), Some(2)]; 50];
    let stored = Stored { kinds: vec![(1, true, false), (0, true, false)], rows, page_rows: 10, group_rows: 25 };
    let (file, wanted) = (stored.file(), RoaringBitmap::from_sorted_iter(0..50).unwrap());
    let footer = footer(&file);
    for left_out in [0..1, 1..2, 2..3, 0..3] {
        let mut index = footer.metadata().offset_index().unwrap().clone();
        for column in &mut index[1] {
            column.page_locations.drain(left_out.clone());
        }
        let metadata = ParquetMetaData::clone(footer.metadata()).into_builder().set_offset_index(Some(index)).build();
        let picker = Picker::new(Arc::new(metadata), footer.schema(), &["c0", "c1"], &wanted).unwrap();
        assert!(picked_from(&file, &picker).is_err(), "without pages {left_out:?}");
    }
}
