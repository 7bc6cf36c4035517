//! The rows that a change may add to a query's result, where they follow from the changed rows alone.
//!
//! A rule's query gives the rows that break it. Where it held, only a row that is new in the result breaks
//! it, and for most rules that comes of a row that is new in a table: filtered, joined, or without the
//! partner that it should have; or of a partner that is gone. So there is no need to look at keys.

use datafusion::{
    common::Result,
    logical_expr::{Join, JoinType, LogicalPlan, Projection, lit},
};

use super::{
    columns::{On, column, filtered, union},
    delta::{Changed, pair},
    restrict::narrowed,
    sets::KeySets,
    shape::Node,
};

/// Rows among which are all that the changed rows of a source add; none where that cannot be told.
pub(super) fn rows(node: &Node, source: &Node, sets: &mut KeySets<'_>) -> Result<Option<LogicalPlan>> {
    let holds = |node: &Node| node.occurrences.contains(&source.occurrences.start);
    if node.id == source.id {
        return came(source, false, sets).map(Some);
    }
    match (&node.plan, node.inputs.as_slice()) {
        (
            LogicalPlan::Projection(_) | LogicalPlan::Filter(_) | LogicalPlan::SubqueryAlias(_) | LogicalPlan::Sort(_),
            [input],
        ) => {
            let Some(rows) = rows(input, source, sets)? else { return Ok(None) };
            node.plan.with_new_exprs(node.plan.expressions(), vec![rows]).map(Some)
        }
        (LogicalPlan::Union(_), branches) => {
            let mut parts = Vec::new();
            for branch in branches.iter().filter(|branch| holds(branch)) {
                let Some(rows) = rows(branch, source, sets)? else { return Ok(None) };
                parts.push(rows);
            }
            union(parts, node.plan.schema()).map(Some)
        }
        (LogicalPlan::Join(join), [left, right]) => of_join(node, join, [left, right], source, sets),
        _ => Ok(None),
    }
}

/// The rows that came of a source. Where they are `sought` elsewhere, those that merely look like one that went do not
/// count, if a part of their columns decides.
fn came(source: &Node, sought: bool, sets: &mut KeySets<'_>) -> Result<LogicalPlan> {
    let schema = source.plan.schema();
    if !sought || source.used.len() == schema.fields().len() {
        let [_, after] = pair(source, sets)?;
        return Ok(after);
    }
    let (changed, weight) = Changed::of(source, sets)?.weighted_rows(schema, sets)?;
    let more = filtered(changed, vec![weight.gt(lit(0_i64))])?;
    let columns = (0..schema.fields().len()).map(|place| column(more.schema(), place)).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(columns, more.into())?))
}

fn of_join(
    node: &Node,
    join: &Join,
    [left, right]: [&Node; 2],
    source: &Node,
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
        let rows = if left.id == source.id { Some(came(source, true, sets)?) } else { rows(left, source, sets)? };
        let Some(rows) = rows else { return Ok(None) };
        let partners = narrowed(right.plan.clone(), &right.used, &rows, &on.turned(), sets)?;
        return rejoined(rows, partners);
    }
    match join.join_type {
        JoinType::Inner | JoinType::LeftSemi => {
            let Some(rows) = rows(right, source, sets)? else { return Ok(None) };
            let partners = narrowed(left.plan.clone(), &left.used, &rows, &on, sets)?;
            rejoined(partners, rows)
        }
        JoinType::LeftAnti if right.id == source.id => {
            let (changed, weight) = Changed::of(source, sets)?.weighted_rows(right.plan.schema(), sets)?;
            let gone = filtered(changed, vec![weight.lt(lit(0_i64))])?;
            let bereft = narrowed(left.plan.clone(), &left.used, &gone, &on, sets)?;
            let bereft = on.clone().semi_join(bereft, gone)?;
            let partners = narrowed(right.plan.clone(), &right.used, &bereft, &on.turned(), sets)?;
            rejoined(bereft, partners)
        }
        _ => Ok(None),
    }
}
