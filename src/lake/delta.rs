//! Delta Lake: log entries of smelt's own making, and the files of a table at an exact version.
//!
//! An entry is prepared aside and copied into `_delta_log` after the snapshot that names it is
//! published. Until then readers see it through [`LogStore`], a store that shows the prepared
//! bytes under the name they will have.

use std::{collections::HashMap, fmt, sync::Arc};

use arrow::datatypes::{DataType, Field, Schema, SchemaRef, TimeUnit};
use bytes::Bytes;
use deltalake_core::{
    kernel::{
        Action, Add, CommitInfo, EagerSnapshot, MetadataExt as _, Protocol, Remove, StructType,
        engine::arrow_conversion::{TryIntoArrow as _, TryIntoKernel as _},
        new_metadata,
    },
    logstore::{LogStoreRef, StorageConfig, default_logstore},
};
use futures::{StreamExt, TryStreamExt, stream::BoxStream};
use object_store::{
    CopyOptions, GetOptions, GetResult, GetResultPayload, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, path::Path, prefix::PrefixStore,
};
use roaring::RoaringBitmap;
use url::Url;

use super::{Lake, SnapshotId, TableName, TableState, deletions::Deletions};
use crate::{
    error::{Error, Result},
    project::hex_sha256,
};

/// One data file of a table.
#[derive(Debug, Clone, PartialEq)]
pub struct FileEntry {
    /// Below the table's folder.
    pub path: String,
    pub bytes: u64,
    /// Rows that are there: those of the file without the deleted ones.
    pub rows: u64,
    pub deleted: Option<Deletions>,
    /// Delta's statistics object of the whole file: `numRecords`, `minValues`, `maxValues`, `nullCount`.
    pub stats: Arc<serde_json::Value>,
    /// Milliseconds since 1970.
    pub modified: i64,
}

impl FileEntry {
    /// Rows in the file, deleted ones too.
    pub fn stored_rows(&self) -> u64 {
        self.rows + self.deleted.as_ref().map_or(0, Deletions::count)
    }

    /// The same file with more rows deleted.
    #[must_use]
    pub fn without(&self, rows: impl IntoIterator<Item = u32>) -> Self {
        let stored = self.stored_rows();
        let deleted = Deletions::of(self.deleted.as_ref(), rows);
        let rows = stored - deleted.as_ref().map_or(0, Deletions::count);
        let mut stats = self.stats.as_ref().clone();
        if let serde_json::Value::Object(fields) = &mut stats {
            // The bounds may be those of rows that are gone.
            fields.insert("tightBounds".into(), deleted.is_none().into());
        }
        Self { rows, deleted, stats: Arc::new(stats), ..self.clone() }
    }

    /// The smallest and greatest value of a text column, if known. The bounds may be wider.
    /// The places of its rows that are not deleted.
    pub(super) fn rows_there(&self) -> RoaringBitmap {
        let mut rows = RoaringBitmap::new();
        rows.insert_range(0..self.stored_rows() as u32);
        if let Some(deleted) = &self.deleted {
            deleted.remove_from(&mut rows);
        }
        rows
    }
}

/// A table's schema and files at one version, as SQL sees it: timestamps without zone.
#[derive(Debug, Clone)]
pub struct TableFiles {
    pub schema: SchemaRef,
    pub files: Vec<FileEntry>,
    /// Whether readers have been told to expect deleted rows.
    pub tells_deletions: bool,
}

impl TableFiles {
    pub fn empty(schema: SchemaRef) -> Self {
        Self { schema, files: Vec::new(), tells_deletions: false }
    }

    pub fn rows(&self) -> u64 {
        self.files.iter().map(|file| file.rows).sum()
    }

    pub fn bytes(&self) -> u64 {
        self.files.iter().map(|file| file.bytes).sum()
    }

    /// The rows that this version has and another one of the table may lack. Files never change: of those that
    /// both have, only rows that the other one has deleted.
    #[must_use]
    pub(crate) fn without(self, other: &Self) -> Self {
        let others: HashMap<&str, &FileEntry> = other.files.iter().map(|file| (file.path.as_str(), file)).collect();
        let only = |file: FileEntry| match others.get(file.path.as_str()) {
            Some(there) => file.without(there.rows_there()),
            None => file,
        };
        let files = self.files.into_iter().map(only).filter(|file| file.rows > 0).collect();
        Self { files, ..self }
    }
}

/// The types as stored: a timestamp in a Delta table is an instant in UTC.
pub(super) fn stored_schema(schema: &Schema) -> Schema {
    map_types(schema, |data_type| match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, None) => {
            DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()))
        }
        DataType::Utf8View | DataType::LargeUtf8 => DataType::Utf8,
        other => other.clone(),
    })
}

/// The types as SQL sees them.
fn sql_schema(schema: &Schema) -> Schema {
    map_types(schema, |data_type| match data_type {
        DataType::Timestamp(TimeUnit::Microsecond, Some(_)) => DataType::Timestamp(TimeUnit::Microsecond, None),
        DataType::Utf8 | DataType::LargeUtf8 => DataType::Utf8View,
        other => other.clone(),
    })
}

fn map_types(schema: &Schema, map: impl Fn(&DataType) -> DataType) -> Schema {
    Schema::new(
        schema.fields().iter().map(|field| Field::new(field.name(), map(field.data_type()), true)).collect::<Vec<_>>(),
    )
}

/// What one log entry says.
pub(super) struct Entry<'a> {
    /// Given when the table is new or its schema changed.
    pub(super) schema: Option<&'a Schema>,
    /// Whether the entry also sets the protocol: where the table is new, and with its first deletions.
    pub(super) protocol: Option<Protocols>,
    pub(super) removed: &'a [FileEntry],
    pub(super) added: &'a [FileEntry],
    pub(super) snapshot: SnapshotId,
    pub(super) now_ms: i64,
    /// The table's lasting id, derived from its name so that entries are reproducible.
    pub(super) table: &'a TableName,
}

/// What readers of a table must know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocols {
    /// Every reader does.
    Plain,
    /// That files have deleted rows.
    Deletions,
}

/// The bytes of a `_delta_log/<version>.json`.
pub(super) fn entry_bytes(entry: &Entry<'_>) -> Result<Bytes> {
    let bug = |e: &dyn fmt::Display| Error::bug(format!("cannot write the log entry of {}: {e}", entry.table));
    let mut actions = vec![Action::CommitInfo(CommitInfo {
        timestamp: Some(entry.now_ms),
        operation: Some("WRITE".into()),
        engine_info: Some(format!("smelt/{}", env!("CARGO_PKG_VERSION"))),
        info: HashMap::from([("smeltSnapshot".to_owned(), entry.snapshot.0.into())]),
        ..CommitInfo::default()
    })];
    if let Some(protocol) = entry.protocol {
        let protocol = match protocol {
            Protocols::Plain => serde_json::json!({"minReaderVersion": 1, "minWriterVersion": 2}),
            Protocols::Deletions => serde_json::json!({
                "minReaderVersion": 3, "minWriterVersion": 7,
                "readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"],
            }),
        };
        actions.push(Action::Protocol(serde_json::from_value::<Protocol>(protocol).map_err(|e| bug(&e))?));
    }
    if let Some(schema) = entry.schema {
        let schema: StructType = (&stored_schema(schema)).try_into_kernel().map_err(|e| bug(&e))?;
        // Log and files are kept for as long as a snapshot needs them; only `smelt gc` knows how long.
        let settings = [
            ("delta.enableExpiredLogCleanup", "false"),
            ("delta.logRetentionDuration", "interval 36500 days"),
            ("delta.deletedFileRetentionDuration", "interval 36500 days"),
        ];
        let id = &hex_sha256(entry.table.to_string().as_bytes())[..32];
        let metadata = new_metadata(&schema, Vec::<String>::new(), settings)
            .and_then(|metadata| metadata.with_table_id(id.to_owned()))
            .and_then(|metadata| metadata.with_name(entry.table.name.clone()))
            .map_err(|e| bug(&e))?;
        actions.push(Action::Metadata(metadata));
    }
    for file in entry.removed {
        actions.push(Action::Remove(Remove {
            path: file.path.clone(),
            data_change: true,
            deletion_timestamp: Some(entry.now_ms),
            extended_file_metadata: Some(true),
            partition_values: Some(HashMap::new()),
            size: i64::try_from(file.bytes).ok(),
            deletion_vector: file.deleted.as_ref().map(Deletions::descriptor).transpose()?,
            ..Remove::default()
        }));
    }
    for file in entry.added {
        actions.push(Action::Add(Add {
            path: file.path.clone(),
            size: file.bytes as i64,
            modification_time: file.modified,
            data_change: true,
            stats: Some(file.stats.to_string()),
            deletion_vector: file.deleted.as_ref().map(Deletions::descriptor).transpose()?,
            ..Add::default()
        }));
    }
    let mut text = Vec::new();
    for action in &actions {
        serde_json::to_writer(&mut text, action).map_err(|e| bug(&e))?;
        text.push(b'\n');
    }
    Ok(Bytes::from(text))
}

/// `_delta_log/<version>.json` below a table's folder.
pub(super) fn log_path(folder: &Path, version: u64) -> Path {
    Path::from(format!("{folder}/_delta_log/{version:020}.json"))
}

impl Lake {
    /// A table's files at the version that a snapshot names.
    ///
    /// # Errors
    /// `Data` when the log is damaged or a part of it is gone.
    pub async fn table_files(&self, table: &TableName, state: &TableState) -> Result<TableFiles> {
        let damaged = |e: deltalake_core::DeltaTableError| {
            Error::data(format!("table `{table}` cannot be read at Delta version {}", state.version)).cause(e).hint(
                "its `_delta_log` is damaged or foreign: restore it, or `smelt rebuild` makes the table anew from raw",
            )
        };
        let log_store = self.log_store(table, Some(state)).await?;
        let snapshot = EagerSnapshot::try_new(&*log_store, Some(state.version)).await.map_err(damaged)?;
        let stored: Schema = snapshot
            .schema()
            .as_ref()
            .try_into_arrow()
            .map_err(|e| Error::data(format!("table `{table}` has a schema that smelt cannot read")).cause(e))?;
        let mut files = Vec::new();
        for view in snapshot.log_data().iter() {
            let stats: serde_json::Value =
                view.stats().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or(serde_json::Value::Null);
            let deleted = view.deletion_vector_descriptor().map(|vector| Deletions::read(&vector)).transpose();
            let deleted = deleted.map_err(|e| damaged(deltalake_core::DeltaTableError::Generic(e)))?;
            let stored =
                stats["numRecords"].as_u64().or_else(|| view.num_records().map(|rows| rows as u64)).unwrap_or(0);
            files.push(FileEntry {
                path: view.path().into_owned(),
                bytes: view.size() as u64,
                rows: stored.saturating_sub(deleted.as_ref().map_or(0, Deletions::count)),
                deleted,
                stats: Arc::new(stats),
                modified: view.modification_time(),
            });
        }
        // Log replay gives no order; names sort by run and number, which keeps plans repeatable.
        files.sort_by(|a, b| a.path.cmp(&b.path));
        let tells_deletions = snapshot.protocol().min_reader_version() >= 3;
        Ok(TableFiles { schema: Arc::new(sql_schema(&stored)), files, tells_deletions })
    }

    /// The library's view of a table's log; with the prepared entry of `state` shown in place.
    pub(super) async fn log_store(&self, table: &TableName, state: Option<&TableState>) -> Result<LogStoreRef> {
        let folder = self.table_folder(table);
        let mut entry = None;
        if let Some(state) = state {
            let path = log_path(&folder, state.version);
            if self.read_if_there(&path).await?.is_none() {
                entry = Some((path, self.prepared_entry(table, state).await?));
            }
        }
        let store: Arc<dyn ObjectStore> = Arc::new(LogStore { inner: self.store(), entry });
        let url = Url::parse(&format!("memory:///{folder}/"))
            .map_err(|e| Error::bug(format!("the folder of {table} is no URL path")).cause(e))?;
        let prefixed = Arc::new(PrefixStore::new(Arc::clone(&store), folder));
        Ok(default_logstore(prefixed, store, &url, &StorageConfig::default()))
    }

    /// The prepared bytes of a state's log entry, checked against the hash in the snapshot.
    pub(super) async fn prepared_entry(&self, table: &TableName, state: &TableState) -> Result<Bytes> {
        let bytes = self.read(&Path::from(state.entry.as_str())).await?;
        if hex_sha256(&bytes) != state.entry_sha256 {
            return Err(Error::data(format!("the prepared log entry of `{table}`, `{}`, is damaged", state.entry)));
        }
        Ok(bytes)
    }
}

/// The store as log replay needs it: listings in name order (a folder's come in any), and one
/// object that is not there yet is there already.
#[derive(Debug)]
struct LogStore {
    inner: Arc<dyn ObjectStore>,
    entry: Option<(Path, Bytes)>,
}

fn meta(path: &Path, bytes: &Bytes) -> ObjectMeta {
    ObjectMeta {
        location: path.clone(),
        last_modified: chrono::DateTime::UNIX_EPOCH,
        size: bytes.len() as u64,
        e_tag: None,
        version: None,
    }
}

impl fmt::Display for LogStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "LogStore({})", self.inner)
    }
}

#[async_trait::async_trait]
impl ObjectStore for LogStore {
    async fn put_opts(&self, path: &Path, payload: PutPayload, options: PutOptions) -> object_store::Result<PutResult> {
        self.inner.put_opts(path, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        path: &Path,
        options: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(path, options).await
    }

    async fn get_opts(&self, path: &Path, options: GetOptions) -> object_store::Result<GetResult> {
        let Some((_, bytes)) = self.entry.as_ref().filter(|(entry, _)| entry == path) else {
            return self.inner.get_opts(path, options).await;
        };
        let whole = 0..bytes.len() as u64;
        let range = match &options.range {
            Some(range) => range
                .as_range(whole.end)
                .map_err(|e| object_store::Error::Generic { store: "LogStore", source: Box::new(e) })?,
            None => whole,
        };
        let meta = meta(path, bytes);
        let bytes = bytes.slice(range.start as usize..range.end as usize);
        Ok(GetResult {
            payload: GetResultPayload::Stream(futures::stream::once(async move { Ok(bytes) }).boxed()),
            meta,
            range,
            attributes: object_store::Attributes::default(),
        })
    }

    fn delete_stream(
        &self,
        paths: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(paths)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        let inner = self.inner.list(prefix);
        let entry = self.entry.as_ref().filter(|(path, _)| prefix.is_none_or(|prefix| path.prefix_matches(prefix)));
        let entry = entry.map(|(path, bytes)| meta(path, bytes));
        futures::stream::once(async move {
            let mut found: Vec<ObjectMeta> = inner.try_collect().await?;
            if let Some(entry) = entry
                && found.iter().all(|object| object.location != entry.location)
            {
                found.push(entry);
            }
            found.sort_by(|a, b| a.location.cmp(&b.location));
            Ok::<_, object_store::Error>(futures::stream::iter(found.into_iter().map(Ok)))
        })
        .try_flatten()
        .boxed()
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
