//! Files that save work: where one is not there, or not whole, the work is done again, and no run fails.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::lock::{TryLockError, try_lock};
use super::{folder_of, write_whole};
use crate::error::Error;
use crate::host::{of_target, sleep};

/// How long to wait for a file's lock: a process holds it for milliseconds, unless it was suspended.
const PATIENCE: Duration = Duration::from_secs(2);

/// A file that saves work.
#[derive(Clone, Debug)]
pub(crate) struct CacheFile(PathBuf);

impl CacheFile {
    /// The file of this path, which need not be there.
    pub(crate) fn new(path: impl Into<PathBuf>) -> Self {
        CacheFile(path.into())
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.0
    }

    /// What it has; nothing where it is not there, and no bytes where it cannot be read.
    ///
    /// # Errors
    ///
    /// The number of its bytes, where these are more than `most`, or it is no file.
    pub(crate) fn read(&self, most: u64) -> Result<Option<Vec<u8>>, u64> {
        match std::fs::metadata(&self.0) {
            Ok(about) if about.is_file() && about.len() <= most => Ok(Some(std::fs::read(&self.0).unwrap_or_default())),
            Ok(about) => Err(about.len()),
            Err(_) => Ok(None),
        }
    }

    /// Replaces it as a whole; its folder is made where it is not there. A file that cannot be written is a warning, and no error.
    pub(crate) fn write(&self, bytes: &[u8]) {
        let folder = self.0.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(Error::io(&self.0));
        if let Err(error) = folder.and_then(|()| write_whole(&self.0, bytes)) {
            tracing::warn!(%error, "a cache is not written");
        }
    }

    /// Locks it against additions by other processes, until the returned file is dropped. `None` if another process does not release
    /// the lock, or if the file system has no locks: then an addition may be lost, but no run fails.
    pub(crate) fn lock(&self) -> Option<std::fs::File> {
        let mut name = self.0.as_os_str().to_owned();
        name.push(".lock");
        std::fs::create_dir_all(folder_of(&self.0)).ok()?;
        let lock =
            std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(PathBuf::from(name)).ok()?;
        let (host, begun) = (of_target(), of_target().now());
        loop {
            match try_lock(&lock) {
                Ok(()) => return Some(lock),
                Err(TryLockError::WouldBlock) if host.since(begun) < PATIENCE => sleep(Duration::from_millis(5)),
                Err(_) => return None,
            }
        }
    }
}
