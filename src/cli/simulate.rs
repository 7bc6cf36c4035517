//! `smelt simulate`: the transactional sources of an e-commerce shop.

use std::path::PathBuf;

use chrono::NaiveDate;
use clap::{Args, ValueEnum};
use smelt_simulate::{Compression, Defects, Format, KeyStyle, Options, Summary, simulate};

use super::context::{Global, grouped, size};
use crate::error::{Error, Result};

/// Write extracts as an e-commerce shop's systems would: a history and daily files, with the
/// defects of real ones. The same options give the same bytes.
#[derive(Debug, Clone, Args)]
#[command(after_help = "Examples:
  smelt simulate extracts
  smelt simulate extracts --orders 1000000 --format parquet --keys uuid
  smelt simulate extracts --nastiest --late 0.2 --daily-days 60")]
pub(super) struct SimulateArgs {
    /// Where `history/<entity>/…` and `daily/<date>/<entity>…` are written.
    pub(super) out: PathBuf,
    #[arg(long, default_value_t = 1)]
    pub(super) seed: u64,
    /// Orders in the whole simulated time; each makes about eleven records.
    #[arg(long, default_value_t = 100_000)]
    pub(super) orders: u64,
    /// The first day.
    #[arg(long, value_name = "YYYY-MM-DD", default_value = "2025-01-01")]
    pub(super) start: NaiveDate,
    /// Days that come as one history load.
    #[arg(long, default_value_t = 365)]
    pub(super) history_days: u32,
    /// Days after that, one extract each.
    #[arg(long, default_value_t = 7)]
    pub(super) daily_days: u32,
    #[arg(long, value_enum, default_value = "jsonl")]
    pub(super) format: FormatArg,
    #[arg(long, value_enum, default_value = "none")]
    pub(super) compression: CompressionArg,
    #[arg(long, value_enum, default_value = "ordered")]
    pub(super) keys: KeysArg,
    /// Changes of an average customer over the simulated time.
    #[arg(long, value_name = "NUMBER")]
    pub(super) member_changes: Option<f64>,
    /// Every defect far more often than any shop has it.
    #[arg(long, conflicts_with = "clean")]
    pub(super) nastiest: bool,
    /// No defects at all.
    #[arg(long)]
    pub(super) clean: bool,
    #[command(flatten)]
    pub(super) rates: Rates,
    /// Replace the extracts of an earlier simulation in the same folder.
    #[arg(long)]
    pub(super) overwrite: bool,
}

/// Rates from 0 (never) to 1 (always); what is not given is the preset's.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Defect rates, from 0 to 1")]
pub(super) struct Rates {
    /// Records delivered minutes to months late.
    #[arg(long, value_name = "RATE")]
    pub(super) late: Option<f64>,
    /// Records delivered twice.
    #[arg(long, value_name = "RATE")]
    pub(super) duplicates: Option<f64>,
    /// Earlier files that come along again, for each entity and day.
    #[arg(long, value_name = "RATE")]
    pub(super) redelivery: Option<f64>,
    /// Records with a rival of the same key and time.
    #[arg(long, value_name = "RATE")]
    pub(super) ties: Option<f64>,
    /// Records that belong in quarantine.
    #[arg(long, value_name = "RATE")]
    pub(super) broken: Option<f64>,
    /// Keys that are deleted in the end.
    #[arg(long, value_name = "RATE")]
    pub(super) deletes: Option<f64>,
    /// Orders, customers and products that come days after what refers to them.
    #[arg(long, value_name = "RATE")]
    pub(super) held_back: Option<f64>,
    /// Those that never come.
    #[arg(long, value_name = "RATE")]
    pub(super) missing: Option<f64>,
    /// Values written in an unusual but valid way.
    #[arg(long, value_name = "RATE")]
    pub(super) messy: Option<f64>,
    /// Entities that get an unknown column some day.
    #[arg(long, value_name = "RATE")]
    pub(super) drift: Option<f64>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum FormatArg {
    Jsonl,
    Csv,
    Parquet,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum CompressionArg {
    None,
    Gzip,
    Zstd,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(super) enum KeysArg {
    Ordered,
    Uuid,
}

impl SimulateArgs {
    pub(super) fn options(&self) -> Options {
        let preset = if self.nastiest {
            Options::nastiest()
        } else if self.clean {
            Options::clean()
        } else {
            Options::default()
        };
        let rates = &self.rates;
        let base = preset.defects;
        Options {
            seed: self.seed,
            orders: self.orders,
            start: self.start,
            history_days: self.history_days,
            daily_days: self.daily_days,
            format: match self.format {
                FormatArg::Jsonl => Format::JsonLines,
                FormatArg::Csv => Format::Csv,
                FormatArg::Parquet => Format::Parquet,
            },
            compression: match self.compression {
                CompressionArg::None => Compression::None,
                CompressionArg::Gzip => Compression::Gzip,
                CompressionArg::Zstd => Compression::Zstd,
            },
            keys: match self.keys {
                KeysArg::Ordered => KeyStyle::Ordered,
                KeysArg::Uuid => KeyStyle::Uuid,
            },
            member_changes: self.member_changes.unwrap_or(preset.member_changes),
            defects: Defects {
                late: rates.late.unwrap_or(base.late),
                duplicates: rates.duplicates.unwrap_or(base.duplicates),
                redelivery: rates.redelivery.unwrap_or(base.redelivery),
                ties: rates.ties.unwrap_or(base.ties),
                broken: rates.broken.unwrap_or(base.broken),
                deletes: rates.deletes.unwrap_or(base.deletes),
                held_back: rates.held_back.unwrap_or(base.held_back),
                missing: rates.missing.unwrap_or(base.missing),
                messy: rates.messy.unwrap_or(base.messy),
                drift: rates.drift.unwrap_or(base.drift),
            },
            overwrite: self.overwrite,
            threads: 0,
        }
    }
}

pub(super) async fn run(args: SimulateArgs, global: &Global) -> Result<()> {
    let summary = write(args.options(), args.out.clone(), global).await?;
    if global.json {
        return global.answer_json(&summary);
    }
    let bytes = summary.entities.iter().map(|entity| entity.bytes).sum();
    global.answer(format!(
        "wrote {} records in {} files, {}, to `{}`",
        grouped(summary.records()),
        summary.files(),
        size(bytes),
        args.out.display()
    ));
    Ok(())
}

pub(super) async fn write(options: Options, out: PathBuf, global: &Global) -> Result<Summary> {
    let spinner = global.spinner();
    let bar = spinner.clone();
    bar.set_message("simulating");
    let done = tokio::task::spawn_blocking(move || {
        simulate(&options, &out, &mut |progress| {
            bar.set_message(format!(
                "simulating: {} records, {} %",
                grouped(progress.records),
                progress.done * 100 / progress.total.max(1)
            ));
        })
    })
    .await
    .map_err(|e| Error::bug("the simulation stopped").cause(e))?;
    spinner.finish_and_clear();
    done.map_err(|e| Error::input("the extracts could not be written").cause(e))
}
