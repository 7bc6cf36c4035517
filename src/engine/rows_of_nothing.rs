//! Aggregates that give a row of no input give it below any condition.
//!
//! The engine's rule for conditions pushes those that read no column below everything, as a column that is `5` by
//! definition makes one of `x = 1`. Without groups, or with the empty grouping set that ROLLUP and CUBE have, an
//! aggregate gives a row of nothing, too: the condition below would leave that row, of 0 rows counted, where the one
//! above leaves none. No condition belongs below such an aggregate, and here none gets there.

use datafusion::{
    common::{Result, tree_node::Transformed},
    logical_expr::{Aggregate, Expr, GroupingSet, LogicalPlan},
    optimizer::{ApplyOrder, OptimizerConfig, OptimizerRule, push_down_filter::PushDownFilter},
};

/// The engine's rule for conditions, which stay above such aggregates.
#[derive(Debug)]
pub(crate) struct ConditionsDown(PushDownFilter);

impl ConditionsDown {
    pub(crate) fn new() -> Self {
        Self(PushDownFilter::new())
    }
}

impl OptimizerRule for ConditionsDown {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn apply_order(&self) -> Option<ApplyOrder> {
        self.0.apply_order()
    }

    fn rewrite(&self, plan: LogicalPlan, config: &dyn OptimizerConfig) -> Result<Transformed<LogicalPlan>> {
        if is_over_a_row_of_nothing(&plan) { Ok(Transformed::no(plan)) } else { self.0.rewrite(plan, config) }
    }
}

/// Whether a plan is conditions, which the engine takes together, and such an aggregate.
fn is_over_a_row_of_nothing(plan: &LogicalPlan) -> bool {
    let LogicalPlan::Filter(filter) = plan else { return false };
    match filter.input.as_ref() {
        LogicalPlan::Aggregate(aggregate) => gives_a_row_of_nothing(aggregate),
        below => is_over_a_row_of_nothing(below),
    }
}

fn gives_a_row_of_nothing(aggregate: &Aggregate) -> bool {
    match aggregate.group_expr.as_slice() {
        [Expr::GroupingSet(GroupingSet::GroupingSets(sets))] => sets.iter().any(Vec::is_empty),
        [Expr::GroupingSet(GroupingSet::Rollup(_) | GroupingSet::Cube(_))] => true,
        groups => groups.is_empty(),
    }
}
