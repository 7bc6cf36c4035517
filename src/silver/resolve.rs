//! Incoming events against the rows that are there: who wins, who is displaced.
//!
//! Works on chunks of whole keys, in key order, so that memory stays bounded and, the tables being
//! clustered by key, a chunk looks only into the files of its key range. Only key and version
//! columns of those files are read.

use std::collections::HashMap;

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::{DataType, TimestampMicrosecondType},
    row::{RowConverter, SortField},
};

use super::{entity::EntityTables, winners::Events};
use crate::{
    error::{Error, Result},
    lake::{Displaced, FileRows, Lake, TableFiles, TableName, read_columns},
    project::Contract,
};

/// One of an entity's tables as it is, and what the incoming events displace in it.
pub(super) struct Standing {
    pub(super) table: TableName,
    pub(super) files: TableFiles,
    pub(super) displaced: Displaced,
    /// Where its key and version columns are.
    key: Vec<usize>,
    version: usize,
}

/// A row that is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Place {
    file: usize,
    row: u32,
}

/// The rows that a chunk adds, by table.
pub(super) struct Added {
    pub(super) cleaned: RecordBatch,
    pub(super) history: Option<RecordBatch>,
    pub(super) tombstones: RecordBatch,
}

/// Resolves chunk after chunk, and counts.
pub(super) struct Resolver<'a> {
    lake: &'a Lake,
    contract: &'a Contract,
    converter: RowConverter,
    pub(super) cleaned: Standing,
    pub(super) history: Option<Standing>,
    pub(super) tombstones: Standing,
    /// Valid records that lost: incoming ones to a standing row, and displaced standing ones.
    pub(super) superseded: u64,
    /// Keys whose winner became a delete, less those whose winner ceased to be one.
    pub(super) tombstone_balance: i64,
}

impl Standing {
    pub(super) fn new(table: TableName, files: TableFiles, contract: &Contract) -> Result<Self> {
        let column = |index: usize| {
            let name = &contract.spec.columns[index].name;
            files.schema.index_of(name).map_err(|_| Error::bug(format!("table `{table}` has no column `{name}`")))
        };
        let key = contract.spec.key.iter().map(|&index| column(index)).collect::<Result<_>>()?;
        let version = column(contract.spec.version)?;
        Ok(Self { table, files, displaced: Displaced::new(), key, version })
    }

    /// The rows whose keys are in `wanted`, with their versions, by the key's group.
    async fn find(
        &self,
        lake: &Lake,
        converter: &RowConverter,
        wanted: &HashMap<Box<[u8]>, usize>,
        range: Option<(&str, &str)>,
    ) -> Result<Vec<(usize, i64, Place)>> {
        let mut found = Vec::new();
        let folder = lake.table_folder(&self.table);
        let first_key = self.files.schema.field(self.key[0]).name();
        let mut columns = self.key.clone();
        columns.push(self.version);
        columns.sort_unstable();
        let at = |column: usize| columns.iter().position(|&c| c == column).unwrap_or_default();
        let (keys, version): (Vec<usize>, usize) = (self.key.iter().map(|&c| at(c)).collect(), at(self.version));
        for (index, file) in self.files.files.iter().enumerate() {
            if let (Some((from, to)), Some((least, greatest))) = (range, file.text_range(first_key))
                && (greatest < from || least > to)
            {
                continue;
            }
            for FileRows { rows: batch, places } in
                read_columns(lake, &folder, file, &self.files.schema, &columns).await?
            {
                let key_columns: Vec<_> = keys.iter().map(|&column| batch.column(column).clone()).collect();
                let rows = converter
                    .convert_columns(&key_columns)
                    .map_err(|e| Error::bug("standing keys cannot be compared").cause(e))?;
                let versions = batch.column(version).as_primitive::<TimestampMicrosecondType>();
                for (row, key) in rows.iter().enumerate() {
                    if let Some(group) = wanted.get(key.as_ref()) {
                        found.push((*group, versions.value(row), Place { file: index, row: places.value(row) }));
                    }
                }
            }
        }
        Ok(found)
    }

    fn displace(&mut self, place: Place) -> bool {
        self.displaced.entry(place.file).or_default().insert(place.row)
    }
}

/// What holds a key now.
#[derive(Debug, Clone, Copy)]
enum Holder {
    Row(i64, Place),
    Tombstone(i64, Place),
}

impl Holder {
    fn version(self) -> i64 {
        match self {
            Self::Row(version, _) | Self::Tombstone(version, _) => version,
        }
    }
}

impl<'a> Resolver<'a> {
    pub(super) fn new(
        lake: &'a Lake,
        contract: &'a Contract,
        tables: &EntityTables,
        cleaned: TableFiles,
        history: Option<TableFiles>,
        tombstones: TableFiles,
    ) -> Result<Self> {
        let schema = contract.spec.schema();
        let fields = contract.spec.key.iter().map(|&index| SortField::new(schema.field(index).data_type().clone()));
        Ok(Self {
            lake,
            contract,
            converter: RowConverter::new(fields.collect())
                .map_err(|e| Error::bug("keys cannot be compared").cause(e))?,
            cleaned: Standing::new(tables.cleaned.clone(), cleaned, contract)?,
            history: match (&tables.history, history) {
                (Some(table), Some(files)) => Some(Standing::new(table.clone(), files, contract)?),
                _ => None,
            },
            tombstones: Standing::new(tables.tombstones.clone(), tombstones, contract)?,
            superseded: 0,
            tombstone_balance: 0,
        })
    }

    /// Resolves a chunk of whole keys. Its last event must be a winner.
    pub(super) async fn resolve(&mut self, events: &Events) -> Result<Added> {
        let spec = &self.contract.spec;
        let rows = &events.rows;
        let key_columns: Vec<_> = spec.key.iter().map(|&column| rows.column(column).clone()).collect();
        let keys = self
            .converter
            .convert_columns(&key_columns)
            .map_err(|e| Error::bug("incoming keys cannot be compared").cause(e))?;
        let versions = rows.column(spec.version).as_primitive::<TimestampMicrosecondType>();
        let deleted = rows.column(spec.columns.len()).as_boolean();

        // One group a key; the winner closes it.
        let mut groups = HashMap::new();
        let mut group_of = Vec::with_capacity(rows.num_rows());
        let mut next = 0;
        for row in 0..rows.num_rows() {
            group_of.push(next);
            if events.winner.value(row) {
                groups.insert(keys.row(row).as_ref().into(), next);
                next += 1;
            }
        }
        let range = text_range(rows.column(spec.key[0]).as_ref());

        let mut holders: Vec<Option<Holder>> = vec![None; next];
        for (group, version, place) in self.tombstones.find(self.lake, &self.converter, &groups, range).await? {
            if holders[group].is_none_or(|holder| holder.version() < version) {
                holders[group] = Some(Holder::Tombstone(version, place));
            }
        }
        // A key with a current row has that row as its winner, whatever tombstones lie before it.
        for (group, version, place) in self.cleaned.find(self.lake, &self.converter, &groups, range).await? {
            holders[group] = Some(Holder::Row(version, place));
        }
        let mut standing_events: HashMap<(usize, i64), (bool, Place)> = HashMap::new();
        if let Some(history) = &self.history {
            for (group, version, place) in history.find(self.lake, &self.converter, &groups, range).await? {
                standing_events.insert((group, version), (false, place));
            }
            for (group, version, place) in self.tombstones.find(self.lake, &self.converter, &groups, range).await? {
                standing_events.insert((group, version), (true, place));
            }
        }

        let count = rows.num_rows();
        let (mut to_cleaned, mut to_history, mut to_tombstones) =
            (vec![false; count], vec![false; count], vec![false; count]);
        for row in 0..count {
            let (group, version, is_deleted) = (group_of[row], versions.value(row), deleted.value(row));
            if let Some(history) = &mut self.history {
                // The last arrived of a key and version is its event; it takes the standing one's place.
                match standing_events.get(&(group, version)) {
                    Some((false, place)) => _ = history.displace(*place),
                    Some((true, place)) => _ = self.tombstones.displace(*place),
                    None => {}
                }
                if is_deleted {
                    to_tombstones[row] = true;
                } else {
                    to_history[row] = true;
                }
            }
            if !events.winner.value(row) {
                continue;
            }
            if holders[group].is_some_and(|holder| holder.version() > version) {
                self.superseded += 1;
                continue;
            }
            match holders[group] {
                Some(Holder::Row(_, place)) => {
                    self.cleaned.displace(place);
                    self.superseded += 1;
                }
                Some(Holder::Tombstone(_, place)) => {
                    if self.history.is_none() {
                        self.tombstones.displace(place);
                    }
                    self.tombstone_balance -= 1;
                    self.superseded += 1;
                }
                None => {}
            }
            if is_deleted {
                to_tombstones[row] = true;
                self.tombstone_balance += 1;
            } else {
                to_cleaned[row] = true;
            }
        }

        let pick = |mask: Vec<bool>, schema: &TableFiles| -> Result<RecordBatch> {
            let columns: Vec<usize> = schema
                .schema
                .fields()
                .iter()
                .map(|field| rows.schema().index_of(field.name()))
                .collect::<std::result::Result<_, _>>()
                .map_err(|e| Error::bug("a table has a column that its entity lacks").cause(e))?;
            filter_record_batch(rows, &BooleanArray::from(mask))
                .and_then(|picked| picked.project(&columns))
                .map_err(|e| Error::bug("rows cannot be picked").cause(e))
        };
        Ok(Added {
            cleaned: pick(to_cleaned, &self.cleaned.files)?,
            history: match &self.history {
                Some(history) => Some(pick(to_history, &history.files)?),
                None => None,
            },
            tombstones: pick(to_tombstones, &self.tombstones.files)?,
        })
    }
}

/// The least and greatest text of a column; `None` when it holds no text.
fn text_range(column: &dyn Array) -> Option<(&str, &str)> {
    if *column.data_type() != DataType::Utf8View {
        return None;
    }
    let texts = column.as_string_view();
    Some((texts.iter().flatten().min()?, texts.iter().flatten().max()?))
}
