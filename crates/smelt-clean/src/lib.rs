//! From the bytes of one extract file to clean, typed Arrow columns, and the records that cannot be.
//!
//! ```text
//! read/   a file's bytes   → blocks of whole records, positions counted   (one thread a file)
//! parse/  a record         → its values as text, or why it cannot be read (any number of threads)
//! value/  a value's text   → the clean value of its column's kind
//! clean   a block          → one record batch, and the rejected records with all their reasons
//! ```
//!
//! The rule: the same bytes and the same [`EntitySpec`] give the same rows, however the file is cut
//! into blocks and whoever cleans them. No clock, no storage, no settings but those passed in.
//! Every record is counted once: `records == rows + rejected`, in every block.
//!
//! ```
//! use smelt_clean::*;
//!
//! let spec = EntitySpec {
//!     columns: vec![
//!         ColumnSpec::new("order_id", Kind::Identifier),
//!         ColumnSpec::new("shipping_amount", Kind::Money { precision: 18, scale: 2 }),
//!         ColumnSpec::new("updated_at", Kind::Timestamp),
//!     ],
//!     key: vec![0],
//!     version: 2,
//!     null_texts: vec![String::new(), "N/A".into()],
//! };
//! let file = r#"{"order_id": " o-1 ", "shipping_amount": "$ 4.995", "updated_at": 1700000000}
//! {"order_id": "o-2", "shipping_amount": "free", "updated_at": "2024-02-30"}"#;
//!
//! let options = ReadOptions::new(Format::JsonLines, Compression::None);
//! let mut cleaner = Cleaner::new(&spec, options.limits)?;
//! for block in open(Input::Bytes(file.into()), &options)? {
//!     let cleaned = cleaner.clean(&block?)?;
//!     assert_eq!((cleaned.records, cleaned.rows.num_rows()), (2, 1));
//!     assert_eq!(cleaned.rejected[0].reasons.len(), 2);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod clean;
mod limits;
mod parse;
mod read;
mod reject;
mod spec;
pub mod value;

pub use clean::{CleanError, Cleaned, Cleaner};
pub use limits::Limits;
pub use read::{
    Block, BlockReader, Compression, CsvDialect, Format, Input, READ_SEMANTICS_VERSION, ReadError, ReadOptions,
    count_records, detect, open,
};
pub use reject::{Reason, Rejected};
pub use spec::{ColumnSpec, DELETED_COLUMN, EntitySpec, Kind, OPERATION_COLUMN, POSITION_COLUMN, SpecError};
