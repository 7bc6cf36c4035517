//! The models, their descriptions and their tests, put together and checked against each other.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
};

use super::{
    GOLD_SEMANTICS, Model, Models, Relation, data_tests, dbt_project, is_name, order,
    render::{self, Rendered},
    schema_yml::{self, Described},
};
use crate::{
    engine::{GOLD, STAGING, SqlText, canonical, tables},
    error::{self, Error, Result, SourceFile, nearest},
    project::{Document, Project, Severity, files_below, hex_sha256},
    quality::Check,
};

impl Models {
    /// Loads and checks all models and tests of a project, without looking at any table.
    ///
    /// # Errors
    /// `Input`, pointing at the file and line; all that is wrong at once, as far as it does not
    /// hide something else.
    pub fn load(project: &Project) -> Result<Self> {
        let sources: BTreeSet<String> = project
            .contracts
            .values()
            .flat_map(|contract| {
                let history = ["_history", "_tombstones"].map(|suffix| format!("{}{suffix}", contract.table));
                std::iter::once(contract.table.clone()).chain(history.into_iter().filter(|_| contract.history))
            })
            .collect();
        Self::read(&project.root, &sources)
    }

    /// The same for a folder and the names of the staging tables.
    pub(super) fn read(root: &Path, sources: &BTreeSet<String>) -> Result<Self> {
        let settings = dbt_project::load(root)?;
        let mut errors = Vec::new();
        let mut written: BTreeMap<String, (SourceFile, Rendered)> = BTreeMap::new();
        let mut described: BTreeMap<String, Described> = BTreeMap::new();
        for folder in &settings.model_paths {
            for (name, path) in files_below(root, folder, ".sql")? {
                match read_sql(&path, &name).and_then(|file| model_file(&file, &settings.variables)) {
                    Ok((model, rendered)) => {
                        let file = rendered.sql.file().clone();
                        if let Some((other, _)) = written.get(&model) {
                            let message = format!("`{}` and `{name}` are both called `{model}`", other.name());
                            errors.push(Error::input(message).at(&file, 0..0).hint("rename one of the files"));
                        }
                        written.insert(model, (file, rendered));
                    }
                    Err(error) => errors.push(error),
                }
            }
            for suffix in [".yml", ".yaml"] {
                for (name, path) in files_below(root, folder, suffix)? {
                    match Document::read(&path, &name).and_then(schema_yml::read) {
                        Ok(entries) => {
                            errors.extend(entries.into_iter().filter_map(|entry| describe(&mut described, entry)));
                        }
                        Err(error) => errors.push(error),
                    }
                }
            }
        }
        Error::all(errors)?;

        let models: BTreeSet<&str> = written.keys().map(String::as_str).collect();
        let world = World { sources, models: &models };
        let mut errors: Vec<Error> = described
            .values()
            .filter(|entry| !models.contains(entry.name.as_str()))
            .map(|entry| {
                let error = entry
                    .document
                    .error(&format!("{}/name", entry.pointer), format!("there is no model `{}`", entry.name));
                match nearest(&entry.name, models.iter().copied()) {
                    Some(near) => error.hint(format!("did you mean `{near}`?")),
                    None => error.hint("a model is a file in `models/`, called after it"),
                }
            })
            .collect();
        let mut found = Vec::new();
        let mut checks = Vec::new();
        for (name, (file, rendered)) in &written {
            match owner(name, file, described.get(name)) {
                Ok((entry, owner)) => {
                    match model(name, rendered, entry, &owner, &world) {
                        Ok(model) => found.push(model),
                        Err(error) => errors.push(error),
                    }
                    checks.push((name.clone(), data_tests::checks(entry, &owner)));
                    errors.extend(unknown_parents(entry, &checks, &world));
                }
                Err(error) => errors.push(error),
            }
        }
        Error::all(errors)?;
        let mut models = order::topological(found)?;
        by_keys(&mut models);
        let mut checks: BTreeMap<String, Vec<Check>> = checks.into_iter().collect();
        let mut in_order: Vec<Check> =
            models.iter().flat_map(|model| checks.remove(&model.name).unwrap_or_default()).collect();
        in_order.extend(singular(root, &settings, &models, &world)?);
        no_name_twice(&in_order)?;
        Ok(Self { models, checks: in_order })
    }
}

/// What can be read.
struct World<'a> {
    sources: &'a BTreeSet<String>,
    models: &'a BTreeSet<&'a str>,
}

impl World<'_> {
    /// Whether the relation exists; else what is near.
    fn find(&self, relation: &Relation) -> Result<(), Option<String>> {
        let (wanted, known): (_, Vec<&str>) = match relation {
            Relation::Source { table, .. } => (table, self.sources.iter().map(String::as_str).collect()),
            Relation::Model(name) => (name, self.models.iter().copied().collect()),
        };
        if known.contains(&wanted.as_str()) {
            return Ok(());
        }
        Err(nearest(wanted, known).map(|near| match relation {
            Relation::Source { schema, .. } => format!("source('{schema}', '{near}')"),
            Relation::Model(_) => format!("ref('{near}')"),
        }))
    }
}

fn read_sql(path: &Path, name: &str) -> Result<SourceFile> {
    let bytes = std::fs::read(path).map_err(|e| error::io("read", path, e))?;
    let text = String::from_utf8(bytes)
        .map_err(|e| Error::input(format!("`{name}` is not UTF-8 text")).cause(e.utf8_error()))?;
    Ok(SourceFile::new(name, text))
}

fn stem(file: &SourceFile) -> Result<String> {
    let name = file.name().rsplit(['/', '\\']).next().unwrap_or_default().trim_end_matches(".sql");
    if is_name(name) {
        return Ok(name.to_owned());
    }
    Err(Error::input(format!("`{}` is not called like a table", file.name()))
        .at(file, 0..0)
        .hint("use lower case letters, digits and `_`, and start with a letter"))
}

fn model_file(file: &SourceFile, variables: &render::Variables) -> Result<(String, Rendered)> {
    Ok((stem(file)?, render::render(file, variables)?))
}

fn describe(described: &mut BTreeMap<String, Described>, entry: Described) -> Option<Error> {
    let error = described.get(&entry.name).map(|other| {
        let message = format!("model `{}` is described twice, also in `{}`", entry.name, other.document.file.name());
        entry.document.error(&entry.pointer, message)
    });
    described.insert(entry.name.clone(), entry);
    error
}

fn owner<'a>(name: &str, file: &SourceFile, entry: Option<&'a Described>) -> Result<(&'a Described, String)> {
    const HINT: &str = "every model names who answers for it: `meta: {owner: you@example.com}`";
    let Some(entry) = entry else {
        return Err(Error::input(format!("model `{name}` is described in no YAML file, so it has no owner"))
            .at(file, 0..0)
            .hint(format!("add `- name: {name}` to `models:` in a file such as models/schema.yml; {HINT}")));
    };
    match &entry.owner {
        Some(owner) => Ok((entry, owner.clone())),
        None => Err(entry.document.error(&entry.pointer, format!("model `{name}` has no owner")).hint(HINT)),
    }
}

fn model(name: &str, rendered: &Rendered, entry: &Described, owner: &str, world: &World<'_>) -> Result<Model> {
    let inputs = inputs(rendered, world)?;
    let sort_key = if rendered.config.sort_key.is_empty() { &entry.sort_key } else { &rendered.config.sort_key };
    Ok(Model {
        name: name.to_owned(),
        owner: owner.to_owned(),
        description: entry.description.clone(),
        fingerprint: fingerprint(&rendered.sql)?,
        sql: rendered.sql.clone(),
        inputs,
        sort_key: sort_key.clone(),
        columns: entry.columns.clone(),
        unique_keys: data_tests::unique_keys(entry),
        described_in: entry.document.file.clone(),
        column_spans: entry.columns.iter().map(|column| entry.document.span(&column.pointer)).collect(),
    })
}

/// What the SQL reads, each once; all of it must exist and go through `ref` or `source`.
fn inputs(rendered: &Rendered, world: &World<'_>) -> Result<Vec<Relation>> {
    let sql = &rendered.sql;
    let mut errors = Vec::new();
    let mut inputs = Vec::new();
    for named in tables(sql)? {
        let (name, span) = (format!("{}.{}", named.schema, named.table), named.span);
        let Some(relation) = Relation::of(named) else {
            errors.push(
                sql.error_at(span, format!("a model cannot read `{name}`"))
                    .hint(format!("models read `{STAGING}` through `source` and other models through `ref`")),
            );
            continue;
        };
        if !rendered.relations.contains(&relation) {
            let way = match &relation {
                Relation::Model(name) => format!("{{{{ ref('{name}') }}}}"),
                Relation::Source { schema, table } => format!("{{{{ source('{schema}', '{table}') }}}}"),
            };
            errors.push(
                sql.error_at(span, format!("`{relation}` is named without saying that it is read"))
                    .hint(format!("write `{way}`, so that smelt knows the order of the models")),
            );
        } else if let Err(near) = world.find(&relation) {
            let what = if schema_is_gold(&relation) { "model" } else { "source" };
            let error = sql.error_at(span, format!("there is no {what} `{relation}`"));
            errors.push(match near {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            });
        } else if !inputs.contains(&relation) {
            inputs.push(relation);
        }
    }
    Error::all(errors)?;
    Ok(inputs)
}

fn schema_is_gold(relation: &Relation) -> bool {
    relation.schema() == GOLD
}

/// Makes fingerprints say what is held unique in a model and in those that it reads. Such a key completes an ORDER BY
/// that is not total, and changes are followed by it: rows from before it was tested may not have it.
fn by_keys(models: &mut [Model]) {
    let keys: BTreeMap<String, Vec<Vec<String>>> =
        models.iter().map(|model| (model.name.clone(), model.unique_keys.clone())).collect();
    for model in models {
        let read = model.inputs.iter().filter_map(|input| match input {
            Relation::Model(name) => Some(name),
            Relation::Source { .. } => None,
        });
        let tables: BTreeSet<&String> = read.chain([&model.name]).collect();
        let unique: BTreeSet<(&String, &Vec<String>)> =
            tables.into_iter().flat_map(|table| keys[table].iter().map(move |key| (table, key))).collect();
        model.fingerprint = hex_sha256(format!("{}\n{unique:?}", model.fingerprint).as_bytes());
    }
}

/// Of the SQL as the engine reads it, without layout and comments, and of what the engine makes of
/// it; not of owners or descriptions.
fn fingerprint(sql: &SqlText) -> Result<String> {
    let text = canonical(sql.text()).map_err(|e| sql.error(0..1, format!("this is not SQL: {e}")))?;
    Ok(hex_sha256(format!("gold {GOLD_SEMANTICS}\n{text}").as_bytes()))
}

/// Errors for tables that the last model's tests refer to and that do not exist.
fn unknown_parents(entry: &Described, checks: &[(String, Vec<Check>)], world: &World<'_>) -> Vec<Error> {
    let last = checks.last().map(|(_, checks)| checks.as_slice()).unwrap_or_default();
    std::iter::zip(&entry.tests, last)
        .flat_map(|(test, check)| check.inputs.iter().map(move |input| (test, input)))
        .filter_map(|(test, input)| {
            let near = world.find(input).err()?;
            let error = entry.document.error(&test.pointer, format!("there is no table `{input}`"));
            Some(match near {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            })
        })
        .collect()
}

/// The tests that are SQL files; their owner is that of the first model they read.
fn singular(
    root: &Path,
    settings: &dbt_project::DbtProject,
    models: &[Model],
    world: &World<'_>,
) -> Result<Vec<Check>> {
    let mut checks = Vec::new();
    let mut errors = Vec::new();
    for folder in &settings.test_paths {
        for (name, path) in files_below(root, folder, ".sql")? {
            let read = || -> Result<Check> {
                let file = read_sql(&path, &name)?;
                let (name, rendered) = model_file(&file, &settings.variables)?;
                let inputs = inputs(&rendered, world)?;
                let about = inputs
                    .iter()
                    .find_map(|input| models.iter().find(|model| input == &Relation::Model(model.name.clone())));
                let about = about.ok_or_else(|| {
                    Error::input(format!("test `{name}` reads no model"))
                        .at(&file, 0..0)
                        .hint("rules for cleaned tables are written in their contracts")
                })?;
                Ok(Check {
                    name,
                    table: Relation::Model(about.name.clone()).to_string(),
                    owner: about.owner.clone(),
                    severity: rendered.config.severity.unwrap_or(Severity::Error),
                    inputs,
                    sql: rendered.sql,
                    quick: None,
                    claim: None,
                })
            };
            match read() {
                Ok(check) => checks.push(check),
                Err(error) => errors.push(error),
            }
        }
    }
    Error::all(errors)?;
    Ok(checks)
}

fn no_name_twice(checks: &[Check]) -> Result<()> {
    let mut seen = BTreeSet::new();
    Error::all(checks.iter().filter(|check| !seen.insert(check.name.as_str())).map(|check| {
        check.sql.error(0..1, format!("there are two tests `{}`", check.name)).hint("give one of them another `name`")
    }))
}
