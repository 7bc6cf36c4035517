//! The quality rules of a contract: library metrics with their bounds. Rules that smelt does not
//! enforce are refused, for no rule is only decoration.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{error::Result, project::Document};

/// One rule over the cleaned table, from the contract's `quality` lists.
#[derive(Debug, Clone)]
pub struct QualityRule {
    pub name: String,
    pub column: Option<String>,
    pub check: RuleCheck,
    pub severity: Severity,
    /// Where the contract says it, in bytes of the file.
    pub span: std::ops::Range<usize>,
}

/// What is counted, and how many are allowed.
#[derive(Debug, Clone)]
pub enum RuleCheck {
    /// Rows whose column is NULL.
    Nulls { at_most: u64 },
    /// Rows whose column is neither NULL nor one of the values.
    OutsideValues { values: Vec<String>, at_most: u64 },
    /// Rows beyond the first of each value (of the column, or of several).
    Duplicates { columns: Vec<String>, at_most: u64 },
    /// Rows of the table.
    RowCount { at_least: u64, at_most: u64 },
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Reported; the run publishes.
    Warn,
    /// The run does not publish.
    Error,
}

/// A rule as the file has it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Written {
    name: Option<String>,
    #[serde(rename = "type")]
    kind: Option<String>,
    metric: Option<String>,
    severity: Option<String>,
    #[serde(default)]
    arguments: serde_json::Map<String, Value>,
    must_be: Option<f64>,
    must_be_greater_than: Option<f64>,
    must_be_greater_or_equal_to: Option<f64>,
    must_be_less_than: Option<f64>,
    must_be_less_or_equal_to: Option<f64>,
    must_be_between: Option<[f64; 2]>,
    must_not_be: Option<Value>,
    must_not_be_between: Option<Value>,
    unit: Option<String>,
}

/// The rule that is written at `pointer`; none where it only informs.
pub(super) fn read(
    document: &Document,
    pointer: &str,
    column: Option<&str>,
    written: &Written,
) -> Result<Option<QualityRule>> {
    let severity = match written.severity.as_deref() {
        None | Some("error") => Severity::Error,
        Some("warn" | "warning") => Severity::Warn,
        Some("info") => return Ok(None),
        Some(other) => {
            return Err(document
                .error(&format!("{pointer}/severity"), format!("severity `{other}` is not known"))
                .hint("use `error` (keeps the last snapshot) or `warn`"));
        }
    };
    let Some(metric) = written.metric.as_deref() else {
        return if written.kind.as_deref() == Some("text") {
            Ok(None)
        } else {
            Err(document
                .error(pointer, "only library rules (with a `metric`) and text rules are enforced in contracts")
                .hint("write SQL tests as files in `tests/`"))
        };
    };
    let not_enforced = [
        ("mustNotBe", written.must_not_be.is_some()),
        ("mustNotBeBetween", written.must_not_be_between.is_some()),
        ("unit", written.unit.as_deref().is_some_and(|unit| unit != "rows")),
    ];
    if let Some((field, _)) = not_enforced.iter().find(|(_, written)| *written) {
        return Err(document
            .error(&format!("{pointer}/{field}"), format!("`{field}` is not enforced, and no rule is only decoration"))
            .hint("say it with `mustBe`, `mustBeBetween` and the like, in rows; or as SQL in `tests/`"));
    }
    let whole = |number: f64| number.max(0.0) as u64;
    let at_least = written
        .must_be_greater_or_equal_to
        .map(whole)
        .or_else(|| written.must_be_greater_than.map(|number| whole(number.floor() + 1.0)))
        .or_else(|| written.must_be_between.map(|[from, _]| whole(from)))
        .or_else(|| written.must_be.map(whole));
    let at_most = written
        .must_be_less_or_equal_to
        .map(whole)
        .or_else(|| written.must_be_less_than.map(|number| whole(number.ceil() - 1.0)))
        .or_else(|| written.must_be_between.map(|[_, to]| whole(to)))
        .or_else(|| written.must_be.map(whole));
    if let Some(least) = at_least.filter(|least| *least > 0 && metric != "rowCount") {
        return Err(document
            .error(pointer, format!("`{metric}` of at least {least} would ask for rows that are wrong"))
            .hint("bound it from above: `mustBeLessOrEqualTo: 0`"));
    }
    let need_column =
        || column.map(str::to_owned).ok_or_else(|| document.error(pointer, format!("`{metric}` belongs to a column")));
    let texts = |name: &str| -> Vec<String> {
        written
            .arguments
            .get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
            .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
            .collect()
    };
    let check = match metric {
        "nullValues" | "missingValues" => {
            need_column()?;
            RuleCheck::Nulls { at_most: at_most.unwrap_or(0) }
        }
        "invalidValues" => {
            need_column()?;
            let values = texts("validValues");
            if values.is_empty() {
                return Err(document
                    .error(pointer, "`invalidValues` needs the valid ones")
                    .hint("write `arguments: {validValues: [a, b]}`"));
            }
            RuleCheck::OutsideValues { values, at_most: at_most.unwrap_or(0) }
        }
        "duplicateValues" => {
            let mut columns = texts("properties");
            if columns.is_empty() {
                columns.push(need_column()?);
            }
            RuleCheck::Duplicates { columns, at_most: at_most.unwrap_or(0) }
        }
        "rowCount" => RuleCheck::RowCount { at_least: at_least.unwrap_or(0), at_most: at_most.unwrap_or(u64::MAX) },
        other => return Err(document.error(pointer, format!("metric `{other}` is not known"))),
    };
    let name = written.name.clone().unwrap_or_else(|| match column {
        Some(column) => format!("{column}_{metric}"),
        None => metric.to_owned(),
    });
    Ok(Some(QualityRule { name, column: column.map(str::to_owned), check, severity, span: document.span(pointer) }))
}
