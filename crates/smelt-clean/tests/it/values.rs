//! The shared test vectors, through every format.

use std::{fs, path::Path, sync::Arc};

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use serde_json::{Value, json};
use smelt_clean::{ColumnSpec, EntitySpec, Format, Kind};

use crate::{
    parquet::write,
    support::{clean, money, null_texts, plain, status},
};

struct Vector {
    kind: String,
    input: String,
    expect: Option<String>,
    error: bool,
}

fn vectors() -> Vec<Vector> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors/values.jsonl");
    let parse = |line: &str| {
        let line: Value = serde_json::from_str(line).unwrap();
        Vector {
            kind: line["kind"].as_str().unwrap().to_owned(),
            input: line["input"].as_str().unwrap().to_owned(),
            expect: line["expect"].as_str().map(str::to_owned),
            error: line["error"].as_bool().unwrap(),
        }
    };
    fs::read_to_string(path).unwrap().lines().map(parse).collect()
}

#[test]
fn every_vector_gives_its_value_in_every_format() {
    let vectors = vectors();
    let kinds = [
        Kind::Text,
        Kind::Identifier,
        Kind::Email,
        Kind::Code,
        status(),
        money(),
        Kind::Count,
        Kind::Flag,
        Kind::Timestamp,
    ];
    for kind in kinds {
        let of_kind = vectors.iter().filter(|vector| vector.kind == kind.name());
        let of_kind: Vec<&Vector> = of_kind.collect();
        assert!(of_kind.len() >= 15, "too few vectors for {kind}");
        let spec = EntitySpec {
            columns: vec![
                ColumnSpec::new("id", Kind::Identifier),
                ColumnSpec::new("updated_at", Kind::Timestamp),
                ColumnSpec::new("value", kind.clone()),
            ],
            key: vec![0],
            version: 1,
            null_texts: null_texts(),
        };

        let json_lines = of_kind
            .iter()
            .map(|vector| json!({"id": 1, "updated_at": "2024-01-01", "value": vector.input}).to_string() + "\n");
        let csv = of_kind.iter().map(|vector| format!("1,2024-01-01,\"{}\"\n", vector.input.replace('"', "\"\"")));
        let column = |values: Vec<&str>| -> ArrayRef { Arc::new(StringArray::from(values)) };
        let parquet = write(
            &RecordBatch::try_from_iter([
                ("id", column(vec!["1"; of_kind.len()])),
                ("updated_at", column(vec!["2024-01-01"; of_kind.len()])),
                ("value", column(of_kind.iter().map(|vector| vector.input.as_str()).collect())),
            ])
            .unwrap(),
        );
        let files = [
            (Format::JsonLines, json_lines.collect::<String>().into_bytes()),
            (Format::Csv, (String::from("id,updated_at,value\n") + &csv.collect::<String>()).into()),
            (Format::Parquet, parquet),
        ];
        for (format, file) in files {
            let outcome = clean(&spec, file, &plain(format)).unwrap();
            assert_eq!(outcome.records, of_kind.len() as u64);
            for (position, vector) in (1..).zip(&of_kind) {
                let context = format!("{kind} {:?} as {format:?}", vector.input);
                if vector.error {
                    assert_eq!(outcome.codes(position), ["unparsable"], "{context}");
                } else {
                    let row = outcome.row(position).expect(&context);
                    assert_eq!(row[2], vector.expect.as_deref(), "{context}");
                }
            }
        }
    }
    let known = |vector: &Vector| {
        let kinds = "text identifier email code status money count flag timestamp";
        kinds.split(' ').any(|kind| kind == vector.kind)
    };
    assert!(vectors.iter().all(known), "a vector of an unknown kind");
}
