//! The standard's side of a contract: whether it conforms to ODCS v3.1, and its `customProperties`.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use serde_json::Value;

use crate::{
    error::{Error, Result, nearest},
    project::{Document, escape, yaml::with_near},
};

const ODCS_SCHEMA: &str = include_str!("odcs-v3.1.0.schema.json");

static ODCS: LazyLock<Result<jsonschema::Validator, String>> = LazyLock::new(|| {
    let schema: Value = serde_json::from_str(ODCS_SCHEMA).map_err(|e| e.to_string())?;
    jsonschema::validator_for(&schema).map_err(|e| e.to_string())
});

/// The names of all properties that the standard knows, wherever they may stand.
static ODCS_PROPERTIES: LazyLock<BTreeSet<String>> = LazyLock::new(|| {
    fn gather(part: &Value, names: &mut BTreeSet<String>) {
        match part {
            Value::Object(fields) => {
                if let Some(Value::Object(properties)) = fields.get("properties") {
                    names.extend(properties.keys().cloned());
                }
                fields.values().for_each(|field| gather(field, names));
            }
            Value::Array(items) => items.iter().for_each(|item| gather(item, names)),
            _ => {}
        }
    }
    let mut names = BTreeSet::new();
    gather(&serde_json::from_str(ODCS_SCHEMA).unwrap_or_default(), &mut names);
    names
});

/// Checks the document against the published ODCS schema.
pub(super) fn conforms(document: &Document) -> Result<()> {
    let validator = ODCS.as_ref().map_err(|e| Error::bug(format!("the ODCS schema does not compile: {e}")))?;
    Error::all(validator.iter_errors(&document.value).map(|violation| {
        use jsonschema::error::ValidationErrorKind as Violation;
        let mut pointer = violation.instance_path().to_string();
        let near = match violation.kind() {
            Violation::AdditionalProperties { unexpected } | Violation::UnevaluatedProperties { unexpected } => {
                unexpected.first().and_then(|name| {
                    pointer = format!("{pointer}/{}", escape(name));
                    nearest(name, ODCS_PROPERTIES.iter().map(String::as_str))
                })
            }
            Violation::Enum { options } => {
                let written = violation.instance().as_str();
                written.and_then(|written| nearest(written, options.as_array()?.iter().filter_map(Value::as_str)))
            }
            _ => None,
        };
        let error = document
            .error(&pointer, format!("`{}` is not a valid ODCS v3.1 contract: {violation}", document.file.name()));
        match near {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        }
    }))
}

/// Where one of the `customProperties` below `pointer` is, or would be.
pub(super) fn custom_property(document: &Document, pointer: &str, name: &str) -> String {
    let all = format!("{pointer}/customProperties");
    let list = document.value.pointer(&all).and_then(Value::as_array);
    match list.and_then(|list| list.iter().position(|item| item["property"] == name)) {
        Some(index) => format!("{all}/{index}/value"),
        None => all,
    }
}

/// The `customProperties` below `pointer`, as one typed value.
pub(super) fn custom_properties<T: serde::de::DeserializeOwned>(document: &Document, pointer: &str) -> Result<T> {
    let list = document.value.pointer(&format!("{pointer}/customProperties")).and_then(Value::as_array);
    let mut map = serde_json::Map::new();
    let mut places = BTreeMap::new();
    for (index, item) in list.into_iter().flatten().enumerate() {
        if let (Some(property), Some(value)) = (item["property"].as_str(), item.get("value")) {
            places.insert(property.to_owned(), format!("{pointer}/customProperties/{index}"));
            map.insert(property.to_owned(), value.clone());
        }
    }
    serde_path_to_error::deserialize(Value::Object(map)).map_err(|e| {
        let text = e.inner().to_string();
        let named = e.path().to_string();
        let property = text
            .strip_prefix("unknown field `")
            .and_then(|rest| rest.split('`').next())
            .or_else(|| named.split(['.', '[']).next())
            .unwrap_or_default();
        let place = places.get(property).cloned().unwrap_or_else(|| format!("{pointer}/customProperties"));
        with_near(document.error(&place, format!("customProperties of `{}`: {text}", document.file.name())), &text)
    })
}
