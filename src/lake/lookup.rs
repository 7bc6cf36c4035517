//! Rows of a data file by the values of some columns.
//!
//! Pages whose least and greatest values have no wanted key between them are not read. Of the others the
//! key columns are, and of all other columns only the pages of rows that are found.

use std::{collections::HashSet, sync::Arc};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, UInt32Array},
    buffer::BooleanBuffer,
    compute::{cast, filter, filter_record_batch, take},
    datatypes::{DataType, Schema, SchemaRef, UInt32Type},
    row::{RowConverter, SortField},
};
use datafusion::common::{hash_utils::create_hashes, runtime::SpawnedTask};
use foldhash::fast::{FixedState, RandomState};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::path::Path;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use roaring::RoaringBitmap;

use super::{
    FileEntry, FileRows, Lake, TableFiles, TableName,
    parquet_files::{Opened, read_columns, read_places},
};
use crate::error::{Error, Result};

/// Values of some columns, NULL being one.
pub(crate) struct Keys {
    /// Where they are in the table.
    columns: Vec<usize>,
    converter: RowConverter,
    values: HashSet<Box<[u8]>, RandomState>,
    /// The bits of the values' hashes: most rows are told to have none of them by one look.
    bits: Vec<u64>,
    hasher: FixedState,
    /// By column: its values alone.
    alone: Vec<Values>,
}

/// The values of one column, sorted.
struct Values {
    converter: RowConverter,
    /// None if NULL is among them: statistics do not say where it is.
    sorted: Option<Vec<Box<[u8]>>>,
}

impl Keys {
    /// Keys in some columns of a table, from batches of these columns.
    pub(crate) fn new(schema: &Schema, columns: Vec<usize>, batches: &[RecordBatch]) -> Result<Self> {
        let failed = |e| Error::bug("keys cannot be compared").cause(e);
        let field = |column: usize| SortField::new(schema.field(column).data_type().clone());
        let converter = RowConverter::new(columns.iter().map(|&column| field(column)).collect()).map_err(failed)?;
        let alone = columns.iter().map(|&column| {
            let converter = RowConverter::new(vec![field(column)]).map_err(failed)?;
            Ok(Values { converter, sorted: Some(Vec::new()) })
        });
        let mut alone = alone.collect::<Result<Vec<_>>>()?;
        let hasher = FixedState::default();
        let mut values = HashSet::with_hasher(RandomState::default());
        let count: usize = batches.iter().map(RecordBatch::num_rows).sum();
        let mut bits = vec![0_u64; (count * BITS_A_KEY / 64).next_power_of_two()];
        let mut hashes = Vec::new();
        for batch in batches {
            let keys = std::iter::zip(batch.columns(), &columns)
                .map(|(keys, &column)| cast(keys, schema.field(column).data_type()))
                .collect::<Result<Vec<_>, _>>()
                .map_err(failed)?;
            for hash in hashed(&keys, &hasher, &mut hashes)? {
                let (word, bit) = place(*hash, bits.len());
                bits[word] |= bit;
            }
            values.extend(converter.convert_columns(&keys).map_err(failed)?.iter().map(|row| row.as_ref().into()));
            for (values, keys) in std::iter::zip(&mut alone, keys) {
                values.add(keys).map_err(failed)?;
            }
        }
        for values in &mut alone {
            if let Some(sorted) = &mut values.sorted {
                sorted.sort_unstable();
                sorted.dedup();
            }
        }
        Ok(Self { columns, converter, values, bits, hasher, alone })
    }

    pub(crate) fn len(&self) -> usize {
        self.values.len()
    }

    /// Which rows have one of the keys.
    fn have(&self, keys: &[ArrayRef]) -> Result<BooleanArray> {
        let failed = |e| Error::bug("keys cannot be compared").cause(e);
        let mut hashes = Vec::new();
        let hashes = hashed(keys, &self.hasher, &mut hashes)?;
        let likely: BooleanBuffer = hashes
            .iter()
            .map(|hash| {
                let (word, bit) = place(*hash, self.bits.len());
                self.bits[word] & bit != 0
            })
            .collect();
        let rows: Vec<u32> = likely.set_indices().map(|row| row as u32).collect();
        let mut found = BooleanBufferBuilder::new(hashes.len());
        found.append_n(hashes.len(), false);
        let rows = UInt32Array::from(rows);
        let some = keys.iter().map(|keys| take(keys, &rows, None)).collect::<Result<Vec<_>, _>>().map_err(failed)?;
        let encoded = self.converter.convert_columns(&some).map_err(failed)?;
        for (row, key) in std::iter::zip(rows.values(), encoded.iter()) {
            found.set_bit(*row as usize, self.values.contains(key.as_ref()));
        }
        Ok(BooleanArray::new(found.finish(), None))
    }
}

/// With fewer rows found than one in so many they are picked while they are read.
const SCATTERED: u64 = 16;

/// Bits that the hashes of keys are spread over: one row in so many is looked at in vain.
const BITS_A_KEY: usize = 16;

fn hashed<'a>(keys: &[ArrayRef], hasher: &FixedState, hashes: &'a mut Vec<u64>) -> Result<&'a [u64]> {
    hashes.clear();
    hashes.resize(keys.first().map_or(0, |keys| keys.len()), 0);
    create_hashes(keys, hasher, hashes).map_err(|e| Error::bug("keys cannot be hashed").cause(e))?;
    Ok(hashes)
}

/// Where a hash has its bit among some words, a power of two of them.
fn place(hash: u64, words: usize) -> (usize, u64) {
    ((hash >> 6) as usize & (words - 1), 1 << (hash & 63))
}

impl Values {
    fn add(&mut self, keys: ArrayRef) -> Result<(), arrow::error::ArrowError> {
        if keys.null_count() > 0 {
            self.sorted = None;
        }
        if let Some(sorted) = &mut self.sorted {
            sorted.extend(self.converter.convert_columns(&[keys])?.iter().map(|row| Box::from(row.as_ref())));
        }
        Ok(())
    }

    /// Which of some ranges, given by their least and greatest values, may hold one of the values.
    fn may_be_in(&self, least: ArrayRef, greatest: ArrayRef) -> Option<Vec<bool>> {
        let sorted = self.sorted.as_ref()?;
        let known: Vec<bool> =
            (0..least.len()).map(|range| least.is_valid(range) && greatest.is_valid(range)).collect();
        let least = self.converter.convert_columns(&[least]).ok()?;
        let greatest = self.converter.convert_columns(&[greatest]).ok()?;
        let may = known.into_iter().enumerate().map(|(range, known)| {
            let (least, greatest) = (least.row(range), greatest.row(range));
            let first = sorted.partition_point(|value| value.as_ref() < least.as_ref());
            !known || sorted.get(first).is_some_and(|value| value.as_ref() <= greatest.as_ref())
        });
        Some(may.collect())
    }
}

/// Files that are looked into at once.
const READERS: usize = 2;

/// Rows with the position of their file in the table's list.
pub(crate) type PlacedRows = BoxStream<'static, Result<(usize, FileRows)>>;

/// Some columns of a table's rows, or of those with wanted keys, with the position of their file, in file order.
pub(crate) fn placed_rows(
    lake: &Lake,
    table: &TableName,
    files: &TableFiles,
    keys: Option<Keys>,
    columns: Vec<usize>,
) -> PlacedRows {
    let (lake, folder, schema) = (lake.clone(), lake.table_folder(table), Arc::clone(&files.schema));
    let (keys, columns) = (Arc::new(keys), Arc::new(columns));
    let found = futures::stream::iter(files.files.clone().into_iter().enumerate()).map(move |(place, file)| {
        let (lake, folder, schema) = (lake.clone(), folder.clone(), Arc::clone(&schema));
        let (keys, columns) = (Arc::clone(&keys), Arc::clone(&columns));
        let found = SpawnedTask::spawn(async move {
            match &*keys {
                Some(keys) => lookup(&lake, &folder, &file, &schema, keys, &columns).await,
                None => read_columns(&lake, &folder, &file, &schema, &columns).await,
            }
        });
        found.map(move |found| {
            let found = found.map_err(|e| Error::bug("a reader stopped").cause(e)).flatten()?;
            Ok::<_, Error>(futures::stream::iter(found.into_iter().map(move |rows| Ok((place, rows)))))
        })
    });
    found.buffered(READERS).try_flatten().boxed()
}

/// Some columns of the rows of one data file that are there and have wanted keys, in file order.
pub(crate) async fn lookup(
    lake: &Lake,
    folder: &Path,
    file: &FileEntry,
    schema: &SchemaRef,
    keys: &Keys,
    columns: &[usize],
) -> Result<Vec<FileRows>> {
    if keys.values.is_empty() {
        return Ok(Vec::new());
    }
    let opened = Opened::new(lake, folder, file).await?;
    let mut candidates = file.rows_there();
    for (values, &column) in std::iter::zip(&keys.alone, &keys.columns) {
        if let Some(pages) = pages(&opened, schema, column, values) {
            candidates &= pages;
        }
    }
    tracing::trace!(file = file.path, rows = file.rows, candidates = candidates.len(), keys = keys.len(), "lookup");
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let failed = |e| Error::bug("rows cannot be picked").cause(e);
    let enough = columns.iter().all(|column| keys.columns.contains(column));
    let mut read: Vec<usize> = keys.columns.clone();
    read.sort_unstable();
    read.dedup();
    let at = |column: &usize| read.binary_search(column).unwrap_or_default();
    let (mut found, mut rows_found) = (RoaringBitmap::new(), Vec::new());
    for FileRows { rows, places } in read_places(&opened, schema, &read, &candidates).await? {
        let values: Vec<ArrayRef> = keys.columns.iter().map(|column| rows.column(at(column)).clone()).collect();
        let wanted = keys.have(&values)?;
        if wanted.true_count() == 0 {
            continue;
        }
        let places = filter(&places, &wanted).map_err(failed)?.as_primitive::<UInt32Type>().clone();
        if enough {
            let rows = filter_record_batch(&rows, &wanted)
                .and_then(|rows| rows.project(&columns.iter().map(at).collect::<Vec<_>>()))
                .map_err(failed)?;
            rows_found.push(FileRows { rows, places });
        } else {
            found.extend(places.values().iter().copied());
        }
    }
    if enough || found.is_empty() {
        return Ok(rows_found);
    }
    if found.len() * SCATTERED < candidates.len() {
        return read_places(&opened, schema, columns, &found).await;
    }
    // Picking many rows while they are read costs more than reading those between them, too.
    let read = read_places(&opened, schema, columns, &candidates).await?;
    let picked = read.into_iter().map(|FileRows { rows, places }| {
        let wanted: BooleanArray = places.values().iter().map(|place| Some(found.contains(*place))).collect();
        let places = filter(&places, &wanted).map_err(failed)?.as_primitive::<UInt32Type>().clone();
        Ok(FileRows { rows: filter_record_batch(&rows, &wanted).map_err(failed)?, places })
    });
    picked.collect()
}

/// The rows in pages that may hold one of the values; none where the file does not tell.
fn pages(opened: &Opened, schema: &Schema, column: usize, values: &Values) -> Option<RoaringBitmap> {
    let metadata = &opened.metadata;
    let (columns, offsets) = (metadata.column_index()?, metadata.offset_index()?);
    let parquet = metadata.file_metadata().schema_descr();
    let converter = StatisticsConverter::try_new(schema.field(column).name(), opened.schema(), parquet).ok()?;
    let groups: Vec<usize> = (0..metadata.num_row_groups()).collect();
    let wanted: &DataType = schema.field(column).data_type();
    let least = cast(&converter.data_page_mins(columns, offsets, &groups).ok()?, wanted).ok()?;
    let greatest = cast(&converter.data_page_maxes(columns, offsets, &groups).ok()?, wanted).ok()?;
    let counts = converter.data_page_row_counts(offsets, metadata.row_groups(), &groups).ok()??;
    let may = values.may_be_in(least, greatest)?;
    let mut rows = RoaringBitmap::new();
    let mut from = 0_u32;
    for (count, may) in std::iter::zip(counts.values(), may) {
        let to = from + *count as u32;
        if may {
            rows.insert_range(from..to);
        }
        from = to;
    }
    Some(rows)
}
