//! Parquet: columns of text, and of timestamps in files that have them as a type.

use std::io;
use std::sync::Arc;

use arrow::array::{ArrayBuilder, ArrayRef, RecordBatch, StringBuilder, TimestampMicrosecondBuilder};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use parquet::arrow::ArrowWriter;
use parquet::basic::{Compression as Codec, GzipLevel, ZstdLevel};
use parquet::errors::ParquetError;
use parquet::file::properties::{EnabledStatistics, WriterProperties};

use crate::entity::Kind;
use crate::options::Compression;
use crate::output_file::OutputFile;
use crate::row::{Cell, Layout, Row, Times};

const BATCH_ROWS: usize = 8 * 1024;
const GROUP_ROWS: usize = 128 * 1024;

pub(crate) struct Parquet {
    writer: ArrowWriter<OutputFile>,
    schema: SchemaRef,
    columns: Vec<Column>,
}

enum Column {
    Text(StringBuilder),
    Time(TimestampMicrosecondBuilder),
}

impl Parquet {
    pub(crate) fn new(layout: &Layout, compression: Compression, file: OutputFile) -> io::Result<Self> {
        let zone = match layout.times {
            Times::Utc => Some("UTC"),
            Times::Text | Times::Naive => None,
        };
        let time_type = DataType::Timestamp(TimeUnit::Microsecond, zone.map(Arc::from));
        let names = layout.names();
        let typed = |index: usize| {
            let column = layout.known().get(index);
            layout.times != Times::Text && column.is_some_and(|column| column.kind == Kind::Time)
        };
        let fields = names.iter().enumerate().map(|(index, name)| {
            let kind = if typed(index) { time_type.clone() } else { DataType::Utf8 };
            Field::new(*name, kind, true)
        });
        let columns = (0..names.len()).map(|index| {
            if typed(index) {
                let builder = TimestampMicrosecondBuilder::with_capacity(BATCH_ROWS);
                Column::Time(builder.with_timezone_opt(zone))
            } else {
                Column::Text(StringBuilder::with_capacity(BATCH_ROWS, BATCH_ROWS * 16))
            }
        });
        let codec = match compression {
            Compression::None => Codec::UNCOMPRESSED,
            Compression::Gzip => Codec::GZIP(GzipLevel::try_new(1).map_err(other)?),
            Compression::Zstd => Codec::ZSTD(ZstdLevel::try_new(1).map_err(other)?),
        };
        let properties = WriterProperties::builder()
            .set_compression(codec)
            .set_max_row_group_row_count(Some(GROUP_ROWS))
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_created_by("smelt".to_owned())
            .build();
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let columns = columns.collect();
        let writer = ArrowWriter::try_new(file, Arc::clone(&schema), Some(properties));
        Ok(Self { writer: writer.map_err(other)?, schema, columns })
    }

    pub(crate) fn write(&mut self, row: &Row) -> io::Result<()> {
        for (column, cell) in self.columns.iter_mut().zip(&row.cells) {
            match (column, cell) {
                (Column::Time(builder), Cell::Time(time)) => builder.append_value(*time),
                (Column::Time(builder), _) => builder.append_null(),
                (Column::Text(builder), cell) => builder.append_option(cell.text()),
            }
        }
        if self.rows() == BATCH_ROWS {
            self.write_batch()?;
        }
        Ok(())
    }

    pub(crate) fn finish(mut self) -> io::Result<u64> {
        if self.rows() > 0 {
            self.write_batch()?;
        }
        self.writer.into_inner().map_err(other)?.finish()
    }

    fn rows(&self) -> usize {
        self.columns.first().map_or(0, |column| match column {
            Column::Text(builder) => builder.len(),
            Column::Time(builder) => builder.len(),
        })
    }

    fn write_batch(&mut self) -> io::Result<()> {
        let arrays = self.columns.iter_mut().map(|column| match column {
            Column::Text(builder) => Arc::new(builder.finish()) as ArrayRef,
            Column::Time(builder) => Arc::new(builder.finish()) as ArrayRef,
        });
        let batch = RecordBatch::try_new(Arc::clone(&self.schema), arrays.collect());
        let batch = batch.map_err(io::Error::other)?;
        self.writer.write(&batch).map_err(other)
    }
}

/// Failures to write come wrapped; the cause is what a reader wants to see.
fn other(error: ParquetError) -> io::Error {
    match error {
        ParquetError::External(cause) => match cause.downcast::<io::Error>() {
            Ok(cause) => *cause,
            Err(cause) => io::Error::other(cause),
        },
        error => io::Error::other(error),
    }
}
