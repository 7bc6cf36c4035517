//! Claim: garbage collection takes nothing that a kept snapshot, a live reader, a running candidate or
//! a rollback needs, wherever it meets them; and afterwards nothing else is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    sync::Arc,
    time::{Duration, SystemTime},
};

use chrono::TimeDelta;
use smelt::{
    error::Kind,
    lake::{SnapshotId, layout},
    query::{Questions, only},
    serve::{LakeWarehouse, Warehouse},
};
use tempfile::TempDir;

use crate::{
    chance::Chance,
    contents::{Outcome, told, view_shows},
    faults::Faults,
    gate::Gate,
    meddled_store::Operation,
    shop::Undisturbed,
    site::{KEEP_ONE, Process, Site},
    size::is_long,
};

const WORKED: usize = 2;

/// Where a process is stopped: before a request, told by its class and how many of it went before.
#[derive(Debug, Clone)]
struct Stop {
    class: String,
    passing: u64,
}

impl Stop {
    fn gate(&self) -> Arc<Gate> {
        let class = self.class.clone();
        Arc::new(Gate::after_passing(self.passing, move |operation| operation.class() == class))
    }
}

/// Every request (long), or the first and one other of each class (small).
fn stops(requests: &[Operation], chance: &mut Chance) -> Vec<Stop> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for request in requests {
        *counts.entry(request.class()).or_default() += 1;
    }
    let mut stops = Vec::new();
    for (class, count) in counts {
        let passing: Vec<u64> = match count {
            _ if is_long() => (0..count).collect(),
            1 => vec![0],
            _ => vec![0, 1 + chance.below(count - 1)],
        };
        stops.extend(passing.into_iter().map(|passing| Stop { class: class.clone(), passing }));
    }
    stops
}

/// The requests that a piece of work makes.
async fn requests<W: Future>(base: &Site, work: impl FnOnce(Process) -> W) -> Vec<Operation> {
    let faults = Arc::new(Faults::none());
    let site = base.copy();
    work(site.meddled(&faults)).await;
    faults.requests()
}

fn report(problems: &[String]) {
    assert!(problems.is_empty(), "{} problems:\n{}", problems.len(), problems.join("\n"));
}

/// Proves: a run that begins while a collection is under way, wherever that stands, keeps all it writes.
#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_begins_during_a_collection_keeps_its_files() {
    let undisturbed = Undisturbed::shared();
    let base = undisturbed.about_to_run(WORKED).await;
    let mut chance = Chance::new("a_run_that_begins_during_a_collection_keeps_its_files");
    let requests = requests(&base, |process| async move { process.collect(KEEP_ONE).await.unwrap() }).await;
    let mut problems = Vec::new();
    for stop in stops(&requests, &mut chance) {
        let judged = async {
            let site = base.copy();
            let gate = stop.gate();
            let collecting = site.meddled(&gate).start(|process| async move { process.collect(KEEP_ONE).await });
            if !gate.reached(&collecting).await {
                return Err("the collection never came there".to_owned());
            }
            let publishing = Arc::new(Gate::before_class("Put snapshot"));
            let running = site.meddled(&publishing).start(|process| async move { process.run().await });
            if !publishing.reached(&running).await {
                return Err("the run never came to its publish".to_owned());
            }
            gate.open();
            collecting.ended().await.map_err(|e| format!("the collection fails: {}", told(&e)))?;
            publishing.open();
            running.ended().await.map_err(|e| format!("the run fails: {}", told(&e)))?;
            is_whole_and_tidy(&site, &undisturbed).await
        };
        if let Err(problem) = judged.await {
            problems.push(format!("the collection stood at {stop:?}: {problem}"));
        }
    }
    report(&problems);
}

/// Proves: a run is not disturbed by a whole collection, wherever it stands, also with its lease run out.
#[tokio::test(flavor = "multi_thread")]
async fn a_collection_during_a_run_takes_nothing_of_it() {
    let undisturbed = Undisturbed::shared();
    let base = undisturbed.about_to_run(WORKED).await;
    let mut chance = Chance::new("a_collection_during_a_run_takes_nothing_of_it");
    let requests = requests(&base, |process| async move { process.run().await.unwrap() }).await;
    let writes: Vec<Operation> = requests.into_iter().filter(Operation::writes).collect();
    let mut problems = Vec::new();
    for stop in stops(&writes, &mut chance) {
        let judged = async {
            let site = base.copy();
            let gate = stop.gate();
            let running = site.meddled(&gate).start(|process| async move { process.run().await });
            if !gate.reached(&running).await {
                return Err("the run never came there".to_owned());
            }
            site.outlast_lease();
            site.process().collect(KEEP_ONE).await.map_err(|e| format!("the collection fails: {}", told(&e)))?;
            gate.open();
            running.ended().await.map_err(|e| format!("the run fails: {}", told(&e)))?;
            is_whole_and_tidy(&site, &undisturbed).await
        };
        if let Err(problem) = judged.await {
            problems.push(format!("the run stood at {stop:?}: {problem}"));
        }
    }
    report(&problems);
}

/// Proves: a rollback beside a collection that expires its target is either done whole or refused.
#[tokio::test(flavor = "multi_thread")]
async fn a_rollback_to_a_snapshot_that_expires_meanwhile_is_whole_or_refused() {
    let undisturbed = Undisturbed::shared();
    let base = &undisturbed.after[WORKED].site;
    let mut chance = Chance::new("a_rollback_to_a_snapshot_that_expires_meanwhile_is_whole_or_refused");
    let requests = requests(base, |process| async move { process.rollback(SnapshotId(1), false).await.unwrap() }).await;
    let mut problems = Vec::new();
    for stop in stops(&requests, &mut chance) {
        let judged = async {
            let site = base.copy();
            let gate = stop.gate();
            let rolling =
                site.meddled(&gate).start(|process| async move { process.rollback(SnapshotId(1), false).await });
            if !gate.reached(&rolling).await {
                return Err("the rollback never came there".to_owned());
            }
            let process = site.process();
            process.collect(KEEP_ONE).await.map_err(|e| format!("the collection fails: {}", told(&e)))?;
            gate.open();
            let expected = match rolling.ended().await {
                Ok(_) => &undisturbed.after[0].seen,
                Err(error) if error.kind() == Kind::Input && error.message().contains("expired") => {
                    &undisturbed.after[WORKED].seen
                }
                Err(error) => return Err(format!("not a clear error: {}", told(&error))),
            };
            process.see_newest().await?.same_as(expected)?;
            site.tidy().await
        };
        if let Err(problem) = judged.await {
            problems.push(format!("the rollback stood at {stop:?}: {problem}"));
        }
    }
    report(&problems);
}

/// Proves: what a process was writing when it was killed goes once nobody can finish it, with its run or after a
/// day; what a living one writes stays, and so does what is not smelt's.
#[tokio::test(flavor = "multi_thread")]
async fn what_killed_processes_were_writing_goes_once_nobody_can_finish_it() {
    let undisturbed = Undisturbed::shared();
    let site = undisturbed.about_to_run(WORKED).await;
    let elsewhere = TempDir::new().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), site.path().join("raw/link")).unwrap();
    let runs = || -> BTreeSet<_> {
        site.files_in(layout::RUNS).iter().map(|path| path.iter().nth(2).unwrap().to_owned()).collect()
    };
    site.process().collect(KEEP_ONE).await.unwrap();
    let ended = runs();
    let gate = Arc::new(Gate::before_class("Put snapshot"));
    let running = site.meddled(&gate).start(|process| async move { process.run().await });
    assert!(gate.reached(&running).await);
    let living = runs().difference(&ended).next().unwrap().to_string_lossy().into_owned();

    let write = |path: &str, hours: u64| {
        let path = site.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = fs::File::create(path).unwrap();
        file.write_all(b"half").unwrap();
        file.set_modified(SystemTime::now() - Duration::from_hours(hours)).unwrap();
    };
    write("_smelt/runs/00000000-dead/run.json", 0);
    fs::write(site.path().join("_smelt/runs/00000000-dead/run.json"), r#"{"base": 0}"#).unwrap();
    let of_the_dead = [
        ("_smelt/runs/00000000-dead/entries/gold.dim_date.json#1", 0),
        ("gold/dim_date/part-00000000-dead-00000.parquet#1", 0),
        // Deleted before, but for this.
        ("gold/fact_gone/part-00000000-gone-00000.parquet#12", 0),
        ("raw/orders/orders.csv#1", 25),
        ("_smelt/batches/00000000000000000099.json#1", 25),
        ("gold/dim_date/_delta_log/00000000000000000099.json#1", 25),
    ];
    let live_file = format!("gold/dim_date/part-{living}-00099.parquet#1");
    let live_entry = format!("_smelt/runs/{living}/entries/gold.other.json#1");
    let of_the_living =
        [(live_file.as_str(), 0), (&live_entry, 23), ("raw/orders/more.csv#1", 23), ("raw/orders/future.csv#1", 0)];
    let of_others = [("notes#1", 25), ("raw/link/mine#1", 25), ("raw/orders/orders.csv#", 25), ("raw/orders/o#1a", 25)];
    for (path, hours) in of_the_dead.iter().chain(&of_the_living).chain(&of_others) {
        write(path, *hours);
    }
    let future = fs::File::open(site.path().join("raw/orders/future.csv#1")).unwrap();
    future.set_modified(SystemTime::now() + Duration::from_hours(48)).unwrap();
    let gone = |paths: &[(&str, u64)]| paths.iter().filter(|(path, _)| !site.path().join(path).exists()).count();

    let would = site.process().lake.collect(KEEP_ONE, true).await.unwrap();
    assert_eq!(gone(&of_the_dead), 0, "a dry run only says what it would do");
    let did = site.process().collect(KEEP_ONE).await.unwrap();
    assert_eq!((would.deleted_objects, would.freed_bytes), (did.deleted_objects, did.freed_bytes));
    assert_eq!(did.deleted_objects, of_the_dead.len() as u64 + 1, "and the record of the dead run");
    assert_eq!(did.freed_bytes, 4 * of_the_dead.len() as u64 + r#"{"base": 0}"#.len() as u64);
    assert_eq!(gone(&of_the_dead), of_the_dead.len());
    assert_eq!(gone(&of_the_living) + gone(&of_others), 0);
    assert!(!site.path().join("gold/fact_gone").exists(), "no empty folder is left");

    gate.open();
    running.ended().await.unwrap();
    // Once its run has published, it writes no more data; what else it writes may still come.
    site.process().collect(KEEP_ONE).await.unwrap();
    assert_eq!((site.path().join(&live_file).exists(), site.path().join(&live_entry).exists()), (false, true));
    site.process().see_newest().await.unwrap().same_as(&undisturbed.after[WORKED].seen).unwrap();
}

async fn is_whole_and_tidy(site: &Site, undisturbed: &Undisturbed) -> Outcome {
    let process = site.process();
    process.see_newest().await?.same_as(&undisturbed.after[WORKED].seen)?;
    site.tidy().await?;
    process.see_newest().await?.same_as(&undisturbed.after[WORKED].seen)
}

/// Proves: what a reader holds stays whole through runs, a rebuild and collections, for a stream that
/// has begun and for one that begins later; and it goes when the reader does, or has long been silent.
#[tokio::test(flavor = "multi_thread")]
async fn a_held_view_stays_whole_until_it_is_dropped() {
    let undisturbed = Undisturbed::shared();
    let site = undisturbed.after[1].site.copy();
    let reader = site.process();
    let engine = Arc::new(reader.embedded());
    let warehouse = LakeWarehouse::new(reader.lake.clone());
    let view = warehouse.newest().await.unwrap();
    let questions = Questions::new(Arc::clone(&view), engine.clone()).unwrap();
    let slow = only("select c.*, d.* from dim_customers as c cross join dim_date as d").unwrap();
    let mut slow = questions.ask(&slow).await.unwrap();
    slow.next().await.unwrap().unwrap();

    let writer = site.process();
    for extract in [2, 3] {
        writer.ingest(extract).await.unwrap();
        writer.run().await.unwrap();
        writer.collect(KEEP_ONE).await.unwrap();
    }
    writer.rebuild().await.unwrap();
    let collected = writer.collect(KEEP_ONE).await.unwrap();
    assert_eq!(collected.kept_snapshots, 2, "the newest and the one that is read");
    for _ in 0..16 {
        slow.next().await.expect("more rows").unwrap();
    }
    view_shows(&view, &*engine, &undisturbed.after[1].seen).await.unwrap();
    site.is_tidy().await.unwrap();

    // The reader dies with its pin in place: the pin runs out.
    let deserted = site.copy();
    assert_eq!(deserted.process().collect(KEEP_ONE).await.unwrap().kept_snapshots, 2);
    deserted.advance(TimeDelta::minutes(11));
    deserted.tidy().await.unwrap();
    assert_eq!(deserted.process().lake.snapshots().await.unwrap().len(), 1);

    // The reader goes in peace: its pin goes with it.
    drop((view, slow, questions, warehouse));
    for _ in 0..500 {
        if site.files_in(layout::PINS).is_empty() {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    site.tidy().await.unwrap();
    assert_eq!(writer.lake.snapshots().await.unwrap().len(), 1);
    writer.see_newest().await.unwrap().same_as(&undisturbed.after[3].seen).unwrap();
}

/// Proves: a reader and a collection that meet anywhere give a whole view or the clear word that the
/// snapshot has expired, never a view with holes.
#[tokio::test(flavor = "multi_thread")]
async fn a_reader_that_meets_a_collection_sees_all_or_hears_that_it_expired() {
    let undisturbed = Undisturbed::shared();
    let base = &undisturbed.after[1].site;
    let mut chance = Chance::new("a_reader_that_meets_a_collection_sees_all_or_hears_that_it_expired");
    let expected = &undisturbed.after[0].seen;
    let collecting = requests(base, |process| async move { process.collect(KEEP_ONE).await.unwrap() }).await;
    let reading = |process: Process| async move { LakeWarehouse::new(process.lake.clone()).at(1).await };
    let mut opening = requests(base, |process| async move { reading(process).await.unwrap() }).await;
    // The view is looked at before it goes.
    opening.retain(|request| request.class() != "Delete pin");
    let mut problems = Vec::new();
    let cases = [("the collection", collecting), ("the reader", opening)];
    for (who, stop) in cases.iter().flat_map(|(who, requests)| {
        stops(requests, &mut chance).into_iter().map(|stop| (*who, stop)).collect::<Vec<_>>()
    }) {
        let judged = async {
            let site = base.copy();
            let gate = stop.gate();
            let stopped = site.meddled(&gate);
            let free = site.process();
            let engine = stopped.embedded();
            let opened = if who == "the collection" {
                let collecting = stopped.start(|process| async move { process.collect(KEEP_ONE).await });
                let there = gate.reached(&collecting).await;
                let opened = reading(free).await;
                gate.open();
                collecting.ended().await.map_err(|e| format!("the collection fails: {}", told(&e)))?;
                there.then_some(opened)
            } else {
                let opening = stopped.start(reading);
                let there = gate.reached(&opening).await;
                free.collect(KEEP_ONE).await.map_err(|e| format!("the collection fails: {}", told(&e)))?;
                gate.open();
                there.then_some(opening.ended().await)
            };
            match opened.ok_or("nobody came there")? {
                Ok(view) => view_shows(&view, &engine, expected).await,
                Err(error) if error.kind() == Kind::Input && error.message().contains("expired") => Ok(()),
                Err(error) => Err(format!("not a clear error: {}", told(&error))),
            }
        };
        if let Err(problem) = judged.await {
            problems.push(format!("{who} stood at {stop:?}: {problem}"));
        }
    }
    report(&problems);
}
