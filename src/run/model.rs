//! A model's step of a run: its table follows what changed in its inputs, at the cost of that change.
//!
//! Where the planner has a plan, only rows with affected keys are computed and compared with the table's.
//! Where it has none, or the model itself changed, all rows are. Either way what is written, and handed
//! to the models downstream, is the difference.

use std::{sync::Arc, time::Instant};

use arrow::array::RecordBatch;
use datafusion::{
    common::{DataFusionError, TableReference},
    execution::memory_pool::MemoryConsumer,
    logical_expr::LogicalPlan,
    prelude::SessionContext,
};
use futures::TryStreamExt as _;
use serde::{Deserialize, Serialize};

use super::{
    Reason, Workshop,
    difference::{Side, difference, difference_in_memory, sorted},
    execute::table_of,
    following::{Failure, has_rows, in_a_task, not_worked_out},
};
use crate::{
    engine::{self, JoinPreference, ran_out_of_memory},
    engine_error,
    error::{Error, Result},
    gold::{self, Model, Planned},
    lake::{
        Candidate, ChangeSet, FileWriter, Keys, LocatedRows, TableChange, TableEdit, TableFiles, TableName, concat,
        ordered,
    },
    planner::{self, Strategy},
};

/// How a model's table came to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Followed {
    /// Nothing that it reads has really changed.
    Unchanged,
    /// Rows with affected keys were computed.
    /// `read` are rows that were looked up by key in other tables.
    Incremental { key: Vec<String>, affected_keys: u64, read: u64, computed: u64, gone: u64, came: u64 },
    /// All rows were computed, and compared with those that were there.
    Compared { why: String, computed: u64, gone: u64, came: u64 },
    /// All rows were computed; there were none to compare with.
    Made,
}

/// Rows of the table after the step, and bytes that it wrote.
pub(super) struct Computed {
    pub(super) followed: Followed,
    pub(super) rows: u64,
    pub(super) bytes_written: u64,
}

/// Rows that come are ordered this many at a time.
const ORDERED: usize = 256 * 1024;

impl Workshop<'_> {
    pub(super) async fn model(&self, candidate: &Candidate, model: &Model, reason: &Reason) -> Result<Computed> {
        let table = TableName::gold(&model.name);
        let base = candidate.base_files(&table).await?;
        let inputs: Vec<TableName> = model.inputs.iter().map(table_of).collect();
        let changed: Vec<&TableName> = inputs.iter().filter(|input| candidate.changed(input)).collect();
        let by_inputs = matches!(reason, Reason::Inputs(_));
        if let (Some(base), true, true) = (&base, by_inputs, changed.is_empty()) {
            return Ok(Computed { followed: Followed::Unchanged, rows: base.rows(), bytes_written: 0 });
        }
        let mut why = None;
        if !by_inputs {
            why = Some(reason.to_string());
        } else if let Some(whole) = changed.iter().find(|input| !has_rows(candidate, input)) {
            why = Some(format!("{whole} was made anew"));
        }
        let mut joins = JoinPreference::Hash;
        loop {
            let attempt = self.attempt(candidate, model, &inputs, base.as_ref(), reason, why.as_deref(), joins).await;
            match attempt {
                Ok((followed, change)) => {
                    let written = change.iter().flat_map(|change| &change.added);
                    let bytes_written = written.filter(|file| file.deleted.is_none()).map(|file| file.bytes).sum();
                    if let Some(change) = change {
                        candidate.record(table.clone(), change);
                    }
                    let rows = candidate.files(&table).await?.map_or(0, |files| files.rows());
                    return Ok(Computed { followed, rows, bytes_written });
                }
                Err(Failure::Memory(_)) if joins == JoinPreference::Hash => {
                    tracing::info!(model = model.name, "the joins do not fit in memory: running with joins that spill");
                    joins = JoinPreference::SortMerge;
                }
                Err(Failure::Whole(reason)) if why.is_none() => {
                    tracing::info!(model = model.name, reason, "all rows are computed");
                    why = Some(reason);
                }
                Err(Failure::Memory(failure)) => return Err(not_computed(model, failure)),
                Err(Failure::Whole(reason)) => {
                    return Err(Error::bug(format!("model `{}` is not computed: {reason}", model.name)));
                }
                Err(Failure::Other(error)) => return Err(error),
            }
        }
    }

    /// Computes what has to be, and the change of the table; none where nothing changes.
    #[expect(clippy::too_many_arguments, reason = "all of it is what one attempt depends on")]
    async fn attempt(
        &self,
        candidate: &Candidate,
        model: &Model,
        inputs: &[TableName],
        base: Option<&TableFiles>,
        reason: &Reason,
        why_whole: Option<&str>,
        joins: JoinPreference,
    ) -> Result<(Followed, Option<TableChange>), Failure> {
        let context = self.candidate_session(candidate, joins, inputs.iter().cloned()).await?;
        let planned = gold::plan(&context, model).await?;
        let comparable = base.filter(|base| base.schema == planned.schema && *reason != Reason::Rebuild);
        let Some(base) = comparable else {
            let change = self.make(candidate, model, &context, &planned).await?;
            return Ok((Followed::Made, Some(change)));
        };
        if let Some(why) = why_whole {
            let run = Comparison { context: &context, plan: planned.plan.clone(), keys: None };
            let (found, change) = self.compare(candidate, model, &planned, base, joins, run).await?;
            let (computed, gone, came) = found;
            return Ok((Followed::Compared { why: why.to_owned(), computed, gone, came }, change));
        }
        let current = self.lake_table(&TableName::gold(&model.name), base.clone())?;
        let tables = self.images(candidate, inputs).await?.with_current(current);
        let changed = |table: &TableReference| tables.changed(table);
        let plan =
            planner::plan(&planned.plan, &planned.tested(model), &changed, &tables).map_err(|e| not_worked_out(&e))?;
        let plan = match plan {
            Strategy::Incremental(plan) => plan,
            Strategy::Whole(whole) => {
                return Err(Failure::Whole(format!("{whole}; to change that, {}", whole.way_out())));
            }
        };
        tables.suit(&context, plan.plans()).map_err(|e| not_worked_out(&e))?;
        let affected = self.affected_keys(&context, &plan, &tables, base.rows()).await?;
        let affected_keys = affected.iter().map(|batch| batch.num_rows() as u64).sum();
        let key: Vec<String> = plan.key.iter().map(|&place| planned.schema.field(place).name().clone()).collect();
        if affected_keys == 0 {
            let read = tables.rows_read();
            return Ok((Followed::Incremental { key, affected_keys, read, computed: 0, gone: 0, came: 0 }, None));
        }
        let (schema, columns) = (Arc::clone(&planned.schema), plan.key.clone());
        let keys = in_a_task(async move { Keys::new(&schema, columns, &affected) }).await??;
        let run = Comparison { context: &context, plan: plan.fresh, keys: Some(keys) };
        let (found, change) = self.compare(candidate, model, &planned, base, joins, run).await?;
        let (computed, gone, came) = found;
        let read = tables.rows_read();
        Ok((Followed::Incremental { key, affected_keys, read, computed, gone, came }, change))
    }

    /// The change from the table's rows (with certain keys) to what a plan gives.
    async fn compare(
        &self,
        candidate: &Candidate,
        model: &Model,
        planned: &Planned,
        base: &TableFiles,
        joins: JoinPreference,
        run: Comparison<'_>,
    ) -> Result<((u64, u64, u64), Option<TableChange>), Failure> {
        let table = TableName::gold(&model.name);
        let incremental = run.keys.is_some();
        let failed = |e: DataFusionError| match e {
            memory if ran_out_of_memory(&memory) => Failure::Memory(memory),
            DataFusionError::External(ours) if ours.is::<Error>() => {
                Failure::Other(engine_error(DataFusionError::External(ours)))
            }
            other if incremental => not_worked_out(&other),
            other => Failure::Other(not_computed(model, other)),
        };
        let started = Instant::now();
        let width = planned.schema.fields().len();
        // What does not fit in memory is sorted, and spills.
        let in_memory = incremental && joins == JoinPreference::Hash;
        let by = if in_memory { 0..0 } else { 0..width };
        let fresh = gold::execute(run.context, run.plan, &planned.schema, by.clone()).await.map_err(failed)?;
        let current = LocatedRows::new(self.lake, &table, base, run.keys);
        let current = sorted(run.context, Arc::new(current), by.len()).map_err(failed)?;
        let current = engine::beside(current);
        let mut edit = TableEdit::new(candidate, &table, base.clone(), planned.order.clone());
        let mut waiting = Waiting { rows: Vec::new(), count: 0 };
        let take = async |side, rows: RecordBatch| {
            if side == Side::Gone {
                return edit.take_gone(&rows).await;
            }
            waiting.count += rows.num_rows();
            waiting.rows.push(rows);
            if waiting.count >= ORDERED { waiting.give_to(&mut edit, planned).await } else { Ok(()) }
        };
        let compared = if in_memory {
            let pool = &run.context.runtime_env().memory_pool;
            let memory = MemoryConsumer::new("rows to compare with").register(pool);
            difference_in_memory(fresh, current, &planned.schema, &memory, take).await
        } else {
            difference(fresh, current, &planned.schema, take).await
        };
        let found = match compared {
            Ok(found) => found,
            Err(failure) => {
                edit.abandon().await?;
                return Err(failed(failure));
            }
        };
        waiting.give_to(&mut edit, planned).await?;
        let seconds = started.elapsed().as_secs_f64();
        tracing::debug!(
            model = model.name,
            fresh = found.fresh,
            gone = found.gone,
            came = found.came,
            seconds,
            "compared"
        );
        let change = edit.finish(&found.displaced, &model.owner).await?;
        Ok(((found.fresh, found.gone, found.came), change))
    }

    /// Computes all rows of a table that is not there, or is to be made anew.
    async fn make(
        &self,
        candidate: &Candidate,
        model: &Model,
        context: &SessionContext,
        planned: &Planned,
    ) -> Result<TableChange, Failure> {
        let table = TableName::gold(&model.name);
        let failed = |e: DataFusionError| {
            if ran_out_of_memory(&e) { Failure::Memory(e) } else { Failure::Other(not_computed(model, e)) }
        };
        let order = planned.order.iter().copied();
        let mut rows = gold::execute(context, planned.plan.clone(), &planned.schema, order).await.map_err(failed)?;
        let mut writer = FileWriter::table(self.lake, &table, candidate.run(), Arc::clone(&planned.schema));
        loop {
            match rows.try_next().await {
                Ok(Some(batch)) => writer.write(&batch).await?,
                Ok(None) => break,
                Err(failure) => {
                    writer.abandon().await?;
                    return Err(failed(failure));
                }
            }
        }
        Ok(TableChange {
            schema: Arc::clone(&planned.schema),
            removed: candidate.base_files(&table).await?.map_or_else(Vec::new, |base| base.files),
            added: writer.finish().await?,
            changes: ChangeSet::Whole,
            owner: model.owner.clone(),
        })
    }
}

/// A model's failure, with its name.
fn not_computed(model: &Model, failure: DataFusionError) -> Error {
    let failure = engine_error(failure);
    let file = model.sql.file().name();
    let error = Error::new(failure.kind(), format!("model `{}` (`{file}`) cannot be computed", model.name));
    match failure.hint_text() {
        Some(hint) => error.hint(hint.to_owned()).cause(failure),
        None => error.cause(failure),
    }
}

/// Fresh rows, and the keys of the current ones that they stand against.
struct Comparison<'a> {
    context: &'a SessionContext,
    plan: LogicalPlan,
    keys: Option<Keys>,
}

/// Rows that come, until there are enough to order them.
struct Waiting {
    rows: Vec<RecordBatch>,
    count: usize,
}

impl Waiting {
    async fn give_to(&mut self, edit: &mut TableEdit, planned: &Planned) -> Result<()> {
        if self.count == 0 {
            return Ok(());
        }
        let (rows, schema) = (std::mem::take(&mut self.rows), Arc::clone(&planned.schema));
        let order = planned.order.clone();
        self.count = 0;
        let rows = in_a_task(async move { ordered(&concat(&schema, &rows)?, &order) }).await??;
        edit.add(&rows).await
    }
}
