//! Rules over the tables: one of severity `error` keeps the last snapshot, one of severity `warn` is
//! reported; a source that has not landed for too long sets the exit code and keeps nothing back.

use std::{collections::BTreeSet, path::Path, thread, time::Duration};

use serde_json::Value;

use crate::{
    opening_day::{order, payment},
    ran::Ran,
    shop::Shop,
};

/// A contract's rule, a model's test and a test of its own, each broken in turn.
#[test]
fn a_broken_rule_keeps_the_last_snapshot_and_names_its_rows() {
    let shop = Shop::open();
    shop.edit(
        "contracts/orders.odcs.yaml",
        "      - name: currency\n",
        "      - name: currency\n        quality:\n          - {name: has_currency, metric: nullValues, mustBe: 0, severity: error}\n",
    );
    shop.edit(
        "models/facts/schema.yml",
        "      - name: order_status\n",
        "      - name: order_status\n        data_tests:\n          - accepted_values: {name: known_statuses, values: [placed, completed]}\n",
    );
    shop.write(
        "tests/nobody_orders_before_2000.sql",
        "SELECT order_id, ordered_at FROM {{ ref('fact_orders') }} WHERE ordered_at < '2000-01-01'\n",
    );
    assert_eq!(shop.run()["snapshot"], 2, "new rules are checked on the tables as they are");

    let good = order("o3", "2025-01-05").replace(r#""order_status""#, r#""currency":"eur","order_status""#);
    let broken = [
        ("has_currency", "orders_cleaned", "sales@shop.example", "O3", order("o3", "2025-01-06")),
        (
            "known_statuses",
            "fact_orders",
            "sales@shop.example",
            "O4",
            good.replace("o3", "o4").replace("placed", "lost"),
        ),
        (
            "nobody_orders_before_2000",
            "nobody_orders_before_2000",
            "",
            "O5",
            good.replace("o3", "o5").replace("2025-01-04", "1999-12-31"),
        ),
    ];
    for (number, (rule, table, owner, row, record)) in broken.into_iter().enumerate() {
        let file = format!("inbox/orders-{number}.jsonl");
        shop.write(&file, &record);
        shop.smelt(["ingest", &file]).ok();
        let before = shop.fingerprint();
        let fault = shop.fault(3, ["run"]);
        assert_eq!(fault.kind, "Data", "{rule}: {fault:#?}");
        for said in [rule, table, owner, row, "1 row(s)"] {
            assert!(fault.message.contains(said), "{rule}: `{said}` is not said: {fault:#?}");
        }
        assert!(fault.hint.is_some_and(|hint| hint.contains("nothing was published") && hint.contains("smelt hold")));
        shop.is_untouched_since(&before, rule);
        assert_eq!(shop.snapshots(), [1, 2]);

        // The way out that the hint names.
        shop.smelt(["hold", &file]).ok();
        shop.smelt(["run"]).ok();
    }
    assert_eq!(shop.value("select count(*) from fact_orders"), "2");
}

/// What no data can break, as the models say it, is not looked for; where the SQL says something else, it is.
#[test]
fn a_rule_is_looked_at_where_the_models_do_not_keep_it_by_themselves() {
    let shop = Shop::open();
    let kept = || {
        let mut run = shop.command(["run", "--json"]);
        let ran = Ran::run(run.env("SMELT_LOG", "smelt::run::kept=debug")).ok();
        let lines = ran.stderr.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
        lines.map(|line| line["fields"]["rule"].as_str().unwrap().to_owned()).collect::<BTreeSet<String>>()
    };
    shop.land("orders-3.jsonl", order("o3", "2025-01-05"));
    shop.land("payments-3.jsonl", payment("y3", "2025-01-05"));
    let (customers, payments) =
        ("relationships_fact_orders_customer_key_dim_customers", "unique_fact_payments_payment_id");
    let rules = kept();
    for rule in [customers, payments, "relationships_fact_payments_order_id_fact_orders"] {
        assert!(rules.contains(rule), "{rule} is not among {rules:?}");
    }
    // Orders outside of the calendar are reported, and versions that overlap would be.
    for rule in ["relationships_fact_orders_order_date_key_dim_date", "unique_fact_orders_order_id"] {
        assert!(!rules.contains(rule), "{rules:?}");
    }

    let customer = "SUBSTRING(customers.customer_key, 2, 9) AS customer_key,";
    shop.edit("models/facts/fact_orders.sql", "customers.customer_key,", customer);
    let twice = "FROM (SELECT * FROM {{ source('staging', 'payments_cleaned') }} UNION ALL \
                 SELECT * FROM {{ source('staging', 'payments_cleaned') }}) AS payments";
    let once = "FROM {{ source('staging', 'payments_cleaned') }} AS payments";
    shop.edit("models/facts/fact_payments.sql", once, twice);
    let said = shop.smelt(["run"]).exits(3).stderr;
    assert!(said.contains(customers) && said.contains(payments), "{said}");
}

/// Rules are told apart by more than their names: the one that holds does not speak for the other.
#[test]
fn of_two_rules_of_one_name_each_keeps_the_last_snapshot() {
    let shop = Shop::open();
    for column in ["currency", "shipping_country"] {
        let line = format!("      - name: {column}\n");
        let rule = "        quality:\n          - {name: is_known, metric: nullValues, mustBe: 0, severity: error}\n";
        shop.edit("contracts/orders.odcs.yaml", &line, &format!("{line}{rule}"));
    }
    assert_eq!(shop.run()["snapshot"], 2);
    for (number, only) in ["currency", "shipping_country"].into_iter().enumerate() {
        let known = format!(r#""{only}":"eu","order_status""#);
        let file = format!("inbox/orders-{number}.jsonl");
        shop.write(&file, order(&format!("o{}", 3 + number), "2025-01-05").replace(r#""order_status""#, &known));
        shop.smelt(["ingest", &file]).ok();
        let fault = shop.fault(3, ["run"]);
        assert!(fault.message.contains("is_known"), "with a {only} alone: {fault:#?}");
        assert_eq!(shop.snapshots(), [1, 2]);
        shop.smelt(["hold", &file]).ok();
    }
}

/// A rule of uniqueness is no ground for believing itself: rows of one key that differ otherwise break it.
#[test]
fn a_key_that_a_change_doubles_is_found() {
    let shop = Shop::open();
    shop.write(
        "models/marts/captured.sql",
        "SELECT order_id, payment_id FROM {{ source('staging', 'payments_cleaned') }} WHERE payment_status = 'captured'\n",
    );
    shop.write(
        "models/marts/captured.yml",
        "version: 2\nmodels:\n  - name: captured\n    meta: {owner: sales@shop.example}\n    columns:\n      - name: order_id\n        data_tests: [unique, not_null]\n",
    );
    assert_eq!(shop.run()["snapshot"], 2);
    shop.write("inbox/payments.jsonl", payment("y3", "2025-01-05"));
    shop.smelt(["ingest", "inbox/payments.jsonl"]).ok();
    let fault = shop.fault(3, ["run"]);
    assert!(fault.message.contains("unique_captured_order_id"), "{fault:#?}");
    assert!(fault.message.contains("O1"), "{fault:#?}");
    assert_eq!(shop.snapshots(), [1, 2]);
}

/// What a change adds to such a rule cannot be told from changed rows alone, which shows halfway: its groups are looked at.
#[test]
fn a_rule_with_a_join_below_not_exists_is_tested_on_a_change() {
    let shop = Shop::open();
    shop.write(
        "tests/orders_have_known_products.sql",
        "SELECT orders.order_id, orders.customer_key FROM {{ ref('fact_orders') }} AS orders\n\
         WHERE NOT EXISTS (SELECT 1 FROM {{ ref('fact_order_items') }} AS items\n\
         INNER JOIN {{ ref('dim_products') }} AS products ON products.product_key = items.product_key\n\
         WHERE items.order_id = orders.order_id) AND orders.order_status = 'completed'\n",
    );
    assert_eq!(shop.run()["snapshot"], 2);
    let item = r#"{"order_item_id":"i9","order_id":"o9","product_id":"p1","quantity":1,"unit_price":"1.00","updated_at":"2025-01-05"}"#;
    let completed = order("o9", "2025-01-05").replace("placed", "completed");
    shop.write("inbox/9/orders.jsonl", &completed);
    shop.write("inbox/9/order_items.jsonl", item);
    shop.take_in(Path::new("inbox/9"));
    assert_eq!(shop.snapshots(), [1, 2, 3]);
    shop.write("inbox/10/orders.jsonl", completed.replace("o9", "o10"));
    shop.write("inbox/10/order_items.jsonl", item.replace("i9", "i10"));
    shop.smelt(["ingest", "inbox/10"]).ok();
    let fault = shop.fault(3, ["run"]);
    assert!(fault.message.contains("orders_have_known_products") && fault.message.contains("O10"), "{fault:#?}");
}

#[test]
fn a_broken_rule_that_warns_is_reported_and_published() {
    let shop = Shop::open();
    shop.land("orders.jsonl", order("o3", "2025-01-05").replace("2025-01-04", "1890-01-01"));
    let ran = shop.smelt(["run", "--json"]).ok();
    let report = ran.json();
    assert_eq!(report["snapshot"], 2);
    let failed = report["audit"]["failed"].as_array().unwrap();
    assert_eq!(failed.len(), 1, "{report:#}");
    let warning = &failed[0];
    assert_eq!(warning["rule"], "relationships_fact_orders_order_date_key_dim_date", "{warning}");
    assert_eq!((&warning["severity"], &warning["rows"]), (&"warn".into(), &1.into()));
    assert_eq!(warning["owner"], "sales@shop.example");
    assert!(warning["sample"].as_str().unwrap().contains("O3"));
    shop.smelt(["rebuild"]).ok().says("warning: rule `relationships_fact_orders_order_date_key_dim_date` on");
}

/// No receipt for longer than the contract allows: `status` and `run` exit with 3, naming the entity
/// and its owner, after the run has published; a landing of no records at all is enough to mend it.
#[test]
fn a_stale_source_sets_the_exit_code_after_publishing() {
    let shop = Shop::open();
    shop.edit("contracts/orders.odcs.yaml", "value: 26\n    unit: h", "value: 0.0001\n    unit: h");
    thread::sleep(Duration::from_millis(400));
    let fault = shop.fault(3, ["status"]);
    assert_eq!(fault.message, "stale: orders", "{fault:#?}");
    shop.smelt(["status"]).exits(3).says("stale: orders (owner: sales@shop.example)");

    shop.write("inbox/payments.jsonl", payment("y3", "2025-01-05"));
    // This file alone: the others' receipts stay as old as they are.
    shop.smelt(["ingest", "inbox/payments.jsonl"]).ok();
    let ran = shop.smelt(["run", "--json"]).exits(3);
    assert_eq!(ran.json()["snapshot"], 2, "{ran}");
    assert_eq!(ran.json()["stale"][0]["owner"], "sales@shop.example", "{ran}");
    assert_eq!(shop.value("select count(*) from fact_payments"), "3");

    shop.edit("contracts/orders.odcs.yaml", "value: 0.0001", "value: 0.05");
    shop.land("orders.jsonl", "");
    shop.smelt(["status"]).ok();
}

/// A rule that held is tested on what changed alone, and yet found broken by whatever breaks it: a row that
/// is new, a partner that is gone, a group that grew, a group that shrank. Each change is landed by itself.
#[test]
fn a_rule_that_held_is_broken_by_any_change_that_breaks_it() {
    let shop = Shop::open();
    let rules = [
        ("no_large_orders", "SELECT order_id FROM {{ ref('fact_orders') }} WHERE unit_count > 5"),
        (
            "paid_orders_have_items",
            "SELECT p.payment_id FROM {{ ref('fact_payments') }} AS p WHERE NOT EXISTS (SELECT 1 FROM {{ ref('fact_order_items') }} AS i WHERE i.order_id = p.order_id)",
        ),
        (
            "one_order_a_customer",
            "SELECT customer_key FROM {{ ref('fact_orders') }} GROUP BY customer_key HAVING COUNT(*) > 1",
        ),
        (
            "first_orders_have_two_items",
            "SELECT order_id FROM {{ ref('fact_order_items') }} WHERE order_id = 'O1' GROUP BY order_id HAVING COUNT(*) < 2",
        ),
    ];
    for (name, sql) in rules {
        shop.write(&format!("tests/{name}.sql"), sql);
    }
    shop.run();
    let item = |id: &str, order: &str, quantity: u32| {
        format!(
            r#"{{"order_item_id":"{id}","order_id":"{order}","product_id":"p1","quantity":{quantity},"unit_price":"1.00","updated_at":"2025-02-01"}}"#
        ) + "\n"
    };
    let gone = |id: &str| format!(r#"{{"order_item_id":"{id}","_op":"d","updated_at":"2025-02-01"}}"#) + "\n";
    let breaks = [
        ("no_large_orders", "order_items", item("i9", "o2", 3)),
        ("paid_orders_have_items", "order_items", gone("i3")),
        ("one_order_a_customer", "orders", order("o3", "2025-01-05")),
        ("first_orders_have_two_items", "order_items", gone("i2")),
    ];
    for (number, (rule, entity, records)) in breaks.into_iter().enumerate() {
        let file = format!("inbox/{number}/{entity}.jsonl");
        shop.write(&file, &records);
        shop.smelt(["ingest", &file]).ok();
        let fault = shop.fault(3, ["run"]);
        assert!(fault.message.contains(rule), "{rule}: {fault:#?}");
        shop.smelt(["hold", &(number + 2).to_string()]).ok();
        shop.smelt(["run"]).ok();
    }
    // None of them is broken by what breaks nothing.
    shop.write("inbox/last/order_items.jsonl", item("i3", "o2", 2));
    shop.smelt(["ingest", "inbox/last/order_items.jsonl"]).ok();
    shop.smelt(["run"]).ok();
}

/// What a rule reads is what its SQL reads, wherever it says so: in a test's filter, and under a name that a later part of
/// WITH has, too. A change of that breaks it.
#[test]
fn a_rule_is_broken_by_whatever_it_reads() {
    let shop = Shop::open();
    shop.write(
        "models/marts/paid.sql",
        "SELECT payment_id, order_id, payment_status FROM {{ source('staging', 'payments_cleaned') }}\n",
    );
    let values = "{accepted_values: {name: known, values: [captured, pending], \
                  config: {where: order_id in (select order_id from fact_orders)}}}";
    shop.write(
        "models/marts/paid.yml",
        format!("models:\n  - name: paid\n    meta: {{owner: me}}\n    columns: [{{name: payment_status, data_tests: [{values}]}}]\n"),
    );
    shop.land("payments.jsonl", payment("y9", "2025-01-05").replace("captured", "failed").replace("o1", "o7"));
    shop.run();
    shop.land("good/payments.jsonl", payment("y8", "2025-01-05"));
    shop.run();
    shop.land("bad/orders.jsonl", order("o7", "2025-01-05"));
    let fault = shop.fault(3, ["run"]);
    assert!(fault.message.contains("known") && fault.message.contains("Y9"), "{fault:#?}");
    shop.smelt(["hold", "inbox/bad/orders.jsonl"]).ok();
    shop.run();

    shop.write(
        "tests/none_lost.sql",
        "WITH fact_orders AS (SELECT order_id FROM fact_orders WHERE order_status = 'lost')\n\
         SELECT p.payment_id FROM {{ ref('fact_payments') }} AS p INNER JOIN fact_orders AS o ON o.order_id = p.order_id\n",
    );
    let fault = shop.fault(2, ["run"]);
    assert!(fault.message.contains("`gold.fact_orders` is named without saying that it is read"), "{fault:#?}");
}

/// A rule that hangs on which of several rows comes first would hold in a run, and not in a rebuild.
#[test]
fn a_rule_that_hangs_on_chance_is_refused() {
    let shop = Shop::open();
    shop.write(
        "tests/first_is_small.sql",
        "SELECT x.payment_id FROM (SELECT payment_id, amount, ROW_NUMBER() OVER (PARTITION BY order_id\n\
         ORDER BY payment_status) AS rn FROM {{ ref('fact_payments') }}) AS x WHERE x.rn = 1 AND x.amount > 100\n",
    );
    let fault = shop.fault(2, ["run"]);
    assert!(fault.message.contains("rows may tie"), "{fault:#?}");
    shop.edit("tests/first_is_small.sql", "ORDER BY payment_status", "ORDER BY payment_status, payment_id");
    shop.run();
}
