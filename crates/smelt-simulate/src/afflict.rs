//! What goes wrong between a source system and its extracts: records of one key are deleted, get
//! rivals, break, come late and come twice.
//!
//! Afterwards each record knows its extract, records that no extract carries are gone, and the
//! rest are marked by what they are, not by what was meant: a late record counts as late only if
//! a later extract than its own carries it, a tie only if both rivals arrive.

use crate::calendar::{Calendar, DAY, HOUR, MINUTE, Micros};
use crate::dice::Dice;
use crate::draft::Draft;
use crate::options::Defects;

/// All records of an order are delivered within this many days, unless it is a straggler.
pub(crate) const ORDINARY_DAYS: i64 = 45;
/// All records of a straggler are delivered within this many days.
pub(crate) const STRAGGLER_DAYS: i64 = ORDINARY_DAYS + 150;

/// Chance that a record of a straggler comes weeks or months late.
const STRAGGLING: f64 = 0.25;
/// Chance of being a straggler, for a rate `late` of 1: a fifth as many records come months late
/// as come late by minutes or days.
const STRAGGLERS: f64 = 0.8;

/// Set in the ordinal of a record that rivals another one.
const RIVAL: u32 = 0x8000;

/// What may befall the records of a key.
#[derive(Debug)]
pub(crate) struct Affliction<'a> {
    pub(crate) defects: &'a Defects,
    pub(crate) calendar: &'a Calendar,
    /// Whether records may come months late.
    pub(crate) straggler: bool,
    /// The last moment at which anything is delivered.
    pub(crate) latest: Micros,
    /// The first moment at which anything is delivered.
    pub(crate) held_until: Micros,
}

/// Chance that an order or member is a straggler.
pub(crate) fn straggler_chance(defects: &Defects) -> f64 {
    defects.late * STRAGGLERS
}

impl Affliction<'_> {
    /// Afflicts the records of one key, which are those of `records` from index `from` on, oldest
    /// first.
    pub(crate) fn strike(&self, records: &mut Vec<Draft>, from: usize, dice: &mut Dice) {
        let defects = self.defects;
        if records.len() > from && dice.chance(defects.deletes) {
            delete(records, defects.ties > 0.0, dice);
        }
        for index in from..records.len() {
            let original = records[index];
            let can_have_rival = !original.deleted && original.ordinal & RIVAL == 0;
            if can_have_rival && dice.chance(defects.ties) {
                let delay = if dice.chance(0.7) { dice.between(0, 2 * HOUR) } else { dice.between(DAY, 3 * DAY) };
                records.push(Draft {
                    body: original.body.tweaked(),
                    ordinal: original.ordinal | RIVAL,
                    delivered_at: original.delivered_at + delay,
                    ..original
                });
            }
        }
        for record in &mut records[from..] {
            record.broken = dice.chance(defects.broken);
            if dice.chance(defects.late) {
                record.delivered_at +=
                    if dice.chance(0.6) { dice.between(MINUTE, 12 * HOUR) } else { dice.between(DAY, 10 * DAY) };
            }
            if self.straggler && dice.chance(STRAGGLING) {
                record.delivered_at += dice.between(10 * DAY, 150 * DAY);
            }
            record.delivered_at = record.delivered_at.max(self.held_until);
        }
        for index in from..records.len() {
            if dice.chance(defects.duplicates) {
                let mut copy = records[index];
                copy.delivered_at +=
                    if dice.chance(0.6) { dice.between(0, 30 * MINUTE) } else { dice.between(DAY, 10 * DAY) };
                records.push(copy);
            }
        }
        self.deliver(records, from);
        mark(&mut records[from..]);
    }

    /// Gives each record its extract and drops those that no extract carries.
    fn deliver(&self, records: &mut Vec<Draft>, from: usize) {
        let mut kept = from;
        for index in from..records.len() {
            let mut record = records[index];
            record.delivered_at = record.delivered_at.min(self.latest);
            if let Some(extract) = self.calendar.extract_at(record.delivered_at) {
                record.extract = extract;
                let own = self.calendar.extract_at(record.updated_at);
                record.marks.late = own.is_some_and(|own| own < extract);
                records[kept] = record;
                kept += 1;
            }
        }
        records.truncate(kept);
    }
}

/// Ends a key with a delete, and sometimes goes on after it; with `rivals`, sometimes beside it.
fn delete(records: &mut Vec<Draft>, rivals: bool, dice: &mut Dice) {
    let last = records.len() - 1;
    let next = |previous: Draft, dice: &mut Dice, low, high| {
        let updated_at = previous.updated_at + dice.between(low, high);
        let updated_at = dice.moment(updated_at);
        Draft { ordinal: previous.ordinal + 1, updated_at, delivered_at: updated_at, deleted: false, ..previous }
    };
    let delete = Draft { deleted: true, ..next(records[last], dice, HOUR, 8 * DAY) };
    records.push(delete);
    match dice.below(10) {
        0..=2 => {
            let delay = dice.between(HOUR, 3 * DAY);
            records[last].delivered_at = delete.delivered_at + delay;
        }
        3..=5 => records.push(next(delete, dice, HOUR, 5 * DAY)),
        6 => {
            let again = next(delete, dice, HOUR, 2 * DAY);
            records.push(Draft { deleted: true, ..again });
        }
        7 if rivals => {
            let rival = Draft { deleted: false, ordinal: delete.ordinal | RIVAL, ..delete };
            records.push(rival);
            // Whichever of the two arrives last wins.
            let winner = if dice.chance(0.5) { last + 1 } else { last + 2 };
            records[winner].delivered_at += dice.between(0, 2 * HOUR);
        }
        _ => {}
    }
}

/// Marks what the delivered, readable records of one key are to each other. A key has few
/// records, so each is simply held against every other.
fn mark(records: &mut [Draft]) {
    for index in 0..records.len() {
        let record = records[index];
        let mut marks = record.marks;
        for (other_index, other) in records.iter().enumerate() {
            if other_index == index || other.broken || record.broken {
                continue;
            }
            if other.ordinal == record.ordinal {
                marks.duplicate |= other_index < index;
            } else if other.updated_at == record.updated_at {
                marks.tie |= other.ordinal < record.ordinal;
            } else if other.deleted && !record.deleted {
                if other.updated_at > record.updated_at {
                    marks.stale |= other.extract < record.extract;
                } else {
                    marks.revival = true;
                }
            }
        }
        marks.tie &= !marks.duplicate;
        records[index].marks = marks;
    }
}
