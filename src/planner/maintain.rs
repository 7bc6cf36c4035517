//! Aggregates maintained by difference: what groups gain and lose is added to what they have.
//!
//! A coarse model has few groups, and nearly every change touches many of them: all their rows would be read
//! for a handful that changed. So where a model is one aggregate, of which every value can be read off the
//! model's rows, the rows below it that a change affects are computed as they were and as they are, both
//! are aggregated, and the current rows plus the one and minus the other are the fresh rows.
//!
//! Counts, sums of exact numbers, least and greatest values, and one COUNT(DISTINCT) go this way. Of the latter all
//! rows with a touched value are computed, so that each side counts it once for each group that has it.
//!
//! What the current rows do not tell: how many rows a group has of which none is counted, how many values
//! a sum has that comes to be zero, and what comes next when the least value goes. Groups in such a state are
//! computed from all their rows.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::{
    arrow::datatypes::DataType,
    common::{NullEquality, Result, ScalarValue, TableReference},
    functions_aggregate::expr_fn::{count, max, min, sum},
    logical_expr::{
        Aggregate, Expr, ExprSchemable as _, JoinType, LogicalPlan, Projection, Union, cast, expr::AggregateFunction,
        lit, when,
    },
};

use super::{
    Affected, ByDifference, Matched, Planned,
    columns::{Columns, On, as_columns, column, filtered, null, only, position, renamed, replaced, union},
    delta::{as_it_was, is_exact, pair},
    key,
    restrict::{self, FreshRows, reached},
    sets::KeySets,
    shape::Node,
};
use crate::gold::unaliased;

/// The plan by difference, if the model's rows tell enough, and no more is read than by groups, which
/// `grouped` are.
pub(super) fn plan(
    root: &Node,
    grouped: &[usize],
    changed: &dyn Fn(&TableReference) -> bool,
    sets: &mut KeySets<'_>,
) -> Result<Option<Planned>> {
    let Some(current) = sets.tables.current()? else { return Ok(None) };
    let Some(top) = Top::of(root)? else { return Ok(None) };
    let Some(sides) = Sides::of(&top, reached(root, grouped), changed, sets)? else { return Ok(None) };
    let difference = sets.add(top.difference(sides.before, sides.after)?);
    let affected_keys = sets.add(top.keys(sets.read(difference)?)?);
    let current = top.current(current, affected_keys, sets)?;
    let sum = sets.add(top.sum(sets.read(difference)?, current)?);
    let of = |status: Status| -> Result<LogicalPlan> {
        let rows = sets.read(sum)?;
        let is = column(rows.schema(), top.aggregate.schema.fields().len()).eq(lit(status as i32));
        filtered(rows, vec![is])
    };
    let sure = of(Status::There)?;
    let values = (0..top.aggregate.schema.fields().len()).map(|place| column(sure.schema(), place)).collect();
    let sure = as_columns(sure, values, &top.aggregate.schema)?;
    let sure = as_columns(sure, top.outputs.clone(), root.plan.schema())?;
    let unsure = sets.add(top.keys(of(Status::Unknown)?)?);
    let unsure = restrict::fresh_rows(root, &top.key, unsure, sets)?;
    let fresh = union(vec![sure, unsure.fresh], root.plan.schema())?;
    Ok(Some(Planned {
        key: top.key,
        by_difference: Some(sides.told_by),
        affected: sides.affected,
        affected_keys,
        fresh: FreshRows { fresh, restricted_by: sides.restricted_by },
    }))
}

/// Rows below an aggregate as they were and as they are, all that differ among them.
struct Sides {
    before: LogicalPlan,
    after: LogicalPlan,
    told_by: ByDifference,
    affected: Vec<Affected>,
    restricted_by: Vec<Vec<super::Restricted>>,
}

impl Sides {
    /// None where keys below the aggregate do not reach the tables that its groups reach.
    fn of(
        top: &Top<'_>,
        reached_by_groups: BTreeSet<usize>,
        changed: &dyn Fn(&TableReference) -> bool,
        sets: &mut KeySets<'_>,
    ) -> Result<Option<Self>> {
        let plan = top.aggregate.input.as_ref();
        let Ok(rows) = Node::root(plan, changed)? else { return Ok(None) };
        let wanted = |key: &[usize]| only(plan.clone(), &top.reads.iter().chain(key).copied().collect());
        if is_exact(&rows) && top.distinct.is_none() {
            let plan = wanted(&[])?;
            let Ok(rows) = Node::root(&plan, changed)? else { return Ok(None) };
            let [before, after] = pair(&rows, sets)?;
            let affected = vec![Affected::of(&rows, plan)?];
            let restricted_by = vec![Vec::new(); rows.occurrences.len()];
            return Ok(Some(Self { before, after, told_by: ByDifference::Rows, affected, restricted_by }));
        }
        let key = match top.distinct {
            Some(place) if rows.derived[place] => return Ok(None),
            Some(place) => vec![place],
            None => match key::choose(&rows, &[]) {
                Ok((key, _)) => key,
                Err(_) => return Ok(None),
            },
        };
        if !reached(&rows, &key).is_superset(&reached_by_groups) {
            return Ok(None);
        }
        // What the aggregate does not read may change as it likes.
        let plan = &wanted(&key)?;
        let Ok(rows) = Node::root(plan, changed)? else { return Ok(None) };
        let Some(then) = as_it_was(plan, changed, sets.tables)? else { return Ok(None) };
        let Ok(then) = Node::root(&then, &|_| true)? else { return Ok(None) };
        let Ok(affected) = super::affected(plan, &rows, &key, changed, sets)? else { return Ok(None) };
        let touched = sets.add(restrict::keys_of(&rows, &key, &affected)?);
        let now = restrict::fresh_rows(&rows, &key, touched, sets)?;
        let then = restrict::fresh_rows(&then, &key, touched, sets)?;
        let columns = key.iter().map(|&place| plan.schema().field(place).name().clone()).collect();
        Ok(Some(Self {
            before: then.fresh,
            after: now.fresh,
            told_by: ByDifference::Keys { columns, touched },
            affected,
            restricted_by: now.restricted_by,
        }))
    }
}

/// What is known of a group after a change.
#[derive(Debug, Clone, Copy)]
enum Status {
    Gone,
    There,
    Unknown,
}

/// One value of an aggregate.
struct Value {
    /// The place of the model's column that tells it.
    told_by: usize,
    kind: Kind,
    data_type: DataType,
}

enum Kind {
    /// Of rows, or of some of them: without any the group may be there all the same.
    Count {
        of_all: bool,
    },
    /// With the values that it adds, if some may be NULL.
    Sum {
        values: Option<Expr>,
    },
    Extreme(Extreme),
}

/// Which value of a group an aggregate gives.
#[derive(Debug, Clone, Copy)]
enum Extreme {
    Least,
    Greatest,
}

impl Extreme {
    fn of(self, values: Expr) -> Expr {
        match self {
            Self::Least => min(values),
            Self::Greatest => max(values),
        }
    }

    /// Whether of one value and another the group's is the one.
    fn is(self, one: Expr, other: Expr) -> Expr {
        match self {
            Self::Least => one.lt_eq(other),
            Self::Greatest => one.gt_eq(other),
        }
    }
}

/// A model that is one aggregate, some of its columns computed from the aggregate's.
struct Top<'a> {
    aggregate: &'a Aggregate,
    /// The model's columns, over the aggregate's.
    outputs: Vec<Expr>,
    /// K, in ascending order.
    key: Vec<usize>,
    /// By column of K, the group that it is.
    groups: Vec<usize>,
    values: Vec<Value>,
    /// The column below that COUNT(DISTINCT) counts.
    distinct: Option<usize>,
    /// The columns below that it reads.
    reads: Columns,
}

impl<'a> Top<'a> {
    fn of(root: &'a Node) -> Result<Option<Self>> {
        let schema = root.plan.schema();
        let mut outputs: Vec<Expr> = (0..schema.fields().len()).map(|place| column(schema, place)).collect();
        let mut node = root;
        let aggregate = loop {
            let through: Vec<Option<Expr>> = match (&node.plan, node.inputs.as_slice()) {
                (LogicalPlan::Projection(projection), [_]) => {
                    let at = |place: usize| Some(projection.expr[place].clone());
                    outputs.iter().map(|expr| replaced(expr, node.plan.schema(), at)).collect()
                }
                (LogicalPlan::SubqueryAlias(alias), [_]) => {
                    let at = |place: usize| Some(column(alias.input.schema(), place));
                    outputs.iter().map(|expr| replaced(expr, node.plan.schema(), at)).collect()
                }
                (LogicalPlan::Aggregate(aggregate), [_]) => break aggregate,
                _ => return Ok(None),
            };
            let Some(through) = through.into_iter().collect() else { return Ok(None) };
            (outputs, node) = (through, &node.inputs[0]);
        };
        let plain = aggregate.group_expr.iter().all(|expr| !matches!(expr, Expr::GroupingSet(_)));
        if !plain || aggregate.group_expr.is_empty() {
            return Ok(None);
        }
        Self::told(root, node, aggregate, outputs)
    }

    /// Finds which of the model's columns tells what.
    fn told(root: &Node, node: &Node, aggregate: &'a Aggregate, outputs: Vec<Expr>) -> Result<Option<Self>> {
        let schema = &aggregate.schema;
        let width = aggregate.group_expr.len();
        let mut key = Vec::new();
        for group in 0..width {
            let shown = |expr: &Expr| position(expr, schema) == Some(group);
            match outputs.iter().position(shown) {
                Some(place) if !node.derived[group] && !root.derived[place] => key.push((place, group)),
                _ => return Ok(None),
            }
        }
        key.sort_unstable();
        let (mut values, mut distinct) = (Vec::new(), None);
        for (number, expr) in aggregate.aggr_expr.iter().enumerate() {
            let Expr::AggregateFunction(function) = unaliased(expr) else { return Ok(None) };
            let data_type = schema.field(width + number).data_type().clone();
            let below = &node.inputs[0];
            let Some(kind) = kind(function, below, &data_type, &mut distinct)? else { return Ok(None) };
            let mut telling = outputs.iter().enumerate().filter(|(_, expr)| tells(expr, width + number, aggregate));
            let Some((told_by, _)) = telling.next() else { return Ok(None) };
            values.push(Value { told_by, kind, data_type });
        }
        let (key, groups) = key.into_iter().unzip();
        Ok(Some(Self { aggregate, outputs, key, groups, values, distinct, reads: node.inputs[0].used.clone() }))
    }

    /// Sums with NULL among what they add have the number of others beside them.
    fn known(&self) -> impl Iterator<Item = &Expr> {
        self.values.iter().filter_map(|value| match &value.kind {
            Kind::Sum { values } => values.as_ref(),
            Kind::Count { .. } | Kind::Extreme(_) => None,
        })
    }

    /// The values that differences add up to, with their places.
    fn summed(&self) -> impl Iterator<Item = (usize, &Value)> {
        self.values.iter().enumerate().filter(|(_, value)| !matches!(value.kind, Kind::Extreme(_)))
    }

    /// The others.
    fn extremes(&self) -> impl Iterator<Item = (usize, Extreme)> {
        self.values.iter().enumerate().filter_map(|(place, value)| match value.kind {
            Kind::Extreme(extreme) => Some((place, extreme)),
            Kind::Count { .. } | Kind::Sum { .. } => None,
        })
    }

    /// The groups whose values differ, with the difference: the groups, the values that are summed, the number of
    /// rows, and that of the known values of sums. Then of each extreme, what it is of the rows that went and of those
    /// that came.
    fn difference(&self, before: LogicalPlan, after: LogicalPlan) -> Result<LogicalPlan> {
        let (width, count_of_values) = (self.aggregate.group_expr.len(), self.values.len());
        let hidden = 1 + self.known().count();
        let summed: Vec<(usize, DataType)> = self
            .summed()
            .map(|(place, value)| (width + place, value.data_type.clone()))
            .chain((0..hidden).map(|place| (width + count_of_values + place, DataType::Int64)))
            .collect();
        let extremes: Vec<(usize, Extreme)> = self.extremes().collect();
        let side = |rows: LogicalPlan, taken: bool| -> Result<LogicalPlan> {
            let rows = renamed(rows, self.aggregate.input.schema())?;
            let grouped = self.grouped(rows)?;
            let schema = grouped.schema();
            let mut exprs: Vec<Expr> = (0..width).map(|place| column(schema, place)).collect();
            for (place, data_type) in &summed {
                let value = or_zero(column(schema, *place), data_type)?;
                let value = if taken { Expr::Negative(Box::new(value)) } else { value };
                exprs.push(cast(value, data_type.clone()));
            }
            for (place, _) in &extremes {
                let sides = [column(schema, width + place), null(schema, width + place)?];
                exprs.extend(if taken { sides } else { [sides[1].clone(), sides[0].clone()] });
            }
            let exprs = exprs.into_iter().enumerate();
            let exprs = exprs.map(|(place, expr)| expr.alias(format!("u{place}"))).collect();
            Ok(LogicalPlan::Projection(Projection::try_new(exprs, grouped.into())?))
        };
        let sides = vec![side(before, true)?.into(), side(after, false)?.into()];
        let both = LogicalPlan::Union(Union::try_new_with_loose_types(sides)?);
        let schema = Arc::clone(both.schema());
        let at = |place: usize| column(&schema, place);
        let sums = (width..width + summed.len()).map(|place| sum(at(place)));
        let of_sides = extremes.iter().enumerate().flat_map(|(number, (_, extreme))| {
            let place = width + summed.len() + 2 * number;
            [extreme.of(at(place)), extreme.of(at(place + 1))]
        });
        let values = sums.chain(of_sides).enumerate().map(|(place, value)| value.alias(format!("s{place}"))).collect();
        let groups = (0..width).map(at).collect();
        let net = LogicalPlan::Aggregate(Aggregate::try_new(both.into(), groups, values)?);
        let schema = Arc::clone(net.schema());
        let at = |place: usize| column(&schema, place);
        let mut differs = lit(false);
        let mut exprs: Vec<Expr> = (0..width).map(at).collect();
        for (place, (_, data_type)) in summed.iter().enumerate() {
            let value = cast(at(width + place), data_type.clone());
            differs = differs.or(value.clone().not_eq(zero(data_type)?));
            exprs.push(value.alias(format!("d{place}")));
        }
        for place in (width + summed.len()..schema.fields().len()).step_by(2) {
            let (went, came) = (at(place), at(place + 1));
            let only = |one: &Expr, other: &Expr| one.clone().is_not_null().and(other.clone().is_null());
            differs = differs.or(only(&went, &came)).or(only(&came, &went)).or(went.clone().not_eq(came.clone()));
            exprs.extend([went.alias(format!("d{}", place - width)), came.alias(format!("d{}", place + 1 - width))]);
        }
        let net = filtered(net, vec![differs])?;
        Ok(LogicalPlan::Projection(Projection::try_new(exprs, net.into())?))
    }

    /// The groups of one side with their values, the number of their rows, and that of the known values of their sums.
    fn grouped(&self, rows: LogicalPlan) -> Result<LogicalPlan> {
        let values = self.aggregate.aggr_expr.iter().map(|value| unaliased(value).clone());
        let numbers =
            std::iter::once(&lit(1_i64)).chain(self.known()).map(|counted| count(counted.clone())).collect::<Vec<_>>();
        let (groups, width) = (self.aggregate.group_expr.iter().cloned(), self.aggregate.group_expr.len());
        let named = |(place, value): (usize, Expr)| value.alias(format!("__v{place}"));
        let Some(distinct) = self.distinct else {
            let values = values.chain(numbers).enumerate().map(named).collect();
            return Ok(LogicalPlan::Aggregate(Aggregate::try_new(rows.into(), groups.collect(), values)?));
        };
        // First by what COUNT(DISTINCT) counts: the engine would hold a set for each group, of 40 kB and more.
        let of_count = |function: &AggregateFunction| function.params.distinct && function.func.name() == "count";
        let is_distinct = |value: &Expr| matches!(value, Expr::AggregateFunction(function) if of_count(function));
        let all: Vec<Expr> = values.chain(numbers).collect();
        let counted = column(rows.schema(), distinct).alias("__counted");
        let of_parts = all.iter().filter(|value| !is_distinct(value)).cloned().enumerate().map(named).collect();
        let parts = Aggregate::try_new(rows.into(), groups.chain([counted]).collect(), of_parts)?;
        let parts = LogicalPlan::Aggregate(parts);
        let mut place = width;
        let of_groups = all.iter().map(|value| match value {
            value if is_distinct(value) => count(column(parts.schema(), width)),
            value => {
                place += 1;
                let part = column(parts.schema(), place);
                match value {
                    Expr::AggregateFunction(function) if function.func.name() == "min" => min(part),
                    Expr::AggregateFunction(function) if function.func.name() == "max" => max(part),
                    _ => sum(part),
                }
            }
        });
        let of_groups = of_groups.enumerate().map(named).collect();
        let by = (0..width).map(|group| column(parts.schema(), group)).collect();
        let grouped = Aggregate::try_new(parts.into(), by, of_groups)?;
        let schema = Arc::clone(&grouped.schema);
        let types = self.values.iter().map(|value| value.data_type.clone());
        let types = types.chain(std::iter::repeat_n(DataType::Int64, all.len() - self.values.len()));
        // A sum of sums has more digits.
        let values = types.enumerate().map(|(place, data_type)| {
            let value = column(&schema, width + place);
            let is_it = *schema.field(width + place).data_type() == data_type;
            let value = if is_it { value } else { cast(value, data_type) };
            value.alias(format!("__v{place}"))
        });
        let columns = (0..width).map(|group| column(&schema, group)).chain(values).collect();
        Ok(LogicalPlan::Projection(Projection::try_new(columns, LogicalPlan::Aggregate(grouped).into())?))
    }

    /// The columns of K of rows that begin with the groups.
    fn keys(&self, rows: LogicalPlan) -> Result<LogicalPlan> {
        let keys = self.groups.iter().enumerate();
        let keys = keys.map(|(place, &group)| column(rows.schema(), group).alias(format!("k{place}"))).collect();
        Ok(LogicalPlan::Projection(Projection::try_new(keys, rows.into())?))
    }

    /// The model's current rows of some keys: the groups, and the values that they tell.
    fn current(&self, rows: LogicalPlan, keys: usize, sets: &KeySets<'_>) -> Result<LogicalPlan> {
        let found = match &rows {
            LogicalPlan::TableScan(scan) => {
                let columns = self.key.iter().enumerate().map(|(place, &column)| (column, place)).collect();
                let by = Matched { set: sets.get(keys), columns, nulls: NullEquality::NullEqualsNull };
                sets.tables.matching(scan, &by)?
            }
            _ => None,
        };
        let rows = found.unwrap_or(rows);
        let mut groups: Vec<(usize, usize)> =
            std::iter::zip(&self.groups, &self.key).map(|(&group, &place)| (group, place)).collect();
        groups.sort_unstable();
        let schema = &self.aggregate.schema;
        let groups = groups.into_iter();
        let groups =
            groups.map(|(group, place)| cast(column(rows.schema(), place), schema.field(group).data_type().clone()));
        let values = self.values.iter();
        let values = values.map(|value| cast(column(rows.schema(), value.told_by), value.data_type.clone()));
        let exprs = groups.chain(values).chain([lit(true)]).enumerate();
        let exprs = exprs.map(|(place, expr)| expr.alias_qualified(Some("__current"), format!("c{place}"))).collect();
        Ok(LogicalPlan::Projection(Projection::try_new(exprs, rows.into())?))
    }

    /// The groups that differ, with what their values come to, and what is known of them.
    fn sum(&self, difference: LogicalPlan, current: LogicalPlan) -> Result<LogicalPlan> {
        let width = self.aggregate.group_expr.len();
        let (count, summed) = (self.values.len(), self.summed().count());
        let groups = |plan: &LogicalPlan| (0..width).map(|place| column(plan.schema(), place)).collect::<Vec<_>>();
        let (ours, theirs) = (groups(&difference), groups(&current));
        let by = |place: usize| column(difference.schema(), width + place);
        let has = |place: usize| column(current.schema(), width + place);
        let rows = by(summed);
        let (mut counted, mut none_counted, mut unknown) = (lit(false), lit(false), lit(false));
        let (mut added, mut known, mut side) = (0, summed + 1, summed + 1 + self.known().count());
        let mut exprs = ours.clone();
        for (place, Value { kind, data_type, .. }) in self.values.iter().enumerate() {
            if let Kind::Extreme(extreme) = kind {
                let (went, came) = (by(side), by(side + 1));
                side += 2;
                let reaches = extreme.is(came.clone(), has(place));
                let goes = went.clone().is_not_null().and(went.eq(has(place)));
                let lost = goes.and(came.clone().is_null().or(Expr::Not(Box::new(reaches.clone()))));
                unknown = unknown.or(has(place).is_not_null().and(lost));
                let comes = has(place).is_null().or(came.clone().is_not_null().and(reaches));
                let value = when(comes, came).otherwise(has(place))?;
                counted = counted.or(value.clone().is_not_null());
                exprs.push(value);
                continue;
            }
            let zero = zero(data_type)?;
            let sum = cast(or_zero(has(place), data_type)? + by(added), data_type.clone());
            added += 1;
            let is_count = matches!(kind, Kind::Count { .. });
            counted =
                counted.or(if is_count { sum.clone().gt(zero.clone()) } else { sum.clone().not_eq(zero.clone()) });
            if matches!(kind, Kind::Count { of_all: true }) {
                none_counted = none_counted.or(sum.clone().lt_eq(zero.clone()));
            }
            exprs.push(if matches!(kind, Kind::Sum { values: Some(_) }) {
                let known_more = by(known);
                known += 1;
                let lost = known_more.clone().lt(lit(0_i64));
                unknown = unknown.or(has(place).is_not_null().and(lost).and(sum.clone().eq(zero)));
                let nothing = lit(ScalarValue::try_from(data_type)?);
                when(has(place).is_null().and(known_more.eq(lit(0_i64))), nothing).otherwise(sum)?
            } else {
                sum
            });
        }
        let is = |status: Status| lit(status as i32);
        let of_new = when(rows.gt(lit(0_i64)), is(Status::There)).otherwise(is(Status::Gone))?;
        let status = when(has(count).is_null(), of_new)
            .when(none_counted, is(Status::Gone))
            .when(unknown, is(Status::Unknown))
            .when(counted, is(Status::There))
            .otherwise(is(Status::Unknown))?;
        exprs.push(status);
        let equal = std::iter::zip(ours, theirs).collect();
        let on = On { equal, other: Vec::new(), nulls: NullEquality::NullEqualsNull };
        let joined = on.join(difference, current, JoinType::Left)?;
        let named = exprs.into_iter().enumerate().map(|(place, expr)| expr.alias(format!("u{place}"))).collect();
        Ok(LogicalPlan::Projection(Projection::try_new(named, joined.into())?))
    }
}

/// How an aggregate is kept, if a difference says enough. `distinct` is what COUNT(DISTINCT) counts, which
/// all of them have to agree on.
fn kind(
    function: &AggregateFunction,
    rows: &Node,
    data_type: &DataType,
    distinct: &mut Option<usize>,
) -> Result<Option<Kind>> {
    let params = &function.params;
    let (true, [value]) = (params.filter.is_none() && params.order_by.is_empty(), params.args.as_slice()) else {
        return Ok(None);
    };
    let below = rows.plan.schema();
    let nullable = value.nullable(below)? && !position(value, below).is_some_and(|place| rows.never_null(place));
    Ok(match (function.func.name(), params.distinct) {
        ("count", false) => Some(Kind::Count { of_all: !nullable }),
        // Of floats, -0 is counted as 0, and is another value to a lookup.
        ("count", true) if value.get_type(below)?.is_floating() => None,
        ("count", true) => match position(value, below) {
            Some(place) if distinct.is_none_or(|other| other == place) => {
                *distinct = Some(place);
                Some(Kind::Count { of_all: !nullable })
            }
            _ => None,
        },
        ("sum", false) if scale(data_type).is_some() => Some(Kind::Sum { values: nullable.then(|| value.clone()) }),
        ("min", _) if is_ordered(data_type) => Some(Kind::Extreme(Extreme::Least)),
        ("max", _) if is_ordered(data_type) => Some(Kind::Extreme(Extreme::Greatest)),
        _ => None,
    })
}

/// Whether an expression over an aggregate's columns is one of them, through casts that keep its value.
fn tells(expr: &Expr, place: usize, aggregate: &Aggregate) -> bool {
    match unaliased(expr) {
        Expr::Cast(cast) => {
            let from = cast.expr.get_type(&aggregate.schema).ok();
            let scales = (from.as_ref().and_then(scale), scale(cast.field.data_type()));
            matches!(scales, (Some(from), Some(to)) if from <= to) && tells(&cast.expr, place, aggregate)
        }
        expr => position(expr, &aggregate.schema) == Some(place),
    }
}

/// The digits behind the point of an exact number. A value that does not fit a type fails where it is cast.
fn scale(data_type: &DataType) -> Option<i8> {
    match data_type {
        DataType::Int16 | DataType::Int32 | DataType::Int64 => Some(0),
        DataType::Decimal128(_, scale) if *scale >= 0 => Some(*scale),
        _ => None,
    }
}

/// Whether the least of values is the one that compares as least. Of floats, -0 and 0 are different values that compare
/// as equal.
fn is_ordered(data_type: &DataType) -> bool {
    let is_text = matches!(data_type, DataType::Utf8View | DataType::Utf8);
    is_text || scale(data_type).is_some() || matches!(data_type, DataType::Date32 | DataType::Timestamp(..))
}

fn zero(data_type: &DataType) -> Result<Expr> {
    Ok(lit(ScalarValue::new_zero(data_type)?))
}

fn or_zero(value: Expr, data_type: &DataType) -> Result<Expr> {
    when(value.clone().is_null(), zero(data_type)?).otherwise(value)
}
