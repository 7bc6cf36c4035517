//! Every table equals the oracle's: an independent implementation of the reference, which reads the
//! raw zone alone. After the base load and after every daily batch, to the value, with the accounting.

use std::fs;

use serde_json::{Map, Value};

use crate::{
    python,
    ran::Ran,
    shop::Shop,
    simulated::Simulation,
    size::{by_size, is_long},
};

/// Day by day, the whole warehouse agrees with the oracle.
fn agrees(simulation: Simulation) {
    println!("{simulation}");
    let extracts = simulation.write();
    let shop = Shop::new();
    for batch in extracts.batches() {
        shop.take_in(&batch);
        judge(&shop, &format!("{simulation}, after {}", batch.display()));
    }
}

#[track_caller]
fn judge(shop: &Shop, scenario: &str) {
    let place = tempfile::tempdir().unwrap();
    let (export, accounting) = (place.path().join("export"), place.path().join("accounting.json"));
    shop.smelt(["export", "--all", &export.to_string_lossy()]).ok();
    let status = shop.json(["status"]);
    let totals: Map<String, Value> = status["entities"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["entity"].as_str().unwrap().to_owned(), one["totals"].clone()))
        .collect();
    fs::write(&accounting, Value::from(totals).to_string()).unwrap();
    let compared =
        Ran::run(python::oracle("compare.py").arg(shop.lake()).arg(&export).arg("--accounting").arg(&accounting));
    assert_eq!(compared.code(), Some(0), "{scenario}\n{compared}");
    let tables = compared.stdout.lines().filter(|line| line.ends_with("equal")).count();
    assert!(tables > 20, "{scenario}: only {tables} verdicts\n{compared}");
}

/// One format; in the long size under every compression, with several seeds and both kinds of keys.
fn format_agrees(format: &'static str, small: (u64, &'static str, &'static str), first_seed: u64) {
    let (seed, compression, keys) = small;
    let one = Simulation {
        seed,
        orders: by_size(2_500, 20_000),
        days: by_size(3, 10),
        format,
        compression,
        keys,
        ties: true,
    };
    if !is_long() {
        return agrees(one);
    }
    for (number, compression) in ["none", "gzip", "zstd"].into_iter().enumerate() {
        let seed = first_seed + number as u64;
        agrees(Simulation { seed, compression, keys: ["ordered", "uuid"][seed as usize % 2], ..one });
    }
}

#[test]
fn json_lines_give_the_tables_of_the_oracle() {
    format_agrees("jsonl", (1, "gzip", "ordered"), 1);
}

#[test]
fn csv_gives_the_tables_of_the_oracle() {
    format_agrees("csv", (2, "zstd", "uuid"), 4);
}

#[test]
fn parquet_gives_the_tables_of_the_oracle() {
    format_agrees("parquet", (3, "none", "ordered"), 7);
}

/// Two months of days: what builds up day by day, merged files and deleted rows, too.
#[test]
fn a_long_row_of_days_gives_the_tables_of_the_oracle() {
    for seed in by_size(21..22, 21..24) {
        agrees(Simulation::plain(seed, by_size(1_000, 12_000), by_size(5, 60)));
    }
}

/// The oracle itself is right about tables whose rows were derived by hand.
#[test]
fn the_oracle_passes_its_own_tests() {
    Ran::run(&mut python::oracle("selftest.py")).ok().says("OK");
}

/// The oracle reads values as the vectors say, which smelt's cleaning also runs.
#[test]
fn the_oracle_agrees_with_the_vectors() {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/values.jsonl");
    Ran::run(python::oracle("vectors.py").arg(vectors)).ok().says("0 differ");
}
