//! What differs in a table between two snapshots, whatever lies between them: runs, rollbacks, rebuilds.
//!
//! Not what happened on the way, but the outcome: rows of the one that the other has not, as multisets. Data
//! files that both have are looked into only where their deletions differ, so that the cost is that of the
//! change; after a rebuild it is that of the table.

use std::sync::Arc;

use datafusion::execution::SendableRecordBatchStream;
use serde::Serialize;

use super::{
    Workshop,
    difference::{Pairs, Shown, Sides, difference, sorted},
};
use crate::{
    engine::JoinPreference,
    engine_error,
    error::{Error, Result},
    lake::{LocatedRows, Snapshot, SnapshotId, TableFiles, TableName},
};

/// The difference of a table between two snapshots.
#[derive(Debug, Serialize)]
pub struct Changes {
    pub table: TableName,
    /// None before the first one.
    pub from: Option<SnapshotId>,
    pub to: SnapshotId,
    /// Rows that only the earlier one has.
    pub gone: u64,
    /// Rows that only the later one has.
    pub came: u64,
    /// Some of them. Those that are another row of the same key stand together, and first.
    pub rows: Vec<ChangedRow>,
}

/// A row as it was and as it is; none where it was or is not there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ChangedRow {
    pub before: Option<Shown>,
    pub after: Option<Shown>,
}

impl Workshop<'_> {
    /// Compares a table of two snapshots; tells at most so many rows of each side.
    ///
    /// # Errors
    /// `Input` when neither has the table, or it has other columns in each. `Data` for a damaged file.
    pub async fn changes(
        &self,
        table: &TableName,
        from: Option<&Snapshot>,
        to: &Snapshot,
        most: usize,
    ) -> Result<Changes> {
        let files = async |snapshot: Option<&Snapshot>| match snapshot.and_then(|snapshot| snapshot.tables.get(table)) {
            Some(state) => self.lake.table_files(table, state).await.map(Some),
            None => Ok(None),
        };
        let (before, after) = match (files(from).await?, files(Some(to)).await?) {
            (Some(before), Some(after)) => (before, after),
            (Some(before), None) => (before.clone(), TableFiles::empty(before.schema)),
            (None, Some(after)) => (TableFiles::empty(Arc::clone(&after.schema)), after),
            (None, None) => {
                return Err(Error::input(format!("neither snapshot has a table `{table}`"))
                    .hint(format!("`smelt tables --snapshot {}` lists them", to.id)));
            }
        };
        if before.schema != after.schema {
            return Err(Error::input(format!("`{table}` has other columns in snapshot {} than before", to.id))
                .hint("rows can be compared between snapshots in which it has the same columns"));
        }
        let schema = Arc::clone(&after.schema);
        let (gone, came) = (before.clone().without(&after), after.without(&before));
        let context = self.session(JoinPreference::Hash);
        let rows = |files: &TableFiles| -> Result<SendableRecordBatchStream> {
            let rows = Arc::new(LocatedRows::new(self.lake, table, files, None));
            sorted(&context, rows, schema.fields().len()).map_err(engine_error)
        };
        let key = self.key_among(table, &schema);
        let mut found = Sides::new(&key, most);
        let differing =
            difference(rows(&came)?, rows(&gone)?, &schema, async |side, rows| found.take(side, &rows)).await;
        let differing = differing.map_err(engine_error)?;
        let Pairs { both, gone, came } = found.pairs();
        let both = both.into_iter().map(|(before, after)| (Some(before), Some(after)));
        let gone = gone.into_iter().map(|row| (Some(row), None));
        let came = came.into_iter().map(|row| (None, Some(row)));
        let rows = both.chain(gone).chain(came);
        Ok(Changes {
            table: table.clone(),
            from: from.map(|snapshot| snapshot.id),
            to: to.id,
            gone: differing.gone,
            came: differing.came,
            rows: rows.map(|(before, after)| ChangedRow { before: before.cloned(), after: after.cloned() }).collect(),
        })
    }
}
