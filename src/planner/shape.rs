//! A model's plan as a tree in which each table occurrence has a number, and each column says whether
//! it reads an aggregate or a window.

use std::{collections::BTreeSet, ops::Range, sync::Arc};

use datafusion::{
    common::{
        NullEquality, Result, TableReference,
        config::ConfigOptions,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        Aggregate, BinaryExpr, Distinct, Expr, ExprSchemable as _, GroupingSet, Join, JoinType, LogicalPlan, Operator,
        Projection, TableScan, TableScanBuilder, Window, lit, utils::split_conjunction,
    },
    optimizer::{
        Optimizer, OptimizerContext, OptimizerRule, decorrelate_predicate_subquery::DecorrelatePredicateSubquery,
        extract_equijoin_predicate::ExtractEquijoinPredicate, scalar_subquery_to_join::ScalarSubqueryToJoin,
    },
};

use super::{
    Part,
    columns::{On, position, reads},
    partitions::partitions_as_columns,
};
use crate::{
    engine::ConditionsDown,
    gold::{unaliased, unique_keys},
};

/// The model as it is followed. Subqueries become joins, and what windows partition by columns. Conditions go down to the
/// rows that they are of: what does not fulfil them before and after is no change, and tables listed one after the other are
/// joined by some. Nothing else moves.
///
/// As a join, a subquery that should give one row and gives two would no longer be an error: it must be seen to
/// give one.
pub(super) fn followed(model: LogicalPlan) -> Result<std::result::Result<LogicalPlan, Part>> {
    let mut one_row_each = true;
    model.apply_with_subqueries(|plan| {
        plan.apply_expressions(|expr| {
            expr.apply(|part| {
                if let Expr::ScalarSubquery(query) = part {
                    let correlated = !query.outer_ref_columns.is_empty();
                    one_row_each &= correlated || unique_keys(&query.subquery).iter().any(BTreeSet::is_empty);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    if !one_row_each {
        return Ok(Err(Part::Subquery));
    }

    let model = partitions_as_columns(model)?;
    // Left to the engine, a scalar subquery would be computed once and stay an expression.
    let mut options = ConfigOptions::default();
    options.optimizer.enable_physical_uncorrelated_scalar_subquery = false;
    let context = OptimizerContext::new_with_config_options(Arc::new(options)).with_max_passes(2);
    let optimized = |plan, rules: Vec<Arc<dyn OptimizerRule + Send + Sync>>| {
        Optimizer::with_rules(rules).optimize(plan, &context, |_, _| {})
    };
    let joined =
        optimized(model, vec![Arc::new(ScalarSubqueryToJoin::new()), Arc::new(DecorrelatePredicateSubquery::new())])?;
    let pushed = optimized(joined, vec![Arc::new(ConditionsDown::new()), Arc::new(ExtractEquijoinPredicate::new())])?;
    // Tables are only told what they may leave out: the conditions stay above them.
    let told = pushed.transform(|plan| {
        Ok(match plan {
            LogicalPlan::TableScan(scan) if !scan.filters.is_empty() => {
                Transformed::yes(LogicalPlan::TableScan(TableScan { filters: Vec::new(), ..scan }))
            }
            other => Transformed::no(other),
        })
    });
    told.data().map(Ok)
}

/// One place where the model reads a table.
#[derive(Debug, Clone)]
pub(super) struct Scan {
    pub(super) table: TableReference,
    pub(super) changed: bool,
}

/// One operator and what is below it.
#[derive(Debug, Clone)]
pub(super) struct Node {
    /// The number of the operator in its plan, from the top.
    pub(super) id: usize,
    pub(super) plan: LogicalPlan,
    pub(super) inputs: Vec<Node>,
    /// The numbers of the table occurrences in it.
    pub(super) occurrences: Range<usize>,
    /// By output column: whether it reads an aggregate or a window, so that a change may alter it
    /// in rows that did not change themselves.
    pub(super) derived: Vec<bool>,
    /// The output columns on which the plan's rows depend. A change of others is none to it.
    pub(super) used: BTreeSet<usize>,
    /// Whether any of its tables changed. What reads no changed table is as it was.
    pub(super) changed: bool,
    /// Whether it is a table.
    scan: Option<Scan>,
}

impl Node {
    /// The tree of a plan; or the part of it that has no keys.
    pub(super) fn root(
        plan: &LogicalPlan,
        changed: &dyn Fn(&TableReference) -> bool,
    ) -> Result<std::result::Result<Self, Part>> {
        Self::build(plan, changed, None)
    }

    /// The tree in which the operator with this number stands for a table: what changed in its rows
    /// is known, so that none of its columns is derived.
    pub(super) fn with_source(
        plan: &LogicalPlan,
        changed: &dyn Fn(&TableReference) -> bool,
        source: usize,
    ) -> Result<std::result::Result<Self, Part>> {
        Self::build(plan, changed, Some(source))
    }

    fn build(
        plan: &LogicalPlan,
        changed: &dyn Fn(&TableReference) -> bool,
        source: Option<usize>,
    ) -> Result<std::result::Result<Self, Part>> {
        let mut builder = Builder { changed, source, occurrences: 0, operators: 0 };
        Ok(builder.node(plan)?.map(|mut root| {
            root.mark_used((0..root.derived.len()).collect());
            root
        }))
    }

    /// The table occurrences by number.
    pub(super) fn scans(&self) -> Vec<Scan> {
        fn gather(node: &Node, scans: &mut Vec<Scan>) {
            scans.extend(node.scan.clone());
            node.inputs.iter().for_each(|input| gather(input, scans));
        }
        let mut scans = Vec::new();
        gather(self, &mut scans);
        scans
    }

    /// The numbers of those that changed.
    pub(super) fn changed_occurrences(&self) -> Vec<usize> {
        let scans = self.scans();
        std::iter::zip(self.occurrences.clone(), scans)
            .filter(|(_, scan)| scan.changed)
            .map(|(number, _)| number)
            .collect()
    }

    /// Another join of the same tables.
    pub(super) fn as_join(&self, plan: LogicalPlan, left: &Self, right: &Self, derived: Vec<bool>) -> Self {
        Self { plan, inputs: vec![left.clone(), right.clone()], derived, ..self.clone() }
    }

    /// The plan without the columns of tables on which nothing depends. A rule asks for one or two of many, and plans
    /// take the longer the more columns they pass on. The engine's rule for this may take away groups that were asked for
    /// (`engine/groups.rs`).
    pub(super) fn slim(&self) -> Result<LogicalPlan> {
        let mut inputs = self.inputs.iter().map(Self::slim).collect::<Result<Vec<_>>>()?;
        match (&self.plan, inputs.as_slice()) {
            (LogicalPlan::TableScan(scan), _) => {
                // Without any column it would not be told how many rows there are.
                let wanted = self.used.iter().copied().chain(self.used.is_empty().then_some(0));
                let stored = |place: usize| scan.projection.as_ref().map_or(place, |projection| projection[place]);
                TableScanBuilder::from(scan.clone())
                    .with_projection(Some(wanted.map(stored).collect()))
                    .build()
                    .map(LogicalPlan::TableScan)
            }
            (LogicalPlan::Projection(projection), [_]) => {
                let mut exprs: Vec<Expr> = self.used.iter().map(|&place| projection.expr[place].clone()).collect();
                if exprs.is_empty() {
                    exprs.push(lit(true));
                }
                Projection::try_new(exprs, inputs.remove(0).into()).map(LogicalPlan::Projection)
            }
            // The columns of a union's branches go together by their places; a window is followed by the key of its rows,
            // whether anything reads it or not.
            (LogicalPlan::Union(_) | LogicalPlan::Window(_), _) | (_, []) => Ok(self.plan.clone()),
            (plan, _) => plan.with_new_exprs(plan.expressions(), inputs),
        }
    }

    fn mark_used(&mut self, needed: BTreeSet<usize>) {
        self.used.clone_from(&needed);
        let below = |input: &Node, exprs: &mut dyn Iterator<Item = &Expr>| -> BTreeSet<usize> {
            exprs.flat_map(|expr| reads(expr, input.plan.schema())).collect()
        };
        let all = |input: &Node| (0..input.derived.len()).collect();
        match (&self.plan, self.inputs.as_mut_slice()) {
            (LogicalPlan::TableScan(_), _) => {}
            (LogicalPlan::Projection(projection), [input]) => {
                let exprs = projection.expr.iter().enumerate().filter(|(place, _)| needed.contains(place));
                input.mark_used(below(input, &mut exprs.map(|(_, expr)| expr)));
            }
            (LogicalPlan::Filter(filter), [input]) => {
                let read = below(input, &mut std::iter::once(&filter.predicate));
                input.mark_used(&needed | &read);
            }
            (LogicalPlan::SubqueryAlias(_) | LogicalPlan::Sort(_), [input]) => input.mark_used(needed),
            (LogicalPlan::Union(_), branches) => {
                for branch in branches {
                    branch.mark_used(needed.clone());
                }
            }
            (LogicalPlan::Join(join), [left, right]) => {
                let width = left.derived.len();
                let conditions = || join.on.iter().flat_map(|(one, other)| [one, other]).chain(&join.filter);
                let mut of_left = below(left, &mut conditions());
                let mut of_right = below(right, &mut conditions());
                of_left.extend(needed.iter().filter(|place| **place < width));
                let both = self.derived.len() == width + right.derived.len();
                of_right.extend(needed.iter().filter(|place| both && **place >= width).map(|place| place - width));
                left.mark_used(of_left);
                right.mark_used(of_right);
            }
            (LogicalPlan::Aggregate(aggregate), [input]) => {
                let groups = self.derived.len() - aggregate.aggr_expr.len();
                let wanted = aggregate.aggr_expr.iter().enumerate();
                let wanted = wanted.filter(|(place, _)| needed.contains(&(groups + place))).map(|(_, expr)| expr);
                input.mark_used(below(input, &mut aggregate.group_expr.iter().chain(wanted)));
            }
            (LogicalPlan::Window(window), [input]) => {
                let width = input.derived.len();
                // Needed or not, windows are followed by their partitions.
                let mut columns = below(input, &mut window.window_expr.iter());
                columns.extend(needed.iter().filter(|place| **place < width));
                input.mark_used(columns);
            }
            // Which rows are distinct hangs on every column; of what is not known, everything may matter.
            (_, inputs) => inputs.iter_mut().for_each(|input| input.mark_used(all(input))),
        }
    }

    /// Whether an output column may not be told from a changed row alone.
    pub(super) fn reads_derived(&self, expr: &Expr) -> bool {
        reads(expr, self.plan.schema()).into_iter().any(|column| self.derived[column])
    }

    /// Whether no row has NULL in a column: what rows are joined or compared by is never NULL, for one. A unique
    /// key's columns may be, once.
    pub(super) fn never_null(&self, place: usize) -> bool {
        let schema = self.plan.schema();
        if !schema.field(place).is_nullable() {
            return true;
        }
        match (&self.plan, self.inputs.as_slice()) {
            (LogicalPlan::Projection(projection), [input]) => {
                position(&projection.expr[place], input.plan.schema()).is_some_and(|place| input.never_null(place))
            }
            (LogicalPlan::Filter(filter), [input]) => {
                let is = |expr: &Expr| position(expr, schema) == Some(place);
                let refuses = split_conjunction(&filter.predicate).into_iter().any(|term| match term {
                    Expr::IsNotNull(expr) => is(expr),
                    Expr::BinaryExpr(BinaryExpr { left, op, right }) => {
                        use Operator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
                        matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq) && (is(left) || is(right))
                    }
                    _ => false,
                });
                refuses || input.never_null(place)
            }
            (LogicalPlan::Join(join), [left, right]) => {
                let width = left.derived.len();
                let (keeps_left, keeps_right, both) = match join.join_type {
                    JoinType::Inner => (true, true, true),
                    JoinType::LeftSemi => (true, false, true),
                    JoinType::Left | JoinType::LeftAnti | JoinType::LeftMark => (true, false, false),
                    JoinType::Right => (false, true, false),
                    _ => (false, false, false),
                };
                let on = On::of(join);
                let matched = |expr: &Expr| position(expr, schema) == Some(place);
                if both
                    && on.nulls == NullEquality::NullEqualsNothing
                    && on.equal.iter().any(|(ours, theirs)| matched(ours) || matched(theirs))
                {
                    return true;
                }
                if place < width {
                    keeps_left && left.never_null(place)
                } else {
                    keeps_right && place - width < right.derived.len() && right.never_null(place - width)
                }
            }
            (LogicalPlan::Union(_), branches) => branches.iter().all(|branch| branch.never_null(place)),
            (LogicalPlan::SubqueryAlias(_) | LogicalPlan::Sort(_) | LogicalPlan::Distinct(_), [input]) => {
                input.never_null(place)
            }
            _ => false,
        }
    }

    /// Whether some operator in it looks at several rows at a time, so that reading it is costly.
    pub(super) fn gathers(&self) -> bool {
        matches!(self.plan, LogicalPlan::Aggregate(_) | LogicalPlan::Window(_) | LogicalPlan::Distinct(_))
            || self.inputs.iter().any(Self::gathers)
    }
}

struct Builder<'a> {
    changed: &'a dyn Fn(&TableReference) -> bool,
    source: Option<usize>,
    occurrences: usize,
    operators: usize,
}

impl Builder<'_> {
    fn node(&mut self, plan: &LogicalPlan) -> Result<std::result::Result<Node, Part>> {
        let (first, id) = (self.occurrences, self.operators);
        self.operators += 1;
        let mut inputs = Vec::new();
        for input in plan.inputs() {
            match self.node(input)? {
                Ok(node) => inputs.push(node),
                Err(part) => return Ok(Err(part)),
            }
        }
        let known = in_known(plan, &inputs);
        let plan = known.as_ref().unwrap_or(plan);
        let mut scan = None;
        if let LogicalPlan::TableScan(table) = plan {
            scan = Some(Scan { table: table.table_name.clone(), changed: (self.changed)(&table.table_name) });
            self.occurrences += 1;
        }
        let changed = scan.as_ref().is_some_and(|scan| scan.changed) || inputs.iter().any(|input| input.changed);
        let unfollowed = unfollowed(plan)?;
        let columns = plan.schema().fields().len();
        let derived = match unfollowed {
            None if self.source == Some(id) => vec![false; columns],
            None => derived(plan, &inputs),
            // What does not change needs no following; but the tables of a subquery are not among the inputs.
            Some(part) if !changed && part != Part::Subquery => vec![false; columns],
            Some(part) => return Ok(Err(part)),
        };
        let occurrences = first..self.occurrences;
        Ok(Ok(Node { id, plan: plan.clone(), inputs, occurrences, derived, used: BTreeSet::new(), changed, scan }))
    }
}

/// NOT IN as NOT EXISTS, where no NULL can be on either side; none for all else.
fn in_known(plan: &LogicalPlan, inputs: &[Node]) -> Option<LogicalPlan> {
    let (LogicalPlan::Join(join), [left, right]) = (plan, inputs) else { return None };
    let known = |side: &Node, expr: &Expr| {
        let nullable = expr.nullable(side.plan.schema()).unwrap_or(true);
        !nullable || position(expr, side.plan.schema()).is_some_and(|place| side.never_null(place))
    };
    let on = On::of(join);
    let all_known = on.equal.iter().all(|(ours, theirs)| known(left, ours) && known(right, theirs));
    let whole = join.null_aware && on.other.is_empty() && !on.equal.is_empty() && all_known;
    whole.then(|| LogicalPlan::Join(Join { null_aware: false, ..join.clone() }))
}

/// The part of an operator that has no keys.
fn unfollowed(plan: &LogicalPlan) -> Result<Option<Part>> {
    let mut subquery = false;
    plan.apply_expressions(|expr| {
        subquery |= expr.exists(|part| {
            Ok(matches!(
                part,
                Expr::ScalarSubquery(_)
                    | Expr::InSubquery(_)
                    | Expr::Exists(_)
                    | Expr::SetComparison(_)
                    | Expr::OuterReferenceColumn(..)
            ))
        })?;
        Ok(TreeNodeRecursion::Continue)
    })?;
    if subquery {
        return Ok(Some(Part::Subquery));
    }
    Ok(match plan {
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::Window(_)
        | LogicalPlan::Aggregate(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Union(_)
        | LogicalPlan::TableScan(_)
        | LogicalPlan::EmptyRelation(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Values(_)
        | LogicalPlan::Distinct(Distinct::All(_)) => None,
        LogicalPlan::Join(join) if join.null_aware => Some(Part::NotInNullable),
        LogicalPlan::Join(join) => match join.join_type {
            JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => {
                Some(Part::Other(join.join_type.to_string()))
            }
            _ => None,
        },
        LogicalPlan::Limit(_) => Some(Part::Limit),
        other => Some(Part::Other(other.display().to_string())),
    })
}

fn derived(plan: &LogicalPlan, inputs: &[Node]) -> Vec<bool> {
    let columns = plan.schema().fields().len();
    // Nothing that did not change can alter.
    if !inputs.is_empty() && !inputs.iter().any(|input| input.changed) {
        return vec![false; columns];
    }
    match (plan, inputs) {
        (LogicalPlan::Projection(projection), [input]) => {
            projection.expr.iter().map(|expr| input.reads_derived(expr)).collect()
        }
        (LogicalPlan::Window(_), [input]) => {
            let added = columns - input.derived.len();
            input.derived.iter().copied().chain(std::iter::repeat_n(true, added)).collect()
        }
        (LogicalPlan::Aggregate(aggregate), [input]) => {
            let kept = kept_groups(aggregate);
            (0..columns)
                .map(|place| kept.get(place).and_then(Option::as_ref).is_none_or(|expr| input.reads_derived(expr)))
                .collect()
        }
        (LogicalPlan::Join(join), [left, right]) => match join.join_type {
            JoinType::LeftSemi | JoinType::LeftAnti => left.derived.clone(),
            // A mark hangs on all of the other side.
            JoinType::LeftMark => left.derived.iter().copied().chain([true]).collect(),
            _ => left.derived.iter().chain(&right.derived).copied().collect(),
        },
        (LogicalPlan::Union(_), branches) => {
            (0..columns).map(|place| branches.iter().any(|branch| branch.derived[place])).collect()
        }
        (_, [input]) => input.derived.clone(),
        _ => vec![false; columns],
    }
}

/// By output column of an aggregate: the expression that all rows of a group share, whatever the
/// grouping set; none for aggregates and for columns that a grouping set leaves out.
pub(super) fn kept_groups(aggregate: &Aggregate) -> Vec<Option<Expr>> {
    let [Expr::GroupingSet(sets)] = aggregate.group_expr.as_slice() else {
        return aggregate.group_expr.iter().cloned().map(Some).collect();
    };
    let all: Vec<Expr> = sets.distinct_expr().into_iter().cloned().collect();
    let in_every_set = |expr: &Expr| match sets {
        GroupingSet::GroupingSets(sets) => sets.iter().all(|set| set.contains(expr)),
        GroupingSet::Rollup(_) | GroupingSet::Cube(_) => false,
    };
    all.into_iter().map(|expr| in_every_set(&expr).then_some(expr)).collect()
}

/// The columns of a window's input by which all of its functions partition.
pub(super) fn partition_columns(window: &Window) -> BTreeSet<usize> {
    let schema = window.input.schema();
    let mut shared: Option<BTreeSet<usize>> = None;
    for expr in &window.window_expr {
        let Expr::WindowFunction(function) = unaliased(expr) else { return BTreeSet::new() };
        let columns: BTreeSet<usize> =
            function.params.partition_by.iter().filter_map(|expr| position(expr, schema)).collect();
        shared = Some(match shared {
            None => columns,
            Some(shared) => &shared & &columns,
        });
    }
    shared.unwrap_or_default()
}
