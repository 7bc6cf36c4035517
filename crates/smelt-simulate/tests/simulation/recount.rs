//! Counts a simulation again, from its files alone.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use smelt_simulate::{BrokenKind, Entity, Options};

use crate::oracle::{Valid, judge};
use crate::reading::{SourceFile, has_column, records, source_files};

/// The readable records of all entities, each with its extract.
pub(crate) type Records = BTreeMap<Entity, Vec<(u32, Valid)>>;

/// What was counted of one entity; the fields are those of `EntitySummary`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) files: u64,
    pub(crate) redelivered_files: u64,
    pub(crate) drifted_files: u64,
    pub(crate) bytes: u64,
    pub(crate) records: u64,
    pub(crate) late: u64,
    pub(crate) duplicates: u64,
    pub(crate) ties: u64,
    pub(crate) deletes: u64,
    pub(crate) revivals: u64,
    pub(crate) stale: u64,
    pub(crate) orphans: u64,
    pub(crate) broken: BTreeMap<BrokenKind, u64>,
}

/// Reads all files of a simulation and counts.
pub(crate) fn recount(out: &Path, options: &Options) -> (BTreeMap<Entity, Counts>, Records) {
    let mut counts: BTreeMap<Entity, Counts> = BTreeMap::new();
    let mut valid = Records::new();
    let extracts = source_files(out);
    for file in &extracts {
        let counts = counts.entry(file.entity).or_default();
        counts.bytes += fs::metadata(&file.path).unwrap().len();
        if file.redelivered {
            counts.redelivered_files += 1;
            assert_is_copy(file, &extracts);
            continue;
        }
        counts.files += 1;
        let records = records(&file.path);
        let drifted = DRIFT.iter().any(|name| has_column(&records, name));
        counts.drifted_files += u64::from(drifted);
        for record in &records {
            counts.records += 1;
            match judge(file.entity, record) {
                Ok(record) => valid.entry(file.entity).or_default().push((file.extract, record)),
                Err(kind) => *counts.broken.entry(kind).or_default() += 1,
            }
        }
    }
    for (entity, records) in &valid {
        let counts = counts.entry(*entity).or_default();
        count_times_and_keys(counts, records, options);
        counts.orphans = orphans(*entity, &valid);
    }
    (counts, valid)
}

const DRIFT: [&str; 6] =
    ["loyalty_tier", "weight_grams", "sales_channel", "warehouse_code", "fraud_score", "service_level"];

fn assert_is_copy(copy: &SourceFile, extracts: &[SourceFile]) {
    let bytes = fs::read(&copy.path).unwrap();
    let name = copy.path.file_name().unwrap().to_str().unwrap();
    let original = extracts.iter().any(|file| {
        let which = match file.extract {
            0 => file.path.file_name().unwrap(),
            _ => file.path.parent().unwrap().file_name().unwrap(),
        };
        let which = which.to_str().unwrap().split('.').next().unwrap();
        !file.redelivered
            && file.entity == copy.entity
            && file.extract < copy.extract
            && name.contains(&format!("-redelivered-{which}."))
            && fs::read(&file.path).unwrap() == bytes
    });
    assert!(original, "{} is no copy", copy.path.display());
}

fn count_times_and_keys(counts: &mut Counts, records: &[(u32, Valid)], options: &Options) {
    const DAY: i64 = 86_400_000_000;
    let start = options.start.and_hms_opt(0, 0, 0).unwrap().and_utc();
    let first_daily = start.timestamp_micros() + i64::from(options.history_days) * DAY;
    let mut keys: BTreeMap<&str, Vec<&(u32, Valid)>> = BTreeMap::new();
    for entry in records {
        let (extract, record) = entry;
        let own = if record.updated_at < first_daily {
            u32::from(options.history_days == 0)
        } else {
            ((record.updated_at - first_daily) / DAY) as u32 + 1
        };
        counts.late += u64::from(own < *extract);
        counts.deletes += u64::from(record.deleted);
        keys.entry(&record.key).or_default().push(entry);
    }
    for versions in keys.values() {
        let contents: BTreeSet<&Valid> = versions.iter().map(|(_, record)| record).collect();
        let times: BTreeSet<i64> = contents.iter().map(|record| record.updated_at).collect();
        counts.duplicates += (versions.len() - contents.len()) as u64;
        counts.ties += (contents.len() - times.len()) as u64;
        for (extract, record) in versions.iter().filter(|(_, record)| !record.deleted) {
            let mut deletes = versions.iter().filter(|(_, record)| record.deleted);
            counts.revivals += u64::from(deletes.clone().any(|(_, delete)| delete.updated_at < record.updated_at));
            counts.stale +=
                u64::from(deletes.any(|(earlier, delete)| delete.updated_at > record.updated_at && earlier < extract));
        }
    }
}

fn orphans(entity: Entity, valid: &Records) -> u64 {
    let parents: &[(&str, Entity)] = match entity {
        Entity::Customers | Entity::Products => &[],
        Entity::Orders => &[("customer_id", Entity::Customers)],
        Entity::OrderItems => &[("order_id", Entity::Orders), ("product_id", Entity::Products)],
        Entity::Payments | Entity::Shipments => &[("order_id", Entity::Orders)],
    };
    let arrivals: Vec<(&str, BTreeMap<&str, u32>)> = parents
        .iter()
        .map(|(column, parent)| {
            let mut first = BTreeMap::new();
            for (extract, record) in valid.get(parent).into_iter().flatten() {
                let arrival = first.entry(record.key.as_str()).or_insert(*extract);
                *arrival = (*arrival).min(*extract);
            }
            (*column, first)
        })
        .collect();
    let waits = |extract: u32, record: &Valid| {
        arrivals.iter().any(|(column, first)| {
            let key = record.text(column);
            key.is_some_and(|key| first.get(key).is_none_or(|arrival| extract < *arrival))
        })
    };
    let records = valid.get(&entity).into_iter().flatten();
    records.filter(|(extract, record)| waits(*extract, record)).count() as u64
}
