//! smelt: a medallion e-commerce data warehouse in one binary.
//!
//! The rooms, in the order in which data flows through them:
//!
//! | room | what happens there |
//! |---|---|
//! | [`project`] | the user's folder: settings, contracts, the template of a new project |
//! | [`bronze`] | extracts land, untouched, once |
//! | [`silver`] | contracts clean them: parse, standardise, validate, deduplicate, upsert |
//! | [`gold`] | models make the star schema |
//! | [`quality`] | the rules of contracts and models, as queries |
//! | [`planner`] | how a model follows the changes of its inputs |
//! | [`run`] | from what is new to one published snapshot: plan, execute, audit, publish |
//! | [`query`], [`shell`], [`serve`] | questions: on the command line, typed, over the wire |
//! | [`cli`] | the commands |
//!
//! Under all of them: [`lake`] (objects, Delta tables, snapshots), [`engine`] (DataFusion that
//! reads Redshift's SQL), [`error`] and [`clock`].

pub mod project;

pub mod bronze;
pub mod silver;
pub mod gold;
pub mod planner;
pub mod quality;
pub mod run;
pub mod query;
pub mod shell;
pub mod serve;
pub mod cli;

pub mod clock;
pub mod engine;
pub mod error;
pub mod lake;

/// An engine's failure in our words; running out of memory or disk is told apart from a bug.
pub(crate) fn engine_error(failure: datafusion::error::DataFusionError) -> error::Error {
    use datafusion::error::DataFusionError as Failure;
    use error::{Error, Kind};
    // Ours come through the engine's streams as they are.
    let failure = match failure {
        Failure::External(inner) => match inner.downcast::<Error>() {
            Ok(ours) => return *ours,
            Err(other) => Failure::External(other),
        },
        other => other,
    };
    let root = failure.find_root();
    let (kind, hint) = match root {
        Failure::ResourcesExhausted(_) => {
            (Kind::Unavailable, "raise `memory_limit` in smelt.yml, or free space where temporary files go")
        }
        Failure::ArrowError(failure, _) if is_about_values(failure) => {
            (Kind::Data, "a value does not fit what the SQL does with it: guard it with CASE, NULLIF or a test")
        }
        Failure::ObjectStore(_) | Failure::IoError(_) | Failure::ParquetError(_) => {
            (Kind::Unavailable, "the store or the disk failed: run again, nothing is lost")
        }
        _ => (Kind::Bug, "this should not happen: please report it"),
    };
    Error::new(kind, "the engine could not finish").cause(failure).hint(hint)
}

/// Whether a computation failed for what was in the rows.
fn is_about_values(failure: &arrow::error::ArrowError) -> bool {
    use arrow::error::ArrowError as Failure;
    matches!(
        failure,
        Failure::CastError(_)
            | Failure::ParseError(_)
            | Failure::DivideByZero
            | Failure::ArithmeticOverflow(_)
            | Failure::ComputeError(_)
            | Failure::InvalidArgumentError(_)
    )
}
