//! A store between a process and its lake: a [`Fate`] decides what becomes of each operation.

use std::{
    fmt,
    ops::Range,
    sync::Arc,
};

use async_trait::async_trait;
use bytes::Bytes;
use futures::{FutureExt, StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, Error, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, ObjectStoreExt,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, Result, UploadPart, path::Path,
};

/// One request to the store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Operation {
    pub(crate) verb: Verb,
    pub(crate) path: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verb {
    Put,
    PutPart,
    Complete,
    Copy,
    Rename,
    Delete,
    /// Any of those that change nothing.
    Get,
    List,
}

/// What becomes of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    Do,
    /// Not done, and the caller hears so.
    Refuse,
    /// Done, but the answer is lost: the caller hears of a failure.
    DoUnheard,
}

/// Decides over requests; may take its time.
#[async_trait]
pub(crate) trait Fate: fmt::Debug + Send + Sync {
    async fn decide(&self, operation: &Operation) -> Verdict;

    /// Whether answers still reach the caller; asked when one is there.
    fn hears(&self) -> bool {
        true
    }
}

impl Operation {
    pub(crate) fn writes(&self) -> bool {
        !matches!(self.verb, Verb::Get | Verb::List)
    }

    /// What it is about, whatever the run, table and number: operations of one class are alike.
    pub(crate) fn class(&self) -> String {
        let parts: Vec<&str> = self.path.split('/').collect();
        let place = match parts.as_slice() {
            ["_smelt", "runs", _, "changes", ..] => "change file",
            ["_smelt", "runs", _, "entries", ..] => "prepared log entry",
            ["_smelt", "runs", ..] => "run record",
            ["_smelt", "snapshots", ..] => "snapshot",
            ["_smelt", "lease", ..] => "lease",
            ["_smelt", "batches", ..] => "manifest",
            ["_smelt", "receipts", ..] => "receipt",
            ["_smelt", "holds", ..] => "hold",
            ["_smelt", "pins", ..] => "pin",
            ["raw", ..] => "raw file",
            [_, _, "_delta_log", name] if name.ends_with(".json") => "log entry",
            [_, _, "_delta_log", ..] => "checkpoint",
            ["staging", ..] => "staging file",
            ["gold", ..] => "gold file",
            _ => &self.path,
        };
        format!("{:?} {place}", self.verb)
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {}", self.verb, self.path)
    }
}

#[derive(Debug, Clone)]
pub(crate) struct MeddledStore {
    inner: Arc<dyn ObjectStore>,
    fate: Arc<dyn Fate>,
}

impl MeddledStore {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>, fate: Arc<dyn Fate>) -> Self {
        Self { inner, fate }
    }

    fn list_as<T: Send + 'static>(
        &self,
        prefix: Option<&Path>,
        list: impl FnOnce(&dyn ObjectStore) -> BoxStream<'static, Result<T>> + Send + 'static,
    ) -> BoxStream<'static, Result<T>> {
        let store = self.clone();
        let operation = Operation { verb: Verb::List, path: prefix.map(ToString::to_string).unwrap_or_default() };
        // Listed whole: a caller hears all of an answer or nothing.
        let listed = async move {
            let listing = async { list(&*store.inner).try_collect::<Vec<T>>().await };
            let found = request(&*store.fate, operation, listing).await?;
            Ok::<_, Error>(futures::stream::iter(found.into_iter().map(Ok)))
        };
        futures::stream::once(listed).try_flatten().boxed()
    }
}

/// Makes a request, if fate allows it, and passes on the answer, if fate allows that.
async fn request<T>(
    fate: &dyn Fate,
    operation: Operation,
    action: impl Future<Output = Result<T>> + Send,
) -> Result<T> {
    let lost = |what: &str| Error::Generic { store: "MeddledStore", source: format!("{operation}: {what}").into() };
    match fate.decide(&operation).await {
        Verdict::Refuse => Err(lost("refused")),
        Verdict::DoUnheard => {
            let _ = action.await;
            Err(lost("the answer was lost"))
        }
        Verdict::Do => {
            let answer = action.await;
            if fate.hears() { answer } else { Err(lost("nobody is there to hear the answer")) }
        }
    }
}

fn of(verb: Verb, path: &Path) -> Operation {
    Operation { verb, path: path.to_string() }
}

impl fmt::Display for MeddledStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MeddledStore({})", self.inner)
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl ObjectStore for MeddledStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> Result<PutResult> {
        request(&*self.fate, of(Verb::Put, path), self.inner.put_opts(path, payload, options)).await
    }

    /// Beginning an upload shows nothing to anyone, so it counts as a reading request.
    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        let begun = self.inner.put_multipart_opts(path, options);
        let inner = request(&*self.fate, of(Verb::Get, path), begun).await?;
        Ok(Box::new(MeddledUpload { inner, fate: Arc::clone(&self.fate), path: path.clone() }))
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        request(&*self.fate, of(Verb::Get, path), self.inner.get_opts(path, options)).await
    }

    async fn get_ranges(&self, path: &Path, ranges: &[Range<u64>]) -> Result<Vec<Bytes>> {
        request(&*self.fate, of(Verb::Get, path), self.inner.get_ranges(path, ranges)).await
    }

    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        let store = self.clone();
        paths
            .then(move |path| {
                let store = store.clone();
                async move {
                    let path = path?;
                    request(&*store.fate, of(Verb::Delete, &path), store.inner.delete(&path)).await?;
                    Ok(path)
                }
            })
            .boxed()
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        let given = prefix.cloned();
        self.list_as(prefix, move |store| store.list(given.as_ref()))
    }

    fn list_with_offset(&self, prefix: Option<&Path>, offset: &Path) -> BoxStream<'static, Result<ObjectMeta>> {
        let (given, offset) = (prefix.cloned(), offset.clone());
        self.list_as(prefix, move |store| store.list_with_offset(given.as_ref(), &offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        let operation = Operation { verb: Verb::List, path: prefix.map(ToString::to_string).unwrap_or_default() };
        request(&*self.fate, operation, self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        request(&*self.fate, of(Verb::Copy, to), self.inner.copy_opts(from, to, options)).await
    }

    async fn rename_opts(&self, from: &Path, to: &Path, options: RenameOptions) -> Result<()> {
        request(&*self.fate, of(Verb::Rename, to), self.inner.rename_opts(from, to, options)).await
    }
}

#[derive(Debug)]
struct MeddledUpload {
    inner: Box<dyn MultipartUpload>,
    fate: Arc<dyn Fate>,
    path: Path,
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl MultipartUpload for MeddledUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        let (part, fate) = (self.inner.put_part(data), Arc::clone(&self.fate));
        let operation = of(Verb::PutPart, &self.path);
        async move { request(&*fate, operation, part).await }.boxed()
    }

    async fn complete(&mut self) -> Result<PutResult> {
        request(&*self.fate, of(Verb::Complete, &self.path), self.inner.complete()).await
    }

    async fn abort(&mut self) -> Result<()> {
        request(&*self.fate, of(Verb::Delete, &self.path), self.inner.abort()).await
    }
}
