//! What each layer is in a graph. Images have their channels first, as in PyTorch: `[batch, channels, height, width]`.

use super::{Graph, Weights, float, integer, integers};
use crate::activation::Activation;
use crate::error::Error;
use crate::layout::{Image, Sequence};
use crate::model::tensors::in_file;
use crate::network::{BatchNormLayer, ConvLayer, Form, GroupNormLayer, Layer, LayerKind, Parameter, ResidualLayer};
use crate::weights::LayerWeights;

impl Graph {
    /// Applies layers that follow each other to what has a form, and gives the form of what comes out.
    pub(super) fn layers(&mut self, layers: &[Layer], input: Form, weights: &mut Weights<'_>) -> Result<Form, Error> {
        layers.iter().try_fold(input, |input, layer| {
            self.layer(layer, input, weights)?;
            self.activation(layer.activation())?;
            Ok(layer.output(input))
        })
    }

    fn layer(&mut self, layer: &Layer, input: Form, weights: &mut Weights<'_>) -> Result<(), Error> {
        match layer.kind() {
            LayerKind::Dense(dense) => match input {
                Form::Sequence(_) if dense.tied => self.tied(),
                Form::Sequence(_) => self.each_place(weights),
                _ => self.dense(weights),
            },
            LayerKind::Conv(conv) => self.conv(conv, input, weights),
            LayerKind::MaxPool(pool) => self.pool("MaxPool", pool.window, pool.stride, pool.padding),
            LayerKind::AvgPool(pool) => self.pool("AveragePool", pool.window, pool.stride, pool.padding),
            LayerKind::GlobalAvgPool(_) => {
                if let Form::Sequence(_) = input {
                    self.then("ReduceMean", &[]).attribute.extend([integers("axes", [1]), integer("keepdims", 0)]);
                } else {
                    self.then("GlobalAveragePool", &[]);
                    self.flatten();
                }
                Ok(())
            }
            LayerKind::Flatten(_) => {
                if let Form::Image(_) | Form::Sequence(_) = input {
                    self.flatten();
                }
                Ok(())
            }
            LayerKind::BatchNorm(norm) => self.batch_norm(norm, weights),
            LayerKind::LayerNorm(norm) => self.layer_norm(norm.eps, input, weights),
            LayerKind::RmsNorm(norm) => self.rms_norm(norm.eps, input, weights),
            LayerKind::GroupNorm(norm) => self.group_norm(norm, input, weights),
            LayerKind::Residual(residual) => self.residual(residual, input, weights),
            LayerKind::Repeat(repeat) => {
                (0..repeat.times).try_fold(input, |input, _| self.layers(&repeat.layers, input, weights))?;
                Ok(())
            }
            LayerKind::Embed(embed) => self.embed(embed, input, weights),
            LayerKind::Embedding(_) => self.embedding(weights),
            LayerKind::Positions(positions) => self.positions(positions, sequence(input, "positions")?, weights),
            LayerKind::Attention(attention) => self.attention(attention, sequence(input, "attention")?, weights),
            // Its activation is written as that of any layer is.
            LayerKind::Activation(_) => Ok(()),
            // It has an effect in training alone.
            LayerKind::Dropout(_) => Ok(()),
        }
    }

    fn dense(&mut self, weights: &mut Weights<'_>) -> Result<(), Error> {
        let (parameter, own) = next(weights)?;
        let names = self.parameter(parameter, own, &parameter.shape());
        self.then("Gemm", &strs(&names)).attribute.push(integer("transB", 1));
        Ok(())
    }

    fn conv(&mut self, conv: &ConvLayer, input: Form, weights: &mut Weights<'_>) -> Result<(), Error> {
        let (parameter, own) = next(weights)?;
        let names = self.parameter(parameter, own, &parameter.shape());
        let Form::Image(image) = input else { return Err(no_image("conv")) };
        let pair = |name, pair: [usize; 2]| integers(name, pair.map(|side| side as i64));
        let pads = conv.pads(image).map(|pixels| pixels as i64);
        let attributes = [
            pair("kernel_shape", conv.kernel),
            pair("strides", conv.stride),
            integers("pads", pads),
            pair("dilations", conv.dilation),
            integer("group", conv.groups as i64),
        ];
        self.then("Conv", &strs(&names)).attribute.extend(attributes);
        Ok(())
    }

    fn pool(&mut self, op: &str, window: [usize; 2], stride: [usize; 2], padding: [usize; 2]) -> Result<(), Error> {
        let pair = |name, pair: [usize; 2]| integers(name, pair.map(|side| side as i64));
        let pads = [padding, padding].concat().into_iter().map(|pixels| pixels as i64);
        let attributes = [pair("kernel_shape", window), pair("strides", stride), integers("pads", pads)];
        self.then(op, &[]).attribute.extend(attributes);
        Ok(())
    }

    /// The values of images as features, channel by channel, and those of sequences, place by place.
    fn flatten(&mut self) {
        self.then("Flatten", &[]).attribute.push(integer("axis", 1));
    }

    fn batch_norm(&mut self, norm: &BatchNormLayer, weights: &mut Weights<'_>) -> Result<(), Error> {
        let ((scale, of_scale), (statistics, of_statistics)) = (next(weights)?, next(weights)?);
        let names = [
            self.parameter(scale, of_scale, &scale.shape()),
            self.parameter(statistics, of_statistics, &statistics.shape()),
        ]
        .concat();
        // The share of the running statistics that stays.
        let attributes = [float("epsilon", norm.eps as f32), float("momentum", (1.0 - norm.momentum) as f32)];
        self.then("BatchNormalization", &strs(&names)).attribute.extend(attributes);
        Ok(())
    }

    /// Over the last axis: of an image, its channels, which come last meanwhile.
    fn layer_norm(&mut self, eps: f64, input: Form, weights: &mut Weights<'_>) -> Result<(), Error> {
        let (parameter, own) = next(weights)?;
        let names = self.parameter(parameter, own, &parameter.shape());
        let is_image = matches!(input, Form::Image(_));
        if is_image {
            self.then("Transpose", &[]).attribute.push(integers("perm", [0, 2, 3, 1]));
        }
        let attributes = [integer("axis", -1), float("epsilon", eps as f32)];
        self.then("LayerNormalization", &strs(&names)).attribute.extend(attributes);
        if is_image {
            self.then("Transpose", &[]).attribute.push(integers("perm", [0, 3, 1, 2]));
        }
        Ok(())
    }

    /// RMSNormalization came with opset 23: this is what it is defined by.
    fn rms_norm(&mut self, eps: f64, input: Form, weights: &mut Weights<'_>) -> Result<(), Error> {
        let (parameter, own) = next(weights)?;
        let names = self.parameter(parameter, own, &beside_pixels(parameter, input));
        let x = self.last.clone();
        let axis = if let Form::Sequence(_) = input { 2 } else { 1 };
        self.then("Mul", &[&x]);
        self.then("ReduceMean", &[]).attribute.extend([integers("axes", [axis]), integer("keepdims", 1)]);
        self.with("Add", eps as f32);
        self.then("Sqrt", &[]);
        let root = std::mem::replace(&mut self.last, x);
        self.then("Div", &[&root]);
        self.then("Mul", &strs(&names));
        Ok(())
    }

    /// GroupNormalization came with opset 18, and got another meaning with 21: this is what PyTorch writes, the norm of each group as that of one channel.
    fn group_norm(&mut self, norm: &GroupNormLayer, input: Form, weights: &mut Weights<'_>) -> Result<(), Error> {
        let (parameter, own) = next(weights)?;
        let names = self.parameter(parameter, own, &beside_pixels(parameter, input));
        let name = &parameter.name;
        let [grouped, back, ones, zeros] = ["grouped", "back", "ones", "zeros"].map(|what| format!("{name}.{what}"));
        let sides: Vec<i64> = match input {
            Form::Image(Image { height, width, channels }) => [channels, height, width].map(i64::from).into(),
            _ => vec![input.values() as i64],
        };
        self.list(&grouped, &[0, norm.groups as i64, -1]);
        // 0 stands for the number of samples.
        self.list(&back, &[&[0], &sides[..]].concat());
        self.tensor(&ones, &[norm.groups], &vec![1.0; norm.groups]);
        self.tensor(&zeros, &[norm.groups], &vec![0.0; norm.groups]);
        self.then("Reshape", &[&grouped]);
        self.then("InstanceNormalization", &[&ones, &zeros]).attribute.push(float("epsilon", norm.eps as f32));
        self.then("Reshape", &[&back]);
        for (op, name) in ["Mul", "Add"].into_iter().zip(&names) {
            self.then(op, &[name]);
        }
        Ok(())
    }

    fn residual(&mut self, residual: &ResidualLayer, input: Form, weights: &mut Weights<'_>) -> Result<(), Error> {
        let x = self.last.clone();
        self.layers(&residual.body, input, weights)?;
        let body = std::mem::replace(&mut self.last, x);
        self.layers(&residual.shortcut, input, weights)?;
        // The body is the first operand, by which importers know it where the shortcut has as many layers.
        let shortcut = std::mem::replace(&mut self.last, body);
        self.then("Add", &[&shortcut]);
        Ok(())
    }

    /// The tensors of a parameter, of this shape, the bias of this shape without its inputs: their names.
    pub(super) fn parameter(&mut self, parameter: &Parameter, own: &LayerWeights, dims: &[usize]) -> Vec<String> {
        let [weight, bias] = parameter.tensor_names();
        self.tensor(&weight, dims, &in_file(parameter, &own.weight));
        if !parameter.bias {
            return vec![weight];
        }
        let of_bias = if own.inputs == 1 && dims.len() == 3 { dims } else { &[own.outputs] };
        self.tensor(&bias, of_bias, &own.bias);
        vec![weight, bias]
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

/// The next parameter with its values.
pub(super) fn next<'w>(weights: &mut Weights<'w>) -> Result<(&'w Parameter, &'w LayerWeights), Error> {
    weights.next().ok_or_else(|| Error::Data("the network has more layers with weights than weights".into()))
}

fn strs(names: &[String]) -> Vec<&str> {
    names.iter().map(String::as_str).collect()
}

/// The shape of a norm's parameter that is multiplied with what has a form: one value for each channel.
fn beside_pixels(parameter: &Parameter, input: Form) -> Vec<usize> {
    match input {
        Form::Image(_) => vec![parameter.outputs, 1, 1],
        _ => parameter.shape(),
    }
}

/// The sequence that comes in. A network whose layers fit each other has one there.
fn sequence(input: Form, word: &str) -> Result<Sequence, Error> {
    match input {
        Form::Sequence(sequence) => Ok(sequence),
        _ => Err(Error::Option(format!(
            "a layer of the kind {word} does not take a sequence here: it cannot be exported"
        ))),
    }
}

fn no_image(word: &str) -> Error {
    Error::Option(format!("a layer of the kind {word} does not take an image here: it cannot be exported"))
}
