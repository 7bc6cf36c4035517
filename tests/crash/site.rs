//! Lakes in temporary folders, and processes that work on them, each with a store and an engine of its own.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::Duration,
};

use chrono::{NaiveDate, TimeDelta, Utc};
use smelt::{
    bronze::{IngestOptions, IngestReport, ingest},
    clock::{Clock, ShiftedClock},
    engine::{Limits, SessionFactory},
    error::Result,
    lake::{Collected, Lake, LeaseOptions, Snapshot, SnapshotId, layout},
    project::{Retention, Zones},
    run::{RunOptions, RunReport, Workshop, rollback, run},
    serve::EmbeddedEngine,
};
use tempfile::TempDir;

use crate::{
    contents::{Outcome, Seen, told},
    meddled_store::{Fate, MeddledStore},
    shop::Shop,
};

/// Keeps the newest snapshot alone: the collection that deletes most.
pub(crate) const KEEP_ONE: Retention = Retention { snapshots: 1, days: 0, after_run: false };

/// A lake's folder, and the time there.
pub(crate) struct Site {
    folder: TempDir,
    clock: Arc<ShiftedClock>,
    shop: Arc<Shop>,
}

/// What one process has in hand.
#[derive(Clone)]
pub(crate) struct Process {
    shop: Arc<Shop>,
    pub(crate) lake: Lake,
    engine: Arc<SessionFactory>,
}

impl Site {
    pub(crate) fn new(shop: &Arc<Shop>) -> Self {
        Self { folder: TempDir::new().unwrap(), clock: Arc::default(), shop: Arc::clone(shop) }
    }

    /// The same lake at the same time, elsewhere.
    pub(crate) fn copy(&self) -> Self {
        let copy = Self::new(&self.shop);
        copy.advance(self.clock.now() - Utc::now());
        for file in self.files() {
            let to = copy.path().join(&file);
            fs::create_dir_all(to.parent().unwrap()).unwrap();
            fs::copy(self.path().join(&file), to).unwrap();
        }
        copy
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Lets time pass for every process of the site.
    pub(crate) fn advance(&self, by: TimeDelta) {
        self.clock.advance(by);
    }

    /// Lets a lease expire whose holder is silent.
    pub(crate) fn outlast_lease(&self) {
        let term = TimeDelta::from_std(LeaseOptions::default().term).unwrap();
        self.advance(term + TimeDelta::seconds(1));
    }

    /// A process that nothing happens to.
    pub(crate) fn process(&self) -> Process {
        self.process_on(self.undisturbed())
    }

    /// A process whose requests meet their fate.
    pub(crate) fn meddled(&self, fate: &Arc<impl Fate + 'static>) -> Process {
        let fate: Arc<dyn Fate> = fate.clone();
        let store = MeddledStore::new(self.undisturbed().store(), fate);
        let shown = self.path().to_string_lossy();
        self.process_on(Lake::on(Arc::new(store), Zones::default(), Arc::<ShiftedClock>::clone(&self.clock), shown))
    }

    /// As the program opens it.
    fn undisturbed(&self) -> Lake {
        let place = self.path().to_string_lossy();
        Lake::open(&place, Zones::default(), Arc::<ShiftedClock>::clone(&self.clock)).unwrap()
    }

    fn process_on(&self, lake: Lake) -> Process {
        let limits = Limits { memory: 256 << 20, threads: 2, spill: self.shop.spill(), batch_size: 8192 };
        Process { shop: Arc::clone(&self.shop), lake, engine: Arc::new(SessionFactory::new(limits).unwrap()) }
    }

    /// Every file below the lake's folder, by its path in it.
    pub(crate) fn files(&self) -> BTreeSet<PathBuf> {
        let mut files = BTreeSet::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            // A folder goes with its last file.
            for entry in fs::read_dir(&folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    files.insert(path.strip_prefix(self.path()).unwrap().to_owned());
                }
            }
        }
        files
    }

    /// Folders without anything in them, at any depth.
    pub(crate) fn empty_folders(&self) -> Vec<PathBuf> {
        let mut empty = Vec::new();
        let mut folders = vec![self.path().to_owned()];
        while let Some(folder) = folders.pop() {
            let inside: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            if inside.is_empty() {
                empty.push(folder);
            }
            folders.extend(inside.into_iter().filter(|path| path.is_dir()));
        }
        empty
    }

    /// The files below one folder of the lake.
    pub(crate) fn files_in(&self, folder: &str) -> BTreeSet<PathBuf> {
        self.files().into_iter().filter(|path| path.starts_with(folder)).collect()
    }

    /// Expires all snapshots but the newest, and holds what is left to what is needed, file by file.
    pub(crate) async fn tidy(&self) -> Outcome {
        let process = self.process();
        process.collect(KEEP_ONE).await.map_err(|e| format!("collecting: {}", told(&e)))?;
        self.is_tidy().await?;
        let again = process.collect(KEEP_ONE).await.map_err(|e| told(&e))?;
        if again.deleted_objects > 0 {
            return Err(format!("collecting again still found garbage: {again:?}"));
        }
        Ok(())
    }

    /// Whether every data file, change file and prepared entry is one that a published snapshot needs,
    /// and every one that is needed is there.
    pub(crate) async fn is_tidy(&self) -> Outcome {
        let lake = self.process().lake;
        let (mut needed, mut runs) = (BTreeSet::new(), BTreeSet::new());
        for id in lake.snapshots().await.map_err(|e| told(&e))? {
            let snapshot = lake.snapshot(id).await.map_err(|e| told(&e))?;
            runs.insert(PathBuf::from(layout::run(&snapshot.run).as_ref()));
            for (table, state) in snapshot.tables.iter().chain(&snapshot.retired) {
                let folder = PathBuf::from(lake.table_folder(table).as_ref());
                let files = lake.table_files(table, state).await.map_err(|e| told(&e))?;
                needed.extend(files.files.iter().map(|file| folder.join(&file.path)));
                runs.extend(Path::new(&state.entry).ancestors().nth(2).map(Path::to_owned));
            }
        }
        // Whole ones, and what killed processes were just writing.
        let is_data = |path: &PathBuf| {
            path.extension().is_some_and(|e| e == "parquet" || e.as_encoded_bytes().starts_with(b"parquet#"))
                && !in_log(path)
        };
        let there: BTreeSet<PathBuf> =
            self.files().into_iter().filter(|path| !path.starts_with("_smelt") && is_data(path)).collect();
        let missing: Vec<_> = needed.difference(&there).collect();
        let surplus: Vec<_> = there.difference(&needed).collect();
        let strays: Vec<_> = self
            .files_in(layout::RUNS)
            .into_iter()
            .filter(|path| !runs.contains(&path.iter().take(3).collect::<PathBuf>()))
            // One that was killed over its record was no run yet: it goes after a day.
            .filter(|path| !path.ends_with("run.json#1") || self.path().join(path).with_file_name("run.json").exists())
            .collect();
        if missing.is_empty() && surplus.is_empty() && strays.is_empty() {
            return Ok(());
        }
        Err(format!("needed but gone: {missing:?}; there but not needed: {surplus:?}; of dead runs: {strays:?}"))
    }
}

/// Work of one process that goes on beside the test, on threads of its own; they end with it.
pub(crate) struct Going<T>(thread::JoinHandle<T>);

impl<T> Going<T> {
    pub(crate) fn is_over(&self) -> bool {
        self.0.is_finished()
    }

    pub(crate) async fn ended(self) -> T {
        while !self.is_over() {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        self.0.join().expect("a process does not panic")
    }
}

fn in_log(path: &Path) -> bool {
    path.iter().any(|part| part == "_delta_log")
}

impl Process {
    /// Begins some work and lets it go on.
    pub(crate) fn start<T, W>(self, work: impl FnOnce(Self) -> W + Send + 'static) -> Going<T>
    where
        T: Send + 'static,
        W: Future<Output = T>,
    {
        Going(thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
            runtime.block_on(work(self))
        }))
    }

    /// Lands an extract of the shop.
    pub(crate) async fn ingest(&self, extract: usize) -> Result<IngestReport> {
        self.land(&self.shop.extracts[extract]).await
    }

    /// Lands a file, or a folder of them.
    pub(crate) async fn land(&self, path: &Path) -> Result<IngestReport> {
        let options = IngestOptions {
            paths: vec![path.to_string_lossy().into_owned()],
            entity: None,
            // The same for all, so that the same bytes lie in the same place.
            ingestion_date: NaiveDate::from_ymd_opt(2026, 1, 1).unwrap(),
        };
        ingest(&self.lake, &self.shop.project, &options, &|_| ()).await
    }

    pub(crate) async fn run(&self) -> Result<RunReport> {
        self.run_with(RunOptions::default()).await
    }

    pub(crate) async fn rebuild(&self) -> Result<RunReport> {
        self.run_with(RunOptions { rebuild: true, ..RunOptions::default() }).await
    }

    async fn run_with(&self, options: RunOptions) -> Result<RunReport> {
        let workshop =
            Workshop { lake: &self.lake, project: &self.shop.project, models: &self.shop.models, engine: &self.engine };
        run(workshop, options, &|_| ()).await
    }

    pub(crate) async fn rollback(&self, to: SnapshotId, hold: bool) -> Result<Snapshot> {
        rollback(&self.lake, to, hold, LeaseOptions::default()).await
    }

    pub(crate) async fn collect(&self, retention: Retention) -> Result<Collected> {
        self.lake.collect(retention, false).await
    }

    /// The newest snapshot, all of it.
    pub(crate) async fn see_newest(&self) -> Outcome<Seen> {
        let newest = self.lake.newest().await.map_err(|e| told(&e))?;
        self.see(&newest.ok_or("nothing is published")?).await
    }

    /// A snapshot, all of it.
    pub(crate) async fn see(&self, snapshot: &Snapshot) -> Outcome<Seen> {
        Seen::read(&self.lake, &self.embedded(), &self.shop.project, snapshot).await
    }

    pub(crate) fn embedded(&self) -> EmbeddedEngine {
        EmbeddedEngine::new(Arc::clone(&self.engine), self.lake.clone(), "shop")
    }
}
