//! Reads what a simulation wrote, as an impartial reader of each format would.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use arrow::array::{Array, AsArray};
use arrow::datatypes::TimestampMicrosecondType;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use serde_json::value::RawValue;
use smelt_simulate::{BrokenKind, Entity};

/// A value as it was read.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Raw {
    Text(String),
    Micros(i64),
}

/// The values of a record that are there, by column.
pub(crate) type Fields = BTreeMap<String, Raw>;

/// A record, or why it is none.
pub(crate) type Record = Result<Fields, BrokenKind>;

/// A file that a simulation wrote.
#[derive(Debug)]
pub(crate) struct SourceFile {
    pub(crate) path: PathBuf,
    pub(crate) entity: Entity,
    /// 0 for the history, then one for each day that has a folder.
    pub(crate) extract: u32,
    /// Whether the file is a copy of an earlier one.
    pub(crate) redelivered: bool,
}

/// All files below a folder, by path.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

/// All files of a simulation.
pub(crate) fn source_files(out: &Path) -> Vec<SourceFile> {
    let mut days: Vec<PathBuf> = match fs::read_dir(out.join("daily")) {
        Ok(entries) => entries.map(|entry| entry.unwrap().path()).collect(),
        Err(_) => Vec::new(),
    };
    days.sort();
    files(out)
        .into_iter()
        .map(|path| {
            let folder = path.parent().unwrap();
            let day = days.iter().position(|day| day == folder);
            let name = path.file_name().unwrap().to_str().unwrap();
            let stem = name.split(['.', '-']).next().unwrap();
            let entity = match day {
                Some(_) => stem,
                None => folder.file_name().unwrap().to_str().unwrap(),
            };
            SourceFile {
                entity: Entity::ALL.into_iter().find(|candidate| candidate.name() == entity).unwrap(),
                extract: day.map_or(0, |day| day as u32 + 1),
                redelivered: name.contains("-redelivered-"),
                path,
            }
        })
        .collect()
}

/// The bytes of a file, decompressed.
pub(crate) fn plain_bytes(path: &Path) -> Vec<u8> {
    let bytes = fs::read(path).unwrap();
    match path.extension().unwrap().to_str().unwrap() {
        "gz" => {
            let mut plain = Vec::new();
            let mut decoder = flate2::read::GzDecoder::new(bytes.as_slice());
            decoder.read_to_end(&mut plain).unwrap();
            plain
        }
        "zst" => zstd::decode_all(bytes.as_slice()).unwrap(),
        _ => bytes,
    }
}

/// The names of the columns that appear anywhere in these records.
pub(crate) fn has_column(records: &[Record], name: &str) -> bool {
    records.iter().flatten().any(|fields| fields.contains_key(name))
}

pub(crate) fn records(path: &Path) -> Vec<Record> {
    let name = path.file_name().unwrap().to_str().unwrap();
    if name.contains(".jsonl") {
        json_lines(&plain_bytes(path))
    } else if name.contains(".csv") {
        csv(&plain_bytes(path))
    } else {
        parquet(path)
    }
}

fn json_lines(bytes: &[u8]) -> Vec<Record> {
    bytes.split(|&byte| byte == b'\n').filter(|line| !line.is_empty()).map(json_line).collect()
}

fn json_line(line: &[u8]) -> Record {
    let line = std::str::from_utf8(line).map_err(|_| BrokenKind::InvalidUtf8)?;
    let any: &RawValue = serde_json::from_str(line).map_err(|_| BrokenKind::Malformed)?;
    // Of a repeated key the last value stays in the map.
    let object: BTreeMap<String, &RawValue> = serde_json::from_str(any.get()).map_err(|_| BrokenKind::NotAnObject)?;
    let mut fields = Fields::new();
    for (name, value) in object {
        let token = value.get();
        match token.as_bytes()[0] {
            b'{' | b'[' => return Err(BrokenKind::NestedValue),
            b'"' => {
                let text = serde_json::from_str(token).map_err(|_| BrokenKind::Malformed)?;
                fields.insert(name, Raw::Text(text));
            }
            b'n' => {}
            _ => {
                fields.insert(name, Raw::Text(token.to_owned()));
            }
        }
    }
    Ok(fields)
}

fn csv(bytes: &[u8]) -> Vec<Record> {
    let bytes = bytes.strip_prefix("\u{feff}".as_bytes()).unwrap_or(bytes);
    let mut rows = csv_rows(bytes).into_iter();
    let names: Vec<String> = rows.next().unwrap().into_iter().map(|name| String::from_utf8(name).unwrap()).collect();
    rows.map(|row| {
        if row.len() != names.len() {
            return Err(BrokenKind::FieldCount);
        }
        let mut fields = Fields::new();
        for (name, value) in names.iter().zip(row) {
            let text = String::from_utf8(value).map_err(|_| BrokenKind::InvalidUtf8)?;
            fields.insert(name.clone(), Raw::Text(text));
        }
        Ok(fields)
    })
    .collect()
}

fn csv_rows(mut input: &[u8]) -> Vec<Vec<Vec<u8>>> {
    use csv_core::{ReadFieldResult, Reader};
    let mut reader = Reader::new();
    let mut rows = Vec::new();
    let (mut row, mut field, mut buffer) = (Vec::new(), Vec::new(), [0; 256]);
    loop {
        let (result, read, written) = reader.read_field(input, &mut buffer);
        input = &input[read..];
        field.extend_from_slice(&buffer[..written]);
        match result {
            ReadFieldResult::InputEmpty | ReadFieldResult::OutputFull => {}
            ReadFieldResult::Field { record_end } => {
                row.push(std::mem::take(&mut field));
                if record_end {
                    rows.push(std::mem::take(&mut row));
                }
            }
            ReadFieldResult::End => return rows,
        }
    }
}

fn parquet(path: &Path) -> Vec<Record> {
    let file = File::open(path).unwrap();
    let builder = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let mut records = Vec::new();
    for batch in builder.build().unwrap() {
        let batch = batch.unwrap();
        let mut rows = vec![Fields::new(); batch.num_rows()];
        for (field, column) in batch.schema().fields().iter().zip(batch.columns()) {
            for (index, row) in rows.iter_mut().enumerate() {
                if column.is_null(index) {
                    continue;
                }
                let value = match column.as_primitive_opt::<TimestampMicrosecondType>() {
                    Some(times) => Raw::Micros(times.value(index)),
                    None => Raw::Text(column.as_string::<i32>().value(index).to_owned()),
                };
                row.insert(field.name().clone(), value);
            }
        }
        records.extend(rows.into_iter().map(Ok));
    }
    records
}
