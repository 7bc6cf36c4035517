//! `smelt verify`: the published tables against what raw gives.

use clap::Args;

use super::{
    context::{Global, Opened, grouped, table},
    interrupted,
    run::shown,
    snapshots::nothing_published,
};
use crate::{
    error::{Error, Result},
    lake::Aside,
    query::printable,
    run::{Example, Outcome, Recount, TableVerdict, Verification, VerifyOptions, verify},
};

/// Prove that the newest snapshot is exactly what its raw files give.
///
/// Its tables are made from raw once more, beside the lake, and compared with the published ones row by row, as
/// multisets: no tolerance, and NULL equals NULL. Its records are counted once more, too: each is current, superseded,
/// a tombstone or in quarantine.
///
/// Only what the snapshot covers counts: batches that landed later, and holds that were set or lifted later, change
/// nothing. Tables whose contract or model changed after the snapshot are told and left out, with all that read them:
/// the next run makes them anew.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Nothing is written to the lake, and runs go on meanwhile. The tables that are made take room in the folder \
for temporary files (TMPDIR), at most about that of the lake's tables.

With --sample 10, the rows of about one key in ten are compared, and the numbers of all rows; each snapshot has other \
keys in its sample. Raw is still read whole, and the tables are still computed whole: what is saved is sorting and \
comparing. Rows of tables without a key are picked by all their columns.

Exit codes: 0 all that was compared is equal; 3 something differs, cannot be read, or does not add up; 2 nothing could \
be compared.

Examples:
  smelt verify
  smelt verify fact_orders staging.orders_cleaned     these two, and only what they are made of
  smelt verify --sample 5 --json"
)]
pub(super) struct VerifyArgs {
    /// Compare only these tables.
    #[arg(value_name = "TABLE")]
    pub(super) tables: Vec<String>,
    /// Compare only about this share of the keys.
    #[arg(long, value_name = "PERCENT", value_parser = percent)]
    pub(super) sample: Option<f64>,
}

fn percent(text: &str) -> Result<f64, String> {
    let number = text.strip_suffix('%').unwrap_or(text).parse::<f64>().ok();
    number
        .filter(|number| *number > 0.0 && *number <= 100.0)
        .ok_or_else(|| format!("`{text}` is not a share such as 5 or 0.1, of at most 100 percent"))
}

pub(super) async fn run(args: VerifyArgs, global: &Global) -> Result<()> {
    let opened = Opened::open(global)?;
    let (snapshot, _pin) = opened.lake.pin_newest().await?.ok_or_else(nothing_published)?;
    let options = VerifyOptions { tables: args.tables, sample: args.sample };
    let aside = Aside::new()?;
    let spinner = global.spinner();
    let progress = |progress| spinner.set_message(shown(progress));
    let outcome = tokio::select! {
        found = verify(opened.workshop(), &snapshot, &aside, &options, &progress) => found,
        () = interrupted() => Err(Error::unavailable("stopped by Ctrl-C").hint("nothing was written to the lake")),
    };
    spinner.set_message("cleaning up");
    let closed = aside.close().await;
    spinner.finish_and_clear();
    let found = outcome?;
    closed?;
    if global.json {
        global.answer_json(&found)?;
    } else {
        global.answer(tell(&found));
    }
    judge(&found)
}

/// What was found, as an exit code.
fn judge(found: &Verification) -> Result<()> {
    if found.tables.is_empty() {
        return Err(Error::input("nothing could be compared: what makes the tables changed after the snapshot")
            .hint("take the changes in with `smelt run`, then verify again"));
    }
    if found.equal {
        return Ok(());
    }
    let tables = found.tables.iter().filter(|verdict| verdict.outcome != Outcome::Equal);
    let entities = found.entities.iter().filter(|recount| !recount.equal);
    let names: Vec<String> = tables
        .map(|verdict| format!("`{}`", verdict.table))
        .chain(entities.map(|recount| format!("the records of `{}`", recount.entity)))
        .collect();
    Err(Error::data(format!("snapshot {} is not what its raw files give: {}", found.snapshot, names.join(", "))).hint(
        "`smelt rebuild` makes the tables anew from raw. If only smelt has written to the lake, this should not happen: please report it",
    ))
}

/// The report for people.
fn tell(found: &Verification) -> String {
    let mut text = String::new();
    let rows: Vec<Vec<String>> = found
        .tables
        .iter()
        .map(|verdict| {
            let TableVerdict { table, owner, rows, rebuilt_rows, compared, .. } = verdict;
            let numbers = [*rows, *rebuilt_rows, *compared].map(grouped);
            [table.to_string(), owner.clone()].into_iter().chain(numbers).chain([said(&verdict.outcome)]).collect()
        })
        .collect();
    if !rows.is_empty() {
        text.push_str(&table(&["table", "owner", "rows", "from raw", "compared", "verdict"], &rows));
        text.push('\n');
    }
    let rows: Vec<Vec<String>> = found.entities.iter().map(counted).collect();
    if !rows.is_empty() {
        let header = ["records", "owner", "raw", "current", "superseded", "tombstones", "quarantined", "verdict"];
        text.push_str(&table(&header, &rows));
        text.push('\n');
    }
    for verdict in &found.tables {
        text.push_str(&details(verdict));
    }
    if !found.left_out.is_empty() {
        text.push_str("left out until the next run:\n");
        for left in &found.left_out {
            text.push_str(&format!("  {}: {}\n", left.table, left.why));
        }
        text.push('\n');
    }
    if !found.tables.is_empty() {
        let word = if found.equal { "equals" } else { "differs from" };
        let share = found.sample.map_or(String::new(), |percent| format!(" (a sample of {percent} % of the keys)"));
        text.push_str(&format!(
            "snapshot {} {word} what raw gives through batch {}: {} table(s), {} rows compared{share}, {:.1} s\n",
            found.snapshot,
            found.coverage.through,
            found.tables.len(),
            grouped(found.tables.iter().map(|verdict| verdict.compared).sum()),
            found.seconds
        ));
    }
    text
}

fn said(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Equal => "equal".into(),
        Outcome::Differs { only_in_warehouse, only_in_rebuild, .. } => format!(
            "DIFFERS: {} only in the warehouse, {} only from raw",
            grouped(*only_in_warehouse),
            grouped(*only_in_rebuild)
        ),
        Outcome::OtherColumns { .. } => "DIFFERS: other columns".into(),
        Outcome::Unreadable { .. } => "UNREADABLE".into(),
    }
}

fn counted(recount: &Recount) -> Vec<String> {
    let now = &recount.rebuilt;
    let differing: Vec<String> = recount
        .differing()
        .into_iter()
        .map(|(term, then, now)| format!("{term} is {} in the snapshot, {} from raw", grouped(then), grouped(now)))
        .collect();
    let verdict = if recount.equal { "equal".into() } else { format!("DIFFERS: {}", differing.join("; ")) };
    let numbers = [now.raw, now.current, now.superseded, now.tombstones, now.quarantined].map(grouped);
    [recount.entity.clone(), recount.owner.clone()].into_iter().chain(numbers).chain([verdict]).collect()
}

/// What differs in a table; nothing where nothing does.
fn details(verdict: &TableVerdict) -> String {
    let mut lines = Vec::new();
    match &verdict.outcome {
        Outcome::Equal => return String::new(),
        Outcome::Differs { only_in_warehouse: 0, only_in_rebuild: 0, .. } => {
            lines.push("none of the rows in the sample, but there are more on one side".to_owned());
        }
        Outcome::Differs { examples, only_in_warehouse, only_in_rebuild } => {
            lines.extend(examples.iter().map(line));
            let told = |side: fn(&Example) -> bool| examples.iter().filter(|example| side(example)).count() as u64;
            let more = only_in_warehouse.saturating_sub(told(|example| example.warehouse.is_some()))
                + only_in_rebuild.saturating_sub(told(|example| example.rebuild.is_some()));
            if more > 0 {
                lines.push(format!("and {} more row(s)", grouped(more)));
            }
        }
        Outcome::OtherColumns { warehouse, rebuild } => {
            for (place, have, others) in [("in the warehouse", warehouse, rebuild), ("from raw", rebuild, warehouse)] {
                let alone: Vec<&str> = have.iter().filter(|one| !others.contains(one)).map(String::as_str).collect();
                if !alone.is_empty() {
                    lines.push(format!("only {place}: {}", alone.join(", ")));
                }
            }
            if lines.is_empty() {
                lines.push("the same columns in another order".into());
            }
        }
        Outcome::Unreadable { why } => lines.push(why.clone()),
    }
    let lines: String = lines.into_iter().map(|line| format!("  {}\n", printable(&line))).collect();
    format!("{}:\n{lines}\n", verdict.table)
}

/// A differing row, or two of one key with what differs between them.
fn line(example: &Example) -> String {
    let value = |value: &serde_json::Value| value.as_str().map_or_else(|| "NULL".into(), |text| format!("'{text}'"));
    let whole = |row: &serde_json::Map<String, serde_json::Value>| {
        row.iter().map(|(name, one)| format!("{name}={}", value(one))).collect::<Vec<_>>().join(" ")
    };
    match (&example.warehouse, &example.rebuild) {
        (Some(warehouse), Some(rebuild)) => {
            let key: Vec<String> =
                example.key.iter().map(|name| format!("{name}={}", value(&warehouse[name]))).collect();
            let differing: Vec<String> = warehouse
                .iter()
                .filter(|(name, have)| rebuild.get(*name) != Some(have))
                .map(|(name, have)| {
                    format!("{name} is {} in the warehouse, {} from raw", value(have), value(&rebuild[name]))
                })
                .collect();
            format!("{}: {}", key.join(" "), differing.join("; "))
        }
        (Some(row), None) => format!("only in the warehouse: {}", whole(row)),
        (None, Some(row)) => format!("only from raw: {}", whole(row)),
        (None, None) => String::new(),
    }
}
