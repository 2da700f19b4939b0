//! The layers of a graph: dense ones, others with one input, and sums of two tensors. Each knows what it takes, so that a graph with several outputs has
//! several ends.

use super::constant::Constant;
use super::features::{Input, one_each};
use super::layout::Layout;
use super::limits::{Place, short};
use super::made::Made;
use crate::model::tensors::transposed;
use crate::network::Form;
use crate::weights::LayerWeights;

/// What gives units.
pub(super) enum Layer<'a> {
    Dense(Dense<'a>),
    Made(Made<'a>),
    Sum(Sum<'a>),
}

/// A dense layer whose weights have not been read yet.
#[derive(Clone)]
pub(super) struct Dense<'a> {
    /// The node of its products, for messages.
    pub place: Place<'a>,
    pub input: Input<'a>,
    /// How many layers with weights the longest way to it has, itself included.
    pub number: usize,
    pub inputs: usize,
    pub outputs: usize,
    weight: Constant<'a>,
    /// Whether the weight is `[out, in]`.
    transposed: bool,
    alpha: f32,
    /// How its input's values lie, where they are not in their own order.
    order: Option<Layout>,
    /// The bias and its factor; none for a product alone.
    bias: Option<(Constant<'a>, f32)>,
}

/// A sum of two tensors in which the same values have the same places, each an activation of a layer's units, or the features.
pub(super) struct Sum<'a> {
    pub inputs: [Input<'a>; 2],
    /// How many layers with weights the longest way to it has.
    pub number: usize,
    pub form: Form,
    /// The node, and the names of what it adds, for messages.
    pub place: Place<'a>,
    pub names: [&'a str; 2],
}

/// The layer whose units an input is made of; none for the features.
pub(super) fn source<'l, 'a>(input: &Input<'_>, layers: &'l [Layer<'a>]) -> Option<&'l Layer<'a>> {
    match input {
        Input::Features(_) => None,
        Input::Layer(at, _) => Some(&layers[*at]),
    }
}

impl<'a> Layer<'a> {
    /// How many layers with weights the longest way to its units has.
    pub fn number(&self) -> usize {
        match self {
            Layer::Dense(dense) => dense.number,
            Layer::Made(made) => made.number,
            Layer::Sum(sum) => sum.number,
        }
    }

    /// The form of its units.
    pub fn form(&self) -> Form {
        match self {
            Layer::Dense(dense) => Form::Features(dense.outputs),
            Layer::Made(made) => made.gives,
            Layer::Sum(sum) => sum.form,
        }
    }

    /// The number of its units.
    pub fn outputs(&self) -> usize {
        self.form().values()
    }

    /// What it takes.
    pub fn inputs(&self) -> &[Input<'a>] {
        match self {
            Layer::Dense(dense) => std::slice::from_ref(&dense.input),
            Layer::Made(made) => std::slice::from_ref(&made.input),
            Layer::Sum(sum) => &sum.inputs,
        }
    }

    /// Whether it takes an image as features.
    pub fn takes_features(&self) -> bool {
        match self {
            Layer::Dense(_) => true,
            Layer::Made(made) => !matches!(made.takes, Form::Image(_)),
            Layer::Sum(_) => false,
        }
    }

    /// The node that it is made of, for messages.
    pub fn place(&self) -> Place<'a> {
        match self {
            Layer::Dense(dense) => dense.place,
            Layer::Made(made) => made.place,
            Layer::Sum(sum) => sum.place,
        }
    }

    /// Its name in messages.
    pub fn name(&self) -> String {
        self.place().name()
    }
}

impl<'a> Sum<'a> {
    /// A message about it.
    pub fn say(&self, layers: &[Layer<'_>], reason: &str) -> String {
        let [a, b] = &self.inputs;
        self.place.say(&format!("{}: {reason}", joins(self.names, [source(a, layers), source(b, layers)])))
    }
}

/// That a node joins two tensors, each a layer's or the features.
pub(super) fn joins([a_name, b_name]: [&str; 2], layers: [Option<&Layer<'_>>; 2]) -> String {
    let of = match layers {
        [Some(a), Some(b)] if a.place().at == b.place().at => {
            format!("which are both made of what {} gives", a.name())
        }
        [Some(a), Some(b)] => format!("which {} and {} give", a.name(), b.name()),
        [None, Some(layer)] | [Some(layer), None] => format!("of the features and {}", layer.name()),
        [None, None] => "both of the features".into(),
    };
    format!("it joins \"{}\" and \"{}\", {of}", short(a_name), short(b_name))
}

impl<'a> Dense<'a> {
    /// A product with a weight.
    pub fn new(
        place: Place<'a>,
        (input, before): (Input<'a>, usize),
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
        let number = before + 1;
        Ok(Dense { place, input, number, inputs, outputs, weight, transposed, alpha, order: None, bias: None })
    }

    /// The layer with an input whose values lie so.
    pub fn with_order(self, order: Layout) -> Self {
        let order = Some(order).filter(|order| *order != Layout::features(self.inputs));
        Dense { order, ..self }
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
        Ok(Dense { bias: Some((bias, beta)), ..self.clone() })
    }

    /// The layer's weights, whose number is subtracted from the `room`.
    pub fn weights(&self, room: &mut usize) -> Result<LayerWeights, String> {
        let Dense { inputs, outputs, alpha, .. } = *self;
        let (_, mut weight) = self.weight.values()?;
        let taken = weight.len() + outputs;
        *room = room.checked_sub(taken).ok_or("earlier layers use the same weights: each must have its own")?;
        if !self.transposed {
            weight = transposed(&weight, outputs, inputs);
        }
        if let Some(order) = &self.order {
            let picked = order.picked(&[inputs]).ok_or("its input's values do not fit its weights")?;
            weight = weight.chunks_exact(inputs).flat_map(|row| picked.iter().map(|&at| row[at])).collect();
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

/// The layers that a layer's units are made of, itself included, in the order of their numbers in `layers`.
pub(super) fn needed(layers: &[Layer<'_>], last: usize) -> Vec<usize> {
    let mut is_needed = vec![false; last + 1];
    is_needed[last] = true;
    // A layer takes what layers before it give.
    for at in (0..=last).rev() {
        if !is_needed[at] {
            continue;
        }
        for input in layers[at].inputs() {
            if let Input::Layer(before, _) = input {
                is_needed[*before] = true;
            }
        }
    }
    (0..=last).filter(|&at| is_needed[at]).collect()
}
