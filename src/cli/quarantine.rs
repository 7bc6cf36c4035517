//! `smelt quarantine`: which records could not become rows, and why.

use std::sync::Arc;

use arrow::{array::AsArray, datatypes::Int64Type};
use clap::{Args, Subcommand};

use super::{
    context::{Global, Opened, grouped, table},
    snapshots::nothing_published,
};
use crate::{
    engine::JoinPreference,
    engine_error,
    error::{Error, Result},
    lake::LakeTable,
    project::Contract,
    silver::EntityTables,
};

/// Look at the records that could not become rows.
#[derive(Debug, Clone, Args)]
#[command(
    after_help = "Records leave quarantine when a changed contract accepts them: the next run replays their entity.

Examples:
  smelt quarantine
  smelt quarantine list orders --limit 50
  smelt quarantine show orders 17 4211"
)]
pub(super) struct QuarantineArgs {
    #[command(subcommand)]
    pub(super) action: Option<Action>,
}

#[derive(Debug, Clone, Subcommand)]
pub(super) enum Action {
    /// List records of one entity with their reasons.
    List {
        entity: String,
        #[arg(long, default_value_t = 20)]
        limit: usize,
    },
    /// Show one record and its reasons.
    Show { entity: String, batch: i64, position: i64 },
}

struct Quarantined {
    batch: i64,
    path: String,
    position: i64,
    reasons: String,
    record: String,
}

pub(super) async fn run(args: QuarantineArgs, global: &Global) -> Result<()> {
    let opened = Opened::open(global)?;
    match args.action {
        None => counts(&opened, global).await,
        Some(Action::List { entity, limit }) => {
            let contract = opened.project.contract(&entity)?;
            let one_more = limit.saturating_add(1);
            let mut found =
                read(&opened, contract, &format!("order by batch, path, position limit {one_more}")).await?;
            let more = found.len() > limit;
            found.truncate(limit);
            if global.json {
                return global.answer_json(&found.iter().map(as_json).collect::<Vec<_>>());
            }
            let rows: Vec<Vec<String>> = found
                .into_iter()
                .map(|row| vec![row.batch.to_string(), row.path, row.position.to_string(), row.reasons])
                .collect();
            let mut answer = table(&["batch", "path", "position", "reasons"], &rows);
            if more {
                answer.push_str(&format!("the first {limit}: `--limit N` shows more\n"));
            }
            global.answer(answer);
            Ok(())
        }
        Some(Action::Show { entity, batch, position }) => {
            let contract = opened.project.contract(&entity)?;
            let found =
                read(&opened, contract, &format!("where batch = {batch} and position = {position} order by path"))
                    .await?;
            if found.is_empty() {
                return Err(Error::input(format!(
                    "no record of `{entity}` at batch {batch}, position {position} is in quarantine"
                ))
                .hint(format!("`smelt quarantine list {entity}` lists them")));
            }
            if global.json {
                return global.answer_json(&found.iter().map(as_json).collect::<Vec<_>>());
            }
            for row in found {
                let reasons =
                    row.reasons.split("; ").map(|reason| format!("  {reason}")).collect::<Vec<_>>().join("\n");
                global.answer(format!(
                    "{entity}, batch {}, {}, position {} (owner: {})\n{reasons}\n\n{}\n",
                    row.batch, row.path, row.position, contract.owner, row.record
                ));
            }
            Ok(())
        }
    }
}

fn as_json(row: &Quarantined) -> serde_json::Value {
    serde_json::json!({
        "batch": row.batch, "path": row.path, "position": row.position, "reasons": row.reasons, "record": row.record,
    })
}

async fn counts(opened: &Opened, global: &Global) -> Result<()> {
    let snapshot = opened.lake.newest().await?.ok_or_else(nothing_published)?;
    let counted: Vec<(&Contract, u64)> = opened
        .project
        .contracts
        .values()
        .map(|contract| {
            (contract, snapshot.entities.get(contract.entity.as_str()).map_or(0, |totals| totals.quarantined))
        })
        .collect();
    if global.json {
        let list: Vec<_> = counted
            .iter()
            .map(|(contract, records)| serde_json::json!({"entity": contract.entity, "owner": contract.owner, "records": records}))
            .collect();
        return global.answer_json(&list);
    }
    let rows: Vec<Vec<String>> = counted
        .iter()
        .map(|(contract, records)| vec![contract.entity.to_string(), contract.owner.clone(), grouped(*records)])
        .collect();
    global.answer(table(&["entity", "owner", "quarantined"], &rows));
    Ok(())
}

async fn read(opened: &Opened, contract: &Contract, rest: &str) -> Result<Vec<Quarantined>> {
    let (snapshot, _pin) = opened.lake.pin_newest().await?.ok_or_else(nothing_published)?;
    let name = EntityTables::of(contract).quarantine;
    let Some(state) = snapshot.tables.get(&name) else { return Ok(Vec::new()) };
    let files = opened.lake.table_files(&name, state).await?;
    let provider = LakeTable::new(&opened.lake, opened.lake.table_folder(&name), files).map_err(engine_error)?;
    let context = opened.engine.session(&opened.project.settings.name, JoinPreference::Hash);
    context.register_object_store(&opened.lake.url, opened.lake.store());
    context.register_table("quarantined", Arc::new(provider)).map_err(engine_error)?;
    let sql = format!("select batch, path, position, reasons, record from quarantined {rest}");
    let batches = context.sql(&sql).await.map_err(engine_error)?.collect().await.map_err(engine_error)?;
    let mut found = Vec::new();
    for batch in batches {
        let text = |column: usize, row: usize| batch.column(column).as_string_view().value(row).to_owned();
        let number = |column: usize, row: usize| batch.column(column).as_primitive::<Int64Type>().value(row);
        found.extend((0..batch.num_rows()).map(|row| Quarantined {
            batch: number(0, row),
            path: text(1, row),
            position: number(2, row),
            reasons: text(3, row),
            record: text(4, row),
        }));
    }
    Ok(found)
}
