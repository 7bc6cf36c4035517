//! Plans as SQL text give what the plans give: the text is planned and run by the engine like anybody's.

use std::collections::BTreeMap;

use datafusion::{arrow::array::RecordBatch, common::TableReference};

use super::{
    cases::reads_changed,
    data::{Batch, Row},
    database::{Database, InMemory, REFUSED, Session, Shown, TABLES, key_set_name, shown, table_of},
    models::Relation,
    sql::query,
};
use crate::planner::{Strategy, Tables as _, render};

/// How many plans were compared, and how many have no words.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Rendered {
    pub(super) same: usize,
    pub(super) without_words: usize,
}

/// How many more of each row there are, and which.
fn difference_of(before: &RecordBatch, after: &RecordBatch) -> Vec<Shown> {
    let mut weights: BTreeMap<Shown, i64> = BTreeMap::new();
    for (rows, weight) in [(before, -1), (after, 1)] {
        for row in shown(rows) {
            *weights.entry(row).or_default() += weight;
        }
    }
    let differing = weights.into_iter().filter(|(_, weight)| *weight != 0);
    let mut rows: Vec<Shown> =
        differing.map(|(row, weight)| row.into_iter().chain([weight.to_string()]).collect()).collect();
    rows.sort();
    rows
}

pub(super) async fn check(model: &Relation, tables: &[Vec<Row>; 3], batch: &Batch) -> Result<Rendered, String> {
    let (session, mut database) = (Session::new(), Database::new(tables));
    session.register_database(&database);
    let sql = query(model, &[]).sql;
    let plan = session.plan(&sql).await?;
    let current = session.rows(&plan).await?;
    let then = database.clone();
    database.apply(batch);
    session.register_database(&database);
    let plan = session.plan(&sql).await?;
    let tables = TABLES.iter().enumerate();
    let differences = tables.clone().map(|(number, name)| ((*name).into(), database.since(&then, number))).collect();
    let before: BTreeMap<String, RecordBatch> =
        tables.map(|(number, name)| ((*name).into(), then.rows(number))).collect();
    let tables = InMemory::new(differences).since(before, current.clone());
    let mut found = Rendered::default();
    if !reads_changed(&plan, &tables) {
        return Ok(found);
    }
    let strategy =
        crate::planner::plan(&plan, &[], &|table| tables.changed(table), &tables).map_err(|e| e.to_string())?;
    let Strategy::Incremental(incremental) = strategy else { return Ok(found) };
    // A statement may read a set that no plan reads.
    for set in &incremental.key_sets {
        tables.keys(set.number, &set.plan).map_err(|e| e.to_string())?;
    }
    let made = match session.key_sets(&incremental.key_sets, &tables).await {
        Err(failure) if failure.contains(REFUSED) => return Ok(found),
        made => made?,
    };
    tables.register(&session);
    let columns: Vec<String> = (0..current.num_columns()).map(|place| format!("c{place}")).collect();
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    session.register("gold", "m", table_of(current.clone(), None));
    let keys = |number| TableReference::bare(key_set_name(number));
    let statements = match render::statements(&incremental, &TableReference::partial("gold", "m"), &columns, &keys) {
        Ok(statements) => statements,
        Err(none) if none.to_string().contains("not implemented") => {
            found.without_words += 1;
            return Ok(found);
        }
        Err(other) => return Err(format!("{other}\n{sql}")),
    };
    let fresh = session.rows(&incremental.fresh).await?;
    let difference = difference_of(&current, &session.rows(&plan).await?);
    let expected = made.iter().chain([&fresh]).map(shown).chain([difference]);
    for (statement, expected) in std::iter::zip(&statements, expected) {
        let (create, text) = statement.split_once(" AS\n").unwrap();
        let said = match async { session.rows(&session.plan(text).await?).await }.await {
            Err(failure) if failure.contains(REFUSED) => return Ok(found),
            said => said.map_err(|failure| format!("{sql}\n{statement}\n{failure}"))?,
        };
        if shown(&said) != expected {
            return Err(format!("{sql}\n{statement}\ngives {:?}\nnot   {expected:?}", shown(&said)));
        }
        if create.ends_with("__fresh") {
            session.register_bare("__fresh", table_of(said, None));
        }
        found.same += 1;
    }
    Ok(found)
}
