//! A handful of records of every entity, small enough to know every row by heart.

use crate::shop::Shop;

/// Two customers with an order each, two products, three items, two payments, two shipments.
const EXTRACTS: [(&str, &str); 6] = [
    (
        "customers.jsonl",
        r#"{"customer_id":"c1","email":"Ada@Example.com","first_name":"Ada","country":"gb","city":"London","created_at":"2025-01-01","updated_at":"2025-01-01"}
{"customer_id":"c2","email":"bo@example.com","first_name":"Bo","country":"de","city":"Köln","created_at":"2025-01-01","updated_at":"2025-01-01"}
"#,
    ),
    (
        "products.jsonl",
        r#"{"product_id":"p1","name":"Lamp","category":"home","unit_price":"20.00","unit_cost":"12.00","updated_at":"2025-01-01"}
{"product_id":"p2","name":"Book","category":"books","unit_price":"10.00","unit_cost":"6.00","updated_at":"2025-01-01"}
"#,
    ),
    (
        "orders.jsonl",
        r#"{"order_id":"o1","customer_id":"c1","order_status":"completed","currency":"eur","shipping_country":"gb","ordered_at":"2025-01-02T10:00:00Z","updated_at":"2025-01-03"}
{"order_id":"o2","customer_id":"c2","order_status":"placed","currency":"eur","shipping_country":"de","ordered_at":"2025-01-02T11:00:00Z","updated_at":"2025-01-03"}
"#,
    ),
    (
        "order_items.jsonl",
        r#"{"order_item_id":"i1","order_id":"o1","product_id":"p1","quantity":2,"unit_price":"20.00","updated_at":"2025-01-03"}
{"order_item_id":"i2","order_id":"o1","product_id":"p2","quantity":1,"unit_price":"10.00","updated_at":"2025-01-03"}
{"order_item_id":"i3","order_id":"o2","product_id":"p2","quantity":3,"unit_price":"9.50","updated_at":"2025-01-03"}
"#,
    ),
    (
        "payments.jsonl",
        r#"{"payment_id":"y1","order_id":"o1","payment_method":"card","payment_status":"captured","amount":"50.00","paid_at":"2025-01-02T10:01:00Z","updated_at":"2025-01-03"}
{"payment_id":"y2","order_id":"o2","payment_method":"card","payment_status":"pending","amount":"28.50","updated_at":"2025-01-03"}
"#,
    ),
    (
        "shipments.jsonl",
        r#"{"shipment_id":"s1","order_id":"o1","carrier":"DHL","shipment_status":"delivered","shipped_at":"2025-01-03","delivered_at":"2025-01-05","updated_at":"2025-01-05"}
{"shipment_id":"s2","order_id":"o2","carrier":"UPS","shipment_status":"pending","updated_at":"2025-01-03"}
"#,
    ),
];

impl Shop {
    /// With the records of the opening day landed as batch 1.
    pub(crate) fn landed() -> Self {
        let shop = Self::new();
        for (name, records) in EXTRACTS {
            shop.write(&format!("inbox/opening/{name}"), records);
        }
        let report = shop.json(["ingest", "inbox/opening"]);
        assert_eq!(report["batch"], 1, "{report}");
        shop
    }

    /// With those records published as snapshot 1.
    pub(crate) fn open() -> Self {
        let shop = Self::landed();
        let report = shop.run();
        assert_eq!(report["snapshot"], 1, "{report}");
        shop
    }
}

/// A valid order as one JSON line.
pub(crate) fn order(id: &str, updated_at: &str) -> String {
    format!(
        r#"{{"order_id":"{id}","customer_id":"c1","order_status":"placed","ordered_at":"2025-01-04","updated_at":"{updated_at}"}}"#
    ) + "\n"
}

/// A valid payment of 10.00 for the first order as one JSON line.
pub(crate) fn payment(id: &str, updated_at: &str) -> String {
    format!(
        r#"{{"payment_id":"{id}","order_id":"o1","payment_status":"captured","amount":"10.00","updated_at":"{updated_at}"}}"#
    ) + "\n"
}
