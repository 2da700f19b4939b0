//! The dense layers of a graph. Each knows the one before it, so that a graph with several outputs has several chains.

use super::constant::Constant;
use super::features::{Features, one_each};
use crate::activation::Activation;
use crate::weights::LayerWeights;

/// A dense layer whose weights have not been read yet.
#[derive(Clone)]
pub(super) struct Layer<'a> {
    pub input: Input<'a>,
    /// The layer's number in its chain, from 1.
    pub number: usize,
    pub inputs: usize,
    pub outputs: usize,
    weight: Constant<'a>,
    /// Whether the weight is `[out, in]`.
    transposed: bool,
    alpha: f32,
    /// The bias and its factor; none for a product alone.
    bias: Option<(Constant<'a>, f32)>,
}

/// The input of a layer.
#[derive(Clone)]
pub(super) enum Input<'a> {
    Features(Features<'a>),
    /// An activation of the units of another layer.
    Layer(usize, Activation),
}

impl<'a> Layer<'a> {
    /// A product with a weight.
    pub fn new(
        input: Input<'a>,
        number: usize,
        weight: Constant<'a>,
        transposed: bool,
        alpha: f32,
    ) -> Result<Self, String> {
        let dims = weight.dims()?;
        let &[rows, columns] = dims.as_slice() else {
            return Err(format!("its weight has the shape {dims:?}: it must have two dimensions"));
        };
        let (inputs, outputs) = if transposed { (columns, rows) } else { (rows, columns) };
        if inputs == 0 || outputs == 0 {
            return Err(format!("its weight has the shape {dims:?}, with no values"));
        }
        Ok(Layer { input, number, inputs, outputs, weight, transposed, alpha, bias: None })
    }

    /// Whether the layer has no bias yet.
    pub fn is_bare(&self) -> bool {
        self.bias.is_none()
    }

    /// The layer with a bias, multiplied by a factor.
    pub fn with_bias(&self, bias: Constant<'a>, beta: f32) -> Result<Self, String> {
        let dims = bias.dims()?;
        let is_row = dims.iter().rev().skip(1).all(|&dim| dim == 1) && dims.len() <= 2;
        if !is_row || ![1, self.outputs].contains(&bias.count()?) {
            return Err(format!("its bias has the shape {dims:?}: it must be [{}]", self.outputs));
        }
        Ok(Layer { bias: Some((bias, beta)), ..self.clone() })
    }

    /// The layer's weights, whose number is subtracted from the `room`.
    pub fn weights(&self, room: &mut usize) -> Result<LayerWeights, String> {
        let Layer { inputs, outputs, alpha, .. } = *self;
        let (_, mut weight) = self.weight.values()?;
        let taken = weight.len() + outputs;
        *room = room.checked_sub(taken).ok_or("earlier layers use the same weights: each must have its own")?;
        if !self.transposed {
            weight = (0..outputs * inputs).map(|at| weight[at % inputs * outputs + at / inputs]).collect();
        }
        if alpha != 1.0 {
            weight.iter_mut().for_each(|value| *value *= alpha);
        }
        let bias = match &self.bias {
            None => vec![0.0; outputs],
            Some((bias, beta)) => {
                let mut values = one_each(bias.values()?.1, outputs).ok_or("its bias does not fit")?;
                if *beta != 1.0 {
                    values.iter_mut().for_each(|value| *value *= beta);
                }
                values
            }
        };
        Ok(LayerWeights { inputs, outputs, weight, bias })
    }
}

/// The chain that ends in a layer, from the first on.
pub(super) fn chain(layers: &[Layer<'_>], last: usize) -> Vec<usize> {
    let before = |&layer: &usize| match layers[layer].input {
        Input::Layer(before, _) => Some(before),
        Input::Features(_) => None,
    };
    let mut chain: Vec<usize> = std::iter::successors(Some(last), before).collect();
    chain.reverse();
    chain
}
