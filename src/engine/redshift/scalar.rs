//! A scalar function as one value: name, arguments, result type, body.
//!
//! DataFusion wants a type with a trait implementation a function. Redshift's functions differ in
//! little but their bodies, so each is a [`Function`] in a table and this file does the rest:
//! counting and coercing arguments, literals against columns, NULL in, NULL out.

use std::{
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

use datafusion::{
    arrow::{
        array::{Array, ArrayRef, AsArray, Int64Array, StringViewArray, TimestampMicrosecondArray},
        compute::cast,
        datatypes::{DataType, Int64Type, TimeUnit, TimestampMicrosecondType},
    },
    common::{Result, ScalarValue, exec_datafusion_err, plan_datafusion_err, plan_err},
    logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility},
};

/// The one timestamp of smelt's SQL: microseconds, UTC, no zone.
pub(super) const TIMESTAMP: DataType = DataType::Timestamp(TimeUnit::Microsecond, None);

/// What an argument is coerced to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Argument {
    Text,
    /// A timestamp, a date, or text that reads as one.
    Time,
    Integer,
    /// Whatever it is.
    Value,
}

/// One scalar function. Every one is immutable and gives NULL when an argument is NULL.
pub(super) struct Function {
    pub(super) name: &'static str,
    pub(super) arguments: &'static [Argument],
    /// How many of the arguments may be left out, from the end.
    pub(super) optional: usize,
    pub(super) output: DataType,
    pub(super) body: fn(&Call<'_>) -> Result<ArrayRef>,
}

impl Function {
    pub(super) fn into_udf(self) -> ScalarUDF {
        ScalarUDF::new_from_impl(Registered {
            signature: Signature::user_defined(Volatility::Immutable),
            function: self,
        })
    }
}

struct Registered {
    signature: Signature,
    function: Function,
}

impl fmt::Debug for Registered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.function.name)
    }
}

// The name is the function: two with one name never live in one session.
impl PartialEq for Registered {
    fn eq(&self, other: &Self) -> bool {
        self.function.name == other.function.name
    }
}
impl Eq for Registered {}
impl Hash for Registered {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.function.name.hash(state);
    }
}

impl ScalarUDFImpl for Registered {
    fn name(&self) -> &str {
        self.function.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(self.function.output.clone())
    }

    fn is_strict(&self) -> bool {
        true
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let Function { name, arguments, optional, .. } = &self.function;
        let least = arguments.len() - optional;
        if given.len() < least || given.len() > arguments.len() {
            let wanted = if *optional == 0 { least.to_string() } else { format!("{least} to {}", arguments.len()) };
            return plan_err!("{name} takes {wanted} arguments, not {}", given.len());
        }
        std::iter::zip(given, *arguments)
            .enumerate()
            .map(|(index, (given, wanted))| {
                coerced(given, *wanted).ok_or_else(|| {
                    plan_datafusion_err!("argument {} of {name} is {given}, not {}", index + 1, describe(*wanted))
                })
            })
            .collect()
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let constant = args.args.iter().all(|value| matches!(value, ColumnarValue::Scalar(_)));
        let rows = if constant { 1 } else { args.number_rows };
        let result = (self.function.body)(&Call { name: self.function.name, values: &args.args, rows })?;
        Ok(if constant {
            ColumnarValue::Scalar(ScalarValue::try_from_array(&result, 0)?)
        } else {
            ColumnarValue::Array(result)
        })
    }
}

fn coerced(given: &DataType, wanted: Argument) -> Option<DataType> {
    let text = matches!(given, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Null);
    match wanted {
        Argument::Text if text => Some(DataType::Utf8View),
        Argument::Time if text => Some(TIMESTAMP),
        Argument::Time if matches!(given, DataType::Timestamp(..) | DataType::Date32 | DataType::Date64) => {
            Some(TIMESTAMP)
        }
        Argument::Integer if given.is_integer() || given.is_null() => Some(DataType::Int64),
        Argument::Value if text => Some(DataType::Utf8View),
        Argument::Value => Some(given.clone()),
        _ => None,
    }
}

fn describe(argument: Argument) -> &'static str {
    match argument {
        Argument::Text => "text",
        Argument::Time => "a date or timestamp",
        Argument::Integer => "an integer",
        Argument::Value => "a value",
    }
}

/// The arguments of one call on one batch.
pub(super) struct Call<'a> {
    pub(super) name: &'a str,
    values: &'a [ColumnarValue],
    pub(super) rows: usize,
}

impl Call<'_> {
    /// An argument that must be a constant, such as a date part; `None` is NULL.
    pub(super) fn constant(&self, index: usize) -> Result<Option<&str>> {
        match &self.values[index] {
            ColumnarValue::Scalar(
                ScalarValue::Utf8(text) | ScalarValue::Utf8View(text) | ScalarValue::LargeUtf8(text),
            ) => Ok(text.as_deref()),
            ColumnarValue::Scalar(ScalarValue::Null) => Ok(None),
            _ => Err(exec_datafusion_err!("argument {} of {} must be a constant text", index + 1, self.name)),
        }
    }

    pub(super) fn times(&self, index: usize) -> Result<TimestampMicrosecondArray> {
        Ok(self.array(index, &TIMESTAMP)?.as_primitive::<TimestampMicrosecondType>().clone())
    }

    pub(super) fn integers(&self, index: usize) -> Result<Int64Array> {
        Ok(self.array(index, &DataType::Int64)?.as_primitive::<Int64Type>().clone())
    }

    pub(super) fn texts(&self, index: usize) -> Result<StringViewArray> {
        Ok(self.array(index, &DataType::Utf8View)?.as_string_view().clone())
    }

    /// Whether an argument that may be left out is there.
    pub(super) fn has(&self, index: usize) -> bool {
        index < self.values.len()
    }

    pub(super) fn value(&self, index: usize) -> Result<ArrayRef> {
        self.values[index].to_array(self.rows)
    }

    fn array(&self, index: usize, wanted: &DataType) -> Result<ArrayRef> {
        let array = self.values[index].to_array(self.rows)?;
        Ok(if array.data_type() == wanted { array } else { cast(&array, wanted)? })
    }

    /// A column of NULLs of the function's result type.
    pub(super) fn nulls(&self, output: &DataType) -> ArrayRef {
        datafusion::arrow::array::new_null_array(output, self.rows)
    }
}

/// One text a row from a fallible function of one input array.
pub(super) fn collect_texts<T>(
    rows: impl Iterator<Item = Option<T>>,
    mut write: impl FnMut(T, &mut String) -> Result<()>,
) -> Result<ArrayRef> {
    let mut builder = datafusion::arrow::array::StringViewBuilder::with_capacity(rows.size_hint().0);
    let mut text = String::new();
    for row in rows {
        match row {
            Some(value) => {
                text.clear();
                write(value, &mut text)?;
                builder.append_value(&text);
            }
            None => builder.append_null(),
        }
    }
    Ok(Arc::new(builder.finish()))
}
