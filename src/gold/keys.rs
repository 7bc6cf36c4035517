//! What is unique in a plan's rows, as far as it follows from the keys of its tables.
//!
//! Used where an order must be total (law: rows may not depend on ties), and by whoever registers
//! a model's table, to pass its key on. Sound, not complete: a key that is found is one; there may
//! be others.

use std::{any::Any, collections::BTreeSet, sync::Arc};

use datafusion::{
    arrow::datatypes::DataType,
    common::{Constraint, ScalarValue},
    datasource::source_as_provider,
    logical_expr::{
        Distinct, Expr, ExprSchemable, JoinType, LogicalPlan, Operator, TableScan, Union, WindowFunctionDefinition,
        utils::split_conjunction,
    },
};

use crate::lake::LakeTable;

/// Positions of columns that are together unique (NULL counts as a value). The empty key says
/// that there is at most one row.
pub type Key = BTreeSet<usize>;

/// More keys than this are not followed: a few small ones say all.
const MOST: usize = 8;

/// Unique keys of the plan's rows, the smallest first.
pub fn unique_keys(plan: &LogicalPlan) -> Vec<Key> {
    let mut keys = find(plan);
    keys.sort_by_key(|key| (key.len(), key.iter().copied().collect::<Vec<_>>()));
    let mut kept: Vec<Key> = Vec::new();
    for key in keys {
        if kept.len() < MOST && !kept.iter().any(|smaller| smaller.is_subset(&key)) {
            kept.push(key);
        }
    }
    kept
}

/// The keys of a table, by what its provider says.
fn told(scan: &TableScan) -> Vec<Vec<usize>> {
    let provider = source_as_provider(&scan.source).ok();
    let ours = provider.as_ref().and_then(|provider| (provider.as_ref() as &dyn Any).downcast_ref::<LakeTable>());
    let constraints = ours.map(LakeTable::keys).or_else(|| scan.source.constraints());
    let primary = constraints.into_iter().flat_map(|constraints| constraints.iter()).filter_map(|constraint| {
        match constraint {
            Constraint::PrimaryKey(columns) => Some(columns.clone()),
            // SQL's UNIQUE lets NULL come again.
            Constraint::Unique(_) => None,
        }
    });
    primary.collect()
}

fn find(plan: &LogicalPlan) -> Vec<Key> {
    match plan {
        LogicalPlan::TableScan(scan) => {
            let keys = told(scan);
            let place = |column: &usize| match &scan.projection {
                Some(projection) => projection.iter().position(|kept| kept == column),
                None => Some(*column),
            };
            keys.iter().filter_map(|columns| columns.iter().map(place).collect()).collect()
        }
        LogicalPlan::SubqueryAlias(alias) => unique_keys(&alias.input),
        LogicalPlan::Sort(sort) => unique_keys(&sort.input),
        LogicalPlan::Limit(limit) => unique_keys(&limit.input),
        LogicalPlan::Repartition(repartition) => unique_keys(&repartition.input),
        LogicalPlan::EmptyRelation(_) => vec![Key::new()],
        LogicalPlan::Distinct(Distinct::All(input)) => {
            let mut keys = unique_keys(input);
            keys.push((0..input.schema().fields().len()).collect());
            keys
        }
        LogicalPlan::Filter(filter) => {
            let fixed = fixed(&filter.predicate, &filter.input);
            unique_keys(&filter.input).into_iter().map(|key| &key - &fixed).collect()
        }
        LogicalPlan::Projection(projection) => {
            let place = |wanted: &usize| {
                projection.expr.iter().position(|expr| position(expr, &projection.input) == Some(*wanted))
            };
            unique_keys(&projection.input).iter().filter_map(|key| key.iter().map(place).collect()).collect()
        }
        LogicalPlan::Aggregate(aggregate) => {
            let groups = aggregate.schema.fields().len() - aggregate.aggr_expr.len();
            let mut keys = vec![(0..groups).collect::<Key>()];
            if groups == aggregate.group_expr.len() {
                let place = |wanted: &usize| {
                    aggregate.group_expr.iter().position(|expr| position(expr, &aggregate.input) == Some(*wanted))
                };
                keys.extend(unique_keys(&aggregate.input).iter().filter_map(|key| key.iter().map(place).collect()));
            }
            keys
        }
        LogicalPlan::Window(window) => {
            let before = window.input.schema().fields().len();
            let mut keys = unique_keys(&window.input);
            for (index, expr) in window.window_expr.iter().enumerate() {
                let Expr::WindowFunction(function) = unaliased(expr) else { continue };
                let numbered = matches!(&function.fun, WindowFunctionDefinition::WindowUDF(function) if function.name() == "row_number");
                let partition: Option<Key> =
                    function.params.partition_by.iter().map(|expr| position(expr, &window.input)).collect();
                if let (true, Some(mut key)) = (numbered, partition) {
                    key.insert(before + index);
                    keys.push(key);
                }
            }
            keys
        }
        LogicalPlan::Join(join) => {
            let offset = join.left.schema().fields().len();
            let (left, right) = (unique_keys(&join.left), unique_keys(&join.right));
            match join.join_type {
                JoinType::LeftSemi | JoinType::LeftAnti | JoinType::LeftMark => return left,
                JoinType::RightSemi | JoinType::RightAnti | JoinType::RightMark => return right,
                _ => {}
            }
            let (on_left, on_right) = equal_columns(join);
            let right_once = right.iter().any(|key| key.is_subset(&on_right));
            let left_once = left.iter().any(|key| key.is_subset(&on_left));
            let shifted: Vec<Key> =
                right.iter().map(|key| key.iter().map(|column| column + offset).collect()).collect();
            // Of a full join, rows that have no partner on either side may be NULL in all of both keys, and the same.
            let never_null =
                |side: &LogicalPlan, key: &Key| key.iter().any(|&column| !side.schema().field(column).is_nullable());
            let mut keys = Vec::new();
            for one in &left {
                for (other, shifted) in std::iter::zip(&right, &shifted) {
                    let apart = || never_null(&join.left, one) || never_null(&join.right, other);
                    if join.join_type != JoinType::Full || apart() {
                        keys.push(one | shifted);
                    }
                }
            }
            if right_once && matches!(join.join_type, JoinType::Inner | JoinType::Left) {
                keys.extend(left);
            }
            if left_once && matches!(join.join_type, JoinType::Inner | JoinType::Right) {
                keys.extend(shifted);
            }
            keys
        }
        LogicalPlan::Union(union) => union_key(union).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Branches that one column tells apart, as `FALSE AS is_deleted` and `TRUE AS is_deleted` do,
/// keep their keys together with that column.
fn union_key(union: &Union) -> Option<Key> {
    let branches = &union.inputs;
    let tells_apart = (0..union.schema.fields().len()).find(|column| {
        // 1 may be written in several types, and is one value all the same.
        let data_type = union.schema.field(*column).data_type();
        let of = |branch: &Arc<LogicalPlan>| constant(branch, *column)?.cast_to(data_type).ok();
        let constants: Option<Vec<ScalarValue>> = branches.iter().map(of).collect();
        constants.is_some_and(|constants| {
            constants.iter().enumerate().all(|(index, value)| !constants[..index].contains(value))
        })
    })?;
    let mut key = Key::from([tells_apart]);
    for branch in branches {
        key.extend(unique_keys(branch).into_iter().next()?);
    }
    Some(key)
}

/// The one value that a column of the plan has, where it is written in the SQL.
fn constant(plan: &LogicalPlan, column: usize) -> Option<ScalarValue> {
    match plan {
        LogicalPlan::Projection(projection) => {
            let expr = projection.expr.get(column)?;
            literal(expr).or_else(|| constant(&projection.input, position(expr, &projection.input)?))
        }
        LogicalPlan::SubqueryAlias(alias) => constant(&alias.input, column),
        LogicalPlan::Filter(filter) => constant(&filter.input, column),
        LogicalPlan::Sort(sort) => constant(&sort.input, column),
        LogicalPlan::Window(window) if column < window.input.schema().fields().len() => constant(&window.input, column),
        _ => None,
    }
}

fn literal(expr: &Expr) -> Option<ScalarValue> {
    match unaliased(expr) {
        Expr::Literal(value, _) if !value.is_null() => Some(value.clone()),
        Expr::Cast(cast) => literal(&cast.expr)?.cast_to(cast.field.data_type()).ok(),
        _ => None,
    }
}

/// Columns that a predicate leaves one value.
fn fixed(predicate: &Expr, input: &LogicalPlan) -> Key {
    split_conjunction(predicate)
        .into_iter()
        .filter_map(|term| match term {
            Expr::BinaryExpr(equal) if equal.op == Operator::Eq => {
                match (literal(&equal.left), literal(&equal.right)) {
                    (None, Some(_)) => position(&equal.left, input),
                    (Some(_), None) => position(&equal.right, input),
                    _ => None,
                }
            }
            _ => None,
        })
        .collect()
}

/// The columns of each side that a join's condition holds equal.
fn equal_columns(join: &datafusion::logical_expr::Join) -> (Key, Key) {
    let terms = join.filter.as_ref().map(|filter| split_conjunction(filter)).unwrap_or_default();
    let written = terms.into_iter().filter_map(|term| match term {
        Expr::BinaryExpr(equal) if equal.op == Operator::Eq => Some((equal.left.as_ref(), equal.right.as_ref())),
        _ => None,
    });
    let on = join.on.iter().map(|(left, right)| (left, right));
    let (mut lefts, mut rights) = (Key::new(), Key::new());
    for (one, other) in written.chain(on) {
        for (left, right) in [(one, other), (other, one)] {
            if let (Some(left), Some(right)) = (position(left, &join.left), position(right, &join.right)) {
                lefts.insert(left);
                rights.insert(right);
            }
        }
    }
    (lefts, rights)
}

/// Where in the input's rows the column is that an expression has all the values of, told apart.
pub(super) fn position(expr: &Expr, input: &LogicalPlan) -> Option<usize> {
    match unaliased(expr) {
        Expr::Column(column) => input.schema().maybe_index_of_column(column),
        Expr::Cast(cast) => {
            let from = cast.expr.get_type(input.schema()).ok()?;
            keeps_apart(&from, cast.field.data_type()).then(|| position(&cast.expr, input))?
        }
        _ => None,
    }
}

/// Whether a cast gives different values for different values (or fails).
pub(super) fn keeps_apart(from: &DataType, to: &DataType) -> bool {
    match (from, to) {
        (from, to) if from.is_integer() => to.is_integer() || matches!(to, DataType::Decimal128(_, 0..)),
        (DataType::Decimal128(_, from), DataType::Decimal128(_, to)) => from <= to,
        (DataType::Date32, DataType::Timestamp(..)) => true,
        (from, to) => from.is_string() && to.is_string(),
    }
}

/// An expression below its alias.
pub fn unaliased(expr: &Expr) -> &Expr {
    match expr {
        Expr::Alias(alias) => unaliased(&alias.expr),
        other => other,
    }
}
