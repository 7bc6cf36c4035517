//! Sorted batches in, Parquet files with statistics out; and columns of one file back.
//!
//! A file is encoded in memory and put whole, create-only: there is never half a file under a
//! final name, on any store. Encoding runs beside the caller, at most [`ENCODERS`] files at once.

use std::{
    collections::{HashMap, VecDeque},
    io,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, RecordBatch, RecordBatchOptions, UInt32Array},
    compute::{concat_batches, take},
    datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit, TimestampMicrosecondType},
    error::ArrowError,
};
use bytes::Bytes;
use datafusion::common::hash_utils::create_hashes;
use foldhash::{HashSet, fast::FixedState};
use futures::{FutureExt, TryStreamExt, future::BoxFuture};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use parquet::{
    arrow::{
        ArrowSchemaConverter, ArrowWriter, ParquetRecordBatchStreamBuilder, ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection, statistics::StatisticsConverter},
        async_reader::AsyncFileReader,
    },
    basic::Compression,
    errors::ParquetError,
    file::{
        metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader},
        properties::{EnabledStatistics, WriterProperties},
    },
    schema::types::ColumnPath,
};
use roaring::RoaringBitmap;
use serde_json::{Map, Value, json};
use smelt_pages::Picker;
use tokio::task::JoinHandle;

use super::{FileEntry, Lake, RunId, delta::stored_schema, key_hashes, layout, near::Near};
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
    encoding: VecDeque<JoinHandle<Result<FileEntry>>>,
    done: Vec<FileEntry>,
}

impl FileWriter {
    /// A writer of a table's data files; a run has at most one for each table.
    pub fn table(lake: &Lake, table: &super::TableName, run: &RunId, schema: SchemaRef) -> Self {
        Self::new(lake, Naming::Table { folder: lake.table_folder(table), run: run.clone() }, schema)
    }

    /// A writer of one side (`before` or `after`) of a table's change set.
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
            encoding: VecDeque::new(),
            done: Vec::new(),
        }
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
        let lake = self.lake.clone();
        let is_looked_into = matches!(self.naming, Naming::Table { .. });
        let writing = Arc::clone(&self.lake.writing).read_owned().await;
        self.encoding.push_back(tokio::spawn(async move {
            let _writing = writing;
            let compression = lake.compression;
            let encoded = tokio::task::spawn_blocking(move || encode(&schema, &batches, compression, is_looked_into))
                .await
                .map_err(|e| Error::bug("the Parquet encoder stopped").cause(e))??;
            let (bytes, stats) = encoded;
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
        .set_statistics_enabled(EnabledStatistics::Page)
        .set_statistics_truncate_length(Some(128));
    let mut hashed = Vec::new();
    for (index, field) in schema.fields().iter().enumerate() {
        let different = different(batches, index).map_err(|e| failed(&e))?;
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
    let mut bytes = Vec::new();
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
    let stats = statistics(&stored, &metadata).map_err(|e| failed(&e))?;
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

/// Some rows of a data file, and where in the file each of them stands.
#[derive(Debug)]
pub struct FileRows {
    pub rows: RecordBatch,
    pub places: UInt32Array,
}

/// A data file whose footer is read.
pub(super) struct Opened {
    file: StoredFile,
    rows: u64,
    pub(super) metadata: Arc<ParquetMetaData>,
    arrow: ArrowReaderMetadata,
}

impl Opened {
    pub(super) async fn new(lake: &Lake, folder: &Path, file: &FileEntry) -> Result<Self> {
        let path = Path::from(format!("{folder}/{}", file.path));
        let mut stored = StoredFile { store: lake.store(), near: lake.near.clone(), path, bytes: file.bytes };
        let metadata = match lake.footers.get(&stored.path) {
            Some(metadata) => metadata,
            None => {
                let metadata = stored.get_metadata(None).await.map_err(|e| stored.damaged(e))?;
                lake.footers.keep(&stored.path, &metadata);
                metadata
            }
        };
        let arrow = ArrowReaderMetadata::try_new(Arc::clone(&metadata), ArrowReaderOptions::new())
            .map_err(|e| stored.damaged(e))?;
        Ok(Self { file: stored, rows: file.stored_rows(), metadata, arrow })
    }

    /// The file's columns as they are stored.
    pub(super) fn schema(&self) -> &Schema {
        self.arrow.schema()
    }

    /// The hashes of a column's values, row by row, if the file has them.
    pub(super) async fn key_hashes(&self, column: &Field) -> Result<Option<key_hashes::Hashes>> {
        let Ok(stored) = self.schema().field_with_name(column.name()) else { return Ok(None) };
        let found = key_hashes::find(&self.metadata, column.name(), stored.data_type(), column.data_type());
        let Some(entry) = found else { return Ok(None) };
        let bytes = self.file.read(entry.range(self.rows)).await.map_err(|e| self.file.damaged(e))?;
        let hashes = entry.read(bytes);
        let damaged =
            || self.file.damaged(ParquetError::General("the hashes of its keys are not what was written".into()));
        hashes.map(Some).ok_or_else(damaged)
    }
}

/// Footers that were read, with the index of pages: files never change. A run looks many times into the same ones.
#[derive(Debug, Default)]
pub(crate) struct Footers(Mutex<Kept>);

#[derive(Debug, Default)]
struct Kept {
    footers: HashMap<Path, Arc<ParquetMetaData>>,
    bytes: usize,
}

impl Footers {
    const MOST_BYTES: usize = 64 << 20;

    fn get(&self, path: &Path) -> Option<Arc<ParquetMetaData>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).footers.get(path).cloned()
    }

    fn keep(&self, path: &Path, footer: &Arc<ParquetMetaData>) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = footer.memory_size();
        if kept.bytes + bytes > Self::MOST_BYTES {
            *kept = Kept::default();
        }
        kept.bytes += bytes;
        kept.footers.insert(path.clone(), Arc::clone(footer));
    }
}

/// Some columns of the rows that are there of one data file, batch by batch, in file order, with SQL's types.
pub async fn read_columns(
    lake: &Lake,
    folder: &Path,
    file: &FileEntry,
    schema: &SchemaRef,
    columns: &[usize],
) -> Result<Vec<FileRows>> {
    read_places(&Opened::new(lake, folder, file).await?, schema, columns, &file.rows_there()).await
}

/// Some columns of some rows of a data file, whether they are deleted or not; pages without any are not read.
pub(super) async fn read_places(
    opened: &Opened,
    schema: &SchemaRef,
    columns: &[usize],
    rows: &RoaringBitmap,
) -> Result<Vec<FileRows>> {
    let names: Vec<&str> = columns.iter().map(|&column| schema.field(column).name().as_str()).collect();
    let picker = Picker::new(Arc::clone(&opened.metadata), opened.schema(), &names, rows);
    let batches = match picker.filter(|_| rows.len() < opened.rows && !columns.is_empty()) {
        Some(picker) => picked(opened, schema, columns, picker).await?,
        None => decoded(opened, schema, columns, rows).await?,
    };
    let mut places = rows.iter();
    let placed = batches.into_iter().map(|rows| {
        let places = places.by_ref().take(rows.num_rows()).collect::<Vec<_>>();
        FileRows { rows, places: places.into() }
    });
    Ok(placed.collect())
}

/// Rows that are picked from their pages.
async fn picked(opened: &Opened, schema: &SchemaRef, columns: &[usize], picker: Picker) -> Result<Vec<RecordBatch>> {
    let by_column = opened.file.pick(picker).await.map_err(|e| opened.file.damaged(e))?;
    let wanted = Arc::new(schema.project(columns).map_err(|e| Error::bug("a projection is out of range").cause(e))?);
    let mut by_column: Vec<_> = by_column.into_iter().map(Vec::into_iter).collect();
    let batches = std::iter::from_fn(|| by_column.iter_mut().map(Iterator::next).collect::<Option<Vec<ArrayRef>>>());
    batches.map(|arrays| as_wanted(&opened.file.path, &wanted, &arrays, arrays[0].len())).collect()
}

/// Columns with SQL's types.
fn as_wanted(path: &Path, wanted: &SchemaRef, columns: &[ArrayRef], rows: usize) -> Result<RecordBatch> {
    let columns = std::iter::zip(columns, wanted.fields()).map(|(column, field)| {
        arrow::compute::cast(column, field.data_type())
            .map_err(|e| Error::data(format!("data file `{path}`, column `{}`", field.name())).cause(e))
    });
    let options = RecordBatchOptions::new().with_row_count(Some(rows));
    RecordBatch::try_new_with_options(Arc::clone(wanted), columns.collect::<Result<Vec<_>>>()?, &options)
        .map_err(|e| Error::data(format!("data file `{path}` does not fit its table")).cause(e))
}

/// Rows whose pages are decoded.
async fn decoded(
    opened: &Opened,
    schema: &SchemaRef,
    columns: &[usize],
    rows: &RoaringBitmap,
) -> Result<Vec<RecordBatch>> {
    let file = &opened.file;
    let builder = ParquetRecordBatchStreamBuilder::new_with_metadata(file.clone(), opened.arrow.clone());
    let mask = ProjectionMask::columns(
        builder.parquet_schema(),
        columns.iter().map(|&column| schema.field(column).name().as_str()),
    );
    let wanted = Arc::new(schema.project(columns).map_err(|e| Error::bug("a projection is out of range").cause(e))?);
    let builder = builder.with_projection(mask).with_batch_size(8192);
    let builder = if rows.len() < opened.rows {
        builder.with_row_selection(selection(rows, opened.rows as usize))
    } else {
        builder
    };
    let batches: Vec<RecordBatch> =
        builder.build().map_err(|e| file.damaged(e))?.try_collect().await.map_err(|e| file.damaged(e))?;
    let path = &file.path;
    let in_order = batches.into_iter().map(|batch| {
        let columns = wanted.fields().iter().map(|field| {
            let column = batch.column_by_name(field.name()).cloned();
            column.ok_or_else(|| Error::data(format!("data file `{path}` has no column `{}`", field.name())))
        });
        as_wanted(path, &wanted, &columns.collect::<Result<Vec<_>>>()?, batch.num_rows())
    });
    in_order.collect()
}

/// What is read of a file of `total` rows.
fn selection(rows: &RoaringBitmap, total: usize) -> RowSelection {
    let mut rows = rows.iter();
    let ranges =
        std::iter::from_fn(|| rows.next_range()).map(|range| *range.start() as usize..*range.end() as usize + 1);
    RowSelection::from_consecutive_ranges(ranges, total)
}

/// A file on the store, read range by range.
#[derive(Clone)]
struct StoredFile {
    store: Arc<dyn ObjectStore>,
    near: Option<Arc<Near>>,
    path: Path,
    bytes: u64,
}

impl StoredFile {
    fn damaged(&self, failure: ParquetError) -> Error {
        Error::data(format!("data file `{}` cannot be read", self.path))
            .cause(failure)
            .hint("a file of the snapshot is damaged or gone: `smelt rebuild` makes the tables anew from raw")
    }

    /// A damaged footer asks for anything, and room is made for it before it is looked for.
    fn has(&self, ranges: &[Range<u64>]) -> parquet::errors::Result<()> {
        if ranges.iter().any(|range| range.start > range.end || range.end > self.bytes) {
            return Err(ParquetError::EOF("its footer names bytes that it has not".into()));
        }
        Ok(())
    }

    async fn read(&self, range: Range<u64>) -> parquet::errors::Result<Bytes> {
        self.has(std::slice::from_ref(&range))?;
        match &self.near {
            Some(near) => near.read(&self.path, range).await.map(Bytes::from_owner).map_err(external),
            None => self.store.get_range(&self.path, range).await.map_err(external),
        }
    }

    /// By column, the values that are picked.
    async fn pick(&self, picker: Picker) -> parquet::errors::Result<Vec<Vec<ArrayRef>>> {
        let columns: Vec<Together> = (0..picker.columns()).map(|column| picker.ranges(column).into()).collect();
        for column in &columns {
            self.has(&column.ranges)?;
        }
        if let Some(near) = &self.near {
            let picked = near.on(&self.path, move |file, mut buffer| {
                let each = columns.iter().enumerate().map(|(column, together)| {
                    buffer.fill(file, &together.pieces)?;
                    picker.pick(column, &together.parts(&[buffer.as_ref()])?).map_err(io::Error::other)
                });
                each.collect()
            });
            return picked.await.map_err(external);
        }
        // All at once: one trip to the store, and not one for each column.
        let pieces: Vec<Range<u64>> = columns.iter().flat_map(|column| &column.pieces).cloned().collect();
        let read = self.store.get_ranges(&self.path, &pieces).await.map_err(external)?;
        let mut read = read.iter().map(|bytes| bytes.as_ref());
        let each = columns.iter().enumerate().map(|(column, together)| {
            let pieces: Vec<&[u8]> = read.by_ref().take(together.pieces.len()).collect();
            picker.pick(column, &together.parts(&pieces)?).map_err(external)
        });
        each.collect()
    }
}

fn external(failure: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> ParquetError {
    ParquetError::External(failure.into())
}

/// Ranges of a file, those that follow each other to be read in one piece.
struct Together {
    ranges: Vec<Range<u64>>,
    pieces: Vec<Range<u64>>,
}

impl From<Vec<Range<u64>>> for Together {
    fn from(ranges: Vec<Range<u64>>) -> Self {
        let mut pieces: Vec<Range<u64>> = Vec::new();
        for range in ranges.iter().filter(|range| !range.is_empty()) {
            match pieces.last_mut() {
                Some(last) if last.end == range.start => last.end = range.end,
                _ => pieces.push(range.clone()),
            }
        }
        Self { ranges, pieces }
    }
}

impl Together {
    /// Each range's bytes, of the pieces', which may be in one buffer or in several.
    fn parts<'b>(&self, read: &[&'b [u8]]) -> parquet::errors::Result<Vec<&'b [u8]>> {
        let short = || ParquetError::EOF("it ends before its pages do".into());
        let wanted: u64 = self.pieces.iter().map(|piece| piece.end - piece.start).sum();
        if read.iter().map(|bytes| bytes.len() as u64).sum::<u64>() != wanted {
            return Err(short());
        }
        let (mut read, mut rest) = (read.iter(), &[][..]);
        let each = self.ranges.iter().map(|range| {
            if rest.is_empty() && !range.is_empty() {
                rest = read.next().copied().unwrap_or_default();
            }
            let (part, later) = rest.split_at_checked((range.end - range.start) as usize).ok_or_else(short)?;
            rest = later;
            Ok(part)
        });
        each.collect()
    }
}

impl AsyncFileReader for StoredFile {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        async move { self.store.get_range(&self.path, range).await.map_err(external) }.boxed()
    }

    /// All at once: one trip to the store, or to the threads that read files, and not one for each page.
    fn get_byte_ranges(&mut self, ranges: Vec<Range<u64>>) -> BoxFuture<'_, parquet::errors::Result<Vec<Bytes>>> {
        async move {
            self.has(&ranges)?;
            self.store.get_ranges(&self.path, &ranges).await.map_err(external)
        }
        .boxed()
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        async move {
            let size = self.bytes;
            // One request usually brings the whole footer, and the index of pages, which lies before it.
            let reader = ParquetMetaDataReader::new()
                .with_prefetch_hint(Some(64 << 10))
                .with_page_index_policy(PageIndexPolicy::Optional);
            Ok(Arc::new(reader.load_and_finish(self, size).await?))
        }
        .boxed()
    }
}

/// The bytes of a batch's values. Views of texts share buffers, so their buffers' sizes say nothing.
pub(crate) fn content_bytes(batch: &RecordBatch) -> usize {
    let column = |column: &ArrayRef| match column.data_type() {
        // The low half of a view is its length.
        DataType::Utf8View => {
            column.as_string_view().views().iter().map(|view| (*view as u32) as usize).sum::<usize>()
                + 16 * column.len()
        }
        DataType::Utf8 => {
            let offsets = column.as_string::<i32>().value_offsets();
            let (first, last) = (offsets.first().copied(), offsets.last().copied());
            (last.unwrap_or_default() - first.unwrap_or_default()) as usize + 4 * column.len()
        }
        other => other.primitive_width().unwrap_or(8) * column.len(),
    };
    batch.columns().iter().map(column).sum()
}

/// One batch of many.
pub(crate) fn concat(schema: &SchemaRef, batches: &[RecordBatch]) -> Result<RecordBatch> {
    concat_batches(schema, batches).map_err(|e| Error::bug("batches of one table do not fit together").cause(e))
}

#[cfg(test)]
mod tests {
    use object_store::memory::InMemory;

    use super::*;

    #[tokio::test]
    async fn a_footer_that_names_bytes_which_are_not_there_is_told_and_no_room_is_made_for_them() {
        let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
        let path = Path::from("gold/t/part");
        store.put(&path, Bytes::from_static(b"eight ok").into()).await.unwrap();
        let mut file = StoredFile { store, near: None, path, bytes: 8 };
        assert_eq!(file.get_byte_ranges(vec![0..5, 6..8]).await.unwrap(), ["eight", "ok"]);
        for beyond in [0..u64::MAX, 4..9, Range { start: 5, end: 4 }] {
            assert!(file.get_byte_ranges(vec![0..1, beyond]).await.is_err());
        }
    }
}
