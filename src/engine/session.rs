//! Sessions of the embedded engine, all sharing one bound on memory and one spill folder.
//!
//! Sorts, aggregates and sort-merge joins spill to disk when their share of the memory is used up;
//! the build side of a hash join cannot. So a session is asked for with a [`JoinPreference`]: a
//! query that ended with [`ran_out_of_memory`] is run again with [`JoinPreference::SortMerge`].

use std::{
    num::NonZeroUsize,
    path::PathBuf,
    sync::{Arc, OnceLock},
};

use datafusion::{
    catalog::{CatalogProvider, MemoryCatalogProvider, MemoryCatalogProviderList, MemorySchemaProvider},
    common::{DataFusionError, config::Dialect},
    execution::{
        SessionState, SessionStateBuilder,
        disk_manager::{DiskManagerBuilder, DiskManagerMode},
        memory_pool::TrackConsumersPool,
        runtime_env::{RuntimeEnv, RuntimeEnvBuilder},
    },
    optimizer::{Optimizer, OptimizerRule},
    physical_optimizer::{PhysicalOptimizerRule, optimizer::PhysicalOptimizer},
    prelude::{SQLOptions, SessionConfig, SessionContext},
};

use super::{
    adjacent_rows::AdjacentRows, compact_views::CompactViews, grouped_once::GroupedOnce, groups::AskedGroupsStay,
    last_branch::LastBranch, memory::SharedPool, redshift, rows_of_nothing::ConditionsDown, stoppable::Pauses,
};
use crate::error::{Error, Result};

/// The schema of the cleaned source tables.
pub const STAGING: &str = "staging";
/// The schema of the models, in which a bare table name is looked up.
pub const GOLD: &str = "gold";

/// What queries may use.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Bytes that the operators of all running queries may hold together.
    pub memory: usize,
    /// Worker threads a query; 0 is one a core.
    pub threads: usize,
    /// The folder that sorts and aggregates spill to.
    pub spill: PathBuf,
    /// Rows a batch.
    pub batch_size: usize,
}

/// How equal keys are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JoinPreference {
    /// Fast; one side must fit in memory.
    Hash,
    /// Slower; both sides may spill.
    SortMerge,
}

/// Makes sessions that share memory, spill folder and object stores.
#[derive(Debug)]
pub struct SessionFactory {
    runtime: Arc<RuntimeEnv>,
    limits: Limits,
    /// What sessions are copies of, by how they join.
    hash: OnceLock<SessionState>,
    sort_merge: OnceLock<SessionState>,
}

impl SessionFactory {
    /// # Errors
    /// `Unavailable` when the spill folder cannot be made.
    pub fn new(limits: Limits) -> Result<Self> {
        std::fs::create_dir_all(&limits.spill)
            .map_err(|e| crate::error::io("make the spill folder", &limits.spill, e))?;
        let pool = TrackConsumersPool::new(SharedPool::new(limits.memory), NonZeroUsize::MIN.saturating_add(4));
        let runtime = RuntimeEnvBuilder::new()
            .with_memory_pool(Arc::new(pool))
            .with_disk_manager_builder(
                DiskManagerBuilder::default().with_mode(DiskManagerMode::Directories(vec![limits.spill.clone()])),
            )
            .build_arc()
            .map_err(|e| Error::unavailable("the embedded engine does not start").cause(e))?;
        Ok(Self { runtime, limits, hash: OnceLock::new(), sort_merge: OnceLock::new() })
    }

    /// Where object stores are registered, for all sessions at once.
    pub fn runtime(&self) -> &Arc<RuntimeEnv> {
        &self.runtime
    }

    /// A session whose default catalog is `catalog`, with empty schemas `staging` and `gold`.
    pub fn session(&self, catalog: &str, joins: JoinPreference) -> SessionContext {
        let first = match joins {
            JoinPreference::Hash => &self.hash,
            JoinPreference::SortMerge => &self.sort_merge,
        };
        // Registering hundreds of functions takes longer than a small query does.
        let mut state = first.get_or_init(|| self.state(joins)).clone();
        catalog.clone_into(&mut state.config_mut().options_mut().catalog.default_catalog);
        state.register_catalog_list(Arc::new(MemoryCatalogProviderList::new()));
        let context = SessionContext::new_with_state(state);
        let schemas = Arc::new(MemoryCatalogProvider::new());
        for schema in [STAGING, GOLD] {
            // A memory catalog refuses no schema.
            let _ = schemas.register_schema(schema, Arc::new(MemorySchemaProvider::new()));
        }
        context.register_catalog(catalog, schemas);
        context
    }

    fn state(&self, joins: JoinPreference) -> SessionState {
        redshift::install(
            SessionStateBuilder::new()
                .with_config(self.config(joins))
                .with_optimizer_rules(logical_rules())
                .with_physical_optimizer_rules(physical_rules(joins))
                .with_runtime_env(Arc::clone(&self.runtime)),
        )
        .with_physical_optimizer_rule(Arc::new(AdjacentRows))
        .with_physical_optimizer_rule(Arc::new(CompactViews))
        .with_physical_optimizer_rule(Arc::new(Pauses))
        .build()
    }

    fn config(&self, joins: JoinPreference) -> SessionConfig {
        let threads = match self.limits.threads {
            0 => std::thread::available_parallelism().map_or(1, NonZeroUsize::get),
            threads => threads,
        };
        let mut config = SessionConfig::new()
            .with_target_partitions(threads)
            .with_batch_size(self.limits.batch_size.max(1))
            .with_information_schema(true)
            .with_create_default_catalog_and_schema(false)
            .with_default_catalog_and_schema("", GOLD);
        let options = config.options_mut();
        options.sql_parser.dialect = Dialect::Redshift;
        options.sql_parser.parse_float_as_decimal = true;
        options.sql_parser.collect_spans = true;
        options.execution.time_zone = Some("UTC".into());
        // What a sort sets aside to merge its spilled runs; the default is too much for a small limit.
        let share = self.limits.memory / (threads * 16);
        options.execution.sort_spill_reservation_bytes = share.min(options.execution.sort_spill_reservation_bytes);
        // An optimised plan may not see any more that a column is never NULL: not in `coalesce(k, 0)` once another column
        // asks for `k IS NOT NULL`, too, and both get it from below. Unions keep what was known of their branches, and
        // grouping over them would be refused for the difference, which matters to nobody. That the check compares types and
        // places, too, is given up with it.
        options.execution.skip_physical_aggregate_schema_check = true;
        options.execution.parquet.pushdown_filters = true;
        options.execution.parquet.reorder_filters = true;
        // Interleaving a union asserts that its branches are dealt out alike, which later rules may have changed.
        options.optimizer.prefer_existing_union = true;
        options.optimizer.prefer_hash_join = joins == JoinPreference::Hash;
        config
    }
}

/// DataFusion's rules for logical plans, with groups that stay, columns that keep their tables, and conditions that stay
/// where they say something.
fn logical_rules() -> Vec<Arc<dyn OptimizerRule + Send + Sync>> {
    let mut rules: Vec<Arc<dyn OptimizerRule + Send + Sync>> = Vec::new();
    for rule in Optimizer::new().rules {
        // Subqueries are aggregates once they are joins, and joins of what is unique may be left out.
        if rules.is_empty() || rule.name() == "extract_equijoin_predicate" {
            rules.push(Arc::new(AskedGroupsStay));
        }
        let (empty_branches, conditions) = (LastBranch::new(), ConditionsDown::new());
        rules.push(match rule.name() {
            name if name == empty_branches.name() => Arc::new(empty_branches),
            name if name == conditions.name() => Arc::new(conditions),
            _ => rule,
        });
    }
    rules
}

/// DataFusion's rules for physical plans but those that give wrong rows in its version 55: filters that are pushed down
/// physical plans, computed ones too, find columns by name, and where two have one name take the wrong one
/// (apache/datafusion#21246, #25244, #25296); sort-merge joins whose inputs are narrowed forget to move the
/// columns of their other conditions (#24414). Filters reach tables through logical plans.
fn physical_rules(joins: JoinPreference) -> Vec<Arc<dyn PhysicalOptimizerRule + Send + Sync>> {
    /// The rule that has streams gathered, among other things.
    const GATHERS: &str = "EnsureRequirements";
    let wrong = |name: &str| {
        name.starts_with("FilterPushdown") || (name == "ProjectionPushdown" && joins == JoinPreference::SortMerge)
    };
    let mut rules: Vec<_> = PhysicalOptimizer::new().rules.into_iter().filter(|rule| !wrong(rule.name())).collect();
    let before = rules.iter().position(|rule| rule.name() == GATHERS).unwrap_or_default();
    rules.insert(before, Arc::new(GroupedOnce));
    rules
}

/// Refuses everything but reading: no DDL, no DML, no COPY, no SET.
pub fn read_only() -> SQLOptions {
    SQLOptions::new().with_allow_ddl(false).with_allow_dml(false).with_allow_statements(false)
}

/// Whether a query failed because memory ran out: then it may work with sort-merge joins.
pub fn ran_out_of_memory(error: &DataFusionError) -> bool {
    matches!(error.find_root(), DataFusionError::ResourcesExhausted(_))
}
