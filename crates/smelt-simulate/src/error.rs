//! Why a simulation stopped.

use std::io;
use std::path::{Path, PathBuf};

use thiserror::Error;

/// Why [`simulate`](crate::simulate) could not do its work.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SimulateError {
    /// An option has a value that makes no sense. Nothing was written.
    #[error("option `{option}` {reason}")]
    Option {
        /// The field of [`Options`](crate::Options).
        option: &'static str,
        /// What it must be.
        reason: String,
    },
    /// The output folder has content and `overwrite` is off. Nothing was written.
    #[error("output folder {} already has content", path.display())]
    NotEmpty {
        /// The output folder.
        path: PathBuf,
    },
    /// A file or folder could not be read or written. Files that already carry their final name
    /// are whole.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried, as in "cannot write".
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The cause.
        #[source]
        source: io::Error,
    },
}

impl SimulateError {
    /// For `map_err`: the failure of `action` on `path`.
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_path_buf();
        move |source| Self::Io { action, path, source }
    }
}
