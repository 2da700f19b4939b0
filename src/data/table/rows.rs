//! The rows of a table, and what messages call its columns and rows.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use csv::StringRecord;

use crate::error::Error;
use crate::preprocessing::MOST_COLUMNS;

/// A table's rows, which can be read several times.
pub(in crate::data) trait Table {
    /// The table's path, for messages.
    fn path(&self) -> &Path;
    /// The columns' names, if there are any; a column without a name has an empty one.
    fn names(&self) -> Option<&[String]>;
    /// The delimiter of its cells, if it is a text.
    fn delimiter(&self) -> Option<char>;
    /// Passes every row, with its number, to `take`. All rows have the same number of cells.
    fn each(&self, take: &mut dyn FnMut(usize, &StringRecord) -> Result<(), Error>) -> Result<(), Error>;
}

/// Where a row is, for messages: "row 3 (line 5)".
pub(super) fn place_of(row: usize, record: &StringRecord) -> String {
    record.position().map_or_else(|| format!("row {row}"), |position| format!("row {row} (line {})", position.line()))
}

/// The names of columns in messages: their own, or their numbers where they have none.
pub(super) fn called(raw: &[String]) -> Vec<String> {
    let known: HashSet<&String> = raw.iter().collect();
    let number = |place: usize| {
        let number = (place + 1).to_string();
        // The number may be another column's name.
        if known.contains(&number) { format!("column {number}") } else { number }
    };
    raw.iter().enumerate().map(|(place, name)| if name.is_empty() { number(place) } else { name.clone() }).collect()
}

pub(super) fn check_names(path: &Path, names: &[String]) -> Result<(), Error> {
    if names.len() > MOST_COLUMNS {
        return Err(Error::format(path, format!("it has {} columns: at most {MOST_COLUMNS} are read", names.len())));
    }
    let mut known = HashMap::new();
    for (place, name) in names.iter().enumerate() {
        if let Some(before) = known.insert(name, place) {
            return Err(Error::format(
                path,
                format!(
                    "columns {} and {} are both named \"{name}\": every name must occur once, so rename one; the first line is taken for the columns' names, \
                     and header = false under [data] in run.toml (--no-header) says that it is a row",
                    before + 1,
                    place + 1
                ),
            ));
        }
    }
    Ok(())
}

/// The first few names, for messages.
pub(super) fn listed(names: &[String]) -> String {
    let some: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
    format!("{}{}", some.join(", "), if names.len() > some.len() { ", …" } else { "" })
}
