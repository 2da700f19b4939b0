//! Converts a model to a graph.

use super::limits::LONGEST;
use super::proto::{
    Attribute, AttributeType, DataType, Dimension, GraphProto, ModelProto, NodeProto, OperatorSetId, Shape, Size,
    StringStringEntry, TensorProto, TensorType, TypeProto, ValueInfo,
};
use crate::activation::Activation;
use crate::error::Error;
use crate::loss::{Loss, Task};
use crate::model::Model;
use crate::model::metadata::{METADATA, loss_to_json};
use crate::network::{Layer, LayerKind, Parameter, ResidualLayer};
use crate::preprocessing::Scaling;
use crate::weights::LayerWeights;

/// The opset, which every runtime of the last years supports. Gelu, which came with opset 20, is composed of older operators.
const OPSET: i64 = 17;
const IR_VERSION: i64 = 8;

pub(super) fn model(model: &Model, softmax: bool) -> Result<ModelProto, Error> {
    let Model { network, weights, loss, classes, scaling, target_scaling, .. } = model;
    network.check_weights(weights)?;
    if 4 * network.parameters() as u64 > LONGEST - (1 << 20) {
        return Err(Error::Option(format!(
            "the model has {} parameters: an ONNX file has at most 2 GiB, some 536,000,000",
            network.parameters()
        )));
    }
    let mut graph = Graph { proto: GraphProto { name: "wgrad".into(), ..GraphProto::default() }, last: "x".into() };
    if let Some(scaling) = scaling {
        let features = network.inputs();
        let shift: Vec<f32> = scaling.shift.iter().map(|&shift| shift as f32).collect();
        graph.tensor("scaling.shift", &[features], &shift);
        graph.tensor("scaling.scale", &[features], &scaling.scale);
        graph.then("Sub", &["scaling.shift"]);
        graph.then("Mul", &["scaling.scale"]);
    }
    let mut layers = weights.layers.clone();
    if let (Some(last), Some(scaling)) = (layers.last_mut(), target_scaling) {
        // No activation follows the last product, so the targets' own units go into its weights, and readers of the graph need not know about them.
        *last = in_own_units(last, scaling);
    }
    let parameters = network.named_parameters();
    let mut unwritten = parameters.iter().zip(&layers);
    graph.layers(network.layers(), &mut unwritten)?;
    if let Some((Parameter { name, .. }, _)) = unwritten.next() {
        return Err(Error::Option(format!(
            "the layer {name} is no part of the graph: this kind of layer cannot be exported"
        )));
    }
    let output = graph.end(loss, softmax)?;
    graph.proto.input = vec![rows("x", network.inputs())];
    graph.proto.output = vec![rows(output, network.outputs())];

    let mut about = serde_json::json!({ "version": env!("CARGO_PKG_VERSION"), "loss": loss_to_json(loss) });
    // Of every layer, each before those within it.
    let mut rates = Vec::new();
    network.walk(&mut |placed| rates.push(placed.layer.dropout()));
    if rates.iter().any(|&rate| rate > 0.0) {
        about["dropout"] = rates.into();
    }
    if !classes.is_empty() {
        about["classes"] = classes.clone().into();
    }
    Ok(ModelProto {
        ir_version: IR_VERSION,
        producer_name: "wgrad".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        graph: Some(graph.proto),
        opset_import: vec![OperatorSetId { domain: String::new(), version: OPSET }],
        metadata_props: vec![StringStringEntry { key: METADATA.into(), value: about.to_string() }],
    })
}

fn not_yet(what: &str) -> Error {
    Error::Option(format!("{what} cannot be exported to ONNX yet"))
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
}

/// The weights of dense layers that have not been written yet, with their names.
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

    /// Applies layers that follow each other.
    fn layers(&mut self, layers: &[Layer], weights: &mut Weights<'_>) -> Result<(), Error> {
        for layer in layers {
            match layer.kind() {
                LayerKind::Dense(_) => self.dense(weights)?,
                LayerKind::Residual(residual) => self.residual(residual, weights)?,
                _ => return Err(not_yet(&format!("a layer of the kind {}", layer.word()))),
            }
            self.activation(layer.activation())?;
        }
        Ok(())
    }

    fn dense(&mut self, weights: &mut Weights<'_>) -> Result<(), Error> {
        let (Parameter { name, .. }, own) =
            weights.next().ok_or_else(|| Error::Data("the network has more dense layers than weights".into()))?;
        if own.bias.is_empty() {
            return Err(not_yet(&format!("the dense layer {name}, which has no bias,")));
        }
        let [weight, bias] = ["weight", "bias"].map(|part| format!("{name}.{part}"));
        self.tensor(&weight, &[own.outputs, own.inputs], &own.weight);
        self.tensor(&bias, &[own.outputs], &own.bias);
        self.then("Gemm", &[&weight, &bias]).attribute.push(integer("transB", 1));
        Ok(())
    }

    fn residual(&mut self, residual: &ResidualLayer, weights: &mut Weights<'_>) -> Result<(), Error> {
        let input = self.last.clone();
        self.layers(&residual.body, weights)?;
        let body = std::mem::replace(&mut self.last, input);
        self.layers(&residual.shortcut, weights)?;
        // The body is the first operand, so that a reader can tell it from a shortcut of as many layers.
        let shortcut = std::mem::replace(&mut self.last, body);
        self.then("Add", &[&shortcut]);
        Ok(())
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

    /// Applies an operator to the last tensor and a number.
    fn with(&mut self, op: &str, number: f32) {
        let name = number.to_string();
        if self.proto.initializer.iter().all(|tensor| tensor.name != name) {
            self.tensor(&name, &[], &[number]);
        }
        self.then(op, &[&name]);
    }

    fn activation(&mut self, activation: Activation) -> Result<(), Error> {
        let z = self.last.clone();
        match activation {
            Activation::Identity => {}
            Activation::Relu => drop(self.then("Relu", &[])),
            Activation::LeakyRelu => self.then("LeakyRelu", &[]).attribute.push(float("alpha", 0.01)),
            Activation::Elu => self.then("Elu", &[]).attribute.push(float("alpha", 1.0)),
            Activation::Tanh => drop(self.then("Tanh", &[])),
            Activation::Sigmoid => drop(self.then("Sigmoid", &[])),
            Activation::Softplus => drop(self.then("Softplus", &[])),
            Activation::Silu => {
                self.then("Sigmoid", &[]);
                self.then("Mul", &[&z]);
            }
            Activation::Gelu => {
                self.with("Mul", std::f32::consts::FRAC_1_SQRT_2);
                self.then("Erf", &[]);
                self.half_of_one_more(&z);
            }
            Activation::GeluTanh => {
                self.then("Mul", &[&z]);
                self.then("Mul", &[&z]);
                self.with("Mul", 0.044715);
                self.then("Add", &[&z]);
                self.with("Mul", (2.0 / std::f32::consts::PI).sqrt());
                self.then("Tanh", &[]);
                self.half_of_one_more(&z);
            }
            Activation::Custom(own) => {
                return Err(Error::Option(format!(
                    "the activation {} is one of your own, which ONNX has no operator for: only built-in ones are exported",
                    own.name
                )));
            }
        }
        Ok(())
    }

    /// `y = ½ z (1 + y)`
    fn half_of_one_more(&mut self, z: &str) {
        self.with("Add", 1.0);
        self.then("Mul", &[z]);
        self.with("Mul", 0.5);
    }
}

/// An input or output of any number of rows, each of `width` f32 values.
fn rows(name: &str, width: usize) -> ValueInfo {
    let dim = |size| Dimension { size: Some(size) };
    let shape = Shape { dim: vec![dim(Size::Name("batch".into())), dim(Size::Value(width as i64))] };
    let tensor_type = TensorType { elem_type: DataType::Float.into(), shape: Some(shape) };
    ValueInfo { name: name.into(), kind: Some(TypeProto { tensor_type: Some(tensor_type) }) }
}

fn integer(name: &str, i: i64) -> Attribute {
    Attribute { name: name.into(), i, kind: AttributeType::Int.into(), ..Attribute::default() }
}

fn float(name: &str, f: f32) -> Attribute {
    Attribute { name: name.into(), f, kind: AttributeType::Float.into(), ..Attribute::default() }
}
