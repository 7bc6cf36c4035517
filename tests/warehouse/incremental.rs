//! Law 2 and law 5: models follow exactly what changed. After each of the changes in which incremental
//! systems go wrong, the tables are those of a rebuild, and no more was computed than had to be.

use serde_json::Value;

use crate::{
    contents::assert_equal,
    opening_day::{order, payment},
    shop::{Shop, named},
    simulated::Simulation,
    size::by_size,
};

/// A customer's version as one JSON line.
fn customer(id: &str, city: &str, updated_at: &str) -> String {
    format!(
        r#"{{"customer_id":"{id}","email":"{id}@example.com","first_name":"Ada","country":"gb","city":"{city}","created_at":"2025-01-01","updated_at":"{updated_at}"}}"#
    ) + "\n"
}

fn delete(key: &str, id: &str, updated_at: &str) -> String {
    format!(r#"{{"{key}":"{id}","_op":"d","updated_at":"{updated_at}"}}"#) + "\n"
}

fn order_of(customer: &str, id: &str, ordered_at: &str, updated_at: &str) -> String {
    format!(
        r#"{{"order_id":"{id}","customer_id":"{customer}","order_status":"placed","currency":"eur","shipping_country":"gb","ordered_at":"{ordered_at}","updated_at":"{updated_at}"}}"#
    ) + "\n"
}

fn item(id: &str, order: &str, product: &str, quantity: u32, updated_at: &str) -> String {
    format!(
        r#"{{"order_item_id":"{id}","order_id":"{order}","product_id":"{product}","quantity":{quantity},"unit_price":"10.00","updated_at":"{updated_at}"}}"#
    ) + "\n"
}

/// How a model followed in a run.
fn followed<'a>(report: &'a Value, model: &str) -> &'a Value {
    &named(&report["models"], "model", model)["followed"]
}

/// Rows that a model's table lost and got.
fn changed(report: &Value, model: &str) -> (u64, u64) {
    let incremental = &followed(report, model)["incremental"];
    (incremental["gone"].as_u64().unwrap(), incremental["came"].as_u64().unwrap())
}

/// Lands one extract and runs; no model of those that the run takes up is computed whole.
fn follow(shop: &Shop, name: &str, records: &str) -> Value {
    shop.land(name, records);
    let report = shop.run();
    for model in report["models"].as_array().unwrap() {
        let how = &model["followed"];
        assert!(how == "unchanged" || how["incremental"].is_object(), "{name}: {model:#}");
    }
    report
}

/// The tables are those that raw gives.
fn equals_rebuild(shop: &Shop, after: &str) {
    let incremental = shop.contents();
    shop.smelt(["rebuild"]).ok();
    assert_equal(("incremental", &incremental), ("rebuilt", &shop.contents()), after);
}

fn customer_of(shop: &Shop, order: &str) -> String {
    shop.value(&format!(
        "select c.city from fact_orders o join dim_customers c on c.customer_key = o.customer_key where o.order_id = '{order}'"
    ))
}

/// A record that comes again, or newer with nothing that a model reads, stops where it stops mattering.
#[test]
fn an_update_that_changes_nothing_stops_at_the_first_model() {
    let shop = Shop::open();
    let again = order_of("c1", "o1", "2025-01-02T10:00:00Z", "2025-02-01").replace("placed", "completed");
    let report = follow(&shop, "orders.jsonl", &again);
    assert_eq!(changed(&report, "fact_orders"), (0, 0), "{report:#}");
    // It reads orders itself.
    assert_eq!(changed(&report, "customer_lifetime"), (0, 0), "{report:#}");
    for model in ["fact_order_items", "fact_payments", "fact_shipments", "daily_sales"] {
        assert_eq!(followed(&report, model), "unchanged", "{model}: {report:#}");
    }
    equals_rebuild(&shop, "an update that changes nothing");
}

/// An item that moves to another order leaves the one and joins the other.
#[test]
fn a_row_that_moves_to_another_parent_changes_both() {
    let shop = Shop::open();
    let report = follow(&shop, "order_items.jsonl", &item("i1", "o2", "p1", 2, "2025-01-06"));
    assert_eq!(changed(&report, "fact_orders"), (2, 2), "{report:#}");
    assert_eq!(shop.rows("select order_id, item_count from fact_orders order by 1"), ["O1,1", "O2,2"]);
    equals_rebuild(&shop, "a row that moves");
}

/// A late older version in the middle of history takes over facts that were loaded long ago.
#[test]
fn a_late_version_in_the_middle_of_history_repoints_facts() {
    let shop = Shop::open();
    follow(&shop, "customers.jsonl", &customer("c1", "Paris", "2025-03-01"));
    follow(&shop, "orders.jsonl", &order_of("c1", "o7", "2025-02-15", "2025-02-15"));
    assert_eq!(customer_of(&shop, "O7"), "London");
    let report = follow(&shop, "customers-late.jsonl", &customer("c1", "Rome", "2025-02-01"));
    assert_eq!(customer_of(&shop, "O7"), "Rome");
    assert_eq!(customer_of(&shop, "O1"), "London");
    assert_eq!(changed(&report, "fact_orders"), (1, 1), "{report:#}");
    equals_rebuild(&shop, "a late version");
}

/// A version inside the gap that a delete left: nothing of the dimension changes but that row comes, and
/// the facts of the gap point to it.
#[test]
fn a_late_version_inside_a_deleted_gap_repoints_facts() {
    let shop = Shop::open();
    follow(&shop, "customers-gone.jsonl", &delete("customer_id", "c1", "2025-02-01"));
    follow(&shop, "customers-back.jsonl", &customer("c1", "Paris", "2025-04-01"));
    follow(&shop, "orders.jsonl", &order_of("c1", "o7", "2025-03-15", "2025-03-15"));
    assert_eq!(customer_of(&shop, "O7"), "London", "the last version before the gap");
    let report = follow(&shop, "customers-late.jsonl", &customer("c1", "Rome", "2025-03-01"));
    assert_eq!(changed(&report, "dim_customers"), (0, 1), "{report:#}");
    assert_eq!(customer_of(&shop, "O7"), "Rome");
    equals_rebuild(&shop, "a version in a gap");
}

/// A delete hides an update that is older and comes later; a newer one brings the row back.
#[test]
fn a_late_update_from_before_a_delete_brings_nothing_back() {
    let shop = Shop::open();
    follow(&shop, "orders-gone.jsonl", &delete("order_id", "o1", "2025-02-01"));
    let lost = |shop: &Shop| shop.value("select count(*) from fact_orders where order_id = 'O1'");
    assert_eq!(lost(&shop), "0");
    shop.land("orders-late.jsonl", order_of("c2", "o1", "2025-01-02T10:00:00Z", "2025-01-20"));
    let report = shop.run();
    assert_eq!(lost(&shop), "0");
    for model in report["models"].as_array().unwrap() {
        assert_eq!(model["followed"], "unchanged", "{model:#}");
    }
    equals_rebuild(&shop, "a late update from before a delete");
    follow(&shop, "orders-back.jsonl", &order_of("c2", "o1", "2025-01-02T10:00:00Z", "2025-02-02"));
    assert_eq!(customer_of(&shop, "O1"), "Köln");
    equals_rebuild(&shop, "an update from after a delete");
}

/// Of floats, 0 is one value, whatever it was computed from.
#[test]
fn a_zero_that_changes_its_sign_is_the_same_zero() {
    let shop = Shop::open();
    let signed = "SELECT payment_id, CASE WHEN payment_status = 'refunded' THEN -1 ELSE 1 END * CAST(amount AS FLOAT) AS signed \
                  FROM {{ source('staging', 'payments_cleaned') }}";
    shop.write("models/marts/signed.sql", signed);
    shop.write("models/marts/signed.yml", "models:\n  - {name: signed, meta: {owner: me}}\n");
    shop.run();
    let zero = |updated_at| payment("y3", updated_at).replace("10.00", "0.00");
    follow(&shop, "payments.jsonl", &zero("2025-01-05"));
    let report = follow(&shop, "payments-2.jsonl", &zero("2025-01-06").replace("captured", "refunded"));
    assert_eq!(changed(&report, "signed"), (0, 0), "{report:#}");
    shop.is_what_raw_gives();
}

/// A member that comes after its facts takes the inferred row's place; deleted, and with a late update
/// after that, it is what raw says each time.
#[test]
fn members_come_after_their_facts_and_go_again() {
    let shop = Shop::open();
    follow(&shop, "orders.jsonl", &order_of("c9", "o9", "2025-01-04", "2025-01-05"));
    assert_eq!(shop.rows("select is_inferred from dim_customers where customer_id = 'C9'"), ["true"]);
    equals_rebuild(&shop, "an inferred member");
    follow(&shop, "customers.jsonl", &customer("c9", "Oslo", "2025-01-06"));
    assert_eq!(shop.rows("select is_inferred from dim_customers where customer_id = 'C9'"), ["false"]);
    follow(&shop, "customers-2.jsonl", &delete("customer_id", "c9", "2025-01-08"));
    equals_rebuild(&shop, "a deleted member");
    follow(&shop, "customers-3.jsonl", &customer("c9", "Bergen", "2025-01-07"));
    equals_rebuild(&shop, "a late update before a delete");
    follow(&shop, "orders-2.jsonl", &delete("order_id", "o9", "2025-01-09"));
    assert_eq!(shop.value("select count(*) from fact_orders where order_id = 'O9'"), "0");
    equals_rebuild(&shop, "a deleted fact");
}

/// What an order says of its items, payments and shipments appears and vanishes with them.
#[test]
fn the_missing_side_of_an_outer_join_appears_and_vanishes() {
    let shop = Shop::open();
    follow(&shop, "orders.jsonl", &order_of("c1", "o7", "2025-01-04", "2025-01-05"));
    let counted = |shop: &Shop| shop.value("select item_count from fact_orders where order_id = 'O7'");
    assert_eq!(counted(&shop), "0");
    follow(&shop, "order_items.jsonl", &item("i7", "o7", "p1", 1, "2025-01-06"));
    assert_eq!(counted(&shop), "1");
    follow(&shop, "order_items-2.jsonl", &delete("order_item_id", "i7", "2025-01-07"));
    assert_eq!(counted(&shop), "0");
    equals_rebuild(&shop, "an outer join's missing side");
}

/// Two inputs of a join change in one run, so that the rows that went match each other alone.
#[test]
fn inputs_that_change_together_leave_nothing_behind() {
    let shop = Shop::open();
    for (file, records) in [
        ("inbox/both/orders.jsonl", delete("order_id", "o1", "2025-01-08")),
        ("inbox/both/order_items.jsonl", item("i1", "o2", "p2", 5, "2025-01-08")),
        ("inbox/both/products.jsonl", delete("product_id", "p2", "2025-01-08")),
    ] {
        shop.write(file, records);
    }
    shop.smelt(["ingest", "inbox/both"]).ok();
    shop.run();
    equals_rebuild(&shop, "inputs that change together");
}

/// A rollback undoes a run, and what comes after it follows from there.
#[test]
fn runs_after_a_rollback_follow_from_what_was_rolled_back_to() {
    let shop = Shop::open();
    follow(&shop, "orders.jsonl", &order_of("c2", "o7", "2025-01-04", "2025-01-05"));
    follow(&shop, "order_items.jsonl", &item("i7", "o7", "p1", 1, "2025-01-06"));
    shop.smelt(["rollback", "2"]).ok();
    shop.land("order_items-2.jsonl", item("i8", "o7", "p2", 4, "2025-01-07"));
    shop.run();
    assert_eq!(shop.value("select item_count from fact_orders where order_id = 'O7'"), "2");
    equals_rebuild(&shop, "a run after a rollback");
}

/// Days of a simulated shop: every model follows every day, and a changed model is compared, so that
/// what reads it hears only of rows that differ.
#[test]
fn every_reference_model_follows_daily_extracts() {
    let simulation = Simulation::plain(31, by_size(3_000, 20_000), by_size(3, 10));
    let extracts = simulation.write();
    let shop = Shop::new();
    let mut batches = extracts.batches().into_iter();
    shop.take_in(&batches.next().unwrap());
    for batch in batches {
        let report = shop.take_in(&batch);
        for model in report["models"].as_array().unwrap() {
            assert!(model["followed"]["incremental"].is_object(), "{simulation}: {model:#}");
        }
    }
    shop.edit("models/facts/fact_orders.sql", "SUM(quantity) AS unit_count", "SUM(quantity + 0) AS unit_count");
    let report = shop.run();
    let compared = &followed(&report, "fact_orders")["compared"];
    assert_eq!((&compared["gone"], &compared["came"]), (&0.into(), &0.into()), "{report:#}");
    assert_eq!(followed(&report, "daily_sales"), "unchanged", "{report:#}");
    equals_rebuild(&shop, &simulation.to_string());
}

/// A test that is new says nothing of rows from before it: the models that read its table are computed anew.
#[test]
fn a_key_is_not_believed_of_rows_from_before_its_test() {
    let shop = Shop::open();
    let described = |tests: &str| {
        let column = format!("columns: [{{name: order_id{tests}}}]");
        format!(
            "models:\n  - {{name: paid, meta: {{owner: me}}, {column}}}\n  - {{name: counted, meta: {{owner: me}}}}\n"
        )
    };
    let payments = "{{ source('staging', 'payments_cleaned') }}";
    shop.write(
        "models/marts/paid.sql",
        format!("SELECT order_id, amount FROM {payments} WHERE payment_status = 'captured'"),
    );
    let counted = "SELECT order_id, amount, COUNT(*) OVER (PARTITION BY order_id) AS n FROM {{ ref('paid') }}";
    shop.write("models/marts/counted.sql", counted);
    shop.write("models/marts/paid.yml", described(""));
    // The same amount twice.
    shop.land("payments.jsonl", payment("y3", "2025-01-05") + &payment("y1", "2025-01-05"));
    shop.run();
    assert_eq!(shop.rows("select order_id, n from counted"), ["O1,2", "O1,2"]);
    shop.write("models/marts/paid.yml", described(", data_tests: [unique, not_null]"));
    shop.fault(3, ["run"]);
    shop.land("payments.jsonl", payment("y3", "2025-01-06").replace("captured", "failed"));
    shop.run();
    assert_eq!(shop.rows("select order_id, n from counted"), ["O1,1"]);
    shop.is_what_raw_gives();
}

/// What is compared with the affected keys is computed of rows that the model leaves out, too. Where a function fails on such
/// a row that is no failure of the run: all rows are computed, and it is said why.
#[test]
fn a_model_whose_keys_cannot_be_computed_is_computed_whole() {
    let shop = Shop::open();
    let [orders, payments] =
        ["orders", "payments"].map(|entity| format!("{{{{ source('staging', '{entity}_cleaned') }}}}"));
    let renewals = format!(
        "SELECT renewed_on, LISTAGG(payment_id, ',') WITHIN GROUP (ORDER BY payment_id) AS payments \
         FROM (SELECT p.payment_id, COALESCE(o.order_id, p.order_id) AS order_id, DATEADD(year, \
         CASE RIGHT(COALESCE(o.order_id, p.order_id), 1) WHEN '1' THEN 1 WHEN '7' THEN 300000 ELSE 2 END, '2025-01-01') \
         AS renewed_on FROM {orders} AS o FULL JOIN {payments} AS p ON o.order_id = p.order_id) AS x \
         WHERE RIGHT(order_id, 1) <> '7' GROUP BY renewed_on"
    );
    shop.write("models/marts/renewals.sql", renewals);
    shop.write("models/marts/renewals.yml", "models:\n  - {name: renewals, meta: {owner: me}}\n");
    shop.run();
    let report = follow(&shop, "payments.jsonl", &payment("y3", "2025-01-05"));
    assert_eq!(changed(&report, "renewals"), (1, 1), "{report:#}");

    shop.land("orders.jsonl", order("o7", "2025-01-06"));
    shop.land("payments-2.jsonl", payment("y4", "2025-01-06"));
    let report = shop.run();
    let compared = &followed(&report, "renewals")["compared"];
    assert_eq!((&compared["gone"], &compared["came"]), (&1.into(), &1.into()), "{report:#}");
    let why = "its incremental plan fails: Execution error: the result of dateadd is outside the range of timestamps";
    shop.smelt(["explain", "renewals"]).ok().says(why);
    assert_eq!(shop.rows("select payments from renewals"), ["\"Y1,Y3,Y4\"", "Y2"]);
    shop.is_what_raw_gives();
}

/// The engine takes groups out that it thinks hang on a key: behind a join one order has several products.
#[test]
fn groups_of_groups_by_a_key_of_one_side_are_all_there() {
    let shop = Shop::open();
    let (items, orders) =
        ("{{ source('staging', 'order_items_cleaned') }}", "{{ source('staging', 'orders_cleaned') }}");
    let kinds = format!(
        "SELECT order_id, COUNT(*) AS n FROM (SELECT i.product_id, o.order_id FROM {items} AS i \
         JOIN {orders} AS o ON i.order_id = o.order_id GROUP BY i.product_id, o.order_id) AS x GROUP BY order_id, product_id"
    );
    shop.write("models/marts/kinds.sql", kinds);
    shop.write("models/marts/kinds.yml", "models:\n  - {name: kinds, meta: {owner: me}}\n");
    shop.run();
    assert_eq!(shop.rows("select order_id, n from kinds where order_id = 'O1'"), ["O1,1", "O1,1"]);
}
