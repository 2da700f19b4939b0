//! The networks that the peers train.

use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::pool::{MaxPool2d, MaxPool2dConfig};
use burn::nn::{Dropout, DropoutConfig, Initializer, Linear, LinearConfig};
use burn::prelude::*;
use burn::tensor::activation::relu;

/// Weights as Keras begins them; biases begin at 0.
const GLOROT: Initializer = Initializer::XavierUniform { gain: 1.0 };

#[derive(Module, Debug)]
pub enum Network {
    Dense(Dense),
    Convnet(Convnet),
}

/// 784-256-10.
#[derive(Module, Debug)]
pub struct Dense {
    hidden: Linear,
    out: Linear,
}

/// Keras' convnet for MNIST.
#[derive(Module, Debug)]
pub struct Convnet {
    first: Conv2d,
    second: Conv2d,
    pool: MaxPool2d,
    dropout: Dropout,
    out: Linear,
}

impl Network {
    pub fn new(name: &str, device: &Device) -> Self {
        match name {
            "dense" => Network::Dense(Dense { hidden: linear(784, 256, device), out: linear(256, 10, device) }),
            "convnet" => Network::Convnet(Convnet {
                first: conv(1, 32, device),
                second: conv(32, 64, device),
                pool: MaxPool2dConfig::new([2, 2]).init(),
                dropout: DropoutConfig::new(0.5).init(),
                out: linear(1600, 10, device),
            }),
            _ => panic!("--network dense or convnet"),
        }
    }

    pub fn forward(&self, rows: Tensor<2>) -> Tensor<2> {
        match self {
            Network::Dense(Dense { hidden, out }) => out.forward(relu(hidden.forward(rows))),
            Network::Convnet(Convnet { first, second, pool, dropout, out }) => {
                let [batch, _] = rows.dims();
                let images = pool.forward(relu(first.forward(rows.reshape([batch, 1, 28, 28]))));
                let images = pool.forward(relu(second.forward(images)));
                out.forward(dropout.forward(images.flatten(1, 3)))
            }
        }
    }
}

fn linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    let mut layer = LinearConfig::new(inputs, outputs).with_initializer(GLOROT).init(device);
    layer.bias = Some(Initializer::Zeros.init([outputs], device));
    layer
}

/// A convolution of 3 × 3, without padding.
fn conv(inputs: usize, outputs: usize, device: &Device) -> Conv2d {
    let config = Conv2dConfig::new([inputs, outputs], [3, 3]).with_bias(false).with_initializer(GLOROT);
    let mut layer = config.init(device);
    layer.bias = Some(Initializer::Zeros.init([outputs], device));
    layer
}
