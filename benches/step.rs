//! How long do a step and an epoch of the seed network take, and what does the host do for them?
//!
//! Measured: `step`: steps of 784-256-10 with Adam, many in one submission. `host`: the part of it that recording and submitting a step takes,
//! without waiting. `fit`: 6,000 rows of MNIST (a tenth of an epoch) through `Trainer::fit`, with their upload, shuffling, the running sums
//! and the one read at the end; and the steps alone, submitted 47 at a time, or one at a time with a wait, as in a loop that
//! prints its loss.
//! Columns: criterion's throughput is rows a second.
//! Not to be read as: start-up (the first fit compiles, and is not measured); nor as GPU speeds where the adapter is a CPU.
//! Control: `step` by itself twice must read the same.

mod common;

use std::time::Duration;

use criterion::{BenchmarkId, Throughput};
use wgrad::gpu::Checks;
use wgrad::profile::StepTimer;
use wgrad::{Activation, Dataset, Network, TrainOptions, Trainer};

fn main() {
    let mut criterion = common::criterion();
    let gpu = common::gpu();
    let tiling = gpu.adapter().tiling();
    for batch in [32, 128, 1024] {
        let plan = common::plan(&tiling, &[784, 256, 10], batch, 60_000).unwrap();
        let timer = StepTimer::new(&gpu, &plan, Checks::Off).unwrap();
        let mut group = criterion.benchmark_group("seed network");
        group.throughput(Throughput::Elements(batch.into()));
        for name in if batch == 32 { &["step", "step again (control)"][..] } else { &["step"] } {
            group.bench_function(BenchmarkId::new(*name, batch), |bencher| {
                bencher.iter_custom(|times| timer.steps(times).unwrap().all);
            });
        }
        group.bench_function(BenchmarkId::new("host", batch), |bencher| {
            bencher.iter_custom(|times| timer.steps(times).unwrap().host);
        });
        group.finish();
    }

    let (train, _) = Dataset::from_idx_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist")).unwrap();
    let (_, tenth) = train.split(0.1, 0).unwrap();
    let network = Network::classifier(784, &[256], Activation::Relu, 10);
    let per_epoch = tenth.rows().div_ceil(32) as u64;
    let mut group = criterion.benchmark_group("a tenth of an epoch");
    group.throughput(Throughput::Elements(tenth.rows() as u64));
    let options = TrainOptions { steps: Some(per_epoch), ..TrainOptions::default() };
    let mut trainer = Trainer::on(gpu.clone(), network, options).unwrap();
    trainer.fit(&tenth, None).unwrap();
    group.bench_function("fit", |bencher| bencher.iter(|| trainer.fit(&tenth, None).unwrap()));
    let plan = common::plan(&tiling, &[784, 256, 10], 32, tenth.rows() as u64).unwrap();
    let timer = StepTimer::new(&gpu, &plan, Checks::Off).unwrap();
    for (name, chunk) in [("steps alone, 47 a submission", 47), ("steps alone, each waited for", 1)] {
        group.bench_function(name, |bencher| {
            bencher.iter(|| (0..per_epoch / chunk).map(|_| timer.steps(chunk).unwrap().all).sum::<Duration>());
        });
    }
    group.finish();
    criterion.final_summary();
}
