//! Tables of named cells, and how they become features and targets: what CSV and Parquet have in common.
//!
//! A text's [`delimiter`] and [`header`] are decided first; then a pass over all cells [`learn`]s what the columns are, with numbers in
//! all notations that people use; then the rows are [`encode`]d.

mod asked;
mod column;
mod delimiter;
mod encode;
mod header;
mod learn;
#[cfg(feature = "cli")]
mod lines;
mod rows;
pub(super) mod text;
mod unlearned;

pub use column::{ColumnRole, TableColumn};
#[cfg(feature = "cli")]
pub(crate) use lines::{Line, Lines};

use super::{Dataset, ReadOptions};
use crate::error::Error;
use crate::preprocessing::Columns;
use learn::Learned;
pub(super) use rows::Table;

impl ReadOptions {
    /// The columns of the rows for a network of `inputs` inputs: the known ones, or else that number of numeric columns.
    pub(crate) fn columns_for(&self, inputs: usize) -> Columns {
        let columns = self.columns.clone().unwrap_or_else(|| Columns::numbers(inputs));
        let unknown_is_none = columns.unknown_is_none || self.unknown_is_none;
        columns.with_unknown_as_none(unknown_is_none)
    }
}

/// Reads a table as a set, by the options' columns, or else by columns learned from the table.
pub(super) fn read(table: &dyn Table, options: &ReadOptions) -> Result<Dataset, Error> {
    if options.fill.is_some() && options.columns.is_none() && options.model_widths.is_some() {
        return Err(Error::Option(format!(
            "fill is given for a model without columns: nothing is learned from {}, so its missing values have to be filled in before",
            table.path().display()
        )));
    }
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
            let Learned { columns, about, notes } = match options.model_widths {
                Some(widths) => Columns::learn_for_model(table, options, widths)?,
                None => Columns::learn(table, options)?,
            };
            Ok(columns.encode(table, options)?.with_table(about).noted_all(table.path(), notes))
        }
    }
}
