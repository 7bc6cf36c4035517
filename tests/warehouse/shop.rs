//! A project with its lake in a temporary folder, and the program at work on it.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use sha2::{Digest, Sha256};
use tempfile::TempDir;

use crate::ran::{Fault, Ran};

pub(crate) const SMELT: &str = env!("CARGO_BIN_EXE_smelt");

/// The reference project's entities.
pub(crate) const ENTITIES: [&str; 6] = ["customers", "products", "orders", "order_items", "payments", "shipments"];

/// The reference project, as `smelt init` writes it.
pub(crate) struct Shop {
    folder: TempDir,
}

/// Every file of a lake with a digest of its bytes.
pub(crate) type Fingerprint = BTreeMap<PathBuf, String>;

impl Shop {
    /// A new project; nothing has landed.
    pub(crate) fn new() -> Self {
        let shop = Self { folder: tempfile::tempdir().unwrap() };
        shop.smelt(["init", "."]).ok();
        shop
    }

    /// The same with contracts that never call a source stale: not every entity will land.
    pub(crate) fn patient() -> Self {
        let shop = Self::new();
        for entity in ENTITIES {
            shop.edit(&format!("contracts/{entity}.odcs.yaml"), "property: freshness", "property: latency");
        }
        shop
    }

    /// The project's folder; commands run in it.
    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder().join(name)
    }

    pub(crate) fn lake(&self) -> PathBuf {
        self.path("lake")
    }

    /// The program, about to be run.
    pub(crate) fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = Command::new(SMELT);
        command.current_dir(self.folder()).args(arguments);
        for setting in ["SMELT_PROJECT", "SMELT_TARGET", "SMELT_LOG", "SMELT_PASSWORD"] {
            command.env_remove(setting);
        }
        command
    }

    pub(crate) fn smelt<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Ran {
        Ran::run(&mut self.command(arguments))
    }

    /// The answer of a command that succeeds, as JSON.
    #[track_caller]
    pub(crate) fn json<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Value {
        self.smelt(arguments.into_iter().chain(["--json"])).ok().json()
    }

    /// The error of a command that fails with this exit code.
    #[track_caller]
    pub(crate) fn fault<'a>(&self, code: i32, arguments: impl IntoIterator<Item = &'a str>) -> Fault {
        self.smelt(arguments.into_iter().chain(["--json"])).exits(code).fault()
    }

    /// The answer's rows as CSV lines, without the header, sorted.
    #[track_caller]
    pub(crate) fn rows(&self, sql: &str) -> Vec<String> {
        let ran = self.smelt(["query", "-F", "csv", sql]).ok();
        let mut rows: Vec<String> = ran.stdout.lines().skip(1).map(str::to_owned).collect();
        rows.sort();
        rows
    }

    /// The one value that a question gives.
    #[track_caller]
    pub(crate) fn value(&self, sql: &str) -> String {
        let rows = self.rows(sql);
        assert_eq!(rows.len(), 1, "`{sql}` gives {rows:?}");
        rows[0].clone()
    }

    /// Takes everything new in; the report.
    #[track_caller]
    pub(crate) fn run(&self) -> Value {
        self.json(["run"])
    }

    /// Lands a batch's files and takes them in; the report.
    #[track_caller]
    pub(crate) fn take_in(&self, batch: &Path) -> Value {
        self.smelt(["ingest", &batch.to_string_lossy()]).ok();
        self.run()
    }

    /// Writes an extract below `inbox` and lands it as a batch of its own; the report.
    #[track_caller]
    pub(crate) fn land(&self, name: &str, extract: impl AsRef<[u8]>) -> Value {
        let path = format!("inbox/{name}");
        self.write(&path, extract);
        self.json(["ingest", &path])
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// The text of all files of a folder.
    pub(crate) fn read_folder(&self, name: &str) -> String {
        let files = fs::read_dir(self.path(name)).unwrap().map(|entry| entry.unwrap().path());
        files
            .filter(|path| path.is_file())
            .map(|path| String::from_utf8_lossy(&fs::read(path).unwrap()).into_owned())
            .collect()
    }

    /// Replaces the first `from` in a file of the project.
    #[track_caller]
    pub(crate) fn edit(&self, name: &str, from: &str, to: &str) {
        let text = self.read(name);
        assert!(text.contains(from), "`{name}` has no `{from}`");
        self.write(name, text.replacen(from, to, 1));
    }

    /// The published snapshots' numbers.
    pub(crate) fn snapshots(&self) -> Vec<u64> {
        let all = self.json(["snapshots"]);
        all.as_array().unwrap().iter().map(|snapshot| snapshot["id"].as_u64().unwrap()).collect()
    }

    /// The running totals of an entity.
    pub(crate) fn totals(&self, entity: &str) -> Totals {
        let status = self.smelt(["status", "--json"]).json();
        let found = status["entities"].as_array().unwrap().iter().find(|one| one["entity"] == entity);
        let totals = &found.unwrap_or_else(|| panic!("no entity `{entity}` in {status}"))["totals"];
        let term = |name: &str| totals[name].as_u64().unwrap();
        Totals {
            raw: term("raw"),
            current: term("current"),
            superseded: term("superseded"),
            tombstones: term("tombstones"),
            quarantined: term("quarantined"),
        }
    }

    /// All that the lake holds, but for the leases and pins of those who write and read it.
    pub(crate) fn fingerprint(&self) -> Fingerprint {
        let mut found = BTreeMap::new();
        let mut folders = vec![self.lake()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() && !path.ends_with("_smelt/lease") && !path.ends_with("_smelt/pins") {
                    folders.push(path);
                } else if path.is_file() {
                    let digest = Sha256::digest(fs::read(&path).unwrap());
                    found.insert(path.strip_prefix(self.lake()).unwrap().to_owned(), format!("{digest:x?}"));
                }
            }
        }
        found
    }

    /// Asserts that the lake is as it was, to the byte.
    #[track_caller]
    pub(crate) fn is_untouched_since(&self, before: &Fingerprint, scenario: &str) {
        let now = self.fingerprint();
        let added: Vec<_> = now.keys().filter(|path| !before.contains_key(*path)).collect();
        let removed: Vec<_> = before.keys().filter(|path| !now.contains_key(*path)).collect();
        let changed: Vec<_> =
            now.iter().filter(|(path, digest)| before.get(*path).is_some_and(|was| was != *digest)).collect();
        assert!(
            *before == now,
            "{scenario}: the lake changed\nadded: {added:#?}\nremoved: {removed:#?}\nchanged: {changed:#?}"
        );
    }
}

/// Where an entity's records are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) raw: u64,
    pub(crate) current: u64,
    pub(crate) superseded: u64,
    pub(crate) tombstones: u64,
    pub(crate) quarantined: u64,
}

/// The model reports or entity reports of a run that name one thing.
pub(crate) fn named<'a>(list: &'a Value, field: &str, name: &str) -> &'a Value {
    let found = list.as_array().unwrap().iter().find(|one| one[field] == name);
    found.unwrap_or_else(|| panic!("nothing has the {field} `{name}` in {list:#}"))
}
