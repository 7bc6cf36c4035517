//! Sorted batches in, Parquet files with statistics out.
//!
//! A file is encoded in memory and put whole, create-only: there is never half a file under a
//! final name, on any store. Encoding runs beside the caller, at most [`ENCODERS`] files at once.

use std::{collections::VecDeque, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, UInt32Array},
    compute::take,
    datatypes::{DataType, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType},
    error::ArrowError,
};
use bytes::Bytes;
use datafusion::common::hash_utils::create_hashes;
use foldhash::{HashSet, fast::FixedState};
use object_store::path::Path;
use parquet::{
    arrow::{ArrowSchemaConverter, ArrowWriter, arrow_reader::statistics::StatisticsConverter},
    basic::Compression,
    file::{
        metadata::ParquetMetaData,
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};
use serde_json::{Map, Value, json};
use tokio::task::JoinHandle;

use super::{FileEntry, Lake, RunId, change_rows::ChangeRows, content_bytes, delta::stored_schema, key_hashes, layout};
use crate::error::{Error, Result};

/// Rows after which a new file is begun: small enough that rewriting one for a late row is cheap.
pub(crate) const FILE_ROWS: usize = 256 * 1024;
/// Bytes of Arrow memory after which a new file is begun, whatever its rows.
const FILE_MEMORY: usize = 96 << 20;
const ROW_GROUP_ROWS: usize = 64 * 1024;
/// So few that a late row here and there in a file does not make all of it to be read.
const PAGE_ROWS: usize = 2048;
const ENCODERS: usize = 2;
/// Columns with a larger share of different values in a sample of 4,096 rows have hashes: with fewer, a value is in
/// about one of four hundred rows, and looking it up comes to reading the column.
const LOOKED_UP: f64 = 0.1;

/// Where a writer's files go.
#[derive(Debug, Clone)]
enum Naming {
    /// `part-<run>-<number>.parquet` in a table's folder.
    Table { folder: Path, run: RunId },
    /// Exactly these paths, by number.
    Changes { run: RunId, table: super::TableName, side: &'static str },
}

/// Writes rows, in the order in which they come, to files of about [`FILE_ROWS`] rows.
#[derive(Debug)]
pub struct FileWriter {
    lake: Lake,
    naming: Naming,
    schema: SchemaRef,
    next: usize,
    batches: Vec<RecordBatch>,
    rows: usize,
    memory: usize,
    /// Where rows are kept that go to files from now on.
    keeping: Option<Arc<ChangeRows>>,
    encoding: VecDeque<JoinHandle<Result<FileEntry>>>,
    done: Vec<FileEntry>,
}

impl FileWriter {
    /// A writer of a table's data files; a run has at most one for each table.
    pub fn table(lake: &Lake, table: &super::TableName, run: &RunId, schema: SchemaRef) -> Self {
        Self::new(lake, Naming::Table { folder: lake.table_folder(table), run: run.clone() }, schema)
    }

    /// A writer of one side (`before` or `after`) of a table's change set: its files have no statistics.
    pub fn changes(lake: &Lake, run: &RunId, table: &super::TableName, side: &'static str, schema: SchemaRef) -> Self {
        Self::new(lake, Naming::Changes { run: run.clone(), table: table.clone(), side }, schema)
    }

    fn new(lake: &Lake, naming: Naming, schema: SchemaRef) -> Self {
        Self {
            lake: lake.clone(),
            naming,
            schema,
            next: 0,
            batches: Vec::new(),
            rows: 0,
            memory: 0,
            keeping: None,
            encoding: VecDeque::new(),
            done: Vec::new(),
        }
    }

    /// Has rows kept, or no more of them: those of files that are cut from now on.
    pub(super) fn keep(&mut self, kept: Option<&Arc<ChangeRows>>) {
        self.keeping = kept.cloned();
    }

    /// Takes rows of the writer's schema.
    pub async fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        let mut offset = 0;
        while offset < batch.num_rows() {
            let take = (FILE_ROWS - self.rows).min(batch.num_rows() - offset);
            let part = batch.slice(offset, take);
            self.memory += content_bytes(&part);
            self.rows += take;
            self.batches.push(part);
            offset += take;
            if self.rows >= FILE_ROWS || self.memory >= FILE_MEMORY {
                self.cut().await?;
            }
        }
        Ok(())
    }

    /// Ends the current file, if it has rows.
    pub async fn cut(&mut self) -> Result<()> {
        if self.rows == 0 {
            return Ok(());
        }
        while self.encoding.len() >= ENCODERS {
            self.collect_one().await?;
        }
        let batches = std::mem::take(&mut self.batches);
        let (rows, schema) = (std::mem::take(&mut self.rows), Arc::clone(&self.schema));
        self.memory = 0;
        let (name, path) = match &self.naming {
            Naming::Table { folder, run } => {
                let name = layout::data_file(run, self.next);
                let path = Path::from(format!("{folder}/{name}"));
                (name, path)
            }
            Naming::Changes { run, table, side } => {
                let path = layout::change(run, table, side, self.next);
                (path.to_string(), path)
            }
        };
        self.next += 1;
        let (lake, keeping) = (self.lake.clone(), self.keeping.clone());
        let is_looked_into = matches!(self.naming, Naming::Table { .. });
        let writing = Arc::clone(&self.lake.writing).read_owned().await;
        self.encoding.push_back(tokio::spawn(async move {
            let _writing = writing;
            let compression = lake.compression;
            let file = path.clone();
            let encoded = tokio::task::spawn_blocking(move || {
                if let Some(kept) = keeping {
                    kept.keep(&file, &schema, &batches).map_err(|e| Error::bug("rows do not fit together").cause(e))?;
                }
                encode(&schema, &batches, compression, is_looked_into)
            });
            let (bytes, stats) = encoded.await.map_err(|e| Error::bug("the Parquet encoder stopped").cause(e))??;
            let size = bytes.len() as u64;
            lake.put_unique(&path, bytes).await?;
            let modified = lake.clock().now().timestamp_millis();
            let stats = Arc::new(stats);
            Ok(FileEntry { path: name, bytes: size, rows: rows as u64, deleted: None, stats, modified })
        }));
        Ok(())
    }

    /// Files that were cut so far.
    pub fn files(&self) -> usize {
        self.next
    }

    async fn collect_one(&mut self) -> Result<()> {
        if let Some(next) = self.encoding.pop_front() {
            self.done.push(next.await.map_err(|e| Error::bug("a file writer stopped").cause(e))??);
        }
        Ok(())
    }

    /// Deletes what was written: the rows turned out to be wanted otherwise.
    pub async fn abandon(mut self) -> Result<()> {
        self.batches.clear();
        self.rows = 0;
        while !self.encoding.is_empty() {
            self.collect_one().await?;
        }
        for file in &self.done {
            let path = match &self.naming {
                Naming::Table { folder, .. } => Path::from(format!("{folder}/{}", file.path)),
                Naming::Changes { .. } => Path::from(file.path.as_str()),
            };
            self.lake.delete(&path).await?;
            if let Some(kept) = &self.keeping {
                kept.forget(std::iter::once(path.as_ref()));
            }
        }
        Ok(())
    }

    /// Ends the last file and waits for all of them; in the order of their rows.
    pub async fn finish(mut self) -> Result<Vec<FileEntry>> {
        self.cut().await?;
        while !self.encoding.is_empty() {
            self.collect_one().await?;
        }
        Ok(self.done)
    }
}

/// What is not looked into much, change sets, has no statistics, and is not worth dictionaries.
fn encode(
    schema: &Schema,
    batches: &[RecordBatch],
    compression: Compression,
    is_looked_into: bool,
) -> Result<(Bytes, Value)> {
    let failed = |e: &dyn std::fmt::Display| Error::bug(format!("cannot encode Parquet: {e}"));
    let mut properties = WriterProperties::builder()
        .set_compression(compression)
        .set_max_row_group_row_count(Some(ROW_GROUP_ROWS))
        .set_data_page_row_count_limit(PAGE_ROWS)
        .set_statistics_enabled(if is_looked_into { EnabledStatistics::Page } else { EnabledStatistics::None })
        .set_statistics_truncate_length(Some(128));
    let mut hashed = Vec::new();
    for (index, field) in schema.fields().iter().enumerate() {
        let different = if is_looked_into { different(batches, index).map_err(|e| failed(&e))? } else { 1.0 };
        // Building a dictionary of ids only to throw it away is a good part of encoding them.
        let worth_a_dictionary = different <= 0.95;
        properties =
            properties.set_column_dictionary_enabled(ColumnPath::from(field.name().as_str()), worth_a_dictionary);
        if is_looked_into && different > LOOKED_UP && key_hashes::hashable(field.data_type()) {
            hashed.push(index);
        }
    }
    let properties = properties.build();
    let stored = Arc::new(writer_schema(schema));
    // Room for all of it: a vector that grows leaves behind as much memory as it takes in the end.
    let mut bytes = Vec::with_capacity(batches.iter().map(content_bytes).sum::<usize>() * 5 / 4 + (64 << 10));
    let mut writer = ArrowWriter::try_new(&mut bytes, Arc::clone(&stored), Some(properties)).map_err(|e| failed(&e))?;
    for batch in batches {
        writer.write(&to_stored(batch, &stored)?).map_err(|e| failed(&e))?;
    }
    if !hashed.is_empty() {
        writer.flush().map_err(|e| failed(&e))?;
        let mut entries = Vec::new();
        for column in hashed {
            let hashes: Vec<u32> =
                batches.iter().filter_map(|batch| key_hashes::hashes(batch.column(column))).flatten().collect();
            let (bytes, entry) =
                key_hashes::stored(schema.field(column).name(), &hashes, writer.bytes_written() as u64);
            writer.write_all(&bytes).map_err(|e| failed(&e))?;
            entries.push(entry);
        }
        writer.append_key_value_metadata(key_hashes::metadata(&entries).map_err(|e| failed(&e))?);
    }
    let metadata = writer.close().map_err(|e| failed(&e))?;
    let stats = if is_looked_into { statistics(&stored, &metadata).map_err(|e| failed(&e))? } else { Value::Null };
    Ok((Bytes::from(bytes), stats))
}

/// The share of a column's values that are different, judged by a sample.
fn different(batches: &[RecordBatch], column: usize) -> Result<f64, ArrowError> {
    const SAMPLE: usize = 4096;
    let rows: usize = batches.iter().map(RecordBatch::num_rows).sum();
    let step = rows.div_ceil(SAMPLE).max(1);
    let (mut sampled, mut values, mut hashes) = (0_usize, HashSet::<u64>::default(), Vec::new());
    for batch in batches {
        let picked = UInt32Array::from_iter_values((0..batch.num_rows() as u32).step_by(step));
        let picked = take(batch.column(column), &picked, None)?;
        sampled += picked.len();
        hashes.clear();
        hashes.resize(picked.len(), 0);
        create_hashes([picked], &FixedState::default(), &mut hashes)
            .map_err(|e| ArrowError::ExternalError(Box::new(e)))?;
        values.extend(&hashes);
    }
    Ok(values.len() as f64 / sampled.max(1) as f64)
}

/// The stored types, but with texts as views: they are encoded without a copy.
fn writer_schema(schema: &Schema) -> Schema {
    let stored = stored_schema(schema);
    Schema::new(
        stored
            .fields()
            .iter()
            .zip(schema.fields())
            .map(|(stored, given)| match given.data_type() {
                DataType::Utf8View => Arc::clone(given),
                _ => Arc::clone(stored),
            })
            .collect::<Vec<_>>(),
    )
}

/// Gives timestamps their zone; no value changes.
fn to_stored(batch: &RecordBatch, stored: &SchemaRef) -> Result<RecordBatch> {
    let columns = batch
        .columns()
        .iter()
        .zip(stored.fields())
        .map(|(column, field)| match (column.data_type(), field.data_type()) {
            (have, want) if have == want => Ok(Arc::clone(column)),
            (DataType::Timestamp(TimeUnit::Microsecond, _), DataType::Timestamp(TimeUnit::Microsecond, zone)) => {
                let array = column.as_primitive::<TimestampMicrosecondType>().clone();
                Ok(Arc::new(array.with_timezone_opt(zone.clone())) as ArrayRef)
            }
            (_, want) => arrow::compute::cast(column, want)
                .map_err(|e| Error::bug(format!("column {} cannot be stored", field.name())).cause(e)),
        })
        .collect::<Result<Vec<_>>>()?;
    RecordBatch::try_new(Arc::clone(stored), columns).map_err(|e| Error::bug("a batch does not fit its table").cause(e))
}

/// Delta's statistics of one file, from the Parquet footer's.
fn statistics(schema: &Schema, metadata: &ParquetMetaData) -> parquet::errors::Result<Value> {
    let parquet_schema = ArrowSchemaConverter::new().convert(schema)?;
    let groups = metadata.row_groups();
    let (mut least, mut greatest, mut nulls) = (Map::new(), Map::new(), Map::new());
    for field in schema.fields() {
        let converter = StatisticsConverter::try_new(field.name(), schema, &parquet_schema)?;
        let count: u64 = converter.row_group_null_counts(groups)?.iter().flatten().sum();
        nulls.insert(field.name().clone(), json!(count));
        let (mins, maxes) = (converter.row_group_mins(groups)?, converter.row_group_maxes(groups)?);
        if let Some(value) = bound(&mins, false) {
            least.insert(field.name().clone(), value);
        }
        if let Some(value) = bound(&maxes, true) {
            greatest.insert(field.name().clone(), value);
        }
    }
    let rows = metadata.file_metadata().num_rows();
    Ok(json!({"numRecords": rows, "minValues": least, "maxValues": greatest, "nullCount": nulls}))
}

/// The least or greatest of the row groups' bounds, as Delta writes it. Decimals have none: JSON
/// numbers would not hold them exactly.
fn bound(values: &ArrayRef, greatest: bool) -> Option<Value> {
    fn pick<T: Ord>(values: impl Iterator<Item = T>, greatest: bool) -> Option<T> {
        if greatest { values.max() } else { values.min() }
    }
    match values.data_type() {
        DataType::Utf8View => pick(values.as_string_view().iter().flatten(), greatest).map(Value::from),
        DataType::Utf8 => pick(values.as_string::<i32>().iter().flatten(), greatest).map(Value::from),
        DataType::Int32 => {
            pick(values.as_primitive::<arrow::datatypes::Int32Type>().iter().flatten(), greatest).map(Value::from)
        }
        DataType::Int64 => {
            pick(values.as_primitive::<arrow::datatypes::Int64Type>().iter().flatten(), greatest).map(Value::from)
        }
        DataType::Date32 => {
            let days = pick(values.as_primitive::<arrow::datatypes::Date32Type>().iter().flatten(), greatest)?;
            arrow::temporal_conversions::date32_to_datetime(days).map(|day| day.format("%Y-%m-%d").to_string().into())
        }
        DataType::Timestamp(TimeUnit::Microsecond, _) => {
            let micros = pick(values.as_primitive::<TimestampMicrosecondType>().iter().flatten(), greatest)?;
            let time = chrono::DateTime::from_timestamp_micros(micros)?;
            Some(time.format("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into())
        }
        _ => None,
    }
}
