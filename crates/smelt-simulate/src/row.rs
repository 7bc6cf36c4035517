//! A record as a file carries it: cells that hold what the source system wrote.

use std::borrow::Cow;

use crate::calendar::Micros;
use crate::dice::Dice;
use crate::entity::{Column, Entity};
use crate::options::Format;
use crate::summary::BrokenKind;

/// What a file says about one value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Cell {
    /// Not even its name; an empty value where the format has a place for each column.
    Absent,
    Null,
    Text(Cow<'static, str>),
    /// A number by its digits; text where the format has no numbers.
    Number(String),
    Flag(bool),
    /// A moment in a column that has timestamps as its type.
    Time(Micros),
}

/// A record on its way into a file.
#[derive(Debug)]
pub(crate) struct Row {
    /// One for each column of the [`Layout`].
    pub(crate) cells: Vec<Cell>,
    /// Why the record belongs into quarantine. Where a value is at fault it is so already, where
    /// the record is, the encoder has to see to it.
    pub(crate) broken: Option<BrokenKind>,
    /// For what is left to chance when the record is encoded.
    pub(crate) dice: Dice,
}

/// How a file keeps its time columns.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Times {
    Text,
    /// Timestamps without a zone.
    Naive,
    /// Timestamps in UTC.
    Utc,
}

/// Which columns a file has and what they can hold.
#[derive(Debug, Clone)]
pub(crate) struct Layout {
    pub(crate) entity: Entity,
    pub(crate) format: Format,
    pub(crate) times: Times,
    /// Whether there is an `_op` column.
    pub(crate) operations: bool,
    /// Whether there is a column that nobody knows.
    pub(crate) drifted: bool,
    /// How often values are written in an unusual way.
    pub(crate) messy: f64,
}

impl Layout {
    /// The columns that the entity is known to have.
    pub(crate) fn known(&self) -> &'static [Column] {
        self.entity.columns()
    }

    /// The names of all columns.
    pub(crate) fn names(&self) -> Vec<&'static str> {
        let known = self.known().iter().map(|column| column.name);
        known.chain(self.operations.then_some("_op")).chain(self.drifted.then(|| self.entity.drift_column())).collect()
    }
}

impl Cell {
    /// The value as text; none for no value.
    pub(crate) fn text(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Absent | Self::Null => None,
            Self::Text(text) => Some(Cow::Borrowed(text)),
            Self::Number(digits) => Some(Cow::Borrowed(digits)),
            Self::Flag(flag) => Some(Cow::Borrowed(if *flag { "true" } else { "false" })),
            Self::Time(time) => Some(Cow::Owned(crate::timestamps::usual(*time))),
        }
    }
}
