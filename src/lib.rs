//! smelt: a medallion e-commerce data warehouse in one binary.
//!
//! The rooms, in the order in which data flows through them:
pub mod error;
pub mod project;
pub mod query;
pub mod serve;

pub mod cli;
pub mod shell;
