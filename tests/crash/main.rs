//! Law 4 and retention under attack: processes that die at any write, pause for longer than their
//! lease, race each other, roll back, collect garbage beside readers, or meet damaged files.
//!
//! The judge is the same everywhere: an *undisturbed* warehouse that took the same extracts, one run
//! each. Tables are compared as multisets of rows, and the totals of law 3 with them.
//!
//! | file | what it holds |
//! |---|---|
//! | `size`, `chance` | how much is tried, and which of it |
//! | `meddled_store`, `faults`, `gate` | a store between a process and its lake; what it does to it |
//! | `shop`, `site`, `contents` | extracts and their undisturbed outcome; lakes and processes; tables as rows |
//! | the others | one claim a file, each test saying what it proves |
//!
//! `SMELT_TEST_SIZE=long` tries every write instead of a sample; `SMELT_TEST_SEED` repeats a sample.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod chance;
mod contents;
mod faults;
mod gate;
mod meddled_store;
mod shop;
mod site;
mod size;

mod damaged_files;
mod every_write;
mod fencing;
mod garbage;
mod killed_processes;
mod landing_races;
mod retention;
mod rolling_back;
