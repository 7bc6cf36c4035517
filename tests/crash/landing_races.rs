//! Claim: however ingests race, each file's records land once, and every landing leaves a receipt.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use smelt::{
    bronze::{IngestReport, Outcome as Became, Receipt},
    lake::{BatchId, layout},
};
use tempfile::TempDir;

use crate::{
    chance::Chance,
    contents::{Outcome, told},
    gate::Gate,
    shop::Undisturbed,
    site::{Process, Site},
    size::by_size,
};

const BEFORE: usize = 1;

/// Copies files into a new folder under these names.
fn folder(below: &TempDir, name: &str, files: &[(&Path, &str)]) -> PathBuf {
    let folder = below.path().join(name);
    fs::create_dir_all(&folder).unwrap();
    for (from, to) in files {
        fs::copy(from, folder.join(to)).unwrap();
    }
    folder
}

/// The files of an extract, by name.
fn files(extract: &Path) -> BTreeMap<String, PathBuf> {
    fs::read_dir(extract)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), path))
        .collect()
}

fn receipts(site: &Site) -> Vec<Receipt> {
    let receipts = site.files_in(layout::RECEIPTS).into_iter();
    receipts.map(|path| serde_json::from_slice(&fs::read(site.path().join(path)).unwrap()).unwrap()).collect()
}

/// What became of a file of a landing.
fn became<'a>(report: &'a IngestReport, name: &str) -> &'a Became {
    let landing = report.files.iter().find(|landing| landing.path.ends_with(&format!("/{name}")));
    &landing.unwrap_or_else(|| panic!("{name} is not in the report")).outcome
}

/// Both processes stand before their manifests; then the first goes to its end, then the second.
async fn race(site: &Site, first: &Path, second: &Path) -> Outcome<(IngestReport, IngestReport)> {
    let gates = [(); 2].map(|()| Arc::new(Gate::before_class("Put manifest")));
    let mut landing = Vec::new();
    for (gate, path) in gates.iter().zip([first, second]) {
        let path = path.to_owned();
        let task = site.meddled(gate).start(|process| async move { process.land(&path).await });
        if !gate.reached(&task).await {
            return Err("a landing ended before its manifest".into());
        }
        landing.push(task);
    }
    let mut reports = Vec::new();
    for (gate, task) in gates.iter().zip(landing) {
        gate.open();
        reports.push(task.ended().await.map_err(|e| told(&e))?);
    }
    let second = reports.pop().ok_or("no second report")?;
    Ok((reports.pop().ok_or("no first report")?, second))
}

/// Proves: of two ingests that race for a number with an equal file among their files, the loser takes
/// the next number without that file; the tables are those of landings one after the other.
#[tokio::test(flavor = "multi_thread")]
async fn the_loser_of_a_race_lands_only_what_is_new() {
    let undisturbed = Undisturbed::shared();
    let extract = |day: usize| files(&undisturbed.shop.extracts[day]);
    let (two, three) = (extract(2), extract(3));
    let temporary = TempDir::new().unwrap();
    let shared = (two["orders.jsonl"].as_path(), "orders.jsonl");
    let first = folder(&temporary, "first", &[shared, (&two["customers.jsonl"], "customers.jsonl")]);
    let second = folder(&temporary, "second", &[shared, (&three["customers.jsonl"], "customers.jsonl")]);

    let site = undisturbed.after[BEFORE].site.copy();
    let (won, lost) = race(&site, &first, &second).await.unwrap();
    assert_eq!((won.batch, lost.batch), (Some(BatchId(3)), Some(BatchId(4))));
    assert_eq!(*became(&won, "orders.jsonl"), Became::Landed);
    assert_eq!(*became(&lost, "orders.jsonl"), Became::Again { batch: BatchId(3) });
    assert_eq!(*became(&lost, "customers.jsonl"), Became::Landed);

    let one_by_one = undisturbed.after[BEFORE].site.copy();
    for path in [&first, &second] {
        one_by_one.process().land(path).await.unwrap();
    }
    let mut seen = Vec::new();
    for site in [&site, &one_by_one] {
        site.process().run().await.unwrap();
        seen.push(site.process().see_newest().await.unwrap());
    }
    seen[0].same_as(&seen[1]).unwrap();
    let landed = won.records() + lost.records();
    assert_eq!(seen[0].raw_records(), undisturbed.after[BEFORE].seen.raw_records() + landed);
}

/// Proves: a race for nothing but equal files ends with one batch, and the loser has a receipt for it.
#[tokio::test(flavor = "multi_thread")]
async fn the_loser_of_a_race_with_nothing_new_lands_no_batch() {
    let undisturbed = Undisturbed::shared();
    let site = undisturbed.after[BEFORE].site.copy();
    let path = &undisturbed.shop.extracts[2];
    let before = receipts(&site).len();
    let (won, lost) = race(&site, path, path).await.unwrap();
    assert_eq!((won.batch, lost.batch), (Some(BatchId(3)), None));
    assert!(lost.files.iter().all(|file| file.outcome != Became::Landed), "{lost:?}");
    let receipts = receipts(&site);
    assert_eq!(receipts.len(), before + 2 * won.files.len());
    let process = site.process();
    process.run().await.unwrap();
    process.see_newest().await.unwrap().same_as(&undisturbed.after[2].seen).unwrap();
}

/// Proves: two copies of a file in one landing are one file, also when the landing loses a race; the
/// second copy's receipt names the batch that holds the bytes.
#[tokio::test(flavor = "multi_thread")]
async fn a_copy_within_a_landing_that_loses_a_race_names_the_right_batch() {
    let undisturbed = Undisturbed::shared();
    let files = files(&undisturbed.shop.extracts[2]);
    let temporary = TempDir::new().unwrap();
    let first = folder(&temporary, "first", &[(&files["customers.jsonl"], "customers.jsonl")]);
    let twice =
        [(files["orders.jsonl"].as_path(), "orders.jsonl"), (files["orders.jsonl"].as_path(), "orders-2.jsonl")];
    let second = folder(&temporary, "second", &twice);

    let site = undisturbed.after[BEFORE].site.copy();
    let (_, lost) = race(&site, &first, &second).await.unwrap();
    assert_eq!(lost.batch, Some(BatchId(4)));
    // In the order of paths, `orders-2.jsonl` comes first.
    assert_eq!(*became(&lost, "orders-2.jsonl"), Became::Landed);
    assert_eq!(*became(&lost, "orders.jsonl"), Became::Again { batch: BatchId(4) });
    let batches: BTreeSet<_> = receipts(&site)
        .into_iter()
        .filter(|receipt| receipt.source.contains("second/"))
        .map(|receipt| receipt.batch)
        .collect();
    assert_eq!(batches, BTreeSet::from([Some(BatchId(4))]), "the receipts of the second landing");
}

/// Proves law 1: landing the same files again stores no bytes and adds no record, leaves a receipt for
/// each file, and gives the next run nothing to do.
#[tokio::test(flavor = "multi_thread")]
async fn landing_again_leaves_receipts_and_nothing_else() {
    let undisturbed = Undisturbed::shared();
    let site = undisturbed.after[2].site.copy();
    let before = site.files();
    let report = site.process().ingest(2).await.unwrap();
    assert_eq!(report.batch, None);
    assert_eq!(report.records(), 0);
    let new: Vec<PathBuf> = site.files().difference(&before).cloned().collect();
    assert_eq!(new.len(), report.files.len(), "{new:?}");
    assert!(new.iter().all(|path| path.starts_with(layout::RECEIPTS)), "{new:?}");
    for landing in &report.files {
        match landing.outcome {
            Became::Landed => panic!("{} landed twice", landing.path),
            // Redelivered files came with an earlier batch.
            Became::Again { batch } => assert!(batch <= BatchId(3), "{landing:?}"),
            Became::Empty => assert_eq!(landing.records, 0),
        }
    }
    assert_eq!(site.process().run().await.unwrap().snapshot, None);
}

/// Proves: many ingests at once, with overlapping files, give batches without gaps, each file in
/// exactly one, and tables that hold each record once.
#[tokio::test(flavor = "multi_thread")]
async fn many_ingests_at_once_land_every_file_once() {
    let undisturbed = Undisturbed::shared();
    let mut chance = Chance::new("many_ingests_at_once_land_every_file_once");
    for round in 0..by_size(1, 20) {
        let site = undisturbed.after[BEFORE].site.copy();
        let temporary = TempDir::new().unwrap();
        let pool: Vec<PathBuf> =
            [2, 3, 4].iter().flat_map(|&day| files(&undisturbed.shop.extracts[day]).into_values()).collect();
        let mut handed_in = BTreeSet::new();
        let landing: Vec<_> = (0..by_size(4, 8))
            .map(|number| {
                let chosen: Vec<&PathBuf> = (0..4).map(|_| chance.one_of(&pool)).collect();
                handed_in.extend(chosen.iter().map(|path| fs::read(path).unwrap()).filter(|bytes| !bytes.is_empty()));
                let names: Vec<String> = chosen
                    .iter()
                    .map(|path| {
                        let day = path.parent().unwrap().file_name().unwrap().to_string_lossy();
                        path.file_name().unwrap().to_string_lossy().replacen('.', &format!("-{day}."), 1)
                    })
                    .collect();
                let named: Vec<(&Path, &str)> =
                    chosen.iter().zip(&names).map(|(path, name)| (path.as_path(), name.as_str())).collect();
                let path = folder(&temporary, &number.to_string(), &named);
                site.process().start(|process| async move { process.land(&path).await })
            })
            .collect();
        let mut records = 0;
        for task in landing {
            records += task.ended().await.unwrap().records();
        }
        let process = site.process();
        let new = landed_since(&process, undisturbed.after[BEFORE].seen.id.0).await;
        assert_eq!(new.iter().map(|(_, records)| records).sum::<u64>(), records, "round {round}");
        let hashes: BTreeSet<&String> = new.iter().map(|(hash, _)| hash).collect();
        assert_eq!(hashes.len(), new.len(), "round {round}: a file landed twice");
        process.run().await.unwrap();
        let seen = process.see_newest().await.unwrap();
        assert_eq!(seen.raw_records(), undisturbed.after[BEFORE].seen.raw_records() + records, "round {round}");
    }
}

/// Entity with hash, and records, of every file in the batches after one; batches have no gaps.
async fn landed_since(process: &Process, batch: u64) -> Vec<(String, u64)> {
    let manifests = process.lake.manifests(BatchId(batch)).await.unwrap();
    let numbers: Vec<u64> = manifests.iter().map(|manifest| manifest.batch.0).collect();
    assert_eq!(numbers, (batch + 1..=batch + numbers.len() as u64).collect::<Vec<_>>());
    let files = manifests.into_iter().flat_map(|manifest| manifest.files);
    files.map(|file| (format!("{} {}", file.entity, file.sha256), file.records)).collect()
}
