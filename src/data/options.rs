//! Options of the readers.

use std::path::Path;

use super::Dataset;
use crate::error::Error;
use crate::layout::Image;
use crate::model::Model;
use crate::network::{Form, Network};
use crate::preprocessing::{ChannelOrder, Columns, Fill, ImageShape, Vocabulary};

/// Options for reading data. Each reader uses those that concern its format.
#[derive(Clone, Debug, Default)]
pub struct ReadOptions {
    /// For a table in text: whether its first row names the columns. If `None`, the reader decides by the first row and the rows below.
    pub header: Option<bool>,
    /// For a table in text: the delimiter between cells. If `None`, it is a comma in `.csv` and a tab in `.tsv`, unless another one fits better.
    pub delimiter: Option<char>,
    /// The column of the targets, by name or by number from 1; if `None`, the last one. Several columns, separated by commas, hold numbers, one
    /// for each output.
    pub label: Option<String>,
    /// Whether the targets are numbers to predict, in place of classes.
    pub regression: bool,
    /// The number that replaces a missing value; in a column of words, all of its features are 0 then. If `None`, a missing value is an error.
    pub fill: Option<Fill>,
    /// The words that mean a missing value, besides the empty cell. If `None`, they are pandas' (`NA`, `N/A`, `null`, `NaN`, …) and `?`.
    pub missing: Option<Vec<String>>,
    /// The decimal separator of a table's numbers, `.` or `,`, where their cells leave it open.
    pub decimal: Option<char>,
    /// Whether rows without a target are left out; otherwise they are errors.
    pub leave_out_without_target: bool,
    /// Whether a word unknown to a column of [`columns`](Self::columns) makes all features of that column 0; otherwise it is an error.
    pub unknown_is_none: bool,
    /// Columns to leave out, by name or number.
    pub ignore: Vec<String>,
    /// Columns whose numbers are categories, by name or number: each different number gets a feature, as in a column of words.
    pub categorical: Vec<String>,
    /// Columns of words that become vectors, by name or number, and the values of their vectors. A word of such a column is one feature, its number, which
    /// [`Dataset::embed_layer`](crate::Dataset::embed_layer) looks up; number 0 is no word.
    pub embed: Vec<(String, usize)>,
    /// The encoding of a table's columns, from another set ([`Dataset::columns`](crate::Dataset::columns)) or from a model. If `None`, it is learned.
    pub columns: Option<Columns>,
    /// For images: the shape that they are resized to; if `None`, the first image's. Rows of an array or a table that have as many features become
    /// images of this shape.
    pub image: Option<ImageShape>,
    /// For arrays of images: where the channels are, first (as in PyTorch) or last. If `None`, [`image`](Self::image) or the sizes decide, and a note
    /// says where that is a guess. The set has its channels last in any case.
    pub channels: Option<ChannelOrder>,
    /// The class names in the order of their indices: what has names of classes gets these numbers. If empty, of folders of images the folders' names, sorted.
    pub class_names: Vec<String>,
    /// The numbers of inputs and outputs of the model that the rows are for, if they are for one. A table for a model without
    /// [`columns`](Self::columns) must have numbers in plain notation for its inputs. Where the target is classes, it must have the words of
    /// [`class_names`](Self::class_names), or, if that is empty, indices of the outputs. Nothing is learned from the table, and [`fill`](Self::fill) must be `None`.
    pub model_widths: Option<(usize, usize)>,
    /// Whether the whole numbers of an array `x`, `[rows]` or `[rows, length]`, are tokens, which an embedding takes, and not features. There is a label for each row,
    /// or for each token.
    pub tokens: bool,
    /// For a text: the number of tokens in a row. Files that end in `.txt` are texts where this, [`tokens`](Self::tokens) or [`vocabulary`](Self::vocabulary) is
    /// given, and else tables.
    pub context: Option<usize>,
    /// For a text: its tokens, from another set ([`Dataset::text_vocabulary`](crate::Dataset::text_vocabulary)) or from a model. If `None`, or no characters, they
    /// are the text's characters.
    pub vocabulary: Option<Vocabulary>,
    /// For a text: whether all of it is to train on. Otherwise its last tenth is to validate on.
    pub undivided: bool,
    /// Whether to read only the features, even where there are targets.
    pub inputs_only: bool,
}

impl ReadOptions {
    /// Options to read only features, to predict on.
    pub fn inputs() -> Self {
        ReadOptions { inputs_only: true, ..ReadOptions::default() }
    }

    /// The set as it is asked for: rows as images where they have as many features as [`image`](Self::image), classes with the numbers that they have among
    /// [`class_names`](Self::class_names), and no targets where only inputs are asked for.
    ///
    /// # Errors
    ///
    /// [`Error::Format`] for a row of a class that is none of them.
    pub(super) fn inputs_of(&self, path: &Path, mut set: Dataset) -> Result<Dataset, Error> {
        if set.origin.image.is_none() {
            set.origin.image = self.image.filter(|image| image.features() == Some(set.width));
        }
        if self.inputs_only {
            return Ok(set.without_targets());
        }
        // The columns of a table have their classes' numbers.
        if self.class_names.is_empty() || set.class_names().is_empty() || set.columns().is_some() {
            return Ok(set);
        }
        set.with_classes_of(&self.class_names).map_err(|error| Error::format(path, error.to_string()))
    }

    /// Whether what no other format is known by is a text, and no table.
    pub(super) fn takes_texts(&self) -> bool {
        self.tokens || self.context.is_some() || self.vocabulary.is_some()
    }

    /// Options to read rows as a model was trained on them: with its columns, its images' shape, its classes, and the vocabulary of its text.
    pub fn of_model(model: &Model) -> Self {
        ReadOptions {
            columns: model.columns.clone(),
            image: model.image.or(image_of(&model.network)),
            class_names: model.classes.clone(),
            model_widths: Some((model.network.inputs(), model.network.outputs())),
            tokens: matches!(model.network.input(), Form::Tokens(_)),
            context: Some(model.network.input()).filter(|input| matches!(input, Form::Tokens(_))).map(Form::values),
            vocabulary: model.vocabulary.clone(),
            ..ReadOptions::default()
        }
    }
}

/// The images that a network takes, if it takes images.
fn image_of(network: &Network) -> Option<ImageShape> {
    match network.input() {
        Form::Image(Image { height, width, channels }) => {
            let [height, width, channels] = [height, width, channels].map(|side| side as usize);
            Some(ImageShape { height, width, channels })
        }
        _ => None,
    }
}

impl Model {
    /// The model with what a fit on this set leaves in it: the scaling of the features, a table's columns, the names of the classes, a text's vocabulary.
    #[must_use]
    pub fn trained_on(self, set: &Dataset) -> Self {
        self.keeping(set.origin().clone())
    }
}
