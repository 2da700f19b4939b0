//! What the readers are told besides where the data is.

use super::Dataset;
use crate::model::Model;
use crate::preprocessing::{Columns, Fill, ImageShape};

/// What a file does not say of itself. Every reader takes what concerns it.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// Of a table in text: whether its first row names the columns; else that is seen from all that it and the rows say.
    pub header: Option<bool>,
    /// Of a table in text: what is between cells; else a comma in `.csv`, a tab in `.tsv`, or another one that cuts the rows into cells that say more.
    pub delimiter: Option<char>,
    /// The column of the targets, by name or by number from 1; else the last one. Several, with commas between them, are numbers for an output
    /// each.
    pub label: Option<String>,
    /// The targets are numbers to predict, and no classes.
    pub regression: bool,
    /// What is put in place of a missing value; else that is an error. In a column of words all of its features are 0 then.
    pub fill: Option<Fill>,
    /// The words that stand for a missing value beside the empty cell; else those that pandas takes for one (`NA`, `N/A`, `null`, `NaN`, …), and `?`.
    pub missing: Option<Vec<String>>,
    /// What is before the fraction of a table's numbers, `.` or `,`, where their cells do not tell.
    pub decimal: Option<char>,
    /// Leave rows out whose target is missing; else they are errors.
    pub leave_out_without_target: bool,
    /// Take words that a column of the known [`columns`](Self::columns) has not for none of them (all of its features are 0); else they are errors.
    pub unknown_is_none: bool,
    /// Columns that are left out, by name or number.
    pub ignore: Vec<String>,
    /// Columns of numbers that stand for categories, by name or number: one feature for each, as for a column of words.
    pub categorical: Vec<String>,
    /// Encode as this says, which comes from another set ([`Dataset::columns`](crate::Dataset::columns)) or from a model.
    pub columns: Option<Columns>,
    /// Of images: the form that they are resized to; else that of the first.
    pub image: Option<ImageShape>,
    /// Of folders of images: the classes in the order of their indices; else the folders, sorted.
    pub class_names: Vec<String>,
    /// Read no targets, whether they are there or not.
    pub inputs_only: bool,
}

impl ReadOptions {
    /// Features alone, to predict on.
    pub fn inputs() -> Self {
        ReadOptions { inputs_only: true, ..ReadOptions::default() }
    }

    /// A set that was read, as inputs alone where that is asked for.
    pub(super) fn inputs_of(&self, set: Dataset) -> Dataset {
        if self.inputs_only { set.without_targets() } else { set }
    }

    /// So that the rows become what a model was trained on: its columns, its images' form, its classes.
    pub fn of_model(model: &Model) -> Self {
        ReadOptions {
            columns: model.columns.clone(),
            image: model.image,
            class_names: model.classes.clone(),
            ..ReadOptions::default()
        }
    }
}
