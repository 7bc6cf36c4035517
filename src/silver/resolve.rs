//! Incoming events against the rows that are there: who wins, who is displaced.
//!
//! Works on chunks of whole keys, in key order, so that memory stays bounded and, the tables being
//! clustered by key, a chunk looks only into the pages of its key range. Only key and version
//! columns of those pages are read.

use arrow::{
    array::{AsArray, BooleanArray, RecordBatch},
    compute::filter_record_batch,
    datatypes::TimestampMicrosecondType,
    row::{RowConverter, SortField},
};

use foldhash::HashMap;
use futures::TryStreamExt as _;

use super::{entity::EntityTables, winners::Events};
use crate::{
    error::{Error, Result},
    lake::{Displaced, FileRows, Keys, Lake, TableFiles, TableName, placed_rows},
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

    /// The rows that have some of the keys, with their versions, by the key's group in `wanted`.
    async fn find(
        &self,
        lake: &Lake,
        converter: &RowConverter,
        wanted: &HashMap<Box<[u8]>, usize>,
        keys: &RecordBatch,
    ) -> Result<Vec<(usize, i64, Place)>> {
        let keys = Keys::new(&self.files.schema, self.key.clone(), std::slice::from_ref(keys))?.among_others();
        let columns: Vec<usize> = self.key.iter().copied().chain([self.version]).collect();
        let mut found = Vec::new();
        let mut rows = placed_rows(lake, &self.table, &self.files, Some(keys), columns);
        while let Some((file, FileRows { rows, places })) = rows.try_next().await? {
            let keys = converter
                .convert_columns(&rows.columns()[..self.key.len()])
                .map_err(|e| Error::bug("standing keys cannot be compared").cause(e))?;
            let versions = rows.column(self.key.len()).as_primitive::<TimestampMicrosecondType>();
            for (row, key) in keys.iter().enumerate() {
                if let Some(group) = wanted.get(key.as_ref()) {
                    found.push((*group, versions.value(row), Place { file, row: places.value(row) }));
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
        let wanted = rows.project(&spec.key).map_err(|e| Error::bug("events have no keys").cause(e))?;
        let keys = self
            .converter
            .convert_columns(wanted.columns())
            .map_err(|e| Error::bug("incoming keys cannot be compared").cause(e))?;
        let versions = rows.column(spec.version).as_primitive::<TimestampMicrosecondType>();
        let deleted = rows.column(spec.columns.len()).as_boolean();

        // One group a key; the winner closes it.
        let mut groups = HashMap::default();
        let mut group_of = Vec::with_capacity(rows.num_rows());
        let mut next = 0;
        for row in 0..rows.num_rows() {
            group_of.push(next);
            if events.winner.value(row) {
                groups.insert(keys.row(row).as_ref().into(), next);
                next += 1;
            }
        }

        let mut holders: Vec<Option<Holder>> = vec![None; next];
        for (group, version, place) in self.tombstones.find(self.lake, &self.converter, &groups, &wanted).await? {
            if holders[group].is_none_or(|holder| holder.version() < version) {
                holders[group] = Some(Holder::Tombstone(version, place));
            }
        }
        // A key with a current row has that row as its winner, whatever tombstones lie before it.
        for (group, version, place) in self.cleaned.find(self.lake, &self.converter, &groups, &wanted).await? {
            holders[group] = Some(Holder::Row(version, place));
        }
        let mut standing_events: HashMap<(usize, i64), (bool, Place)> = HashMap::default();
        if let Some(history) = &self.history {
            for (group, version, place) in history.find(self.lake, &self.converter, &groups, &wanted).await? {
                standing_events.insert((group, version), (false, place));
            }
            for (group, version, place) in self.tombstones.find(self.lake, &self.converter, &groups, &wanted).await? {
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
