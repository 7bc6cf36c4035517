//! Bronze: lands extracts untouched, once.
//!
//! In:  files, folders or object-store URLs, and the project's contracts (for names and CSV dialects).
//! Out: `raw/<entity>/ingestion_date=YYYY-MM-DD/<sha256>.<ext>`, and one manifest a batch, whose
//!      create-only put is the commit point.
//! Rule: a file's identity is its entity and the hash of its bytes. Landing it again stores nothing
//!       and adds no record; it leaves a receipt, which counts for freshness.

mod holds;
mod ingest;
mod manifest;
mod receipts;
mod sources;

pub(crate) use holds::held_files;
pub use holds::{Hold, Released};
pub use ingest::{IngestOptions, IngestReport, Landing, Outcome, ingest};
pub use manifest::{LandedFile, Manifest};
pub use receipts::Receipt;
