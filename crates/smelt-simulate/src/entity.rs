//! The six source entities and their columns, with the kinds that decide how a value may look.

use serde::Serialize;

/// A source entity, in the order in which a shop would load them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Entity {
    /// People who buy.
    Customers,
    /// Things that are sold.
    Products,
    /// Orders, without what was ordered.
    Orders,
    /// What was ordered: one row for each product of an order.
    OrderItems,
    /// Payments of orders.
    Payments,
    /// Parcels of orders.
    Shipments,
}

/// How the values of a column may look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Key,
    Email,
    Code,
    Status,
    Money,
    Count,
    Flag,
    Time,
    Text,
}

/// A column of an entity.
#[derive(Debug)]
pub(crate) struct Column {
    pub(crate) name: &'static str,
    pub(crate) kind: Kind,
    pub(crate) required: bool,
}

const fn needed(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, required: true }
}

const fn column(name: &'static str, kind: Kind) -> Column {
    Column { name, kind, required: false }
}

const CUSTOMERS: &[Column] = &[
    needed("customer_id", Kind::Key),
    column("email", Kind::Email),
    column("first_name", Kind::Text),
    column("last_name", Kind::Text),
    column("phone", Kind::Text),
    column("country", Kind::Code),
    column("city", Kind::Text),
    column("postal_code", Kind::Text),
    column("marketing_opt_in", Kind::Flag),
    column("created_at", Kind::Time),
    needed("updated_at", Kind::Time),
];

const PRODUCTS: &[Column] = &[
    needed("product_id", Kind::Key),
    needed("name", Kind::Text),
    column("category", Kind::Text),
    column("brand", Kind::Text),
    column("unit_price", Kind::Money),
    column("unit_cost", Kind::Money),
    column("currency", Kind::Code),
    column("is_active", Kind::Flag),
    column("created_at", Kind::Time),
    needed("updated_at", Kind::Time),
];

const ORDERS: &[Column] = &[
    needed("order_id", Kind::Key),
    needed("customer_id", Kind::Key),
    needed("order_status", Kind::Status),
    column("currency", Kind::Code),
    column("shipping_country", Kind::Code),
    column("discount_amount", Kind::Money),
    column("shipping_amount", Kind::Money),
    needed("ordered_at", Kind::Time),
    needed("updated_at", Kind::Time),
];

const ORDER_ITEMS: &[Column] = &[
    needed("order_item_id", Kind::Key),
    needed("order_id", Kind::Key),
    needed("product_id", Kind::Key),
    needed("quantity", Kind::Count),
    needed("unit_price", Kind::Money),
    column("discount_amount", Kind::Money),
    needed("updated_at", Kind::Time),
];

const PAYMENTS: &[Column] = &[
    needed("payment_id", Kind::Key),
    needed("order_id", Kind::Key),
    column("payment_method", Kind::Status),
    needed("payment_status", Kind::Status),
    needed("amount", Kind::Money),
    column("paid_at", Kind::Time),
    needed("updated_at", Kind::Time),
];

const SHIPMENTS: &[Column] = &[
    needed("shipment_id", Kind::Key),
    needed("order_id", Kind::Key),
    column("carrier", Kind::Text),
    column("tracking_number", Kind::Text),
    column("shipment_status", Kind::Status),
    column("shipped_at", Kind::Time),
    column("delivered_at", Kind::Time),
    needed("updated_at", Kind::Time),
];

impl Entity {
    /// All entities, in loading order.
    pub const ALL: [Self; 6] =
        [Self::Customers, Self::Products, Self::Orders, Self::OrderItems, Self::Payments, Self::Shipments];

    /// The name that folders and files carry.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Customers => "customers",
            Self::Products => "products",
            Self::Orders => "orders",
            Self::OrderItems => "order_items",
            Self::Payments => "payments",
            Self::Shipments => "shipments",
        }
    }

    pub(crate) const fn columns(self) -> &'static [Column] {
        match self {
            Self::Customers => CUSTOMERS,
            Self::Products => PRODUCTS,
            Self::Orders => ORDERS,
            Self::OrderItems => ORDER_ITEMS,
            Self::Payments => PAYMENTS,
            Self::Shipments => SHIPMENTS,
        }
    }

    /// The column that appears when the schema drifts.
    pub(crate) const fn drift_column(self) -> &'static str {
        match self {
            Self::Customers => "loyalty_tier",
            Self::Products => "weight_grams",
            Self::Orders => "sales_channel",
            Self::OrderItems => "warehouse_code",
            Self::Payments => "fraud_score",
            Self::Shipments => "service_level",
        }
    }

    /// How ordered keys begin.
    pub(crate) const fn key_prefix(self) -> &'static str {
        match self {
            Self::Customers => "CUS",
            Self::Products => "PRD",
            Self::Orders => "ORD",
            Self::OrderItems => "ITM",
            Self::Payments => "PAY",
            Self::Shipments => "SHP",
        }
    }
}
