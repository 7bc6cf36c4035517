//! The shop looks like one: so many records for an order, paid as due, in the order of time.

use std::collections::BTreeMap;

use smelt_simulate::{Entity, Options};

use crate::oracle::{Valid, judge};
use crate::reading::records;
use crate::recount::{Records, recount};
use crate::{clean, run};

#[test]
fn an_order_makes_about_eleven_records_and_is_mostly_paid_as_due() {
    let options = Options { orders: 6_000, history_days: 90, daily_days: 7, ..Options::clean() };
    let (out, summary) = run(&options);
    let (_, valid) = recount(out.path(), &options);
    let each = |entity| summary.entity(entity).records as f64 / options.orders as f64;
    let near = |value: f64, low: f64, high: f64| assert!((low..high).contains(&value), "{value}");
    near(summary.records() as f64 / options.orders as f64, 10.5, 11.8);
    near(each(Entity::Orders), 2.8, 3.6);
    near(each(Entity::OrderItems), 2.5, 2.9);
    near(each(Entity::Payments), 1.5, 2.2);
    near(each(Entity::Shipments), 2.3, 3.0);
    near(each(Entity::Customers), 0.2, 0.3);

    let due = due_by_order(&valid);
    let mut paid: BTreeMap<String, i64> = BTreeMap::new();
    for payment in newest(&valid[&Entity::Payments]).values() {
        if ["captured", "refunded"].contains(&payment.text("payment_status").unwrap()) {
            let order = payment.text("order_id").unwrap().to_owned();
            *paid.entry(order).or_default() += payment.number("amount").unwrap();
        }
    }
    assert!(paid.len() > 5_000);
    let as_due = paid.iter().filter(|(order, paid)| due[*order] == **paid);
    near(as_due.count() as f64 / paid.len() as f64, 0.9, 0.995);
}

#[test]
fn extracts_are_mostly_but_not_quite_in_the_order_of_time() {
    let (out, _) = run(&clean(3_000));
    let path = out.path().join("history/orders/part-0000.jsonl");
    let times: Vec<i64> =
        records(&path).iter().map(|record| judge(Entity::Orders, record).unwrap().updated_at).collect();
    let backward = times.windows(2).filter(|pair| pair[0] > pair[1]).count();
    assert!(backward > times.len() / 100, "{backward} of {}", times.len());
    assert!(backward < times.len() / 4, "{backward} of {}", times.len());
}

/// The newest record of each key.
fn newest(records: &[(u32, Valid)]) -> BTreeMap<&str, &Valid> {
    let mut newest: BTreeMap<&str, &Valid> = BTreeMap::new();
    for (_, record) in records {
        let entry = newest.entry(&record.key).or_insert(record);
        if record.updated_at > entry.updated_at {
            *entry = record;
        }
    }
    newest
}

fn due_by_order(valid: &Records) -> BTreeMap<String, i64> {
    let mut due: BTreeMap<String, i64> = newest(&valid[&Entity::Orders])
        .values()
        .map(|order| {
            let amount = |column| order.number(column).unwrap_or(0);
            let extra = amount("shipping_amount") - amount("discount_amount");
            (order.key.clone(), extra)
        })
        .collect();
    for item in newest(&valid[&Entity::OrderItems]).values() {
        let price = item.number("unit_price").unwrap() * item.number("quantity").unwrap();
        let net = price - item.number("discount_amount").unwrap_or(0);
        *due.get_mut(item.text("order_id").unwrap()).unwrap() += net;
    }
    due
}
