//! The input of a graph, and its scaling before the first layer.

use std::rc::Rc;

use super::constant::Constant;
use super::layout::Layout;
use super::limits::{FITS, PADDED, short};
use super::proto::{self, DataType, ValueInfo};
use super::shape::{self, Size};
use crate::activation::Activation;
use crate::layout::Image;
use crate::preprocessing::Scaling;

/// The input of a layer.
#[derive(Clone)]
pub(super) enum Input<'a> {
    Features(Features<'a>),
    /// An activation of the units of another layer.
    Layer(usize, Activation),
}

/// The features with the operations on them so far.
#[derive(Clone)]
pub(super) struct Features<'a> {
    /// The shape: the number of rows, then the dimensions of a row.
    pub shape: Rc<[Size]>,
    /// How the values lie, where all sizes are known: their numbers are those in the input's own order.
    layout: Option<Layout>,
    /// Pixels of zeros above, left of, below and right of an image.
    pub pads: [usize; 4],
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
    /// How the values lay that it was applied to.
    layout: Option<Layout>,
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
        let known: Option<Vec<usize>> = sizes[1..].iter().map(|size| size.known().filter(|&size| size > 0)).collect();
        let count = |sides: &Vec<usize>| sides.iter().try_fold(1usize, |product, &side| product.checked_mul(side));
        let known = known.filter(|sides| count(sides).is_some_and(|count| count <= MOST_VALUES));
        let layout = known.map(|sides| Layout::of(&sides));
        Ok((Features { shape, layout, pads: [0; 4], kind, steps: Rc::default() }, rows))
    }

    /// The same values in another shape, of which the first dimension is still the number of rows.
    pub fn shaped(&self, shape: Vec<Size>) -> Option<Self> {
        let (first, row) = shape.split_first()?;
        let fits = *first == Size::Rows && !row.is_empty() && !row.contains(&Size::Rows) && self.pads == [0; 4];
        let layout = match &self.layout {
            Some(layout) => Some(layout.reshaped(&shape)?),
            None => None,
        };
        fits.then(|| Features { shape: shape.into(), layout, ..self.clone() })
    }

    /// The dimensions in another order, where all sizes are known.
    pub fn transposed(&self, order: &[usize]) -> Option<Self> {
        let layout = self.layout.as_ref().filter(|_| self.pads == [0; 4])?.transposed(order);
        Some(Features { shape: layout.sizes().into(), layout: Some(layout), ..self.clone() })
    }

    /// Checks that images are `[batch, channels, height, width]` or `[batch, height, width, channels]` in the graph's input: a model takes no images whose rows
    /// and columns are exchanged.
    pub fn check_turned(&self) -> Result<(), String> {
        let Some((image, layout)) = self.image().zip(self.layout.as_ref()) else { return Ok(()) };
        match !self.is_turned() || *layout == Layout::image(image) {
            true => Ok(()),
            false => Err("it takes an image whose dimensions are in another order in the graph's input: that must be [batch, channels, height, width], or \
                          [batch, height, width, channels] with a Transpose by perm = [0, 3, 1, 2]"
                .into()),
        }
    }

    /// The image that they are, where they are `[batch, channels, height, width]`.
    pub fn image(&self) -> Option<Image> {
        let sizes: Vec<u32> =
            self.shape[1..].iter().map(|size| size.known()?.try_into().ok()).collect::<Option<_>>()?;
        let &[channels, height, width] = &sizes[..] else { return None };
        self.layout.is_some().then_some(Image { height, width, channels })
    }

    /// Whether they are an image whose values lie otherwise in the graph's input than with the channels of each pixel side by side.
    pub fn is_turned(&self) -> bool {
        let Some((Image { height, width, channels }, layout)) = self.image().zip(self.layout.as_ref()) else {
            return false;
        };
        layout.channels_last() != Layout::of(&[height, width, channels].map(|side| side as usize))
    }

    /// How the values of a row lie, where they do not in the input's own order.
    pub fn order(&self) -> Option<Layout> {
        self.layout.clone().filter(Layout::is_matrix)
    }

    /// Zeros around an image.
    pub fn padded(&self, pads: [usize; 4]) -> Self {
        Features { pads, ..self.clone() }
    }

    /// Checks that an image can be taken by a first layer.
    pub fn check_float(&self) -> Result<(), String> {
        match self.kind.is_float() {
            true => Ok(()),
            false => {
                Err(format!("it takes an input that is {:?}: it must be Float, or be cast to it before", self.kind))
            }
        }
    }

    /// The same values in another type: integers can become floats, and floats other floats.
    pub fn cast(&self, to: DataType) -> Option<Self> {
        (to.is_float() || to == self.kind).then(|| Features { kind: to, ..self.clone() })
    }

    /// Checks that a first layer of `inputs` inputs can take the features.
    pub fn check(&self, inputs: usize) -> Result<(), String> {
        self.check_float()?;
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
        let step = |inverted| Some(Step { constant: constant.clone(), layout: self.layout.clone(), inverted });
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
        if self.pads != [0; 4] {
            return Err(PADDED.into());
        }
        if constant.rank() > self.shape.len() {
            return Err("a constant has more dimensions than the tensor that it is joined with".into());
        }
        if !self.kind.is_float() {
            return Err(format!("it computes with an input that is {:?}: it must be cast to Float before", self.kind));
        }
        Ok(Features { steps: steps.into(), ..self.clone() })
    }

    /// Why these are other values than others, if they are.
    pub fn differ(&self, other: &Features<'_>) -> Option<&'static str> {
        let is_same = std::ptr::eq(Rc::as_ptr(&self.steps).cast::<()>(), Rc::as_ptr(&other.steps).cast());
        if !is_same && !self.steps.are(&other.steps) {
            return Some("with different shifts and scales");
        }
        // Of an image, the layers that take it must have the same idea of it.
        match (self.image(), other.image()) {
            (None, None) => None,
            _ if self.layout == other.layout => None,
            (Some(_), Some(_)) => Some("as images whose values are in different orders"),
            _ => Some("as an image and as rows"),
        }
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

    /// The scaling of `features` features, if there is one: of an image, pixel by pixel with their channels last. `room` is the number of values that the
    /// file could have.
    pub fn scaling(&self, features: usize, room: usize) -> Result<Option<Scaling>, String> {
        let Steps { shift, scale, offset } = &*self.steps;
        if shift.is_none() && scale.is_none() {
            return Ok(None);
        }
        if features > MOST_SCALED.max(room) {
            return Err(format!(
                "its input has {features} values that are shifted or scaled: from a file as short as this, at most {MOST_SCALED} are read"
            ));
        }
        let all = |step: &Option<Step<'_>>, none: f32, inverse: fn(f32) -> f32| -> Result<Vec<f32>, String> {
            let Some(Step { constant, layout, inverted }) = step else { return Ok(vec![none; features]) };
            let (dims, values) = constant.values()?;
            let wrong =
                || format!("the features are shifted or scaled by {dims:?} values: it must be one, or {features}");
            let values = match layout {
                _ if values.len() == 1 => vec![values[0]; features],
                Some(layout) => {
                    let picked = layout.picked(&dims).filter(|picked| picked.len() == features).ok_or_else(wrong)?;
                    picked.into_iter().map(|at| values[at]).collect()
                }
                None => {
                    let is_row = dims.iter().rev().skip(1).all(|&dim| dim == 1);
                    one_each(values, features).filter(|_| is_row).ok_or_else(wrong)?
                }
            };
            Ok(if *inverted { values.into_iter().map(inverse).collect() } else { values })
        };
        let (mut shift, mut scale) = (all(shift, 0.0, |value| -value)?, all(scale, 1.0, f32::recip)?);
        if offset.is_some() {
            // x·s + b = (x + b/s)·s
            let offset = all(offset, 0.0, |value| -value)?;
            shift = offset.iter().zip(&scale).map(|(offset, scale)| -offset / scale).collect();
        }
        if let (Some(image), Some(layout)) = (self.image(), &self.layout) {
            // Where the values of an image with channels last are in the input.
            let Image { height, width, channels } = image;
            let sides = [channels, height, width].map(|side| side as usize);
            let places = layout.picked(&sides).ok_or("its image has lost its order")?;
            let mut turned = [vec![0.0; features], vec![0.0; features]];
            for (number, place) in places.into_iter().enumerate() {
                let (channel, pixel) = (place / (sides[1] * sides[2]), place % (sides[1] * sides[2]));
                let to = pixel * sides[0] + channel;
                (turned[0][to], turned[1][to]) = (shift[number], scale[number]);
            }
            [shift, scale] = turned;
        }
        let scaling = Scaling { shift: shift.into_iter().map(f64::from).collect(), scale };
        scaling.check(features).map_err(|error| format!("what shifts and scales its input: {error}"))?;
        Ok(Some(scaling))
    }
}

impl Steps<'_> {
    /// Whether these are the same steps, by other nodes perhaps.
    fn are(&self, other: &Steps<'_>) -> bool {
        let same = |one: &Option<Step<'_>>, other: &Option<Step<'_>>| match (one, other) {
            (None, None) => true,
            (Some(one), Some(other)) => {
                one.inverted == other.inverted && one.layout == other.layout && one.constant.is(&other.constant)
            }
            _ => false,
        };
        same(&self.shift, &other.shift) && same(&self.scale, &other.scale) && same(&self.offset, &other.offset)
    }
}

/// The most values of a row that are shifted or scaled, in a file that could not have as many itself: a single number scales all of a large image. The model has a
/// shift and a scale for each.
pub(super) const MOST_SCALED: usize = 1 << 22;

/// The most values of a row whose order is followed.
const MOST_VALUES: usize = 1 << 24;

/// A list of `count` values, from `count` values or from a single one.
pub(super) fn one_each(values: Vec<f32>, count: usize) -> Option<Vec<f32>> {
    match values.as_slice() {
        &[value] => Some(vec![value; count]),
        _ => Some(values).filter(|values| values.len() == count),
    }
}
