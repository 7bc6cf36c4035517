//! All the ways in which a source system may write a moment.

use std::fmt::Write;

use chrono::{DateTime, Datelike, Timelike};

use crate::calendar::{DAY, MINUTE, Micros, SECOND};
use crate::dice::Dice;

/// Minutes that clocks of source systems differ from UTC, up to the limits.
const OFFSETS: &[i64] = &[-840, -720, -480, -300, 0, 60, 120, 330, 345, 540, 840];

/// The usual form, `2025-01-31T08:05:09.25Z`; a fraction only where there is one.
pub(crate) fn usual(time: Micros) -> String {
    let mut text = date_and_time(time, 'T', Fraction::AsNeeded);
    text.push('Z');
    text
}

/// One of the accepted forms that keep the moment as it is.
pub(crate) fn unusual(time: Micros, dice: &mut Dice) -> String {
    let separator = dice.pick(&['T', ' ']);
    let fraction = dice.pick(&[Fraction::AsNeeded, Fraction::Whole]);
    match dice.below(10) {
        0 | 1 => date_and_time(time, separator, fraction),
        2 => {
            let mut text = date_and_time(time, ' ', fraction);
            text.push('Z');
            text
        }
        3..=5 => with_offset(time, separator, fraction, dice),
        6 | 7 if epoch_fits(time, SECOND) => (time / SECOND).to_string(),
        6..=8 if epoch_fits(time, 1_000) => (time / 1_000).to_string(),
        _ if time.rem_euclid(DAY) == 0 => {
            let mut text = date_and_time(time, 'T', Fraction::AsNeeded);
            text.truncate("YYYY-MM-DD".len());
            text.push_str(dice.pick(&["", "", "", "Z"]));
            text
        }
        _ => usual(time),
    }
}

#[derive(Debug, Clone, Copy)]
enum Fraction {
    /// No more digits than needed, and no point without digits.
    AsNeeded,
    /// Always six digits.
    Whole,
}

/// Whether `time` is a whole number of this unit, and one with the digits that tell the unit.
fn epoch_fits(time: Micros, unit: Micros) -> bool {
    let seconds = time / SECOND;
    time % unit == 0 && (1_000_000_000..10_000_000_000).contains(&seconds)
}

fn with_offset(time: Micros, separator: char, fraction: Fraction, dice: &mut Dice) -> String {
    let offset = dice.pick(OFFSETS);
    let mut text = date_and_time(time + offset * MINUTE, separator, fraction);
    text.push(if offset < 0 { '-' } else { '+' });
    let (hours, minutes) = (offset.abs() / 60, offset.abs() % 60);
    // Writing to a string cannot fail.
    let _ = match dice.below(3) {
        0 if minutes == 0 => write!(text, "{hours:02}"),
        1 => write!(text, "{hours:02}{minutes:02}"),
        _ => write!(text, "{hours:02}:{minutes:02}"),
    };
    text
}

fn date_and_time(time: Micros, separator: char, fraction: Fraction) -> String {
    let moment = DateTime::from_timestamp_micros(time).unwrap_or_default();
    let mut text = String::with_capacity(32);
    // Writing to a string cannot fail.
    let _ = write!(
        text,
        "{:04}-{:02}-{:02}{separator}{:02}:{:02}:{:02}",
        moment.year(),
        moment.month(),
        moment.day(),
        moment.hour(),
        moment.minute(),
        moment.second()
    );
    let micros = time.rem_euclid(SECOND);
    match fraction {
        Fraction::AsNeeded if micros == 0 => {}
        Fraction::AsNeeded => {
            let _ = write!(text, ".{micros:06}");
            text.truncate(text.trim_end_matches('0').len());
        }
        Fraction::Whole => {
            let _ = write!(text, ".{micros:06}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::{Purpose, Seed};

    #[test]
    fn the_usual_form_keeps_no_needless_digits() {
        assert_eq!(usual(0), "1970-01-01T00:00:00Z");
        assert_eq!(usual(1_500_000), "1970-01-01T00:00:01.5Z");
        assert_eq!(usual(-1), "1969-12-31T23:59:59.999999Z");
    }

    #[test]
    fn offsets_move_the_local_time_and_not_the_moment() {
        let mut dice = Seed(1).dice(Purpose::Day, 0, 0);
        let time = 1_738_310_709_250_000;
        for _ in 0..200 {
            let text = with_offset(time, 'T', Fraction::AsNeeded, &mut dice);
            let sign = text.rfind(['+', '-']).unwrap();
            let (local, offset) = text.split_at(sign);
            let digits: String = offset.chars().filter(char::is_ascii_digit).collect();
            let minutes = digits[..2].parse::<i64>().unwrap() * 60
                + digits.get(2..4).map_or(0, |minutes| minutes.parse().unwrap());
            let minutes = if offset.starts_with('-') { -minutes } else { minutes };
            assert_eq!(local, date_and_time(time + minutes * MINUTE, 'T', Fraction::AsNeeded));
        }
    }
}
