//! `smelt changes`: what differs in a table between two snapshots.

use clap::Args;
use serde_json::Value;

use super::{
    context::{Global, Opened, grouped, table},
    snapshots::nothing_published,
};
use crate::{
    error::Result,
    lake::{SnapshotId, TableName},
    query::printable,
    run::Changes,
};

/// Show which rows of a table differ between two snapshots.
///
/// Whatever lies between them (runs, a rollback, a rebuild), these are the rows that only one of the two has, as
/// multisets. Without options: what the newest snapshot changed.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "`-` marks a row as it was, `+` as it is. What is compared are the files that only one of the snapshots has.

Examples:
  smelt changes fact_orders
  smelt changes fact_orders --from 11 --to 14
  smelt changes staging.orders_cleaned --limit 1000 --json"
)]
pub(super) struct ChangesArgs {
    /// A table such as `fact_orders` or `staging.orders_cleaned`.
    pub(super) table: String,
    /// The earlier snapshot, instead of the one before the later one.
    #[arg(long, value_name = "SNAPSHOT")]
    pub(super) from: Option<u64>,
    /// The later snapshot, instead of the newest one.
    #[arg(long, value_name = "SNAPSHOT")]
    pub(super) to: Option<u64>,
    /// Show at most so many rows that went, and so many that came.
    #[arg(long, value_name = "ROWS", default_value_t = 50)]
    pub(super) limit: usize,
}

pub(super) async fn run(args: ChangesArgs, global: &Global) -> Result<()> {
    let opened = Opened::open(global)?;
    let (to, _pin) = match args.to {
        Some(to) => opened.lake.pin(SnapshotId(to)).await?,
        None => opened.lake.pin_newest().await?.ok_or_else(nothing_published)?,
    };
    let from = match (args.from.map(SnapshotId), to.parent) {
        (None, None) => None,
        (Some(from), _) | (None, Some(from)) => Some(opened.lake.pin(from).await?),
    };
    let from = from.as_ref().map(|(snapshot, _)| snapshot);
    let known = from.into_iter().chain([&to]).flat_map(|snapshot| snapshot.tables.keys().cloned()).collect();
    let name = TableName::meant(&args.table, &known)?;
    let changes = opened.workshop().changes(&name, from, &to, args.limit).await?;
    if global.json {
        return global.answer_json(&changes);
    }
    global.answer(tell(&changes));
    Ok(())
}

fn tell(changes: &Changes) -> String {
    let Changes { table: name, from, to, gone, came, rows } = changes;
    let since = from.map_or_else(|| "before the first snapshot".to_owned(), |from| format!("snapshot {from}"));
    let mut text = format!("{name} from {since} to {to}: {} rows went, {} came\n", grouped(*gone), grouped(*came));
    let sides = rows.iter().flat_map(|row| [("-", &row.before), ("+", &row.after)]);
    let rows: Vec<_> = sides.filter_map(|(mark, row)| Some((mark, row.as_ref()?))).collect();
    if let Some((_, first)) = rows.first() {
        let header: Vec<&str> = std::iter::once("").chain(first.keys().map(String::as_str)).collect();
        let cell = |value: &Value| value.as_str().map_or_else(|| "NULL".to_owned(), printable);
        let cells =
            rows.iter().map(|(mark, row)| std::iter::once((*mark).to_owned()).chain(row.values().map(cell)).collect());
        text.push_str(&format!("\n{}", table(&header, &cells.collect::<Vec<Vec<String>>>())));
    }
    let left_out = gone + came - rows.len() as u64;
    if left_out > 0 {
        text.push_str(&format!("\n{} more; `--limit` shows them", grouped(left_out)));
    }
    text
}
