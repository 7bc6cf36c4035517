//! JSON Lines, held to the verdicts and values of a JSON library.

use std::fmt;

use proptest::prelude::*;
use serde_json::value::RawValue;
use smelt_clean::{Format, Reason, value::white_space};

use crate::support::{Outcome, clean, plain, texts};

const NAMES: [&str; 4] = ["a", "b", "a key\n", "ключ"];

/// The pairs of an object in order, repeated keys included, values as their tokens.
struct Pairs(Vec<(String, Box<RawValue>)>);

impl<'de> serde::Deserialize<'de> for Pairs {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;
        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Pairs;
            fn expecting(&self, formatter: &mut fmt::Formatter) -> fmt::Result {
                formatter.write_str("an object")
            }
            fn visit_map<A: serde::de::MapAccess<'de>>(self, mut map: A) -> Result<Pairs, A::Error> {
                let mut pairs = Vec::new();
                while let Some(pair) = map.next_entry()? {
                    pairs.push(pair);
                }
                Ok(Pairs(pairs))
            }
        }
        deserializer.deserialize_map(Visitor)
    }
}

/// What the library reads: none when the line is not a flat object.
fn expected(line: &[u8]) -> Option<Vec<Option<String>>> {
    let Pairs(pairs) = serde_json::from_str(std::str::from_utf8(line).ok()?).ok()?;
    let mut values = vec![None; NAMES.len()];
    for (name, token) in pairs {
        let value = match token.get().as_bytes()[0] {
            b'{' | b'[' => return None,
            b'n' => None,
            b'"' => Some(serde_json::from_str::<String>(token.get()).ok()?),
            _ => Some(token.get().to_owned()),
        };
        if let Some(column) = NAMES.iter().position(|known| *known == name) {
            values[column] = value;
        }
    }
    let trim = |value: String| white_space::trim(&value).to_owned();
    Some(values.into_iter().map(|value| value.map(trim)).collect())
}

fn read(line: &[u8]) -> Outcome {
    let mut file = b"{}\n".to_vec();
    file.extend_from_slice(line);
    clean(&texts(&NAMES), file, &plain(Format::JsonLines)).unwrap()
}

/// The values of the line, if the crate reads it; checks that nothing else can go wrong.
fn actual(line: &[u8]) -> Option<Vec<Option<String>>> {
    let outcome = read(line);
    assert_eq!(outcome.records, 2);
    if let [rejected] = &outcome.rejected[..] {
        assert!(matches!(&rejected.reasons[..], [Reason::Unreadable { .. }]));
        return None;
    }
    let row = outcome.row(2).unwrap();
    Some(row[..NAMES.len()].iter().map(|value| value.map(str::to_owned)).collect())
}

fn check(line: &[u8]) -> Result<(), TestCaseError> {
    // Those are no one line, or no record.
    if line.contains(&b'\n') || white_space::is_blank(line) {
        return Ok(());
    }
    prop_assert_eq!(actual(line), expected(line), "{}", String::from_utf8_lossy(line));
    Ok(())
}

fn token() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        " ",
        "\t",
        "\r",
        "\u{b}",
        "\u{c}",
        "\u{a0}",
        "\u{feff}",
        "\"a\"",
        "\"b\"",
        "\"\\u0061\"",
        "\"a key\\n\"",
        "\"ключ\"",
        "\"x\"",
        "\"\"",
        "null",
        "true",
        "false",
        "nul",
        "NULL",
        "True",
        "NaN",
        "Infinity",
        "-Infinity",
        "undefined",
        "0",
        "-0",
        "-",
        "+1",
        "01",
        "-01",
        "1.",
        ".5",
        "1.50",
        "1e2",
        "1E+2",
        "1e-",
        "1e400",
        "0x1",
        "12345678901234567890123",
        "1_0",
        "\"\\ud83d\\ude00\"",
        "\"\\ud800\"",
        "\"\\udc00\"",
        "\"\\ud800\\ud800\"",
        "\"\\ud800\\u0041\"",
        "\"\\ud800x\"",
        "\"\\u12\"",
        "\"\\u+123\"",
        "\"\\uD83D\\uDE00\"",
        "\"\\x41\"",
        "\"\\'\"",
        "\"\\\"\"",
        "\"\\\\\"",
        "\"\\/\\b\\f\\n\\r\\t\"",
        "\"\t\"",
        "\"\u{1f}\"",
        "\"\u{7f}\"",
        "\"\\u0000\"",
        "\"  padded \"",
        "\"\\u0020\\tx \\u000b\"",
        "'a'",
        "a",
        "//",
        "/**/",
        "\"",
        "\\",
        "\"long enough to be looked at in eight bytes\"",
        "\"long enough to be \\\"escaped\\\" somewhere\"",
        "\"long enough to have a \u{1} control\"",
    ])
}

/// An object that is mostly right: what mutations are interesting in.
fn object() -> impl Strategy<Value = Vec<u8>> {
    let value = prop_oneof![
        8 => "\"[ -!#-\\[\\]-~é日😀]{0,20}\"".prop_map(|text| text),
        2 => token().prop_map(str::to_owned),
        2 => "-?(0|[1-9][0-9]{0,20})(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,3})?",
    ];
    let key = prop::sample::select(vec!["a", "b", "a key\\n", "ключ", "other", "\\u0062"]);
    let space = prop::sample::select(vec!["", "", "", " ", "\t "]);
    prop::collection::vec((key, value, space), 0..6).prop_map(|pairs| {
        let pair = |(key, value, space): (&str, String, &str)| format!("{space}\"{key}\"{space}:{space}{value}{space}");
        let pairs: Vec<String> = pairs.into_iter().map(pair).collect();
        format!("{{{}}}", pairs.join(",")).into_bytes()
    })
}

#[derive(Debug, Clone)]
enum Mutation {
    Replace(prop::sample::Index, u8),
    Insert(prop::sample::Index, u8),
    Remove(prop::sample::Index),
    Cut(prop::sample::Index),
}

fn mutation() -> impl Strategy<Value = Mutation> {
    let byte = || {
        prop_oneof![
            4 => prop::sample::select(b"{}[]\",:\\ 0-.eEntf/u\r\t\x0b\x00\x1f\x7f".to_vec()),
            1 => any::<u8>(),
        ]
    };
    let index = any::<prop::sample::Index>;
    prop_oneof![
        (index(), byte()).prop_map(|(at, byte)| Mutation::Replace(at, byte)),
        (index(), byte()).prop_map(|(at, byte)| Mutation::Insert(at, byte)),
        index().prop_map(Mutation::Remove),
        index().prop_map(Mutation::Cut),
    ]
}

fn mutate(line: &mut Vec<u8>, mutation: &Mutation) {
    if line.is_empty() {
        return;
    }
    match mutation {
        Mutation::Replace(at, byte) => *at.get_mut(line) = *byte,
        Mutation::Insert(at, byte) => line.insert(at.index(line.len()), *byte),
        Mutation::Remove(at) => drop(line.remove(at.index(line.len()))),
        Mutation::Cut(at) => line.truncate(at.index(line.len())),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn objects_broken_or_not_are_read_as_the_library_reads_them(
        mut line in object(),
        mutations in prop::collection::vec(mutation(), 0..3),
    ) {
        for mutation in &mutations {
            mutate(&mut line, mutation);
        }
        check(&line)?;
    }

    #[test]
    fn token_soup_is_read_as_the_library_reads_it(
        tokens in prop::collection::vec(token(), 0..8),
        wrapped in any::<bool>(),
    ) {
        let soup = tokens.concat();
        check(if wrapped { format!("{{\"a\":{soup}}}") } else { soup }.as_bytes())?;
    }
}

#[test]
fn every_single_byte_change_of_a_line_is_read_as_the_library_reads_it() {
    let line = br#"{"a" : "x\u00e9\"y", "b":-1.5e+3, "a key\n":true,"other":null}"#;
    assert!(expected(line).is_some());
    for at in 0..line.len() {
        for byte in (0..=255).filter(|byte| *byte != b'\n') {
            let mut changed = line.to_vec();
            changed[at] = byte;
            let context = String::from_utf8_lossy(&changed).into_owned();
            assert_eq!(actual(&changed), expected(&changed), "{context}");
        }
    }
}

#[test]
fn a_nested_value_makes_the_record_unreadable_even_if_a_later_one_replaces_it() {
    for line in [r#"{"a":[],"a":1}"#, r#"{"a":1,"other":{}}"#, r#"{"a":{"b":[1,2]}}"#, r#"[{"a":1}]"#] {
        assert_eq!(actual(line.as_bytes()), None, "{line}");
    }
}

#[test]
fn an_unreadable_line_is_kept_with_the_place_where_it_breaks() {
    let outcome = read(b"{\"a\":1,}\r");
    let rejected = &outcome.rejected[0];
    assert_eq!((rejected.position, rejected.record.as_str()), (2, "{\"a\":1,}"));
    assert_eq!(
        rejected.reasons[0].to_string(),
        "cannot be read: not JSON: a key in double quotes expected after 7 bytes"
    );
}
