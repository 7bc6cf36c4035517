//! The transactional sources of an e-commerce shop: a history load and daily extracts of
//! customers, products, orders, order items, payments and shipments, with every defect that real
//! extracts have, from late and repeated records to lines that are no JSON.
//!
//! All of it is a pure function of the [`Options`]. A life (of a customer, product or order: all
//! its records and when they are delivered) can be made from its number alone, so any file can be
//! written by any thread without what was written before.
//!
//! The way of a record, and the modules in that order:
//!
//! - `options`, `error`, `summary`: what to simulate, why it stopped, what was written.
//! - `dice`, `calendar`, `vocabulary`, `entity`: chance, time, words and columns.
//! - `shop`, `customers`, `products`, `orders`: lives, as `draft`s of records.
//! - `afflict`: what goes wrong on the way: deletes, rivals, delays, repeats.
//! - `dress`, `spelling`, `timestamps`, `breakage`, `row`: how a record is written.
//! - `encode`, `output_file`: how a file is written.
//! - `places`, `extract`, `simulate`: which record goes into which file, and where.
//!
//! ```no_run
//! use smelt_simulate::{Options, simulate};
//!
//! let options = Options { orders: 1_000, ..Options::nastiest() };
//! let summary = simulate(&options, "shop".as_ref(), &mut |_| ())?;
//! println!("{} records in {} files", summary.records(), summary.files());
//! # Ok::<(), smelt_simulate::SimulateError>(())
//! ```

#![cfg_attr(test, allow(clippy::unwrap_used))]

mod afflict;
mod breakage;
mod calendar;
mod customers;
mod dice;
mod draft;
mod dress;
mod encode;
mod entity;
mod error;
mod extract;
mod options;
mod orders;
mod output_file;
mod places;
mod products;
mod row;
mod shop;
mod simulate;
mod spelling;
mod summary;
mod timestamps;
mod vocabulary;

pub use entity::Entity;
pub use error::SimulateError;
pub use options::{Compression, Defects, Format, KeyStyle, Options};
pub use simulate::{Progress, simulate};
pub use summary::{BrokenKind, EntitySummary, Summary};
