//! Other tools read the published Delta tables: the `deltalake` package, Polars and DuckDB give the
//! rows that `smelt query` gives, at the versions that a snapshot names.

use std::fs;

use serde_json::{Map, Value};

use crate::{python, ran::Ran, shop::Shop, simulated::Simulation, size::by_size};

#[test]
fn delta_readers_see_the_rows_of_each_snapshot() {
    let simulation = Simulation {
        seed: 21,
        orders: by_size(2_000, 20_000),
        days: by_size(3, 10),
        format: "parquet",
        compression: "zstd",
        keys: "uuid",
        ties: true,
    };
    let extracts = simulation.write();
    let shop = Shop::new();
    for batch in extracts.batches() {
        shop.take_in(&batch);
    }
    let log = shop.read_folder("lake/staging/orders_cleaned/_delta_log");
    assert!(log.contains("deletionVector"), "updates delete rows of files that stay");
    // A rollback, a table that is computed anew, one of no rows.
    let older = shop.snapshots().len() as u64 - 1;
    shop.smelt(["rollback", &older.to_string()]).ok();
    shop.smelt(["run"]).ok();
    shop.smelt(["rebuild"]).ok();
    let newest = *shop.snapshots().last().unwrap();

    for snapshot in [older, newest] {
        let place = tempfile::tempdir().unwrap();
        let stated = shop.json(["snapshots", &snapshot.to_string()]);
        let mut versions = Map::new();
        for (table, state) in stated["tables"].as_object().unwrap() {
            // The quarantine is no table to ask.
            if table.ends_with("_quarantine") {
                continue;
            }
            versions.insert(table.clone(), state["version"].clone());
            let (file, sql) = (place.path().join(format!("{table}.parquet")), format!("select * from {table}"));
            shop.smelt(["query", "--snapshot", &snapshot.to_string(), "-o", &file.to_string_lossy(), &sql]).ok();
        }
        // Nine models; six entities with their tombstones, two of them with history.
        assert_eq!(versions.len(), 9 + 6 * 2 + 2, "{stated:#}");
        let list = place.path().join("versions.json");
        fs::write(&list, Value::from(versions).to_string()).unwrap();
        let compared = Ran::run(python::peers("read_tables.py").arg(shop.path("lake")).arg(place.path()).arg(&list));
        assert_eq!(compared.code(), Some(0), "{simulation}, snapshot {snapshot}\n{compared}");
        assert_eq!(compared.stdout.matches(" equal").count(), 23 * 3, "{compared}");
    }
}
