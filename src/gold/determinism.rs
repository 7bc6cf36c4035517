//! What a model's or rule's rows may not depend on: the order in which rows happen to come.
//!
//! Three things would let it in. An ORDER BY with ties inside a window or list, where the function
//! sees the order; LIMIT without a total order; and sums of floats, which differ with the order of
//! addition. Each is refused with the way out.

use datafusion::{
    arrow::datatypes::DataType,
    common::{
        DFSchema,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        Distinct, Expr, ExprSchemable, LogicalPlan, SortExpr, WindowFrame, WindowFrameBound, WindowFrameUnits,
        WindowFunctionDefinition,
        expr::{AggregateFunction, WindowFunction},
    },
};

use super::keys::{Key, keeps_apart, position, unaliased, unique_keys};
use crate::{
    engine::{SqlText, sql_span},
    error::{Error, Result},
};

/// # Errors
/// `Input` for each expression whose value the order of rows decides.
pub(crate) fn check(plan: &LogicalPlan, sql: &SqlText) -> Result<()> {
    let mut errors = Vec::new();
    // The visitor itself cannot fail.
    let _ = plan.apply_with_subqueries(|node| {
        match node {
            LogicalPlan::Window(window) => {
                for expr in &window.window_expr {
                    if let Expr::WindowFunction(function) = unaliased(expr) {
                        errors.extend(window_function(function, expr, &window.input, sql));
                    }
                }
            }
            LogicalPlan::Aggregate(aggregate) => {
                for expr in &aggregate.aggr_expr {
                    if let Expr::AggregateFunction(function) = unaliased(expr) {
                        errors.extend(aggregate_function(function, expr, &aggregate.group_expr, &aggregate.input, sql));
                    }
                }
            }
            LogicalPlan::Limit(limit) => errors.extend(limited(&limit.input, sql)),
            LogicalPlan::Distinct(Distinct::On(_)) => {
                errors.push(Error::input("Redshift has no DISTINCT ON").at(sql.file(), 0..0));
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    });
    // A part of WITH that is used twice is planned twice.
    let mut seen = Vec::new();
    errors.retain(|error| {
        let shown = (error.message().to_owned(), error.place().map(|(_, line, column)| (line, column)));
        let new = !seen.contains(&shown);
        seen.push(shown);
        new
    });
    Error::all(errors)
}

fn window_function(function: &WindowFunction, expr: &Expr, input: &LogicalPlan, sql: &SqlText) -> Option<Error> {
    let params = &function.params;
    let name = function.fun.name();
    let sees_order = match &function.fun {
        WindowFunctionDefinition::AggregateUDF(_) => sees_order(name) || cuts_between_ties(&params.window_frame),
        WindowFunctionDefinition::WindowUDF(_) => !matches!(name, "rank" | "dense_rank" | "percent_rank" | "cume_dist"),
    };
    if let WindowFunctionDefinition::AggregateUDF(_) = &function.fun
        && let Some(error) = float(name, expr, input.schema(), sql)
    {
        return Some(error);
    }
    if let Some(error) = by_chance(name, expr, sql) {
        return Some(error);
    }
    if !sees_order {
        return None;
    }
    let known: Key = params
        .partition_by
        .iter()
        .chain(params.order_by.iter().map(|order| &order.expr))
        .filter_map(|expr| position(expr, input))
        .collect();
    ties(name, &known, &params.order_by, Some(expr), input, sql)
}

fn aggregate_function(
    function: &AggregateFunction,
    expr: &Expr,
    groups: &[Expr],
    input: &LogicalPlan,
    sql: &SqlText,
) -> Option<Error> {
    let name = function.func.name();
    let params = &function.params;
    if let Some(error) = float(name, expr, input.schema(), sql) {
        return Some(error);
    }
    if name.starts_with("approx_") {
        let message = format!("`{name}` is not exact, so its result depends on the order of rows");
        return Some(placed(expr, sql, message).hint("use COUNT(DISTINCT ...) or MEDIAN"));
    }
    if let Some(error) = by_chance(name, expr, sql) {
        return Some(error);
    }
    if !sees_order(name) {
        return None;
    }
    // Rows that tie on the listed value itself, or on what it is cast from, list the same value.
    let listed = params.args.first();
    let is_listed = |order: &SortExpr| {
        let by = [unaliased(&order.expr), told_apart(&order.expr, input.schema())];
        listed.is_some_and(|listed| casts(listed).any(|cast_from| by.contains(&cast_from)))
    };
    if params.order_by.iter().any(is_listed) {
        return None;
    }
    let known: Key = groups
        .iter()
        .chain(params.order_by.iter().map(|order| &order.expr))
        .filter_map(|expr| position(expr, input))
        .collect();
    ties(name, &known, &params.order_by, Some(expr), input, sql)
}

fn by_chance(aggregate: &str, expr: &Expr, sql: &SqlText) -> Option<Error> {
    (aggregate == "any_value")
        .then(|| placed(expr, sql, "`any_value` takes a value by chance".to_owned()).hint("use MIN or MAX"))
}

/// Aggregates whose value the order of their rows decides.
fn sees_order(aggregate: &str) -> bool {
    matches!(aggregate, "array_agg" | "string_agg" | "first_value" | "last_value" | "nth_value")
}

/// A frame of ROWS that begins or ends at a row may separate rows that tie.
fn cuts_between_ties(frame: &WindowFrame) -> bool {
    let open = |bound: &WindowFrameBound| match bound {
        WindowFrameBound::Preceding(offset) | WindowFrameBound::Following(offset) => offset.is_null(),
        WindowFrameBound::CurrentRow => false,
    };
    frame.units == WindowFrameUnits::Rows && !(open(&frame.start_bound) && open(&frame.end_bound))
}

fn ties(
    name: &str,
    known: &Key,
    order: &[SortExpr],
    expr: Option<&Expr>,
    input: &LogicalPlan,
    sql: &SqlText,
) -> Option<Error> {
    let keys = unique_keys(input);
    if keys.iter().any(|key| key.is_subset(known)) {
        return None;
    }
    let by: Vec<String> = order.iter().map(|order| order.expr.to_string()).collect();
    let message = if by.is_empty() {
        format!("`{name}` has no ORDER BY, so its result depends on the order of rows")
    } else {
        format!("`{name}` orders by {}, where rows may tie", by.join(", "))
    };
    let missing = keys.iter().map(|key| key - known).min_by_key(Key::len);
    let error = match expr {
        Some(expr) => placed(expr, sql, message),
        None => Error::input(message),
    };
    Some(match missing {
        Some(missing) => {
            let names: Vec<&str> = missing.iter().map(|column| input.schema().field(*column).name().as_str()).collect();
            error.hint(format!("add to the ORDER BY: {}", names.join(", ")))
        }
        None => error.hint(
            "order by columns that are unique together, and let a test on the table they come from say so: `unique` and `not_null`, or `unique_combination_of_columns`",
        ),
    })
}

fn limited(input: &LogicalPlan, sql: &SqlText) -> Option<Error> {
    let mut below = input;
    loop {
        match below {
            LogicalPlan::Projection(projection) => below = &projection.input,
            LogicalPlan::SubqueryAlias(alias) => below = &alias.input,
            LogicalPlan::Sort(sort) => {
                let known: Key = sort.expr.iter().filter_map(|order| position(&order.expr, &sort.input)).collect();
                let error = ties("LIMIT", &known, &sort.expr, None, &sort.input, sql);
                return error.map(|error| at_limit(error, sql));
            }
            // At most one row has an order.
            other if unique_keys(other).iter().any(Key::is_empty) => return None,
            _ => {
                let error = Error::input("LIMIT without ORDER BY keeps rows by chance");
                return Some(at_limit(error.hint("add an ORDER BY that has no ties"), sql));
            }
        }
    }
}

/// Plans do not keep the place of LIMIT; the last one written is most often it.
fn at_limit(error: Error, sql: &SqlText) -> Error {
    match sql.text().to_ascii_lowercase().rfind("limit") {
        Some(at) => error.at(sql.file(), sql.span(at..at + "limit".len())),
        None => error,
    }
}

/// Sums of floats differ with the order of addition.
fn float(name: &str, expr: &Expr, schema: &DFSchema, sql: &SqlText) -> Option<Error> {
    let data_type = unaliased(expr).get_type(schema).ok()?;
    if !matches!(data_type, DataType::Float16 | DataType::Float32 | DataType::Float64) {
        return None;
    }
    let message = format!("`{name}` over floats gives another value with another order of rows");
    Some(placed(expr, sql, message).hint("cast to DECIMAL first, as in `SUM(CAST(amount AS DECIMAL(18, 2)))`"))
}

/// An expression, what it is cast from, and what that is cast from.
fn casts(expr: &Expr) -> impl Iterator<Item = &Expr> {
    std::iter::successors(Some(unaliased(expr)), |expr| match expr {
        Expr::Cast(cast) => Some(unaliased(&cast.expr)),
        _ => None,
    })
}

/// An expression without the casts on it that give different values for different values.
fn told_apart<'a>(expr: &'a Expr, schema: &DFSchema) -> &'a Expr {
    match unaliased(expr) {
        Expr::Cast(cast) if cast.expr.get_type(schema).is_ok_and(|from| keeps_apart(&from, cast.field.data_type())) => {
            told_apart(&cast.expr, schema)
        }
        other => other,
    }
}

/// At the first column in the expression whose place is known.
fn placed(expr: &Expr, sql: &SqlText, message: String) -> Error {
    let mut span = None;
    let _ = expr.apply(|part| {
        if let Expr::Column(column) = part
            && let Some(found) = column.spans().first()
        {
            span = Some(found);
            return Ok(TreeNodeRecursion::Stop);
        }
        Ok(TreeNodeRecursion::Continue)
    });
    match span {
        Some(span) => sql.error(sql.bytes(sql_span(span)), message),
        None => Error::input(format!("`{}`: {message}", sql.file().name())),
    }
}
