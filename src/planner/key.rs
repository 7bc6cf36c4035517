//! The choice of the rebuild key.
//!
//! Any output columns may be K that read nothing derived. The best restrict the most tables; among
//! those what the model is tested to be unique by, then a unique key that follows from its tables, is
//! finest, the smallest first; then columns that identify
//! something (keys of tables, columns that are joined, grouped or partitioned by); then all of them.
//!
//! A fine key has its price: where another table changes, the rows that it is joined with are looked up only for their
//! keys. So where such a table changed at least as many rows as the key's own, the column that they are joined by is K.
//! It is no coarser for the one's changes, which affect all of their partners, and for the other's adds at most as many.

use std::collections::BTreeSet;

use datafusion::{common::TableReference, logical_expr::LogicalPlan};

use super::{
    Whole, Why,
    columns::{Columns, On, position, reads},
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

/// A column that changed tables are joined by, which costs less than a key of one of them.
pub(super) fn joined(
    root: &Node,
    key: &[usize],
    changed_rows: &dyn Fn(&TableReference) -> Option<u64>,
) -> Option<Vec<usize>> {
    let scans = root.scans();
    let rows = |occurrences: &mut dyn Iterator<Item = usize>| -> Option<u64> {
        occurrences.map(|number| changed_rows(&scans[number].table)).sum()
    };
    let sought_by = |key: &[usize]| {
        let mut sought = BTreeSet::new();
        seek(root, &key.iter().copied().collect(), &mut sought);
        sought
    };
    let (sought, reaching) = (sought_by(key), reached(root, key).len());
    let own = rows(&mut root.changed_occurrences().into_iter().filter(|number| !sought.contains(number)))?;
    let places = (0..root.derived.len()).filter(|place| !root.derived[*place] && identifies(root, *place));
    let cheaper = places.filter_map(|place| {
        let left = sought_by(&[place]);
        let spared = rows(&mut sought.difference(&left).copied())?;
        let better = left.is_subset(&sought) && left.len() < sought.len() && reached(root, &[place]).len() >= reaching;
        (better && own <= spared).then_some((spared, std::cmp::Reverse(place)))
    });
    cheaper.max().map(|(_, place)| vec![place.0])
}

/// The changed occurrences whose rows do not tell the values of output columns themselves: for those, rows are looked
/// up that they are joined with.
fn seek(node: &Node, places: &Columns, sought: &mut BTreeSet<usize>) {
    if !node.changed || places.is_empty() {
        return;
    }
    let schema = |node: &Node| std::sync::Arc::clone(node.plan.schema());
    match (&node.plan, node.inputs.as_slice()) {
        (LogicalPlan::Projection(projection), [input]) => {
            let below = places.iter().flat_map(|place| reads(&projection.expr[*place], &schema(input))).collect();
            seek(input, &below, sought);
        }
        (LogicalPlan::Aggregate(aggregate), [input]) => {
            let groups = kept_groups(aggregate);
            let groups = places.iter().filter_map(|place| groups.get(*place)?.as_ref());
            seek(input, &groups.flat_map(|group| reads(group, &schema(input))).collect(), sought);
        }
        (LogicalPlan::Join(join), [left, right]) => {
            let (width, on) = (left.derived.len(), On::of(join).equal);
            let pairs: Vec<(usize, usize)> = on
                .iter()
                .filter_map(|(ours, theirs)| Some((position(ours, &schema(left))?, position(theirs, &schema(right))?)))
                .collect();
            let in_left: Columns = places.iter().copied().filter(|place| *place < width).collect();
            let in_right: Columns = places
                .iter()
                .map(|place| place.wrapping_sub(width))
                .filter(|place| *place < right.derived.len())
                .collect();
            let to_right = |place: &usize| pairs.iter().find(|(ours, _)| ours == place).map(|(_, theirs)| *theirs);
            let to_left = |place: &usize| pairs.iter().find(|(_, theirs)| theirs == place).map(|(ours, _)| *ours);
            if in_left.iter().any(|place| to_right(place).is_none()) {
                sought.extend(right.changed_occurrences());
            }
            if in_right.iter().any(|place| to_left(place).is_none()) {
                sought.extend(left.changed_occurrences());
            }
            let below_left = in_left.iter().copied().chain(in_right.iter().filter_map(to_left)).collect();
            let below_right = in_right.iter().copied().chain(in_left.iter().filter_map(to_right)).collect();
            seek(left, &below_left, sought);
            seek(right, &below_right, sought);
        }
        (_, inputs) => {
            for input in inputs {
                let below = places.iter().copied().filter(|place| *place < input.derived.len()).collect();
                seek(input, &below, sought);
            }
        }
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
