//! Folders that may not be read, disks that are full, files of the lake that are damaged, and another
//! smelt at work.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use crate::{
    opening_day::order,
    ran::{Fault, Ran},
    shop::Shop,
};

/// Tells why a test cannot be made here.
fn skip(reason: &str) {
    eprintln!("skipped: {reason}");
}

fn is_root() -> bool {
    Ran::run(Command::new("id").arg("-u")).ok().stdout.trim() == "0"
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// The shop's commands as a user who owns it, but may not pass over permissions; `None` where root
/// cannot become one.
fn unprivileged(shop: &Shop) -> Option<impl Fn(&[&str]) -> Ran + use<'_>> {
    let root = is_root();
    let wrap = move |command: &Command| {
        if !root {
            let mut same = Command::new(command.get_program());
            same.args(command.get_args());
            return same;
        }
        let mut wrapped = Command::new("setpriv");
        wrapped.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        wrapped.arg(command.get_program()).args(command.get_args());
        wrapped
    };
    if root {
        let mut probe = wrap(Command::new(crate::shop::SMELT).arg("--version"));
        if !probe.output().is_ok_and(|output| output.status.success()) {
            skip("this is root, and `setpriv` cannot run the program as nobody");
            return None;
        }
        Ran::run(Command::new("chown").args(["-R", "65534:65534"]).arg(shop.folder())).ok();
    }
    Some(move |arguments: &[&str]| Ran::run(wrap(&shop.command(arguments.iter().copied())).current_dir(shop.folder())))
}

/// What may not be read or written is named, and what is published stays.
#[test]
fn a_folder_without_permission_is_named_and_nothing_is_lost() {
    let shop = Shop::open();
    shop.write("inbox/orders.jsonl", order("o3", "2025-01-05"));
    shop.write("secret/orders.jsonl", order("o4", "2025-01-05"));
    let Some(smelt) = unprivileged(&shop) else { return };
    let refused = |arguments: &[&str], named: &str| {
        let fault: Fault = smelt(arguments).exits(2).fault();
        assert!(fault.whole().contains(named), "{named}: {fault:#?}");
        assert!(fault.whole().contains("ermission denied"), "{named}: {fault:#?}");
        assert!(fault.hint.is_some_and(|hint| hint.contains("the right to read")));
    };
    let before = shop.fingerprint();

    set_mode(&shop.path("secret"), 0o000);
    refused(&["ingest", "secret", "--json"], "secret");
    set_mode(&shop.path("secret"), 0o755);
    set_mode(&shop.path("contracts"), 0o000);
    refused(&["run", "--json"], "contracts");
    set_mode(&shop.path("contracts"), 0o755);
    set_mode(&shop.path("lake/_smelt/batches"), 0o555);
    refused(&["ingest", "inbox", "--json"], "_smelt/batches");
    set_mode(&shop.path("lake/_smelt/batches"), 0o755);
    let mut now = shop.fingerprint();
    // Bytes without a manifest have not landed.
    now.retain(|path, _| !path.starts_with("raw") || before.contains_key(path));
    assert_eq!(now, before);

    smelt(&["ingest", "inbox"]).ok();
    let before = shop.fingerprint();
    for folder in ["lake/gold/fact_orders", "lake/_smelt/snapshots", "lake/raw"] {
        let mode = if folder == "lake/raw" { 0o000 } else { 0o555 };
        set_mode(&shop.path(folder), mode);
        refused(&["run", "--json"], folder.strip_prefix("lake/").unwrap());
        set_mode(&shop.path(folder), 0o755);
        shop.is_untouched_since(&before, folder);
    }
    smelt(&["run"]).ok();
    assert_eq!(shop.value("select count(*) from fact_orders"), "3");
}

/// A file system of some megabytes over a shop's lake; unmounted in the end.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(lake: &Path, megabytes: u32) -> Option<Self> {
        fs::create_dir_all(lake).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={megabytes}m"), "tmpfs"])
            .arg(lake)
            .output();
        match mounted {
            Ok(output) if output.status.success() => Some(Self(lake.to_owned())),
            _ => {
                skip("a small file system cannot be mounted here (that takes root)");
                None
            }
        }
    }

    /// Leaves so many bytes free, or a little less.
    fn fill(&self, free: u64) {
        let room = {
            let shown = Ran::run(Command::new("df").args(["--output=avail", "-B1"]).arg(&self.0)).ok();
            shown.stdout.lines().last().unwrap().trim().parse::<u64>().unwrap()
        };
        let ballast = vec![1; usize::try_from(room.saturating_sub(free)).unwrap()];
        // Where nothing is to be left, the last bytes do not fit.
        let written = fs::write(self.0.join("ballast"), ballast);
        assert!(written.is_ok() || free == 0, "{written:?}");
    }

    fn free(&self) {
        fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg(&self.0).status();
    }
}

/// A full disk fails a landing and a run with exit code 5 and a clear text, at whatever write it
/// strikes; readers read on, and once there is space the next run works.
#[test]
fn a_full_disk_fails_the_run_and_the_next_one_works() {
    let shop = Shop::patient();
    let Some(disk) = SmallDisk::mount(&shop.lake(), 8) else { return };
    shop.write("orders.jsonl", order("o1", "2025-01-05"));
    let more: String = (2..=2_000).map(|number| order(&format!("o{number}"), "2025-01-05")).collect();
    shop.write("inbox/orders-2.jsonl", more);
    shop.smelt(["ingest", "orders.jsonl"]).ok();
    shop.smelt(["run"]).ok();
    let full = |arguments: &[&str], free: u64| {
        let before = shop.fingerprint();
        disk.fill(free);
        let fault = shop.fault(5, arguments.iter().copied());
        assert_eq!(fault.kind, "Unavailable", "{free} bytes free: {fault:#?}");
        assert!(fault.whole().contains("No space left"), "{free} bytes free: {fault:#?}");
        assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("free some space")), "{fault:#?}");
        assert_eq!(shop.value("select count(*) from fact_orders"), "1", "readers read on");
        disk.free();
        shop.is_untouched_since(&before, &format!("{arguments:?} with {free} bytes free"));
    };
    full(&["ingest", "inbox"], 0);
    shop.smelt(["ingest", "inbox"]).ok();
    // Struck at the lease, at early tables, at late ones.
    for kilobytes in [0, 8, 16, 32] {
        full(&["run"], kilobytes << 10);
    }
    assert_eq!(shop.snapshots(), [1]);
    assert_eq!(shop.run()["snapshot"], 2);
    assert_eq!(shop.value("select count(*) from fact_orders"), "2000");
}

/// A verification has its own room: where that is full, it says so and what to do, and leaves nothing there.
#[test]
fn a_full_disk_for_temporary_files_fails_a_verification_alone() {
    let shop = Shop::patient();
    let temporary = shop.path("temporary");
    let Some(disk) = SmallDisk::mount(&temporary, 8) else { return };
    let records: String = (1..=20_000).map(|number| order(&format!("o{number}"), "2025-01-05")).collect();
    shop.land("orders.jsonl", records);
    shop.run();
    let before = shop.fingerprint();
    let verify = || Ran::run(shop.command(["verify", "--json"]).env("TMPDIR", &temporary));
    for kilobytes in [0, 16, 64] {
        disk.fill(kilobytes << 10);
        let fault = verify().exits(5).fault();
        assert!(fault.message.contains("the disk is full"), "{kilobytes} kB free: {fault:#?}");
        assert!(fault.whole().contains("No space left"), "{kilobytes} kB free: {fault:#?}");
        assert!(fault.hint.as_ref().is_some_and(|hint| hint.contains("TMPDIR")), "{fault:#?}");
        disk.free();
        assert_eq!(fs::read_dir(&temporary).unwrap().count(), 0, "{kilobytes} kB free: something was left");
        shop.is_untouched_since(&before, "a verification without room");
    }
    verify().ok();
}

/// A run that was stopped in the middle, holding the lock.
struct Stopped(Child);

impl Stopped {
    fn rebuild(shop: &Shop) -> Self {
        // A run may be over before it is stopped.
        for _ in 0..50 {
            let mut child = shop.command(["rebuild"]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            while child.try_wait().unwrap().is_none() {
                if holds_lease(shop) {
                    signal(&child, "-STOP");
                    if holds_lease(shop) {
                        return Self(child);
                    }
                    signal(&child, "-CONT");
                    break;
                }
            }
            child.wait().unwrap();
        }
        panic!("no run was slow enough to be stopped");
    }

    fn goes_on(mut self) -> bool {
        signal(&self.0, "-CONT");
        self.0.wait().unwrap().success()
    }
}

fn signal(child: &Child, name: &str) {
    Ran::run(Command::new("kill").args([name, &child.id().to_string()])).ok();
}

fn holds_lease(shop: &Shop) -> bool {
    let leases = fs::read_dir(shop.path("lake/_smelt/lease")).into_iter().flatten();
    let newest = leases
        .filter_map(|lease| Some(lease.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|end| end == "json"))
        .max();
    newest.and_then(|path| fs::read_to_string(path).ok()).is_some_and(|text| {
        serde_json::from_str::<serde_json::Value>(&text).is_ok_and(|lease| lease["released"] == false)
    })
}

/// One writer at a time: the second says who is first, or waits for it when told to. Readers and
/// landings do not wait.
#[test]
fn a_second_run_says_who_holds_the_lock_or_waits() {
    let shop = Shop::open();
    let first = Stopped::rebuild(&shop);
    let fault = shop.fault(4, ["rebuild"]);
    assert_eq!(fault.kind, "Conflict", "{fault:#?}");
    assert!(fault.message.contains(&format!("process {}", first.0.id())), "{fault:#?}");
    assert!(fault.hint.is_some_and(|hint| hint.contains("--wait")));
    let begun = Instant::now();
    shop.fault(4, ["rebuild", "--wait", "1s"]);
    assert!(begun.elapsed() >= Duration::from_secs(1), "it did not wait");
    shop.land("orders.jsonl", order("o3", "2025-01-05"));
    assert_eq!(shop.value("select count(*) from fact_orders"), "2");

    let before = shop.snapshots().len();
    thread::scope(|scope| {
        let second = scope.spawn(|| shop.smelt(["rebuild", "--wait", "5m"]));
        thread::sleep(Duration::from_millis(300));
        assert!(!second.is_finished(), "it did not wait");
        assert!(first.goes_on(), "the first run fails");
        second.join().unwrap().ok();
    });
    assert_eq!(shop.snapshots().len(), before + 2);
    assert_eq!(shop.value("select count(*) from fact_orders"), "3");
}

/// The newest snapshot's file is damaged: every command says so and which, and none writes over it.
/// Put back, everything works.
#[test]
fn a_damaged_snapshot_is_told_and_never_written_over() {
    let shop = Shop::open();
    shop.land("orders.jsonl", order("o3", "2025-01-05"));
    let name = "lake/_smelt/snapshots/00000000000000000001.json";
    let good = shop.read(name);
    for bad in [
        "",
        "{",
        &good[..good.len() / 2],
        "[]",
        &good.replacen("\"id\":1", "\"id\":7", 1),
        &good.replacen("\"id\": 1", "\"id\": 7", 1),
    ] {
        if bad == good {
            continue;
        }
        shop.write(name, bad);
        let before = shop.fingerprint();
        for command in [&["run"][..], &["status"], &["query", "select 1"], &["rebuild"]] {
            let fault = shop.fault(3, command.iter().copied());
            assert!(
                fault.message.contains("snapshots/00000000000000000001.json` is damaged"),
                "{command:?}: {fault:#?}"
            );
            assert!(fault.hint.is_some_and(|hint| hint.contains("backup")), "{command:?}");
        }
        shop.is_untouched_since(&before, &format!("a snapshot of {} bytes", bad.len()));
    }
    shop.write(name, good);
    assert_eq!(shop.run()["snapshot"], 2);
}

/// Raw bytes that were cut or removed behind smelt's back are told by name where they are read
/// again; the last snapshot goes on answering.
#[test]
fn damaged_raw_is_told_and_the_last_snapshot_answers() {
    let shop = Shop::open();
    let raw = {
        let manifest: serde_json::Value =
            serde_json::from_str(&shop.read("lake/_smelt/batches/00000000000000000001.json")).unwrap();
        let files = manifest["files"].as_array().unwrap().clone();
        let orders = files.into_iter().find(|file| file["entity"] == "orders").unwrap();
        format!("lake/{}", orders["raw"].as_str().unwrap())
    };
    let good = shop.read(&raw);
    let shorter = good.lines().next().unwrap().to_owned() + "\n";
    for (scenario, bytes) in [("removed", None), ("cut", Some(shorter))] {
        match &bytes {
            None => fs::remove_file(shop.path(&raw)).unwrap(),
            Some(bytes) => shop.write(&raw, bytes),
        }
        let before = shop.fingerprint();
        let fault = shop.fault(3, ["rebuild"]);
        let digest = Path::new(&raw).file_stem().unwrap().to_string_lossy().into_owned();
        assert!(fault.whole().contains(&digest), "{scenario}: {fault:#?}");
        shop.is_untouched_since(&before, scenario);
        assert_eq!(shop.value("select count(*) from fact_orders where order_status = 'placed'"), "1", "{scenario}");
        shop.write(&raw, &good);
    }
    shop.smelt(["rebuild"]).ok();
}
