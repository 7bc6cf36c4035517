//! Columns that the engine adds to GROUP BY because they hang on a key, taken away again where nobody reads them.
//!
//! Whether such a column changes the groups is not for sure: behind an outer join a key may be NULL in rows that have
//! nothing else in common, and of nested aggregates the engine believes more than is true. Its optimiser leaves
//! them out in the end, so they must not decide how a plan is followed.

use datafusion::{
    common::{
        Column, Result,
        tree_node::{Transformed, TransformedResult, TreeNode as _},
    },
    logical_expr::{Aggregate, Expr, LogicalPlan, Projection, builder::add_group_by_exprs_from_dependencies},
};

/// The plan with the groups that were asked for, and those that are read.
pub(super) fn asked_groups(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Projection(projection) => {
            Ok(slimmed(projection)?.map_or_else(|| Transformed::no(node.clone()), Transformed::yes))
        }
        _ => Ok(Transformed::no(node)),
    })
    .data()
}

/// A SELECT list over an aggregate, with what stands between: HAVING, windows.
fn slimmed(projection: &Projection) -> Result<Option<LogicalPlan>> {
    let mut between = Vec::new();
    let mut exprs = projection.expr.clone();
    let mut below = projection.input.as_ref();
    let aggregate = loop {
        match below {
            LogicalPlan::Filter(_) | LogicalPlan::Window(_) | LogicalPlan::Sort(_) => {
                exprs.extend(below.expressions());
                between.push(below);
                below = below.inputs()[0];
            }
            LogicalPlan::Aggregate(aggregate) => break aggregate,
            _ => return Ok(None),
        }
    };
    let asked = asked(aggregate)?;
    let reads_more = |expr: &Expr| {
        expr.exists(|part| {
            Ok(matches!(part, Expr::ScalarSubquery(_) | Expr::InSubquery(_) | Expr::Exists(_) | Expr::SetComparison(_)))
        })
    };
    for expr in &exprs {
        if asked == aggregate.group_expr.len() || reads_more(expr)? {
            return Ok(None);
        }
    }
    let is_read = |place: usize| {
        let column = Column::from(aggregate.schema.qualified_field(place));
        exprs.iter().any(|expr| expr.column_refs().contains(&column))
    };
    let groups = aggregate.group_expr.iter().enumerate();
    let groups: Vec<Expr> =
        groups.filter(|(place, _)| *place < asked || is_read(*place)).map(|(_, expr)| expr.clone()).collect();
    let slim = Aggregate::try_new(aggregate.input.clone(), groups, aggregate.aggr_expr.clone())?;
    let mut plan = LogicalPlan::Aggregate(slim);
    for node in between.into_iter().rev() {
        plan = node.with_new_exprs(node.expressions(), vec![plan])?;
    }
    Ok(Some(LogicalPlan::Projection(Projection::try_new(projection.expr.clone(), plan.into())?)))
}

/// How many of an aggregate's groups were asked for: the first ones, from which the others follow.
fn asked(aggregate: &Aggregate) -> Result<usize> {
    let groups = &aggregate.group_expr;
    for asked in 1..groups.len() {
        let all = add_group_by_exprs_from_dependencies(groups[..asked].to_vec(), aggregate.input.schema())?;
        if all == *groups {
            return Ok(asked);
        }
    }
    Ok(groups.len())
}
