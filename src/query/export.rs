//! Tables of one snapshot as folders of Parquet files: `DIR/<table>/part-00000.parquet` and on.
//!
//! A table's folder is written under a temporary name and takes its own when all its parts are on
//! disk, so that it is there whole or not at all.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::{Path, PathBuf},
    sync::Arc,
};

use datafusion::arrow::array::RecordBatch;
use parquet::arrow::arrow_writer::ArrowWriter;

use super::{Answer, SqlError, output::parquet_options, run};
use crate::{
    error::{self, Error, Result, nearest},
    serve::{DEFAULT_SCHEMA, SqlEngine, View, ViewTable, open},
};

/// A part is closed once it has grown so large, in bytes.
pub const PART_BYTES: usize = 128 << 20;
/// Names under construction begin with it.
const UNFINISHED: &str = ".smelt-export-";

/// What to export, and where to.
#[derive(Debug, Clone)]
pub struct ExportOptions {
    pub folder: PathBuf,
    /// `name` or `schema.name`; empty for all of the default schema.
    pub tables: Vec<String>,
    /// All tables of all schemas.
    pub all: bool,
    /// Write into a folder that is not empty, replacing the folders of the exported tables.
    pub force: bool,
    /// The size at which a file is closed and the next one begun, in bytes; see [`PART_BYTES`].
    pub part_bytes: usize,
}

/// One exported table.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Exported {
    pub table: String,
    pub rows: u64,
    pub files: usize,
    pub bytes: u64,
}

/// Exports tables of a view; `done` hears of each as it is finished.
///
/// # Errors
/// `Input` for an unknown table or a folder that is not empty; nothing is written then.
pub async fn export(
    view: &Arc<View>,
    engine: &dyn SqlEngine,
    options: &ExportOptions,
    mut done: impl FnMut(&Exported),
) -> Result<Vec<Exported>> {
    let tables = chosen(view, options)?;
    prepare(&options.folder, options.force)?;
    let session = open(&engine.session()?.state(), view);
    let mut exported = Vec::with_capacity(tables.len());
    for table in tables {
        let frame = session
            .read_table(Arc::clone(&table.provider))
            .map_err(|error| Error::from(SqlError::explain(&error, view)))?;
        let answer = run(&session, &frame.into_unoptimized_plan(), view).await?;
        let written = write_table(answer, &table.name, options).await?;
        done(&written);
        exported.push(written);
    }
    Ok(exported)
}

/// The tables asked for, in the order they will be written. Two schemas cannot share a folder name.
fn chosen<'a>(view: &'a View, options: &ExportOptions) -> Result<Vec<&'a ViewTable>> {
    let mut tables: Vec<&ViewTable> = if options.tables.is_empty() {
        view.tables.iter().filter(|table| options.all || table.schema == DEFAULT_SCHEMA).collect()
    } else {
        options.tables.iter().map(|name| find(view, name)).collect::<Result<_>>()?
    };
    tables.sort_by(|left, right| (&left.schema, &left.name).cmp(&(&right.schema, &right.name)));
    tables.dedup_by(|left, right| (&left.schema, &left.name) == (&right.schema, &right.name));
    let mut names = BTreeSet::new();
    if let Some(twice) = tables.iter().find(|table| !names.insert(&table.name)) {
        return Err(Error::input(format!("two of the tables are called `{}`, and would share a folder", twice.name))
            .hint("export each schema into a folder of its own with `--tables`"));
    }
    Ok(tables)
}

fn find<'a>(view: &'a View, name: &str) -> Result<&'a ViewTable> {
    view.table(name).or_else(|| view.tables.iter().find(|table| table.name == name)).ok_or_else(|| {
        let error = Error::input(format!("snapshot {} has no table `{name}`", view.snapshot));
        let bare = name.rsplit('.').next().unwrap_or(name);
        match nearest(bare, view.tables.iter().map(|table| table.name.as_str())) {
            Some(near) => error.hint(format!("did you mean `{near}`?")),
            None => error,
        }
    })
}

/// An empty folder, or one the user lets us write into; without what a dead export left.
fn prepare(folder: &Path, force: bool) -> Result<()> {
    fs::create_dir_all(folder).map_err(|error| error::io("make the folder", folder, error))?;
    for entry in fs::read_dir(folder).map_err(|error| error::io("list", folder, error))? {
        let entry = entry.map_err(|error| error::io("list", folder, error))?;
        if entry.file_name().to_string_lossy().starts_with(UNFINISHED) {
            fs::remove_dir_all(entry.path()).map_err(|error| error::io("clear", &entry.path(), error))?;
        } else if !force {
            return Err(Error::input(format!("`{}` is not empty", folder.display()))
                .hint("name another folder, or replace the tables in it with `--force`"));
        }
    }
    Ok(())
}

async fn write_table(mut answer: Answer, name: &str, options: &ExportOptions) -> Result<Exported> {
    let building = Building::new(&options.folder, name)?;
    let mut exported = Exported { table: name.to_owned(), rows: 0, files: 0, bytes: 0 };
    let mut open: Option<Part> = None;
    while let Some(batch) = answer.next().await {
        let batch = batch?;
        exported.rows += batch.num_rows() as u64;
        let mut part = match open.take() {
            Some(part) => part,
            None => Part::create(&building.path, exported.files, &answer)?,
        };
        part.write(&batch)?;
        if part.size() >= options.part_bytes {
            exported.bytes += part.close()?;
            exported.files += 1;
        } else {
            open = Some(part);
        }
    }
    // A table without rows still has its columns to tell.
    if open.is_none() && exported.files == 0 {
        open = Some(Part::create(&building.path, 0, &answer)?);
    }
    if let Some(part) = open {
        exported.bytes += part.close()?;
        exported.files += 1;
    }
    building.publish(&options.folder.join(name))?;
    Ok(exported)
}

struct Part {
    path: PathBuf,
    writer: ArrowWriter<File>,
}

impl Part {
    fn create(folder: &Path, number: usize, answer: &Answer) -> Result<Self> {
        let path = folder.join(format!("part-{number:05}.parquet"));
        let file = File::create_new(&path).map_err(|error| error::io("write", &path, error))?;
        let writer = ArrowWriter::try_new_with_options(file, answer.schema.clone(), parquet_options())
            .map_err(|error| failed(&path, error))?;
        Ok(Self { path, writer })
    }

    fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        self.writer.write(batch).map_err(|error| failed(&self.path, error))
    }

    /// Bytes on disk and about to be.
    fn size(&self) -> usize {
        self.writer.bytes_written() + self.writer.in_progress_size()
    }

    /// The file's size in bytes, once it is durable.
    fn close(mut self) -> Result<u64> {
        self.writer.finish().map_err(|error| failed(&self.path, error))?;
        let file = self.writer.inner();
        file.sync_all()
            .and_then(|()| file.metadata())
            .map(|meta| meta.len())
            .map_err(|error| error::io("write", &self.path, error))
    }
}

fn failed(path: &Path, error: parquet::errors::ParquetError) -> Error {
    Error::unavailable(format!("cannot write `{}`", path.display())).cause(error)
}

/// A table's folder under its temporary name. Dropped unpublished, it is removed.
struct Building {
    path: PathBuf,
}

impl Building {
    fn new(folder: &Path, name: &str) -> Result<Self> {
        let path = folder.join(format!("{UNFINISHED}{name}-{}", uuid::Uuid::new_v4()));
        fs::create_dir(&path).map_err(|error| error::io("make the folder", &path, error))?;
        Ok(Self { path })
    }

    fn publish(self, place: &Path) -> Result<()> {
        let aside = self.path.with_extension("replaced");
        let replacing = place.symlink_metadata().is_ok();
        let moved = if replacing { fs::rename(place, &aside) } else { Ok(()) };
        moved.and_then(|()| fs::rename(&self.path, place)).map_err(|error| error::io("write", place, error))?;
        if replacing {
            let removed = if aside.is_dir() { fs::remove_dir_all(&aside) } else { fs::remove_file(&aside) };
            removed.map_err(|error| error::io("clear", &aside, error))?;
        }
        Ok(())
    }
}

impl Drop for Building {
    fn drop(&mut self) {
        // Gone already once published.
        let _ = fs::remove_dir_all(&self.path);
    }
}
