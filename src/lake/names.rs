//! Newtypes, so that a batch is never taken for a snapshot.

use std::{collections::BTreeSet, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::error::{self, Error, nearest};

/// A published snapshot's number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SnapshotId(pub u64);

impl SnapshotId {
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// A landed batch's sequence number, from 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Default)]
#[serde(transparent)]
pub struct BatchId(pub u64);

/// One run's name: its lease's fencing number and a random part, so it sorts by time and is unique.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(pub String);

/// The zones that hold tables.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Zone {
    Staging,
    Gold,
}

impl Zone {
    /// The schema's name in SQL.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Staging => "staging",
            Self::Gold => "gold",
        }
    }
}

/// A table of the warehouse; written `gold.fact_orders`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TableName {
    pub zone: Zone,
    pub name: String,
}

impl TableName {
    pub fn staging(name: impl Into<String>) -> Self {
        Self { zone: Zone::Staging, name: name.into() }
    }
    /// The one of these that people mean; those of gold need no prefix, and others only where gold has one of the
    /// name.
    ///
    /// # Errors
    /// `Input` when it is none of them, with a near name.
    pub fn meant(text: &str, known: &BTreeSet<Self>) -> error::Result<Self> {
        let spelt = [text.parse().ok(), Some(Self::gold(text)), Some(Self::staging(text))];
        if let Some(table) = spelt.into_iter().flatten().find(|table| known.contains(table)) {
            return Ok(table);
        }
        let error = Error::input(format!("there is no table `{text}`"));
        let full: Vec<String> = known.iter().map(ToString::to_string).collect();
        let bare = known.iter().map(|table| table.name.as_str());
        Err(match nearest(text, full.iter().map(String::as_str).chain(bare)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error.hint("`smelt tables` lists them"),
        })
    }

    pub fn gold(name: impl Into<String>) -> Self {
        Self { zone: Zone::Gold, name: name.into() }
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for BatchId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.zone.as_str(), self.name)
    }
}

impl FromStr for TableName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('.') {
            Some(("staging", name)) => Ok(Self::staging(name)),
            Some(("gold", name)) => Ok(Self::gold(name)),
            _ => Err(format!("`{text}` is not a table's full name, such as `gold.fact_orders`")),
        }
    }
}

impl Serialize for TableName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for TableName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
