//! Records that belong into quarantine, by fault of the record or of one of its values.

use crate::dice::Dice;
use crate::entity::{Column, Entity, Kind};
use crate::options::Format;
use crate::row::{Cell, Layout, Times};
use crate::spelling::Speller;
use crate::summary::BrokenKind;

const BAD_MONEY: &[&str] = &[
    "1e2",
    "-$3",
    "12.50 USD",
    "free",
    "1.2.3",
    "12345678901234567",
    "--5",
    "$",
    "1.5e1",
    "12,50 €",
    "0x10",
    "$ - 5",
    "NaN",
];
const BAD_COUNT: &[&str] = &["2.0", "two", "1e1", "2 pcs", "++2", "-", "1,000"];
const BAD_FLAG: &[&str] = &["maybe", "2", "oui", "on", "-1", "1.0", "truee"];
const BAD_TIME: &[&str] = &[
    "yesterday",
    "2025-13-01",
    "2025-02-30",
    "2025-01-01T25:00:00Z",
    "2025-01-01T24:00:00Z",
    "2025-01-01T10:00",
    "2025-01-01T10:00:60Z",
    "2025-01-01T10:00:00+15:00",
    "2025-01-01T10:00:00.1234567Z",
    "2025-01-01T10:00:00 CET",
    "01/02/2025",
    "2025-1-1",
    "0000-01-01",
    "123456789",
    "20250101000000",
    "-1735689600",
    "1735689600.5",
];
const BAD_OPERATION: &[&str] = &["x", "delete", "upsert", "0", "r", "ii"];
const NEGATIVE: &[&str] = &["-3.00", "$-3", "-0.005", "€ -1,250.75", "-.5"];
const BELOW_ONE: &[&str] = &["0", "-1", "-12", "000"];

/// What is going to be wrong with a record of this layout.
pub(crate) fn choose(layout: &Layout, deleted: bool, dice: &mut Dice) -> BrokenKind {
    use BrokenKind as Broken;
    let (json, csv) = match layout.format {
        Format::JsonLines => (1, 0),
        Format::Csv => (0, 1),
        Format::Parquet => (0, 0),
    };
    // Nobody looks at the values of a delete.
    let valued = u32::from(!deleted);
    let has_money = layout.known().iter().any(|column| column.kind == Kind::Money);
    *dice.weighted(&[
        (Broken::Malformed, 25 * json),
        (Broken::NotAnObject, 8 * json),
        (Broken::NestedValue, 8 * json),
        (Broken::FieldCount, 35 * csv),
        (Broken::InvalidUtf8, 6 * (json + csv)),
        (Broken::MissingRequired, 18),
        (Broken::Unparsable, 20),
        (Broken::UnknownOperation, 5),
        (Broken::QuantityBelowOne, 10 * valued * u32::from(layout.entity == Entity::OrderItems)),
        (Broken::NegativeMoney, 8 * valued * u32::from(has_money)),
    ])
}

/// Breaks a value if that is what is to be wrong; returns what is wrong in the end, since a file
/// with typed times may have no value that could be unparsable.
pub(crate) fn apply(
    kind: BrokenKind,
    cells: &mut [Cell],
    layout: &Layout,
    deleted: bool,
    speller: &mut Speller,
) -> BrokenKind {
    // The first column is the business key.
    let is_looked_at = |index: usize, column: &Column| !deleted || index == 0 || column.name == "updated_at";
    let find = |suits: &dyn Fn(usize, &Column) -> bool, dice: &mut Dice| {
        let columns = layout.known().iter().enumerate();
        let suitable: Vec<usize> =
            columns.filter(|(index, column)| suits(*index, column)).map(|(index, _)| index).collect();
        (!suitable.is_empty()).then(|| suitable[dice.index(suitable.len())])
    };
    match kind {
        BrokenKind::Unparsable => {
            let parses = |index: usize, column: &Column| {
                is_looked_at(index, column) && !bad_texts(column.kind, layout.times).is_empty()
            };
            let Some(index) = find(&parses, &mut speller.dice) else {
                return apply(BrokenKind::MissingRequired, cells, layout, deleted, speller);
            };
            let texts = bad_texts(layout.known()[index].kind, layout.times);
            cells[index] = number_or_text(speller.dice.pick(texts), &mut speller.dice);
        }
        BrokenKind::MissingRequired => {
            let required = |index: usize, column: &Column| column.required && is_looked_at(index, column);
            if let Some(index) = find(&required, &mut speller.dice) {
                cells[index] = speller.null();
            }
        }
        BrokenKind::UnknownOperation => {
            let text = speller.dice.pick(BAD_OPERATION);
            cells[layout.known().len()] = Cell::Text(text.into());
        }
        BrokenKind::QuantityBelowOne | BrokenKind::NegativeMoney => {
            let (suiting, texts) = match kind {
                BrokenKind::QuantityBelowOne => (Kind::Count, BELOW_ONE),
                _ => (Kind::Money, NEGATIVE),
            };
            let suits = |_: usize, column: &Column| column.kind == suiting;
            if let Some(index) = find(&suits, &mut speller.dice) {
                cells[index] = number_or_text(speller.dice.pick(texts), &mut speller.dice);
            }
        }
        _ => {}
    }
    kind
}

/// A text that does not parse as this column's kind, to spoil a value that nobody looks at.
pub(crate) fn spoil(cells: &mut [Cell], layout: &Layout, dice: &mut Dice) {
    let index = 1 + dice.index(layout.known().len() - 2);
    let texts = bad_texts(layout.known()[index].kind, layout.times);
    if !texts.is_empty() {
        cells[index] = Cell::Text(dice.pick(texts).into());
    }
}

/// What does not parse as this kind; nothing if everything does, or if the type of the column
/// lets nothing else in.
fn bad_texts(kind: Kind, times: Times) -> &'static [&'static str] {
    match kind {
        Kind::Money => BAD_MONEY,
        Kind::Count => BAD_COUNT,
        Kind::Flag => BAD_FLAG,
        Kind::Time if times == Times::Text => BAD_TIME,
        _ => &[],
    }
}

/// As a number where JSON has one of this text.
fn number_or_text(text: &'static str, dice: &mut Dice) -> Cell {
    let is_number = serde_json::from_str::<serde_json::Number>(text).is_ok();
    if is_number && dice.chance(0.6) { Cell::Number(text.to_owned()) } else { Cell::Text(text.into()) }
}
