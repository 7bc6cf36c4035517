//! The last gate before a plan runs: it may read the view's tables, and nothing else.
//!
//! Messages are made earlier, from the statement's words; this walks the finished plan with all its
//! subqueries, where nothing can hide behind spelling.

use datafusion::{
    common::tree_node::{TreeNode, TreeNodeRecursion},
    error::DataFusionError,
    logical_expr::{Expr, LogicalPlan},
};

use super::SqlError;

/// Names in SQL that would tell about the machine the server runs on.
const MACHINE_TABLES: [&str; 1] = ["df_settings"];

/// # Errors
/// `25006` where the plan changes something, `42501` where it looks at the machine.
pub fn read_only(plan: &LogicalPlan) -> Result<(), SqlError> {
    let mut refused = None;
    let walked = plan.apply_with_subqueries(|node| {
        refused = judge(node);
        Ok(if refused.is_some() { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
    });
    match (refused, walked) {
        (Some(error), _) => Err(error),
        (None, Ok(_)) => Ok(()),
        (None, Err(error)) => Err(SqlError::new("XX000", error.strip_backtrace())),
    }
}

fn judge(node: &LogicalPlan) -> Option<SqlError> {
    match node {
        LogicalPlan::Dml(_) => {
            Some(SqlError::new("25006", "changes to rows are refused: published snapshots are read only"))
        }
        LogicalPlan::Ddl(_) => {
            Some(SqlError::new("25006", "new or changed tables are refused: published snapshots are read only"))
        }
        LogicalPlan::Copy(_) => {
            Some(SqlError::new("42501", "COPY is refused: SQL reaches published tables only, never files"))
        }
        LogicalPlan::Statement(statement) => {
            Some(SqlError::new("42501", format!("{} is refused: it would change the engine", statement.name())))
        }
        LogicalPlan::TableScan(scan)
            if scan.table_name.schema().is_none_or(|schema| schema == "information_schema")
                && MACHINE_TABLES.contains(&scan.table_name.table()) =>
        {
            Some(SqlError::new("42501", format!("`{}` tells about the machine, not about the data", scan.table_name)))
        }
        _ => variables(node),
    }
}

/// `@name` and `@@name` would read the server's variables.
fn variables(node: &LogicalPlan) -> Option<SqlError> {
    let mut found = false;
    let walked: Result<_, DataFusionError> = node.apply_expressions(|expression| {
        expression.apply(|part| {
            found |= matches!(part, Expr::ScalarVariable(..));
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })
    });
    (found || walked.is_err()).then(|| SqlError::new("42501", "variables of the server cannot be read"))
}
