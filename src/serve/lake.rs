//! The lake's published snapshots as the views that questions are asked of, and the embedded engine
//! that plans the questions.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use async_trait::async_trait;
use datafusion::{logical_expr::LogicalPlan, prelude::SessionContext};
use futures::{StreamExt, TryStreamExt};

use super::{SqlEngine, View, ViewTable, Warehouse};
use crate::{
    engine::{self, JoinPreference, Purpose, SessionFactory, SqlText},
    engine_error,
    error::{Error, Result, SourceFile},
    lake::{Lake, LakeTable, SnapshotId, TableName, TableState},
};

/// A lake that answers questions. A snapshot is opened once, however many ask it.
#[derive(Debug)]
pub struct LakeWarehouse {
    lake: Lake,
    /// The newest view stays open; older ones live as long as somebody holds them.
    newest: Mutex<Option<Arc<View>>>,
    older: Mutex<BTreeMap<u64, Weak<View>>>,
}

impl LakeWarehouse {
    pub fn new(lake: Lake) -> Self {
        Self { lake, newest: Mutex::default(), older: Mutex::default() }
    }

    fn known(&self, id: u64) -> Option<Arc<View>> {
        let newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner).clone();
        newest
            .filter(|view| view.snapshot == id)
            .or_else(|| self.older.lock().unwrap_or_else(PoisonError::into_inner).get(&id).and_then(Weak::upgrade))
    }

    async fn open(&self, id: SnapshotId) -> Result<Arc<View>> {
        let (snapshot, pin) = self.lake.pin(id).await?;
        let opening = snapshot.tables.into_iter().map(|(name, state)| view_table(self.lake.clone(), name, state));
        let tables = futures::stream::iter(opening).buffered(8).try_collect().await?;
        Ok(Arc::new(View::new(id.0, tables).keeping(pin)))
    }
}

async fn view_table(lake: Lake, name: TableName, state: TableState) -> Result<ViewTable> {
    let files = lake.table_files(&name, &state).await?;
    let provider = LakeTable::new(&lake, lake.table_folder(&name), files).map_err(engine_error)?;
    Ok(ViewTable { schema: name.zone.as_str().to_owned(), name: name.name, provider: Arc::new(provider) })
}

#[async_trait]
impl Warehouse for LakeWarehouse {
    async fn newest(&self) -> Result<Arc<View>> {
        loop {
            let id = *self.lake.snapshots().await?.last().ok_or_else(|| {
                Error::input("nothing is published yet").hint("land extracts with `smelt ingest`, then `smelt run`")
            })?;
            if let Some(view) = self.known(id.0) {
                return Ok(view);
            }
            match self.open(id).await {
                Ok(view) => {
                    let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
                    if newest.as_ref().is_none_or(|known| known.snapshot < view.snapshot) {
                        *newest = Some(Arc::clone(&view));
                    }
                    return Ok(view);
                }
                // It expired between the two reads; then there is a newer one.
                Err(_) if self.lake.snapshots().await?.last() > Some(&id) => {}
                Err(error) => return Err(error),
            }
        }
    }

    async fn at(&self, snapshot: u64) -> Result<Arc<View>> {
        if let Some(view) = self.known(snapshot) {
            return Ok(view);
        }
        let view = self.open(SnapshotId(snapshot)).await?;
        let mut older = self.older.lock().unwrap_or_else(PoisonError::into_inner);
        older.retain(|_, view| view.strong_count() > 0);
        older.insert(snapshot, Arc::downgrade(&view));
        Ok(view)
    }
}

/// The embedded engine as the question rooms use it.
#[derive(Debug)]
pub struct EmbeddedEngine {
    factory: Arc<SessionFactory>,
    lake: Lake,
    database: String,
}

impl EmbeddedEngine {
    pub fn new(factory: Arc<SessionFactory>, lake: Lake, database: impl Into<String>) -> Self {
        Self { factory, lake, database: database.into() }
    }
}

#[async_trait]
impl SqlEngine for EmbeddedEngine {
    fn session(&self) -> Result<SessionContext> {
        let context = self.factory.session(&self.database, JoinPreference::Hash);
        context.register_object_store(&self.lake.url, self.lake.store());
        Ok(context)
    }

    async fn plan(&self, session: &SessionContext, sql: &str) -> datafusion::error::Result<LogicalPlan> {
        let text = SqlText::whole(SourceFile::new("query", sql));
        engine::plan(session, &text, Purpose::Query)
            .await
            .map_err(|error| datafusion::error::DataFusionError::External(Box::new(error)))
    }
}
