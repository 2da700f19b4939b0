//! The input of a graph, and its scaling before the first layer.

use std::rc::Rc;

use super::constant::Constant;
use super::limits::{FITS, short};
use super::proto::{self, DataType, ValueInfo};
use super::shape::{self, Size};
use crate::preprocessing::Scaling;

/// The features with the operations on them so far.
#[derive(Clone)]
pub(super) struct Features<'a> {
    /// The shape: the number of rows, then the dimensions of a row.
    pub shape: Rc<[Size]>,
    kind: DataType,
    steps: Rc<Steps<'a>>,
}

/// What is done with every feature.
#[derive(Clone, Default)]
struct Steps<'a> {
    shift: Option<Step<'a>>,
    scale: Option<Step<'a>>,
    /// Added after the scale.
    offset: Option<Step<'a>>,
}

/// A constant, or its negative or its inverse.
#[derive(Clone)]
struct Step<'a> {
    constant: Constant<'a>,
    inverted: bool,
}

impl<'a> Features<'a> {
    /// The features of an input, and its number of rows if that is fixed.
    pub fn of(input: &ValueInfo) -> Result<(Self, Option<i64>), String> {
        let say = |reason: String| format!("its input \"{}\" {reason}", short(&input.name));
        let Some(tensor) = input.kind.as_ref().and_then(|kind| kind.tensor_type.as_ref()) else {
            return Err(say("is not a tensor".into()));
        };
        let kind = tensor.elem_type();
        if !kind.is_float() && !kind.is_integer() {
            return Err(say(format!("is {kind:?}: it must be Float")));
        }
        let size = |dim: &proto::Dimension| match dim.size {
            Some(proto::Size::Value(size)) if size >= 0 => Size::Known(size),
            _ => Size::Unknown,
        };
        let sizes = match &tensor.shape {
            Some(shape) if shape.dim.len() < 2 => {
                return Err(say(format!("has {} dimensions: it must be [batch, features]", shape.dim.len())));
            }
            Some(shape) if shape.dim.len() > shape::MOST_SIZES => {
                return Err(say(format!("has {} dimensions: at most {} are read", shape.dim.len(), shape::MOST_SIZES)));
            }
            Some(shape) => shape.dim.iter().map(size).collect(),
            None => vec![Size::Unknown; 2],
        };
        let rows = match sizes[0] {
            Size::Known(rows) => Some(rows),
            _ => None,
        };
        let shape = std::iter::once(Size::Rows).chain(sizes[1..].iter().copied()).collect();
        Ok((Features { shape, kind, steps: Rc::default() }, rows))
    }

    /// The same values in another shape, of which the first dimension is still the number of rows.
    pub fn shaped(&self, shape: Vec<Size>) -> Option<Self> {
        let (first, row) = shape.split_first()?;
        let fits = *first == Size::Rows && !row.is_empty() && !row.contains(&Size::Rows);
        fits.then(|| Features { shape: shape.into(), ..self.clone() })
    }

    /// The same values in another type: integers can become floats, and floats other floats.
    pub fn cast(&self, to: DataType) -> Option<Self> {
        (to.is_float() || to == self.kind).then(|| Features { kind: to, ..self.clone() })
    }

    /// Checks that a first layer of `inputs` inputs can take the features.
    pub fn check(&self, inputs: usize) -> Result<(), String> {
        if !self.kind.is_float() {
            return Err(format!(
                "it takes an input that is {:?}: it must be Float, or be cast to it before",
                self.kind
            ));
        }
        let row = &self.shape[1..];
        let given = if row.contains(&Size::Unknown) { None } else { shape::product(row) };
        if row.len() == 1 && given.is_none_or(|given| given == inputs) {
            return Ok(());
        }
        let given = given.map_or("an unknown number of".into(), |given| given.to_string());
        let flat = if row.len() == 1 { "" } else { ", not flattened: put a Flatten before it" };
        Err(format!("it takes {inputs} values, and a row has {given}{flat}"))
    }

    /// The features after an operator with a constant, which is the first operand if `reversed`.
    pub fn with(&self, op: &str, constant: &Constant<'a>, reversed: bool) -> Result<Self, String> {
        let step = |inverted| Some(Step { constant: constant.clone(), inverted });
        let mut steps = Steps::clone(&self.steps);
        match (op, reversed) {
            ("Sub", false) | ("Add", _) if steps.scale.is_none() && steps.shift.is_none() => {
                steps.shift = step(op == "Add");
            }
            ("Sub", false) | ("Add", _) if steps.shift.is_none() && steps.offset.is_none() => {
                steps.offset = step(op == "Sub");
            }
            ("Mul", _) | ("Div", false) if steps.scale.is_none() => steps.scale = step(op == "Div"),
            ("Add" | "Sub" | "Mul" | "Div", _) => {
                return Err(
                    "before the first layer, features may be shifted once and scaled once, and nothing else".into()
                );
            }
            _ => return Err(FITS.into()),
        }
        if !self.kind.is_float() {
            return Err(format!("it computes with an input that is {:?}: it must be cast to Float before", self.kind));
        }
        Ok(Features { steps: steps.into(), ..self.clone() })
    }

    /// Whether these are the same values as others.
    pub fn are(&self, other: &Features<'_>) -> bool {
        std::ptr::eq(Rc::as_ptr(&self.steps).cast::<()>(), Rc::as_ptr(&other.steps).cast())
    }

    /// The features after the operator Scaler of `ai.onnx.ml`, which shifts and scales.
    pub fn scaled(&self, shift: &'a [f32], scale: &'a [f32]) -> Result<Self, String> {
        // Its output has floats for any type of input.
        let mut features = Features { kind: DataType::Float, ..self.clone() };
        if !shift.is_empty() {
            features = features.with("Sub", &Constant::numbers(shift), false)?;
        }
        if !scale.is_empty() {
            features = features.with("Mul", &Constant::numbers(scale), false)?;
        }
        Ok(features)
    }

    /// The scaling of `features` features, if there is one.
    pub fn scaling(&self, features: usize) -> Result<Option<Scaling>, String> {
        let Steps { shift, scale, offset } = &*self.steps;
        if shift.is_none() && scale.is_none() {
            return Ok(None);
        }
        let all = |step: &Option<Step<'_>>, none: f32, inverse: fn(f32) -> f32| -> Result<Vec<f32>, String> {
            let Some(Step { constant, inverted }) = step else { return Ok(vec![none; features]) };
            let (dims, values) = constant.values()?;
            let is_row = values.len() == 1 || dims.iter().rev().skip(1).all(|&dim| dim == 1);
            let values = one_each(values, features).filter(|_| is_row).ok_or_else(|| {
                format!("the features are shifted or scaled by {dims:?} values: it must be one, or {features}")
            })?;
            Ok(if *inverted { values.into_iter().map(inverse).collect() } else { values })
        };
        let (mut shift, scale) = (all(shift, 0.0, |value| -value)?, all(scale, 1.0, f32::recip)?);
        if offset.is_some() {
            // x·s + b = (x + b/s)·s
            let offset = all(offset, 0.0, |value| -value)?;
            shift = offset.iter().zip(&scale).map(|(offset, scale)| -offset / scale).collect();
        }
        let scaling = Scaling { shift: shift.into_iter().map(f64::from).collect(), scale };
        scaling.check(features).map_err(|error| error.to_string())?;
        Ok(Some(scaling))
    }
}

/// A list of `count` values, from `count` values or from a single one.
pub(super) fn one_each(values: Vec<f32>, count: usize) -> Option<Vec<f32>> {
    match values.as_slice() {
        &[value] => Some(vec![value; count]),
        _ => Some(values).filter(|values| values.len() == count),
    }
}
