//! From a graph to a model: every node is understood by what it does to what came before, in the file's order.

use std::collections::HashMap;
use std::path::Path;

use prost::bytes::Bytes;

use super::constant::Constant;
use super::elementwise::{self, Samples};
use super::proto::{self, Attribute, DataType, GraphProto, ModelProto, NodeProto, Size, ValueInfo};
use crate::checkpoint::{METADATA, classes_of, dropouts, loss_of};
use crate::loss::Task;
use crate::{Activation, Error, LayerWeights, Loss, Model, Network, Scaling, Weights};

/// What a file can be made of.
const FITS: &str = "a model is a chain of Gemm, or MatMul and Add, with relu, leaky-relu, elu, gelu, silu, tanh, sigmoid or softplus \
                    between them, Sub and Mul before it and Softmax or Sigmoid at its end";

pub(super) fn model(path: &Path, bytes: Bytes, losses: &[Loss]) -> Result<Model, Error> {
    let broken = |reason: String| Error::format(path, reason);
    // As many values as the file could have: a tensor that is used often must not fill the memory.
    let room = bytes.len();
    let file = proto::decode(bytes).map_err(broken)?;
    let graph = file.graph.as_ref().ok_or_else(|| broken("it has no graph: it is not an ONNX model".into()))?;
    check_version(&file).map_err(broken)?;
    let mut chain = Chain::begin(graph, room).map_err(broken)?;
    for (at, node) in graph.node.iter().enumerate() {
        chain.take(node).map_err(|reason| broken(format!("node {at}, {}: {reason}", name(node))))?;
    }
    let ending = chain.end(graph).map_err(broken)?;

    let about = file.metadata_props.iter().find(|entry| entry.key == METADATA);
    let about = about.map(|entry| serde_json::from_str(&entry.value)).transpose();
    let about = about.map_err(|error| broken(format!("its metadata: {error}")))?;
    let loss = match (loss_of(path, &about, losses)?, ending) {
        (_, Some(Task::EachOutput)) if about.is_none() => Loss::sigmoid_cross_entropy(),
        (loss, Some(task)) if loss.task() != task => {
            return Err(broken(format!(
                "it ends in {}, and its metadata says that the loss is {}: they must agree",
                if task == Task::Classes { "Softmax" } else { "Sigmoid" },
                loss.name()
            )));
        }
        (loss, _) => loss,
    };
    let Chain { layers, activations, scaling, .. } = chain;
    let rates = dropouts(path, &about)?.into_iter().chain(std::iter::repeat(0.0));
    let first = layers.first().map_or(0, |layer| layer.inputs);
    let network = activations
        .into_iter()
        .zip(&layers)
        .zip(rates)
        .fold(Network::new(first), |network, ((activation, layer), rate)| {
            network.dense(layer.outputs, activation).dropout(rate)
        });
    let weights = Weights { layers };
    network.check().and_then(|()| network.check_weights(&weights)).map_err(|error| broken(error.to_string()))?;
    loss.check(network.outputs()).map_err(|error| broken(error.to_string()))?;
    let classes = classes_of(path, &about, network.outputs())?;
    Ok(Model { classes, scaling, ..Model::new(network, weights, loss) })
}

/// That the operators mean what they mean here: since opset 7, Gemm and Add broadcast by themselves.
fn check_version(file: &ModelProto) -> Result<(), String> {
    let version = file.opset_import.iter().find(|set| is_standard(&set.domain)).map_or(0, |set| set.version);
    if version < 7 {
        return Err(format!("its operators are of opset {version}: it must be 7 or later"));
    }
    Ok(())
}

fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// `Gemm "fc1"`
fn name(node: &NodeProto) -> String {
    format!("{} \"{}\"", node.op_type, node.name)
}

/// What a tensor of the graph is.
#[derive(Clone)]
enum Value<'a> {
    Constant(Constant<'a>),
    Features(Features<'a>),
    /// A function of a layer's units; `bare` as they come from a product that has had no bias yet.
    Units {
        layer: usize,
        function: Samples,
        bare: bool,
    },
    Probabilities,
}

/// The features and what has been done to them.
#[derive(Clone, Copy)]
struct Features<'a> {
    /// Whether they are rows `[batch, features]`.
    flat: bool,
    shift: Option<Step<'a>>,
    scale: Option<Step<'a>>,
    /// Added after the scale.
    offset: Option<Step<'a>>,
}

/// A constant, or its negative or its inverse.
#[derive(Clone, Copy)]
struct Step<'a> {
    constant: Constant<'a>,
    inverted: bool,
}

/// The part of the graph that has been understood.
struct Chain<'a> {
    values: HashMap<&'a str, Value<'a>>,
    /// Values of a row of the input, where the graph says.
    features: Option<usize>,
    layers: Vec<LayerWeights>,
    /// One a layer; the last one's is known when something follows.
    activations: Vec<Activation>,
    scaling: Option<Scaling>,
    room: usize,
}

impl<'a> Chain<'a> {
    fn begin(graph: &'a GraphProto, room: usize) -> Result<Self, String> {
        let mut values = HashMap::new();
        for tensor in &graph.initializer {
            if values.insert(tensor.name.as_str(), Value::Constant(Constant::Tensor(tensor))).is_some() {
                return Err(format!("it has two tensors \"{}\"", tensor.name));
            }
        }
        // Before IR version 4, initializers were inputs too.
        let inputs: Vec<&ValueInfo> =
            graph.input.iter().filter(|input| !values.contains_key(input.name.as_str())).collect();
        let &[input] = inputs.as_slice() else {
            return Err(format!("its graph has {} inputs: it must have one, rows [batch, features]", inputs.len()));
        };
        let (flat, features) = rows(input)?;
        let untouched = Features { flat, shift: None, scale: None, offset: None };
        values.insert(input.name.as_str(), Value::Features(untouched));
        Ok(Chain { values, features, layers: vec![], activations: vec![], scaling: None, room })
    }

    /// Understands one more node.
    fn take(&mut self, node: &'a NodeProto) -> Result<(), String> {
        if !is_standard(&node.domain) {
            return Err(format!("it is an operator of {}: {FITS}", node.domain));
        }
        // Optional inputs that are left out have no name.
        let given = node.input.len() - node.input.iter().rev().take_while(|input| input.is_empty()).count();
        let inputs = node.input[..given].iter().map(|name| {
            self.values.get(name.as_str()).cloned().ok_or_else(|| {
                format!("it takes a tensor \"{name}\", which is no input or weight, and which no node before it gives")
            })
        });
        let inputs: Vec<Value<'a>> = inputs.collect::<Result<_, String>>()?;
        let value = self.apply(node, &inputs)?;
        let Some(output) = node.output.first() else { return Err("it gives nothing".into()) };
        if self.values.insert(output, value).is_some() {
            return Err(format!("it gives \"{output}\", which there is already"));
        }
        Ok(())
    }

    fn apply(&mut self, node: &'a NodeProto, inputs: &[Value<'a>]) -> Result<Value<'a>, String> {
        let attribute = |name: &str| node.attribute.iter().find(|attribute| attribute.name == name);
        let integer = |name: &str, default: i64| attribute(name).map_or(default, |attribute| attribute.i);
        let number = |name: &str, default: f32| attribute(name).map_or(default, |attribute| attribute.f);
        match (node.op_type.as_str(), inputs) {
            ("Constant", []) => constant(&node.attribute).map(Value::Constant),
            ("Identity", [value]) | ("Dropout", [value] | [value, Value::Constant(_)]) => Ok(value.clone()),
            ("Flatten", [value]) if integer("axis", 1) == 1 => Ok(match value {
                Value::Features(features) => Value::Features(Features { flat: true, ..*features }),
                other => other.clone(),
            }),
            ("Reshape", [Value::Features(features), Value::Constant(shape)]) if self.keeps_rows(*shape) => {
                Ok(Value::Features(Features { flat: true, ..*features }))
            }
            ("Gemm", [input, Value::Constant(weight), rest @ ..]) => {
                let bias = match rest {
                    [] => None,
                    [Value::Constant(bias)] => Some(*bias),
                    _ => return Err("its bias is not a constant".into()),
                };
                if integer("transA", 0) != 0 {
                    return Err("it has transA: rows must be [batch, features]".into());
                }
                let (alpha, beta) = (number("alpha", 1.0), number("beta", 1.0));
                self.layer(input, *weight, integer("transB", 0) != 0, alpha)?;
                bias.map_or(Ok(()), |bias| self.bias(bias, beta))?;
                Ok(self.units(bias.is_none()))
            }
            ("MatMul", [input, Value::Constant(weight)]) => {
                self.layer(input, *weight, false, 1.0)?;
                Ok(self.units(true))
            }
            ("Softmax", [Value::Units { layer, function, .. }])
                if *layer + 1 == self.layers.len()
                    && function.is_identity()
                    && [1, -1].contains(&integer("axis", -1)) =>
            {
                Ok(Value::Probabilities)
            }
            ("Add", [Value::Units { layer, function, bare: true }, Value::Constant(bias)])
            | ("Add", [Value::Constant(bias), Value::Units { layer, function, bare: true }])
                if *layer + 1 == self.layers.len() && function.is_identity() =>
            {
                // The product alone is none of the chain's tensors any more.
                self.values.retain(|_, value| !matches!(value, Value::Units { layer: old, .. } if old == layer));
                self.bias(*bias, 1.0)?;
                Ok(self.units(false))
            }
            (op, [Value::Features(features), Value::Constant(constant)]) => features.with(op, *constant, false),
            (op, [Value::Constant(constant), Value::Features(features)]) => features.with(op, *constant, true),
            (op, operands) => {
                let (layer, operands) = same_units(operands)?;
                let approximate = attribute("approximate").map_or(&[][..], |attribute| &attribute.s);
                let number = |name: &str, default| f64::from(number(name, default));
                let function = elementwise::operator(op, &operands, &number, approximate).ok_or(FITS)?;
                Ok(Value::Units { layer, function, bare: false })
            }
        }
    }

    /// Whether a shape leaves every row a row: `[batch, features]`, with -1 or 0 for what stays.
    fn keeps_rows(&self, shape: Constant<'_>) -> bool {
        match (shape.integers().as_deref(), self.features) {
            (Some(&[0, -1]), _) => true,
            (Some(&[-1 | 1, width]), Some(features)) => usize::try_from(width) == Ok(features),
            _ => false,
        }
    }

    /// Adds a layer with a bias of 0.
    fn layer(&mut self, input: &Value<'a>, weight: Constant<'a>, transposed: bool, alpha: f32) -> Result<(), String> {
        let (dims, mut values) = weight.values()?;
        let &[rows, columns] = dims.as_slice() else {
            return Err(format!("its weight has the shape {dims:?}: it must have two dimensions"));
        };
        let (inputs, outputs) = if transposed { (columns, rows) } else { (rows, columns) };
        if inputs == 0 || outputs == 0 {
            return Err(format!("its weight has the shape {dims:?}, with no values"));
        }
        let taken = values.len() + outputs;
        self.room = self.room.checked_sub(taken).ok_or("layers before it have its weights: each must have its own")?;
        if !transposed {
            values = (0..outputs * inputs).map(|at| values[at % inputs * outputs + at / inputs]).collect();
        }
        if alpha != 1.0 {
            values.iter_mut().for_each(|value| *value *= alpha);
        }
        match input {
            Value::Features(features) if self.layers.is_empty() => {
                if !features.flat || self.features.is_some_and(|features| features != inputs) {
                    let given = self.features.map_or("an unknown number of".into(), |features| features.to_string());
                    return Err(format!(
                        "it takes {inputs} values, and a row has {given}{}",
                        if features.flat { "" } else { ", not flattened: put a Flatten before it" }
                    ));
                }
                self.scaling = features.scaling(inputs)?;
            }
            Value::Units { layer, function, .. } if *layer + 1 == self.layers.len() => {
                let before = self.layers[*layer].outputs;
                if before != inputs {
                    return Err(format!("it takes {inputs} values, and the layer before it gives {before}"));
                }
                self.activations[*layer] = activation(*layer, function)?;
            }
            _ => return Err(format!("it does not take what comes last: {FITS}")),
        }
        self.layers.push(LayerWeights { inputs, outputs, weight: values, bias: vec![0.0; outputs] });
        self.activations.push(Activation::Identity);
        Ok(())
    }

    /// Gives the last layer its bias.
    fn bias(&mut self, bias: Constant<'a>, beta: f32) -> Result<(), String> {
        let Some(layer) = self.layers.last_mut() else { return Err(FITS.into()) };
        let (dims, values) = bias.values()?;
        let is_row = dims.iter().rev().skip(1).all(|&dim| dim == 1) && dims.len() <= 2;
        let values = one_each(values, layer.outputs)
            .filter(|_| is_row)
            .ok_or_else(|| format!("its bias has the shape {dims:?}: it must be [{}]", layer.outputs))?;
        layer.bias = values.into_iter().map(|value| if beta == 1.0 { value } else { beta * value }).collect();
        Ok(())
    }

    /// What the last layer gives.
    fn units(&self, bare: bool) -> Value<'a> {
        Value::Units { layer: self.layers.len() - 1, function: Samples::identity(), bare }
    }

    /// What the graph gives at its end: what its probabilities are of, where it does not give the last layer's units.
    fn end(&self, graph: &GraphProto) -> Result<Option<Task>, String> {
        let [output] = graph.output.as_slice() else {
            return Err(format!("its graph has {} outputs: it must have one", graph.output.len()));
        };
        match self.values.get(output.name.as_str()) {
            Some(Value::Probabilities) => Ok(Some(Task::Classes)),
            Some(Value::Units { layer, function, .. }) if layer + 1 == self.layers.len() => {
                match activation(*layer, function)? {
                    Activation::Identity => Ok(None),
                    Activation::Sigmoid => Ok(Some(Task::EachOutput)),
                    other => Err(format!(
                        "it ends in {other}, and a loss takes the last layer's units as they are: only Softmax or Sigmoid may follow"
                    )),
                }
            }
            _ => Err(format!("its output \"{}\" is not what its last layer gives: {FITS}", output.name)),
        }
    }
}

impl<'a> Features<'a> {
    /// After an operator with a constant, which comes first where it is `reversed`.
    fn with(self, op: &str, constant: Constant<'a>, reversed: bool) -> Result<Value<'a>, String> {
        let step = |inverted| Some(Step { constant, inverted });
        let features = match (op, reversed) {
            ("Sub", false) | ("Add", _) if self.scale.is_none() && self.shift.is_none() => {
                Features { shift: step(op == "Add"), ..self }
            }
            ("Sub", false) | ("Add", _) if self.scale.is_some() && self.shift.is_none() && self.offset.is_none() => {
                Features { offset: step(op == "Sub"), ..self }
            }
            ("Mul", _) | ("Div", false) if self.scale.is_none() => Features { scale: step(op == "Div"), ..self },
            ("Add" | "Sub" | "Mul" | "Div", _) => {
                return Err("before the first layer, features are shifted and scaled, once each, and no more".into());
            }
            _ => return Err(FITS.into()),
        };
        Ok(Value::Features(features))
    }

    /// The shift and the scale of each of so many features, where there is anything.
    fn scaling(self, features: usize) -> Result<Option<Scaling>, String> {
        if self.shift.is_none() && self.scale.is_none() {
            return Ok(None);
        }
        let all = |step: Option<Step<'_>>, none: f32, inverse: fn(f32) -> f32| -> Result<Vec<f32>, String> {
            let Some(Step { constant, inverted }) = step else { return Ok(vec![none; features]) };
            let (dims, values) = constant.values()?;
            let is_row = values.len() == 1 || dims.iter().rev().skip(1).all(|&dim| dim == 1);
            let values = one_each(values, features).filter(|_| is_row).ok_or_else(|| {
                format!("the features are shifted or scaled by {dims:?} values: it must be one, or {features}")
            })?;
            Ok(if inverted { values.into_iter().map(inverse).collect() } else { values })
        };
        let (mut shift, scale) = (all(self.shift, 0.0, |value| -value)?, all(self.scale, 1.0, f32::recip)?);
        if self.offset.is_some() {
            // x·s + b = (x + b/s)·s
            let offset = all(self.offset, 0.0, |value| -value)?;
            shift = offset.iter().zip(&scale).map(|(offset, scale)| -offset / scale).collect();
        }
        let scaling = Scaling { shift: shift.into_iter().map(f64::from).collect(), scale };
        scaling.check(features).map_err(|error| error.to_string())?;
        Ok(Some(scaling))
    }
}

/// As many values as are needed, of as many or of one.
fn one_each(values: Vec<f32>, count: usize) -> Option<Vec<f32>> {
    match values.as_slice() {
        &[value] => Some(vec![value; count]),
        _ => Some(values).filter(|values| values.len() == count),
    }
}

fn activation(layer: usize, function: &Samples) -> Result<Activation, String> {
    function.activation().ok_or_else(|| {
        format!(
            "what follows layer {} is none of relu, leaky-relu (with a slope of 0.01), elu (with an α of 1), gelu, gelu-tanh, silu, tanh, \
             sigmoid and softplus",
            layer + 1
        )
    })
}

/// The functions that an operator's inputs are of one layer's units, and that layer; a number is one too.
fn same_units(inputs: &[Value<'_>]) -> Result<(usize, Vec<Samples>), String> {
    let mut of = None;
    let mut functions = Vec::new();
    for input in inputs {
        functions.push(match input {
            Value::Constant(constant) => Samples::constant(constant.scalar()?.ok_or(FITS)?),
            Value::Units { layer, function, .. } => {
                let other = *of.get_or_insert(*layer);
                if other != *layer {
                    return Err(format!("it joins what layers {} and {} give: {FITS}", other + 1, layer + 1));
                }
                function.clone()
            }
            Value::Features(_) | Value::Probabilities => return Err(FITS.into()),
        });
    }
    of.map(|layer| (layer, functions)).ok_or_else(|| FITS.into())
}

/// The value of a Constant node.
fn constant(attributes: &[Attribute]) -> Result<Constant<'_>, String> {
    match attributes {
        [Attribute { name, t: Some(tensor), .. }] if name == "value" => Ok(Constant::Tensor(tensor)),
        [Attribute { name, f, .. }] if name == "value_float" => Ok(Constant::Scalar(*f)),
        _ => Err("it must have a value that is a tensor or a number".into()),
    }
}

/// Whether the input is rows `[batch, features]`, and how many values a row has, where the graph says.
fn rows(input: &ValueInfo) -> Result<(bool, Option<usize>), String> {
    let say = |reason: String| format!("its input \"{}\" {reason}", input.name);
    let Some(tensor) = input.kind.as_ref().and_then(|kind| kind.tensor_type.as_ref()) else {
        return Err(say("is not a tensor".into()));
    };
    if !matches!(tensor.elem_type(), DataType::Float | DataType::Float16 | DataType::Double) {
        return Err(say(format!("is {:?}: it must be Float", tensor.elem_type())));
    }
    let Some(shape) = &tensor.shape else { return Ok((true, None)) };
    if shape.dim.len() < 2 {
        return Err(say(format!("has {} dimensions: it must be [batch, features]", shape.dim.len())));
    }
    let sizes = shape.dim[1..].iter().map(|dim| match dim.size {
        Some(Size::Value(value)) => usize::try_from(value).ok(),
        _ => None,
    });
    let features = sizes.collect::<Option<Vec<usize>>>();
    let features = features.and_then(|sizes| sizes.into_iter().try_fold(1usize, usize::checked_mul));
    Ok((shape.dim.len() == 2, features))
}
