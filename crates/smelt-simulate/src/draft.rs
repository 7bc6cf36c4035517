//! A record before it is written: what it says, when it is delivered, and what is wrong with it.
//!
//! Drafts are small and copied freely; texts, keys and spellings come when a draft is dressed.

use crate::calendar::Micros;
use crate::entity::Entity;
use crate::vocabulary::Country;

#[derive(Debug, Clone, Copy)]
pub(crate) struct Draft {
    pub(crate) body: Body,
    /// The number of the customer, product or order whose life this is part of.
    pub(crate) number: u64,
    /// Which record of that life; only duplicates share it.
    pub(crate) ordinal: u32,
    pub(crate) updated_at: Micros,
    pub(crate) delivered_at: Micros,
    /// The extract that `delivered_at` falls in.
    pub(crate) extract: u32,
    pub(crate) deleted: bool,
    pub(crate) broken: bool,
    pub(crate) marks: Marks,
}

/// Facts about a delivered record that make it count as a defect.
#[derive(Debug, Clone, Copy, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Marks {
    pub(crate) late: bool,
    pub(crate) duplicate: bool,
    pub(crate) tie: bool,
    pub(crate) stale: bool,
    pub(crate) revival: bool,
    pub(crate) orphan: bool,
}

/// What a record says, by entity. Money is in cents.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Body {
    Customer(Customer),
    Product(Product),
    Order(Order),
    Item(Item),
    Payment(Payment),
    Shipment(Shipment),
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Customer {
    pub(crate) first_name: &'static str,
    pub(crate) last_name: &'static str,
    pub(crate) mail_domain: &'static str,
    pub(crate) mail_number: u32,
    pub(crate) phone: Option<u32>,
    pub(crate) country: &'static Country,
    pub(crate) city: &'static str,
    pub(crate) postal_number: Option<u32>,
    pub(crate) opted_in: Option<bool>,
    pub(crate) created_at: Micros,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Product {
    pub(crate) brand: &'static str,
    pub(crate) adjective: &'static str,
    pub(crate) thing: &'static str,
    /// What follows the name; line feeds and the like.
    pub(crate) suffix: &'static str,
    pub(crate) category: &'static str,
    pub(crate) price: i64,
    pub(crate) cost: Option<i64>,
    pub(crate) currency: &'static str,
    pub(crate) active: Option<bool>,
    pub(crate) created_at: Micros,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Order {
    pub(crate) customer: u64,
    pub(crate) status: &'static str,
    pub(crate) currency: &'static str,
    pub(crate) country: Option<&'static str>,
    pub(crate) discount: Option<i64>,
    pub(crate) shipping: Option<i64>,
    pub(crate) ordered_at: Micros,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Item {
    pub(crate) line: u32,
    pub(crate) product: u32,
    pub(crate) quantity: i64,
    pub(crate) price: i64,
    pub(crate) discount: Option<i64>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Payment {
    pub(crate) sequence: u32,
    pub(crate) method: Option<&'static str>,
    pub(crate) status: &'static str,
    pub(crate) amount: i64,
    pub(crate) paid_at: Option<Micros>,
}

#[derive(Debug, Clone, Copy)]
pub(crate) struct Shipment {
    pub(crate) sequence: u32,
    pub(crate) carrier: &'static str,
    pub(crate) tracking: Option<u64>,
    pub(crate) status: Option<&'static str>,
    pub(crate) shipped_at: Option<Micros>,
    pub(crate) delivered_at: Option<Micros>,
}

impl Draft {
    /// A record that is delivered at once.
    pub(crate) fn new(body: Body, number: u64, ordinal: u32, updated_at: Micros) -> Self {
        Self {
            body,
            number,
            ordinal,
            updated_at,
            delivered_at: updated_at,
            extract: 0,
            deleted: false,
            broken: false,
            marks: Marks::default(),
        }
    }
}

impl Body {
    pub(crate) fn entity(&self) -> Entity {
        match self {
            Self::Customer(_) => Entity::Customers,
            Self::Product(_) => Entity::Products,
            Self::Order(_) => Entity::Orders,
            Self::Item(_) => Entity::OrderItems,
            Self::Payment(_) => Entity::Payments,
            Self::Shipment(_) => Entity::Shipments,
        }
    }

    /// The same row with another content, as a rival with the same time has it.
    pub(crate) fn tweaked(mut self) -> Self {
        match &mut self {
            Self::Customer(customer) => {
                customer.postal_number = Some(customer.postal_number.unwrap_or(0) ^ 1);
            }
            Self::Product(product) => product.price += 100,
            Self::Order(order) => order.discount = Some(order.discount.unwrap_or(0) + 100),
            Self::Item(item) => item.quantity += 1,
            Self::Payment(payment) => payment.amount += 1,
            Self::Shipment(shipment) => {
                shipment.tracking = Some(shipment.tracking.unwrap_or(0) ^ 1);
            }
        }
        self
    }
}
