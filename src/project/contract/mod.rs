//! Data contracts: one ODCS v3.1 file an entity, checked against the standard's own JSON schema,
//! then read into what cleaning, quality and freshness need.
//!
//! smelt's own settings live only in `customProperties`:
//!
//! | level | property | meaning | default |
//! |---|---|---|---|
//! | schema | `nullTexts` | texts that mean NULL, compared after trimming | `''` only |
//! | schema | `version` | the column that orders the versions of a key | `updated_at` |
//! | schema | `history` | keep every version for type-2 dimensions | `false` |
//! | schema | `csv` | `{delimiter, quote}` | `,` and `"` |
//! | schema | `waitsFor` | `{column, entity}`: current rows without that row are counted as waiting | none |
//! | property | `normaliser` | how a value is cleaned | by `logicalType` |
//! | property | `aliases` | spellings of a status, from: to | none |
//! | property | `default` | the text that replaces NULL | none |

mod odcs;
mod quality;

use std::{borrow::Borrow, collections::BTreeMap, fmt, path::Path};

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha2::{Digest, Sha256};
use smelt_clean::{ColumnSpec, CsvDialect, EntitySpec, Kind};

use self::odcs::{conforms, custom_properties, custom_property};
pub use self::quality::{QualityRule, RuleCheck, Severity};
use super::{Document, escape, files_below};
use crate::error::{Error, Result, SourceFile, nearest};

/// The name of a source entity, such as `orders`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct EntityName(String);

impl EntityName {
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for EntityName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Borrow<str> for EntityName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

/// One entity's contract.
#[derive(Debug, Clone)]
pub struct Contract {
    pub entity: EntityName,
    /// The file, relative to the project.
    pub file: String,
    /// Who answers for the entity.
    pub owner: String,
    /// The cleaned table, `<entity>_cleaned` unless `physicalName` says otherwise.
    pub table: String,
    pub spec: EntitySpec,
    /// Whether every version is kept in `<table>_history` and `<table>_tombstones`.
    pub history: bool,
    pub csv: CsvDialect,
    pub freshness: Option<Freshness>,
    pub quality: Vec<QualityRule>,
    /// What current rows wait for, which the run report counts.
    pub waits_for: Option<WaitsFor>,
    /// The file's text, for complaints that come later.
    pub source: SourceFile,
    /// Changes exactly when the entity's rows might: then it is replayed from raw.
    pub fingerprint: String,
}

/// How old the newest landing of an entity may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Freshness {
    pub max_age: chrono::TimeDelta,
}

/// An entity whose rows wait for a row of another, as items do for their order.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitsFor {
    /// The column that holds the other's key.
    pub column: String,
    pub entity: String,
}

impl Contract {
    /// The names of the tables that the entity may have: cleaned, history, tombstones, quarantine.
    pub fn tables(&self) -> [String; 4] {
        let table = &self.table;
        [
            table.clone(),
            format!("{table}_history"),
            format!("{table}_tombstones"),
            format!("{}_quarantine", self.entity),
        ]
    }
}

/// Bumped when silver would make other rows from the same contract.
const SILVER_SEMANTICS: u32 = 1;

/// Reads every `*.odcs.yaml` below `folder`.
pub(super) fn load_all(folder: &Path) -> Result<BTreeMap<EntityName, Contract>> {
    let root = folder.parent().unwrap_or(folder);
    let name = folder.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let mut contracts: BTreeMap<EntityName, Contract> = BTreeMap::new();
    let mut errors = Vec::new();
    for (name, path) in files_below(root, &name, ".odcs.yaml")? {
        match Document::read(&path, &name).and_then(|document| read(&document)) {
            Ok(contract) => {
                if let Some(other) = contracts.get(&contract.entity) {
                    errors.push(Error::input(format!(
                        "`{}` and `{}` are both contracts for entity `{}`",
                        other.file, contract.file, contract.entity
                    )));
                } else if let Some((other, table)) = contracts.values().find_map(|other| {
                    Some((other, contract.tables().into_iter().find(|table| other.tables().contains(table))?))
                }) {
                    errors.push(
                        Error::input(format!(
                            "`{}` and `{}` would both write table `{table}`",
                            other.file, contract.file
                        ))
                        .hint("give one of them another `physicalName`"),
                    );
                }
                contracts.insert(contract.entity.clone(), contract);
            }
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors)?;
    Ok(contracts)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    team: Option<Team>,
    #[serde(default)]
    schema: Vec<WrittenObject>,
    #[serde(default)]
    sla_properties: Vec<Sla>,
}

#[derive(Deserialize)]
struct Team {
    #[serde(default)]
    members: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    username: String,
    role: Option<String>,
}

#[derive(Deserialize)]
struct Sla {
    property: String,
    value: Value,
    unit: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenObject {
    name: String,
    physical_name: Option<String>,
    #[serde(default)]
    properties: Vec<WrittenColumn>,
    #[serde(default)]
    quality: Vec<quality::Written>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenColumn {
    name: String,
    logical_type: Option<String>,
    physical_type: Option<String>,
    #[serde(default)]
    required: bool,
    #[serde(default)]
    unique: bool,
    #[serde(default)]
    primary_key: bool,
    #[serde(default = "last")]
    primary_key_position: i64,
    #[serde(default)]
    quality: Vec<quality::Written>,
    #[serde(default)]
    logical_type_options: serde_json::Map<String, Value>,
}

fn last() -> i64 {
    i64::MAX
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ObjectSettings {
    #[serde(default = "empty_text")]
    null_texts: Vec<String>,
    version: Option<String>,
    #[serde(default)]
    history: bool,
    csv: Option<CsvSettings>,
    waits_for: Option<WaitsFor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CsvSettings {
    #[serde(default = "comma")]
    delimiter: char,
    #[serde(default = "quote")]
    quote: char,
}

fn empty_text() -> Vec<String> {
    vec![String::new()]
}

fn comma() -> char {
    ','
}

fn quote() -> char {
    '"'
}

#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct ColumnSettings {
    normaliser: Option<Normaliser>,
    #[serde(default)]
    aliases: BTreeMap<String, String>,
    default: Option<Value>,
}

#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Normaliser {
    Text,
    Identifier,
    Email,
    Code,
    Status,
    Money,
    Count,
    Flag,
    Timestamp,
}

fn read(document: &Document) -> Result<Contract> {
    conforms(document)?;
    let name = document.file.name();
    let written: Written = document.decode()?;
    let owner = written
        .team
        .as_ref()
        .and_then(|team| team.members.iter().find(|member| member.role.as_deref() == Some("owner")))
        .map(|member| member.username.clone())
        .ok_or_else(|| {
            document
                .error("/team", format!("`{name}` names no owner"))
                .hint("add `team: {members: [{username: you@example.com, role: owner}]}`")
        })?;
    let [object] = written.schema.as_slice() else {
        return Err(document.error(
            "/schema",
            format!("`{name}` describes {} objects; a contract is for one entity", written.schema.len()),
        ));
    };
    let settings: ObjectSettings = custom_properties(document, "/schema/0")?;

    let mut errors = Vec::new();
    let names = [("name", Some(&object.name)), ("physicalName", object.physical_name.as_ref())];
    for (field, value) in names.into_iter().filter_map(|(field, value)| Some((field, value?))) {
        if !is_table_name(value) {
            errors.push(
                document
                    .error(
                        &format!("/schema/0/{field}"),
                        format!("`{value}` cannot be the name of a table and its folder"),
                    )
                    .hint("use lower case letters, digits, `_` and `-`, and begin with a letter"),
            );
        }
    }
    let mut columns = Vec::new();
    let mut keys = Vec::new();
    let mut quality = Vec::new();
    for (index, column) in object.properties.iter().enumerate() {
        let pointer = format!("/schema/0/properties/{index}");
        let same = |known: &&ColumnSpec| known.name.to_lowercase() == column.name.to_lowercase();
        if let Some(known) = columns.iter().find(same) {
            let message = if known.name == column.name {
                format!("`{name}` has column `{}` twice", column.name)
            } else {
                format!("columns `{}` and `{}` differ in case alone", known.name, column.name)
            };
            errors.push(document.error(&pointer, message));
        }
        if column.name.starts_with('_') {
            errors.push(
                document
                    .error(&format!("{pointer}/name"), format!("column `{}` starts with `_`", column.name))
                    .hint("names that start with `_` are smelt's own (`_op` is read from every extract)"),
            );
        }
        if column.primary_key {
            keys.push((column.primary_key_position, index));
        }
        match column_spec(document, &pointer, column) {
            Ok(spec) => columns.push(spec),
            Err(error) => errors.push(error),
        }
        if column.unique {
            quality.push(QualityRule {
                name: format!("{}_is_unique", column.name),
                column: Some(column.name.clone()),
                check: RuleCheck::Duplicates { columns: vec![column.name.clone()], at_most: 0 },
                severity: Severity::Error,
                span: document.span(&format!("{pointer}/unique")),
            });
        }
        for (rule, written) in column.quality.iter().enumerate() {
            match quality::read(document, &format!("{pointer}/quality/{rule}"), Some(&column.name), written) {
                Ok(rule) => quality.extend(rule),
                Err(error) => errors.push(error),
            }
        }
    }
    for (rule, written) in object.quality.iter().enumerate() {
        match quality::read(document, &format!("/schema/0/quality/{rule}"), None, written) {
            Ok(rule) => quality.extend(rule),
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors)?;

    keys.sort_unstable();
    let key: Vec<usize> = keys.into_iter().map(|(_, index)| index).collect();
    if key.is_empty() {
        return Err(document
            .error("/schema/0/properties", format!("`{name}` has no primary key"))
            .hint("mark the business key's columns with `primaryKey: true`"));
    }
    let position = |wanted: &str, pointer: &str| {
        columns.iter().position(|column| column.name == wanted).ok_or_else(|| {
            let error = document.error(pointer, format!("`{name}` has no column `{wanted}`"));
            match nearest(wanted, columns.iter().map(|column| column.name.as_str())) {
                Some(near) => error.hint(format!("did you mean `{near}`?")),
                None => error,
            }
        })
    };
    let version = position(
        settings.version.as_deref().unwrap_or("updated_at"),
        &custom_property(document, "/schema/0", "version"),
    )
    .map_err(|error| match settings.version {
        None => error.hint("name the timestamp that orders the versions of a key: `{property: version, value: ...}` in the schema's customProperties"),
        Some(_) => error,
    })?;
    if columns[version].kind != Kind::Timestamp {
        return Err(document.error(
            &format!("/schema/0/properties/{version}"),
            format!("column `{}` orders the versions of a key, so it must be a timestamp", columns[version].name),
        ));
    }
    if key.contains(&version) {
        return Err(document.error(
            &format!("/schema/0/properties/{version}"),
            format!("column `{}` orders the versions of a key, so it cannot be part of it", columns[version].name),
        ));
    }
    for &index in key.iter().chain([&version]) {
        columns[index].required = true;
    }
    let mut csv = CsvDialect::default();
    if let Some(written) = settings.csv {
        for (character, byte) in [(written.delimiter, &mut csv.delimiter), (written.quote, &mut csv.quote)] {
            *byte = u8::try_from(character).ok().filter(u8::is_ascii).ok_or_else(|| {
                document.error("/schema/0/customProperties", format!("`{character}` is not an ASCII character"))
            })?;
        }
    }
    let spec = EntitySpec { columns, key, version, null_texts: settings.null_texts };
    spec.validate().map_err(|e| document.error("/schema/0", format!("`{name}`: {e}")))?;
    let freshness = freshness(document, &written.sla_properties)?;
    let table = object.physical_name.clone().unwrap_or_else(|| format!("{}_cleaned", object.name));
    let fingerprint = fingerprint(&table, &spec, settings.history, csv);
    let contract = Contract {
        entity: EntityName(object.name.clone()),
        file: name.to_owned(),
        owner,
        table,
        spec,
        history: settings.history,
        csv,
        freshness,
        quality,
        waits_for: settings.waits_for,
        source: document.file.clone(),
        fingerprint,
    };
    let tables = contract.tables();
    if let Some(table) = tables.iter().enumerate().find_map(|(at, table)| tables[..at].contains(table).then_some(table))
    {
        return Err(document
            .error("/schema/0/physicalName", format!("`{name}` would write table `{table}` twice"))
            .hint("give it another `physicalName`"));
    }
    Ok(contract)
}

/// Whether it is spelled the same in SQL, in a URL and on every disk.
fn is_table_name(name: &str) -> bool {
    name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.chars().all(|each| each.is_ascii_lowercase() || each.is_ascii_digit() || matches!(each, '_' | '-'))
}

fn column_spec(document: &Document, pointer: &str, column: &WrittenColumn) -> Result<ColumnSpec> {
    let settings: ColumnSettings = custom_properties(document, pointer)?;
    let normaliser = match (settings.normaliser, column.logical_type.as_deref()) {
        (Some(normaliser), _) => normaliser,
        (None, Some("string")) => Normaliser::Text,
        (None, Some("number")) => Normaliser::Money,
        (None, Some("integer")) => Normaliser::Count,
        (None, Some("boolean")) => Normaliser::Flag,
        (None, Some("timestamp" | "date")) => Normaliser::Timestamp,
        (None, other) => {
            return Err(document
                .error(pointer, format!("column `{}` has no type that smelt can clean: {}", column.name, other.unwrap_or("none")))
                .hint("give `logicalType` as string, number, integer, boolean or timestamp, or a `normaliser` in customProperties"));
        }
    };
    if normaliser != Normaliser::Status && !settings.aliases.is_empty() {
        return Err(
            document.error(pointer, format!("column `{}` has aliases, which only a `status` can have", column.name))
        );
    }
    let kind = match normaliser {
        Normaliser::Text => Kind::Text,
        Normaliser::Identifier => Kind::Identifier,
        Normaliser::Email => Kind::Email,
        Normaliser::Code => Kind::Code,
        Normaliser::Status => Kind::Status { aliases: settings.aliases.into_iter().collect() },
        Normaliser::Money => {
            let (precision, scale) = decimal(column.physical_type.as_deref()).ok_or_else(|| {
                document
                    .error(
                        &format!("{pointer}/physicalType"),
                        format!("money column `{}` needs its precision and scale", column.name),
                    )
                    .hint("write `physicalType: DECIMAL(18,2)`")
            })?;
            Kind::Money { precision, scale }
        }
        Normaliser::Count => Kind::Count,
        Normaliser::Flag => Kind::Flag,
        Normaliser::Timestamp => Kind::Timestamp,
    };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut spec = ColumnSpec {
        name: column.name.clone(),
        kind,
        required: column.required,
        default: settings.default.as_ref().map(text),
        minimum: None,
        maximum: None,
    };
    for (option, value) in &column.logical_type_options {
        match option.as_str() {
            "minimum" => spec.minimum = Some(text(value)),
            "maximum" => spec.maximum = Some(text(value)),
            other => {
                return Err(document
                    .error(
                        &format!("{pointer}/logicalTypeOptions/{}", escape(other)),
                        format!("logicalTypeOptions `{other}` is not enforced by smelt"),
                    )
                    .hint("use `minimum` or `maximum`, or a quality rule"));
            }
        }
    }
    Ok(spec)
}

/// `DECIMAL(p,s)` or `NUMERIC(p,s)`.
fn decimal(physical: Option<&str>) -> Option<(u8, i8)> {
    let text = physical?.trim().to_ascii_lowercase();
    let inside = text.strip_prefix("decimal").or_else(|| text.strip_prefix("numeric"))?;
    let (precision, scale) = inside.trim().strip_prefix('(')?.strip_suffix(')')?.split_once(',')?;
    let (precision, scale) = (precision.trim().parse().ok()?, scale.trim().parse().ok()?);
    (1..=38).contains(&precision).then_some(())?;
    (0..=i8::try_from(precision).ok()?).contains(&scale).then_some((precision, scale))
}

fn freshness(document: &Document, slas: &[Sla]) -> Result<Option<Freshness>> {
    let Some(index) = slas.iter().position(|sla| sla.property == "freshness") else { return Ok(None) };
    let pointer = format!("/slaProperties/{index}");
    let sla = &slas[index];
    let number = sla.value.as_f64().or_else(|| sla.value.as_str().and_then(|text| text.trim().parse().ok()));
    let seconds = match sla.unit.as_deref() {
        Some("d" | "day" | "days") => 86_400.0,
        Some("h" | "hour" | "hours") => 3_600.0,
        Some("m" | "min" | "minute" | "minutes") => 60.0,
        _ => 0.0,
    };
    match number {
        Some(number) if seconds > 0.0 && number > 0.0 && number * seconds < 3.2e9 => {
            Ok(Some(Freshness { max_age: chrono::TimeDelta::milliseconds((number * seconds * 1e3) as i64) }))
        }
        _ => Err(document
            .error(&pointer, "the freshness SLA is not a time")
            .hint("write `{property: freshness, value: 26, unit: h}` (units d, h, min)")),
    }
}

/// Covers everything that decides rows, and nothing else: no owner, description or quality rule.
fn fingerprint(table: &str, spec: &EntitySpec, history: bool, csv: CsvDialect) -> String {
    use std::fmt::Write as _;
    let mut text =
        format!("silver {SILVER_SEMANTICS}\ntable {table}\nhistory {history}\ncsv {} {}\n", csv.delimiter, csv.quote);
    let _ = writeln!(text, "key {:?} version {} nulls {:?}", spec.key, spec.version, spec.null_texts);
    for column in &spec.columns {
        let _ = writeln!(
            text,
            "column {:?} {} v{} required {} default {:?} minimum {:?} maximum {:?}",
            column.name,
            kind_text(&column.kind),
            column.kind.semantics_version(),
            column.required,
            column.default,
            column.minimum,
            column.maximum
        );
    }
    hex_sha256(text.as_bytes())
}

fn kind_text(kind: &Kind) -> String {
    match kind {
        Kind::Text => "text".into(),
        Kind::Identifier => "identifier".into(),
        Kind::Email => "email".into(),
        Kind::Code => "code".into(),
        Kind::Status { aliases } => format!("status {aliases:?}"),
        Kind::Money { precision, scale } => format!("money {precision} {scale}"),
        Kind::Count => "count".into(),
        Kind::Flag => "flag".into(),
        Kind::Timestamp => "timestamp".into(),
    }
}

/// A digest as lower-case hex.
pub(crate) fn hex_sha256(bytes: &[u8]) -> String {
    hex(&Sha256::digest(bytes))
}

/// Bytes as lower-case hex.
pub(crate) fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
