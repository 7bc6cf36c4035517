//! Timestamps: an instant in UTC, in microseconds since 1970, in the years 0001 to 9999.
//!
//! ```text
//! YYYY-MM-DD [T or space  HH:MM:SS [.1-6 digits]] [Z or ±HH:MM or ±HHMM or ±HH]
//! 10 digits: seconds since 1970          13 digits: milliseconds since 1970
//! ```
//!
//! Dates are those of the proleptic Gregorian calendar, offsets reach from -14:00 to +14:00, and
//! without one it is UTC already. The years bound the instant, with the offset applied.

use arrow::datatypes::TimeUnit;

use super::digit;

/// Version of this rule's meaning.
pub const SEMANTICS_VERSION: u32 = 1;

const MICROS_PER_SECOND: i64 = 1_000_000;
const SECONDS_PER_DAY: i64 = 86_400;
/// From 1 March of the year 0 to 1970-01-01.
const DAYS_TO_1970: i64 = 719_468;
/// 0001-01-01 00:00:00.
const FIRST: i64 = -62_135_596_800 * MICROS_PER_SECOND;
/// 9999-12-31 23:59:59.999999.
const LAST: i64 = 253_402_300_800 * MICROS_PER_SECOND - 1;

/// The instant `text` writes.
pub fn parse(text: &str) -> Option<i64> {
    let bytes = text.as_bytes();
    match bytes.len() {
        10 if bytes[4] != b'-' => Some(number(bytes)? * MICROS_PER_SECOND),
        13 if bytes[4] != b'-' => Some(number(bytes)? * 1_000),
        _ => {
            let (date, rest) = bytes.split_first_chunk()?;
            let (time, rest) = match rest {
                [b'T' | b' ', rest @ ..] => time_of_day(rest)?,
                _ => (0, rest),
            };
            let local = days(*date)? * SECONDS_PER_DAY * MICROS_PER_SECOND + time;
            within_years(local - offset_seconds(rest)? * MICROS_PER_SECOND)
        }
    }
}

/// The instant a typed column holds; what is finer than a microsecond is dropped.
pub fn from_unit(value: i64, unit: TimeUnit) -> Option<i64> {
    within_years(match unit {
        TimeUnit::Second => value.checked_mul(MICROS_PER_SECOND)?,
        TimeUnit::Millisecond => value.checked_mul(1_000)?,
        TimeUnit::Microsecond => value,
        TimeUnit::Nanosecond => value.div_euclid(1_000),
    })
}

fn within_years(micros: i64) -> Option<i64> {
    (FIRST..=LAST).contains(&micros).then_some(micros)
}

fn number(digits: &[u8]) -> Option<i64> {
    let append = |number: i64, &byte: &u8| Some(number * 10 + i64::from(digit(byte)?));
    digits.iter().try_fold(0, append)
}

fn two_digits(tens: u8, units: u8) -> Option<i64> {
    Some(i64::from(digit(tens)?) * 10 + i64::from(digit(units)?))
}

/// Days from 1970-01-01 to a `YYYY-MM-DD`.
fn days(date: [u8; 10]) -> Option<i64> {
    let [y1, y2, y3, y4, b'-', m1, m2, b'-', d1, d2] = date else {
        return None;
    };
    let year = two_digits(y1, y2)? * 100 + two_digits(y3, y4)?;
    let month = two_digits(m1, m2)?;
    let day = two_digits(d1, d2)?;
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let days_in_month = match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if leap => 29,
        2 => 28,
        _ => return None,
    };
    if year == 0 || day == 0 || day > days_in_month {
        return None;
    }
    // Counting years from March puts the leap day last, so that the days before a month do not
    // depend on the year, and 153 days in every five months place each month's first day.
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let days_before_year = year * 365 + year / 4 - year / 100 + year / 400;
    let days_before_month = (153 * month + 2) / 5;
    Some(days_before_year + days_before_month + (day - 1) - DAYS_TO_1970)
}

/// The microseconds of `HH:MM:SS[.1-6 digits]` at the start of `bytes`, and what follows.
fn time_of_day(bytes: &[u8]) -> Option<(i64, &[u8])> {
    let (&[h1, h2, b':', m1, m2, b':', s1, s2], rest) = bytes.split_first_chunk()? else {
        return None;
    };
    let (hour, minute, second) = (two_digits(h1, h2)?, two_digits(m1, m2)?, two_digits(s1, s2)?);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let whole = (hour * 3_600 + minute * 60 + second) * MICROS_PER_SECOND;
    let [b'.', rest @ ..] = rest else {
        return Some((whole, rest));
    };
    let places = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
    if !(1..=6).contains(&places) {
        return None;
    }
    let (fraction, rest) = rest.split_at(places);
    let micros = number(fraction)? * 10_i64.pow(6 - places as u32);
    Some((whole + micros, rest))
}

/// How far local time is ahead of UTC.
fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let (sign, hours, minutes) = match *zone {
        [] | [b'Z'] => return Some(0),
        [sign, h1, h2] => (sign, two_digits(h1, h2)?, 0),
        [sign, h1, h2, m1, m2] | [sign, h1, h2, b':', m1, m2] => (sign, two_digits(h1, h2)?, two_digits(m1, m2)?),
        _ => return None,
    };
    let minutes = match minutes {
        0..60 => hours * 60 + minutes,
        _ => return None,
    };
    match sign {
        _ if minutes > 14 * 60 => None,
        b'+' => Some(minutes * 60),
        b'-' => Some(-minutes * 60),
        _ => None,
    }
}

/// An instant as text, `YYYY-MM-DD HH:MM:SS.ffffff`.
pub fn format(micros: i64) -> String {
    let days = micros.div_euclid(SECONDS_PER_DAY * MICROS_PER_SECOND);
    let of_day = micros.rem_euclid(SECONDS_PER_DAY * MICROS_PER_SECOND);
    // The inverse of `days`, again with years that begin in March, in whole 400-year eras.
    let day = days + DAYS_TO_1970;
    let era = day.div_euclid(146_097);
    let day_of_era = day.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (year_of_era * 365 + year_of_era / 4 - year_of_era / 100);
    let month = (day_of_year * 5 + 2) / 153;
    let day_of_month = day_of_year - (153 * month + 2) / 5 + 1;
    let (year, month) =
        if month < 10 { (era * 400 + year_of_era, month + 3) } else { (era * 400 + year_of_era + 1, month - 9) };
    let second_of_day = of_day / MICROS_PER_SECOND;
    format!(
        "{year:04}-{month:02}-{day_of_month:02} {:02}:{:02}:{:02}.{:06}",
        second_of_day / 3_600,
        second_of_day / 60 % 60,
        second_of_day % 60,
        of_day % MICROS_PER_SECOND
    )
}
