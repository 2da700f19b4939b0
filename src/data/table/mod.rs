//! Tables of named cells, and how they become features and targets: what CSV and Parquet have in common.
//!
//! A text's [`delimiter`] and [`header`] are seen first; then all cells are gone over to [`learn`] what the columns are, with their numbers
//! however they are [`written`]; then the rows are [`encode`]d.

mod delimiter;
mod encode;
mod header;
mod learn;
#[cfg(feature = "cli")]
mod lines;
pub(super) mod text;

use std::collections::{HashMap, HashSet};
use std::path::Path;

use csv::StringRecord;
pub use learn::{ColumnRole, TableColumn};
#[cfg(feature = "cli")]
pub(crate) use lines::{Line, Lines};

use super::{Dataset, ReadOptions};
use crate::error::Error;
use crate::preprocessing::{Columns, MOST_COLUMNS};
use learn::Learned;

/// A table's rows, which can be gone over again.
pub(super) trait Table {
    /// The table's path, for messages.
    fn path(&self) -> &Path;
    /// The columns' names, where it has any; one of no name is empty.
    fn names(&self) -> Option<&[String]>;
    /// The delimiter between its cells, if it is a text.
    fn delimiter(&self) -> Option<char>;
    /// Every row with its number; all of them have as many cells.
    fn each(&self, take: &mut dyn FnMut(usize, &StringRecord) -> Result<(), Error>) -> Result<(), Error>;
}

impl ReadOptions {
    /// The encoding of rows for a network of `inputs` inputs: the known columns, or `inputs` columns of numbers.
    pub(crate) fn columns_for(&self, inputs: usize) -> Columns {
        let columns = self.columns.clone().unwrap_or_else(|| Columns::numbers(inputs));
        let unknown_is_none = columns.unknown_is_none || self.unknown_is_none;
        columns.with_unknown_as_none(unknown_is_none)
    }
}

/// The set that a table is: as its options' columns say, or as is learned from it.
pub(super) fn read(table: &dyn Table, options: &ReadOptions) -> Result<Dataset, Error> {
    match &options.columns {
        Some(columns) => options.columns_for(columns.width()).encode(table, options),
        None if options.inputs_only => {
            let mut count = 0;
            table.each(&mut |_, record| {
                count = record.len();
                Ok(())
            })?;
            Columns::numbers(count).encode(table, options)
        }
        None => {
            let Learned { columns, about, notes } = Columns::learn(table, options)?;
            Ok(columns.encode(table, options)?.with_table(about).noted_all(table.path(), notes))
        }
    }
}

/// Where a row is, for messages: "row 3 (line 5)".
fn place_of(row: usize, record: &StringRecord) -> String {
    record.position().map_or_else(|| format!("row {row}"), |position| format!("row {row} (line {})", position.line()))
}

/// What columns are called: their names, or their numbers where they have none.
fn called(raw: &[String]) -> Vec<String> {
    let known: HashSet<&String> = raw.iter().collect();
    let number = |place: usize| {
        let number = (place + 1).to_string();
        // A column that is named by that number has it.
        if known.contains(&number) { format!("column {number}") } else { number }
    };
    raw.iter().enumerate().map(|(place, name)| if name.is_empty() { number(place) } else { name.clone() }).collect()
}

fn check_names(path: &Path, names: &[String]) -> Result<(), Error> {
    if names.len() > MOST_COLUMNS {
        return Err(Error::format(path, format!("it has {} columns: at most {MOST_COLUMNS} are read", names.len())));
    }
    let mut known = HashMap::new();
    for (place, name) in names.iter().enumerate() {
        if let Some(before) = known.insert(name, place) {
            return Err(Error::format(
                path,
                format!(
                    "columns {} and {} are both named \"{name}\": every name must be there once, so rename one; the first line is taken for the columns' names, \
                     and header = false under [data] in run.toml (--no-header) says that it is a row",
                    before + 1,
                    place + 1
                ),
            ));
        }
    }
    Ok(())
}

/// Some of the names, for messages.
fn listed(names: &[String]) -> String {
    let some: Vec<&str> = names.iter().take(20).map(String::as_str).collect();
    format!("{}{}", some.join(", "), if names.len() > some.len() { ", …" } else { "" })
}
