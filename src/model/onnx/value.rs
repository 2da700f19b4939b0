//! The meaning of a graph's tensors.

use std::collections::HashSet;
use std::rc::Rc;

use super::constant::Constant;
use super::elementwise::Samples;
use super::features::Features;
use super::layers::Layer;
use super::layout::Layout;
use super::limits::FITS;
use super::proto::{Attribute, Attributes, DataType, NodeProto};
use super::shape::{self, Size, Sizes};
use crate::activation::Activation;

/// The meaning of a tensor.
#[derive(Clone)]
pub(super) enum Value<'a> {
    Constant(Constant<'a>),
    /// The shape of a tensor, or a part of it.
    Sizes(Sizes),
    Features(Features<'a>),
    Rows(Rows),
    /// What is computed of a tensor on the way to its norm.
    Moment(Moment<'a>),
    /// Probabilities under the names of their classes.
    Named(Rows, Names<'a>),
    /// The likeliest class, by its number or its name.
    Label(Rows, Option<Names<'a>>),
    /// An optional input that is left out.
    Absent,
    /// A tensor that was not understood, with the reason.
    Unknown(Rc<str>),
}

impl Value<'_> {
    /// Whether it is an image with zeros around it.
    pub fn is_padded(&self) -> bool {
        match self {
            Value::Features(features) => features.pads != [0; 4],
            Value::Rows(rows) => matches!(rows.what, What::Padded(..)),
            _ => false,
        }
    }
}

/// The output of a layer for each row, or for each image.
#[derive(Clone)]
pub(super) struct Rows {
    pub layer: usize,
    pub what: What,
    pub form: Form,
}

#[derive(Clone)]
pub(super) enum What {
    /// A function of each of its units.
    Units(Samples),
    /// The same, as an image with pixels of zeros above, left of, below and right of it.
    Padded(Samples, [usize; 4]),
    /// The softmax of its units, or its logarithm.
    Softmax,
    /// The probabilities of both classes that its one unit distinguishes.
    BothClasses,
}

/// Statistics of a tensor, or what is made of the tensor with them.
#[derive(Clone)]
pub(super) struct Moment<'a> {
    /// The tensor.
    pub rows: Rows,
    pub over: Over,
    /// How means of it lie, in which the dimensions that they are over have one value.
    pub reduced: Layout,
    /// How these values have to lie to be joined with the tensor, or with other statistics of it.
    pub home: Layout,
    /// How these values lie.
    pub layout: Layout,
    pub of: Of<'a>,
}

/// What a mean is over.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Over {
    /// The channels of each pixel, or a row's features.
    Channels,
    /// This many groups of channels, each with all pixels.
    Groups(usize),
}

/// What is made of a tensor x with its mean m and its mean square s, or the mean square s of its deviations.
#[derive(Clone)]
pub(super) enum Of<'a> {
    /// `m`, or `−m`
    Mean { is_negative: bool },
    /// `x − m`
    Centred,
    /// `(x − m)²`
    Square,
    /// A power of `s + ε`.
    Spread(Spread),
    /// `γ / √(s + ε)`
    Scale { spread: Spread, scale: Constant<'a> },
    /// `x · γ / √(s + ε)`
    Scaled { spread: Spread, scale: Option<Constant<'a>> },
    /// `β − m · γ / √(s + ε)`, or without the minus.
    Shift { is_negative: bool, spread: Spread, scale: Option<Constant<'a>>, shift: Option<Constant<'a>> },
}

/// A power of a mean square.
#[derive(Clone, PartialEq)]
pub(super) struct Spread {
    /// Whether it is of the deviations from the mean.
    pub is_centred: bool,
    pub eps: Option<f64>,
    pub power: f64,
}

#[derive(Clone, PartialEq)]
pub(super) enum Form {
    /// Each sample's values lie so.
    Of(Layout),
    /// `[batch · width, 1]`, as skl2onnx writes the end of a regression: the values of a row one below the other.
    Beneath,
}

impl Form {
    /// How the values of each sample lie.
    pub fn layout(&self) -> Option<&Layout> {
        match self {
            Form::Of(layout) => Some(layout),
            Form::Beneath => None,
        }
    }

    /// Whether it is `[batch, width]`.
    pub fn is_matrix(&self) -> bool {
        self.layout().is_some_and(Layout::is_matrix)
    }

    /// Whether it is `[batch, width]` with the values in their own order.
    pub fn is_features(&self, width: usize) -> bool {
        self.layout() == Some(&Layout::features(width))
    }
}

/// The names of the classes.
#[derive(Clone)]
pub(super) enum Names<'a> {
    Constant(Constant<'a>),
    Attribute(&'a Attribute),
}

impl Names<'_> {
    /// The names as texts, if they can all be read.
    pub fn read(&self) -> Option<Vec<String>> {
        match self {
            Names::Constant(constant) => constant.names(),
            Names::Attribute(Attribute { strings, ints, .. }) if strings.is_empty() => {
                Some(ints.iter().map(i64::to_string).collect())
            }
            Names::Attribute(Attribute { strings, .. }) => {
                strings.iter().map(|name| String::from_utf8(name.to_vec()).ok()).collect()
            }
        }
    }
}

/// A value as sizes, if it is a list of integers or was computed from a shape.
pub(super) fn sizes(value: &Value<'_>) -> Option<Sizes> {
    match value {
        Value::Sizes(sizes) => Some(sizes.clone()),
        Value::Constant(constant) => constant.sizes().map(|(list, alone)| Sizes { list, alone }),
        _ => None,
    }
}

/// The dimensions of `dims` that a node takes means over, in its attribute or in the input after the tensor. Nothing where they are not known, or are none.
pub(super) fn axes(node: &NodeProto, rest: &[Value<'_>], dims: usize) -> Option<Vec<usize>> {
    let axes: Vec<i64> = match (node.op_type.as_str(), rest) {
        ("GlobalAveragePool", _) => (2..dims as i64).collect(),
        (_, [axes]) => sizes(axes)?.list.iter().map(|size| size.number()).collect::<Option<_>>()?,
        _ => Attributes(&node.attribute).integers("axes")?,
    };
    let axes: Vec<usize> = axes.into_iter().map(|axis| shape::place(axis, dims)).collect::<Option<_>>()?;
    let differ = axes.iter().enumerate().all(|(at, axis)| !axes[..at].contains(axis));
    (differ && !axes.is_empty()).then_some(axes)
}

/// The activation that follows a layer.
pub(super) fn activation(layer: &Layer<'_>, function: &Samples) -> Result<Activation, String> {
    function.activation().ok_or_else(|| {
        let name = layer.name();
        let made = match function.makers() {
            None => format!("what follows {name}"),
            Some([first, last]) if first == last => format!("{last}: what it makes of what {name} gives"),
            Some([first, last]) => format!("{last}: what the nodes from {first} to it make of what {name} gives"),
        };
        format!(
            "{made} is none of relu, leaky-relu (with a slope of 0.01), elu (with an α of 1), gelu, gelu-tanh, silu, tanh, \
             sigmoid and softplus, and no scale and shift right before another layer"
        )
    })
}

/// A value cast to another type, if at most its rounding changes.
pub(super) fn cast<'a>(value: &Value<'a>, to: i64) -> Result<Value<'a>, String> {
    let to = i32::try_from(to).ok().and_then(|to| DataType::try_from(to).ok()).unwrap_or(DataType::Undefined);
    let made = match value {
        Value::Constant(constant) => constant.cast(to).map(Value::Constant),
        Value::Sizes(_) if to.is_integer() => Some(value.clone()),
        Value::Features(features) => features.cast(to).map(Value::Features),
        Value::Rows(Rows { what: What::Units(function), .. }) if function.is_flag() => Some(value.clone()),
        Value::Rows(_) if to.is_float() => Some(value.clone()),
        Value::Moment(_) if to.is_float() => Some(value.clone()),
        // A class stays the same in any type.
        Value::Label(..) => Some(value.clone()),
        _ => None,
    };
    made.ok_or_else(|| format!("it casts to {to:?}, which would change the values: {FITS}"))
}

/// The value of a Constant node.
pub(super) fn constant<'a>(attributes: &'a [Attribute]) -> Result<Value<'a>, String> {
    let constant = match attributes {
        [Attribute { name, t: Some(tensor), .. }] if name == "value" => Constant::tensor(tensor),
        [Attribute { name, f, .. }] if name == "value_float" => Constant::number(*f),
        [Attribute { name, floats, .. }] if name == "value_floats" => Constant::numbers(floats),
        [Attribute { name, i, .. }] if name == "value_int" => Constant::integer(*i),
        [Attribute { name, ints, .. }] if name == "value_ints" => Constant::integers_of(ints),
        _ => return Err("it must have a value that is a tensor or numbers".into()),
    };
    Ok(Value::Constant(constant))
}

/// Whether an Add of these values is a residual sum: they are layers' units and features, and not all of one layer.
pub(super) fn is_sum(values: &[Value<'_>]) -> bool {
    let layer = |value: &Value<'_>| match value {
        Value::Rows(Rows { what: What::Units(_) | What::Padded(..), form: Form::Of(_), layer }) => Some(Some(*layer)),
        Value::Features(_) => Some(None),
        _ => None,
    };
    let layers: Option<HashSet<Option<usize>>> = values.iter().map(layer).collect();
    layers.is_some_and(|layers| layers.len() > 1)
}

/// A number for every value of a row, or a constant for every row.
pub(super) fn spread<'a>(op: &str, given: Attributes<'a>, inputs: &[Value<'a>]) -> Result<Value<'a>, String> {
    let shape = inputs.last().and_then(sizes).ok_or("its shape is not a constant, and is not computed from sizes")?;
    let is_row = |(at, size): (usize, &Size)| {
        *size == Size::Rows && at == 0 || *size == Size::Known(1) || at + 1 == shape.list.len()
    };
    if shape.list.len() > 2 || !shape.list.iter().enumerate().all(is_row) {
        return Err(FITS.into());
    }
    match (op, inputs) {
        ("ConstantOfShape", [_]) => Ok(Value::Constant(match given.get("value").and_then(|value| value.t.as_ref()) {
            Some(tensor) => Constant::tensor(tensor).reshaped(&[], true)?,
            None => Constant::number(0.0),
        })),
        ("Expand", [Value::Constant(constant), _]) if constant.count()? == 1 => {
            Ok(Value::Constant(constant.reshaped(&[], true)?))
        }
        _ => Err(FITS.into()),
    }
}
