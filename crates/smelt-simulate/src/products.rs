//! The catalogue: a few thousand products and their lives, kept in memory as every order needs
//! them.

use crate::afflict::{Affliction, straggler_chance};
use crate::calendar::{Calendar, DAY, HOUR, Micros, SECOND};
use crate::dice::{Dice, Purpose, Seed};
use crate::draft::{Body, Draft, Product};
use crate::entity::Entity;
use crate::options::Options;
use crate::shop::{arrival, hold_member};
use crate::vocabulary::{ADJECTIVES, BRANDS, CATEGORIES, LIST_CURRENCIES};

/// How names of products end, each with its share.
const SUFFIXES: &[(&str, u32)] = &[
    ("", 180),
    (", 2-pack", 8),
    (" \"Pro\"", 4),
    (" 🌿", 3),
    ("\nLimited edition", 2),
    (" \\ refill", 2),
    // White space that is none of the six which cleaning removes.
    ("\u{a0}", 1),
];

#[derive(Debug)]
pub(crate) struct Catalogue {
    products: Vec<Life>,
}

#[derive(Debug)]
struct Life {
    /// What the price was from when on, oldest first.
    prices: Vec<(Micros, i64)>,
    records: Vec<Draft>,
    arrival: Option<u32>,
}

impl Catalogue {
    pub(crate) fn new(options: &Options, seed: Seed, calendar: &Calendar) -> Self {
        let count = (options.orders / 250).clamp(50, 4_000);
        let products = (0..count).map(|number| life(number, options, seed, calendar)).collect();
        Self { products }
    }

    /// All records of all products.
    pub(crate) fn records(&self) -> impl Iterator<Item = &[Draft]> {
        self.products.iter().map(|life| life.records.as_slice())
    }

    /// A product that exists at `time`, bestsellers more often, and its price then.
    pub(crate) fn choose(&self, time: Micros, dice: &mut Dice) -> (u32, i64) {
        // A prime that no catalogue's size is a multiple of spreads the bestsellers over it.
        const STRIDE: usize = 7_919;
        let count = self.products.len();
        for _ in 0..8 {
            let popularity = dice.unit() * dice.unit() * dice.unit();
            let rank = (popularity * count as f64) as usize;
            let product = rank * STRIDE % count;
            if let Some(price) = self.price_at(product, time) {
                return (product as u32, price);
            }
        }
        // The first product has been there from the beginning.
        (0, self.price_at(0, time).unwrap_or(1_000))
    }

    fn price_at(&self, product: usize, time: Micros) -> Option<i64> {
        let prices = &self.products[product].prices;
        let after = prices.partition_point(|&(from, _)| from <= time);
        (after > 0).then(|| prices[after - 1].1)
    }

    /// The extract by which a product has arrived.
    pub(crate) fn arrival(&self, product: u32) -> Option<u32> {
        self.products[product as usize].arrival
    }
}

fn life(number: u64, options: &Options, seed: Seed, calendar: &Calendar) -> Life {
    let mut dice = seed.dice(Purpose::Life(Entity::Products), number, 0);
    let dice = &mut dice;
    let created_at = if number == 0 || dice.chance(0.85) {
        calendar.start() - dice.between(DAY, 3 * 365 * DAY)
    } else {
        dice.between(calendar.start(), calendar.end() - 1)
    };
    let created_at = dice.moment(created_at);
    let mut product = new_product(created_at, dice);
    let mut prices = vec![(created_at, product.price)];
    let mut records = vec![Draft::new(Body::Product(product), number, 0, created_at)];

    let mut times: Vec<Micros> = (0..dice.few(5.0 * options.member_changes, 200))
        .map(|_| dice.between(created_at + HOUR, calendar.end().max(created_at + DAY)))
        .collect();
    times.sort_unstable();
    let mut updated_at = created_at;
    for (version, time) in times.into_iter().enumerate() {
        updated_at = dice.moment(time.max(updated_at + 2 * SECOND));
        change(&mut product, dice);
        prices.push((updated_at, product.price));
        records.push(Draft::new(Body::Product(product), number, version as u32 + 1, updated_at));
    }

    let defects = &options.defects;
    if dice.chance(defects.missing) {
        records.clear();
    }
    let held_until = if dice.chance(defects.held_back) { hold_member(calendar, created_at, dice) } else { Micros::MIN };
    let affliction = Affliction {
        defects,
        calendar,
        straggler: dice.chance(straggler_chance(defects)),
        latest: Micros::MAX,
        held_until,
    };
    affliction.strike(&mut records, 0, dice);
    let arrival = arrival(&records);
    Life { prices, records, arrival }
}

fn new_product(created_at: Micros, dice: &mut Dice) -> Product {
    let category = dice.weighted(CATEGORIES);
    let (low, high) = category.price;
    // Cheap things are more common than dear ones.
    let share = dice.unit() * dice.unit() * dice.unit();
    let price = low + ((high - low) as f64 * share) as i64;
    let price = if price > 500 && dice.chance(0.8) { price / 100 * 100 + 99 } else { price };
    let brand = dice.pick(BRANDS);
    let adjective = dice.pick(ADJECTIVES);
    let thing = dice.pick(category.things);
    let suffix = *dice.weighted(SUFFIXES);
    let cost = (!dice.chance(0.03)).then(|| price * dice.between(40, 78) / 100);
    let currency = *dice.weighted(LIST_CURRENCIES);
    Product {
        brand,
        adjective,
        thing,
        suffix,
        category: category.name,
        price,
        cost,
        currency,
        active: (!dice.chance(0.05)).then_some(true),
        created_at,
    }
}

/// Changes something, or nothing: some systems write a row again as it was.
fn change(product: &mut Product, dice: &mut Dice) {
    match dice.below(100) {
        0..=47 => {
            let percent = dice.between(-20, 20);
            product.price = (product.price * (100 + percent) / 100).max(10);
        }
        48..=67 => {
            product.cost = Some(product.price * dice.between(40, 78) / 100);
        }
        68..=75 => product.active = Some(!product.active.unwrap_or(true)),
        76..=80 => product.adjective = dice.pick(ADJECTIVES),
        81..=84 => product.category = dice.weighted(CATEGORIES).name,
        85..=86 => product.brand = dice.pick(BRANDS),
        87..=89 => product.currency = *dice.weighted(LIST_CURRENCIES),
        _ => {}
    }
}
