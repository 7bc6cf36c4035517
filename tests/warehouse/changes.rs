//! Definitions are inputs too: a changed contract or model is work for the next run, which the plan
//! announces, and nothing but the project's own files is touched for it.

use crate::{
    opening_day::payment,
    shop::{Shop, Totals, named},
};

/// What a plan will do: entities, models, dropped tables.
fn planned(shop: &Shop) -> (Vec<String>, Vec<String>, Vec<String>) {
    let plan = shop.json(["plan"]);
    let names = |list: &str, field: &str| {
        plan[list].as_array().unwrap().iter().map(|one| one[field].as_str().unwrap().to_owned()).collect()
    };
    let dropped = plan["dropped"].as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect();
    (names("entities", "entity"), names("models", "model"), dropped)
}

/// A contract that asks for less: its entity is replayed from raw, records leave quarantine, facts
/// follow, and other entities are left alone.
#[test]
fn a_contract_that_asks_for_less_lets_records_out_of_quarantine() {
    let shop = Shop::open();
    let unpriced = payment("y3", "2025-01-05").replace(r#""amount":"10.00","#, "");
    let negative = payment("y4", "2025-01-05").replace("10.00", "-3.00");
    shop.land("payments.jsonl", unpriced + &negative + "{\n" + &payment("y5", "2025-01-05"));
    shop.run();
    let before = Totals { raw: 6, current: 3, superseded: 0, tombstones: 0, quarantined: 3 };
    assert_eq!(shop.totals("payments"), before);
    assert_eq!(shop.value("select payment_count from fact_orders where order_id = 'O1'"), "2");

    shop.edit("contracts/payments.odcs.yaml", "          minimum: 0\n", "          minimum: -100\n");
    let (entities, models, dropped) = planned(&shop);
    assert_eq!((entities, dropped), (vec!["payments".to_owned()], vec![]));
    assert!(
        models.contains(&"fact_payments".to_owned()) && !models.contains(&"dim_customers".to_owned()),
        "{models:?}"
    );
    let report = shop.run();
    assert!(report["entities"][0]["reason"].as_str().unwrap().contains("its contract changed"), "{report:#}");
    assert_eq!(shop.totals("payments"), Totals { current: 4, quarantined: 2, ..before });
    assert_eq!(shop.value("select amount from fact_payments where payment_id = 'Y4'"), "-3.00");
    assert_eq!(shop.value("select payment_count from fact_orders where order_id = 'O1'"), "3");

    // The other way round it works as well.
    shop.edit("contracts/payments.odcs.yaml", "          minimum: -100\n", "          minimum: 0\n");
    shop.run();
    assert_eq!(shop.totals("payments"), before);
    assert_eq!(shop.rows("select payment_id from fact_payments"), ["Y1", "Y2", "Y5"]);
}

/// The source renames a column: the contract and the models name it anew, and that is all.
#[test]
fn a_renamed_column_is_a_change_of_text_files_only() {
    let shop = Shop::open();
    let renamed =
        r#"{"shipment_id":"s3","order_id":"o1","courier":"GLS","shipment_status":"shipped","updated_at":"2025-01-06"}"#;
    shop.land("shipments.jsonl", renamed);
    let report = shop.run();
    assert_eq!(named(&report["entities"], "entity", "shipments")["drift"]["courier"], 1, "{report:#}");
    assert_eq!(shop.value("select carrier from fact_shipments where shipment_id = 'S3'"), "");

    shop.edit("contracts/shipments.odcs.yaml", "name: carrier", "name: courier");
    shop.edit("models/facts/fact_shipments.sql", "shipments.carrier", "shipments.courier");
    shop.edit("models/facts/schema.yml", "name: carrier", "name: courier");
    shop.run();
    assert_eq!(
        shop.rows("select shipment_id, courier from fact_shipments"),
        ["S1,", "S2,", "S3,GLS"],
        "what raw says under the new name"
    );
    let fault = shop.fault(2, ["query", "select carrier from fact_shipments"]);
    assert_eq!(fault.hint.as_deref().map(|hint| hint.contains("courier")), Some(true), "{fault:#?}");
    let report = shop.run();
    assert!(report["snapshot"].is_null(), "{report:#}");
}

/// A table's new name is work like any other change: it is made from raw, and the old one goes.
#[test]
fn a_table_gets_another_name_with_all_its_rows() {
    let shop = Shop::open();
    let before = shop.rows("select * from staging.payments_cleaned order by payment_id");
    shop.edit("contracts/payments.odcs.yaml", "physicalName: payments_cleaned", "physicalName: payments_clean");
    for model in ["models/facts/fact_orders.sql", "models/facts/fact_payments.sql"] {
        shop.edit(model, "payments_cleaned", "payments_clean");
    }
    shop.run();
    assert_eq!(shop.rows("select * from staging.payments_clean order by payment_id"), before);
    assert_eq!(shop.totals("payments").current as usize, before.len());
    shop.fault(2, ["query", "select * from staging.payments_cleaned"]);
}

/// A column that raw had all along gets into the tables, with the values of old records.
#[test]
fn a_new_column_in_a_contract_brings_its_history_along() {
    let shop = Shop::open();
    let record = r#"{"customer_id":"c3","updated_at":"2025-01-02","loyalty_tier":"Gold"}"#;
    shop.land("customers.jsonl", record);
    shop.run();
    shop.edit(
        "contracts/customers.odcs.yaml",
        "      - name: created_at\n",
        "      - name: loyalty_tier\n        logicalType: string\n      - name: created_at\n",
    );
    shop.run();
    assert_eq!(shop.value("select loyalty_tier from staging.customers_cleaned where customer_id = 'C3'"), "Gold");
}

#[test]
fn a_new_model_is_computed_and_a_removed_one_dropped() {
    let shop = Shop::open();
    shop.write(
        "models/marts/carriers.sql",
        "SELECT carrier, COUNT(*) AS shipment_count FROM {{ ref('fact_shipments') }} GROUP BY carrier\n",
    );
    let described = shop.read("models/marts/schema.yml");
    let more = "
  - name: carriers
    description: Shipments by carrier.
    meta: {owner: logistics@shop.example}
    columns:
      - name: carrier
        data_tests: [unique]
";
    shop.write("models/marts/schema.yml", format!("{}\n{more}", described.trim_end()));
    assert_eq!(planned(&shop), (vec![], vec!["carriers".to_owned()], vec![]));
    let report = shop.run();
    assert_eq!(named(&report["models"], "model", "carriers")["owner"], "logistics@shop.example");
    assert_eq!(shop.rows("select * from carriers"), ["DHL,1", "UPS,1"]);

    std::fs::remove_file(shop.path("models/marts/carriers.sql")).unwrap();
    shop.write("models/marts/schema.yml", described);
    assert_eq!(planned(&shop), (vec![], vec![], vec!["gold.carriers".to_owned()]));
    let report = shop.run();
    assert_eq!(report["dropped"], serde_json::json!(["gold.carriers"]));
    let fault = shop.fault(2, ["query", "select * from carriers"]);
    assert!(fault.message.contains("carriers"), "{fault:#?}");
    let ran = shop.smelt(["query", "--snapshot", "2", "select count(*) from carriers"]).ok();
    assert!(ran.stdout.contains('2'), "an earlier snapshot still has it\n{ran}");
}

/// A changed model is computed anew, and what reads it follows.
#[test]
fn a_changed_model_takes_its_readers_along() {
    let shop = Shop::open();
    assert_eq!(shop.value("select net_amount from customer_lifetime where customer_id = 'C1'"), "50.00");
    shop.edit("models/facts/fact_orders.sql", "SELECT\n", "-- A comment changes nothing.\nSELECT\n");
    assert_eq!(planned(&shop), (vec![], vec![], vec![]));
    shop.edit("models/marts/customer_lifetime.sql", "<> 'cancelled'", "NOT IN ('cancelled', 'completed')");
    assert_eq!(planned(&shop), (vec![], vec!["customer_lifetime".to_owned()], vec![]));
    shop.run();
    assert_eq!(shop.rows("select customer_id from customer_lifetime"), ["C2"]);
}

/// Owners and descriptions are told anew everywhere, and compute nothing.
#[test]
fn owners_and_descriptions_compute_nothing() {
    let shop = Shop::open();
    shop.edit("contracts/orders.odcs.yaml", "sales@shop.example", "orders@shop.example");
    shop.edit("contracts/orders.odcs.yaml", "description: The order.", "description: One order.");
    shop.edit("models/facts/schema.yml", "description: One row per payment", "description: A row for each payment");
    let (entities, models, dropped) = planned(&shop);
    assert_eq!((entities, models, dropped), (vec![], vec![], vec![]));
    shop.run();
    shop.smelt(["status"]).ok().says("orders@shop.example");
}
