//! The crate from the outside: a file's bytes in, rows and rejected records out.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod blocks;
mod csv;
mod damage;
mod json;
mod parquet;
mod rules;
mod spec;
mod support;
mod values;
