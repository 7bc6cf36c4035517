//! Files of a lake on this machine, read into memory that is used again.
//!
//! A run reads a few rows each of tens of thousands of pages and keeps none of their bytes. Memory that is new to
//! the process has to come from the system, page by page, and to be cleared: more work than reading is.

use std::{
    fs::File,
    io::{self, Read as _, Seek as _, SeekFrom},
    ops::Range,
    path::{Path as Folder, PathBuf},
    sync::{Arc, Mutex, PoisonError},
};

use object_store::{local::LocalFileSystem, path::Path};

/// Buffers that are kept, and how large they are.
const BUFFERS: usize = 8;
const LEAST_BYTES: usize = 1 << 20;
const BUFFER_BYTES: usize = 8 << 20;

/// The folder of a lake.
#[derive(Debug)]
pub(crate) struct Near {
    folder: LocalFileSystem,
    root: PathBuf,
    buffers: Mutex<Vec<Vec<u8>>>,
}

/// Bytes of a file, in memory that is lent.
pub(super) struct Buffer {
    bytes: Vec<u8>,
    /// Those that are the file's: what follows is what was there before.
    filled: usize,
    of: Arc<Near>,
}

impl Near {
    /// # Errors
    /// Where there is no such folder.
    pub(super) fn new(root: &Folder) -> io::Result<Self> {
        let root = root.canonicalize()?;
        // Stores have no folders: one whose last object goes must go with it.
        let folder = LocalFileSystem::new_with_prefix(&root)?.with_automatic_cleanup(true);
        Ok(Self { folder, root, buffers: Mutex::default() })
    }

    pub(super) fn store(&self) -> LocalFileSystem {
        self.folder.clone()
    }

    pub(super) fn root(&self) -> &Folder {
        &self.root
    }

    fn buffer(self: &Arc<Self>) -> Buffer {
        let bytes = self.buffers.lock().unwrap_or_else(PoisonError::into_inner).pop();
        Buffer { bytes: bytes.unwrap_or_default(), filled: 0, of: Arc::clone(self) }
    }

    /// Work on a file, with a buffer to read it into, among the threads that may wait for a disk.
    pub(super) async fn on<T: Send + 'static>(
        self: &Arc<Self>,
        path: &Path,
        work: impl FnOnce(&File, Buffer) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let path = self.folder.path_to_filesystem(path).map_err(io::Error::other)?;
        let buffer = self.buffer();
        let done = tokio::task::spawn_blocking(move || work(&File::open(path)?, buffer));
        done.await.map_err(io::Error::other)?
    }

    /// Some bytes of a file.
    pub(super) async fn read(self: &Arc<Self>, path: &Path, range: Range<u64>) -> io::Result<Buffer> {
        self.on(path, |file, mut buffer| buffer.fill(file, &[range]).map(|()| buffer)).await
    }
}

impl Buffer {
    /// Holds these ranges of a file from now on, one after the other.
    pub(super) fn fill(&mut self, mut file: &File, ranges: &[Range<u64>]) -> io::Result<()> {
        let bytes: u64 = ranges.iter().map(|range| range.end - range.start).sum();
        self.filled = usize::try_from(bytes).map_err(io::Error::other)?;
        if self.bytes.len() < self.filled {
            // What it holds is of no use, and would be copied.
            self.bytes = vec![0; self.filled.next_power_of_two().max(LEAST_BYTES)];
        }
        let mut rest = &mut self.bytes[..self.filled];
        for range in ranges {
            let (here, later) = rest.split_at_mut((range.end - range.start) as usize);
            file.seek(SeekFrom::Start(range.start))?;
            file.read_exact(here)?;
            rest = later;
        }
        Ok(())
    }
}

impl AsRef<[u8]> for Buffer {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..self.filled]
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        let mut buffers = self.of.buffers.lock().unwrap_or_else(PoisonError::into_inner);
        if buffers.len() < BUFFERS && self.bytes.capacity() <= BUFFER_BYTES {
            buffers.push(std::mem::take(&mut self.bytes));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_buffer_that_is_used_again_shows_only_what_was_read_last() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("long"), b"0123456789").unwrap();
        std::fs::write(folder.path().join("short"), b"abc").unwrap();
        let near = Arc::new(Near::new(folder.path()).unwrap());
        assert_eq!(near.read(&"long".into(), 2..9).await.unwrap().as_ref(), b"2345678");
        assert_eq!(near.buffers.lock().unwrap().len(), 1, "it came back");
        assert_eq!(near.read(&"short".into(), 1..3).await.unwrap().as_ref(), b"bc");
        let pieces =
            near.on(&"long".into(), |file, mut buffer| buffer.fill(file, &[0..2, 8..10]).map(|()| buffer)).await;
        assert_eq!(pieces.unwrap().as_ref(), b"0189");
        // What is not there is an error, not what a buffer held before.
        let beyond = near.read(&"short".into(), 1..8).await.err().unwrap();
        assert_eq!(beyond.kind(), io::ErrorKind::UnexpectedEof);
        assert_eq!(near.read(&"none".into(), 0..1).await.err().unwrap().kind(), io::ErrorKind::NotFound);
    }
}
