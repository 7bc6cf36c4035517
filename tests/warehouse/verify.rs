//! `smelt verify`: a warehouse is what its raw files give after whatever came, and what is not is found,
//! shown, and nothing is written for it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json, value::RawValue};
use sha2::{Digest, Sha256};

use crate::{
    opening_day::{order, payment},
    ran::Ran,
    shop::{ENTITIES, Shop, named},
    simulated::Simulation,
    size::by_size,
};

impl Shop {
    /// Verifies with a folder for temporary files that is empty again in the end, and a lake that stays as it is.
    #[track_caller]
    fn verify(&self, arguments: &[&str]) -> Ran {
        let temporary = tempfile::tempdir().unwrap();
        let before = self.fingerprint();
        let arguments = ["verify"].iter().chain(arguments).copied();
        let ran = Ran::run(self.command(arguments).env("TMPDIR", temporary.path()));
        self.is_untouched_since(&before, "verify");
        for folder in ["lease", "pins"] {
            let left: Vec<_> = fs::read_dir(self.lake().join("_smelt").join(folder)).into_iter().flatten().collect();
            assert!(left.len() <= usize::from(folder == "lease"), "{folder}: {left:?}");
        }
        let left: Vec<_> = fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(left.is_empty(), "left behind: {left:?}\n{ran}");
        ran
    }

    /// Everything is compared, and is as raw gives it; the report.
    #[track_caller]
    pub(crate) fn is_what_raw_gives(&self) -> Value {
        let report = self.verify(&["--json"]).ok().json();
        assert_eq!((&report["equal"], &report["left_out"]), (&true.into(), &json!([])), "{report:#}");
        let tables = self.json(["tables"]);
        let rows = |table: &str| named(&report["tables"], "table", table)["compared"].clone();
        for (table, state) in tables.as_object().unwrap() {
            assert_eq!(rows(table), state["rows"], "{table}: {report:#}");
        }
        assert_eq!(report["tables"].as_array().unwrap().len(), tables.as_object().unwrap().len());
        assert_eq!(report["entities"].as_array().unwrap().len(), ENTITIES.len());
        report
    }

    /// Puts another shop's files of a table into the place of this one's.
    fn take_table(&self, other: &Shop, table: &str) {
        fs::remove_dir_all(self.lake().join(table)).unwrap();
        copy(&other.lake().join(table), &self.lake().join(table));
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let target = to.join(path.file_name().unwrap());
        if path.is_dir() { copy(&path, &target) } else { fs::copy(&path, &target).map(|_| ()).unwrap() }
    }
}

fn outcome<'a>(report: &'a Value, table: &str) -> &'a Value {
    &named(&report["tables"], "table", table)["outcome"]
}

/// What changed is in memory for those who follow while there is room; else it is read from its files.
#[test]
fn with_little_memory_what_changed_is_followed_all_the_same() {
    let shop = Shop::new();
    shop.edit("smelt.yml", "memory_limit: 2GiB", "memory_limit: 16MiB");
    let extracts = Simulation::plain(11, 6_000, 2).write();
    let mut read_from_files = 0;
    for batch in extracts.batches() {
        shop.smelt(["ingest", batch.to_str().unwrap()]).ok();
        let mut run = shop.command(["run"]);
        let ran = Ran::run(run.env("SMELT_LOG", "smelt::run::following=debug")).ok();
        read_from_files += ran.stderr.matches("is read from its files").count();
    }
    assert!(read_from_files > 0);
    shop.is_what_raw_gives();
}

/// Records that come late, again, broken and deleted, a day at a time; then a rollback.
#[test]
fn a_warehouse_is_what_its_raw_files_give() {
    let simulation = Simulation { keys: "uuid", ..Simulation::plain(57, by_size(1_500, 20_000), by_size(3, 10)) };
    let extracts = simulation.write();
    let shop = Shop::new();
    for batch in extracts.batches() {
        shop.take_in(&batch);
    }
    let report = shop.is_what_raw_gives();
    let orders = named(&report["entities"], "entity", "orders");
    for term in ["superseded", "tombstones", "quarantined"] {
        assert!(orders["rebuilt"][term].as_u64().unwrap() > 0, "{simulation} is not nasty: {orders:#}");
        assert_eq!(orders["rebuilt"][term], orders["snapshot"][term]);
    }
    assert!(orders["snapshot"]["late"].as_u64().unwrap() > 0, "{orders:#}");

    let sampled = shop.verify(&["--sample", "20", "--json"]).ok().json();
    let items = named(&sampled["tables"], "table", "gold.fact_order_items");
    let [compared, rows] = ["compared", "rows"].map(|field| items[field].as_u64().unwrap());
    assert!(compared * 10 > rows && compared * 10 < rows * 3, "{items:#}");
    shop.verify(&["--sample", "20%"]).ok().says("a sample of 20 % of the keys");

    shop.smelt(["rollback", "2"]).ok();
    shop.is_what_raw_gives();
    stops_when_asked(&shop);
}

/// Ctrl-C ends a verification, and nothing is left of it.
fn stops_when_asked(shop: &Shop) {
    let temporary = tempfile::tempdir().unwrap();
    let left = || fs::read_dir(temporary.path()).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    // One may be over before it is stopped.
    for _ in 0..20 {
        let mut command = shop.command(["verify", "--json"]);
        command.env("TMPDIR", temporary.path()).stdout(Stdio::null()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let works = || left().iter().any(|folder| folder.join("staging").is_dir());
        while child.try_wait().unwrap().is_none() && !works() {
            thread::sleep(Duration::from_millis(1));
        }
        Ran::run(Command::new("kill").args(["-INT", &child.id().to_string()]));
        let code = child.wait().unwrap().code();
        assert_eq!(left(), Vec::<PathBuf>::new(), "the exit code is {code:?}");
        if code == Some(5) {
            return;
        }
        assert_eq!(code, Some(0));
    }
    panic!("no verification was slow enough to be stopped");
}

/// A dot in a column's name is part of it, and not of a path.
#[test]
fn a_column_may_have_a_dot_in_its_name() {
    let shop = Shop::landed();
    let carrier = "      - name: carrier\n";
    shop.edit(
        "contracts/shipments.odcs.yaml",
        carrier,
        &format!("      - name: box.size\n        logicalType: string\n{carrier}"),
    );
    let shipment = |id: &str, size: &str| {
        format!(
            r#"{{"shipment_id":"{id}","order_id":"o1","box.size":"{size}","shipment_status":"pending","updated_at":"2025-01-05"}}"#
        )
    };
    shop.land("shipments.jsonl", shipment("s3", "L"));
    shop.run();
    shop.land("shipments-2.jsonl", shipment("s3", "XL").replace("-05", "-06"));
    shop.run();
    assert_eq!(
        shop.rows(r#"select shipment_id, "box.size" from staging.shipments_cleaned where shipment_id = 'S3'"#),
        ["S3,XL"]
    );
    shop.is_what_raw_gives();
}

/// What landed, was held or was released since the snapshot is of no account to it.
#[test]
fn only_what_the_snapshot_covers_counts() {
    let shop = Shop::open();
    shop.land("payments.jsonl", payment("y3", "2025-01-05") + "{\n" + &payment("y1", "2025-01-01"));
    shop.land("orders.jsonl", order("o3", "2025-01-05"));
    shop.run();
    shop.land("orders-2.jsonl", order("o1", "2025-01-09") + "{\n");
    shop.is_what_raw_gives();
    shop.smelt(["hold", "2"]).ok();
    shop.is_what_raw_gives();
    shop.run();
    let report = shop.is_what_raw_gives();
    assert_eq!(report["coverage"]["without"][0]["batch"], 2, "{report:#}");
    shop.smelt(["release", "2"]).ok();
    shop.is_what_raw_gives();
}

/// A table with another value, one with a row more, and one whose file is damaged are each found, shown and
/// told apart from those that are as they should be.
#[test]
fn tables_that_were_tampered_with_are_found_and_shown() {
    let shop = Shop::open();
    let other = Shop::landed();
    other.land("orders.jsonl", order("o2", "2025-01-09").replace("\"c1\"", "\"c2\""));
    other.land("payments.jsonl", payment("y9", "2025-01-05"));
    other.run();

    shop.take_table(&other, "staging/orders_cleaned");
    let report = shop.verify(&["--json"]).exits(3).json();
    let found = &outcome(&report, "staging.orders_cleaned")["differs"];
    assert_eq!((&found["only_in_warehouse"], &found["only_in_rebuild"]), (&1.into(), &1.into()), "{report:#}");
    let example = &found["examples"][0];
    assert_eq!(example["key"], json!(["order_id"]));
    assert_eq!(example["warehouse"]["order_id"], example["rebuild"]["order_id"]);
    assert_eq!(example["rebuild"]["ordered_at"], "2025-01-02T11:00:00", "{example:#}");
    let differing = report["tables"].as_array().unwrap().iter().filter(|table| table["outcome"] != "equal").count();
    assert_eq!(differing, 1, "{report:#}");
    shop.verify(&[])
        .exits(3)
        .says("order_id='O2': ")
        .says("ordered_at is '2025-01-04T00:00:00' in the warehouse, '2025-01-02T11:00:00' from raw")
        .says("snapshot 1 is not what its raw files give: `staging.orders_cleaned`");
    shop.verify(&["--sample", "100", "orders_cleaned"]).exits(3);
    shop.verify(&["fact_orders"]).ok();

    shop.take_table(&other, "gold/fact_payments");
    shop.verify(&["fact_payments"]).exits(3).says("only in the warehouse: ").says("payment_id='Y9'");
    shop.verify(&["fact_payments", "--sample", "0.0000001"]).exits(3).says("there are more on one side");

    let folder = shop.path("lake/gold/daily_sales");
    let mut files = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let file = files.find(|path| path.extension().is_some_and(|end| end == "parquet")).unwrap();
    let mut bytes = fs::read(&file).unwrap();
    bytes[4..].fill(7);
    fs::write(&file, bytes).unwrap();
    let report = shop.verify(&["daily_sales", "dim_date", "--json"]).exits(3).json();
    let name = file.file_name().unwrap().to_string_lossy().into_owned();
    assert!(outcome(&report, "gold.daily_sales")["unreadable"]["why"].as_str().unwrap().contains(&name), "{report:#}");
    assert_eq!(outcome(&report, "gold.dim_date"), "equal");
    fs::remove_dir_all(folder.join("_delta_log")).unwrap();
    shop.verify(&["daily_sales"]).exits(3).says("UNREADABLE");
}

/// A record of a snapshot as it is stored.
#[derive(Serialize, Deserialize)]
struct Stored {
    sha256: String,
    snapshot: Box<RawValue>,
}

/// Totals that raw does not give are told, though every table is equal.
#[test]
fn totals_that_raw_does_not_give_are_found() {
    let shop = Shop::open();
    let path = shop.path("lake/_smelt/snapshots/00000000000000000001.json");
    let stored: Stored = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
    let mut snapshot: Value = serde_json::from_str(stored.snapshot.get()).unwrap();
    snapshot["entities"]["payments"]["superseded"] = 1.into();
    snapshot["entities"]["payments"]["raw"] = 3.into();
    snapshot["entities"]["orders"]["late"] = 7.into();
    let text = serde_json::to_string(&snapshot).unwrap();
    let sha256 = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    let stored = Stored { sha256, snapshot: RawValue::from_string(text).unwrap() };
    fs::write(&path, serde_json::to_vec(&stored).unwrap()).unwrap();

    let report = shop.verify(&["--json"]).exits(3).json();
    assert!(report["tables"].as_array().unwrap().iter().all(|table| table["outcome"] == "equal"), "{report:#}");
    let differing: Vec<&Value> =
        report["entities"].as_array().unwrap().iter().filter(|entity| entity["equal"] == false).collect();
    assert_eq!(differing.len(), 1, "{report:#}");
    shop.verify(&["payments_cleaned"])
        .exits(3)
        .says("raw is 3 in the snapshot, 2 from raw; superseded is 1 in the snapshot, 0 from raw")
        .says("the records of `payments`");
    shop.verify(&["orders_cleaned"]).ok();
}

/// Rows that another definition made are not compared with those of today's.
#[test]
fn tables_whose_definition_changed_are_told_and_left_out() {
    let shop = Shop::open();
    shop.edit("models/facts/fact_orders.sql", "SUM(quantity) AS unit_count", "SUM(quantity + 0) AS unit_count");
    let report = shop.verify(&["--json"]).ok().json();
    let why = |table: &str| named(&report["left_out"], "table", table)["why"].as_str().unwrap().to_owned();
    assert_eq!(why("gold.fact_orders"), "the model changed after the snapshot");
    assert_eq!(why("gold.fact_order_items"), "it reads `gold.fact_orders`, which is left out");
    assert_eq!(why("gold.daily_sales"), "it reads `gold.fact_order_items`, which is left out");
    for table in ["gold.dim_customers", "staging.orders_cleaned", "staging.orders_quarantine"] {
        assert_eq!(outcome(&report, table), "equal");
    }
    shop.verify(&["dim_date"]).ok();
    shop.verify(&["fact_orders", "daily_sales"])
        .exits(2)
        .says("gold.fact_orders: the model changed after the snapshot")
        .says("take the changes in with `smelt run`");
    shop.run();
    shop.is_what_raw_gives();

    shop.edit("contracts/payments.odcs.yaml", "'n/a', ", "");
    let ran = shop.verify(&["payments_cleaned", "shipments_cleaned"]).ok();
    ran.says("staging.payments_cleaned: its contract changed after the snapshot");
}

/// Names that are none, shares that are none, and a warehouse that is not there.
#[test]
fn what_cannot_be_verified_is_said() {
    let shop = Shop::landed();
    let fault = shop.fault(2, ["verify"]);
    assert!(fault.hint.unwrap().contains("smelt run"));
    shop.run();
    let fault = shop.fault(2, ["verify", "fact_order"]);
    assert_eq!(fault.hint.as_deref(), Some("did you mean `fact_orders`?"));
    for share in ["0", "101", "-1", "some"] {
        shop.smelt(["verify", &format!("--sample={share}")]).exits(2).says("is not a share");
    }
    let report = shop.verify(&["staging.payments_quarantine", "--json"]).ok().json();
    assert_eq!(report["tables"].as_array().unwrap().len(), 1, "{report:#}");
    assert_eq!(report["entities"].as_array().unwrap().len(), 1, "{report:#}");

    let raw = fs::read_dir(shop.path("lake/raw/payments")).unwrap().next().unwrap().unwrap().path();
    let file = fs::read_dir(raw).unwrap().next().unwrap().unwrap().path();
    fs::write(&file, "{}\n").unwrap();
    let fault = shop.fault(3, ["verify", "fact_payments"]);
    assert!(fault.message.contains("raw/payments/"), "{fault:#?}");
    shop.verify(&["dim_date"]).ok();
}
