//! Lists the contents of a folder of data.

use std::path::{Path, PathBuf};

use crate::error::Error;

/// Names of files that archives, systems and programs leave in folders, besides hidden files.
const LEFT: &[&str] =
    &["__macosx", "thumbs.db", "ehthumbs.db", "desktop.ini", "@eadir", "$recycle.bin", "system volume information"];

/// Whether a name is that of a file or folder that is no data.
pub(crate) fn is_left_out(name: &str) -> bool {
    name.starts_with('.') || LEFT.contains(&name.to_lowercase().as_str())
}

/// The paths in a folder, sorted, without those that are no data.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, Error> {
    let entries =
        std::fs::read_dir(folder).and_then(Iterator::collect::<Result<Vec<_>, _>>).map_err(Error::io(folder))?;
    let is_data = |entry: &&std::fs::DirEntry| !is_left_out(&entry.file_name().to_string_lossy());
    let mut paths: Vec<PathBuf> = entries.iter().filter(is_data).map(std::fs::DirEntry::path).collect();
    paths.sort();
    Ok(paths)
}

/// The first names in a folder, for messages.
pub(crate) fn listed(folder: &Path) -> String {
    let names: Vec<String> = entries(folder).unwrap_or_default().iter().map(|path| name(path)).collect();
    match names.len() {
        0 => "it is empty".into(),
        1..=6 => format!("it has {}", names.join(", ")),
        count => format!("it has {} and {} more", names[..5].join(", "), count - 5),
    }
}

/// The last part of a path, for messages.
pub(crate) fn name(path: &Path) -> String {
    path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
