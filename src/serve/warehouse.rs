//! What the server, `query`, the shell and `export` see of the lake: whole snapshots of tables, and
//! the engine that plans SQL over them.
//!
//! A [`View`] is one published snapshot. Whoever holds it may read its files: holding it is what keeps
//! them from garbage collection, so a view is dropped as soon as its last statement is done.

use std::{collections::BTreeMap, fmt, sync::Arc};

use async_trait::async_trait;
use datafusion::{
    catalog::{CatalogProvider, CatalogProviderList, SchemaProvider, TableProvider},
    execution::session_state::{SessionState, SessionStateBuilder},
    logical_expr::LogicalPlan,
    prelude::SessionContext,
};

use crate::error::Result;

/// The schema whose tables need no prefix.
pub const DEFAULT_SCHEMA: &str = "gold";

/// The newest (or a named) published snapshot, whole.
#[async_trait]
pub trait Warehouse: Send + Sync {
    /// The newest published snapshot. Called before every statement, so it must be cheap.
    async fn newest(&self) -> Result<Arc<View>>;

    /// The snapshot with this number.
    ///
    /// # Errors
    /// `Input` where there is no such snapshot, or it has expired.
    async fn at(&self, snapshot: u64) -> Result<Arc<View>>;
}

/// One snapshot's tables.
pub struct View {
    pub snapshot: u64,
    pub tables: Vec<ViewTable>,
    keep: Option<Box<dyn Send + Sync>>,
}

/// A table as SQL names it.
#[derive(Debug, Clone)]
pub struct ViewTable {
    /// `gold` or `staging`.
    pub schema: String,
    pub name: String,
    pub provider: Arc<dyn TableProvider>,
}

impl View {
    pub fn new(snapshot: u64, tables: Vec<ViewTable>) -> Self {
        Self { snapshot, tables, keep: None }
    }

    /// Ties a guard to the view's life, such as the mark that keeps its files from garbage collection.
    #[must_use]
    pub fn keeping(mut self, guard: impl Send + Sync + 'static) -> Self {
        self.keep = Some(Box::new(guard));
        self
    }

    /// The table with this name, either `schema.name` or a name in the default schema.
    pub fn table(&self, name: &str) -> Option<&ViewTable> {
        let (schema, name) = name.split_once('.').unwrap_or((DEFAULT_SCHEMA, name));
        self.tables.iter().find(|table| table.schema == schema && table.name == name)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("snapshot", &self.snapshot)
            .field("tables", &self.tables.len())
            .field("guarded", &self.keep.is_some())
            .finish()
    }
}

/// How SQL becomes plans: the functions, settings and memory a session has, and the dialect.
#[async_trait]
pub trait SqlEngine: Send + Sync {
    /// A session with the engine's functions, settings and memory pool; its tables are of no account.
    ///
    /// # Errors
    /// `Unavailable` where the engine cannot be set up, for instance without a folder to spill to.
    fn session(&self) -> Result<SessionContext>;

    /// Plans one statement without running any of it.
    async fn plan(&self, session: &SessionContext, sql: &str) -> datafusion::error::Result<LogicalPlan>;
}

/// A session in which exactly the view's tables can be named: those of the default schema by name, all
/// as `schema.name`. Its catalogue cannot be changed.
pub fn open(base: &SessionState, view: &View) -> SessionContext {
    open_in(base, view, "smelt", DEFAULT_SCHEMA, [])
}

/// As [`open`], with the database's name, the schema of unqualified names, and schemas of the server's own.
pub(super) fn open_in(
    base: &SessionState,
    view: &View,
    database: &str,
    default_schema: &str,
    more: impl IntoIterator<Item = (String, Arc<dyn SchemaProvider>)>,
) -> SessionContext {
    let mut schemas: BTreeMap<String, BTreeMap<String, Arc<dyn TableProvider>>> =
        BTreeMap::from([(DEFAULT_SCHEMA.to_owned(), BTreeMap::new())]);
    for table in &view.tables {
        schemas.entry(table.schema.clone()).or_default().insert(table.name.clone(), Arc::clone(&table.provider));
    }
    let schemas = schemas
        .into_iter()
        .map(|(name, tables)| (name, Arc::new(Schema(tables)) as Arc<dyn SchemaProvider>))
        .chain(more)
        .collect();
    let catalogue = Catalogue { database: database.to_owned(), schemas: Arc::new(Schemas(schemas)) };
    let config = base
        .config()
        .clone()
        .with_default_catalog_and_schema(database, default_schema)
        .with_create_default_catalog_and_schema(false)
        .with_information_schema(true);
    let state = SessionStateBuilder::new_from_existing(base.clone())
        .with_config(config)
        .with_catalog_list(Arc::new(catalogue))
        .build();
    SessionContext::new_with_state(state)
}

/// One database, read only: the provider traits' own defaults refuse every change.
#[derive(Debug)]
struct Catalogue {
    database: String,
    schemas: Arc<Schemas>,
}

#[derive(Debug)]
struct Schemas(BTreeMap<String, Arc<dyn SchemaProvider>>);

#[derive(Debug)]
struct Schema(BTreeMap<String, Arc<dyn TableProvider>>);

impl CatalogProviderList for Catalogue {
    fn register_catalog(&self, _: String, _: Arc<dyn CatalogProvider>) -> Option<Arc<dyn CatalogProvider>> {
        None
    }
    fn catalog_names(&self) -> Vec<String> {
        vec![self.database.clone()]
    }
    fn catalog(&self, name: &str) -> Option<Arc<dyn CatalogProvider>> {
        (name == self.database).then(|| Arc::clone(&self.schemas) as Arc<dyn CatalogProvider>)
    }
}

impl CatalogProvider for Schemas {
    fn schema_names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
    fn schema(&self, name: &str) -> Option<Arc<dyn SchemaProvider>> {
        self.0.get(name).cloned()
    }
}

#[async_trait]
impl SchemaProvider for Schema {
    fn table_names(&self) -> Vec<String> {
        self.0.keys().cloned().collect()
    }
    async fn table(&self, name: &str) -> datafusion::error::Result<Option<Arc<dyn TableProvider>>> {
        Ok(self.0.get(name).cloned())
    }
    fn table_exist(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }
}
