//! A block of records becomes one batch of clean rows, plus the records that were rejected.

mod plan;
mod record;
mod rows;
mod unknown;

use std::{collections::BTreeMap, fmt::Display};

use arrow::{datatypes::SchemaRef, error::ArrowError, record_batch::RecordBatch};
use thiserror::Error;

use self::rows::Rows;
pub(crate) use self::{
    plan::Plan,
    record::{Raw, Record},
    unknown::UnknownColumns,
};
use crate::{
    Block, EntitySpec, Limits, Reason, Rejected, SpecError,
    parse::{ColumnParser, CsvParser, JsonParser},
    read::{Content, TextBlock},
    reject::keep,
};

/// Cleans blocks of one entity. Each thread has its own; blocks may come from any files in any
/// order.
pub struct Cleaner {
    plan: Plan,
    schema: SchemaRef,
    limits: Limits,
    json: JsonParser,
}

/// What became of one block. `records == rows.num_rows() + rejected.len()`, and each of the three
/// is counted where it happens.
#[derive(Debug, Clone)]
pub struct Cleaned {
    /// The spec's columns, then `_deleted: Boolean` and `_position: UInt64`; in file order. Of a
    /// delete, only the key and the version are not NULL.
    pub rows: RecordBatch,
    /// In file order.
    pub rejected: Vec<Rejected>,
    /// The records of the block.
    pub records: u64,
    /// How many readable records have each column that the spec does not name.
    pub unknown_columns: BTreeMap<String, u64>,
    /// How many records come from a file that names its columns and lacks one of the spec's.
    pub missing_columns: BTreeMap<String, u64>,
}

impl Cleaned {
    fn missing(mut self, columns: Vec<String>) -> Self {
        self.missing_columns = columns.into_iter().map(|column| (column, self.records)).collect();
        self
    }
}

/// A failure of the cleaning itself, never of the data.
#[derive(Debug, Error)]
#[error("a block does not fit Arrow's columns")]
pub struct CleanError(#[from] ArrowError);

impl Cleaner {
    /// # Errors
    /// The first rule the spec breaks.
    pub fn new(spec: &EntitySpec, limits: Limits) -> Result<Self, SpecError> {
        let plan = Plan::new(spec)?;
        Ok(Self { json: JsonParser::new(&plan), schema: spec.rows_schema(), plan, limits })
    }

    /// The schema of [`Cleaned::rows`].
    pub fn schema(&self) -> SchemaRef {
        self.schema.clone()
    }

    /// Cleans one block.
    ///
    /// # Errors
    /// Only when Arrow refuses; bad records are in [`Cleaned::rejected`].
    pub fn clean(&mut self, block: &Block) -> Result<Cleaned, CleanError> {
        match block.content() {
            Content::JsonLines(text) => {
                let mut work = Work::new(&self.plan, self.limits, block);
                work.clean_text(text, |line, record, unknown| self.json.parse(line, &self.plan, record, unknown));
                work.finish(self.schema.clone())
            }
            Content::Csv(text, header) => {
                let parser = CsvParser::new(header, &self.plan);
                let mut work = Work::new(&self.plan, self.limits, block);
                work.clean_text(text, |line, record, unknown| parser.parse(line, record, unknown));
                Ok(work.finish(self.schema.clone())?.missing(self.plan.missing_from(&header.names)))
            }
            Content::Columns(batch) => {
                let parser = ColumnParser::new(batch, &self.plan)?;
                let mut work = Work::new(&self.plan, self.limits, block);
                work.clean_columns(&parser);
                let names: Vec<&String> = batch.schema_ref().fields().iter().map(|field| field.name()).collect();
                Ok(work.finish(self.schema.clone())?.missing(self.plan.missing_from(&names)))
            }
        }
    }
}

/// One block on its way.
struct Work<'p, 'a> {
    limits: Limits,
    record: Record<'a>,
    unknown: UnknownColumns,
    rows: Rows<'p, 'a>,
    position: u64,
    records: u64,
}

impl<'p, 'a> Work<'p, 'a> {
    fn new(plan: &'p Plan, limits: Limits, block: &Block) -> Self {
        Self {
            limits,
            record: Record::new(plan.columns.len()),
            unknown: UnknownColumns::new(limits),
            rows: Rows::new(plan, limits, block.records()),
            position: block.first_position(),
            records: 0,
        }
    }

    fn clean_text<E: Display>(
        &mut self,
        block: &'a TextBlock,
        mut parse: impl FnMut(&'a str, &mut Record<'a>, &mut UnknownColumns) -> Result<(), E>,
    ) {
        let limit = self.limits.kept_record_bytes;
        for text in block.records() {
            self.record.clear();
            let read = match text.readable {
                Ok(line) => parse(line, &mut self.record, &mut self.unknown).map_err(|error| error.to_string()),
                Err(flaw) => Err(flaw.to_string()),
            };
            self.end_record(read, || keep(text.bytes, text.full_length(), limit));
        }
    }

    fn clean_columns(&mut self, parser: &'a ColumnParser<'a>) {
        let limit = self.limits.kept_record_bytes;
        for row in 0..parser.records() {
            self.record.clear();
            let read = parser.parse(row, &mut self.record, &mut self.unknown);
            let read = read.map_err(|error| error.to_string());
            self.end_record(read, || parser.show(row, limit));
        }
    }

    fn end_record(&mut self, read: Result<(), String>, source: impl FnOnce() -> String) {
        self.records += 1;
        self.unknown.end_record(read.is_ok());
        match read {
            Ok(()) => self.rows.add(&self.record, self.position, source),
            Err(detail) => {
                let reasons = vec![Reason::Unreadable { detail }];
                self.rows.reject(self.position, reasons, source());
            }
        }
        self.position += 1;
    }

    fn finish(self, schema: SchemaRef) -> Result<Cleaned, CleanError> {
        let (rows, rejected) = self.rows.finish(schema)?;
        let unknown_columns = self.unknown.into_counts();
        Ok(Cleaned { rows, rejected, records: self.records, unknown_columns, missing_columns: BTreeMap::new() })
    }
}
