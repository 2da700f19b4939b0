//! The benchmark workloads in burn, on its wgpu backend: data uploaded a hundred batches at a time, a step a host call.
//!
//!     peer-burn --data FOLDER [--network dense|convnet] [--batch 32] [--seconds 5]

mod network;

use std::path::Path;

use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::prelude::*;

use network::Network;
use peer_burn::{Random, Timing, option};

/// The number of batches in an upload: all 60,000 rows (188 MB in f32) are more than lavapipe binds (128 MiB).
const CHUNK: usize = 100;
struct Rows {
    images: Vec<f32>,
    labels: Vec<i32>,
    device: Device,
    batch: usize,
    random: Random,
    order: Vec<usize>,
    at: usize,
    chunk: Option<(Tensor<2>, Tensor<1, Int>)>,
}

impl Rows {
    fn read(folder: &str, batch: usize, device: Device) -> Self {
        let read = |name: &str, header| {
            std::fs::read(Path::new(folder).join(name)).expect("MNIST, unpacked, in --data").split_off(header)
        };
        let images = read("train-images-idx3-ubyte", 16).into_iter().map(|byte| f32::from(byte) / 255.0).collect();
        let labels: Vec<_> = read("train-labels-idx1-ubyte", 8).into_iter().map(i32::from).collect();
        let order = (0..labels.len()).collect();
        Self { images, labels, device, batch, random: Random::default(), order, at: 0, chunk: None }
    }

    /// The next batch of a shuffled epoch; what does not fill a batch is left out.
    fn next(&mut self) -> (Tensor<2>, Tensor<1, Int>) {
        let steps = self.labels.len() / self.batch;
        let step = self.at % steps;
        if step == 0 {
            for i in (1..self.order.len()).rev() {
                let j = (self.random.draw() % (i as u64 + 1)) as usize;
                self.order.swap(i, j);
            }
        }
        if step % CHUNK == 0 {
            let rows = &self.order[step * self.batch..(step + CHUNK).min(steps) * self.batch];
            let images = rows.iter().flat_map(|&row| &self.images[row * 784..][..784]).copied().collect::<Vec<_>>();
            let labels = rows.iter().map(|&row| self.labels[row]).collect::<Vec<_>>();
            let images = Tensor::from_data(TensorData::new(images, [rows.len(), 784]), &self.device);
            self.chunk = Some((images, Tensor::from_data(TensorData::new(labels, [rows.len()]), &self.device)));
        }
        self.at += 1;
        let (images, labels) = self.chunk.clone().expect("uploaded at step 0");
        let first = step % CHUNK * self.batch;
        let rows = first..first + self.batch;
        (images.slice([rows.clone()]), labels.slice([rows]))
    }
}

fn main() {
    let batch = option("--batch").map_or(32, |word| word.parse().expect("--batch N"));
    let network = option("--network").unwrap_or("dense".into());
    let (warm_up, probe) = if network == "dense" { (60, 25) } else { (20, 8) };

    let inner = Device::wgpu(Default::default());
    inner.seed(0);
    let device = inner.clone().autodiff();
    let mut rows = Rows::read(&option("--data").expect("--data FOLDER"), batch, inner);
    let mut model = Network::new(&network, &device);
    let mut optimizer = AdamConfig::new().with_epsilon(1e-7).init();
    let cross_entropy: CrossEntropyLoss = CrossEntropyLossConfig::new().init(&device);

    Timing { batch, warm_up, probe }.report(|| {
        let (images, labels) = rows.next();
        let loss = cross_entropy.forward(model.forward(images.autodiff()), labels.autodiff());
        let gradients = GradientsParams::from_grads(loss.backward(), &model);
        model = optimizer.step(1e-3, model.clone(), gradients);
        loss.without_autodiff()
    });
}
