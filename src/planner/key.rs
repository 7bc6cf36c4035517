//! The choice of the rebuild key.
//!
//! Any output columns may be K that read nothing derived. The best restrict the most tables; among
//! those what the model is tested to be unique by, then a unique key that follows from its tables, is
//! finest, the smallest first; then columns that identify
//! something (keys of tables, columns that are joined, grouped or partitioned by); then all of them.

use std::collections::BTreeSet;

use datafusion::logical_expr::LogicalPlan;

use super::{
    Whole, Why,
    columns::{On, position},
    restrict::reached,
    shape::{Node, kept_groups, partition_columns},
};
use crate::gold::unique_keys;

/// Positions of output columns, in ascending order.
pub(super) fn choose(root: &Node, tested: &[Vec<usize>]) -> Result<(Vec<usize>, Why), Whole> {
    let legal: BTreeSet<usize> = (0..root.derived.len()).filter(|place| !root.derived[*place]).collect();
    if legal.is_empty() {
        return Err(Whole::NoKey);
    }
    let tested = tested.iter().map(|key| (Why::Tested, key.iter().copied().collect::<BTreeSet<_>>()));
    let unique = unique_keys(&root.plan).into_iter().map(|key| (Why::Unique, key));
    let mut candidates: Vec<(Why, BTreeSet<usize>)> =
        tested.chain(unique).filter(|(_, key)| key.is_subset(&legal)).collect();
    let identifying: BTreeSet<usize> = legal.iter().copied().filter(|place| identifies(root, *place)).collect();
    candidates.extend(identifying.iter().map(|place| (Why::Identifying, BTreeSet::from([*place]))));
    candidates.push((Why::Identifying, identifying));
    candidates.push((Why::All, legal.clone()));
    candidates.extend(legal.iter().map(|place| (Why::Any, BTreeSet::from([*place]))));
    let all = root.occurrences.len();
    let judged = candidates.into_iter().filter(|(_, key)| !key.is_empty()).map(|(why, key)| {
        let key: Vec<usize> = key.into_iter().collect();
        let left_whole = all - reached(root, &key).len();
        (left_whole, why, key.len(), key)
    });
    match judged.min() {
        Some((left_whole, ..)) if left_whole == all && all > 0 => Err(Whole::NothingRestricted),
        Some((_, why, _, key)) => Ok((key, why)),
        None => Err(Whole::NoKey),
    }
}

/// Whether an output column says which thing a row is about, rather than something about it.
fn identifies(node: &Node, place: usize) -> bool {
    match (&node.plan, node.inputs.as_slice()) {
        (LogicalPlan::TableScan(_), _) => unique_keys(&node.plan).iter().any(|key| key.contains(&place)),
        (LogicalPlan::Projection(projection), [input]) => {
            position(&projection.expr[place], input.plan.schema()).is_some_and(|place| identifies(input, place))
        }
        (LogicalPlan::Aggregate(aggregate), _) => kept_groups(aggregate).get(place).is_some_and(Option::is_some),
        (LogicalPlan::Window(window), [input]) => {
            partition_columns(window).contains(&place) || (place < input.derived.len() && identifies(input, place))
        }
        (LogicalPlan::Join(join), [left, right]) => {
            let on = On::of(join).equal;
            let width = left.derived.len();
            let joined = |expr, node: &Node, place| position(expr, node.plan.schema()) == Some(place);
            if place < width {
                on.iter().any(|(ours, _)| joined(ours, left, place)) || identifies(left, place)
            } else if place - width < right.derived.len() {
                on.iter().any(|(_, theirs)| joined(theirs, right, place - width)) || identifies(right, place - width)
            } else {
                false
            }
        }
        (LogicalPlan::Union(_), branches) => branches.iter().any(|branch| identifies(branch, place)),
        (_, [input]) => place < input.derived.len() && identifies(input, place),
        _ => false,
    }
}
