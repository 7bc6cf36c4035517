//! TO_CHAR, TO_DATE and TO_TIMESTAMP with PostgreSQL's patterns, which Redshift shares.
//!
//! A pattern is a text in which field names such as `YYYY` or `HH24` stand for parts of the time
//! and everything else stands for itself. `FM` before a field takes its padding away, `TH` after a
//! number makes it an ordinal, and text in double quotes is never a field.

use std::{fmt::Write as _, sync::Arc};

use chrono::{Datelike, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use datafusion::{
    arrow::{
        array::{ArrayRef, Date32Array, TimestampMicrosecondArray},
        datatypes::DataType,
    },
    common::{Result, exec_datafusion_err, exec_err},
};

use super::{
    date_parts::{calendar, days, from_calendar},
    dates::out_of_range,
    scalar::{Argument, Call, Function, TIMESTAMP, collect_texts},
};

pub(super) fn functions() -> Vec<Function> {
    use Argument::{Text, Time};
    vec![
        Function { name: "to_char", arguments: &[Time, Text], optional: 0, output: DataType::Utf8View, body: to_char },
        Function { name: "to_date", arguments: &[Text, Text], optional: 0, output: DataType::Date32, body: to_date },
        Function { name: "to_timestamp", arguments: &[Text, Text], optional: 0, output: TIMESTAMP, body: to_timestamp },
    ]
}

fn to_char(call: &Call<'_>) -> Result<ArrayRef> {
    let Some(pattern) = call.constant(1)? else { return Ok(call.nulls(&DataType::Utf8View)) };
    let pieces = parse(pattern)?;
    let times = call.times(0)?;
    collect_texts(times.iter(), |micros, text| {
        let time = calendar(micros).ok_or_else(|| out_of_range(call.name))?;
        for piece in &pieces {
            piece.write(&time, text);
        }
        Ok(())
    })
}

fn to_timestamp(call: &Call<'_>) -> Result<ArrayRef> {
    let Some(pattern) = call.constant(1)? else { return Ok(call.nulls(&TIMESTAMP)) };
    let pieces = parse(pattern)?;
    let read = |text| read(&pieces, pattern, text).map(from_calendar);
    Ok(Arc::new(
        call.texts(0)?.iter().map(|text| text.map(read).transpose()).collect::<Result<TimestampMicrosecondArray>>()?,
    ))
}

fn to_date(call: &Call<'_>) -> Result<ArrayRef> {
    let Some(pattern) = call.constant(1)? else { return Ok(call.nulls(&DataType::Date32)) };
    let pieces = parse(pattern)?;
    let read = |text| days(read(&pieces, pattern, text)?.date()).ok_or_else(|| out_of_range(call.name));
    Ok(Arc::new(call.texts(0)?.iter().map(|text| text.map(read).transpose()).collect::<Result<Date32Array>>()?))
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Field {
    /// The last so many digits of the year; 4 is all of it.
    Year(usize),
    YearWithComma,
    IsoYear(usize),
    Century,
    Quarter,
    Month,
    MonthName(Case),
    MonthShort(Case),
    MonthRoman(Case),
    WeekOfMonth,
    WeekOfYear,
    IsoWeek,
    DayOfYear,
    IsoDayOfYear,
    Day,
    DayName(Case),
    DayShort(Case),
    /// 1 is Sunday.
    DayOfWeek,
    /// 1 is Monday.
    IsoDayOfWeek,
    JulianDay,
    Hour24,
    Hour12,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    SecondOfDay,
    HalfDay {
        dotted: bool,
        case: Case,
    },
    Era {
        dotted: bool,
        case: Case,
    },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Case {
    Upper,
    Title,
    Lower,
}

#[derive(Debug)]
enum Piece {
    Text(String),
    Field { field: Field, fill: bool, ordinal: Option<Case> },
}

/// Field names in the case they must be written in. Numbers may be all upper or all lower case;
/// names show by their case how they are written. A longer name wins over its own beginning.
const NAMES: &[(&str, Field)] = &[
    ("Y,YYY", Field::YearWithComma),
    ("IYYY", Field::IsoYear(4)),
    ("IYY", Field::IsoYear(3)),
    ("IY", Field::IsoYear(2)),
    ("IDDD", Field::IsoDayOfYear),
    ("ID", Field::IsoDayOfWeek),
    ("IW", Field::IsoWeek),
    ("I", Field::IsoYear(1)),
    ("YYYY", Field::Year(4)),
    ("YYY", Field::Year(3)),
    ("YY", Field::Year(2)),
    ("Y", Field::Year(1)),
    ("CC", Field::Century),
    ("Q", Field::Quarter),
    ("MONTH", Field::MonthName(Case::Upper)),
    ("Month", Field::MonthName(Case::Title)),
    ("month", Field::MonthName(Case::Lower)),
    ("MON", Field::MonthShort(Case::Upper)),
    ("Mon", Field::MonthShort(Case::Title)),
    ("mon", Field::MonthShort(Case::Lower)),
    ("MM", Field::Month),
    ("MI", Field::Minute),
    ("MS", Field::Millisecond),
    ("RM", Field::MonthRoman(Case::Upper)),
    ("rm", Field::MonthRoman(Case::Lower)),
    ("WW", Field::WeekOfYear),
    ("W", Field::WeekOfMonth),
    ("DAY", Field::DayName(Case::Upper)),
    ("Day", Field::DayName(Case::Title)),
    ("day", Field::DayName(Case::Lower)),
    ("DDD", Field::DayOfYear),
    ("DD", Field::Day),
    ("DY", Field::DayShort(Case::Upper)),
    ("Dy", Field::DayShort(Case::Title)),
    ("dy", Field::DayShort(Case::Lower)),
    ("D", Field::DayOfWeek),
    ("J", Field::JulianDay),
    ("HH24", Field::Hour24),
    ("HH12", Field::Hour12),
    ("HH", Field::Hour12),
    ("SSSS", Field::SecondOfDay),
    ("SS", Field::Second),
    ("US", Field::Microsecond),
    ("A.M.", Field::HalfDay { dotted: true, case: Case::Upper }),
    ("P.M.", Field::HalfDay { dotted: true, case: Case::Upper }),
    ("a.m.", Field::HalfDay { dotted: true, case: Case::Lower }),
    ("p.m.", Field::HalfDay { dotted: true, case: Case::Lower }),
    ("AM", Field::HalfDay { dotted: false, case: Case::Upper }),
    ("PM", Field::HalfDay { dotted: false, case: Case::Upper }),
    ("am", Field::HalfDay { dotted: false, case: Case::Lower }),
    ("pm", Field::HalfDay { dotted: false, case: Case::Lower }),
    ("A.D.", Field::Era { dotted: true, case: Case::Upper }),
    ("B.C.", Field::Era { dotted: true, case: Case::Upper }),
    ("a.d.", Field::Era { dotted: true, case: Case::Lower }),
    ("b.c.", Field::Era { dotted: true, case: Case::Lower }),
    ("AD", Field::Era { dotted: false, case: Case::Upper }),
    ("BC", Field::Era { dotted: false, case: Case::Upper }),
    ("ad", Field::Era { dotted: false, case: Case::Lower }),
    ("bc", Field::Era { dotted: false, case: Case::Lower }),
];

const ROMAN: [&str; 12] = ["I", "II", "III", "IV", "V", "VI", "VII", "VIII", "IX", "X", "XI", "XII"];
const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const WEEKDAYS: [&str; 7] = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
/// The longest of the names above, to which the unshortened ones are padded.
const NAME_WIDTH: usize = 9;

fn parse(pattern: &str) -> Result<Vec<Piece>> {
    let mut pieces = Vec::new();
    let mut rest = pattern;
    let literal = |pieces: &mut Vec<Piece>, character: char| match pieces.last_mut() {
        Some(Piece::Text(text)) => text.push(character),
        _ => pieces.push(Piece::Text(character.into())),
    };
    while let Some(first) = rest.chars().next() {
        if first == '"' {
            let mut inside = rest[1..].chars();
            while let Some(character) = inside.next() {
                match character {
                    '"' => break,
                    '\\' => literal(&mut pieces, inside.next().unwrap_or('\\')),
                    other => literal(&mut pieces, other),
                }
            }
            rest = inside.as_str();
            continue;
        }
        let unfilled = rest.strip_prefix("FM").or_else(|| rest.strip_prefix("fm"));
        if let Some((field, after)) = field(unfilled.unwrap_or(rest)) {
            let (ordinal, after) = match (field.is_number(), after.get(..2)) {
                (true, Some("TH")) => (Some(Case::Upper), &after[2..]),
                (true, Some("th")) => (Some(Case::Lower), &after[2..]),
                _ => (None, after),
            };
            pieces.push(Piece::Field { field, fill: unfilled.is_none(), ordinal });
            rest = after;
        } else if let Some(after) = unfilled {
            rest = after;
        } else if ["TZ", "tz", "OF", "of"].iter().any(|name| rest.starts_with(name)) {
            return exec_err!("pattern `{pattern}`: smelt's timestamps have no time zone to show");
        } else {
            literal(&mut pieces, first);
            rest = &rest[first.len_utf8()..];
        }
    }
    Ok(pieces)
}

fn field(text: &str) -> Option<(Field, &str)> {
    NAMES.iter().find_map(|(name, field)| {
        let after = text.strip_prefix(name).or_else(|| {
            let lower = field.is_number().then(|| name.to_ascii_lowercase())?;
            text.strip_prefix(lower.as_str())
        })?;
        Some((*field, after))
    })
}

impl Field {
    fn is_number(self) -> bool {
        use Field::{DayName, DayShort, Era, HalfDay, MonthName, MonthRoman, MonthShort};
        !matches!(
            self,
            MonthName(_) | MonthShort(_) | MonthRoman(_) | DayName(_) | DayShort(_) | HalfDay { .. } | Era { .. }
        )
    }

    /// The value of a numeric field and the digits it is padded to.
    fn number(self, time: &NaiveDateTime) -> Option<(i64, usize)> {
        let short = |year: i32, digits: usize| {
            let year = i64::from(year);
            (if digits < 4 { year.rem_euclid(10_i64.pow(digits as u32)) } else { year }, digits)
        };
        let week = time.iso_week();
        let number = |value: u32, width: usize| (i64::from(value), width);
        Some(match self {
            Self::Year(digits) => short(time.year(), digits),
            Self::IsoYear(digits) => short(week.year(), digits),
            Self::Century => (i64::from((time.year() - 1).div_euclid(100) + 1), 2),
            Self::Quarter => number(time.month0() / 3 + 1, 1),
            Self::Month => number(time.month(), 2),
            Self::WeekOfMonth => number(time.day0() / 7 + 1, 1),
            Self::WeekOfYear => number(time.ordinal0() / 7 + 1, 2),
            Self::IsoWeek => number(week.week(), 2),
            Self::DayOfYear => number(time.ordinal(), 3),
            Self::IsoDayOfYear => number((week.week() - 1) * 7 + time.weekday().number_from_monday(), 3),
            Self::Day => number(time.day(), 2),
            Self::DayOfWeek => number(time.weekday().number_from_sunday(), 1),
            Self::IsoDayOfWeek => number(time.weekday().number_from_monday(), 1),
            Self::JulianDay => (i64::from(days(time.date())?) + 2_440_588, 1),
            Self::Hour24 => number(time.hour(), 2),
            Self::Hour12 => number((time.hour() + 11) % 12 + 1, 2),
            Self::Minute => number(time.minute(), 2),
            Self::Second => number(time.second(), 2),
            Self::Millisecond => number(time.nanosecond() / 1_000_000, 3),
            Self::Microsecond => number(time.nanosecond() / 1_000, 6),
            Self::SecondOfDay => number(time.num_seconds_from_midnight(), 1),
            _ => return None,
        })
    }

    /// The word of a named field and the width it is padded to.
    fn word(self, time: &NaiveDateTime) -> Option<(&'static str, Case, usize)> {
        let month = MONTHS[time.month0() as usize];
        let day = WEEKDAYS[time.weekday().num_days_from_monday() as usize];
        Some(match self {
            Self::MonthName(case) => (month, case, NAME_WIDTH),
            Self::MonthShort(case) => (&month[..3], case, 0),
            Self::MonthRoman(case) => (ROMAN[time.month0() as usize], case, 4),
            Self::DayName(case) => (day, case, NAME_WIDTH),
            Self::DayShort(case) => (&day[..3], case, 0),
            Self::HalfDay { dotted, case } => match (time.hour() < 12, dotted) {
                (true, false) => ("AM", case, 0),
                (false, false) => ("PM", case, 0),
                (true, true) => ("A.M.", case, 0),
                (false, true) => ("P.M.", case, 0),
            },
            Self::Era { dotted, case } => match (time.year() > 0, dotted) {
                (true, false) => ("AD", case, 0),
                (false, false) => ("BC", case, 0),
                (true, true) => ("A.D.", case, 0),
                (false, true) => ("B.C.", case, 0),
            },
            _ => return None,
        })
    }
}

impl Piece {
    fn write(&self, time: &NaiveDateTime, text: &mut String) {
        let Self::Field { field, fill, ordinal } = self else {
            if let Self::Text(literal) = self {
                text.push_str(literal);
            }
            return;
        };
        // Writing to a String does not fail.
        if let Some((value, width)) = field.number(time) {
            let width = if *fill { width } else { 0 };
            let _ = write!(text, "{value:0width$}");
            if let Some(case) = ordinal {
                push_in_case(text, suffix(value), *case);
            }
        } else if let Some((word, case, width)) = field.word(time) {
            let start = text.len();
            push_in_case(text, word, case);
            while *fill && text.len() - start < width {
                text.push(' ');
            }
        } else {
            let year = time.year();
            let _ = write!(text, "{},{:03}", year / 1000, year % 1000);
        }
    }
}

fn push_in_case(text: &mut String, word: &str, case: Case) {
    match case {
        Case::Upper => text.extend(word.chars().map(|character| character.to_ascii_uppercase())),
        Case::Title => text.push_str(word),
        Case::Lower => text.extend(word.chars().map(|character| character.to_ascii_lowercase())),
    }
}

fn suffix(value: i64) -> &'static str {
    match (value % 10, value % 100) {
        (_, 11..=13) => "th",
        (1, _) => "st",
        (2, _) => "nd",
        (3, _) => "rd",
        _ => "th",
    }
}

/// Reads a time; what the pattern leaves out is the first of January, midnight.
fn read(pieces: &[Piece], pattern: &str, text: &str) -> Result<NaiveDateTime> {
    let unreadable = || exec_datafusion_err!("`{text}` does not read as `{pattern}`");
    let mut rest = text;
    let (mut year, mut month, mut day, mut ordinal) = (1, 1, 1, None);
    let (mut hour, mut afternoon, mut minute, mut second, mut micros) = (0, None, 0, 0, 0);
    for (index, piece) in pieces.iter().enumerate() {
        let Piece::Field { field, .. } = piece else {
            let Piece::Text(literal) = piece else { continue };
            for _ in literal.chars() {
                rest = rest
                    .strip_prefix(|character: char| !character.is_alphanumeric() && character != '-')
                    .unwrap_or_else(|| {
                        rest.strip_prefix(|character: char| literal.contains(character)).unwrap_or(rest)
                    });
            }
            continue;
        };
        rest = rest.trim_start();
        if let Field::MonthName(_) | Field::MonthShort(_) = field {
            let name = |full: &&str| {
                if matches!(field, Field::MonthName(_)) { (*full).to_owned() } else { full[..3].to_owned() }
            };
            let found = MONTHS.iter().position(|full| {
                let name = name(full);
                rest.get(..name.len()).is_some_and(|start| start.eq_ignore_ascii_case(&name))
            });
            let found = found.ok_or_else(unreadable)?;
            rest = &rest[name(&MONTHS[found]).len()..];
            month = found as u32 + 1;
            continue;
        }
        if let Field::HalfDay { dotted, .. } = field {
            let width = if *dotted { 4 } else { 2 };
            let word = rest.get(..width).ok_or_else(unreadable)?.to_ascii_lowercase();
            afternoon = Some(match word.replace('.', "").as_str() {
                "am" => false,
                "pm" => true,
                _ => return Err(unreadable()),
            });
            rest = &rest[width..];
            continue;
        }
        // A number runs to its width when the next field follows at once, else as far as it goes.
        let adjacent = matches!(pieces.get(index + 1), Some(Piece::Field { field, .. }) if field.is_number());
        let width = match field {
            Field::Year(digits) => *digits,
            Field::DayOfYear | Field::Millisecond => 3,
            Field::Microsecond => 6,
            _ => 2,
        };
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        let digits = if adjacent || matches!(field, Field::Millisecond | Field::Microsecond) {
            digits.min(width)
        } else {
            digits.min(9)
        };
        let value: u32 = rest[..digits].parse().map_err(|_| unreadable())?;
        rest = &rest[digits..];
        // A fraction's digits count from the left: `.5` is half a second.
        let scaled = |to: usize| value * 10_u32.pow((to - digits) as u32);
        match field {
            Field::Year(4) => year = i32::try_from(value).map_err(|_| unreadable())?,
            Field::Year(2) => year = value as i32 + if value < 70 { 2000 } else { 1900 },
            Field::Month => month = value,
            Field::Day => day = value,
            Field::DayOfYear => ordinal = Some(value),
            Field::Hour24 | Field::Hour12 => hour = value,
            Field::Minute => minute = value,
            Field::Second => second = value,
            Field::Millisecond => micros = scaled(3) * 1_000,
            Field::Microsecond => micros = scaled(6),
            _ => return exec_err!("pattern `{pattern}` has a field that can be written but not read"),
        }
    }
    if let Some(afternoon) = afternoon {
        hour = hour % 12 + if afternoon { 12 } else { 0 };
    }
    let date = match ordinal {
        Some(ordinal) => NaiveDate::from_yo_opt(year, ordinal),
        None => NaiveDate::from_ymd_opt(year, month, day),
    };
    let time = NaiveTime::from_hms_micro_opt(hour, minute, second, micros);
    date.zip(time).map(|(date, time)| date.and_time(time)).ok_or_else(unreadable)
}
