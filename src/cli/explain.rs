//! `smelt explain`: how a model follows its inputs, in words.

use clap::Args;

use super::context::{Global, Opened, grouped, size};
use crate::{
    error::Result,
    lake::SnapshotId,
    run::{Change, Explained, Explanation, Followed, Lookup},
};

/// Say how a model follows the changes of its inputs, and how its last run went.
///
/// A model's rebuild key are columns of it that say which of its rows a change may alter: a run finds
/// the affected keys, computes the rows that have them, compares these with the rows that are there, and
/// writes the difference. Where a model has no such columns all of its rows are computed, and compared;
/// then this says why, and what to change in the model.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt explain fact_orders
  smelt explain fact_orders --run 12
  smelt explain fact_orders --sql
  smelt explain fact_orders --json")]
pub(super) struct ExplainArgs {
    pub(super) model: String,
    /// The run that published this snapshot, instead of the last one that had the model as work.
    #[arg(long, value_name = "SNAPSHOT")]
    pub(super) run: Option<u64>,
    /// Show instead, as SQL in Redshift's dialect, how the table follows a change of all its inputs. What it reads beside
    /// the warehouse's tables: `__went_<table>` and `__came_<table>` are the changed rows, `__was_<table>` is the table as
    /// it was.
    #[arg(long, conflicts_with = "run")]
    pub(super) sql: bool,
}

pub(super) async fn run(args: ExplainArgs, global: &Global) -> Result<()> {
    let opened = Opened::open(global)?;
    if args.sql {
        let statements = opened.workshop().sql(&args.model).await?;
        if global.json {
            return global.answer_json(&statements);
        }
        global.answer(statements.join(";\n\n") + ";");
        return Ok(());
    }
    let explanation = opened.workshop().explain(&args.model, args.run.map(SnapshotId)).await?;
    if global.json {
        return global.answer_json(&explanation);
    }
    global.answer(tell(&explanation));
    Ok(())
}

fn tell(explanation: &Explanation) -> String {
    let Explanation { model, owner, strategy, inputs, last_run } = explanation;
    let mut text = String::new();
    match strategy {
        Explained::Constant => text.push_str(&format!(
            "{model} (owner: {owner}) reads no table: only a change of its definition changes it\n"
        )),
        Explained::Incremental { key, why, by_difference, reads } => {
            text.push_str(&format!("{model} (owner: {owner}) is incremental\n"));
            text.push_str(&format!("rebuild key: {}\n  because {why}\n", key.join(", ")));
            if let Some(told_by) = by_difference {
                text.push_str(&format!(
                    "maintained by difference: to each group is added what {told_by} come to as they are, less what they came to\n"
                ));
            }
            if !reads.is_empty() {
                text.push_str(if by_difference.is_some() {
                    "these rows come from\n"
                } else {
                    "fresh rows come from\n"
                });
            }
            for (place, read) in reads.iter().enumerate() {
                let branch = if place + 1 == reads.len() { "└─" } else { "├─" };
                text.push_str(&format!("{branch} {}: {}\n", read.table, looked_up(&read.by, by_difference.is_some())));
            }
        }
        Explained::Whole { why, way_out } => {
            text.push_str(&format!("{model} (owner: {owner}) is computed whole when all its inputs change\n"));
            text.push_str(&format!("  because {why}\nto make it incremental, {way_out}\n"));
        }
    }
    if !inputs.is_empty() {
        text.push_str("what a change means\n");
    }
    for (place, input) in inputs.iter().enumerate() {
        let branch = if place + 1 == inputs.len() { "└─" } else { "├─" };
        let change = match &input.change {
            Change::Followed { columns, conditions, by_partition } => {
                let mut changed = columns.join(", ");
                if !conditions.is_empty() {
                    changed.push_str(&format!(", or in whether what is asked of {} holds", conditions.join(", ")));
                }
                let partitions = if *by_partition {
                    "; windows over it are computed before and after, by the partitions that hold a changed row"
                } else {
                    ""
                };
                format!("affects the keys of rows that changed in {changed}{partitions}")
            }
            Change::Whole { why, way_out } => format!("all rows are computed: {why}; to change that, {way_out}"),
        };
        text.push_str(&format!("{branch} {}: {change}\n", input.table));
    }
    match last_run {
        None => text.push_str("no run of it is on record\n"),
        Some(last) => {
            let report = &last.report;
            text.push_str(&format!(
                "last run (snapshot {}, {}): {}, {} written, {:.1} s\n",
                last.snapshot,
                report.reason,
                went(&report.followed),
                size(report.bytes_written),
                report.seconds
            ));
        }
    }
    text
}

fn looked_up(by: &[Lookup], by_difference: bool) -> String {
    if by.is_empty() {
        return "read whole".into();
    }
    let ways = by.iter().map(|lookup| {
        let columns = lookup.columns.join(", ");
        let of = match (lookup.affected_keys, by_difference) {
            (true, true) => format!("affected {columns}"),
            (true, false) => format!("{columns} of the affected keys"),
            (false, _) => format!("{columns} of the rows that it is joined with"),
        };
        if lookup.read_whole { format!("read whole and compared by {of}") } else { format!("looked up by {of}") }
    });
    ways.collect::<Vec<_>>().join(", and ")
}

fn went(followed: &Followed) -> String {
    match followed {
        Followed::Unchanged => "nothing that it reads had really changed".into(),
        Followed::Incremental { key, affected_keys, read, computed, gone, came } => format!(
            "{} affected keys ({}), {} rows looked up, {} computed, {} went, {} came",
            grouped(*affected_keys),
            key.join(", "),
            grouped(*read),
            grouped(*computed),
            grouped(*gone),
            grouped(*came)
        ),
        Followed::Compared { why, computed, gone, came } => format!(
            "all {} rows were computed ({why}), {} went, {} came",
            grouped(*computed),
            grouped(*gone),
            grouped(*came)
        ),
        Followed::Made => "all rows were computed, anew".into(),
    }
}
