//! Choices that can be repeated: SplitMix64 from a seed that is printed.

use std::{
    env,
    time::{SystemTime, UNIX_EPOCH},
};

pub(crate) struct Chance {
    state: u64,
}

impl Chance {
    /// From `SMELT_TEST_SEED`, or another one each time; says which.
    pub(crate) fn new(test: &str) -> Self {
        let seed = match env::var("SMELT_TEST_SEED") {
            Ok(text) => text.parse().expect("SMELT_TEST_SEED is a number"),
            Err(_) => SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as u64,
        };
        println!("{test}: SMELT_TEST_SEED={seed}");
        Self { state: seed }
    }

    /// Any number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % end.max(1)
    }

    pub(crate) fn one_of<'a, T>(&mut self, choices: &'a [T]) -> &'a T {
        &choices[self.below(choices.len() as u64) as usize]
    }
}
