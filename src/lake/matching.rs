//! The rows of a table that have keys of a set, as a DataFusion table: what a semi-join would leave, without
//! reading the rest.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use arrow::{
    array::{Array, RecordBatch, RecordBatchOptions},
    compute::{filter_record_batch, is_not_null, kernels::boolean::and},
    datatypes::SchemaRef,
};
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{
        DataFusionError, NullEquality, Result, Statistics, internal_err, stats::Precision, tree_node::TreeNodeRecursion,
    },
    datasource::MemTable,
    execution::{SendableRecordBatchStream, TaskContext},
    logical_expr::{Expr, TableType},
    physical_expr::{EquivalenceProperties, Partitioning, PhysicalExpr},
    physical_plan::{
        ChildrenPropertiesMode, DisplayAs, DisplayFormatType, ExecutionPlan, PlanProperties, ReplaceChildrenOptions,
        execution_plan::{Boundedness, EmissionType},
        stream::RecordBatchStreamAdapter,
    },
};
use futures::StreamExt as _;

use super::{FileRows, Keys, LakeTable, lookup::rows_of_files};
use crate::error;

/// With more keys than one for so many rows, all rows are given: looking for them costs more than the rows that
/// it spares. Whoever asks for rows with certain keys takes others, too.
const DENSE: usize = 3;

/// A table, and a set of keys that is filled when the rows are wanted.
pub(crate) struct MatchingRows {
    table: LakeTable,
    /// Columns of the table, and of the set those that they are matched with.
    columns: Vec<(usize, usize)>,
    set: Arc<MemTable>,
    nulls: NullEquality,
    /// Counts the rows that are found.
    found: Arc<AtomicU64>,
}

impl MatchingRows {
    pub(crate) fn new(
        table: LakeTable,
        columns: Vec<(usize, usize)>,
        set: Arc<MemTable>,
        nulls: NullEquality,
        found: Arc<AtomicU64>,
    ) -> Self {
        Self { table, columns, set, nulls, found }
    }

    pub(crate) fn set(&self) -> &Arc<MemTable> {
        &self.set
    }

    async fn keys(&self) -> Result<Keys> {
        let of_set: Vec<usize> = self.columns.iter().map(|(_, column)| *column).collect();
        let mut batches = Vec::new();
        for partition in &self.set.batches {
            for batch in partition.read().await.iter() {
                let keys = batch.project(&of_set)?;
                batches.push(if self.nulls == NullEquality::NullEqualsNull { keys } else { known(&keys)? });
            }
        }
        let columns = self.columns.iter().map(|(column, _)| *column).collect();
        Keys::new(&self.table.table.schema, columns, &batches).map(Keys::among_others).map_err(external)
    }
}

/// The keys without NULL.
fn known(keys: &RecordBatch) -> Result<RecordBatch> {
    let mut known = None;
    for column in keys.columns().iter().filter(|column| column.null_count() > 0) {
        let here = is_not_null(column)?;
        known = Some(match known {
            Some(known) => and(&known, &here)?,
            None => here,
        });
    }
    match known {
        Some(known) => Ok(filter_record_batch(keys, &known)?),
        None => Ok(keys.clone()),
    }
}

fn external(error: error::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

impl fmt::Debug for MatchingRows {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MatchingRows({:?})", self.table)
    }
}

#[async_trait]
impl TableProvider for MatchingRows {
    fn schema(&self) -> SchemaRef {
        self.table.schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _: &[Expr],
        _: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        let mut wanted = 0;
        for partition in &self.set.batches {
            wanted += partition.read().await.iter().map(RecordBatch::num_rows).sum::<usize>();
        }
        let rows = self.table.table.rows();
        if wanted * DENSE > rows as usize {
            self.found.fetch_add(rows, Ordering::Relaxed);
            return self.table.scan(state, projection, &[], None).await;
        }
        let keys = self.keys().await?;
        let all = || (0..self.table.table.schema.fields().len()).collect();
        let columns: Vec<usize> = projection.cloned().unwrap_or_else(all);
        let schema = Arc::new(self.table.table.schema.project(&columns)?);
        let partitions = state.config().target_partitions().clamp(1, self.table.table.files.len().max(1));
        let properties = PlanProperties::new(
            EquivalenceProperties::new(Arc::clone(&schema)),
            Partitioning::UnknownPartitioning(partitions),
            EmissionType::Incremental,
            Boundedness::Bounded,
        );
        let (table, keys, found) = (self.table.clone(), Arc::new(keys), Arc::clone(&self.found));
        Ok(Arc::new(MatchingExec { table, keys, found, columns, schema, partitions, properties: Arc::new(properties) }))
    }
}

struct MatchingExec {
    table: LakeTable,
    keys: Arc<Keys>,
    found: Arc<AtomicU64>,
    columns: Vec<usize>,
    schema: SchemaRef,
    partitions: usize,
    properties: Arc<PlanProperties>,
}

impl fmt::Debug for MatchingExec {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MatchingExec({:?})", self.table)
    }
}

impl DisplayAs for MatchingExec {
    fn fmt_as(&self, _: DisplayFormatType, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MatchingExec: {:?}, {} keys", self.table, self.keys.len())
    }
}

impl ExecutionPlan for MatchingExec {
    fn name(&self) -> &'static str {
        "MatchingExec"
    }

    fn properties(&self) -> &Arc<PlanProperties> {
        &self.properties
    }

    fn children(&self) -> Vec<&Arc<dyn ExecutionPlan>> {
        Vec::new()
    }

    fn apply_expressions(
        &self,
        _: &mut dyn FnMut(&Arc<dyn PhysicalExpr>) -> Result<TreeNodeRecursion>,
    ) -> Result<TreeNodeRecursion> {
        Ok(TreeNodeRecursion::Continue)
    }

    fn replace_children(
        self: Arc<Self>,
        children: Vec<Arc<dyn ExecutionPlan>>,
        _: ReplaceChildrenOptions,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if children.is_empty() { Ok(self) } else { internal_err!("MatchingExec has no input") }
    }

    fn with_new_children(self: Arc<Self>, children: Vec<Arc<dyn ExecutionPlan>>) -> Result<Arc<dyn ExecutionPlan>> {
        self.replace_children(children, ReplaceChildrenOptions::new(ChildrenPropertiesMode::Recompute))
    }

    fn execute(&self, partition: usize, _: Arc<TaskContext>) -> Result<SendableRecordBatchStream> {
        // Neighbours are alike, so every partition takes some of all ages.
        let LakeTable { lake, folder, table, .. } = self.table.clone();
        let files = table.files.into_iter().enumerate().skip(partition).step_by(self.partitions).collect();
        let keys = Some(Arc::clone(&self.keys));
        let found = rows_of_files(lake, folder, table.schema, files, keys, self.columns.clone());
        let (schema, count) = (Arc::clone(&self.schema), Arc::clone(&self.found));
        let batches = found.map(move |found| {
            let (_, FileRows { rows, .. }) = found.map_err(external)?;
            count.fetch_add(rows.num_rows() as u64, Ordering::Relaxed);
            let options = RecordBatchOptions::new().with_row_count(Some(rows.num_rows()));
            Ok(RecordBatch::try_new_with_options(Arc::clone(&schema), rows.columns().to_vec(), &options)?)
        });
        Ok(Box::pin(RecordBatchStreamAdapter::new(Arc::clone(&self.schema), batches)))
    }

    fn partition_statistics(&self, partition: Option<usize>) -> Result<Arc<Statistics>> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        let rows = self.keys.len().min(self.table.table.rows() as usize);
        statistics.num_rows = Precision::Inexact(rows / partition.map_or(1, |_| self.partitions));
        Ok(Arc::new(statistics))
    }
}
