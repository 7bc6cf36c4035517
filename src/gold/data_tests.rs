//! From the tests in YAML files to queries whose rows are the failures.

use std::collections::BTreeSet;

use super::{
    Relation,
    schema_yml::{Described, TestKind, WrittenTest},
};
use crate::{
    engine::{SqlText, tables},
    quality::{Check, Claim},
};

/// The checks of one model. A generated query points at the test in the YAML file.
pub(super) fn checks(model: &Described, owner: &str) -> Vec<Check> {
    let relation = Relation::Model(model.name.clone());
    let check = |test: &WrittenTest| {
        let (name, query) = query(&model.name, test);
        let span = model.document.span(&test.pointer);
        let sql = SqlText::made(query.sql, model.document.file.clone(), span.clone());
        // A filter may read what it likes. Where it is no SQL, planning says so.
        let read = tables(&sql).unwrap_or_default();
        let inputs: BTreeSet<Relation> = read.into_iter().filter_map(Relation::of).chain([relation.clone()]).collect();
        Check {
            name: test.name.clone().unwrap_or(name),
            table: relation.to_string(),
            owner: owner.to_owned(),
            severity: test.severity,
            inputs: inputs.into_iter().collect(),
            quick: query.quick.map(|sql| SqlText::made(sql, model.document.file.clone(), span)),
            sql,
            claim: claim(&model.name, test),
        }
    };
    model.tests.iter().map(check).collect()
}

/// With a filter, less than this is tested.
fn claim(model: &str, test: &WrittenTest) -> Option<Claim> {
    let model = model.to_owned();
    match &test.kind {
        TestKind::Relationships { column, to, field } => {
            Some(Claim::Related { model, column: column.clone(), parent: (to.clone(), field.clone()) })
        }
        TestKind::Unique { column } => Some(Claim::Unique { model, columns: vec![column.clone()] }),
        TestKind::UniqueTogether { columns } => Some(Claim::Unique { model, columns: columns.clone() }),
        TestKind::NotNull { .. } | TestKind::AcceptedValues { .. } => None,
    }
}

/// The check's name, and its SQL.
fn query(model: &str, test: &WrittenTest) -> (String, Query) {
    let table = Relation::Model(model.to_owned());
    let rows = match &test.filter {
        Some(filter) => format!("(SELECT * FROM {table} WHERE {filter}) AS tested"),
        None => format!("{table} AS tested"),
    };
    match &test.kind {
        TestKind::NotNull { column } => {
            (format!("not_null_{model}_{column}"), format!("SELECT * FROM {rows} WHERE {column} IS NULL").into())
        }
        TestKind::Unique { column } => (
            format!("unique_{model}_{column}"),
            duplicates(&rows, Some(&format!("{column} IS NOT NULL")), std::slice::from_ref(column)),
        ),
        TestKind::UniqueTogether { columns } => {
            (format!("unique_{model}_{}", columns.join("_")), duplicates(&rows, None, columns))
        }
        TestKind::AcceptedValues { column, values } => (
            format!("accepted_values_{model}_{column}"),
            format!("SELECT * FROM {rows} WHERE {column} NOT IN ({})", values.join(", ")).into(),
        ),
        TestKind::Relationships { column, to, field } => (
            format!("relationships_{model}_{column}_{}", to.table()),
            format!(
                "SELECT * FROM {rows} WHERE {column} IS NOT NULL AND NOT EXISTS (SELECT 1 FROM {to} AS parent WHERE parent.{field} = tested.{column})"
            )
            .into(),
        ),
    }
}

/// A query for failures, and a cheaper one that has rows where this may have some.
pub(crate) struct Query {
    pub(crate) sql: String,
    pub(crate) quick: Option<String>,
}

impl From<String> for Query {
    fn from(sql: String) -> Self {
        Self { sql, quick: None }
    }
}

/// The values of `columns` that come in more than one of `rows`, a table with an alias. The quick
/// query compares hashes of 64 bits: equal values have equal ones.
pub(crate) fn duplicates(rows: &str, filter: Option<&str>, columns: &[String]) -> Query {
    let list = columns.join(", ");
    let hash = columns.iter().fold(String::new(), |seed, column| {
        let seed = if seed.is_empty() { seed } else { format!(", {seed}") };
        format!("COALESCE(FNV_HASH({column}{seed}), 0)")
    });
    let only = filter.map_or_else(String::new, |filter| format!(" WHERE {filter}"));
    Query {
        sql: format!("SELECT {list}, COUNT(*) AS row_count FROM {rows}{only} GROUP BY {list} HAVING COUNT(*) > 1"),
        quick: Some(format!(
            "SELECT hash FROM (SELECT {hash} AS hash FROM {rows}{only}) AS hashed GROUP BY hash HAVING COUNT(*) > 1"
        )),
    }
}

/// Column sets that the tests hold unique and not NULL: what runs publish has these keys.
pub(super) fn unique_keys(model: &Described) -> Vec<Vec<String>> {
    let enforced =
        || model.tests.iter().filter(|test| test.filter.is_none() && test.severity == crate::project::Severity::Error);
    let not_null =
        |wanted: &String| enforced().any(|test| matches!(&test.kind, TestKind::NotNull { column } if column == wanted));
    enforced()
        .filter_map(|test| match &test.kind {
            TestKind::Unique { column } if not_null(column) => Some(vec![column.clone()]),
            // Unlike `unique`, this test counts NULLs as values.
            TestKind::UniqueTogether { columns } => Some(columns.clone()),
            _ => None,
        })
        .collect()
}
