//! Holds: raw that is treated as not yet arrived, alike in run, rebuild and verify; the way out of a
//! poison batch.
//!
//! A hold is one small object. Releasing deletes it; the next run takes the files in, in their place
//! in the arrival order.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use object_store::path::Path;
use serde::{Deserialize, Serialize};

use super::Manifest;
use crate::{
    error::{Error, Result},
    lake::{BatchId, FileRef, Lake, layout},
};

/// What is held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    pub batch: BatchId,
    /// One file of the batch, by its place in the path order; `None` for all of it.
    pub file: Option<usize>,
    pub held_at: DateTime<Utc>,
}

/// How many holds were lifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Released(pub usize);

impl Lake {
    /// Holds batches or files, named by batch number, by path in the batch, or by hash.
    ///
    /// # Errors
    /// `Input` when no landed batch or file has that name.
    pub async fn hold(&self, name: &str) -> Result<Vec<Hold>> {
        let mut holds = Vec::new();
        for (batch, file) in self.find_held(name).await? {
            holds.push(self.hold_exactly(batch, file).await?);
        }
        Ok(holds)
    }

    /// Holds a batch, or one file of it by its place there.
    pub(crate) async fn hold_exactly(&self, batch: BatchId, file: Option<usize>) -> Result<Hold> {
        let hold = Hold { batch, file, held_at: self.clock().now() };
        self.overwrite_json(&path(batch, file), &hold).await?;
        Ok(hold)
    }

    /// Lifts the holds on a batch or file.
    pub async fn release(&self, name: &str) -> Result<Released> {
        let wanted = self.find_held(name).await?;
        let holds = self.holds().await?;
        let mut released = 0;
        for hold in holds {
            // Releasing a batch also releases its single files.
            if wanted.iter().any(|(batch, file)| *batch == hold.batch && (file.is_none() || *file == hold.file)) {
                self.delete(&path(hold.batch, hold.file)).await?;
                released += 1;
            }
        }
        if released == 0 {
            return Err(Error::input(format!("`{name}` is not held")).hint("`smelt status` lists what is held"));
        }
        Ok(Released(released))
    }

    pub async fn holds(&self) -> Result<Vec<Hold>> {
        let mut holds = Vec::new();
        for object in self.list(layout::HOLDS, None).await? {
            holds.extend(self.read_json_if_there::<Hold>(&object.location).await?);
        }
        Ok(holds)
    }

    async fn find_held(&self, name: &str) -> Result<Vec<(BatchId, Option<usize>)>> {
        let manifests = self.manifests(BatchId(0)).await?;
        let found: Vec<(BatchId, Option<usize>)> = match name.parse::<u64>() {
            Ok(number) => manifests
                .iter()
                .filter(|manifest| manifest.batch == BatchId(number))
                .map(|manifest| (manifest.batch, None))
                .collect(),
            Err(_) => manifests
                .iter()
                .flat_map(Manifest::files)
                .filter(|(_, file)| file.path == name || file.sha256 == name || file.raw == name)
                .map(|(reference, _)| (reference.batch, Some(reference.file)))
                .collect(),
        };
        if found.is_empty() {
            return Err(Error::input(format!("no landed batch or file is called `{name}`"))
                .hint("name a batch by its number, a file by its path in the batch or by its hash"));
        }
        Ok(found)
    }
}

fn path(batch: BatchId, file: Option<usize>) -> Path {
    let name = match file {
        Some(file) => format!("{:020}-{file:06}.json", batch.0),
        None => format!("{:020}.json", batch.0),
    };
    Path::from(layout::HOLDS).join(name)
}

/// The files of these manifests that the holds name.
pub(crate) fn held_files(holds: &[Hold], manifests: &[Manifest]) -> BTreeSet<FileRef> {
    manifests
        .iter()
        .flat_map(Manifest::files)
        .map(|(reference, _)| reference)
        .filter(|reference| {
            holds
                .iter()
                .any(|hold| hold.batch == reference.batch && hold.file.is_none_or(|file| file == reference.file))
        })
        .collect()
}
