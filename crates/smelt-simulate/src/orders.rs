//! The life of an order: its versions, items, payments and shipments, all made from its number.

use crate::afflict::Affliction;
use crate::calendar::{DAY, HOUR, MINUTE, Micros, SECOND};
use crate::dice::{Dice, Purpose};
use crate::draft::{Body, Draft, Item, Order, Payment, Shipment};
use crate::entity::Entity;
use crate::shop::{Shop, arrival};
use crate::vocabulary::{CARRIERS, COUNTRIES, Currency, PAYMENT_METHODS, method, status};

/// How an order ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Delivered,
    Returned,
    /// Delivered without a parcel.
    Downloaded,
    NeverPaid,
    CancelledAfterPayment,
}

const FATES: &[(Fate, u32)] = &[
    (Fate::Delivered, 870),
    (Fate::Returned, 35),
    (Fate::Downloaded, 40),
    (Fate::NeverPaid, 30),
    (Fate::CancelledAfterPayment, 25),
];

/// How many different things are in an order.
const LINES: &[(u32, u32)] = &[(1, 355), (2, 260), (3, 160), (4, 90), (5, 55), (6, 35), (8, 20), (12, 18), (20, 7)];

const QUANTITIES: &[(i64, u32)] = &[(1, 780), (2, 130), (3, 45), (4, 25), (6, 12), (12, 6), (50, 2)];

/// When the things happen that an order goes through.
struct Course {
    placed: Micros,
    paid: Micros,
    packed: Micros,
    shipped: Micros,
    delivered: Micros,
    /// Returned or cancelled.
    undone: Micros,
}

/// An order in the making.
struct Making<'a> {
    number: u64,
    fate: Fate,
    course: Course,
    affliction: Affliction<'a>,
    dice: Dice,
    records: &'a mut Vec<Draft>,
}

impl Shop {
    /// Appends all records of an order, and of its items, payments and shipments, that any
    /// extract carries. Which orders lack their customer is not marked here.
    pub(crate) fn order_life(&self, number: u64, records: &mut Vec<Draft>) {
        let mut dice = self.seed.dice(Purpose::Life(Entity::Orders), number, 0);
        let placed_at = self.placed_at(number);
        let fate = *dice.weighted(FATES);
        let method = *dice.weighted(PAYMENT_METHODS);
        let from = records.len();
        let mut making = Making {
            number,
            fate,
            course: Course::new(placed_at, fate, method, &mut dice),
            affliction: self.order_affliction(number, placed_at),
            dice,
            records,
        };
        let net = making.order_and_items(self);
        making.payments(method, net);
        making.shipments();
        mark_orphans(&mut records[from..], self);
    }
}

impl Course {
    fn new(placed: Micros, fate: Fate, method: &str, dice: &mut Dice) -> Self {
        let patience = match method {
            method::BANK_TRANSFER => dice.between(6 * HOUR, 4 * DAY),
            _ => dice.between(20 * SECOND, 40 * MINUTE),
        };
        let packed = placed + patience + dice.between(5 * MINUTE, 20 * HOUR);
        let shipped = packed + dice.between(2 * HOUR, 3 * DAY);
        let delivered = shipped + dice.between(18 * HOUR, 7 * DAY);
        let paid = if method == method::CASH_ON_DELIVERY && fate != Fate::Downloaded {
            delivered + dice.between(MINUTE, HOUR)
        } else {
            placed + patience
        };
        let undone = match fate {
            Fate::Returned => delivered + dice.between(2 * DAY, 14 * DAY),
            Fate::NeverPaid => placed + dice.between(HOUR, 6 * DAY),
            _ => packed + dice.between(10 * MINUTE, 90 * MINUTE),
        };
        Self {
            placed,
            paid: dice.moment(paid),
            packed: dice.moment(packed),
            shipped: dice.moment(shipped),
            delivered: dice.moment(delivered),
            undone: dice.moment(undone),
        }
    }
}

impl Making<'_> {
    /// Adds the order's versions and its items; gives what is to be paid.
    fn order_and_items(&mut self, shop: &Shop) -> i64 {
        let customer = shop.customer_of_order(self.number, &mut self.dice);
        let home = shop.home(customer);
        let country = if self.dice.chance(0.04) { self.dice.weighted(COUNTRIES) } else { home };
        let items = self.items(shop, home.currency);
        let discount = self.dice.chance(0.08).then(|| items * 10 / 100);
        let shipping = match self.dice.below(10) {
            _ if self.fate == Fate::Downloaded => None,
            0..=3 if items > 5_000 => Some(0),
            0..=7 => Some(499),
            8 => Some(1_299),
            _ => None,
        };
        let order = Order {
            customer,
            status: status::PLACED,
            currency: home.currency.code,
            country: (!self.dice.chance(0.01)).then_some(country.code),
            discount,
            shipping,
            ordered_at: self.course.placed,
        };
        self.versions(shop, order);
        items - discount.unwrap_or(0) + shipping.unwrap_or(0)
    }

    /// Adds the items; gives their sum after discounts.
    fn items(&mut self, shop: &Shop, currency: Currency) -> i64 {
        let placed = self.course.placed;
        let mut sum = 0;
        for line in 1..=*self.dice.weighted(LINES) {
            let dice = &mut self.dice;
            let (product, list_price) = shop.catalogue.choose(placed, dice);
            let price = list_price * currency.level / 1_000;
            let mut item = Item { line, product, quantity: *dice.weighted(QUANTITIES), price, discount: None };
            match dice.below(20) {
                0..=2 => {
                    item.discount = Some(price * item.quantity * dice.between(5, 30) / 100);
                }
                3..=12 => item.discount = Some(0),
                _ => {}
            }
            let from = self.records.len();
            self.push(Body::Item(item), line << 16, placed);
            if self.dice.chance(0.05) {
                item.quantity += 1;
                let changed = placed + self.dice.between(2 * SECOND, DAY);
                let changed = self.dice.moment(changed).max(placed + SECOND);
                self.push(Body::Item(item), (line << 16) + 1, changed);
            }
            sum += item.price * item.quantity - item.discount.unwrap_or(0);
            self.strike(from);
        }
        sum
    }

    fn versions(&mut self, shop: &Shop, order: Order) {
        let defects = &shop.options.defects;
        if self.dice.chance(defects.missing) {
            return;
        }
        let from = self.records.len();
        let mut version = 0;
        let mut next = |making: &mut Self, status, updated_at| {
            making.push(Body::Order(Order { status, ..order }), version, updated_at);
            version += 1;
        };
        let Course { placed, paid, packed, shipped, delivered, undone } = self.course;
        next(self, status::PLACED, placed);
        if self.dice.chance(0.01) {
            let held = placed + self.dice.between(2 * SECOND, 15 * SECOND);
            next(self, status::ON_HOLD, held);
        }
        // Not every system tells when an order is paid, and cash comes after the parcel.
        if self.fate != Fate::NeverPaid && paid < packed && self.dice.chance(0.6) {
            next(self, status::PAID, paid + SECOND);
        }
        match self.fate {
            Fate::Delivered | Fate::Returned => {
                next(self, status::SHIPPED, shipped + SECOND);
                next(self, status::DELIVERED, delivered + SECOND);
                if self.fate == Fate::Returned {
                    next(self, status::RETURNED, undone);
                }
            }
            Fate::Downloaded => next(self, status::COMPLETED, packed),
            Fate::NeverPaid | Fate::CancelledAfterPayment => {
                next(self, status::CANCELLED, undone);
            }
        }
        if self.dice.chance(defects.held_back) {
            self.affliction.held_until = placed + self.dice.between(DAY, 20 * DAY);
        }
        self.strike(from);
        self.affliction.held_until = Micros::MIN;
    }

    fn payments(&mut self, method: &'static str, net: i64) {
        let Course { placed, paid, packed, undone, .. } = self.course;
        let mut due = match self.dice.below(50) {
            // Some pay a little more or less than they should.
            0 => (net + self.dice.between(-500, 100)).max(0),
            _ => net,
        };
        let mut sequence = 1;
        let card_first = paid < packed && self.fate != Fate::NeverPaid;
        if card_first && due > 5_000 && self.dice.chance(0.04) {
            let part = self.dice.pick(&[1_000, 2_500, 5_000]);
            due -= part;
            self.payment(sequence, method::GIFT_CARD, part, &[(status::CAPTURED, placed + SECOND)]);
            sequence += 1;
        }
        if card_first && self.dice.chance(0.05) {
            let failed = placed + self.dice.between(5 * SECOND, 15 * SECOND);
            let attempt = [(status::PENDING, placed + 2 * SECOND), (status::FAILED, failed)];
            self.payment(sequence, method, due, &attempt);
            sequence += 1;
        }
        let begun = placed + 3 * SECOND;
        let mut states = vec![(status::PENDING, begun)];
        if self.fate == Fate::NeverPaid {
            states.push((status::FAILED, undone - MINUTE));
        } else {
            if card_first && self.dice.chance(0.3) {
                states.clear();
            }
            // A parcel that is never sent is never paid at the door.
            if paid < packed || self.fate != Fate::CancelledAfterPayment {
                states.push((status::CAPTURED, paid));
            }
            if matches!(self.fate, Fate::Returned | Fate::CancelledAfterPayment) && paid < undone {
                states.push((status::REFUNDED, undone + MINUTE));
            }
        }
        self.payment(sequence, method, due, &states);
    }

    fn payment(&mut self, sequence: u32, method: &'static str, amount: i64, states: &[(&'static str, Micros)]) {
        let from = self.records.len();
        let known = !self.dice.chance(0.005);
        let mut paid_at = None;
        for (version, &(status, updated_at)) in (0..).zip(states) {
            if status == status::CAPTURED {
                paid_at = Some(updated_at);
            }
            let body = Body::Payment(Payment { sequence, method: known.then_some(method), status, amount, paid_at });
            self.push(body, (sequence << 16) + version, updated_at);
        }
        self.strike(from);
    }

    fn shipments(&mut self) {
        if matches!(self.fate, Fate::Downloaded | Fate::NeverPaid) {
            return;
        }
        let parcels = if self.dice.chance(0.06) { 2 } else { 1 };
        for sequence in 1..=parcels {
            let from = self.records.len();
            // The second parcel follows the first.
            let behind = if sequence == 1 { 0 } else { self.dice.between(HOUR, 2 * DAY) };
            let shipped = self.course.shipped + behind;
            let delivered = self.course.delivered + behind;
            let carrier = *self.dice.weighted(CARRIERS);
            let mut shipment = Shipment {
                sequence,
                carrier,
                tracking: None,
                status: Some(status::PENDING),
                shipped_at: None,
                delivered_at: None,
            };
            let ordinal = sequence << 16;
            self.push(Body::Shipment(shipment), ordinal, self.course.packed);
            if self.fate == Fate::CancelledAfterPayment {
                shipment.status = Some(status::CANCELLED);
                let cancelled = self.course.undone + 2 * SECOND;
                self.push(Body::Shipment(shipment), ordinal + 1, cancelled);
            } else {
                shipment.tracking = Some(self.dice.below(1_000_000_000_000));
                shipment.status = Some(status::SHIPPED);
                shipment.shipped_at = Some(shipped);
                self.push(Body::Shipment(shipment), ordinal + 1, shipped);
                shipment.status = (!self.dice.chance(0.01)).then_some(status::DELIVERED);
                shipment.delivered_at = Some(delivered);
                self.push(Body::Shipment(shipment), ordinal + 2, delivered);
            }
            self.strike(from);
        }
    }

    fn push(&mut self, body: Body, ordinal: u32, updated_at: Micros) {
        self.records.push(Draft::new(body, self.number, ordinal, updated_at));
    }

    fn strike(&mut self, from: usize) {
        self.affliction.strike(self.records, from, &mut self.dice);
    }
}

/// Marks the items, payments and shipments that arrive before their order, and the items that
/// arrive before their product.
fn mark_orphans(records: &mut [Draft], shop: &Shop) {
    let orders = |record: &&Draft| record.body.entity() == Entity::Orders;
    let order_arrival = arrival(records.iter().filter(orders));
    for record in records {
        let waits_for = |arrival: Option<u32>| arrival.is_none_or(|arrival| record.extract < arrival);
        record.marks.orphan = match record.body {
            // What is left of a deleted row refers to nothing.
            _ if record.deleted => false,
            Body::Item(item) => waits_for(order_arrival) || waits_for(shop.catalogue.arrival(item.product)),
            Body::Payment(_) | Body::Shipment(_) => waits_for(order_arrival),
            _ => false,
        };
    }
}
