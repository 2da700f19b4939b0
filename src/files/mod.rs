//! Reads whole files, and writes files atomically.

pub(crate) mod folder;
pub(crate) mod json;
pub(crate) mod kinds;
pub(crate) mod lock;

use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use self::lock::{TryLockError, try_lock};
use crate::error::Error;

/// The prefix of temporary files' names.
pub(crate) const TEMPORARY: &str = ".wgrad-";
/// The size of the largest file that is read into memory, in bytes.
const MOST_READ: u64 = 1 << 33;

/// Opens a file for reading. A named pipe is refused: opening it would wait until a process writes to it, and no signal ends that. Pipes
/// that the program was started with, such as `/dev/stdin`, have no name.
pub(crate) fn open(path: &Path) -> Result<std::fs::File, Error> {
    #[cfg(unix)]
    if std::fs::metadata(path).is_ok_and(|about| std::os::unix::fs::FileTypeExt::is_fifo(&about.file_type()))
        && path.canonicalize().is_ok_and(|place| !place.starts_with("/dev"))
    {
        return Err(Error::format(path, "it is a named pipe: a file is needed, or /dev/stdin and the pipe before it"));
    }
    std::fs::File::open(path).map_err(Error::io(path))
}

/// Reads a whole text file.
pub(crate) fn read_text(path: &Path) -> Result<String, Error> {
    String::from_utf8(read_whole(path)?).map_err(|_| Error::format(path, "it is not UTF-8: save it in that encoding"))
}

/// Reads all bytes of a file, or of a pipe, up to a limit in case it has no end.
pub(crate) fn read_whole(path: &Path) -> Result<Vec<u8>, Error> {
    let file = open(path)?;
    let about = file.metadata().map_err(Error::io(path))?;
    if about.is_dir() {
        return Err(Error::format(path, "it is a folder: a file is needed"));
    }
    let most = if about.is_file() { MOST_READ } else { 1 << 30 };
    if about.len() > most {
        return Err(Error::format(path, format!("it has {} bytes: at most {most} are read", about.len())));
    }
    read_to_end(path, file, most)
}

/// Reads a stream to its end, up to `most` bytes.
pub(crate) fn read_to_end(path: &Path, stream: impl Read, most: u64) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    stream.take(most + 1).read_to_end(&mut bytes).map_err(Error::io(path))?;
    if bytes.len() as u64 > most {
        return Err(Error::format(path, format!("it has more than {most} bytes: that is the most that is read")));
    }
    Ok(bytes)
}

/// Replaces a file atomically: a temporary file beside it is written, synced and then renamed, so that a file of this name is always whole.
pub(crate) fn write_whole(path: &Path, bytes: &[u8]) -> Result<(), Error> {
    let (mut file, path) = beside(path)?;
    file.write_all(bytes).and_then(|()| file.as_file().sync_all()).map_err(Error::io(&path))?;
    file.persist(&path).map_err(|error| Error::Io { path: path.clone(), source: error.error })?;
    // With the folder synced, the new name survives a power cut too. Not every file system supports this; the file is whole either way.
    #[cfg(unix)]
    if let Err(error) = std::fs::File::open(folder_of(&path)).and_then(|folder| folder.sync_all()) {
        tracing::debug!(%error, path = %path.display(), "the folder is not synced");
    }
    Ok(())
}

/// The folder that a file is in.
pub(crate) fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Whether no living process is writing this temporary file, as far as can be known: [`beside`] locks them.
pub(crate) fn is_abandoned(path: &Path) -> bool {
    let lock = std::fs::File::open(path).map(|file| try_lock(&file));
    !matches!(lock, Ok(Err(TryLockError::WouldBlock)))
}

/// A temporary file in the folder that the path is in, and the path itself with links followed: a rename would replace the
/// link. An existing path must be a file. The temporary file is locked, for [`is_abandoned`]; where there are no locks, its age decides.
pub(crate) fn beside(path: &Path) -> Result<(tempfile::NamedTempFile, PathBuf), Error> {
    let path = path.canonicalize().unwrap_or_else(|_| path.to_path_buf());
    if path.exists() && !path.is_file() || path.file_name().is_none() {
        return Err(Error::Option(format!("{} is not a file: only files can be replaced", path.display())));
    }
    let folder = folder_of(&path);
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY);
    // A model is no secret: the file gets the permissions of any new file, where temporary ones are private by default.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let file = builder.tempfile_in(folder).map_err(|error| {
        // The system's message, for the path that was asked for: the error adds the temporary file's name, which means nothing to a user.
        let said = error.to_string();
        let said = said.split_once(" at path ").map_or(said.as_str(), |(said, _)| said);
        Error::Io { path: path.clone(), source: std::io::Error::new(error.kind(), said) }
    })?;
    _ = try_lock(file.as_file());
    Ok((file, path))
}
