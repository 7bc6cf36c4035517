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

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

use datafusion::{
    common::{NullEquality, Result},
    functions_aggregate::expr_fn::sum,
    logical_expr::{
        Aggregate, Distinct, Expr, ExprSchemable as _, Join, JoinType, LogicalPlan, Projection, Union, Window, lit,
        utils::split_conjunction,
    },
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
    let used = root.used_columns();
    let relaxed =
        Relax { changed: Some(occurrence), used: &used, tables }.node(root, &key.iter().copied().collect())?;
    let keys = key.iter().map(|&place| column(relaxed.schema(), place)).collect();
    let projected = LogicalPlan::Projection(Projection::try_new(keys, relaxed.into())?);
    Ok(distinct(projected))
}

/// The rows that went or came, as far as the model can tell: in the columns that it depends on. A row
/// that went and came again with other values elsewhere is none.
fn changed_rows(before: LogicalPlan, after: LogicalPlan, used: &Columns) -> Result<LogicalPlan> {
    let schema = Arc::clone(before.schema());
    let counted = |rows: LogicalPlan, weight: i64| -> Result<Arc<LogicalPlan>> {
        let columns = used.iter().enumerate().map(|(to, &from)| column(rows.schema(), from).alias(format!("u{to}")));
        let columns = columns.chain([lit(weight).alias("weight")]).collect();
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(columns, rows.into())?)))
    };
    let both = Union::try_new_with_loose_types(vec![counted(before, -1)?, counted(after, 1)?])?;
    let both = Arc::new(LogicalPlan::Union(both));
    let groups = (0..used.len()).map(|place| column(both.schema(), place)).collect();
    let weight = column(both.schema(), used.len());
    let net = LogicalPlan::Aggregate(Aggregate::try_new(both, groups, vec![sum(weight).alias("net")])?);
    let differs = column(net.schema(), used.len()).not_eq(lit(0_i64));
    let net = filtered(net, vec![differs])?;
    let places: BTreeMap<usize, usize> = used.iter().enumerate().map(|(to, &from)| (from, to)).collect();
    let exprs = (0..schema.fields().len()).map(|place| match places.get(&place) {
        Some(&place) => Ok(column(net.schema(), place)),
        None => null(&schema, place),
    });
    let exprs = exprs.collect::<Result<_>>()?;
    as_columns(net, exprs, &schema)
}

/// One side of a join.
struct Side<'a> {
    node: &'a Node,
    /// What is needed above the join.
    needed: Columns,
    /// What is needed of it, for the join's conditions too.
    below: Columns,
}

/// Positions of columns.
type Columns = BTreeSet<usize>;

#[derive(Clone, Copy)]
struct Relax<'a> {
    /// The changed occurrence; none is changed where a plan is wanted with all rows that are or were.
    changed: Option<usize>,
    /// By occurrence, the columns on which the model depends.
    used: &'a [Columns],
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
                let image = |image: Image| {
                    let rows = self.tables.image(&scan.table_name, image)?;
                    match &scan.projection {
                        Some(projection) if rows.schema().fields().len() != projection.len() => {
                            let exprs = projection.iter().map(|&place| column(rows.schema(), place)).collect();
                            as_columns(rows, exprs, schema)
                        }
                        _ => renamed(rows, schema),
                    }
                };
                if self.holds_change(node) {
                    return changed_rows(
                        image(Image::Before)?,
                        image(Image::After)?,
                        &self.used[node.occurrences.start],
                    );
                }
                union(vec![image(Image::Before)?, node.plan.clone()], schema)
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
        let left = Side {
            node: left,
            needed: needed.iter().copied().filter(|place| *place < width).collect(),
            below: left_below,
        };
        let right_places = needed.iter().filter(|place| right_needed && **place >= width).map(|place| place - width);
        let right = Side { node: right, needed: right_places.collect(), below: right_below };
        let matched = || -> Result<LogicalPlan> {
            if !right_needed {
                padded(self.with_partner(&left, &right, on.clone())?, schema)
            } else if !left_needed {
                padded(self.with_partner(&right, &left, on.turned())?, schema)
            } else {
                on.clone().join(self.side(&left)?, self.side(&right)?, JoinType::Inner)
            }
        };
        // Rows of one side without the other: all of them, or those that the change in the other
        // side may have left alone or joined.
        let left_alone = || -> Result<LogicalPlan> {
            let rows = if in_right { self.with_partner(&left, &right, on.clone())? } else { self.side(&left)? };
            padded(rows, schema)
        };
        let right_alone = || -> Result<LogicalPlan> {
            let rows = if in_left { self.with_partner(&right, &left, on.turned())? } else { self.side(&right)? };
            padded(rows, schema)
        };
        match join.join_type {
            JoinType::Inner => matched(),
            JoinType::LeftSemi => padded(self.with_partner(&left, &right, on.clone())?, schema),
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

    fn side(self, side: &Side<'_>) -> Result<LogicalPlan> {
        self.node(side.node, &side.below)
    }

    /// The rows of a side that have a partner on the other, with the columns that are needed; `on` has
    /// this side first.
    fn with_partner(self, this: &Side<'_>, other: &Side<'_>, on: On) -> Result<LogicalPlan> {
        // Looking for a partner among rows that have to be gathered costs more than the keys that it spares.
        if other.node.gathers() && !self.holds_change(other.node) {
            return self.side(this);
        }
        // Columns that equal the other side's need no rows of this one, which may be many: its changed
        // rows have the values.
        let schema = this.node.plan.schema();
        let theirs = |place: &usize| {
            let ours = column(schema, *place);
            let (_, theirs) = on.equal.iter().find(|(one, _)| *one == ours)?;
            let data_type = theirs.get_type(other.node.plan.schema()).ok()?;
            (data_type == *schema.field(*place).data_type()).then(|| (*place, theirs.clone()))
        };
        if self.holds_change(other.node)
            && !this.needed.is_empty()
            && let Some(values) = this.needed.iter().map(theirs).collect::<Option<BTreeMap<usize, Expr>>>()
        {
            let exprs = (0..schema.fields().len()).map(|place| match values.get(&place) {
                Some(theirs) => Ok(theirs.clone()),
                None => null(schema, place),
            });
            return as_columns(self.side(other)?, exprs.collect::<Result<_>>()?, schema);
        }
        on.semi_join(self.side(this)?, self.side(other)?)
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
            .map(|&place| column(touched.schema(), place).alias_qualified(Some("__touched"), format!("p{place}")))
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
