//! The embedded engine: DataFusion that reads Redshift's SQL, within a bound on memory.
//!
//! In:  SQL with the place it was written at ([`SqlText`]), and tables in a session's catalog.
//! Out: logical plans. Every complaint points into the user's file and names what is near.
//!
//! | file | holds |
//! |---|---|
//! | `session` | sessions, memory, spilling, how joins are done |
//! | `memory` | how running queries share their memory |
//! | `text` | SQL with its origin |
//! | `dialect` | the grammar, and the canonical text for fingerprints |
//! | `lower` | Redshift's spellings rewritten, and what models may not say |
//! | `column_names` | what columns of questions are called that have no AS |
//! | `redshift` | Redshift's functions, types and operators |
//! | `groups` | what the engine groups by unasked, taken away |
//! | `last_branch` | unions of which one branch is left, by whole names |
//! | `rows_of_nothing` | aggregates that give a row of no input, and conditions above them |
//! | `grouped_once` | aggregates in one step, where queries have one thread |
//! | `sql` | [`plan`]: all of the above in order; running what it gives |
//! | `plain` | queries that only filter, project and group rows in memory, without the optimiser |
//! | `adjacent_rows` | an operator for LAG, LEAD and ROW_NUMBER over many small partitions |
//! | `rebatch` | an operator that gives its rows in other batches; the next two are rules that use it |
//! | `compact_views` | texts copied together, so that sorts of joined ones keep to their memory |
//! | `beside` | streams that are made in a task of their own |
//! | `stoppable` | threads for people's statements, and pauses in the joins that need them |
//! | `diagnose` | DataFusion's errors as ours |

mod adjacent_rows;
mod beside;
mod column_names;
mod compact_views;
mod diagnose;
mod dialect;
mod grouped_once;
mod groups;
mod last_branch;
mod lower;
mod memory;
mod plain;
mod rebatch;
mod redshift;
mod rows_of_nothing;
mod session;
mod sql;
mod stoppable;
mod text;

pub use beside::beside;
pub use session::{GOLD, JoinPreference, Limits, STAGING, SessionFactory, ran_out_of_memory, read_only};
pub use sql::{Purpose, plan};
pub use text::SqlText;

pub(crate) use {
    compact_views::compact,
    diagnose::sql_span,
    dialect::{Redshift, canonical},
    redshift::AVERAGE,
    rows_of_nothing::ConditionsDown,
    sql::{TableUse, run, tables},
    stoppable::execute,
    text::{Origin, Piece},
};

#[cfg(test)]
mod tests;
