//! Jinja: from a model's file to its SQL, every character traceable to the file.
//!
//! Before rendering, the template gets a mark at the start of each stretch of plain text and
//! before each tag; the marks come out among the rendered text, wherever loops and conditions have
//! put it, and are taken out again. What stands between two marks was copied from the one place or
//! made by the tag at the other.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use minijinja::{
    Environment, ErrorKind, UndefinedBehavior, Value,
    value::{Kwargs, Rest, ValueKind},
};

use super::{Relation, is_name};
use crate::{
    engine::{GOLD, Origin, Piece, STAGING, SqlText},
    error::{Error, Result, SourceFile, nearest},
    project::Severity,
};

pub(super) type Variables = BTreeMap<String, serde_json::Value>;

/// What rendering a file gave.
#[derive(Debug)]
pub(super) struct Rendered {
    pub(super) sql: SqlText,
    /// What `ref` and `source` named.
    pub(super) relations: Vec<Relation>,
    pub(super) config: Config,
}

/// What `config(...)` said.
#[derive(Debug, Default, Clone)]
pub(super) struct Config {
    pub(super) sort_key: Vec<String>,
    pub(super) severity: Option<Severity>,
}

/// Marks: a copied stretch or a tag, the digits of its place, the end. No one writes these
/// characters: Unicode keeps them for private use.
const COPIED: char = '\u{E0F0}';
const MADE: char = '\u{E0F1}';
const END: char = '\u{E0F2}';

/// # Errors
/// `Input`, pointing at the tag that is wrong.
pub(super) fn render(file: &SourceFile, variables: &Variables) -> Result<Rendered> {
    if let Some(at) = file.text().find([COPIED, MADE, END]) {
        return Err(Error::input(format!("`{}` has a private-use character", file.name())).at(file, at..at + 1));
    }
    let marked = Marked::new(file.text());
    let recorded = Arc::new(Mutex::new((Vec::new(), Config::default())));
    let environment = environment(variables, &recorded);
    let text = environment
        .template_from_named_str(file.name(), &marked.text)
        .and_then(|template| template.render(()))
        .map_err(|e| failure(file, &marked, &e))?;
    let sql = unmark(file, &text)
        .ok_or_else(|| Error::input(format!("`{}` uses a filter on a block of SQL", file.name())))?;
    let (relations, config) = recorded.lock().unwrap_or_else(PoisonError::into_inner).clone();
    Ok(Rendered { sql, relations, config })
}

fn environment(variables: &Variables, recorded: &Arc<Mutex<(Vec<Relation>, Config)>>) -> Environment<'static> {
    let mut environment = Environment::new();
    environment.set_undefined_behavior(UndefinedBehavior::Strict);
    environment.set_auto_escape_callback(|_| minijinja::AutoEscape::None);

    let record = Arc::clone(recorded);
    let relation = move |relation: Relation| {
        let text = relation.to_string();
        record.lock().unwrap_or_else(PoisonError::into_inner).0.push(relation);
        text
    };
    let record = relation.clone();
    environment.add_function("ref", move |name: String| {
        if is_name(&name) { Ok(record(Relation::Model(name))) } else { Err(wrong(format!("`{name}` is not a model's name"))) }
    });
    environment.add_function("source", move |schema: String, table: String| {
        if schema != STAGING {
            return Err(wrong(format!("there is no source `{schema}`: the cleaned tables are in `{STAGING}`")));
        }
        if is_name(&table) {
            Ok(relation(Relation::Source { schema, table }))
        } else {
            Err(wrong(format!("`{table}` is not a table's name")))
        }
    });
    let record = Arc::clone(recorded);
    environment.add_function("config", move |given: Kwargs| {
        configure(&given, &mut record.lock().unwrap_or_else(PoisonError::into_inner).1)?;
        Ok(String::new())
    });
    let known: BTreeMap<String, Value> = variables.iter().map(|(name, value)| (name.clone(), convert(value))).collect();
    environment.add_function("var", move |name: String, default: Rest<Value>| match known.get(&name) {
        Some(value) => Ok(value.clone()),
        None => default.first().cloned().ok_or_else(|| {
            let near = nearest(&name, known.keys().map(String::as_str));
            let hint = near.map_or_else(|| "add it to `vars` in dbt_project.yml".into(), |near| format!("did you mean `{near}`?"));
            wrong(format!("there is no variable `{name}`: {hint}"))
        }),
    });
    environment.add_function("is_incremental", || -> Result<bool, minijinja::Error> {
        Err(wrong("models say the whole truth; what changed is found out by smelt, so there is no is_incremental()".into()))
    });
    environment
}

fn configure(given: &Kwargs, config: &mut Config) -> Result<(), minijinja::Error> {
    const KNOWN: [&str; 8] = ["sort_key", "sort", "severity", "materialized", "tags", "dist", "sort_type", "description"];
    for name in given.args() {
        if !KNOWN.contains(&name) {
            let hint = nearest(name, KNOWN).map_or_else(String::new, |near| format!(": did you mean `{near}`?"));
            return Err(wrong(format!("config has no `{name}`{hint}")));
        }
        let value: Value = given.get(name)?;
        match name {
            "sort_key" | "sort" => {
                config.sort_key = match value.kind() {
                    ValueKind::String => vec![value.to_string()],
                    _ => value.try_iter()?.map(|column| column.to_string()).collect(),
                };
            }
            "severity" => config.severity = Some(severity(&value.to_string()).map_err(wrong)?),
            "materialized" if value.as_str() != Some("table") => {
                return Err(wrong(format!("models are tables, not `{value}`: leave `materialized` out")));
            }
            _ => {}
        }
    }
    Ok(())
}

pub(super) fn severity(text: &str) -> Result<Severity, String> {
    match text.to_ascii_lowercase().as_str() {
        "warn" => Ok(Severity::Warn),
        "error" => Ok(Severity::Error),
        _ => Err(format!("severity is `warn` or `error`, not `{text}`")),
    }
}

fn wrong(message: String) -> minijinja::Error {
    minijinja::Error::new(ErrorKind::InvalidOperation, message)
}

fn convert(value: &serde_json::Value) -> Value {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::from(()),
        Json::Bool(flag) => Value::from(*flag),
        Json::Number(number) => match (number.as_i64(), number.as_f64()) {
            (Some(whole), _) => Value::from(whole),
            (None, Some(fraction)) => Value::from(fraction),
            (None, None) => Value::from(number.to_string()),
        },
        Json::String(text) => Value::from(text.as_str()),
        Json::Array(items) => items.iter().map(convert).collect(),
        Json::Object(entries) => entries.iter().map(|(name, value)| (name.clone(), convert(value))).collect::<BTreeMap<_, _>>().into(),
    }
}

fn failure(file: &SourceFile, marked: &Marked, error: &minijinja::Error) -> Error {
    let message = error.detail().map_or_else(|| error.kind().to_string(), str::to_owned);
    let built = Error::input(format!("`{}`: {message}", file.name()));
    let built = match (error.range(), error.line()) {
        (Some(range), _) => {
            let start = marked.original(range.start);
            built.at(file, start..marked.original(range.end.saturating_sub(1)).max(start) + 1)
        }
        (None, Some(line)) => {
            let start = file.offset(line, 1);
            built.at(file, start..start + 1)
        }
        (None, None) => built,
    };
    match error.kind() {
        ErrorKind::UnknownFunction => built.hint("models know `ref`, `source`, `config` and `var`"),
        ErrorKind::UndefinedError => built.hint("variables of dbt_project.yml are read with `var('name')`"),
        _ => built,
    }
}

/// A template with marks.
struct Marked {
    text: String,
    /// (offset in the marked text, offset in the file) of every stretch.
    places: Vec<(usize, usize)>,
}

impl Marked {
    fn new(source: &str) -> Self {
        let mut marked = Self { text: String::with_capacity(source.len() * 2), places: Vec::new() };
        let mut at = 0;
        while at < source.len() {
            let tag = ["{{", "{%", "{#"].iter().filter_map(|open| source[at..].find(open)).min().map(|offset| at + offset);
            let Some(start) = tag else {
                marked.copy(source, at..source.len());
                break;
            };
            marked.copy(source, at..start);
            at = marked.tag(source, start);
            if is_raw(&source[start..at]) {
                // Until the end of a raw block nothing is a tag.
                let end = end_of_raw(source, at);
                marked.copy(source, at..end);
                if end < source.len() {
                    at = marked.tag(source, end);
                } else {
                    at = end;
                }
            }
        }
        marked
    }

    fn copy(&mut self, source: &str, range: std::ops::Range<usize>) {
        if !range.is_empty() {
            self.text.push_str(&format!("{COPIED}{}{END}", range.start));
            self.push(source, range);
        }
    }

    fn tag(&mut self, source: &str, start: usize) -> usize {
        let end = end_of_tag(source, start);
        self.text.push_str(&format!("{MADE}{start}:{end}{END}"));
        self.push(source, start..end);
        end
    }

    fn push(&mut self, source: &str, range: std::ops::Range<usize>) {
        self.places.push((self.text.len(), range.start));
        self.text.push_str(&source[range]);
    }

    fn original(&self, at: usize) -> usize {
        let after = self.places.partition_point(|(marked, _)| *marked <= at);
        after.checked_sub(1).map_or(0, |index| self.places[index].1 + (at - self.places[index].0))
    }
}

fn is_raw(tag: &str) -> bool {
    tag.trim_start_matches(['{', '%', '-', '+']).trim_start().starts_with("raw")
        && tag.starts_with("{%")
}

/// Where the tag that ends a raw block starts.
fn end_of_raw(source: &str, from: usize) -> usize {
    let mut at = from;
    while let Some(offset) = source[at..].find("{%") {
        let start = at + offset;
        if source[start + 2..].trim_start_matches(['-', '+']).trim_start().starts_with("endraw") {
            return start;
        }
        at = start + 2;
    }
    source.len()
}

/// The end of the tag that starts at `start`; the end of the text if it is not closed.
fn end_of_tag(source: &str, start: usize) -> usize {
    let close = match &source[start..start + 2] {
        "{{" => "}}",
        "{%" => "%}",
        _ => return source[start..].find("#}").map_or(source.len(), |offset| start + offset + 2),
    };
    let mut quote = None;
    let mut characters = source[start + 2..].char_indices();
    while let Some((offset, character)) = characters.next() {
        match quote {
            Some(_) if character == '\\' => {
                characters.next();
            }
            Some(open) if character == open => quote = None,
            Some(_) => {}
            None if character == '\'' || character == '"' => quote = Some(character),
            None if source[start + 2 + offset..].starts_with(close) => return start + 2 + offset + 2,
            None => {}
        }
    }
    source.len()
}

/// Takes the marks out again; `None` when something has changed them on the way.
fn unmark(file: &SourceFile, marked: &str) -> Option<SqlText> {
    let mut text = String::with_capacity(marked.len());
    let mut pieces = Vec::new();
    let mut rest = marked;
    while let Some(at) = rest.find([COPIED, MADE]) {
        text.push_str(&rest[..at]);
        let kind = rest[at..].chars().next()?;
        let (place, after) = rest[at + kind.len_utf8()..].split_once(END)?;
        let origin = if kind == COPIED {
            Origin::Copied(place.parse().ok()?)
        } else {
            let (start, end) = place.split_once(':')?;
            Origin::Made(start.parse().ok()?..end.parse().ok()?)
        };
        pieces.push(Piece { at: text.len(), origin });
        rest = after;
    }
    text.push_str(rest);
    (!text.contains([COPIED, MADE, END])).then(|| SqlText::mapped(text, file.clone(), pieces))
}

impl std::fmt::Display for Relation {
    /// As SQL names it.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Source { schema, table } => write!(f, "{schema}.{table}"),
            Self::Model(name) => write!(f, "{GOLD}.{name}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(text: &str) -> Result<Rendered> {
        let variables = Variables::from([("days".to_owned(), serde_json::json!(7))]);
        render(&SourceFile::new("models/m.sql", text), &variables)
    }

    #[test]
    fn refs_sources_variables_and_config_are_recorded() {
        let found = rendered(
            "{{ config(sort_key=['a', 'b'], severity='WARN') }}\nselect {{ var('days') }}, {{ var('x', 3) }} from {{ ref('orders') }}, {{ source('staging', 'items') }}",
        )
        .unwrap();
        assert_eq!(found.sql.text(), "\nselect 7, 3 from gold.orders, staging.items");
        assert_eq!(found.config.sort_key, ["a", "b"]);
        assert_eq!(found.config.severity, Some(Severity::Warn));
        assert_eq!(found.relations.len(), 2);
    }

    #[test]
    fn every_place_survives_loops_comments_raw_blocks_and_tags_over_several_lines() {
        let text = "{# a\ncomment #}{% for x in [1, 2] -%}\n  {{ x }} as here,\n{% endfor %}{% raw %}{{ raw }}{% endraw %}\nselect there";
        let found = rendered(text).unwrap();
        let sql = found.sql.text();
        for word in ["here", "there", "raw"] {
            for (at, _) in sql.match_indices(word) {
                let range = found.sql.span(at..at + word.len());
                let last = text.match_indices(word).filter(|(start, _)| *start == range.start).count();
                assert_eq!((&text[range], last), (word, 1), "{sql}");
            }
        }
        assert_eq!(sql.matches("here,").count(), 2);
        assert_eq!(&text[found.sql.span(sql.find('1').map(|at| at..at + 1).unwrap())], "{{ x }}");
    }

    #[test]
    fn mistakes_point_at_their_tag() {
        for (text, line, message) in [
            ("select 1\nfrom {{ rfe('x') }}", 2, "rfe"),
            ("select 1\n\nfrom {{ source('raw', 'x') }}", 3, "no source `raw`"),
            ("select {{ var('dais') }}", 1, "did you mean `days`?"),
            ("select 1\n{% if is_incremental() %}{% endif %}", 2, "whole truth"),
            ("select\n{{ config(sort_keys='a') }}", 2, "did you mean `sort_key`?"),
            ("select\n{{ config(materialized='view') }}", 2, "models are tables"),
            ("select {{ days }}", 1, "undefined"),
            ("select 1\nfrom {{ ref('a; drop') }}", 2, "not a model's name"),
            ("select 1\n from {{ ref('x') ", 2, "unexpected"),
        ] {
            let error = rendered(text).expect_err(text);
            assert!(error.message().contains(message), "{text}: {error}");
            assert_eq!(error.place().map(|(_, line, _)| line), Some(line), "{text}");
        }
    }
}
