//! The rules that need more than one value: operations, defaults, required values, bounds, reasons.

use arrow::datatypes::{DataType, TimeUnit};
use smelt_clean::{Cleaner, ColumnSpec, Format, Kind, Limits, Reason};

use crate::support::{Outcome, clean, money, null_texts, orders, plain, texts};

fn clean_orders(lines: &[&str]) -> Outcome {
    clean(&orders(), lines.join("\n"), &plain(Format::JsonLines)).unwrap()
}

#[test]
fn a_messy_order_becomes_a_clean_row() {
    let outcome = clean_orders(&[
        r#"{"order_id":" ord 1 ","customer_id":"c\u002d1","order_status":"In-Transit","currency":"eur","shipping_country":"\tde","discount_amount":"N/A","shipping_amount":4.995,"ordered_at":1700000000,"updated_at":"2024-03-01 12:00:00+02","_op":" U "}"#,
    ]);
    let expected = [
        Some("ORD1"),
        Some("C-1"),
        Some("shipped"),
        Some("EUR"),
        Some("DE"),
        Some("0.00"),
        Some("5.00"),
        Some("2023-11-14 22:13:20.000000"),
        Some("2024-03-01 10:00:00.000000"),
    ];
    assert_eq!(outcome.row(1).unwrap(), expected);
    assert_eq!(outcome.rows[0][9..], [Some("false".to_owned()), Some("1".to_owned())]);
    assert!(outcome.unknown_columns.is_empty());
}

#[test]
fn a_delete_is_asked_only_for_its_key_and_version() {
    let outcome = clean_orders(&[
        r#"{"_op":"d","order_id":"o1","updated_at":"2024-01-01"}"#,
        r#"{"_op":"D","order_id":"o2","updated_at":"2024-01-01","customer_id":"c","discount_amount":"free","ordered_at":"never"}"#,
        r#"{"_op":"d","order_id":"N/A","updated_at":"2024-01-01"}"#,
        r#"{"_op":"d","order_id":"o4","updated_at":"yesterday"}"#,
        r#"{"_op":"d","order_id":{},"updated_at":"2024-01-01"}"#,
    ]);
    for position in [1, 2] {
        let row = outcome.row(position).unwrap();
        assert!(row[0].is_some() && row[8].is_some());
        assert_eq!(row[1..8], [None; 7]);
        assert_eq!(outcome.rows[position as usize - 1][9], Some("true".to_owned()));
    }
    assert_eq!(outcome.codes(3), ["required"]);
    assert_eq!(outcome.codes(4), ["unparsable"]);
    assert_eq!(outcome.codes(5), ["unreadable"]);
}

#[test]
fn an_operation_is_one_letter_in_any_case_or_absent() {
    let values = [
        "\"i\"",
        "\"I\"",
        "\"c\"",
        "\"C\"",
        "\"u\"",
        "\"U\"",
        "\" i\\t\"",
        "\"\"",
        "\"  \"",
        "null",
        "\"NULL\"",
        "\"n/a\"",
        "\"d\"",
        "\"D\"",
        "\"\\n d \"",
        "\"x\"",
        "\"delete\"",
        "1",
        "true",
        "\"Null\"",
        "\"iu\"",
    ];
    for (index, value) in values.into_iter().enumerate() {
        let line = format!(
            r#"{{"_op":{value},"order_id":"o","customer_id":"c","order_status":"paid","ordered_at":"2024-01-01","updated_at":"2024-01-01"}}"#
        );
        let outcome = clean_orders(&[&line]);
        match index {
            0..12 => assert_eq!(outcome.rows[0][9], Some("false".to_owned()), "{value}"),
            12..15 => assert_eq!(outcome.rows[0][9], Some("true".to_owned()), "{value}"),
            _ => assert_eq!(outcome.codes(1), ["unknown_operation"], "{value}"),
        }
    }
}

#[test]
fn a_record_is_rejected_once_with_all_its_reasons() {
    let line = r#"{"_op":"merge","order_id":"  ","order_status":"null","discount_amount":"-0.005","shipping_amount":"1e2","ordered_at":"2023-02-29","updated_at":"2024-01-01"}"#;
    let outcome = clean_orders(&[line]);
    assert_eq!((outcome.records, outcome.rejected.len()), (1, 1));
    assert_eq!(outcome.rejected[0].record, line);
    let reasons = outcome.rejected[0].reasons.iter().map(ToString::to_string);
    assert_eq!(
        reasons.collect::<Vec<_>>(),
        [
            "`_op` is `merge`, not one of i, c, u, d",
            "`order_id` is required, but NULL",
            "`customer_id` is required, but NULL",
            "`order_status` is required, but NULL",
            "`discount_amount` is -0.01, less than 0.00",
            "`shipping_amount` is not valid as money: `1e2`",
            "`ordered_at` is not valid as timestamp: `2023-02-29`",
        ]
    );
}

#[test]
fn bounds_are_compared_after_rounding() {
    let mut spec = texts(&[]);
    let bounded = |name: &str, kind, minimum: &str, maximum: &str| {
        let mut column = ColumnSpec::new(name, kind);
        column.minimum = Some(minimum.to_owned());
        column.maximum = Some(maximum.to_owned());
        column
    };
    spec.columns.push(bounded("amount", money(), "0", "$1,000"));
    spec.columns.push(bounded("quantity", Kind::Count, "1", "0099"));
    spec.columns.push(bounded("at", Kind::Timestamp, "2020-01-01", "2029-12-31T23:59:59.999999"));
    for (line, expected) in [
        (r#"{"amount":"-0.004"}"#, None),
        (r#"{"amount":"-0.005"}"#, Some("`amount` is -0.01, less than 0.00")),
        (r#"{"amount":"1000.004"}"#, None),
        (r#"{"amount":"1000.005"}"#, Some("`amount` is 1000.01, more than 1000.00")),
        (r#"{"quantity":1}"#, None),
        (r#"{"quantity":0}"#, Some("`quantity` is 0, less than 1")),
        (r#"{"quantity":-5}"#, Some("`quantity` is -5, less than 1")),
        (r#"{"quantity":100}"#, Some("`quantity` is 100, more than 99")),
        (r#"{"at":"2019-12-31T23:00:00-01:00"}"#, None),
        (r#"{"at":"2030-01-01"}"#, Some("`at` is 2030-01-01 00:00:00.000000, more than 2029-12-31 23:59:59.999999")),
    ] {
        let outcome = clean(&spec, line, &plain(Format::JsonLines)).unwrap();
        let reason = outcome.rejected.first().map(|rejected| rejected.reasons[0].to_string());
        assert_eq!(reason.as_deref(), expected, "{line}");
    }
}

#[test]
fn a_default_takes_the_place_of_null_and_satisfies_required() {
    let mut spec = texts(&["plain"]);
    spec.null_texts = null_texts();
    for (name, kind, default) in [
        ("status", Kind::Status { aliases: vec![("new".into(), "pending".into())] }, " NEW "),
        ("flag", Kind::Flag, "Yes"),
        ("count", Kind::Count, "007"),
        ("amount", money(), "$ 1.005"),
        ("at", Kind::Timestamp, "1700000000"),
        ("a long text", Kind::Text, "longer than what fits into a view of a string"),
    ] {
        let mut column = ColumnSpec::new(name, kind);
        column.default = Some(default.to_owned());
        column.required = true;
        spec.columns.push(column);
    }
    let lines = "{\"status\":\"n/a\",\"count\":\"\",\"flag\":null}\n{\"count\":\"x\"}";
    let outcome = clean(&spec, lines, &plain(Format::JsonLines)).unwrap();
    let row = outcome.row(1).unwrap();
    assert_eq!(row[0], None);
    assert_eq!(
        row[3..],
        [
            Some("pending"),
            Some("true"),
            Some("7"),
            Some("1.01"),
            Some("2023-11-14 22:13:20.000000"),
            Some("longer than what fits into a view of a string"),
        ]
    );
    assert_eq!(outcome.codes(2), ["unparsable"]);
}

#[test]
fn of_a_repeated_key_the_last_value_counts_even_if_it_is_null() {
    let lines = "{\"a\":\"1\",\"b\":\"x\",\"a\":\"2\"}\n{\"a\":1,\"a\":null}\n{\"a\":null,\"\\u0061\":3}";
    let outcome = clean(&texts(&["a", "b"]), lines, &plain(Format::JsonLines)).unwrap();
    let values: Vec<_> = (1..=3).map(|position| outcome.row(position).unwrap()[0]).collect();
    assert_eq!(values, [Some("2"), None, Some("3")]);
}

#[test]
fn columns_are_matched_by_exact_name_and_others_are_reported() {
    let lines =
        [r#"{"a":1,"A":2,"a ":3,"_deleted":true,"new":1,"new":2}"#, r#"{"a":1,"new":null}"#, r#"{"lost":1,"new":"#];
    let outcome = clean(&texts(&["a"]), lines.join("\n"), &plain(Format::JsonLines)).unwrap();
    assert_eq!(outcome.row(1).unwrap()[0], Some("1"));
    let unknown = [("A", 1), ("a ", 1), ("_deleted", 1), ("new", 2)];
    assert_eq!(outcome.unknown_columns, unknown.map(|(name, records)| (name.to_owned(), records)).into());
}

#[test]
fn unknown_columns_without_end_are_counted_together() {
    let mut options = plain(Format::JsonLines);
    options.limits.unknown_columns = 3;
    options.limits.kept_value_bytes = 4;
    let line = r#"{"v":1,"w":1,"xéééé":1,"y":1,"z":1}"#;
    let outcome = clean(&texts(&["a"]), line, &options).unwrap();
    let counts = [("v", 1), ("w", 1), ("xé…", 1), ("…", 1)];
    assert_eq!(outcome.unknown_columns, counts.map(|(name, records)| (name.to_owned(), records)).into());
}

#[test]
fn what_is_kept_of_a_rejected_record_is_bounded_and_valid_utf8() {
    let mut options = plain(Format::JsonLines);
    options.limits.kept_record_bytes = 10;
    options.limits.kept_value_bytes = 3;
    let file = b"\xFF\xFE{\"a\"\n\"a\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\xC3\xA9\"\n{\"n\":\"abcdef\"}";
    let mut spec = texts(&[]);
    spec.columns.push(ColumnSpec::new("n", Kind::Count));
    let outcome = clean(&spec, file, &options).unwrap();
    let records = outcome.rejected.iter().map(|rejected| rejected.record.as_str());
    assert_eq!(
        records.collect::<Vec<_>>(),
        ["\u{fffd}\u{fffd}{\"a\"", "\"aéééé … (cut: 13 bytes in all)", "{\"n\":\"abcd … (cut: 14 bytes in all)",]
    );
    let value = |rejected: usize| match &outcome.rejected[rejected].reasons[0] {
        Reason::Unparsable { value, .. } => value.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(value(2), "abc…");
}

#[test]
fn rows_have_the_spec_s_columns_and_types_then_deleted_and_position() {
    let schema = Cleaner::new(&orders(), Limits::default()).unwrap().schema();
    assert_eq!(schema, orders().rows_schema());
    assert_eq!(schema.fields()[..9], orders().schema().fields()[..]);
    let types: Vec<_> = schema.fields().iter().map(|field| field.data_type().clone()).collect();
    let (text, money) = (DataType::Utf8View, DataType::Decimal128(18, 2));
    let time = DataType::Timestamp(TimeUnit::Microsecond, None);
    let own = [&text, &text, &text, &text, &text, &money, &money, &time, &time];
    assert!(types.iter().zip(own).all(|(actual, expected)| actual == expected));
    assert_eq!(types[9..], [DataType::Boolean, DataType::UInt64]);
    let required = schema.fields().iter().filter(|field| !field.is_nullable());
    let required: Vec<_> = required.map(|field| field.name().as_str()).collect();
    assert_eq!(required, ["order_id", "updated_at", "_deleted", "_position"]);
}
