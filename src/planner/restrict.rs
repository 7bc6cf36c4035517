//! The model restricted to some keys: what it reads of its tables is cut down by semi-joins.
//!
//! The rule that every operator keeps: of its rows whose restricting columns are among the keys it
//! has exactly those of the model; other rows may be there or not, and may be wrong. So the last
//! step matches the result with the keys once more. What keys are made of is computed of rows, too, that conditions of the
//! model leave out, and must not fail there.
//!
//! Keys reach a table through columns that an operator passes on: group columns below an aggregate,
//! partition columns below a window, any column elsewhere. They never reach the nullable side of an
//! outer join: there a missing row would look like an absent partner. What reaches a join's other side,
//! nullable or not, are the join columns of the side that is restricted already. Where only columns of
//! a nullable side are among the keys, the join is taken apart: rows that have a partner, which both
//! sides restrict, and rows that have none, which matter only where NULL is a key.

use std::collections::BTreeSet;

use datafusion::{
    common::{
        DFSchema, NullEquality, Result,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion},
    },
    logical_expr::{
        BinaryExpr, Distinct, Expr, ExprSchemable as _, Join, JoinType, LogicalPlan, Operator, Projection,
        expr::ScalarFunction, lit,
    },
};

use super::{
    Affected, MATCHING, Matched, Restricted,
    columns::{
        Columns, On, column, distinct, filtered, is_over, null, numbered, only, padded, position, reads, renamed,
        replaced, spread, unfailing, union,
    },
    sets::{KeySets, is_set},
    shape::{Node, kept_groups, partition_columns},
};

/// What [`fresh_rows`] gives.
pub(super) struct FreshRows {
    pub(super) fresh: LogicalPlan,
    /// By table occurrence.
    pub(super) restricted_by: Vec<Vec<Restricted>>,
}

/// The distinct keys that any change may affect.
pub(super) fn keys_of(root: &Node, key: &[usize], affected: &[Affected]) -> Result<LogicalPlan> {
    let columns: Vec<Expr> = key.iter().map(|&place| column(root.plan.schema(), place)).collect();
    let named = LogicalPlan::Projection(Projection::try_new(columns, root.plan.clone().into())?);
    // With no change there are no keys: a plan of that shape is still wanted, to be looked at.
    let affected: Vec<LogicalPlan> = affected.iter().map(|affected| affected.plan.clone()).collect();
    Ok(if affected.is_empty() { distinct(named) } else { distinct(union(affected, named.schema())?) })
}

/// The rows of the model whose key is in a key set.
pub(super) fn fresh_rows(root: &Node, key: &[usize], affected: usize, sets: &mut KeySets<'_>) -> Result<FreshRows> {
    let columns: Vec<Expr> = key.iter().map(|&place| column(root.plan.schema(), place)).collect();
    let of_keys = Keys { set: affected, columns: (0..key.len()).collect() };
    let by = Restriction { exprs: columns, keys: of_keys, nulls: NullEquality::NullEqualsNull };
    let mut restrict = Restrict::new(root.occurrences.len(), sets);
    let restricted = restrict.node(root, vec![by.clone()])?;
    let fresh = restrict.matched(restricted, &by)?;
    Ok(FreshRows { fresh, restricted_by: restrict.restricted_by })
}

/// A plan's rows that have a partner among few others, and perhaps more of its rows, with the columns that are
/// wanted; `on` has the plan first, and reads no others of it.
pub(super) fn narrowed(
    plan: LogicalPlan,
    wanted: &Columns,
    few: &LogicalPlan,
    on: &On,
    sets: &mut KeySets<'_>,
) -> Result<LogicalPlan> {
    let plan = only(plan, wanted)?;
    let Ok(node) = Node::root(&plan, &|_| true)? else { return Ok(plan) };
    let pairs = on.equal.iter().map(|(ours, theirs)| (theirs.clone(), ours.clone()));
    let mut restrict = Restrict::new(node.occurrences.len(), sets);
    match restrict.derived(few, &pairs.collect::<Vec<_>>(), &node, on.nulls)? {
        Some(by) => restrict.node(&node, vec![by]),
        None => Ok(plan),
    }
}

/// The table occurrences that keys in these columns would reach, without making any plan.
pub(super) fn reached(root: &Node, key: &[usize]) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let exprs = key.iter().map(|&place| column(root.plan.schema(), place)).collect();
    reach(root, vec![exprs], &mut reached);
    reached
}

/// Some columns of a key set.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Keys {
    set: usize,
    columns: Vec<usize>,
}

/// An operator's rows are wanted only where these expressions are together among the keys.
#[derive(Debug, Clone)]
struct Restriction {
    exprs: Vec<Expr>,
    keys: Keys,
    nulls: NullEquality,
}

impl Restriction {
    /// The part of it whose expressions `map` knows, as it gives them.
    fn mapped(&self, map: impl Fn(&Expr) -> Option<Expr>) -> Option<Self> {
        let (mut exprs, mut columns) = (Vec::new(), Vec::new());
        for (expr, column) in std::iter::zip(&self.exprs, &self.keys.columns) {
            if let Some(expr) = map(expr) {
                exprs.push(expr);
                columns.push(*column);
            }
        }
        let keys = Keys { set: self.keys.set, columns };
        (!exprs.is_empty()).then_some(Self { exprs, keys, nulls: self.nulls })
    }

    /// All of it, or nothing.
    fn mapped_whole(&self, map: impl Fn(&Expr) -> Option<Expr>) -> Option<Self> {
        self.mapped(map).filter(|mapped| mapped.exprs.len() == self.exprs.len())
    }
}

struct Restrict<'a, 't> {
    sets: &'a mut KeySets<'t>,
    restricted_by: Vec<Vec<Restricted>>,
}

impl<'a, 't> Restrict<'a, 't> {
    fn new(occurrences: usize, sets: &'a mut KeySets<'t>) -> Self {
        Self { sets, restricted_by: vec![Vec::new(); occurrences] }
    }

    /// The operator's plan, restricted.
    fn node(&mut self, node: &Node, by: Vec<Restriction>) -> Result<LogicalPlan> {
        if by.is_empty() || is_set(&node.plan) {
            return Ok(node.plan.clone());
        }
        match (&node.plan, node.inputs.as_slice()) {
            (LogicalPlan::TableScan(_), _) => {
                let mut plan = node.plan.clone();
                for by in &by {
                    let columns = std::iter::zip(&by.exprs, &by.keys.columns);
                    let columns: Vec<_> = columns.map(|(expr, key)| (position(expr, plan.schema()), *key)).collect();
                    plan = match self.looked_up(&plan, by, &columns)? {
                        Some(found) => found,
                        None => self.matched(plan, by)?,
                    };
                    self.restricted_by[node.occurrences.start].push(Restricted { key_set: by.keys.set, columns });
                }
                Ok(plan)
            }
            (LogicalPlan::Join(join), [left, right]) => self.join(node, join, left, right, by),
            (LogicalPlan::Union(_), branches) => {
                let schema = node.plan.schema();
                let branches = branches.iter().map(|branch| {
                    let by = by.iter().filter_map(|by| by.mapped(|expr| below(node, branch, expr))).collect();
                    self.node(branch, by)
                });
                union(branches.collect::<Result<_>>()?, schema)
            }
            (_, [input]) => {
                let by: Vec<_> = by.iter().filter_map(|by| by.mapped(|expr| below(node, input, expr))).collect();
                if by.is_empty() {
                    return Ok(node.plan.clone());
                }
                let input = self.node(input, by)?;
                node.plan.with_new_exprs(node.plan.expressions(), vec![input])
            }
            _ => Ok(node.plan.clone()),
        }
    }

    fn join(
        &mut self,
        node: &Node,
        join: &Join,
        left: &Node,
        right: &Node,
        by: Vec<Restriction>,
    ) -> Result<LogicalPlan> {
        let sides = Sides::of(join, left, right);
        let (mut of_left, mut of_right) = (Vec::new(), Vec::new());
        for by in &by {
            let (to_left, to_right) = sides.down(by);
            of_left.extend(to_left);
            of_right.extend(to_right);
        }
        let restricts = |node: &Node, by: &[Restriction]| by.iter().any(|by| reaches(node, &by.exprs));
        if !sides.shares(&of_left, &of_right)
            && let Some((kept, present)) = sides.apart(&by, left, right)
        {
            return self.apart(node, join, [left, right], &by, kept, present);
        }
        // The side that the keys reach first is made first; its join columns restrict the other.
        let left_leads = sides.left_may_lead && restricts(left, &of_left);
        let right_leads = !left_leads && sides.right_may_lead && restricts(right, &of_right);
        if left_leads {
            let mut left_plan = self.node(left, of_left)?;
            if !sides.linked(&of_right, false) {
                let derived = self.kept(left, &mut left_plan, &sides.pairs(false), right, join.null_equality)?;
                of_right.extend(derived);
            }
            let right_plan = self.node(right, of_right)?;
            return rejoined(node, left_plan, right_plan);
        }
        if right_leads {
            let mut right_plan = self.node(right, of_right)?;
            if !sides.linked(&of_left, true) {
                let derived = self.kept(right, &mut right_plan, &sides.pairs(true), left, join.null_equality)?;
                of_left.extend(derived);
            }
            let left_plan = self.node(left, of_left)?;
            return rejoined(node, left_plan, right_plan);
        }
        let (left_plan, right_plan) = (self.node(left, of_left)?, self.node(right, of_right)?);
        rejoined(node, left_plan, right_plan)
    }

    /// An outer join as the rows of a stronger one, and those of the side at `present` that have no
    /// partner, each restricted for itself.
    fn apart(
        &mut self,
        node: &Node,
        join: &Join,
        sides: [&Node; 2],
        by: &[Restriction],
        stronger: JoinType,
        present: usize,
    ) -> Result<LogicalPlan> {
        let schema = node.plan.schema();
        let on = On::of(join);
        let joined = on.clone().join(sides[0].plan.clone(), sides[1].plan.clone(), stronger)?;
        let joined = node.as_join(joined, sides[0], sides[1], node.derived.clone());
        let matched = self.node(&joined, by.to_vec())?;

        let (there, absent) = (sides[present], sides[1 - present]);
        let on = if present == 0 { on } else { on.turned() };
        let alone = on.join(there.plan.clone(), absent.plan.clone(), JoinType::LeftAnti)?;
        let alone = node.as_join(alone, there, absent, there.derived.clone());
        let nothing = |place: usize| -> Option<Expr> {
            let column = column(schema, place);
            let gone = matches!(&column, Expr::Column(column) if absent.plan.schema().has_column(column));
            if gone { null(schema, place).ok() } else { Some(column) }
        };
        let mut of_alone = Vec::new();
        let mut wanted = Vec::new();
        for by in by {
            let exprs = by.exprs.iter().map(|expr| replaced(expr, schema, nothing)).collect::<Option<Vec<_>>>();
            let Some(exprs) = exprs else { continue };
            let (fixed, open): (Vec<_>, Vec<_>) = std::iter::zip(exprs, by.keys.columns.iter().copied())
                .partition(|(expr, _)| expr.column_refs().is_empty());
            if fixed.is_empty() {
                of_alone.push(by.clone());
                continue;
            }
            let keys = self.with_values(by, fixed, &open.iter().map(|(_, key)| *key).collect::<Vec<_>>())?;
            if open.is_empty() {
                wanted.push(keys);
            } else {
                let columns = (0..open.len()).collect();
                let exprs = open.into_iter().map(|(expr, _)| expr).collect();
                of_alone.push(Restriction { exprs, keys: Keys { set: keys, columns }, nulls: by.nulls });
            }
        }
        let mut without = self.node(&alone, of_alone)?;
        for set in wanted {
            let keys = self.sets.read(set)?;
            let any = On { equal: Vec::new(), other: Vec::new(), nulls: NullEquality::NullEqualsNothing };
            without = any.semi_join(without, keys)?;
        }
        union(vec![matched, padded(without, schema)?], schema)
    }

    /// The key set of those keys that have fixed values in some columns: their other columns.
    fn with_values(&mut self, by: &Restriction, fixed: Vec<(Expr, usize)>, others: &[usize]) -> Result<usize> {
        let keys = self.sets.read(by.keys.set)?;
        let operator = match by.nulls {
            NullEquality::NullEqualsNull => Operator::IsNotDistinctFrom,
            NullEquality::NullEqualsNothing => Operator::Eq,
        };
        let terms = fixed.into_iter().map(|(expr, key)| {
            let left = Box::new(column(keys.schema(), key));
            let right = Box::new(unfailing(&expr, &DFSchema::empty())?);
            Ok(Expr::BinaryExpr(BinaryExpr { left, op: operator, right }))
        });
        let terms = terms.collect::<Result<_>>()?;
        let kept: Vec<Expr> = if others.is_empty() {
            vec![lit(true).alias("k0")]
        } else {
            let columns = others.iter().map(|&key| column(keys.schema(), key));
            columns.enumerate().map(|(place, key)| key.alias(format!("k{place}"))).collect()
        };
        let found = filtered(keys.clone(), terms)?;
        let plan = distinct(LogicalPlan::Projection(Projection::try_new(kept, found.into())?));
        Ok(self.sets.add(plan))
    }

    /// The join columns of a restricted side, as a restriction of the other. The side's rows are kept, to be
    /// read twice.
    fn kept(
        &mut self,
        side: &Node,
        restricted: &mut LogicalPlan,
        pairs: &[(Expr, Expr)],
        other: &Node,
        nulls: NullEquality,
    ) -> Result<Option<Restriction>> {
        if !pairs.iter().any(|(_, theirs)| reaches(other, std::slice::from_ref(theirs))) {
            return Ok(None);
        }
        if !is_set(restricted) {
            let rows = Projection::try_new(numbered(restricted, &side.used), restricted.clone().into())?;
            let rows = self.sets.add(LogicalPlan::Projection(rows));
            *restricted = spread(self.sets.read(rows)?, &side.used, side.plan.schema())?;
        }
        self.derived(restricted, pairs, other, nulls)
    }

    /// The join columns of a restricted side, as a restriction of the other; none where that would
    /// reach no table.
    fn derived(
        &mut self,
        restricted: &LogicalPlan,
        pairs: &[(Expr, Expr)],
        other: &Node,
        nulls: NullEquality,
    ) -> Result<Option<Restriction>> {
        let pairs: Vec<&(Expr, Expr)> =
            pairs.iter().filter(|(_, theirs)| reaches(other, std::slice::from_ref(theirs))).collect();
        if pairs.is_empty() {
            return Ok(None);
        }
        let ours: Vec<Expr> = pairs.iter().map(|(ours, _)| ours.clone()).collect();
        let (from, ours) = origin(restricted, ours);
        let named = ours.into_iter().enumerate().map(|(place, expr)| {
            let expr = unfailing(&expr.unalias(), from.schema())?;
            Ok(expr.alias(format!("k{place}")))
        });
        let named = named.collect::<Result<_>>()?;
        let plan = distinct(LogicalPlan::Projection(Projection::try_new(named, from.clone().into())?));
        let number = self.sets.add(plan);
        let columns = (0..pairs.len()).collect();
        let exprs = pairs.into_iter().map(|(_, theirs)| theirs.clone()).collect();
        Ok(Some(Restriction { exprs, keys: Keys { set: number, columns }, nulls }))
    }

    /// The rows of a table that a restriction wants, if they can be found without reading the others.
    fn looked_up(
        &self,
        plan: &LogicalPlan,
        by: &Restriction,
        columns: &[(Option<usize>, usize)],
    ) -> Result<Option<LogicalPlan>> {
        let LogicalPlan::TableScan(scan) = plan else { return Ok(None) };
        let columns = columns.iter().map(|(place, key)| Some(((*place)?, *key))).collect::<Option<Vec<_>>>();
        let Some(columns) = columns else { return Ok(None) };
        let by = Matched { set: self.sets.get(by.keys.set), columns, nulls: by.nulls };
        let found = self.sets.tables.matching(scan, &by)?;
        found.map(|found| renamed(found, plan.schema())).transpose()
    }

    /// The rows of a plan that a restriction wants.
    fn matched(&mut self, plan: LogicalPlan, by: &Restriction) -> Result<LogicalPlan> {
        let keys = self.sets.read(by.keys.set)?;
        let qualifier = self.sets.qualifier();
        let columns =
            by.keys.columns.iter().map(|&place| {
                column(keys.schema(), place).alias_qualified(Some(qualifier.as_str()), format!("k{place}"))
            });
        let whole = by.keys.columns.len() == keys.schema().fields().len();
        let keys = LogicalPlan::Projection(Projection::try_new(columns.collect(), keys.clone().into())?);
        let keys = if whole { keys } else { distinct(keys) };
        let equal = by.exprs.iter().enumerate().map(|(place, expr)| {
            let expr = unfailing(expr, plan.schema())?;
            Ok((expr, column(keys.schema(), place)))
        });
        let equal = equal.collect::<Result<_>>()?;
        On { equal, other: Vec::new(), nulls: by.nulls }.semi_join(plan, keys)
    }
}

/// A join of the same kind over restricted inputs.
fn rejoined(node: &Node, left: LogicalPlan, right: LogicalPlan) -> Result<LogicalPlan> {
    node.plan.with_new_exprs(node.plan.expressions(), vec![left, right])
}

/// Whether keys in these expressions would reach a table.
fn reaches(node: &Node, exprs: &[Expr]) -> bool {
    let mut reached = BTreeSet::new();
    reach(node, vec![exprs.to_vec()], &mut reached);
    !reached.is_empty()
}

fn reach(node: &Node, by: Vec<Vec<Expr>>, reached: &mut BTreeSet<usize>) {
    let by: Vec<Vec<Expr>> = by.into_iter().filter(|exprs| !exprs.is_empty()).collect();
    if by.is_empty() || is_set(&node.plan) {
        return;
    }
    match (&node.plan, node.inputs.as_slice()) {
        (LogicalPlan::TableScan(_), _) => {
            reached.insert(node.occurrences.start);
        }
        (LogicalPlan::Join(join), [left, right]) => {
            let mut sides = Sides::of(join, left, right);
            let by = by.into_iter().map(|exprs| Restriction {
                keys: Keys { set: 0, columns: (0..exprs.len()).collect() },
                exprs,
                nulls: NullEquality::NullEqualsNull,
            });
            let by: Vec<Restriction> = by.collect();
            if let Some((stronger, _)) = sides.apart(&by, left, right)
                && !by.iter().any(|by| sides.shares_one(by))
            {
                sides.is_now(stronger);
            }
            let (mut of_left, mut of_right) = (Vec::new(), Vec::new());
            for by in &by {
                let (to_left, to_right) = sides.down(by);
                of_left.extend(to_left.into_iter().map(|by| by.exprs));
                of_right.extend(to_right.into_iter().map(|by| by.exprs));
            }
            let (mut in_left, mut in_right) = (BTreeSet::new(), BTreeSet::new());
            reach(left, of_left, &mut in_left);
            reach(right, of_right, &mut in_right);
            if sides.left_may_lead && !in_left.is_empty() {
                reach(right, sides.pairs(false).into_iter().map(|(_, theirs)| vec![theirs]).collect(), &mut in_right);
            } else if sides.right_may_lead && !in_right.is_empty() {
                reach(left, sides.pairs(true).into_iter().map(|(_, theirs)| vec![theirs]).collect(), &mut in_left);
            }
            reached.extend(in_left);
            reached.extend(in_right);
        }
        (_, inputs) => {
            for input in inputs {
                let by = by.iter().map(|exprs| exprs.iter().filter_map(|expr| below(node, input, expr)).collect());
                reach(input, by.collect(), reached);
            }
        }
    }
}

/// An expression over an operator's output as one over an input of it, if keys in it may pass.
fn below(node: &Node, input: &Node, expr: &Expr) -> Option<Expr> {
    let schema = node.plan.schema();
    let columns = reads(expr, schema);
    if columns.is_empty() {
        return None;
    }
    match &node.plan {
        LogicalPlan::Projection(projection) => replaced(expr, schema, |place| Some(projection.expr[place].clone())),
        LogicalPlan::Filter(_) | LogicalPlan::Sort(_) => Some(expr.clone()),
        LogicalPlan::SubqueryAlias(_) | LogicalPlan::Distinct(Distinct::All(_)) | LogicalPlan::Union(_) => {
            replaced(expr, schema, |place| Some(column(input.plan.schema(), place)))
        }
        LogicalPlan::Aggregate(aggregate) => {
            let groups = kept_groups(aggregate);
            replaced(expr, schema, |place| groups.get(place).cloned().flatten())
        }
        LogicalPlan::Window(window) => columns.is_subset(&partition_columns(window)).then(|| expr.clone()),
        _ => None,
    }
    .filter(|expr| !reads(expr, input.plan.schema()).is_empty())
}

/// What may pass through a join.
struct Sides<'a> {
    left: &'a DFSchema,
    right: &'a DFSchema,
    equal: Vec<(Expr, Expr)>,
    /// Keys in columns of a side may restrict it: it is not the nullable one.
    left_may_lead: bool,
    right_may_lead: bool,
    join_type: JoinType,
}

impl<'a> Sides<'a> {
    fn of(join: &Join, left: &'a Node, right: &'a Node) -> Self {
        let (left, right) = (left.plan.schema().as_ref(), right.plan.schema().as_ref());
        // NULL is not in an empty list, and unknown in any other: what NOT IN gives hangs on all of its list.
        let equal = if join.null_aware { Vec::new() } else { On::of(join).equal };
        let mut sides =
            Self { left, right, equal, left_may_lead: true, right_may_lead: true, join_type: join.join_type };
        sides.is_now(join.join_type);
        sides
    }

    fn is_now(&mut self, join_type: JoinType) {
        self.join_type = join_type;
        self.left_may_lead = !matches!(join_type, JoinType::Right | JoinType::Full);
        self.right_may_lead = matches!(join_type, JoinType::Inner | JoinType::Right);
    }

    /// Whether the keys are the coalesced column of a full join.
    fn shares(&self, of_left: &[Restriction], of_right: &[Restriction]) -> bool {
        self.join_type == JoinType::Full && !of_left.is_empty() && !of_right.is_empty()
    }

    fn shares_one(&self, by: &Restriction) -> bool {
        let (of_left, of_right) = self.down(by);
        self.shares(&of_left, &of_right)
    }

    /// The stronger join that an outer one should be taken apart into, and the side whose rows without
    /// a partner are then missing; none where the keys restrict it as it is, or not at all.
    fn apart(&self, by: &[Restriction], left: &Node, right: &Node) -> Option<(JoinType, usize)> {
        let own = |schema: &DFSchema, node: &Node| {
            by.iter().any(|by| {
                let exprs = by.exprs.iter().filter(|expr| is_over(expr, schema));
                reaches(node, &exprs.cloned().collect::<Vec<_>>())
            })
        };
        match self.join_type {
            JoinType::Left if !own(self.left, left) && own(self.right, right) => Some((JoinType::Inner, 0)),
            JoinType::Right if !own(self.right, right) && own(self.left, left) => Some((JoinType::Inner, 1)),
            JoinType::Full if own(self.left, left) => Some((JoinType::Left, 1)),
            JoinType::Full if own(self.right, right) => Some((JoinType::Right, 0)),
            _ => None,
        }
    }

    /// Pairs of equal expressions, of the leading side first.
    fn pairs(&self, right_leads: bool) -> Vec<(Expr, Expr)> {
        let turn = |(left, right): &(Expr, Expr)| {
            if right_leads { (right.clone(), left.clone()) } else { (left.clone(), right.clone()) }
        };
        self.equal.iter().map(turn).collect()
    }

    /// Whether a side is restricted by a column that the other side is joined on: then the other's
    /// rows restrict it already.
    fn linked(&self, by: &[Restriction], left: bool) -> bool {
        let joined = |expr: &Expr| self.equal.iter().any(|(ours, theirs)| expr == if left { ours } else { theirs });
        by.iter().any(|by| by.exprs.iter().all(joined))
    }

    /// An expression as the rows of one side of a full join give it: those of both have a coalesced join column in
    /// common, whether they have a partner or not, and so whatever is made of nothing else.
    ///
    /// Of a column: what is computed may have a value where there is no row. And what is made of floats that are equal may
    /// differ, as of 0 and -0.
    fn shared(&self, expr: &Expr, right: bool) -> Option<Expr> {
        let exactly = |ours: &Expr| ours.get_type(self.left).is_ok_and(|data_type| !data_type.is_floating());
        let of_one = expr.clone().transform_down(|part| {
            let Expr::ScalarFunction(function) = &part else { return Ok(Transformed::no(part)) };
            let ("coalesce", [one, other, rest @ ..]) = (function.name(), function.args.as_slice()) else {
                return Ok(Transformed::no(part));
            };
            let joined = |(ours, theirs): &&(Expr, Expr)| {
                ([ours, theirs] == [one, other] || [theirs, ours] == [one, other])
                    && is_of_column(ours)
                    && is_of_column(theirs)
                    && (part == *expr || exactly(ours))
            };
            let Some((ours, theirs)) = self.equal.iter().find(joined) else { return Ok(Transformed::no(part)) };
            let own = if right { theirs } else { ours }.clone();
            let one = if rest.is_empty() {
                own
            } else {
                let args = std::iter::once(own).chain(rest.iter().cloned()).collect();
                Expr::ScalarFunction(ScalarFunction { func: function.func.clone(), args })
            };
            Ok(Transformed::new(one, true, TreeNodeRecursion::Jump))
        });
        let side = if right { self.right } else { self.left };
        of_one.data().ok().filter(|expr| is_over(expr, side))
    }

    /// What of a restriction passes to the left and to the right.
    fn down(&self, by: &Restriction) -> (Vec<Restriction>, Vec<Restriction>) {
        if self.join_type == JoinType::Full {
            let left = by.mapped_whole(|expr| self.shared(expr, false));
            let right = by.mapped_whole(|expr| self.shared(expr, true));
            return match (left, right) {
                (Some(left), Some(right)) => (vec![left], vec![right]),
                _ => (Vec::new(), Vec::new()),
            };
        }
        let (mut to_left, mut to_right) = (Vec::new(), Vec::new());
        if self.left_may_lead {
            to_left.extend(by.mapped(|expr| is_over(expr, self.left).then(|| expr.clone())));
            let partner = |expr: &Expr| Some(self.equal.iter().find(|(ours, _)| ours == expr)?.1.clone());
            to_right.extend(by.mapped_whole(partner));
        }
        if self.right_may_lead {
            to_right.extend(by.mapped(|expr| is_over(expr, self.right).then(|| expr.clone())));
            let partner = |expr: &Expr| Some(self.equal.iter().find(|(_, theirs)| theirs == expr)?.0.clone());
            to_left.extend(by.mapped_whole(partner));
        }
        (to_left, to_right)
    }
}

/// Whether an expression is a column, of whatever type: NULL where there is no row.
fn is_of_column(expr: &Expr) -> bool {
    match expr {
        Expr::Column(_) => true,
        Expr::Cast(cast) => is_of_column(&cast.expr),
        _ => false,
    }
}

/// The lowest plan in which expressions have all their values, so that as little as possible is
/// computed for them: below a join the side that they come from, as long as that is restricted.
fn origin(plan: &LogicalPlan, exprs: Vec<Expr>) -> (&LogicalPlan, Vec<Expr>) {
    let (mut best, mut best_exprs) = (plan, exprs.clone());
    let (mut plan, mut exprs) = (plan, exprs);
    loop {
        let through = |input: &LogicalPlan, with: &dyn Fn(usize) -> Option<Expr>| {
            let exprs = exprs.iter().map(|expr| replaced(expr, plan.schema(), with)).collect::<Option<Vec<_>>>()?;
            exprs.iter().all(|expr| !reads(expr, input.schema()).is_empty()).then_some(exprs)
        };
        let same = |input: &LogicalPlan| exprs.iter().all(|expr| is_over(expr, input.schema()));
        let (input, below, cheaper): (&LogicalPlan, Vec<Expr>, bool) = match plan {
            LogicalPlan::Projection(projection) => {
                match through(&projection.input, &|place| Some(projection.expr[place].clone())) {
                    Some(below) => (&projection.input, below, false),
                    None => break,
                }
            }
            LogicalPlan::SubqueryAlias(alias) => {
                match through(&alias.input, &|place| Some(column(alias.input.schema(), place))) {
                    Some(below) => (&alias.input, below, false),
                    None => break,
                }
            }
            LogicalPlan::Filter(filter) => (&filter.input, exprs.clone(), false),
            LogicalPlan::Join(join) if join.join_type == JoinType::LeftSemi && is_keys(&join.right) => break,
            LogicalPlan::Join(join) => {
                let left_keeps = !matches!(join.join_type, JoinType::Right | JoinType::Full);
                let right_keeps = matches!(join.join_type, JoinType::Inner | JoinType::Right);
                if left_keeps && same(&join.left) && is_restricted(&join.left) {
                    (&join.left, exprs.clone(), true)
                } else if right_keeps && same(&join.right) && is_restricted(&join.right) {
                    (&join.right, exprs.clone(), true)
                } else {
                    break;
                }
            }
            LogicalPlan::Aggregate(aggregate) if !aggregate.group_expr.is_empty() => {
                let groups = kept_groups(aggregate);
                match through(&aggregate.input, &|place| groups.get(place).cloned().flatten()) {
                    Some(below) => (&aggregate.input, below, true),
                    None => break,
                }
            }
            LogicalPlan::Window(window) if same(&window.input) => (&window.input, exprs.clone(), true),
            LogicalPlan::Distinct(Distinct::All(input)) => {
                match through(input, &|place| Some(column(input.schema(), place))) {
                    Some(below) => (input, below, true),
                    None => break,
                }
            }
            _ => break,
        };
        if !is_restricted(input) {
            break;
        }
        (plan, exprs) = (input, below);
        if cheaper {
            (best, best_exprs) = (plan, exprs.clone());
        }
    }
    (best, best_exprs)
}

/// Whether a plan is a key set's, as [`Restrict::matched`] reads it.
fn is_keys(plan: &LogicalPlan) -> bool {
    plan.schema()
        .iter()
        .all(|(qualifier, _)| qualifier.is_some_and(|qualifier| qualifier.table().starts_with("__keys_")))
}

/// Whether some table in it is matched with keys.
fn is_restricted(plan: &LogicalPlan) -> bool {
    let here = match plan {
        plan if is_set(plan) => true,
        LogicalPlan::Join(join) => join.join_type == JoinType::LeftSemi && is_keys(&join.right),
        LogicalPlan::TableScan(scan) => scan.table_name.table().starts_with(MATCHING),
        _ => false,
    };
    here || plan.inputs().into_iter().any(is_restricted)
}
