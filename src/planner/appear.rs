//! The rows that a change may add to a query's result, where they follow from the changed rows alone.
//!
//! A rule's query gives the rows that break it. Where it held, only a row that is new in the result breaks
//! it, and for most rules that comes of a row that is new in a table: filtered, joined, or without the
//! partner that it should have; or of a partner that is gone. So there is no need to look at keys.

use datafusion::{
    common::{NullEquality, Result, ScalarValue, TableReference},
    logical_expr::{BinaryExpr, Expr, Join, JoinType, LogicalPlan, Operator, Projection, lit},
};

use super::{
    columns::{Columns, On, as_columns, column, distinct, filtered, numbered, position, spread, union},
    delta::{Changed, as_it_was, is_exact, pair},
    restrict::narrowed,
    sets::KeySets,
    shape::Node,
};
use crate::gold::unaliased;

/// Rows among which are all that the changed rows of a source add; none where that cannot be told.
pub(super) fn rows(
    node: &Node,
    source: &Node,
    changed: &dyn Fn(&TableReference) -> bool,
    sets: &mut KeySets<'_>,
) -> Result<Option<LogicalPlan>> {
    rows_of(node, source, false, changed, sets)
}

/// Where the rows are `sought` elsewhere, those that merely look like one that went are left out.
fn rows_of(
    node: &Node,
    source: &Node,
    sought: bool,
    changed: &dyn Fn(&TableReference) -> bool,
    sets: &mut KeySets<'_>,
) -> Result<Option<LogicalPlan>> {
    if let Some(rows) = repeated(node, source, changed, sets)? {
        return Ok(Some(rows));
    }
    let holds = |node: &Node| node.occurrences.contains(&source.occurrences.start);
    if node.id == source.id {
        let [before, after] = pair(source, sets)?;
        return if sought { alone(source, after, before, sets) } else { Ok(after) }.map(Some);
    }
    match (&node.plan, node.inputs.as_slice()) {
        (
            LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Sort(_),
            [input],
        ) => {
            let Some(rows) = rows_of(input, source, sought, changed, sets)? else { return Ok(None) };
            node.plan.with_new_exprs(node.plan.expressions(), vec![rows]).map(Some)
        }
        (LogicalPlan::Union(_), branches) => {
            let mut parts = Vec::new();
            for branch in branches.iter().filter(|branch| holds(branch)) {
                let Some(rows) = rows_of(branch, source, sought, changed, sets)? else { return Ok(None) };
                parts.push(rows);
            }
            union(parts, node.plan.schema()).map(Some)
        }
        (LogicalPlan::Join(join), [left, right]) => of_join(node, join, [left, right], source, changed, sets),
        _ => Ok(None),
    }
}

/// The rows of one side of a source's change of which the other side has none that is the same to the query.
fn alone(source: &Node, these: LogicalPlan, those: LogicalPlan, sets: &mut KeySets<'_>) -> Result<LogicalPlan> {
    if source.used.is_empty() {
        return Ok(these);
    }
    let mut named = |rows: LogicalPlan| {
        let qualifier = sets.qualifier();
        let columns = source
            .used
            .iter()
            .map(|&place| column(rows.schema(), place).alias_qualified(Some(qualifier.as_str()), format!("u{place}")));
        Projection::try_new(columns.collect(), rows.clone().into()).map(LogicalPlan::Projection)
    };
    // Of theirs, one of each: equal rows of both sides would be paired with one another.
    let (ours, theirs) = (named(these)?, distinct(named(those)?));
    let equal = (0..source.used.len()).map(|at| (column(ours.schema(), at), column(theirs.schema(), at))).collect();
    let on = On { equal, other: Vec::new(), nulls: NullEquality::NullEqualsNull };
    let alone = sets.add(on.join(ours, theirs, JoinType::LeftAnti)?);
    spread(sets.read(alone)?, &source.used, source.plan.schema())
}

fn of_join(
    node: &Node,
    join: &Join,
    [left, right]: [&Node; 2],
    source: &Node,
    changed: &dyn Fn(&TableReference) -> bool,
    sets: &mut KeySets<'_>,
) -> Result<Option<LogicalPlan>> {
    let on = On::of(join);
    let rejoined = |left: LogicalPlan, right: LogicalPlan| {
        node.plan.with_new_exprs(node.plan.expressions(), vec![left, right]).map(Some)
    };
    if left.occurrences.contains(&source.occurrences.start) {
        if !matches!(join.join_type, JoinType::Inner | JoinType::LeftSemi | JoinType::LeftAnti) {
            return Ok(None);
        }
        let Some(mut rows) = rows_of(left, source, true, changed, sets)? else { return Ok(None) };
        if join.join_type == JoinType::LeftAnti && right.changed && is_exact(right) && !left.used.is_empty() {
            // Most partners came when the rows did, and are at hand.
            let [_, came] = pair(right, sets)?;
            if let Some(alone) = rejoined(rows.clone(), came)? {
                let alone = Projection::try_new(numbered(&alone, &left.used), alone.into())?;
                let alone = sets.add(LogicalPlan::Projection(alone));
                rows = spread(sets.read(alone)?, &left.used, left.plan.schema())?;
            }
        }
        let partners = narrowed(right.plan.clone(), &right.used, &rows, &on.turned(), sets)?;
        return rejoined(rows, partners);
    }
    match join.join_type {
        JoinType::Inner | JoinType::LeftSemi => {
            let Some(rows) = rows_of(right, source, true, changed, sets)? else { return Ok(None) };
            let partners = narrowed(left.plan.clone(), &left.used, &rows, &on, sets)?;
            rejoined(partners, rows)
        }
        JoinType::LeftAnti if right.id == source.id => {
            let [before, after] = pair(source, sets)?;
            let gone = alone(source, before, after, sets)?;
            let bereft = narrowed(left.plan.clone(), &left.used, &gone, &on, sets)?;
            let bereft = on.clone().semi_join(bereft, gone)?;
            let partners = narrowed(right.plan.clone(), &right.used, &bereft, &on.turned(), sets)?;
            rejoined(bereft, partners)
        }
        _ => Ok(None),
    }
}

/// Groups of more than one row, where that is all that is asked of them: those that have more rows than they had, and
/// more than one of these, or had one before. None where a node is something else.
fn repeated(
    node: &Node,
    source: &Node,
    changed: &dyn Fn(&TableReference) -> bool,
    sets: &mut KeySets<'_>,
) -> Result<Option<LogicalPlan>> {
    let Some(groups) = groups_of_several(node, source) else { return Ok(None) };
    let Some(then) = as_it_was(&source.plan, changed, sets.tables)? else { return Ok(None) };
    let schema = source.plan.schema();
    let (rows, weight) = Changed::of(source, sets)?.weighted_rows(schema, sets)?;
    let qualifier = sets.qualifier();
    let keys = |weight: Expr| -> Result<LogicalPlan> {
        let rows = filtered(rows.clone(), vec![weight])?;
        let keys = groups.iter().enumerate();
        let keys = keys.map(|(at, &place)| {
            column(rows.schema(), place).alias_qualified(Some(qualifier.as_str()), format!("k{at}"))
        });
        Ok(LogicalPlan::Projection(Projection::try_new(keys.collect(), rows.into())?))
    };
    let several = keys(weight.clone().gt(lit(1_i64)))?;
    let one = keys(weight.eq(lit(1_i64)))?;
    let equal =
        groups.iter().enumerate().map(|(at, &place)| (column(schema, place), column(one.schema(), at))).collect();
    let on = On { equal, other: Vec::new(), nulls: NullEquality::NullEqualsNull };
    let had = narrowed(then, &source.used, &one, &on, sets)?;
    let again = on.turned().semi_join(one, had)?;
    let schema = node.plan.schema();
    let with_count = |keys: LogicalPlan| {
        let keys_of = (0..groups.len()).map(|at| column(keys.schema(), at));
        let count = lit(ScalarValue::Int64(None));
        as_columns(keys.clone(), keys_of.chain([count]).collect(), schema)
    };
    union(vec![with_count(several)?, with_count(again)?], schema).map(Some)
}

/// The columns of a source by which its rows are grouped, if a node keeps the groups of more than one, and only these
/// columns are wanted of it.
fn groups_of_several(node: &Node, source: &Node) -> Option<Vec<usize>> {
    let LogicalPlan::Filter(filter) = &node.plan else { return None };
    let LogicalPlan::Aggregate(aggregate) = &node.inputs[0].plan else { return None };
    let (rows, [count]) = (&node.inputs[0].inputs[0], aggregate.aggr_expr.as_slice()) else { return None };
    if rows.id != source.id {
        return None;
    }
    let groups = aggregate.group_expr.iter().map(|group| position(group, rows.plan.schema()));
    let groups = groups.collect::<Option<Vec<usize>>>()?;
    let Expr::AggregateFunction(function) = unaliased(count) else { return None };
    let of_all = matches!(function.params.args.as_slice(), [Expr::Literal(value, _)] if !value.is_null());
    let plain = !function.params.distinct && function.params.filter.is_none();
    let Expr::BinaryExpr(BinaryExpr { left, op: Operator::Gt, right }) = &filter.predicate else { return None };
    let is_count = position(left, &aggregate.schema) == Some(groups.len());
    let than_one = matches!(right.as_ref(), Expr::Literal(ScalarValue::Int64(Some(1)), _));
    let only_groups = !node.used.contains(&groups.len()) && groups.iter().copied().collect::<Columns>() == source.used;
    (function.func.name() == "count" && of_all && plain && is_count && than_one && only_groups && !groups.is_empty())
        .then_some(groups)
}
