//! Generated tables and batches. Every value makes valid ones: rows are meant modulo how many there
//! are, so that whatever a failing case shrinks to is still a case.
//!
//! Rows live in *worlds* that have no value in common, but for NULL, which only the first world has.
//! A model that matches rows by their values keeps worlds apart, so that a change in one of them must
//! leave the keys of the others alone.

use proptest::prelude::*;

/// A row of a generated table, without its number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Row {
    pub(super) world: u8,
    pub(super) numbers: [Option<u8>; 3],
    pub(super) text: Option<u8>,
    pub(super) decimal: Option<u8>,
}

/// How far the numbers of one world are from those of the next.
const APART: i64 = 100;
const LETTERS: [&str; 3] = ["a", "b", "B"];
const CENTS: [i128; 4] = [0, 10, 25, 150];

impl Row {
    fn known(&self, value: Option<u8>) -> Option<u8> {
        if self.world == 0 { value } else { value.or(Some(0)) }
    }

    pub(super) fn number(&self, place: usize) -> Option<i64> {
        self.known(self.numbers[place]).map(|value| i64::from(self.world) * APART + i64::from(value))
    }

    pub(super) fn text(&self) -> Option<String> {
        let letter = LETTERS[usize::from(self.known(self.text)?) % LETTERS.len()];
        Some(if self.world == 0 { letter.to_owned() } else { format!("{letter}{}", self.world) })
    }

    /// In hundredths.
    pub(super) fn decimal(&self) -> Option<i128> {
        let cents = CENTS[usize::from(self.known(self.decimal)?) % CENTS.len()];
        Some(i128::from(self.world) * i128::from(APART) * 100 + cents)
    }

    /// The number of a row, which tells it from all others of its table.
    pub(super) fn numbered(&self, count: i64) -> i64 {
        i64::from(self.world) * APART + count
    }
}

/// The world that a value as text is of; none for NULL, which is of any.
pub(super) fn world_of(shown: &str) -> Option<u8> {
    if shown == "NULL" {
        return None;
    }
    let whole: String = shown.chars().take_while(char::is_ascii_digit).collect();
    match whole.parse::<i64>() {
        Ok(number) => u8::try_from(number / APART).ok(),
        Err(_) => Some(shown.chars().find_map(|letter| letter.to_digit(10)).unwrap_or(0) as u8),
    }
}

/// What happens to one table.
#[derive(Debug, Clone)]
pub(super) enum Change {
    Insert(Row),
    Delete(usize),
    /// All values, but not the world.
    Update(usize, Row),
    /// One value.
    Set(usize, u8, Option<u8>),
    /// The row goes, and one comes that differs from it in its number alone.
    Renew(usize),
}

pub(super) type Batch = Vec<(u8, Change)>;

fn value() -> impl Strategy<Value = Option<u8>> {
    prop_oneof![1 => Just(None), 6 => (0_u8..4).prop_map(Some)]
}

pub(super) fn row() -> impl Strategy<Value = Row> {
    let world = prop_oneof![4 => Just(0_u8), 1 => Just(1_u8), 1 => Just(2_u8)];
    (world, [value(), value(), value()], value(), value()).prop_map(|(world, numbers, text, decimal)| Row {
        world,
        numbers,
        text,
        decimal,
    })
}

pub(super) fn tables() -> impl Strategy<Value = [Vec<Row>; 3]> {
    let table = || prop_oneof![1 => prop::collection::vec(row(), 0..4), 3 => prop::collection::vec(row(), 4..10)];
    [table(), table(), table()]
}

pub(super) fn batch() -> impl Strategy<Value = Batch> {
    let place = 0_usize..9;
    let change = prop_oneof![
        3 => row().prop_map(Change::Insert),
        3 => place.clone().prop_map(Change::Delete),
        2 => (place.clone(), row()).prop_map(|(place, row)| Change::Update(place, row)),
        3 => (place.clone(), any::<u8>(), value()).prop_map(|(place, column, to)| Change::Set(place, column, to)),
        2 => place.prop_map(Change::Renew),
    ];
    prop::collection::vec((0_u8..3, change), 1..5)
}

pub(super) fn batches() -> impl Strategy<Value = Vec<Batch>> {
    prop::collection::vec(batch(), 1..4)
}
