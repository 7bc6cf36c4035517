//! The commands one by one: what they answer, for people and as JSON, and when they have nothing to do.

use std::{fs, process::Stdio};

use serde_json::{Value, json};

use crate::{
    opening_day::{order, payment},
    ran::Ran,
    shop::{SMELT, Shop},
};

/// Every command, as `--help` lists them.
fn commands() -> Vec<String> {
    let help = Ran::run(std::process::Command::new(SMELT).arg("--help")).ok();
    let list = help.stdout.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names = list.lines().filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).filter(|name| name != "help").collect()
}

/// Each command explains itself; those that take something by its place show how.
#[test]
fn every_command_has_help_and_those_with_arguments_have_examples() {
    let commands = commands();
    assert!(commands.len() > 15, "{commands:?}");
    for command in commands {
        let help = Ran::run(std::process::Command::new(SMELT).args([&command, "--help"])).ok().stdout;
        let usage = help.lines().find(|line| line.starts_with("Usage:")).unwrap().to_owned();
        let by_place = usage.split("[OPTIONS]").nth(1).is_some_and(|rest| !rest.trim().is_empty());
        assert!(!by_place || help.contains(&format!("  smelt {command} ")), "{command} has no example:\n{help}");
        assert!(help.contains("--json"), "{command} does not answer as JSON");
    }
    Ran::run(std::process::Command::new(SMELT).arg("frobnicate")).exits(2).says("unrecognized subcommand");
    Ran::run(std::process::Command::new(SMELT).args(["run", "--bogus"])).exits(2).says("--bogus");
}

#[test]
fn init_makes_a_project_and_never_touches_files_that_are_there() {
    let folder = tempfile::tempdir().unwrap();
    let init = |path: &std::path::Path| Ran::run(std::process::Command::new(SMELT).arg("init").arg(path));
    let project = folder.path().join("new/shop");
    init(&project).ok().says("made a project").says("smelt ingest");
    for file in ["smelt.yml", "contracts/orders.odcs.yaml", "models/facts/fact_orders.sql", "dbt_project.yml"] {
        assert!(project.join(file).is_file(), "{file} is missing");
    }
    let settings = fs::read(project.join("smelt.yml")).unwrap();
    fs::remove_file(project.join("README.md")).unwrap();
    fs::write(project.join("smelt.yml"), "mine").unwrap();
    init(&project).exits(2).says("is there already");
    assert_eq!(fs::read(project.join("smelt.yml")).unwrap(), b"mine");
    assert!(!project.join("README.md").exists(), "a refused init writes nothing");
    fs::write(project.join("smelt.yml"), settings).unwrap();
    Ran::run(std::process::Command::new(SMELT).args(["plan", "--project"]).arg(&project)).ok();
}

/// Bytes that have landed are told and do nothing; a run without news does nothing, without the lock.
#[test]
fn landing_again_and_running_again_do_nothing_and_say_so() {
    let shop = Shop::open();
    let before = shop.fingerprint();
    let ran = shop.smelt(["ingest", "inbox/opening"]).ok();
    for said in ["nothing new", "again: inbox/opening/orders.jsonl (landed in batch 1)"] {
        assert!(ran.stderr.contains(said), "{ran}");
    }
    let report = shop.json(["ingest", "inbox/opening"]);
    assert_eq!(report["batch"], Value::Null);
    assert!(report["files"].as_array().unwrap().iter().all(|file| file["outcome"] == "again" && file["batch"] == 1));
    shop.write("inbox/orders-copy.jsonl", shop.read("inbox/opening/orders.jsonl"));
    assert_eq!(shop.json(["ingest", "inbox/orders-copy.jsonl"])["batch"], Value::Null, "another name, the same bytes");

    let leases =
        || fs::read_dir(shop.path("lake/_smelt/lease")).unwrap().map(|lease| lease.unwrap().path()).collect::<Vec<_>>();
    let held = leases();
    shop.smelt(["run"]).ok().says("nothing new");
    assert_eq!(shop.run()["snapshot"], Value::Null);
    assert_eq!(leases(), held, "no lock is taken");
    let mut now = shop.fingerprint();
    now.retain(|path, _| !path.starts_with("_smelt/receipts") || before.contains_key(path));
    assert_eq!(now, before, "only receipts are new");
}

/// The plan says what a run will do and why, and does nothing.
#[test]
fn the_plan_tells_what_the_run_then_does() {
    let shop = Shop::open();
    shop.smelt(["plan"]).ok().says("nothing to do");
    shop.land("payments.jsonl", payment("y3", "2025-01-05") + &payment("y4", "2025-01-05"));
    let before = shop.fingerprint();
    let ran = shop.smelt(["plan"]).ok().says("silver payments: add 1 file(s), 2 records");
    assert_eq!(ran.stdout, shop.smelt(["run", "--dry-run"]).ok().stdout);
    let plan = shop.json(["plan"]);
    assert_eq!(plan["entities"][0]["entity"], "payments");
    assert_eq!(plan["entities"][0]["files"], json!(["inbox/payments.jsonl"]));
    shop.is_untouched_since(&before, "plan");

    let report = shop.run();
    let names = |list: &Value, field: &str| {
        list.as_array().unwrap().iter().map(|one| one[field].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(names(&plan["entities"], "entity"), names(&report["entities"], "entity"));
    assert_eq!(names(&plan["models"], "model"), names(&report["models"], "model"));
    let people = shop.smelt(["rebuild"]).ok();
    for said in ["waiting for its order", "quarantined", "superseded", "sales@shop.example", "published snapshot 3"] {
        assert!(people.stdout.contains(said), "`{said}` is not in the report\n{people}");
    }
}

#[test]
fn questions_are_answered_in_every_format_and_about_earlier_snapshots() {
    let shop = Shop::open();
    let ask = |format: &str, sql: &str| shop.smelt(["query", "-F", format, sql]).ok().stdout;
    let sql = "select order_id, net_amount, ordered_at, currency, first_paid_at from fact_orders order by 1";
    assert_eq!(
        ask("csv", sql),
        "order_id,net_amount,ordered_at,currency,first_paid_at\n\
         O1,50.00,2025-01-02 10:00:00,EUR,2025-01-02 10:01:00\nO2,28.50,2025-01-02 11:00:00,EUR,\n"
    );
    let lines = ask("json", sql);
    let second: Value = serde_json::from_str(lines.lines().nth(1).unwrap()).unwrap();
    assert_eq!(second["net_amount"], "28.50", "decimals are not rounded by any reader");
    assert_eq!((&second["ordered_at"], &second["first_paid_at"]), (&"2025-01-02T11:00:00".into(), &Value::Null));
    assert!(ask("table", sql).contains("(2 rows)"));
    shop.smelt(["query", "-o", "orders.parquet", sql]).ok();
    assert!(fs::read(shop.path("orders.parquet")).unwrap().starts_with(b"PAR1"));
    shop.fault(2, ["query", "-o", "orders.parquet", sql]);
    shop.smelt(["query", "-o", "orders.parquet", "--force", sql]).ok();
    shop.write("report.sql", "select count(*) from staging.payments_cleaned;\n");
    shop.smelt(["query", "-F", "csv", "-f", "report.sql"]).ok().says("2");

    // Two aggregates that differ in a cast alone are two columns.
    let casts = "select max(ordered_at) as at, max(ordered_at::date) as day, sum(net_amount) as exact, sum(net_amount::int) as whole from fact_orders";
    assert_eq!(shop.value(casts), "2025-01-02 11:00:00,2025-01-02,78.50,78");

    shop.land("orders.jsonl", order("o3", "2025-01-05"));
    shop.run();
    assert_eq!(shop.value("select count(*) from fact_orders"), "3");
    shop.smelt(["query", "--snapshot", "1", "-F", "csv", "select count(*) as n from fact_orders"]).ok().says("n 2");

    let fault = shop.fault(2, ["query", "select * from fact_ordrs"]);
    assert!(fault.hint.unwrap().contains("did you mean `gold.fact_orders`?"));
    let fault = shop.fault(2, ["query", "select net_amout from fact_orders"]);
    assert!(fault.hint.unwrap().contains("net_amount"));
    for refused in [
        "drop table fact_orders",
        "delete from fact_orders",
        "copy fact_orders to 'x.csv'",
        "create table x as select 1",
    ] {
        let before = shop.fingerprint();
        shop.fault(2, ["query", refused]);
        shop.is_untouched_since(&before, refused);
    }
    let fault = shop.fault(2, ["query", "--snapshot", "99", "select 1"]);
    assert!(fault.message.contains("there is no snapshot 99"), "{fault:#?}");
}

/// Before anything is published, questions say what to do first.
#[test]
fn before_the_first_snapshot_commands_say_what_to_do() {
    let shop = Shop::landed();
    for command in [&["query", "select 1 from fact_orders"][..], &["tables"], &["export", "out"], &["quarantine"]] {
        let fault = shop.fault(2, command.iter().copied());
        assert!(fault.hint.is_some_and(|hint| hint.contains("smelt run")), "{command:?}");
    }
    shop.smelt(["snapshots"]).ok().says("nothing is published yet");
    assert_eq!(shop.json(["status"])["pending_batches"], 1);
}

/// Snapshots name the exact Delta version of each table; a rollback is a new snapshot with old
/// contents, whose later batches are pending, or held.
#[test]
fn a_rollback_brings_old_contents_back_and_later_batches_are_pending_or_held() {
    let shop = Shop::open();
    shop.land("orders.jsonl", order("o3", "2025-01-05"));
    shop.run();
    let second = shop.json(["snapshots", "2"]);
    assert_eq!((&second["id"], &second["parent"], &second["coverage"]["through"]), (&2.into(), &1.into(), &2.into()));
    assert_eq!(second["tables"]["gold.fact_orders"]["version"], 1, "{second:#}");
    assert_eq!(second["tables"]["gold.dim_date"]["version"], 0, "{second:#}");

    shop.smelt(["rollback", "1"]).ok().says("published snapshot 3 with the contents of snapshot 1");
    assert_eq!(shop.value("select count(*) from fact_orders"), "2");
    assert_eq!(shop.json(["status"])["pending_batches"], 1);
    shop.smelt(["query", "--snapshot", "2", "-F", "csv", "select count(*) as n from fact_orders"]).ok().says("n 3");
    shop.run();
    assert_eq!(shop.value("select count(*) from fact_orders"), "3");

    shop.smelt(["rollback", "1", "--hold"]).ok().says("held");
    assert_eq!(shop.run()["snapshot"], Value::Null, "what is held is not work");
    let status = shop.json(["status"]);
    assert_eq!((&status["held"][0]["batch"], &status["pending_batches"]), (&2.into(), &0.into()));
    shop.smelt(["release", "2"]).ok();
    shop.run();
    assert_eq!(shop.value("select count(*) from fact_orders"), "3");

    let fault = shop.fault(2, ["rollback", "99"]);
    assert!(fault.message.contains("there is no snapshot 99"), "{fault:#?}");
    let origins: Vec<Value> =
        shop.json(["snapshots"]).as_array().unwrap().iter().map(|one| one["origin"].clone()).collect();
    assert_eq!(
        origins,
        [json!("run"), json!("run"), json!({"rollback": 1}), json!("run"), json!({"rollback": 1}), json!("run")]
    );
}

/// A held file is treated as not yet arrived, also when it was covered already; released, it takes
/// its old place.
#[test]
fn holding_what_is_covered_takes_it_out_and_releasing_brings_it_back() {
    let shop = Shop::open();
    let cancelled = order("o1", "2025-01-06").replace("placed", "cancelled");
    shop.land("orders.jsonl", &cancelled);
    shop.run();
    let status = |shop: &Shop| shop.value("select order_status from fact_orders where order_id = 'O1'");
    assert_eq!(status(&shop), "cancelled");
    shop.smelt(["hold", "2"]).ok().says("held batch 2");
    shop.smelt(["plan"]).ok().says("held now");
    shop.run();
    assert_eq!(status(&shop), "completed");
    shop.smelt(["release", "inbox/orders.jsonl"]).exits(2);
    shop.smelt(["release", "2"]).ok();
    shop.run();
    assert_eq!(status(&shop), "cancelled");
    let fault = shop.fault(2, ["hold", "77"]);
    assert!(fault.message.contains("no landed batch or file is called `77`"), "{fault:#?}");
    let fault = shop.fault(2, ["release", "1"]);
    assert!(fault.message.contains("is not held"), "{fault:#?}");
}

#[test]
fn quarantine_counts_lists_and_shows_records_with_their_owner() {
    let shop = Shop::open();
    shop.land(
        "payments.jsonl",
        "{\n".to_owned() + &payment("y3", "2025-01-05").replace("10.00", "ten") + &payment("y4", "never"),
    );
    shop.run();
    let counts = shop.json(["quarantine"]);
    let payments = counts.as_array().unwrap().iter().find(|one| one["entity"] == "payments").unwrap();
    assert_eq!((&payments["records"], payments["owner"].as_str().is_some()), (&3.into(), true), "{counts}");
    let listed = shop.json(["quarantine", "list", "payments"]);
    let reasons: Vec<&str> = listed.as_array().unwrap().iter().map(|row| row["reasons"].as_str().unwrap()).collect();
    assert!(
        reasons[0].starts_with("unreadable") && reasons[1].contains("`amount`") && reasons[2].contains("`updated_at`"),
        "{reasons:?}"
    );
    assert_eq!(shop.json(["quarantine", "list", "payments", "--limit", "1"]).as_array().unwrap().len(), 1);
    shop.smelt(["quarantine", "show", "payments", "2", "2"])
        .ok()
        .says("batch 2, inbox/payments.jsonl, position 2")
        .says("\"ten\"");
    let fault = shop.fault(2, ["quarantine", "show", "payments", "2", "9"]);
    assert!(fault.hint.unwrap().contains("smelt quarantine list payments"));
    let fault = shop.fault(2, ["quarantine", "list", "payment"]);
    assert_eq!(fault.hint.as_deref(), Some("did you mean `payments`?"));
}

/// Garbage collection says first what it would do, keeps what kept snapshots need, and an expired
/// snapshot is a clear error.
#[test]
fn gc_tells_before_it_deletes_and_keeps_what_is_needed() {
    let shop = Shop::open();
    for day in 5..8 {
        shop.land(&format!("orders-{day}.jsonl"), order("o3", &format!("2025-01-0{day}")));
        shop.run();
    }
    let before = shop.fingerprint();
    let limits = ["--snapshots", "2", "--days", "0"];
    let would = shop.json(["gc", "--dry-run"].into_iter().chain(limits));
    assert_eq!(would["expired_snapshots"], json!([1, 2]), "{would}");
    assert_eq!(would["kept_snapshots"], 2);
    shop.is_untouched_since(&before, "a dry run");
    let tables = shop.contents();

    let done = shop.json(["gc"].into_iter().chain(limits));
    assert_eq!(done, would, "what was announced was done");
    assert!(done["deleted_objects"].as_u64().unwrap() > 0);
    assert_eq!(shop.snapshots(), [3, 4]);
    assert_eq!(shop.contents(), tables);
    shop.smelt(["query", "--snapshot", "3", "select count(*) from fact_orders"]).ok();
    let fault = shop.fault(2, ["query", "--snapshot", "1", "select 1"]);
    assert!(fault.message.contains("snapshot 1 has expired"), "{fault:#?}");
    assert!(fault.hint.unwrap().contains("retention"));
    let raw =
        |all: &crate::shop::Fingerprint| all.keys().filter(|path| path.starts_with("raw")).cloned().collect::<Vec<_>>();
    assert_eq!(raw(&shop.fingerprint()), raw(&before), "raw is never collected");
    shop.smelt(["rebuild"]).ok();
    assert_eq!(shop.contents(), tables);
}

#[test]
fn export_writes_whole_tables_into_an_empty_folder_only() {
    let shop = Shop::open();
    shop.smelt(["export", "out"]).ok().says("exported 9 tables of snapshot 1");
    let names = |folder: &str| fs::read_dir(shop.path(folder)).unwrap().count();
    assert_eq!(names("out"), 9);
    let fault = shop.fault(2, ["export", "out"]);
    assert!(fault.message.contains("is not empty") && fault.hint.unwrap().contains("--force"));
    shop.smelt(["export", "out", "--force", "--tables", "fact_orders,dim_date"]).ok();
    shop.smelt(["export", "some", "--tables", "fact_orders,staging.orders_cleaned"]).ok();
    assert_eq!(names("some"), 2);
    let fault = shop.fault(2, ["export", "other", "--tables", "fact_order"]);
    assert_eq!(fault.hint.as_deref(), Some("did you mean `fact_orders`?"), "{fault:#?}");
    assert!(!shop.path("other").exists(), "nothing is written then");
}

/// Standard output holds the answer and nothing else, whoever goes away while it is written.
#[test]
fn standard_output_is_the_answer_alone() {
    let shop = Shop::open();
    let quiet = shop.smelt(["--quiet", "ingest", "inbox/opening"]).ok();
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let loud = shop.smelt(["-v", "query", "-F", "csv", "select 1 as one"]).ok();
    assert_eq!(loud.stdout, "one\n1\n");
    let mut reading = shop
        .command(["query", "-F", "csv", "select a.date_key, b.date_key from dim_date as a, dim_date as b"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(reading.stdout.take());
    let ended = Ran::of("query | head".into(), reading.wait_with_output().unwrap()).ok();
    assert_eq!(ended.stderr, "", "{ended}");
}

/// The tutorial's first command: from nothing to answers.
#[test]
fn the_demo_makes_a_warehouse_that_answers() {
    let folder = tempfile::tempdir().unwrap();
    let demo = || {
        let mut command = std::process::Command::new(SMELT);
        Ran::run(command.current_dir(folder.path()).args(["demo", "--orders", "500"]))
    };
    demo().ok().says("smelt --project smelt-demo");
    let ask = |arguments: &[&str]| {
        Ran::run(
            std::process::Command::new(SMELT)
                .current_dir(folder.path())
                .args(["--project", "smelt-demo"])
                .args(arguments),
        )
    };
    let counted = ask(&["query", "-F", "csv", "select count(*) > 300 as enough from fact_orders"]).ok();
    assert_eq!(counted.stdout, "enough\ntrue\n");
    ask(&["status"]).ok().says("nothing is pending");
    demo().exits(2).says("is there already");
}
