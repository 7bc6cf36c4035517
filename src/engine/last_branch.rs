//! What is left of a UNION whose other branches are empty keeps its columns.
//!
//! The engine's rule for empty branches calls the columns of the one that is left by their names alone, without the
//! table. Conditions that are pushed down through it then find columns of other tables that have the same name, and
//! rows are lost or kept that should not be. Here the columns of the branch are taken by their places.

use std::sync::Arc;

use datafusion::{
    common::{DFSchemaRef, Result, tree_node::Transformed},
    logical_expr::{EmptyRelation, Expr, LogicalPlan, Projection, Union},
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule, propagate_empty_relation::PropagateEmptyRelation},
};

/// The engine's rule for empty branches, with whole names.
#[derive(Debug)]
pub(super) struct LastBranch(PropagateEmptyRelation);

impl LastBranch {
    pub(super) fn new() -> Self {
        Self(PropagateEmptyRelation::new())
    }
}

impl OptimizerRule for LastBranch {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if let LogicalPlan::Union(union) = &plan
            && let Some(branch) = last_branch(union)
        {
            return by_place(Arc::clone(branch), &union.schema).map(Transformed::yes);
        }
        self.0.rewrite(plan, config)
    }
}

/// The branch that is left, if there are empty ones and but one other.
fn last_branch(union: &Union) -> Option<&Arc<LogicalPlan>> {
    let is_empty = |branch: &LogicalPlan| {
        matches!(branch, LogicalPlan::EmptyRelation(EmptyRelation { produce_one_row: false, .. }))
    };
    let mut left = union.inputs.iter().filter(|branch| !is_empty(branch));
    let first = left.next()?;
    (left.next().is_none() && union.inputs.len() > 1).then_some(first)
}

/// The columns of a plan, called as those of a schema.
fn by_place(plan: Arc<LogicalPlan>, schema: &DFSchemaRef) -> Result<LogicalPlan> {
    if plan.schema() == schema {
        return Ok(Arc::unwrap_or_clone(plan));
    }
    let columns = std::iter::zip(plan.schema().iter(), schema.iter())
        .map(|(column, (qualifier, field))| Expr::from(column).alias_qualified(qualifier.cloned(), field.name()));
    let columns = columns.collect();
    Projection::try_new_with_schema(columns, plan, Arc::clone(schema)).map(LogicalPlan::Projection)
}
