//! A query of one thread groups its rows once.
//!
//! The engine groups in two steps, so that several threads can take the first. With one thread the second step does
//! the whole work again on what the first left, which for keys is about as many rows. Where both are next to each
//! other the engine puts them together by itself; but over a UNION, rows of several streams are gathered between them.

use std::sync::Arc;

use datafusion::{
    common::{Result, config::ConfigOptions},
    physical_optimizer::{PhysicalOptimizerRule, combine_partial_final_agg::CombinePartialFinalAggregate},
    physical_plan::ExecutionPlan,
};

/// The rule that puts the steps together before streams are gathered, so that they are gathered below.
#[derive(Debug)]
pub(super) struct GroupedOnce;

impl PhysicalOptimizerRule for GroupedOnce {
    fn optimize(&self, plan: Arc<dyn ExecutionPlan>, config: &ConfigOptions) -> Result<Arc<dyn ExecutionPlan>> {
        if config.execution.target_partitions > 1 {
            return Ok(plan);
        }
        CombinePartialFinalAggregate::new().optimize(plan, config)
    }

    fn name(&self) -> &'static str {
        "grouped_once"
    }

    fn schema_check(&self) -> bool {
        true
    }
}
