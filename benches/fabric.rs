//! What other processes cost a step, over links from Ethernet to NVLink: measured over a simulated fabric, and predicted by a model of it up to 1,024 devices.
//!
//! Measured: the least of five rounds of a step of 784-256-10 in minibatches of 512, by 2, 4 and 8 threads that take themselves for processes, over links that hold each message back
//! for as long as a real one would. All threads share this machine's device, so what they compute takes as long for any number of them; only what the links add is looked at.
//! Columns: what the links add to a step; what the model says that they add; their ratio.
//! Predicted: the efficiency T(1) / (P · T(P)) of P devices that share a minibatch, where T is the time that a device takes for its share of the step's operations, at the rate
//! that is assumed below, and for its launches, and what the links add. Nothing is overlapped, as in the engine.
//! Not to be read as: times of real devices or networks.
//! Control: over links without delay, nothing is added.
//!
//! `cargo bench --bench fabric`; `-- --model` leaves out what is measured.

#[path = "../tests/promises/threads.rs"]
mod threads;

use std::sync::Arc;

use threads::{Link, NO_DELAY, Thread, threads};
use wgrad::kernel::tile::Family;
use wgrad::kernel::tiling::Tiling;
use wgrad::layout::TokenLayout;
use wgrad::plan::{Element, Plan, Request, Role, SetLayout};
use wgrad::targets::Targets;
use wgrad::training::Training;
use wgrad::{
    Activation, AttentionLayer, ConvLayer, Dataset, Error, Gpu, Loss, Network, Optimizer, Schedule, TrainOptions,
    Trainer,
};

const LINKS: [(&str, Link); 4] = [
    ("1 Gbit/s Ethernet", Link { latency: 50e-6, bandwidth: 0.125e9 }),
    ("10 Gbit/s Ethernet", Link { latency: 20e-6, bandwidth: 1.25e9 }),
    ("100 Gbit/s InfiniBand", Link { latency: 2e-6, bandwidth: 12.5e9 }),
    ("NVLink", Link { latency: 1e-6, bandwidth: 300e9 }),
];

/// Assumed of a device: operations a second in kernels of f32, and seconds to launch one.
const RATE: f64 = 10e12;
const LAUNCH: f64 = 5e-6;

/// Seconds of a step's exchange over a link: each process tells `own` bytes to all others, and adds up `gradients` bytes with them.
fn exchange(link: Link, processes: usize, own: f64, gradients: f64) -> f64 {
    let rounds = processes.trailing_zeros();
    let gather = (0..rounds).map(|round| link.seconds(own * f64::from(1 << round)));
    // A half, a quarter, …, and back.
    let sum = (0..rounds).map(|round| 2.0 * link.seconds(gradients / f64::from(2 << round)));
    gather.chain(sum).sum()
}

const BATCH: usize = 512;
const STEPS: u64 = 8;

/// Seconds of a step by as many processes over a link.
fn step_seconds(gpu: &Arc<Gpu>, set: &Dataset, count: usize, link: Link) -> Result<f64, Error> {
    let run = |own: Thread| -> Result<f64, Error> {
        let options =
            TrainOptions { batch_size: BATCH, shards: Some(8), steps: Some(STEPS), ..TrainOptions::default() };
        let network = Network::new(784).dense(256, Activation::Relu).dense(10, Activation::Identity);
        let mut trainer = Trainer::on(Arc::clone(gpu), network, options)?;
        trainer.among(Arc::new(own))?;
        let mut least = f64::INFINITY;
        for _ in 0..6 {
            // The first round compiles.
            let history = trainer.fit(set, None)?;
            let seconds = BATCH as f64 / history.epochs[0].samples_per_second;
            least = least.min(seconds);
        }
        Ok(least)
    };
    std::thread::scope(|scope| {
        let started: Vec<_> = threads(count, link).into_iter().map(|own| scope.spawn(|| run(own))).collect();
        let all =
            started.into_iter().map(|thread| thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)));
        all.collect::<Result<Vec<f64>, Error>>().map(|all| all.into_iter().fold(0.0, f64::max))
    })
}

/// What a network's step counts: operations, launches, bytes of gradients, and samples with running sums of their own.
struct Counted {
    name: &'static str,
    batch: u32,
    flops: f64,
    launches: f64,
    gradients: f64,
    samples: f64,
}

fn counted(name: &'static str, network: &Network, batch: u32, set: SetLayout) -> Result<Counted, Error> {
    let (optimizer, schedule) = (Optimizer::adam(1e-3), Schedule::default());
    let plan = Plan::new(Request {
        network,
        loss: &Loss::softmax_cross_entropy(),
        targets: Targets::CLASSES,
        training: Some(Training::new(&optimizer, &schedule)),
        batch,
        set,
        tiling: &Tiling::of(Family::Hardware),
        metrics: false,
    })?;
    let weights = plan.buffers().iter().filter(|buffer| matches!(buffer.role, Role::Weights(_)));
    let samples = plan.shape(Role::Stats).iter().product::<u64>() as f64;
    Ok(Counted {
        name,
        batch,
        flops: plan.cost().flops as f64,
        launches: plan.calls() as f64,
        gradients: weights.map(|buffer| buffer.bytes as f64).sum(),
        samples,
    })
}

fn networks() -> Result<Vec<Counted>, Error> {
    let dense = Network::new(784).dense(256, Activation::Relu).dense(10, Activation::Identity);
    let conv = |channels: usize, stride: usize| {
        wgrad::Layer::from(ConvLayer::new(channels, 3).stride([stride; 2]).padding([1; 2]).without_bias())
    };
    let mut resnet = Network::image(32, 32, 3).with(conv(16, 1)).batch_norm().activation(Activation::Relu);
    for (channels, first) in [(16, 1), (32, 2), (64, 2)] {
        for stride in [first, 1, 1] {
            let body = |body: Network| {
                body.with(conv(channels, stride))
                    .batch_norm()
                    .activation(Activation::Relu)
                    .with(conv(channels, 1))
                    .batch_norm()
            };
            resnet = match stride {
                1 => resnet.residual(body),
                _ => resnet.residual_with_shortcut(body, |own| {
                    own.with(ConvLayer::new(channels, 1).stride([stride; 2]).without_bias().into()).batch_norm()
                }),
            };
            resnet = resnet.activation(Activation::Relu);
        }
    }
    let resnet = resnet.global_avg_pool().flatten().dense(10, Activation::Identity);
    let mut gpt = Network::tokens(1024).embedding(768, 50_257).positions(1024);
    for _ in 0..12 {
        gpt = gpt
            .residual(|body| body.layer_norm().with(AttentionLayer::new(12).causal().into()))
            .residual(|body| body.layer_norm().dense(3072, Activation::Gelu).dense(768, Activation::Identity));
    }
    let gpt = gpt.layer_norm().dense(50_257, Activation::Identity);
    let tokens = TokenLayout { bytes: 4, overlaps: true };
    Ok(vec![
        counted("784-256-10", &dense, 1024, SetLayout::whole(Element::U8, 60_000))?,
        counted("ResNet-20", &resnet, 1024, SetLayout::whole(Element::U8, 50_000))?,
        // Its step of 1,024 rows is counted from one of 16.
        counted("GPT-2", &gpt, 16, SetLayout::whole(Element::Tokens(tokens), 100_000))?.times(64),
    ])
}

impl Counted {
    /// The same with a minibatch as many times as large.
    fn times(self, times: u32) -> Self {
        let of = |value: f64| value * f64::from(times);
        Counted { batch: self.batch * times, flops: of(self.flops), samples: of(self.samples), ..self }
    }

    /// Seconds of a step on one of `devices`, with an exchange in every `every`-th step. Updates are part of each device's work.
    fn seconds(&self, link: Link, devices: usize, every: f64) -> f64 {
        let share = self.flops / devices as f64 / RATE + self.launches * LAUNCH;
        let own = 28.0 * self.samples / devices as f64;
        share + exchange(link, devices, own, self.gradients) / every
    }

    fn efficiency(&self, link: Link, devices: usize, every: f64) -> f64 {
        self.seconds(link, 1, 1.0) / (devices as f64 * self.seconds(link, devices, every))
    }
}

fn measure() -> Result<(), Error> {
    let gpu = Gpu::open(&Default::default())?;
    let value = |at: usize| ((at * 31 + at / 784) % 251) as u8;
    let rows = BATCH * STEPS as usize;
    let set =
        Dataset::from_u8((0..rows * 784).map(value).collect(), 784, (0..rows as u32).map(|row| row % 10).collect())?;
    let gradients = 4.0 * (788.0 * 256.0 + 260.0 * 12.0);
    println!(
        "{}\n\n| processes | link | added, ms | by the model, ms | ratio |\n|--:|---|--:|--:|--:|",
        gpu.adapter().name
    );
    for count in [2, 4, 8] {
        let without = step_seconds(&gpu, &set, count, NO_DELAY)?;
        println!("| {count} | no delay: a step of {:.2} ms | | | |", 1e3 * without);
        for (name, link) in LINKS {
            let added = step_seconds(&gpu, &set, count, link)? - without;
            let own = 28.0 * BATCH as f64 / count as f64;
            let predicted = exchange(link, count, own, gradients);
            println!("| {count} | {} | {:.2} | {:.2} | {:.2} |", name, 1e3 * added, 1e3 * predicted, predicted / added);
        }
    }
    Ok(())
}

fn predict() -> Result<(), Error> {
    let devices = [1usize, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024];
    let heads: Vec<String> = devices.iter().map(usize::to_string).collect();
    println!("\nDevices of {} TFLOP/s and {} µs a launch, minibatches of 1,024 rows.", RATE / 1e12, LAUNCH * 1e6);
    for network in networks()? {
        println!(
            "\n{}: {:.2} GFLOP and {} launches a step, {:.2} MB of gradients\n\n| efficiency, % | {} |\n|---|{}",
            network.name,
            network.flops / 1e9,
            network.launches,
            network.gradients / 1e6,
            heads.join(" | "),
            "--:|".repeat(devices.len())
        );
        for (name, link) in LINKS {
            for (every, words) in [(1.0, ""), (16.0, ", every 16th step")] {
                let all = devices.map(|count| format!("{:.0}", 100.0 * network.efficiency(link, count, every)));
                println!("| {name}{words} | {} |", all.join(" | "));
            }
        }
    }
    Ok(())
}

fn main() -> Result<(), Error> {
    if !std::env::args().any(|argument| argument == "--model") {
        measure()?;
    }
    predict()
}
