//! Interprets the nodes of a graph, one after the other, by their effect on the tensors before them. A node that is not understood is an error only
//! where the model's output needs it.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::constant::Constant;
use super::elementwise::{self, Samples};
use super::features::Features;
use super::layers::{Dense, Input, Layer, Sum, joins};
use super::limits::{FITS, Place, short};
use super::proto::{Attributes, GraphProto, NodeProto, ValueInfo};
use super::shape::{self, Shown, Size, Sizes};
use super::value::{Form, Names, Rows, Value, What, activation, cast, constant, sizes};
use crate::activation::Activation;

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
    rows: Option<i64>,
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
        let inputs: Vec<Value<'a>> = node.input.iter().map(|name| self.input(name)).collect();
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
                self.apply(place, &inputs[..given]).unwrap_or_else(|reason| Value::Unknown(say(reason).into()))
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
            ("Gemm", [input, Value::Constant(weight), rest @ ..]) => self.gemm(given, input, weight, rest),
            ("MatMul", [input, Value::Constant(weight)]) => self.multiplied(input, weight),
            ("Add", [Value::Rows(rows), Value::Constant(bias)] | [Value::Constant(bias), Value::Rows(rows)])
                if self.product(rows).is_some() =>
            {
                self.biased(rows, bias)
            }
            ("Add" | "Sum", [first, rest @ ..]) if is_sum(inputs) => self.sums(place, first, rest),
            (
                "Softmax" | "LogSoftmax",
                [Value::Rows(rows @ Rows { what: What::Units(function), form: Form::Matrix, .. })],
            ) if function.is_identity() && [1, -1].contains(&given.integer("axis", -1)) => {
                Ok(Value::Rows(Rows { what: What::Softmax, ..rows.clone() }))
            }
            ("Log", [Value::Rows(rows @ Rows { what: What::Softmax, .. })]) => Ok(Value::Rows(rows.clone())),
            ("ArgMax", [Value::Rows(rows), ..]) => Ok(Value::Label(rows.clone(), None)),
            ("Concat", [Value::Rows(no), Value::Rows(yes)])
                if [1, -1].contains(&given.integer("axis", 0)) && self.are_both_classes(no, yes) =>
            {
                Ok(Value::Rows(Rows { what: What::BothClasses, ..yes.clone() }))
            }
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
                self.elementwise(op, given, operands, &node.input)
            }
        }
    }

    /// A layer's products.
    fn multiplied(&mut self, input: &Value<'a>, weight: &Constant<'a>) -> Result<Value<'a>, String> {
        let layer = self.dense(input, weight, false, 1.0)?;
        self.add(Layer::Dense(layer))
    }

    /// A layer's products with their bias.
    fn biased(&mut self, rows: &Rows, bias: &Constant<'a>) -> Result<Value<'a>, String> {
        let product = self.product(rows).ok_or(FITS)?;
        self.add(Layer::Dense(product.with_bias(bias.clone(), 1.0)?))
    }

    /// The sum of a node's operands, the first with each of the others in turn.
    fn sums(&mut self, place: Place<'a>, first: &Value<'a>, rest: &[Value<'a>]) -> Result<Value<'a>, String> {
        let mut names = place.node.input.iter().map(String::as_str);
        let (first_name, mut sum) = (names.next().unwrap_or_default(), first.clone());
        for (value, name) in rest.iter().zip(names) {
            sum = self.sum(place, [(&sum, first_name), (value, name)])?;
        }
        Ok(sum)
    }

    fn gemm(
        &mut self,
        given: Attributes<'a>,
        input: &Value<'a>,
        weight: &Constant<'a>,
        rest: &[Value<'a>],
    ) -> Result<Value<'a>, String> {
        let bias = match rest {
            [] => None,
            [Value::Constant(bias)] => Some(bias.clone()),
            _ => return Err("its bias is not a constant".into()),
        };
        if given.integer("transA", 0) != 0 {
            return Err("it has transA: rows must be [batch, features]".into());
        }
        let (alpha, beta) = (given.number("alpha", 1.0), given.number("beta", 1.0));
        let layer = self.dense(input, weight, given.integer("transB", 0) != 0, alpha)?;
        self.add(Layer::Dense(match bias {
            Some(bias) => layer.with_bias(bias, beta)?,
            None => layer,
        }))
    }

    /// What a layer takes, and how many dense layers the longest way to it has.
    fn taken(&self, value: &Value<'a>) -> Result<(Input<'a>, usize), String> {
        match value {
            Value::Features(features) => Ok((Input::Features(features.clone()), 0)),
            Value::Rows(Rows { layer, what: What::Units(function), form: Form::Matrix }) => {
                let of = &self.layers[*layer];
                Ok((Input::Layer(*layer, activation(of, function)?), of.number()))
            }
            _ => Err(format!("it does not take what a layer gives: {FITS}")),
        }
    }

    /// A dense layer on top of what it takes.
    fn dense(
        &self,
        input: &Value<'a>,
        weight: &Constant<'a>,
        transposed: bool,
        alpha: f32,
    ) -> Result<Dense<'a>, String> {
        let (input, before) = self.taken(input)?;
        let dense = Dense::new(input, before + 1, weight.clone(), transposed, alpha)?;
        match &dense.input {
            Input::Features(features) => features.check(dense.inputs)?,
            Input::Layer(before, _) if self.layers[*before].outputs() != dense.inputs => {
                let (inputs, outputs) = (dense.inputs, self.layers[*before].outputs());
                return Err(format!("it takes {inputs} values, and the layer before it gives {outputs}"));
            }
            Input::Layer(..) => {}
        }
        Ok(dense)
    }

    /// The sum of two values under these names.
    fn sum(
        &mut self,
        place: Place<'a>,
        [(a, a_name), (b, b_name)]: [(&Value<'a>, &'a str); 2],
    ) -> Result<Value<'a>, String> {
        let names = [a_name, b_name];
        let [(a, of_a), (b, of_b)] = [self.taken(a)?, self.taken(b)?];
        let layers = [a.layer(&self.layers), b.layer(&self.layers)];
        let outputs = match (&a, &b, layers.map(|layer| layer.map_or(0, Layer::outputs))) {
            (Input::Features(features), _, [_, width]) | (_, Input::Features(features), [width, _]) => {
                features.check(width)?;
                width
            }
            (.., [a, b]) if a == b => a,
            (.., [a, b]) => {
                return Err(format!("{} in rows of {a} and {b} values: both must be as many", joins(names, layers)));
            }
        };
        self.add(Layer::Sum(Sum { inputs: [a, b], number: of_a.max(of_b), outputs, place, names }))
    }

    /// Adds a layer, and returns its units.
    fn add(&mut self, layer: Layer<'a>) -> Result<Value<'a>, String> {
        self.layers.push(layer);
        let what = What::Units(Samples::identity());
        Ok(Value::Rows(Rows { layer: self.layers.len() - 1, what, form: Form::Matrix }))
    }

    /// The layer whose products these rows are, if they still lack a bias, so that an Add may supply it.
    fn product(&self, rows: &Rows) -> Option<&Dense<'a>> {
        let untouched = matches!(&rows.what, What::Units(function) if function.is_identity());
        match &self.layers[rows.layer] {
            Layer::Dense(dense) if untouched && rows.form == Form::Matrix && dense.is_bare() => Some(dense),
            _ => None,
        }
    }

    /// The number of values in each row.
    fn width(&self, rows: &Rows) -> usize {
        match rows.what {
            What::BothClasses => 2,
            What::Units(_) | What::Softmax => self.layers[rows.layer].outputs(),
        }
    }

    /// Whether these are 1 - p and p, of one unit's sigmoid.
    fn are_both_classes(&self, no: &Rows, yes: &Rows) -> bool {
        let one = |rows: &Rows| rows.form == Form::Matrix && self.width(rows) == 1 && rows.layer == no.layer;
        let (What::Units(of_no), What::Units(of_yes)) = (&no.what, &yes.what) else { return false };
        one(no) && one(yes) && of_no.is_sigmoid_of_minus() && of_yes.activation() == Some(Activation::Sigmoid)
    }

    /// The shape of a tensor.
    fn dims(&self, value: &Value<'_>) -> Option<Vec<Size>> {
        Some(match value {
            Value::Constant(constant) => constant.dims().ok()?.into_iter().map(|dim| Size::Known(dim as i64)).collect(),
            Value::Features(features) => features.shape.to_vec(),
            Value::Rows(rows) => match rows.form {
                Form::Matrix => vec![Size::Rows, Size::Known(self.width(rows) as i64)],
                Form::List => vec![Size::Rows],
                Form::Beneath => return None,
            },
            _ => return None,
        })
    }

    fn shape(&self, value: &Value<'_>, given: Attributes<'_>) -> Result<Value<'a>, String> {
        let list = self.dims(value).ok_or(FITS)?;
        let length = list.len() as i64;
        let bound = |at: i64| (if at < 0 { at.saturating_add(length) } else { at }).clamp(0, length) as usize;
        let (start, end) = (bound(given.integer("start", 0)), bound(given.integer("end", length)));
        Ok(Value::Sizes(Sizes { list: list[start..end.max(start)].to_vec(), alone: false }))
    }

    /// A tensor in another shape: rows must stay rows, with their values in their order.
    fn reshaped(
        &mut self,
        op: &str,
        given: Attributes<'_>,
        value: &Value<'a>,
        by: Option<&Value<'a>>,
    ) -> Result<Value<'a>, String> {
        // A class keeps its meaning in any shape.
        if let Value::Label(..) = value {
            return Ok(value.clone());
        }
        let from = self.dims(value).ok_or(FITS)?;
        let by = match by {
            None | Some(Value::Absent) => None,
            Some(value) => {
                Some(sizes(value).ok_or("its second input is not a constant, and is not computed from sizes")?.list)
            }
        };
        let axes: Option<Vec<i64>> = match &by {
            Some(by) => by.iter().map(|size| size.number()).collect(),
            None => given.integers("axes"),
        };
        let keeps_zeros = given.integer("allowzero", 0) != 0;
        if let (Value::Constant(constant), "Transpose") = (value, op) {
            return constant.transposed(given.integers("perm").as_deref(), &mut self.room).map(Value::Constant);
        }
        let mut to = by.unwrap_or_default();
        // A graph with a fixed number of rows has that number in its shapes.
        if let (Some(first @ Size::Known(1..)), [Size::Rows, ..]) = (to.first_mut(), from.as_slice())
            && (*first == Size::Known(1) || Some(*first) == self.rows.map(Size::Known))
        {
            *first = Size::Rows;
        }
        if let (Value::Rows(rows), "Reshape", [Size::Known(-1), Size::Known(1)]) = (value, op, to.as_slice())
            && rows.form == Form::Matrix
            && self.width(rows) > 1
        {
            return Ok(Value::Rows(Rows { form: Form::Beneath, ..rows.clone() }));
        }
        let shape = match op {
            "Reshape" => shape::reshaped(&from, &to, keeps_zeros),
            "Flatten" => shape::flattened(&from, given.integer("axis", 1)),
            "Squeeze" => shape::squeezed(&from, axes.as_deref()),
            "Unsqueeze" => axes.and_then(|axes| shape::unsqueezed(&from, &axes)),
            _ => shape::order(given.integers("perm").as_deref(), from.len())
                .filter(|order| shape::keeps_order(order, |dim| from[dim] == Size::Known(1)))
                .map(|order| order.into_iter().map(|dim| from[dim]).collect()),
        };
        shape.and_then(|shape| self.of_shape(value, shape)).ok_or_else(|| {
            format!("it takes a tensor {} and does not leave its rows as they are: {FITS}", Shown(&from))
        })
    }

    /// A tensor in another shape, if its rows are still rows in it.
    fn of_shape(&self, value: &Value<'a>, shape: Vec<Size>) -> Option<Value<'a>> {
        match value {
            Value::Features(features) => features.shaped(shape).map(Value::Features),
            Value::Rows(rows) => {
                let form = match shape.as_slice() {
                    [Size::Rows] => Form::List,
                    &[Size::Rows, size] if size.known() == Some(self.width(rows)) => Form::Matrix,
                    _ => return None,
                };
                Some(Value::Rows(Rows { form, ..rows.clone() }))
            }
            Value::Constant(constant) => constant.reshaped(&shape, true).ok().map(Value::Constant),
            _ => None,
        }
    }

    /// A function of a layer's units, or of numbers.
    fn elementwise(
        &mut self,
        op: &str,
        given: Attributes<'_>,
        operands: &[Value<'a>],
        names: &[String],
    ) -> Result<Value<'a>, String> {
        let mut of: Option<(&Rows, &str)> = None;
        for (operand, name) in operands.iter().zip(names) {
            let Value::Rows(rows) = operand else { continue };
            let (first, first_name) = *of.get_or_insert((rows, name));
            if first.layer != rows.layer {
                let layers = [first, rows].map(|rows| self.layers.get(rows.layer));
                return Err(format!("{}: {FITS}", joins([first_name, name], layers)));
            }
            if first.form != rows.form || rows.form == Form::Beneath {
                return Err(FITS.into());
            }
        }
        let width = of.map_or(1, |(rows, _)| if rows.form == Form::Matrix { self.width(rows) } else { 1 });
        let mut functions = Vec::new();
        for operand in operands {
            functions.push(match operand {
                Value::Constant(constant) => {
                    Some(Samples::constant(constant.scalar(width, self.rows, &mut self.room)?.ok_or(FITS)?))
                }
                Value::Rows(Rows { what: What::Units(function), .. }) => Some(function.clone()),
                Value::Absent => None,
                _ => return Err(FITS.into()),
            });
        }
        let approximate = given.get("approximate").map_or(&[][..], |attribute| &attribute.s);
        let number = |name: &str, default| f64::from(given.number(name, default));
        let function = elementwise::operator(op, &functions, &number, approximate).ok_or(FITS)?;
        match of {
            Some((rows, _)) => Ok(Value::Rows(Rows { what: What::Units(function), ..rows.clone() })),
            None => function.value().map(|value| Value::Constant(Constant::number(value as f32))).ok_or(FITS.into()),
        }
    }
}

/// Whether an Add of these values is a residual sum: they are layers' units and features, and not all of one layer.
fn is_sum(values: &[Value<'_>]) -> bool {
    let layer = |value: &Value<'_>| match value {
        Value::Rows(Rows { what: What::Units(_), form: Form::Matrix, layer }) => Some(Some(*layer)),
        Value::Features(_) => Some(None),
        _ => None,
    };
    let layers: Option<HashSet<Option<usize>>> = values.iter().map(layer).collect();
    layers.is_some_and(|layers| layers.len() > 1)
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

/// A number for every value of a row, or a constant for every row.
fn spread<'a>(op: &str, given: Attributes<'a>, inputs: &[Value<'a>]) -> Result<Value<'a>, String> {
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
