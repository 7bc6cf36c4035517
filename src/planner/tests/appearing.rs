//! Queries that gave no row, followed for their first: the planner's short way must find it.

use std::collections::BTreeSet;

use datafusion::logical_expr::{LogicalPlan, LogicalPlanBuilder, lit};

use super::{
    cases::reads_changed,
    data::{Batch, Row},
    database::{Database, InMemory, Session, Shown, TABLES, shown},
    models::Relation,
    sql::query,
};
use crate::planner::appearing;

/// What became of queries that gave no row before a batch.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Found {
    /// There is no short way.
    pub(super) not_told: usize,
    /// There is still no row.
    pub(super) none: usize,
    /// There is one, and it was found.
    pub(super) some: usize,
}

/// Follows a query of which the rows are left out that it has at first, by what they have in a column.
pub(super) async fn check(
    rule: &Relation,
    column: u8,
    tables: &[Vec<Row>; 3],
    batches: &[Batch],
) -> Result<Found, String> {
    let session = Session::new();
    session.register_database(&Database::new(tables));
    let query = query(rule, &[]);
    let text = format!("cast(q.c{} as varchar)", usize::from(column) % query.columns.len());
    let texts = format!("select {text} as c0 from ({}) as q", query.sql);
    let known: BTreeSet<Shown> = shown(&session.rows(&session.plan(&texts).await?).await?).into_iter().collect();
    let sql = if known.is_empty() {
        query.sql
    } else {
        let known: Vec<String> = known.into_iter().map(|row| format!("'{}'", row.concat())).collect();
        format!("select * from ({}) as q where {text} not in ({})", query.sql, known.join(", "))
    };
    follow(&sql, tables, batches).await
}

/// What a batch did, with the tables as they were.
fn changes(then: &Database, now: &Database) -> InMemory {
    let tables = || (0..).zip(TABLES);
    let differences = tables().map(|(number, name)| (name.into(), now.since(then, number)));
    let before = tables().map(|(number, name)| (name.into(), then.rows(number)));
    InMemory::new(differences.collect()).with_before(before.collect())
}

/// The key sets by which new rows of a query are found after a batch.
pub(super) async fn key_sets(sql: &str, tables: &[Vec<Row>; 3], batch: &Batch) -> Result<Vec<LogicalPlan>, String> {
    let then = Database::new(tables);
    let mut database = then.clone();
    database.apply(batch);
    let session = Session::new();
    session.register_database(&database);
    let (plan, tables) = (session.plan(sql).await?, changes(&then, &database));
    let way = appearing(&plan, &|table| tables.changed(table), &tables).map_err(|e| e.to_string())?;
    Ok(way.ok_or("there is no short way")?.key_sets.into_iter().map(|set| set.plan).collect())
}

/// Follows a query that has no row at first, until it has one.
pub(super) async fn follow(sql: &str, tables: &[Vec<Row>; 3], batches: &[Batch]) -> Result<Found, String> {
    let session = Session::new();
    let mut database = Database::new(tables);
    let mut found = Found::default();
    for batch in batches {
        let then = database.clone();
        database.apply(batch);
        session.register_database(&database);
        let plan = session.plan(sql).await?;
        let changes = || changes(&then, &database);
        let tables = changes();
        if !reads_changed(&plan, &tables) {
            continue;
        }
        let all: BTreeSet<Shown> = shown(&session.rows(&plan).await?).into_iter().collect();
        let way = appearing(&plan, &|table| tables.changed(table), &tables);
        let told = match way.map_err(|e| format!("{sql}\nplanning: {e}\n{}", plan.display_indent()))? {
            None => false,
            Some(way) => {
                session.key_sets(&way.key_sets, &tables).await?;
                let mut ours = BTreeSet::new();
                for rows in &way.rows {
                    ours.extend(shown(&session.rows(rows).await?));
                }
                if ours != all {
                    let rows: String = way.rows.iter().map(|rows| format!("\n{}", rows.display_indent())).collect();
                    let plan = plan.display_indent();
                    return Err(format!("{sql}\nrows that are new {all:?}\nrows found {ours:?}\n{plan}{rows}"));
                }
                true
            }
        };
        // Whether there is any is told by fewer columns, with key sets of its own.
        let any = LogicalPlanBuilder::from(plan).project([lit(true)]).and_then(|any| any.build());
        let any = any.map_err(|e| e.to_string())?;
        let tables = changes();
        match appearing(&any, &|table| tables.changed(table), &tables).map_err(|e| e.to_string())? {
            None if told => return Err(format!("{sql}\nis told, and not whether it has any row")),
            None => found.not_told += 1,
            Some(way) => {
                session.key_sets(&way.key_sets, &tables).await?;
                let mut rows = 0;
                for plan in &way.rows {
                    rows += session.rows(plan).await?.num_rows();
                }
                if (rows == 0) != all.is_empty() {
                    let any = any.display_indent();
                    return Err(format!("{sql}\nrows that are new {all:?}\nrows found {rows}\n{any}"));
                }
                if all.is_empty() {
                    found.none += 1;
                } else {
                    found.some += 1;
                }
            }
        }
        if !all.is_empty() {
            break;
        }
    }
    Ok(found)
}
