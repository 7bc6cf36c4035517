//! The gate before publishing: row accounting, the contracts' rules, and the models' tests, all on
//! the candidate.

use std::{collections::BTreeSet, time::Instant};

use datafusion::{
    common::{DataFusionError, TableReference},
    logical_expr::{LogicalPlan, LogicalPlanBuilder, lit},
    prelude::SessionContext,
};
use serde::{Deserialize, Serialize};

use super::{
    EntityReport, Workshop,
    execute::table_of,
    following::{Failure, has_rows, in_a_task, not_worked_out},
    kept::SaidByModels,
};
use crate::{
    engine::{self, Purpose},
    error::{Error, Result},
    lake::{Candidate, EntityTotals, TableName},
    planner::{self, Strategy},
    project::Severity,
    quality::{self, Check},
};

/// What the audit found.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub struct Audited {
    /// Rules that were tested.
    pub checks: usize,
    /// Those that did not hold.
    pub failed: Vec<CheckResult>,
}

/// A rule that does not hold.
#[derive(Debug, Clone, Serialize, Deserialize)]
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

impl Workshop<'_> {
    /// The rules that held in the base: only such of them are tested in full as the change may break.
    /// Their positions: several may have one name.
    pub(super) fn held(candidate: &Candidate, rules: &[Check]) -> Vec<usize> {
        let base = candidate.base().filter(|base| base.definitions.checks == quality::fingerprint(rules));
        match base.and_then(|base| base.broken.as_ref()) {
            Some(broken) => (0..rules.len()).filter(|&place| !broken.contains(&rules[place].name)).collect(),
            None => Vec::new(),
        }
    }

    /// Whether a rule that held still does. If there is a failing row among those that the change affects,
    /// or they cannot be told, it may not.
    pub(super) async fn still_holds(&self, candidate: &Candidate, rule: &Check, said: &SaidByModels) -> Result<bool> {
        let started = Instant::now();
        let holds = match reach(candidate, rule) {
            Reach::Nothing => true,
            Reach::Whole => false,
            Reach::Rows => {
                self.keeps_itself(candidate, rule, said).await?
                    || self.failures_among_changes(candidate, rule, Wanted::Any).await? == Some(0)
            }
        };
        let seconds = started.elapsed().as_secs_f64();
        tracing::debug!(rule = rule.name, holds, seconds, "looked for new failures");
        Ok(holds)
    }

    /// Tests the rules in full on the candidate, but for those at positions that are known to hold.
    pub(super) async fn test(
        &self,
        context: &SessionContext,
        rules: &[Check],
        holding: &BTreeSet<usize>,
    ) -> Result<Audited> {
        let others = rules.iter().enumerate().filter(|(place, _)| !holding.contains(place)).map(|(_, rule)| rule);
        Ok(Audited { checks: rules.len(), failed: quality::audit(context, others).await? })
    }

    /// How many rows the candidate adds to those that break a rule; if some did before, perhaps more.
    /// None where that takes looking at all of them.
    pub(super) async fn new_failures(
        &self,
        candidate: &Candidate,
        rule: &Check,
        wanted: Wanted,
    ) -> Result<Option<u64>> {
        match reach(candidate, rule) {
            Reach::Nothing => Ok(Some(0)),
            Reach::Whole => Ok(None),
            Reach::Rows => self.failures_among_changes(candidate, rule, wanted).await,
        }
    }

    /// The same where rows of its tables went and came.
    async fn failures_among_changes(&self, candidate: &Candidate, rule: &Check, wanted: Wanted) -> Result<Option<u64>> {
        match self.failures_of_change(candidate, rule, wanted).await {
            Ok(rows) => Ok(Some(rows)),
            Err(Failure::Other(error)) => Err(error),
            Err(Failure::Memory(_)) => Ok(None),
            Err(Failure::Whole(reason)) => {
                tracing::debug!(rule = rule.name, reason, "all rows are to be looked at");
                Ok(None)
            }
        }
    }

    async fn failures_of_change(&self, candidate: &Candidate, rule: &Check, wanted: Wanted) -> Result<u64, Failure> {
        let failed = |e| not_worked_out(&e);
        let inputs: Vec<TableName> = rule.inputs.iter().map(table_of).collect();
        let context = &self.audit_session(candidate, inputs.iter().cloned()).await?;
        let plan = engine::plan(context, &rule.sql, Purpose::Model).await?;
        let tables = self.images(candidate, &inputs).await?;
        let rows = match wanted {
            Wanted::All => plan.clone(),
            Wanted::Any => any_of(plan.clone()).map_err(failed)?,
        };
        let new = planner::appearing(&rows, &|table| tables.changed(table), &tables).map_err(failed)?;
        let found = if let Some(new) = new {
            tables.suit(context, new.plans()).map_err(failed)?;
            self.key_sets(context, &new.key_sets, &tables, |_, _| Ok(())).await?;
            new.rows
        } else {
            // The plan that was given up may have begun key sets of the same numbers.
            let tables = self.images(candidate, &inputs).await?;
            let changed = |table: &TableReference| tables.changed(table);
            let plan = match planner::plan(&plan, &[], &changed, &tables).map_err(failed)? {
                Strategy::Incremental(plan) => plan,
                Strategy::Whole(whole) => return Err(Failure::Whole(whole.to_string())),
            };
            tables.suit(context, plan.plans()).map_err(failed)?;
            let affected = self.affected_keys(context, &plan, &tables, u64::MAX).await?;
            if affected.iter().all(|keys| keys.num_rows() == 0) {
                return Ok(0);
            }
            vec![plan.fresh]
        };
        let mut rows = 0;
        for found in found {
            let context = context.clone();
            let counted = in_a_task(async move { quality::count_rows(&context, found).await });
            rows += counted.await?.map_err(failed)?;
        }
        Ok(rows)
    }
}

/// What a change does to the tables that a rule reads.
enum Reach {
    Nothing,
    /// Rows of them went and came.
    Rows,
    /// One of them was made anew, or is gone.
    Whole,
}

fn reach(candidate: &Candidate, rule: &Check) -> Reach {
    let inputs = rule.inputs.iter().map(table_of);
    let changed: Vec<TableName> = inputs.filter(|input| candidate.changed(input)).collect();
    match changed.iter().all(|input| has_rows(candidate, input)) {
        _ if changed.is_empty() => Reach::Nothing,
        true => Reach::Rows,
        false => Reach::Whole,
    }
}

/// What is to be known of a rule's failing rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wanted {
    /// How many there are.
    All,
    /// Whether there is any.
    Any,
}

/// As many rows as a plan has, of which nothing else is told: so that it depends on few columns.
fn any_of(plan: LogicalPlan) -> Result<LogicalPlan, DataFusionError> {
    LogicalPlanBuilder::from(plan).project([lit(true).alias("fails")])?.build()
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
