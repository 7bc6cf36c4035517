//! One table of the warehouse against the same table made from raw, row by row, as multisets.

use std::sync::Arc;

use arrow::datatypes::{Schema, SchemaRef};
use datafusion::{execution::SendableRecordBatchStream, physical_plan::streaming::PartitionStream};
use serde::Serialize;

use super::sample::{Sample, Sampled};
use crate::{
    engine::JoinPreference,
    engine_error,
    error::{Error, Kind, Result},
    lake::{Lake, LocatedRows, TableFiles, TableName},
    run::{
        Workshop,
        difference::{Pairs, Shown, Sides, difference, sorted},
    },
};

/// Differing rows that are shown of a table, of each side.
const SHOWN: usize = 5;
/// Differing rows of each side among which those of one key are brought together.
const KEPT: usize = 1_000;

/// What became of one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    Equal,
    Differs {
        only_in_warehouse: u64,
        only_in_rebuild: u64,
        examples: Vec<Example>,
    },
    /// The columns, with their types, are others.
    OtherColumns {
        warehouse: Vec<String>,
        rebuild: Vec<String>,
    },
    /// The warehouse's table cannot be read.
    Unreadable {
        why: String,
    },
}

/// A row that only one of the two has; or, where both have another row of one key, the two.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The columns that tell the rows apart, if the table has such.
    pub key: Vec<String>,
    pub warehouse: Option<Shown>,
    pub rebuild: Option<Shown>,
}

/// A table and where it lies.
pub(super) struct Standing<'a> {
    pub(super) lake: &'a Lake,
    pub(super) files: TableFiles,
}

/// What is compared, and how.
pub(super) struct Question<'a> {
    pub(super) table: &'a TableName,
    /// Columns that are together unique, if any are.
    pub(super) key: Vec<String>,
    pub(super) percent: Option<f64>,
    pub(super) seed: u64,
}

/// The answer, with the rows of the warehouse's table that were compared.
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    pub(super) compared: u64,
}

impl Workshop<'_> {
    /// # Errors
    /// What keeps the comparison from being made. A table that is damaged is an outcome.
    pub(super) async fn equal(
        &self,
        question: &Question<'_>,
        warehouse: Standing<'_>,
        rebuild: Standing<'_>,
    ) -> Result<Answer> {
        let columns = [&warehouse, &rebuild].map(|side| columns_of(&side.files.schema));
        if columns[0] != columns[1] {
            let [warehouse, rebuild] = columns;
            return Ok(Answer { outcome: Outcome::OtherColumns { warehouse, rebuild }, compared: 0 });
        }
        let schema = Arc::clone(&warehouse.files.schema);
        let counts = [&warehouse, &rebuild].map(|side| side.files.rows());
        let context = self.session(JoinPreference::Hash);
        let rows = |side: Standing<'_>| -> datafusion::error::Result<SendableRecordBatchStream> {
            // Both sides name what they have as the warehouse's does: only NULL or not may be told otherwise.
            let files = TableFiles { schema: Arc::clone(&schema), ..side.files };
            let rows = LocatedRows::new(side.lake, question.table, &files, None);
            let rows: Arc<dyn PartitionStream> = match question.percent {
                Some(percent) => {
                    let sample = Sample::new(&schema, places(question, &schema), percent, question.seed)?;
                    Arc::new(Sampled::new(rows, sample))
                }
                None => Arc::new(rows),
            };
            sorted(&context, rows, schema.fields().len())
        };
        let mut found = Sides::new(&question.key, KEPT);
        let (fresh, current) = (rows(rebuild).map_err(engine_error)?, rows(warehouse).map_err(engine_error)?);
        let compared = difference(fresh, current, &schema, async |side, rows| found.take(side, &rows)).await;
        match compared.map_err(engine_error) {
            Ok(done) => {
                let equal = done.gone == 0 && done.came == 0 && counts[0] == counts[1];
                let differs = || Outcome::Differs {
                    only_in_warehouse: done.gone,
                    only_in_rebuild: done.came,
                    examples: examples(&found),
                };
                Ok(Answer { outcome: if equal { Outcome::Equal } else { differs() }, compared: done.current })
            }
            Err(error) if error.kind() == Kind::Data => Ok(Answer { outcome: unreadable(&error), compared: 0 }),
            Err(error) => Err(error),
        }
    }
}

pub(super) fn unreadable(error: &Error) -> Outcome {
    let mut why = error.message().to_owned();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        why.push_str(&format!(": {cause}"));
        next = cause.source();
    }
    Outcome::Unreadable { why }
}

fn columns_of(schema: &Schema) -> Vec<String> {
    schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type())).collect()
}

/// Where the key's columns are; without a key, all columns tell a row.
fn places(question: &Question<'_>, schema: &SchemaRef) -> Vec<usize> {
    let found: Vec<usize> = question.key.iter().filter_map(|column| schema.index_of(column).ok()).collect();
    if found.is_empty() { (0..schema.fields().len()).collect() } else { found }
}

/// A few of the rows that differ, those of one key beside each other first.
fn examples(found: &Sides<'_>) -> Vec<Example> {
    let example = |(warehouse, rebuild): (Option<&Shown>, Option<&Shown>)| Example {
        key: found.key.to_vec(),
        warehouse: warehouse.cloned(),
        rebuild: rebuild.cloned(),
    };
    let Pairs { both, gone, came } = found.pairs();
    let both = both.into_iter().take(SHOWN).map(|(gone, came)| (Some(gone), Some(came)));
    let gone = gone.into_iter().take(SHOWN).map(|row| (Some(row), None));
    let came = came.into_iter().take(SHOWN).map(|row| (None, Some(row)));
    both.chain(gone).chain(came).map(example).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, value: &str) -> Shown {
        [("id", id), ("value", value)].into_iter().map(|(name, text)| (name.to_owned(), text.into())).collect()
    }

    fn found(key: &[String], gone: Vec<Shown>, came: Vec<Shown>) -> Sides<'_> {
        let mut found = Sides::new(key, KEPT);
        (found.gone, found.came) = (gone, came);
        found
    }

    #[test]
    fn rows_of_one_key_are_shown_together() {
        let key = ["id".to_owned()];
        let rows = found(&key, vec![row("a", "1"), row("b", "1")], vec![row("b", "2"), row("c", "1")]);
        let shown: Vec<_> = examples(&rows).into_iter().map(|one| (one.warehouse, one.rebuild)).collect();
        assert_eq!(
            shown,
            [(Some(row("b", "1")), Some(row("b", "2"))), (Some(row("a", "1")), None), (None, Some(row("c", "1"))),]
        );
        let rows = found(&[], vec![row("a", "1"); 9], vec![row("a", "2")]);
        assert_eq!(examples(&rows).len(), SHOWN + 1, "without a key, nothing belongs together");
    }
}
