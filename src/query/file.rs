//! A file that appears whole or not at all.
//!
//! It is written beside its place under a temporary name, and takes its name when it is done: only if
//! nothing has that name, unless replacing was asked for.

use std::{
    fs::{self, File},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use crate::error::{self, Error, Result};

/// A file being written. Dropped before [`keep`](Self::keep), it leaves nothing behind.
#[derive(Debug)]
pub struct NewFile {
    place: PathBuf,
    temporary: PathBuf,
    replace: bool,
    file: Option<BufWriter<File>>,
}

impl NewFile {
    /// # Errors
    /// `Input` where the place is taken and `replace` is not set, or its folder cannot be written.
    pub fn create(place: &Path, replace: bool) -> Result<Self> {
        if !replace && place.symlink_metadata().is_ok() {
            return Err(taken(place));
        }
        let name = place.file_name().ok_or_else(|| Error::input(format!("`{}` names no file", place.display())))?;
        let temporary = place.with_file_name(format!(".{}.{}.smelt-tmp", name.to_string_lossy(), uuid::Uuid::new_v4()));
        let file = File::create_new(&temporary).map_err(|error| error::io("write", place, error))?;
        Ok(Self { place: place.to_owned(), temporary, replace, file: Some(BufWriter::new(file)) })
    }

    /// Makes the file durable and gives it its name.
    ///
    /// # Errors
    /// `Input` where the place was taken meanwhile.
    pub fn keep(mut self) -> Result<()> {
        let moved = self.file.take().map_or(Ok(()), |file| {
            file.into_inner().map_err(io::IntoInnerError::into_error)?.sync_all()?;
            if self.replace {
                fs::rename(&self.temporary, &self.place)
            } else {
                // A link, unlike a rename, fails where the name is taken.
                fs::hard_link(&self.temporary, &self.place).and_then(|()| fs::remove_file(&self.temporary))
            }
        });
        moved.map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => taken(&self.place),
            _ => error::io("write", &self.place, error),
        })
    }
}

fn taken(place: &Path) -> Error {
    Error::input(format!("`{}` exists already", place.display()))
        .hint("name another file, or replace it with `--force`")
}

impl Write for NewFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.as_mut().map_or(Ok(0), |file| file.write(bytes))
    }
    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for NewFile {
    fn drop(&mut self) {
        // Gone already after `keep`; after a failure there is nobody left to tell.
        let _ = fs::remove_file(&self.temporary);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_and_never_over_another() {
        let folder = tempfile::tempdir().unwrap();
        let place = folder.path().join("a.csv");
        let mut first = NewFile::create(&place, false).unwrap();
        first.write_all(b"one").unwrap();
        assert!(!place.exists());
        let second = NewFile::create(&place, false).unwrap();
        first.keep().unwrap();
        assert_eq!(fs::read(&place).unwrap(), b"one");
        assert!(second.keep().unwrap_err().message().contains("exists"));
        assert!(NewFile::create(&place, false).is_err());

        let mut third = NewFile::create(&place, true).unwrap();
        third.write_all(b"three").unwrap();
        third.keep().unwrap();
        drop(NewFile::create(&place, true).unwrap());
        assert_eq!(fs::read(&place).unwrap(), b"three");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "no temporary file is left");
    }
}
