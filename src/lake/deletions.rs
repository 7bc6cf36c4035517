//! Rows of a data file that are gone while the file stays: Delta's deletion vectors, inline in the log.
//!
//! A late row touches old files, and writing each anew for the sake of one row would make a run cost as
//! much as its table. A deletion vector costs bytes: the bitmap of the rows that are gone, in the log
//! entry that brings their new versions, so that both are seen at once.

use std::{fmt, sync::Arc};

use deltalake_core::kernel::{DeletionVectorDescriptor, StorageType};
use parquet::arrow::arrow_reader::{RowSelection, RowSelector};
use roaring::{RoaringBitmap, RoaringTreemap};

use crate::error::{Error, Result};

/// What the bytes of a bitmap in Delta's portable format begin with.
const MAGIC: u32 = 1_681_511_377;

/// Positions of rows in a file, as they are stored; never empty.
#[derive(Clone, PartialEq)]
pub struct Deletions(Arc<RoaringTreemap>);

impl fmt::Debug for Deletions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deletions({} rows)", self.count())
    }
}

impl Deletions {
    /// More rows of a file than `before`; none where no row is gone.
    pub fn of(before: Option<&Self>, rows: impl IntoIterator<Item = u32>) -> Option<Self> {
        let mut gone = before.map_or_else(RoaringTreemap::new, |before| before.0.as_ref().clone());
        gone.extend(rows.into_iter().map(u64::from));
        (!gone.is_empty()).then(|| Self(Arc::new(gone)))
    }

    pub fn count(&self) -> u64 {
        self.0.len()
    }

    pub(super) fn remove_from(&self, rows: &mut RoaringBitmap) {
        for row in self.0.iter() {
            rows.remove(row as u32);
        }
    }

    /// Leaves rows that are not gone; they ascend.
    pub(super) fn retain_others(&self, rows: &mut Vec<u32>) {
        let mut gone = self.0.iter().peekable();
        rows.retain(|row| {
            let row = u64::from(*row);
            while gone.next_if(|gone| *gone < row).is_some() {}
            gone.peek() != Some(&row)
        });
    }

    /// What is read of a file of so many rows.
    pub fn left_of(&self, rows: u64) -> RowSelection {
        let mut selectors = Vec::new();
        let mut from = 0;
        let mut push = |skip: bool, count: u64| {
            if count > 0 {
                let count = count as usize;
                selectors.push(if skip { RowSelector::skip(count) } else { RowSelector::select(count) });
            }
        };
        let mut gone = self.0.iter().peekable();
        while let Some(first) = gone.next() {
            push(false, first - from);
            from = first + 1;
            while gone.next_if_eq(&from).is_some() {
                from += 1;
            }
            push(true, from - first);
        }
        push(false, rows.saturating_sub(from));
        RowSelection::from(selectors)
    }

    pub(super) fn descriptor(&self) -> Result<DeletionVectorDescriptor> {
        let mut bytes = MAGIC.to_le_bytes().to_vec();
        self.0.serialize_into(&mut bytes).map_err(|e| Error::bug("a deletion vector is not written").cause(e))?;
        let size = bytes.len();
        // The encoding takes four bytes at a time.
        bytes.resize(size.next_multiple_of(4), 0);
        Ok(DeletionVectorDescriptor {
            storage_type: StorageType::Inline,
            path_or_inline_dv: z85::encode(&bytes),
            offset: None,
            size_in_bytes: size as i32,
            cardinality: self.count() as i64,
        })
    }

    /// # Errors
    /// Text that says what is wrong: smelt writes inline vectors in the portable format, and no others.
    pub(super) fn read(descriptor: &DeletionVectorDescriptor) -> Result<Self, String> {
        if descriptor.storage_type != StorageType::Inline {
            return Err("a deletion vector lies in a file of its own".into());
        }
        let bytes = z85::decode(&descriptor.path_or_inline_dv).map_err(|e| format!("a deletion vector: {e}"))?;
        let (magic, bitmap) = bytes.split_first_chunk().ok_or("a deletion vector is too short")?;
        if u32::from_le_bytes(*magic) != MAGIC {
            return Err("a deletion vector has an unknown format".into());
        }
        let gone = RoaringTreemap::deserialize_from(bitmap).map_err(|e| format!("a deletion vector: {e}"))?;
        if gone.is_empty() || gone.len() != descriptor.cardinality as u64 {
            return Err(format!("a deletion vector has {} rows, not {}", gone.len(), descriptor.cardinality));
        }
        Ok(Self(Arc::new(gone)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// Whatever rows are gone, the log gives them back, and what is left to read is the rest.
        #[test]
        fn what_is_written_is_read(
            earlier in prop::collection::btree_set(0_u32..300, 0..40),
            later in prop::collection::btree_set(prop_oneof![0_u32..300, 60_000_u32..70_000], 1..80),
            beyond in 0_u64..5,
        ) {
            let before = Deletions::of(None, earlier.iter().copied());
            prop_assert_eq!(before.is_none(), earlier.is_empty());
            let gone = Deletions::of(before.as_ref(), later.iter().copied()).unwrap();
            let expected: std::collections::BTreeSet<u32> = earlier.union(&later).copied().collect();
            let read = Deletions::read(&gone.descriptor().unwrap()).unwrap();
            prop_assert_eq!(&read, &gone);
            prop_assert_eq!(read.count(), expected.len() as u64);

            let rows = u64::from(*expected.last().unwrap()) + 1 + beyond;
            let (mut at, mut skipped) = (0, Vec::new());
            for selector in read.left_of(rows).iter() {
                if selector.skip {
                    skipped.extend((at..at + selector.row_count).map(|row| row as u32));
                }
                at += selector.row_count;
            }
            prop_assert_eq!(at as u64, rows);
            prop_assert_eq!(skipped, expected.into_iter().collect::<Vec<_>>());
        }
    }

    #[test]
    fn damaged_and_foreign_vectors_are_told() {
        let good = Deletions::of(None, [3, 7]).unwrap().descriptor().unwrap();
        let told = |change: &dyn Fn(&mut DeletionVectorDescriptor)| {
            let mut bad = good.clone();
            change(&mut bad);
            Deletions::read(&bad).unwrap_err()
        };
        assert!(told(&|dv| dv.storage_type = StorageType::UuidRelativePath).contains("file of its own"));
        assert!(told(&|dv| dv.cardinality = 3).contains("2 rows, not 3"));
        assert!(told(&|dv| dv.path_or_inline_dv = "abc".into()).contains("a deletion vector"));
        assert!(told(&|dv| dv.path_or_inline_dv = z85::encode([0; 16])).contains("unknown format"));
        assert!(told(&|dv| dv.path_or_inline_dv.clear()).contains("too short"));
    }
}
