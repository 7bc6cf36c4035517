//! The commands that people type: their arguments, and what each does with them.

mod app;
mod changes;
mod context;
mod demo;
mod explain;
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
mod verify;

use std::{
    io::{self, IsTerminal as _},
    sync::Arc,
};

use crate::{
    error::{Error, Result},
    query::{Layout, Page},
    serve::{View, Warehouse},
};

pub use app::main;

/// The stack of the runtime's threads. A planner goes as deep as a statement is long; with this it comes
/// back from every statement that is let through to it.
const STACK_BYTES: usize = 16 << 20;

/// The runtime commands run on; 0 threads is one a core.
///
/// # Errors
/// `Unavailable` where the system gives no threads.
pub(crate) fn runtime(threads: usize) -> Result<tokio::runtime::Runtime> {
    let mut builder = tokio::runtime::Builder::new_multi_thread();
    if threads > 0 {
        builder.worker_threads(threads);
    }
    let built = builder.thread_stack_size(STACK_BYTES).enable_all().build();
    built.map_err(|error| Error::unavailable("the system gives no threads to run on").cause(error))
}

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
