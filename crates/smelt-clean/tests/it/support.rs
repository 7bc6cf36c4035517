//! Running a whole file through the crate, and looking at what comes out as text.

use std::collections::BTreeMap;

use arrow::{
    array::{Array, ArrayRef, AsArray},
    datatypes::{DataType, Decimal128Type, Int32Type, SchemaRef, TimestampMicrosecondType, UInt64Type},
};
use smelt_clean::{
    Cleaner, ColumnSpec, Compression, EntitySpec, Format, Input, Kind, ReadError, ReadOptions, Rejected, open, value,
};

/// A whole file, cleaned.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Outcome {
    pub(crate) schema: SchemaRef,
    /// Each row's clean values as text, in the order of the schema.
    pub(crate) rows: Vec<Vec<Option<String>>>,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) records: u64,
    pub(crate) unknown_columns: BTreeMap<String, u64>,
}

impl Outcome {
    /// The codes of the reasons for which the record at `position` was rejected.
    pub(crate) fn codes(&self, position: u64) -> Vec<&'static str> {
        let rejected = self.rejected.iter().find(|rejected| rejected.position == position);
        rejected.map_or_else(Vec::new, |rejected| rejected.reasons.iter().map(smelt_clean::Reason::code).collect())
    }

    /// The values of the row from the record at `position`, without those added to it.
    pub(crate) fn row(&self, position: u64) -> Option<Vec<Option<&str>>> {
        let position = position.to_string();
        let row = self.rows.iter().find(|row| row.last().unwrap().as_ref() == Some(&position))?;
        let own = &row[..row.len() - 2];
        Some(own.iter().map(Option::as_deref).collect())
    }
}

pub(crate) fn clean_input(spec: &EntitySpec, input: Input, options: &ReadOptions) -> Result<Outcome, ReadError> {
    let mut cleaner = Cleaner::new(spec, options.limits).unwrap();
    let mut outcome = Outcome {
        schema: cleaner.schema(),
        rows: Vec::new(),
        rejected: Vec::new(),
        records: 0,
        unknown_columns: BTreeMap::new(),
    };
    for block in open(input, options)? {
        let block = block?;
        assert!(block.records() > 0, "an empty block");
        assert_eq!(block.first_position(), outcome.records + 1);
        let cleaned = cleaner.clean(&block).unwrap();
        assert_eq!(cleaned.records, block.records() as u64);
        let kept = (cleaned.rows.num_rows() + cleaned.rejected.len()) as u64;
        assert_eq!(cleaned.records, kept, "a record is lost");
        assert_eq!(cleaned.rows.schema(), outcome.schema);
        for row in 0..cleaned.rows.num_rows() {
            let columns = cleaned.rows.columns().iter();
            outcome.rows.push(columns.map(|column| text_of(column, row)).collect());
        }
        outcome.rejected.extend(cleaned.rejected);
        outcome.records += cleaned.records;
        for (column, records) in cleaned.unknown_columns {
            *outcome.unknown_columns.entry(column).or_default() += records;
        }
    }
    Ok(outcome)
}

pub(crate) fn clean(spec: &EntitySpec, file: impl AsRef<[u8]>, options: &ReadOptions) -> Result<Outcome, ReadError> {
    clean_input(spec, Input::Bytes(file.as_ref().to_vec().into()), options)
}

pub(crate) fn plain(format: Format) -> ReadOptions {
    ReadOptions::new(format, Compression::None)
}

/// A clean value as the test vectors write it.
pub(crate) fn text_of(column: &ArrayRef, row: usize) -> Option<String> {
    column.is_valid(row).then(|| match column.data_type() {
        DataType::Utf8View => column.as_string_view().value(row).to_owned(),
        DataType::Decimal128(_, scale) => {
            value::money::format(column.as_primitive::<Decimal128Type>().value(row), *scale)
        }
        DataType::Int32 => column.as_primitive::<Int32Type>().value(row).to_string(),
        DataType::UInt64 => column.as_primitive::<UInt64Type>().value(row).to_string(),
        DataType::Boolean => column.as_boolean().value(row).to_string(),
        DataType::Timestamp(..) => {
            let micros = column.as_primitive::<TimestampMicrosecondType>().value(row);
            value::timestamp::format(micros)
        }
        other => panic!("no clean value is {other}"),
    })
}

pub(crate) fn money() -> Kind {
    Kind::Money { precision: 18, scale: 2 }
}

pub(crate) fn status() -> Kind {
    let aliases = [("canceled", "cancelled"), ("complete", "completed"), ("in_transit", "shipped")];
    let owned = |(alias, status): (&str, &str)| (alias.to_owned(), status.to_owned());
    Kind::Status { aliases: aliases.map(owned).to_vec() }
}

pub(crate) fn null_texts() -> Vec<String> {
    ["", "null", "NULL", "N/A", "n/a", "\\N"].map(str::to_owned).to_vec()
}

/// Columns of trimmed text beside a key and a version that every record has by default.
pub(crate) fn texts(names: &[&str]) -> EntitySpec {
    let mut key = ColumnSpec::new("spec key", Kind::Text);
    key.default = Some("k".to_owned());
    let mut version = ColumnSpec::new("spec version", Kind::Timestamp);
    version.default = Some("2024-01-01".to_owned());
    let columns = names.iter().map(|name| ColumnSpec::new(*name, Kind::Text));
    EntitySpec {
        columns: columns.chain([key, version]).collect(),
        key: vec![names.len()],
        version: names.len() + 1,
        null_texts: Vec::new(),
    }
}

/// The reference warehouse's orders.
pub(crate) fn orders() -> EntitySpec {
    let zero = |mut column: ColumnSpec| {
        column.default = Some("0".to_owned());
        column.minimum = Some("0".to_owned());
        column
    };
    let required = |mut column: ColumnSpec| {
        column.required = true;
        column
    };
    EntitySpec {
        columns: vec![
            ColumnSpec::new("order_id", Kind::Identifier),
            required(ColumnSpec::new("customer_id", Kind::Identifier)),
            required(ColumnSpec::new("order_status", status())),
            ColumnSpec::new("currency", Kind::Code),
            ColumnSpec::new("shipping_country", Kind::Code),
            zero(ColumnSpec::new("discount_amount", money())),
            zero(ColumnSpec::new("shipping_amount", money())),
            required(ColumnSpec::new("ordered_at", Kind::Timestamp)),
            ColumnSpec::new("updated_at", Kind::Timestamp),
        ],
        key: vec![0],
        version: 8,
        null_texts: null_texts(),
    }
}
