//! Tables for a model that keeps no columns, as one that was imported or trained on arrays: only what such a model fixes is read from them.

use super::asked::Asked;
use super::learn::Learned;
use super::rows::{Table, called, listed};
use crate::data::ReadOptions;
use crate::error::Error;
use crate::named::counted;
use crate::preprocessing::{Cells, Columns, Written};

/// The cause of what is refused, and what would be right.
pub(super) const NO_COLUMNS: &str = "; the model keeps no columns of a table, as one that was imported or trained on arrays, so its rows have to be the numbers \
     that it was trained on, in their order; a model that wgrad trained on the table encodes words by itself";
/// The names that a target has in most tables.
const TARGETS: [&str; 4] = ["label", "target", "class", "y"];

/// The same, where there is no model.
pub(super) const NOT_LEARNED: &str = "; where only inputs are read, no columns are learned, so every cell has to be a number; words are encoded by the columns of a set or a model";

impl Columns {
    /// The columns of a table for a model of `inputs` inputs and `outputs` outputs without columns of its own. Words are not numbered anew, and numbers
    /// are in plain notation, as such a model predicts on them. A note says which column is the target where the options name none.
    ///
    /// # Errors
    ///
    /// As [`learn`](Self::learn), and [`Error::Format`] for features that are words, for numbers in other notations, for another number of features, for
    /// a target whose classes are neither the model's nor indices of its outputs, and where a column looks like the target and is not the last one.
    pub(super) fn learn_for_model(
        table: &dyn Table,
        options: &ReadOptions,
        widths: (usize, usize),
    ) -> Result<Learned, Error> {
        check_guess(table, options)?;
        // Where 1,234 may be read in two ways, both are refused below: one is enough to say why.
        let plain = || ReadOptions { decimal: options.decimal.or(Some('.')), ..options.clone() };
        let learned = Columns::learn(table, options).or_else(|_| Columns::learn(table, &plain()));
        let Learned { columns, about, mut notes } = learned?;
        let columns = columns.for_model_without(table, widths, options)?;
        if let (None, [target]) = (&options.label, columns.targets.as_slice()) {
            notes.push(format!(
                "the last column, \"{}\", is taken as the target, as the model keeps no columns of a table; --label names another",
                target.name
            ));
        }
        Ok(Learned { columns, about, notes })
    }

    /// The columns that were learned from a table, as a model without columns takes them.
    fn for_model_without(
        mut self,
        table: &dyn Table,
        (inputs, outputs): (usize, usize),
        options: &ReadOptions,
    ) -> Result<Self, Error> {
        let wrong = |reason: String| Error::format(table.path(), reason);
        let otherwise =
            if options.label.is_none() { "; --label names the target where it is not the last column" } else { "" };
        let numbers = self.features.iter().map(|column| (&column.name, &column.cells));
        for (name, cells) in numbers {
            match cells {
                Cells::Category { .. } | Cells::Embedded { .. } => {
                    return Err(wrong(format!("column \"{name}\" has words{NO_COLUMNS}{otherwise}")));
                }
                Cells::Number { written, .. } => check_plain(name, written).map_err(wrong)?,
            }
        }
        if self.features.len() != inputs {
            let found = self.features.len();
            return Err(wrong(format!(
                "it has {} of numbers besides the target, and the model takes {inputs}{NO_COLUMNS}{otherwise}",
                counted(found, "column")
            )));
        }
        self.targets.iter().try_for_each(|target| check_plain(&target.name, &target.written)).map_err(wrong)?;
        let names = &options.class_names[..];
        let [target] = self.targets.as_mut_slice() else { return Ok(self) };
        let Some(found) = &mut target.classes else { return Ok(self) };
        // One output tells two classes apart.
        let count = outputs.max(2);
        let indices: Vec<String> = (0..count).map(|index| index.to_string()).collect();
        let known = if names.is_empty() { &indices[..] } else { names };
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

/// Refuses to take the last column for the target where another one has a target's name, and the last one has not.
fn check_guess(table: &dyn Table, options: &ReadOptions) -> Result<(), Error> {
    let (None, Some(raw)) = (&options.label, table.names()) else { return Ok(()) };
    let names = called(raw);
    let Asked { ignored, .. } = Asked::new(table.path(), &names, options)?;
    let kept: Vec<&String> = (0..).zip(&names).filter(|(at, _)| !ignored.contains(at)).map(|(_, name)| name).collect();
    let is_target = |name: &str| TARGETS.contains(&name.trim().to_lowercase().as_str());
    let Some((last, others)) = kept.split_last().filter(|(last, _)| !is_target(last)) else { return Ok(()) };
    others.iter().find(|name| is_target(name)).map_or(Ok(()), |name| {
        Err(Error::format(
            table.path(),
            format!(
                "column \"{name}\" looks like the target, and the last one, \"{last}\", would be taken, as the model keeps no columns of a table: \
                 --label \"{name}\" or --label \"{last}\" says which is the target"
            ),
        ))
    })
}

/// Refuses a column whose numbers are in another notation than programs write.
fn check_plain(name: &str, written: &Written) -> Result<(), String> {
    if written.is_plain() {
        return Ok(());
    }
    let way = written.in_words();
    Err(format!("column \"{name}\" has numbers that are to be read {way}: write them plainly, as 1234.5{NO_COLUMNS}"))
}
