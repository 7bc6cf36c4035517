//! What windows partition by, as columns.
//!
//! A change goes through a window by its partitions, and keys reach what is below it by the columns that all of its
//! functions partition by. `PARTITION BY DATE_TRUNC('month', ordered_at)` names no column: what is computed there becomes
//! one below the windows of a SELECT, and where the SELECT says the same it is read.

use datafusion::{
    common::{
        Result,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion},
    },
    logical_expr::{Expr, LogicalPlan, Projection, expr_rewriter::NamePreserver},
};

use super::columns::{column, is_over, position};
use crate::gold::unaliased;

/// The plan with columns for all that its windows partition by.
pub(super) fn partitions_as_columns(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Projection(select) => {
            Ok(rewritten(select)?.map_or_else(|| Transformed::no(node.clone()), Transformed::yes))
        }
        _ => Ok(Transformed::no(node)),
    })
    .data()
}

/// A SELECT list over windows that partition by what is computed, and perhaps a QUALIFY between.
fn rewritten(select: &Projection) -> Result<Option<LogicalPlan>> {
    let mut between = Vec::new();
    let mut below = select.input.as_ref();
    while let LogicalPlan::Window(_) | LogicalPlan::Filter(_) = below {
        between.push(below);
        below = below.inputs()[0];
    }
    let computed = computed(&between, below);
    if computed.is_empty() {
        return Ok(None);
    }
    let added = computed.iter().enumerate().map(|(number, expr)| expr.clone().alias(format!("__partition_{number}")));
    let all = below.schema().iter().map(Expr::from).chain(added).collect();
    let mut plan = LogicalPlan::Projection(Projection::try_new(all, below.clone().into())?);
    let first = below.schema().fields().len();
    let columns: Vec<Expr> = (first..plan.schema().fields().len()).map(|place| column(plan.schema(), place)).collect();
    let read = |expr: &Expr, names: &NamePreserver| -> Result<Expr> {
        let name = names.save(expr);
        let read = expr.clone().transform_down(|part| {
            Ok(match computed.iter().position(|expr| *expr == part) {
                Some(number) => Transformed::new(columns[number].clone(), true, TreeNodeRecursion::Jump),
                None => Transformed::no(part),
            })
        });
        Ok(name.restore(read.data()?))
    };
    for node in between.into_iter().rev() {
        let names = NamePreserver::new(node);
        let exprs = node.expressions().iter().map(|expr| read(expr, &names)).collect::<Result<_>>()?;
        plan = node.with_new_exprs(exprs, vec![plan])?;
    }
    let names = NamePreserver::new_for_projection();
    let exprs = select.expr.iter().map(|expr| read(expr, &names)).collect::<Result<_>>()?;
    Projection::try_new(exprs, plan.into()).map(LogicalPlan::Projection).map(Some)
}

/// What the windows partition by that is no column, each once.
fn computed(windows: &[&LogicalPlan], input: &LogicalPlan) -> Vec<Expr> {
    let mut found = Vec::new();
    for window in windows {
        let LogicalPlan::Window(window) = window else { continue };
        for expr in &window.window_expr {
            let Expr::WindowFunction(function) = unaliased(expr) else { continue };
            for by in &function.params.partition_by {
                let is_new = position(by, input.schema()).is_none() && !found.contains(by);
                if is_new && is_over(by, input.schema()) {
                    found.push(by.clone());
                }
            }
        }
    }
    found
}
