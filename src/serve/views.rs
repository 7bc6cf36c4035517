//! Sessions over views: opened once a snapshot, shared by all connections while any statement uses them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use datafusion::{execution::SessionState, logical_expr::LogicalPlan, prelude::SessionContext};

use super::{ServeOptions, SqlEngine, View, Warehouse, catalogue, catalogue::Catalogue};
use crate::{
    error::Result,
    query::{Answer, SqlError, Statement, plan, run},
};

/// Where sessions come from.
pub(super) struct Views {
    warehouse: Arc<dyn Warehouse>,
    engine: Arc<dyn SqlEngine>,
    catalogue: Catalogue,
    base: SessionState,
    database: String,
    /// By snapshot and default schema. Weak, so that an idle server keeps no snapshot from collection.
    opened: Mutex<HashMap<(u64, String), Weak<Opened>>>,
}

/// A view with its sessions.
pub(super) struct Opened {
    pub(super) view: Arc<View>,
    data: SessionContext,
    catalogue: SessionContext,
}

/// A planned statement, tied to the session it was planned in.
pub(super) struct Planned {
    pub(super) plan: LogicalPlan,
    in_catalogue: bool,
}

impl Views {
    pub(super) fn new(
        warehouse: Arc<dyn Warehouse>,
        engine: Arc<dyn SqlEngine>,
        options: &ServeOptions,
    ) -> Result<Self> {
        Ok(Self {
            catalogue: Catalogue::new(&engine.session()?, options)?,
            base: engine.session()?.state(),
            warehouse,
            engine,
            database: options.database.clone(),
            opened: Mutex::default(),
        })
    }

    /// The newest snapshot, with unqualified names looked for in the first schema of the path that it has.
    pub(super) async fn newest(&self, path: &[String]) -> Result<Arc<Opened>> {
        let view = self.warehouse.newest().await?;
        let known = |name: &&String| view.tables.iter().any(|table| table.schema == **name);
        let schema = path.iter().find(known).map_or(super::DEFAULT_SCHEMA, String::as_str).to_owned();
        let mut opened = self.opened.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (view.snapshot, schema);
        if let Some(found) = opened.get(&key).and_then(Weak::upgrade) {
            return Ok(found);
        }
        opened.retain(|_, session| session.strong_count() > 0);
        let data = super::warehouse::open_in(&self.base, &view, &self.database, &key.1, []);
        let catalogue = self.catalogue.open(&view, &key.1);
        let session = Arc::new(Opened { view, data, catalogue });
        opened.insert(key, Arc::downgrade(&session));
        Ok(session)
    }

    pub(super) async fn plan(&self, opened: &Opened, statement: &Statement<'_>) -> Result<Planned, SqlError> {
        let in_catalogue = catalogue::is_meant(statement);
        let plan = if in_catalogue {
            self.catalogue.plan(&opened.catalogue, &opened.view, statement).await?
        } else {
            plan(self.engine.as_ref(), &opened.data, &opened.view, statement).await?
        };
        Ok(Planned { plan, in_catalogue })
    }

    pub(super) async fn run(&self, opened: &Opened, planned: Planned) -> Result<Answer, SqlError> {
        let session = if planned.in_catalogue { &opened.catalogue } else { &opened.data };
        run(session, planned.plan, &opened.view).await
    }
}
