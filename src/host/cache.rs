//! The files that save work of a program, which has a file system.

use std::any::Any;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::Cache;
use crate::error::Error;
use crate::files::lock::{TryLockError, try_lock};
use crate::files::{folder_of, write_whole};

/// How long to wait for a file's lock: a process holds it for milliseconds, unless it was suspended.
const PATIENCE: Duration = Duration::from_secs(2);

/// A file that saves work.
pub(super) struct CacheFile(pub PathBuf);

impl Cache for CacheFile {
    fn path(&self) -> &Path {
        &self.0
    }

    fn read(&self, most: u64) -> Result<Option<Vec<u8>>, u64> {
        match std::fs::metadata(&self.0) {
            Ok(about) if about.is_file() && about.len() <= most => Ok(Some(std::fs::read(&self.0).unwrap_or_default())),
            Ok(about) => Err(about.len()),
            Err(_) => Ok(None),
        }
    }

    fn write(&self, bytes: &[u8]) {
        let folder = self.0.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(Error::io(&self.0));
        if let Err(error) = folder.and_then(|()| write_whole(&self.0, bytes)) {
            tracing::warn!(%error, "a cache is not written");
        }
    }

    fn lock(&self) -> Option<Box<dyn Any>> {
        let mut name = self.0.as_os_str().to_owned();
        name.push(".lock");
        std::fs::create_dir_all(folder_of(&self.0)).ok()?;
        let lock =
            std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(PathBuf::from(name)).ok()?;
        let begun = Instant::now();
        loop {
            match try_lock(&lock) {
                Ok(()) => return Some(Box::new(lock)),
                Err(TryLockError::WouldBlock) if begun.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                Err(_) => return None,
            }
        }
    }
}
