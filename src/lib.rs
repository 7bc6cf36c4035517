//! smelt: a medallion e-commerce data warehouse in one binary.
//!
//! The rooms, in the order in which data flows through them:
//!
//! | room | what happens there |
//! |---|---|
//! | [`project`] | the user's folder: settings, contracts |
//! | [`bronze`] | extracts land, untouched, once |
//! | [`silver`] | contracts clean them: parse, standardise, validate, deduplicate, upsert |
//! | [`gold`] | models make the star schema |
//! | [`quality`] | the rules of contracts and models, as queries |
//! | [`engine`] | DataFusion that reads Redshift's SQL, under all of the above |
//! | [`lake`] | objects, Delta tables and snapshots, under all of the above |

pub mod bronze;
pub mod clock;
pub mod engine;
pub mod error;
pub mod gold;
pub mod lake;
pub mod project;
pub mod quality;
pub mod silver;

/// An engine's failure in our words; running out of memory or disk is told apart from a bug.
pub(crate) fn engine_error(failure: datafusion::error::DataFusionError) -> error::Error {
    use datafusion::error::DataFusionError as Failure;
    use error::{Error, Kind};
    let root = failure.find_root();
    let (kind, hint) = match root {
        Failure::ResourcesExhausted(_) => (
            Kind::Unavailable,
            "raise `memory_limit` in smelt.yml, or free space where temporary files go",
        ),
        Failure::ObjectStore(_) | Failure::IoError(_) | Failure::ParquetError(_) => {
            (Kind::Unavailable, "the store or the disk failed: run again, nothing is lost")
        }
        _ => (Kind::Bug, "this should not happen: please report it"),
    };
    Error::new(kind, "the engine could not finish").cause(failure).hint(hint)
}
