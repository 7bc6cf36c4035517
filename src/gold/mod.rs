//! Gold: the models, a dbt project in miniature.
//!
//! In:  `dbt_project.yml`, `models/**/*.sql` (Redshift SQL with `ref`, `source`, `config` and `var`
//!      in Jinja), `models/**/*.yml` (descriptions, owners, data tests), `tests/**/*.sql`.
//! Out: [`Models`] in an order in which every model comes after what it reads, and the
//!      [`Check`]s on them.
//!
//! A model is one SELECT of the whole truth, called after its file. What it reads decides its
//! rows: nothing else may (no clock, no chance, no order of arrival), and that is checked.
//!
//! | file | holds |
//! |---|---|
//! | `dbt_project`, `schema_yml` | the YAML files |
//! | `render` | Jinja, with every place kept |
//! | `load`, `order` | the project as a whole, and who reads whom |
//! | `data_tests` | tests as queries |
//! | `plan` | a model's plan and stored types, and running it |
//! | `keys`, `determinism` | what is unique in a plan, and what its rows may not depend on |

mod data_tests;
mod dbt_project;
mod determinism;
mod keys;
mod load;
mod order;
mod plan;
mod render;
mod schema_yml;

use crate::{
    engine::{GOLD, STAGING, SqlText, TableUse},
    error::{Error, Result, nearest},
    quality::Check,
};

pub(crate) use data_tests::{Query, duplicates};
pub(crate) use determinism::check as check_determinism;
pub use keys::{Key, unaliased, unique_keys};
pub use plan::{Planned, execute, plan};
pub use schema_yml::Column;

/// Bumped when the same SQL over the same rows would give other rows than before.
const GOLD_SEMANTICS: u32 = 2;

/// A table that a model or check reads. Shown as SQL names it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// A cleaned table, its history or its tombstones.
    Source { schema: String, table: String },
    /// Another model, by its name.
    Model(String),
}

impl Relation {
    /// What a name in SQL means; nothing where no table can have it.
    pub(crate) fn of(named: TableUse) -> Option<Self> {
        match named.schema.as_str() {
            GOLD => Some(Self::Model(named.table)),
            STAGING => Some(Self::Source { schema: named.schema, table: named.table }),
            _ => None,
        }
    }

    pub fn schema(&self) -> &str {
        match self {
            Self::Source { schema, .. } => schema,
            Self::Model(_) => GOLD,
        }
    }

    pub fn table(&self) -> &str {
        match self {
            Self::Source { table, .. } => table,
            Self::Model(name) => name,
        }
    }
}

/// One table of the gold schema.
#[derive(Debug, Clone)]
pub struct Model {
    /// The file's name without `.sql`; the table's name.
    pub name: String,
    pub owner: String,
    pub description: String,
    /// What is planned, with the way back to the file.
    pub sql: SqlText,
    /// What it reads, each once, in the order of first use.
    pub inputs: Vec<Relation>,
    /// Columns that cluster the table's files.
    pub sort_key: Vec<String>,
    /// What is documented; need not be every column.
    pub columns: Vec<Column>,
    /// Column sets that tests hold unique and not NULL, with severity `error`. Whoever registers the
    /// table passes them on as its keys: an ORDER BY that another model may use must be total.
    pub unique_keys: Vec<Vec<String>>,
    /// Changes exactly when the rows might: then the model is computed anew.
    pub fingerprint: String,
    /// The YAML file that describes it, for complaints about columns.
    described_in: crate::error::SourceFile,
    column_spans: Vec<std::ops::Range<usize>>,
}

/// All models, each after those it reads, and all checks.
#[derive(Debug, Clone, Default)]
pub struct Models {
    models: Vec<Model>,
    checks: Vec<Check>,
}

impl Models {
    /// Each model after those it reads; among equals by name.
    pub fn iter(&self) -> impl Iterator<Item = &Model> {
        self.models.iter()
    }

    /// Every data test, in the order of the models, then the tests written as SQL.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// # Errors
    /// `Input`, naming the nearest model.
    pub fn get(&self, name: &str) -> Result<&Model> {
        self.models.iter().find(|model| model.name == name).ok_or_else(|| {
            let error = Error::input(format!("there is no model `{name}`"));
            match nearest(name, self.models.iter().map(|model| model.name.as_str())) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            }
        })
    }
}

/// Whether a name needs no quotes anywhere: lower case, digits and `_`, at most 127 bytes.
fn is_name(name: &str) -> bool {
    name.len() <= 127
        && name.starts_with(|first: char| first.is_ascii_lowercase() || first == '_')
        && name
            .chars()
            .all(|character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_')
}

#[cfg(test)]
mod tests;
