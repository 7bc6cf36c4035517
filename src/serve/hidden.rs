//! Spares the compiler: what DataFusion plans and sessions hold reaches the whole syntax tree of SQL,
//! and every async function that holds one makes the compiler prove anew that all of it may go to
//! another thread, which takes seconds each time. Behind [`Hidden`] it is proved once.

use std::{ops::Deref, sync::Arc};

/// A shared `T` of which only its being `Send` and `Sync` is known.
pub(super) struct Hidden<T>(Arc<dyn Deref<Target = T> + Send + Sync>);

impl<T: Send + Sync + 'static> Hidden<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Arc::new(Box::new(value)))
    }
}

impl<T> Deref for Hidden<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
