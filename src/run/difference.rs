//! What changes a table into what it should be: fresh rows against current ones, as multisets.
//!
//! Where the current rows fit in memory they are held there, by hash. Else both come sorted by all columns, so that
//! one pass over them is enough and memory is bounded by two batches. A row that is there as often as before is no
//! change, and nobody downstream hears of it.

use std::{
    collections::{HashMap, HashSet, VecDeque},
    sync::Arc,
};

use arrow::{
    array::{Array, AsArray, BooleanArray, BooleanBufferBuilder, RecordBatch, UInt32Array},
    compute::{filter_record_batch, interleave, take},
    datatypes::{SchemaRef, UInt32Type},
    row::{RowConverter, Rows, SortField},
};
use datafusion::{
    common::{DataFusionError, Result, hash_utils::create_hashes},
    execution::{SendableRecordBatchStream, memory_pool::MemoryReservation},
    physical_expr::{LexOrdering, PhysicalSortExpr, expressions::Column},
    physical_plan::{
        ExecutionPlan as _,
        sorts::sort::SortExec,
        streaming::{PartitionStream, StreamingTableExec},
    },
    prelude::SessionContext,
};
use foldhash::fast::{FixedState, RandomState};
use futures::TryStreamExt as _;
use serde_json::{Map, Value};

use crate::{
    error,
    lake::{Displaced, content_bytes},
    query::{ColumnText, Spelling},
};

/// What a comparison found.
#[derive(Debug, Default)]
pub(super) struct Difference {
    /// Current rows that go.
    pub(super) displaced: Displaced,
    pub(super) gone: u64,
    pub(super) came: u64,
    /// Rows that were computed.
    pub(super) fresh: u64,
    /// Rows that they were compared with.
    pub(super) current: u64,
}

/// A side of the difference.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Gone,
    Came,
}

/// Compares `fresh` rows with `current` ones, which have the same columns and then their place (file and
/// row); rows that go and come are given to `take`, each side in order.
///
/// # Errors
/// The streams' own, so that the caller can tell running out of memory from the rest; a failure of
/// `take` comes as an external one.
pub(super) async fn difference(
    fresh: SendableRecordBatchStream,
    current: SendableRecordBatchStream,
    schema: &SchemaRef,
    mut take: impl AsyncFnMut(Side, RecordBatch) -> error::Result<()>,
) -> Result<Difference> {
    let width = schema.fields().len();
    let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
    let converter = Arc::new(RowConverter::new(fields.collect())?);
    let mut fresh = Cursor::new(fresh, Arc::clone(&converter), width);
    let mut current = Cursor::new(current, converter, width);
    let mut found = Difference::default();
    loop {
        let has_fresh = fresh.fill().await?;
        let has_current = current.fill().await?;
        let order = match (has_fresh, has_current) {
            (false, false) => break,
            (true, false) => std::cmp::Ordering::Less,
            (false, true) => std::cmp::Ordering::Greater,
            (true, true) => fresh.row().cmp(current.row()),
        };
        if order.is_gt() {
            let (file, row) = current.place();
            found.displaced.entry(file).or_default().insert(row);
        }
        if order.is_ge()
            && let Some(rows) = current.pass(order.is_gt())?
        {
            found.gone += rows.num_rows() as u64;
            take(Side::Gone, rows).await.map_err(external)?;
        }
        if order.is_le()
            && let Some(rows) = fresh.pass(order.is_lt())?
        {
            found.came += rows.num_rows() as u64;
            take(Side::Came, rows).await.map_err(external)?;
        }
    }
    (found.fresh, found.current) = (fresh.read, current.read);
    Ok(found)
}

/// The same with rows in any order: the current ones are held in memory, as much as `memory` gives.
///
/// # Errors
/// Running out of memory, too.
pub(super) async fn difference_in_memory(
    fresh: SendableRecordBatchStream,
    current: SendableRecordBatchStream,
    schema: &SchemaRef,
    memory: &MemoryReservation,
    take: impl AsyncFnMut(Side, RecordBatch) -> error::Result<()>,
) -> Result<Difference> {
    by_hash(fresh, current, Held::new(schema, u64::MAX)?, memory, take).await
}

async fn by_hash(
    mut fresh: SendableRecordBatchStream,
    mut current: SendableRecordBatchStream,
    mut held: Held,
    memory: &MemoryReservation,
    mut take: impl AsyncFnMut(Side, RecordBatch) -> error::Result<()>,
) -> Result<Difference> {
    let mut found = Difference::default();
    while let Some(batch) = current.try_next().await? {
        memory.try_grow(content_bytes(&batch) + batch.num_rows() * Held::EACH)?;
        found.current += batch.num_rows() as u64;
        held.add(batch)?;
    }
    while let Some(batch) = fresh.try_next().await? {
        found.fresh += batch.num_rows() as u64;
        let came = held.take(&batch)?;
        if came.true_count() > 0 {
            found.came += came.true_count() as u64;
            take(Side::Came, filter_record_batch(&batch, &came)?).await.map_err(external)?;
        }
    }
    let Held { batches, left, width, .. } = held;
    let mut left = left.iter();
    for batch in batches {
        let gone: BooleanArray = left.by_ref().take(batch.num_rows()).map(|left| Some(*left)).collect();
        if gone.true_count() == 0 {
            continue;
        }
        found.gone += gone.true_count() as u64;
        let gone = filter_record_batch(&batch, &gone)?;
        let number = |column: usize| gone.column(column).as_primitive::<UInt32Type>().values();
        for (file, row) in std::iter::zip(number(width), number(width + 1)) {
            found.displaced.entry(*file as usize).or_default().insert(*row);
        }
        let columns: Vec<usize> = (0..width).collect();
        take(Side::Gone, gone.project(&columns)?).await.map_err(external)?;
    }
    Ok(found)
}

/// Current rows that have not been met among the fresh ones. Most rows that are computed differ from all of them, which
/// their hashes tell; only those with a hash in common are compared.
struct Held {
    batches: Vec<RecordBatch>,
    /// By row, its batch and its place there.
    places: Vec<(usize, usize)>,
    /// By hash, the last row that has it, and by row the one of the same hash before it.
    last: HashMap<u64, u32, RandomState>,
    before: Vec<Option<u32>>,
    left: Vec<bool>,
    /// Columns that are compared.
    width: usize,
    converter: RowConverter,
    hasher: FixedState,
    /// The bits of hashes that count.
    mask: u64,
}

impl Held {
    /// Bytes that a row takes beside itself.
    const EACH: usize = 48;

    fn new(schema: &SchemaRef, mask: u64) -> Result<Self> {
        let fields = schema.fields().iter().map(|field| SortField::new(field.data_type().clone()));
        Ok(Self {
            batches: Vec::new(),
            places: Vec::new(),
            last: HashMap::default(),
            before: Vec::new(),
            left: Vec::new(),
            width: schema.fields().len(),
            converter: RowConverter::new(fields.collect())?,
            hasher: FixedState::default(),
            mask,
        })
    }

    fn hashes(&self, batch: &RecordBatch) -> Result<Vec<u64>> {
        let mut hashes = vec![0; batch.num_rows()];
        create_hashes(&batch.columns()[..self.width], &self.hasher, &mut hashes)?;
        for hash in &mut hashes {
            *hash &= self.mask;
        }
        Ok(hashes)
    }

    /// Takes in rows after those that were.
    fn add(&mut self, batch: RecordBatch) -> Result<()> {
        let number = self.batches.len();
        for (place, hash) in self.hashes(&batch)?.into_iter().enumerate() {
            self.before.push(self.last.insert(hash, self.places.len() as u32));
            self.places.push((number, place));
            self.left.push(true);
        }
        self.batches.push(batch);
        Ok(())
    }

    /// Takes out one row for each of these that equals it: which of these there is none for.
    fn take(&mut self, rows: &RecordBatch) -> Result<BooleanArray> {
        let hashes = self.hashes(rows)?;
        let mut alone = BooleanBufferBuilder::new(hashes.len());
        alone.append_n(hashes.len(), true);
        let met = (0..).zip(&hashes).filter(|(_, hash)| self.last.contains_key(hash)).map(|(row, _)| row);
        let met = UInt32Array::from_iter_values(met);
        if !met.is_empty() {
            let ours = rows.columns()[..self.width].iter().map(|column| take(column, &met, None));
            let ours = self.converter.convert_columns(&ours.collect::<std::result::Result<Vec<_>, _>>()?)?;
            let (numbers, theirs) = self.rows(met.values().iter().map(|row| hashes[*row as usize]))?;
            for (row, ours) in std::iter::zip(met.values(), &ours) {
                let is_it = |number: u32| {
                    numbers.binary_search(&number).is_ok_and(|place| theirs.row(place).data() == ours.data())
                };
                alone.set_bit(*row as usize, !self.take_one(hashes[*row as usize], is_it));
            }
        }
        Ok(BooleanArray::new(alone.finish(), None))
    }

    /// The rows that are there with some hashes, and their numbers, in ascending order.
    fn rows(&self, hashes: impl Iterator<Item = u64>) -> Result<(Vec<u32>, Rows)> {
        let mut numbers = Vec::new();
        for hash in hashes.collect::<HashSet<u64, RandomState>>() {
            let mut at = self.last.get(&hash).copied();
            while let Some(number) = at {
                numbers.push(number);
                at = self.before[number as usize];
            }
        }
        numbers.sort_unstable();
        let places: Vec<_> = numbers.iter().map(|number| self.places[*number as usize]).collect();
        let columns = (0..self.width).map(|column| {
            let of_batches: Vec<&dyn Array> = self.batches.iter().map(|batch| batch.column(column).as_ref()).collect();
            interleave(&of_batches, &places)
        });
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>()?;
        Ok((numbers, self.converter.convert_columns(&columns)?))
    }

    /// Takes out one row with a hash that `is_it`, if there is one.
    fn take_one(&mut self, hash: u64, is_it: impl Fn(u32) -> bool) -> bool {
        let (mut at, mut behind) = (self.last.get(&hash).copied(), None::<u32>);
        while let Some(row) = at {
            let next = self.before[row as usize];
            if is_it(row) {
                self.left[row as usize] = false;
                match (behind, next) {
                    (Some(behind), _) => self.before[behind as usize] = next,
                    (None, Some(next)) => drop(self.last.insert(hash, next)),
                    (None, None) => drop(self.last.remove(&hash)),
                }
                return true;
            }
            (at, behind) = (next, Some(row));
        }
        false
    }
}

/// Rows by their first `width` columns; what follows is their place.
pub(super) fn sorted(
    context: &SessionContext,
    rows: Arc<dyn PartitionStream>,
    width: usize,
) -> Result<SendableRecordBatchStream> {
    let schema = Arc::clone(rows.schema());
    let order = LexOrdering::new(
        (0..width).map(|place| PhysicalSortExpr::new_default(Arc::new(Column::new(schema.field(place).name(), place)))),
    );
    let source = Arc::new(StreamingTableExec::try_new(schema, vec![rows], None, [], false, None)?);
    match order {
        Some(order) => SortExec::new(order, source).execute(0, context.task_ctx()),
        None => source.execute(0, context.task_ctx()),
    }
}

/// A row as people read it: texts or NULL, by column.
pub(super) type Shown = Map<String, Value>;

/// The first rows of each side, as people read them.
pub(super) struct Sides<'a> {
    /// Columns that tell rows apart, if there are such.
    pub(super) key: &'a [String],
    most: usize,
    pub(super) gone: Vec<Shown>,
    pub(super) came: Vec<Shown>,
}

/// Rows of which both sides have one of the same key, and the others.
pub(super) struct Pairs<'a> {
    pub(super) both: Vec<(&'a Shown, &'a Shown)>,
    pub(super) gone: Vec<&'a Shown>,
    pub(super) came: Vec<&'a Shown>,
}

impl<'a> Sides<'a> {
    /// Takes at most so many rows of each side.
    pub(super) fn new(key: &'a [String], most: usize) -> Self {
        Self { key, most, gone: Vec::new(), came: Vec::new() }
    }

    pub(super) fn take(&mut self, side: Side, batch: &RecordBatch) -> error::Result<()> {
        let rows = if side == Side::Gone { &mut self.gone } else { &mut self.came };
        let failed = |e| error::Error::bug("a row cannot be shown").cause(e);
        let schema = batch.schema();
        let columns = batch.columns().iter().map(|column| ColumnText::new(column.as_ref(), Spelling::Iso));
        let columns = columns.collect::<std::result::Result<Vec<_>, _>>().map_err(failed)?;
        for row in 0..batch.num_rows().min(self.most - rows.len()) {
            let mut shown = Shown::new();
            for (field, column) in std::iter::zip(schema.fields(), &columns) {
                let mut text = String::new();
                let there = column.write(row, &mut text).map_err(failed)?;
                shown.insert(field.name().clone(), if there { text.into() } else { Value::Null });
            }
            rows.push(shown);
        }
        Ok(())
    }

    pub(super) fn pairs(&self) -> Pairs<'_> {
        let key = |row: &Shown| -> Vec<Value> { self.key.iter().map(|column| row[column].clone()).collect() };
        // By key, the rows that are yet alone. A table may have several of one.
        let mut others: HashMap<Vec<Value>, VecDeque<usize>> = HashMap::new();
        if !self.key.is_empty() {
            for (place, row) in self.came.iter().enumerate() {
                others.entry(key(row)).or_default().push_back(place);
            }
        }
        let (mut both, mut gone, mut paired) = (Vec::new(), Vec::new(), HashSet::new());
        for row in &self.gone {
            match others.get_mut(&key(row)).and_then(VecDeque::pop_front) {
                Some(other) => {
                    paired.insert(other);
                    both.push((row, &self.came[other]));
                }
                None => gone.push(row),
            }
        }
        let came = self.came.iter().enumerate().filter(|(place, _)| !paired.contains(place)).map(|(_, row)| row);
        Pairs { both, gone, came: came.collect() }
    }
}

fn external(error: error::Error) -> DataFusionError {
    DataFusionError::External(Box::new(error))
}

/// A sorted stream, a row at a time.
struct Cursor {
    stream: SendableRecordBatchStream,
    converter: Arc<RowConverter>,
    width: usize,
    batch: Option<(RecordBatch, Rows)>,
    at: usize,
    /// By row of the batch so far: whether the other side lacks it.
    alone: BooleanBufferBuilder,
    /// Rows so far.
    read: u64,
    ended: bool,
}

impl Cursor {
    fn new(stream: SendableRecordBatchStream, converter: Arc<RowConverter>, width: usize) -> Self {
        Self {
            stream,
            converter,
            width,
            batch: None,
            at: 0,
            alone: BooleanBufferBuilder::new(0),
            read: 0,
            ended: false,
        }
    }

    fn rows(&self) -> usize {
        self.batch.as_ref().map_or(0, |(batch, _)| batch.num_rows())
    }

    /// Whether there is a row.
    async fn fill(&mut self) -> Result<bool> {
        while self.at >= self.rows() {
            if self.ended {
                return Ok(false);
            }
            let Some(batch) = self.stream.try_next().await? else {
                self.ended = true;
                continue;
            };
            self.read += batch.num_rows() as u64;
            let rows = self.converter.convert_columns(&batch.columns()[..self.width])?;
            (self.batch, self.at) = (Some((batch, rows)), 0);
        }
        Ok(true)
    }

    /// Goes to the next row; after the batch's last, gives its rows that the other side lacks, if there are any.
    fn pass(&mut self, alone: bool) -> Result<Option<RecordBatch>> {
        self.alone.append(alone);
        self.at += 1;
        let Some((batch, _)) = self.batch.as_ref().filter(|_| self.at == self.rows()) else { return Ok(None) };
        let mask = BooleanArray::new(self.alone.finish(), None);
        if mask.true_count() == 0 {
            return Ok(None);
        }
        let columns: Vec<usize> = (0..self.width).collect();
        Ok(Some(filter_record_batch(&batch.project(&columns)?, &mask)?))
    }

    fn row(&self) -> &[u8] {
        self.batch.as_ref().map_or(&[], |(_, rows)| rows.row(self.at).data())
    }

    fn place(&self) -> (usize, u32) {
        let number = |column: usize| {
            let batch = self.batch.as_ref().map(|(batch, _)| batch.column(column));
            batch.map_or(0, |places| places.as_primitive::<UInt32Type>().value(self.at))
        };
        (number(self.width) as usize, number(self.width + 1))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use arrow::{
        array::{ArrayRef, Int64Array},
        datatypes::{DataType, Field, Schema},
    };
    use datafusion::{
        execution::memory_pool::{GreedyMemoryPool, MemoryConsumer, MemoryPool, UnboundedMemoryPool},
        physical_plan::stream::RecordBatchStreamAdapter,
    };
    use proptest::prelude::*;

    use super::*;
    use crate::engine::ran_out_of_memory;

    fn schema() -> SchemaRef {
        Arc::new(Schema::new(vec![Field::new("v", DataType::Int64, true)]))
    }

    /// Sorted values in batches of a few rows, with their places where `placed`.
    fn stream(mut values: Vec<Option<i64>>, each: usize, placed: bool) -> SendableRecordBatchStream {
        values.sort_unstable();
        let mut fields = vec![Field::new("v", DataType::Int64, true)];
        if placed {
            fields.extend(["_file", "_row"].map(|name| Field::new(name, DataType::UInt32, false)));
        }
        let schema = Arc::new(Schema::new(fields));
        let numbered: Vec<(u32, Option<i64>)> = (0..).zip(values).collect();
        let batches: Vec<Result<RecordBatch>> = numbered
            .chunks(each)
            .map(|rows| {
                let mut columns: Vec<ArrayRef> = vec![Arc::new(rows.iter().map(|row| row.1).collect::<Int64Array>())];
                if placed {
                    columns.push(Arc::new(UInt32Array::from(vec![0; rows.len()])));
                    columns.push(Arc::new(rows.iter().map(|row| row.0).collect::<UInt32Array>()));
                }
                Ok(RecordBatch::try_new(Arc::clone(&schema), columns)?)
            })
            .collect();
        Box::pin(RecordBatchStreamAdapter::new(schema, futures::stream::iter(batches)))
    }

    fn counted(values: &[Option<i64>]) -> BTreeMap<Option<i64>, i64> {
        let mut counts = BTreeMap::new();
        for value in values {
            *counts.entry(*value).or_default() += 1;
        }
        counts
    }

    proptest! {
        /// What goes and comes turns the one multiset into the other, and no row does both.
        #[test]
        fn the_difference_turns_current_rows_into_fresh_ones(
            fresh in prop::collection::vec(prop::option::of(0_i64..5), 0..20),
            current in prop::collection::vec(prop::option::of(0_i64..5), 0..20),
            each in 1_usize..5,
            mask in prop_oneof![Just(u64::MAX), Just(1), Just(0)],
        ) {
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            let (mut came, mut went) = (Vec::new(), Vec::new());
            let found = runtime.block_on(difference(
                stream(fresh.clone(), each, false),
                stream(current.clone(), each + 1, true),
                &schema(),
                async |side, rows| {
                    let values = if side == Side::Came { &mut came } else { &mut went };
                    values.extend(rows.column(0).as_primitive::<arrow::datatypes::Int64Type>().iter());
                    Ok(())
                },
            )).unwrap();
            let mut sorted = current.clone();
            sorted.sort_unstable();
            let gone: Vec<Option<i64>> =
                found.displaced.get(&0).into_iter().flatten().map(|row| sorted[row as usize]).collect();
            prop_assert_eq!(&went, &gone);
            prop_assert_eq!((found.came, found.gone, found.fresh), (came.len() as u64, gone.len() as u64, fresh.len() as u64));
            let places = |rows: &Displaced| -> Vec<(usize, u32)> {
                rows.iter().flat_map(|(file, rows)| rows.iter().map(move |row| (*file, row))).collect()
            };
            // The same in memory, and rows in the order in which they come. Few hashes are those of many rows.
            let (mut also_came, mut also_went) = (Vec::new(), Vec::new());
            let pool: Arc<dyn MemoryPool> = Arc::new(UnboundedMemoryPool::default());
            let memory = MemoryConsumer::new("test").register(&pool);
            let in_memory = runtime.block_on(by_hash(
                stream(fresh.clone(), each, false),
                stream(current.clone(), each + 1, true),
                Held::new(&schema(), mask).unwrap(),
                &memory,
                async |side, rows| {
                    let values = if side == Side::Came { &mut also_came } else { &mut also_went };
                    values.extend(rows.column(0).as_primitive::<arrow::datatypes::Int64Type>().iter());
                    Ok(())
                },
            )).unwrap();
            prop_assert_eq!(counted(&also_came), counted(&came));
            prop_assert_eq!(counted(&also_went), counted(&gone));
            let at = |place: &(usize, u32)| sorted[place.1 as usize];
            prop_assert_eq!(places(&in_memory.displaced).iter().map(at).collect::<Vec<_>>(), gone.clone());
            prop_assert_eq!(
                (in_memory.came, in_memory.gone, in_memory.fresh, in_memory.current),
                (found.came, found.gone, found.fresh, current.len() as u64)
            );
            let (mut now, gone, came) = (counted(&current), counted(&gone), counted(&came));
            prop_assert!(gone.keys().all(|value| !came.contains_key(value)));
            for (value, count) in &gone {
                *now.entry(*value).or_default() -= count;
            }
            for (value, count) in &came {
                *now.entry(*value).or_default() += count;
            }
            now.retain(|_, count| *count != 0);
            prop_assert_eq!(now, counted(&fresh));
        }
    }

    /// A model whose joins do not fit is computed again with joins that spill: the caller must see why.
    #[tokio::test]
    async fn running_out_of_memory_is_still_told_apart() {
        let failing = futures::stream::iter([Err(DataFusionError::ResourcesExhausted("full".into()))]);
        let failing = Box::pin(RecordBatchStreamAdapter::new(schema(), failing));
        let failure = difference(failing, stream(vec![Some(1)], 1, true), &schema(), async |_, _| Ok(())).await;
        assert!(ran_out_of_memory(&failure.unwrap_err()));
        let pool: Arc<dyn MemoryPool> = Arc::new(GreedyMemoryPool::new(100));
        let memory = MemoryConsumer::new("test").register(&pool);
        let (fresh, current) = (stream(Vec::new(), 1, false), stream(vec![Some(1); 50], 10, true));
        let failure = difference_in_memory(fresh, current, &schema(), &memory, async |_, _| Ok(())).await;
        assert!(ran_out_of_memory(&failure.unwrap_err()));
    }
}
