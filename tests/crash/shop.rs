//! One simulated shop, and the undisturbed warehouse of its extracts that all others are compared to.

use std::{
    fs,
    path::{Path, PathBuf},
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

/// What a shop sells, so to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Range {
    /// The whole reference project.
    Whole,
    /// Customers with their history and orders, and two dimensions: every kind of table and of write,
    /// and a run in a fraction of the time.
    Small,
}

impl Range {
    /// The project's file of this name, as far as it is there.
    fn file(self, name: &str, text: &str) -> Option<String> {
        if self == Self::Whole {
            return Some(text.to_owned());
        }
        let cut = |text: &str| text[..text.find("  - name: dim_products").expect("the last model")].to_owned();
        match name {
            "models/dimensions/schema.yml" => Some(cut(text)),
            "models/dimensions/dim_date.sql" | "models/dimensions/dim_customers.sql" => Some(text.to_owned()),
            "contracts/customers.odcs.yaml" | "contracts/orders.odcs.yaml" => Some(text.to_owned()),
            _ if name.starts_with("tests/customer") || !name.contains('/') => Some(text.to_owned()),
            _ => None,
        }
    }

    /// Writes the project, with its lake where `lake` says.
    pub(crate) fn write(self, project: &Path, lake: &str) {
        for (name, text) in template::FILES {
            let Some(text) = self.file(name, text) else { continue };
            let path = project.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text.replace("    lake: lake\n", &format!("    lake: {lake}\n"))).unwrap();
        }
    }

    /// Removes the extracts of entities that the project does not have.
    fn prune(self, folder: &Path) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            let is_other =
                ["order_items", "payments", "products", "shipments"].iter().any(|other| name.starts_with(other));
            if self == Self::Whole || !is_other {
                if path.is_dir() {
                    self.prune(&path);
                }
            } else if path.is_dir() {
                fs::remove_dir_all(path).unwrap();
            } else {
                fs::remove_file(path).unwrap();
            }
        }
    }
}

impl Shop {
    pub(crate) fn simulate(range: Range, orders: u64, days: u32) -> Self {
        let folder = TempDir::new().unwrap();
        let project = folder.path().join("project");
        range.write(&project, "lake");
        let extracts = folder.path().join("extracts");
        let options = Options { seed: 7, orders, history_days: 20, daily_days: days, ..Options::nastiest() };
        smelt_simulate::simulate(&options, &extracts, &mut |_| ()).unwrap();
        range.prune(&extracts);
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
            runtime.block_on(Self::make(Range::Small, ORDERS, DAYS))
        });
        let made = Arc::new(made.join().expect("the undisturbed warehouse can be made"));
        *shared = Arc::downgrade(&made);
        made
    }

    pub(crate) async fn make(range: Range, orders: u64, days: u32) -> Self {
        let shop = Arc::new(Shop::simulate(range, orders, days));
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
