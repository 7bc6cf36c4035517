//! The warehouse from outside: the program is run as people run it, in temporary folders, and judged
//! by what it says and publishes.
//!
//! | file | what it holds |
//! |---|---|
//! | `size` | how much is tried |
//! | `shop`, `ran` | a project with its lake; one run of the program and what it said |
//! | `opening_day`, `simulated` | extracts: a few by hand, many by simulation |
//! | `contents` | exported tables as multisets of rows |
//! | `python` | the environments of the judges that are not smelt |
//! | `oracle` | every table equals an independent implementation, to the value |
//! | `order` | the order and the repetition of batches do not matter; incremental equals rebuild |
//! | `incremental` | models follow exactly what changed, and equal a rebuild |
//! | `bad_input` | what people and disks do wrong: told exactly, nothing lost, nothing published |
//! | `between` | what differs between two snapshots |
//! | `changes` | contracts and models change, and the tables follow |
//! | `verify` | `smelt verify` finds whatever is not as raw gives it, and nothing else |
//! | `rules` | rules that keep a snapshot from being published, rules that warn, freshness |
//! | `cli` | the commands, one by one |
//! | `readers` | other tools read the published tables |
//! | `serve` | other tools ask the server |
//!
//! `SMELT_TEST_SIZE=long` tries more of everything that is simulated.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod contents;
mod opening_day;
mod python;
mod ran;
mod shop;
mod simulated;
mod size;

mod bad_input;
mod between;
mod changes;
mod cli;
mod explain;
mod incremental;
mod oracle;
mod order;
mod readers;
mod rules;
mod serve;
mod verify;
