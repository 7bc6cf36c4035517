//! The gate before publishing: row accounting, the contracts' rules, and the models' tests, all on
//! the candidate.

use serde::Serialize;

use super::EntityReport;
use crate::{
    error::{Error, Result},
    lake::EntityTotals,
    project::Severity,
};

/// What the audit found.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Audited {
    /// Rules that were tested.
    pub checks: usize,
    /// Those that did not hold.
    pub failed: Vec<CheckResult>,
}

/// A rule that does not hold.
#[derive(Debug, Clone, Serialize)]
pub struct CheckResult {
    pub rule: String,
    pub table: String,
    pub owner: String,
    pub severity: Severity,
    /// Rows that break it.
    pub rows: u64,
    /// Some of them, as text.
    pub sample: String,
}

impl Audited {
    /// # Errors
    /// `Data`, when a rule of severity `error` does not hold.
    pub fn gate(&self, entities: &[EntityReport]) -> Result<()> {
        let rejected: Vec<String> = entities
            .iter()
            .filter(|entity| entity.quarantined > 0)
            .map(|entity| format!("{} of {} of `{}`", entity.quarantined, entity.records, entity.entity))
            .collect();
        let rejected = match rejected.as_slice() {
            [] => String::new(),
            some => format!("; records that this run would put into quarantine: {}", some.join(", ")),
        };
        let broken = self.failed.iter().filter(|check| check.severity == Severity::Error).map(|check| {
            Error::data(format!(
                "rule `{}` does not hold: {} row(s) of `{}` break it (owner: {})\n{}",
                check.rule, check.rows, check.table, check.owner, check.sample
            ))
            .hint(format!("nothing was published: mend the source or the rule, or keep a batch out with `smelt hold`, and run again{rejected}"))
        });
        Error::all(broken)
    }
}

/// Law 3: every covered record is current, superseded, a tombstone or in quarantine.
///
/// # Errors
/// `Bug`, with all terms, when an entity's do not add up.
pub(super) fn account(entity: &str, totals: &EntityTotals, current_rows: u64, quarantine_rows: u64) -> Result<()> {
    if totals.balanced() && totals.current == current_rows && totals.quarantined == quarantine_rows {
        return Ok(());
    }
    Err(Error::bug(format!(
        "the records of `{entity}` do not add up: {} raw, but {} current ({current_rows} rows in the table) + {} superseded + {} tombstones + {} quarantined ({quarantine_rows} rows in quarantine)",
        totals.raw, totals.current, totals.superseded, totals.tombstones, totals.quarantined
    ))
    .hint("nothing was published; please report this, with the batch that caused it"))
}
