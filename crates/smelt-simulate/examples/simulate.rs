//! Writes a simulated shop, to measure how long it takes and what comes of it:
//! `simulate FOLDER [nastiest|clean] [name=value ...]`, with the names of the options.

use std::error::Error;
use std::path::PathBuf;
use std::time::Instant;

use smelt_simulate::{Compression, Format, KeyStyle, Options, simulate};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let out = PathBuf::from(arguments.next().ok_or("which folder?")?);
    let mut options = Options::default();
    for argument in arguments {
        match argument.split_once('=') {
            None if argument == "nastiest" => options.defects = Options::nastiest().defects,
            None if argument == "clean" => options.defects = Options::clean().defects,
            Some(("seed", value)) => options.seed = value.parse()?,
            Some(("orders", value)) => options.orders = value.parse()?,
            Some(("start", value)) => options.start = value.parse()?,
            Some(("history_days", value)) => options.history_days = value.parse()?,
            Some(("daily_days", value)) => options.daily_days = value.parse()?,
            Some(("threads", value)) => options.threads = value.parse()?,
            Some(("overwrite", value)) => options.overwrite = value.parse()?,
            Some(("format", "jsonlines")) => options.format = Format::JsonLines,
            Some(("format", "csv")) => options.format = Format::Csv,
            Some(("format", "parquet")) => options.format = Format::Parquet,
            Some(("compression", "none")) => options.compression = Compression::None,
            Some(("compression", "gzip")) => options.compression = Compression::Gzip,
            Some(("compression", "zstd")) => options.compression = Compression::Zstd,
            Some(("keys", "ordered")) => options.keys = KeyStyle::Ordered,
            Some(("keys", "uuid")) => options.keys = KeyStyle::Uuid,
            _ => return Err(format!("what is {argument}?").into()),
        }
    }
    let begun = Instant::now();
    let mut told = 0;
    let summary = simulate(&options, &out, &mut |progress| {
        let percent = progress.done * 100 / progress.total.max(1);
        if percent > told {
            told = percent;
            eprint!("\r{percent} %, {} records", progress.records);
        }
    })?;
    eprintln!();
    println!("{}", serde_json::to_string_pretty(&summary)?);
    println!(
        "{} records, {} files, {} MB, {:.1} s",
        summary.records(),
        summary.files(),
        summary.bytes() / 1_000_000,
        begun.elapsed().as_secs_f64()
    );
    Ok(())
}
