//! Hashes of a data file's keys, row by row: they tell where a key can be, and no page has to be decoded for it.
//!
//! They lie in the file itself, between its last rows and its footer, where no reader of Parquet looks; the
//! footer's metadata says where. Texts and whole numbers that repeat a few hundred times at most have them: ids do. A
//! hash is of the value alone (XXH64, its lower half), so that a text hashes alike in every file, and an integer of any
//! width.

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Int32Type, Int64Type},
};
use bytes::Bytes;
use parquet::file::metadata::{KeyValue, ParquetMetaData};
use serde::{Deserialize, Serialize};
use twox_hash::XxHash64;

/// The footer's metadata under this name has a JSON list of [`Entry`].
const METADATA: &str = "smelt.key_hashes";

/// Of NULL.
const NULL: u32 = 0;

/// Where a column's hashes are in their file.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Entry {
    column: String,
    offset: u64,
    /// Of the hashes' bytes.
    xxh64: u64,
}

/// What is hashed in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Text,
    Integer,
}

fn kind(data_type: &DataType) -> Option<Kind> {
    match data_type {
        DataType::Utf8View | DataType::Utf8 => Some(Kind::Text),
        DataType::Int32 | DataType::Int64 => Some(Kind::Integer),
        _ => None,
    }
}

/// Whether columns of this type may have hashes.
pub(super) fn hashable(data_type: &DataType) -> bool {
    kind(data_type).is_some()
}

/// The hashes of a column's values; none for a type that has none.
pub(super) fn hashes(column: &ArrayRef) -> Option<Vec<u32>> {
    fn all<'a, T: 'a>(values: impl Iterator<Item = Option<T>>, hash: impl Fn(T) -> u32) -> Vec<u32> {
        values.map(|value| value.map_or(NULL, &hash)).collect()
    }
    let text = |value: &str| XxHash64::oneshot(0, value.as_bytes()) as u32;
    let integer = |value: i64| XxHash64::oneshot(0, &value.to_le_bytes()) as u32;
    Some(match column.data_type() {
        DataType::Utf8View => all(column.as_string_view().iter(), text),
        DataType::Utf8 => all(column.as_string::<i32>().iter(), text),
        DataType::Int32 => all(column.as_primitive::<Int32Type>().iter(), |value| integer(value.into())),
        DataType::Int64 => all(column.as_primitive::<Int64Type>().iter(), integer),
        _ => return None,
    })
}

/// The bytes of a column's hashes, and what says where they are once they stand at an offset.
pub(super) fn stored(column: &str, hashes: &[u32], offset: u64) -> (Vec<u8>, Entry) {
    let bytes: Vec<u8> = hashes.iter().flat_map(|hash| hash.to_le_bytes()).collect();
    let xxh64 = XxHash64::oneshot(0, &bytes);
    (bytes, Entry { column: column.to_owned(), offset, xxh64 })
}

/// What the footer is to say.
pub(super) fn metadata(entries: &[Entry]) -> Result<KeyValue, serde_json::Error> {
    Ok(KeyValue::new(METADATA.to_owned(), serde_json::to_string(entries)?))
}

/// Where a file has the hashes of a column, if it has them, and they are of values of such a type.
pub(super) fn find(footer: &ParquetMetaData, column: &str, stored: &DataType, wanted: &DataType) -> Option<Entry> {
    if kind(stored)? != kind(wanted)? {
        return None;
    }
    let metadata = footer.file_metadata().key_value_metadata()?.iter().find(|pair| pair.key == METADATA)?;
    let entries: Vec<Entry> = serde_json::from_str(metadata.value.as_deref()?).ok()?;
    entries.into_iter().find(|entry| entry.column == column)
}

/// A column's hashes, row by row.
pub(super) struct Hashes(Bytes);

impl Hashes {
    /// Each with its lowest byte first.
    pub(super) fn all(&self) -> &[[u8; 4]] {
        self.0.as_chunks().0
    }
}

impl Entry {
    /// Where the hashes of so many rows are.
    pub(super) fn range(&self, rows: u64) -> std::ops::Range<u64> {
        self.offset..self.offset.saturating_add(rows.saturating_mul(size_of::<u32>() as u64))
    }

    /// The hashes; none if these are not the bytes that were written.
    pub(super) fn read(&self, bytes: Bytes) -> Option<Hashes> {
        (bytes.len().is_multiple_of(size_of::<u32>()) && XxHash64::oneshot(0, &bytes) == self.xxh64)
            .then_some(Hashes(bytes))
    }
}
