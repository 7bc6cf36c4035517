//! `smelt ingest`: lands extracts as one batch.

use chrono::NaiveDate;
use clap::Args;

use super::context::{Global, grouped, size};
use crate::{
    bronze::{IngestOptions, IngestReport, Landing, Outcome, ingest},
    error::Result,
};

/// Land extracts in the raw zone, untouched. Landing the same bytes again stores nothing.
///
/// All files land as one batch, or none does. The entity comes from the file's name or its folder's.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt ingest extracts/2026-01-05
  smelt ingest orders.jsonl.gz payments.csv
  smelt ingest export-17.parquet --entity orders
  smelt ingest s3://bucket/extracts/2026-01-05 --ingestion-date 2026-01-05")]
pub(super) struct IngestArgs {
    /// Files, folders or object-store URLs.
    #[arg(required = true, value_name = "PATH")]
    pub(super) paths: Vec<String>,
    /// The entity of all these files.
    #[arg(long)]
    pub(super) entity: Option<String>,
    /// The date under which they land [default: today, UTC].
    #[arg(long, value_name = "YYYY-MM-DD")]
    pub(super) ingestion_date: Option<NaiveDate>,
}

pub(super) async fn run(args: IngestArgs, global: &Global) -> Result<()> {
    let project = global.load()?;
    let lake = global.lake(&project)?;
    let options = IngestOptions {
        paths: args.paths,
        entity: args.entity,
        ingestion_date: args.ingestion_date.unwrap_or_else(|| lake.clock().now().date_naive()),
    };
    let spinner = global.spinner();
    spinner.set_message("reading");
    let report = ingest(&lake, &project, &options, &|landing: &Landing| {
        spinner.set_message(format!("{}: {}", landing.entity, landing.path));
    })
    .await?;
    spinner.finish_and_clear();
    if global.json {
        return global.answer_json(&report);
    }
    for line in summary(&report) {
        global.say(line);
    }
    Ok(())
}

/// What happened, a line a fact.
pub(super) fn summary(report: &IngestReport) -> Vec<String> {
    let of = |wanted: fn(&Outcome) -> bool| report.files.iter().filter(move |file| wanted(&file.outcome));
    let landed = of(|outcome| *outcome == Outcome::Landed).count();
    let bytes: u64 = of(|outcome| *outcome == Outcome::Landed).map(|file| file.bytes).sum();
    let mut lines = Vec::new();
    if let Some(batch) = report.batch {
        lines.push(format!(
            "landed batch {batch}: {landed} file(s), {} records, {}",
            grouped(report.records()),
            size(bytes)
        ));
    } else {
        lines.push("nothing new: every file has landed before or holds no records".to_owned());
    }
    for file in &report.files {
        match file.outcome {
            Outcome::Again { batch } => lines.push(format!("  again: {} (landed in batch {batch})", file.path)),
            Outcome::Empty => lines.push(format!("  empty: {}", file.path)),
            Outcome::Landed => {}
        }
    }
    lines
}
