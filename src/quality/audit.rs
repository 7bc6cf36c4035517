//! Runs checks on a session that sees the candidate's tables.

use std::time::Instant;

use arrow::{array::RecordBatch, util::pretty::pretty_format_batches};
use datafusion::{
    logical_expr::{LogicalPlan, LogicalPlanBuilder, lit},
    prelude::SessionContext,
};
use futures::{StreamExt, TryStreamExt};
use sha2::{Digest, Sha256};

use super::Check;
use crate::{
    engine::{self, Purpose, plan},
    engine_error,
    error::Result,
    project::{Severity, hex},
    run::CheckResult,
};

/// Failing rows that are shown.
const SAMPLE_ROWS: usize = 5;
/// Checks that run at once.
const AT_ONCE: usize = 2;

/// Runs checks; gives those that do not hold.
///
/// # Errors
/// `Input` for a check that is not SQL; `Unavailable` when the engine cannot finish one. A check
/// that finds rows is a result, not an error.
pub async fn audit(context: &SessionContext, checks: impl IntoIterator<Item = &Check>) -> Result<Vec<CheckResult>> {
    let failed: Vec<Option<CheckResult>> =
        futures::stream::iter(checks).map(|check| run(context, check)).buffered(AT_ONCE).try_collect().await?;
    Ok(failed.into_iter().flatten().collect())
}

/// How many rows a plan gives.
pub(crate) async fn count_rows(context: &SessionContext, rows: LogicalPlan) -> datafusion::error::Result<u64> {
    // Of which no column is asked.
    let rows = LogicalPlanBuilder::from(rows).project([lit(true).alias("row")])?.build()?;
    let rows = engine::run(context, rows).await?;
    rows.try_fold(0, |count, batch| async move { Ok(count + batch.num_rows() as u64) }).await
}

async fn run(context: &SessionContext, check: &Check) -> Result<Option<CheckResult>> {
    let started = Instant::now();
    let result = judge(context, check).await;
    tracing::debug!(check = check.name, seconds = started.elapsed().as_secs_f64(), "checked");
    result
}

async fn judge(context: &SessionContext, check: &Check) -> Result<Option<CheckResult>> {
    if let Some(quick) = &check.quick {
        let quick = LogicalPlanBuilder::from(plan(context, quick, Purpose::Model).await?)
            .limit(0, Some(1))
            .and_then(LogicalPlanBuilder::build)
            .map_err(engine_error)?;
        if collect(context, quick).await?.iter().all(|batch| batch.num_rows() == 0) {
            return Ok(None);
        }
    }
    let failing = plan(context, &check.sql, Purpose::Model).await?;
    let rows = count_rows(context, failing.clone()).await.map_err(engine_error)?;
    if rows == 0 {
        return Ok(None);
    }
    let sample = LogicalPlanBuilder::from(failing)
        .limit(0, Some(SAMPLE_ROWS))
        .and_then(LogicalPlanBuilder::build)
        .map_err(engine_error)?;
    let sample = collect(context, sample).await?;
    Ok(Some(CheckResult {
        rule: check.name.clone(),
        table: check.table.clone(),
        owner: check.owner.clone(),
        severity: check.severity,
        rows,
        sample: pretty_format_batches(&sample).map(|text| text.to_string()).unwrap_or_default(),
    }))
}

async fn collect(context: &SessionContext, plan: LogicalPlan) -> Result<Vec<RecordBatch>> {
    engine::run(context, plan).await.map_err(engine_error)?.try_collect().await.map_err(engine_error)
}

/// Changes when a rule, its severity or its query does.
pub fn fingerprint(checks: &[Check]) -> String {
    let mut hasher = Sha256::new();
    for check in checks {
        let severity = match check.severity {
            Severity::Warn => "warn",
            Severity::Error => "error",
        };
        hasher.update(format!("{}\n{severity}\n{}\n", check.name, check.sql.text()));
    }
    hex(&hasher.finalize())
}
