//! Opening a location, create-only puts, and store errors in people's words.

use std::{path::PathBuf, sync::Arc};

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{
    ObjectMeta, ObjectStore, ObjectStoreExt, PutMode, PutOptions, PutPayload, aws::AmazonS3Builder,
    local::LocalFileSystem, path::Path, prefix::PrefixStore,
};
use parquet::basic::{Compression, ZstdLevel};
use serde::{Serialize, de::DeserializeOwned};
use url::Url;

use super::{Lake, near::Near};
use crate::error::{self, Error, Kind, Result};

/// What became of a create-only put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    Created,
    /// The name is taken, by other bytes.
    Taken,
}

/// How data files on this machine are compressed: not at all. A lookup takes a row here and there of tens of
/// thousands of pages, and finds it where it lies; files are almost twice as large as with LZ4.
pub(super) const NEAR: Compression = Compression::UNCOMPRESSED;

/// How those that come over a network are: they shall be small.
pub(super) fn far() -> Compression {
    Compression::ZSTD(ZstdLevel::default())
}

/// A place on this machine, by its path or as a `file:///` URL.
fn folder(place: &str) -> Option<PathBuf> {
    if !place.contains("://") {
        return Some(place.into());
    }
    Url::parse(place).ok().filter(|url| url.scheme() == "file")?.to_file_path().ok()
}

/// Opens a lake's place: its store, and its folder if it is one.
pub(super) fn open(place: &str) -> Result<(Arc<dyn ObjectStore>, Option<Near>)> {
    let Some(folder) = folder(place) else {
        let (store, prefix) = location(place)?;
        let store = if prefix.as_ref().is_empty() { store } else { Arc::new(PrefixStore::new(store, prefix)) };
        return Ok((store, None));
    };
    std::fs::create_dir_all(&folder).map_err(|e| error::io("make the lake's folder", &folder, e))?;
    let near =
        Near::new(&folder).map_err(|e| Error::input(format!("cannot open the lake's folder `{place}`")).cause(e))?;
    Ok((Arc::new(near.store()), Some(near)))
}

/// An object-store URL as a store and the path in it. Credentials come from the environment.
///
/// # Errors
/// `Input` for a URL of an unknown kind.
pub fn location(url: &str) -> Result<(Arc<dyn ObjectStore>, Path)> {
    let parsed = Url::parse(url).map_err(|e| Error::input(format!("`{url}` is not a URL")).cause(e))?;
    let path =
        Path::from_url_path(parsed.path()).map_err(|e| Error::input(format!("`{url}` has a bad path")).cause(e))?;
    match parsed.scheme() {
        "file" if parsed.has_host() => Err(Error::input(format!("`{url}` names another machine"))
            .hint("write three slashes for a folder of this one: `file:///…`")),
        "file" => Ok((Arc::new(LocalFileSystem::new()), path)),
        "s3" => {
            let bucket = parsed.host_str().ok_or_else(|| Error::input(format!("`{url}` names no bucket")))?;
            let store = AmazonS3Builder::from_env()
                .with_bucket_name(bucket)
                .build()
                .map_err(|e| Error::input(format!("cannot open bucket `{bucket}`")).cause(e))?;
            Ok((Arc::new(store), path))
        }
        other => Err(Error::input(format!("`{url}`: smelt does not know the scheme `{other}`"))
            .hint("use a folder, `file:///…` or `s3://bucket/prefix`")),
    }
}

/// A store's error, with what was being done.
pub fn store_error(doing: &str, path: &Path, error: object_store::Error) -> Error {
    let io = io_kind(&error);
    let (kind, hint) = match (&error, io) {
        (object_store::Error::NotFound { .. }, _) => (Kind::Data, None),
        (_, Some(std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded)) => {
            (Kind::Unavailable, Some("the disk is full: free some space and run again; the last snapshot is untouched"))
        }
        (object_store::Error::PermissionDenied { .. } | object_store::Error::Unauthenticated { .. }, _)
        | (_, Some(std::io::ErrorKind::PermissionDenied)) => {
            (Kind::Input, Some("give this user the right to read and write the lake"))
        }
        _ => (Kind::Unavailable, Some("the store did not answer as it should: run again, nothing is lost")),
    };
    let built = Error::new(kind, format!("cannot {doing} `{path}`")).cause(error);
    match hint {
        Some(hint) => built.hint(hint),
        None => built,
    }
}

/// Whether the store has certainly not done what it was asked: it could not begin.
pub(super) fn refused(error: &Error) -> bool {
    use std::io::ErrorKind::{PermissionDenied, QuotaExceeded, ReadOnlyFilesystem, StorageFull};
    matches!(io_kind(error), Some(PermissionDenied | QuotaExceeded | ReadOnlyFilesystem | StorageFull))
}

/// Whether something could not be written for want of space.
pub(super) fn disk_is_full(error: &Error) -> bool {
    use std::io::ErrorKind::{QuotaExceeded, StorageFull};
    matches!(io_kind(error), Some(QuotaExceeded | StorageFull))
}

fn io_kind(error: &(dyn std::error::Error + 'static)) -> Option<std::io::ErrorKind> {
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(io) = error.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        next = error.source();
    }
    None
}

/// Finishes a last request of something that is being dropped: at once where threads allow it,
/// since the runtime may end next. What cannot be finished expires by itself.
pub(super) fn finish(request: impl Future<Output = ()> + Send + 'static) {
    const PATIENCE: std::time::Duration = std::time::Duration::from_secs(2);
    let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
    if runtime.runtime_flavor() == tokio::runtime::RuntimeFlavor::MultiThread {
        tokio::task::block_in_place(|| {
            let _ = runtime.block_on(async { tokio::time::timeout(PATIENCE, request).await });
        });
    } else {
        runtime.spawn(request);
    }
}

impl Lake {
    /// Puts bytes under a name that must be free. The same bytes already there count as created:
    /// a retried put whose first answer was lost must not look like a lost race.
    pub(crate) async fn put_new(&self, path: &Path, bytes: Bytes) -> Result<Put> {
        let options = PutOptions::from(PutMode::Create);
        match self.store.put_opts(path, PutPayload::from(bytes.clone()), options).await {
            Ok(_) => Ok(Put::Created),
            Err(object_store::Error::AlreadyExists { .. } | object_store::Error::Precondition { .. }) => {
                let there = self.read(path).await?;
                Ok(if there == bytes { Put::Created } else { Put::Taken })
            }
            Err(e) => Err(store_error("write", path, e)),
        }
    }

    /// Puts a new object whose name is unique by construction.
    pub(crate) async fn put_unique(&self, path: &Path, bytes: Bytes) -> Result<()> {
        match self.put_new(path, bytes).await? {
            Put::Created => Ok(()),
            Put::Taken => Err(Error::bug(format!("`{path}` should be new but is taken"))),
        }
    }

    pub(crate) async fn put_json<T: Serialize>(&self, path: &Path, value: &T) -> Result<Put> {
        self.put_new(path, to_json(value)?).await
    }

    /// Replaces an object: only for those whose content is a hint or belongs to one process.
    pub(crate) async fn overwrite_json<T: Serialize>(&self, path: &Path, value: &T) -> Result<()> {
        self.store.put(path, PutPayload::from(to_json(value)?)).await.map_err(|e| store_error("write", path, e))?;
        Ok(())
    }

    pub(crate) async fn read(&self, path: &Path) -> Result<Bytes> {
        self.read_if_there(path)
            .await?
            .ok_or_else(|| Error::data(format!("`{path}` is missing from the lake `{}`", self.shown)))
    }

    pub(crate) async fn read_if_there(&self, path: &Path) -> Result<Option<Bytes>> {
        match self.store.get(path).await {
            Ok(found) => Ok(Some(found.bytes().await.map_err(|e| store_error("read", path, e))?)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(e) => Err(store_error("read", path, e)),
        }
    }

    pub(crate) async fn read_json<T: DeserializeOwned>(&self, path: &Path) -> Result<T> {
        parse_json(path, &self.read(path).await?)
    }

    pub(crate) async fn read_json_if_there<T: DeserializeOwned>(&self, path: &Path) -> Result<Option<T>> {
        match self.read_if_there(path).await? {
            Some(bytes) => parse_json(path, &bytes).map(Some),
            None => Ok(None),
        }
    }

    /// Everything below a prefix, in name order; after `offset` when given.
    pub(crate) async fn list(&self, prefix: &str, offset: Option<&Path>) -> Result<Vec<ObjectMeta>> {
        let prefix = Path::from(prefix);
        let stream = match offset {
            Some(offset) => self.store.list_with_offset(Some(&prefix), offset),
            None => self.store.list(Some(&prefix)),
        };
        let mut found: Vec<ObjectMeta> = stream.try_collect().await.map_err(|e| store_error("list", &prefix, e))?;
        found.sort_by(|a, b| a.location.cmp(&b.location));
        Ok(found)
    }

    /// Deletes what is there; what is not is fine.
    pub(crate) async fn delete(&self, path: &Path) -> Result<()> {
        match self.store.delete(path).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(e) => Err(store_error("delete", path, e)),
        }
    }
}

fn to_json<T: Serialize>(value: &T) -> Result<Bytes> {
    let mut text = serde_json::to_vec_pretty(value)
        .map_err(|e| Error::bug("a record of smelt's own does not become JSON").cause(e))?;
    text.push(b'\n');
    Ok(Bytes::from(text))
}

fn parse_json<T: DeserializeOwned>(path: &Path, bytes: &Bytes) -> Result<T> {
    serde_json::from_slice(bytes).map_err(|e| {
        Error::data(format!("`{path}` is damaged: line {}, column {}", e.line(), e.column()))
            .cause(e)
            .hint("this file is smelt's own and never edited: restore it from a backup of the lake")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_of_a_file_is_the_folder_on_this_machine() {
        assert_eq!(folder("file:///a/b%20c"), Some("/a/b c".into()));
        assert_eq!(folder("a/b%20c"), Some("a/b%20c".into()));
        assert_eq!(folder("s3://bucket/lake"), None);
        let elsewhere = open("file://data/lake").unwrap_err();
        assert!(elsewhere.message().contains("another machine"), "{elsewhere}");
    }
}
