//! Columns of one data file, all rows or some: pages that have none of them are not read.
//!
//! Footers are kept, since files never change; values are picked out of pages where that is possible, and decoded
//! elsewhere.

use std::{
    collections::HashMap,
    io,
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{Array, ArrayRef, RecordBatch, RecordBatchOptions, UInt32Array},
    datatypes::{Field, Schema, SchemaRef},
};
use bytes::Bytes;
use futures::{FutureExt, TryStreamExt, future::BoxFuture};
use object_store::{ObjectStore, ObjectStoreExt, path::Path};
use parquet::{
    arrow::{
        ParquetRecordBatchStreamBuilder, ProjectionMask,
        arrow_reader::{ArrowReaderMetadata, ArrowReaderOptions, RowSelection},
        async_reader::AsyncFileReader,
    },
    errors::ParquetError,
    file::metadata::{PageIndexPolicy, ParquetMetaData, ParquetMetaDataReader},
};
use roaring::RoaringBitmap;
use smelt_pages::Picker;

use super::{FileEntry, Lake, key_hashes, near::Near};
use crate::error::{Error, Result};

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
pub(super) struct Footers(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    footers: HashMap<Path, Arc<ParquetMetaData>>,
    bytes: usize,
}

impl Footers {
    const MOST_BYTES: usize = 64 << 20;

    fn get(&self, path: &Path) -> Option<Arc<ParquetMetaData>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).footers.get(path).cloned()
    }

    fn keep(&self, path: &Path, footer: &Arc<ParquetMetaData>) {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = footer.memory_size();
        if known.bytes + bytes > Self::MOST_BYTES {
            *known = Known::default();
        }
        known.bytes += bytes;
        known.footers.insert(path.clone(), Arc::clone(footer));
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
    // Not by names, which would be paths: a column may have a dot in its name.
    let parquet = builder.parquet_schema();
    let is_wanted = |leaf: &usize| {
        let leaf = parquet.column(*leaf);
        columns.iter().any(|&column| leaf.path().parts() == [schema.field(column).name().as_str()])
    };
    let mask = ProjectionMask::leaves(parquet, (0..parquet.num_columns()).filter(is_wanted));
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
