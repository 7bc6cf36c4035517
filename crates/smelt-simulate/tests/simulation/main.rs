//! Whole simulations, judged by what a reader finds in their files.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod counts;
mod folder;
mod oracle;
mod reading;
mod recount;
mod shape;
mod spellings;

use smelt_simulate::{Options, Summary, simulate};
use tempfile::TempDir;

fn run(options: &Options) -> (TempDir, Summary) {
    let out = TempDir::new().unwrap();
    let summary = simulate(options, out.path(), &mut |_| ()).unwrap();
    (out, summary)
}

fn nastiest(orders: u64) -> Options {
    Options { orders, history_days: 40, daily_days: 25, ..Options::nastiest() }
}

fn clean(orders: u64) -> Options {
    Options { orders, history_days: 40, daily_days: 25, ..Options::clean() }
}
