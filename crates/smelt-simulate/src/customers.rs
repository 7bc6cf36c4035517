//! Customers: who they are, when they join, how they change, and which of them places an order.
//!
//! Customers are numbered in the order in which they join. Almost half of them were there before
//! the simulated time; each other one joins shortly before the order that made them join, so that
//! order N can be placed only by customers below a bound that is a function of N.

use crate::afflict::{Affliction, straggler_chance};
use crate::calendar::{DAY, HOUR, MINUTE, Micros, SECOND};
use crate::dice::{Dice, Purpose};
use crate::draft::{Body, Customer, Draft};
use crate::entity::Entity;
use crate::shop::{Shop, arrival, hold_member};
use crate::vocabulary::{COUNTRIES, Country, FIRST_NAMES, LAST_NAMES, MAIL_DOMAINS};

/// A customer joins less than so many days before the order that made them join.
const LEAD_DAYS: i64 = 3;

impl Shop {
    fn customers_in_all(&self) -> u64 {
        (self.options.orders / 6).max(1)
    }

    fn early_customers(&self) -> u64 {
        (self.customers_in_all() * 45 / 100).max(1)
    }

    /// How many customers have joined by the time when so many orders are placed.
    fn customers_after(&self, orders: u64) -> u64 {
        let early = self.early_customers();
        let later = u128::from(self.customers_in_all() - early);
        let joined = later * u128::from(orders) / u128::from(self.options.orders.max(1));
        early + joined as u64
    }

    /// How many customers can have records in this extract or an earlier one.
    pub(crate) fn customers_by(&self, extract: u32) -> u64 {
        let orders = self.calendar.days_back(extract, -LEAD_DAYS..1).end;
        self.customers_after(orders)
    }

    /// When a customer joins.
    fn joined_at(&self, customer: u64, dice: &mut Dice) -> Micros {
        let early = self.early_customers();
        let joined_at = if customer < early {
            let age = 1.0 - (customer as f64 + dice.unit()) / early as f64;
            self.calendar.start() - (age * (3 * 365 * DAY) as f64) as Micros
        } else {
            // The least number of orders after which the customer has joined.
            let rank = u128::from(customer - early + 1) * u128::from(self.options.orders);
            let orders = rank.div_ceil(u128::from(self.customers_in_all() - early)) as u64;
            self.placed_at(orders - 1) - dice.between(2 * MINUTE, 2 * DAY)
        };
        if dice.chance(0.05) {
            // Imported from a system that kept dates only.
            joined_at - joined_at.rem_euclid(DAY)
        } else {
            dice.moment(joined_at)
        }
    }

    /// Who places an order: often whoever has just joined, and old hands more often than others.
    pub(crate) fn customer_of_order(&self, order: u64, dice: &mut Dice) -> u64 {
        let joined = self.customers_after(order + 1);
        if joined > self.customers_after(order) && dice.chance(0.85) {
            return joined - 1;
        }
        if dice.chance(0.5) { dice.below(joined) } else { (dice.unit() * dice.unit() * joined as f64) as u64 }
    }

    /// Where a customer lives at first.
    pub(crate) fn home(&self, customer: u64) -> &'static Country {
        self.seed.dice(Purpose::Home, customer, 0).weighted(COUNTRIES)
    }

    /// Appends all records of a customer that any extract carries.
    pub(crate) fn customer_life(&self, number: u64, records: &mut Vec<Draft>) {
        let dice = &mut self.seed.dice(Purpose::Life(Entity::Customers), number, 0);
        let calendar = &self.calendar;
        let defects = &self.options.defects;
        let created_at = self.joined_at(number, dice);
        if dice.chance(defects.missing) {
            return;
        }
        let from = records.len();
        let mut customer = self.new_customer(number, created_at, dice);
        records.push(Draft::new(Body::Customer(customer), number, 0, created_at));

        let mut updated_at = created_at;
        let changes = dice.few(self.options.member_changes, 50);
        let earliest = (calendar.start() - 300 * DAY).max(created_at + HOUR);
        for version in 1..=changes {
            // Each change falls into its own share of the time, so they need no sorting.
            let span = (calendar.end() - earliest).max(DAY) / i64::from(changes);
            let begin = earliest + span * i64::from(version - 1);
            let time = dice.between(begin, begin + span);
            updated_at = dice.moment(time.max(updated_at + 2 * SECOND));
            change(&mut customer, dice);
            records.push(Draft::new(Body::Customer(customer), number, version, updated_at));
        }
        let held_until =
            if dice.chance(defects.held_back) { hold_member(calendar, created_at, dice) } else { Micros::MIN };
        let affliction = Affliction {
            defects,
            calendar,
            straggler: dice.chance(straggler_chance(defects)),
            latest: Micros::MAX,
            held_until,
        };
        affliction.strike(records, from, dice);
    }

    /// The extract by which a customer has arrived.
    pub(crate) fn customer_arrival(&self, number: u64, scratch: &mut Vec<Draft>) -> Option<u32> {
        scratch.clear();
        self.customer_life(number, scratch);
        arrival(scratch.iter())
    }

    fn new_customer(&self, number: u64, created_at: Micros, dice: &mut Dice) -> Customer {
        let country = self.home(number);
        let first_name = dice.pick(FIRST_NAMES);
        let last_name = dice.pick(LAST_NAMES);
        let mail_domain = *dice.weighted(MAIL_DOMAINS);
        Customer {
            first_name,
            last_name,
            mail_domain,
            mail_number: dice.below(1_000) as u32,
            phone: (!dice.chance(0.2)).then(|| dice.below(900_000_000) as u32),
            country,
            city: dice.pick(country.cities),
            postal_number: (!dice.chance(0.03)).then(|| dice.below(1_000_000) as u32),
            opted_in: (!dice.chance(0.15)).then(|| dice.chance(0.4)),
            created_at,
        }
    }
}

/// Changes something, or nothing: some systems write a row again as it was. The phone number is
/// an attribute whose history nobody tracks.
fn change(customer: &mut Customer, dice: &mut Dice) {
    match dice.below(100) {
        0..=29 => {
            customer.city = dice.pick(customer.country.cities);
            customer.postal_number = Some(dice.below(1_000_000) as u32);
        }
        30..=34 => {
            customer.country = dice.weighted(COUNTRIES);
            customer.city = dice.pick(customer.country.cities);
        }
        35..=54 => customer.opted_in = Some(!customer.opted_in.unwrap_or(false)),
        55..=69 => {
            customer.mail_domain = *dice.weighted(MAIL_DOMAINS);
            customer.mail_number = dice.below(1_000) as u32;
        }
        70..=77 => customer.last_name = dice.pick(LAST_NAMES),
        78..=92 => customer.phone = Some(dice.below(900_000_000) as u32),
        _ => {}
    }
}
