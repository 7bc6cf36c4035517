//! Extracts that are empty, cut off, damaged, hostile or not extracts at all.

use std::{
    fs,
    io::{BufWriter, Write},
    os::unix::fs::symlink,
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use flate2::{Compression, write::GzEncoder};

use crate::{
    opening_day::{order, payment},
    ran::Ran,
    shop::{Shop, Totals, named},
};

#[test]
fn a_file_without_a_contract_is_refused_with_the_near_name() {
    let shop = Shop::open();
    let before = shop.fingerprint();
    shop.write("inbox/order.jsonl", order("o3", "2025-01-05"));
    let fault = shop.fault(2, ["ingest", "inbox/order.jsonl"]);
    assert!(fault.message.contains("no contract fits `inbox/order.jsonl`"), "{fault:#?}");
    assert_eq!(fault.hint.as_deref(), Some("did you mean `orders`?"));

    shop.write("inbox/refunds.jsonl", "{}\n");
    let fault = shop.fault(2, ["ingest", "inbox/refunds.jsonl"]);
    let hint = fault.hint.unwrap();
    assert!(hint.contains("contracts/refunds.odcs.yaml") && hint.contains("order_items"), "{hint}");

    shop.write("inbox/orders.xlsx", "PK");
    let fault = shop.fault(2, ["ingest", "inbox/orders.xlsx"]);
    assert!(fault.message.contains("no format that smelt reads"), "{fault:#?}");
    let fault = shop.fault(2, ["ingest", "inbox/order.jsonl", "--entity", "ordres"]);
    assert_eq!(fault.hint.as_deref(), Some("did you mean `orders`?"), "{fault:#?}");
    let fault = shop.fault(2, ["ingest", "inbox/nothing.jsonl"]);
    assert!(fault.message.contains("inbox/nothing.jsonl"), "{fault:#?}");
    shop.is_untouched_since(&before, "files that fit no contract");
}

/// A file without records is a receipt: it counts for freshness, and is no batch and no work.
#[test]
fn a_file_without_records_only_leaves_a_receipt() {
    let shop = Shop::open();
    let landing = |shop: &Shop| shop.smelt(["status", "--json"]).json()["entities"][2]["last_landing"].clone();
    for (name, text) in [("orders.jsonl", ""), ("orders.csv", "order_id,updated_at\n"), ("orders-2.jsonl", "\n \r\n\n")]
    {
        let (before, seen) = (shop.fingerprint(), landing(&shop));
        let report = shop.land(name, text);
        assert_eq!(report["batch"], serde_json::Value::Null, "{name}: {report}");
        assert_eq!(report["files"][0]["outcome"], "empty", "{name}: {report}");
        assert_ne!(landing(&shop), seen, "{name}: its receipt does not count");
        let mut now = shop.fingerprint();
        now.retain(|path, _| !path.starts_with("_smelt/receipts"));
        assert!(now.iter().all(|(path, digest)| before.get(path) == Some(digest)), "{name}: more than a receipt");
    }
    assert!(shop.run()["snapshot"].is_null());
}

/// A file that is cut off or damaged keeps its whole batch out, the good files beside it too.
#[test]
fn a_cut_off_or_damaged_file_keeps_its_batch_out() {
    let shop = Shop::open();
    let records: String = (0..2_000).map(|number| order(&format!("x{number}"), "2025-01-05")).collect();
    let mut gzip = GzEncoder::new(Vec::new(), Compression::default());
    gzip.write_all(records.as_bytes()).unwrap();
    let gzip = gzip.finish().unwrap();
    let mut bad_sum = gzip.clone();
    let sum = bad_sum.len() - 5;
    bad_sum[sum] ^= 0xff;
    let zstd = zstd::encode_all(records.as_bytes(), 3).unwrap();
    shop.smelt(["query", "-o", "inbox.parquet", "select * from staging.orders_cleaned"]).ok();
    let parquet = fs::read(shop.path("inbox.parquet")).unwrap();
    fs::remove_file(shop.path("inbox.parquet")).unwrap();

    let damaged: [(&str, &[u8]); 7] = [
        ("orders-1.jsonl.gz", &gzip[..gzip.len() / 2]),
        ("orders-2.jsonl.gz", &gzip[..gzip.len() - 1]),
        ("orders-3.jsonl.gz", &bad_sum),
        ("orders-4.jsonl.gz", records.as_bytes()),
        ("orders-5.jsonl.zst", &zstd[..zstd.len() / 2]),
        ("orders-6.parquet", &parquet[..parquet.len() - 9]),
        ("orders-7.parquet", b""),
    ];
    let before = shop.fingerprint();
    for (name, bytes) in damaged {
        shop.write(&format!("inbox/damaged/{name}"), bytes);
        shop.write("inbox/damaged/customers.jsonl", r#"{"customer_id":"c9","updated_at":"2025-01-05"}"#);
        let fault = shop.fault(2, ["ingest", "inbox/damaged"]);
        assert!(fault.message.contains(name), "{name}: {fault:#?}");
        assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("nothing was landed")), "{name}: {fault:#?}");
        shop.is_untouched_since(&before, name);
        fs::remove_file(shop.path(&format!("inbox/damaged/{name}"))).unwrap();
    }
    assert_eq!(shop.json(["ingest", "inbox/damaged"])["batch"], 2, "without the damaged file it lands");
}

/// Broken records cost themselves only: each is in quarantine with its reason and its bytes.
#[test]
fn broken_records_go_to_quarantine_and_their_neighbours_do_not() {
    let shop = Shop::open();
    let mut lines =
        b"\xff\xfe\n{\"order_id\":\"o8\"\n[1]\n{\"order_id\":\"\xff\",\"updated_at\":\"2025-01-05\"}\n".to_vec();
    lines.extend(order("o3", "2025-01-05").into_bytes());
    shop.land("orders.jsonl", &lines);
    let header = "order_id,customer_id,order_status,ordered_at,updated_at\n";
    let good = "o4,c1,placed,2025-01-04,2025-01-05\n";
    let csv = format!("{header}o5,c1\n{good}o6,c1,placed,2025-01-04,2025-01-05,more\n\"o7,c1,placed\n{good}{good}");
    shop.land("orders.csv", csv);
    shop.run();

    assert_eq!(shop.rows("select order_id from staging.orders_cleaned"), ["O1", "O2", "O3", "O4"]);
    // The unclosed quote makes the rest of its file one record.
    let expected = Totals { raw: 11, current: 4, superseded: 0, tombstones: 0, quarantined: 7 };
    assert_eq!(shop.totals("orders"), expected);
    let listed = shop.json(["quarantine", "list", "orders"]);
    let found: Vec<(u64, u64)> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["batch"].as_u64().unwrap(), row["position"].as_u64().unwrap()))
        .collect();
    assert_eq!(found, [(2, 1), (2, 2), (2, 3), (2, 4), (3, 1), (3, 3), (3, 4)], "{listed:#}");
    assert!(listed.as_array().unwrap().iter().all(|row| row["reasons"].as_str().unwrap().starts_with("unreadable")));
    shop.smelt(["quarantine", "show", "orders", "2", "2"]).ok().says(r#"{"order_id":"o8""#).says("sales@shop.example");
}

/// A line of 100 MB is one unreadable record, and costs bounded memory when it lands and when it runs.
#[test]
fn a_line_of_100_megabytes_costs_bounded_memory() {
    const MOST: u64 = 600 << 20;
    let shop = Shop::open();
    {
        fs::create_dir_all(shop.path("inbox")).unwrap();
        let mut file = BufWriter::new(fs::File::create(shop.path("inbox/orders.jsonl")).unwrap());
        file.write_all(order("o3", "2025-01-05").as_bytes()).unwrap();
        file.write_all(b"{\"order_id\":\"").unwrap();
        let part = vec![b'x'; 1 << 20];
        (0..100).for_each(|_| file.write_all(&part).unwrap());
        file.write_all(b"\"}\n").unwrap();
        file.write_all(order("o4", "2025-01-05").as_bytes()).unwrap();
    }
    for arguments in [&["ingest", "inbox/orders.jsonl"][..], &["run"]] {
        let peak = peak_memory(&mut shop.command(arguments.iter().copied()));
        println!("{arguments:?}: {} MiB at most", peak >> 20);
        assert!(peak < MOST, "{arguments:?} took {} MiB", peak >> 20);
    }
    let expected = Totals { raw: 5, current: 4, superseded: 0, tombstones: 0, quarantined: 1 };
    assert_eq!(shop.totals("orders"), expected);
    let listed = shop.json(["quarantine", "list", "orders"]);
    assert_eq!((&listed[0]["batch"], &listed[0]["position"]), (&2.into(), &2.into()), "{listed:#}");
}

/// A quote that opens a field by mistake takes lines with it up to the next quote: the record that they
/// became is in quarantine with all of its text, and the run says so.
#[test]
fn lines_that_a_stray_quote_swallows_are_in_quarantine() {
    let shop = Shop::open();
    let header = "order_id,customer_id,order_status,ordered_at,updated_at\n";
    let lines = "o5,\"c1,placed,2025-01-04,2025-01-05\no6,c1,placed,2025-01-04,2025-01-05\no7,c 5\" tape,placed,2025-01-04,2025-01-05\n";
    let good = "o8,c1,placed,2025-01-04,2025-01-05\n";
    shop.land("orders.csv", format!("{header}{lines}{good}"));
    let report = shop.run();
    assert_eq!(named(&report["entities"], "entity", "orders")["quarantined"], 1, "{report:#}");
    let listed = shop.json(["quarantine", "list", "orders"]);
    let shown = shop.json(["quarantine", "show", "orders", "2", "1"]);
    assert!(listed[0]["reasons"].as_str().unwrap().contains("field 2 goes on after its closing quote"), "{listed:#}");
    assert_eq!(shown[0]["record"], lines.trim_end(), "{shown:#}");
    assert_eq!(shop.value("select count(*) from staging.orders_cleaned"), "3");
}

/// A file that names its columns and lacks one sets NULL; that is told, for it may be a mistake.
#[test]
fn a_column_that_a_file_lacks_is_reported_as_drift() {
    let shop = Shop::open();
    shop.land("orders.csv", "order_id,order_status,updated_at\no8,placed,2025-01-05\no9,placed,2025-01-05\n");
    let report = shop.run();
    let missing = &named(&report["entities"], "entity", "orders")["missing"];
    assert_eq!((&missing["customer_id"], &missing["order_id"]), (&2.into(), &serde_json::Value::Null), "{report:#}");
}

/// Runs a command that succeeds, and watches the most memory it holds, in bytes.
fn peak_memory(command: &mut Command) -> u64 {
    let shown = format!("{command:?}");
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    while child.try_wait().unwrap().is_none() {
        // The kernel's own high-water mark; gone with the process.
        let text = fs::read_to_string(&status).unwrap_or_default();
        let mark = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let kilobytes = mark.and_then(|mark| mark.split_whitespace().next()?.parse::<u64>().ok());
        peak = peak.max(kilobytes.unwrap_or(0) << 10);
        thread::sleep(Duration::from_millis(1));
    }
    Ran::of(shown, child.wait_with_output().unwrap()).ok();
    assert!(peak > 0, "no memory was seen");
    peak
}

/// Links: to a file, followed; to a folder, to itself or to nothing, refused, so that no walk goes in
/// circles and nothing is passed over silently.
#[test]
fn links_never_lead_in_circles() {
    let shop = Shop::open();
    shop.write("inbox/day/orders.jsonl", order("o3", "2025-01-05"));
    shop.write("elsewhere/records", payment("y3", "2025-01-05"));
    let before = shop.fingerprint();
    for (target, says) in [("..", "links to folders are not followed"), ("loop", ""), ("gone", "")] {
        symlink(target, shop.path("inbox/day/loop")).unwrap();
        let fault = shop.fault(2, ["ingest", "inbox"]);
        assert!(fault.message.contains("inbox/day/loop"), "a link to {target}: {fault:#?}");
        assert!(fault.hint.as_deref().unwrap_or_default().contains(says), "a link to {target}: {fault:#?}");
        shop.is_untouched_since(&before, target);
        fs::remove_file(shop.path("inbox/day/loop")).unwrap();
    }
    symlink(shop.path("elsewhere/records"), shop.path("inbox/day/payments.jsonl")).unwrap();
    let landed = shop.json(["ingest", "inbox"]);
    let landed = landed["files"].as_array().unwrap().iter().filter(|file| file["outcome"] == "landed").count();
    assert_eq!(landed, 2);
    shop.run();
    assert_eq!(shop.value("select count(*) from fact_payments"), "3");
}

/// Names that shells, URLs and terminals stumble over land, run, and can be held and released.
#[test]
fn files_may_have_any_name() {
    let shop = Shop::open();
    let names = ["orders-über %20 #1.jsonl", "orders-'\"$(x)?.jsonl", "orders-a\nb.jsonl", "orders=2025-01-05.jsonl"];
    for (number, name) in names.iter().enumerate() {
        shop.land(name, order(&format!("n{number}"), "2025-01-05"));
    }
    shop.run();
    assert_eq!(shop.value("select count(*) from fact_orders"), "6");
    for name in names {
        shop.smelt(["hold", &format!("inbox/{name}")]).ok();
    }
    shop.run();
    assert_eq!(shop.value("select count(*) from fact_orders"), "2");
    for name in names {
        shop.smelt(["release", &format!("inbox/{name}")]).ok();
    }
    shop.run();
    assert_eq!(shop.value("select count(*) from fact_orders"), "6");
}

/// Entities that never landed, or of which nothing but broken records came: their tables have no rows,
/// and what reads them is there.
#[test]
fn a_shop_with_orders_alone_runs() {
    let shop = Shop::patient();
    let report = shop.run();
    assert_eq!(report["snapshot"], 1, "nothing but definitions: {report}");
    assert_eq!(shop.value("select count(*) from fact_orders"), "0");
    shop.land("orders.jsonl", order("o1", "2025-01-05"));
    shop.land("payments.jsonl", "{}\n{\"payment_id\":\"y1\"}\n");
    shop.run();
    assert_eq!(shop.value("select order_id || ' ' || item_count || ' ' || payment_count from fact_orders"), "O1 0 0");
    assert_eq!(shop.value("select is_inferred from dim_customers"), "true");
    assert_eq!(shop.totals("payments").quarantined, 2);
}
