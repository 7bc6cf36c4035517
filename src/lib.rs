//! smelt: a medallion e-commerce data warehouse in one binary.
//!
//! The rooms, in the order in which data flows through them:
pub mod engine;
pub mod error;
pub mod gold;
pub mod project;
pub mod quality;
