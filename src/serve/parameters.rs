//! The values clients bind to `$1`, `$2` …, read from PostgreSQL's text and binary formats.
//!
//! A value keeps the type its client gave it, and the engine compares and converts it as it would a
//! literal. A value without a type (most drivers send texts so) becomes what its place asks for.

use datafusion::{
    arrow::{
        compute::{CastOptions, cast_with_options},
        datatypes::{DataType, TimeUnit},
        util::display::FormatOptions,
    },
    common::{
        ParamValues, ScalarValue,
        tree_node::{TreeNode, TreeNodeRecursion},
    },
    logical_expr::{Expr, LogicalPlan},
};
use datafusion_postgres::pgwire::{
    api::{Type, portal::Portal},
    error::PgWireResult,
};

use super::{rows::fits, wire_error};
use crate::query::SqlError;

const EPOCH_DAYS: i32 = 10_957;
const EPOCH_MICROS: i64 = EPOCH_DAYS as i64 * 86_400_000_000;

/// The type the plan needs at each `$n`, as far as it is known, in order.
pub(super) fn wanted(plan: &LogicalPlan) -> Result<Vec<Option<DataType>>, SqlError> {
    let internal = |error: datafusion::error::DataFusionError| SqlError::new("XX000", error.strip_backtrace());
    let mut types = plan.get_parameter_types().map_err(internal)?;
    // A cast around a parameter says what it is where its surroundings do not.
    let cast_types = plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|part| {
                if let Expr::Cast(cast) = part
                    && let Expr::Placeholder(parameter) = cast.expr.as_ref()
                    && let Some(unknown @ None) = types.get_mut(&parameter.id)
                {
                    *unknown = Some(cast.field.data_type().clone());
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    });
    cast_types.map_err(internal)?;
    let mut ordered = Vec::new();
    for (id, data_type) in types {
        let number: usize = id.trim_start_matches('$').parse().unwrap_or_default();
        if number == 0 || number > MOST {
            return Err(SqlError::new("42P02", format!("there is no parameter {id}")));
        }
        if ordered.len() < number {
            ordered.resize(number, None);
        }
        ordered[number - 1] = data_type;
    }
    Ok(ordered)
}

/// As many as a message can carry.
const MOST: usize = u16::MAX as usize;

/// The bound values.
///
/// # Errors
/// `08P01` for too few or too many, `22P02` for one that does not read as its type.
pub(super) fn bind<S: Clone>(portal: &Portal<S>, wanted: &[Option<DataType>]) -> PgWireResult<ParamValues> {
    let given = portal.parameter_len();
    if given != wanted.len() {
        let message = format!("the statement has {} parameters, and {given} values were bound", wanted.len());
        return Err(wire_error(SqlError::new("08P01", message)));
    }
    fits(&portal.parameter_format, given)?;
    let value = |position: usize| {
        let declared = portal.statement.parameter_types.get(position).cloned().flatten();
        let Some(bytes) = &portal.parameters[position] else {
            return ScalarValue::try_from(wanted[position].as_ref().unwrap_or(&DataType::Null))
                .map_err(|error| SqlError::new("22023", error.strip_backtrace()));
        };
        let read = if portal.parameter_format.is_binary(position) {
            binary(bytes, declared.as_ref(), wanted[position].as_ref())
        } else {
            text(bytes, declared.as_ref(), wanted[position].as_ref())
        };
        read.map_err(|mut error| {
            error.message = format!("parameter ${}: {}", position + 1, error.message);
            error
        })
    };
    let values: Result<Vec<_>, _> = (0..given).map(value).collect();
    values.map(ParamValues::from).map_err(wire_error)
}

/// A value written as text.
fn text(bytes: &[u8], declared: Option<&Type>, wanted: Option<&DataType>) -> Result<ScalarValue, SqlError> {
    let text = std::str::from_utf8(bytes).map_err(|_| SqlError::new("22021", "it is not UTF-8"))?;
    let data_type = match declared {
        None | Some(&Type::UNKNOWN) => wanted.cloned().unwrap_or(DataType::Utf8),
        Some(declared) => arrow_type(declared, text)?,
    };
    parse(text, &data_type)
}

fn parse(text: &str, data_type: &DataType) -> Result<ScalarValue, SqlError> {
    let unreadable = || SqlError::new("22P02", format!("`{text}` does not read as {data_type}"));
    if data_type.is_string() {
        return Ok(ScalarValue::from(text));
    }
    let strict = CastOptions { safe: false, format_options: FormatOptions::new() };
    let one = ScalarValue::from(text.trim()).to_array().map_err(|_| unreadable())?;
    let cast = cast_with_options(&one, data_type, &strict).map_err(|_| unreadable())?;
    ScalarValue::try_from_array(&cast, 0).map_err(|_| unreadable())
}

/// A value in its type's binary form.
fn binary(bytes: &[u8], declared: Option<&Type>, wanted: Option<&DataType>) -> Result<ScalarValue, SqlError> {
    let wrong = || SqlError::new("22P03", "it has not the length of its type");
    Ok(match declared {
        Some(&Type::BOOL) => ScalarValue::from(fixed::<1>(bytes).ok_or_else(wrong)?[0] != 0),
        Some(&Type::INT2) => ScalarValue::from(i16::from_be_bytes(fixed(bytes).ok_or_else(wrong)?)),
        Some(&Type::INT4) => ScalarValue::from(i32::from_be_bytes(fixed(bytes).ok_or_else(wrong)?)),
        Some(&Type::INT8) => ScalarValue::from(i64::from_be_bytes(fixed(bytes).ok_or_else(wrong)?)),
        Some(&Type::OID) => ScalarValue::from(i64::from(u32::from_be_bytes(fixed(bytes).ok_or_else(wrong)?))),
        Some(&Type::FLOAT4) => ScalarValue::from(f32::from_be_bytes(fixed(bytes).ok_or_else(wrong)?)),
        Some(&Type::FLOAT8) => ScalarValue::from(f64::from_be_bytes(fixed(bytes).ok_or_else(wrong)?)),
        Some(&Type::DATE) => {
            let days = i32::from_be_bytes(fixed(bytes).ok_or_else(wrong)?);
            ScalarValue::Date32(Some(days.checked_add(EPOCH_DAYS).ok_or_else(wrong)?))
        }
        Some(&Type::TIMESTAMP | &Type::TIMESTAMPTZ) => {
            let micros = i64::from_be_bytes(fixed(bytes).ok_or_else(wrong)?);
            ScalarValue::TimestampMicrosecond(Some(micros.checked_add(EPOCH_MICROS).ok_or_else(wrong)?), None)
        }
        Some(&Type::NUMERIC) => {
            let text = numeric(bytes).ok_or_else(|| SqlError::new("22P03", "it is no finite numeric"))?;
            parse(&text, &arrow_type(&Type::NUMERIC, &text)?)?
        }
        Some(&Type::TEXT | &Type::VARCHAR | &Type::BPCHAR | &Type::NAME | &Type::UNKNOWN) | None => {
            return text(bytes, None, wanted.filter(|_| declared.is_none_or(|declared| *declared == Type::UNKNOWN)));
        }
        Some(&Type::BYTEA) => ScalarValue::Binary(Some(bytes.to_vec())),
        Some(other) => return Err(unsupported(other)),
    })
}

fn fixed<const N: usize>(bytes: &[u8]) -> Option<[u8; N]> {
    bytes.try_into().ok()
}

/// The text of PostgreSQL's binary numeric, or nothing where it is NaN, infinite or broken.
fn numeric(bytes: &[u8]) -> Option<String> {
    let words: Vec<u16> = bytes.chunks(2).map(|pair| Some(u16::from_be_bytes(fixed(pair)?))).collect::<Option<_>>()?;
    let [count, weight, sign, scale, groups @ ..] = words.as_slice() else { return None };
    let weight = i32::from(*weight as i16);
    let finite = matches!(sign, 0 | 0x4000);
    if !finite || groups.len() != usize::from(*count) || groups.iter().any(|group| *group > 9999) {
        return None;
    }
    if !(-20..20).contains(&weight) || *scale > 76 {
        return None;
    }
    let group = |position: i32| {
        usize::try_from(weight - position).ok().and_then(|index| groups.get(index)).copied().unwrap_or(0)
    };
    let whole: String = (0..=weight.max(0)).rev().map(|position| format!("{:04}", group(position))).collect();
    let fraction: String =
        (1..=(i32::from(*scale) + 3) / 4).map(|position| format!("{:04}", group(-position))).collect();
    let whole = whole.trim_start_matches('0');
    let minus = if *sign == 0 { "" } else { "-" };
    let whole = if whole.is_empty() { "0" } else { whole };
    let fraction = &fraction[..usize::from(*scale).min(fraction.len())];
    Some(if fraction.is_empty() { format!("{minus}{whole}") } else { format!("{minus}{whole}.{fraction}") })
}

/// The engine's type for a declared one; a numeric is as wide as its text.
fn arrow_type(declared: &Type, text: &str) -> Result<DataType, SqlError> {
    Ok(match *declared {
        Type::BOOL => DataType::Boolean,
        Type::INT2 => DataType::Int16,
        Type::INT4 => DataType::Int32,
        Type::INT8 | Type::OID => DataType::Int64,
        Type::FLOAT4 => DataType::Float32,
        Type::FLOAT8 => DataType::Float64,
        Type::NUMERIC => {
            let digits = |part: &str| part.bytes().filter(u8::is_ascii_digit).count();
            let scale = text.split_once('.').map_or(0, |(_, fraction)| digits(fraction));
            let precision = digits(text).max(scale + 1);
            match (u8::try_from(precision), i8::try_from(scale)) {
                (Ok(precision @ 1..=38), Ok(scale)) if !text.contains(['e', 'E']) => {
                    DataType::Decimal128(precision, scale)
                }
                _ => return Err(SqlError::new("22003", format!("`{text}` has more than 38 digits, or an exponent"))),
            }
        }
        Type::TEXT | Type::VARCHAR | Type::BPCHAR | Type::NAME | Type::CHAR | Type::UUID | Type::JSON => DataType::Utf8,
        Type::DATE => DataType::Date32,
        Type::TIMESTAMP | Type::TIMESTAMPTZ => DataType::Timestamp(TimeUnit::Microsecond, None),
        Type::TIME => DataType::Time64(TimeUnit::Microsecond),
        _ => return Err(unsupported(declared)),
    })
}

fn unsupported(declared: &Type) -> SqlError {
    SqlError::new("0A000", format!("values of type {} cannot be bound", declared.name()))
        .hint("write the value into the statement, or bind it as text and cast it there")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numerics_survive_the_wire() {
        for (value, scale) in [
            (0_i128, 2_u16),
            (1250, 2),
            (-5, 2),
            (5, 6),
            (100_000_000, 0),
            (-123_456_789, 4),
            (i128::from(i64::MAX), 0),
        ] {
            let text = numeric(&super::super::rows::numeric(value, scale)).unwrap();
            let ScalarValue::Decimal128(Some(back), _, back_scale) =
                parse(&text, &arrow_type(&Type::NUMERIC, &text).unwrap()).unwrap()
            else {
                panic!("{text} is no decimal")
            };
            assert_eq!((back, back_scale), (value, scale as i8), "{text}");
        }
        assert!(numeric(&[0, 1, 0, 0, 0xC0, 0, 0, 0]).is_none(), "NaN");
        assert!(numeric(&[0, 9]).is_none());
    }

    #[test]
    fn a_text_without_a_type_becomes_what_its_place_wants() {
        let wanted = DataType::Timestamp(TimeUnit::Microsecond, None);
        let value = text(b"2024-05-01 12:30:00", None, Some(&wanted)).unwrap();
        assert_eq!(value, ScalarValue::TimestampMicrosecond(Some(1_714_566_600_000_000), None));
        assert_eq!(text(b"007", Some(&Type::VARCHAR), Some(&DataType::Int32)).unwrap(), ScalarValue::from("007"));
        assert_eq!(text(b"x", None, Some(&DataType::Int32)).unwrap_err().state, "22P02");
        assert_eq!(
            text(b"1.5", Some(&Type::NUMERIC), Some(&DataType::Int32)).unwrap(),
            ScalarValue::Decimal128(Some(15), 2, 1)
        );
    }
}
