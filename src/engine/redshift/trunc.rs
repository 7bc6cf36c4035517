//! TRUNC, which in Redshift also takes the time off a timestamp.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef},
    common::{Result, plan_err},
    functions::math::trunc,
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};

use super::scalar::TIMESTAMP;

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Trunc {
    signature: Signature,
    numbers: Arc<ScalarUDF>,
}

impl Trunc {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable), numbers: trunc() }
    }
}

impl ScalarUDFImpl for Trunc {
    fn name(&self) -> &'static str {
        "trunc"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let number = |given: &DataType| match given {
            given if given.is_integer() => Some(DataType::Decimal128(19, 0)),
            given if given.is_floating() || given.is_null() => Some(DataType::Float64),
            DataType::Decimal128(..) => Some(given.clone()),
            _ => None,
        };
        match given {
            [DataType::Timestamp(..) | DataType::Date32] => Ok(vec![TIMESTAMP]),
            [value] if number(value).is_some() => Ok(number(value).into_iter().collect()),
            [value, places] if places.is_integer() && number(value).is_some() => {
                Ok(number(value).into_iter().chain([DataType::Int64]).collect())
            }
            _ => plan_err!("TRUNC takes a timestamp, or a number and how many decimal places to keep"),
        }
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        match given {
            [DataType::Timestamp(..)] => Ok(DataType::Date32),
            numbers => self.numbers.return_type(numbers),
        }
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        let types: Vec<DataType> = args.arg_fields.iter().map(|field| field.data_type().clone()).collect();
        Ok(Arc::new(Field::new(self.name(), self.return_type(&types)?, true)))
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if matches!(args.args[0].data_type(), DataType::Timestamp(..)) {
            return args.args[0].cast_to(&DataType::Date32, None);
        }
        self.numbers.invoke_with_args(args)
    }
}
