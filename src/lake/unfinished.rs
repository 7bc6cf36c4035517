//! What killed processes were just writing to a lake on this machine.
//!
//! The local store writes a file as `NAME#1` and gives it its name once it is whole. Its listings leave out what has
//! no name yet, and a collection by them alone would leave it for ever.

use std::{
    fs, io,
    path::{Path as Folder, PathBuf},
    time::{Duration, SystemTime},
};

use object_store::path::Path;
use walkdir::WalkDir;

use super::{Lake, layout};
use crate::error::{self, Error, Result};

/// Nothing takes as long to be written: its process is dead.
const ABANDONED: Duration = Duration::from_hours(24);

/// A file that has no name yet.
#[derive(Debug)]
pub(super) struct Unfinished {
    file: PathBuf,
    /// The name that it was to have.
    pub(super) location: Path,
    pub(super) size: u64,
    modified: SystemTime,
}

impl Unfinished {
    pub(super) fn is_abandoned(&self) -> bool {
        // One from the future, by a clock that was set back, waits.
        self.modified.elapsed().is_ok_and(|age| age > ABANDONED)
    }

    fn remove(&self) -> io::Result<()> {
        // The name may have been taken again since it was found.
        if fs::metadata(&self.file)?.modified()? == self.modified { fs::remove_file(&self.file) } else { Ok(()) }
    }
}

impl Lake {
    /// All of them, also those that living processes write.
    pub(super) async fn unfinished(&self) -> Result<Vec<Unfinished>> {
        let Some(near) = &self.near else { return Ok(Vec::new()) };
        let root = near.root().to_owned();
        let zones = [&self.zones.raw, &self.zones.staging, &self.zones.gold];
        let ours = zones.map(String::as_str).into_iter().chain([layout::OWN]);
        // As the store names them.
        let ours: Vec<PathBuf> = ours.map(|folder| root.join(Path::from(folder).as_ref())).collect();
        blocking(move || {
            let mut found = Vec::new();
            for folder in ours {
                found.extend(below(&folder, &root).map_err(|e| error::io("look through", &folder, e))?);
            }
            Ok(found)
        })
        .await
    }

    /// Deletes one, and the folders that are empty without it.
    pub(super) async fn delete_unfinished(&self, unfinished: Unfinished) -> Result<()> {
        let Some(root) = self.near.as_ref().map(|near| near.root().to_owned()) else { return Ok(()) };
        blocking(move || {
            match unfinished.remove() {
                Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(error::io("delete", &unfinished.file, e)),
                _ => {}
            }
            let folders = unfinished.file.ancestors().skip(1).take_while(|folder| *folder != root);
            // Those that hold anything cannot be removed.
            let _ = folders.map(fs::remove_dir).find(io::Result::is_err);
            Ok(())
        })
        .await
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(|e| Error::bug("looking after files ended early").cause(e))?
}

/// Those in a folder. Links in it are not followed: what they lead to may be anybody's.
fn below(folder: &Folder, root: &Folder) -> io::Result<Vec<Unfinished>> {
    let mut found = Vec::new();
    for entry in WalkDir::new(folder) {
        match entry.map_err(io::Error::from).and_then(|entry| unfinished(&entry, root)) {
            Ok(file) => found.extend(file),
            // The lake is in use, and a folder goes with its last file. What cannot be read is not smelt's.
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::PermissionDenied) => {}
            Err(e) => return Err(e),
        }
    }
    Ok(found)
}

fn unfinished(entry: &walkdir::DirEntry, root: &Folder) -> io::Result<Option<Unfinished>> {
    if !entry.file_type().is_file() {
        return Ok(None);
    }
    // Smelt names no file that is not UTF-8.
    let Some(path) = entry.path().strip_prefix(root).ok().and_then(Folder::to_str) else { return Ok(None) };
    let Some((name, number)) = path.rsplit_once('#') else { return Ok(None) };
    if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
        return Ok(None);
    }
    let Ok(location) = Path::parse(name) else { return Ok(None) };
    let there = entry.metadata()?;
    Ok(Some(Unfinished { file: entry.path().to_owned(), location, size: there.len(), modified: there.modified()? }))
}
