//! Applies displaced and added rows to a table: only files that lose rows are rewritten, with the
//! new rows of their key range; other new rows go to new files.
//!
//! Bounded in memory: a file's kept rows and one change file at a time, whatever the size of the change.
//! Small files are merged on the way: the last one grows with the keys that come after it, and
//! when many have gathered all of them are rewritten together.

use std::collections::BTreeSet;

use arrow::{
    array::{Array, AsArray, BooleanArray, RecordBatch, UInt32Array},
    compute::{SortColumn, filter_record_batch, lexsort_to_indices, take_record_batch},
    datatypes::{DataType, SchemaRef},
};

use super::resolve::Standing;
use crate::{
    error::{Error, Result},
    lake::{ChangeFile, ChangeSet, FILE_ROWS, FileEntry, FileWriter, Lake, RunId, TableChange, concat, read_columns},
};

/// A file with fewer rows is small.
const SMALL_ROWS: u64 = FILE_ROWS as u64 / 4;
/// So many small files are merged.
const SMALL_FILES: usize = 8;

/// The change to `standing`'s table when the rows of `added` (change files, in key order) come and
/// its displaced rows go; `None` when neither is.
pub(super) async fn rewrite(
    lake: &Lake,
    run: &RunId,
    standing: Standing,
    key: &[usize],
    added: Vec<FileEntry>,
    owner: &str,
) -> Result<Option<TableChange>> {
    if added.is_empty() && standing.displaced.is_empty() {
        return Ok(None);
    }
    let schema = standing.files.schema.clone();
    let mut writer = FileWriter::table(lake, &standing.table, run, schema.clone());
    let mut before = FileWriter::changes(lake, run, &standing.table, "before", schema.clone());
    let all: Vec<usize> = (0..schema.fields().len()).collect();
    let folder = lake.table_folder(&standing.table);

    let slots = slots(&standing, key[0], &added);
    let touched: Vec<FileEntry> = slots.iter().map(|slot| standing.files.files[slot.file].clone()).collect();
    let mut incoming = Incoming { lake, added: &added, slots: &slots, schema: &schema, key: key[0], read: None };
    // Rows of no touched file's range, in key order.
    for number in 0..added.len() {
        for batch in incoming.of(number, None).await? {
            writer.write(&batch).await?;
        }
    }
    writer.cut().await?;
    for (number, slot) in slots.iter().enumerate() {
        let file = &standing.files.files[slot.file];
        let gone = standing.displaced.get(&slot.file);
        let mut rows: Vec<RecordBatch> = Vec::new();
        let mut offset = 0_u32;
        for batch in read_columns(lake, &folder, file, &schema, &all).await? {
            let keep: BooleanArray = (0..batch.num_rows() as u32)
                .map(|row| Some(gone.is_none_or(|gone| !gone.contains(&(offset + row)))))
                .collect();
            offset += batch.num_rows() as u32;
            let pick = |mask: &BooleanArray| {
                filter_record_batch(&batch, mask).map_err(|e| Error::bug("rows cannot be kept").cause(e))
            };
            before.write(&pick(&arrow::compute::not(&keep).map_err(|e| Error::bug("a mask fails").cause(e))?)?).await?;
            rows.push(pick(&keep)?);
        }
        // However many rows come, one file's are merged into them a batch at a time.
        let kept = sorted(&concat(&schema, &rows)?, key)?;
        let mut merged = 0;
        for (number_of_added, added) in added.iter().enumerate() {
            if !slot.meets(added, standing.files.schema.field(key[0]).name()) {
                continue;
            }
            for batch in incoming.of(number_of_added, Some(number)).await? {
                let up_to = rows_up_to(&kept, &batch, key[0]).max(merged);
                let both = concat(&schema, &[kept.slice(merged, up_to - merged), batch])?;
                writer.write(&sorted(&both, key)?).await?;
                merged = up_to;
            }
        }
        writer.write(&kept.slice(merged, kept.num_rows() - merged)).await?;
        if !slot.small {
            writer.cut().await?;
        }
    }
    let image = |file: FileEntry| ChangeFile { path: file.path, rows: file.rows, bytes: file.bytes };
    let before = before.finish().await?.into_iter().map(image).collect();
    let after = added.into_iter().map(image).collect();
    Ok(Some(TableChange {
        schema,
        removed: touched,
        added: writer.finish().await?,
        changes: ChangeSet::Rows { before, after },
        owner: owner.to_owned(),
    }))
}

/// A file that is rewritten, and the keys it takes in.
struct Slot {
    file: usize,
    range: Option<(String, String)>,
    small: bool,
}

impl Slot {
    /// Whether rows of a file of incoming ones may fall into this slot.
    fn meets(&self, added: &FileEntry, key: &str) -> bool {
        match (&self.range, added.text_range(key)) {
            (None, _) => false,
            (Some(_), None) => true,
            (Some((from, to)), Some((least, greatest))) => least <= to.as_str() && from.as_str() <= greatest,
        }
    }
}

/// Neighbouring rows, and the slot they fall into, if any.
type Part = (Option<usize>, RecordBatch);

/// The incoming rows, in key order, by the slot they fall into.
struct Incoming<'a> {
    lake: &'a Lake,
    added: &'a [FileEntry],
    slots: &'a [Slot],
    schema: &'a SchemaRef,
    key: usize,
    /// The file that was read last: slots are asked for in key order, so each is read about once.
    read: Option<(usize, Vec<Part>)>,
}

impl Incoming<'_> {
    /// The rows of one file that fall into a slot, or into none.
    async fn of(&mut self, file: usize, slot: Option<usize>) -> Result<Vec<RecordBatch>> {
        if self.read.as_ref().is_none_or(|(read, _)| *read != file) {
            let all: Vec<usize> = (0..self.schema.fields().len()).collect();
            let root = object_store::path::Path::default();
            let batches = read_columns(self.lake, &root, &self.added[file], self.schema, &all).await?;
            let parts = batches.iter().flat_map(|batch| split(batch, self.key, self.slots)).collect();
            self.read = Some((file, parts));
        }
        let parts = self.read.iter().flat_map(|(_, parts)| parts);
        Ok(parts.filter(|(of, _)| *of == slot).map(|(_, batch)| batch.clone()).collect())
    }
}

/// How many of the kept rows, which are in key order, come before the end of a batch.
fn rows_up_to(kept: &RecordBatch, batch: &RecordBatch, key: usize) -> usize {
    let (Some(keys), Some(last)) = (
        kept.column(key).as_string_view_opt(),
        batch.column(key).as_string_view_opt().filter(|keys| !keys.is_empty()).map(|keys| keys.value(keys.len() - 1)),
    ) else {
        return 0;
    };
    let (mut before, mut after) = (0, keys.len());
    while before < after {
        let middle = before.midpoint(after);
        if keys.value(middle) <= last { before = middle + 1 } else { after = middle }
    }
    before
}

/// The files to rewrite, in key order.
fn slots(standing: &Standing, key: usize, added: &[FileEntry]) -> Vec<Slot> {
    let files = &standing.files.files;
    let name = standing.files.schema.field(key).name();
    let mut touched: BTreeSet<usize> = standing.displaced.keys().copied().collect();
    let small: BTreeSet<usize> = (0..files.len()).filter(|&file| files[file].rows < SMALL_ROWS).collect();
    if small.len() >= SMALL_FILES {
        touched.extend(&small);
    }
    let last = (0..files.len()).max_by_key(|&file| files[file].text_range(name).map(|(_, greatest)| greatest));
    // Where no key comes that it could take in, it is left alone.
    let reached = |file: &usize| {
        let least = files[*file].text_range(name).map(|(least, _)| least);
        let greatest = added.iter().filter_map(|added| added.text_range(name)).map(|(_, greatest)| greatest).max();
        least.is_some() && greatest >= least
    };
    let growing = last.filter(|&file| files[file].rows < FILE_ROWS as u64 / 2).filter(reached);
    touched.extend(growing);
    let mut slots: Vec<Slot> = touched
        .into_iter()
        .map(|file| {
            let range = files[file].text_range(name).map(|(least, greatest)| {
                // The growing file takes whatever comes after it.
                let to = if growing == Some(file) { char::MAX.to_string() } else { greatest.to_owned() };
                (least.to_owned(), to)
            });
            Slot { file, range, small: small.contains(&file) }
        })
        .collect();
    slots.sort_by(|a, b| a.range.cmp(&b.range));
    slots
}

/// Cuts sorted rows into runs that belong to one slot, or to none.
fn split(batch: &RecordBatch, key: usize, slots: &[Slot]) -> Vec<Part> {
    if *batch.schema().field(key).data_type() != DataType::Utf8View {
        return vec![(None, batch.clone())];
    }
    let keys = batch.column(key).as_string_view();
    let slot_of = |row: usize| {
        let value = keys.value(row);
        slots.iter().position(|slot| {
            slot.range.as_ref().is_some_and(|(from, to)| from.as_str() <= value && value <= to.as_str())
        })
    };
    let mut parts = Vec::new();
    let mut start = 0;
    while start < batch.num_rows() {
        let slot = slot_of(start);
        let end = (start + 1..batch.num_rows()).find(|&row| slot_of(row) != slot).unwrap_or(batch.num_rows());
        parts.push((slot, batch.slice(start, end - start)));
        start = end;
    }
    parts
}

/// The rows in key order.
fn sorted(rows: &RecordBatch, key: &[usize]) -> Result<RecordBatch> {
    let failed = |e| Error::bug("rows cannot be sorted").cause(e);
    let columns: Vec<SortColumn> =
        key.iter().map(|&column| SortColumn { values: rows.column(column).clone(), options: None }).collect();
    let order: UInt32Array = lexsort_to_indices(&columns, None).map_err(failed)?;
    take_record_batch(rows, &order).map_err(failed)
}
