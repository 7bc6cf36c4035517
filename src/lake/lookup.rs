//! Rows of a data file by the values of some columns.
//!
//! Pages whose least and greatest values have no wanted key between them are not read. Where a file has
//! hashes of its keys, they tell which rows of the others may be wanted; else the key columns are read.
//! Of all other columns only the pages of such rows are.

use std::{
    cmp::Ordering,
    collections::{HashMap, HashSet},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use arrow::{
    array::{Array, ArrayRef, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, UInt32Array},
    buffer::BooleanBuffer,
    compute::{cast, filter, filter_record_batch, take},
    datatypes::{DataType, Schema, SchemaRef, UInt32Type},
    error::ArrowError,
    row::{Row, RowConverter, Rows, SortField},
};
use datafusion::common::{hash_utils::create_hashes, runtime::SpawnedTask, utils::normalize_float_zero};
use foldhash::fast::{FixedState, RandomState};
use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream::BoxStream};
use object_store::path::Path;
use parquet::arrow::arrow_reader::statistics::StatisticsConverter;
use roaring::RoaringBitmap;

use super::{
    FileEntry, FileRows, Lake, TableFiles, TableName,
    file_reader::{Opened, read_columns, read_places},
    key_hashes::{self, Hashes},
};
use crate::error::{Error, Result};

/// Values of some columns, NULL being one.
pub(crate) struct Keys {
    /// Where they are in the table.
    columns: Vec<usize>,
    /// By batch, each column's, with the table's types.
    batches: Vec<Vec<ArrayRef>>,
    count: usize,
    /// Whether only rows with these keys are wanted, or others may be among them.
    alone: bool,
    /// By column.
    values: Vec<Values>,
    /// Made where rows are compared with them.
    compared: Mutex<Option<Arc<Compared>>>,
}

/// Keys that rows are compared with.
struct Compared {
    converter: RowConverter,
    values: Distinct,
    /// The bits of the values' hashes: most rows are told to have none of them by one look.
    bits: Vec<u64>,
    hasher: FixedState,
}

/// Rows, each once.
struct Distinct {
    rows: Rows,
    /// By hash, the last row that has it.
    last: HashMap<u64, u32, RandomState>,
    /// By row, the one of the same hash before it.
    before: Vec<Option<u32>>,
}

/// The values of one column.
struct Values {
    /// Where in the order of values they are; none if NULL or NaN may be among them: statistics do not say
    /// where these are.
    order: Option<Order>,
    /// None for a type of which files have no hashes.
    hashes: Option<Hashed>,
}

/// Values by their hashes, as files have them.
struct Hashed {
    all: HashSet<u32, RandomState>,
    /// Their bits: most rows are told to have none of them by one look.
    bits: Vec<u64>,
}

/// The order of values, by eight bytes of each that follow those with which all begin.
struct Order {
    converter: RowConverter,
    common: Vec<u8>,
    eights: Vec<u64>,
}

impl Keys {
    /// Keys in some columns of a table, from batches of these columns.
    pub(crate) fn new(schema: &Schema, columns: Vec<usize>, batches: &[RecordBatch]) -> Result<Self> {
        let types: Vec<&DataType> = columns.iter().map(|&column| schema.field(column).data_type()).collect();
        let cast_batch = |batch: &RecordBatch| {
            let keys = std::iter::zip(batch.columns(), &types);
            keys.map(|(keys, kind)| Ok(normalize_float_zero(&cast(keys, kind)?))).collect::<Result<Vec<_>, _>>()
        };
        let batches = batches.iter().map(cast_batch).collect::<Result<Vec<_>, _>>().map_err(incomparable)?;
        let count = batches.iter().map(|batch| batch.first().map_or(0, |keys| keys.len())).sum();
        let values = types.iter().enumerate().map(|(place, kind)| {
            let all: Vec<&ArrayRef> = batches.iter().map(|batch| &batch[place]).collect();
            Values::new(kind, &all, count)
        });
        let values = values.collect::<Result<_, _>>().map_err(incomparable)?;
        Ok(Self { columns, batches, count, alone: true, values, compared: Mutex::default() })
    }

    /// Rows with other keys may be given, too, where telling them apart costs more.
    pub(crate) fn among_others(self) -> Self {
        Self { alone: false, ..self }
    }

    /// At most so many are different.
    pub(crate) fn len(&self) -> usize {
        self.count
    }

    fn compared(&self) -> Result<Arc<Compared>> {
        let mut compared = self.compared.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compared) = &*compared {
            return Ok(Arc::clone(compared));
        }
        let made = Arc::new(Compared::new(&self.batches, self.count)?);
        *compared = Some(Arc::clone(&made));
        Ok(made)
    }
}

fn incomparable(failure: ArrowError) -> Error {
    Error::bug("keys cannot be compared").cause(failure)
}

impl Compared {
    fn new(batches: &[Vec<ArrayRef>], count: usize) -> Result<Self> {
        let types = batches.first().into_iter().flatten().map(|keys| SortField::new(keys.data_type().clone()));
        let converter = RowConverter::new(types.collect()).map_err(incomparable)?;
        let mut values = Distinct::new(converter.empty_rows(count, 0), count);
        let (mut bits, hasher, mut hashes) = (no_bits(count), FixedState::default(), Vec::new());
        for keys in batches {
            let hashes = hashed(keys, &hasher, &mut hashes)?;
            for hash in hashes {
                let (word, bit) = place(*hash, bits.len());
                bits[word] |= bit;
            }
            converter.append(&mut values.rows, keys).map_err(incomparable)?;
            values.add(hashes);
        }
        Ok(Self { converter, values, bits, hasher })
    }

    /// Which rows have one of the keys.
    fn have(&self, keys: &[ArrayRef]) -> Result<BooleanArray> {
        // As joins and groups have them: -0 is 0.
        let keys: Vec<ArrayRef> = keys.iter().map(normalize_float_zero).collect();
        let mut hashes = Vec::new();
        let hashes = hashed(&keys, &self.hasher, &mut hashes)?;
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
        let some =
            keys.iter().map(|keys| take(keys, &rows, None)).collect::<Result<Vec<_>, _>>().map_err(incomparable)?;
        let encoded = self.converter.convert_columns(&some).map_err(incomparable)?;
        for (row, key) in std::iter::zip(rows.values(), encoded.iter()) {
            found.set_bit(*row as usize, self.values.contain(hashes[*row as usize], key));
        }
        Ok(BooleanArray::new(found.finish(), None))
    }
}

impl Distinct {
    /// Over rows that are yet to be added.
    fn new(rows: Rows, count: usize) -> Self {
        let last = HashMap::with_capacity_and_hasher(count, RandomState::default());
        Self { rows, last, before: Vec::with_capacity(count) }
    }

    /// Takes in the rows after those that were, by their hashes.
    fn add(&mut self, hashes: &[u64]) {
        for hash in hashes {
            let row = self.before.len();
            let before =
                if self.contain(*hash, self.rows.row(row)) { None } else { self.last.insert(*hash, row as u32) };
            self.before.push(before);
        }
    }

    fn contain(&self, hash: u64, row: Row<'_>) -> bool {
        let mut other = self.last.get(&hash).copied();
        while let Some(at) = other {
            if self.rows.row(at as usize) == row {
                return true;
            }
            other = self.before[at as usize];
        }
        false
    }
}

/// Bits that the hashes of keys are spread over: one row in so many is looked at in vain. More of them would be
/// slower to look at.
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

fn no_bits(count: usize) -> Vec<u64> {
    vec![0; (count * BITS_A_KEY / 64).next_power_of_two()]
}

impl Values {
    fn new(kind: &DataType, batches: &[&ArrayRef], count: usize) -> Result<Self, ArrowError> {
        let hashes = key_hashes::hashable(kind).then(|| Hashed::new(batches, count));
        // Nor do they say where NaN is.
        let in_order = !kind.is_floating() && batches.iter().all(|keys| keys.null_count() == 0);
        let order = in_order.then(|| Order::new(kind, batches, count)).transpose()?;
        Ok(Self { order, hashes })
    }
}

impl Hashed {
    fn new(batches: &[&ArrayRef], count: usize) -> Self {
        let mut bits = no_bits(count);
        let mut all = HashSet::with_capacity_and_hasher(count, RandomState::default());
        for hash in batches.iter().filter_map(|keys| key_hashes::hashes(keys)).flatten() {
            let (word, bit) = place(hash.into(), bits.len());
            bits[word] |= bit;
            all.insert(hash);
        }
        Self { all, bits }
    }

    fn may_have(&self, hash: u32) -> bool {
        let (word, bit) = place(hash.into(), self.bits.len());
        self.bits[word] & bit != 0
    }

    /// Those of a file's rows in some ranges that have one of the hashes.
    fn within(&self, hashes: &Hashes, spans: &[Range<u32>]) -> Vec<u32> {
        let mut rows = Vec::new();
        for span in spans {
            let here = hashes.all().get(span.start as usize..span.end as usize).unwrap_or_default();
            for (row, hash) in std::iter::zip(span.start.., here) {
                if self.may_have(u32::from_le_bytes(*hash)) {
                    rows.push(row);
                }
            }
        }
        self.keep(hashes, &mut rows);
        rows
    }

    /// Keeps rows of a file that have one of the hashes.
    fn keep(&self, hashes: &Hashes, rows: &mut Vec<u32>) {
        let hash = |row: u32| hashes.all().get(row as usize).map(|hash| u32::from_le_bytes(*hash));
        rows.retain(|row| hash(*row).is_some_and(|hash| self.all.contains(&hash)));
    }
}

impl Order {
    fn new(kind: &DataType, batches: &[&ArrayRef], count: usize) -> Result<Self, ArrowError> {
        let converter = RowConverter::new(vec![SortField::new(kind.clone())])?;
        let mut rows = converter.empty_rows(count, 0);
        for keys in batches {
            converter.append(&mut rows, &[Arc::clone(keys)])?;
        }
        let mut common = rows.iter().next().map_or_else(Vec::new, |first| first.data().to_vec());
        for row in &rows {
            let same = std::iter::zip(&common, row.data()).take_while(|(one, other)| one == other).count();
            common.truncate(same);
        }
        let mut eights: Vec<u64> = rows.iter().map(|row| eight(&row.data()[common.len()..])).collect();
        eights.sort_unstable();
        Ok(Self { converter, common, eights })
    }

    /// Where among the values one would be.
    fn place(&self, value: &[u8]) -> u64 {
        let (begin, rest) = value.split_at(value.len().min(self.common.len()));
        match begin.cmp(&self.common) {
            Ordering::Less => 0,
            Ordering::Equal => eight(rest),
            Ordering::Greater => u64::MAX,
        }
    }

    /// Which of some ranges, given by their least and greatest values, may hold one of the values.
    fn may_be_in(&self, least: ArrayRef, greatest: ArrayRef) -> Option<Vec<bool>> {
        let known: Vec<bool> =
            (0..least.len()).map(|range| least.is_valid(range) && greatest.is_valid(range)).collect();
        let least = self.converter.convert_columns(&[least]).ok()?;
        let greatest = self.converter.convert_columns(&[greatest]).ok()?;
        let may = known.into_iter().enumerate().map(|(range, known)| {
            let (least, greatest) = (self.place(least.row(range).data()), self.place(greatest.row(range).data()));
            let first = self.eights.partition_point(|value| *value < least);
            !known || self.eights.get(first).is_some_and(|value| *value <= greatest)
        });
        Some(may.collect())
    }
}

/// The first eight bytes as a number of the same order.
fn eight(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(eight) => u64::from_be_bytes(*eight),
        None => {
            let mut eight = [0; 8];
            eight[..bytes.len()].copy_from_slice(bytes);
            u64::from_be_bytes(eight)
        }
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
    let all = files.files.iter().cloned().enumerate().collect();
    rows_of_files(lake.clone(), lake.table_folder(table), Arc::clone(&files.schema), all, keys.map(Arc::new), columns)
}

/// The same of some of a table's files.
pub(super) fn rows_of_files(
    lake: Lake,
    folder: Path,
    schema: SchemaRef,
    files: Vec<(usize, FileEntry)>,
    keys: Option<Arc<Keys>>,
    columns: Vec<usize>,
) -> PlacedRows {
    let columns = Arc::new(columns);
    let found = futures::stream::iter(files).map(move |(place, file)| {
        let (lake, folder, schema) = (lake.clone(), folder.clone(), Arc::clone(&schema));
        let (keys, columns) = (keys.clone(), Arc::clone(&columns));
        let found = SpawnedTask::spawn(async move {
            match keys {
                Some(keys) => lookup(&lake, &folder, &file, &schema, &keys, &columns).await,
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
async fn lookup(
    lake: &Lake,
    folder: &Path,
    file: &FileEntry,
    schema: &SchemaRef,
    keys: &Keys,
    columns: &[usize],
) -> Result<Vec<FileRows>> {
    if keys.len() == 0 {
        return Ok(Vec::new());
    }
    let opened = Opened::new(lake, folder, file).await?;
    let mut spans: Vec<Range<u32>> = std::iter::once(0..file.stored_rows() as u32).collect();
    for (values, &column) in std::iter::zip(&keys.values, &keys.columns) {
        if let Some(pages) = values.order.as_ref().and_then(|order| pages(&opened, schema, column, order)) {
            spans = in_both(&spans, &pages);
        }
    }
    let (mut likely, mut hashed) = (None, 0);
    for (values, &column) in std::iter::zip(&keys.values, &keys.columns) {
        if spans.is_empty() || likely.as_ref().is_some_and(Vec::is_empty) {
            return Ok(Vec::new());
        }
        let Some(known) = &values.hashes else { continue };
        let Some(hashes) = opened.key_hashes(schema.field(column)).await? else { continue };
        likely = Some(match likely {
            Some(mut rows) => {
                known.keep(&hashes, &mut rows);
                rows
            }
            None => known.within(&hashes, &spans),
        });
        hashed += 1;
    }
    let candidates = match likely {
        Some(mut rows) => {
            if let Some(deleted) = &file.deleted {
                deleted.retain_others(&mut rows);
            }
            RoaringBitmap::from_sorted_iter(rows).map_err(|e| Error::bug("rows are not in order").cause(e))?
        }
        None => {
            let mut rows = file.rows_there();
            let mut from = 0;
            for span in &spans {
                rows.remove_range(from..span.start);
                from = span.end;
            }
            rows.remove_range(from..);
            rows
        }
    };
    tracing::trace!(file = file.path, rows = file.rows, found = candidates.len(), hashed, keys = keys.len(), "lookup");
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    if hashed > 0 && keys.columns.len() == 1 && !keys.alone {
        // A hash in millions is another value's.
        return read_places(&opened, schema, columns, &candidates).await;
    }
    if hashed > 0 || columns.iter().all(|column| keys.columns.contains(column)) {
        return read_wanted(&opened, schema, keys, columns, &candidates).await;
    }
    let found = read_wanted(&opened, schema, keys, &[], &candidates).await?;
    let found: RoaringBitmap = found.iter().flat_map(|found| found.places.values()).copied().collect();
    if found.is_empty() {
        return Ok(Vec::new());
    }
    read_places(&opened, schema, columns, &found).await
}

/// Some columns of those of some rows that have wanted keys.
async fn read_wanted(
    opened: &Opened,
    schema: &SchemaRef,
    keys: &Keys,
    columns: &[usize],
    rows: &RoaringBitmap,
) -> Result<Vec<FileRows>> {
    let failed = |e| Error::bug("rows cannot be picked").cause(e);
    let mut read: Vec<usize> = keys.columns.iter().chain(columns).copied().collect();
    read.sort_unstable();
    read.dedup();
    let at = |column: &usize| read.binary_search(column).unwrap_or_default();
    let (mut found, compared) = (Vec::new(), keys.compared()?);
    for FileRows { rows, places } in read_places(opened, schema, &read, rows).await? {
        let values: Vec<ArrayRef> = keys.columns.iter().map(|column| rows.column(at(column)).clone()).collect();
        let wanted = compared.have(&values)?;
        if wanted.true_count() == 0 {
            continue;
        }
        let places = filter(&places, &wanted).map_err(failed)?.as_primitive::<UInt32Type>().clone();
        let rows = rows
            .project(&columns.iter().map(at).collect::<Vec<_>>())
            .and_then(|rows| filter_record_batch(&rows, &wanted))
            .map_err(failed)?;
        found.push(FileRows { rows, places });
    }
    Ok(found)
}

/// The rows in pages that may hold one of the values; none where the file does not tell.
fn pages(opened: &Opened, schema: &Schema, column: usize, order: &Order) -> Option<Vec<Range<u32>>> {
    let metadata = &opened.metadata;
    let (columns, offsets) = (metadata.column_index()?, metadata.offset_index()?);
    let parquet = metadata.file_metadata().schema_descr();
    let converter = StatisticsConverter::try_new(schema.field(column).name(), opened.schema(), parquet).ok()?;
    let groups: Vec<usize> = (0..metadata.num_row_groups()).collect();
    let wanted: &DataType = schema.field(column).data_type();
    let least = cast(&converter.data_page_mins(columns, offsets, &groups).ok()?, wanted).ok()?;
    let greatest = cast(&converter.data_page_maxes(columns, offsets, &groups).ok()?, wanted).ok()?;
    let counts = converter.data_page_row_counts(offsets, metadata.row_groups(), &groups).ok()??;
    let may = order.may_be_in(least, greatest)?;
    let mut rows: Vec<Range<u32>> = Vec::new();
    let mut from = 0_u32;
    for (count, may) in std::iter::zip(counts.values(), may) {
        let to = from + *count as u32;
        match rows.last_mut() {
            Some(last) if may && last.end == from => last.end = to,
            _ if may => rows.push(from..to),
            _ => {}
        }
        from = to;
    }
    Some(rows)
}

/// What two lists of ascending ranges have in common.
fn in_both(one: &[Range<u32>], other: &[Range<u32>]) -> Vec<Range<u32>> {
    let (mut both, mut rest) = (Vec::new(), other);
    for range in one {
        rest = &rest[rest.partition_point(|other| other.end <= range.start)..];
        let shared = rest.iter().take_while(|other| other.start < range.end);
        both.extend(shared.map(|other| other.start.max(range.start)..other.end.min(range.end)));
    }
    both
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use arrow::{
        array::{Int32Array, Int64Array, StringViewArray},
        datatypes::Field,
    };
    use object_store::{ObjectStoreExt as _, memory::InMemory};
    use proptest::prelude::*;

    use super::*;
    use crate::{
        clock::SystemClock,
        lake::{FileWriter, RunId},
        project::Zones,
    };

    type Row = (Option<u16>, Option<i32>);

    fn schema() -> SchemaRef {
        let fields = [("id", DataType::Utf8View), ("number", DataType::Int32), ("place", DataType::Int64)];
        Arc::new(Schema::new(fields.map(|(name, data_type)| Field::new(name, data_type, true)).to_vec()))
    }

    fn batch(rows: &[Row]) -> RecordBatch {
        // Too long for the views themselves.
        let ids: StringViewArray =
            rows.iter().map(|row| row.0.map(|id| format!("an id of some length {id:05}"))).collect();
        let numbers: Int32Array = rows.iter().map(|row| row.1).collect();
        let places: Int64Array = (0..rows.len() as i64).map(Some).collect();
        RecordBatch::try_new(schema(), vec![Arc::new(ids), Arc::new(numbers), Arc::new(places)]).unwrap()
    }

    async fn stored(rows: &[Row]) -> (Lake, TableName, FileEntry) {
        let lake = Lake::on(Arc::new(InMemory::new()), Zones::default(), Arc::new(SystemClock), "memory");
        let table = TableName::gold("t");
        let mut writer = FileWriter::table(&lake, &table, &RunId("run".into()), schema());
        writer.write(&batch(rows)).await.unwrap();
        let file = writer.finish().await.unwrap().remove(0);
        (lake, table, file)
    }

    /// The places of the rows that are found.
    async fn found(lake: &Lake, table: &TableName, file: &FileEntry, keys: &Keys) -> Result<Vec<i64>> {
        let found = lookup(lake, &lake.table_folder(table), file, &schema(), keys, &[2]).await?;
        for found in &found {
            let places = found.rows.column(0).as_primitive::<arrow::datatypes::Int64Type>().values();
            assert!(std::iter::zip(places, found.places.values()).all(|(told, at)| *told == i64::from(*at)));
        }
        Ok(found.iter().flat_map(|found| found.places.values()).map(|place| i64::from(*place)).collect())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

        /// With ids that hardly repeat and with some that do, which have hashes and have none; over several
        /// pages, with NULL, and with deleted rows.
        #[test]
        fn a_lookup_finds_what_a_full_read_would(
            rows in prop::collection::vec((prop::option::weighted(0.98, any::<u16>()), prop::option::of(-3..9_000_i32)), 1..6_000),
            repeats in prop_oneof![Just(u16::MAX), Just(7)],
            wanted in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 0..12),
            others in prop::collection::vec((prop::option::of(any::<u16>()), prop::option::of(-3..9_000_i32)), 0..4),
            columns in prop_oneof![Just(vec![0]), Just(vec![1]), Just(vec![0, 1]), Just(vec![1, 0])],
            deleted in prop::collection::btree_set(0..6_000_u32, 0..40),
            alone in any::<bool>(),
        ) {
            let rows: Vec<Row> = rows.into_iter().map(|(id, number)| (id.map(|id| id % repeats), number)).collect();
            let there = wanted.iter().map(|(index, _)| rows[index.index(rows.len())]);
            let wanted: Vec<Row> = there.chain(others).collect();
            let key = |row: &Row| -> Vec<Option<i64>> {
                columns.iter().map(|column| if *column == 0 { row.0.map(i64::from) } else { row.1.map(i64::from) }).collect()
            };
            let keys: BTreeSet<_> = wanted.iter().map(&key).collect();
            let deleted: Vec<u32> = deleted.into_iter().filter(|row| (*row as usize) < rows.len()).collect();
            let expected: Vec<i64> = rows.iter().enumerate()
                .filter(|(place, row)| keys.contains(&key(row)) && !deleted.contains(&(*place as u32)))
                .map(|(place, _)| place as i64)
                .collect();
            let wanted = batch(&wanted).project(&columns).unwrap();
            let keys = Keys::new(&schema(), columns.clone(), &[wanted]).unwrap();
            let keys = if alone { keys } else { keys.among_others() };
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let found = runtime.block_on(async {
                let (lake, table, file) = stored(&rows).await;
                found(&lake, &table, &file.without(deleted), &keys).await.unwrap()
            });
            if alone {
                prop_assert_eq!(found, expected);
            } else {
                prop_assert!(expected.iter().all(|place| found.contains(place)));
                prop_assert!(found.len() <= expected.len() + 2, "two values with one hash are rare");
            }
        }
    }

    #[tokio::test]
    async fn hashes_that_are_not_what_was_written_are_a_damage_and_not_a_missing_row() {
        let rows: Vec<Row> = (0..5_000).map(|id| (Some(id), Some(7))).collect();
        let (lake, table, file) = stored(&rows).await;
        let wanted = batch(&rows[70..71]).project(&[0]).unwrap();
        let keys = Keys::new(&schema(), vec![0], &[wanted]).unwrap();
        assert_eq!(found(&lake, &table, &file, &keys).await.unwrap(), [70]);

        let opened = Opened::new(&lake, &lake.table_folder(&table), &file).await.unwrap();
        let hashes = opened.key_hashes(schema().field(0)).await.unwrap().expect("ids have hashes");
        let (sought, path) = (hashes.all()[70], Path::from(format!("gold/t/{}", file.path)));
        let mut bytes = lake.store().get(&path).await.unwrap().bytes().await.unwrap().to_vec();
        let at = bytes.windows(4).rposition(|four| four == sought).unwrap();
        bytes[at] ^= 1;
        lake.store().put(&path, bytes.into()).await.unwrap();
        let failure = found(&lake, &table, &file, &keys).await.unwrap_err();
        assert!(format!("{failure:?}").contains("hashes"), "{failure:?}");
    }

    /// Zero has two spellings, and NaN is none of a page's bounds.
    #[tokio::test]
    async fn floats_are_found_as_joins_and_groups_have_them() {
        let schema: SchemaRef = Arc::new(Schema::new(vec![Field::new("x", DataType::Float64, true)]));
        let batch = |values: Vec<f64>| {
            let values: ArrayRef = Arc::new(arrow::array::Float64Array::from(values));
            RecordBatch::try_new(Arc::clone(&schema), vec![values]).unwrap()
        };
        let lake = Lake::on(Arc::new(InMemory::new()), Zones::default(), Arc::new(SystemClock), "memory");
        let table = TableName::gold("t");
        let mut writer = FileWriter::table(&lake, &table, &RunId("run".into()), Arc::clone(&schema));
        writer.write(&batch(vec![1.0, -0.0, f64::NAN, 0.0])).await.unwrap();
        let file = writer.finish().await.unwrap().remove(0);
        for (wanted, expected) in [(0.0, vec![1, 3]), (-0.0, vec![1, 3]), (f64::NAN, vec![2]), (7.0, vec![])] {
            let keys = Keys::new(&schema, vec![0], &[batch(vec![wanted])]).unwrap();
            let found = lookup(&lake, &lake.table_folder(&table), &file, &schema, &keys, &[0]).await.unwrap();
            let places: Vec<u32> = found.iter().flat_map(|found| found.places.values()).copied().collect();
            assert_eq!(places, expected, "{wanted}");
        }
    }
}
