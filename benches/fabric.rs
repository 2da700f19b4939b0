//! What other processes cost a step, over links from Ethernet to NVLink: measured over a simulated fabric, and predicted by a model of it up to 1,024 devices.
//!
//! Measured: the least of five rounds of a step, by 2, 4 and 8 threads that take themselves for processes, over links that hold each message back
//! for as long as a real one would: of 784-256-10 in minibatches of 512, whose gradients are one bucket and so exchanged at the end, and of 784-1024-1024-1024-10 in minibatches of 256, whose
//! gradients are three. Each thread has a device, on the same processor, so what they compute takes as long for any number of them; only what the links add is looked at.
//! Columns: what the messages take, by the model; what the model says that they add to a step, as a bucket is exchanged while the device makes the next one's gradients; what they add; the ratio of
//! the model's to this.
//! Predicted: the efficiency T(1) / (P · T(P)) of P devices that share a minibatch, where T is the time that a device takes for its share of the step's operations, at the rate
//! that is assumed below, and for its launches, and what the links add. A bucket's gradients are there after as many of the step's operations as come before them in the plan.
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
use wgrad::training::{Shards, Training};
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

/// What a step exchanges over links between its processes.
#[derive(Clone)]
struct Exchanged {
    /// Of each bucket of gradients the share of the step's operations that come before it, and its bytes.
    buckets: Vec<(f64, f64)>,
    /// Bytes of running sums that all processes tell each other, together.
    sums: f64,
}

impl Exchanged {
    /// Of a step whose minibatch has as many rows.
    fn of(request: Request<'_>) -> Result<Self, Error> {
        let shards = Some(Shards::of_process(1, 0, 1));
        let plan = Plan::new(Request { training: request.training.map(|own| Training { shards, ..own }), ..request })?;
        let flops = |end: usize| plan.dispatches()[..end].iter().map(|own| own.launch.cost.flops as f64).sum::<f64>();
        let ready = plan.ready();
        let bytes = |parameter: usize| 4.0 * plan.shape(Role::Weights(parameter)).iter().product::<u64>() as f64;
        let all = flops(ready.last().map_or(0, |(end, _)| *end));
        let bucket = |(end, parameters): &(usize, Vec<usize>)| {
            (flops(*end) / all, parameters.iter().map(|&parameter| bytes(parameter)).sum())
        };
        let sums = 28.0 * plan.shape(Role::Stats).iter().product::<u64>() as f64;
        Ok(Exchanged { buckets: ready.iter().map(bucket).collect(), sums })
    }

    /// Seconds of its messages, where each process tells its own running sums to all others.
    fn gather(&self, link: Link, processes: usize) -> f64 {
        let own = self.sums / processes as f64;
        (0..processes.trailing_zeros()).map(|round| link.seconds(own * f64::from(1 << round))).sum()
    }

    fn gradients(&self) -> f64 {
        self.buckets.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Seconds of all messages.
    fn messages(&self, link: Link, processes: usize) -> f64 {
        let buckets = self.buckets.iter().map(|&(_, bytes)| sum_seconds(link, processes, bytes));
        buckets.sum::<f64>() + self.gather(link, processes)
    }

    /// Seconds that they add to a step which computes for `computes` seconds.
    fn added(&self, link: Link, processes: usize, computes: f64) -> f64 {
        let told =
            |end: f64, &(share, bytes): &(f64, f64)| end.max(share * computes) + sum_seconds(link, processes, bytes);
        self.buckets.iter().fold(0.0, told) - computes + self.gather(link, processes)
    }
}

/// Seconds until processes have added up as many bytes: a half, a quarter, …, and back.
fn sum_seconds(link: Link, processes: usize, bytes: f64) -> f64 {
    (0..processes.trailing_zeros()).map(|round| 2.0 * link.seconds(bytes / f64::from(2 << round))).sum()
}

const STEPS: u64 = 8;

/// Seconds of a step by as many processes over a link.
fn step_seconds((network, batch): (&Network, usize), set: &Dataset, count: usize, link: Link) -> Result<f64, Error> {
    let run = |own: Thread| -> Result<f64, Error> {
        let options =
            TrainOptions { batch_size: batch, shards: Some(8), steps: Some(STEPS), ..TrainOptions::default() };
        let mut trainer = Trainer::on(Gpu::open(&Default::default())?, network.clone(), options)?;
        trainer.among(Arc::new(own))?;
        let mut least = f64::INFINITY;
        for _ in 0..6 {
            // The first round compiles.
            let history = trainer.fit(set, None)?;
            let seconds = batch as f64 / history.epochs[0].samples_per_second;
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

/// What a network's step counts: operations, launches, and what is exchanged.
struct Counted {
    name: &'static str,
    batch: u32,
    flops: f64,
    launches: f64,
    exchanged: Exchanged,
}

fn counted(name: &'static str, network: &Network, batch: u32, set: SetLayout) -> Result<Counted, Error> {
    let (optimizer, schedule) = (Optimizer::adam(1e-3), Schedule::default());
    let request = Request {
        network,
        loss: &Loss::softmax_cross_entropy(),
        targets: Targets::CLASSES,
        training: Some(Training::new(&optimizer, &schedule)),
        batch,
        set,
        tiling: &Tiling::of(Family::Hardware),
        metrics: false,
    };
    let plan = Plan::new(request)?;
    let (flops, launches) = (plan.cost().flops as f64, plan.calls() as f64);
    Ok(Counted { name, batch, flops, launches, exchanged: Exchanged::of(request)? })
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
        let exchanged = Exchanged { sums: of(self.exchanged.sums), ..self.exchanged };
        Counted { batch: self.batch * times, flops: of(self.flops), exchanged, ..self }
    }

    /// Seconds of a step on one of `devices`, with an exchange in every `every`-th step. Updates are part of each device's work.
    fn seconds(&self, link: Link, devices: usize, every: f64) -> f64 {
        let share = self.flops / devices as f64 / RATE + self.launches * LAUNCH;
        // Weights that are averaged after some steps are exchanged when all of them are there.
        let added = if every > 1.0 {
            self.exchanged.messages(link, devices)
        } else {
            self.exchanged.added(link, devices, share)
        };
        share + added / every
    }

    fn efficiency(&self, link: Link, devices: usize, every: f64) -> f64 {
        self.seconds(link, 1, 1.0) / (devices as f64 * self.seconds(link, devices, every))
    }
}

/// What links add to the steps of one network.
fn measure(widths: &[usize], batch: usize) -> Result<(), Error> {
    let network = Network::classifier(784, widths, Activation::Relu, 10);
    let value = |at: usize| ((at * 31 + at / 784) % 251) as u8;
    let rows = batch * STEPS as usize;
    let set =
        Dataset::from_u8((0..rows * 784).map(value).collect(), 784, (0..rows as u32).map(|row| row % 10).collect())?;
    let exchanged = counted("", &network, batch as u32, SetLayout::whole(Element::U8, 60_000))?.exchanged;
    let hidden: Vec<String> = widths.iter().map(usize::to_string).collect();
    println!(
        "\n784-{}-10, minibatches of {batch}, {}\n\n| processes | link | messages, ms | added by the model | added | ratio |\n|--:|---|--:|--:|--:|--:|",
        hidden.join("-"),
        Gpu::open(&Default::default())?.adapter().name
    );
    for count in [2, 4, 8] {
        let without = step_seconds((&network, batch), &set, count, NO_DELAY)?;
        println!("| {count} | no delay: a step of {:.2} ms | | | | |", 1e3 * without);
        for (name, link) in LINKS {
            let added = 1e3 * (step_seconds((&network, batch), &set, count, link)? - without);
            // The last of a process's shards alone has gradients that are exchanged meanwhile.
            let last = without * count as f64 / 8.0;
            let [messages, predicted] =
                [exchanged.messages(link, count), exchanged.added(link, count, last)].map(|s| 1e3 * s);
            println!("| {count} | {name} | {messages:.2} | {predicted:.2} | {added:.2} | {:.2} |", predicted / added);
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
            network.exchanged.gradients() / 1e6,
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
        measure(&[256], 512)?;
        measure(&[1024, 1024, 1024], 256)?;
    }
    predict()
}
