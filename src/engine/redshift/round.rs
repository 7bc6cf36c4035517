//! ROUND, whose type is the same at every step of planning.
//!
//! The engine gives a decimal the scale of a literal number of places. But it plans with a cast of the literal, which is none,
//! and folds that later: then values had another scale than everything above was planned for, and 28.50 beside them
//! became 29. Here the literal is taken as it is.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, FieldRef},
    common::{Result, internal_err, plan_err},
    functions::math::round,
    logical_expr::{
        ColumnarValue, ReturnFieldArgs, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
    },
};

#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Round {
    signature: Signature,
    numbers: Arc<ScalarUDF>,
}

impl Round {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable), numbers: round() }
    }
}

impl ScalarUDFImpl for Round {
    fn name(&self) -> &'static str {
        "round"
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        let number = |given: &DataType| match given {
            DataType::Null => Some(DataType::Float64),
            given => given.is_numeric().then(|| given.clone()),
        };
        match given {
            [value] if number(value).is_some() => Ok(number(value).into_iter().collect()),
            [value, places] if places.is_integer() && number(value).is_some() => {
                Ok(number(value).into_iter().chain([places.clone()]).collect())
            }
            _ => plan_err!("ROUND takes a number, and how many decimal places to keep"),
        }
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        internal_err!("the type of ROUND is that of its field")
    }

    fn return_field_from_args(&self, args: ReturnFieldArgs<'_>) -> Result<FieldRef> {
        if args.arg_fields[0].data_type().is_decimal() && matches!(args.scalar_arguments, [_, None]) {
            return plan_err!("how many decimal places ROUND keeps of a DECIMAL is to be written as a number");
        }
        self.numbers.return_field_from_args(args)
    }

    fn invoke_with_args(&self, mut args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        if let Some(places) = args.args.get_mut(1) {
            *places = places.cast_to(&DataType::Int32, None)?;
        }
        self.numbers.invoke_with_args(args)
    }
}
