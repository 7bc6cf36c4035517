//! From DataFusion's errors to ours, with the place in the user's file and the nearest name.

use datafusion::{
    common::{Column, DataFusionError, Diagnostic, SchemaError, Span},
    sql::sqlparser::{
        parser::ParserError,
        tokenizer::{Location, Span as SqlSpan, TokenizerError},
    },
};

use super::text::SqlText;
use crate::error::{Error, Kind, nearest};

/// What planning said about `sql`.
pub(super) fn planning(sql: &SqlText, error: DataFusionError) -> Error {
    match error {
        DataFusionError::Diagnostic(diagnostic, inner) => with_place(sql, &diagnostic, planning(sql, *inner)),
        DataFusionError::Context(_, inner) => planning(sql, *inner),
        DataFusionError::Collection(errors) => {
            let mut errors = errors.into_iter().map(|error| planning(sql, error));
            match errors.next() {
                Some(first) => first.also(errors),
                None => Error::bug("planning failed without saying why"),
            }
        }
        DataFusionError::SQL(error, _) => parsing(sql, &error),
        DataFusionError::SchemaError(error, _) => schema(sql, &error),
        DataFusionError::Plan(message) | DataFusionError::NotImplemented(message) => {
            Error::input(format!("`{}`: {}", sql.file().name(), one_line(&message)))
        }
        other => {
            let kind = if matches!(other, DataFusionError::Internal(_)) { Kind::Bug } else { Kind::Input };
            Error::new(kind, format!("`{}` cannot be planned", sql.file().name())).cause(other)
        }
    }
}

/// The parser puts the place into its message.
pub(super) fn parsing(sql: &SqlText, error: &ParserError) -> Error {
    let text = match error {
        ParserError::TokenizerError(text) | ParserError::ParserError(text) => text.as_str(),
        ParserError::RecursionLimitExceeded => {
            return sql.error(0..1, "this SQL is nested too deeply").hint("split it into WITH parts or models");
        }
    };
    match text.rsplit_once(" at Line: ").and_then(|(message, place)| Some((message, location(place)?))) {
        Some((message, at)) => {
            sql.error_at(SqlSpan::new(at, Location::new(at.line, at.column + 1)), syntax(message)).label("here")
        }
        None => sql.error(0..1, syntax(text)),
    }
}

pub(super) fn tokenizing(sql: &SqlText, error: &TokenizerError) -> Error {
    let at = error.location;
    sql.error_at(SqlSpan::new(at, Location::new(at.line, at.column + 1)), syntax(&error.message)).label("here")
}

fn syntax(message: &str) -> String {
    format!("this is not SQL that smelt understands: {}", one_line(message))
}

fn location(text: &str) -> Option<Location> {
    let (line, column) = text.split_once(", Column: ")?;
    Some(Location::new(line.trim().parse().ok()?, column.trim().parse().ok()?))
}

/// A diagnostic knows the place better than the error it is about, and sometimes the cause.
fn with_place(sql: &SqlText, diagnostic: &Diagnostic, error: Error) -> Error {
    let Some(span) = diagnostic.span else { return error };
    // An error built from names says more; one that only repeats the message does not.
    let mut placed = sql.error(
        sql.bytes(sql_span(span)),
        if error.hint_text().is_some() || error.place().is_some() {
            error.message().to_owned()
        } else {
            one_line(&diagnostic.message)
        },
    );
    let help = diagnostic.helps.iter().map(|help| help.message.clone()).next();
    if let Some(hint) = error.hint_text().map(str::to_owned).or(help) {
        placed = placed.hint(hint);
    }
    placed
}

pub(crate) fn sql_span(span: Span) -> SqlSpan {
    SqlSpan::new(Location::new(span.start.line, span.start.column), Location::new(span.end.line, span.end.column))
}

fn schema(sql: &SqlText, error: &SchemaError) -> Error {
    match error {
        SchemaError::FieldNotFound { field, valid_fields } => {
            let error = at_column(sql, field, format!("there is no column `{}`", field.flat_name()));
            let near = nearest(&field.name, valid_fields.iter().map(|column| column.name.as_str()));
            match near {
                Some(near) => {
                    let full =
                        valid_fields.iter().find(|column| column.name == near).map_or(near.into(), Column::flat_name);
                    error.hint(format!("did you mean `{full}`?"))
                }
                None => {
                    let names: Vec<String> = valid_fields.iter().take(30).map(|column| column.name.clone()).collect();
                    error.hint(format!("there are: {}", names.join(", ")))
                }
            }
        }
        SchemaError::AmbiguousReference { field } => {
            at_column(sql, field, format!("column `{}` is in several tables", field.name))
                .hint(format!("write the table before it, as in `orders.{}`", field.name))
        }
        SchemaError::DuplicateUnqualifiedField { name } | SchemaError::DuplicateQualifiedField { name, .. } => {
            Error::input(format!("`{}` has two columns called `{name}`", sql.file().name()))
                .hint("give one of them another name with AS")
        }
    }
}

fn at_column(sql: &SqlText, column: &Column, message: String) -> Error {
    match column.spans().first() {
        Some(span) => sql.error(sql.bytes(sql_span(span)), message),
        None => Error::input(message),
    }
}

fn one_line(message: &str) -> String {
    message.lines().next().unwrap_or_default().trim().to_owned()
}
