//! YAML files with the place of every value, so that each complaint can point at its line.
//!
//! A file becomes a JSON value (which serde and JSON Schema understand) and a map from JSON
//! pointer to byte span. Anchors and merge keys are not needed by any of our formats; a repeated
//! key is an error.

use std::{collections::HashMap, ops::Range, path::Path};

use saphyr::{LoadableYamlNode, MarkedYaml, Scalar, YamlData};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use crate::error::{self, Error, Result, SourceFile, nearest};

/// One parsed YAML file.
#[derive(Debug, Clone)]
pub struct Document {
    pub file: SourceFile,
    pub value: Value,
    spans: HashMap<String, Range<usize>>,
}

impl Document {
    /// Reads and parses `path`; `name` is how diagnostics call it.
    pub fn read(path: &Path, name: &str) -> Result<Self> {
        let bytes = std::fs::read(path).map_err(|e| error::io("read", path, e))?;
        let text = String::from_utf8(bytes)
            .map_err(|e| Error::input(format!("`{name}` is not UTF-8 text")).cause(e.utf8_error()))?;
        Self::parse(SourceFile::new(name, text))
    }

    pub fn parse(file: SourceFile) -> Result<Self> {
        let byte_of: Vec<usize> =
            file.text().char_indices().map(|(offset, _)| offset).chain([file.text().len()]).collect();
        let byte = |index: usize| byte_of[index.min(byte_of.len() - 1)];
        let documents = MarkedYaml::load_from_str(file.text()).map_err(|e| {
            let at = byte(e.marker().index());
            Error::input(format!("`{}` is not valid YAML: {}", file.name(), e.info()))
                .at(&file, at..at + 1)
                .label("here")
        })?;
        let mut spans = HashMap::new();
        let value = match documents.as_slice() {
            [] => Value::Object(Map::new()),
            [one] => convert(one, String::new(), &mut spans, &byte)
                .map_err(|(message, span)| Error::input(format!("`{}`: {message}", file.name())).at(&file, span))?,
            [_, second, ..] => {
                let at = byte(second.span.start.index());
                return Err(Error::input(format!("`{}` holds several YAML documents", file.name()))
                    .at(&file, at..at + 1)
                    .hint("keep one document a file"));
            }
        };
        Ok(Self { file, value, spans })
    }

    /// The span of the value at a JSON pointer, or of the nearest parent that has one.
    pub fn span(&self, pointer: &str) -> Range<usize> {
        let mut pointer = pointer;
        loop {
            if let Some(span) = self.spans.get(pointer) {
                return span.clone();
            }
            match pointer.rfind('/') {
                Some(cut) => pointer = &pointer[..cut],
                None => return 0..0,
            }
        }
    }

    /// An input error that points at the value at `pointer`.
    pub fn error(&self, pointer: &str, message: impl Into<String>) -> Error {
        Error::input(message).at(&self.file, self.span(pointer))
    }

    /// The file as a typed value; unknown fields and wrong types point at their place.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T> {
        self.decode_at("")
    }

    /// The part of the file at `pointer` as a typed value.
    pub fn decode_at<T: DeserializeOwned>(&self, pointer: &str) -> Result<T> {
        let part = self.value.pointer(pointer).unwrap_or(&Value::Null);
        serde_path_to_error::deserialize(part).map_err(|e| {
            let mut at = pointer.to_owned();
            for segment in e.path() {
                match segment {
                    serde_path_to_error::Segment::Seq { index } => at.push_str(&format!("/{index}")),
                    serde_path_to_error::Segment::Map { key } => at.push_str(&format!("/{}", escape(key))),
                    _ => {}
                }
            }
            let text = e.inner().to_string();
            with_near(self.error(&at, format!("`{}`: {text}", self.file.name())), &text)
        })
    }
}

/// Hints at the name that serde would have known, where `text` is its complaint about one it does not.
pub(super) fn with_near(error: Error, text: &str) -> Error {
    let Some(unknown) = quoted(text, "unknown field `").or_else(|| quoted(text, "unknown variant `")) else {
        return error;
    };
    let known = text.split_once("expected").map_or("", |(_, list)| list).split('`').skip(1).step_by(2);
    match nearest(unknown, known) {
        Some(name) => error.hint(format!("did you mean `{name}`?")),
        None => error,
    }
}

fn quoted<'a>(text: &'a str, before: &str) -> Option<&'a str> {
    let start = text.find(before)? + before.len();
    text[start..].split('`').next()
}

/// One segment of a JSON pointer, escaped as RFC 6901 wants it.
pub fn escape(segment: &str) -> String {
    segment.replace('~', "~0").replace('/', "~1")
}

type Bad = (String, Range<usize>);

fn convert(
    node: &MarkedYaml<'_>,
    pointer: String,
    spans: &mut HashMap<String, Range<usize>>,
    byte: &dyn Fn(usize) -> usize,
) -> Result<Value, Bad> {
    let span = byte(node.span.start.index())..byte(node.span.end.index());
    let value = match &node.data {
        YamlData::Value(scalar) => match scalar {
            Scalar::Null => Value::Null,
            Scalar::Boolean(value) => Value::Bool(*value),
            Scalar::Integer(value) => Value::from(*value),
            Scalar::FloatingPoint(value) => serde_json::Number::from_f64(value.0).map_or(Value::Null, Value::Number),
            Scalar::String(value) => Value::String(value.to_string()),
        },
        YamlData::Sequence(items) => Value::Array(
            items
                .iter()
                .enumerate()
                .map(|(index, item)| convert(item, format!("{pointer}/{index}"), spans, byte))
                .collect::<Result<_, _>>()?,
        ),
        YamlData::Mapping(entries) => {
            let mut map = Map::new();
            for (key, item) in entries {
                let name = match &key.data {
                    YamlData::Value(Scalar::String(name)) => name.to_string(),
                    YamlData::Value(Scalar::Integer(number)) => number.to_string(),
                    YamlData::Value(Scalar::Boolean(flag)) => flag.to_string(),
                    _ => {
                        let at = byte(key.span.start.index())..byte(key.span.end.index());
                        return Err(("a key must be plain text".into(), at));
                    }
                };
                let below = format!("{pointer}/{}", escape(&name));
                let value = convert(item, below.clone(), spans, byte)?;
                // A block begins below its key; what is wrong with it is told at the key.
                if item.span.start.line() > key.span.start.line()
                    && let Some(span) = spans.get_mut(&below)
                {
                    span.start = byte(key.span.start.index());
                }
                map.insert(name, value);
            }
            Value::Object(map)
        }
        YamlData::Tagged(_, inner) => convert(inner, pointer.clone(), spans, byte)?,
        YamlData::Representation(text, _, _) => Value::String(text.to_string()),
        YamlData::BadValue => return Err(("this value does not fit its tag".into(), span)),
        YamlData::Alias(_) => return Err(("aliases are not supported".into(), span)),
    };
    spans.insert(pointer, span);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Sample {
        #[expect(dead_code, reason = "only its presence matters")]
        name: String,
        #[expect(dead_code, reason = "only its presence matters")]
        count: Option<u32>,
    }

    fn failure(text: &str) -> Error {
        Document::parse(SourceFile::new("a.yml", text))
            .and_then(|document| document.decode::<Sample>())
            .expect_err("must not decode")
    }

    #[test]
    fn broken_yaml_points_at_its_line() {
        let error = failure("name: x\ncount: [1, 2\n");
        assert_eq!(error.place().map(|(file, line, _)| (file.to_owned(), line)), Some(("a.yml".into(), 3)));
    }

    #[test]
    fn unknown_fields_get_a_place_and_a_near_name() {
        let error = failure("name: x\ncuont: 3\n");
        assert_eq!(error.place().map(|(_, line, _)| line), Some(2));
        assert_eq!(error.hint_text(), Some("did you mean `count`?"));
    }

    #[test]
    fn wrong_types_and_repeated_keys_are_errors_with_a_place() {
        assert_eq!(failure("name: x\ncount: many\n").place().map(|(_, line, _)| line), Some(2));
        assert_eq!(failure("name: x\nname: y\n").place().map(|(_, line, _)| line), Some(2));
    }
}
