//! `smelt explain`: how every model of the reference follows, to the word, and how a run of it went.

use crate::{
    opening_day::{order, payment},
    python,
    ran::Ran,
    shop::{Shop, named},
    simulated::Simulation,
    size::by_size,
};

const MODELS: [&str; 9] = [
    "dim_date",
    "dim_customers",
    "dim_products",
    "fact_orders",
    "fact_order_items",
    "fact_payments",
    "fact_shipments",
    "customer_lifetime",
    "daily_sales",
];

/// None of them falls back, whatever changes. `explained.txt` is what people read: whoever changes it, reads it.
#[test]
fn every_model_of_the_reference_follows_as_it_says() {
    let shop = Shop::new();
    let told: String =
        MODELS.iter().map(|model| format!("{}\n\n", shop.smelt(["explain", model]).ok().stdout.trim_end())).collect();
    assert_eq!(told, include_str!("explained.txt"));
    assert!(!told.contains("computed whole") && !told.contains("read whole"));
}

/// What `--sql` says is what a run does: DuckDB, told a model's statements, the tables before and the change, comes to the
/// same tables.
#[test]
fn the_statements_make_of_a_table_what_a_run_makes_of_it() {
    let simulation = Simulation::plain(61, by_size(1_000, 20_000), by_size(2, 10));
    let extracts = simulation.write();
    let shop = Shop::new();
    for model in MODELS.iter().filter(|model| **model != "dim_date") {
        let statements = shop.smelt(["explain", model, "--sql"]).ok().stdout;
        shop.write(&format!("statements/{model}.sql"), statements);
    }
    for (day, batch) in extracts.batches().iter().enumerate() {
        shop.take_in(batch);
        shop.smelt(["export", "--all", &format!("exports/{day}")]).ok();
        if day > 0 {
            let exports = [day - 1, day].map(|day| shop.path(&format!("exports/{day}")));
            let mut judge = python::oracle("statements.py");
            Ran::run(judge.args(exports).arg(shop.path("statements"))).ok();
        }
    }
}

/// The figures are those of the run that had the model as work, also when later ones did not.
#[test]
fn a_run_can_be_looked_up_afterwards() {
    let shop = Shop::open();
    shop.land("orders.jsonl", order("o3", "2025-01-05"));
    shop.run();
    let last = &shop.json(["explain", "fact_orders"])["last_run"];
    assert_eq!(last["snapshot"], 2, "{last:#}");
    let followed = &last["report"]["followed"]["incremental"];
    assert_eq!((&followed["affected_keys"], &followed["came"]), (&1.into(), &1.into()), "{last:#}");
    let first = &shop.json(["explain", "fact_orders", "--run", "1"])["last_run"];
    assert_eq!(first["report"]["followed"], "made", "{first:#}");
    shop.smelt(["explain", "fact_orders"]).ok().says("1 affected keys (order_id)");
    assert_eq!(shop.fault(2, ["explain", "fact_orders", "--run", "7"]).kind, "Input");
    assert!(shop.fault(2, ["explain", "fact_order"]).message.contains("fact_order"));
}

/// What has no rebuild key says why, and what to change.
#[test]
fn a_model_that_cannot_follow_says_what_to_change() {
    let shop = Shop::new();
    shop.write(
        "models/marts/takings.sql",
        "SELECT COUNT(*) AS orders, SUM(net_amount) AS net_amount FROM {{ ref('fact_orders') }}",
    );
    shop.write("models/marts/takings.yml", "models:\n  - {name: takings, meta: {owner: sales@shop.example}}\n");
    let told = shop.json(["explain", "takings"]);
    assert_eq!(told["strategy"], "whole", "{told:#}");
    shop.smelt(["explain", "takings"]).ok().says("to make it incremental, let it output its GROUP BY");
}

/// What will be done is the planner's answer; what it takes is judged by the proportions of an earlier run.
#[test]
fn a_plan_says_what_the_run_will_do_and_take() {
    let shop = Shop::open();
    shop.land("orders.jsonl", order("o3", "2025-01-05"));
    shop.write("models/marts/takings.sql", "SELECT COUNT(*) AS orders FROM {{ ref('fact_orders') }}");
    shop.write("models/marts/takings.yml", "models:\n  - {name: takings, meta: {owner: me}}\n");
    shop.run();
    shop.land("more/orders.jsonl", order("o4", "2025-01-06") + &order("o5", "2025-01-06"));
    let plan = shop.json(["plan"]);
    let facts = named(&plan["models"], "model", "fact_orders");
    assert_eq!(
        (&facts["strategy"], &facts["estimate"]["affected_keys"]),
        (&"incremental".into(), &2.into()),
        "{plan:#}"
    );
    assert!(facts["estimate"]["rows_read"].as_u64().unwrap() > 0, "{plan:#}");
    assert_eq!(named(&plan["models"], "model", "takings")["strategy"], "whole", "{plan:#}");
    shop.smelt(["plan"])
        .ok()
        .says("gold takings: compute all rows (changed: gold.fact_orders): ")
        .says("judged by the run of snapshot 2");
    shop.run();

    // All rows of an entity that is replayed are made anew, so that nothing is known to have changed.
    shop.edit("contracts/payments.odcs.yaml", "'n/a', ", "");
    shop.land("again/payments.jsonl", payment("y3", "2025-01-06"));
    let plan = shop.json(["plan"]);
    for (model, strategy) in [("fact_payments", "whole"), ("customer_lifetime", "incremental")] {
        assert_eq!(named(&plan["models"], "model", model)["strategy"], strategy, "{plan:#}");
    }
    let report = shop.run();
    assert!(named(&report["models"], "model", "fact_payments")["followed"]["compared"].is_object(), "{report:#}");
    assert!(named(&report["models"], "model", "customer_lifetime")["followed"]["compared"].is_null(), "{report:#}");
}
