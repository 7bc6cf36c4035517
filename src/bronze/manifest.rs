//! A batch's manifest: what landed, from where, in which order.

use chrono::{DateTime, NaiveDate, Utc};
use serde::{Deserialize, Serialize};
use smelt_clean::{Compression, Format};

use crate::{
    error::{Error, Result},
    lake::{BatchId, FileRef, Lake, layout},
};

const FORMAT: u32 = 1;

/// One landed batch. Its files stand in the bytewise order of their paths, which is the order in
/// which their records arrived.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Manifest {
    pub format: u32,
    pub batch: BatchId,
    pub ingestion_date: NaiveDate,
    pub landed_at: DateTime<Utc>,
    pub files: Vec<LandedFile>,
}

/// One raw file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LandedFile {
    pub entity: String,
    /// The file's path within the batch.
    pub path: String,
    /// Where it came from.
    pub source: String,
    /// Where it lies, below the lake's root.
    pub raw: String,
    pub sha256: String,
    pub bytes: u64,
    /// Records as counted when it landed.
    pub records: u64,
    #[serde(with = "format_name")]
    pub format: Format,
    #[serde(with = "compression_name")]
    pub compression: Compression,
}

impl Manifest {
    pub fn new(batch: BatchId, ingestion_date: NaiveDate, landed_at: DateTime<Utc>, mut files: Vec<LandedFile>) -> Self {
        files.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
        Self { format: FORMAT, batch, ingestion_date, landed_at, files }
    }

    /// The files with their references, in arrival order.
    pub fn files(&self) -> impl Iterator<Item = (FileRef, &LandedFile)> {
        self.files.iter().enumerate().map(|(file, landed)| (FileRef { batch: self.batch, file }, landed))
    }
}

impl Lake {
    /// The newest batch's number, 0 when there is none.
    pub async fn newest_batch(&self) -> Result<BatchId> {
        let found = self.list(layout::BATCHES, None).await?;
        Ok(BatchId(found.last().and_then(|object| layout::number(&object.location)).unwrap_or(0)))
    }

    /// The manifests after `after`, in order.
    pub async fn manifests(&self, after: BatchId) -> Result<Vec<Manifest>> {
        use futures::{StreamExt, TryStreamExt};
        let found = self.list(layout::BATCHES, Some(&layout::batch(after))).await?;
        futures::stream::iter(found)
            .map(|object| async move {
                let manifest: Manifest = self.read_json(&object.location).await?;
                if manifest.format > FORMAT {
                    return Err(Error::input(format!("`{}` was written by a newer smelt", object.location))
                        .hint("upgrade this smelt"));
                }
                if layout::number(&object.location) != Some(manifest.batch.0) {
                    return Err(Error::data(format!("`{}` is damaged: it says it is batch {}", object.location, manifest.batch)));
                }
                Ok(manifest)
            })
            .buffered(16)
            .try_collect()
            .await
    }
}

/// The name under which a format is recorded, also a raw file's suffix.
pub(super) fn format_text(format: Format) -> &'static str {
    match format {
        Format::JsonLines => "jsonl",
        Format::Csv => "csv",
        Format::Parquet => "parquet",
    }
}

pub(super) fn compression_suffix(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "",
        Compression::Gzip => ".gz",
        Compression::Zstd => ".zst",
    }
}

mod format_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use smelt_clean::Format;

    pub(super) fn serialize<S: Serializer>(format: &Format, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(super::format_text(*format))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Format, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "jsonl" => Ok(Format::JsonLines),
            "csv" => Ok(Format::Csv),
            "parquet" => Ok(Format::Parquet),
            other => Err(D::Error::custom(format!("unknown format `{other}`"))),
        }
    }
}

mod compression_name {
    use serde::{Deserialize, Deserializer, Serializer, de::Error};
    use smelt_clean::Compression;

    pub(super) fn serialize<S: Serializer>(compression: &Compression, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(match compression {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Zstd => "zstd",
        })
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Compression, D::Error> {
        match String::deserialize(deserializer)?.as_str() {
            "none" => Ok(Compression::None),
            "gzip" => Ok(Compression::Gzip),
            "zstd" => Ok(Compression::Zstd),
            other => Err(D::Error::custom(format!("unknown compression `{other}`"))),
        }
    }
}
