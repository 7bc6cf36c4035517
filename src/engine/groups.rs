//! The groups of a query are those that it asks for.
//!
//! The engine believes more of keys than is true. Behind a join, a column by which one side was grouped counts as
//! one that determines all columns of what is grouped by it and others; behind an outer join such a column may be
//! NULL in rows that have nothing else in common. By such beliefs it adds columns to GROUP BY, and its optimiser
//! takes them away, with some that were asked for: groups are lost.
//!
//! What is grouped by twice has one column for two groups, and places of columns would not be those of groups.
//!
//! So groups that come twice and added columns that nobody reads are taken away right after planning
//! ([`asked_groups`]), and before plans are optimised, columns that a belief is about get another name where they are
//! grouped by, which ends it ([`AskedGroupsStay`]).

use datafusion::{
    common::{
        Column, Result,
        tree_node::{Transformed, TransformedResult, TreeNode as _, TreeNodeRecursion},
    },
    logical_expr::{Aggregate, Distinct, Expr, LogicalPlan, Projection, builder::add_group_by_exprs_from_dependencies},
    optimizer::{OptimizerConfig, OptimizerRule},
};

/// The plan with the groups that were asked for, each once, and those that are read.
pub(super) fn asked_groups(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| match &node {
        LogicalPlan::Aggregate(aggregate) => {
            Ok(once(aggregate)?.map_or_else(|| Transformed::no(node.clone()), Transformed::yes))
        }
        LogicalPlan::Projection(projection) => {
            Ok(slimmed(projection)?.map_or_else(|| Transformed::no(node.clone()), Transformed::yes))
        }
        _ => Ok(Transformed::no(node)),
    })
    .data()
}

/// An aggregate that groups by something twice, without that.
fn once(aggregate: &Aggregate) -> Result<Option<LogicalPlan>> {
    let groups = distinct(&aggregate.group_expr);
    if groups.len() == aggregate.group_expr.len() {
        return Ok(None);
    }
    let (input, values) = (aggregate.input.clone(), aggregate.aggr_expr.clone());
    Aggregate::try_new(input, groups, values).map(LogicalPlan::Aggregate).map(Some)
}

fn distinct(groups: &[Expr]) -> Vec<Expr> {
    let mut found: Vec<Expr> = Vec::new();
    for group in groups {
        if !found.contains(group) {
            found.push(group.clone());
        }
    }
    found
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
    if asked == aggregate.group_expr.len() {
        return Ok(None);
    }
    for expr in &exprs {
        if reads_more(expr)? {
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

/// An optimiser's rule that leaves no aggregate of which the engine could believe too much.
#[derive(Debug)]
pub(super) struct AskedGroupsStay;

impl OptimizerRule for AskedGroupsStay {
    fn name(&self) -> &'static str {
        "asked_groups_stay"
    }

    fn rewrite(&self, plan: LogicalPlan, _: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        let mut found = false;
        plan.apply_with_subqueries(|node| {
            found = renamed(node)?.is_some();
            Ok(if found { TreeNodeRecursion::Stop } else { TreeNodeRecursion::Continue })
        })?;
        if !found {
            return Ok(Transformed::no(plan));
        }
        // What is above learns of it by its schema.
        plan.transform_up_with_subqueries(|node| {
            let node = node.recompute_schema()?;
            Ok(Transformed::yes(renamed(&node)?.unwrap_or(node)))
        })
    }
}

/// An aggregate or DISTINCT of whose input the engine believes that some of the columns that it groups by
/// determine others: the same with other names for these, below their old ones.
fn renamed(node: &LogicalPlan) -> Result<Option<LogicalPlan>> {
    let (input, groups, values) = match node {
        LogicalPlan::Aggregate(aggregate) => {
            (&aggregate.input, distinct(&aggregate.group_expr), &aggregate.aggr_expr[..])
        }
        LogicalPlan::Distinct(Distinct::All(input)) => {
            (input, input.schema().iter().map(Expr::from).collect(), [].as_slice())
        }
        _ => return Ok(None),
    };
    let schema = input.schema();
    let place = |group: &Expr| group.try_as_col().and_then(|column| schema.maybe_index_of_column(column));
    let places: Vec<Option<usize>> = groups.iter().map(place).collect();
    let mut determining = vec![false; groups.len()];
    for belief in schema.functional_dependencies().iter() {
        let is_in = |place: &Option<usize>| place.is_some_and(|place| belief.source_indices.contains(&place));
        let all_there = belief.source_indices.iter().all(|source| places.contains(&Some(*source)));
        if all_there && !places.iter().all(is_in) {
            std::iter::zip(&mut determining, &places).for_each(|(known, place)| *known |= is_in(place));
        }
    }
    if !determining.contains(&true) {
        return Ok(None);
    }
    let named = std::iter::zip(groups, determining)
        .enumerate()
        .map(|(at, (group, determining))| if determining { group.alias(format!("__group_{at}")) } else { group });
    let aggregate = Aggregate::try_new(input.clone(), named.collect(), values.to_vec())?;
    let columns = std::iter::zip(aggregate.schema.iter(), node.schema().iter());
    let columns = columns.map(|(column, (qualifier, field))| match column {
        (now, named) if now == qualifier && named.name() == field.name() => Expr::from(column),
        _ => Expr::from(column).alias_qualified(qualifier.cloned(), field.name()),
    });
    let columns = columns.collect();
    Ok(Some(LogicalPlan::Projection(Projection::try_new(columns, LogicalPlan::Aggregate(aggregate).into())?)))
}
