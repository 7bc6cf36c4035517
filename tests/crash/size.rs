//! How much is tried: a sample that any developer runs, or everything.

use std::env;

/// `small` unless `SMELT_TEST_SIZE` is `long`.
pub(crate) fn is_long() -> bool {
    match env::var("SMELT_TEST_SIZE").as_deref() {
        Err(_) | Ok("small") => false,
        Ok("long") => true,
        Ok(other) => panic!("SMELT_TEST_SIZE is `small` or `long`, not `{other}`"),
    }
}

/// One of two figures, by size.
pub(crate) fn by_size<T>(small: T, long: T) -> T {
    if is_long() { long } else { small }
}
