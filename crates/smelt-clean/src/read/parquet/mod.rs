//! Batches of a Parquet file.
//!
//! The file's own types decide, not the Arrow schema that some writers put beside them. The decoder
//! is not trusted with a hostile file: [`file`] checks lengths before anything is allocated for
//! them, and a panic in it is an error of the file.

mod file;
mod types;

use std::{
    collections::HashSet,
    panic::{AssertUnwindSafe, catch_unwind},
};

use arrow::{error::ArrowError, record_batch::RecordBatch};
use parquet::{
    arrow::arrow_reader::{
        ArrowReaderMetadata, ArrowReaderOptions, ParquetRecordBatchReader, ParquetRecordBatchReaderBuilder,
    },
    errors::ParquetError,
    file::metadata::{ParquetMetaData, RowGroupMetaData},
};

use self::file::ParquetFile;
use super::{Input, ReadError, ReadOptions};
use crate::Limits;

pub(super) struct ParquetReader {
    batches: ParquetRecordBatchReader,
    /// Indexes of the columns whose 16 bytes are a UUID.
    uuids: Vec<usize>,
    records: u64,
    handed_out: u64,
}

impl ParquetReader {
    pub(super) fn open(input: Input, options: &ReadOptions) -> Result<Self, ReadError> {
        let file = ParquetFile::open(input, options)?;
        guard(|| Self::open_file(file, options.limits))
    }

    fn open_file(file: ParquetFile, limits: Limits) -> Result<Self, ReadError> {
        let own_types = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
        let metadata = ArrowReaderMetadata::load(&file, own_types)?;
        let mut names = HashSet::new();
        for field in metadata.schema().fields() {
            if !names.insert(field.name()) {
                return Err(ReadError::RepeatedColumn { column: field.name().clone() });
            }
        }
        let root = metadata.parquet_schema().root_schema().get_fields();
        let types = ArrowReaderOptions::new().with_schema(types::to_read(metadata.schema(), root));
        let uuids = types::uuids(root);
        let metadata = ArrowReaderMetadata::try_new(metadata.metadata().clone(), types)?;

        let records = total(metadata.metadata(), RowGroupMetaData::num_rows)?;
        let bytes = total(metadata.metadata(), RowGroupMetaData::total_byte_size)?;
        let record_bytes = (bytes / records.max(1)).max(1);
        let rows = limits.block_bytes as u64 / record_bytes;
        let rows = rows.clamp(1, limits.block_records as u64);
        let batches = ParquetRecordBatchReaderBuilder::new_with_metadata(file, metadata)
            .with_batch_size(rows as usize)
            .build()?;
        Ok(Self { batches, uuids, records, handed_out: 0 })
    }

    /// How many records the footer says there are.
    pub(super) fn records(&self) -> u64 {
        self.records
    }

    /// The next batch, with at least one record; none at the end of the file.
    pub(super) fn next_batch(&mut self) -> Result<Option<RecordBatch>, ReadError> {
        guard(|| {
            for batch in self.batches.by_ref() {
                let batch = types::with_uuid_texts(batch?, &self.uuids)?;
                if batch.num_rows() > 0 {
                    self.handed_out += batch.num_rows() as u64;
                    return Ok(Some(batch));
                }
            }
            if self.handed_out == self.records {
                return Ok(None);
            }
            let Self { handed_out, records, .. } = self;
            Err(ReadError::Parquet { detail: format!("it has {handed_out} records, its footer says {records}") })
        })
    }
}

/// Runs the decoder on what may be anything. Nothing is used after a panic: the first error ends
/// the reader.
fn guard<T>(read: impl FnOnce() -> Result<T, ReadError>) -> Result<T, ReadError> {
    catch_unwind(AssertUnwindSafe(read))
        .unwrap_or_else(|_| Err(ReadError::Parquet { detail: "its contents contradict each other".to_owned() }))
}

/// The sum over all row groups of a number that should not be negative.
fn total(metadata: &ParquetMetaData, of: fn(&RowGroupMetaData) -> i64) -> Result<u64, ReadError> {
    let mut numbers = metadata.row_groups().iter().map(of);
    numbers
        .try_fold(0_u64, |sum, number| sum.checked_add(number.try_into().ok()?))
        .ok_or_else(|| ReadError::Parquet { detail: "a row group has an impossible size".to_owned() })
}

impl From<ParquetError> for ReadError {
    fn from(error: ParquetError) -> Self {
        Self::Parquet { detail: error.to_string() }
    }
}

impl From<ArrowError> for ReadError {
    fn from(error: ArrowError) -> Self {
        Self::Parquet { detail: error.to_string() }
    }
}
