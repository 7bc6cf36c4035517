//! `smelt query`: one question, one answer.

use std::{
    io::{self, IsTerminal as _, Read as _},
    path::PathBuf,
    sync::Arc,
};

use clap::Args;

use super::{context::Global, interrupted, page, view};
use crate::{
    error::{self, Error, Result},
    query::{Format, Layout, NewFile, Questions, only, write},
    serve::{SqlEngine, Warehouse},
};

/// Ask a published snapshot one SQL question.
///
/// Tables of `gold` need no prefix; those of `staging` are `staging.<name>`. The answer goes to standard
/// output, everything else to standard error.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt query \"select order_status, count(*) from fact_orders group by 1\"
  smelt query -F csv \"select * from daily_sales\" > daily_sales.csv
  smelt query -o orders.parquet \"select * from fact_orders where ordered_at >= '2024-01-01'\"
  smelt query --snapshot 12 -f report.sql
  echo 'select 1' | smelt query")]
pub(super) struct QueryArgs {
    /// The SQL; left out, it is read from standard input.
    pub(super) sql: Option<String>,
    /// Read the SQL from a file.
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with = "sql")]
    pub(super) file: Option<PathBuf>,
    /// How the answer is written [default: table, or what the output file's name says].
    #[arg(short = 'F', long, value_enum)]
    pub(super) format: Option<Format>,
    /// Write the answer to a file, which must not exist yet.
    #[arg(short, long, value_name = "FILE")]
    pub(super) output: Option<PathBuf>,
    /// Replace the output file if it exists.
    #[arg(long, requires = "output")]
    pub(super) force: bool,
    /// Ask this snapshot instead of the newest.
    #[arg(long = "snapshot", alias = "at", value_name = "N")]
    pub(super) at: Option<u64>,
    /// Show rows as records, one line a column.
    #[arg(short = 'x', long)]
    pub(super) expanded: bool,
}

/// # Errors
/// Those of the statement; of the output file; `Unavailable` where Ctrl-C stopped it.
pub(super) async fn run(
    args: QueryArgs,
    global: &Global,
    warehouse: &dyn Warehouse,
    engine: Arc<dyn SqlEngine>,
) -> Result<()> {
    let sql = text(&args)?;
    let statement = only(&sql)?;
    let format = format(&args, global.json)?;
    let answering = async {
        let questions = Questions::new(view(warehouse, args.at).await?, engine)?;
        let answer = questions.ask(&statement).await.map_err(|error| error.in_statement(&statement))?;
        let layout = if args.expanded { Layout::Records } else { Layout::Fit };
        let Some(place) = &args.output else {
            write(answer, format, page(layout), &mut io::stdout()).await?;
            return Ok(());
        };
        let mut file = NewFile::create(place, args.force)?;
        let written = write(answer, format, crate::query::Page::ENDLESS, &mut file).await?;
        file.keep()?;
        eprintln!("wrote {} rows to {}", written.rows, place.display());
        Ok(())
    };
    tokio::select! {
        answered = answering => answered,
        () = interrupted() => Err(Error::unavailable("the question was cancelled")),
    }
}

fn text(args: &QueryArgs) -> Result<String> {
    if let Some(sql) = &args.sql {
        return Ok(sql.clone());
    }
    if let Some(path) = &args.file {
        return std::fs::read_to_string(path).map_err(|error| error::io("read", path, error));
    }
    if io::stdin().is_terminal() {
        return Err(Error::input("there is no SQL to ask")
            .hint("write it in quotes, name a file with `-f`, or start `smelt shell`"));
    }
    let mut sql = String::new();
    io::stdin().read_to_string(&mut sql).map_err(|error| Error::input("standard input is not text").cause(error))?;
    Ok(sql)
}

/// For machines, rows are JSON lines.
fn format(args: &QueryArgs, json: bool) -> Result<Format> {
    match (args.format, &args.output) {
        (Some(Format::Parquet), None) if io::stdout().is_terminal() => {
            Err(Error::input("Parquet is not for terminals").hint("write it to a file with `-o FILE`"))
        }
        (Some(format), _) => Ok(format),
        (None, None) => Ok(if json { Format::Json } else { Format::Table }),
        (None, Some(place)) => Format::of_file(place).ok_or_else(|| {
            Error::input(format!("the name `{}` tells no format", place.display()))
                .hint("end it in .csv, .jsonl or .parquet, or say `--format`")
        }),
    }
}
