//! FNV_HASH: the 64-bit FNV-1a hash of a value's binary form. What Redshift's documentation shows is
//! matched for texts and integers; the binary forms of other types are ours.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Int64Array},
        datatypes::{
            DataType, Date32Type, Decimal128Type, Float64Type, Int16Type, Int32Type, Int64Type, TimeUnit,
            TimestampMicrosecondType,
        },
    },
    common::{Result, exec_err},
};

use super::scalar::{Argument, Call, Function};

pub(super) fn functions() -> Vec<Function> {
    vec![Function {
        name: "fnv_hash",
        arguments: &[Argument::Value, Argument::Integer],
        optional: 1,
        output: DataType::Int64,
        body: fnv_hash,
    }]
}

const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0000_0100_0000_01b3;

fn hash(bytes: &[u8], seed: u64) -> i64 {
    bytes.iter().fold(seed, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(PRIME)).cast_signed()
}

fn fnv_hash(call: &Call<'_>) -> Result<ArrayRef> {
    let values = call.value(0)?;
    let seeds = if call.has(1) { Some(call.integers(1)?) } else { None };
    let seed = |row: usize| match &seeds {
        None => Some(BASIS),
        Some(seeds) if seeds.is_null(row) => None,
        Some(seeds) => Some(seeds.value(row).cast_unsigned()),
    };
    macro_rules! numbers {
        ($type:ty) => {
            each(values.as_primitive::<$type>().iter(), |number, seed| hash(&number.to_le_bytes(), seed), seed)
        };
    }
    let hashes = match values.data_type() {
        DataType::Utf8View => each(values.as_string_view().iter(), |text, seed| hash(text.as_bytes(), seed), seed),
        DataType::Boolean => each(values.as_boolean().iter(), |truth, seed| hash(&[u8::from(truth)], seed), seed),
        DataType::Int16 => numbers!(Int16Type),
        DataType::Int32 => numbers!(Int32Type),
        DataType::Int64 => numbers!(Int64Type),
        // The two zeros are equal.
        DataType::Float64 => {
            each(values.as_primitive::<Float64Type>().iter(), |x, seed| hash(&(x + 0.0).to_le_bytes(), seed), seed)
        }
        DataType::Decimal128(..) => numbers!(Decimal128Type),
        DataType::Date32 => numbers!(Date32Type),
        DataType::Timestamp(TimeUnit::Microsecond, _) => numbers!(TimestampMicrosecondType),
        other => return exec_err!("FNV_HASH knows no {other}"),
    };
    Ok(Arc::new(hashes))
}

fn each<T>(
    values: impl Iterator<Item = Option<T>>,
    hash: impl Fn(T, u64) -> i64,
    seed: impl Fn(usize) -> Option<u64>,
) -> Int64Array {
    values.enumerate().map(|(row, value)| Some(hash(value?, seed(row)?))).collect()
}
