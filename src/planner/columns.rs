//! Small plans that the planner is made of. Columns keep their qualified names and their types, so
//! that whatever stood above a replaced plan still fits.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::{
    arrow::datatypes::{DataType, TimeUnit},
    common::{
        Column, DFSchema, NullEquality, Result, ScalarValue,
        tree_node::{Transformed, TransformedResult, TreeNode},
    },
    functions::core::nullif,
    logical_expr::{
        BinaryExpr, Cast, Distinct, EmptyRelation, Expr, ExprSchemable, Filter, Join, JoinConstraint, JoinType, Limit,
        LogicalPlan, Operator, Projection, TryCast, Union, lit,
        utils::{conjunction, split_conjunction},
    },
};

/// Positions of columns.
pub(super) type Columns = BTreeSet<usize>;

/// The column at a position.
pub(super) fn column(schema: &DFSchema, position: usize) -> Expr {
    Expr::Column(Column::from(schema.qualified_field(position)))
}

/// The positions of the columns that an expression reads.
pub(super) fn reads(expr: &Expr, schema: &DFSchema) -> Columns {
    expr.column_refs().into_iter().filter_map(|column| schema.maybe_index_of_column(column)).collect()
}

/// The position of the column that an expression is, if it is no more than one.
pub(super) fn position(expr: &Expr, schema: &DFSchema) -> Option<usize> {
    match expr {
        Expr::Column(column) => schema.maybe_index_of_column(column),
        Expr::Alias(alias) => position(&alias.expr, schema),
        _ => None,
    }
}

/// Whether an expression reads columns of a schema, and no others.
pub(super) fn is_over(expr: &Expr, schema: &DFSchema) -> bool {
    let columns = expr.column_refs();
    !columns.is_empty() && columns.into_iter().all(|column| schema.has_column(column))
}

/// Projects to columns that are called as those of `schema`.
pub(super) fn as_columns(plan: LogicalPlan, exprs: Vec<Expr>, schema: &DFSchema) -> Result<LogicalPlan> {
    let named = std::iter::zip(exprs, schema.iter()).map(|(expr, (qualifier, field))| {
        let is_it = matches!(&expr, Expr::Column(column) if column.relation.as_ref() == qualifier && column.name == *field.name());
        if is_it { expr } else { expr.unalias().alias_qualified(qualifier.cloned(), field.name()) }
    });
    Ok(LogicalPlan::Projection(Projection::try_new(named.collect(), Arc::new(plan))?))
}

/// The same columns, by position, called as those of `schema`.
pub(super) fn renamed(plan: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    if plan.schema().columns() == schema.columns() {
        return Ok(plan);
    }
    let exprs = (0..schema.fields().len()).map(|position| column(plan.schema(), position)).collect();
    as_columns(plan, exprs, schema)
}

/// The columns of `schema`: those that the plan has, and NULL for the rest.
pub(super) fn padded(plan: LogicalPlan, schema: &DFSchema) -> Result<LogicalPlan> {
    if plan.schema().columns() == schema.columns() {
        return Ok(plan);
    }
    let exprs = schema
        .columns()
        .into_iter()
        .enumerate()
        .map(
            |(place, column)| {
                if plan.schema().has_column(&column) { Ok(Expr::Column(column)) } else { null(schema, place) }
            },
        )
        .collect::<Result<_>>()?;
    as_columns(plan, exprs, schema)
}

/// A plan of which only some columns are wanted: the others are NULL.
pub(super) fn only(plan: LogicalPlan, wanted: &Columns) -> Result<LogicalPlan> {
    let schema = Arc::clone(plan.schema());
    let places = 0..schema.fields().len();
    if places.clone().all(|place| wanted.contains(&place)) {
        return Ok(plan);
    }
    let exprs =
        places.map(|place| if wanted.contains(&place) { Ok(column(&schema, place)) } else { null(&schema, place) });
    as_columns(plan, exprs.collect::<Result<_>>()?, &schema)
}

/// The columns of `schema`: those at `places`, in ascending order, are the plan's first ones, the others NULL.
pub(super) fn spread(plan: LogicalPlan, places: &Columns, schema: &DFSchema) -> Result<LogicalPlan> {
    let exprs = spread_exprs(&plan, places, schema)?;
    as_columns(plan, exprs, schema)
}

pub(super) fn spread_exprs(plan: &LogicalPlan, places: &Columns, schema: &DFSchema) -> Result<Vec<Expr>> {
    let mut given = 0..places.len();
    let exprs = (0..schema.fields().len()).map(|place| match places.contains(&place).then(|| given.next()).flatten() {
        Some(at) => Ok(column(plan.schema(), at)),
        None => null(schema, place),
    });
    exprs.collect()
}

/// Some columns of a plan, and nothing else, called `u0`, `u1`, ...
pub(super) fn numbered(plan: &LogicalPlan, places: &Columns) -> Vec<Expr> {
    let exprs = places.iter().enumerate();
    exprs.map(|(to, &from)| column(plan.schema(), from).alias(format!("u{to}"))).collect()
}

/// NULL of a column's type.
pub(super) fn null(schema: &DFSchema, position: usize) -> Result<Expr> {
    Ok(lit(ScalarValue::try_from(schema.field(position).data_type())?))
}

/// One row of NULLs.
pub(super) fn one_row(schema: &DFSchema) -> Result<LogicalPlan> {
    let row = LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: true, schema: Arc::new(DFSchema::empty()) });
    padded(row, schema)
}

pub(super) fn distinct(plan: LogicalPlan) -> LogicalPlan {
    LogicalPlan::Distinct(Distinct::All(Arc::new(plan)))
}

/// At most one row.
pub(super) fn at_most_one(plan: LogicalPlan) -> LogicalPlan {
    LogicalPlan::Limit(Limit { skip: None, fetch: Some(Box::new(lit(1_i64))), input: Arc::new(plan) })
}

pub(super) fn filtered(plan: LogicalPlan, conjuncts: Vec<Expr>) -> Result<LogicalPlan> {
    Ok(match conjunction(conjuncts) {
        Some(predicate) => LogicalPlan::Filter(Filter::try_new(predicate, Arc::new(plan))?),
        None => plan,
    })
}

/// All rows of several plans, called as the columns of `schema`.
pub(super) fn union(mut plans: Vec<LogicalPlan>, schema: &DFSchema) -> Result<LogicalPlan> {
    if plans.len() == 1
        && let Some(only) = plans.pop()
    {
        return renamed(only, schema);
    }
    // A union drops qualifiers, so that columns of one name would be told apart no more.
    let numbered = plans.into_iter().map(|plan| {
        let columns = (0..schema.fields().len()).map(|place| column(plan.schema(), place).alias(format!("u{place}")));
        Ok(Arc::new(LogicalPlan::Projection(Projection::try_new(columns.collect(), Arc::new(plan))?)))
    });
    renamed(LogicalPlan::Union(Union::try_new_with_loose_types(numbered.collect::<Result<_>>()?)?), schema)
}

/// What two sides are matched by.
#[derive(Debug, Clone)]
pub(super) struct On {
    /// Pairs of (left, right) expressions that are equal.
    pub(super) equal: Vec<(Expr, Expr)>,
    /// Anything else.
    pub(super) other: Vec<Expr>,
    pub(super) nulls: NullEquality,
}

impl On {
    /// A join's conditions. Equalities that stand among the others, which is where `EXISTS` leaves them,
    /// are told apart.
    pub(super) fn of(join: &Join) -> Self {
        let (left, right) = (join.left.schema(), join.right.schema());
        let (mut equal, mut other) = (join.on.clone(), Vec::new());
        for term in join.filter.iter().flat_map(split_conjunction) {
            match term {
                Expr::BinaryExpr(BinaryExpr { left: one, op: Operator::Eq, right: two })
                    if join.null_equality == NullEquality::NullEqualsNothing
                        && is_over(one, left)
                        && is_over(two, right) =>
                {
                    equal.push((one.as_ref().clone(), two.as_ref().clone()));
                }
                Expr::BinaryExpr(BinaryExpr { left: one, op: Operator::Eq, right: two })
                    if join.null_equality == NullEquality::NullEqualsNothing
                        && is_over(two, left)
                        && is_over(one, right) =>
                {
                    equal.push((two.as_ref().clone(), one.as_ref().clone()));
                }
                term => other.push(term.clone()),
            }
        }
        Self { equal, other, nulls: join.null_equality }
    }

    pub(super) fn turned(&self) -> Self {
        let equal = self.equal.iter().map(|(left, right)| (right.clone(), left.clone())).collect();
        Self { equal, other: self.other.clone(), nulls: self.nulls }
    }

    pub(super) fn join(self, left: LogicalPlan, right: LogicalPlan, join_type: JoinType) -> Result<LogicalPlan> {
        Ok(LogicalPlan::Join(Join::try_new(
            Arc::new(left),
            Arc::new(right),
            self.equal,
            conjunction(self.other),
            join_type,
            JoinConstraint::On,
            self.nulls,
            false,
        )?))
    }

    /// Rows of `left` that have a partner; with no condition, all of them if `right` has a row.
    pub(super) fn semi_join(self, left: LogicalPlan, right: LogicalPlan) -> Result<LogicalPlan> {
        if self.equal.is_empty() && self.other.is_empty() {
            let schema = Arc::clone(left.schema());
            let exists = Projection::try_new(vec![lit(true).alias("__exists")], Arc::new(right))?;
            let exists = at_most_one(LogicalPlan::Projection(exists));
            return padded(self.join(left, exists, JoinType::Inner)?, &schema);
        }
        self.join(left, right, JoinType::LeftSemi)
    }
}

/// Puts expressions in the place of columns; none if one has no expression.
pub(super) fn replaced(expr: &Expr, schema: &DFSchema, with: impl Fn(usize) -> Option<Expr>) -> Option<Expr> {
    let mut known = true;
    let replaced = expr.clone().transform_up(|part| {
        let Expr::Column(column) = &part else { return Ok(Transformed::no(part)) };
        match schema.maybe_index_of_column(column).and_then(&with) {
            Some(expr) => Ok(Transformed::yes(expr.unalias())),
            None => {
                known = false;
                Ok(Transformed::no(part))
            }
        }
    });
    replaced.data().ok().filter(|_| known)
}

/// An expression that gives the same where the model's gives a value, and is NULL where that cannot be cast or divides by
/// zero: it meets rows that the model's never meets.
pub(super) fn unfailing(expr: &Expr, schema: &DFSchema) -> Result<Expr> {
    expr.clone()
        .transform_up(|part| {
            Ok(match part {
                Expr::Cast(Cast { expr, field }) if !always_casts(&expr.get_type(schema)?, field.data_type()) => {
                    Transformed::yes(Expr::TryCast(TryCast { expr, field }))
                }
                Expr::BinaryExpr(BinaryExpr { left, op: op @ (Operator::Divide | Operator::Modulo), right })
                    if !is_never_zero(&right) =>
                {
                    let zero = lit(ScalarValue::new_zero(&right.get_type(schema)?)?);
                    let right = Box::new(nullif().call(vec![*right, zero]));
                    Transformed::yes(Expr::BinaryExpr(BinaryExpr { left, op, right }))
                }
                other => Transformed::no(other),
            })
        })
        .data()
}

/// Whether each value of a type has one of the other.
fn always_casts(from: &DataType, to: &DataType) -> bool {
    from == to
        || (to.is_string() && (from.is_string() || from.is_numeric() || *from == DataType::Boolean))
        || (to.is_floating() && from.is_integer())
        || (from.is_signed_integer() && to.is_signed_integer() && from.primitive_width() <= to.primitive_width())
        || matches!((from, to), (DataType::Timestamp(TimeUnit::Microsecond, _), DataType::Date32))
}

/// Of divisors: whether it is another number, or asked for already.
fn is_never_zero(expr: &Expr) -> bool {
    let is_zero = |value: &ScalarValue| ScalarValue::new_zero(&value.data_type()).is_ok_and(|zero| *value == zero);
    match expr {
        Expr::Literal(value, _) => !is_zero(value),
        Expr::ScalarFunction(function) => {
            function.name() == "nullif"
                && matches!(function.args.as_slice(), [_, Expr::Literal(value, _)] if is_zero(value))
        }
        _ => false,
    }
}
