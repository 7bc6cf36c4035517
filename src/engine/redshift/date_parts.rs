//! The parts of dates that Redshift's functions share, on microseconds since 1970 (UTC).

use chrono::{DateTime, Datelike, Days, Months, NaiveDate, NaiveDateTime, Timelike};

pub(super) const MICROS_A_DAY: i64 = 86_400_000_000;
const MICROS_AN_HOUR: i64 = 3_600_000_000;
const MICROS_A_MINUTE: i64 = 60_000_000;
const MICROS_A_SECOND: i64 = 1_000_000;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DatePart {
    Millennium,
    Century,
    Decade,
    Year,
    Quarter,
    Month,
    /// Starts on Monday; its number is ISO's.
    Week,
    Day,
    Hour,
    Minute,
    Second,
    Millisecond,
    Microsecond,
    /// 0 is Sunday.
    DayOfWeek,
    DayOfYear,
    Epoch,
}

impl DatePart {
    /// Redshift's names and abbreviations, in any case.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        Some(match text.trim().to_ascii_lowercase().as_str() {
            "millennium" | "millennia" | "mil" | "mils" => Self::Millennium,
            "century" | "centuries" | "c" | "cent" | "cents" => Self::Century,
            "decade" | "decades" | "dec" | "decs" => Self::Decade,
            "year" | "years" | "y" | "yr" | "yrs" => Self::Year,
            "quarter" | "quarters" | "qtr" | "qtrs" => Self::Quarter,
            "month" | "months" | "mon" | "mons" => Self::Month,
            "week" | "weeks" | "w" => Self::Week,
            "day" | "days" | "d" => Self::Day,
            "hour" | "hours" | "h" | "hr" | "hrs" => Self::Hour,
            "minute" | "minutes" | "m" | "min" | "mins" => Self::Minute,
            "second" | "seconds" | "s" | "sec" | "secs" => Self::Second,
            "millisecond" | "milliseconds" | "ms" | "msec" | "msecs" | "msecond" | "mseconds" | "millisec"
            | "millisecs" | "millisecon" => Self::Millisecond,
            "microsecond" | "microseconds" | "us" | "usec" | "usecs" | "usecond" | "useconds" | "microsec"
            | "microsecs" => Self::Microsecond,
            "dayofweek" | "dow" | "dw" | "weekday" => Self::DayOfWeek,
            "dayofyear" | "doy" | "dy" | "yearday" => Self::DayOfYear,
            "epoch" => Self::Epoch,
            _ => return None,
        })
    }

    /// The name under which DataFusion's own `date_part` gives the same number, where it does.
    pub(super) fn native(self) -> Option<&'static str> {
        Some(match self {
            Self::Year => "year",
            Self::Quarter => "quarter",
            Self::Month => "month",
            Self::Week => "week",
            Self::Day => "day",
            Self::Hour => "hour",
            Self::Minute => "minute",
            Self::Second => "second",
            Self::DayOfWeek => "dow",
            Self::DayOfYear => "doy",
            _ => return None,
        })
    }

    /// Whether time can be counted in it.
    pub(super) fn is_span(self) -> bool {
        !matches!(self, Self::DayOfWeek | Self::DayOfYear | Self::Epoch)
    }

    /// How many of its boundaries lie between a fixed moment and `micros`: the difference of two
    /// is what DATEDIFF counts.
    pub(super) fn boundaries(self, micros: i64) -> Option<i64> {
        let year = || calendar(micros).map(|time| i64::from(time.year()));
        Some(match self {
            Self::Microsecond => micros,
            Self::Millisecond => micros.div_euclid(1_000),
            Self::Second => micros.div_euclid(MICROS_A_SECOND),
            Self::Minute => micros.div_euclid(MICROS_A_MINUTE),
            Self::Hour => micros.div_euclid(MICROS_AN_HOUR),
            Self::Day => micros.div_euclid(MICROS_A_DAY),
            // 1970-01-01 was a Thursday.
            Self::Week => (micros.div_euclid(MICROS_A_DAY) + 3).div_euclid(7),
            Self::Month => {
                let time = calendar(micros)?;
                i64::from(time.year()) * 12 + i64::from(time.month0())
            }
            Self::Quarter => Self::Month.boundaries(micros)?.div_euclid(3),
            Self::Year => year()?,
            Self::Decade => year()?.div_euclid(10),
            Self::Century => (year()? - 1).div_euclid(100),
            Self::Millennium => (year()? - 1).div_euclid(1000),
            Self::DayOfWeek | Self::DayOfYear | Self::Epoch => return None,
        })
    }

    /// The start of the part that `micros` falls in.
    pub(super) fn truncate(self, micros: i64) -> Option<i64> {
        let down = |unit: i64| Some(micros.div_euclid(unit) * unit);
        let month = |year: i64, month: i64| {
            NaiveDate::from_ymd_opt(i32::try_from(year).ok()?, u32::try_from(month).ok()?, 1)
                .map(|date| from_calendar(date.and_time(chrono::NaiveTime::MIN)))
        };
        match self {
            Self::Microsecond => Some(micros),
            Self::Millisecond => down(1_000),
            Self::Second => down(MICROS_A_SECOND),
            Self::Minute => down(MICROS_A_MINUTE),
            Self::Hour => down(MICROS_AN_HOUR),
            Self::Day => down(MICROS_A_DAY),
            Self::Week => Some((self.boundaries(micros)? * 7 - 3) * MICROS_A_DAY),
            Self::Month | Self::Quarter => {
                let months = self.boundaries(micros)? * if self == Self::Quarter { 3 } else { 1 };
                month(months.div_euclid(12), months.rem_euclid(12) + 1)
            }
            Self::Year => month(self.boundaries(micros)?, 1),
            Self::Decade => month(self.boundaries(micros)? * 10, 1),
            Self::Century => month(self.boundaries(micros)? * 100 + 1, 1),
            Self::Millennium => month(self.boundaries(micros)? * 1000 + 1, 1),
            Self::DayOfWeek | Self::DayOfYear | Self::Epoch => None,
        }
    }

    /// `micros` moved by `count` parts; a day that the new month lacks becomes its last.
    pub(super) fn add(self, micros: i64, count: i64) -> Option<i64> {
        let unit = |unit: i64| micros.checked_add(count.checked_mul(unit)?);
        let months = |months: i64| add_months(micros, count.checked_mul(months)?);
        match self {
            Self::Microsecond => unit(1),
            Self::Millisecond => unit(1_000),
            Self::Second => unit(MICROS_A_SECOND),
            Self::Minute => unit(MICROS_A_MINUTE),
            Self::Hour => unit(MICROS_AN_HOUR),
            Self::Day => unit(MICROS_A_DAY),
            Self::Week => unit(7 * MICROS_A_DAY),
            Self::Month => months(1),
            Self::Quarter => months(3),
            Self::Year => months(12),
            Self::Decade => months(120),
            Self::Century => months(1_200),
            Self::Millennium => months(12_000),
            Self::DayOfWeek | Self::DayOfYear | Self::Epoch => None,
        }
    }

    /// The part's number alone, without the parts above and below it.
    pub(super) fn extract(self, micros: i64) -> Option<i64> {
        let time = calendar(micros)?;
        let year = i64::from(time.year());
        Some(match self {
            Self::Millennium => (year - 1).div_euclid(1000) + 1,
            Self::Century => (year - 1).div_euclid(100) + 1,
            Self::Decade => year.div_euclid(10),
            Self::Year => year,
            Self::Quarter => i64::from(time.month0() / 3 + 1),
            Self::Month => i64::from(time.month()),
            Self::Week => i64::from(time.iso_week().week()),
            Self::Day => i64::from(time.day()),
            Self::Hour => i64::from(time.hour()),
            Self::Minute => i64::from(time.minute()),
            Self::Second => i64::from(time.second()),
            Self::Millisecond => micros.div_euclid(1_000).rem_euclid(1_000),
            Self::Microsecond => micros.rem_euclid(1_000),
            Self::DayOfWeek => i64::from(time.weekday().num_days_from_sunday()),
            Self::DayOfYear => i64::from(time.ordinal()),
            Self::Epoch => micros.div_euclid(MICROS_A_SECOND),
        })
    }
}

/// `micros` moved by whole months; a day that the new month lacks becomes its last.
pub(super) fn add_months(micros: i64, months: i64) -> Option<i64> {
    let time = calendar(micros)?;
    let step = Months::new(u32::try_from(months.unsigned_abs()).ok()?);
    let moved = if months < 0 { time.checked_sub_months(step) } else { time.checked_add_months(step) };
    moved.map(from_calendar)
}

pub(super) fn last_of_month(date: NaiveDate) -> Option<NaiveDate> {
    date.with_day(1)?.checked_add_months(Months::new(1))?.checked_sub_days(Days::new(1))
}

/// `None` outside the years that the calendar knows (about ±262,000).
pub(super) fn calendar(micros: i64) -> Option<NaiveDateTime> {
    DateTime::from_timestamp_micros(micros).map(|time| time.naive_utc())
}

pub(super) fn from_calendar(time: NaiveDateTime) -> i64 {
    time.and_utc().timestamp_micros()
}

/// Days since 1970-01-01, the way Arrow keeps dates.
pub(super) fn days(date: NaiveDate) -> Option<i32> {
    i32::try_from(from_calendar(date.and_time(chrono::NaiveTime::MIN)).div_euclid(MICROS_A_DAY)).ok()
}
