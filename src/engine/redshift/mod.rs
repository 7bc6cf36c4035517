//! Redshift's functions, types and operators on DataFusion.
//!
//! Where both have a function of one name with different meanings (`to_char`, `date_trunc` on
//! dates, `trunc` on timestamps, `avg`), Redshift's is the only one there is.
//!
//! | file | holds |
//! |---|---|
//! | `scalar` | what all functions share |
//! | `date_parts`, `dates` | DATEDIFF, DATEADD, DATE_TRUNC, EXTRACT, LAST_DAY ... |
//! | `patterns` | TO_CHAR, TO_DATE, TO_TIMESTAMP |
//! | `zones` | CONVERT_TIMEZONE |
//! | `texts` | STRTOL, SHA2, casts to VARCHAR(n) |
//! | `fnv` | FNV_HASH |
//! | `timestamp_text` | timestamps cast to VARCHAR |
//! | `round`, `trunc` | ROUND, TRUNC |
//! | `planner`, `types` | division, AVG, EXTRACT, dates against timestamps; type names |
//!
//! What is only another spelling (NVL, DECODE, CHARINDEX ...) is rewritten in `lower`, beside.

mod date_parts;
mod dates;
mod fnv;
mod patterns;
mod planner;
mod round;
mod scalar;
mod texts;
mod timestamp_text;
mod trunc;
mod types;
mod zones;

use std::{collections::BTreeSet, sync::Arc};

use datafusion::{
    execution::{SessionStateBuilder, SessionStateDefaults},
    functions::unicode::character_length,
    logical_expr::ScalarUDF,
};

pub(super) use date_parts::DatePart;
pub(crate) use planner::AVERAGE;
pub(super) use texts::CUT;
pub(super) use timestamp_text::spell_timestamps;

fn names(function: &ScalarUDF) -> impl Iterator<Item = &str> {
    std::iter::once(function.name()).chain(function.aliases().iter().map(String::as_str))
}

/// DataFusion's defaults with Redshift's meanings on top.
pub(super) fn install(builder: SessionStateBuilder) -> SessionStateBuilder {
    let own: Vec<Arc<ScalarUDF>> =
        [dates::functions(), fnv::functions(), patterns::functions(), texts::functions(), zones::functions()]
            .into_iter()
            .flatten()
            .map(|function| Arc::new(function.into_udf()))
            .chain([
                Arc::new(ScalarUDF::new_from_impl(round::Round::new())),
                Arc::new(ScalarUDF::new_from_impl(trunc::Trunc::new())),
                Arc::new(character_length().as_ref().clone().with_aliases(["len", "textlen"])),
            ])
            .collect();
    let extract = own.iter().find(|function| function.name() == "extract").map(Arc::clone);
    let mut planners = SessionStateDefaults::default_expr_planners();
    if let Some(extract) = extract {
        let average = Arc::new(ScalarUDF::new_from_impl(planner::Average::new()));
        // The first planner that knows an expression plans it.
        planners.insert(0, Arc::new(planner::RedshiftPlanner { extract, average }));
    }
    // A session that is made from another registers all functions again, in any order and each under
    // all its names: DataFusion's own of a name must be gone, not hidden.
    let taken: BTreeSet<&str> = own.iter().flat_map(|function| names(function)).collect();
    let mut functions = SessionStateDefaults::default_scalar_functions();
    functions.retain(|function| !names(function).any(|name| taken.contains(name)));
    functions.extend(own.iter().map(Arc::clone));
    builder
        .with_expr_planners(planners)
        .with_type_planner(Arc::new(types::RedshiftTypes))
        .with_scalar_functions(functions)
        .with_higher_order_functions(SessionStateDefaults::default_higher_order_functions())
        .with_aggregate_functions(SessionStateDefaults::default_aggregate_functions())
        .with_window_functions(SessionStateDefaults::default_window_functions())
        .with_file_formats(SessionStateDefaults::default_file_formats())
}
