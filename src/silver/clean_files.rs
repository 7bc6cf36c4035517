//! Reads an entity's raw files and cleans them on all cores.
//!
//! Per file one reader cuts blocks of whole records; cleaners turn blocks into batches. Each batch
//! carries `_arrival`, which orders records as they arrived whoever cleaned them: the file's place
//! in the run's order, then the record's position.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self as blocks, sync_channel},
    },
};

use arrow::{
    array::{ArrayRef, AsArray, RecordBatch, UInt64Array},
    datatypes::{DataType, Field, Schema, SchemaRef, TimestampMicrosecondType, UInt64Type},
};
use futures::StreamExt;
use object_store::{GetResultPayload, ObjectStoreExt, path::Path};
use smelt_clean::{Block, Cleaner, DELETED_COLUMN, EntitySpec, Input, ReadOptions, Rejected};
use tokio::sync::mpsc;

use super::entity::RawFile;
use crate::{
    error::{self, Error, Result},
    lake::{Lake, store_error},
    project::Contract,
};

pub(super) const ARRIVAL_COLUMN: &str = "_arrival";
/// Positions take the low bits of an arrival, files the high ones.
const POSITION_BITS: u32 = 40;

/// What was read, counted by the readers and cleaners themselves.
#[derive(Debug, Default, Clone)]
pub(super) struct Counts {
    pub(super) records: u64,
    pub(super) late: u64,
    pub(super) newest_version: Option<i64>,
    pub(super) unknown_columns: BTreeMap<String, u64>,
    pub(super) missing_columns: BTreeMap<String, u64>,
    pub(super) bytes: u64,
}

impl Counts {
    fn add(&mut self, other: Counts) {
        self.records += other.records;
        self.late += other.late;
        self.newest_version = self.newest_version.max(other.newest_version);
        self.bytes += other.bytes;
        for (column, count) in other.unknown_columns {
            *self.unknown_columns.entry(column).or_default() += count;
        }
        for (column, count) in other.missing_columns {
            *self.missing_columns.entry(column).or_default() += count;
        }
    }
}

/// The spec's columns, all nullable, then `_deleted` and `_arrival`.
pub(super) fn rows_schema(spec: &EntitySpec) -> SchemaRef {
    let mut fields: Vec<Field> =
        spec.schema().fields().iter().map(|field| field.as_ref().clone().with_nullable(true)).collect();
    fields.push(Field::new(DELETED_COLUMN, DataType::Boolean, false));
    fields.push(Field::new(ARRIVAL_COLUMN, DataType::UInt64, false));
    Arc::new(Schema::new(fields))
}

/// Running readers and cleaners.
pub(super) struct Cleaning {
    /// One stream of clean rows a cleaner.
    pub(super) rows: Vec<mpsc::Receiver<RecordBatch>>,
    /// Rejected records, with their file's place in the run's order.
    pub(super) rejected: mpsc::Receiver<(usize, Vec<Rejected>)>,
    pub(super) tasks: Tasks,
}

/// The threads behind the streams.
pub(super) struct Tasks(Vec<tokio::task::JoinHandle<Result<Counts>>>);

impl Tasks {
    /// Waits for readers and cleaners. A failure shows only here: the streams just end, so what was
    /// taken from them counts only after this.
    pub(super) async fn finish(self) -> Result<Counts> {
        let mut counts = Counts::default();
        for task in self.0 {
            counts.add(task.await.map_err(|e| Error::bug("a cleaner stopped").cause(e))??);
        }
        Ok(counts)
    }
}

/// Starts reading `files`, in order, with `cleaners` threads. A record is late when its version is
/// older than `newest_seen`.
pub(super) fn start(
    lake: &Lake,
    contract: &Contract,
    files: &[RawFile],
    cleaners: usize,
    newest_seen: Option<i64>,
) -> Cleaning {
    let queue: Arc<Mutex<VecDeque<(usize, RawFile)>>> =
        Arc::new(Mutex::new(files.iter().cloned().enumerate().collect()));
    let mut tasks = Vec::new();
    let (mut inputs, mut rows) = (Vec::new(), Vec::new());
    let (reject, rejected) = mpsc::channel(4);
    for _ in 0..cleaners.max(1) {
        let (input, blocks) = sync_channel::<(usize, Block)>(2);
        let (output, cleaned) = mpsc::channel(4);
        inputs.push(input);
        rows.push(cleaned);
        let (spec, reject) = (contract.spec.clone(), reject.clone());
        tasks.push(tokio::task::spawn_blocking(move || clean(&spec, &blocks, &output, &reject, newest_seen)));
    }
    let readers = cleaners.clamp(1, files.len().max(1));
    for reader in 0..readers {
        let (queue, inputs, lake, csv) = (Arc::clone(&queue), inputs.clone(), lake.clone(), contract.csv);
        let runtime = tokio::runtime::Handle::current();
        tasks.push(tokio::task::spawn_blocking(move || {
            let mut counts = Counts::default();
            let mut turn = reader;
            loop {
                let next = queue.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                let Some((ordinal, file)) = next else { return Ok(counts) };
                let mut options = ReadOptions::new(file.landed.format, file.landed.compression);
                options.csv = csv;
                let input = runtime.block_on(open(&lake, &file))?;
                let unreadable = |e: smelt_clean::ReadError| {
                    Error::data(format!(
                        "raw file `{}` (batch {}, `{}`) cannot be read",
                        file.landed.raw, file.reference.batch, file.landed.path
                    ))
                    .cause(e)
                    .hint(format!("keep it out with `smelt hold {}`, and land a good copy", file.landed.sha256))
                };
                let mut records = 0_u64;
                for block in smelt_clean::open(input, &options).map_err(unreadable)? {
                    let block = block.map_err(unreadable)?;
                    records += block.records() as u64;
                    turn = (turn + 1) % inputs.len();
                    if inputs[turn].send((ordinal, block)).is_err() {
                        // The cleaner has failed and says why itself.
                        return Ok(counts);
                    }
                }
                if records != file.landed.records && count_still_binds(&file) {
                    return Err(Error::data(format!(
                        "raw file `{}` has {records} records, but {} had landed",
                        file.landed.raw, file.landed.records
                    ))
                    .hint("the file in the raw zone is damaged: restore it"));
                }
                counts.records += records;
                counts.bytes += file.landed.bytes;
            }
        }));
    }
    Cleaning { rows, rejected, tasks: Tasks(tasks) }
}

/// Whether the count at landing still binds: a contract's CSV dialect may have changed since.
fn count_still_binds(file: &RawFile) -> bool {
    file.landed.format != smelt_clean::Format::Csv
}

/// A raw file's bytes: the file itself where the store has files, else a temporary copy.
async fn open(lake: &Lake, file: &RawFile) -> Result<Input> {
    use std::io::{Seek, Write};
    let path = Path::from(file.landed.raw.as_str());
    let failed = |e| store_error("read raw file", &path, e);
    let found = lake.store().get(&path).await.map_err(failed)?;
    if found.meta.size != file.landed.bytes {
        return Err(Error::data(format!(
            "raw file `{path}` has {} bytes, but {} had landed",
            found.meta.size, file.landed.bytes
        ))
        .hint("the file in the raw zone is damaged: restore it"));
    }
    match found.payload {
        GetResultPayload::File(file, _) => Ok(Input::File(file)),
        GetResultPayload::Stream(mut stream) => {
            let folder = std::env::temp_dir();
            let mut copy = tempfile::tempfile().map_err(|e| error::io("make a file in", &folder, e))?;
            while let Some(bytes) = stream.next().await {
                copy.write_all(&bytes.map_err(failed)?).map_err(|e| error::io("write to", &folder, e))?;
            }
            copy.rewind().map_err(|e| error::io("read in", &folder, e))?;
            Ok(Input::File(copy))
        }
    }
}

fn clean(
    spec: &EntitySpec,
    blocks: &blocks::Receiver<(usize, Block)>,
    output: &mpsc::Sender<RecordBatch>,
    reject: &mpsc::Sender<(usize, Vec<Rejected>)>,
    newest_seen: Option<i64>,
) -> Result<Counts> {
    let schema = rows_schema(spec);
    let mut cleaner = Cleaner::new(spec, smelt_clean::Limits::default())
        .map_err(|e| Error::bug("a checked contract is refused").cause(e))?;
    let mut counts = Counts::default();
    for (ordinal, block) in blocks {
        let cleaned = cleaner.clean(&block).map_err(|e| Error::bug("a block cannot be cleaned").cause(e))?;
        for (column, count) in cleaned.unknown_columns {
            *counts.unknown_columns.entry(column).or_default() += count;
        }
        for (column, count) in cleaned.missing_columns {
            *counts.missing_columns.entry(column).or_default() += count;
        }
        let versions = cleaned.rows.column(spec.version).as_primitive::<TimestampMicrosecondType>();
        if let Some(seen) = newest_seen {
            counts.late += versions.values().iter().filter(|version| **version < seen).count() as u64;
        }
        counts.newest_version = counts.newest_version.max(arrow::compute::max(versions));
        if cleaned.rows.num_rows() > 0 {
            let rows = with_arrival(&schema, &cleaned.rows, ordinal)?;
            if output.blocking_send(rows).is_err() {
                return Ok(counts);
            }
        }
        if !cleaned.rejected.is_empty() && reject.blocking_send((ordinal, cleaned.rejected)).is_err() {
            return Ok(counts);
        }
    }
    Ok(counts)
}

fn with_arrival(schema: &SchemaRef, rows: &RecordBatch, ordinal: usize) -> Result<RecordBatch> {
    let mut columns: Vec<ArrayRef> = rows.columns().to_vec();
    let positions = columns.pop().ok_or_else(|| Error::bug("cleaned rows have no position"))?;
    let file = (ordinal as u64) << POSITION_BITS;
    let arrivals: UInt64Array = positions.as_primitive::<UInt64Type>().unary(|position| file | position);
    columns.push(Arc::new(arrivals));
    RecordBatch::try_new(Arc::clone(schema), columns).map_err(|e| Error::bug("cleaned rows do not fit").cause(e))
}
