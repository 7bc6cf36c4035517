//! The model relaxed: a query whose keys contain every key that the change of one table occurrence
//! may affect.
//!
//! The changed occurrence is read as the rows that went and came, every other one as it is or was.
//! Aggregates leave their group keys and windows the partitions that hold a changed row. Conditions
//! that read what an aggregate or window computes are left out: their value may have changed in
//! rows that did not. An outer join gives its matched rows, each also without the nullable side, and
//! the unmatched rows unless the change is inside the nullable side; an anti join is no condition,
//! unless the change is inside its right side: then rows with a partner there are affected.
//!
//! Relaxed plans are monotone: rows more in any input are never a row less in the result. So a table
//! as it is *and* was may stand for either, and several changes follow one after the other.
//!
//! Each relaxed operator has the columns of the one it stands for. Those that nothing above needs
//! are NULL.

use std::collections::BTreeSet;

use datafusion::{
    common::{NullEquality, Result},
    logical_expr::{Distinct, Expr, Join, JoinType, LogicalPlan, Projection, Window, utils::split_conjunction},
};

use super::{
    Image, Tables,
    columns::{
        On, as_columns, at_most_one, column, distinct, filtered, null, one_row, padded, reads, renamed, unfailing,
        union,
    },
    shape::{Node, kept_groups, partition_columns},
};

/// The distinct values of the key columns that a change of one occurrence may affect.
pub(super) fn affected_keys(root: &Node, key: &[usize], occurrence: usize, tables: &dyn Tables) -> Result<LogicalPlan> {
    let relaxed = Relax { changed: Some(occurrence), tables }.node(root, &key.iter().copied().collect())?;
    let keys = key.iter().map(|&place| column(relaxed.schema(), place)).collect();
    let projected = LogicalPlan::Projection(Projection::try_new(keys, relaxed.into())?);
    Ok(distinct(projected))
}

/// Positions of columns.
type Columns = BTreeSet<usize>;

#[derive(Clone, Copy)]
struct Relax<'a> {
    /// The changed occurrence; none is changed where a plan is wanted with all rows that are or were.
    changed: Option<usize>,
    tables: &'a dyn Tables,
}

impl Relax<'_> {
    fn holds_change(self, node: &Node) -> bool {
        node.contains(self.changed)
    }

    /// The relaxed operator, with the columns that are needed.
    fn node(self, node: &Node, needed: &Columns) -> Result<LogicalPlan> {
        if !node.changed {
            return Ok(node.plan.clone());
        }
        let schema = node.plan.schema();
        match (&node.plan, node.inputs.as_slice()) {
            (LogicalPlan::TableScan(scan), _) => {
                let mut images = vec![self.tables.image(&scan.table_name, Image::Before)?];
                if self.holds_change(node) {
                    images.push(self.tables.image(&scan.table_name, Image::After)?);
                } else {
                    images.push(node.plan.clone());
                }
                let images = images.into_iter().map(|image| match &scan.projection {
                    Some(projection) if image.schema().fields().len() != projection.len() => {
                        let exprs = projection.iter().map(|&place| column(image.schema(), place)).collect();
                        as_columns(image, exprs, schema)
                    }
                    _ => Ok(image),
                });
                union(images.collect::<Result<_>>()?, schema)
            }
            (LogicalPlan::Projection(projection), [input]) => {
                let wanted = |place: usize| needed.contains(&place) && !node.derived[place];
                let below = projection.expr.iter().enumerate().filter(|(place, _)| wanted(*place));
                let below = below.flat_map(|(_, expr)| reads(expr, input.plan.schema())).collect();
                let relaxed = self.node(input, &below)?;
                let exprs = projection.expr.iter().enumerate().map(|(place, expr)| {
                    if wanted(place) { unfailing(expr, input.plan.schema()) } else { null(schema, place) }
                });
                let exprs = exprs.collect::<Result<_>>()?;
                as_columns(relaxed, exprs, schema)
            }
            (LogicalPlan::Filter(filter), [input]) => {
                let kept = split_conjunction(&filter.predicate).into_iter().filter(|term| !input.reads_derived(term));
                let kept = kept.map(|term| unfailing(term, input.plan.schema())).collect::<Result<Vec<_>>>()?;
                let below = kept.iter().flat_map(|term| reads(term, schema)).chain(needed.iter().copied()).collect();
                filtered(self.node(input, &below)?, kept)
            }
            (LogicalPlan::Join(join), [left, right]) => self.join(node, join, left, right, needed),
            (LogicalPlan::Aggregate(aggregate), [input]) => {
                if aggregate.group_expr.is_empty() {
                    if !self.holds_change(input) {
                        return one_row(schema);
                    }
                    let nothing = (0..schema.fields().len()).map(|place| null(schema, place)).collect::<Result<_>>()?;
                    return Ok(at_most_one(as_columns(self.node(input, &Columns::new())?, nothing, schema)?));
                }
                let groups = kept_groups(aggregate);
                let wanted = |place: usize| {
                    let expr = groups.get(place).and_then(Option::as_ref);
                    expr.filter(|_| needed.contains(&place) && !node.derived[place])
                };
                let columns = 0..schema.fields().len();
                let below = columns.clone().filter_map(wanted).flat_map(|expr| reads(expr, input.plan.schema()));
                let relaxed = self.node(input, &below.collect())?;
                let exprs = columns.map(|place| match wanted(place) {
                    Some(expr) => unfailing(expr, input.plan.schema()),
                    None => null(schema, place),
                });
                let exprs = exprs.collect::<Result<_>>()?;
                Ok(distinct(as_columns(relaxed, exprs, schema)?))
            }
            (LogicalPlan::Distinct(Distinct::All(_)), [input]) => Ok(distinct(self.node(input, needed)?)),
            (LogicalPlan::Window(window), [input]) => self.window(node, window, input, needed),
            (LogicalPlan::Union(_), branches) => {
                let here = self.holds_change(node);
                let branches = branches.iter().filter(|branch| !here || self.holds_change(branch));
                let branches = branches.map(|branch| self.node(branch, needed)).collect::<Result<_>>()?;
                union(branches, schema)
            }
            (LogicalPlan::SubqueryAlias(_) | LogicalPlan::Sort(_), [input]) => {
                renamed(self.node(input, needed)?, schema)
            }
            (other, _) => Ok(other.clone()),
        }
    }

    fn join(self, node: &Node, join: &Join, left: &Node, right: &Node, needed: &Columns) -> Result<LogicalPlan> {
        let schema = node.plan.schema();
        let width = left.derived.len();
        let on = self.kept_conditions(join, left, right)?;
        let conditions = on.equal.iter().flat_map(|(left, right)| [left, right]).chain(&on.other);
        let (mut left_below, mut right_below): (Columns, Columns) = (Columns::new(), Columns::new());
        for condition in conditions {
            left_below.extend(reads(condition, left.plan.schema()));
            right_below.extend(reads(condition, right.plan.schema()));
        }
        let right_needed = match join.join_type {
            JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full => {
                needed.iter().any(|place| *place >= width)
            }
            _ => false,
        };
        let left_needed = needed.iter().any(|place| *place < width);
        left_below.extend(needed.iter().filter(|place| **place < width));
        if right_needed {
            right_below.extend(needed.iter().filter(|place| **place >= width).map(|place| place - width));
        }
        let (in_left, in_right) = (self.holds_change(left), self.holds_change(right));
        let lefts = || self.node(left, &left_below);
        let rights = || self.node(right, &right_below);
        // A side that gives no column only has to have a partner. Looking for one in a side that
        // gathers rows costs more than the keys that it spares.
        let with_partner = |this: LogicalPlan, on: On, other: &Node, others: &dyn Fn() -> Result<LogicalPlan>| {
            if other.gathers() && !self.holds_change(other) { Ok(this) } else { on.semi_join(this, others()?) }
        };
        let matched = || -> Result<LogicalPlan> {
            if !right_needed {
                padded(with_partner(lefts()?, on.clone(), right, &rights)?, schema)
            } else if !left_needed {
                padded(with_partner(rights()?, on.turned(), left, &lefts)?, schema)
            } else {
                on.clone().join(lefts()?, rights()?, JoinType::Inner)
            }
        };
        // Rows of one side without the other: all of them, or those that the change in the other
        // side may have left alone or joined.
        let left_alone = || -> Result<LogicalPlan> {
            let rows = if in_right { on.clone().semi_join(lefts()?, rights()?)? } else { lefts()? };
            padded(rows, schema)
        };
        let right_alone = || -> Result<LogicalPlan> {
            let rows = if in_left { on.turned().semi_join(rights()?, lefts()?)? } else { rights()? };
            padded(rows, schema)
        };
        match join.join_type {
            JoinType::Inner => matched(),
            JoinType::LeftSemi => padded(with_partner(lefts()?, on.clone(), right, &rights)?, schema),
            // The mark and the right side's absence may change only where the right side does.
            JoinType::LeftAnti | JoinType::LeftMark => left_alone(),
            JoinType::Left if right_needed => union(vec![matched()?, left_alone()?], schema),
            JoinType::Left => left_alone(),
            JoinType::Right if left_needed => union(vec![matched()?, right_alone()?], schema),
            JoinType::Right => right_alone(),
            _ => {
                let mut parts = vec![left_alone()?, right_alone()?];
                if left_needed && right_needed {
                    parts.push(matched()?);
                }
                union(parts, schema)
            }
        }
    }

    /// The join's conditions that read nothing derived.
    fn kept_conditions(self, join: &Join, left: &Node, right: &Node) -> Result<On> {
        let mut on = On::of(join);
        on.equal.retain(|(one, other)| !left.reads_derived(one) && !right.reads_derived(other));
        for (one, other) in &mut on.equal {
            *one = unfailing(one, left.plan.schema())?;
            *other = unfailing(other, right.plan.schema())?;
        }
        on.other.retain(|term| !left.reads_derived(term) && !right.reads_derived(term));
        let both = left.plan.schema().join(right.plan.schema())?;
        for term in &mut on.other {
            *term = unfailing(term, &both)?;
        }
        Ok(on)
    }

    /// A changed row alters other rows of its partitions: all rows of those that hold one.
    fn window(self, node: &Node, window: &Window, input: &Node, needed: &Columns) -> Result<LogicalPlan> {
        let schema = node.plan.schema();
        let mut below: Columns = needed.iter().copied().filter(|place| *place < input.derived.len()).collect();
        if !self.holds_change(input) {
            return padded(self.node(input, &below)?, schema);
        }
        let partition: Columns = partition_columns(window).into_iter().filter(|place| !input.derived[*place]).collect();
        below.extend(&partition);
        let all = Self { changed: None, ..self }.node(input, &below)?;
        let touched = self.node(input, &partition)?;
        let names: Vec<Expr> = partition
            .iter()
            .map(|&place| column(touched.schema(), place).alias_qualified(Some("touched"), format!("p{place}")))
            .collect();
        let touched = if names.is_empty() {
            touched
        } else {
            distinct(LogicalPlan::Projection(Projection::try_new(names, touched.into())?))
        };
        let equal = partition
            .iter()
            .enumerate()
            .map(|(index, &place)| (column(all.schema(), place), column(touched.schema(), index)));
        let on = On { equal: equal.collect(), other: Vec::new(), nulls: NullEquality::NullEqualsNull };
        padded(on.semi_join(all, touched)?, schema)
    }
}
