//! The one way from SQL text to a logical plan, for models, tests, `smelt query` and the server.

use std::{
    collections::{BTreeSet, VecDeque},
    ops::ControlFlow,
};

use datafusion::{
    common::DataFusionError,
    execution::{SendableRecordBatchStream, SessionState},
    logical_expr::{LogicalPlan, Volatility},
    physical_plan::execute_stream,
    prelude::SessionContext,
    sql::{
        parser::Statement as PlannerStatement,
        sqlparser::{
            ast::{ObjectName, Query, Spanned, Statement, VisitMut, VisitorMut},
            parser::Parser,
            tokenizer::{Span, Token},
        },
    },
};

use super::{
    diagnose,
    dialect::{Redshift, tokens},
    groups::asked_groups,
    lower::{Functions, Known, Lowering},
    plain,
    redshift::spell_timestamps,
    session::{self, GOLD},
    text::SqlText,
};
use crate::error::{Error, Result, nearest};

/// What the SQL is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// A model or a test: its rows may depend on nothing but its inputs, and Redshift must be able
    /// to run it too.
    Model,
    /// A person's question: it may look at the clock.
    Query,
}

/// A table as SQL names it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TableUse {
    pub(crate) schema: String,
    pub(crate) table: String,
    pub(crate) span: Span,
}

/// Plans one SELECT. The plan is analysed (every type is explicit) and not optimised.
///
/// # Errors
/// `Input`, pointing at the place in the file: what is not SQL, not a SELECT, or names an unknown
/// table, column or function, with the nearest name; for [`Purpose::Model`] also what Redshift
/// would refuse and what reads the clock or throws dice.
pub async fn plan(context: &SessionContext, sql: &SqlText, purpose: Purpose) -> Result<LogicalPlan> {
    let mut statement = parse(sql)?;
    if purpose == Purpose::Model && !matches!(statement, Statement::Query(_)) {
        return Err(sql.error_at(statement.span(), "a model is one SELECT"));
    }
    let state = context.state();
    tables_exist(&state, sql, &mut statement)?;
    {
        let mut lowering = Lowering { sql, purpose, functions: &SessionFunctions(&state), errors: Vec::new() };
        let _ = statement.visit(&mut lowering);
        Error::all(lowering.errors)?;
    }
    let plan = state
        .statement_to_plan(PlannerStatement::Statement(Box::new(statement)))
        .await
        .map_err(|e| diagnose::planning(sql, e))?;
    session::read_only().verify_plan(&plan).map_err(|e| diagnose::planning(sql, e))?;
    let plan = asked_groups(plan).map_err(|e| diagnose::planning(sql, e))?;
    let analysed = state.analyzer().execute_and_check(plan, state.config_options(), |_, _| {});
    analysed.and_then(spell_timestamps).map_err(|e| diagnose::planning(sql, e))
}

/// Runs a plan that [`plan`] gave, or that is made of such: types are explicit, and it is not analysed once more.
///
/// # Errors
/// The engine's own, so that the caller can tell running out of memory from the rest.
pub(crate) async fn run(
    context: &SessionContext,
    plan: LogicalPlan,
) -> Result<SendableRecordBatchStream, DataFusionError> {
    let state = context.state();
    if let Some(rows) = plain::rows(&state, &plan)? {
        return Ok(rows);
    }
    let plan = state.optimizer().optimize(plan, &state, |_, _| {})?;
    let physical = state.query_planner().create_physical_plan(&plan, &state).await?;
    execute_stream(physical, state.task_ctx())
}

/// One SELECT (or EXPLAIN of one) from its text.
fn parse(sql: &SqlText) -> Result<Statement> {
    let tokens = tokens(sql.text()).map_err(|e| diagnose::tokenizing(sql, &e))?;
    let mut after = tokens.iter().skip_while(|token| token.token != Token::SemiColon);
    let second = after
        .find(|token| !matches!(token.token, Token::SemiColon | Token::Whitespace(_) | Token::EOF))
        .map(|token| token.span);
    if let Some(second) = second {
        return Err(sql.error_at(second, "there is a second statement here").sqlstate("42601").hint("keep one SELECT"));
    }
    let mut statements = Parser::new(&Redshift)
        .with_tokens_with_locations(tokens)
        .parse_statements()
        .map_err(|e| diagnose::parsing(sql, &e))?;
    match statements.pop() {
        Some(statement @ Statement::Query(_)) => Ok(statement),
        Some(Statement::Explain { statement, analyze, .. })
            if matches!(*statement, Statement::Query(_)) && !analyze =>
        {
            Ok(Statement::Explain {
                describe_alias: datafusion::sql::sqlparser::ast::DescribeAlias::Explain,
                analyze,
                verbose: false,
                query_plan: false,
                estimate: false,
                statement,
                format: None,
                options: None,
            })
        }
        Some(other) => Err(sql
            .error_at(other.span(), "only SELECT is possible here")
            .sqlstate("25006")
            .hint("tables change through contracts, models and `smelt run`")),
        None => Err(sql.error(0..1, "there is no SQL here").sqlstate("42601").hint("write a SELECT")),
    }
}

/// The tables that the SQL reads, without its own WITH parts, each as often as it is named.
///
/// # Errors
/// `Input` for what is not one SELECT.
pub(crate) fn tables(sql: &SqlText) -> Result<Vec<TableUse>> {
    let mut statement = parse(sql)?;
    let mut found = TableUses::new(GOLD);
    let _ = statement.visit(&mut found);
    Ok(found.uses)
}

struct TableUses {
    /// Where a bare name is looked up.
    default_schema: String,
    /// Of each query around this place.
    scopes: Vec<Scope>,
    uses: Vec<TableUse>,
}

/// The names of a query's WITH parts. A part can be read by those after it and by the query, and by itself if it is
/// recursive: before, its name is a table's.
struct Scope {
    known: BTreeSet<String>,
    /// Those that are still to come, in their order.
    coming: VecDeque<String>,
}

impl TableUses {
    fn new(default_schema: &str) -> Self {
        Self { default_schema: default_schema.to_owned(), scopes: Vec::new(), uses: Vec::new() }
    }
}

impl VisitorMut for TableUses {
    type Break = ();

    fn pre_visit_query(&mut self, query: &mut Query) -> ControlFlow<()> {
        let parts = query.with.iter().flat_map(|with| &with.cte_tables);
        let coming: VecDeque<String> = parts.map(|part| part.alias.name.value.to_ascii_lowercase()).collect();
        let recursive = query.with.as_ref().is_some_and(|with| with.recursive);
        let known = if recursive { coming.iter().cloned().collect() } else { BTreeSet::new() };
        self.scopes.push(Scope { known, coming });
        ControlFlow::Continue(())
    }

    fn post_visit_query(&mut self, _: &mut Query) -> ControlFlow<()> {
        self.scopes.pop();
        // A query's WITH parts are visited before all else in it.
        if let Some(around) = self.scopes.last_mut()
            && let Some(part) = around.coming.pop_front()
        {
            around.known.insert(part);
        }
        ControlFlow::Continue(())
    }

    fn pre_visit_relation(&mut self, relation: &mut ObjectName) -> ControlFlow<()> {
        let names: Vec<String> =
            relation.0.iter().filter_map(|part| part.as_ident()).map(|name| name.value.to_ascii_lowercase()).collect();
        let (schema, table) = match names.as_slice() {
            [table] if self.scopes.iter().any(|scope| scope.known.contains(table)) => return ControlFlow::Continue(()),
            [table] => (self.default_schema.clone(), table.clone()),
            [.., schema, table] => (schema.clone(), table.clone()),
            [] => return ControlFlow::Continue(()),
        };
        self.uses.push(TableUse { schema, table, span: relation.span() });
        ControlFlow::Continue(())
    }
}

fn tables_exist(state: &SessionState, sql: &SqlText, statement: &mut Statement) -> Result<()> {
    let mut found = TableUses::new(&state.config_options().catalog.default_schema);
    let _ = statement.visit(&mut found);
    let default = &state.config_options().catalog.default_catalog;
    let Some(catalog) = state.catalog_list().catalog(default) else {
        return Err(Error::bug(format!("there is no catalog `{default}`")));
    };
    Error::all(found.uses.iter().filter_map(|named| {
        // The engine's own schemas are not in the catalog.
        if matches!(named.schema.as_str(), "information_schema" | "pg_catalog") {
            return None;
        }
        let Some(schema) = catalog.schema(&named.schema) else {
            let error = sql.error_at(named.span, format!("there is no schema `{}`", named.schema));
            return Some(error.hint(format!("there are: {}", catalog.schema_names().join(", "))));
        };
        if schema.table_exist(&named.table) {
            return None;
        }
        let error =
            sql.error_at(named.span, format!("there is no table `{}.{}`", named.schema, named.table)).sqlstate("42P01");
        let elsewhere = catalog.schema_names().into_iter().find(|other| {
            *other != named.schema && catalog.schema(other).is_some_and(|schema| schema.table_exist(&named.table))
        });
        let names = schema.table_names();
        Some(match (elsewhere, nearest(&named.table, names.iter().map(String::as_str))) {
            (Some(other), _) => error.hint(format!("did you mean `{other}.{}`?", named.table)),
            (None, Some(near)) => error.hint(format!("did you mean `{}.{near}`?", named.schema)),
            (None, None) => error,
        })
    }))
}

struct SessionFunctions<'a>(&'a SessionState);

impl Functions for SessionFunctions<'_> {
    fn find(&self, name: &str) -> Option<Known> {
        if let Some(function) = self.0.scalar_functions().get(name) {
            let pure = function.signature().volatility == Volatility::Immutable;
            return Some(if pure { Known::Pure } else { Known::Impure });
        }
        if self.0.aggregate_functions().contains_key(name) {
            return Some(Known::Aggregate);
        }
        self.0.window_functions().contains_key(name).then_some(Known::Window)
    }

    fn names(&self) -> Vec<String> {
        let state = self.0;
        let scalars = state.scalar_functions().keys();
        scalars.chain(state.aggregate_functions().keys()).chain(state.window_functions().keys()).cloned().collect()
    }
}
