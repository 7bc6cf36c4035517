//! `smelt shell`: questions as they come.

use std::{path::Path, sync::Arc};

use clap::Args;

use super::page;
use crate::{
    error::Result,
    serve::{SqlEngine, Warehouse},
    shell::Shell,
};

/// Ask published snapshots SQL questions interactively.
///
/// Statements end with `;`. Piped input runs without prompts, and stops at the first failure.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt shell
  smelt shell --snapshot 12
  smelt shell < report.sql")]
pub(super) struct ShellArgs {
    /// Ask this snapshot instead of the newest.
    #[arg(long = "snapshot", alias = "at", value_name = "N")]
    pub(super) at: Option<u64>,
}

/// `project` is the project's folder, where the history is kept.
///
/// # Errors
/// Those of the terminal; of a piped statement.
pub(super) async fn run(
    args: ShellArgs,
    project: &Path,
    warehouse: &dyn Warehouse,
    engine: Arc<dyn SqlEngine>,
) -> Result<()> {
    Shell::new(warehouse, engine, args.at, page).run(&project.join(".smelt").join("history")).await
}
