//! Plans as SQL text in Redshift's dialect, for engines that are told what to do in words.
//!
//! Every operator becomes one part of a WITH, whose columns are called c0, c1, ... by position: names and
//! qualifiers of a machine-made plan never meet, and no query is nested deeply. What Redshift lacks is said otherwise: null-safe
//! equality by `=` and `IS NULL`, semi joins by `EXISTS`. NULLs carry their type.

use std::sync::Arc;

use datafusion::{
    common::{
        Column, DFSchema, NullEquality, Result, ScalarValue, TableReference, not_impl_err, plan_err,
        tree_node::{Transformed, TransformedResult, TreeNode, TreeNodeRecursion},
    },
    logical_expr::{
        Aggregate, BinaryExpr, Distinct, Expr, ExprSchemable as _, GroupingSet, Join, JoinType, LogicalPlan, Operator,
        SortExpr, TableScan, cast,
        expr::{AggregateFunction, ScalarFunction},
        lit,
    },
    sql::{
        sqlparser::ast,
        unparser::{Unparser, dialect::CustomDialectBuilder},
    },
};

use super::{Incremental, columns::position};
use crate::{engine::AVERAGE, gold::unaliased};

/// An incremental plan as statements, to be run one after the other in one transaction: its key sets, the fresh
/// rows, and the table's rows with affected keys replaced where they differ. `keys` names the table of a key set, and
/// `columns` are the model's.
///
/// # Errors
/// `NotImplemented` for operators and expressions that have no words here.
pub fn statements(
    plan: &Incremental,
    model: &TableReference,
    columns: &[&str],
    keys: &dyn Fn(usize) -> TableReference,
) -> Result<Vec<String>> {
    let mut statements = Vec::new();
    for set in &plan.key_sets {
        statements.push(format!(
            "CREATE TEMP TABLE {} AS\n{}",
            table(&keys(set.number)),
            query(&set.plan, |place| format!("k{place}"))?
        ));
    }
    let (model, affected) = (table(model), table(&keys(plan.affected_keys)));
    let fresh = query(&plan.fresh, |place| quoted(columns[place]))?;
    let all = columns.iter().map(|column| quoted(column)).collect::<Vec<_>>().join(", ");
    let key: Vec<String> = plan.key.iter().map(|&place| quoted(columns[place])).collect();
    let matched = |rows: &str, others: &str, names: &dyn Fn(usize) -> String| {
        let terms = key.iter().enumerate();
        let terms =
            terms.map(|(place, column)| same(&format!("{rows}.{column}"), &format!("{others}.{}", names(place))));
        terms.collect::<Vec<_>>().join(" AND ")
    };
    let by_key = |place: usize| format!("k{place}");
    let by_name = |place: usize| key[place].clone();
    statements.push(format!("CREATE TEMP TABLE __fresh AS\n{fresh}"));
    statements.push(format!(
        "CREATE TEMP TABLE __difference AS\n\
         SELECT {all}, SUM(__weight) AS __weight FROM (\n  \
           SELECT {all}, 1 AS __weight FROM __fresh\n  \
           UNION ALL\n  \
           SELECT {all}, -1 AS __weight FROM {model} AS m WHERE EXISTS (SELECT 1 FROM {affected} AS k WHERE {})\n\
         ) AS s GROUP BY {all} HAVING SUM(__weight) <> 0",
        matched("m", "k", &by_key)
    ));
    let differs =
        |rows: &str| format!("EXISTS (SELECT 1 FROM __difference AS d WHERE {})", matched(rows, "d", &by_name));
    statements.push(format!("DELETE FROM {model} WHERE {}", differs(&model)));
    statements.push(format!("INSERT INTO {model} ({all}) SELECT {all} FROM __fresh WHERE {}", differs("__fresh")));
    Ok(statements)
}

/// A plan as one query, with names for its columns.
///
/// # Errors
/// `NotImplemented` for operators and expressions that have no words here.
pub(super) fn query(plan: &LogicalPlan, name: impl Fn(usize) -> String) -> Result<String> {
    let mut writer = Writer { parts: Vec::new() };
    let input = writer.input(plan)?;
    let columns = input.columns().enumerate().map(|(place, column)| format!("{column} AS {}", name(place)));
    let columns = columns.collect::<Vec<_>>().join(", ");
    Ok(format!("WITH {}\nSELECT {columns} FROM {}", writer.parts.join(",\n"), input.alias))
}

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

fn table(name: &TableReference) -> String {
    match name.schema() {
        Some(schema) => format!("{}.{}", quoted(schema), quoted(name.table())),
        None => quoted(name.table()),
    }
}

/// Null-safe equality.
fn same(one: &str, other: &str) -> String {
    format!("({one} = {other} OR ({one} IS NULL AND {other} IS NULL))")
}

/// What stands in FROM, by an alias, with the schema of the plan that it is of.
struct Input<'a> {
    alias: String,
    schema: &'a DFSchema,
    /// If it is an aggregate: its averages stand after its columns.
    aggregate: Option<&'a Aggregate>,
}

impl Input<'_> {
    fn columns(&self) -> impl Iterator<Item = String> {
        (0..self.schema.fields().len()).map(|place| format!("{}.c{place}", self.alias))
    }
}

struct Writer {
    /// The operators so far: names with their queries.
    parts: Vec<String>,
}

impl Writer {
    fn query(&mut self, plan: &LogicalPlan) -> Result<String> {
        Ok(match plan {
            LogicalPlan::TableScan(scan) => scanned(scan)?,
            LogicalPlan::Projection(projection) => {
                let input = self.input(&projection.input)?;
                let exprs = projection.expr.iter().map(|expr| text(expr, &[&input]));
                select(exprs.collect::<Result<_>>()?, &input.alias)
            }
            LogicalPlan::Filter(filter) => {
                let input = self.input(&filter.input)?;
                let predicate = text(&filter.predicate, &[&input])?;
                format!("{} WHERE {predicate}", select(input.columns().collect(), &input.alias))
            }
            LogicalPlan::Distinct(Distinct::All(rows)) => {
                let input = self.input(rows)?;
                format!("SELECT DISTINCT {} FROM {}", numbered(input.columns().collect()), input.alias)
            }
            LogicalPlan::Union(union) => {
                let branches = union.inputs.iter().map(|branch| {
                    let input = self.input(branch)?;
                    Ok(select(input.columns().collect(), &input.alias))
                });
                branches.collect::<Result<Vec<_>>>()?.join(" UNION ALL ")
            }
            LogicalPlan::Join(join) => self.join(join)?,
            LogicalPlan::Aggregate(aggregate) => self.aggregate(aggregate)?,
            LogicalPlan::Window(window) => {
                let input = self.input(&window.input)?;
                let computed = window.window_expr.iter().map(|expr| text(expr, &[&input]));
                let columns: Vec<String> = input.columns().map(Ok).chain(computed).collect::<Result<_>>()?;
                select(columns, &input.alias)
            }
            LogicalPlan::Limit(limit) => {
                let sort = match limit.input.as_ref() {
                    LogicalPlan::Sort(sort) => Some(sort),
                    _ => None,
                };
                let input = self.input(&limit.input)?;
                let mut query = select(input.columns().collect(), &input.alias);
                if let Some(sort) = sort {
                    let order = sort.expr.iter().map(|key| ordered(key, &input)).collect::<Result<Vec<_>>>()?;
                    query.push_str(&format!(" ORDER BY {}", order.join(", ")));
                }
                for (word, count) in [("LIMIT", &limit.fetch), ("OFFSET", &limit.skip)] {
                    if let Some(count) = count {
                        query.push_str(&format!(" {word} {}", text(count, &[])?));
                    }
                }
                query
            }
            LogicalPlan::EmptyRelation(empty) => {
                let nothing = |field: &Arc<_>| typed_null(datafusion::arrow::datatypes::Field::data_type(field));
                let columns = empty.schema.fields().iter().map(nothing).map(|null| text(&null, &[]));
                let columns: Vec<String> = columns.collect::<Result<_>>()?;
                let columns = if columns.is_empty() { vec!["1".to_owned()] } else { columns };
                let row = format!("SELECT {}", numbered(columns));
                if empty.produce_one_row { row } else { format!("{row} WHERE 1 = 0") }
            }
            LogicalPlan::Values(values) => {
                let row = |row: &Vec<Expr>| {
                    let columns = row.iter().map(|expr| text(expr, &[])).collect::<Result<Vec<_>>>()?;
                    Ok(format!("SELECT {}", numbered(columns)))
                };
                values.values.iter().map(row).collect::<Result<Vec<_>>>()?.join(" UNION ALL ")
            }
            other => return not_impl_err!("{} as SQL", other.display()),
        })
    }

    /// A plan as a part that others read.
    fn input<'a>(&mut self, plan: &'a LogicalPlan) -> Result<Input<'a>> {
        let below = match plan {
            LogicalPlan::SubqueryAlias(alias) => Some(&alias.input),
            // Only a LIMIT hears of an order.
            LogicalPlan::Sort(sort) => Some(&sort.input),
            _ => None,
        };
        if let Some(below) = below {
            return Ok(Input { schema: plan.schema(), aggregate: None, alias: self.input(below)?.alias });
        }
        let query = self.query(plan)?;
        let alias = format!("t{}", self.parts.len() + 1);
        self.parts.push(format!("{alias} AS ({query})"));
        let aggregate = match plan {
            LogicalPlan::Aggregate(aggregate) => Some(aggregate),
            _ => None,
        };
        Ok(Input { alias, schema: plan.schema(), aggregate })
    }

    fn join(&mut self, join: &Join) -> Result<String> {
        let left = self.input(&join.left)?;
        let right = self.input(&join.right)?;
        let mut terms = Vec::new();
        for (ours, theirs) in &join.on {
            let (ours, theirs) = (text(ours, &[&left])?, text(theirs, &[&right])?);
            terms.push(match join.null_equality {
                NullEquality::NullEqualsNull => same(&ours, &theirs),
                NullEquality::NullEqualsNothing => format!("{ours} = {theirs}"),
            });
        }
        if let Some(filter) = &join.filter {
            terms.push(text(filter, &[&left, &right])?);
        }
        let condition = if terms.is_empty() { "1 = 1".to_owned() } else { terms.join(" AND ") };
        let exists = format!("EXISTS (SELECT 1 FROM {} WHERE {condition})", right.alias);
        let kind = match join.join_type {
            JoinType::LeftSemi => {
                return Ok(format!("{} WHERE {exists}", select(left.columns().collect(), &left.alias)));
            }
            JoinType::LeftAnti if !join.null_aware => {
                return Ok(format!("{} WHERE NOT {exists}", select(left.columns().collect(), &left.alias)));
            }
            JoinType::LeftMark if !join.null_aware => {
                return Ok(select(left.columns().chain([exists]).collect(), &left.alias));
            }
            JoinType::Inner => "INNER",
            JoinType::Left => "LEFT",
            JoinType::Right => "RIGHT",
            JoinType::Full => "FULL",
            other => return not_impl_err!("a {other} join as SQL"),
        };
        let from = format!("{} {kind} JOIN {} ON {condition}", left.alias, right.alias);
        Ok(select(left.columns().chain(right.columns()).collect(), &from))
    }

    fn aggregate(&mut self, aggregate: &Aggregate) -> Result<String> {
        let input = self.input(&aggregate.input)?;
        let exprs = |exprs: &[Expr]| exprs.iter().map(|expr| text(expr, &[&input])).collect::<Result<Vec<_>>>();
        let values = aggregate.aggr_expr.iter().map(|expr| match unaliased(expr) {
            Expr::AggregateFunction(function) if function.func.name() == "string_agg" => listed(function, &input),
            expr => text(expr, &[&input]),
        });
        let mut values = values.collect::<Result<Vec<_>>>()?;
        let averages = averages(aggregate).into_iter().map(|(sum, _)| {
            let sum = &values[sum];
            format!("avg{}", sum.strip_prefix("sum").unwrap_or(sum))
        });
        let averages: Vec<String> = averages.collect();
        values.extend(averages);
        let [Expr::GroupingSet(sets)] = aggregate.group_expr.as_slice() else {
            let groups = exprs(&aggregate.group_expr)?;
            let by = if groups.is_empty() { String::new() } else { format!(" GROUP BY {}", groups.join(", ")) };
            return Ok(format!("{}{by}", select(groups.into_iter().chain(values).collect(), &input.alias)));
        };
        let of = |list: &[Expr]| Ok::<_, datafusion::error::DataFusionError>(format!("({})", exprs(list)?.join(", ")));
        let by = match sets {
            GroupingSet::Rollup(list) => format!("ROLLUP {}", of(list)?),
            GroupingSet::Cube(list) => format!("CUBE {}", of(list)?),
            GroupingSet::GroupingSets(lists) => {
                let lists = lists.iter().map(|list| of(list)).collect::<Result<Vec<_>>>()?;
                format!("GROUPING SETS ({})", lists.join(", "))
            }
        };
        let groups: Vec<Expr> = sets.distinct_expr().into_iter().cloned().collect();
        // The engine's own column that numbers the sets: nobody reads it, or `text` says so.
        let columns = exprs(&groups)?.into_iter().chain(["NULL".to_owned()]).chain(values);
        Ok(format!("{} GROUP BY {by}", select(columns.collect(), &input.alias)))
    }
}

/// LISTAGG, which the engine calls otherwise.
fn listed(function: &AggregateFunction, input: &Input<'_>) -> Result<String> {
    let params = &function.params;
    if params.filter.is_some() {
        return not_impl_err!("LISTAGG with FILTER as SQL");
    }
    let values = params.args.iter().map(|value| text(value, &[input])).collect::<Result<Vec<_>>>()?;
    let distinct = if params.distinct { "DISTINCT " } else { "" };
    let order = params.order_by.iter().map(|key| ordered(key, input)).collect::<Result<Vec<_>>>()?;
    let within =
        if order.is_empty() { String::new() } else { format!(" WITHIN GROUP (ORDER BY {})", order.join(", ")) };
    Ok(format!("LISTAGG({distinct}{}){within}", values.join(", ")))
}

/// Pairs of a sum and a count of the same values, by their positions among an aggregate's values: AVG is planned
/// as the one over the other.
fn averages(aggregate: &Aggregate) -> Vec<(usize, usize)> {
    let called = |expr: &Expr, name: &str| match unaliased(expr) {
        Expr::AggregateFunction(function) if function.func.name() == name => Some(function.params.clone()),
        _ => None,
    };
    let values = || aggregate.aggr_expr.iter().enumerate();
    let sums = values().filter_map(|(place, expr)| Some((place, called(expr, "sum")?)));
    let pairs = sums.filter_map(|(sum, params)| {
        let (count, _) = values().find(|(_, expr)| called(expr, "count").as_ref() == Some(&params))?;
        Some((sum, count))
    });
    pairs.collect()
}

/// Columns called c0, c1, ...
fn numbered(columns: Vec<String>) -> String {
    let columns = columns.into_iter().enumerate();
    columns.map(|(place, column)| format!("{column} AS c{place}")).collect::<Vec<_>>().join(", ")
}

fn select(columns: Vec<String>, from: &str) -> String {
    // A table always has a column.
    let columns = if columns.is_empty() { vec!["1".to_owned()] } else { columns };
    format!("SELECT {} FROM {from}", numbered(columns))
}

fn scanned(scan: &TableScan) -> Result<String> {
    if !scan.filters.is_empty() || scan.fetch.is_some() {
        return not_impl_err!("a scan that filters as SQL");
    }
    let columns = scan.projected_schema.fields().iter().map(|field| quoted(field.name()));
    Ok(select(columns.collect(), &table(&scan.table_name)))
}

fn typed_null(data_type: &datafusion::arrow::datatypes::DataType) -> Expr {
    cast(lit(ScalarValue::Null), data_type.clone())
}

fn ordered(key: &SortExpr, input: &Input<'_>) -> Result<String> {
    let direction = if key.asc { "ASC" } else { "DESC" };
    let nulls = if key.nulls_first { "FIRST" } else { "LAST" };
    Ok(format!("{} {direction} NULLS {nulls}", text(&key.expr, &[input])?))
}

fn longest_text() -> ast::DataType {
    ast::DataType::Varchar(Some(ast::CharacterLength::IntegerLength { length: 65_535, unit: None }))
}

/// An expression over the inputs' columns.
fn text(expr: &Expr, inputs: &[&Input<'_>]) -> Result<String> {
    let place = |column: &Column| {
        inputs.iter().find_map(|input| {
            let place = input.schema.maybe_index_of_column(column)?;
            Some(Column::new(Some(input.alias.as_str()), format!("c{place}")))
        })
    };
    let average = |function: &ScalarFunction| {
        let [sum, count] = function.args.as_slice() else { return None };
        inputs.iter().find_map(|input| {
            let aggregate = input.aggregate?;
            let width = aggregate.schema.fields().len();
            let groups = width - aggregate.aggr_expr.len();
            let of = |expr| position(expr, input.schema)?.checked_sub(groups);
            let pair = (of(sum)?, of(count)?);
            let nth = averages(aggregate).iter().position(|known| *known == pair)?;
            Some(Column::new(Some(input.alias.as_str()), format!("c{}", width + nth)))
        })
    };
    let is_text = |expr: &Expr| {
        inputs.iter().any(|input| expr.get_type(input.schema).is_ok_and(|data_type| data_type.is_string()))
    };
    let found = |column| Transformed::new(Expr::Column(column), true, TreeNodeRecursion::Jump);
    // From one of the engine's types of text to another.
    let plain = expr.clone().unalias_nested().data.transform_up(|part| {
        Ok(match part {
            Expr::Cast(cast) if cast.field.data_type().is_string() && is_text(&cast.expr) => {
                Transformed::yes(*cast.expr)
            }
            other => Transformed::no(other),
        })
    });
    let said = plain.data()?.transform_down(|part| {
        Ok(match part {
            Expr::Column(column) if column.name == Aggregate::INTERNAL_GROUPING_ID => {
                return not_impl_err!("GROUPING() as SQL");
            }
            Expr::Column(column) => match place(&column) {
                Some(column) => found(column),
                None => return plan_err!("no input has the column {column}"),
            },
            Expr::ScalarFunction(function) if function.func.name() == AVERAGE => match average(&function) {
                Some(column) => found(column),
                None => return not_impl_err!("an AVG apart from its GROUP BY as SQL"),
            },
            Expr::Literal(value, _) if value.is_null() && !value.data_type().is_null() => {
                Transformed::yes(typed_null(&value.data_type()))
            }
            Expr::BinaryExpr(BinaryExpr {
                left,
                op: op @ (Operator::IsNotDistinctFrom | Operator::IsDistinctFrom),
                right,
            }) => {
                let neither = left.clone().is_null().and(right.clone().is_null());
                // Never NULL: both sides are, or neither is, before they are compared.
                let both = left.clone().is_not_null().and(right.clone().is_not_null());
                let same = neither.or(both.and((*left).eq(*right)));
                Transformed::yes(if op == Operator::IsNotDistinctFrom { same } else { Expr::Not(Box::new(same)) })
            }
            other => Transformed::no(other),
        })
    });
    let dialect = CustomDialectBuilder::new()
        .with_identifier_quote_style('"')
        .with_float64_ast_dtype(ast::DataType::DoublePrecision)
        // VARCHAR alone is one of 256 bytes.
        .with_utf8_cast_dtype(longest_text())
        .with_large_utf8_cast_dtype(longest_text())
        .build();
    Ok(Unparser::new(&dialect).with_pretty(false).expr_to_sql(&said.data()?)?.to_string())
}
