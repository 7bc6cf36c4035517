//! What a model's SQL says of its rows, against the rows: where values come from, and what is unique.

use std::collections::BTreeSet;

use super::{
    data::Row,
    database::{Database, REFUSED, Session, Shown, TABLES, texts},
    models::Relation,
    sql::query,
};
use crate::{gold::unique_keys, planner::origins};

/// Checks the origins of a model's columns, and its keys; how many there are of each.
pub(super) async fn check(model: &Relation, tables: &[Vec<Row>; 3]) -> Result<(usize, usize), String> {
    let session = Session::new();
    let database = Database::new(tables);
    session.register_database(&database);
    let sql = query(model, &[]).sql;
    let plan = session.plan(&sql).await?;
    let rows = match session.rows(&plan).await {
        Err(failure) if failure.contains(REFUSED) => return Ok((0, 0)),
        rows => texts(&rows?),
    };
    let mut told = 0;
    for (column, origins) in origins(&plan).iter().enumerate() {
        for (table, name) in origins {
            let number = TABLES.iter().position(|known| *known == table.table()).unwrap();
            let all = database.rows(number);
            let place = all.schema().index_of(name).unwrap();
            let known: BTreeSet<String> = texts(&all).into_iter().map(|mut row| row.swap_remove(place)).collect();
            let other = rows.iter().map(|row| &row[column]).find(|value| *value != "NULL" && !known.contains(*value));
            if let Some(other) = other {
                return Err(format!(
                    "{sql}\ncolumn {column} has {other}, which no {name} of {table} is\n{}",
                    plan.display_indent()
                ));
            }
            told += 1;
        }
    }
    let keys = unique_keys(&plan);
    for key in &keys {
        let mut known = BTreeSet::new();
        let place = |row: &Shown| key.iter().map(|&place| row[place].clone()).collect::<Shown>();
        if let Some(twice) = rows.iter().map(place).find(|values| !known.insert(values.clone())) {
            return Err(format!("{sql}\n{twice:?} are not unique in {key:?}\n{}", plan.display_indent()));
        }
    }
    Ok((told, keys.len()))
}
