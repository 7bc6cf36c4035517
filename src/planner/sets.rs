//! Key sets: small tables that a plan reads, each made from those before it.

use std::sync::Arc;

use datafusion::{
    common::Result,
    logical_expr::{LogicalPlan, SubqueryAlias},
};

use super::Tables;

/// Rows that are made once, kept, and read by the plans that come after.
#[derive(Debug, Clone)]
pub struct KeySet {
    pub number: usize,
    /// Reads key sets with smaller numbers only.
    pub plan: LogicalPlan,
}

const ALIAS: &str = "__set_";

/// Whether a plan is the scan of a key set.
pub(super) fn is_set(plan: &LogicalPlan) -> bool {
    matches!(plan, LogicalPlan::SubqueryAlias(alias) if alias.alias.table().starts_with(ALIAS))
}

/// The key sets so far.
pub(super) struct KeySets<'a> {
    pub(super) tables: &'a dyn Tables,
    sets: Vec<KeySet>,
    uses: usize,
}

impl<'a> KeySets<'a> {
    pub(super) fn new(tables: &'a dyn Tables) -> Self {
        Self { tables, sets: Vec::new(), uses: 0 }
    }

    /// One more: its number.
    pub(super) fn add(&mut self, plan: LogicalPlan) -> usize {
        let number = self.sets.len();
        self.sets.push(KeySet { number, plan });
        number
    }

    /// A scan of it.
    pub(super) fn read(&self, number: usize) -> Result<LogicalPlan> {
        let scan = self.tables.keys(number, &self.sets[number].plan)?;
        Ok(LogicalPlan::SubqueryAlias(SubqueryAlias::try_new(Arc::new(scan), format!("{ALIAS}{number}"))?))
    }

    pub(super) fn get(&self, number: usize) -> &KeySet {
        &self.sets[number]
    }

    /// A name that no other use of a key set has.
    pub(super) fn qualifier(&mut self) -> String {
        self.uses += 1;
        format!("__keys_{}", self.uses)
    }

    pub(super) fn all(self) -> Vec<KeySet> {
        self.sets
    }
}
