//! The contracts' quality rules as checks on the cleaned tables.

use std::collections::BTreeSet;

use super::Check;
use crate::{
    engine::{STAGING, SqlText},
    gold::{Query, Relation, duplicates},
    project::{Contract, Project, QualityRule, RuleCheck, Severity},
};

/// The checks of every contract: the key is unique, required columns are never NULL, and the rules
/// that the contract lists.
pub(super) fn checks(project: &Project) -> Vec<Check> {
    project.contracts.values().flat_map(of_contract).collect()
}

fn of_contract(contract: &Contract) -> Vec<Check> {
    let spec = &contract.spec;
    let name = |index: &usize| spec.columns[*index].name.clone();
    let key = QualityRule {
        name: "key_is_unique".into(),
        column: None,
        check: RuleCheck::Duplicates { columns: spec.key.iter().map(name).collect(), at_most: 0 },
        severity: Severity::Error,
        span: 0..0,
    };
    let required = spec.columns.iter().filter(|column| column.required).map(|column| QualityRule {
        name: format!("{}_is_required", column.name),
        column: Some(column.name.clone()),
        check: RuleCheck::Nulls { at_most: 0 },
        severity: Severity::Error,
        span: 0..0,
    });
    std::iter::once(key)
        .chain(required)
        .chain(contract.quality.iter().cloned())
        .map(|rule| {
            let made = |sql| SqlText::made(sql, contract.source.clone(), rule.span.clone());
            let query = query(&contract.table, &rule);
            Check {
                name: format!("{}.{}", contract.entity, rule.name),
                table: format!("{STAGING}.{}", contract.table),
                owner: contract.owner.clone(),
                severity: rule.severity,
                inputs: vec![Relation::Source { schema: STAGING.into(), table: contract.table.clone() }],
                quick: query.quick.map(made),
                claim: None,
                sql: made(query.sql),
            }
        })
        .collect()
}

/// A query whose rows are the failures; none while at most the allowed number fails.
fn query(table: &str, rule: &QualityRule) -> Query {
    let table = format!("{STAGING}.{}", quoted(table));
    let column = rule.column.as_deref().map(quoted).unwrap_or_default();
    let limited = |failing: String, at_most: u64| {
        if at_most == 0 {
            return failing.into();
        }
        format!("select f.* from ({failing}) as f where (select count(*) from ({failing}) as g) > {at_most}").into()
    };
    match &rule.check {
        RuleCheck::Nulls { at_most } => limited(format!("select * from {table} where {column} is null"), *at_most),
        RuleCheck::OutsideValues { values, at_most } => {
            let values: Vec<String> = values.iter().map(|value| format!("'{}'", value.replace('\'', "''"))).collect();
            limited(format!("select * from {table} where {column} not in ({})", values.join(", ")), *at_most)
        }
        RuleCheck::Duplicates { columns, at_most } => {
            let columns: Vec<String> = columns.iter().map(|column| quoted(column)).collect();
            // As in models' tests, NULL is no duplicate of NULL.
            let known = rule.column.as_ref().map(|_| format!("{column} is not null"));
            let duplicates = duplicates(&format!("{table} as tested"), known.as_deref(), &columns);
            if *at_most == 0 { duplicates } else { limited(duplicates.sql, *at_most) }
        }
        RuleCheck::RowCount { at_least, at_most } => format!(
            "select count(*) as row_count from {table} having count(*) < {at_least} or count(*) > {}",
            i64::try_from(*at_most).unwrap_or(i64::MAX)
        )
        .into(),
    }
}

/// The current rows of an entity that wait for a row of another, as a rule's failures; `None` where the
/// contract names none.
pub fn waiting(contract: &Contract, project: &Project) -> Option<Check> {
    let waits = contract.waits_for.as_ref()?;
    let other = project.contracts.get(waits.entity.as_str())?;
    let key = &other.spec.columns[*other.spec.key.first()?].name;
    let sql = format!(
        "select w.* from {STAGING}.{} as w where not exists (select 1 from {STAGING}.{} as o where o.{} = w.{})",
        quoted(&contract.table),
        quoted(&other.table),
        quoted(key),
        quoted(&waits.column)
    );
    let source = |table: &String| Relation::Source { schema: STAGING.into(), table: table.clone() };
    // Rows may wait for others of their own entity.
    let inputs = BTreeSet::from([source(&contract.table), source(&other.table)]);
    Some(Check {
        name: format!("{}.waiting", contract.entity),
        table: format!("{STAGING}.{}", contract.table),
        owner: contract.owner.clone(),
        severity: Severity::Warn,
        inputs: inputs.into_iter().collect(),
        quick: None,
        claim: None,
        sql: SqlText::made(sql, contract.source.clone(), 0..0),
    })
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
