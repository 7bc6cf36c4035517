//! `smelt snapshots`, `smelt tables`, `smelt rollback`, `smelt gc`.

use clap::Args;

use super::context::{Global, Wait, grouped, size, table};
use crate::{
    error::{Error, Result},
    lake::{Origin, Snapshot, SnapshotId},
    run,
};

/// List the published snapshots, or show one.
#[derive(Debug, Clone, Args)]
#[command(after_help = "With --json, one snapshot shows the exact Delta version of each table, for other tools.

Examples:
  smelt snapshots
  smelt snapshots 12 --json")]
pub(super) struct SnapshotsArgs {
    /// The snapshot to show.
    pub(super) snapshot: Option<u64>,
}

/// List the tables of the newest snapshot.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt tables
  smelt tables --snapshot 12 --json")]
pub(super) struct TablesArgs {
    /// Of this snapshot instead.
    #[arg(long = "snapshot", alias = "at", value_name = "N")]
    pub(super) at: Option<u64>,
}

/// Publish an earlier snapshot's contents as the next snapshot.
///
/// Batches that landed later are pending again: the next run takes them in, unless `--hold` holds them.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt rollback 11
  smelt rollback 11 --hold")]
pub(super) struct RollbackArgs {
    pub(super) snapshot: u64,
    /// Hold the batches that came later.
    #[arg(long)]
    pub(super) hold: bool,
    #[command(flatten)]
    pub(super) wait: Wait,
}

/// Expire old snapshots and delete what nothing needs any more.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt gc --dry-run
  smelt gc --snapshots 3 --days 1")]
pub(super) struct GcArgs {
    /// Only say what would be deleted.
    #[arg(long)]
    pub(super) dry_run: bool,
    /// Keep so many snapshots, instead of smelt.yml's number.
    #[arg(long)]
    pub(super) snapshots: Option<u64>,
    /// Keep snapshots younger than so many days, instead of smelt.yml's number.
    #[arg(long)]
    pub(super) days: Option<u64>,
}

pub(super) async fn snapshots(args: SnapshotsArgs, global: &Global) -> Result<()> {
    let project = global.load()?;
    let lake = global.lake(&project)?;
    if let Some(id) = args.snapshot {
        let snapshot = lake.snapshot(SnapshotId(id)).await?;
        if global.json {
            return global.answer_json(&snapshot);
        }
        global.answer(format!("{}\n\n{}", headline(&snapshot), tables_of(&snapshot)));
        return Ok(());
    }
    let mut all = Vec::new();
    for id in lake.snapshots().await? {
        all.push(lake.snapshot(id).await?);
    }
    if global.json {
        return global.answer_json(&all);
    }
    if all.is_empty() {
        global.say("nothing is published yet: land extracts with `smelt ingest`, then `smelt run`");
        return Ok(());
    }
    let rows: Vec<Vec<String>> = all
        .iter()
        .map(|snapshot| {
            let changed = snapshot.tables.values().filter(|state| state.changes.is_some()).count();
            vec![
                snapshot.id.to_string(),
                snapshot.published_at.format("%Y-%m-%d %H:%M:%S").to_string(),
                origin(&snapshot.origin),
                snapshot.coverage.through.to_string(),
                changed.to_string(),
                grouped(snapshot.tables.values().map(|state| state.rows).sum()),
            ]
        })
        .collect();
    global.answer(table(&["snapshot", "published (UTC)", "by", "batches through", "tables changed", "rows"], &rows));
    Ok(())
}

pub(super) async fn tables(args: TablesArgs, global: &Global) -> Result<()> {
    let project = global.load()?;
    let lake = global.lake(&project)?;
    let snapshot = match args.at {
        Some(id) => lake.snapshot(SnapshotId(id)).await?,
        None => lake.newest().await?.ok_or_else(nothing_published)?,
    };
    if global.json {
        return global.answer_json(&snapshot.tables);
    }
    global.answer(tables_of(&snapshot));
    Ok(())
}

pub(super) async fn rollback(args: RollbackArgs, global: &Global) -> Result<()> {
    let project = global.load()?;
    let lake = global.lake(&project)?;
    let published = run::rollback(&lake, SnapshotId(args.snapshot), args.hold, args.wait.lease()).await?;
    if global.json {
        return global.answer_json(&published);
    }
    let pending = lake.manifests(published.coverage.through).await?.len();
    let word = if args.hold { "held" } else { "pending again" };
    global.answer(format!(
        "published snapshot {} with the contents of snapshot {}; {pending} batch(es) are {word}",
        published.id, args.snapshot
    ));
    Ok(())
}

pub(super) async fn gc(args: GcArgs, global: &Global) -> Result<()> {
    let project = global.load()?;
    let lake = global.lake(&project)?;
    let mut retention = project.settings.retention;
    retention.snapshots = args.snapshots.unwrap_or(retention.snapshots);
    retention.days = args.days.unwrap_or(retention.days);
    let done = lake.collect(retention, args.dry_run).await?;
    if global.json {
        return global.answer_json(&done);
    }
    let would = if args.dry_run { "would expire" } else { "expired" };
    global.answer(format!(
        "{would} {} snapshot(s), {} kept; {} object(s), {}",
        done.expired_snapshots.len(),
        done.kept_snapshots,
        grouped(done.deleted_objects),
        size(done.freed_bytes)
    ));
    Ok(())
}

pub(super) fn nothing_published() -> Error {
    Error::input("nothing is published yet").hint("land extracts with `smelt ingest`, then `smelt run`")
}

fn origin(origin: &Origin) -> String {
    match origin {
        Origin::Run => "run".into(),
        Origin::Rebuild => "rebuild".into(),
        Origin::Rollback(to) => format!("rollback to {to}"),
    }
}

fn headline(snapshot: &Snapshot) -> String {
    format!(
        "snapshot {} by {}, published {} UTC, batches through {}",
        snapshot.id,
        origin(&snapshot.origin),
        snapshot.published_at.format("%Y-%m-%d %H:%M:%S"),
        snapshot.coverage.through
    )
}

fn tables_of(snapshot: &Snapshot) -> String {
    let rows: Vec<Vec<String>> = snapshot
        .tables
        .iter()
        .map(|(name, state)| {
            vec![
                name.to_string(),
                grouped(state.rows),
                state.files.to_string(),
                size(state.bytes),
                state.version.to_string(),
                state.owner.clone(),
            ]
        })
        .collect();
    table(&["table", "rows", "files", "size", "delta version", "owner"], &rows)
}
