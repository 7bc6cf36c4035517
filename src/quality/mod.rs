//! Quality: rules over tables, each a query whose rows are the failures.

mod check;

pub use check::Check;
