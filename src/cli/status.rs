//! `smelt status`, `smelt hold`, `smelt release`.

use clap::Args;
use serde::Serialize;

use super::{
    context::{Global, Opened, grouped, table},
    run::gate_freshness,
};
use crate::{
    bronze::Hold,
    error::Result,
    lake::{EntityTotals, SnapshotId},
    run::{Staleness, judge_freshness},
};

/// Say how the warehouse stands: the newest snapshot, what is pending, held, late and stale.
///
/// Exit code 3 when a source is stale.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt status
  smelt status --json")]
pub(super) struct StatusArgs {}

/// Treat landed batches or files as not yet arrived.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt hold 17
  smelt hold extracts/2026-01-05/orders.jsonl")]
pub(super) struct HoldArgs {
    /// A batch's number, a file's path in its batch, or its SHA-256.
    pub(super) what: String,
}

/// Let held batches or files in again.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt release 17")]
pub(super) struct ReleaseArgs {
    /// A batch's number, a file's path in its batch, or its SHA-256.
    pub(super) what: String,
}

#[derive(Debug, Serialize)]
struct Status {
    lake: String,
    snapshot: Option<SnapshotId>,
    published_at: Option<chrono::DateTime<chrono::Utc>>,
    pending_batches: usize,
    pending_records: u64,
    work: bool,
    held: Vec<Hold>,
    entities: Vec<EntityStatus>,
    stale: Vec<Staleness>,
}

#[derive(Debug, Serialize)]
struct EntityStatus {
    entity: String,
    owner: String,
    totals: EntityTotals,
    last_landing: Option<chrono::DateTime<chrono::Utc>>,
}

pub(super) async fn status(global: &Global) -> Result<()> {
    let opened = Opened::open(global)?;
    let (facts, plan) = opened.workshop().plan(false).await?;
    let snapshot = facts.snapshot.as_ref();
    let receipts = opened.lake.last_receipts().await?;
    let covered = snapshot.map(|snapshot| &snapshot.coverage);
    let pending: Vec<_> = facts
        .manifests
        .iter()
        .filter(|manifest| {
            manifest
                .files()
                .any(|(file, _)| !covered.is_some_and(|c| c.covers(file)) && !plan.coverage.without.contains(&file))
        })
        .collect();
    let status = Status {
        lake: opened.lake.shown().to_owned(),
        snapshot: snapshot.map(|snapshot| snapshot.id),
        published_at: snapshot.map(|snapshot| snapshot.published_at),
        pending_batches: pending.len(),
        pending_records: pending.iter().flat_map(|manifest| &manifest.files).map(|file| file.records).sum(),
        work: !plan.is_empty(),
        held: facts.holds.clone(),
        entities: opened
            .project
            .contracts
            .values()
            .map(|contract| EntityStatus {
                entity: contract.entity.to_string(),
                owner: contract.owner.clone(),
                totals: snapshot
                    .and_then(|snapshot| snapshot.entities.get(contract.entity.as_str()))
                    .cloned()
                    .unwrap_or_default(),
                last_landing: receipts.get(contract.entity.as_str()).copied(),
            })
            .collect(),
        stale: judge_freshness(&opened.project.contracts, &receipts, opened.lake.clock().now()),
    };
    if global.json {
        global.answer_json(&status)?;
    } else {
        global.answer(tell(&status));
    }
    gate_freshness(&status.stale)
}

fn tell(status: &Status) -> String {
    let mut text = format!("lake {}\n", status.lake);
    match (status.snapshot, status.published_at) {
        (Some(snapshot), Some(at)) => {
            text.push_str(&format!("snapshot {snapshot}, published {} UTC\n", at.format("%Y-%m-%d %H:%M:%S")));
        }
        _ => text.push_str("nothing is published yet\n"),
    }
    text.push_str(&match (status.pending_batches, status.work) {
        (0, false) => "nothing is pending\n".to_owned(),
        (0, true) => "definitions or holds changed: `smelt plan` says what the next run does\n".to_owned(),
        (batches, _) => format!("{batches} batch(es) with {} records are pending\n", grouped(status.pending_records)),
    });
    for hold in &status.held {
        let file = hold.file.map_or(String::new(), |file| format!(", file {}", file + 1));
        text.push_str(&format!(
            "held: batch {}{file}, since {}\n",
            hold.batch,
            hold.held_at.format("%Y-%m-%d %H:%M:%S")
        ));
    }
    let rows: Vec<Vec<String>> = status
        .entities
        .iter()
        .map(|entity| {
            let totals = &entity.totals;
            let mut row = vec![entity.entity.clone(), entity.owner.clone()];
            row.extend(
                [totals.raw, totals.current, totals.superseded, totals.tombstones, totals.quarantined, totals.late]
                    .map(grouped),
            );
            row.push(entity.last_landing.map_or_else(|| "never".into(), |at| at.format("%Y-%m-%d %H:%M").to_string()));
            row
        })
        .collect();
    text.push('\n');
    text.push_str(&table(
        &["entity", "owner", "raw", "current", "superseded", "tombstones", "quarantined", "late", "last landing"],
        &rows,
    ));
    for stale in &status.stale {
        text.push_str(&format!(
            "stale: {} (owner: {}), allowed age {} h\n",
            stale.entity,
            stale.owner,
            stale.allowed.num_hours()
        ));
    }
    text
}

pub(super) async fn hold(args: HoldArgs, global: &Global) -> Result<()> {
    let project = global.load()?;
    let lake = global.lake(&project)?;
    let holds = lake.hold(&args.what).await?;
    if global.json {
        return global.answer_json(&holds);
    }
    for hold in holds {
        let what = hold.file.map_or_else(|| "all files".to_owned(), |file| format!("file {}", file + 1));
        global.answer(format!("held batch {}, {what}: the next run leaves it out", hold.batch));
    }
    Ok(())
}

pub(super) async fn release(args: ReleaseArgs, global: &Global) -> Result<()> {
    let project = global.load()?;
    let lake = global.lake(&project)?;
    let released = lake.release(&args.what).await?;
    if global.json {
        return global.answer_json(&released);
    }
    global.answer(format!("lifted {} hold(s): the next run takes it in", released.0));
    Ok(())
}
