//! One simulated shop, and the undisturbed warehouse of its extracts that all others are compared to.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError, Weak},
    thread,
};

use smelt::{
    gold::Models,
    project::{Project, template},
};
use smelt_simulate::Options;
use tempfile::TempDir;

use crate::{contents::Seen, site::Site};

/// Extracts of a shop where everything goes wrong, and a project that takes them.
pub(crate) struct Shop {
    folder: TempDir,
    pub(crate) project: Project,
    pub(crate) models: Models,
    /// In the order in which they come: the history, then one a day.
    pub(crate) extracts: Vec<PathBuf>,
}

impl Shop {
    pub(crate) fn simulate(orders: u64, days: u32) -> Self {
        let folder = TempDir::new().unwrap();
        let project = folder.path().join("project");
        for (name, text) in template::FILES {
            let path = project.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        let extracts = folder.path().join("extracts");
        let options = Options { seed: 7, orders, history_days: 20, daily_days: days, ..Options::nastiest() };
        smelt_simulate::simulate(&options, &extracts, &mut |_| ()).unwrap();
        let mut daily: Vec<PathBuf> =
            fs::read_dir(extracts.join("daily")).unwrap().map(|entry| entry.unwrap().path()).collect();
        daily.sort();
        let project = Project::load(&project, None).unwrap();
        Self {
            models: Models::load(&project).unwrap(),
            project,
            extracts: [extracts.join("history")].into_iter().chain(daily).collect(),
            folder,
        }
    }

    /// Where engines spill to.
    pub(crate) fn spill(&self) -> PathBuf {
        self.folder.path().join("spill")
    }
}

/// A warehouse that nothing ever happened to, as it was after each extract's run.
pub(crate) struct Undisturbed {
    pub(crate) shop: Arc<Shop>,
    /// By extract. Not to be changed: tests work on copies of the sites.
    pub(crate) after: Vec<After>,
}

pub(crate) struct After {
    pub(crate) site: Site,
    pub(crate) seen: Seen,
}

/// Days after the history.
const DAYS: u32 = 4;
const ORDERS: u64 = 300;

impl Undisturbed {
    /// Made once for all tests that run at the same time, and removed with the last of them.
    pub(crate) fn shared() -> Arc<Self> {
        static SHARED: Mutex<Weak<Undisturbed>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(made) = shared.upgrade() {
            return made;
        }
        // The caller is inside a runtime, where another cannot be waited for.
        let made = thread::spawn(|| {
            let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
            runtime.block_on(Self::make(ORDERS, DAYS))
        });
        let made = Arc::new(made.join().expect("the undisturbed warehouse can be made"));
        *shared = Arc::downgrade(&made);
        made
    }

    pub(crate) async fn make(orders: u64, days: u32) -> Self {
        let shop = Arc::new(Shop::simulate(orders, days));
        let mut after: Vec<After> = Vec::new();
        for extract in 0..shop.extracts.len() {
            let site = after.last().map_or_else(|| Site::new(&shop), |before| before.site.copy());
            let process = site.process();
            process.ingest(extract).await.unwrap();
            process.run().await.unwrap();
            let seen = process.see_newest().await.unwrap();
            after.push(After { site, seen });
        }
        Self { shop, after }
    }

    /// A site with the first extracts run, and the next one landed but not run.
    pub(crate) async fn about_to_run(&self, extract: usize) -> Site {
        let site = self.after[extract - 1].site.copy();
        site.process().ingest(extract).await.unwrap();
        site
    }
}
