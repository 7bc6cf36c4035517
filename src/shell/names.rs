//! What can be completed at the cursor: keywords, schemas, tables and columns.

use std::collections::BTreeMap;

use crate::{
    query::{Script, shown_type},
    serve::{DEFAULT_SCHEMA, View},
};

/// The names of one snapshot: schema, table, columns.
#[derive(Default)]
pub(super) struct Names {
    schemas: BTreeMap<String, BTreeMap<String, Vec<String>>>,
}

pub(super) const COMMANDS: [&str; 6] = ["\\d", "\\dt", "\\timing", "\\x", "\\q", "\\?"];

#[rustfmt::skip]
const KEYWORDS: [&str; 70] = [
    "ALL", "AND", "AS", "ASC", "AVG", "BETWEEN", "BY", "CASE", "CAST", "COALESCE", "COUNT", "CROSS", "CURRENT_DATE", "DATEADD",
    "DATEDIFF", "DATE_TRUNC", "DECIMAL", "DESC", "DESCRIBE", "DISTINCT", "ELSE", "END", "EXCEPT", "EXISTS", "EXPLAIN", "EXTRACT",
    "FALSE", "FILTER", "FIRST", "FROM", "FULL", "GROUP", "HAVING", "ILIKE", "IN", "INNER", "INTERSECT", "INTERVAL", "IS", "JOIN",
    "LAST", "LEFT", "LIKE", "LIMIT", "LISTAGG", "MAX", "MIN", "NOT", "NULL", "NULLS", "OFFSET", "ON", "OR", "ORDER", "OUTER", "OVER",
    "PARTITION", "QUALIFY", "RIGHT", "ROW_NUMBER", "SELECT", "SUM", "THEN", "TRUE", "UNION", "USING", "VALUES", "WHEN", "WHERE", "WITH",
];

impl Names {
    pub(super) fn of(view: &View) -> Self {
        let mut schemas: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
        for table in &view.tables {
            let columns = table.provider.schema().fields().iter().map(|field| field.name().clone()).collect();
            schemas.entry(table.schema.clone()).or_default().insert(table.name.clone(), columns);
        }
        Self { schemas }
    }

    /// Where the word at the cursor begins, and what it could become.
    pub(super) fn complete(&self, text: &str, cursor: usize) -> (usize, Vec<String>) {
        let before = text.get(..cursor).unwrap_or(text);
        let is_part = |character: char| character.is_alphanumeric() || matches!(character, '_' | '.' | '\\' | '?');
        let start = before.len()
            - before.chars().rev().take_while(|character| is_part(*character)).map(char::len_utf8).sum::<usize>();
        let word = &before[start..];
        if word.starts_with('\\') {
            return (start, matching(word, COMMANDS.iter().map(|command| (*command).to_owned())));
        }
        if let Some((qualifier, part)) = word.rsplit_once('.') {
            let inside = self.inside(qualifier, text);
            return (start + qualifier.len() + 1, matching(part, inside.into_iter()));
        }
        let tables_only = before.trim_start().starts_with("\\d");
        let default = self.schemas.get(DEFAULT_SCHEMA).into_iter().flat_map(BTreeMap::keys).cloned();
        let mut found = matching(word, default.chain(self.schemas.keys().map(|schema| format!("{schema}."))));
        if !tables_only && !word.is_empty() {
            found.extend(matching(word, self.columns_of(text).into_iter()));
            let lower = word.chars().all(|character| !character.is_uppercase());
            let cased =
                KEYWORDS.iter().map(|keyword| if lower { keyword.to_lowercase() } else { (*keyword).to_owned() });
            found.extend(matching(word, cased));
        }
        found.sort();
        found.dedup();
        (start, found)
    }

    /// What can follow `qualifier.`: a schema's tables, or the columns of a table or of an alias in the text.
    fn inside(&self, qualifier: &str, text: &str) -> Vec<String> {
        if let Some(tables) = self.schemas.get(qualifier) {
            return tables.keys().cloned().collect();
        }
        self.table(qualifier)
            .or_else(|| {
                mentioned(text)
                    .into_iter()
                    .find(|(_, alias)| alias == qualifier)
                    .and_then(|(table, _)| self.table(&table))
            })
            .cloned()
            .unwrap_or_default()
    }

    fn table(&self, name: &str) -> Option<&Vec<String>> {
        let (schema, name) = name.split_once('.').unwrap_or((DEFAULT_SCHEMA, name));
        self.schemas.get(schema)?.get(name)
    }

    /// The columns of the tables the text mentions; of all tables where it mentions none yet.
    fn columns_of(&self, text: &str) -> Vec<String> {
        let named: Vec<_> =
            mentioned(text).iter().filter_map(|(table, _)| self.table(table)).flatten().cloned().collect();
        if !named.is_empty() {
            return named;
        }
        self.schemas.values().flat_map(BTreeMap::values).flatten().cloned().collect()
    }
}

/// The words after FROM and JOIN, each with the word that follows it: its alias, if it has one.
fn mentioned(text: &str) -> Vec<(String, String)> {
    let script = Script::new(text);
    let Some(statement) = script.open.or(script.complete.into_iter().next_back()) else { return Vec::new() };
    let words: Vec<&str> = statement
        .text
        .split(|character: char| !(character.is_alphanumeric() || matches!(character, '_' | '.')))
        .filter(|word| !word.is_empty())
        .collect();
    let mut found = Vec::new();
    for (position, word) in words.iter().enumerate() {
        if word.eq_ignore_ascii_case("from") || word.eq_ignore_ascii_case("join") {
            let at = |offset: usize| words.get(position + offset).copied().unwrap_or_default();
            let alias = if at(2).eq_ignore_ascii_case("as") { at(3) } else { at(2) };
            found.push((at(1).to_owned(), alias.to_owned()));
        }
    }
    found
}

fn matching(start: &str, names: impl Iterator<Item = String>) -> Vec<String> {
    let start = start.to_lowercase();
    names.filter(|name| name.to_lowercase().starts_with(&start)).collect()
}

/// The name SQL has for a column's type.
pub(super) fn sql_type(data_type: &datafusion::arrow::datatypes::DataType) -> String {
    use datafusion::arrow::datatypes::DataType as Type;
    match shown_type(data_type) {
        Type::Utf8 | Type::LargeUtf8 | Type::Utf8View => "varchar".into(),
        Type::Boolean => "boolean".into(),
        Type::Int8 | Type::Int16 | Type::UInt8 => "smallint".into(),
        Type::Int32 | Type::UInt16 => "integer".into(),
        Type::Int64 | Type::UInt32 => "bigint".into(),
        Type::Float16 | Type::Float32 => "real".into(),
        Type::Float64 => "double precision".into(),
        Type::Decimal128(precision, scale) | Type::Decimal256(precision, scale) => {
            format!("decimal({precision},{scale})")
        }
        Type::Date32 | Type::Date64 => "date".into(),
        Type::Timestamp(..) => "timestamp".into(),
        Type::Time32(_) | Type::Time64(_) => "time".into(),
        Type::Binary | Type::LargeBinary | Type::BinaryView | Type::FixedSizeBinary(_) => "varbyte".into(),
        other => other.to_string().to_lowercase(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> Names {
        let table = |columns: &[&str]| columns.iter().map(|column| (*column).to_owned()).collect::<Vec<_>>();
        let gold = BTreeMap::from([
            ("fact_orders".to_owned(), table(&["order_id", "ordered_at"])),
            ("dim_date".to_owned(), table(&["date_key"])),
        ]);
        let staging = BTreeMap::from([("orders_cleaned".to_owned(), table(&["order_id", "updated_at"]))]);
        Names { schemas: BTreeMap::from([("gold".to_owned(), gold), ("staging".to_owned(), staging)]) }
    }

    fn complete(text: &str) -> Vec<String> {
        let cursor = text.find('^').unwrap();
        names().complete(&text.replace('^', ""), cursor).1
    }

    #[test]
    fn names_complete_by_where_they_stand() {
        assert_eq!(complete("select * from fact^"), ["fact_orders"]);
        assert_eq!(complete("select * from st^"), ["staging."]);
        assert_eq!(complete("select * from staging.o^"), ["orders_cleaned"]);
        assert_eq!(complete("select o.^ from staging.orders_cleaned as o"), ["order_id", "updated_at"]);
        assert_eq!(complete("select order^ from fact_orders"), ["order", "order_id", "ordered_at"]);
        assert_eq!(complete("SELECT 1 GRO^"), ["GROUP"]);
        assert_eq!(complete("\\d dim^"), ["dim_date"]);
        assert_eq!(complete("\\t^"), ["\\timing"]);
    }
}
