//! `dbt_project.yml`: where models and tests are, and the variables they read.

use std::path::Path;

use serde::{Deserialize, de::IgnoredAny};
use serde_json::Value;

use super::render::Variables;
use crate::{
    error::{Error, Result},
    project::Document,
};

#[derive(Debug)]
pub(super) struct DbtProject {
    pub(super) model_paths: Vec<String>,
    pub(super) test_paths: Vec<String>,
    pub(super) variables: Variables,
}

/// The file as written. dbt's other keys are accepted and mean nothing here, but for hooks, which
/// would change tables behind smelt's back: they are unknown.
#[derive(Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
#[expect(dead_code, reason = "keys that only dbt reads")]
struct Written {
    name: String,
    #[serde(default = "models")]
    model_paths: Vec<String>,
    #[serde(default = "tests")]
    test_paths: Vec<String>,
    #[serde(default)]
    vars: serde_json::Map<String, Value>,
    version: Option<IgnoredAny>,
    config_version: Option<IgnoredAny>,
    profile: Option<IgnoredAny>,
    require_dbt_version: Option<IgnoredAny>,
    analysis_paths: Option<IgnoredAny>,
    asset_paths: Option<IgnoredAny>,
    docs_paths: Option<IgnoredAny>,
    macro_paths: Option<IgnoredAny>,
    seed_paths: Option<IgnoredAny>,
    snapshot_paths: Option<IgnoredAny>,
    target_path: Option<IgnoredAny>,
    log_path: Option<IgnoredAny>,
    packages_install_path: Option<IgnoredAny>,
    clean_targets: Option<IgnoredAny>,
    query_comment: Option<IgnoredAny>,
    quoting: Option<IgnoredAny>,
    models: Option<IgnoredAny>,
    seeds: Option<IgnoredAny>,
    snapshots: Option<IgnoredAny>,
    sources: Option<IgnoredAny>,
    tests: Option<IgnoredAny>,
    #[serde(rename = "data_tests")]
    data_tests: Option<IgnoredAny>,
    flags: Option<IgnoredAny>,
    dispatch: Option<IgnoredAny>,
}

fn models() -> Vec<String> {
    vec!["models".into()]
}

fn tests() -> Vec<String> {
    vec!["tests".into()]
}

pub(super) fn load(root: &Path) -> Result<DbtProject> {
    let path = root.join("dbt_project.yml");
    if !path.exists() {
        return Err(Error::input(format!("there is no dbt_project.yml in `{}`", root.display()))
            .hint("write one with at least `name: my_project`"));
    }
    let document = Document::read(&path, "dbt_project.yml")?;
    let written: Written = document.decode()?;
    let mut variables = Variables::new();
    for (name, value) in written.vars {
        match value {
            // dbt lets a project's variables stand below its name.
            Value::Object(scoped) if name == written.name => variables.extend(scoped),
            value => {
                variables.insert(name, value);
            }
        }
    }
    Ok(DbtProject { model_paths: written.model_paths, test_paths: written.test_paths, variables })
}
