//! The lake: objects, Delta tables and snapshots on any object store.
//!
//! In:  Parquet files that the stages wrote for a run's candidate, and what they replace.
//! Out: one published snapshot, whole, by one create-only put; readers of any published snapshot.
//! Rule: only this room writes `_delta_log` and `_smelt`. Nothing is renamed or listed into being:
//! what a snapshot does not name does not exist.
//!
//! | file | what lives there |
//! |---|---|
//! | `store` | opening a location; create-only puts; store errors in people's words |
//! | `layout` | where every object lies |
//! | `names` | newtypes for snapshots, batches, runs and tables |
//! | `snapshot` | the published record of one state of the warehouse |
//! | `lease` | one writer at a time, with fencing |
//! | `delta` | log entries, and the files of a table at a version |
//! | `deletions` | rows of files that are gone while the files stay |
//! | `lookup` | rows of a file by the values of some columns |
//! | `key_hashes` | what tells lookups where in a file a key can be |
//! | `located` | rows with the places that they can be deleted at |
//! | `rewrite` | rows that go from a table and rows that come: deletions, new files, compaction |
//! | `near` | files on this machine, read into memory that is used again |
//! | `file_writer` | sorted batches to Parquet files; those of tables with statistics |
//! | `file_reader` | columns of a data file, all of its rows or some |
//! | `batches` | what is asked of Arrow's batches |
//! | `candidate` | what a run would publish; publishing it |
//! | `change_rows` | the rows of its change sets, in memory while there is room |
//! | `provider` | a table's exact files as a DataFusion table |
//! | `matching` | of such a table the rows that have keys of a set |
//! | `aside` | a lake beside a lake, for what is computed and never published |
//! | `pins` | live readers, so that gc leaves their files |
//! | `unfinished` | files on this machine whose writers were killed |
//! | `gc` | what no snapshot, reader or run needs any more |

mod aside;
mod batches;
mod candidate;
mod change_rows;
mod deletions;
mod delta;
mod file_reader;
mod file_writer;
mod gc;
mod key_hashes;
pub mod layout;
mod lease;
mod located;
mod lookup;
mod matching;
mod names;
mod near;
mod pins;
mod provider;
mod rewrite;
mod snapshot;
mod store;
mod unfinished;

use std::sync::Arc;

use object_store::ObjectStore;
use parquet::basic::Compression;
use tokio::sync::RwLock;
use url::Url;

pub use aside::Aside;
pub(crate) use batches::{concat, content_bytes};
pub use candidate::{Candidate, Contents, TableChange};
pub use deletions::Deletions;
pub use delta::{FileEntry, TableFiles};
pub use file_reader::{FileRows, read_columns};
pub use file_writer::FileWriter;
pub use gc::Collected;
pub use lease::{Lease, LeaseOptions};
pub(crate) use located::LocatedRows;
pub(crate) use lookup::{Keys, PlacedRows, placed_rows};
pub(crate) use matching::MatchingRows;
pub use names::{BatchId, RunId, SnapshotId, TableName, Zone};
pub use pins::Pin;
pub use provider::LakeTable;
pub(crate) use rewrite::{Displaced, TableEdit, ordered};
pub use snapshot::{ChangeFile, ChangeSet, Coverage, Definitions, EntityTotals, FileRef, Origin, Snapshot, TableState};
pub use store::{Put, location, store_error};

use crate::{clock::Clock, error::Result, project::Zones};

/// An open lake: a store, the names of its zones, and a clock.
#[derive(Debug, Clone)]
pub struct Lake {
    pub(crate) store: Arc<dyn ObjectStore>,
    /// The store's folder, where it is one.
    pub(crate) near: Option<Arc<near::Near>>,
    /// The URL under which the store is registered with the engine; its path is empty.
    pub(crate) url: Url,
    pub(crate) zones: Zones,
    pub(crate) clock: Arc<dyn Clock>,
    footers: Arc<file_reader::Footers>,
    /// Held by each file that is on its way: what a failed run wrote is deleted once nothing more comes.
    pub(crate) writing: Arc<RwLock<()>>,
    /// Of data files.
    pub(crate) compression: Compression,
    /// How people know the lake: its folder or URL.
    pub(crate) shown: String,
}

impl Lake {
    /// A lake on an already opened store (tests inject faults through it).
    pub fn on(store: Arc<dyn ObjectStore>, zones: Zones, clock: Arc<dyn Clock>, shown: impl Into<String>) -> Self {
        // The engine finds the store by this URL; two lakes never share one session.
        let url = Url::parse("smelt://lake/").unwrap_or_else(|e| unreachable!("a constant URL parses: {e}"));
        Self {
            store,
            near: None,
            url,
            zones,
            clock,
            footers: Arc::default(),
            writing: Arc::default(),
            compression: store::NEAR,
            shown: shown.into(),
        }
    }

    /// Opens a folder (made when missing) or an object-store URL.
    pub fn open(place: &str, zones: Zones, clock: Arc<dyn Clock>) -> Result<Self> {
        let (store, near) = store::open(place)?;
        let compression = if near.is_some() { store::NEAR } else { store::far() };
        Ok(Self { compression, near: near.map(Arc::new), ..Self::on(store, zones, clock, place) })
    }

    pub fn store(&self) -> Arc<dyn ObjectStore> {
        Arc::clone(&self.store)
    }

    pub fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    pub fn zones(&self) -> &Zones {
        &self.zones
    }

    pub fn shown(&self) -> &str {
        &self.shown
    }

    /// Where a table's files lie.
    pub fn table_folder(&self, table: &TableName) -> object_store::path::Path {
        object_store::path::Path::from(format!("{}/{}", self.zone_name(table.zone), table.name))
    }

    /// Where the tables of a zone lie.
    fn zone_folder(&self, zone: Zone) -> object_store::path::Path {
        object_store::path::Path::from(self.zone_name(zone))
    }

    fn zone_name(&self, zone: Zone) -> &str {
        match zone {
            Zone::Staging => &self.zones.staging,
            Zone::Gold => &self.zones.gold,
        }
    }
}
