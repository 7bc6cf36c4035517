//! Dressing a draft: from what a record says to the cells of a file.
//!
//! The dice depend on the record alone, so that a duplicate is written as its original was.

use std::borrow::Cow;

use crate::breakage;
use crate::calendar::Micros;
use crate::dice::Purpose;
use crate::draft::{Body, Customer, Draft, Item, Order, Payment, Product, Shipment};
use crate::entity::Entity;
use crate::row::{Cell, Layout, Row};
use crate::shop::Shop;
use crate::spelling::Speller;

/// Writes a draft the way a file of this layout carries it.
pub(crate) fn dress(shop: &Shop, draft: &Draft, layout: &Layout) -> Row {
    let purpose = Purpose::Dress(layout.entity);
    let mut dresser = Dresser {
        shop,
        number: draft.number,
        cells: Vec::with_capacity(16),
        speller: Speller {
            dice: shop.seed.dice(purpose, draft.number, u64::from(draft.ordinal)),
            messy: layout.messy,
            times: layout.times,
        },
    };
    dresser.body(&draft.body, draft.updated_at);
    if draft.deleted {
        dresser.undress(layout);
    }
    let Dresser { mut cells, mut speller, .. } = dresser;
    if layout.operations {
        let first = draft.ordinal.trailing_zeros() >= 16;
        cells.push(speller.operation(draft.deleted, first));
    }
    if layout.drifted {
        let unknown = format!("{}-{}", layout.entity.drift_column(), speller.dice.below(5));
        cells.push(speller.text(Some(unknown.into())));
    }
    let broken = draft.broken.then(|| {
        let kind = breakage::choose(layout, draft.deleted, &mut speller.dice);
        breakage::apply(kind, &mut cells, layout, draft.deleted, &mut speller)
    });
    Row { cells, broken, dice: speller.dice }
}

struct Dresser<'a> {
    shop: &'a Shop,
    number: u64,
    cells: Vec<Cell>,
    speller: Speller,
}

impl Dresser<'_> {
    fn body(&mut self, body: &Body, updated_at: Micros) {
        match body {
            Body::Customer(customer) => self.customer(customer),
            Body::Product(product) => self.product(product),
            Body::Order(order) => self.order(order),
            Body::Item(item) => self.item(item),
            Body::Payment(payment) => self.payment(payment),
            Body::Shipment(shipment) => self.shipment(shipment),
        }
        self.time(Some(updated_at));
    }

    fn customer(&mut self, customer: &Customer) {
        self.key(Entity::Customers, self.number, 0);
        let email = format!(
            "{}.{}{}@{}",
            mail_name(customer.first_name),
            mail_name(customer.last_name),
            customer.mail_number,
            customer.mail_domain
        );
        let cell = self.speller.email(email);
        self.cells.push(cell);
        self.text(Some(customer.first_name.into()));
        self.text(Some(customer.last_name.into()));
        let phone = |number| format!("{} {number:09}", customer.country.dialling_code);
        self.text(customer.phone.map(|number| phone(number).into()));
        self.code(Some(customer.country.code));
        self.text(Some(customer.city.into()));
        let postal_code = |number| postal_code(customer.country.postal_code, number);
        self.text(customer.postal_number.map(|number| postal_code(number).into()));
        self.flag(customer.opted_in);
        self.time(Some(customer.created_at));
    }

    fn product(&mut self, product: &Product) {
        self.key(Entity::Products, self.number, 0);
        let name = format!("{} {} {}{}", product.brand, product.adjective, product.thing, product.suffix);
        self.text(Some(name.into()));
        self.text(Some(product.category.into()));
        self.text(Some(product.brand.into()));
        self.money(Some(product.price));
        self.money(product.cost);
        self.code(Some(product.currency));
        self.flag(product.active);
        self.time(Some(product.created_at));
    }

    fn order(&mut self, order: &Order) {
        self.key(Entity::Orders, self.number, 0);
        self.key(Entity::Customers, order.customer, 0);
        self.status(Some(order.status));
        self.code(Some(order.currency));
        self.code(order.country);
        self.money(order.discount);
        self.money(order.shipping);
        self.time(Some(order.ordered_at));
    }

    fn item(&mut self, item: &Item) {
        self.key(Entity::OrderItems, self.number, item.line);
        self.key(Entity::Orders, self.number, 0);
        self.key(Entity::Products, u64::from(item.product), 0);
        let cell = self.speller.count(item.quantity);
        self.cells.push(cell);
        self.money(Some(item.price));
        self.money(item.discount);
    }

    fn payment(&mut self, payment: &Payment) {
        self.key(Entity::Payments, self.number, payment.sequence);
        self.key(Entity::Orders, self.number, 0);
        self.status(payment.method);
        self.status(Some(payment.status));
        self.money(Some(payment.amount));
        self.time(payment.paid_at);
    }

    fn shipment(&mut self, shipment: &Shipment) {
        self.key(Entity::Shipments, self.number, shipment.sequence);
        self.key(Entity::Orders, self.number, 0);
        self.text(Some(shipment.carrier.into()));
        self.text(shipment.tracking.map(|number| format!("{number:012}").into()));
        self.status(shipment.status);
        self.time(shipment.shipped_at);
        self.time(shipment.delivered_at);
    }

    /// Leaves of a delete what some systems send: all of it, no more than key and time, or
    /// rubbish among the rest.
    fn undress(&mut self, layout: &Layout) {
        let last = self.cells.len() - 1;
        if self.speller.dice.chance(0.5) {
            for cell in &mut self.cells[1..last] {
                *cell = Cell::Absent;
            }
        } else if self.speller.dice.chance(self.speller.messy) {
            breakage::spoil(&mut self.cells, layout, &mut self.speller.dice);
        }
    }

    fn key(&mut self, entity: Entity, number: u64, part: u32) {
        let cell = self.speller.key(self.shop.key(entity, number, part));
        self.cells.push(cell);
    }

    fn text(&mut self, text: Option<Cow<'static, str>>) {
        let cell = self.speller.text(text);
        self.cells.push(cell);
    }

    fn code(&mut self, code: Option<&'static str>) {
        let cell = self.speller.code(code);
        self.cells.push(cell);
    }

    fn status(&mut self, status: Option<&'static str>) {
        let cell = self.speller.status(status);
        self.cells.push(cell);
    }

    fn money(&mut self, cents: Option<i64>) {
        let cell = self.speller.money(cents);
        self.cells.push(cell);
    }

    fn flag(&mut self, flag: Option<bool>) {
        let cell = self.speller.flag(flag);
        self.cells.push(cell);
    }

    fn time(&mut self, time: Option<Micros>) {
        let cell = self.speller.time(time);
        self.cells.push(cell);
    }
}

/// The letters of a name that go into an address; some mail systems take more than ASCII.
fn mail_name(name: &str) -> String {
    let letters = name.chars().filter(char::is_ascii_alphabetic);
    let ascii: String = letters.map(|letter| letter.to_ascii_lowercase()).collect();
    if ascii.is_empty() { name.to_owned() } else { ascii }
}

/// A postal code of this pattern: a digit for each `#`, a letter for each `A`.
fn postal_code(pattern: &str, number: u32) -> String {
    let mut left = u64::from(number) * 7_919 + 12_345;
    let mut next = |bound: u64| {
        let remainder = left % bound;
        left = left / bound + remainder * 31;
        remainder as u8
    };
    pattern
        .chars()
        .map(|symbol| match symbol {
            '#' => char::from(b'0' + next(10)),
            'A' => char::from(b'A' + next(26)),
            other => other,
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dice::{Dice, Seed};

    #[test]
    fn postal_codes_follow_their_pattern() {
        let mut dice: Dice = Seed(1).dice(Purpose::Day, 0, 0);
        for _ in 0..100 {
            let code = postal_code("A#A #-A", dice.below(1_000_000) as u32);
            let pattern: String = code
                .chars()
                .map(|symbol| match symbol {
                    '0'..='9' => '#',
                    'A'..='Z' => 'A',
                    other => other,
                })
                .collect();
            assert_eq!(pattern, "A#A #-A");
        }
    }

    #[test]
    fn names_without_latin_letters_stay_in_addresses_as_they_are() {
        assert_eq!(mail_name("D'Arcy"), "darcy");
        assert_eq!(mail_name("美咲"), "美咲");
    }
}
