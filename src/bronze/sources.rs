//! What the user handed in: files and folders here, or objects behind a URL, as one flat list.

use std::path::{Path, PathBuf};

use futures::TryStreamExt;
use object_store::ObjectStoreExt;
use smelt_clean::{Compression, Format};

use crate::{
    error::{self, Error, Result},
    lake::{location, store_error},
    project::Project,
};

/// One file to land.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) entity: String,
    /// The path within the batch: as the user wrote it, continued by what was found below.
    pub(super) path: String,
    pub(super) format: Format,
    pub(super) compression: Compression,
    pub(super) bytes: Place,
}

#[derive(Debug)]
pub(super) enum Place {
    File(PathBuf),
    /// Downloaded to a temporary file, which lives as long as this.
    Fetched { file: tempfile::NamedTempFile, url: String },
}

impl Place {
    pub(super) fn path(&self) -> &Path {
        match self {
            Self::File(path) => path,
            Self::Fetched { file, .. } => file.path(),
        }
    }

    /// Where the file came from, for the manifest.
    pub(super) fn shown(&self) -> String {
        match self {
            Self::File(path) => path.canonicalize().unwrap_or_else(|_| path.clone()).to_string_lossy().into_owned(),
            Self::Fetched { url, .. } => url.clone(),
        }
    }
}

/// Finds every file below `paths` and names its entity. Nothing is passed over silently: a file
/// that smelt cannot land is an error.
pub(super) async fn find(project: &Project, paths: &[String], entity: Option<&str>) -> Result<Vec<Source>> {
    if let Some(entity) = entity {
        project.contract(entity)?;
    }
    let mut sources = Vec::new();
    let mut errors = Vec::new();
    for given in paths {
        let found = if given.contains("://") { fetch(given).await? } else { walk(Path::new(given))? };
        if found.is_empty() {
            errors.push(Error::input(format!("`{given}` holds no files")));
        }
        for (path, place) in found {
            match name(project, &path, entity) {
                Ok((entity, format, compression)) => {
                    sources.push(Source { entity, path, format, compression, bytes: place });
                }
                Err(error) => errors.push(error),
            }
        }
    }
    Error::all(errors)?;
    sources.sort_by(|a, b| a.path.as_bytes().cmp(b.path.as_bytes()));
    Ok(sources)
}

fn name(project: &Project, path: &str, entity: Option<&str>) -> Result<(String, Format, Compression)> {
    let (format, compression) = smelt_clean::detect(path).ok_or_else(|| {
        Error::input(format!("`{path}` has no format that smelt reads"))
            .hint("extracts end in .jsonl (or .ndjson, .json), .csv or .parquet, and may end in .gz or .zst after that")
    })?;
    let entity = match entity {
        Some(entity) => entity.to_owned(),
        None => entity_of(project, path).ok_or_else(|| {
            let stem = path.rsplit('/').next().and_then(|name| name.split('.').next()).unwrap_or(path);
            let unknown = match project.contract(stem) {
                Err(error) => error,
                Ok(_) => Error::input(format!("`{path}`: its entity is not clear")),
            };
            let hint = unknown.hint_text().unwrap_or_default().to_owned();
            Error::input(format!("no contract fits `{path}`, neither by its file name nor by its folders' names"))
                .hint(hint)
        })?,
    };
    Ok((entity, format, compression))
}

/// The entity whose name the file's name begins with (`orders.jsonl`, `orders-2026-01-05.csv`), or
/// else the nearest folder's.
fn entity_of(project: &Project, path: &str) -> Option<String> {
    path.rsplit('/').find_map(|part| {
        let stem = part.split('.').next().unwrap_or(part);
        project
            .contracts
            .keys()
            .map(|entity| entity.as_str())
            .filter(|entity| {
                stem.strip_prefix(entity)
                    .is_some_and(|rest| rest.is_empty() || rest.starts_with(|c: char| matches!(c, '-' | '_' | '=')))
            })
            // `order_items` before `order`.
            .max_by_key(|entity| entity.len())
            .map(str::to_owned)
    })
}

/// Files below a path, hidden ones and markers such as `_SUCCESS` left out. Links to files are
/// followed; links to folders are not, so no walk goes in circles.
fn walk(given: &Path) -> Result<Vec<(String, Place)>> {
    let meta = std::fs::metadata(given).map_err(|e| error::io("read", given, e))?;
    if meta.is_file() {
        return Ok(vec![(given.to_string_lossy().into_owned(), Place::File(given.to_owned()))]);
    }
    let mut found = Vec::new();
    let mut folders = vec![given.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).map_err(|e| error::io("list", &folder, e))? {
            let entry = entry.map_err(|e| error::io("list", &folder, e))?;
            let path = entry.path();
            if entry.file_name().to_string_lossy().starts_with(['.', '_']) {
                continue;
            }
            let kind = entry.file_type().map_err(|e| error::io("read", &path, e))?;
            if kind.is_dir() {
                folders.push(path);
                continue;
            }
            let target = std::fs::metadata(&path).map_err(|e| error::io("read", &path, e))?;
            if target.is_file() {
                found.push((path.to_string_lossy().into_owned(), Place::File(path)));
            } else {
                return Err(Error::input(format!("`{}` is neither a file nor a folder", path.display()))
                    .hint("links to folders are not followed: name the folder itself"));
            }
        }
    }
    Ok(found)
}

async fn fetch(url: &str) -> Result<Vec<(String, Place)>> {
    use std::io::Write;
    let (store, prefix) = location(url)?;
    let objects: Vec<_> = store.list(Some(&prefix)).try_collect().await.map_err(|e| store_error("list", &prefix, e))?;
    let paths = if objects.is_empty() { vec![prefix.clone()] } else { objects.into_iter().map(|o| o.location).collect() };
    let root = url.split("://").next().unwrap_or_default();
    let host = url.split("://").nth(1).and_then(|rest| rest.split('/').next()).unwrap_or_default();
    let mut found = Vec::new();
    for path in paths {
        if path.filename().is_some_and(|name| name.starts_with(['.', '_'])) {
            continue;
        }
        let mut file = tempfile::NamedTempFile::new().map_err(|e| error::io("make", &std::env::temp_dir(), e))?;
        let mut stream = store.get(&path).await.map_err(|e| store_error("read", &path, e))?.into_stream();
        while let Some(bytes) = stream.try_next().await.map_err(|e| store_error("read", &path, e))? {
            file.write_all(&bytes).map_err(|e| error::io("write", file.path(), e))?;
        }
        found.push((path.to_string(), Place::Fetched { file, url: format!("{root}://{host}/{path}") }));
    }
    Ok(found)
}
