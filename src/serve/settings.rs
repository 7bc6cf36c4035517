//! The session settings drivers read and set. None of them reaches the engine.
//!
//! A setting that would change what rows look like is accepted only with the value that is true
//! anyway; one that changes nothing here is remembered and shown again.

use std::{collections::BTreeMap, time::Duration};

use crate::{error::nearest, query::SqlError, serve::DEFAULT_SCHEMA};

/// What the server says it is: a plain number, as AWS's driver reads it, and a version whose catalogue
/// `psql` and the drivers find here.
pub(super) const SERVER_VERSION: &str = "15.0";

/// Which values a setting takes.
#[derive(Clone, Copy)]
enum Takes {
    Anything,
    /// One of these, in any case.
    OneOf(&'static [&'static str]),
    /// Texts that begin so, in any case.
    Beginning(&'static str),
    Number,
    /// Milliseconds, or a number with a unit.
    Time,
    Nothing,
}

struct Setting {
    name: &'static str,
    initial: &'static str,
    takes: Takes,
    /// Clients are told of it at log-in and when it changes.
    reported: bool,
}

const fn setting(name: &'static str, initial: &'static str, takes: Takes, reported: bool) -> Setting {
    Setting { name, initial, takes, reported }
}

const ON: &[&str] = &["on", "true", "yes", "1"];
const OFF: &[&str] = &["off", "false", "no", "0"];

#[rustfmt::skip]
const KNOWN: &[Setting] = &[
    setting("server_version", SERVER_VERSION, Takes::Nothing, true),
    setting("server_version_num", "150000", Takes::Nothing, false),
    setting("server_encoding", "UTF8", Takes::Nothing, true),
    setting("client_encoding", "UTF8", Takes::OneOf(&["utf8", "utf-8", "unicode"]), true),
    setting("application_name", "", Takes::Anything, true),
    setting("DateStyle", "ISO, YMD", Takes::Beginning("iso"), true),
    setting("IntervalStyle", "postgres", Takes::OneOf(&["postgres"]), true),
    // No type that leaves the server has a zone: the setting is for the client's own use.
    setting("TimeZone", "UTC", Takes::Anything, true),
    setting("integer_datetimes", "on", Takes::Nothing, true),
    // As in Redshift, a backslash escapes inside any string.
    setting("standard_conforming_strings", "off", Takes::OneOf(OFF), true),
    setting("is_superuser", "off", Takes::Nothing, true),
    setting("session_authorization", "", Takes::Nothing, true),
    setting("default_transaction_read_only", "on", Takes::OneOf(ON), true),
    setting("in_hot_standby", "off", Takes::Nothing, true),
    setting("search_path", DEFAULT_SCHEMA, Takes::Anything, true),
    setting("transaction_read_only", "on", Takes::OneOf(ON), false),
    setting("transaction_isolation", "repeatable read", Takes::Anything, false),
    setting("default_transaction_isolation", "repeatable read", Takes::Anything, false),
    setting("statement_timeout", "0", Takes::Time, false),
    setting("lock_timeout", "0", Takes::Time, false),
    setting("idle_in_transaction_session_timeout", "0", Takes::Time, false),
    setting("extra_float_digits", "1", Takes::Number, false),
    setting("bytea_output", "hex", Takes::OneOf(&["hex"]), false),
    setting("client_min_messages", "notice", Takes::Anything, false),
    setting("row_security", "off", Takes::OneOf(OFF), false),
    setting("jit", "off", Takes::OneOf(OFF), false),
    setting("max_identifier_length", "127", Takes::Nothing, false),
    setting("query_group", "default", Takes::Anything, false),
    setting("wlm_query_slot_count", "1", Takes::Number, false),
    setting("enable_result_cache_for_session", "off", Takes::Anything, false),
    setting("enable_case_sensitive_identifier", "off", Takes::OneOf(OFF), false),
    setting("describe_field_name_in_uppercase", "off", Takes::OneOf(OFF), false),
];

fn find(name: &str) -> Option<&'static Setting> {
    KNOWN.iter().find(|setting| setting.name.eq_ignore_ascii_case(name))
}

/// One session's settings.
#[derive(Debug, Clone, Default)]
pub(super) struct Settings(BTreeMap<&'static str, String>);

/// A change a client must be told of.
pub(super) type Report = Option<(&'static str, String)>;

impl Settings {
    /// # Errors
    /// `42704` for an unknown setting, `42501` for one of the engine's, `22023` for a value it does not take.
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<Report, SqlError> {
        let setting = known(name)?;
        let fits = match setting.takes {
            Takes::Anything => true,
            Takes::OneOf(values) => values.iter().any(|known| known.eq_ignore_ascii_case(value)),
            Takes::Beginning(start) => value.get(..start.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(start)),
            Takes::Number => value.parse::<i32>().is_ok(),
            Takes::Time => duration(value).is_some(),
            Takes::Nothing => false,
        };
        if !fits {
            let state = if setting.name.ends_with("read_only") { "25006" } else { "22023" };
            let error = SqlError::new(state, format!("setting `{}` cannot be `{value}` here", setting.name));
            return Err(match setting.takes {
                Takes::OneOf(values) => error.hint(format!("it can be {}", values.join(", "))),
                Takes::Beginning(_) => error.hint(format!("it can be `{}`", setting.initial)),
                Takes::Time => error.hint("write milliseconds, or a number with ms, s, min or h"),
                Takes::Number => error.hint("write a whole number"),
                Takes::Nothing | Takes::Anything => error,
            });
        }
        let value = match setting.takes {
            // What is said back is what is true, in the server's own spelling.
            Takes::OneOf(_) => setting.initial.to_owned(),
            _ => value.to_owned(),
        };
        self.0.insert(setting.name, value.clone());
        Ok(setting.reported.then_some((setting.name, value)))
    }

    /// Back to the initial value.
    pub(super) fn reset(&mut self, name: &str) -> Result<Report, SqlError> {
        let setting = known(name)?;
        self.0.remove(setting.name);
        Ok(setting.reported.then(|| (setting.name, setting.initial.to_owned())))
    }

    /// The setting's own spelling, and its value.
    pub(super) fn get(&self, name: &str) -> Result<(&'static str, String), SqlError> {
        let setting = known(name)?;
        Ok((setting.name, self.value(setting)))
    }

    fn value(&self, setting: &Setting) -> String {
        self.0.get(setting.name).cloned().unwrap_or_else(|| setting.initial.to_owned())
    }

    pub(super) fn all(&self) -> impl Iterator<Item = (&'static str, String)> {
        KNOWN.iter().map(|setting| (setting.name, self.value(setting)))
    }

    /// What clients are told at log-in.
    pub(super) fn reported(&self) -> impl Iterator<Item = (&'static str, String)> {
        KNOWN.iter().filter(|setting| setting.reported).map(|setting| (setting.name, self.value(setting)))
    }

    /// How long the client lets its statements take.
    pub(super) fn statement_timeout(&self) -> Option<Duration> {
        duration(self.0.get("statement_timeout")?).filter(|limit| !limit.is_zero())
    }

    /// The schemas in which unqualified names are looked for, in order.
    pub(super) fn search_path(&self) -> impl Iterator<Item = &str> {
        let path = self.0.get("search_path").map_or(DEFAULT_SCHEMA, String::as_str);
        path.split(',').map(|name| name.trim().trim_matches('"'))
    }

    /// For the server's own use at log-in.
    pub(super) fn force(&mut self, name: &'static str, value: String) {
        self.0.insert(name, value);
    }
}

fn known(name: &str) -> Result<&'static Setting, SqlError> {
    if name.contains('.') {
        return Err(SqlError::new(
            "42501",
            format!("setting `{name}` belongs to the engine and cannot be reached from here"),
        ));
    }
    find(name).ok_or_else(|| {
        let error = SqlError::new("42704", format!("there is no setting `{name}`"));
        match nearest(name, KNOWN.iter().map(|setting| setting.name)) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        }
    })
}

/// Milliseconds, or a number with a unit, as PostgreSQL writes times.
fn duration(text: &str) -> Option<Duration> {
    let text = text.trim();
    let digits = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    let number: u64 = text[..digits].parse().ok()?;
    let factor = match text[digits..].trim() {
        "" | "ms" => 1,
        "s" => 1000,
        "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    number.checked_mul(factor).map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_would_change_rows_take_only_what_is_true() {
        let mut settings = Settings::default();
        assert_eq!(settings.set("datestyle", "ISO, DMY").unwrap(), Some(("DateStyle", "ISO, DMY".into())));
        for (name, value, state) in [
            ("datestyle", "German", "22023"),
            ("client_encoding", "LATIN1", "22023"),
            ("transaction_read_only", "off", "25006"),
            ("datafusion.execution.batch_size", "1", "42501"),
            ("server_version", "9", "22023"),
            ("serch_path", "x", "42704"),
        ] {
            assert_eq!(settings.set(name, value).unwrap_err().state, state, "{name}");
        }
        assert!(settings.set("serch_path", "x").unwrap_err().hint.unwrap().contains("search_path"));
        assert_eq!(settings.set("CLIENT_ENCODING", "unicode").unwrap(), Some(("client_encoding", "UTF8".into())));
    }

    #[test]
    fn times_have_units() {
        assert_eq!(duration("1500"), Some(Duration::from_millis(1500)));
        assert_eq!(duration("2 min"), Some(Duration::from_secs(120)));
        assert_eq!(duration("99999999999999999999"), None);
        assert_eq!(duration("5 fortnights"), None);
    }
}
