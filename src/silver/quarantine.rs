//! Where records go that cannot become rows: `staging.<entity>_quarantine`.

use std::sync::Arc;

use arrow::{
    array::{ArrayRef, Int64Builder, RecordBatch, StringViewBuilder},
    datatypes::{DataType, Field, Schema, SchemaRef},
};
use smelt_clean::Rejected;

use super::entity::RawFile;
use crate::{
    error::{Error, Result},
    lake::FileWriter,
};

/// Bytes of records after which a batch is handed to the writer.
const BATCH_BYTES: usize = 8 << 20;

/// One row a quarantined record, with its place in raw, its reasons and the record itself.
pub(super) fn schema() -> SchemaRef {
    Arc::new(Schema::new(vec![
        Field::new("entity", DataType::Utf8View, true),
        Field::new("batch", DataType::Int64, true),
        Field::new("path", DataType::Utf8View, true),
        Field::new("position", DataType::Int64, true),
        Field::new("reasons", DataType::Utf8View, true),
        Field::new("record", DataType::Utf8View, true),
    ]))
}

/// Collects rejected records and counts each as it is written.
pub(super) struct Quarantine<'a> {
    entity: &'a str,
    files: &'a [RawFile],
    writer: FileWriter,
    texts: [StringViewBuilder; 4],
    numbers: [Int64Builder; 2],
    bytes: usize,
    pub(super) records: u64,
}

impl<'a> Quarantine<'a> {
    pub(super) fn new(entity: &'a str, files: &'a [RawFile], writer: FileWriter) -> Self {
        Self {
            entity,
            files,
            writer,
            texts: std::array::from_fn(|_| StringViewBuilder::new()),
            numbers: std::array::from_fn(|_| Int64Builder::new()),
            bytes: 0,
            records: 0,
        }
    }

    /// Takes the rejected records of the file with this place in the run's order.
    pub(super) async fn take(&mut self, ordinal: usize, rejected: Vec<Rejected>) -> Result<()> {
        let file = &self.files[ordinal];
        for record in rejected {
            let reasons =
                record.reasons.iter().map(|reason| format!("{}: {reason}", reason.code())).collect::<Vec<_>>().join("; ");
            let [entity, path, reason, text] = &mut self.texts;
            let [batch, position] = &mut self.numbers;
            entity.append_value(self.entity);
            batch.append_value(file.reference.batch.0 as i64);
            path.append_value(&file.landed.path);
            position.append_value(record.position as i64);
            reason.append_value(&reasons);
            text.append_value(&record.record);
            self.bytes += record.record.len() + reasons.len();
            self.records += 1;
            if self.bytes >= BATCH_BYTES {
                self.flush().await?;
            }
        }
        Ok(())
    }

    async fn flush(&mut self) -> Result<()> {
        self.bytes = 0;
        let [entity, path, reasons, record] = self.texts.each_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef);
        let [batch, position] = self.numbers.each_mut().map(|builder| Arc::new(builder.finish()) as ArrayRef);
        let rows = RecordBatch::try_new(schema(), vec![entity, batch, path, position, reasons, record])
            .map_err(|e| Error::bug("quarantine rows do not fit").cause(e))?;
        self.writer.write(&rows).await
    }

    /// The files written.
    pub(super) async fn finish(mut self) -> Result<(Vec<crate::lake::FileEntry>, u64)> {
        self.flush().await?;
        Ok((self.writer.finish().await?, self.records))
    }
}
