//! Who reads whom: every model after those it reads.

use std::collections::{BTreeMap, BTreeSet};

use super::{Model, Relation};
use crate::error::{Error, Result};

/// # Errors
/// `Input` with the models of a cycle, in order.
pub(super) fn topological(models: Vec<Model>) -> Result<Vec<Model>> {
    let mut waiting: BTreeMap<String, Model> = models.into_iter().map(|model| (model.name.clone(), model)).collect();
    let mut ordered: Vec<Model> = Vec::with_capacity(waiting.len());
    while !waiting.is_empty() {
        let ready: Vec<String> = waiting
            .values()
            .filter(|model| upstream(model).all(|name| !waiting.contains_key(name)))
            .map(|model| model.name.clone())
            .collect();
        if ready.is_empty() {
            return Err(cycle(&waiting));
        }
        ordered.extend(ready.iter().filter_map(|name| waiting.remove(name)));
    }
    Ok(ordered)
}

fn upstream(model: &Model) -> impl Iterator<Item = &String> {
    model.inputs.iter().filter_map(|input| match input {
        Relation::Model(name) => Some(name),
        Relation::Source { .. } => None,
    })
}

/// Among models that all wait for one of each other there is a cycle: walk until one comes again.
fn cycle(waiting: &BTreeMap<String, Model>) -> Error {
    let mut path: Vec<&Model> = waiting.values().take(1).collect();
    let mut seen = BTreeSet::new();
    while let Some(last) = path.last() {
        if !seen.insert(last.name.as_str()) {
            break;
        }
        match upstream(last).find_map(|name| waiting.get(name)) {
            Some(next) => path.push(next),
            None => break,
        }
    }
    let again = path.last().map(|model| model.name.as_str()).unwrap_or_default();
    let names: Vec<&str> = path.iter().map(|model| model.name.as_str()).skip_while(|name| *name != again).collect();
    let built = Error::input(format!("models read each other in a circle: {}", names.join(" → ")));
    match path.last() {
        Some(model) => built.at(model.sql.file(), 0..0).hint("take one of these `ref`s away"),
        None => built,
    }
}
