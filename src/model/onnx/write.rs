//! Converts a model to a graph.

mod embed;
mod layers;
mod tokens;

use serde_json::Value;

use super::limits::LONGEST;
use super::proto::{
    Attribute, AttributeType, DataType, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetId, Shape, Size,
    StringStringEntry, TensorProto, TensorType, TypeProto, ValueInfo,
};
use crate::activation::Activation;
use crate::error::Error;
use crate::layout::{Image, Sequence};
use crate::loss::{Loss, Task};
use crate::model::Model;
use crate::model::metadata::{METADATA, inputs_to_json, loss_to_json, scaling_to_json};
use crate::network::{Form, LayerKind, Network, Parameter};
use crate::preprocessing::Scaling;
use crate::weights::LayerWeights;

/// The opset, which every runtime of the last years supports. Gelu, which came with opset 20, is composed of older operators.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

/// The tensors that features are shifted and scaled by.
pub(super) const SHIFT: &str = "scaling.shift";
pub(super) const SCALE: &str = "scaling.scale";

pub(super) fn model(model: &Model, softmax: bool) -> Result<ModelProto, Error> {
    let Model { network, weights, loss, scaling, target_scaling, .. } = model;
    network.check_weights(weights)?;
    if 4 * network.parameters() as u64 > LONGEST - (1 << 20) {
        return Err(Error::Option(format!(
            "the model has {} parameters: an ONNX file has at most 2 GiB, some 536,000,000",
            network.parameters()
        )));
    }
    let proto = GraphProto { name: "wgrad".into(), ..GraphProto::default() };
    let mut graph = Graph { proto, last: "x".into(), table: None, mask: None };
    if let Some(scaling) = scaling {
        if let Form::Tokens(_) = network.input() {
            return Err(Error::Option("the model has a scaling, and takes tokens, which are no quantities".into()));
        }
        let (dims, Scaling { shift, scale }) = of_input(network.input(), scaling);
        let shift: Vec<f32> = shift.iter().map(|&shift| shift as f32).collect();
        graph.tensor(SHIFT, &dims, &shift);
        graph.tensor(SCALE, &dims, &scale);
        graph.then("Sub", &[SHIFT]);
        graph.then("Mul", &[SCALE]);
    }
    let parameters = network.named_parameters();
    let mut layers = weights.layers.clone();
    let folds = ends_in_a_product(network);
    if let (Some(last), Some(scaling), true) = (layers.last_mut(), target_scaling, folds) {
        // No activation follows the last product, so the targets' own units go into its weights, and readers of the graph need not know about them.
        *last = in_own_units(last, scaling);
    }
    let mut unwritten = parameters.iter().zip(&layers);
    let made = graph.layers(network.layers(), network.input(), &mut unwritten)?;
    if let Some((Parameter { name, .. }, _)) = unwritten.next() {
        return Err(Error::Option(format!(
            "the layer {name} is no part of the graph: this kind of layer cannot be exported"
        )));
    }
    if let (Some(Scaling { shift, scale }), false) = (target_scaling, folds) {
        let shift: Vec<f32> = shift.iter().map(|&shift| shift as f32).collect();
        graph.tensor("target_scaling.scale", &[scale.len()], scale);
        graph.tensor("target_scaling.shift", &[shift.len()], &shift);
        graph.then("Div", &["target_scaling.scale"]);
        graph.then("Add", &["target_scaling.shift"]);
    }
    let output = graph.end(loss, softmax)?;
    graph.proto.input = vec![samples("x", network.input())];
    graph.proto.output = vec![samples(output, made)];

    let about = about(model, folds);
    Ok(ModelProto {
        ir_version: IR_VERSION,
        producer_name: "wgrad".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph.proto),
        opset_import: vec![OperatorSetId { domain: String::new(), version: OPSET }],
        metadata_props: vec![StringStringEntry { key: METADATA.into(), value: about.to_string() }],
    })
}

/// What the graph does not show; `folds` says whether the last product has the scaling of the targets in its weights.
fn about(model: &Model, folds: bool) -> Value {
    let Model { network, loss, classes, target_scaling, bytes, vocabulary, .. } = model;
    let mut about = serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "loss": loss_to_json(loss) });
    if folds && shows_its_layers(network) {
        // Of every layer, each before those within it.
        let mut rates = Vec::new();
        network.walk(&mut |placed| rates.push(placed.layer.dropout()));
        if rates.iter().any(|&rate| rate > 0.0) {
            about["dropout"] = rates.into();
        }
    } else {
        about["inputs"] = inputs_to_json(network);
        about["layers"] = network.to_json();
        if let (Some(scaling), false) = (target_scaling, folds) {
            about["target_scaling"] = scaling_to_json(scaling);
        }
    }
    if !classes.is_empty() {
        about["classes"] = classes.clone().into();
    }
    if *bytes {
        about["bytes"] = true.into();
    }
    if let Some(vocabulary) = vocabulary {
        about["vocabulary"] = vocabulary.to_file().into();
    }
    about
}

/// Whether a graph shows everything of a network but its dropouts: that of dense layers with biases, and of sums of such.
fn shows_its_layers(network: &Network) -> bool {
    let (mut shows, is_image) = (true, matches!(network.input(), Form::Image(_)));
    network.walk(&mut |located| {
        let is_shown = match located.layer.kind() {
            LayerKind::Dense(dense) => dense.bias,
            LayerKind::Residual(_) => true,
            _ => false,
        };
        shows &= is_shown && located.layer.initializer().is_none();
    });
    shows && !is_image
}

/// Whether the last layer is a dense one with a bias and without an activation, so that its weights can have a scaling of the targets in them.
fn ends_in_a_product(network: &Network) -> bool {
    network.layers().last().is_some_and(|last| match last.kind() {
        LayerKind::Dense(dense) => dense.bias && last.activation() == Activation::Identity,
        _ => false,
    })
}

/// The scaling of the features as it is applied to the graph's input, and its dimensions: of images, channels first; one value a channel where all pixels
/// have the same.
fn of_input(input: Form, scaling: &Scaling) -> (Vec<usize>, Scaling) {
    let Form::Image(image) = input else { return (vec![scaling.shift.len()], scaling.clone()) };
    let [height, width, channels] = [image.height, image.width, image.channels].map(|side| side as usize);
    let pixels = height * width;
    let same = |at: usize| {
        (scaling.shift[at], scaling.scale[at]) == (scaling.shift[at % channels], scaling.scale[at % channels])
    };
    let is_of_channels = (0..scaling.shift.len()).all(same);
    let dims = if is_of_channels { vec![channels, 1, 1] } else { vec![channels, height, width] };
    let places = if is_of_channels { 1 } else { pixels };
    let from = |at: usize| at % places * channels + at / places;
    let count = channels * places;
    (
        dims,
        Scaling {
            shift: (0..count).map(|at| scaling.shift[from(at)]).collect(),
            scale: (0..count).map(|at| scaling.scale[from(at)]).collect(),
        },
    )
}

/// The reverse, of a shift or a scale: a value for each feature. Nothing for another number of values.
pub(super) fn to_input(input: Form, values: &[f32]) -> Option<Vec<f32>> {
    let Form::Image(image) = input else { return (values.len() == input.values()).then(|| values.to_vec()) };
    let channels = image.channels as usize;
    let places = values.len() / channels;
    let is_one_each = places == 1 || values.len() == input.values();
    if !is_one_each || !values.len().is_multiple_of(channels) {
        return None;
    }
    Some((0..input.values()).map(|at| values[at % channels * places + at / channels % places]).collect())
}

/// A last layer whose outputs are the targets in their own units.
fn in_own_units(layer: &LayerWeights, Scaling { shift, scale }: &Scaling) -> LayerWeights {
    let own = |value: f32, unit: usize| f64::from(value) / f64::from(scale[unit]);
    let weight = layer.weight.iter().enumerate().map(|(at, &value)| own(value, at / layer.inputs) as f32);
    let bias =
        layer.bias.iter().zip(shift).enumerate().map(|(unit, (&value, &shift))| (own(value, unit) + shift) as f32);
    LayerWeights { weight: weight.collect(), bias: bias.collect(), ..*layer }
}

/// A graph that grows at its end.
struct Graph {
    proto: GraphProto,
    /// The tensor that came out last.
    last: String,
    /// The embedding's table, once there is one.
    table: Option<String>,
    /// What is added to the scores of an attention that is causal, once there is one.
    mask: Option<String>,
}

/// The parameters that have not been written yet, with their values.
type Weights<'a> = dyn Iterator<Item = (&'a Parameter, &'a LayerWeights)> + 'a;

impl Graph {
    /// Ends the graph, with probabilities where they are wanted, and returns the name of its output.
    fn end(&mut self, loss: &Loss, probabilities: bool) -> Result<&'static str, Error> {
        let output = match (loss.task(), probabilities) {
            (Task::Classes, true) => {
                self.then("Softmax", &[]).attribute.push(integer("axis", -1));
                "probabilities"
            }
            (Task::EachOutput, true) => {
                self.then("Sigmoid", &[]);
                "probabilities"
            }
            (Task::Numbers, true) => {
                return Err(Error::Option(format!(
                    "the model was trained with {}, whose outputs are numbers: there are no probabilities to export",
                    loss.name()
                )));
            }
            (Task::Numbers, false) => "outputs",
            (_, false) => "logits",
        };
        if let Some(name) = self.proto.node.last_mut().and_then(|node| node.output.first_mut()) {
            *name = output.into();
        }
        Ok(output)
    }

    /// Applies an operator to the last tensor, and to other tensors as further operands.
    fn then(&mut self, op: &str, others: &[&str]) -> &mut NodeProto {
        let last = self.last.clone();
        self.node(op, &[&[last.as_str()], others].concat())
    }

    fn node(&mut self, op: &str, inputs: &[&str]) -> &mut NodeProto {
        let at = self.proto.node.len();
        self.last = format!("{}_{at}", op.to_lowercase());
        self.proto.node.push(NodeProto {
            input: inputs.iter().map(|&input| input.into()).collect(),
            output: vec![self.last.clone()],
            name: self.last.clone(),
            op_type: op.into(),
            ..NodeProto::default()
        });
        &mut self.proto.node[at]
    }

    fn tensor(&mut self, name: &str, dims: &[usize], values: &[f32]) {
        self.proto.initializer.push(TensorProto {
            dims: dims.iter().map(|&dim| dim as i64).collect(),
            data_type: DataType::Float.into(),
            name: name.into(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into(),
            ..TensorProto::default()
        });
    }

    /// Applies an operator to other tensors than the last, which stays the last, and gives the name of what comes out.
    fn aside(&mut self, op: &str, inputs: &[&str], set: impl FnOnce(&mut NodeProto)) -> String {
        let last = self.last.clone();
        set(self.node(op, inputs));
        std::mem::replace(&mut self.last, last)
    }

    /// A list of whole numbers, as the shape that Reshape takes.
    fn list(&mut self, name: &str, values: &[i64]) {
        self.whole(name, &[values.len() as i64], values);
    }

    /// A tensor of whole numbers.
    fn whole(&mut self, name: &str, dims: &[i64], values: &[i64]) {
        self.proto.initializer.push(TensorProto {
            dims: dims.into(),
            data_type: DataType::Int64.into(),
            name: name.into(),
            raw_data: values.iter().flat_map(|value| value.to_le_bytes()).collect::<Vec<u8>>().into(),
            ..TensorProto::default()
        });
    }

    /// Applies an operator to the last tensor and a number.
    fn with(&mut self, op: &str, number: f32) {
        let name = self.number(number);
        self.then(op, &[&name]);
    }

    /// The name of a number, which a file has once.
    fn number(&mut self, number: f32) -> String {
        let name = number.to_string();
        if self.proto.initializer.iter().all(|tensor| tensor.name != name) {
            self.tensor(&name, &[], &[number]);
        }
        name
    }
}

/// An input or output of any number of samples, in f32: rows of features, images with their channels first, the places of sequences; or tokens, as whole
/// numbers.
fn samples(name: &str, form: Form) -> ValueInfo {
    let dim = |size| Dimension { size: Some(size) };
    let sides: Vec<i64> = match form {
        Form::Image(Image { height, width, channels }) => [channels, height, width].map(i64::from).into(),
        Form::Sequence(Sequence { length, width }) => [length, width].map(i64::from).into(),
        _ => vec![form.values() as i64],
    };
    let kind = if let Form::Tokens(_) = form { DataType::Int64 } else { DataType::Float };
    let batch = dim(Size::Name("batch".into()));
    let dim = std::iter::once(batch).chain(sides.into_iter().map(|side| dim(Size::Value(side)))).collect();
    let tensor_type = TensorType { elem_type: kind.into(), shape: Some(Shape { dim }) };
    ValueInfo { name: name.into(), kind: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

fn integer(name: &str, i: i64) -> Attribute {
    Attribute { name: name.into(), i, kind: AttributeType::Int.into(), ..Attribute::default() }
}

fn float(name: &str, f: f32) -> Attribute {
    Attribute { name: name.into(), f, kind: AttributeType::Float.into(), ..Attribute::default() }
}

fn integers(name: &str, ints: impl IntoIterator<Item = i64>) -> Attribute {
    let ints = ints.into_iter().collect();
    Attribute { name: name.into(), ints, kind: AttributeType::Ints.into(), ..Attribute::default() }
}
