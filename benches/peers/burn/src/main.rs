//! The benchmark workloads in burn, on its wgpu backend: data uploaded a hundred batches at a time, a step a host call.
//!
//!     peer-burn --data FOLDER [--network dense|convnet] [--batch 32] [--seconds 5]

mod network;

use std::path::Path;
use std::time::{Instant, UNIX_EPOCH};

use burn::nn::loss::{CrossEntropyLoss, CrossEntropyLossConfig};
use burn::optim::{AdamConfig, GradientsParams};
use burn::prelude::*;

use network::Network;

/// The number of batches in an upload: all 60,000 rows (188 MB in f32) are more than lavapipe binds (128 MiB).
const CHUNK: usize = 100;
struct Rows {
    images: Vec<f32>,
    labels: Vec<i32>,
    device: Device,
    batch: usize,
    random: u64,
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
        Self { images, labels, device, batch, random: 0, order, at: 0, chunk: None }
    }

    /// SplitMix64.
    fn draw(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.random ^ (self.random >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// The next batch of a shuffled epoch; what does not fill a batch is left out.
    fn next(&mut self) -> (Tensor<2>, Tensor<1, Int>) {
        let steps = self.labels.len() / self.batch;
        let step = self.at % steps;
        if step == 0 {
            for i in (1..self.order.len()).rev() {
                let j = (self.draw() % (i as u64 + 1)) as usize;
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

fn option(name: &str) -> Option<String> {
    std::env::args().skip_while(|word| word != name).nth(1)
}

fn now() -> f64 {
    UNIX_EPOCH.elapsed().expect("a clock past 1970").as_secs_f64()
}

fn main() {
    let started = std::env::var("PEER_STARTED").map_or_else(|_| now(), |word| word.parse().expect("PEER_STARTED"));
    let batch = option("--batch").map_or(32, |word| word.parse().expect("--batch N"));
    let seconds = option("--seconds").map_or(5.0, |word| word.parse().expect("--seconds S"));

    let network = option("--network").unwrap_or("dense".into());
    // Kernels are tuned in the first of these numbers of steps. The second chooses the number of timed steps, and is that of the last steps, whose mean loss
    // is reported.
    let (warm_up, probe) = if network == "dense" { (60, 25) } else { (20, 8) };

    let inner = Device::wgpu(Default::default());
    inner.seed(0);
    let device = inner.clone().autodiff();
    let mut rows = Rows::read(&option("--data").expect("--data FOLDER"), batch, inner);
    let mut model = Network::new(&network, &device);
    let mut optimizer = AdamConfig::new().with_epsilon(1e-7).init();
    let cross_entropy: CrossEntropyLoss = CrossEntropyLossConfig::new().init(&device);

    // Runs `steps` steps, and returns the seconds they took and the last one's loss.
    let mut train = |steps: usize| {
        let begun = Instant::now();
        let mut last = None;
        for _ in 0..steps {
            let (images, labels) = rows.next();
            let loss = cross_entropy.forward(model.forward(images.autodiff()), labels.autodiff());
            let gradients = GradientsParams::from_grads(loss.backward(), &model);
            model = optimizer.step(1e-3, model.clone(), gradients);
            last = Some(loss.without_autodiff());
        }
        let loss = last.expect("a step at least").into_scalar::<f32>();
        (begun.elapsed().as_secs_f64(), loss)
    };

    let (first, _) = train(1);
    let start = now() - started;
    train(warm_up);
    let steps = ((seconds * probe as f64 / train(probe).0) as usize).max(probe);
    let (took, _) = train(steps);
    let loss = (0..probe).map(|_| train(1).1).sum::<f32>() / probe as f32;
    println!(
        "{{\"engine\": \"burn 0.22.1, wgpu\", \"rows_per_second\": {}, \"loss\": {loss}, \
         \"first_step_seconds\": {first}, \"start_seconds\": {start}, \"steps\": {}}}",
        (steps * batch) as f64 / took,
        1 + warm_up + probe + steps + probe,
    );
}
