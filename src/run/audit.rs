//! The gate before publishing: row accounting, the contracts' rules, and the models' tests, all on
//! the candidate.

use std::collections::BTreeSet;

use datafusion::{
    functions_aggregate::expr_fn::count,
    logical_expr::{Expr, LogicalPlanBuilder, lit},
    prelude::SessionContext,
};
use futures::{StreamExt as _, TryStreamExt as _};
use serde::Serialize;

use super::{
    EntityReport, Workshop,
    execute::table_of,
    following::{Failure, images, not_worked_out},
};
use crate::{
    engine::{self, Purpose},
    error::{Error, Result},
    lake::{Candidate, EntityTotals, TableName},
    planner::{self, Strategy},
    project::Severity,
    quality::{self, Check},
};

/// Rules that are looked at at once.
const AT_ONCE: usize = 2;

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

impl Workshop<'_> {
    /// Tests the rules on the candidate. Of those that held in the base, only such are tested in full
    /// as the change may break: a rule's failing rows follow like a model's.
    pub(super) async fn test(
        &self,
        context: &SessionContext,
        candidate: &Candidate,
        rules: &[Check],
    ) -> Result<Audited> {
        let held = candidate.base().filter(|base| base.definitions.checks == quality::fingerprint(rules));
        let broken: Option<&BTreeSet<String>> = held.and_then(|base| base.broken.as_ref());
        let suspects = futures::stream::iter(rules).map(async |rule| {
            let suspect = match broken {
                Some(broken) if !broken.contains(&rule.name) => self.may_break(context, candidate, rule).await?,
                _ => true,
            };
            Ok::<_, Error>(suspect.then_some(rule))
        });
        let suspects: Vec<Option<&Check>> = suspects.buffered(AT_ONCE).try_collect().await?;
        let failed = quality::audit(context, suspects.into_iter().flatten()).await?;
        Ok(Audited { checks: rules.len(), failed })
    }

    /// Whether the change may break a rule that held: there is a failing row among those that the
    /// change affects, or they cannot be told.
    async fn may_break(&self, context: &SessionContext, candidate: &Candidate, rule: &Check) -> Result<bool> {
        let inputs: Vec<TableName> = rule.inputs.iter().map(table_of).collect();
        let mut changed = inputs.iter().filter(|input| candidate.changed(input)).peekable();
        if changed.peek().is_none() {
            return Ok(false);
        }
        if changed.any(|input| images(candidate, input).is_none()) {
            return Ok(true);
        }
        match self.has_failing_rows(context, candidate, rule, &inputs).await {
            Ok(found) => Ok(found),
            Err(Failure::Other(error)) => Err(error),
            Err(Failure::Memory(_) | Failure::Whole(_)) => Ok(true),
        }
    }

    async fn has_failing_rows(
        &self,
        context: &SessionContext,
        candidate: &Candidate,
        rule: &Check,
        inputs: &[TableName],
    ) -> Result<bool, Failure> {
        let plan = engine::plan(context, &rule.sql, Purpose::Model).await?;
        let tables = self.images(candidate, inputs)?;
        let strategy = planner::plan(&plan, &[], &|table| tables.changed(table), &tables);
        let plan = match strategy.map_err(|e| not_worked_out(&e))? {
            Strategy::Incremental(plan) => plan,
            Strategy::Whole(whole) => return Err(Failure::Whole(whole.to_string())),
        };
        let affected = self.key_sets(context, &plan, &tables, u64::MAX).await?;
        if affected.iter().all(|keys| keys.num_rows() == 0) {
            return Ok(false);
        }
        let failed = |e| not_worked_out(&e);
        let counted = LogicalPlanBuilder::from(plan.fresh)
            .aggregate(Vec::<Expr>::new(), [count(lit(1_i64))])
            .and_then(LogicalPlanBuilder::build)
            .map_err(failed)?;
        let found = context.execute_logical_plan(counted).await.map_err(failed)?.collect().await.map_err(failed)?;
        Ok(quality::number(&found) > 0)
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
