//! Some rows of a Parquet file, picked from its pages.
//!
//! In:  a file's footer, and the rows that are wanted of it.
//! Out: column by column, which bytes of the file to read, and from these the rows, as Arrow arrays of the stored
//! types.
//! Rule: pure, and no bytes make it panic or reserve more than they are worth.
//!
//! Readers of whole columns decode a page from its beginning, in batches of thousands of rows. Looking rows up takes
//! a few rows each of tens of thousands of pages. In a page that is not compressed a value of fixed width lies where
//! its number says, one of a dictionary likewise, and texts are found by their lengths; so that picking a row costs
//! tens of nanoseconds where reading its page costs tens of microseconds.
//!
//! What is not told in such pages is not picked ([`Picker::new`] gives none): compressed and nested columns, and
//! encodings that smelt does not write.
//!
//! | file | holds |
//! |---|---|
//! | `header` | the header of a page |
//! | `packed` | numbers as Parquet packs them: definition levels and places in a dictionary |
//! | `page` | a page's values by the number of their row |
//! | `values` | values on their way into an array |

mod header;
mod packed;
mod page;
mod values;

use std::{ops::Range, sync::Arc};

use arrow::{array::ArrayRef, datatypes::Schema};
use parquet::{
    basic::{Compression, Encoding},
    file::{metadata::ParquetMetaData, page_index::offset_index::PageLocation},
};
use roaring::RoaringBitmap;

use page::{Dictionary, Page};
use values::{Physical, Values};

/// Rows an array.
const BATCH: usize = 8192;

/// Why bytes are no pages.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("a page's header cannot be read")]
    Header,
    #[error("a page ends before its values do")]
    Short,
    #[error("a value refers to none in its page's dictionary")]
    NoSuchEntry,
    #[error("a text is not UTF-8")]
    NotUtf8,
    #[error("values do not make an array of the column's type")]
    Values,
    #[error("other pages were read than were wanted")]
    OtherPages,
}

type Result<T> = std::result::Result<T, Damage>;

/// Picks rows of some columns of one file.
#[derive(Debug)]
pub struct Picker {
    metadata: Arc<ParquetMetaData>,
    columns: Vec<Column>,
    groups: Vec<Group>,
}

#[derive(Debug)]
struct Column {
    /// Its place in the file.
    place: usize,
    physical: Physical,
    may_be_null: bool,
}

/// The wanted rows of one row group, counted from its first.
#[derive(Debug)]
struct Group {
    place: usize,
    rows: Vec<u32>,
    /// All that the group has.
    count: usize,
}

/// A page with wanted rows.
struct Wanted<'a> {
    location: &'a PageLocation,
    first: u32,
    count: usize,
    rows: &'a [u32],
}

impl Picker {
    /// Picks `rows` of columns of a file whose footer and stored schema are given, if they can be picked.
    pub fn new(
        metadata: Arc<ParquetMetaData>,
        stored: &Schema,
        columns: &[&str],
        rows: &RoaringBitmap,
    ) -> Option<Self> {
        let described = metadata.file_metadata().schema_descr();
        metadata.offset_index()?;
        let columns = columns.iter().map(|name| {
            let place = described.columns().iter().position(|column| column.path().parts() == [*name])?;
            let column = described.column(place);
            let flat = column.max_rep_level() == 0 && column.max_def_level() <= 1;
            let plain = metadata.row_groups().iter().all(|group| {
                let chunk = group.column(place);
                let known = |encoding| matches!(encoding, Encoding::PLAIN | Encoding::RLE | Encoding::RLE_DICTIONARY);
                chunk.compression() == Compression::UNCOMPRESSED && chunk.encodings().all(known)
            });
            let physical = Physical::of(&column, stored.field_with_name(name).ok()?.data_type())?;
            (flat && plain).then(|| Column { place, physical, may_be_null: column.max_def_level() == 1 })
        });
        let columns = columns.collect::<Option<Vec<_>>>()?;
        let groups = groups(&metadata, rows);
        Some(Self { metadata, columns, groups })
    }

    /// How many columns there are, which are known by their numbers from here on.
    pub fn columns(&self) -> usize {
        self.columns.len()
    }

    /// The bytes of the file that a column's values are in, in the order in which [`Picker::pick`] takes them.
    pub fn ranges(&self, column: usize) -> Vec<Range<u64>> {
        let column = &self.columns[column];
        let mut ranges = Vec::new();
        for group in &self.groups {
            ranges.extend(self.dictionary(column, group));
            let page = |wanted: Wanted<'_>| {
                let from = wanted.location.offset as u64;
                from..from.saturating_add(wanted.location.compressed_page_size.max(0) as u64)
            };
            ranges.extend(self.pages(column, group).map(page));
        }
        ranges
    }

    /// The rows' values in a column, in arrays of the same lengths in every column.
    ///
    /// # Errors
    /// Where the bytes are not what the footer says.
    pub fn pick(&self, column: usize, bytes: &[&[u8]]) -> Result<Vec<ArrayRef>> {
        let column = &self.columns[column];
        let all: usize = self.groups.iter().map(|group| group.rows.len()).sum();
        let mut bytes = bytes.iter();
        let mut next = || bytes.next().copied().ok_or(Damage::OtherPages);
        let mut arrays = Vec::with_capacity(all.div_ceil(BATCH));
        let mut values = Values::new(&column.physical, all.min(BATCH));
        let mut left = all;
        for group in &self.groups {
            let dictionary = match self.dictionary(column, group) {
                Some(_) => Some(Dictionary::new(next()?, column.physical.width())?),
                None => None,
            };
            for wanted in self.pages(column, group) {
                let page = Page::new(next()?, wanted.count, column.may_be_null, column.physical.width())?;
                let mut rows = wanted.rows;
                while !rows.is_empty() {
                    let (now, later) = rows.split_at(rows.len().min(BATCH - values.len()));
                    values.extend(
                        &page,
                        dictionary.as_ref(),
                        now.iter().map(|row| row.wrapping_sub(wanted.first) as usize),
                    )?;
                    rows = later;
                    if values.len() == BATCH {
                        left -= BATCH;
                        let full = std::mem::replace(&mut values, Values::new(&column.physical, left.min(BATCH)));
                        arrays.push(full.finish()?);
                    }
                }
            }
        }
        // An index that leaves out pages must not leave out rows.
        if values.len() != left {
            return Err(Damage::OtherPages);
        }
        if left > 0 {
            arrays.push(values.finish()?);
        }
        Ok(arrays)
    }

    fn locations(&self, column: &Column, group: &Group) -> &[PageLocation] {
        let index = self.metadata.offset_index().and_then(|index| index.get(group.place)?.get(column.place));
        index.map_or(&[], |index| index.page_locations())
    }

    /// Where a column chunk's dictionary is, if it has one: before its first page.
    fn dictionary(&self, column: &Column, group: &Group) -> Option<Range<u64>> {
        let chunk = self.metadata.row_group(group.place).column(column.place);
        let from = chunk.dictionary_page_offset()? as u64;
        let to = self.locations(column, group).first()?.offset as u64;
        (from < to).then_some(from..to)
    }

    fn pages<'g>(&'g self, column: &'g Column, group: &'g Group) -> impl Iterator<Item = Wanted<'g>> {
        let locations = self.locations(column, group);
        let mut rows = group.rows.as_slice();
        locations.iter().enumerate().filter_map(move |(place, location)| {
            let end = locations.get(place + 1).map_or(group.count, |next| next.first_row_index.max(0) as usize);
            let (here, later) = rows.split_at(rows.partition_point(|row| (*row as usize) < end));
            rows = later;
            let first = location.first_row_index.max(0) as u32;
            let count = end.saturating_sub(first as usize);
            (!here.is_empty()).then_some(Wanted { location, first, count, rows: here })
        })
    }
}

/// The row groups with wanted rows.
fn groups(metadata: &ParquetMetaData, rows: &RoaringBitmap) -> Vec<Group> {
    let mut rows = rows.iter().peekable();
    let (mut groups, mut from) = (Vec::new(), 0_u64);
    for (place, group) in metadata.row_groups().iter().enumerate() {
        let count = group.num_rows().max(0) as u64;
        let mut here = Vec::new();
        while let Some(row) = rows.next_if(|row| u64::from(*row) < from + count) {
            here.push((u64::from(row) - from) as u32);
        }
        if !here.is_empty() {
            groups.push(Group { place, rows: here, count: count as usize });
        }
        from += count;
    }
    groups
}
