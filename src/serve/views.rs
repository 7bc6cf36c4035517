//! Sessions over views: opened once a snapshot, shared by all connections while any statement uses them.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};

use datafusion::{common::ParamValues, execution::SessionState, logical_expr::LogicalPlan, prelude::SessionContext};
use futures::{FutureExt as _, future::BoxFuture};

use super::{ServeOptions, SqlEngine, View, Warehouse, catalogue, catalogue::Catalogue, hidden::Hidden};
use crate::{
    error::Result,
    query::{Answer, SqlError, Statement, plan, run},
};

/// Where sessions come from.
pub(super) struct Views {
    warehouse: Arc<dyn Warehouse>,
    engine: Arc<dyn SqlEngine>,
    catalogue: Hidden<Catalogue>,
    base: Hidden<SessionState>,
    database: String,
    /// By snapshot and default schema. Weak, so that an idle server keeps no snapshot from collection.
    opened: Mutex<HashMap<(u64, String), Weak<Opened>>>,
}

/// A view with its sessions.
pub(super) struct Opened {
    pub(super) view: Arc<View>,
    data: Hidden<SessionContext>,
    catalogue: Hidden<SessionContext>,
}

/// A planned statement, tied to the session it was planned in.
pub(super) struct Planned {
    pub(super) plan: Hidden<LogicalPlan>,
    in_catalogue: bool,
}

impl Views {
    pub(super) fn new(
        warehouse: Arc<dyn Warehouse>,
        engine: Arc<dyn SqlEngine>,
        options: &ServeOptions,
    ) -> Result<Self> {
        Ok(Self {
            catalogue: Hidden::new(Catalogue::new(&engine.session()?, options)?),
            base: Hidden::new(engine.session()?.state()),
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
        let data = Hidden::new(super::warehouse::open_in(&self.base, &view, &self.database, &key.1, []));
        let catalogue = Hidden::new(self.catalogue.open(&view, &key.1));
        let session = Arc::new(Opened { view, data, catalogue });
        opened.insert(key, Arc::downgrade(&session));
        Ok(session)
    }

    pub(super) fn plan<'a>(
        &'a self,
        opened: &'a Opened,
        statement: &'a Statement<'_>,
    ) -> BoxFuture<'a, Result<Planned, SqlError>> {
        async move {
            let in_catalogue = catalogue::is_meant(statement);
            let plan = if in_catalogue {
                self.catalogue.plan(&opened.catalogue, &opened.view, statement).await?
            } else {
                plan(self.engine.as_ref(), &opened.data, &opened.view, statement).await?
            };
            Ok(Planned { plan: Hidden::new(plan), in_catalogue })
        }
        .boxed()
    }

    pub(super) fn run<'a>(&'a self, opened: &'a Opened, planned: Planned) -> BoxFuture<'a, Result<Answer, SqlError>> {
        let session = if planned.in_catalogue { &opened.catalogue } else { &opened.data };
        async move { run(session, &planned.plan, &opened.view).await }.boxed()
    }
}

impl Planned {
    /// With values in the place of its parameters.
    pub(super) fn bind(self, values: &ParamValues, opened: &Opened) -> Result<Self, SqlError> {
        let bound = self.plan.clone().replace_params_with_values(values);
        let plan = bound.map_err(|error| SqlError::explain(&error, &opened.view))?;
        Ok(Self { plan: Hidden::new(plan), ..self })
    }
}
