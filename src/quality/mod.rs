//! Quality: the rules of contracts and models, each a query whose rows are the failures.
//!
//! In:  the contracts' rules, the models' data tests, and a session that sees a candidate's tables.
//! Out: which rules do not hold, with counts, owners and sample rows.
//! Rule: a rule only looks; whether the run publishes is the run's decision.

mod audit;
mod check;
mod contract_rules;

pub(crate) use audit::count_rows;
pub use audit::{audit, fingerprint};
pub use check::{Check, Claim};
pub use contract_rules::waiting;

use crate::{gold::Models, project::Project};

/// Every rule of a project: the contracts', then the models'.
pub fn rules(project: &Project, models: &Models) -> Vec<Check> {
    let mut checks = contract_rules::checks(project);
    checks.extend(models.checks().iter().cloned());
    checks
}
