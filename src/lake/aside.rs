//! A lake beside a lake: some raw files are read where they lie, everything else is in a folder of its own.
//!
//! What is computed there cannot touch the lake beside it, whose store is never asked to write, list or
//! delete. It sees no manifests, holds or snapshots: raw files are the only thing that the two share.

use std::{collections::BTreeSet, fmt, path::Path as Folder, sync::Arc};

use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMultipartOptions,
    PutOptions, PutPayload, PutResult, local::LocalFileSystem, path::Path,
};
use tempfile::TempDir;
use tokio::sync::RwLock;

use super::{Lake, store::disk_is_full};
use crate::error::{self, Error, Result};

/// A temporary folder for such a lake; gone with all it holds once it is closed or dropped.
#[derive(Debug)]
pub struct Aside {
    folder: TempDir,
    writable: Arc<RwLock<bool>>,
}

impl Aside {
    /// In the system's folder for temporary files.
    ///
    /// # Errors
    /// `Input` or `Unavailable` where no folder can be made there.
    pub fn new() -> Result<Self> {
        let folder = tempfile::Builder::new()
            .prefix("smelt-aside-")
            .tempdir()
            .map_err(|e| error::io("make a folder for temporary tables in", &std::env::temp_dir(), e))?;
        Ok(Self { folder, writable: Arc::new(RwLock::new(true)) })
    }

    pub fn folder(&self) -> &Folder {
        self.folder.path()
    }

    /// An empty lake that reads these raw files of another one.
    pub fn lake(&self, beside: &Lake, raw: impl IntoIterator<Item = Path>) -> Result<Lake> {
        let ours = LocalFileSystem::new_with_prefix(self.folder())
            .map_err(|e| Error::unavailable("the temporary folder cannot be used").cause(e))?;
        let store = Beside {
            raw: raw.into_iter().collect(),
            theirs: beside.store(),
            ours: Arc::new(ours),
            writable: Arc::clone(&self.writable),
        };
        Ok(Lake::on(Arc::new(store), beside.zones.clone(), Arc::clone(&beside.clock), self.folder().to_string_lossy()))
    }

    /// A failure to compute here, in words that fit: a full disk is not the lake's.
    pub fn explain(&self, failure: Error) -> Error {
        if !disk_is_full(&failure) {
            return failure;
        }
        Error::unavailable("the disk is full: the tables do not fit beside the lake").cause(failure).hint(format!(
            "free some space for `{}`, name another folder with TMPDIR, or take fewer tables at a time; the lake is untouched",
            self.folder().parent().unwrap_or_else(|| self.folder()).display()
        ))
    }

    /// Removes the folder. Tasks that still write are waited for, and later writes refused: a store makes
    /// the folders that it misses.
    pub async fn close(self) -> Result<()> {
        *self.writable.write().await = false;
        let folder = self.folder().to_owned();
        self.folder.close().map_err(|e| error::io("remove the temporary folder", &folder, e))
    }
}

/// The store of a lake beside another.
#[derive(Debug)]
struct Beside {
    raw: BTreeSet<Path>,
    theirs: Arc<dyn ObjectStore>,
    ours: Arc<dyn ObjectStore>,
    writable: Arc<RwLock<bool>>,
}

impl fmt::Display for Beside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} beside {}", self.ours, self.theirs)
    }
}

#[async_trait::async_trait]
impl ObjectStore for Beside {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        let writable = self.writable.read().await;
        if !*writable {
            return Err(object_store::Error::Generic { store: "Beside", source: "it is closed".into() });
        }
        self.ours.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        _: &Path,
        _: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        // Files are put whole, everywhere.
        Err(object_store::Error::NotImplemented { operation: "put_multipart".into(), implementer: "Beside".into() })
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let store = if self.raw.contains(path) { &self.theirs } else { &self.ours };
        store.get_opts(path, options).await
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.ours.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.ours.list(prefix)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.ours.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.ours.copy_opts(from, to, options).await
    }
}

#[cfg(test)]
mod tests {
    use object_store::{ObjectStoreExt as _, memory::InMemory};

    use super::*;
    use crate::{clock::SystemClock, project::Zones};

    #[tokio::test]
    async fn only_the_named_raw_files_are_shared_and_nothing_outlives_the_folder() {
        let store = Arc::new(InMemory::new());
        for path in ["raw/orders/a", "raw/orders/b", "_smelt/snapshots/1.json"] {
            store.put(&Path::from(path), path.into()).await.unwrap();
        }
        let beside = Lake::on(Arc::clone(&store) as _, Zones::default(), Arc::new(SystemClock), "memory");
        let aside = Aside::new().unwrap();
        let folder = aside.folder().to_owned();
        let lake = aside.lake(&beside, [Path::from("raw/orders/a")]).unwrap();
        assert_eq!(lake.read(&Path::from("raw/orders/a")).await.unwrap(), "raw/orders/a");
        for hidden in ["raw/orders/b", "_smelt/snapshots/1.json"] {
            assert_eq!(lake.read_if_there(&Path::from(hidden)).await.unwrap(), None, "{hidden}");
        }
        lake.put_unique(&Path::from("gold/t/part"), "rows".into()).await.unwrap();
        assert_eq!(lake.list("", None).await.unwrap().len(), 1);
        lake.delete(&Path::from("raw/orders/a")).await.unwrap();
        assert_eq!(beside.list("", None).await.unwrap().len(), 3, "the lake beside it is as it was");

        aside.close().await.unwrap();
        assert!(lake.put_unique(&Path::from("gold/t/late"), "rows".into()).await.is_err());
        assert!(!folder.exists());
    }
}
