//! Silver: from raw files to cleaned rows, by contract.
//!
//! In:  an entity's contract and the raw files that are new (or all, for a replay).
//! Out: changes to its tables in the candidate, and the entity's running totals.
//!
//! ```text
//! clean_files   bytes → clean rows in arrival order, rejected records to quarantine   (all cores)
//! sort          by key, version, arrival                                              (spills)
//! winners       the last image of each key; for type-2 entities of each key and version
//! resolve       against the rows that are there: who wins, who is displaced
//! edit          displaced rows are deleted, new rows are new files (the lake's `rewrite`)
//! ```
//!
//! Rule: every record is counted where it goes; the totals must balance before anything publishes.

mod clean_files;
mod entity;
mod quarantine;
mod resolve;
mod winners;

pub use entity::{EntityOutcome, EntityTables, RawFile, Work, run_entity};
