//! Serving: SQL over published snapshots, on the wire protocol of PostgreSQL and Redshift.
//!
//! In:  connections; a [`Warehouse`] that knows the newest snapshot; a [`SqlEngine`] that plans.
//! Out: rows of exactly one snapshot a statement, or of one a transaction.
//! Rule: read only. No statement reaches a file, a setting of the engine, or the machine.
//!
//! From the outside in: [`server`](Server) accepts, `startup` logs in, `handler` converses, `command`
//! understands, `session` remembers, `views` and `catalogue` plan, `rows` and `parameters` encode.

mod catalogue;
mod command;
mod handler;
mod hidden;
mod lake;
mod options;
mod parameters;
mod rows;
mod server;
mod session;
mod settings;
mod startup;
mod views;
mod warehouse;

use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};

pub use lake::{EmbeddedEngine, LakeWarehouse};
pub use options::{Password, ServeOptions, TlsFiles};
pub use server::Server;
pub use warehouse::{DEFAULT_SCHEMA, SqlEngine, View, ViewTable, Warehouse, open};

use crate::query::{SqlError, Statement};

/// The error as clients get it.
fn wire_error(error: SqlError) -> PgWireError {
    PgWireError::UserError(Box::new(error_info(error)))
}

/// The error of a statement in a text, with the place marked: in characters, from 1.
fn wire_error_in(text: &str, statement: &Statement<'_>, error: SqlError) -> PgWireError {
    let position = error.place.map(|(line, column)| {
        let above: usize = statement.text.split_inclusive('\n').take(line - 1).map(|line| line.chars().count()).sum();
        text[..statement.offset].chars().count() + above + column
    });
    let mut info = error_info(error);
    info.position = position.map(|position| position.to_string());
    PgWireError::UserError(Box::new(info))
}

fn error_info(error: SqlError) -> ErrorInfo {
    let mut info = ErrorInfo::new("ERROR".to_owned(), error.state.to_owned(), error.message);
    info.hint = error.hint;
    info
}

#[cfg(test)]
pub(crate) mod tests;
