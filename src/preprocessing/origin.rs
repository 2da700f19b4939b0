//! The preprocessing that led to a data set's features and targets.

use super::columns::Columns;
use super::image::ImageShape;
use super::scaling::Scaling;
use super::vocabulary::Vocabulary;

/// The preprocessing that led to a set's features and targets. A model keeps it from its training set, so that new inputs
/// become the same features, and results have names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Origin {
    /// The names of the classes, in the order of their indices; empty if they have none.
    pub class_names: Vec<String>,
    /// The scaling of the features, if any. It is already applied to f32 features.
    pub scaling: Option<Scaling>,
    /// The scaling with which a network learns targets that are numbers, if any.
    pub target_scaling: Option<Scaling>,
    /// The encoding of the table's columns, if the features came from a table.
    pub columns: Option<Columns>,
    /// The shape of the images, if the rows are images.
    pub image: Option<ImageShape>,
    /// Whether the features were bytes, which a network sees as `[0, 1]`.
    pub bytes: bool,
    /// The tokens of the text, if the rows are of a text.
    pub vocabulary: Option<Vocabulary>,
}

impl Origin {
    /// This origin, with what it lacks taken from that of an earlier training set.
    pub fn or(self, before: Origin) -> Self {
        Origin {
            class_names: if self.class_names.is_empty() { before.class_names } else { self.class_names },
            scaling: self.scaling.or(before.scaling),
            target_scaling: self.target_scaling.or(before.target_scaling),
            columns: self.columns.or(before.columns),
            image: self.image.or(before.image),
            bytes: self.bytes,
            vocabulary: self.vocabulary.or(before.vocabulary),
        }
    }
}
