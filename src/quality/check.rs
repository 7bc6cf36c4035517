//! One rule over a table.

use crate::{engine::SqlText, gold::Relation, project::Severity};

/// What a rule says of a model that the model's SQL may say, too.
#[derive(Debug, Clone)]
pub enum Claim {
    /// Each value of the model's column, but NULL, is one of a column of another table.
    Related { model: String, column: String, parent: (Relation, String) },
    /// No two rows of the model have the same in these columns, but NULL.
    Unique { model: String, columns: Vec<String> },
}

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
    /// What none of the query's rows means, where it is this.
    pub claim: Option<Claim>,
}
