//! Columns that the file has and the spec does not: counted, so that schema drift is seen.

use std::collections::{BTreeMap, HashMap};

use crate::{Limits, limits::cut};

/// How many readable records of a block have each unknown column.
pub(crate) struct UnknownColumns {
    limits: Limits,
    ids: HashMap<String, usize>,
    columns: Vec<UnknownColumn>,
    /// Ids of the current record's unknown columns, not counted until the record is read.
    seen: Vec<usize>,
    record: u64,
}

struct UnknownColumn {
    name: String,
    records: u64,
    /// The last record it was seen in: a repeated key is one column.
    last_record: u64,
}

impl UnknownColumns {
    pub(crate) fn new(limits: Limits) -> Self {
        Self { limits, ids: HashMap::new(), columns: Vec::new(), seen: Vec::new(), record: 0 }
    }

    /// Notes a column of the current record.
    pub(crate) fn see(&mut self, name: &str) {
        let id = match self.ids.get(name) {
            Some(id) => *id,
            None => self.add(name),
        };
        if self.columns[id].last_record <= self.record {
            self.columns[id].last_record = self.record + 1;
            self.seen.push(id);
        }
    }

    fn add(&mut self, name: &str) -> usize {
        let name = if self.columns.len() < self.limits.unknown_columns {
            cut(name, self.limits.kept_value_bytes)
        } else {
            "…".to_owned()
        };
        if let Some(id) = self.ids.get(&name) {
            return *id;
        }
        let id = self.columns.len();
        self.ids.insert(name.clone(), id);
        self.columns.push(UnknownColumn { name, records: 0, last_record: 0 });
        id
    }

    /// Ends the current record: its columns count only if it could be read.
    pub(crate) fn end_record(&mut self, readable: bool) {
        for id in self.seen.drain(..) {
            self.columns[id].records += u64::from(readable);
        }
        self.record += 1;
    }

    pub(crate) fn into_counts(self) -> BTreeMap<String, u64> {
        let counts = self.columns.into_iter();
        let counts = counts.map(|column| (column.name, column.records));
        counts.filter(|(_, records)| *records > 0).collect()
    }
}
