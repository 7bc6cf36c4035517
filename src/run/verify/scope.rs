//! Which tables can be compared with what raw gives, and what has to be computed for that. Pure.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::{
    error::{Error, Result},
    lake::TableName,
};

/// A contract or a model: what makes tables.
#[derive(Debug, Clone)]
pub(super) struct Maker {
    pub(super) makes: Vec<TableName>,
    pub(super) reads: Vec<TableName>,
    /// Why its tables in the snapshot were made otherwise than it would make them now.
    pub(super) differs: Option<String>,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Scope {
    /// The makers whose tables are to be computed, in order.
    pub(super) steps: Vec<usize>,
    pub(super) compared: BTreeSet<TableName>,
    pub(super) left_out: Vec<LeftOut>,
}

/// A table that cannot be compared before the next run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LeftOut {
    pub table: TableName,
    pub why: String,
}

/// `makers` come after those whose tables they read; `standing` are the snapshot's tables. Without
/// names, all tables are wanted.
///
/// # Errors
/// `Input` for a name that no table has.
pub(super) fn scope<'a>(
    makers: &[Maker],
    standing: impl IntoIterator<Item = &'a TableName>,
    names: &[String],
) -> Result<Scope> {
    let mut why: BTreeMap<&TableName, String> = BTreeMap::new();
    let mut known: BTreeSet<TableName> = BTreeSet::new();
    for maker in makers {
        let blind = || maker.reads.iter().find(|read| why.contains_key(read));
        let reason =
            maker.differs.clone().or_else(|| blind().map(|read| format!("it reads `{read}`, which is left out")));
        known.extend(maker.makes.iter().cloned());
        if let Some(reason) = reason {
            why.extend(maker.makes.iter().map(|table| (table, reason.clone())));
        }
    }
    for table in standing {
        if known.insert(table.clone()) {
            why.insert(table, "its definition is gone: the next run drops it".into());
        }
    }
    let wanted = if names.is_empty() { known } else { named(&known, names)? };
    let (left_out, compared): (BTreeSet<TableName>, BTreeSet<TableName>) =
        wanted.into_iter().partition(|table| why.contains_key(table));
    let left_out = left_out.into_iter().map(|table| LeftOut { why: why[&table].clone(), table }).collect();

    let mut needed = compared.clone();
    let mut steps = Vec::new();
    for (place, maker) in makers.iter().enumerate().rev() {
        if maker.makes.iter().any(|table| needed.contains(table)) {
            needed.extend(maker.reads.iter().cloned());
            steps.push(place);
        }
    }
    steps.reverse();
    Ok(Scope { steps, compared, left_out })
}

/// The tables that people mean.
fn named(known: &BTreeSet<TableName>, names: &[String]) -> Result<BTreeSet<TableName>> {
    let (mut found, mut errors) = (BTreeSet::new(), Vec::new());
    for name in names {
        match TableName::meant(name, known) {
            Ok(table) => drop(found.insert(table)),
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors)?;
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maker(makes: &[&str], reads: &[&str]) -> Maker {
        let tables = |names: &[&str]| names.iter().map(|name| name.parse().unwrap()).collect();
        Maker { makes: tables(makes), reads: tables(reads), differs: None }
    }

    /// Two entities; `facts` reads both, `sums` reads `facts`, `days` reads nothing.
    fn makers() -> Vec<Maker> {
        vec![
            maker(&["staging.a", "staging.a_quarantine"], &[]),
            maker(&["staging.b"], &[]),
            maker(&["gold.days"], &[]),
            maker(&["gold.facts"], &["staging.a", "staging.b"]),
            maker(&["gold.sums"], &["gold.facts"]),
        ]
    }

    fn standing(makers: &[Maker]) -> Vec<TableName> {
        makers.iter().flat_map(|maker| maker.makes.clone()).collect()
    }

    fn shown<'a>(tables: impl IntoIterator<Item = &'a TableName>) -> Vec<String> {
        tables.into_iter().map(ToString::to_string).collect()
    }

    #[test]
    fn named_tables_bring_what_they_are_made_of_and_nothing_else() {
        let makers = makers();
        let found = |names: &[&str]| {
            let names: Vec<String> = names.iter().map(ToString::to_string).collect();
            scope(&makers, &standing(&makers), &names).unwrap()
        };
        assert_eq!(found(&[]).steps, [0, 1, 2, 3, 4]);
        assert_eq!(found(&["sums"]).steps, [0, 1, 3, 4]);
        assert_eq!(shown(&found(&["sums"]).compared), ["gold.sums"]);
        assert_eq!(found(&["staging.b"]).steps, [1]);
        assert_eq!(found(&["a_quarantine", "gold.days"]).steps, [0, 2]);
        let error = scope(&makers, &standing(&makers), &["fact".into()]).unwrap_err();
        assert_eq!(error.hint_text(), Some("did you mean `facts`?"));
    }

    #[test]
    fn what_was_made_otherwise_is_left_out_with_all_that_reads_it() {
        let mut makers = makers();
        makers[1].differs = Some("its contract changed".into());
        let mut standing = standing(&makers);
        standing.push(TableName::gold("old"));
        let found = scope(&makers, &standing, &[]).unwrap();
        assert_eq!(shown(&found.compared), ["staging.a", "staging.a_quarantine", "gold.days"]);
        assert_eq!(found.steps, [0, 2]);
        let told: Vec<String> = found.left_out.iter().map(|one| format!("{}: {}", one.table, one.why)).collect();
        assert_eq!(
            told,
            [
                "staging.b: its contract changed",
                "gold.facts: it reads `staging.b`, which is left out",
                "gold.old: its definition is gone: the next run drops it",
                "gold.sums: it reads `gold.facts`, which is left out",
            ]
        );
        assert_eq!(scope(&makers, &standing, &["sums".into()]).unwrap().steps, Vec::<usize>::new());
    }
}
