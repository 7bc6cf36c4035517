//! Redshift's semantics, one expression a line, run through the whole engine.

use datafusion::{
    arrow::util::display::{ArrayFormatter, FormatOptions},
    prelude::SessionContext,
};

use super::{JoinPreference, Limits, Purpose, SessionFactory, SqlText, plan};
use crate::error::{Error, SourceFile};

fn session() -> SessionContext {
    let spill = std::env::temp_dir().join("smelt-engine-tests");
    let limits = Limits { memory: 64 << 20, threads: 2, spill, batch_size: 8192 };
    SessionFactory::new(limits).unwrap().session("shop", JoinPreference::Hash)
}

fn sql(text: &str) -> SqlText {
    SqlText::whole(SourceFile::new("q.sql", text))
}

/// The rows of a query, each value as text.
async fn rows(context: &SessionContext, text: &str) -> Result<Vec<Vec<String>>, String> {
    let plan = plan(context, &sql(text), Purpose::Query).await.map_err(|e| describe(&e))?;
    let frame = context.execute_logical_plan(plan).await.map_err(|e| e.to_string())?;
    let mut found = Vec::new();
    for batch in frame.collect().await.map_err(|e| e.to_string())? {
        let options = FormatOptions::new().with_null("NULL");
        let columns: Vec<_> =
            batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options).unwrap()).collect();
        for row in 0..batch.num_rows() {
            found.push(columns.iter().map(|column| column.value(row).to_string()).collect());
        }
    }
    Ok(found)
}

fn describe(error: &Error) -> String {
    format!(
        "{error} {:?} {:?} {:?}",
        error.place(),
        error.hint_text(),
        std::error::Error::source(error).map(ToString::to_string)
    )
}

#[tokio::test]
async fn expressions_mean_what_redshift_means() {
    let context = session();
    let mut wrong = Vec::new();
    for line in include_str!("expressions.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let (expression, expected) = line.rsplit_once(" => ").expect("`expression => value`");
        let found = match rows(&context, &format!("select {expression}")).await {
            Ok(rows) => rows[0][0].clone(),
            Err(error) => format!("error: {error}"),
        };
        // The same over a column, so that nothing is folded away at planning.
        let matches = found == expected.trim() || (expected.trim() == "error" && found.starts_with("error"));
        if !matches {
            wrong.push(format!("{expression}\n   wanted {expected}\n   found  {found}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
