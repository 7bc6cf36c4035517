//! Where a change begins: operators whose rows that went and came are known exactly.
//!
//! A changed table is one, and so is what filters, renames and computes columns of its rows, row by
//! row, all of a union, and a window over rows that have a key: its partitions that hold a changed row
//! are computed as they were and as they are. The topmost such operators are the *sources*; a change
//! goes from them to the keys it affects (`relax`), each source by itself.
//!
//! Of a source's rows only the columns matter on which the model depends: a row that went and came
//! again with other values elsewhere is no change. So a price list's new version whose period alone
//! ends earlier is none to those who look at prices that they find all the same.

use std::{collections::BTreeSet, sync::Arc};

use datafusion::{
    common::{
        DFSchema, NullEquality, Result, TableReference,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _, TreeNodeRecursion},
    },
    functions_aggregate::expr_fn::sum,
    logical_expr::{Aggregate, Expr, LogicalPlan, Projection, TableScan, Union, Window, lit},
};

use super::{
    Image, Tables,
    columns::{Columns, On, as_columns, column, distinct, filtered, numbered, renamed, spread, spread_exprs, union},
    restrict::narrowed,
    sets::KeySets,
    shape::{Node, partition_columns},
};
use crate::gold::unique_keys;

/// The topmost operators whose changed rows are known exactly.
pub(super) fn sources(root: &Node) -> Vec<&Node> {
    if !root.changed {
        Vec::new()
    } else if is_exact(root) {
        vec![root]
    } else {
        root.inputs.iter().flat_map(sources).collect()
    }
}

pub(super) fn is_exact(node: &Node) -> bool {
    let inputs = || node.inputs.iter().all(|input| !input.changed || is_exact(input));
    match &node.plan {
        LogicalPlan::TableScan(_) => true,
        LogicalPlan::Projection(_)
        | LogicalPlan::Filter(_)
        | LogicalPlan::SubqueryAlias(_)
        | LogicalPlan::Sort(_)
        | LogicalPlan::Union(_) => inputs(),
        LogicalPlan::Window(window) => {
            inputs() && !partition_columns(window).is_empty() && !unique_keys(&window.input).is_empty()
        }
        _ => false,
    }
}

/// Whether telling what changed takes computing a window.
pub(super) fn by_partition(source: &Node) -> bool {
    matches!(source.plan, LogicalPlan::Window(_)) || source.inputs.iter().any(by_partition)
}

/// The columns of tables by which it is told which rows of a source count.
pub(super) fn conditions(source: &Node) -> Result<BTreeSet<String>> {
    let (mut asked, mut stored) = (BTreeSet::new(), BTreeSet::new());
    source.plan.apply(|node| {
        match node {
            LogicalPlan::TableScan(_) => stored.extend(node.schema().fields().iter().map(|field| field.name().clone())),
            LogicalPlan::Filter(filter) => {
                asked.extend(filter.predicate.column_refs().into_iter().map(|column| column.name.clone()));
            }
            _ => {}
        }
        Ok(TreeNodeRecursion::Continue)
    })?;
    asked.retain(|name| stored.contains(name));
    Ok(asked)
}

/// Rows with a weight, in a key set: how many more of them there are than there were. Rows that are as
/// many as before are left out.
#[derive(Debug, Clone)]
pub(super) struct Changed {
    /// The places of the columns that the rows have, in the operator that they are of.
    columns: Columns,
    set: usize,
}

impl Changed {
    /// The changed rows of a source, in the columns on which the model depends.
    pub(super) fn of(source: &Node, sets: &mut KeySets<'_>) -> Result<Self> {
        let [before, after] = pair(source, sets)?;
        Self::net(&before, &after, source.used.clone(), sets)
    }

    fn net(before: &LogicalPlan, after: &LogicalPlan, columns: Columns, sets: &mut KeySets<'_>) -> Result<Self> {
        let width = columns.len();
        let rows = vec![weighted(before, &columns, lit(-1_i64))?, weighted(after, &columns, lit(1_i64))?];
        let net = netted(rows, width)?;
        let changed = column(net.schema(), width).not_eq(lit(0_i64));
        Ok(Self { columns, set: sets.add(filtered(net, vec![changed])?) })
    }

    /// The rows, called as the columns of an operator; those that they do not have are NULL.
    pub(super) fn rows(&self, schema: &DFSchema, sets: &KeySets<'_>) -> Result<LogicalPlan> {
        spread(sets.read(self.set)?, &self.columns, schema)
    }

    /// The rows, and their weight as one more column: its expression.
    pub(super) fn weighted_rows(&self, schema: &DFSchema, sets: &KeySets<'_>) -> Result<(LogicalPlan, Expr)> {
        let rows = sets.read(self.set)?;
        let named = std::iter::zip(spread_exprs(&rows, &self.columns, schema)?, schema.iter())
            .map(|(expr, (qualifier, field))| expr.alias_qualified(qualifier.cloned(), field.name()));
        let weight = column(rows.schema(), self.columns.len()).alias_qualified(Some("__change"), "weight");
        let rows = LogicalPlan::Projection(Projection::try_new(named.chain([weight]).collect(), rows.into())?);
        let weight = column(rows.schema(), schema.fields().len());
        Ok((rows, weight))
    }
}

/// Some columns of rows, then a weight.
fn weighted(rows: &LogicalPlan, columns: &Columns, weight: Expr) -> Result<LogicalPlan> {
    let exprs = numbered(rows, columns).into_iter().chain([weight.alias("weight")]).collect();
    Ok(LogicalPlan::Projection(Projection::try_new(exprs, Arc::new(rows.clone()))?))
}

/// The different rows among several plans' rows with the sum of their weights, which are the column at `width`.
pub(super) fn netted(mut rows: Vec<LogicalPlan>, width: usize) -> Result<LogicalPlan> {
    let all = if rows.len() == 1 {
        rows.swap_remove(0)
    } else {
        LogicalPlan::Union(Union::try_new_with_loose_types(rows.into_iter().map(Arc::new).collect())?)
    };
    let groups = (0..width).map(|place| column(all.schema(), place)).collect();
    let weight = sum(column(all.schema(), width)).alias("net");
    Ok(LogicalPlan::Aggregate(Aggregate::try_new(Arc::new(all), groups, vec![weight])?))
}

/// One side of a table's change set, with the columns of its scan.
pub(super) fn image(scan: &TableScan, plan: &LogicalPlan, image: Image, sets: &KeySets<'_>) -> Result<LogicalPlan> {
    let schema = plan.schema();
    let rows = sets.tables.image(&scan.table_name, image)?;
    match &scan.projection {
        Some(projection) if rows.schema().fields().len() != projection.len() => {
            let exprs = projection.iter().map(|&place| column(rows.schema(), place)).collect();
            as_columns(rows, exprs, schema)
        }
        _ => renamed(rows, schema),
    }
}

/// What went and what came of an operator's rows; rows that are in both did neither.
pub(super) fn pair(node: &Node, sets: &mut KeySets<'_>) -> Result<[LogicalPlan; 2]> {
    match (&node.plan, node.inputs.as_slice()) {
        (LogicalPlan::TableScan(scan), _) => {
            Ok([image(scan, &node.plan, Image::Before, sets)?, image(scan, &node.plan, Image::After, sets)?])
        }
        (LogicalPlan::Union(_), branches) => {
            let (mut before, mut after) = (Vec::new(), Vec::new());
            for branch in branches.iter().filter(|branch| branch.changed) {
                let [went, came] = pair(branch, sets)?;
                before.push(went);
                after.push(came);
            }
            let schema = node.plan.schema();
            Ok([union(before, schema)?, union(after, schema)?])
        }
        (LogicalPlan::Window(window), [input]) => partitions(node, window, input, sets),
        (plan, [input]) => {
            let [before, after] = pair(input, sets)?;
            let over = |rows: LogicalPlan| plan.with_new_exprs(plan.expressions(), vec![rows]);
            Ok([over(before)?, over(after)?])
        }
        (plan, _) => datafusion::common::internal_err!("no rows of {} are known to change", plan.display()),
    }
}

/// The partitions of a window that hold a changed row, as they were and as they are.
fn partitions(node: &Node, window: &Window, input: &Node, sets: &mut KeySets<'_>) -> Result<[LogicalPlan; 2]> {
    let schema = input.plan.schema();
    // With a key among the columns, no row comes twice.
    let key = unique_keys(&input.plan).into_iter().next().unwrap_or_default();
    let columns: Columns = &input.used | &key;
    let [before, after] = pair(input, sets)?;
    let changed = Changed::net(&before, &after, columns.clone(), sets)?;
    let touched = changed.rows(schema, sets)?;
    let partition: Columns = partition_columns(window);
    let names = partition
        .iter()
        .map(|&place| column(touched.schema(), place).alias_qualified(Some("__touched"), format!("p{place}")));
    let touched = distinct(LogicalPlan::Projection(Projection::try_new(names.collect(), touched.into())?));
    let equal = partition.iter().enumerate();
    let equal = equal.map(|(at, &place)| (column(schema, place), column(touched.schema(), at))).collect();
    let on = On { equal, other: Vec::new(), nulls: NullEquality::NullEqualsNull };
    let now = narrowed(input.plan.clone(), &columns, &touched, &on, sets)?;
    let now = on.semi_join(now, touched)?;

    let width = columns.len();
    let now = sets.add(LogicalPlan::Projection(Projection::try_new(numbered(&now, &columns), now.into())?));
    let now = sets.read(now)?;
    let change = sets.read(changed.set)?;
    let undone = Expr::Negative(Box::new(column(change.schema(), width)));
    let all: Columns = (0..width).collect();
    let then = netted(vec![weighted(&now, &all, lit(1_i64))?, weighted(&change, &all, undone)?], width)?;
    let there = column(then.schema(), width).gt(lit(0_i64));
    let then = filtered(then, vec![there])?;
    let over = |rows: LogicalPlan| -> Result<LogicalPlan> {
        node.plan.with_new_exprs(node.plan.expressions(), vec![spread(rows, &columns, schema)?])
    };
    Ok([over(then)?, over(now)?])
}

/// A plan over its tables as they were; none if one is not known.
pub(super) fn as_it_was(
    plan: &LogicalPlan,
    changed: &dyn Fn(&TableReference) -> bool,
    tables: &dyn Tables,
) -> Result<Option<LogicalPlan>> {
    let mut known = true;
    let then = plan.clone().transform_up(|part| match &part {
        LogicalPlan::TableScan(scan) if changed(&scan.table_name) => match tables.before(scan)? {
            Some(then) => Ok(Transformed::yes(renamed(then, part.schema())?)),
            None => {
                known = false;
                Ok(Transformed::no(part))
            }
        },
        _ => Ok(Transformed::no(part)),
    });
    let then = then.data()?;
    Ok(known.then_some(then))
}
