//! The memory that all running queries share.
//!
//! Like DataFusion's fair pool it keeps what cannot be given back (join tables) apart from what can
//! be spilled, and splits the rest evenly. But only those share that hold much: of a plan's dozens of
//! consumers most hold a few batches, and a sort that got a dozenth of the memory would spill what
//! easily fits.

use std::{
    collections::HashMap,
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use datafusion::{
    common::{Result, resources_datafusion_err},
    execution::memory_pool::{MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation},
};

/// See the module's text.
#[derive(Debug)]
pub(super) struct SharedPool {
    limit: usize,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    unspillable: usize,
    spillable: usize,
    /// Bytes by spilling consumer.
    held: HashMap<usize, usize>,
}

impl SharedPool {
    pub(super) fn new(limit: usize) -> Self {
        Self { limit, state: Mutex::default() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Who holds no more than this takes no share from others.
    fn little(&self) -> usize {
        self.limit / 32
    }

    /// What only those get that hold little, so that there is always enough to begin with.
    fn headroom(&self) -> usize {
        self.limit / 8
    }

    /// How much more a consumer may take.
    fn available(&self, state: &State, consumer: &MemoryConsumer, additional: usize) -> usize {
        let spillable = self.limit.saturating_sub(state.unspillable);
        let free = spillable.saturating_sub(state.spillable);
        if !consumer.can_spill() {
            return free;
        }
        let held = state.held.get(&consumer.id()).copied().unwrap_or_default();
        if held + additional <= self.little() {
            return free;
        }
        let others = state.held.iter().filter(|(id, held)| **id != consumer.id() && **held > self.little());
        let share = spillable / (others.count() + 1);
        share.saturating_sub(held).min(free.saturating_sub(self.headroom()))
    }
}

impl State {
    fn grow(&mut self, consumer: &MemoryConsumer, additional: usize) {
        if consumer.can_spill() {
            self.spillable += additional;
            *self.held.entry(consumer.id()).or_default() += additional;
        } else {
            self.unspillable += additional;
        }
    }
}

impl fmt::Display for SharedPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} bytes", self.reserved(), self.limit)
    }
}

impl MemoryPool for SharedPool {
    fn name(&self) -> &'static str {
        "shared"
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.state().held.remove(&consumer.id());
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.state().grow(reservation.consumer(), additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        let mut state = self.state();
        if reservation.consumer().can_spill() {
            state.spillable = state.spillable.saturating_sub(shrink);
            let held = state.held.entry(reservation.consumer().id()).or_default();
            *held = held.saturating_sub(shrink);
        } else {
            state.unspillable = state.unspillable.saturating_sub(shrink);
        }
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        let consumer = reservation.consumer();
        let mut state = self.state();
        let available = self.available(&state, consumer, additional);
        if additional > available {
            return Err(resources_datafusion_err!(
                "{} wants {additional} bytes more, but {available} are left of {}",
                consumer.name(),
                self.limit
            ));
        }
        state.grow(consumer, additional);
        Ok(())
    }

    fn reserved(&self) -> usize {
        let state = self.state();
        state.spillable + state.unspillable
    }

    fn memory_limit(&self) -> MemoryLimit {
        MemoryLimit::Finite(self.limit)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const LIMIT: usize = 3200;

    fn pool() -> Arc<dyn MemoryPool> {
        Arc::new(SharedPool::new(LIMIT))
    }

    fn sort(pool: &Arc<dyn MemoryPool>) -> MemoryReservation {
        MemoryConsumer::new("sort").with_can_spill(true).register(pool)
    }

    fn join(pool: &Arc<dyn MemoryPool>) -> MemoryReservation {
        MemoryConsumer::new("join").register(pool)
    }

    /// Takes as much as it gets, byte by byte.
    fn fill(reservation: &MemoryReservation) -> usize {
        while reservation.try_grow(1).is_ok() {}
        reservation.size()
    }

    #[test]
    fn one_sort_among_many_small_consumers_gets_all_but_the_headroom() {
        let pool = pool();
        let small: Vec<MemoryReservation> = (0..40).map(|_| sort(&pool)).collect();
        let big = sort(&pool);
        assert_eq!(fill(&big), LIMIT - LIMIT / 8);
        for reservation in &small[..4] {
            reservation.try_grow(100).unwrap();
        }
        small[4].try_grow(1).unwrap_err();
    }

    #[test]
    fn sorts_that_grow_together_get_the_same_and_joins_come_first() {
        let pool = pool();
        let tables = join(&pool);
        tables.try_grow(1200).unwrap();
        let (one, other) = (sort(&pool), sort(&pool));
        while one.try_grow(10).is_ok() & other.try_grow(10).is_ok() {}
        assert!(one.size().abs_diff(other.size()) <= 10, "{} and {}", one.size(), other.size());
        assert_eq!(pool.reserved(), LIMIT - LIMIT / 8);
        // The headroom is there for joins, too, but nothing is ever given out twice.
        assert_eq!(fill(&tables), 1200 + LIMIT / 8);
        assert_eq!(pool.reserved(), LIMIT);
    }

    #[test]
    fn what_is_spilled_or_over_is_there_for_others() {
        let pool = pool();
        let (one, other) = (sort(&pool), sort(&pool));
        fill(&one);
        assert_eq!(fill(&other), LIMIT / 32, "the rest of its share is taken");
        one.free();
        assert_eq!(fill(&other), LIMIT - LIMIT / 8);
        drop((one, other));
        assert_eq!(pool.reserved(), 0);
        assert_eq!(fill(&sort(&pool)), LIMIT - LIMIT / 8);
    }
}
