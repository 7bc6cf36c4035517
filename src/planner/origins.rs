//! Of which columns of tables the values of a query's columns are.
//!
//! In:  an analysed plan.
//! Out: by output column, columns of tables among whose values each of its values is, but NULL.
//! Rule: sound, not complete. A column that is computed is of none.

use std::collections::BTreeSet;

use datafusion::{
    common::{DFSchema, TableReference},
    logical_expr::{
        BinaryExpr, Distinct, Expr, Join, JoinType, LogicalPlan, Operator, TableScan, utils::split_conjunction,
    },
};

use super::columns::position;

/// Columns of tables.
pub type Origins = BTreeSet<(TableReference, String)>;

/// The origins of each of the plan's columns.
pub fn origins(plan: &LogicalPlan) -> Vec<Origins> {
    let mut found = match plan {
        LogicalPlan::TableScan(scan) => of_scan(scan),
        LogicalPlan::SubqueryAlias(alias) => origins(&alias.input),
        LogicalPlan::Sort(sort) => origins(&sort.input),
        LogicalPlan::Limit(limit) => origins(&limit.input),
        LogicalPlan::Distinct(Distinct::All(input)) => origins(input),
        // Its own columns come after those of its input.
        LogicalPlan::Window(window) => origins(&window.input),
        LogicalPlan::Filter(filter) => {
            let mut found = origins(&filter.input);
            for (one, other) in equal(&filter.predicate, filter.input.schema()) {
                share(&mut found, one, other);
            }
            found
        }
        LogicalPlan::Projection(projection) => of_exprs(&projection.expr, &projection.input),
        LogicalPlan::Aggregate(aggregate) => of_exprs(&aggregate.group_expr, &aggregate.input),
        LogicalPlan::Union(union) => {
            let mut branches = union.inputs.iter().map(|branch| origins(branch));
            let first = branches.next().unwrap_or_default();
            branches.fold(first, |all, one| std::iter::zip(all, one).map(|(all, one)| &all & &one).collect())
        }
        LogicalPlan::Join(join) => of_join(join),
        _ => Vec::new(),
    };
    found.resize(plan.schema().fields().len(), Origins::new());
    found
}

fn of_scan(scan: &TableScan) -> Vec<Origins> {
    let fields = scan.projected_schema.fields().iter();
    fields.map(|field| Origins::from([(scan.table_name.clone(), field.name().clone())])).collect()
}

fn of_exprs(exprs: &[Expr], input: &LogicalPlan) -> Vec<Origins> {
    let known = origins(input);
    let of = |expr| position(expr, input.schema()).map(|place| known[place].clone()).unwrap_or_default();
    // Of GROUPING SETS there is one for several columns.
    if exprs.iter().any(|expr| matches!(expr, Expr::GroupingSet(_))) {
        Vec::new()
    } else {
        exprs.iter().map(of).collect()
    }
}

fn of_join(join: &Join) -> Vec<Origins> {
    let (mut left, right) = (origins(&join.left), origins(&join.right));
    let width = left.len();
    left.extend(right);
    let Ok(schema) = join.left.schema().join(join.right.schema()) else { return Vec::new() };
    let on = join.on.iter().filter_map(|(one, other)| Some((position(one, &schema)?, position(other, &schema)?)));
    let mut pairs: Vec<(usize, usize)> = on.collect();
    pairs.extend(join.filter.iter().flat_map(|filter| equal(filter, &schema)));
    let mut found = left;
    for (one, other) in pairs {
        let (left, right) = (one.min(other), one.max(other));
        if left >= width || right < width {
            continue;
        }
        match join.join_type {
            JoinType::Inner | JoinType::LeftSemi | JoinType::RightSemi => share(&mut found, left, right),
            // Where there is no partner it is NULL.
            JoinType::Left => copy(&mut found, left, right),
            JoinType::Right => copy(&mut found, right, left),
            _ => {}
        }
    }
    match join.join_type {
        JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => found.truncate(width),
        JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => drop(found.drain(..width)),
        _ => {}
    }
    found
}

/// Pairs of columns that are equal in rows for which a condition holds.
fn equal(condition: &Expr, schema: &DFSchema) -> Vec<(usize, usize)> {
    let pair = |term: &Expr| match term {
        Expr::BinaryExpr(BinaryExpr { left, op: Operator::Eq, right }) => {
            Some((position(left, schema)?, position(right, schema)?))
        }
        _ => None,
    };
    split_conjunction(condition).into_iter().filter_map(pair).collect()
}

fn share(found: &mut [Origins], one: usize, other: usize) {
    copy(found, one, other);
    copy(found, other, one);
}

fn copy(found: &mut [Origins], from: usize, to: usize) {
    let of = found[from].clone();
    found[to].extend(of);
}
