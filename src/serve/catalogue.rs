//! `pg_catalog` for the clients that look around: `psql`'s `\d`, drivers and BI tools.
//!
//! Their questions are recognised by the names they use, rewritten by `datafusion-pg-catalog`, and
//! planned in a session that has its tables, functions and type names; all other questions go to the
//! engine as they are. One catalogue serves all connections and snapshots, so that the numbers a
//! client got for a table stay true in its next question.

use std::{
    collections::BTreeMap,
    fmt,
    ops::ControlFlow,
    sync::{Arc, PoisonError, RwLock},
};

use async_trait::async_trait;
use datafusion::{
    arrow::datatypes::{DataType, SchemaRef},
    catalog::{MemoryCatalogProvider, SchemaProvider},
    datasource::TableType,
    error::Result as PlanResult,
    execution::SessionState,
    logical_expr::{ColumnarValue, LogicalPlan, ScalarUDF, Volatility, create_udf},
    prelude::SessionContext,
    scalar::ScalarValue,
    sql::{
        parser::Statement as PlannerStatement,
        sqlparser::{
            ast::{Expr, FunctionArguments, Value, VisitMut as _, VisitorMut},
            parser::ParserError,
            tokenizer::Token,
        },
    },
};
use datafusion_postgres::datafusion_pg_catalog::{
    pg_catalog::{
        PgCatalogSchemaProvider, PgCatalogStaticTables,
        catalog_info::CatalogInfo,
        context::{PgCatalogContextProvider, Role},
        setup_pg_catalog,
    },
    sql::PostgresCompatibilityParser,
};

use super::{ServeOptions, View, settings::SERVER_VERSION};
use crate::{
    error::{Error, Result},
    query::{SqlError, Statement, check_depth, read_only, shown_schema},
};

const PG_CATALOG: &str = "pg_catalog";

/// The catalogue of one server.
pub(super) struct Catalogue {
    parser: PostgresCompatibilityParser,
    /// A session with the catalogue's functions and type names, and no tables.
    base: SessionState,
    tables: Arc<dyn SchemaProvider>,
    shape: Shape,
    database: String,
    user: String,
}

impl Catalogue {
    /// `session` is one of the engine's, of the catalogue's own from now on.
    pub(super) fn new(session: &SessionContext, options: &ServeOptions) -> Result<Self> {
        let failed = |error: datafusion::error::DataFusionError| Error::bug("pg_catalog cannot be set up").cause(error);
        let scratch = "catalogue";
        session.register_catalog(scratch, Arc::new(MemoryCatalogProvider::new()));
        let roles = Roles(options.user.clone());
        setup_pg_catalog(session, scratch, roles.clone()).map_err(|error| failed(*error))?;
        let shape = Shape { database: options.database.clone(), schemas: Arc::default() };
        let static_tables = Arc::new(PgCatalogStaticTables::try_new().map_err(failed)?);
        let tables = PgCatalogSchemaProvider::try_new(shape.clone(), static_tables, roles).map_err(failed)?;
        Ok(Self {
            parser: PostgresCompatibilityParser::new(),
            base: session.state(),
            tables: Arc::new(tables),
            shape,
            database: options.database.clone(),
            user: options.user.clone(),
        })
    }

    /// A session over a view for questions about the catalogue; names without a schema are looked for in `schema`.
    pub(super) fn open(&self, view: &View, schema: &str) -> SessionContext {
        self.shape.show(view);
        let session = super::warehouse::open_in(
            &self.base,
            view,
            &self.database,
            schema,
            [(PG_CATALOG.to_owned(), Arc::clone(&self.tables))],
        );
        for function in self.functions(schema) {
            session.register_udf(function);
        }
        session
    }

    /// Session functions with this server's answers, and functions `psql` asks for that the library lacks.
    fn functions(&self, schema: &str) -> Vec<ScalarUDF> {
        let text = |text: &str| ScalarValue::from(text);
        let version = format!("PostgreSQL {SERVER_VERSION} compatible, smelt {}", env!("CARGO_PKG_VERSION"));
        let schemas = ScalarValue::new_list_nullable(&[text(schema), text(PG_CATALOG)], &DataType::Utf8);
        let (nothing, no_size) = (ScalarValue::Utf8(None), ScalarValue::Int64(None));
        let (oid, name, visible) = (DataType::Int32, DataType::Utf8, ScalarValue::from(true));
        vec![
            constant("version", vec![], text(&version)),
            constant("current_schema", vec![], text(schema)),
            constant("current_schemas", vec![DataType::Boolean], ScalarValue::List(schemas)),
            constant("current_database", vec![], text(&self.database)),
            constant("session_user", vec![], text(&self.user)),
            constant("pg_get_userbyid", vec![oid.clone()], text(&self.user)),
            constant("obj_description", vec![oid.clone(), name.clone()], nothing.clone()),
            constant("shobj_description", vec![oid.clone(), name.clone()], nothing.clone()),
            constant("col_description", vec![oid.clone(), DataType::Int32], nothing.clone()),
            constant("pg_get_viewdef", vec![oid.clone(), DataType::Boolean], nothing.clone()),
            constant("pg_get_function_result", vec![oid.clone()], nothing.clone()),
            constant("pg_get_function_arguments", vec![oid.clone()], nothing.clone()),
            constant("pg_table_size", vec![oid.clone()], no_size.clone()),
            constant("pg_database_size", vec![name], no_size),
            constant("pg_size_pretty", vec![DataType::Int64], nothing),
            constant("pg_function_is_visible", vec![oid.clone()], visible.clone()),
            constant("pg_type_is_visible", vec![oid], visible),
        ]
    }

    /// Plans a question about the catalogue.
    pub(super) async fn plan(
        &self,
        session: &SessionContext,
        view: &View,
        statement: &Statement<'_>,
    ) -> Result<LogicalPlan, SqlError> {
        check_depth(statement)?;
        let explain = |error| SqlError::explain(&error, view);
        let parsed = self.parser.parse(statement.text).map_err(|error: ParserError| explain(error.into()))?;
        let [mut parsed] = <[_; 1]>::try_from(parsed)
            .map_err(|_| SqlError::new("42601", "only one statement can be planned at a time"))?;
        let _ = parsed.visit(&mut Absent);
        let state = session.state();
        let plan = state.statement_to_plan(PlannerStatement::Statement(Box::new(parsed))).await.map_err(explain)?;
        read_only(&plan)?;
        Ok(plan)
    }
}

fn constant(name: &str, arguments: Vec<DataType>, value: ScalarValue) -> ScalarUDF {
    let data_type = value.data_type();
    let answer = move |_: &[ColumnarValue]| Ok(ColumnarValue::Scalar(value.clone()));
    create_udf(name, arguments, data_type, Volatility::Stable, Arc::new(answer))
}

/// Puts NULL where `psql` looks for what no table here has: storage options and access lists as texts,
/// and arrays gathered by a subquery.
struct Absent;

impl VisitorMut for Absent {
    type Break = ();

    fn pre_visit_expr(&mut self, expression: &mut Expr) -> ControlFlow<()> {
        let absent = match expression {
            Expr::Function(function) => {
                let name = function.name.to_string().to_ascii_lowercase();
                let arguments = function.args.to_string();
                match name.rsplit('.').next() {
                    Some("array") => matches!(function.args, FunctionArguments::Subquery(_)),
                    Some("array_to_string") => arguments.contains("reloptions") || arguments.contains("acl,"),
                    _ => false,
                }
            }
            _ => false,
        };
        if absent {
            *expression = Expr::value(Value::Null);
        }
        ControlFlow::Continue(())
    }
}

/// Whether a statement asks about the catalogue or the session, rather than about data.
pub(super) fn is_meant(statement: &Statement<'_>) -> bool {
    const TYPES: [&str; 6] = ["regclass", "regtype", "regproc", "regprocedure", "regnamespace", "regrole"];
    const WORDS: [&str; 3] = ["current_user", "session_user", "current_catalog"];
    const FUNCTIONS: [&str; 12] = [
        "version",
        "current_schema",
        "current_schemas",
        "current_database",
        "format_type",
        "quote_ident",
        "array_upper",
        "array_lower",
        "has_table_privilege",
        "has_schema_privilege",
        "has_database_privilege",
        "has_any_column_privilege",
    ];
    let tokens = statement.tokens();
    tokens.iter().enumerate().any(|(position, token)| {
        let Token::Word(word) = token else { return false };
        let name = word.value.to_ascii_lowercase();
        let called = || tokens.get(position + 1) == Some(&Token::LParen);
        name.starts_with("pg_")
            || TYPES.contains(&name.as_str())
            || (word.quote_style.is_none() && WORDS.contains(&name.as_str()))
            || (FUNCTIONS.contains(&name.as_str()) && called())
    })
}

/// The names and columns of the newest view any session opened.
#[derive(Clone)]
struct Shape {
    database: String,
    schemas: Arc<RwLock<Schemas>>,
}

type Schemas = BTreeMap<String, BTreeMap<String, SchemaRef>>;

impl Shape {
    fn show(&self, view: &View) {
        let mut schemas =
            Schemas::from(["gold", PG_CATALOG, "information_schema"].map(|name| (name.to_owned(), BTreeMap::new())));
        for table in &view.tables {
            let columns = shown_schema(&table.provider.schema());
            schemas.entry(table.schema.clone()).or_default().insert(table.name.clone(), columns);
        }
        *self.schemas.write().unwrap_or_else(PoisonError::into_inner) = schemas;
    }

    fn look<T>(&self, look: impl FnOnce(&Schemas) -> T) -> T {
        look(&self.schemas.read().unwrap_or_else(PoisonError::into_inner))
    }
}

impl fmt::Debug for Shape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shape").field("database", &self.database).finish_non_exhaustive()
    }
}

#[async_trait]
impl CatalogInfo for Shape {
    async fn catalog_names(&self) -> PlanResult<Vec<String>> {
        Ok(vec![self.database.clone()])
    }
    async fn schema_names(&self, _: &str) -> PlanResult<Option<Vec<String>>> {
        Ok(Some(self.look(|schemas| schemas.keys().cloned().collect())))
    }
    async fn table_names(&self, _: &str, schema: &str) -> PlanResult<Option<Vec<String>>> {
        Ok(self.look(|schemas| schemas.get(schema).map(|tables| tables.keys().cloned().collect())))
    }
    async fn table_schema(&self, _: &str, schema: &str, table: &str) -> PlanResult<Option<SchemaRef>> {
        Ok(self.look(|schemas| schemas.get(schema)?.get(table).cloned()))
    }
    async fn table_type(&self, _: &str, _: &str, _: &str) -> PlanResult<Option<TableType>> {
        Ok(Some(TableType::Base))
    }
}

/// The one user.
#[derive(Debug, Clone)]
struct Roles(String);

#[async_trait]
impl PgCatalogContextProvider for Roles {
    async fn roles(&self) -> Vec<String> {
        vec![self.0.clone()]
    }
    async fn role(&self, name: &str) -> Option<Role> {
        (name == self.0).then(|| Role {
            name: self.0.clone(),
            is_superuser: false,
            can_login: true,
            can_create_db: false,
            can_create_role: false,
            can_create_user: false,
            can_replication: false,
            grants: Vec::new(),
            inherited_roles: Vec::new(),
        })
    }
}
