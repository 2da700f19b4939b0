//! A folder of checkpoints: `step-0000001500.safetensors`, the newest with the highest number.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::error::Error;
use crate::files::lock::{TryLockError, try_lock};

/// Temporary files that no process has written to for this long, and none has a lock on, are a killed run's. The clock alone says nothing: it may
/// have been set.
const ABANDONED: Duration = Duration::from_secs(60);

/// The file for a step.
pub(crate) fn file(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("step-{step:010}.safetensors"))
}

/// The checkpoints in a folder with their steps, the newest first.
///
/// # Errors
///
/// [`Error::Io`].
pub(crate) fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, Error> {
    let step =
        |path: &Path| path.file_name()?.to_str()?.strip_prefix("step-")?.strip_suffix(".safetensors")?.parse().ok();
    let mut found: Vec<(u64, PathBuf)> =
        entries(folder)?.into_iter().filter_map(|path| Some((step(&path)?, path))).collect();
    found.sort_unstable_by_key(|&(step, _)| std::cmp::Reverse(step));
    Ok(found)
}

/// What keeps a folder for one run as long as it lives: the system lets go of it with the program, however that ends.
pub(crate) struct Lock {
    _file: std::fs::File,
}

/// Keeps a folder for one run.
///
/// # Errors
///
/// [`Error::Option`] where another run has it; [`Error::Io`].
pub(crate) fn lock(folder: &Path) -> Result<Lock, Error> {
    let path = folder.join(".lock");
    let file =
        std::fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(Error::io(&path))?;
    match try_lock(&file) {
        Ok(()) => Ok(Lock { _file: file }),
        Err(TryLockError::WouldBlock) => Err(Error::Option(format!(
            "{}: another run leaves its checkpoints there now: choose another folder, or wait for it",
            folder.display()
        ))),
        // Some network file systems have no locks: there no other run is kept out.
        Err(TryLockError::Error(error)) => {
            tracing::warn!(%error, "the folder of checkpoints is not locked");
            Ok(Lock { _file: file })
        }
    }
}

/// Makes the folder where it is not there, and clears away what killed runs left half written.
///
/// # Errors
///
/// [`Error::Io`] where it cannot be made or written to.
pub(crate) fn open(folder: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    for path in entries(folder)? {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let age = || path.metadata().ok()?.modified().ok()?.elapsed().ok();
        let is_old = || age().is_some_and(|age| age > ABANDONED);
        if name.starts_with(crate::files::TEMPORARY) && is_old() && crate::files::is_abandoned(&path) {
            std::fs::remove_file(&path).map_err(Error::io(&path))?;
        }
    }
    crate::files::beside(&file(folder, 0)).map(drop)
}

/// Deletes the checkpoints before this one but for the last `keep`, this one included. Those of later steps are none of its business.
///
/// # Errors
///
/// [`Error::Io`].
pub(crate) fn prune(folder: &Path, step: u64, keep: usize) -> Result<(), Error> {
    let old = list(folder)?.into_iter().filter(|&(other, _)| other <= step).skip(keep);
    old.map(|(_, path)| path).try_for_each(remove)
}

/// Deletes the checkpoints of later steps than this one.
///
/// # Errors
///
/// [`Error::Io`].
pub(crate) fn forget_after(folder: &Path, step: u64) -> Result<(), Error> {
    let later = list(folder)?.into_iter().filter(|&(other, _)| other > step);
    later.map(|(_, path)| path).try_for_each(remove)
}

/// Whether two paths are those of one folder.
pub(crate) fn is_same(a: &Path, b: &Path) -> bool {
    a.canonicalize().ok() == b.canonicalize().ok()
}

fn remove(path: PathBuf) -> Result<(), Error> {
    match std::fs::remove_file(&path) {
        // Another process has deleted it, which is what was wanted.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed.map_err(Error::io(&path)),
    }
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let read =
        || -> std::io::Result<_> { std::fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect() };
    read().map_err(Error::io(folder))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file that is being written, deleted because the clock was set forward; one of a killed run, left there for ever.
    #[test]
    fn files_that_a_process_writes_are_kept() {
        let folder = tempfile::tempdir().unwrap();
        let (writing, _) = crate::files::beside(&folder.path().join("model.safetensors")).unwrap();
        let (killed, _) = crate::files::beside(&folder.path().join("model.safetensors")).unwrap();
        let killed = killed.into_temp_path().keep().unwrap();
        let young = folder.path().join(".wgrad-young");
        std::fs::write(&young, "").unwrap();
        let long_ago = std::fs::FileTimes::new().set_modified(std::time::UNIX_EPOCH + ABANDONED);
        for path in [writing.path(), &killed] {
            std::fs::File::options().write(true).open(path).unwrap().set_times(long_ago).unwrap();
        }
        open(folder.path()).unwrap();
        assert!(writing.path().exists() && young.exists() && !killed.exists());
    }
}
