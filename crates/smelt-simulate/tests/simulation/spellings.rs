//! Every defect and every way to write a value is there when asked for, and none when not.

use std::collections::BTreeMap;
use std::path::Path;

use smelt_simulate::{BrokenKind, Entity, EntitySummary, Format, Options, Summary};

use crate::reading::{Raw, Record, files, plain_bytes, records, source_files};
use crate::{clean, nastiest, run};

#[test]
fn the_nastiest_rates_make_every_defect_and_every_spelling() {
    let options = nastiest(3_000);
    let (out, summary) = run(&options);
    let sum = |field: fn(&EntitySummary) -> u64| summary.entities.iter().map(field).sum::<u64>();
    for (name, count) in [
        ("redelivered files", sum(|entity| entity.redelivered_files)),
        ("drifted files", sum(|entity| entity.drifted_files)),
        ("late", sum(|entity| entity.late)),
        ("duplicates", sum(|entity| entity.duplicates)),
        ("ties", sum(|entity| entity.ties)),
        ("deletes", sum(|entity| entity.deletes)),
        ("revivals", sum(|entity| entity.revivals)),
        ("stale", sum(|entity| entity.stale)),
    ] {
        assert!(count > 10, "{count} {name}");
    }
    for entity in [Entity::Orders, Entity::OrderItems, Entity::Payments, Entity::Shipments] {
        assert!(summary.entity(entity).orphans > 0, "{entity:?}");
    }
    let kinds = |summary: &Summary| -> Vec<BrokenKind> {
        let mut kinds: Vec<_> = summary.entities.iter().flat_map(|entity| entity.broken.keys().copied()).collect();
        kinds.sort_unstable();
        kinds.dedup();
        kinds
    };
    let (csv_out, csv) = run(&Options { format: Format::Csv, ..options.clone() });
    let (_, parquet) = run(&Options { format: Format::Parquet, ..options });
    let of_values = [
        BrokenKind::MissingRequired,
        BrokenKind::Unparsable,
        BrokenKind::UnknownOperation,
        BrokenKind::QuantityBelowOne,
        BrokenKind::NegativeMoney,
    ];
    let of_json = [
        BrokenKind::Malformed,
        BrokenKind::NotAnObject,
        BrokenKind::NestedValue,
        BrokenKind::InvalidUtf8,
        BrokenKind::Torn,
    ];
    let of_csv = [BrokenKind::InvalidUtf8, BrokenKind::FieldCount, BrokenKind::Torn];
    assert_eq!(kinds(&summary), [&of_json[..], &of_values].concat());
    assert_eq!(kinds(&csv), [&of_csv[..], &of_values].concat());
    assert_eq!(kinds(&parquet), of_values);

    let text = all_text(out.path());
    for needle in [
        "\"$1,",
        "\"€ ",
        ".\"",
        "\"+",
        "\"00",
        "\"-0.004\"",
        "4.9900",
        "1e2",
        "\"canceled\"",
        "In Transit",
        "in-transit",
        "\"\\\\N\"",
        "\"N/A\"",
        "\" NULL \"",
        "\"\"",
        ":null",
        "\"yes\"",
        "\"F\"",
        ":true",
        "+05:30",
        "-0800",
        "+14\"",
        "00:00.000000Z",
        "\\u000b",
        "\\f",
        "\\u00e9",
        "é",
        "\\nLimited",
        "7\\\" x 9\\\"",
        "\"overwritten\"",
        "\n\n",
        "\": \"",
        "\"_op\":\"D\"",
    ] {
        assert!(text.contains(needle), "no {needle}");
    }
    assert!(digits_after(&text, ":\".", 2));
    assert!(digits_after(&text, "\"updated_at\":", 10));
    assert!(digits_after(&text, "\"updated_at\":", 13));
    assert!(digits_after(&text, "\"updated_at\":\"", 10));
    let text = all_text(csv_out.path());
    for needle in ["\u{feff}", "\r\n", "\"\n", "7\"\" x 9\"\"", ",\"$1,", "\\N"] {
        assert!(text.contains(needle), "no {needle} in CSV");
    }
}

#[test]
fn a_clean_shop_writes_plain_values() {
    let (out, _) = run(&clean(500));
    for file in source_files(out.path()) {
        for record in records(&file.path) {
            for (column, value) in record.unwrap() {
                let Raw::Text(text) = value else {
                    unreachable!("JSON has no timestamps");
                };
                let plain = match column.as_str() {
                    "name" => true,
                    _ if column.ends_with("_at") => text.len() >= 20 && text.ends_with('Z'),
                    _ if column.ends_with("_id") => text == text.to_uppercase(),
                    _ => text.trim() == text && !text.is_empty(),
                };
                assert!(plain, "{column} is {text:?}");
            }
        }
    }
}

#[test]
fn parquet_files_have_timestamps_as_a_type_or_as_text() {
    let (out, _) = run(&Options { format: Format::Parquet, ..nastiest(300) });
    let mut typed = BTreeMap::new();
    for file in source_files(out.path()) {
        let records: Vec<Record> = records(&file.path);
        let is_micros =
            |record: &Record| record.as_ref().ok()?.get("updated_at").map(|value| matches!(value, Raw::Micros(_)));
        if let Some(is_micros) = records.iter().find_map(is_micros) {
            *typed.entry(is_micros).or_insert(0) += 1;
        }
    }
    assert!(typed[&true] > 10 && typed[&false] > 10, "{typed:?}");
}

fn all_text(out: &Path) -> String {
    files(out).iter().map(|path| String::from_utf8_lossy(&plain_bytes(path)).into_owned()).collect()
}

/// Whether somewhere after this text there are exactly so many digits.
fn digits_after(text: &str, before: &str, count: usize) -> bool {
    text.match_indices(before).any(|(index, _)| {
        let rest = &text.as_bytes()[index + before.len()..];
        rest.iter().take_while(|byte| byte.is_ascii_digit()).count() == count
    })
}
