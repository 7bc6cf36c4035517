//! Plans as SQL text give what the plans give: the text is planned and run by the engine like anybody's.

use std::collections::BTreeMap;

use datafusion::arrow::array::RecordBatch;

use super::{
    cases::reads_changed,
    data::{Batch, Row},
    database::{Database, InMemory, REFUSED, Session, TABLES, shown},
    models::Relation,
    sql::query,
};
use crate::planner::{Strategy, render};

/// How many plans were compared, and how many have no words.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Rendered {
    pub(super) same: usize,
    pub(super) without_words: usize,
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
    let tables = InMemory::new(differences).since(before, current);
    let mut found = Rendered::default();
    if !reads_changed(&plan, &tables) {
        return Ok(found);
    }
    let strategy =
        crate::planner::plan(&plan, &[], &|table| tables.changed(table), &tables).map_err(|e| e.to_string())?;
    let Strategy::Incremental(incremental) = strategy else { return Ok(found) };
    let made = match session.key_sets(&incremental.key_sets, &tables).await {
        Err(failure) if failure.contains(REFUSED) => return Ok(found),
        made => made?,
    };
    tables.register(&session);
    let fresh = (&incremental.fresh, session.rows(&incremental.fresh).await?);
    let sets = incremental.key_sets.iter().map(|set| &set.plan).zip(made);
    for (plan, rows) in sets.chain([fresh]) {
        let text = match render::query(plan, |place| format!("c{place}")) {
            Ok(text) => text,
            Err(none) if none.to_string().contains("not implemented") => {
                found.without_words += 1;
                continue;
            }
            Err(other) => return Err(format!("{other}\n{}", plan.display_indent())),
        };
        let said = async { session.rows(&session.plan(&text).await?).await };
        let said = match said.await {
            Err(failure) if failure.contains(REFUSED) => continue,
            said => said.map_err(|failure| format!("{sql}\n{text}\n{failure}\n{}", plan.display_indent()))?,
        };
        if shown(&said) != shown(&rows) {
            let (said, rows) = (shown(&said), shown(&rows));
            return Err(format!("{sql}\n{text}\ngives {said:?}\nnot   {rows:?}\n{}", plan.display_indent()));
        }
        found.same += 1;
    }
    Ok(found)
}
