//! `smelt run`, `smelt plan` and `smelt rebuild`.

use clap::Args;
use serde::Serialize;

use super::{
    context::{Global, Opened, Wait, grouped, size, table},
    interrupted,
};
use crate::{
    error::{Error, Result},
    project::Severity,
    run::{self, Estimate, Expectations, Expected, Followed, Plan, Progress, RunOptions, RunReport, Staleness},
    silver::Work,
};

/// Take everything new through silver and gold to a published snapshot.
///
/// New raw files, and changed contracts and models, are work. A rule of severity `error` that does
/// not hold keeps the last snapshot. Stale sources are reported and give exit code 3, after publishing.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt run
  smelt run --dry-run
  smelt run --wait 10m --json")]
pub(super) struct RunArgs {
    /// Only say what would be done, and why.
    #[arg(long)]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) wait: Wait,
}

/// Make every table anew from raw, into a new snapshot with the same rows.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt rebuild --wait 10m")]
pub(super) struct RebuildArgs {
    #[command(flatten)]
    pub(super) wait: Wait,
}

/// Say what the next run would do, and why (the same as `smelt run --dry-run`).
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt plan
  smelt plan --json")]
pub(super) struct PlanArgs {}

pub(super) async fn run(args: RunArgs, global: &Global) -> Result<()> {
    if args.dry_run {
        return plan(global).await;
    }
    publish(global, RunOptions { rebuild: false, lease: args.wait.lease() }).await
}

pub(super) async fn rebuild(args: RebuildArgs, global: &Global) -> Result<()> {
    publish(global, RunOptions { rebuild: true, lease: args.wait.lease() }).await
}

pub(super) async fn plan(global: &Global) -> Result<()> {
    let opened = Opened::open(global)?;
    let (_, plan) = opened.workshop().plan(false).await?;
    let expected = if plan.is_empty() {
        None
    } else {
        let rehearsal = opened.workshop().rehearse().await?;
        Some(opened.workshop().expected(&plan, &rehearsal).await?)
    };
    if global.json {
        return global.answer_json(&as_json(&plan, expected.as_ref()));
    }
    global.answer(expected.map_or_else(|| "nothing to do".into(), |expected| describe(&plan, &expected)));
    Ok(())
}

async fn publish(global: &Global, options: RunOptions) -> Result<()> {
    let opened = Opened::open(global)?;
    let report = execute(&opened, options, global).await?;
    if global.json {
        global.answer_json(&report)?;
    } else {
        global.answer(tell(&report));
    }
    gate_freshness(&report.stale)
}

/// Runs with progress on the terminal.
pub(super) async fn execute(opened: &Opened, options: RunOptions, global: &Global) -> Result<RunReport> {
    let spinner = global.spinner();
    let tell = |progress| spinner.set_message(shown(progress));
    let report = tokio::select! {
        report = run::run(opened.workshop(), options, &tell) => report,
        () = interrupted() => Err(Error::unavailable("stopped by Ctrl-C").hint("the last snapshot is untouched; run again when you like")),
    };
    spinner.finish_and_clear();
    report
}

/// What is being done, in a line.
pub(super) fn shown(progress: Progress) -> String {
    match progress {
        Progress::Entity { entity, files, records } => {
            format!("silver: {entity}, {files} file(s), {} records", grouped(records))
        }
        Progress::Model { model } => format!("gold: {model}"),
        Progress::Audit { rules } => format!("audit: {rules} rules"),
        Progress::Compare { table } => format!("comparing {table}"),
        Progress::Publish => "publishing".into(),
    }
}

/// Stale sources set the exit code; everything that could be published is.
pub(super) fn gate_freshness(stale: &[Staleness]) -> Result<()> {
    if stale.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = stale.iter().map(|one| one.entity.as_str()).collect();
    Err(Error::data(format!("stale: {}", names.join(", ")))
        .hint("their newest landing is older than their contracts allow: see `smelt status`, and tell their owners"))
}

/// The report for people.
pub(super) fn tell(report: &RunReport) -> String {
    let mut text = String::new();
    match report.snapshot {
        None => text.push_str(&format!("nothing new ({:.2} s)\n", report.seconds)),
        Some(snapshot) => {
            if !report.entities.is_empty() {
                let rows: Vec<Vec<String>> = report
                    .entities
                    .iter()
                    .map(|entity| {
                        let totals = &entity.totals;
                        let mut row = vec![entity.entity.clone(), entity.owner.clone()];
                        row.extend(
                            [
                                entity.records,
                                entity.late,
                                totals.current,
                                totals.superseded,
                                totals.tombstones,
                                totals.quarantined,
                            ]
                            .map(grouped),
                        );
                        row.push(entity.waiting.map_or(String::new(), grouped));
                        row.push(format!("{:.1}", entity.seconds));
                        row
                    })
                    .collect();
                text.push_str(&table(
                    &[
                        "silver",
                        "owner",
                        "records in",
                        "late",
                        "current",
                        "superseded",
                        "tombstones",
                        "quarantined",
                        "waiting for its order",
                        "seconds",
                    ],
                    &rows,
                ));
                text.push('\n');
            }
            if !report.models.is_empty() {
                let rows: Vec<Vec<String>> = report
                    .models
                    .iter()
                    .map(|model| {
                        vec![
                            model.model.clone(),
                            model.owner.clone(),
                            how(&model.followed),
                            grouped(model.rows),
                            size(model.bytes_written),
                            format!("{:.1}", model.seconds),
                        ]
                    })
                    .collect();
                text.push_str(&table(&["gold", "owner", "how", "rows", "written", "seconds"], &rows));
                text.push('\n');
            }
            for table in &report.dropped {
                text.push_str(&format!("dropped {table}\n"));
            }
            for entity in &report.entities {
                for (column, records) in &entity.drift {
                    text.push_str(&format!(
                        "drift: {} record(s) of {} have column `{column}`, which the contract does not name (owner: {})\n",
                        grouped(*records), entity.entity, entity.owner
                    ));
                }
                for (column, records) in &entity.missing {
                    text.push_str(&format!(
                        "drift: {} record(s) of {} come from files without column `{column}`, so it is NULL in them (owner: {})\n",
                        grouped(*records), entity.entity, entity.owner
                    ));
                }
            }
            for check in &report.audit.failed {
                let word = if check.severity == Severity::Error { "error" } else { "warning" };
                text.push_str(&format!(
                    "{word}: rule `{}` on {}: {} row(s) break it (owner: {})\n",
                    check.rule,
                    check.table,
                    grouped(check.rows),
                    check.owner
                ));
            }
            text.push_str(&format!(
                "published snapshot {snapshot}: {} rules held, {} read, {} written, {:.1} s\n",
                report.audit.checks - report.audit.failed.len(),
                size(report.bytes_read),
                size(report.bytes_written),
                report.seconds
            ));
        }
    }
    text
}

/// What a model's step came to, in a few words.
fn how(followed: &Followed) -> String {
    match followed {
        Followed::Unchanged => "unchanged".into(),
        Followed::Incremental { affected_keys, gone, came, .. } => {
            format!("{} keys: {} out, {} in", grouped(*affected_keys), grouped(*gone), grouped(*came))
        }
        Followed::Compared { gone, came, .. } => format!("all: {} out, {} in", grouped(*gone), grouped(*came)),
        Followed::Made => "all, anew".into(),
    }
}

fn describe(plan: &Plan, expected: &Expectations) -> String {
    let mut text = String::new();
    for entity in &plan.entities {
        let records: u64 = entity.files.iter().map(|file| file.landed.records).sum();
        let bytes: u64 = entity.files.iter().map(|file| file.landed.bytes).sum();
        let verb = if entity.work == Work::Replay { "replay" } else { "add" };
        text.push_str(&format!(
            "silver {}: {verb} {} file(s), {} records, {} ({})\n",
            entity.entity,
            entity.files.len(),
            grouped(records),
            size(bytes),
            entity.reason
        ));
    }
    for model in &plan.models {
        let how = match expected.models.get(&model.name) {
            Some(Expected::Incremental { estimate }) => {
                format!("follow ({}){}", model.reason, estimate.as_ref().map_or_else(String::new, estimated))
            }
            Some(Expected::Whole { why }) if *why != model.reason.to_string() => {
                format!("compute all rows ({}): {why}", model.reason)
            }
            _ => format!("compute all rows ({})", model.reason),
        };
        text.push_str(&format!("gold {}: {how}\n", model.name));
    }
    for table in &plan.dropped {
        text.push_str(&format!("drop {table}: its definition is gone\n"));
    }
    if plan.audit_only {
        text.push_str("audit all tables: the rules changed\n");
    }
    if let Some((bytes, by)) = expected.bytes_written {
        text.push_str(&format!("about {} to write in all, judged by the run of snapshot {by}\n", size(bytes)));
    }
    text
}

fn estimated(estimate: &Estimate) -> String {
    format!(
        ": about {} affected keys, {} rows to look up, {} to write, judged by the run of snapshot {}",
        grouped(estimate.affected_keys),
        grouped(estimate.rows_read),
        size(estimate.bytes_written),
        estimate.judged_by
    )
}

/// A model with work.
#[derive(Serialize)]
struct PlannedModel<'a> {
    model: &'a str,
    reason: String,
    #[serde(flatten)]
    expected: Option<&'a Expected>,
}

fn as_json(plan: &Plan, expected: Option<&Expectations>) -> serde_json::Value {
    serde_json::json!({
        "entities": plan.entities.iter().map(|entity| serde_json::json!({
            "entity": entity.entity,
            "replay": entity.work == Work::Replay,
            "files": entity.files.iter().map(|file| &file.landed.path).collect::<Vec<_>>(),
            "records": entity.files.iter().map(|file| file.landed.records).sum::<u64>(),
            "bytes": entity.files.iter().map(|file| file.landed.bytes).sum::<u64>(),
            "reason": entity.reason.to_string(),
        })).collect::<Vec<_>>(),
        "models": plan.models.iter().map(|model| PlannedModel {
            model: &model.name,
            reason: model.reason.to_string(),
            expected: expected.and_then(|expected| expected.models.get(&model.name)),
        }).collect::<Vec<_>>(),
        "bytes_written": expected.and_then(|expected| expected.bytes_written).map(|(bytes, _)| bytes),
        "dropped": plan.dropped.iter().map(ToString::to_string).collect::<Vec<_>>(),
        "audit_only": plan.audit_only,
    })
}
