//! Images as features.

use serde_json::{Map, Value as Json};

use super::Form;
use super::forward::Forward;
use super::kind::Describe;
use super::words::Words;
use crate::graph::Value;

/// The values of an image as features, channel by channel as `torch.nn.Flatten` has them, or those of a sequence place by place. Features stay as they are.
#[derive(Clone, Debug, PartialEq, Default)]
#[non_exhaustive]
pub struct FlattenLayer {}

impl FlattenLayer {
    /// The layer.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Describe for FlattenLayer {
    const WORD: &'static str = "flatten";
    const OF_IMAGES: bool = true;

    fn output(&self, input: Form) -> Form {
        match input {
            Form::Image(image) => Form::Flattened(image),
            Form::Sequence(sequence) => Form::FlattenedSequence(sequence),
            other => other,
        }
    }

    /// Nothing moves: a layer that follows reads the image in its own order, or asks for [`Forward::features`].
    fn write(&self, x: Value, _input: Form, _forward: &mut Forward) -> Value {
        x
    }

    fn from_words(words: &mut Words<'_>) -> Result<Self, String> {
        words.is_true(Self::WORD).map(|()| Self::new())
    }

    fn to_words(&self, words: &mut Map<String, Json>) {
        words.insert(Self::WORD.into(), true.into());
    }
}
