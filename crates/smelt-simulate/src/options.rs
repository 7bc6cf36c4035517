//! What to simulate: how much, over which days, in which format, and how often each defect happens.

use chrono::{Datelike, NaiveDate};
use serde::{Deserialize, Serialize};

use crate::error::SimulateError;

/// Everything that decides what [`simulate`](crate::simulate) writes.
///
/// Two runs with equal options write the same bytes; only `threads` and `overwrite` make no
/// difference to them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Options {
    /// Any number; another seed gives another shop.
    pub seed: u64,
    /// Orders placed in the whole simulated time, at most ten billion. Customers are one for six
    /// orders, products at most four thousand, and an order makes about eleven records.
    pub orders: u64,
    /// The first simulated day, between 1980-01-01 and 2200-12-31 (UTC).
    pub start: NaiveDate,
    /// Days from `start` that come as one history load. 0 means no history.
    pub history_days: u32,
    /// Days after the history that come as one extract a day. 0 means history only.
    pub daily_days: u32,
    /// The format of all files.
    pub format: Format,
    /// The compression of all files; inside the file for Parquet.
    pub compression: Compression,
    /// What business keys look like.
    pub keys: KeyStyle,
    /// Changes of an average customer over the simulated time; a product changes five times as
    /// often. Between 0 and 100. Change is not a defect: it is what versions are made of.
    pub member_changes: f64,
    /// How often each defect happens.
    pub defects: Defects,
    /// Replace the `history` and `daily` folders of an output folder that already has content.
    pub overwrite: bool,
    /// Threads that generate and write; 0 means one for each core.
    pub threads: usize,
}

/// How often each defect happens, every rate between 0 (never) and 1 (always).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Defects {
    /// Share of records delivered minutes to months after their `updated_at`.
    pub late: f64,
    /// Share of records delivered twice, minutes or days apart.
    pub duplicates: f64,
    /// Chance, for each entity and daily extract, that a whole earlier file comes along again.
    pub redelivery: f64,
    /// Share of records with a rival: same key and `updated_at`, different content.
    pub ties: f64,
    /// Share of records that a warehouse must put into quarantine.
    pub broken: f64,
    /// Share of business keys that are deleted in the end, some to be revived by a newer record
    /// and some followed by a late older one.
    pub deletes: f64,
    /// Share of orders, customers and products that arrive days after the records that refer to
    /// them.
    pub held_back: f64,
    /// Share of orders, customers and products that never arrive although records refer to them.
    pub missing: f64,
    /// Share of values written in an unusual but valid way.
    pub messy: f64,
    /// Chance, for each entity, that an unknown column appears in its daily extracts some day.
    pub drift: f64,
}

/// The file format of the extracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Format {
    /// One JSON object a line, `.jsonl`.
    JsonLines,
    /// Comma-separated with a header, `.csv`.
    Csv,
    /// Apache Parquet, `.parquet`; only defects of values can exist in it.
    Parquet,
}

/// The compression of the extracts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Compression {
    /// As is.
    None,
    /// `.gz`, or the gzip codec inside Parquet.
    Gzip,
    /// `.zst`, or the zstd codec inside Parquet.
    Zstd,
}

/// What business keys look like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyStyle {
    /// Numbered in the order of creation, like `ORD-000000123`.
    Ordered,
    /// Version 4 UUIDs, made from the seed: new keys fall anywhere among the old ones.
    Uuid,
}

impl Default for Options {
    /// A hundred thousand orders over a year and a week, as uncompressed JSON Lines, with the
    /// defects of an ordinary shop.
    fn default() -> Self {
        Self {
            seed: 1,
            orders: 100_000,
            start: NaiveDate::from_ymd_opt(2025, 1, 1).unwrap_or_default(),
            history_days: 365,
            daily_days: 7,
            format: Format::JsonLines,
            compression: Compression::None,
            keys: KeyStyle::Ordered,
            member_changes: 0.6,
            defects: Defects::default(),
            overwrite: false,
            threads: 0,
        }
    }
}

impl Options {
    /// The default, with every defect far more often than any shop has it.
    pub fn nastiest() -> Self {
        Self { member_changes: 1.5, defects: Defects::nastiest(), ..Self::default() }
    }

    /// The default without any defect.
    pub fn clean() -> Self {
        Self { defects: Defects::none(), ..Self::default() }
    }

    /// All simulated days, history and daily.
    pub(crate) fn days(&self) -> u32 {
        self.history_days + self.daily_days
    }

    pub(crate) fn check(&self) -> Result<(), SimulateError> {
        let refuse =
            |option: &'static str, reason: &str| Err(SimulateError::Option { option, reason: reason.to_owned() });
        if self.orders > 10_000_000_000 {
            return refuse("orders", "must be at most 10,000,000,000");
        }
        if !(1980..=2200).contains(&self.start.year()) {
            return refuse("start", "must be between 1980-01-01 and 2200-12-31");
        }
        let days = u64::from(self.history_days) + u64::from(self.daily_days);
        if days == 0 {
            return refuse("daily_days", "or history_days must be at least 1");
        }
        if days > 20_000 {
            return refuse("history_days", "plus daily_days must be at most 20,000");
        }
        if !(0.0..=100.0).contains(&self.member_changes) {
            return refuse("member_changes", "must be between 0 and 100");
        }
        for (option, rate) in self.defects.rates() {
            if !(0.0..=1.0).contains(&rate) {
                return refuse(option, "must be between 0 and 1");
            }
        }
        Ok(())
    }
}

impl Default for Defects {
    fn default() -> Self {
        Self {
            late: 0.02,
            duplicates: 0.01,
            redelivery: 0.02,
            ties: 0.002,
            broken: 0.005,
            deletes: 0.003,
            held_back: 0.005,
            missing: 0.001,
            messy: 0.02,
            drift: 0.5,
        }
    }
}

impl Defects {
    /// Rates far above those of any shop, so that a few thousand orders meet every defect.
    pub fn nastiest() -> Self {
        Self {
            late: 0.25,
            duplicates: 0.15,
            redelivery: 0.4,
            ties: 0.08,
            broken: 0.08,
            deletes: 0.08,
            held_back: 0.1,
            missing: 0.03,
            messy: 0.4,
            drift: 1.0,
        }
    }

    /// No defect at all.
    pub fn none() -> Self {
        Self {
            late: 0.0,
            duplicates: 0.0,
            redelivery: 0.0,
            ties: 0.0,
            broken: 0.0,
            deletes: 0.0,
            held_back: 0.0,
            missing: 0.0,
            messy: 0.0,
            drift: 0.0,
        }
    }

    fn rates(&self) -> [(&'static str, f64); 10] {
        [
            ("defects.late", self.late),
            ("defects.duplicates", self.duplicates),
            ("defects.redelivery", self.redelivery),
            ("defects.ties", self.ties),
            ("defects.broken", self.broken),
            ("defects.deletes", self.deletes),
            ("defects.held_back", self.held_back),
            ("defects.missing", self.missing),
            ("defects.messy", self.messy),
            ("defects.drift", self.drift),
        ]
    }
}
