//! `smelt changes`: what differs in a table between two snapshots, whatever lies between them.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{opening_day::order, shop::Shop};

/// Tables with some of their text columns, which are spelt alike everywhere.
const TABLES: [(&str, &[&str]); 3] = [
    ("gold.fact_orders", &["order_id", "customer_key", "order_status", "shipping_country"]),
    ("gold.dim_customers", &["customer_key", "customer_id", "city"]),
    ("staging.orders_cleaned", &["order_id", "customer_id", "order_status"]),
];

/// How often each row is there.
type Rows = BTreeMap<String, i64>;

fn rows_at(shop: &Shop, table: &str, columns: &[&str], snapshot: u64) -> Rows {
    let columns = columns.iter().map(|column| format!("coalesce({column}, '-')")).collect::<Vec<_>>().join(", ");
    let sql = format!("select {columns} from {table}");
    let ran = shop.smelt(["query", "-F", "csv", "--snapshot", &snapshot.to_string(), &sql]).ok();
    let mut rows = Rows::new();
    for row in ran.stdout.lines().skip(1) {
        *rows.entry(row.to_owned()).or_default() += 1;
    }
    rows
}

fn changes(shop: &Shop, table: &str, from: u64, to: u64) -> Value {
    shop.json(["changes", table, "--from", &from.to_string(), "--to", &to.to_string(), "--limit", "1000"])
}

/// An order that comes, one that changes with its customer, a rollback, another order, a rebuild.
fn history() -> (Shop, u64) {
    let shop = Shop::open();
    shop.land("orders-2.jsonl", order("o7", "2025-01-05"));
    shop.run();
    shop.land("orders-3.jsonl", order("o7", "2025-01-06").replace("placed", "shipped"));
    let moved = r#"{"customer_id":"c1","email":"c1@example.com","city":"Paris","created_at":"2025-01-01","updated_at":"2025-03-01"}"#;
    shop.land("customers-3.jsonl", format!("{moved}\n"));
    shop.run();
    shop.smelt(["rollback", "2"]).ok();
    shop.land("orders-5.jsonl", order("o8", "2025-01-07"));
    shop.run();
    shop.smelt(["rebuild"]).ok();
    (shop, 6)
}

/// In both directions, and over runs, a rollback and a rebuild: the one state, less what went, plus what came, is the other.
#[test]
fn what_differs_between_two_snapshots_leads_from_the_one_to_the_other() {
    let (shop, last) = history();
    for (table, columns) in TABLES {
        let states: Vec<Rows> = (1..=last).map(|snapshot| rows_at(&shop, table, columns, snapshot)).collect();
        assert!(states.windows(2).any(|pair| pair[0] != pair[1]), "{table} never changes");
        for (from, to) in (1..=last).flat_map(|from| (1..=last).map(move |to| (from, to))) {
            let found = changes(&shop, table, from, to);
            let mut rows = states[from as usize - 1].clone();
            let (mut gone, mut came) = (0, 0);
            for row in found["rows"].as_array().unwrap() {
                for (side, weight, count) in [("before", -1, &mut gone), ("after", 1, &mut came)] {
                    if row[side].is_object() {
                        let text = |column: &&str| row[side][*column].as_str().unwrap_or("-").to_owned();
                        *rows.entry(columns.iter().map(text).collect::<Vec<_>>().join(",")).or_default() += weight;
                        *count += 1;
                    }
                }
            }
            rows.retain(|_, count| *count != 0);
            assert_eq!(rows, states[to as usize - 1], "{table} from {from} to {to}: {found:#}");
            assert_eq!((&found["gone"], &found["came"]), (&gone.into(), &came.into()), "{found:#}");
        }
        let rolled_back = changes(&shop, table, 2, 4);
        assert_eq!((&rolled_back["gone"], &rolled_back["came"]), (&0.into(), &0.into()), "{rolled_back:#}");
        let rebuilt = changes(&shop, table, 5, 6);
        assert_eq!((&rebuilt["gone"], &rebuilt["came"]), (&0.into(), &0.into()), "{rebuilt:#}");
    }
}

/// Rows of one key are shown as they were and as they are; what cannot be compared is said.
#[test]
fn changes_are_told_to_people() {
    let (shop, _) = history();
    let told = shop.smelt(["changes", "fact_orders", "--from", "2", "--to", "3"]).ok();
    let told = told.says("gold.fact_orders from snapshot 2 to 3: 1 rows went, 1 came");
    let marks: Vec<&str> = told.stdout.lines().filter_map(|line| line.trim_start().get(..1)).collect();
    assert!(marks.windows(2).any(|pair| pair == ["-", "+"]), "{}", told.stdout);
    shop.smelt(["changes", "fact_orders", "--from", "2", "--to", "3", "--limit", "0"]).ok().says("2 more");
    shop.smelt(["changes", "fact_orders", "--to", "1"]).ok().says("from before the first snapshot to 1: 0 rows went");
    let unknown = shop.fault(2, ["changes", "fact_order"]);
    assert!(unknown.hint.unwrap_or_default().contains("fact_orders"), "a near name is told");
    assert_eq!(shop.fault(2, ["changes", "fact_orders", "--from", "99"]).kind, "Input");
}
