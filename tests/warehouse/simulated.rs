//! Extracts of a simulated shop: a history, and a folder a day after it.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
    process::Command,
};

use tempfile::TempDir;

use crate::{ran::Ran, shop::SMELT};

/// What is simulated; always with the nastiest defects.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Simulation {
    pub(crate) seed: u64,
    pub(crate) orders: u64,
    pub(crate) days: u32,
    /// `jsonl`, `csv` or `parquet`.
    pub(crate) format: &'static str,
    /// `none`, `gzip` or `zstd`.
    pub(crate) compression: &'static str,
    /// `ordered` or `uuid`.
    pub(crate) keys: &'static str,
    /// Whether rivals of the same key and time exist: which of them wins depends on arrival.
    pub(crate) ties: bool,
}

/// Its extracts, on disk as long as this lives.
pub(crate) struct Extracts {
    folder: TempDir,
}

impl Simulation {
    /// Plain JSON Lines with ordered keys, and rivals.
    pub(crate) const fn plain(seed: u64, orders: u64, days: u32) -> Self {
        Self { seed, orders, days, format: "jsonl", compression: "none", keys: "ordered", ties: true }
    }

    pub(crate) fn write(&self) -> Extracts {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new(SMELT);
        command.arg("simulate").arg(folder.path().join("extracts")).args(["--nastiest", "--history-days", "60"]);
        command.args(["--seed", &self.seed.to_string(), "--orders", &self.orders.to_string()]);
        command.args(["--daily-days", &self.days.to_string(), "--format", self.format]);
        command.args(["--compression", self.compression, "--keys", self.keys]);
        if !self.ties {
            command.args(["--ties", "0"]);
        }
        Ran::run(&mut command).ok();
        Extracts { folder }
    }
}

impl fmt::Display for Simulation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed, orders, days, format, compression, keys, ties } = self;
        write!(
            f,
            "seed {seed}: {orders} orders, {days} days, {format}, compression {compression}, {keys} keys, {} ties",
            if *ties { "with" } else { "without" }
        )
    }
}

impl Extracts {
    /// The history and each day, in order.
    pub(crate) fn batches(&self) -> Vec<PathBuf> {
        let extracts = self.folder.path().join("extracts");
        let mut batches = entries(&extracts.join("daily"));
        batches.insert(0, extracts.join("history"));
        batches
    }

    /// Every single file, in order.
    pub(crate) fn files(&self) -> Vec<PathBuf> {
        self.batches().iter().flat_map(|batch| files_below(batch)).collect()
    }
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries
}

fn files_below(folder: &Path) -> Vec<PathBuf> {
    entries(folder).into_iter().flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}
