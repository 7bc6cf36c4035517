//! CONVERT_TIMEZONE: the same moment on another clock.

use std::{str::FromStr, sync::Arc};

use chrono::{LocalResult, NaiveDateTime, Offset, TimeDelta, TimeZone};
use datafusion::{
    arrow::array::{ArrayRef, TimestampMicrosecondArray, timezone::Tz},
    common::{Result, exec_datafusion_err},
};

use super::{
    date_parts::{calendar, from_calendar},
    dates::out_of_range,
    scalar::{Argument, Call, Function, TIMESTAMP},
};

pub(super) fn functions() -> Vec<Function> {
    // The two-argument form, without the source zone, is made the three-argument one when SQL is
    // read, because the times stand last.
    use Argument::{Text, Time};
    vec![Function {
        name: "convert_timezone",
        arguments: &[Text, Text, Time],
        optional: 0,
        output: TIMESTAMP,
        body: convert_timezone,
    }]
}

fn convert_timezone(call: &Call<'_>) -> Result<ArrayRef> {
    let (Some(source), Some(target)) = (call.constant(0)?, call.constant(1)?) else {
        return Ok(call.nulls(&TIMESTAMP));
    };
    let (source, target) = (zone(source)?, zone(target)?);
    let convert = |micros: i64| {
        calendar(micros)
            .and_then(|local| to_utc(source, local))
            .and_then(|utc| utc.checked_add_offset(target.offset_from_utc_datetime(&utc).fix()))
            .map(from_calendar)
            .ok_or_else(|| out_of_range(call.name))
    };
    let times = call.times(2)?;
    let mut converted = TimestampMicrosecondArray::builder(times.len());
    for time in &times {
        converted.append_option(time.map(convert).transpose()?);
    }
    Ok(Arc::new(converted.finish()))
}

fn zone(name: &str) -> Result<Tz> {
    Tz::from_str(name).map_err(|_| {
        exec_datafusion_err!("convert_timezone knows no time zone `{name}`: use a name such as `Europe/Berlin`, or an offset such as `+02:00`")
    })
}

/// A local time that comes twice is the later moment, one that is skipped is read with the offset
/// before the change: both as PostgreSQL does.
fn to_utc(zone: Tz, local: NaiveDateTime) -> Option<NaiveDateTime> {
    let offset = match zone.offset_from_local_datetime(&local) {
        LocalResult::Single(offset) => offset.fix(),
        LocalResult::Ambiguous(first, second) => {
            let (first, second) = (first.fix(), second.fix());
            if first.local_minus_utc() < second.local_minus_utc() { first } else { second }
        }
        LocalResult::None => {
            let before = local.checked_sub_signed(TimeDelta::days(1))?;
            zone.offset_from_utc_datetime(&before).fix()
        }
    };
    local.checked_sub_offset(offset)
}
