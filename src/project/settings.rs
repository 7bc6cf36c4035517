//! `smelt.yml`: where the lake is, how much memory a run may take, how long snapshots are kept.

use std::collections::BTreeMap;

use serde::Deserialize;

/// The file as written. Unknown keys are errors.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The project's name; also the database name on the wire.
    pub name: String,
    /// The target that is used when `--target` names none.
    #[serde(default = "default_target")]
    pub target: String,
    pub targets: BTreeMap<String, Target>,
    #[serde(default)]
    pub zones: Zones,
    /// What a run's operators may hold in memory before they spill.
    #[serde(default = "default_memory")]
    pub memory_limit: Bytes,
    /// Worker threads; 0 is one a core.
    #[serde(default)]
    pub threads: usize,
    #[serde(default)]
    pub retention: Retention,
    #[serde(default)]
    pub serve: Serve,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Target {
    /// A folder (relative to the project) or an object-store URL such as `s3://bucket/prefix`.
    pub lake: String,
}

/// The folders of the three zones inside the lake.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Zones {
    pub raw: String,
    pub staging: String,
    pub gold: String,
}

impl Default for Zones {
    fn default() -> Self {
        Self { raw: "raw".into(), staging: "staging".into(), gold: "gold".into() }
    }
}

/// Which snapshots `smelt gc` keeps: every one that either rule protects.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Retention {
    /// The newest so many snapshots are kept.
    pub snapshots: u64,
    /// Snapshots younger than so many days are kept.
    pub days: u64,
    /// Whether a run that published collects garbage when it is done.
    pub after_run: bool,
}

impl Default for Retention {
    fn default() -> Self {
        Self { snapshots: 10, days: 7, after_run: true }
    }
}

/// The wire server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Serve {
    pub host: String,
    pub port: u16,
    pub user: String,
    /// Longest time one statement may take, in seconds; 0 is no limit.
    pub statement_timeout_secs: u64,
    pub max_connections: usize,
    pub memory_limit: Bytes,
}

impl Default for Serve {
    fn default() -> Self {
        Self {
            host: "127.0.0.1".into(),
            port: 5439,
            user: "smelt".into(),
            statement_timeout_secs: 300,
            max_connections: 50,
            memory_limit: default_memory(),
        }
    }
}

/// A size in bytes, written as a number or as text such as `2GiB` or `512MB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bytes(pub usize);

impl<'de> Deserialize<'de> for Bytes {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Number(u64),
            Text(String),
        }
        let written = match Written::deserialize(deserializer)? {
            Written::Number(number) => number.to_string(),
            Written::Text(text) => text,
        };
        written.parse().map_err(serde::de::Error::custom)
    }
}

impl std::str::FromStr for Bytes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let text = text.trim();
        let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
        let factor: u64 = match text[digits..].trim().to_ascii_lowercase().as_str() {
            "" | "b" => 1,
            "kb" => 1000,
            "mb" => 1000_u64.pow(2),
            "gb" => 1000_u64.pow(3),
            "kib" | "k" => 1 << 10,
            "mib" | "m" => 1 << 20,
            "gib" | "g" => 1 << 30,
            _ => return Err(format!("`{text}` is not a size: write it like `2GiB` or `512MB`")),
        };
        text[..digits]
            .parse::<u64>()
            .ok()
            .and_then(|number| number.checked_mul(factor))
            .and_then(|bytes| usize::try_from(bytes).ok())
            .map(Bytes)
            .ok_or_else(|| format!("`{text}` is not a size: write it like `2GiB` or `512MB`"))
    }
}

fn default_target() -> String {
    "dev".into()
}

fn default_memory() -> Bytes {
    Bytes(2 << 30)
}
