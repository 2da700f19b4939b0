//! Locks of files against other processes, which end with the process that holds them.

use std::fs::File;

#[cfg(not(target_family = "wasm"))]
pub(crate) use fs4::TryLockError;
#[cfg(target_family = "wasm")]
pub(crate) use std::fs::TryLockError;

/// Locks a file as long as it is open.
///
/// # Errors
///
/// That another process holds it, or that the file system has no locks.
pub(crate) fn try_lock(file: &File) -> Result<(), TryLockError> {
    #[cfg(not(target_family = "wasm"))]
    return fs4::FileExt::try_lock(file);
    #[cfg(target_family = "wasm")]
    file.try_lock()
}
