//! Redshift's type names and their defaults, as the types that smelt keeps.

use std::sync::Arc;

use datafusion::{
    arrow::datatypes::{DataType, Field, FieldRef, TimeUnit},
    common::{Result, plan_err},
    logical_expr::planner::TypePlanner,
    sql::sqlparser::ast::{DataType as SqlType, ExactNumberInfo, TimezoneInfo},
};

use super::scalar::TIMESTAMP;

#[derive(Debug)]
pub(super) struct RedshiftTypes;

impl TypePlanner for RedshiftTypes {
    fn plan_type_field(&self, sql_type: &SqlType) -> Result<Option<FieldRef>> {
        Ok(plan(sql_type)?.map(|data_type| Arc::new(Field::new("", data_type, true))))
    }
}

/// `None` where DataFusion's own reading is the same.
fn plan(sql_type: &SqlType) -> Result<Option<DataType>> {
    Ok(Some(match sql_type {
        SqlType::Numeric(size) | SqlType::Decimal(size) | SqlType::Dec(size) => decimal(size)?,
        SqlType::Timestamp(_, TimezoneInfo::None | TimezoneInfo::WithoutTimeZone) => TIMESTAMP,
        SqlType::Timestamp(_, TimezoneInfo::WithTimeZone | TimezoneInfo::Tz) => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        SqlType::Varchar(_)
        | SqlType::Nvarchar(_)
        | SqlType::CharacterVarying(_)
        | SqlType::CharVarying(_)
        | SqlType::Character(_)
        | SqlType::Char(_)
        | SqlType::Text => DataType::Utf8View,
        SqlType::Float(_) => DataType::Float64,
        SqlType::TinyInt(_) => return plan_err!("Redshift has no TINYINT: use SMALLINT"),
        SqlType::Custom(name, _) if name.to_string().eq_ignore_ascii_case("bpchar") => DataType::Utf8View,
        _ => return Ok(None),
    }))
}

/// DECIMAL without precision is DECIMAL(18, 0).
fn decimal(size: &ExactNumberInfo) -> Result<DataType> {
    let (precision, scale) = match size {
        ExactNumberInfo::None => (18, 0),
        ExactNumberInfo::Precision(precision) => (*precision, 0),
        ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
    };
    match (u8::try_from(precision), i8::try_from(scale)) {
        (Ok(precision @ 1..=38), Ok(scale @ 0..=37)) if scale <= precision.cast_signed() => {
            Ok(DataType::Decimal128(precision, scale))
        }
        _ => plan_err!(
            "DECIMAL({precision}, {scale}) is not possible: precision is 1 to 38, scale 0 to 37 and not above it"
        ),
    }
}
