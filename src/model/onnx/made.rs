//! Layers with one input besides dense ones: convolutions, pools and norms.

use super::constant::Constant;
use super::features::Input;
use super::layout::Layout;
use super::limits::Place;
use crate::network::{BatchNormLayer, Form, Layer as Described, LayerKind};
use crate::weights::LayerWeights;

/// A layer whose weights have not been read yet.
#[derive(Clone)]
pub(super) struct Made<'a> {
    pub input: Input<'a>,
    /// How many layers with weights the longest way to it has, itself included where it has any.
    pub number: usize,
    pub kind: LayerKind,
    /// What it takes: of an image, features where it was flattened.
    pub takes: Form,
    pub gives: Form,
    pub parameters: Vec<Values<'a>>,
    /// What is done with each channel afterwards, in this order.
    after: Vec<(Step, Values<'a>)>,
    /// The node, for messages.
    pub place: Place<'a>,
}

/// The values of a parameter.
#[derive(Clone)]
pub(super) struct Values<'a> {
    pub inputs: usize,
    pub outputs: usize,
    pub weight: Part<'a>,
    /// None for a layer without a bias.
    pub bias: Option<Part<'a>>,
}

/// The values of one of its tensors.
#[derive(Clone)]
pub(super) enum Part<'a> {
    Same(f32),
    Constant(Constant<'a>),
    /// Those that are broadcast to the channels of a layout, whose places in it are the first.
    Picked(Constant<'a>, Layout),
    /// Each of them so often in turn.
    Each(Constant<'a>, usize),
}

/// What is done with each channel by a constant.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Step {
    Multiplied,
    Divided,
    Added,
    Subtracted,
}

impl Step {
    pub fn of(op: &str) -> Option<Self> {
        Some(match op {
            "Mul" => Step::Multiplied,
            "Div" => Step::Divided,
            "Add" => Step::Added,
            "Sub" => Step::Subtracted,
            _ => return None,
        })
    }
}

/// The eps of a batch norm that only scales and shifts.
const EPS: f32 = 1e-5;

impl<'a> Made<'a> {
    pub fn new(
        place: Place<'a>,
        (input, number): (Input<'a>, usize),
        kind: impl Into<LayerKind>,
        [takes, gives]: [Form; 2],
        parameters: Vec<Values<'a>>,
    ) -> Self {
        let number = number + usize::from(!parameters.is_empty());
        Made { input, number, kind: kind.into(), takes, gives, parameters, after: vec![], place }
    }

    /// A scale and a shift of each channel, as exporters fold a batch norm to that: a batch norm whose statistics change nothing, with the same two for all.
    pub fn affine(place: Place<'a>, input: (Input<'a>, usize), form: Form, [scale, shift]: [f32; 2]) -> Self {
        let values = |weight, bias| {
            let (weight, bias) = (Part::Same(weight), Some(Part::Same(bias)));
            Values { inputs: 1, outputs: form.channels(), weight, bias }
        };
        let parameters = vec![values(scale, shift), values(0.0, 1.0 - EPS)];
        Made::new(place, input, BatchNormLayer::new().eps(EPS.into()), [form, form], parameters)
    }

    /// Whether each channel may be scaled and shifted afterwards: a norm that does so itself.
    pub fn scales(&self, step: Step) -> bool {
        match self.kind {
            LayerKind::BatchNorm(_) | LayerKind::LayerNorm(_) | LayerKind::GroupNorm(_) => true,
            LayerKind::RmsNorm(_) => matches!(step, Step::Multiplied | Step::Divided),
            LayerKind::Conv(_) => step == Step::Added && self.parameters.iter().all(|own| own.bias.is_none()),
            _ => false,
        }
    }

    /// The layer with each channel scaled or shifted by a constant.
    pub fn then(&self, step: Step, part: Part<'a>) -> Self {
        let mut made = self.clone();
        if let LayerKind::Conv(conv) = &mut made.kind {
            conv.bias = true;
            made.parameters.iter_mut().for_each(|own| own.bias = Some(part.clone()));
            return made;
        }
        let outputs = made.takes.channels();
        made.after.push((step, Values { inputs: 1, outputs, weight: part, bias: None }));
        made
    }

    /// Its weights, whose number is subtracted from the `room`.
    pub fn weights(&self, room: &mut usize) -> Result<Vec<LayerWeights>, String> {
        let mut all = Vec::new();
        for values in &self.parameters {
            all.push(values.read(room)?);
        }
        let Some(first) = all.first_mut() else { return Ok(all) };
        for (step, values) in &self.after {
            let by = values.read(room)?.weight;
            let (scale, shift) = (&mut first.weight, &mut first.bias);
            let each = |own: &mut Vec<f32>, function: fn(f32, f32) -> f32| {
                own.iter_mut().zip(&by).for_each(|(own, &by)| *own = function(*own, by));
            };
            match step {
                Step::Added => each(shift, |own, by| own + by),
                Step::Subtracted => each(shift, |own, by| own - by),
                Step::Multiplied => [scale, shift].into_iter().for_each(|own| each(own, |own, by| own * by)),
                Step::Divided => [scale, shift].into_iter().for_each(|own| each(own, |own, by| own / by)),
            }
        }
        Ok(all)
    }
}

impl<'a> Values<'a> {
    fn read(&self, room: &mut usize) -> Result<LayerWeights, String> {
        let &Values { inputs, outputs, .. } = self;
        let count = inputs.checked_mul(outputs).ok_or("its weights are too many")?;
        let biases = if self.bias.is_some() { outputs } else { 0 };
        *room = count
            .checked_add(biases)
            .and_then(|taken| room.checked_sub(taken))
            .ok_or("earlier layers use the same weights: each must have its own")?;
        let weight = self.weight.read(count)?;
        let bias = self.bias.as_ref().map_or_else(|| Ok(vec![]), |bias| bias.read(outputs))?;
        Ok(LayerWeights { inputs, outputs, weight, bias })
    }
}

impl Part<'_> {
    fn read(&self, count: usize) -> Result<Vec<f32>, String> {
        let values = match self {
            Part::Same(value) => vec![*value; count],
            Part::Constant(constant) => constant.values()?.1,
            Part::Picked(constant, layout) => {
                let (dims, values) = constant.values()?;
                let picked = layout.picked(&dims).ok_or("its constant does not fit")?;
                picked.into_iter().map(|at| values[at]).collect()
            }
            Part::Each(constant, times) => {
                constant.values()?.1.into_iter().flat_map(|value| std::iter::repeat_n(value, *times)).collect()
            }
        };
        match values.len() == count {
            true => Ok(values),
            false => Err(format!("a tensor of it has {} values: it must have {count}", values.len())),
        }
    }
}

/// The form of what a layer gives, or why it cannot follow what it takes.
pub(super) fn checked(kind: &LayerKind, takes: Form) -> Result<Form, String> {
    let layer = Described::new(kind.clone());
    layer.check(takes).map_err(|reason| format!("it has {reason}"))?;
    Ok(layer.output(takes))
}
