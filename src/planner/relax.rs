//! The model relaxed: a query whose keys contain every key that the change of one table occurrence
//! may affect.
//!
//! The changed occurrence is read as the rows that went and came, every other one as it is or was.
//! Aggregates leave their group keys and windows the partitions that hold a changed row. Conditions
//! that read what an aggregate or window computes are left out: their value may have changed in
//! rows that did not. An outer join gives its matched rows, each also without the nullable side, and
//! the unmatched rows unless the change is inside the nullable side. Of an anti join whose right side holds
//! the change, rows with a partner there are affected; of one whose left side does, all but those that have a
//! partner which was there and still is.
//!
//! Relaxed plans are monotone: rows more in any input are never a row less in the result. So a table
//! as it is *and* was may stand for either, and several changes follow one after the other. The last of these rules is
//! the one that is not, and need not be: such a partner is there in every state between, and the model has the row in none.
//!
//! Each relaxed operator has the columns of the one it stands for. Those that nothing above needs
//! are NULL.

use std::{collections::BTreeMap, sync::Arc};

use datafusion::{
    common::{NullEquality, Result},
    logical_expr::{
        Distinct, Expr, ExprSchemable as _, Join, JoinType, LogicalPlan, Projection, Window, lit,
        utils::split_conjunction,
    },
};

use super::{
    Image,
    columns::{
        Columns, On, as_columns, at_most_one, column, distinct, filtered, null, numbered, one_row, padded, reads,
        renamed, spread, unfailing, union,
    },
    delta::{Changed, image, is_exact, netted, pair},
    restrict::narrowed,
    sets::KeySets,
    shape::{Node, kept_groups, partition_columns},
};

/// The distinct values of the key columns that the changed rows of a source may affect.
pub(super) fn affected_keys(root: &Node, key: &[usize], source: &Node, sets: &mut KeySets<'_>) -> Result<LogicalPlan> {
    let source = Source { id: source.id, occurrence: source.occurrences.start, changed: Changed::of(source, sets)? };
    let mut relax =
        Relax { source: Some(source), of_source: None, sets, sides: BTreeMap::new(), pairs: BTreeMap::new() };
    let relaxed = relax.node(root, &key.iter().copied().collect())?;
    let keys = key.iter().map(|&place| column(relaxed.schema(), place)).collect();
    let projected = LogicalPlan::Projection(Projection::try_new(keys, relaxed.into())?);
    Ok(distinct(projected))
}

/// The distinct values of the key columns among all rows that are or were.
#[cfg(test)]
pub(super) fn keys_ever(root: &Node, key: &[usize], sets: &mut KeySets<'_>) -> Result<LogicalPlan> {
    let mut relax = Relax { source: None, of_source: None, sets, sides: BTreeMap::new(), pairs: BTreeMap::new() };
    let relaxed = relax.node(root, &key.iter().copied().collect())?;
    let keys = key.iter().map(|&place| column(relaxed.schema(), place)).collect();
    Ok(distinct(LogicalPlan::Projection(Projection::try_new(keys, relaxed.into())?)))
}

/// The operator whose rows changed.
struct Source {
    id: usize,
    /// A table occurrence in it.
    occurrence: usize,
    changed: Changed,
}

/// One side of a join.
struct Side<'a> {
    node: &'a Node,
    /// What is needed above the join.
    needed: Columns,
    /// What of it the model's rows depend on, but for the join's conditions.
    used: Columns,
    /// What is needed of it, for the join's conditions too.
    below: Columns,
}

/// What the sides of a join are matched by.
struct Conditions {
    on: On,
    /// Whether these are all of the join's: none reads what an aggregate or a window computes.
    whole: bool,
}

impl Conditions {
    fn turned(&self) -> Self {
        Self { on: self.on.turned(), whole: self.whole }
    }
}

struct Relax<'a, 't> {
    /// None where a plan is wanted with all rows that are or were.
    source: Option<Source>,
    /// There: the source by its number, and what changed of it. What its windows compute is known.
    of_source: Option<(usize, Changed)>,
    sets: &'a mut KeySets<'t>,
    /// Sides of joins that were made, by their operator and the columns they have, and pairs, by the
    /// operator of the changed side and the columns of the other.
    sides: BTreeMap<(usize, Columns), LogicalPlan>,
    pairs: BTreeMap<(usize, Columns), LogicalPlan>,
}

impl Relax<'_, '_> {
    fn holds_change(&self, node: &Node) -> bool {
        self.source.as_ref().is_some_and(|source| node.occurrences.contains(&source.occurrence))
    }

    /// What changed of an operator's rows, if it is the source.
    fn changed(&self, node: &Node) -> Option<&Changed> {
        self.source.as_ref().filter(|source| source.id == node.id).map(|source| &source.changed)
    }

    /// A plan of an operator for all rows that are or were.
    fn unmarked(&mut self, node: &Node, needed: &Columns) -> Result<LogicalPlan> {
        let of_source = self.source.as_ref().map(|source| (source.id, source.changed.clone()));
        let (sides, pairs) = (BTreeMap::new(), BTreeMap::new());
        Relax { source: None, of_source, sets: &mut *self.sets, sides, pairs }.node(node, needed)
    }

    /// The relaxed operator, with the columns that are needed.
    fn node(&mut self, node: &Node, needed: &Columns) -> Result<LogicalPlan> {
        if !node.changed {
            return Ok(node.plan.clone());
        }
        let schema = node.plan.schema();
        if let Some(changed) = self.changed(node) {
            return changed.rows(schema, self.sets);
        }
        if let Some((_, changed)) = self.of_source.as_ref().filter(|(id, _)| *id == node.id) {
            return union(vec![changed.rows(schema, self.sets)?, node.plan.clone()], schema);
        }
        match (&node.plan, node.inputs.as_slice()) {
            (LogicalPlan::TableScan(scan), _) => {
                let before = image(scan, &node.plan, Image::Before, self.sets)?;
                union(vec![before, node.plan.clone()], schema)
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
                let mut rows = Vec::new();
                for branch in branches {
                    if !here || self.holds_change(branch) {
                        rows.push(self.node(branch, needed)?);
                    }
                }
                union(rows, schema)
            }
            (LogicalPlan::SubqueryAlias(_) | LogicalPlan::Sort(_), [input]) => {
                renamed(self.node(input, needed)?, schema)
            }
            (other, _) => Ok(other.clone()),
        }
    }

    fn join(&mut self, node: &Node, join: &Join, left: &Node, right: &Node, needed: &Columns) -> Result<LogicalPlan> {
        let schema = node.plan.schema();
        let width = left.derived.len();
        let on = self.kept_conditions(join, left, right)?;
        let both = matches!(join.join_type, JoinType::Inner | JoinType::Left | JoinType::Right | JoinType::Full);
        let of_left = |columns: &Columns| -> Columns { columns.iter().copied().filter(|at| *at < width).collect() };
        let of_right = |columns: &Columns| -> Columns {
            columns.iter().filter(|at| both && **at >= width).map(|at| at - width).collect()
        };
        let conditions = || on.equal.iter().flat_map(|(one, other)| [one, other]).chain(&on.other);
        let side = |node: &'_ Node, needed: Columns, used: Columns| {
            let read = conditions().flat_map(|condition| reads(condition, node.plan.schema()));
            let below = read.chain(needed.iter().copied()).collect();
            (needed, used, below)
        };
        let (needed_left, used_left, below) = side(left, of_left(needed), of_left(&node.used));
        let left = Side { node: left, needed: needed_left, used: used_left, below };
        let (needed_right, used_right, below) = side(right, of_right(needed), of_right(&node.used));
        let right = Side { node: right, needed: needed_right, used: used_right, below };
        let terms = on.equal.len() + on.other.len();
        let whole = terms == join.on.len() + join.filter.iter().flat_map(split_conjunction).count();
        let on = Conditions { on, whole };

        let (in_left, in_right) = (self.holds_change(left.node), self.holds_change(right.node));
        let (left_needed, right_needed) = (!left.needed.is_empty(), !right.needed.is_empty());
        let matched = |relax: &mut Self| -> Result<LogicalPlan> {
            if !right_needed {
                padded(relax.with_partner(&left, &right, &on)?, schema)
            } else if !left_needed {
                padded(relax.with_partner(&right, &left, &on.turned())?, schema)
            } else if in_right {
                padded(relax.pairs(&left, &right, &on)?, schema)
            } else if in_left {
                padded(relax.pairs(&right, &left, &on.turned())?, schema)
            } else {
                on.on.clone().join(relax.side(&left)?, relax.side(&right)?, JoinType::Inner)
            }
        };
        // Rows of one side without the other: all of them, or those that the change in the other
        // side may have left alone or joined.
        let left_alone = |relax: &mut Self| -> Result<LogicalPlan> {
            let rows = if in_right {
                relax.with_partner(&left, &right, &on)?
            } else if right_needed {
                relax.side(&left)?
            } else {
                relax.node(left.node, &left.needed)?
            };
            padded(rows, schema)
        };
        let right_alone = |relax: &mut Self| -> Result<LogicalPlan> {
            let rows = if in_left {
                relax.with_partner(&right, &left, &on.turned())?
            } else if left_needed {
                relax.side(&right)?
            } else {
                relax.node(right.node, &right.needed)?
            };
            padded(rows, schema)
        };
        match join.join_type {
            JoinType::Inner => matched(self),
            JoinType::LeftSemi => padded(self.with_partner(&left, &right, &on)?, schema),
            JoinType::LeftAnti if in_left => {
                let rows = self.side(&left)?;
                match self.settled(&right, &rows, &on)? {
                    Some(partners) => padded(on.on.clone().join(rows, partners, JoinType::LeftAnti)?, schema),
                    None => padded(rows, schema),
                }
            }
            // The mark and the right side's absence may change only where the right side does.
            JoinType::LeftAnti | JoinType::LeftMark => left_alone(self),
            JoinType::Left if right_needed => union(vec![matched(self)?, left_alone(self)?], schema),
            JoinType::Left => left_alone(self),
            JoinType::Right if left_needed => union(vec![matched(self)?, right_alone(self)?], schema),
            JoinType::Right => right_alone(self),
            _ => {
                let mut parts = vec![left_alone(self)?, right_alone(self)?];
                if left_needed && right_needed {
                    parts.push(matched(self)?);
                }
                union(parts, schema)
            }
        }
    }

    /// The rows of a side, with the columns that are needed. Those that hold the change are few, and kept.
    fn side(&mut self, side: &Side<'_>) -> Result<LogicalPlan> {
        let place = (side.node.id, side.below.clone());
        if let Some(made) = self.sides.get(&place) {
            return Ok(made.clone());
        }
        let plan = self.node(side.node, &side.below)?;
        if !self.holds_change(side.node) {
            return Ok(plan);
        }
        let plan = if self.changed(side.node).is_some() { plan } else { self.kept(plan, &side.below)? };
        self.sides.insert(place, plan.clone());
        Ok(plan)
    }

    /// The distinct rows of a plan in some columns, made once; the others are NULL.
    fn kept(&mut self, plan: LogicalPlan, columns: &Columns) -> Result<LogicalPlan> {
        if columns.is_empty() {
            return Ok(plan);
        }
        let schema = Arc::clone(plan.schema());
        let rows = distinct(LogicalPlan::Projection(Projection::try_new(numbered(&plan, columns), plan.into())?));
        let rows = self.sets.add(rows);
        spread(self.sets.read(rows)?, columns, &schema)
    }

    /// The rows of a side that can have a partner in the other one, which holds the change.
    fn beside(&mut self, this: &Side<'_>, changed: &Side<'_>, on: &On) -> Result<LogicalPlan> {
        let place = (this.node.id, this.below.clone());
        if let Some(made) = self.sides.get(&place) {
            return Ok(made.clone());
        }
        let rows = self.node(this.node, &this.below)?;
        let few = self.side(changed)?;
        let rows = narrowed(rows, &this.below, &few, on, self.sets)?;
        self.sides.insert(place, rows.clone());
        Ok(rows)
    }

    /// Rows of a side that were there and still are, among them partners of a few rows: whoever has one
    /// had it, too. None where that cannot be told.
    fn settled(&mut self, side: &Side<'_>, few: &LogicalPlan, on: &Conditions) -> Result<Option<LogicalPlan>> {
        if !on.whole || on.on.equal.is_empty() || (side.node.changed && !is_exact(side.node)) {
            return Ok(None);
        }
        let rows = narrowed(side.node.plan.clone(), &side.below, few, &on.on.turned(), self.sets)?;
        if !side.node.changed {
            return Ok(Some(rows));
        }
        // Rows that look like one that came are left out.
        let [_, came] = pair(side.node, self.sets)?;
        let names = side
            .below
            .iter()
            .map(|&place| column(came.schema(), place).alias_qualified(Some("__came"), format!("c{place}")));
        let came = LogicalPlan::Projection(Projection::try_new(names.collect(), came.into())?);
        let equal = side.below.iter().enumerate();
        let equal = equal.map(|(at, &place)| (column(rows.schema(), place), column(came.schema(), at))).collect();
        let same = On { equal, other: Vec::new(), nulls: NullEquality::NullEqualsNull };
        same.join(rows, came, JoinType::LeftAnti).map(Some)
    }

    /// The rows of a side that have a partner on the other, with the columns that are needed; `on` has
    /// this side first.
    fn with_partner(&mut self, this: &Side<'_>, other: &Side<'_>, on: &Conditions) -> Result<LogicalPlan> {
        if !self.holds_change(other.node) {
            // Looking for a partner among rows that have to be gathered costs more than the keys that it spares.
            let rows = self.side(this)?;
            if other.node.gathers() {
                return Ok(rows);
            }
            let other = if self.holds_change(this.node) {
                self.beside(other, this, &on.on.turned())?
            } else {
                self.side(other)?
            };
            return on.on.clone().semi_join(rows, other);
        }
        // Columns that equal the other side's need no rows of this one, which may be many: its changed
        // rows have the values.
        let schema = this.node.plan.schema();
        let theirs = |place: &usize| {
            let ours = column(schema, *place);
            let (_, theirs) = on.on.equal.iter().find(|(one, _)| *one == ours)?;
            let data_type = theirs.get_type(other.node.plan.schema()).ok()?;
            (data_type == *schema.field(*place).data_type()).then(|| (*place, theirs.clone()))
        };
        if !this.needed.is_empty()
            && let Some(values) = this.needed.iter().map(theirs).collect::<Option<BTreeMap<usize, Expr>>>()
        {
            let exprs = (0..schema.fields().len()).map(|place| match values.get(&place) {
                Some(theirs) => Ok(theirs.clone()),
                None => null(schema, place),
            });
            return as_columns(self.side(other)?, exprs.collect::<Result<_>>()?, schema);
        }
        if let Some(pairs) = self.changed_pairs(this, other, on)? {
            return padded(pairs, schema);
        }
        let rows = self.beside(this, other, &on.on)?;
        on.on.clone().semi_join(rows, self.side(other)?)
    }

    /// Rows of a side with their partners on the other one, which holds the change.
    fn pairs(&mut self, this: &Side<'_>, changed: &Side<'_>, on: &Conditions) -> Result<LogicalPlan> {
        if let Some(pairs) = self.changed_pairs(this, changed, on)? {
            return Ok(pairs);
        }
        let rows = self.beside(this, changed, &on.on)?;
        on.on.clone().join(rows, self.side(changed)?, JoinType::Inner)
    }

    /// Rows of a side with partners of which there are more or fewer than there were, where the other
    /// side is the source. What the model sees of partners is what counts: one that went and one that
    /// came may look the same. Both sides' columns, as far as they are known. None where the partners
    /// cannot be told.
    fn changed_pairs(&mut self, this: &Side<'_>, other: &Side<'_>, on: &Conditions) -> Result<Option<LogicalPlan>> {
        let Some(changed) = self.changed(other.node).filter(|_| on.whole && !on.on.equal.is_empty()) else {
            return Ok(None);
        };
        let changed = changed.clone();
        let place = (other.node.id, this.below.clone());
        if let Some(made) = self.pairs.get(&place) {
            return Ok(Some(made.clone()));
        }
        let rows = self.beside(this, other, &on.on)?;
        let (partners, weight) = changed.weighted_rows(other.node.plan.schema(), self.sets)?;
        let joined = on.on.clone().join(rows, partners, JoinType::Inner)?;
        let width = this.node.derived.len();
        let places: Columns = this.below.iter().copied().chain(other.used.iter().map(|place| width + place)).collect();
        let kept = numbered(&joined, &places).into_iter().chain([weight.alias("weight")]).collect();
        let net = netted(vec![LogicalPlan::Projection(Projection::try_new(kept, joined.into())?)], places.len())?;
        let differs = column(net.schema(), places.len()).not_eq(lit(0_i64));
        let found = self.sets.add(filtered(net, vec![differs])?);
        let both = this.node.plan.schema().join(other.node.plan.schema())?;
        let pairs = spread(self.sets.read(found)?, &places, &both)?;
        self.pairs.insert(place, pairs.clone());
        Ok(Some(pairs))
    }

    /// The join's conditions that read nothing derived.
    fn kept_conditions(&self, join: &Join, left: &Node, right: &Node) -> Result<On> {
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
    fn window(&mut self, node: &Node, window: &Window, input: &Node, needed: &Columns) -> Result<LogicalPlan> {
        let schema = node.plan.schema();
        let mut below: Columns = needed.iter().copied().filter(|place| *place < input.derived.len()).collect();
        if !self.holds_change(input) {
            return padded(self.node(input, &below)?, schema);
        }
        let partition: Columns = partition_columns(window).into_iter().filter(|place| !input.derived[*place]).collect();
        below.extend(&partition);
        let touched = self.node(input, &partition)?;
        let touched = self.kept(touched, &partition)?;
        let all = self.unmarked(input, &below)?;
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
        let all = narrowed(all, &below, &touched, &on, self.sets)?;
        padded(on.semi_join(all, touched)?, schema)
    }
}
