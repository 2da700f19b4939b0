//! What a state dict's layers are: a chain, unless residuals are among them.

use super::order::{self, Layer};
use crate::activation::Activation;
use crate::network::{self, DenseLayer};

/// What a file's layers are, and in which order they have their weights.
pub(super) struct Structure {
    pub layers: Vec<network::Layer>,
    pub order: Vec<usize>,
    /// What was noted meanwhile.
    pub notes: Vec<String>,
}

/// Layers one after the other.
pub(super) fn chain(found: &[Layer<'_>], activation: Option<Activation>) -> Result<Structure, String> {
    let order::Order { order, between, notes } = order::of(found)?;
    let hidden = match (activation, between) {
        (Some(activation), _) => activation,
        (None, None) => Activation::Relu,
        (None, Some((before, after))) => return Err(unsaid(before, after)),
    };
    let last = order.len() - 1;
    let layers = order.iter().enumerate().map(|(at, &layer)| {
        let activation = if at == last { Activation::Identity } else { hidden };
        network::Layer::new(DenseLayer::new(found[layer].outputs)).with_activation(activation)
    });
    Ok(Structure { layers: layers.collect(), order, notes })
}

/// That two layers that follow each other leave open what is between them.
pub(super) fn unsaid(before: &str, after: &str) -> String {
    format!(
        "its layers {before} and {after} do not say what is between them: give the activation of the hidden layers, as --activation relu"
    )
}
