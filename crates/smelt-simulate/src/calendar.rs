//! Simulated time: which orders are placed on which day, and which extract carries which moment.
//!
//! Orders are numbered in the order in which they are placed, so that the orders of some days are
//! a range of numbers, and the only state is one number a day.

use std::ops::Range;

use chrono::{Datelike, Days, NaiveDate, NaiveTime, Weekday};

use crate::dice::{Purpose, Seed};
use crate::options::Options;

/// Microseconds since 1970, UTC.
pub(crate) type Micros = i64;

pub(crate) const SECOND: Micros = 1_000_000;
pub(crate) const MINUTE: Micros = 60 * SECOND;
pub(crate) const HOUR: Micros = 60 * MINUTE;
pub(crate) const DAY: Micros = 24 * HOUR;

/// Extract 0 is the history load, extract n the n-th daily one.
pub(crate) const HISTORY: u32 = 0;

/// How much is sold in each month and on each weekday (from Monday), and how a day's orders are
/// spread over its hours.
const MONTHS: [f64; 12] = [0.88, 0.82, 0.92, 0.94, 1.0, 0.97, 0.9, 0.93, 1.0, 1.04, 1.35, 1.42];
const WEEKDAYS: [f64; 7] = [1.06, 1.0, 0.97, 0.96, 0.94, 0.98, 1.12];
const HOURS: [f64; 24] = [
    1.6, 0.9, 0.6, 0.5, 0.5, 0.8, 1.5, 2.6, 3.8, 4.8, 5.4, 5.7, 6.0, 5.6, 5.3, 5.2, 5.3, 5.6, 6.2, 6.9, 7.4, 7.2, 5.6,
    3.4,
];

#[derive(Debug)]
pub(crate) struct Calendar {
    first_date: NaiveDate,
    start: Micros,
    history_days: u32,
    /// For each day, and once more at the end, how many orders were placed before it.
    orders_before: Vec<u64>,
}

impl Calendar {
    pub(crate) fn new(options: &Options, seed: Seed) -> Self {
        let days = options.days();
        let mut total = 0.0;
        let sold_by: Vec<f64> = (0..days)
            .map(|day| {
                total += intensity(options.start, day, days, seed);
                total
            })
            .collect();
        let orders_before = std::iter::once(0)
            .chain(sold_by.iter().map(|sold| {
                let share = sold / total;
                ((options.orders as f64 * share) as u64).min(options.orders)
            }))
            .collect::<Vec<_>>();
        let mut calendar = Self {
            first_date: options.start,
            start: options.start.and_time(NaiveTime::MIN).and_utc().timestamp_micros(),
            history_days: options.history_days,
            orders_before,
        };
        if let Some(last) = calendar.orders_before.last_mut() {
            *last = options.orders;
        }
        calendar
    }

    /// The first simulated moment.
    pub(crate) fn start(&self) -> Micros {
        self.start
    }

    /// The moment after the last simulated one.
    pub(crate) fn end(&self) -> Micros {
        self.start + self.days() as i64 * DAY
    }

    /// When the first daily extract begins.
    pub(crate) fn first_daily(&self) -> Micros {
        self.start + i64::from(self.history_days) * DAY
    }

    fn days(&self) -> usize {
        self.orders_before.len() - 1
    }

    /// How many extracts there are, the history load (even if empty) included.
    pub(crate) fn extracts(&self) -> u32 {
        (self.days() as u32 - self.history_days) + 1
    }

    /// The day that a daily extract covers.
    pub(crate) fn date_of_extract(&self, extract: u32) -> NaiveDate {
        let day = u64::from(self.history_days) + u64::from(extract.max(1)) - 1;
        self.first_date.checked_add_days(Days::new(day)).unwrap_or(self.first_date)
    }

    /// The extract that carries what happens at `time`: what came before the simulated time is in
    /// the first one, what comes after it in none.
    pub(crate) fn extract_at(&self, time: Micros) -> Option<u32> {
        if time >= self.end() {
            return None;
        }
        if time < self.first_daily() {
            return Some(if self.history_days > 0 { HISTORY } else { 1 });
        }
        Some(((time - self.first_daily()) / DAY) as u32 + 1)
    }

    /// The orders that are placed in the time of these extracts' days, counted in days back from
    /// the extract: `days_back(3, 0..2)` are the orders of the third daily extract's day and of
    /// the day before it.
    pub(crate) fn days_back(&self, extract: u32, back: Range<i64>) -> Range<u64> {
        let day = i64::from(self.history_days) + i64::from(extract) - 1;
        let before = |day: i64| {
            let index = usize::try_from(day).unwrap_or(0).min(self.days());
            self.orders_before[index]
        };
        before(day - back.end + 1)..before(day - back.start + 1)
    }

    /// How many orders are placed before the first daily extract.
    pub(crate) fn orders_in_history(&self) -> u64 {
        self.orders_before[self.history_days as usize]
    }

    /// When an order is placed; `unit` (below 1) is its place among its neighbours.
    pub(crate) fn placed_at(&self, order: u64, unit: f64) -> Micros {
        let day = self.orders_before.partition_point(|&before| before <= order) - 1;
        let first = self.orders_before[day];
        let count = self.orders_before.get(day + 1).map_or(1, |end| end - first);
        let share = ((order - first) as f64 + unit) / count as f64;
        self.start + day as i64 * DAY + time_of_day(share)
    }
}

/// How busy a day is, compared with others.
fn intensity(first_date: NaiveDate, day: u32, days: u32, seed: Seed) -> f64 {
    let date = first_date.checked_add_days(Days::new(u64::from(day))).unwrap_or(first_date);
    let season = MONTHS[date.month0() as usize];
    let weekday = WEEKDAYS[date.weekday().num_days_from_monday() as usize];
    let growth = 1.0 + 0.3 * f64::from(day) / f64::from(days);
    let noise = 0.92 + 0.16 * seed.dice(Purpose::Day, u64::from(day), 0).unit();
    let sale = match (date.month(), date.day(), date.weekday()) {
        (11, 23..=29, Weekday::Fri) => 2.4,
        (11, 26..=30, Weekday::Mon) => 1.9,
        (12, 25, _) => 0.5,
        _ => 1.0,
    };
    season * weekday * growth * noise * sale
}

/// The moment of the day by which this share of the day's orders is placed.
fn time_of_day(share: f64) -> Micros {
    let total: f64 = HOURS.iter().sum();
    let mut left = share * total;
    for (hour, weight) in HOURS.iter().enumerate() {
        if left < *weight {
            return hour as i64 * HOUR + (left / weight * HOUR as f64) as i64;
        }
        left -= weight;
    }
    DAY - 1
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calendar(orders: u64, history_days: u32, daily_days: u32) -> Calendar {
        let options = Options { orders, history_days, daily_days, ..Options::default() };
        Calendar::new(&options, Seed(1))
    }

    #[test]
    fn orders_are_placed_in_the_order_of_their_numbers_and_on_the_days_that_count_them() {
        let calendar = calendar(5_000, 20, 10);
        let mut previous = calendar.start();
        for order in 0..5_000 {
            let placed = calendar.placed_at(order, 0.5);
            assert!(placed >= previous && placed < calendar.end());
            previous = placed;
            if let Some(extract) = calendar.extract_at(placed).filter(|&extract| extract > 0) {
                assert!(calendar.days_back(extract, 0..1).contains(&order));
            } else {
                assert!(order < calendar.orders_in_history());
            }
        }
        let all = calendar.days_back(10, 0..1_000);
        assert_eq!(all, 0..5_000);
    }

    #[test]
    fn every_moment_belongs_to_one_extract() {
        let calendar = calendar(10, 2, 3);
        assert_eq!(calendar.extracts(), 4);
        assert_eq!(calendar.extract_at(calendar.start() - DAY), Some(HISTORY));
        assert_eq!(calendar.extract_at(calendar.first_daily() - 1), Some(HISTORY));
        assert_eq!(calendar.extract_at(calendar.first_daily()), Some(1));
        assert_eq!(calendar.extract_at(calendar.end() - 1), Some(3));
        assert_eq!(calendar.extract_at(calendar.end()), None);
        assert_eq!(calendar.date_of_extract(1).to_string(), "2025-01-03");
    }

    #[test]
    fn without_history_the_first_day_carries_what_came_before() {
        let calendar = calendar(10, 0, 3);
        assert_eq!(calendar.extract_at(calendar.start() - DAY), Some(1));
    }
}
