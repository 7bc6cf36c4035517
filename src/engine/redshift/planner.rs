//! Where Redshift gives an operator or aggregate other types or values than DataFusion does.
//!
//! - DECIMAL division keeps the digits that Redshift's rule gives it.
//! - A date meets a timestamp as a timestamp of microseconds; DataFusion would take nanoseconds,
//!   which end in 2262, before `9999-12-31`.
//! - AVG of integers is an integer, AVG of DECIMAL(p, s) a DECIMAL(38, s). It becomes SUM and
//!   COUNT, so nothing downstream has to know a third aggregate.
//! - EXTRACT knows Redshift's parts.

use std::sync::Arc;

use datafusion::{
    arrow::{
        array::{Array, AsArray, Decimal128Array, Float64Array, Int64Array},
        datatypes::{DataType, Decimal128Type, Float64Type, Int64Type},
    },
    common::{DFSchema, Result, ScalarValue, plan_datafusion_err, plan_err, tree_node::TreeNode},
    functions::datetime::date_part,
    functions_aggregate::{count::count_udaf, sum::sum_udaf},
    logical_expr::{
        ColumnarValue, Expr, ExprSchemable, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, Volatility,
        WindowFunctionDefinition, cast,
        expr::{AggregateFunction, WindowFunction, WindowFunctionParams},
        lit,
        planner::{ExprPlanner, PlannerResult, RawAggregateExpr, RawBinaryExpr, RawWindowExpr},
    },
    sql::sqlparser::ast::BinaryOperator,
};

use super::{date_parts::DatePart, scalar::TIMESTAMP};

#[derive(Debug)]
pub(super) struct RedshiftPlanner {
    pub(super) extract: Arc<ScalarUDF>,
    pub(super) average: Arc<ScalarUDF>,
}

impl ExprPlanner for RedshiftPlanner {
    fn plan_binary_op(&self, expr: RawBinaryExpr, schema: &DFSchema) -> Result<PlannerResult<RawBinaryExpr>> {
        let (Ok(left), Ok(right)) = (expr.left.get_type(schema), expr.right.get_type(schema)) else {
            return Ok(PlannerResult::Original(expr));
        };
        let RawBinaryExpr { op, left: left_side, right: right_side } = expr;
        let (left_side, right_side) = match (&op, &left, &right) {
            (BinaryOperator::Divide, ..) => match dividend_type(&left_side, &left, &right_side, &right) {
                Some(widened) => (cast(left_side, widened), right_side),
                None => (left_side, right_side),
            },
            (op, DataType::Date32, DataType::Timestamp(_, None)) if compares(op) => {
                (cast(left_side, TIMESTAMP), right_side)
            }
            (op, DataType::Timestamp(_, None), DataType::Date32) if compares(op) => {
                (left_side, cast(right_side, TIMESTAMP))
            }
            _ => (left_side, right_side),
        };
        Ok(PlannerResult::Original(RawBinaryExpr { op, left: left_side, right: right_side }))
    }

    fn plan_extract(&self, args: Vec<Expr>) -> Result<PlannerResult<Vec<Expr>>> {
        let [Expr::Literal(ScalarValue::Utf8(Some(name)), _), time] = args.as_slice() else {
            return Ok(PlannerResult::Original(args));
        };
        let name = name.trim_matches('\'');
        let part = DatePart::parse(name).ok_or_else(|| plan_datafusion_err!("EXTRACT knows no date part `{name}`"))?;
        Ok(PlannerResult::Planned(match part.native() {
            Some(native) => date_part().call(vec![lit(native), time.clone()]),
            None => self.extract.call(vec![lit(name.to_owned()), time.clone()]),
        }))
    }

    fn plan_aggregate(&self, mut expr: RawAggregateExpr) -> Result<PlannerResult<RawAggregateExpr>> {
        expr.args = expr.args.into_iter().map(told_apart).collect();
        if expr.func.name() != "avg" {
            return Ok(PlannerResult::Original(expr));
        }
        let part = |function| {
            Expr::AggregateFunction(AggregateFunction::new_udf(
                function,
                expr.args.clone(),
                expr.distinct,
                expr.filter.clone(),
                expr.order_by.clone(),
                expr.null_treatment,
            ))
        };
        Ok(PlannerResult::Planned(self.average.call(vec![part(sum_udaf()), part(count_udaf())])))
    }

    fn plan_window(&self, mut expr: RawWindowExpr) -> Result<PlannerResult<RawWindowExpr>> {
        expr.args = expr.args.into_iter().map(told_apart).collect();
        if expr.func_def.name() != "avg" {
            return Ok(PlannerResult::Original(expr));
        }
        let part = |function| {
            Expr::WindowFunction(Box::new(WindowFunction {
                fun: WindowFunctionDefinition::AggregateUDF(function),
                params: WindowFunctionParams {
                    args: expr.args.clone(),
                    partition_by: expr.partition_by.clone(),
                    order_by: expr.order_by.clone(),
                    window_frame: expr.window_frame.clone(),
                    filter: expr.filter.clone(),
                    null_treatment: expr.null_treatment,
                    distinct: expr.distinct,
                },
            }))
        };
        Ok(PlannerResult::Planned(self.average.call(vec![part(sum_udaf()), part(count_udaf())])))
    }
}

/// DataFusion leaves casts out of the names that it tells expressions apart by, so that `SUM(a)` and
/// `SUM(CAST(a AS FLOAT))` would be one column twice. An alias has its own name.
fn told_apart(argument: Expr) -> Expr {
    let casts = argument.exists(|part| Ok(matches!(part, Expr::Cast(_)))).unwrap_or_default();
    if !casts {
        return argument;
    }
    let name = argument.to_string();
    argument.alias(name)
}

fn compares(op: &BinaryOperator) -> bool {
    use BinaryOperator::{Eq, Gt, GtEq, Lt, LtEq, NotEq};
    matches!(op, Eq | NotEq | Lt | LtEq | Gt | GtEq)
}

const MAX_PRECISION: i16 = 38;
/// The digits that Arrow's division adds to the dividend's.
const ADDED_BY_DIVISION: i16 = 4;

/// The type to cast the dividend to, so that the quotient gets the scale that Redshift gives it:
/// at least 4, and enough for the divisor's digits. `None` where it has it already.
fn dividend_type(left: &Expr, left_type: &DataType, right: &Expr, right_type: &DataType) -> Option<DataType> {
    if !matches!(left_type, DataType::Decimal128(..)) && !matches!(right_type, DataType::Decimal128(..)) {
        return None;
    }
    let (p1, s1) = decimal(left, left_type)?;
    let (p2, s2) = decimal(right, right_type)?;
    let mut scale = (s1 + p2 - s2 + 1).max(4);
    let precision = p1 - s1 + s2 + scale;
    if precision > MAX_PRECISION {
        scale = (MAX_PRECISION + scale - precision).max(4);
    }
    let wanted = scale - ADDED_BY_DIVISION;
    if wanted <= s1 {
        return None;
    }
    let precision = (p1 - s1 + wanted).min(MAX_PRECISION);
    Some(DataType::Decimal128(u8::try_from(precision).ok()?, i8::try_from(wanted).ok()?))
}

/// Precision and scale of an exact number.
fn decimal(expr: &Expr, data_type: &DataType) -> Option<(i16, i16)> {
    Some(match data_type {
        DataType::Decimal128(precision, scale) => (i16::from(*precision), i16::from(*scale)),
        DataType::Int8 | DataType::Int16 => (5, 0),
        DataType::Int32 => (10, 0),
        // A number written in SQL is an INTEGER where it fits.
        DataType::Int64 => match expr {
            Expr::Literal(ScalarValue::Int64(Some(value)), _) if i32::try_from(*value).is_ok() => (10, 0),
            _ => (19, 0),
        },
        _ => return None,
    })
}

/// What AVG is planned as: the function of this name, over SUM and COUNT.
pub(crate) const AVERAGE: &str = "average";

/// SUM over COUNT with the result type of Redshift's AVG.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) struct Average {
    signature: Signature,
}

impl Average {
    pub(super) fn new() -> Self {
        Self { signature: Signature::user_defined(Volatility::Immutable) }
    }
}

impl ScalarUDFImpl for Average {
    fn name(&self) -> &'static str {
        AVERAGE
    }

    fn schema_name(&self, args: &[Expr]) -> Result<String> {
        // `sum(x)` and `count(x)`: the column that AVG makes is called after what was written.
        let sum = args.first().map(|sum| sum.schema_name().to_string()).unwrap_or_default();
        Ok(format!("avg{}", sum.strip_prefix("sum").unwrap_or(&sum)))
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn coerce_types(&self, given: &[DataType]) -> Result<Vec<DataType>> {
        match given {
            [DataType::Decimal128(precision, scale), _] => {
                Ok(vec![DataType::Decimal128(*precision, *scale), DataType::Int64])
            }
            [sum, _] if sum.is_integer() => Ok(vec![DataType::Int64, DataType::Int64]),
            [DataType::Float32 | DataType::Float64, _] => Ok(vec![DataType::Float64, DataType::Int64]),
            other => plan_err!("AVG is not defined for {other:?}"),
        }
    }

    fn return_type(&self, given: &[DataType]) -> Result<DataType> {
        match given {
            [DataType::Decimal128(_, scale), _] => Ok(DataType::Decimal128(38, *scale)),
            [other, _] => Ok(other.clone()),
            other => plan_err!("AVG is not defined for {other:?}"),
        }
    }

    fn invoke_with_args(&self, args: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = [args.args[0].to_array(args.number_rows)?, args.args[1].to_array(args.number_rows)?];
        let counts = arrays[1].as_primitive::<Int64Type>();
        let known = |row: usize| (!counts.is_null(row) && counts.value(row) != 0).then(|| counts.value(row));
        let rows = 0..arrays[0].len();
        let averages: Arc<dyn Array> = match arrays[0].data_type() {
            DataType::Decimal128(_, scale) => {
                let sums = arrays[0].as_primitive::<Decimal128Type>();
                let average = |row| {
                    (!sums.is_null(row))
                        .then(|| known(row).map(|count| halves_away(sums.value(row), i128::from(count))))?
                };
                Arc::new(rows.map(average).collect::<Decimal128Array>().with_precision_and_scale(38, *scale)?)
            }
            DataType::Int64 => {
                let sums = arrays[0].as_primitive::<Int64Type>();
                Arc::new(
                    rows.map(|row| (!sums.is_null(row)).then(|| known(row).map(|count| sums.value(row) / count))?)
                        .collect::<Int64Array>(),
                )
            }
            _ => {
                let sums = arrays[0].as_primitive::<Float64Type>();
                Arc::new(
                    rows.map(|row| {
                        (!sums.is_null(row)).then(|| known(row).map(|count| sums.value(row) / count as f64))?
                    })
                    .collect::<Float64Array>(),
                )
            }
        };
        Ok(ColumnarValue::Array(averages))
    }
}

/// The quotient, half away from zero.
fn halves_away(sum: i128, count: i128) -> i128 {
    let (quotient, rest) = (sum / count, sum % count);
    if rest.abs() * 2 >= count.abs() { quotient + sum.signum() * count.signum() } else { quotient }
}
