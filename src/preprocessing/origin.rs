//! What is known of how features and targets came to be.

use super::columns::Columns;
use super::image::ImageShape;
use super::scaling::Scaling;

/// What is known of how the features and the targets came to be: what a model keeps of the set that it was trained on, so that new inputs
/// become the same features, and results have names.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Origin {
    /// Of the classes, in the order of their indices; empty where they have none.
    pub class_names: Vec<String>,
    /// What is done to the features; of f32 features it is done already.
    pub scaling: Option<Scaling>,
    /// What is done to targets that are numbers before a network learns them.
    pub target_scaling: Option<Scaling>,
    /// The columns that the features were made of.
    pub columns: Option<Columns>,
    /// The form of the rows, where they are images.
    pub image: Option<ImageShape>,
}

impl Origin {
    /// The same, with what the training set before it had of what this one has not.
    pub fn or(self, before: Origin) -> Self {
        Origin {
            class_names: if self.class_names.is_empty() { before.class_names } else { self.class_names },
            scaling: self.scaling.or(before.scaling),
            target_scaling: self.target_scaling.or(before.target_scaling),
            columns: self.columns.or(before.columns),
            image: self.image.or(before.image),
        }
    }
}
