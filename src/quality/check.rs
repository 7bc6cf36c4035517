//! One rule over a table.

use crate::{engine::SqlText, gold::Relation, project::Severity};

/// A query whose rows are the failures: none means the rule holds.
#[derive(Debug, Clone)]
pub struct Check {
    /// Several rules of a contract may have one.
    pub name: String,
    /// The table that the rule is about, as `schema.table`.
    pub table: String,
    /// Who is told.
    pub owner: String,
    pub severity: Severity,
    /// Every table that the query reads.
    pub inputs: Vec<Relation>,
    pub sql: SqlText,
    /// A cheaper query: where it has no rows, the rule holds.
    pub quick: Option<SqlText>,
}
