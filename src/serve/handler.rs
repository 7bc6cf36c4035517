//! One connection's conversation: statements in, rows and tags out, by the simple and the extended
//! protocol.
//!
//! The library's own handlers are not used where they would hold a whole answer in memory or could not
//! be stopped while rows flow: here every statement, planning and sending included, runs under one
//! limit of time and can be cancelled.

use std::{fmt::Debug, sync::Arc, time::Duration};

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion_postgres::pgwire::{
    api::{
        ClientInfo, ClientPortalStore, ConnectionHandle, DEFAULT_NAME, PgWireConnectionState, Type,
        portal::{Format, Portal, PortalExecutionState},
        query::{
            ExtendedQueryHandler, SimpleQueryHandler, send_describe_response, send_execution_response,
            send_partial_query_response, send_query_response, send_ready_for_query,
        },
        results::{
            DescribePortalResponse, DescribeResponse as _, DescribeStatementResponse, FieldFormat, FieldInfo,
            QueryResponse, Tag,
        },
        stmt::{QueryParser, StoredStatement},
        store::{Entry, PortalStore},
    },
    error::{ErrorInfo, PgWireError, PgWireResult},
    messages::{
        PgWireBackendMessage,
        extendedquery::{
            Bind, BindComplete, Close, CloseComplete, Describe, Execute, Parse, ParseComplete, Sync as SyncMessage,
            TARGET_TYPE_BYTE_PORTAL, TARGET_TYPE_BYTE_STATEMENT,
        },
        response::{EmptyQueryResponse, NoticeResponse, ReadyForQuery, TransactionStatus},
        simplequery::Query,
        startup::ParameterStatus,
    },
};
use futures::{Sink, SinkExt as _, StreamExt as _};

use super::{
    command::Command,
    parameters, rows,
    server::Shared,
    session::{Kept, Session},
    wire_error, wire_error_in,
};
use crate::query::{Script, SqlError, Statement, only};

/// Answers one connection's statements.
#[derive(Clone)]
pub(super) struct Handler {
    pub(super) shared: Arc<Shared>,
}

/// A statement the client prepared. Its plan is not kept: the next execution may read a newer snapshot.
#[derive(Debug, Clone)]
pub(super) struct Prepared {
    sql: Arc<str>,
    /// The answer's columns, as far as they are known before values are bound; `None` where it has none.
    columns: Option<SchemaRef>,
    parameters: Vec<Option<DataType>>,
}

/// What a statement came to.
enum Reply {
    Rows(QueryResponse),
    Done(&'static str),
}

/// The values and formats of an execution; the simple protocol has none.
struct Bound<'a> {
    portal: Option<&'a Portal<Prepared>>,
    formats: &'a Format,
    /// The text the statement is part of, as the client knows it.
    script: Option<&'a str>,
}

const SHOW_TABLES: &str = "SELECT table_schema, table_name FROM information_schema.tables \
    WHERE table_schema NOT IN ('information_schema', 'pg_catalog') ORDER BY 1, 2";

impl Handler {
    fn session<C: ClientInfo>(client: &C) -> Arc<Session> {
        client.session_extensions().get_or_insert_with(Session::default)
    }

    /// Runs a piece of a conversation until it is done, cancelled, or out of time.
    async fn within<T>(
        &self,
        session: &Session,
        handle: Option<Arc<ConnectionHandle>>,
        work: impl Future<Output = PgWireResult<T>>,
    ) -> PgWireResult<T> {
        let limits = [self.shared.options.statement_timeout, session.statement_timeout()];
        let limit = limits.into_iter().flatten().min();
        let cancelled = async {
            match handle {
                Some(handle) => {
                    // A sender that is gone will never speak.
                    if handle.start_query().await.await.is_err() {
                        std::future::pending::<()>().await;
                    }
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            done = work => done,
            () = cancelled => Err(wire_error(SqlError::new("57014", "the statement was cancelled by its user"))),
            () = tokio::time::sleep(limit.unwrap_or(FOREVER)) => {
                let seconds = limit.unwrap_or_default().as_secs_f64();
                let error = SqlError::new("57014", format!("the statement took longer than {seconds} s and was stopped"));
                Err(wire_error(error.hint("ask for less, or raise `serve.statement_timeout_secs`")))
            }
        }
    }

    /// Does what one statement asks.
    async fn reply<C>(&self, client: &mut C, statement: &Statement<'_>, bound: Bound<'_>) -> PgWireResult<Reply>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<C::Error>,
    {
        tracing::debug!(sql = statement.text, "statement");
        let session = Self::session(client);
        let command = Command::read(statement).map_err(wire_error)?;
        check_transaction(client, &command)?;
        match &command {
            Command::Ask => return self.ask(&session, statement, bound).await,
            Command::ShowTables => {
                let bound = Bound { script: Some(SHOW_TABLES), ..bound };
                return self.ask(&session, &only(SHOW_TABLES).map_err(wire_error)?, bound).await;
            }
            Command::Begin => {
                if !session.begin() {
                    notice(client, "25001", "a transaction is open already").await?;
                }
                client.set_transaction_status(client.transaction_status().to_in_transaction_state());
            }
            Command::Commit | Command::Rollback => {
                let failed = client.transaction_status() == TransactionStatus::Error;
                if !session.end(command == Command::Commit && !failed) {
                    notice(client, "25P01", "no transaction is open").await?;
                }
                client.portal_store().clear_portals();
                session.forget_portals();
                client.set_transaction_status(TransactionStatus::Idle);
                if failed {
                    return Ok(Reply::Done(Command::Rollback.tag()));
                }
            }
            Command::Set { name, value, local } => {
                let report = session.set(name, value.as_deref(), *local).map_err(wire_error)?;
                tell(client, report).await?;
            }
            Command::ResetAll => tell(client, session.reset_all()).await?,
            Command::Show(name) => {
                let (name, value) = session.setting(name).map_err(wire_error)?;
                return Ok(Reply::Rows(rows::texts(&[name], vec![vec![Some(value)]], command.tag())));
            }
            Command::ShowAll => {
                let settings =
                    session.settings().into_iter().map(|(name, value)| vec![Some(name.to_owned()), Some(value)]);
                return Ok(Reply::Rows(rows::texts(&["name", "setting"], settings.collect(), command.tag())));
            }
            Command::Deallocate(Some(name)) => {
                client.portal_store().rm_statement(name);
                session.forget(&Kept::Statement(name.clone()));
            }
            Command::Deallocate(None) => deallocate_all(client, &session),
            Command::Discard => {
                if client.transaction_status() != TransactionStatus::Idle {
                    return Err(wire_error(SqlError::new("25001", "DISCARD cannot be part of a transaction")));
                }
                deallocate_all(client, &session);
                client.portal_store().clear_portals();
                session.forget_portals();
                session.close(None).map_err(wire_error)?;
                tell(client, session.reset_all()).await?;
            }
            Command::Declare { cursor, query } => {
                let bound = Bound { script: Some(query), ..bound };
                let query = only(query).map_err(wire_error)?;
                let Reply::Rows(rows) = self.ask(&session, &query, bound).await? else {
                    return Err(wire_error(SqlError::new("42601", "a cursor is declared for a query")));
                };
                session.declare(cursor, rows).map_err(wire_error)?;
            }
            Command::Fetch { cursor, rows } => return fetch(&session, cursor, *rows).await,
            Command::Close(name) => session.close(name.as_deref()).map_err(wire_error)?,
            Command::Unlisten => {}
        }
        Ok(Reply::Done(command.tag()))
    }

    /// Plans and begins to run a query over the statement's view.
    async fn ask(&self, session: &Session, statement: &Statement<'_>, bound: Bound<'_>) -> PgWireResult<Reply> {
        let views = &self.shared.views;
        let opened = session.view(views).await.map_err(wire_error)?;
        let unplanned = |error| wire_error_in(bound.script.unwrap_or(statement.text), statement, error);
        let mut planned = views.plan(&opened, statement).await.map_err(unplanned)?;
        if let Some(portal) = bound.portal {
            let values = parameters::bind(portal, &portal.statement.statement.parameters)?;
            planned = planned.bind(&values, &opened).map_err(wire_error)?;
        }
        let answer = views.run(&opened, planned).await.map_err(wire_error)?;
        rows::fits(bound.formats, answer.schema.fields().len())?;
        let fields = rows::fields(&answer.schema, bound.formats)?;
        if let Some(portal) = bound.portal {
            same_columns(&portal.statement.statement, &fields)?;
        }
        let tag = if statement.verb() == "EXPLAIN" { "EXPLAIN" } else { "SELECT" };
        Ok(Reply::Rows(rows::response(answer, fields, tag)))
    }

    /// The columns of a bound statement, which may depend on the values.
    async fn bound_columns(&self, session: &Session, portal: &Portal<Prepared>) -> PgWireResult<Option<SchemaRef>> {
        let prepared = &portal.statement.statement;
        let Some(columns) = &prepared.columns else { return Ok(None) };
        if prepared.parameters.is_empty() || !depends_on_values(columns) {
            return Ok(Some(Arc::clone(columns)));
        }
        let opened = session.view(&self.shared.views).await.map_err(wire_error)?;
        let statement = only(&prepared.sql).map_err(wire_error)?;
        let planned = self.shared.views.plan(&opened, &statement).await.map_err(wire_error)?;
        let values = parameters::bind(portal, &prepared.parameters)?;
        let planned = planned.bind(&values, &opened).map_err(wire_error)?;
        Ok(Some(Arc::clone(planned.plan.schema().inner())))
    }

    async fn script<C>(&self, client: &mut C, sql: &str) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<C::Error>,
    {
        let statements = Script::new(sql).statements().map_err(wire_error)?;
        if statements.is_empty() {
            client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?;
        }
        for statement in &statements {
            let bound = Bound { portal: None, formats: &Format::UnifiedText, script: Some(sql) };
            match self.reply(client, statement, bound).await? {
                Reply::Rows(rows) => send_query_response(client, rows, true).await?,
                Reply::Done(tag) => send_execution_response(client, Tag::new(tag)).await?,
            }
        }
        Ok(())
    }

    async fn execute<C>(&self, client: &mut C, portal: &Portal<Prepared>, most: usize) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<C::Error>,
    {
        let state = portal.state();
        let mut state = state.lock().await;
        // What fails is not taken up again.
        let rows = match std::mem::replace(&mut *state, PortalExecutionState::Finished) {
            PortalExecutionState::Suspended(rows) => Some(rows),
            PortalExecutionState::Finished => None,
            PortalExecutionState::Initial => {
                let statement = only(&portal.statement.statement.sql).map_err(wire_error)?;
                let bound = Bound { portal: Some(portal), formats: &portal.result_column_format, script: None };
                match self.reply(client, &statement, bound).await? {
                    Reply::Rows(rows) => Some(rows),
                    Reply::Done(tag) => return send_execution_response(client, Tag::new(tag)).await,
                }
            }
        };
        let Some(mut rows) = rows else {
            return send_execution_response(client, Tag::new("SELECT").with_rows(0)).await;
        };
        if send_partial_query_response(client, &mut rows, most).await? {
            *state = PortalExecutionState::Suspended(rows);
        }
        Ok(())
    }
}

/// Longer than any statement: no limit.
const FOREVER: Duration = Duration::from_secs(60 * 60 * 24 * 365);

/// Columns of type NULL are values still to be bound.
fn depends_on_values(columns: &Schema) -> bool {
    columns.fields().iter().any(|field| field.data_type().is_null())
}

/// A newer snapshot may have other columns than the client was told.
fn same_columns(prepared: &Prepared, fields: &[FieldInfo]) -> PgWireResult<()> {
    let Some(columns) = prepared.columns.as_ref().filter(|columns| !depends_on_values(columns)) else { return Ok(()) };
    let told = rows::fields(columns, &Format::UnifiedText)?;
    let same = told.len() == fields.len()
        && told.iter().zip(fields).all(|(told, now)| told.name() == now.name() && told.datatype() == now.datatype());
    if same {
        return Ok(());
    }
    Err(wire_error(
        SqlError::new("0A000", "a newer snapshot has other columns than the statement was prepared for")
            .hint("prepare it anew"),
    ))
}

fn check_transaction<C: ClientInfo>(client: &C, command: &Command) -> PgWireResult<()> {
    let ends = matches!(command, Command::Commit | Command::Rollback);
    if client.transaction_status() == TransactionStatus::Error && !ends {
        let error = SqlError::new("25P02", "a statement of this transaction failed: nothing is done until it ends");
        return Err(wire_error(error.hint("ROLLBACK")));
    }
    Ok(())
}

async fn fetch(session: &Session, name: &str, most: Option<usize>) -> PgWireResult<Reply> {
    let cursor = session.cursor(name).map_err(wire_error)?;
    let fields = cursor.lock().await.row_schema();
    let rest = most.unwrap_or(usize::MAX);
    let rows = futures::stream::unfold((cursor, rest), |(cursor, rest)| async move {
        let row = if rest == 0 { None } else { cursor.lock().await.data_rows().next().await };
        row.map(|row| (row, (cursor, rest - 1)))
    });
    let mut response = QueryResponse::new(fields, rows);
    response.set_command_tag("FETCH");
    Ok(Reply::Rows(response))
}

async fn notice<C>(client: &mut C, state: &str, message: &str) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin,
    PgWireError: From<C::Error>,
{
    let info = ErrorInfo::new("WARNING".to_owned(), state.to_owned(), message.to_owned());
    Ok(client.feed(PgWireBackendMessage::NoticeResponse(NoticeResponse::from(info))).await?)
}

/// Tells the client of settings that changed.
async fn tell<C>(client: &mut C, changes: impl IntoIterator<Item = (&'static str, String)>) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin,
    PgWireError: From<C::Error>,
{
    for (name, value) in changes {
        client.feed(PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name.to_owned(), value))).await?;
    }
    Ok(())
}

fn deallocate_all<C>(client: &C, session: &Session)
where
    C: ClientPortalStore,
    C::PortalStore: PortalStore,
{
    for name in session.forget_statements() {
        client.portal_store().rm_statement(&name);
    }
}

fn handle<C: ClientInfo>(client: &C) -> Option<Arc<ConnectionHandle>> {
    client.session_extensions().get::<Arc<ConnectionHandle>>().map(|handle| handle.as_ref().clone())
}

#[async_trait]
impl SimpleQueryHandler for Handler {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<C::Error>,
    {
        client.set_state(PgWireConnectionState::QueryInProgress);
        let (session, handle) = (Self::session(client), handle(client));
        self.within(&session, handle, self.script(client, &query.query)).await?;
        client.set_state(PgWireConnectionState::ReadyForQuery);
        let status = client.transaction_status();
        send_ready_for_query(client, status).await
    }

    async fn do_query<C>(
        &self,
        _: &mut C,
        _: &str,
    ) -> PgWireResult<Vec<datafusion_postgres::pgwire::api::results::Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<C::Error>,
    {
        Err(unused())
    }
}

#[async_trait]
impl QueryParser for Handler {
    type Statement = Prepared;

    async fn parse_sql<C>(&self, client: &C, sql: &str, _: &[Option<Type>]) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let mut statements = Script::new(sql).statements().map_err(wire_error)?;
        let statement = match statements.len() {
            0 => return Ok(None),
            1 => statements.remove(0),
            _ => return Err(wire_error(SqlError::new("42601", "several statements cannot be prepared as one"))),
        };
        let command = Command::read(&statement).map_err(wire_error)?;
        check_transaction(client, &command)?;
        let mut prepared = Prepared { sql: statement.text.into(), columns: None, parameters: Vec::new() };
        let tables = only(SHOW_TABLES).map_err(wire_error)?;
        let text_columns = |names: &[&str]| {
            Some(Arc::new(Schema::new(
                names
                    .iter()
                    .map(|name| datafusion::arrow::datatypes::Field::new(*name, DataType::Utf8, true))
                    .collect::<Vec<_>>(),
            )))
        };
        match &command {
            Command::Ask | Command::ShowTables => {
                let asked = if command == Command::Ask { &statement } else { &tables };
                let session = Self::session(client);
                let opened = session.view(&self.shared.views).await.map_err(wire_error)?;
                let unplanned = |error| wire_error_in(sql, asked, error);
                let planned = self.shared.views.plan(&opened, asked).await.map_err(unplanned)?;
                prepared.parameters = parameters::wanted(&planned.plan).map_err(wire_error)?;
                prepared.columns = Some(Arc::clone(planned.plan.schema().inner()));
            }
            Command::Show(name) => {
                let (name, _) = Self::session(client).setting(name).map_err(wire_error)?;
                prepared.columns = text_columns(&[name]);
            }
            Command::ShowAll => prepared.columns = text_columns(&["name", "setting"]),
            _ => {}
        }
        Ok(Some(prepared))
    }

    fn get_parameter_types(&self, prepared: &Prepared) -> PgWireResult<Vec<Type>> {
        prepared
            .parameters
            .iter()
            .map(|wanted| match wanted {
                Some(wanted) => rows::pg_type(&datafusion::arrow::datatypes::Field::new("", wanted.clone(), true)),
                None => Ok(Type::UNKNOWN),
            })
            .collect()
    }

    fn get_result_schema(&self, prepared: &Prepared, formats: Option<&Format>) -> PgWireResult<Vec<FieldInfo>> {
        match &prepared.columns {
            Some(columns) => rows::fields(columns, formats.unwrap_or(&Format::UnifiedText)),
            None => Ok(Vec::new()),
        }
    }
}

#[async_trait]
impl ExtendedQueryHandler for Handler {
    type Statement = Prepared;
    type QueryParser = Self;

    fn query_parser(&self) -> Arc<Self> {
        Arc::new(self.clone())
    }

    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<C::Error>,
    {
        let name = message.name.clone().unwrap_or_else(|| DEFAULT_NAME.to_owned());
        let (session, handle) = (Self::session(client), handle(client));
        let parsed =
            self.within(&session, handle, StoredStatement::parse(client, &message, self.query_parser())).await?;
        session.keep(Kept::Statement(name.clone()), message.query.len()).map_err(wire_error)?;
        match parsed {
            Some(statement) => client.portal_store().put_statement(Arc::new(statement)),
            None => client.portal_store().put_empty_statement(&name),
        }
        Ok(client.feed(PgWireBackendMessage::ParseComplete(ParseComplete::new())).await?)
    }

    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<C::Error>,
    {
        let statement_name = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal_name = message.portal_name.as_deref().unwrap_or(DEFAULT_NAME);
        let bytes = message.parameters.iter().flatten().map(|value| value.len()).sum();
        Self::session(client).keep(Kept::Portal(portal_name.to_owned()), bytes).map_err(wire_error)?;
        match client.portal_store().get_statement(statement_name) {
            Some(Entry::Value(statement)) => {
                let portal = Portal::try_new(&message, statement)?;
                client.portal_store().put_portal(Arc::new(portal));
            }
            Some(Entry::Empty) => client.portal_store().put_empty_portal(portal_name),
            None => return Err(PgWireError::StatementNotFound(statement_name.to_owned())),
        }
        Ok(client.feed(PgWireBackendMessage::BindComplete(BindComplete::new())).await?)
    }

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<C::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let most = usize::try_from(message.max_rows).unwrap_or_default();
        match client.portal_store().get_portal(name) {
            Some(Entry::Value(portal)) => {
                let (session, handle) = (Self::session(client), handle(client));
                self.within(&session, handle, self.execute(client, &portal, most)).await
            }
            Some(Entry::Empty) => {
                Ok(client.feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new())).await?)
            }
            None => Err(wire_error(SqlError::new("34000", format!("there is no portal `{name}`")))),
        }
    }

    async fn on_describe<C>(&self, client: &mut C, message: Describe) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<C::Error>,
    {
        // To PostgreSQL a cursor is a portal, and drivers describe it as one.
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        if message.target_type == TARGET_TYPE_BYTE_PORTAL
            && let Ok(cursor) = Self::session(client).cursor(name)
        {
            let columns = cursor.lock().await.row_schema();
            return send_describe_response(client, &DescribePortalResponse::new(columns.as_ref().clone())).await;
        }
        self._on_describe(client, message).await
    }

    async fn do_describe_statement<C>(
        &self,
        client: &mut C,
        target: &StoredStatement<Prepared>,
    ) -> PgWireResult<DescribeStatementResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<C::Error>,
    {
        let inferred = self.get_parameter_types(&target.statement)?;
        let declared = |position: usize| target.parameter_types.get(position).cloned().flatten();
        let types = inferred
            .into_iter()
            .enumerate()
            .map(|(position, inferred)| declared(position).unwrap_or(inferred))
            .collect();
        let columns = match cursor_columns(&Self::session(client), &target.statement).await? {
            Some(columns) => columns,
            None => self.get_result_schema(&target.statement, None)?,
        };
        Ok(DescribeStatementResponse::new(types, columns))
    }

    async fn do_describe_portal<C>(
        &self,
        client: &mut C,
        target: &Portal<Prepared>,
    ) -> PgWireResult<DescribePortalResponse>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<C::Error>,
    {
        let (session, handle) = (Self::session(client), handle(client));
        if let Some(columns) = cursor_columns(&session, &target.statement.statement).await? {
            return Ok(DescribePortalResponse::new(columns));
        }
        let columns = self.within(&session, handle, self.bound_columns(&session, target)).await?;
        let Some(columns) = columns else { return Ok(DescribePortalResponse::no_data()) };
        rows::fits(&target.result_column_format, columns.fields().len())?;
        Ok(DescribePortalResponse::new(rows::fields(&columns, &target.result_column_format)?))
    }

    async fn on_close<C>(&self, client: &mut C, message: Close) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<C::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let session = Self::session(client);
        if message.target_type == TARGET_TYPE_BYTE_STATEMENT {
            client.portal_store().rm_statement(name);
            session.forget(&Kept::Statement(name.to_owned()));
        } else {
            client.portal_store().rm_portal(name);
            session.forget(&Kept::Portal(name.to_owned()));
        }
        Ok(client.feed(PgWireBackendMessage::CloseComplete(CloseComplete::new())).await?)
    }

    async fn on_sync<C>(&self, client: &mut C, _: SyncMessage) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<C::Error>,
    {
        let status = client.transaction_status();
        // Portals live as long as their transaction, which ends here unless BEGIN opened it; with them go
        // the views they read.
        if status == TransactionStatus::Idle {
            client.portal_store().clear_portals();
            Self::session(client).forget_portals();
        }
        Ok(client.send(PgWireBackendMessage::ReadyForQuery(ReadyForQuery::new(status))).await?)
    }

    async fn do_query<C>(
        &self,
        _: &mut C,
        _: &Portal<Prepared>,
        _: usize,
    ) -> PgWireResult<datafusion_postgres::pgwire::api::results::Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<C::Error>,
    {
        Err(unused())
    }
}

/// The library's default conversation would come here; ours goes through [`Handler::reply`].
fn unused() -> PgWireError {
    wire_error(SqlError::new("XX000", "the statement took an unknown way"))
}

/// The columns `FETCH` will give are its cursor's; `None` for any other statement.
async fn cursor_columns(session: &Session, prepared: &Prepared) -> PgWireResult<Option<Vec<FieldInfo>>> {
    let statement = only(&prepared.sql).map_err(wire_error)?;
    let Ok(Command::Fetch { cursor, .. }) = Command::read(&statement) else { return Ok(None) };
    let cursor = session.cursor(&cursor).map_err(wire_error)?;
    let fields = cursor.lock().await.row_schema();
    let as_text = |field: &FieldInfo| {
        FieldInfo::new(field.name().to_owned(), None, None, field.datatype().clone(), FieldFormat::Text)
    };
    Ok(Some(fields.iter().map(as_text).collect()))
}
