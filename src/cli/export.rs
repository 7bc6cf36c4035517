//! `smelt export`: tables as folders of Parquet files.

use std::{path::PathBuf, sync::Arc};

use clap::Args;

use super::{context::Global, interrupted, view};
use crate::{
    error::{Error, Result},
    query::{ExportOptions, PART_BYTES, export},
    serve::{SqlEngine, Warehouse},
};

/// Write the tables of one snapshot as Parquet files.
///
/// Each table becomes a folder of zstd-compressed files of about 128 MB, which appears whole or not at
/// all. All tables come from the same snapshot.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt export out                                all gold tables
  smelt export out --tables fact_orders,dim_date
  smelt export out --all --snapshot 12                  staging too, as of snapshot 12")]
pub(super) struct ExportArgs {
    /// The folder to write to; it must be empty or not exist.
    pub(super) folder: PathBuf,
    /// Only these tables.
    #[arg(long, value_delimiter = ',', value_name = "TABLE", conflicts_with = "all")]
    pub(super) tables: Vec<String>,
    /// Also the tables of staging.
    #[arg(long)]
    pub(super) all: bool,
    /// Write into a folder that is not empty, replacing these tables in it.
    #[arg(long)]
    pub(super) force: bool,
    /// Export this snapshot instead of the newest.
    #[arg(long = "snapshot", alias = "at", value_name = "N")]
    pub(super) at: Option<u64>,
}

/// # Errors
/// `Input` for an unknown table or a folder that is not empty; `Unavailable` where Ctrl-C stopped it.
pub(super) async fn run(
    args: ExportArgs,
    global: &Global,
    warehouse: &dyn Warehouse,
    engine: Arc<dyn SqlEngine>,
) -> Result<()> {
    let options = ExportOptions {
        folder: args.folder,
        tables: args.tables,
        all: args.all,
        force: args.force,
        part_bytes: PART_BYTES,
    };
    let exporting = async {
        let view = view(warehouse, args.at).await?;
        let tables = export(&view, engine.as_ref(), &options, |table| {
            eprintln!("{:<32} {:>12} rows {:>5} files {:>14} bytes", table.table, table.rows, table.files, table.bytes);
        })
        .await?;
        if global.json {
            return global.answer_json(&serde_json::json!({"snapshot": view.snapshot, "tables": tables}));
        }
        eprintln!("exported {} tables of snapshot {} to {}", tables.len(), view.snapshot, options.folder.display());
        Ok(())
    };
    tokio::select! {
        exported = exporting => exported,
        () = interrupted() => Err(Error::unavailable("the export was cancelled; tables it finished are complete")),
    }
}
