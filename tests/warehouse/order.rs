//! Law 2: neither the order in which batches come, nor how often, nor how many a run takes in, makes
//! a difference to any table; and a rebuild from raw gives what is there already.

use std::{fs, path::PathBuf};

use crate::{
    contents::{Contents, assert_equal},
    shop::{ENTITIES, Shop},
    simulated::Simulation,
    size::by_size,
};

fn simulation(seed: u64) -> Simulation {
    Simulation {
        seed,
        orders: by_size(2_000, 20_000),
        days: by_size(4, 10),
        format: ["jsonl", "csv"][seed as usize % 2],
        compression: ["none", "zstd", "gzip"][seed as usize % 3],
        keys: ["ordered", "uuid"][seed as usize % 2],
        // Which of two rivals wins is decided by arrival, and arrival is what changes here.
        ties: false,
    }
}

fn seeds() -> std::ops::Range<u64> {
    by_size(12..13, 11..16)
}

/// A published warehouse of files that came one by one, a run after every so many.
fn warehouse(files: &[PathBuf], files_a_run: usize) -> Shop {
    let shop = Shop::patient();
    for files in files.chunks(files_a_run) {
        for file in files {
            shop.smelt(["ingest", &file.to_string_lossy()]).ok();
        }
        shop.smelt(["run"]).ok();
    }
    shop
}

/// Day by day, all at once, and rebuilt: every table is the same, quarantine and arrival included.
#[test]
fn day_by_day_equals_one_run_equals_a_rebuild() {
    for seed in seeds() {
        let simulation = Simulation { ties: true, ..simulation(seed) };
        let extracts = simulation.write();
        let (by_day, at_once) = (Shop::new(), Shop::new());
        for batch in extracts.batches() {
            by_day.take_in(&batch);
            at_once.smelt(["ingest", &batch.to_string_lossy()]).ok();
        }
        at_once.smelt(["run"]).ok();
        assert_eq!(at_once.snapshots(), [1]);

        let incremental = by_day.contents();
        assert_not_empty(&incremental);
        assert_equal(("day by day", &incremental), ("one run", &at_once.contents()), &simulation.to_string());
        by_day.smelt(["rebuild"]).ok();
        assert_equal(("day by day", &incremental), ("rebuilt", &by_day.contents()), &simulation.to_string());
        for entity in ENTITIES {
            assert_eq!(by_day.totals(entity), at_once.totals(entity), "{simulation}: totals of {entity}");
        }
    }
}

/// Files shuffled across all days, some delivered again as they are, some again with other bytes but
/// the same records: silver and gold are those of the right order. Quarantine holds the same records
/// for the same reasons, those of a second delivery once more.
#[test]
fn shuffled_and_repeated_files_give_the_same_tables() {
    for seed in seeds() {
        let simulation = simulation(seed);
        let extracts = simulation.write();
        let files = extracts.files();
        let in_order = warehouse(&files, files.len()).contents();
        assert_not_empty(&in_order);

        let place = tempfile::tempdir().unwrap();
        let mut delivered = shuffled(&files, seed);
        for (number, file) in shuffled(&files, seed + 1).into_iter().take(files.len() / 3).enumerate() {
            let again = repeated(&file, place.path(), number);
            delivered.insert(number * 3 % delivered.len(), again);
        }
        let out_of_order = warehouse(&delivered, 5).contents();

        let (left, right) = (without_places(in_order), without_places(out_of_order));
        assert_equal(("in order", &left), ("shuffled", &right), &simulation.to_string());
    }
}

/// A second delivery: the same bytes under another name, or with a blank line more.
fn repeated(file: &std::path::Path, folder: &std::path::Path, number: usize) -> PathBuf {
    let name = file.file_name().unwrap().to_string_lossy();
    let entity = entity(file);
    let plain = name.ends_with(".jsonl") || name.ends_with(".csv");
    let mut bytes = fs::read(file).unwrap();
    if plain && number % 2 == 1 {
        // Not at the end, where it would belong to a quote that is never closed.
        let first = bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        bytes.insert(first, b'\n');
    }
    let again = folder.join(format!("{entity}-again-{number}-{name}"));
    fs::write(&again, bytes).unwrap();
    again
}

/// The entity a simulated file belongs to: by its name, or in the history by its folder's.
fn entity(file: &std::path::Path) -> String {
    let mut parts = file.iter().rev().map(|part| part.to_string_lossy().into_owned());
    let found = parts.find_map(|part| ENTITIES.into_iter().find(|entity| part.starts_with(entity)));
    found.unwrap_or_else(|| panic!("no entity in {}", file.display())).to_owned()
}

/// Quarantine by record and reason: where a record came in is what differs.
fn without_places(mut contents: Contents) -> Contents {
    for (name, table) in &mut contents {
        if name.ends_with("_quarantine") {
            *table = table.different(&["record", "reasons"]);
        }
    }
    contents
}

/// Tables without rows would agree about nothing. (Only tombstones of products may be that few.)
fn assert_not_empty(contents: &Contents) {
    for (name, table) in contents {
        assert!(table.len() > 0 || name.ends_with("_tombstones"), "{name} has no rows");
    }
}

/// The same files in another order, the same for the same seed.
fn shuffled(files: &[PathBuf], seed: u64) -> Vec<PathBuf> {
    let mut files = files.to_vec();
    let mut state = seed;
    for last in (1..files.len()).rev() {
        // Knuth's linear congruential generator; its high bits are good enough to shuffle.
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        files.swap(last, (state >> 33) as usize % (last + 1));
    }
    files
}
