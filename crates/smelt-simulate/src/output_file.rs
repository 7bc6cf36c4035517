//! A file that gets its name when it is whole.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use flate2::GzBuilder;
use flate2::write::GzEncoder;

use crate::options::Compression;

const BUFFER_BYTES: usize = 256 * 1024;

/// A file in the making, beside its final place; it vanishes unless it is finished.
pub(crate) struct OutputFile {
    path: PathBuf,
    unfinished: Unfinished,
    stream: Stream,
}

enum Stream {
    Plain(BufWriter<File>),
    Gzip(Box<GzEncoder<BufWriter<File>>>),
    Zstd(Box<zstd::Encoder<'static, BufWriter<File>>>),
}

/// The name of a file in the making. Dropping it removes the file.
struct Unfinished(PathBuf);

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After a rename there is nothing to remove, and after a failure nothing to be done.
        let _ = fs::remove_file(&self.0);
    }
}

impl OutputFile {
    pub(crate) fn create(path: &Path, compression: Compression) -> io::Result<Self> {
        let unfinished = unfinished(path);
        let buffer = BufWriter::with_capacity(BUFFER_BYTES, File::create(&unfinished.0)?);
        let stream = match compression {
            Compression::None => Stream::Plain(buffer),
            Compression::Gzip => Stream::Gzip(Box::new(GzBuilder::new().write(buffer, flate2::Compression::fast()))),
            Compression::Zstd => Stream::Zstd(Box::new(zstd::Encoder::new(buffer, 1)?)),
        };
        Ok(Self { path: path.to_path_buf(), unfinished, stream })
    }

    /// Gives the file its name; returns its size on disk.
    pub(crate) fn finish(self) -> io::Result<u64> {
        let buffer = match self.stream {
            Stream::Plain(buffer) => buffer,
            Stream::Gzip(encoder) => encoder.finish()?,
            Stream::Zstd(encoder) => encoder.finish()?,
        };
        let file = buffer.into_inner().map_err(io::IntoInnerError::into_error)?;
        let bytes = file.metadata()?.len();
        fs::rename(&self.unfinished.0, &self.path)?;
        Ok(bytes)
    }
}

/// Copies a whole file; returns its size.
pub(crate) fn copy(from: &Path, to: &Path) -> io::Result<u64> {
    let unfinished = unfinished(to);
    let bytes = fs::copy(from, &unfinished.0)?;
    fs::rename(&unfinished.0, to)?;
    Ok(bytes)
}

fn unfinished(path: &Path) -> Unfinished {
    let mut name = std::ffi::OsString::from(".");
    name.push(path.file_name().unwrap_or_default());
    name.push(".partial");
    Unfinished(path.with_file_name(name))
}

impl Write for OutputFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.write(bytes),
            Stream::Gzip(stream) => stream.write(bytes),
            Stream::Zstd(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match &mut self.stream {
            Stream::Plain(stream) => stream.flush(),
            Stream::Gzip(stream) => stream.flush(),
            Stream::Zstd(stream) => stream.flush(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_when_finished_and_is_gone_when_given_up() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("a.jsonl");
        let mut given_up = OutputFile::create(&path, Compression::None).unwrap();
        given_up.write_all(b"half").unwrap();
        drop(given_up);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);

        let mut file = OutputFile::create(&path, Compression::None).unwrap();
        file.write_all(b"whole").unwrap();
        assert!(!path.exists());
        assert_eq!(file.finish().unwrap(), 5);
        assert_eq!(fs::read(&path).unwrap(), b"whole");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
