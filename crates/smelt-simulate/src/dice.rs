//! Chance: every random choice is a pure function of the seed and of what the choice is for.
//!
//! A record can therefore be made again at any time, by any thread, without what was made before
//! it: the cipher's key is (seed, purpose, number, ordinal), so dice for different things are
//! independent. Only integer arithmetic and exact float operations follow, so that no platform's
//! mathematics library shows in the output.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::calendar::{Micros, SECOND};
use crate::entity::Entity;

/// What a set of dice is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// How busy a day is.
    Day,
    /// When an order is placed.
    Moment,
    /// Whether an order has records that come months late.
    Straggler,
    /// Where a customer lives at first.
    Home,
    /// The life of a customer, product or order.
    Life(Entity),
    /// The key of an entity's row.
    Key(Entity),
    /// How a record is written.
    Dress(Entity),
    /// How a file of an entity is written.
    File(Entity),
    /// The order of records within an extract.
    Shuffle,
    /// Which earlier file comes again.
    Redelivery(Entity),
    /// Whether and when an entity gets an unknown column.
    Drift(Entity),
}

impl Purpose {
    fn code(self) -> u64 {
        let (purpose, entity) = match self {
            Self::Day => (0, None),
            Self::Moment => (1, None),
            Self::Straggler => (2, None),
            Self::Home => (3, None),
            Self::Life(entity) => (4, Some(entity)),
            Self::Key(entity) => (5, Some(entity)),
            Self::Dress(entity) => (6, Some(entity)),
            Self::File(entity) => (7, Some(entity)),
            Self::Shuffle => (8, None),
            Self::Redelivery(entity) => (9, Some(entity)),
            Self::Drift(entity) => (10, Some(entity)),
        };
        purpose << 8 | entity.map_or(0, |entity| entity as u64)
    }
}

/// Where all dice of a simulation come from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seed(pub(crate) u64);

impl Seed {
    /// The dice for the `ordinal`-th choice about thing `number`.
    pub(crate) fn dice(self, purpose: Purpose, number: u64, ordinal: u64) -> Dice {
        let mut key = [0; 32];
        let words = [self.0, purpose.code(), number, ordinal];
        for (bytes, word) in key.chunks_exact_mut(8).zip(words) {
            bytes.copy_from_slice(&word.to_le_bytes());
        }
        Dice(ChaCha8Rng::from_seed(key))
    }
}

/// An endless row of throws.
#[derive(Debug, Clone)]
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    /// Any number.
    pub(crate) fn number(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// A number from 0 up to, without, 1.
    pub(crate) fn unit(&mut self) -> f64 {
        const STEP: f64 = 1.0 / (1_u64 << 53) as f64;
        (self.number() >> 11) as f64 * STEP
    }

    /// True with this probability.
    pub(crate) fn chance(&mut self, probability: f64) -> bool {
        self.unit() < probability
    }

    /// A number from 0 up to, without, `bound`; 0 for a bound of 0.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.number()) * u128::from(bound)) >> 64) as u64
    }

    /// As [`Dice::below`], for an index.
    pub(crate) fn index(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// A number from `low` to `high`, both included; `low` if there is none.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below(u64::try_from(high - low + 1).unwrap_or(0)) as i64
    }

    /// One of the choices, which must not be empty.
    pub(crate) fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.index(choices.len())]
    }

    /// One of the choices, each as likely as its weight says.
    pub(crate) fn weighted<'a, T>(&mut self, choices: &'a [(T, u32)]) -> &'a T {
        let total: u32 = choices.iter().map(|(_, weight)| weight).sum();
        let mut left = self.below(u64::from(total)) as u32;
        for (choice, weight) in choices {
            if left < *weight {
                return choice;
            }
            left -= weight;
        }
        &choices[0].0
    }

    /// A count that is `mean` on average and rarely large, never above `most`.
    pub(crate) fn few(&mut self, mean: f64, most: u32) -> u32 {
        let again = mean / (1.0 + mean);
        let mut count = 0;
        while count < most && self.chance(again) {
            count += 1;
        }
        count
    }

    /// The time as some source system keeps it: cut to seconds, milliseconds or microseconds.
    pub(crate) fn moment(&mut self, time: Micros) -> Micros {
        match self.below(20) {
            0..=11 => time - time.rem_euclid(SECOND),
            12..=16 => time - time.rem_euclid(1_000),
            _ => time,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_purposes_throw_equal_numbers_and_different_ones_do_not() {
        let seed = Seed(7);
        let first = |purpose, number, ordinal| seed.dice(purpose, number, ordinal).number();
        let reference = first(Purpose::Moment, 3, 4);
        assert_eq!(reference, first(Purpose::Moment, 3, 4));
        assert_ne!(reference, first(Purpose::Day, 3, 4));
        assert_ne!(reference, first(Purpose::Moment, 4, 3));
        assert_ne!(reference, Seed(8).dice(Purpose::Moment, 3, 4).number());
        assert_ne!(first(Purpose::Key(Entity::Orders), 1, 0), first(Purpose::Key(Entity::Payments), 1, 0));
    }

    #[test]
    fn throws_stay_in_their_bounds_and_keep_their_mean() {
        let mut dice = Seed(1).dice(Purpose::Day, 0, 0);
        let mut sum = 0;
        for _ in 0..20_000 {
            assert!((-3..=5).contains(&dice.between(-3, 5)));
            assert!(dice.below(7) < 7);
            sum += dice.few(0.6, 50);
        }
        assert!((11_000..13_000).contains(&sum), "{sum}");
        assert_eq!(dice.below(0), 0);
        assert!(!dice.chance(0.0));
        assert!(dice.chance(1.0));
    }
}
