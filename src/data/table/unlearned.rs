//! Tables for a model that keeps no columns, as one that was imported or trained on arrays: only what such a model fixes is read from them.

use std::path::Path;

use super::rows::listed;
use crate::error::Error;
use crate::named::counted;
use crate::preprocessing::{Cells, Columns};

/// The cause of what is refused, and what would be right.
pub(super) const NO_COLUMNS: &str = "; the model keeps no columns of a table, as one that was imported or trained on arrays, so its rows have to be the numbers \
     that it was trained on, in their order; a model that wgrad trained on the table encodes words by itself";

/// The same, where there is no model.
pub(super) const NOT_LEARNED: &str = "; where only inputs are read, no columns are learned, so every cell has to be a number; words are encoded by the columns of a set or a model";

impl Columns {
    /// The columns that were learned from a table, for a model of `inputs` inputs and `outputs` outputs without columns of its own, whose classes have
    /// these names, if any: their words must not be numbered anew.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] for features that are words, for another number of features, and for a target whose classes are neither the model's nor indices of
    /// its outputs.
    pub(super) fn for_model_without(
        mut self,
        path: &Path,
        (inputs, outputs): (usize, usize),
        names: &[String],
    ) -> Result<Self, Error> {
        let wrong = |reason: String| Error::format(path, reason);
        let is_words = |cells: &Cells| matches!(cells, Cells::Category { .. });
        if let Some(column) = self.features.iter().find(|column| is_words(&column.cells)) {
            return Err(wrong(format!("column \"{}\" has words{NO_COLUMNS}", column.name)));
        }
        if self.features.len() != inputs {
            let found = self.features.len();
            return Err(wrong(format!(
                "it has {} of numbers besides the target, and the model takes {inputs}{NO_COLUMNS}",
                counted(found, "column")
            )));
        }
        let [target] = self.targets.as_mut_slice() else { return Ok(self) };
        let Some(found) = &mut target.classes else { return Ok(self) };
        // One output tells two classes apart.
        let count = outputs.max(2);
        let indices: Vec<String> = (0..count).map(|index| index.to_string()).collect();
        let known = if names.is_empty() { &indices } else { names };
        if let Some(other) = found.iter().find(|class| !known.contains(class)) {
            let column = &target.name;
            return Err(wrong(match names {
                [] => format!(
                    "the target, column \"{column}\", has \"{other}\", and the model has neither columns of a table nor names of classes, so which output means \
                     it is not known: write the indices of its classes there, 0 to {}",
                    count - 1
                ),
                names => format!(
                    "the target, column \"{column}\", has \"{other}\", which is none of the model's classes {}",
                    listed(names)
                ),
            }));
        }
        *found = known.to_vec();
        Ok(self)
    }

    /// Whether it was learned from no table, and so knows no words.
    pub(super) fn is_unlearned(&self) -> bool {
        !self.named && self.targets.is_empty()
    }
}
