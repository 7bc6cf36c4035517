//! Why a statement failed, in the words of SQL: a SQLSTATE, a message, and the way out.
//!
//! The engine's errors are sorted here, once, for the wire, the shell and the commands. A name that is
//! not known brings the nearest one that is.

use std::{fmt, sync::Arc};

use datafusion::{
    arrow::error::ArrowError,
    common::{Column, SchemaError},
    error::DataFusionError,
};

use super::Statement;
use crate::{
    error::{Error, Kind, SourceFile, nearest},
    serve::{DEFAULT_SCHEMA, View},
};

/// A failed statement.
#[derive(Debug, Clone)]
pub struct SqlError {
    /// The five characters of the SQLSTATE.
    pub state: &'static str,
    pub message: String,
    pub hint: Option<String>,
    /// Where in the statement's text it is about: line and column, from 1.
    pub place: Option<(usize, usize)>,
}

impl SqlError {
    pub fn new(state: &'static str, message: impl Into<String>) -> Self {
        Self { state, message: message.into(), hint: None, place: None }
    }

    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The error as commands report it, pointing into the statement.
    pub fn in_statement(self, statement: &Statement<'_>) -> Error {
        let place = self.place;
        let error = Error::from(self);
        let Some((line, column)) = place else { return error };
        let file = SourceFile::new("query", statement.text);
        let start = file.offset(line, column);
        error.at(&file, start..start + 1)
    }

    /// Sorts an engine's error; the view's tables are where near names are looked for.
    pub fn explain(error: &DataFusionError, view: &View) -> Self {
        let sorted = sort(error);
        if sorted.hint.is_some() {
            return sorted;
        }
        match sorted.state {
            UNDEFINED_TABLE => hint_table(sorted, view),
            _ => sorted,
        }
    }
}

impl fmt::Display for SqlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for SqlError {}

impl From<SqlError> for Error {
    fn from(error: SqlError) -> Self {
        let kind = match error.state {
            "53200" | "53300" | "57014" | "57P01" | "58030" => Kind::Unavailable,
            "XX000" => Kind::Bug,
            _ => Kind::Input,
        };
        let built = Self::new(kind, error.message);
        match error.hint {
            Some(hint) => built.hint(hint),
            None => built,
        }
    }
}

/// A warehouse that does not answer.
impl From<Error> for SqlError {
    fn from(error: Error) -> Self {
        let state = match error.kind() {
            Kind::Input => "55000",
            Kind::Data => "XX001",
            Kind::Bug => "XX000",
            Kind::Conflict | Kind::Unavailable | Kind::OutcomeUnknown => "58030",
        };
        let mut built = Self::new(state, error.message());
        built.hint = error.hint_text().map(str::to_owned);
        built
    }
}

const UNDEFINED_TABLE: &str = "42P01";

fn sort(error: &DataFusionError) -> SqlError {
    match error {
        DataFusionError::Context(_, inner) | DataFusionError::Diagnostic(_, inner) => sort(inner),
        DataFusionError::Shared(inner) => sort(inner),
        DataFusionError::Collection(errors) => match errors.first() {
            Some(first) => sort(first),
            None => SqlError::new("XX000", error.to_string()),
        },
        DataFusionError::SQL(parse, _) => {
            let text = parse.to_string();
            let text = text.strip_prefix("sql parser error: ").unwrap_or(&text);
            SqlError::new("42601", format!("syntax error: {text}"))
        }
        DataFusionError::SchemaError(error, _) => sort_schema(error),
        DataFusionError::Plan(message) => sort_plan(message),
        DataFusionError::NotImplemented(message) => SqlError::new("0A000", message.clone()),
        DataFusionError::ResourcesExhausted(message) => SqlError::new("53200", message.clone()).hint(
            "ask for less at once: filter earlier, group by fewer columns; or raise the memory limit in smelt.yml",
        ),
        DataFusionError::ArrowError(error, _) => sort_arrow(error),
        DataFusionError::Execution(message) => sort_execution(message),
        DataFusionError::Configuration(message) => SqlError::new("22023", message.clone()),
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) | DataFusionError::ParquetError(_) => {
            SqlError::new("58030", error.strip_backtrace())
        }
        DataFusionError::External(inner) => sort_external(inner.as_ref(), error),
        _ => SqlError::new("XX000", error.strip_backtrace()),
    }
}

/// Errors that travelled through the engine in a box.
fn sort_external(inner: &(dyn std::error::Error + Send + Sync + 'static), outer: &DataFusionError) -> SqlError {
    if let Some(error) = inner.downcast_ref::<SqlError>() {
        error.clone()
    } else if let Some(error) = inner.downcast_ref::<Error>() {
        sort_own(error)
    } else if let Some(error) = inner.downcast_ref::<DataFusionError>() {
        sort(error)
    } else if let Some(error) = inner.downcast_ref::<Arc<DataFusionError>>() {
        sort(error)
    } else if let Some(error) = inner.downcast_ref::<ArrowError>() {
        sort_arrow(error)
    } else {
        SqlError::new("XX000", outer.strip_backtrace())
    }
}

/// How the engine's own complaints begin, and their states.
const COMPLAINTS: [(&str, &str); 8] = [
    ("there is no table ", UNDEFINED_TABLE),
    ("there is no schema ", "3F000"),
    ("there is no column ", "42703"),
    ("there is no function ", "42883"),
    ("there is a second statement", "42601"),
    ("this is not SQL ", "42601"),
    ("this SQL is nested too deeply", "54001"),
    ("only SELECT is possible", "25006"),
];

/// Errors in our own words: the planner's, and those of tables whose files fail.
fn sort_own(error: &Error) -> SqlError {
    let cause = std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<DataFusionError>());
    let mut sorted = match (error.kind(), cause) {
        (Kind::Bug | Kind::Unavailable, Some(cause)) => sort(cause),
        (Kind::Input, _) => {
            let message = error.message();
            if let Some(state) = error.sqlstate_code() {
                let mut told = SqlError::new(state, message);
                told.hint = error.hint_text().map(str::to_owned);
                told.place = error.place().map(|(_, line, column)| (line, column));
                return told;
            }
            let known = COMPLAINTS.iter().find(|(start, _)| message.starts_with(start));
            match known {
                Some((_, state)) => SqlError::new(state, message),
                None if message.ends_with(" is in several tables") => SqlError::new("42702", message),
                None if message.contains(" has two columns called ") => SqlError::new("42701", message),
                None => sort_plan(message.strip_prefix("`query`: ").unwrap_or(message)),
            }
        }
        (Kind::Data, _) => SqlError::new("XX001", error.message()),
        (Kind::Bug, None) => SqlError::new("XX000", error.message()),
        (Kind::Conflict | Kind::Unavailable | Kind::OutcomeUnknown, _) => SqlError::new("58030", error.message()),
    };
    if let Some(hint) = error.hint_text() {
        sorted.hint = Some(hint.to_owned());
    }
    sorted.place = error.place().map(|(_, line, column)| (line, column));
    sorted
}

fn sort_schema(error: &SchemaError) -> SqlError {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let error = SqlError::new("42703", format!("column `{}` does not exist", field.flat_name()));
            match near_column(field, valid_fields) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            }
        }
        SchemaError::AmbiguousReference { field } => {
            SqlError::new("42702", format!("column `{}` is in more than one table", field.name))
                .hint("put the table's name or alias before it")
        }
        SchemaError::DuplicateQualifiedField { .. } | SchemaError::DuplicateUnqualifiedField { .. } => {
            SqlError::new("42701", error.to_string()).hint("give the columns different names with AS")
        }
    }
}

fn near_column(wanted: &Column, known: &[Column]) -> Option<String> {
    let name = nearest(&wanted.name, known.iter().map(|column| column.name.as_str()))?;
    let column = known.iter().find(|column| column.name == name)?;
    Some(match &column.relation {
        Some(relation) => format!("{}.{name}", relation.table()),
        None => name.to_owned(),
    })
}

fn sort_plan(message: &str) -> SqlError {
    let quoted = |text: &str| text.split('\'').nth(1).unwrap_or_default().to_owned();
    if let Some(rest) = message.strip_prefix("table '") {
        let name = quoted(&format!("'{rest}"));
        let name = name.split_once('.').map_or(name.as_str(), |(_, rest)| rest);
        return SqlError::new(UNDEFINED_TABLE, format!("table `{name}` does not exist"));
    }
    if message.starts_with("table function '") || message.starts_with("Invalid function '") {
        let error = SqlError::new("42883", format!("function `{}` does not exist", quoted(message)));
        return match message.split_once("Did you mean '") {
            Some((_, near)) => error.hint(format!("did you mean `{}`?", near.trim_end_matches(['?', '\'']))),
            None => error,
        };
    }
    if message.starts_with("DDL not supported") || message.starts_with("DML not supported") {
        return SqlError::new("25006", "this would change something: published snapshots are read only");
    }
    if message.ends_with("not implemented yet") {
        return SqlError::new("0A000", message.to_owned());
    }
    if message.contains("No function matches") || message.contains("Failed to coerce arguments") {
        return SqlError::new("42883", message.to_owned());
    }
    if message.contains("Cannot infer common argument type") || message.contains("Cannot coerce") {
        return SqlError::new("42804", message.to_owned());
    }
    if message.contains("must appear in the GROUP BY clause") {
        return SqlError::new("42803", message.to_owned());
    }
    SqlError::new("42000", message.to_owned())
}

fn sort_arrow(error: &ArrowError) -> SqlError {
    match error {
        ArrowError::DivideByZero => SqlError::new("22012", "division by zero"),
        ArrowError::ArithmeticOverflow(message) => SqlError::new("22003", message.clone()),
        ArrowError::CastError(message) | ArrowError::ParseError(message) => SqlError::new("22P02", message.clone()),
        ArrowError::InvalidArgumentError(message) => SqlError::new("22023", message.clone()),
        ArrowError::MemoryError(message) => SqlError::new("53200", message.clone()),
        ArrowError::IoError(message, _) => SqlError::new("58030", message.clone()),
        ArrowError::NotYetImplemented(message) => SqlError::new("0A000", message.clone()),
        ArrowError::ExternalError(inner) => match inner.downcast_ref::<DataFusionError>() {
            Some(error) => sort(error),
            None => SqlError::new("XX000", inner.to_string()),
        },
        other => SqlError::new("22000", other.to_string()),
    }
}

fn sort_execution(message: &str) -> SqlError {
    let lower = message.to_lowercase();
    let state = if lower.contains("divide by zero") || lower.contains("division by zero") {
        "22012"
    } else if lower.contains("overflow") || lower.contains("out of range") {
        "22003"
    } else if lower.contains("cast") || lower.contains("parse") {
        "22P02"
    } else {
        "22000"
    };
    SqlError::new(state, message.to_owned())
}

/// The nearest table: first among its own schema's, then the same name in another schema.
fn hint_table(error: SqlError, view: &View) -> SqlError {
    let name = error.message.split('`').nth(1).unwrap_or_default().to_owned();
    let (schema, table) = name.split_once('.').unwrap_or((DEFAULT_SCHEMA, &name));
    if !view.tables.iter().any(|known| known.schema == schema) && schema != DEFAULT_SCHEMA {
        let schemas = view.tables.iter().map(|known| known.schema.as_str());
        return match nearest(schema, schemas) {
            Some(near) => error.hint(format!("there is no schema `{schema}`; did you mean `{near}`?")),
            None => error.hint(format!("there is no schema `{schema}`; tables are in `gold` and `staging`")),
        };
    }
    let shown = |table: &crate::serve::ViewTable| {
        if table.schema == DEFAULT_SCHEMA { table.name.clone() } else { format!("{}.{}", table.schema, table.name) }
    };
    let elsewhere = view.tables.iter().find(|known| known.name == table && known.schema != schema);
    let near = elsewhere.or_else(|| {
        let here = view.tables.iter().filter(|known| known.schema == schema);
        let near = nearest(table, here.map(|known| known.name.as_str()))
            .or_else(|| nearest(table, view.tables.iter().map(|known| known.name.as_str())))?;
        view.tables.iter().find(|known| known.name == near)
    });
    match near {
        Some(near) => error.hint(format!("did you mean `{}`?", shown(near))),
        None if view.tables.is_empty() => {
            error.hint("nothing is published yet: `smelt run` publishes the first snapshot")
        }
        None => error.hint("`\\dt` lists the tables there are"),
    }
}
