//! Landing a batch: hash, count and store each file, then put the manifest.
//!
//! A crash before the manifest leaves bytes that nothing names, and the next landing finds and uses
//! them. Of two ingests that race for a number one loses; it looks at what the other landed, and
//! takes the next number.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::File,
    io::Read,
    path::Path as FsPath,
};

use chrono::NaiveDate;
use futures::StreamExt as _;
use object_store::{ObjectStoreExt, PutPayload, path::Path};
use serde::Serialize;
use sha2::{Digest, Sha256};
use smelt_clean::{Format, Input, ReadOptions};

use super::{
    LandedFile, Manifest, Receipt,
    manifest::{compression_suffix, format_text},
    sources::{self, Source},
};
use crate::{
    error::{self, Error, Result},
    lake::{BatchId, Lake, Put, layout, store_error},
    project::{Project, hex},
};

/// Files up to this size are put in one request; larger ones in parts.
const ONE_PUT_BYTES: u64 = 64 << 20;
const PART_BYTES: usize = 16 << 20;

#[derive(Debug, Clone)]
pub struct IngestOptions {
    /// Files, folders or URLs.
    pub paths: Vec<String>,
    /// The entity of every file, when names do not tell.
    pub entity: Option<String>,
    pub ingestion_date: NaiveDate,
}

/// What became of one file.
#[derive(Debug, Clone, Serialize)]
pub struct Landing {
    pub entity: String,
    pub path: String,
    pub bytes: u64,
    pub records: u64,
    #[serde(flatten)]
    pub outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "lowercase")]
pub enum Outcome {
    Landed,
    /// These bytes landed before, in this batch.
    Again {
        batch: BatchId,
    },
    /// No records: a receipt only.
    Empty,
}

#[derive(Debug, Clone, Serialize)]
pub struct IngestReport {
    /// The new batch, unless nothing was new.
    pub batch: Option<BatchId>,
    pub files: Vec<Landing>,
}

impl IngestReport {
    pub fn records(&self) -> u64 {
        self.files.iter().filter(|file| file.outcome == Outcome::Landed).map(|file| file.records).sum()
    }
}

/// Files that are read through at once.
const AT_ONCE: usize = 4;

struct Checked {
    source: Source,
    sha256: String,
    bytes: u64,
    records: u64,
}

/// Lands all files as one batch, or none: a file that cannot be read keeps the batch out.
///
/// # Errors
/// `Input` for files without contract, of unknown format, unreadable or truncated.
pub async fn ingest(
    lake: &Lake,
    project: &Project,
    options: &IngestOptions,
    progress: &(dyn Fn(&Landing) + Sync),
) -> Result<IngestReport> {
    let mut seen = lake.newest_batch().await?;
    let mut checked = Vec::new();
    let mut errors = Vec::new();
    let found = sources::find(project, &options.paths, options.entity.as_deref()).await?;
    let mut checks = futures::stream::iter(found).map(|source| check(project, source)).buffered(AT_ONCE);
    while let Some(outcome) = checks.next().await {
        match outcome {
            Ok(file) => checked.push(file),
            Err(error) => errors.push(error),
        }
    }
    if !errors.is_empty() {
        let failed = errors.len();
        return Error::all(errors).map(|()| unreachable!("there is an error")).map_err(|error| {
            error.hint(format!("nothing was landed: mend or leave out the {failed} file(s) and land the rest again"))
        });
    }

    let landed = find_landed(lake, &checked).await?;
    // A second copy in this batch is a landing again, in whatever batch it becomes.
    let (mut mine, mut copies) = (BTreeSet::new(), BTreeSet::new());
    let mut report = IngestReport { batch: None, files: Vec::new() };
    let mut files: Vec<LandedFile> = Vec::new();
    for (index, file) in checked.iter().enumerate() {
        let identity = (file.source.entity.clone(), file.sha256.clone());
        let outcome = match landed.get(&identity) {
            _ if file.records == 0 => Outcome::Empty,
            Some(batch) => Outcome::Again { batch: *batch },
            None if !mine.insert(identity) => {
                copies.insert(index);
                Outcome::Again { batch: BatchId(seen.0 + 1) }
            }
            None => {
                let raw = store_raw(lake, file, options.ingestion_date).await?;
                files.push(LandedFile {
                    entity: file.source.entity.clone(),
                    path: file.source.path.clone(),
                    source: file.source.bytes.shown(),
                    raw: raw.to_string(),
                    sha256: file.sha256.clone(),
                    bytes: file.bytes,
                    records: file.records,
                    format: file.source.format,
                    compression: file.source.compression,
                });
                Outcome::Landed
            }
        };
        let landing = Landing {
            entity: file.source.entity.clone(),
            path: file.source.path.clone(),
            bytes: file.bytes,
            records: file.records,
            outcome,
        };
        progress(&landing);
        report.files.push(landing);
    }

    while !files.is_empty() {
        let batch = BatchId(seen.0 + 1);
        let manifest = Manifest::new(batch, options.ingestion_date, lake.clock().now(), files.clone());
        if lake.put_json(&layout::batch(batch), &manifest).await? == Put::Created {
            report.batch = Some(batch);
            break;
        }
        // Lost the race: what the others landed meanwhile is not landed twice.
        for newer in lake.manifests(seen).await? {
            seen = seen.max(newer.batch);
            for other in &newer.files {
                files.retain(|file| (&file.entity, &file.sha256) != (&other.entity, &other.sha256));
                for (index, (landing, file)) in report.files.iter_mut().zip(&checked).enumerate() {
                    if (&landing.entity, &file.sha256) == (&other.entity, &other.sha256) {
                        copies.remove(&index);
                        landing.outcome = Outcome::Again { batch: newer.batch };
                    }
                }
            }
        }
    }
    for (index, (landing, file)) in report.files.iter_mut().zip(&checked).enumerate() {
        let batch = match &mut landing.outcome {
            Outcome::Landed => report.batch,
            Outcome::Again { batch } => {
                if copies.contains(&index) {
                    *batch = report.batch.unwrap_or(*batch);
                }
                Some(*batch)
            }
            Outcome::Empty => None,
        };
        let receipt = Receipt {
            entity: landing.entity.clone(),
            received_at: lake.clock().now(),
            source: file.source.bytes.shown(),
            sha256: file.sha256.clone(),
            batch,
        };
        lake.write_receipt(&receipt).await?;
    }
    Ok(report)
}

async fn check(project: &Project, source: Source) -> Result<Checked> {
    let mut options = ReadOptions::new(source.format, source.compression);
    options.csv = project.contract(&source.entity)?.csv;
    let path = source.bytes.path().to_owned();
    let outcome = tokio::task::spawn_blocking(move || examine(&path, &options)).await;
    let (sha256, bytes, records) = outcome.map_err(|e| Error::bug("reading an extract stopped").cause(e))??;
    Ok(Checked { source, sha256, bytes, records })
}

/// A file's hash, size and records.
fn examine(path: &FsPath, options: &ReadOptions) -> Result<(String, u64, u64)> {
    let mut file = File::open(path).map_err(|e| error::io("read", path, e))?;
    let (hash, bytes) = hash(&mut file).map_err(|e| error::io("read", path, e))?;
    if bytes == 0 && options.format != Format::Parquet {
        return Ok((hash, 0, 0));
    }
    let file = File::open(path).map_err(|e| error::io("read", path, e))?;
    let records = smelt_clean::count_records(Input::File(file), options).map_err(|e| {
        Error::input(format!("`{}` cannot be read", path.display()))
            .cause(e)
            .hint("the file is damaged or cut short: get it again from its source")
    })?;
    Ok((hash, bytes, records))
}

fn hash(file: &mut File) -> std::io::Result<(String, u64)> {
    let (mut hasher, mut bytes, mut buffer) = (Sha256::new(), 0, vec![0; 1 << 20]);
    loop {
        let read = file.read(&mut buffer)?;
        if read == 0 {
            return Ok((hex(&hasher.finalize()), bytes));
        }
        hasher.update(&buffer[..read]);
        bytes += read as u64;
    }
}

/// Which of these files landed before, and in which batch.
async fn find_landed(lake: &Lake, files: &[Checked]) -> Result<BTreeMap<(String, String), BatchId>> {
    // The raw zone's names hold the hashes, so most files are known to be new by listing alone.
    let mut stored = BTreeMap::new();
    for file in files {
        let entity = &file.source.entity;
        if !stored.contains_key(entity) {
            let prefix = format!("{}/{entity}", lake.zones().raw);
            let names = lake.list(&prefix, None).await?;
            let hashes: std::collections::HashSet<String> = names
                .iter()
                .filter_map(|object| object.location.filename()?.split('.').next().map(str::to_owned))
                .collect();
            stored.insert(entity.clone(), hashes);
        }
    }
    let seen_before = |entity: &str, hash: &str| stored.get(entity).is_some_and(|hashes| hashes.contains(hash));
    if !files.iter().any(|file| seen_before(&file.source.entity, &file.sha256)) {
        return Ok(BTreeMap::new());
    }
    // Only a manifest makes bytes landed: those of a dead ingest are not.
    let mut landed = BTreeMap::new();
    for manifest in lake.manifests(BatchId(0)).await? {
        for file in manifest.files {
            landed.entry((file.entity, file.sha256)).or_insert(manifest.batch);
        }
    }
    Ok(landed)
}

/// Stores a file's bytes under their content's name; bytes already there are left alone.
async fn store_raw(lake: &Lake, file: &Checked, date: NaiveDate) -> Result<Path> {
    let name =
        format!("{}.{}{}", file.sha256, format_text(file.source.format), compression_suffix(file.source.compression));
    let raw = Path::from(lake.zones().raw.as_str())
        .join(file.source.entity.as_str())
        .join(format!("ingestion_date={date}"))
        .join(name);
    match lake.store().head(&raw).await {
        Ok(there) if there.size == file.bytes => return Ok(raw),
        Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
        Err(e) => return Err(store_error("look at", &raw, e)),
    }
    let path = file.source.bytes.path();
    let changed = || {
        Error::input(format!("`{}` changed while it was being landed", path.display()))
            .hint("nothing was landed: land it again when its writer is done")
    };
    if file.bytes <= ONE_PUT_BYTES {
        let bytes = tokio::fs::read(path).await.map_err(|e| error::io("read", path, e))?;
        if hex(&Sha256::digest(&bytes)) != file.sha256 {
            return Err(changed());
        }
        lake.store().put(&raw, PutPayload::from(bytes)).await.map_err(|e| store_error("write", &raw, e))?;
        return Ok(raw);
    }
    let mut upload = lake.store().put_multipart(&raw).await.map_err(|e| store_error("write", &raw, e))?;
    let mut source = tokio::fs::File::open(path).await.map_err(|e| error::io("read", path, e))?;
    let mut hasher = Sha256::new();
    loop {
        let mut part = Vec::with_capacity(PART_BYTES);
        let mut limited = tokio::io::AsyncReadExt::take(&mut source, PART_BYTES as u64);
        tokio::io::AsyncReadExt::read_to_end(&mut limited, &mut part).await.map_err(|e| error::io("read", path, e))?;
        if part.is_empty() {
            break;
        }
        hasher.update(&part);
        upload.put_part(PutPayload::from(part)).await.map_err(|e| store_error("write", &raw, e))?;
    }
    if hex(&hasher.finalize()) != file.sha256 {
        let _ = upload.abort().await;
        return Err(changed());
    }
    upload.complete().await.map_err(|e| store_error("write", &raw, e))?;
    Ok(raw)
}
