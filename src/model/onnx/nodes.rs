//! Interprets the nodes of a graph, one after the other, by their effect on the tensors before them. A node that is not understood is an error only
//! where the model's output needs it.

use std::collections::HashMap;
use std::rc::Rc;

use super::constant::Constant;
use super::elementwise::{self, Samples};
use super::features::Features;
use super::folding::folded;
use super::layers::{Layer, joins};
use super::layout::Layout;
use super::limits::{FITS, PADDED, Place, TOKENS, short};
use super::proto::{Attributes, GraphProto, NodeProto, ValueInfo};
use super::shape::{self, Sizes};
use super::value::{Form, Names, Rows, Value, What, activation, cast, constant, is_sum, sizes, spread};
use crate::activation::Activation;
use crate::network::Form as Image;

pub(super) fn is_standard(domain: &str) -> bool {
    domain.is_empty() || domain == "ai.onnx"
}

/// The domain of ONNX' operators for machine learning, to which scikit-learn's models are exported.
const LEARNING: &str = "ai.onnx.ml";

/// The part of the graph that has been understood.
pub(super) struct Nodes<'a> {
    values: HashMap<&'a str, Value<'a>>,
    pub layers: Vec<Layer<'a>>,
    /// The number of rows that the graph is made for, if it is fixed.
    pub rows: Option<i64>,
    /// The number of values that may still be read.
    pub room: usize,
}

impl<'a> Nodes<'a> {
    pub fn begin(graph: &'a GraphProto, room: usize) -> Result<Self, String> {
        let mut values = HashMap::new();
        for tensor in &graph.initializer {
            if values.insert(tensor.name.as_str(), Value::Constant(Constant::tensor(tensor))).is_some() {
                return Err(format!("it has two tensors \"{}\"", short(&tensor.name)));
            }
        }
        // Before IR version 4, initializers were inputs too.
        let inputs: Vec<&ValueInfo> =
            graph.input.iter().filter(|input| !values.contains_key(input.name.as_str())).collect();
        let &[input] = inputs.as_slice() else {
            return Err(format!("its graph has {} inputs: it must have one, rows [batch, features]", inputs.len()));
        };
        let (features, rows) = Features::of(input)?;
        values.insert(input.name.as_str(), Value::Features(features));
        Ok(Nodes { values, layers: Vec::new(), rows, room })
    }

    /// The meaning of a tensor, if a node outputs it.
    pub fn value(&self, name: &str) -> Option<&Value<'a>> {
        self.values.get(name)
    }

    /// Interprets the next node; a node that is not understood makes its outputs unknown.
    pub fn take(&mut self, at: usize, node: &'a NodeProto) -> Result<(), String> {
        let place = Place { at, node };
        let say = |reason: String| place.say(&reason);
        let mut inputs: Vec<Value<'a>> = node.input.iter().map(|name| self.input(name)).collect();
        if makes_layer(&node.op_type, &inputs) {
            for (name, value) in node.input.iter().zip(&mut inputs) {
                *value = self.settled(place, value.clone()).map_err(say)?;
                // Later nodes take it as it is now.
                if let Value::Rows(_) = value {
                    self.values.insert(name, value.clone());
                }
            }
        }
        let known = match inputs.iter().find(|input| matches!(input, Value::Unknown(_))) {
            Some(Value::Unknown(reason)) if reason.is_empty() => {
                let missing =
                    node.input.iter().find(|name| !name.is_empty() && !self.values.contains_key(name.as_str()));
                let missing = short(missing.map_or("", String::as_str));
                Value::Unknown(
                    say(format!(
                        "it takes a tensor \"{missing}\", which is no input or weight, and which no node before it gives"
                    ))
                    .into(),
                )
            }
            Some(unknown) => unknown.clone(),
            None => {
                // Absent inputs at the end need not be listed.
                let given = inputs.iter().rposition(|input| !matches!(input, Value::Absent)).map_or(0, |last| last + 1);
                let made = self.apply(place, &inputs[..given]);
                made.unwrap_or_else(|reason| Value::Unknown(self.blamed(place, &inputs, reason).into()))
            }
        };
        let Some((first, others)) = node.output.split_first() else { return Err(say("it has no output".into())) };
        let other: Rc<str> = say("its second output is not read".into()).into();
        let all = std::iter::once((first, known));
        for (name, value) in all.chain(others.iter().map(|name| (name, Value::Unknown(other.clone())))) {
            if !name.is_empty() && self.values.insert(name, value).is_some() {
                return Err(say(format!("it outputs \"{}\", which already exists", short(name))));
            }
        }
        Ok(())
    }

    /// What is wrong with a node. Where it takes what is no activation of a layer, that is the fault of the node that made it, whose name the reason has.
    fn blamed(&self, place: Place<'_>, inputs: &[Value<'_>], reason: String) -> String {
        let is_of_input = |input: &Value<'_>| match input {
            Value::Rows(Rows { layer, what: What::Units(function) | What::Padded(function, _), .. }) => {
                activation(&self.layers[*layer], function).is_err_and(|own| own == reason)
            }
            _ => false,
        };
        if inputs.iter().any(is_of_input) { reason } else { place.say(&reason) }
    }

    /// A node's input. An input that no node outputs is unknown, without a reason.
    fn input(&self, name: &str) -> Value<'a> {
        match self.values.get(name) {
            _ if name.is_empty() => Value::Absent,
            Some(value) => value.clone(),
            None => Value::Unknown("".into()),
        }
    }

    fn apply(&mut self, place: Place<'a>, inputs: &[Value<'a>]) -> Result<Value<'a>, String> {
        let node = place.node;
        let given = Attributes(&node.attribute);
        if node.domain == LEARNING {
            return learned(&node.op_type, given, inputs);
        }
        if !is_standard(&node.domain) {
            return Err(format!("it is an operator of {}: {FITS}", short(&node.domain)));
        }
        if let Some(made) = folded(&node.op_type, given, inputs) {
            return Ok(Value::Constant(made));
        }
        if let Some(made) = self.moment_operator(place, inputs).or_else(|| self.image_operator(place, inputs)) {
            return made;
        }
        match (node.op_type.as_str(), inputs) {
            ("Constant", []) => constant(given.0),
            ("Identity", [value]) => Ok(value.clone()),
            ("Dropout", [value, rest @ ..]) => dropout(value, rest.get(1)),
            ("Cast", [value]) => cast(value, given.integer("to", 0)),
            ("Shape", [value]) => self.shape(value, given),
            ("ConstantOfShape" | "Expand", _) => spread(&node.op_type, given, inputs),
            ("Reshape" | "Flatten" | "Squeeze" | "Unsqueeze" | "Transpose", [value, rest @ ..])
                if !matches!(value, Value::Sizes(_)) =>
            {
                self.reshaped(&node.op_type, given, value, rest.first())
            }
            ("Gather", [Value::Constant(_), Value::Features(_)]) => Err(TOKENS.into()),
            ("Gemm", [input, Value::Constant(weight), rest @ ..]) => self.gemm(place, input, weight, rest),
            ("MatMul", [input, Value::Constant(weight)]) => self.multiplied(place, input, weight),
            ("Add", [Value::Rows(rows), Value::Constant(bias)] | [Value::Constant(bias), Value::Rows(rows)])
                if self.product(rows).is_some() =>
            {
                self.biased(rows, bias)
            }
            ("Add" | "Sum", [first, rest @ ..]) if is_sum(inputs) => self.sums(place, first, rest),
            ("Softmax" | "LogSoftmax", [Value::Rows(rows @ Rows { what: What::Units(function), form, .. })])
                if form.is_matrix() && function.is_identity() && [1, -1].contains(&given.integer("axis", -1)) =>
            {
                Ok(Value::Rows(Rows { what: What::Softmax, ..rows.clone() }))
            }
            ("Log", [Value::Rows(rows @ Rows { what: What::Softmax, .. })]) => Ok(Value::Rows(rows.clone())),
            ("ArgMax", [Value::Rows(rows)]) => {
                let (axis, dims) = (given.integer("axis", 0), rows.form.layout().map_or(0, Layout::dims));
                match rows.form.is_matrix() && shape::place(axis, dims) == Some(1) {
                    true => Ok(Value::Label(rows.clone(), None)),
                    false => Err(format!(
                        "its axis is {axis}: a class is chosen among the values of each row of [batch, values], along axis 1"
                    )),
                }
            }
            ("Concat", [Value::Rows(no), Value::Rows(yes)])
                if [1, -1].contains(&given.integer("axis", 0)) && self.are_both_classes(no, yes) =>
            {
                Ok(Value::Rows(Rows { what: What::BothClasses, ..yes.clone() }))
            }
            _ => self.computed(place, inputs),
        }
    }

    /// What an operator makes of each value.
    fn computed(&mut self, place: Place<'a>, inputs: &[Value<'a>]) -> Result<Value<'a>, String> {
        let given = Attributes(&place.node.attribute);
        let of_channels = match inputs {
            [Value::Rows(rows), Value::Constant(constant)] => self.affine(place, rows, constant, false)?,
            [Value::Constant(constant), Value::Rows(rows)] => self.affine(place, rows, constant, true)?,
            _ => None,
        };
        if let Some(made) = of_channels {
            return Ok(made);
        }
        match (place.node.op_type.as_str(), inputs) {
            (op, [Value::Features(features), Value::Constant(constant)]) => {
                features.with(op, constant, false).map(Value::Features)
            }
            (op, [Value::Constant(constant), Value::Features(features)]) => {
                features.with(op, constant, true).map(Value::Features)
            }
            (op, operands) => {
                let sizes: Option<Vec<Sizes>> = operands.iter().map(sizes).collect();
                let attribute = |name: &str| given.integers(name);
                if let Some(made) = sizes.and_then(|sizes| Sizes::apply(op, &sizes, &attribute)) {
                    return Ok(Value::Sizes(made));
                }
                self.elementwise(place, operands)
            }
        }
    }

    /// Adds a layer, and returns its units, which lie so.
    pub(super) fn add(&mut self, layer: Layer<'a>, layout: Layout) -> Result<Value<'a>, String> {
        self.layers.push(layer);
        let what = What::Units(Samples::identity());
        Ok(Value::Rows(Rows { layer: self.layers.len() - 1, what, form: Form::Of(layout) }))
    }

    /// The number of values in each row.
    pub(super) fn width(&self, rows: &Rows) -> usize {
        match rows.what {
            What::BothClasses => 2,
            What::Units(_) | What::Padded(..) | What::Softmax => self.layers[rows.layer].outputs(),
        }
    }

    /// Whether these are 1 - p and p, of one unit's sigmoid.
    fn are_both_classes(&self, no: &Rows, yes: &Rows) -> bool {
        let one = |rows: &Rows| rows.form.is_matrix() && self.width(rows) == 1 && rows.layer == no.layer;
        let (What::Units(of_no), What::Units(of_yes)) = (&no.what, &yes.what) else { return false };
        one(no) && one(yes) && of_no.is_sigmoid_of_minus() && of_yes.activation() == Some(Activation::Sigmoid)
    }

    /// A function of a layer's units, or of numbers.
    fn elementwise(&mut self, place: Place<'a>, operands: &[Value<'a>]) -> Result<Value<'a>, String> {
        let (op, given, names) = (place.node.op_type.as_str(), Attributes(&place.node.attribute), &place.node.input);
        let mut of: Option<(&Rows, &str)> = None;
        for (operand, name) in operands.iter().zip(names) {
            let Value::Rows(rows) = operand else { continue };
            let (first, first_name) = *of.get_or_insert((rows, name));
            if first.layer != rows.layer {
                let layers = [first, rows].map(|rows| self.layers.get(rows.layer));
                let joined = joins([first_name, name], layers);
                return Err(match op {
                    "Add" | "Sum" => format!("{joined}: {FITS}"),
                    _ => format!("{joined}, and a model joins two tensors by Add alone: {FITS}"),
                });
            }
            if first.form != rows.form || rows.form == Form::Beneath {
                return Err(FITS.into());
            }
        }
        let layout = of.and_then(|(rows, _)| rows.form.layout());
        let width = layout.map_or(1, Layout::last);
        let mut functions = Vec::new();
        for operand in operands {
            functions.push(match operand {
                // The result would have its dimensions.
                Value::Constant(constant) if layout.is_some_and(|layout| constant.rank() > layout.dims()) => {
                    return Err("a constant has more dimensions than the tensor that it is joined with".into());
                }
                Value::Constant(constant) => {
                    let one = constant.scalar(width, self.rows, &mut self.room)?;
                    Some(Samples::constant(one.ok_or_else(|| self.several(op, constant, of.map(|(rows, _)| rows)))?))
                }
                Value::Rows(Rows { what: What::Units(function), .. }) => Some(function.clone()),
                Value::Absent => None,
                padded if padded.is_padded() => return Err(PADDED.into()),
                _ => return Err(FITS.into()),
            });
        }
        let approximate = given.get("approximate").map_or(&[][..], |attribute| &attribute.s);
        let number = |name: &str, default| f64::from(given.number(name, default));
        let function = elementwise::operator(op, &functions, &number, approximate).ok_or(FITS)?;
        let function = function.made_by(place, &elementwise::numbers(op, &functions, &number), &functions);
        match of {
            Some((rows, _)) => Ok(Value::Rows(Rows { what: What::Units(function), ..rows.clone() })),
            None => function.value().map(|value| Value::Constant(Constant::number(value as f32))).ok_or(FITS.into()),
        }
    }

    /// What is wrong with a constant of several values that an operator joins with a tensor.
    fn several(&self, op: &str, constant: &Constant<'_>, rows: Option<&Rows>) -> String {
        let image = rows.and_then(|rows| match self.layers[rows.layer].form() {
            Image::Image(image) => Some((image, rows.form.layout()?.channels(image))),
            _ => None,
        });
        let (Some((image, channels)), Ok(dims)) = (image, constant.dims()) else { return FITS.into() };
        let each = match channels.picked(&dims) {
            Some(picked) if picked.len() == image.channels as usize => "channel",
            _ if dims.iter().product::<usize>() < image.pixels() as usize => "row or column",
            _ => "pixel",
        };
        let (does, right) = match op {
            "Add" => ("adds a constant", "be one, or one for each channel"),
            "Sub" => ("subtracts a constant", "be one, or one for each channel, and come second"),
            "Mul" => ("multiplies by a constant", "be one, or one for each channel"),
            "Div" => ("divides by a constant", "be one, or one for each channel, and come second"),
            "PRelu" => ("has a slope", "be 0.01 for all"),
            _ => ("computes with a constant", "be one for all"),
        };
        format!("it {does} for each {each}, in the shape {dims:?}: it must {right}")
    }
}

/// Whether a node makes a layer of what it takes, so that it must be known what that is.
fn makes_layer(op: &str, inputs: &[Value<'_>]) -> bool {
    match op {
        "Conv" | "Gemm" | "MatMul" | "MaxPool" | "AveragePool" | "GlobalAveragePool" | "ReduceMean" | "Pad" => true,
        "BatchNormalization"
        | "InstanceNormalization"
        | "GroupNormalization"
        | "LayerNormalization"
        | "RMSNormalization" => true,
        "Add" | "Sum" => is_sum(inputs),
        _ => false,
    }
}

/// Dropout leaves values as they are, unless it is told to drop some as in training.
fn dropout<'a>(value: &Value<'a>, training: Option<&Value<'a>>) -> Result<Value<'a>, String> {
    match training {
        None | Some(Value::Absent) => Ok(value.clone()),
        Some(Value::Constant(training)) if training.flag() == Some(false) => Ok(value.clone()),
        Some(_) => Err("it drops values as in training, where training_mode is true: export the model for inference, \
                        in PyTorch after net.eval()"
            .into()),
    }
}

/// The operators of scikit-learn's exported models: a scaling before the layers, and the most likely class and the class names after them.
fn learned<'a>(op: &str, given: Attributes<'a>, inputs: &[Value<'a>]) -> Result<Value<'a>, String> {
    match (op, inputs) {
        ("Scaler", [Value::Features(features)]) => {
            features.scaled(given.numbers("offset"), given.numbers("scale")).map(Value::Features)
        }
        ("ZipMap", [Value::Rows(rows)]) => {
            let names = given.get("classlabels_strings").filter(|names| !names.strings.is_empty());
            let names = names.or_else(|| given.get("classlabels_int64s"));
            let names = names.ok_or("it has no classlabels_strings and no classlabels_int64s")?;
            Ok(Value::Named(rows.clone(), Names::Attribute(names)))
        }
        ("ArrayFeatureExtractor", [Value::Constant(names), Value::Label(rows, None)]) => {
            Ok(Value::Label(rows.clone(), Some(Names::Constant(names.clone()))))
        }
        ("Binarizer", [Value::Rows(rows)]) => Ok(Value::Label(rows.clone(), None)),
        _ => Err(format!("{op} of {LEARNING} is not read there: {FITS}")),
    }
}
