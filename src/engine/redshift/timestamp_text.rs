//! CAST of a timestamp to VARCHAR as Redshift spells it, `2024-01-05 10:00:00.5`: DataFusion puts a
//! `T` in the middle, and a text that was made so would be another in Redshift.

use std::{
    fmt::Write as _,
    sync::{Arc, LazyLock},
};

use chrono::Timelike as _;
use datafusion::{
    arrow::{array::ArrayRef, datatypes::DataType},
    common::{
        Result,
        tree_node::{Transformed, TransformedResult as _, TreeNode as _},
    },
    logical_expr::{
        Expr, ExprSchemable as _, LogicalPlan, ScalarUDF, cast, expr_rewriter::NamePreserver, utils::merge_schema,
    },
};

use super::{
    date_parts::calendar,
    dates::out_of_range,
    scalar::{Argument, Call, Function, TIMESTAMP, collect_texts},
};

static TIMESTAMP_TEXT: LazyLock<Arc<ScalarUDF>> = LazyLock::new(|| {
    let function = Function {
        name: "timestamp_text",
        arguments: &[Argument::Time],
        optional: 0,
        output: DataType::Utf8View,
        body: timestamp_text,
    };
    Arc::new(function.into_udf())
});

/// Puts the function in the place of such casts, in a plan whose types are known.
pub(in crate::engine) fn spell_timestamps(plan: LogicalPlan) -> Result<LogicalPlan> {
    plan.transform_up_with_subqueries(|node| {
        let schema = merge_schema(&node.inputs());
        let names = NamePreserver::new(&node);
        node.map_expressions(|expr| {
            let name = names.save(&expr);
            let spelled = expr.transform_up(|expr| match expr {
                Expr::Cast(written)
                    if written.field.data_type().is_string()
                        && matches!(written.expr.get_type(&schema), Ok(DataType::Timestamp(..))) =>
                {
                    let text = TIMESTAMP_TEXT.call(vec![cast(*written.expr, TIMESTAMP)]);
                    let wanted = written.field.data_type().clone();
                    Ok(Transformed::yes(if wanted == DataType::Utf8View { text } else { cast(text, wanted) }))
                }
                other => Ok(Transformed::no(other)),
            })?;
            Ok(spelled.update_data(|expr| name.restore(expr)))
        })
    })
    .data()
}

fn timestamp_text(call: &Call<'_>) -> Result<ArrayRef> {
    let times = call.times(0)?;
    collect_texts(times.iter(), |micros, text| {
        let time = calendar(micros).ok_or_else(|| out_of_range(call.name))?;
        // Writing to a String does not fail.
        let _ = write!(text, "{}", time.format("%Y-%m-%d %H:%M:%S"));
        let micros = time.nanosecond() / 1000;
        if micros > 0 {
            let _ = write!(text, ".{micros:06}");
            text.truncate(text.trim_end_matches('0').len());
        }
        Ok(())
    })
}
