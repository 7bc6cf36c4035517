//! A table's exact files as a DataFusion table: nothing is listed, nothing else is seen.

use std::{fmt, sync::Arc};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use datafusion::{
    catalog::{Session, TableProvider},
    common::{Constraint, Constraints, DFSchema, Statistics, stats::Precision},
    datasource::{
        listing::PartitionedFile,
        physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource, parquet::ParquetRowSelection},
        source::DataSourceExec,
    },
    error::Result as DataFusionResult,
    execution::object_store::ObjectStoreUrl,
    logical_expr::{Expr, TableProviderFilterPushDown, TableType, utils::conjunction},
    physical_plan::ExecutionPlan,
};
use object_store::path::Path;

use super::{FileEntry, Lake, TableFiles};

/// One table at one state.
#[derive(Clone)]
pub struct LakeTable {
    pub(super) lake: Lake,
    pub(super) folder: Path,
    pub(super) table: TableFiles,
    store: ObjectStoreUrl,
    keys: Constraints,
}

impl fmt::Debug for LakeTable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LakeTable({}, {} files)", self.folder, self.table.files.len())
    }
}

impl LakeTable {
    pub fn new(lake: &Lake, folder: Path, table: TableFiles) -> DataFusionResult<Self> {
        Ok(Self {
            lake: lake.clone(),
            folder,
            table,
            store: ObjectStoreUrl::parse(lake.url.as_str())?,
            keys: Constraints::default(),
        })
    }

    /// Says which columns are together unique, NULL being a value like others; there may be several such keys. The planner
    /// is told, and the engine is not: it takes groups out of a GROUP BY of a GROUP BY that it thinks hang on a key.
    #[must_use]
    pub fn with_keys(mut self, keys: &[Vec<String>]) -> Self {
        let position = |column: &String| self.table.schema.index_of(column).ok();
        let places = keys.iter().filter_map(|key| key.iter().map(position).collect::<Option<Vec<_>>>());
        let keys = places.filter(|key| !key.is_empty()).map(Constraint::PrimaryKey).collect();
        self.keys = Constraints::new_unverified(keys);
        self
    }

    fn partitioned(&self, file: &FileEntry) -> PartitionedFile {
        let mut statistics = Statistics::new_unknown(&self.table.schema);
        statistics.num_rows = Precision::Exact(file.rows as usize);
        let part = PartitionedFile::new(format!("{}/{}", self.folder, file.path), file.bytes)
            .with_statistics(Arc::new(statistics));
        match &file.deleted {
            Some(deleted) => part.with_extension(ParquetRowSelection::new(deleted.left_of(file.stored_rows()))),
            None => part,
        }
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.table.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(&self, filters: &[&Expr]) -> DataFusionResult<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.table.schema);
        statistics.num_rows = Precision::Exact(self.table.rows() as usize);
        // Bytes are left out: those of a file say nothing of the few columns that are read, and a join
        // would build its table on the side with more rows.
        Some(statistics)
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> DataFusionResult<Arc<dyn ExecutionPlan>> {
        tracing::trace!(table = %self.folder, rows = self.table.rows(), ?projection, "scan");
        let mut source = ParquetSource::new(Arc::clone(&self.table.schema))
            .with_table_parquet_options(state.table_options().parquet.clone());
        if let Some(filter) = conjunction(filters.iter().cloned()) {
            let schema = DFSchema::try_from(Arc::clone(&self.table.schema))?;
            source = source.with_predicate(state.create_physical_expr(filter, &schema)?);
        }
        // Neighbours share a group, so that each partition reads a range of the sort key.
        let partitions = state.config().target_partitions().max(1);
        let each = self.table.files.len().div_ceil(partitions).max(1);
        let groups = self
            .table
            .files
            .chunks(each)
            .map(|files| FileGroup::new(files.iter().map(|f| self.partitioned(f)).collect()));
        // A table without files still has one partition: sorts and joins refuse an input that has none.
        let groups = if self.table.files.is_empty() { vec![FileGroup::default()] } else { groups.collect() };
        let config = FileScanConfigBuilder::new(self.store.clone(), Arc::new(source))
            .with_file_groups(groups)
            .with_statistics(
                TableProvider::statistics(self).unwrap_or_else(|| Statistics::new_unknown(&self.table.schema)),
            )
            .with_projection_indices(projection.cloned())?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

impl LakeTable {
    /// For callers that hold a trait object.
    pub fn files(&self) -> &[FileEntry] {
        &self.table.files
    }

    /// See [`LakeTable::with_keys`].
    pub(crate) fn keys(&self) -> &Constraints {
        &self.keys
    }

    pub(crate) fn rows(&self) -> u64 {
        self.table.rows()
    }
}
