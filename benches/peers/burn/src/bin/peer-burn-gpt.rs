//! The network of examples/gpt.toml in burn, on its wgpu backend: what a step takes.
//!
//!     peer-burn-gpt --data FOLDER [--seconds 5]
//!
//! Differences: burn clips each tensor by its own norm, which is the only clipping that it has; its attention has a linear layer each for queries, keys and
//! values; and the learning rate stays at its highest.

use burn::grad_clipping::GradientClippingConfig;
use burn::nn::attention::{MhaInput, MultiHeadAttention, MultiHeadAttentionConfig};
use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::nn::{Embedding, EmbeddingConfig, Initializer, LayerNorm, LayerNormConfig, Linear, LinearConfig};
use burn::optim::{AdamWConfig, GradientsParams};
use burn::prelude::*;
use burn::tensor::activation::gelu;
use peer_burn::{Random, Timing, option};

const LAYERS: usize = 4;
const HEADS: usize = 4;
const WIDTH: usize = 128;
const CONTEXT: usize = 64;
const BATCH: usize = 12;
const GPT2: Initializer = Initializer::Normal { mean: 0.0, std: 0.02 };

#[derive(Module, Debug)]
struct Block {
    before_attention: LayerNorm,
    attention: MultiHeadAttention,
    before_units: LayerNorm,
    up: Linear,
    down: Linear,
}

impl Block {
    fn new(device: &Device) -> Self {
        let attention = MultiHeadAttentionConfig::new(WIDTH, HEADS).with_dropout(0.0).with_initializer(GPT2);
        Self {
            before_attention: LayerNormConfig::new(WIDTH).init(device),
            attention: attention.init(device),
            before_units: LayerNormConfig::new(WIDTH).init(device),
            up: linear(WIDTH, 4 * WIDTH, device),
            down: linear(4 * WIDTH, WIDTH, device),
        }
    }

    fn forward(&self, x: Tensor<3>, mask: Tensor<3, Bool>) -> Tensor<3> {
        let attended = MhaInput::self_attn(self.before_attention.forward(x.clone())).mask_attn(mask);
        let x = x + self.attention.forward(attended).context;
        let units = gelu(self.up.forward(self.before_units.forward(x.clone())));
        x + self.down.forward(units)
    }
}

#[derive(Module, Debug)]
struct Gpt {
    tokens: Embedding,
    places: Embedding,
    blocks: Vec<Block>,
    norm: LayerNorm,
    logits: Linear,
}

impl Gpt {
    fn new(vocabulary: usize, device: &Device) -> Self {
        let embedding = |count| EmbeddingConfig::new(count, WIDTH).with_initializer(GPT2).init(device);
        Self {
            tokens: embedding(vocabulary),
            places: embedding(CONTEXT),
            blocks: (0..LAYERS).map(|_| Block::new(device)).collect(),
            norm: LayerNormConfig::new(WIDTH).init(device),
            logits: linear(WIDTH, vocabulary, device),
        }
    }

    /// Of `[batch, context]` tokens, the logits `[batch · context, vocabulary]`.
    fn forward(&self, tokens: Tensor<2, Int>, places: Tensor<2, Int>, mask: Tensor<3, Bool>) -> Tensor<2> {
        let mut x = self.tokens.forward(tokens) + self.places.forward(places);
        for block in &self.blocks {
            x = block.forward(x, mask.clone());
        }
        self.logits.forward(self.norm.forward(x)).flatten(0, 1)
    }
}

fn linear(inputs: usize, outputs: usize, device: &Device) -> Linear {
    let mut layer = LinearConfig::new(inputs, outputs).with_initializer(GPT2).init(device);
    layer.bias = Some(Initializer::Zeros.init([outputs], device));
    layer
}

/// The text as numbers of its characters.
struct Text {
    tokens: Vec<i32>,
    vocabulary: usize,
    random: Random,
}

impl Text {
    fn read(folder: &str) -> Self {
        let path = std::path::Path::new(folder).join("plays.txt");
        let text = std::fs::read_to_string(path).expect("the plays, unpacked, in --data");
        let mut known: Vec<_> = text.chars().collect();
        known.sort_unstable();
        known.dedup();
        let number = |one| known.binary_search(&one).expect("a character of the text") as i32;
        let all: Vec<_> = text.chars().map(number).collect();
        // The last tenth is for validation.
        let tokens = all[..all.len() - all.len() / 10].to_vec();
        Self { tokens, vocabulary: known.len(), random: Random::default() }
    }

    /// A minibatch: rows of the context, and the token that follows each of theirs.
    fn next(&mut self, device: &Device) -> (Tensor<2, Int>, Tensor<1, Int>) {
        let (mut x, mut y) = (vec![], vec![]);
        for _ in 0..BATCH {
            let first = (self.random.draw() % (self.tokens.len() - CONTEXT) as u64) as usize;
            x.extend_from_slice(&self.tokens[first..][..CONTEXT]);
            y.extend_from_slice(&self.tokens[first + 1..][..CONTEXT]);
        }
        let x = Tensor::from_data(TensorData::new(x, [BATCH, CONTEXT]), device);
        (x, Tensor::from_data(TensorData::new(y, [BATCH * CONTEXT]), device))
    }
}

fn main() {
    let inner = Device::wgpu(Default::default());
    inner.seed(0);
    let device = inner.clone().autodiff();
    let mut text = Text::read(&option("--data").expect("--data FOLDER"));
    let mut model = Gpt::new(text.vocabulary, &device);
    let mut optimizer = AdamWConfig::new()
        .with_beta_2(0.99)
        .with_epsilon(1e-8)
        .with_weight_decay(0.1)
        .with_grad_clipping(Some(GradientClippingConfig::Norm(1.0)))
        .init();
    let cross_entropy: CrossEntropyLoss = CrossEntropyLossConfig::new().init(&device);
    let places = Tensor::<1, Int>::arange(0..CONTEXT as i64, &device).unsqueeze();
    // What a place does not look at.
    let mask = Tensor::<2, Bool>::tril_mask([CONTEXT, CONTEXT], 0, &device).expand([BATCH, CONTEXT, CONTEXT]);

    Timing { batch: BATCH, warm_up: 20, probe: 8 }.report(|| {
        let (x, y) = text.next(&inner);
        let logits = model.forward(x.autodiff(), places.clone(), mask.clone());
        let loss = cross_entropy.forward(logits, y.autodiff());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(1e-3, model.clone(), gradients);
        loss.without_autodiff()
    });
}
