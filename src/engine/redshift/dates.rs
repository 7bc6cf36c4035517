//! Redshift's date functions.

use std::sync::Arc;

use chrono::{Datelike, Days, Weekday};
use datafusion::{
    arrow::{
        array::{Array, ArrayRef, Date32Array, Float64Array, Int64Array, TimestampMicrosecondArray},
        datatypes::DataType,
    },
    common::{DataFusionError, Result, exec_datafusion_err, exec_err},
};

use super::{
    date_parts::{DatePart, MICROS_A_DAY, add_months, calendar, days, last_of_month},
    scalar::{Argument, Call, Function, TIMESTAMP},
};

pub(super) fn functions() -> Vec<Function> {
    use Argument::{Integer, Text, Time};
    vec![
        Function {
            name: "datediff",
            arguments: &[Text, Time, Time],
            optional: 0,
            output: DataType::Int64,
            body: datediff,
        },
        Function { name: "dateadd", arguments: &[Text, Integer, Time], optional: 0, output: TIMESTAMP, body: dateadd },
        Function { name: "date_trunc", arguments: &[Text, Time], optional: 0, output: TIMESTAMP, body: date_trunc },
        Function {
            name: "date_part",
            arguments: &[Text, Time],
            optional: 0,
            output: DataType::Float64,
            body: date_part,
        },
        Function { name: "extract", arguments: &[Text, Time], optional: 0, output: DataType::Int64, body: extract },
        Function {
            name: "add_months",
            arguments: &[Time, Integer],
            optional: 0,
            output: TIMESTAMP,
            body: add_months_sticky,
        },
        Function { name: "last_day", arguments: &[Time], optional: 0, output: DataType::Date32, body: last_day },
        Function { name: "next_day", arguments: &[Time, Text], optional: 0, output: DataType::Date32, body: next_day },
        Function {
            name: "months_between",
            arguments: &[Time, Time],
            optional: 0,
            output: DataType::Float64,
            body: months_between,
        },
    ]
}

/// The date part in the first argument; `None` is NULL.
fn part(call: &Call<'_>, allowed: fn(DatePart) -> bool) -> Result<Option<DatePart>> {
    let Some(text) = call.constant(0)? else { return Ok(None) };
    match DatePart::parse(text).filter(|part| allowed(*part)) {
        Some(part) => Ok(Some(part)),
        None => exec_err!("{} knows no date part `{text}`", call.name),
    }
}

pub(super) fn out_of_range(name: &str) -> DataFusionError {
    exec_datafusion_err!("the result of {name} is outside the range of timestamps")
}

fn datediff(call: &Call<'_>) -> Result<ArrayRef> {
    let Some(part) = part(call, DatePart::is_span)? else { return Ok(call.nulls(&DataType::Int64)) };
    let (from, to) = (call.times(1)?, call.times(2)?);
    let difference = |(from, to): (Option<i64>, Option<i64>)| match (from, to) {
        (Some(from), Some(to)) => match (part.boundaries(from), part.boundaries(to)) {
            (Some(from), Some(to)) => Ok(Some(to - from)),
            _ => Err(out_of_range(call.name)),
        },
        _ => Ok(None),
    };
    Ok(Arc::new(std::iter::zip(&from, &to).map(difference).collect::<Result<Int64Array>>()?))
}

fn dateadd(call: &Call<'_>) -> Result<ArrayRef> {
    let Some(part) = part(call, DatePart::is_span)? else { return Ok(call.nulls(&TIMESTAMP)) };
    let (counts, times) = (call.integers(1)?, call.times(2)?);
    combine(&times, &counts, |time, count| part.add(time, count).ok_or_else(|| out_of_range(call.name)))
}

fn combine(
    times: &TimestampMicrosecondArray,
    counts: &Int64Array,
    each: impl Fn(i64, i64) -> Result<i64>,
) -> Result<ArrayRef> {
    let rows = std::iter::zip(times, counts).map(|pair| match pair {
        (Some(time), Some(count)) => each(time, count).map(Some),
        _ => Ok(None),
    });
    Ok(Arc::new(rows.collect::<Result<TimestampMicrosecondArray>>()?))
}

fn date_trunc(call: &Call<'_>) -> Result<ArrayRef> {
    let Some(part) = part(call, DatePart::is_span)? else { return Ok(call.nulls(&TIMESTAMP)) };
    let truncate = |time: i64| part.truncate(time).ok_or_else(|| out_of_range(call.name));
    Ok(Arc::new(
        call.times(1)?
            .iter()
            .map(|time| time.map(truncate).transpose())
            .collect::<Result<TimestampMicrosecondArray>>()?,
    ))
}

/// Unlike EXTRACT a double, and seconds and below carry all of the minute's fraction.
fn date_part(call: &Call<'_>) -> Result<ArrayRef> {
    let Some(part) = part(call, |_| true)? else { return Ok(call.nulls(&DataType::Float64)) };
    let number = |time: i64| {
        let in_minute = time.rem_euclid(60_000_000) as f64;
        Ok(match part {
            DatePart::Second => in_minute / 1e6,
            DatePart::Millisecond => in_minute / 1e3,
            DatePart::Microsecond => in_minute,
            DatePart::Epoch => time as f64 / 1e6,
            _ => part.extract(time).ok_or_else(|| out_of_range(call.name))? as f64,
        })
    };
    Ok(Arc::new(call.times(1)?.iter().map(|time| time.map(number).transpose()).collect::<Result<Float64Array>>()?))
}

fn extract(call: &Call<'_>) -> Result<ArrayRef> {
    let Some(part) = part(call, |_| true)? else { return Ok(call.nulls(&DataType::Int64)) };
    let number = |time: i64| part.extract(time).ok_or_else(|| out_of_range(call.name));
    Ok(Arc::new(call.times(1)?.iter().map(|time| time.map(number).transpose()).collect::<Result<Int64Array>>()?))
}

/// Unlike DATEADD, the last day of a month goes to the last day of the other.
fn add_months_sticky(call: &Call<'_>) -> Result<ArrayRef> {
    let (times, counts) = (call.times(0)?, call.integers(1)?);
    let each = |time: i64, count: i64| {
        let moved = add_months(time, count)?;
        let (before, after) = (calendar(time)?.date(), calendar(moved)?.date());
        if last_of_month(before)? != before {
            return Some(moved);
        }
        moved.checked_add(i64::from(days(last_of_month(after)?)? - days(after)?) * MICROS_A_DAY)
    };
    combine(&times, &counts, |time, count| each(time, count).ok_or_else(|| out_of_range(call.name)))
}

fn dates(call: &Call<'_>, each: impl Fn(i64, usize) -> Result<Option<i32>>) -> Result<ArrayRef> {
    let times = call.times(0)?;
    let rows = times.iter().enumerate().map(|(row, time)| time.map_or(Ok(None), |time| each(time, row)));
    Ok(Arc::new(rows.collect::<Result<Date32Array>>()?))
}

fn last_day(call: &Call<'_>) -> Result<ArrayRef> {
    dates(call, |time, _| {
        let last = calendar(time).and_then(|time| last_of_month(time.date())).and_then(days);
        last.map(Some).ok_or_else(|| out_of_range(call.name))
    })
}

/// The first such weekday after the date.
fn next_day(call: &Call<'_>) -> Result<ArrayRef> {
    let names = call.texts(1)?;
    dates(call, |time, row| {
        if names.is_null(row) {
            return Ok(None);
        }
        let wanted = weekday(names.value(row))
            .ok_or_else(|| exec_datafusion_err!("next_day knows no weekday `{}`", names.value(row)))?;
        let next = calendar(time).and_then(|time| {
            let ahead = (wanted.num_days_from_monday() + 6 - time.weekday().num_days_from_monday()) % 7 + 1;
            days(time.date().checked_add_days(Days::new(u64::from(ahead)))?)
        });
        next.map(Some).ok_or_else(|| out_of_range(call.name))
    })
}

fn weekday(name: &str) -> Option<Weekday> {
    Some(match name.trim().to_ascii_lowercase().as_str() {
        "m" | "mo" | "mon" | "monday" => Weekday::Mon,
        "tu" | "tue" | "tues" | "tuesday" => Weekday::Tue,
        "w" | "we" | "wed" | "wednesday" => Weekday::Wed,
        "th" | "thu" | "thurs" | "thursday" => Weekday::Thu,
        "f" | "fr" | "fri" | "friday" => Weekday::Fri,
        "sa" | "sat" | "saturday" => Weekday::Sat,
        "su" | "sun" | "sunday" => Weekday::Sun,
        _ => return None,
    })
}

/// Whole months where both are the same day of their months, or both the last; else with a
/// fraction in months of 31 days.
fn months_between(call: &Call<'_>) -> Result<ArrayRef> {
    let (later, earlier) = (call.times(0)?, call.times(1)?);
    let between = |later: i64, earlier: i64| {
        let (a, b) = (calendar(later)?, calendar(earlier)?);
        let months = f64::from((a.year() - b.year()) * 12) + f64::from(a.month()) - f64::from(b.month());
        let last = |time: chrono::NaiveDateTime| last_of_month(time.date()).map(|last| last == time.date());
        if a.day() == b.day() || (last(a)? && last(b)?) {
            return Some(months);
        }
        let in_month =
            |micros: i64, day: u32| f64::from(day) * MICROS_A_DAY as f64 + micros.rem_euclid(MICROS_A_DAY) as f64;
        Some(months + (in_month(later, a.day()) - in_month(earlier, b.day())) / (31.0 * MICROS_A_DAY as f64))
    };
    let rows = std::iter::zip(&later, &earlier).map(|pair| match pair {
        (Some(later), Some(earlier)) => between(later, earlier).map(Some).ok_or_else(|| out_of_range(call.name)),
        _ => Ok(None),
    });
    Ok(Arc::new(rows.collect::<Result<Float64Array>>()?))
}
