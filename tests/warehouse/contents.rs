//! What a snapshot's tables hold, as multisets of rows to be compared.

use std::{collections::BTreeMap, fs, fs::File};

use arrow::util::display::{ArrayFormatter, FormatOptions};
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;

use crate::shop::Shop;

/// Tables by name.
pub(crate) type Contents = BTreeMap<String, Table>;

/// A table's columns with their types, and its rows in a fixed order, each as text in which NULL
/// and the empty text differ.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    columns: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Shop {
    /// All tables of the newest snapshot, staging and quarantine with them.
    pub(crate) fn contents(&self) -> Contents {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("export");
        self.smelt(["export", "--all", &folder.to_string_lossy()]).ok();
        fs::read_dir(&folder)
            .unwrap()
            .map(|entry| {
                let path = entry.unwrap().path();
                let parts = fs::read_dir(&path).unwrap().map(|part| File::open(part.unwrap().path()).unwrap());
                (path.file_name().unwrap().to_string_lossy().into_owned(), Table::read(parts))
            })
            .collect()
    }
}

impl Table {
    fn read(parts: impl Iterator<Item = File>) -> Self {
        let (mut columns, mut rows) = (Vec::new(), Vec::new());
        let options = FormatOptions::new().with_null("\u{0}").with_display_error(false);
        for part in parts {
            let reader = ParquetRecordBatchReaderBuilder::try_new(part).unwrap();
            columns = reader
                .schema()
                .fields()
                .iter()
                .map(|field| format!("{} {}", field.name(), field.data_type()))
                .collect();
            for batch in reader.build().unwrap() {
                let batch = batch.unwrap();
                let texts: Vec<ArrayFormatter<'_>> =
                    batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
                rows.extend(
                    (0..batch.num_rows()).map(|row| texts.iter().map(|text| text.value(row).to_string()).collect()),
                );
            }
        }
        rows.sort();
        Self { columns, rows }
    }

    pub(crate) fn len(&self) -> usize {
        self.rows.len()
    }

    /// Only these columns, and each different row once.
    pub(crate) fn different(&self, wanted: &[&str]) -> Self {
        let places: Vec<usize> = wanted
            .iter()
            .map(|name| self.columns.iter().position(|column| column.split(' ').next() == Some(name)).unwrap())
            .collect();
        let pick = |all: &[String]| places.iter().map(|place| all[*place].clone()).collect::<Vec<_>>();
        let mut rows: Vec<_> = self.rows.iter().map(|row| pick(row)).collect();
        rows.sort();
        rows.dedup();
        Self { columns: pick(&self.columns), rows }
    }
}

/// Asserts that two warehouses hold the same tables with the same rows.
#[track_caller]
pub(crate) fn assert_equal(left: (&str, &Contents), right: (&str, &Contents), scenario: &str) {
    let ((left_name, left), (right_name, right)) = (left, right);
    let names = |contents: &Contents| contents.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(left), names(right), "{scenario}: {left_name} and {right_name} have other tables");
    let mut told = String::new();
    for (name, table) in left {
        let other = &right[name];
        if table == other {
            continue;
        }
        told += &format!("{name}: {} rows in {left_name}, {} in {right_name}\n", table.len(), other.len());
        if table.columns != other.columns {
            told += &format!("  columns {:?}\n      and {:?}\n", table.columns, other.columns);
        }
        for (only, rows, others) in [(left_name, &table.rows, &other.rows), (right_name, &other.rows, &table.rows)] {
            for row in rows.iter().filter(|row| others.binary_search(row).is_err()).take(3) {
                told += &format!("  only in {only}: {row:?}\n");
            }
        }
    }
    assert!(told.is_empty(), "{scenario}: the tables differ\n{told}");
}
