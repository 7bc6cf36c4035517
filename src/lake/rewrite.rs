//! Rows that go from a table and rows that come, as the change of its files.
//!
//! Rows that come are files of their own, in the table's order; rows that go are marked as deleted in
//! theirs. So a change writes what changed, whatever files it touches. What that leaves behind, small
//! files and files with many deleted rows, is merged as runs go by, a few at a time: each row is
//! written again a logarithmic number of times. Memory is bounded by the files that one merge takes.

use std::{collections::BTreeMap, sync::Arc};

use arrow::{
    array::RecordBatch,
    compute::{SortColumn, lexsort_to_indices, take_record_batch},
};
use roaring::RoaringBitmap;

use super::{
    Candidate, ChangeFile, ChangeSet, FileEntry, FileWriter, Lake, RunId, TableChange, TableFiles, TableName,
    change_rows::ChangeRows,
    concat,
    file_reader::{Opened, read_columns, read_places},
    file_writer::FILE_ROWS,
};
use crate::error::{Error, Result};

/// Rows that go, by the position of their file in the table's list.
pub(crate) type Displaced = BTreeMap<usize, RoaringBitmap>;

/// A file of which more rows than one in so many are deleted is written anew. With half of them, no more rows are written
/// than were deleted, and a table takes at most twice its room; with a quarter it would be three times as many.
const DELETED_SHARE: u64 = 2;
/// So many files of about one size are merged. Each merge makes a file of the next size.
const MERGED: usize = 4;

/// A change to one table on its way.
pub(crate) struct TableEdit {
    lake: Lake,
    run: RunId,
    kept: Arc<ChangeRows>,
    table: TableName,
    files: TableFiles,
    /// The columns that the table's rows are ordered by.
    order: Vec<usize>,
    writer: FileWriter,
    gone: Option<FileWriter>,
}

impl TableEdit {
    pub(crate) fn new(candidate: &Candidate, table: &TableName, files: TableFiles, order: Vec<usize>) -> Self {
        let mut writer = FileWriter::table(candidate.lake(), table, candidate.run(), files.schema.clone());
        writer.keep(Some(candidate.kept()));
        Self {
            lake: candidate.lake().clone(),
            run: candidate.run().clone(),
            kept: Arc::clone(candidate.kept()),
            table: table.clone(),
            files,
            order,
            writer,
            gone: None,
        }
    }

    /// Takes rows that come, in the table's order.
    pub(crate) async fn add(&mut self, rows: &RecordBatch) -> Result<()> {
        self.writer.write(rows).await
    }

    /// Takes rows that go: all of them, or none, and then they are read again in the end.
    pub(crate) async fn take_gone(&mut self, rows: &RecordBatch) -> Result<()> {
        let mut gone = self.gone.take().unwrap_or_else(|| self.before());
        let written = gone.write(rows).await;
        self.gone = Some(gone);
        written
    }

    /// Deletes what was written: the change turned out to be another.
    pub(crate) async fn abandon(self) -> Result<()> {
        if let Some(gone) = self.gone {
            gone.abandon().await?;
        }
        self.writer.abandon().await
    }

    /// The change, when `displaced` rows go; none where nothing goes or comes.
    pub(crate) async fn finish(mut self, displaced: &Displaced, owner: &str) -> Result<Option<TableChange>> {
        self.writer.cut().await?;
        self.writer.keep(None);
        let came = self.writer.files();
        if came == 0 && displaced.is_empty() {
            return Ok(None);
        }
        let gone = match self.gone.take() {
            Some(gone) => gone,
            None => self.read_gone(displaced).await?,
        };
        let image = |file: FileEntry| ChangeFile { path: file.path, rows: file.rows, bytes: file.bytes };
        let before: Vec<ChangeFile> = gone.finish().await?.into_iter().map(image).collect();
        let entry = |(place, file): (usize, &FileEntry)| match displaced.get(&place) {
            Some(rows) => file.without(rows),
            None => file.clone(),
        };
        let entries: Vec<FileEntry> = self.files.files.iter().enumerate().map(entry).collect();
        let merges = merges(&entries);
        for merge in &merges {
            self.merge(merge.iter().map(|&place| &entries[place])).await?;
        }
        let merged: Vec<usize> = merges.into_iter().flatten().collect();
        let (mut removed, mut added) = (Vec::new(), Vec::new());
        for (place, (old, new)) in std::iter::zip(&self.files.files, &entries).enumerate() {
            let gone = merged.contains(&place) || new.rows == 0;
            if gone || displaced.contains_key(&place) {
                removed.push(old.clone());
            }
            if !gone && displaced.contains_key(&place) {
                added.push(new.clone());
            }
        }
        let folder = self.lake.table_folder(&self.table);
        let written = self.writer.finish().await?;
        // What came is a file as it is in the table: no second copy is kept for those who follow.
        let image = |file: &FileEntry| ChangeFile {
            path: format!("{folder}/{}", file.path),
            rows: file.rows,
            bytes: file.bytes,
        };
        let after: Vec<ChangeFile> = written[..came].iter().map(image).collect();
        // A side is looked at as a whole.
        for side in [&before, &after] {
            let files = || side.iter().map(|file| file.path.as_str());
            if self.kept.of(files()).is_none() {
                self.kept.forget(files());
            }
        }
        let changes = ChangeSet::Rows { before, after };
        added.extend(written);
        let owner = owner.to_owned();
        Ok(Some(TableChange { schema: self.files.schema, removed, added, changes, owner }))
    }

    /// A writer of the rows that go.
    fn before(&self) -> FileWriter {
        let mut writer = FileWriter::changes(&self.lake, &self.run, &self.table, "before", self.files.schema.clone());
        writer.keep(Some(&self.kept));
        writer
    }

    /// The displaced rows, as they were.
    async fn read_gone(&self, displaced: &Displaced) -> Result<FileWriter> {
        let mut writer = self.before();
        let folder = self.lake.table_folder(&self.table);
        let all: Vec<usize> = (0..self.files.schema.fields().len()).collect();
        for (place, rows) in displaced {
            let file = Opened::new(&self.lake, &folder, &self.files.files[*place]).await?;
            for read in read_places(&file, &self.files.schema, &all, rows).await? {
                writer.write(&read.rows).await?;
            }
        }
        Ok(writer)
    }

    /// Writes the rows that are left of some files as new ones, in order.
    async fn merge(&mut self, files: impl Iterator<Item = &FileEntry>) -> Result<()> {
        let folder = self.lake.table_folder(&self.table);
        let schema = self.files.schema.clone();
        let all: Vec<usize> = (0..schema.fields().len()).collect();
        let mut rows = Vec::new();
        for file in files {
            rows.extend(
                read_columns(&self.lake, &folder, file, &schema, &all).await?.into_iter().map(|read| read.rows),
            );
        }
        self.writer.write(&ordered(&concat(&schema, &rows)?, &self.order)?).await?;
        self.writer.cut().await
    }
}

/// The rows by some of their columns.
pub(crate) fn ordered(rows: &RecordBatch, order: &[usize]) -> Result<RecordBatch> {
    if order.is_empty() {
        return Ok(rows.clone());
    }
    let columns = order.iter().map(|&column| SortColumn { values: rows.column(column).clone(), options: None });
    lexsort_to_indices(&columns.collect::<Vec<_>>(), None)
        .and_then(|order| take_record_batch(rows, &order))
        .map_err(|e| Error::bug("rows cannot be ordered").cause(e))
}

/// Which files are written anew: those with many deleted rows each by itself, and together those of
/// about one size where there are several.
fn merges(files: &[FileEntry]) -> Vec<Vec<usize>> {
    let mut merges = Vec::new();
    let mut sizes: BTreeMap<u32, Vec<usize>> = BTreeMap::new();
    for (place, file) in files.iter().enumerate().filter(|(_, file)| file.rows > 0) {
        let deleted = file.stored_rows() - file.rows;
        if file.rows < FILE_ROWS as u64 / 2 {
            // Sizes are a factor of four apart; the smallest files are all of one.
            sizes.entry(file.rows.max(256).ilog(MERGED as u64)).or_default().push(place);
        } else if deleted * DELETED_SHARE > file.stored_rows() {
            merges.push(vec![place]);
        }
    }
    for places in sizes.into_values() {
        if places.len() >= MERGED {
            merges.extend(places.chunks_exact(MERGED).map(<[usize]>::to_vec));
        } else {
            let wasteful = places.into_iter().filter(|&place| {
                (files[place].stored_rows() - files[place].rows) * DELETED_SHARE > files[place].stored_rows()
            });
            merges.extend(wasteful.map(|place| vec![place]));
        }
    }
    merges
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::lake::Deletions;

    fn file(rows: u64, deleted: u32) -> FileEntry {
        FileEntry {
            path: String::new(),
            bytes: 0,
            rows,
            deleted: Deletions::of(None, 0..deleted),
            stats: Arc::new(serde_json::Value::Null),
            modified: 0,
        }
    }

    /// However long rows come in small files, the files are few, and each row is written a few times.
    #[test]
    fn small_files_are_merged_a_logarithmic_number_of_times() {
        let (mut files, mut written, mut most) = (vec![file(10_000_000, 0)], 0, 0);
        let runs = 2_000;
        for _ in 0..runs {
            files.push(file(1_000, 0));
            written += 1_000;
            let merges = merges(&files);
            let mut gone: Vec<usize> = merges.iter().flatten().copied().collect();
            for merge in &merges {
                let rows = merge.iter().map(|&place| files[place].rows).sum();
                written += rows;
                files.push(file(rows, 0));
            }
            gone.sort_unstable();
            for place in gone.into_iter().rev() {
                files.remove(place);
            }
            most = most.max(files.len());
        }
        assert_eq!(files.iter().map(|file| file.rows).sum::<u64>(), 10_000_000 + runs * 1_000);
        assert!(most <= 40, "{most} files");
        assert!(written <= 7 * runs * 1_000, "{written} rows are written for {}", runs * 1_000);
    }

    #[test]
    fn a_file_with_many_deleted_rows_is_written_anew() {
        assert_eq!(merges(&[file(750_000, 750_000)]), Vec::<Vec<usize>>::new());
        assert_eq!(merges(&[file(740_000, 760_000), file(800_000, 1)]), [[0]]);
        assert_eq!(merges(&[file(400, 600), file(0, 10)]), [[0]], "a file without rows just goes");
    }
}
