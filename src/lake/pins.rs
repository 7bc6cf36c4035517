//! Live readers, so that gc leaves the files they read.
//!
//! A reader puts a pin, then reads the snapshot. gc deletes expired snapshots first and looks at
//! the pins after: a reader that came too late for gc finds its snapshot gone, never its files.

use std::{sync::Arc, time::Duration};

use chrono::{DateTime, TimeDelta, Utc};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::{Lake, Snapshot, SnapshotId, layout};
use crate::error::{Kind, Result};

/// How long a silent reader is believed to live.
const TERM: Duration = Duration::from_secs(600);

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Record {
    pub(super) snapshot: SnapshotId,
    pub(super) expires_at: DateTime<Utc>,
}

/// Keeps one snapshot's files for as long as it lives. Clones share it.
#[derive(Debug, Clone)]
pub struct Pin {
    #[expect(dead_code, reason = "held for its drop")]
    guard: Arc<Guard>,
}

#[derive(Debug)]
struct Guard {
    lake: Lake,
    path: Path,
    renewing: tokio::task::JoinHandle<()>,
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.renewing.abort();
        let (lake, path) = (self.lake.clone(), self.path.clone());
        super::store::finish(async move {
            let _ = lake.delete(&path).await;
        });
    }
}

impl Lake {
    /// The newest snapshot, pinned; `None` when nothing is published.
    pub async fn pin_newest(&self) -> Result<Option<(Snapshot, Option<Pin>)>> {
        loop {
            let Some(newest) = self.newest().await? else { return Ok(None) };
            match self.pin(newest.id).await {
                Ok(pinned) => return Ok(Some(pinned)),
                // Expired between the two reads: there is a newer one.
                Err(error) if error.kind() == Kind::Input => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// A snapshot by number, pinned. A reader that may not write reads without a pin.
    pub async fn pin(&self, id: SnapshotId) -> Result<(Snapshot, Option<Pin>)> {
        let path = Path::from(format!("{}/{}.json", layout::PINS, uuid::Uuid::new_v4().simple()));
        let pinned = self.overwrite_json(&path, &self.pin_record(id)).await;
        let pin = match pinned {
            Ok(()) => {
                let renewing = tokio::spawn(renew(self.clone(), path.clone(), id));
                Some(Pin { guard: Arc::new(Guard { lake: self.clone(), path, renewing }) })
            }
            Err(error) => {
                tracing::debug!(%error, "reading without a pin");
                None
            }
        };
        Ok((self.snapshot(id).await?, pin))
    }

    fn pin_record(&self, snapshot: SnapshotId) -> Record {
        Record { snapshot, expires_at: self.clock().now() + TimeDelta::from_std(TERM).unwrap_or(TimeDelta::MAX) }
    }

    /// The snapshots that live readers hold; expired pins are removed.
    pub(super) async fn pinned(&self) -> Result<Vec<SnapshotId>> {
        let now = self.clock().now();
        let mut pinned = Vec::new();
        for object in self.list(layout::PINS, None).await? {
            match self.read_json_if_there::<Record>(&object.location).await {
                Ok(Some(record)) if record.expires_at > now => pinned.push(record.snapshot),
                Ok(Some(_)) => self.delete(&object.location).await?,
                Ok(None) => {}
                Err(damaged) if damaged.kind() == Kind::Data => self.delete(&object.location).await?,
                // An unread pin may be a live reader's.
                Err(error) => return Err(error),
            }
        }
        Ok(pinned)
    }
}

async fn renew(lake: Lake, path: Path, id: SnapshotId) {
    loop {
        tokio::time::sleep(TERM / 3).await;
        let _ = lake.overwrite_json(&path, &lake.pin_record(id)).await;
    }
}
