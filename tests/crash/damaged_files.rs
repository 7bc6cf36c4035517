//! Claim: damage is noticed and named, never published: to raw files by the counts of law 3, to the
//! records of snapshots when they are read.

use std::fs;

use smelt::{
    bronze::LandedFile,
    error::Kind,
    lake::{BatchId, Snapshot, layout},
};

use crate::{
    chance::Chance,
    contents::{Outcome, told},
    shop::Undisturbed,
    site::Site,
    size::by_size,
};

const WORKED: usize = 2;

/// Where the last record of some lines begins.
fn last_record(bytes: &[u8]) -> usize {
    let content = bytes.trim_ascii_end();
    content.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline + 1)
}

/// Ways to lose the last record of a file.
type Damage = fn(&[u8]) -> Vec<u8>;

fn cut(bytes: &[u8]) -> Vec<u8> {
    bytes[..last_record(bytes)].to_vec()
}

/// The file keeps its size, which alone would give a cut away.
fn blank(bytes: &[u8]) -> Vec<u8> {
    let mut damaged = bytes.to_vec();
    damaged[last_record(bytes)..].fill(b'\n');
    damaged
}

/// Proves that law 3 has teeth: one record that is lost from one raw file after it landed keeps the
/// snapshot from being published, the error names the file, and with the file restored the next run
/// simply works.
#[tokio::test(flavor = "multi_thread")]
async fn a_record_lost_from_raw_keeps_the_run_from_publishing() {
    let undisturbed = Undisturbed::shared();
    let site = undisturbed.about_to_run(WORKED).await;
    let process = site.process();
    let manifest = process.lake.manifests(BatchId(WORKED as u64)).await.unwrap().remove(0);
    let files: Vec<&LandedFile> = manifest.files.iter().filter(|file| file.records > 1).collect();
    assert!(files.len() >= 2, "a file of each entity at least");
    for file in files {
        let path = site.path().join(&file.raw);
        let good = fs::read(&path).unwrap();
        for damage in [cut as Damage, blank] {
            let bad = damage(&good);
            assert_ne!(bad, good);
            fs::write(&path, bad).unwrap();
            for rebuild in [false, true] {
                let ended = if rebuild { process.rebuild().await } else { process.run().await };
                let Err(error) = ended else { panic!("{}: a lost record was not noticed", file.path) };
                assert_eq!(error.kind(), Kind::Data, "{}: {}", file.path, told(&error));
                assert!(error.message().contains(&file.raw), "{} is not named: {}", file.path, told(&error));
            }
            fs::write(&path, &good).unwrap();
        }
    }
    assert_eq!(process.see_newest().await.unwrap(), undisturbed.after[WORKED - 1].seen);
    process.run().await.unwrap();
    process.see_newest().await.unwrap().same_as(&undisturbed.after[WORKED].seen).unwrap();
    site.tidy().await.unwrap();
}

/// Proves: a snapshot's record that is cut short anywhere, or has any bit flipped, is an error of kind
/// `Data` that names the file; it is never taken for another snapshot, and no run builds on it.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_snapshot_record_is_a_clear_error() {
    let undisturbed = Undisturbed::shared();
    let site = undisturbed.after[1].site.copy();
    let newest = undisturbed.after[1].seen.id;
    let path = site.path().join(layout::snapshot(newest).as_ref());
    let good = fs::read(&path).unwrap();
    let snapshot = site.process().lake.snapshot(newest).await.unwrap();
    let mut chance = Chance::new("a_damaged_snapshot_record_is_a_clear_error");
    let mut problems = Vec::new();
    for trial in 0..by_size(300, 20_000) {
        let mut bad = good.clone();
        let what = if trial % 4 == 0 {
            bad.truncate(chance.below(good.len() as u64) as usize);
            format!("cut to {} of {} bytes", bad.len(), good.len())
        } else {
            let (byte, bit) = (chance.below(good.len() as u64) as usize, chance.below(8));
            bad[byte] ^= 1 << bit;
            format!("bit {bit} of byte {byte} flipped, in {:?}", around(&good, byte))
        };
        fs::write(&path, bad).unwrap();
        if let Err(problem) = is_noticed(&site, &snapshot).await {
            problems.push(format!("{what}: {problem}"));
        }
    }
    let (first, count) = (problems.first(), problems.len());
    assert!(problems.is_empty(), "{count} damages went unnoticed, such as {first:?}");

    fs::write(&path, &good[..good.len() / 2]).unwrap();
    let process = site.process();
    process.ingest(WORKED).await.expect("landing needs no snapshot");
    let error = process.run().await.unwrap_err();
    assert_eq!(error.kind(), Kind::Data, "{}", told(&error));
    fs::write(&path, &good).unwrap();
    process.run().await.unwrap();
    process.see_newest().await.unwrap().same_as(&undisturbed.after[WORKED].seen).unwrap();
}

/// The bytes about one of them.
fn around(bytes: &[u8], at: usize) -> String {
    String::from_utf8_lossy(&bytes[at.saturating_sub(20)..bytes.len().min(at + 20)]).into_owned()
}

async fn is_noticed(site: &Site, good: &Snapshot) -> Outcome {
    match site.process().lake.snapshot(good.id).await {
        Err(error) if error.kind() == Kind::Data && error.message().contains("_smelt/snapshots/") => Ok(()),
        Err(error) => Err(format!("not a clear error: {}", told(&error))),
        // White space, or a letter of another case where case is of no account.
        Ok(read) if serde_json::to_value(&read).unwrap() == serde_json::to_value(good).unwrap() => Ok(()),
        Ok(_) => Err("it reads as another snapshot".into()),
    }
}
