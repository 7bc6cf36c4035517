//! The project folder as the user wrote it: settings, contracts, and where the models are.
//!
//! In:  a folder with `smelt.yml`, `contracts/*.odcs.yaml`, `models/`, `dbt_project.yml`.
//! Out: typed, checked definitions. Every complaint points at its file and line.
//! Rule: nothing here touches the lake.

mod contract;
mod settings;
pub mod template;
mod yaml;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
};

pub use contract::{Contract, EntityName, Freshness, QualityRule, RuleCheck, Severity, WaitsFor};
pub(crate) use contract::{hex, hex_sha256};
pub use settings::{Bytes, Retention, Serve, Settings, Target, Zones};
pub use yaml::{Document, escape};

use crate::error::{self, Error, Result, nearest};

/// A loaded project.
#[derive(Debug, Clone)]
pub struct Project {
    /// The project folder.
    pub root: PathBuf,
    pub settings: Settings,
    /// The chosen target's name.
    pub target: String,
    /// By entity, in name order.
    pub contracts: BTreeMap<EntityName, Contract>,
}

impl Project {
    /// Loads and checks everything but the models.
    ///
    /// # Errors
    /// `Input`, pointing at the file and line that is wrong.
    pub fn load(root: &Path, target: Option<&str>) -> Result<Self> {
        let file = root.join("smelt.yml");
        if !file.exists() {
            return Err(Error::input(format!("there is no smelt project in `{}`", root.display()))
                .hint("make one with `smelt init DIR`, or name its folder with `--project DIR`"));
        }
        let document = Document::read(&file, "smelt.yml")?;
        let settings: Settings = document.decode()?;
        let target = target.unwrap_or(&settings.target).to_owned();
        if !settings.targets.contains_key(&target) {
            let known = settings.targets.keys().map(String::as_str);
            let error = document.error("/targets", format!("smelt.yml has no target `{target}`"));
            return Err(match nearest(&target, known) {
                Some(name) => error.hint(format!("did you mean `{name}`?")),
                None => error,
            });
        }
        let contracts = contract::load_all(&root.join("contracts"))?;
        Ok(Self { root: root.to_owned(), settings, target, contracts })
    }

    /// The lake's place: a URL, or a folder made absolute from the project's.
    pub fn lake(&self) -> String {
        let lake = &self.settings.targets[&self.target].lake;
        if lake.contains("://") { lake.clone() } else { self.root.join(lake).to_string_lossy().into_owned() }
    }

    /// The contract of an entity, or an error that names the near ones.
    pub fn contract(&self, entity: &str) -> Result<&Contract> {
        self.contracts.get(entity).ok_or_else(|| {
            let error = Error::input(format!("there is no contract for entity `{entity}`"));
            match nearest(entity, self.contracts.keys().map(EntityName::as_str)) {
                Some(name) => error.hint(format!("did you mean `{name}`?")),
                None => error.hint(format!(
                    "write `contracts/{entity}.odcs.yaml`, or name the entity with `--entity`; there are contracts for: {}",
                    self.contracts.keys().map(EntityName::as_str).collect::<Vec<_>>().join(", ")
                )),
            }
        })
    }
}

/// The files below `folder` whose names end with `suffix`, as (name relative to `root`, path), in
/// name order. A missing folder has none.
pub fn files_below(root: &Path, folder: &str, suffix: &str) -> Result<Vec<(String, PathBuf)>> {
    let mut found = Vec::new();
    let mut folders = vec![root.join(folder)];
    while let Some(next) = folders.pop() {
        let entries = match std::fs::read_dir(&next) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => continue,
            Err(e) => return Err(error::io("list", &next, e)),
        };
        for entry in entries {
            let path = entry.map_err(|e| error::io("list", &next, e))?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.to_string_lossy().ends_with(suffix) {
                let name = path.strip_prefix(root).unwrap_or(&path).to_string_lossy().into_owned();
                found.push((name, path));
            }
        }
    }
    found.sort();
    Ok(found)
}
