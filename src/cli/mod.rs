//! The commands that people type: their arguments, and what each does with them.

mod app;
mod context;
mod demo;
mod export;
mod ingest;
mod init;
mod quarantine;
mod query;
mod run;
mod serve;
mod shell;
mod simulate;
mod snapshots;
mod status;

use std::{
    io::{self, IsTerminal as _},
    sync::Arc,
};

use crate::{
    error::Result,
    query::{Layout, Page},
    serve::{View, Warehouse},
};

pub use app::main;

/// Rows a terminal shows of one answer.
const TERMINAL_ROWS: usize = 1000;

/// The page standard output is: a terminal has edges.
fn page(layout: Layout) -> Page {
    if io::stdout().is_terminal() {
        let width = terminal_size::terminal_size().map_or(80, |(width, _)| usize::from(width.0));
        Page { width: Some(width), rows: Some(TERMINAL_ROWS), layout }
    } else {
        Page { layout: if layout == Layout::Fit { Layout::Columns } else { layout }, ..Page::ENDLESS }
    }
}

/// The snapshot to read: a named one, or the newest.
async fn view(warehouse: &dyn Warehouse, snapshot: Option<u64>) -> Result<Arc<View>> {
    match snapshot {
        Some(snapshot) => warehouse.at(snapshot).await,
        None => warehouse.newest().await,
    }
}

/// Ends when the user presses Ctrl-C. Until the first call, Ctrl-C ends the process.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
