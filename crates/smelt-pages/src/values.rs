//! Values on their way into an array of the stored type.

use std::sync::Arc;

use arrow::array::NullBufferBuilder;
use arrow::{
    array::{ArrayData, ArrayRef, BooleanBuilder, Decimal128Array, StringViewBuilder, make_array},
    buffer::{Buffer, NullBuffer},
    datatypes::DataType,
};
use parquet::{basic::Type, schema::types::ColumnDescriptor};

use crate::{
    Damage, Result,
    page::{Dictionary, Page, Value},
};

/// How a page has values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    Fixed(usize),
    Bit,
    Text,
}

/// How a column's values are stored, and what they are.
#[derive(Debug, Clone)]
pub(crate) enum Physical {
    Boolean,
    /// Numbers of four bytes, of eight.
    Four(DataType),
    Eight(DataType),
    /// Decimals in so many bytes, with the highest first or last.
    Decimal {
        bytes: usize,
        highest_first: bool,
        precision: u8,
        scale: i8,
    },
    Text,
}

impl Physical {
    /// None for what is not picked.
    pub(crate) fn of(column: &ColumnDescriptor, data_type: &DataType) -> Option<Self> {
        let decimal = |bytes: usize, highest_first: bool| match data_type {
            DataType::Decimal128(precision, scale) => {
                Some(Self::Decimal { bytes, highest_first, precision: *precision, scale: *scale })
            }
            _ => None,
        };
        match (column.physical_type(), data_type) {
            (Type::BOOLEAN, DataType::Boolean) => Some(Self::Boolean),
            (Type::INT32, DataType::Int32 | DataType::Date32) | (Type::FLOAT, DataType::Float32) => {
                Some(Self::Four(data_type.clone()))
            }
            (Type::INT64, DataType::Int64 | DataType::Timestamp(..)) | (Type::DOUBLE, DataType::Float64) => {
                Some(Self::Eight(data_type.clone()))
            }
            (Type::INT32, _) => decimal(4, false),
            (Type::INT64, _) => decimal(8, false),
            (Type::FIXED_LEN_BYTE_ARRAY, _) => {
                decimal(usize::try_from(column.type_length()).ok().filter(|bytes| (1..=16).contains(bytes))?, true)
            }
            (Type::BYTE_ARRAY, DataType::Utf8 | DataType::Utf8View | DataType::LargeUtf8) => Some(Self::Text),
            _ => None,
        }
    }

    pub(crate) fn width(&self) -> Width {
        match self {
            Self::Boolean => Width::Bit,
            Self::Four(_) => Width::Fixed(4),
            Self::Eight(_) => Width::Fixed(8),
            Self::Decimal { bytes, .. } => Width::Fixed(*bytes),
            Self::Text => Width::Text,
        }
    }
}

/// An array that is being filled.
pub(crate) struct Values<'c> {
    physical: &'c Physical,
    count: usize,
    filled: Filled,
}

enum Filled {
    Boolean(BooleanBuilder),
    Four(Vec<i32>, NullBufferBuilder),
    Eight(Vec<i64>, NullBufferBuilder),
    Decimal(Vec<i128>, NullBufferBuilder),
    Text(StringViewBuilder),
}

impl<'c> Values<'c> {
    pub(crate) fn new(physical: &'c Physical, capacity: usize) -> Self {
        let nulls = NullBufferBuilder::new(capacity);
        let filled = match physical {
            Physical::Boolean => Filled::Boolean(BooleanBuilder::with_capacity(capacity)),
            Physical::Four(_) => Filled::Four(Vec::with_capacity(capacity), nulls),
            Physical::Eight(_) => Filled::Eight(Vec::with_capacity(capacity), nulls),
            Physical::Decimal { .. } => Filled::Decimal(Vec::with_capacity(capacity), nulls),
            Physical::Text => Filled::Text(StringViewBuilder::with_capacity(capacity)),
        };
        Self { physical, count: 0, filled }
    }

    pub(crate) fn len(&self) -> usize {
        self.count
    }

    /// Adds the values of some rows of a page, which are in ascending order.
    pub(crate) fn extend(
        &mut self,
        page: &Page<'_>,
        dictionary: Option<&Dictionary<'_>>,
        rows: impl Iterator<Item = usize>,
    ) -> Result<()> {
        fn each<T: Copy + Default, const BYTES: usize>(
            (values, nulls): (&mut Vec<T>, &mut NullBufferBuilder),
            value: Option<Value<'_>>,
            from: impl Fn([u8; BYTES]) -> T,
        ) -> Result<()> {
            match value {
                Some(Value::Bytes(bytes)) => {
                    values.push(from(bytes.try_into().map_err(|_| Damage::Values)?));
                    nulls.append_non_null();
                }
                Some(Value::Bit(_)) => return Err(Damage::Values),
                None => {
                    values.push(T::default());
                    nulls.append_null();
                }
            }
            Ok(())
        }
        let mut at = page.rows(dictionary)?;
        for row in rows {
            let value = at.value(row)?;
            match (&mut self.filled, self.physical) {
                (Filled::Boolean(values), _) => match value {
                    Some(Value::Bit(value)) => values.append_value(value),
                    Some(Value::Bytes(_)) => return Err(Damage::Values),
                    None => values.append_null(),
                },
                (Filled::Four(values, nulls), _) => each((values, nulls), value, i32::from_le_bytes)?,
                (Filled::Eight(values, nulls), _) => each((values, nulls), value, i64::from_le_bytes)?,
                (Filled::Decimal(values, nulls), Physical::Decimal { bytes, highest_first, .. }) => match bytes {
                    4 if !highest_first => each((values, nulls), value, |four| i32::from_le_bytes(four).into())?,
                    8 if !highest_first => each((values, nulls), value, |eight| i64::from_le_bytes(eight).into())?,
                    _ => match value {
                        Some(Value::Bytes(bytes)) => {
                            values.push(number(bytes));
                            nulls.append_non_null();
                        }
                        Some(Value::Bit(_)) => return Err(Damage::Values),
                        None => {
                            values.push(0);
                            nulls.append_null();
                        }
                    },
                },
                (Filled::Decimal(..), _) => return Err(Damage::Values),
                (Filled::Text(texts), _) => match value {
                    Some(Value::Bytes(bytes)) => {
                        texts.append_value(std::str::from_utf8(bytes).map_err(|_| Damage::NotUtf8)?);
                    }
                    Some(Value::Bit(_)) => return Err(Damage::Values),
                    None => texts.append_null(),
                },
            }
            self.count += 1;
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Result<ArrayRef> {
        let plain = |data_type: &DataType, values: Buffer, nulls: Option<NullBuffer>| {
            let data = ArrayData::builder(data_type.clone()).len(self.count).add_buffer(values).nulls(nulls);
            data.build().map(make_array).map_err(|_| Damage::Values)
        };
        match (self.filled, self.physical) {
            (Filled::Boolean(mut values), _) => Ok(Arc::new(values.finish())),
            (Filled::Four(values, mut nulls), Physical::Four(data_type)) => {
                plain(data_type, Buffer::from_vec(values), nulls.finish())
            }
            (Filled::Eight(values, mut nulls), Physical::Eight(data_type)) => {
                plain(data_type, Buffer::from_vec(values), nulls.finish())
            }
            (Filled::Decimal(values, mut nulls), Physical::Decimal { precision, scale, .. }) => {
                let values = Decimal128Array::new(values.into(), nulls.finish());
                let values = values.with_precision_and_scale(*precision, *scale).map_err(|_| Damage::Values)?;
                Ok(Arc::new(values))
            }
            (Filled::Text(mut texts), _) => Ok(Arc::new(texts.finish())),
            _ => Err(Damage::Values),
        }
    }
}

/// A number whose highest byte comes first.
fn number(bytes: &[u8]) -> i128 {
    let sign = if bytes.first().is_some_and(|first| first & 0x80 != 0) { -1 } else { 0 };
    bytes.iter().fold(sign, |number, byte| number << 8 | i128::from(*byte))
}
