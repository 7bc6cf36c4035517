//! `models/**/*.yml`: descriptions, owners and data tests, in dbt's shape.

use std::rc::Rc;

use serde_json::{Map, Value};

use super::{Relation, is_name, render};
use crate::{
    error::{Error, Result, nearest},
    project::{Document, Severity, escape},
};

/// One entry below `models:`.
#[derive(Debug)]
pub(super) struct Described {
    pub(super) name: String,
    pub(super) owner: Option<String>,
    pub(super) description: String,
    pub(super) sort_key: Vec<String>,
    pub(super) columns: Vec<Column>,
    pub(super) tests: Vec<WrittenTest>,
    pub(super) document: Rc<Document>,
    /// Where the entry is in its document.
    pub(super) pointer: String,
}

/// What is said about a column.
#[derive(Debug, Clone)]
pub struct Column {
    pub name: String,
    pub description: String,
    /// The type that the model must give, as written.
    pub data_type: Option<String>,
    pub(super) pointer: String,
}

#[derive(Debug)]
pub(super) struct WrittenTest {
    pub(super) kind: TestKind,
    pub(super) name: Option<String>,
    pub(super) severity: Severity,
    /// Only rows that fulfil this are looked at.
    pub(super) filter: Option<String>,
    pub(super) pointer: String,
}

#[derive(Debug)]
pub(super) enum TestKind {
    NotNull { column: String },
    Unique { column: String },
    UniqueTogether { columns: Vec<String> },
    AcceptedValues { column: String, values: Vec<String> },
    Relationships { column: String, to: Relation, field: String },
}

const TOP: [&str; 2] = ["version", "models"];
const MODEL: [&str; 12] = [
    "name", "description", "meta", "config", "columns", "data_tests", "tests", "docs", "tags", "access", "group", "constraints",
];
const MODEL_CONFIG: [&str; 9] =
    ["meta", "sort_key", "sort", "materialized", "tags", "docs", "contract", "group", "dist"];
const COLUMN: [&str; 9] =
    ["name", "description", "data_type", "data_tests", "tests", "meta", "tags", "config", "constraints"];

/// Reads one file; everything wrong in it at once.
pub(super) fn read(document: Document) -> Result<Vec<Described>> {
    let document = Rc::new(document);
    let mut errors = Vec::new();
    if let Some(top) = document.value.as_object() {
        for key in top.keys().filter(|key| !TOP.contains(&key.as_str())) {
            let error = document.error(&format!("/{}", escape(key)), format!("`{}` has `{key}`, which means nothing here", document.file.name()));
            errors.push(match key.as_str() {
                "sources" => error.hint("the cleaned tables and their rules are described in `contracts/`"),
                _ => with_near(error, key, &TOP),
            });
        }
    }
    let entries = match document.value.get("models") {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(entries)) => entries,
        Some(_) => return Err(document.error("/models", "`models` is a list").hint("write `models:` and below it `- name: ...`")),
    };
    let mut found = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        match model(&document, &format!("/models/{index}"), entry) {
            Ok(described) => found.push(described),
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors)?;
    Ok(found)
}

fn model(document: &Rc<Document>, pointer: &str, entry: &Value) -> Result<Described> {
    let entry = object(document, pointer, entry, &MODEL)?;
    let name = text(document, pointer, entry, "name")?
        .ok_or_else(|| document.error(pointer, "this model has no `name`"))?;
    let empty = Map::new();
    let config = match entry.get("config") {
        Some(config) => object(document, &format!("{pointer}/config"), config, &MODEL_CONFIG)?,
        None => &empty,
    };
    if let Some(materialized) = config.get("materialized").filter(|value| value.as_str() != Some("table")) {
        return Err(document.error(&format!("{pointer}/config/materialized"), format!("models are tables, not {materialized}")));
    }
    let owner = [entry.get("meta"), config.get("meta")]
        .into_iter()
        .flatten()
        .find_map(|meta| meta.get("owner")?.as_str())
        .map(str::trim)
        .filter(|owner| !owner.is_empty())
        .map(str::to_owned);
    let sort_key = match config.get("sort_key").or_else(|| config.get("sort")) {
        Some(key) => texts(document, &format!("{pointer}/config/sort_key"), key)?,
        None => Vec::new(),
    };
    let mut errors = Vec::new();
    let mut columns: Vec<Column> = Vec::new();
    let mut tests = tests(document, pointer, entry, None, &mut errors);
    let written = match entry.get("columns") {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(columns)) => columns,
        Some(_) => return Err(document.error(&format!("{pointer}/columns"), "`columns` is a list")),
    };
    for (index, entry) in written.iter().enumerate() {
        let pointer = format!("{pointer}/columns/{index}");
        let read = || -> Result<(Column, &Map<String, Value>)> {
            let entry = object(document, &pointer, entry, &COLUMN)?;
            let name = text(document, &pointer, entry, "name")?
                .ok_or_else(|| document.error(&pointer, "this column has no `name`"))?;
            let description = text(document, &pointer, entry, "description")?.unwrap_or_default();
            let data_type = text(document, &pointer, entry, "data_type")?;
            Ok((Column { name, description, data_type, pointer: pointer.clone() }, entry))
        };
        match read() {
            Ok((column, entry)) => {
                if columns.iter().any(|known| known.name == column.name) {
                    errors.push(document.error(&pointer, format!("column `{}` is described twice", column.name)));
                }
                tests.extend(self::tests(document, &pointer, entry, Some(&column.name), &mut errors));
                columns.push(column);
            }
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors)?;
    let description = text(document, pointer, entry, "description")?.unwrap_or_default();
    let (document, pointer) = (Rc::clone(document), pointer.to_owned());
    Ok(Described { name, owner, description, sort_key, columns, tests, document, pointer })
}

/// The tests of a model or column; broken ones go to `errors`.
fn tests(
    document: &Document,
    pointer: &str,
    entry: &Map<String, Value>,
    column: Option<&str>,
    errors: &mut Vec<Error>,
) -> Vec<WrittenTest> {
    let mut found = Vec::new();
    for key in ["data_tests", "tests"] {
        for (index, written) in entry.get(key).and_then(Value::as_array).into_iter().flatten().enumerate() {
            match test(document, &format!("{pointer}/{key}/{index}"), written, column) {
                Ok(test) => found.push(test),
                Err(error) => errors.push(error),
            }
        }
    }
    found
}

/// `unique`, or `unique: {config: {severity: warn}}` and the like.
fn test(document: &Document, pointer: &str, written: &Value, column: Option<&str>) -> Result<WrittenTest> {
    let empty = Map::new();
    let (kind, given) = match written {
        Value::String(kind) => (kind.as_str(), &empty),
        Value::Object(map) if map.len() == 1 => {
            let Some((kind, given)) = map.iter().next() else {
                return Err(document.error(pointer, "this test is empty"));
            };
            (kind.as_str(), given.as_object().unwrap_or(&empty))
        }
        _ => {
            return Err(document
                .error(pointer, "a test is a name, or a name with settings below it")
                .hint("write `- unique`, or `- accepted_values: {values: [a, b]}`"));
        }
    };
    let inside = format!("{pointer}/{}", escape(kind));
    // dbt writes a test's arguments beside its settings or below `arguments`, and its settings
    // beside the arguments or below `config`.
    let part = |name: &str| given.get(name).and_then(Value::as_object).unwrap_or(&empty);
    let (arguments, config) = (part("arguments"), part("config"));
    let argument = |name: &str| arguments.get(name).or_else(|| given.get(name));
    let setting = |name: &str| config.get(name).or_else(|| given.get(name));

    let (wanted, column_wanted): (&[&str], bool) = match kind {
        "not_null" | "unique" => (&[], true),
        "accepted_values" => (&["values", "quote"], true),
        "relationships" => (&["to", "field"], true),
        "unique_combination_of_columns" | "dbt_utils.unique_combination_of_columns" => (&["combination_of_columns"], false),
        other => {
            const KINDS: [&str; 5] = ["not_null", "unique", "accepted_values", "relationships", "unique_combination_of_columns"];
            let error = document.error(pointer, format!("there is no test `{other}`"));
            return Err(match nearest(other, KINDS) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error.hint("write it as SQL in `tests/`: its rows are the failures"),
            });
        }
    };
    const SETTINGS: [&str; 7] = ["name", "description", "arguments", "config", "severity", "where", "tags"];
    for key in given.keys().chain(arguments.keys()).chain(config.keys()) {
        if !wanted.contains(&key.as_str()) && !SETTINGS.contains(&key.as_str()) {
            let known: Vec<&str> = wanted.iter().copied().chain(SETTINGS).collect();
            return Err(with_near(document.error(&inside, format!("test `{kind}` has no `{key}`")), key, &known));
        }
    }
    let column = match (column, column_wanted) {
        (Some(column), _) => column.to_owned(),
        (None, false) => String::new(),
        (None, true) => {
            return Err(document.error(pointer, format!("`{kind}` belongs to a column")).hint("put it below one in `columns`"));
        }
    };
    let missing = |name: &str| document.error(pointer, format!("test `{kind}` needs `{name}`"));
    let kind = match kind {
        "not_null" => TestKind::NotNull { column },
        "unique" => TestKind::Unique { column },
        "accepted_values" => {
            let quote = argument("quote").and_then(Value::as_bool).unwrap_or(true);
            let values = argument("values").and_then(Value::as_array).ok_or_else(|| missing("values"))?;
            let values = values
                .iter()
                .map(|value| literal(value, quote).ok_or_else(|| document.error(&inside, format!("`{value}` is not a value"))))
                .collect::<Result<Vec<_>>>()?;
            if values.is_empty() {
                return Err(missing("values"));
            }
            TestKind::AcceptedValues { column, values }
        }
        "relationships" => {
            let to = argument("to").and_then(Value::as_str).ok_or_else(|| missing("to"))?;
            let to = reference(to).ok_or_else(|| {
                document.error(&inside, format!("`{to}` names no table")).hint("write `to: ref('model')` or `to: source('staging', 'table')`")
            })?;
            let field = argument("field").and_then(Value::as_str).filter(|field| is_name(field)).ok_or_else(|| missing("field"))?;
            TestKind::Relationships { column, to, field: field.to_owned() }
        }
        _ => {
            let columns = argument("combination_of_columns").ok_or_else(|| missing("combination_of_columns"))?;
            TestKind::UniqueTogether { columns: texts(document, &inside, columns)? }
        }
    };
    let severity = match setting("severity").and_then(Value::as_str) {
        Some(severity) => render::severity(severity).map_err(|e| document.error(&inside, e))?,
        None => Severity::Error,
    };
    let filter = setting("where").and_then(Value::as_str).map(str::to_owned);
    let name = given.get("name").and_then(Value::as_str).map(str::to_owned);
    Ok(WrittenTest { kind, name, severity, filter, pointer: pointer.to_owned() })
}

/// A YAML value as a SQL literal.
fn literal(value: &Value, quote: bool) -> Option<String> {
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return None,
    };
    if quote {
        return Some(format!("'{}'", text.replace('\\', "\\\\").replace('\'', "''")));
    }
    let number = text.parse::<f64>().is_ok_and(f64::is_finite) && !text.contains(char::is_whitespace);
    (number || text == "true" || text == "false").then_some(text)
}

/// `ref('model')` or `source('staging', 'table')`, as dbt writes it in YAML.
fn reference(text: &str) -> Option<Relation> {
    let (function, inside) = text.trim().strip_suffix(')')?.split_once('(')?;
    let mut names = inside.split(',').map(|name| name.trim().trim_matches(['\'', '"']).to_owned());
    let (first, second, more) = (names.next()?, names.next(), names.next());
    match (function.trim(), second, more) {
        ("ref", None, None) if is_name(&first) => Some(Relation::Model(first)),
        ("source", Some(table), None) if is_name(&first) && is_name(&table) => Some(Relation::Source { schema: first, table }),
        _ => None,
    }
}

fn object<'a>(document: &Document, pointer: &str, value: &'a Value, known: &[&str]) -> Result<&'a Map<String, Value>> {
    let map = value.as_object().ok_or_else(|| document.error(pointer, "this is not a mapping of names to values"))?;
    match map.keys().find(|key| !known.contains(&key.as_str())) {
        Some(key) => {
            let error = document.error(&format!("{pointer}/{}", escape(key)), format!("there is no `{key}` here"));
            Err(with_near(error, key, known))
        }
        None => Ok(map),
    }
}

fn text(document: &Document, pointer: &str, map: &Map<String, Value>, key: &str) -> Result<Option<String>> {
    match map.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.trim().to_owned())),
        Some(_) => Err(document.error(&format!("{pointer}/{key}"), format!("`{key}` is text"))),
    }
}

/// One name or a list of them.
fn texts(document: &Document, pointer: &str, value: &Value) -> Result<Vec<String>> {
    let list = match value {
        Value::String(one) => vec![one.clone()],
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    };
    if list.is_empty() || !list.iter().all(|name| is_name(name)) {
        return Err(document.error(pointer, "this is a column name, or a list of them"));
    }
    Ok(list)
}

fn with_near(error: Error, wanted: &str, known: &[&str]) -> Error {
    match nearest(wanted, known.iter().copied()) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("there are: {}", known.join(", "))),
    }
}
