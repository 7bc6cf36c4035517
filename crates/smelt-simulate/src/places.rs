//! Where files go, and what they are called.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::calendar::HISTORY;
use crate::entity::Entity;
use crate::error::SimulateError;
use crate::options::{Compression, Format, Options};
use crate::shop::Shop;

/// Where files go.
pub(crate) struct Places {
    history: PathBuf,
    daily: PathBuf,
    extension: &'static str,
}

impl Places {
    pub(crate) fn new(options: &Options, out: &Path) -> Self {
        Self {
            history: out.join("history"),
            daily: out.join("daily"),
            extension: extension(options.format, options.compression),
        }
    }

    pub(crate) fn day(&self, shop: &Shop, extract: u32) -> PathBuf {
        let date = shop.calendar.date_of_extract(extract);
        self.daily.join(date.to_string())
    }

    pub(crate) fn file(&self, shop: &Shop, entity: Entity, extract: u32, part: u64) -> PathBuf {
        let extension = self.extension;
        if extract == HISTORY {
            let name = format!("{}.{extension}", part_name(part));
            self.history.join(entity.name()).join(name)
        } else {
            let name = format!("{}.{extension}", entity.name());
            self.day(shop, extract).join(name)
        }
    }

    /// Makes the folder that an entity's files of an extract go to.
    pub(crate) fn create_folder(&self, shop: &Shop, entity: Entity, extract: u32) -> Result<(), SimulateError> {
        let folder = if extract == HISTORY { self.history.join(entity.name()) } else { self.day(shop, extract) };
        fs::create_dir_all(&folder).map_err(SimulateError::io("create", &folder))
    }

    pub(crate) fn extension(&self) -> &'static str {
        self.extension
    }
}

pub(crate) fn part_name(part: u64) -> String {
    format!("part-{part:04}")
}

/// Sees to it that the output folder exists and has nothing in the way.
pub(crate) fn prepare(out: &Path, overwrite: bool) -> Result<(), SimulateError> {
    fs::create_dir_all(out).map_err(SimulateError::io("create", out))?;
    let mut entries = fs::read_dir(out).map_err(SimulateError::io("read", out))?;
    if entries.next().is_none() {
        return Ok(());
    }
    if !overwrite {
        return Err(SimulateError::NotEmpty { path: out.to_path_buf() });
    }
    for folder in ["history", "daily"] {
        let folder = out.join(folder);
        match fs::remove_dir_all(&folder) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(SimulateError::io("remove", &folder)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// How the names of all files end.
fn extension(format: Format, compression: Compression) -> &'static str {
    match (format, compression) {
        (Format::JsonLines, Compression::None) => "jsonl",
        (Format::JsonLines, Compression::Gzip) => "jsonl.gz",
        (Format::JsonLines, Compression::Zstd) => "jsonl.zst",
        (Format::Csv, Compression::None) => "csv",
        (Format::Csv, Compression::Gzip) => "csv.gz",
        (Format::Csv, Compression::Zstd) => "csv.zst",
        (Format::Parquet, _) => "parquet",
    }
}
