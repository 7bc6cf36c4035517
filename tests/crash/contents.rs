//! A snapshot as a reader sees it: every row of every table, and the totals of law 3.

use std::{collections::BTreeMap, error::Error as _, sync::Arc};

use arrow::{
    array::RecordBatch,
    util::display::{ArrayFormatter, FormatOptions},
};
use datafusion::catalog::TableProvider;
use smelt::{
    error::Error,
    lake::{EntityTotals, Lake, LakeTable, Snapshot, SnapshotId, TableName},
    project::Project,
    serve::{EmbeddedEngine, SqlEngine, View},
    silver::EntityTables,
};

/// What went well, or what did not, in words: the test adds where it was.
pub(crate) type Outcome<T = ()> = Result<T, String>;

/// An error with its causes.
pub(crate) fn told(error: &Error) -> String {
    let mut text = format!("{:?}: {error}", error.kind());
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(&format!("\n  because {cause}"));
        next = cause.source();
    }
    text
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) id: SnapshotId,
    tables: BTreeMap<TableName, Table>,
    totals: BTreeMap<String, Terms>,
}

/// A table as a multiset of rows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Table {
    columns: String,
    /// As text, in text order.
    rows: Vec<String>,
}

/// The terms of law 3: what does not depend on how batches were grouped into runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Terms {
    raw: u64,
    current: u64,
    superseded: u64,
    tombstones: u64,
    quarantined: u64,
}

impl From<&EntityTotals> for Terms {
    fn from(totals: &EntityTotals) -> Self {
        let EntityTotals { raw, current, superseded, tombstones, quarantined, .. } = *totals;
        Self { raw, current, superseded, tombstones, quarantined }
    }
}

impl Seen {
    /// Reads a snapshot whole, and checks it in itself: row counts, and law 3.
    pub(crate) async fn read(
        lake: &Lake,
        engine: &EmbeddedEngine,
        project: &Project,
        snapshot: &Snapshot,
    ) -> Outcome<Self> {
        let mut tables = BTreeMap::new();
        for (name, state) in &snapshot.tables {
            let table = read_table(lake, engine, snapshot, name)
                .await
                .map_err(|problem| format!("snapshot {}, table {name}: {problem}", snapshot.id))?;
            if table.rows.len() as u64 != state.rows {
                return Err(format!("{name} has {} rows, but its snapshot says {}", table.rows.len(), state.rows));
            }
            tables.insert(name.clone(), table);
        }
        let rows = |table: &TableName| tables.get(table).map_or(0, |table| table.rows.len() as u64);
        for (entity, contract) in &project.contracts {
            let named = EntityTables::of(contract);
            let totals = snapshot.entities.get(entity.as_str()).ok_or_else(|| format!("{entity} has no totals"))?;
            let counted = totals.current == rows(&named.cleaned) && totals.quarantined == rows(&named.quarantine);
            if !totals.balanced() || !counted {
                return Err(format!("the records of {entity} do not add up: {totals:?}"));
            }
        }
        let totals = snapshot.entities.iter().map(|(entity, totals)| (entity.clone(), totals.into())).collect();
        Ok(Self { id: snapshot.id, tables, totals })
    }

    /// Fails, saying where, unless the other has the same tables, rows and totals.
    pub(crate) fn same_as(&self, expected: &Self) -> Outcome {
        let names = |seen: &Self| seen.tables.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if self.tables.keys().ne(expected.tables.keys()) {
            return Err(format!("there are tables {}, but expected were {}", names(self), names(expected)));
        }
        for (name, table) in &self.tables {
            let wanted = &expected.tables[name];
            if table.columns != wanted.columns {
                return Err(format!("{name} has columns {}, but expected were {}", table.columns, wanted.columns));
            }
            let (surplus, missing) = (surplus(&table.rows, &wanted.rows), surplus(&wanted.rows, &table.rows));
            if !surplus.is_empty() || !missing.is_empty() {
                return Err(format!(
                    "{name} has {} rows too many, such as {:?}, and lacks {}, such as {:?}",
                    surplus.len(),
                    surplus.first(),
                    missing.len(),
                    missing.first()
                ));
            }
        }
        for (entity, terms) in &self.totals {
            if Some(terms) != expected.totals.get(entity) {
                return Err(format!("{entity} counts {terms:?}, but expected was {:?}", expected.totals.get(entity)));
            }
        }
        Ok(())
    }

    /// Records of all entities that were read from raw.
    pub(crate) fn raw_records(&self) -> u64 {
        self.totals.values().map(|terms| terms.raw).sum()
    }
}

/// The elements of `left` beyond those of `right`; both are sorted.
fn surplus<'a>(left: &'a [String], right: &[String]) -> Vec<&'a String> {
    let mut right = right.iter().peekable();
    left.iter()
        .filter(|row| {
            while right.next_if(|other| other < row).is_some() {}
            right.next_if(|other| other == row).is_none()
        })
        .collect()
}

/// Whether every table of a view has the expected rows.
pub(crate) async fn view_shows(view: &View, engine: &dyn SqlEngine, expected: &Seen) -> Outcome {
    if view.tables.len() != expected.tables.len() {
        return Err(format!("the view has {} tables", view.tables.len()));
    }
    for (name, wanted) in &expected.tables {
        let table = view.table(&name.to_string()).ok_or_else(|| format!("the view has no {name}"))?;
        let rows = read_rows(engine, Arc::clone(&table.provider)).await;
        if rows.map_err(|problem| format!("the view's {name}: {problem}"))? != wanted.rows {
            return Err(format!("the view's {name} has other rows"));
        }
    }
    Ok(())
}

async fn read_table(lake: &Lake, engine: &EmbeddedEngine, snapshot: &Snapshot, name: &TableName) -> Outcome<Table> {
    let files = lake.table_files(name, &snapshot.tables[name]).await.map_err(|e| told(&e))?;
    let columns = files.schema.fields().iter().map(|field| format!("{} {}", field.name(), field.data_type()));
    let columns = columns.collect::<Vec<_>>().join(", ");
    let provider = LakeTable::new(lake, lake.table_folder(name), files).map_err(|e| e.to_string())?;
    Ok(Table { columns, rows: read_rows(engine, Arc::new(provider)).await? })
}

/// Every row as text, in text order.
async fn read_rows(engine: &dyn SqlEngine, table: Arc<dyn TableProvider>) -> Outcome<Vec<String>> {
    let session = engine.session().map_err(|e| told(&e))?;
    let frame = session.read_table(table).map_err(|e| e.to_string())?;
    let mut rows = Vec::new();
    for batch in frame.collect().await.map_err(|e| e.to_string())? {
        add_rows(&batch, &mut rows).map_err(|e| e.to_string())?;
    }
    rows.sort_unstable();
    Ok(rows)
}

fn add_rows(batch: &RecordBatch, rows: &mut Vec<String>) -> Result<(), arrow::error::ArrowError> {
    // Nothing in the shop's data looks like these marks.
    let options = FormatOptions::new().with_null("\u{2400}");
    let columns = batch
        .columns()
        .iter()
        .map(|column| ArrayFormatter::try_new(column, &options))
        .collect::<Result<Vec<_>, _>>()?;
    for row in 0..batch.num_rows() {
        let mut text = String::new();
        for column in &columns {
            column.value(row).write(&mut text)?;
            text.push('\u{241f}');
        }
        rows.push(text);
    }
    Ok(())
}
