//! Does anything grow, or drift, in a million steps?
//!
//! Watched: a network of 8-16-4 with Adam, validated after every 50,000 steps, and each time the bytes of all buffers that are alive, what wgpu's
//! allocator has given out, the process' resident memory (on Linux), and the host's counters. The device's own step counter shows in the learning
//! rate: under a linear decay over twice the steps each step has a rate of its own, in f32 too, and the rate that the device reports has to be that
//! of the step for which the host takes it. At the end a checkpoint is made, and the step state in it is the device's, to the last bit.
//! Fails where anything is not as it should be. Not to be read as: how fast a step is.
//!
//! `cargo bench --bench soak`, or `cargo bench --bench soak -- 100000` for fewer steps, a multiple of 50,000.

use std::ops::ControlFlow;
use std::time::Instant;

use safetensors::SafeTensors;
use wgrad::gpu::Memory;
use wgrad::{
    Activation, AdapterChoice, Checkpointing, Dataset, Decay, Event, Every, Gpu, Network, Optimizer, Schedule,
    TrainOptions, Trainer,
};

const BATCH: usize = 4;
const STEPS_PER_EPOCH: u64 = 50_000;
const LR: f64 = 1e-3;
/// Adam's decays, as Keras sets them.
const BETAS: [f64; 2] = [0.9, 0.999];
/// The bytes by which the least host memory in the last quarter may exceed the most in the first half: an allocator grows for some epochs, and the
/// commands of submitted chunks come and go. A leak of 17 bytes a step would be found.
const SLACK: u64 = 4 << 20;

/// Rows of noise whose label is the largest of the first four features.
fn rows(count: usize, mut state: u64) -> Dataset {
    let mut features = Vec::with_capacity(8 * count);
    for _ in 0..count {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        features.extend((state ^ state >> 29).to_le_bytes());
    }
    let label = |row: &[u8]| (0..4).max_by_key(|&at| row[at]).unwrap_or(0) as u32;
    let labels = features.chunks_exact(8).map(label).collect();
    Dataset::from_u8(features, 8, labels).unwrap()
}

/// The resident memory of this process, if the system reports it.
fn resident_bytes() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(1024 * line.trim().trim_end_matches(" kB").parse::<u64>().ok()?)
}

fn main() {
    let wanted = std::env::args().find_map(|argument| argument.parse().ok()).unwrap_or(1_000_000);
    let epochs: u64 = wanted / STEPS_PER_EPOCH;
    let steps = epochs * STEPS_PER_EPOCH;
    assert!(epochs > 2 && steps < 1 << 22, "{wanted} steps: at least 150,000, and fewer than 4 million");
    let (train, validation) = (rows(BATCH * STEPS_PER_EPOCH as usize, 1), rows(64, 2));
    let gpu = Gpu::open(&AdapterChoice::Auto).unwrap_or_else(|error| panic!("{error}"));
    println!("{} ({}), {steps} steps", gpu.adapter().name, gpu.adapter().driver);

    let decay = Decay::Polynomial { total_iters: Some(2.0 * steps as f64), power: 1.0 };
    let options = TrainOptions {
        optimizer: Optimizer { lr: LR, ..Optimizer::keras_adam() },
        schedule: Schedule::new(decay),
        batch_size: BATCH,
        epochs,
        keep_best: true,
        ..TrainOptions::default()
    };
    let network = Network::classifier(8, &[16], Activation::Relu, 4);
    let mut trainer = Trainer::on(gpu.clone(), network, options).unwrap();
    let a_step = trainer.plan(&train).unwrap().dispatches().len() as u64;
    trainer.evaluate(&validation).unwrap();
    let a_validation = trainer.stats().dispatches;
    let said = trainer.device_bytes(&train, Some(&validation)).unwrap();
    let before = trainer.stats();

    // The number of steps that the device has done, from the rate that it reports.
    let done_by_rate = |rate: f64| 1 + (2.0 * steps as f64 * (1.0 - rate / f64::from(LR as f32))).round() as u64;
    let started = Instant::now();
    let (mut told, mut seen) = (0, Vec::<(Memory, Option<u64>)>::new());
    let history = trainer
        .fit_with(&train, Some(&validation), |event| {
            match event {
                Event::Progress(progress) => {
                    told += 1;
                    let done = (progress.epoch - 1) * STEPS_PER_EPOCH + progress.step;
                    assert_eq!(done_by_rate(progress.learning_rate), done, "the device's step, and the host's");
                }
                Event::Epoch(epoch) => {
                    let done = epoch.epoch * STEPS_PER_EPOCH;
                    let (memory, resident) = (gpu.memory(), resident_bytes());
                    println!(
                        "{done:>9} steps, {:>5.0} s: loss {:.6}, validation {:.6}, buffers {} bytes of {} made, allocated {:?}, resident {:?}",
                        started.elapsed().as_secs_f64(),
                        epoch.training.loss,
                        epoch.validation.unwrap().loss,
                        memory.bytes,
                        memory.buffers_made,
                        memory.allocated_bytes,
                        resident
                    );
                    assert_eq!(done_by_rate(epoch.learning_rate), done, "the device's step, and the host's");
                    assert_eq!(epoch.training.rows, train.rows() as u64);
                    assert_eq!(epoch.stats.steps, STEPS_PER_EPOCH);
                    assert_eq!(epoch.stats.dispatches, STEPS_PER_EPOCH * a_step + a_validation);
                    assert_eq!(epoch.skipped_steps, 0);
                    assert!(epoch.stats.traffic.blocking_reads <= 1, "{:?}", epoch.stats);
                    assert!(epoch.training.loss.is_finite());
                    assert_eq!(memory.bytes, said, "what the plans said");
                    // The first epoch ends by making the buffers of the validation.
                    if let Some((then, _)) = seen.get(1) {
                        assert_eq!(memory.buffers_made, then.buffers_made, "an epoch makes no buffers");
                        assert!(memory.allocated_bytes <= then.allocated_bytes, "device memory grows");
                    }
                    seen.push((memory, resident));
                }
                _ => {}
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    let stats = history.stats;
    assert_eq!((stats.steps, trainer.steps_done(), seen.len() as u64), (steps, steps, epochs));
    assert_eq!(stats.dispatches, steps * a_step + epochs * a_validation);
    // What a fit begins with is read before it is counted, to locate the first non-finite numbers later: weights and slots of two layers, and the step state.
    let (all, read) = (trainer.stats().since(before), 5);
    assert_eq!((all.steps, all.dispatches), (stats.steps, stats.dispatches));
    assert_eq!(all.traffic.submissions, stats.traffic.submissions + read);
    // A read that has arrived needs no wait.
    assert!((0..=read).contains(&(all.traffic.blocking_reads - stats.traffic.blocking_reads)), "{all:?} {stats:?}");
    let resident: Vec<u64> = seen.iter().filter_map(|(_, resident)| *resident).collect();
    let (most, least) = (resident[..resident.len() / 2].iter().max(), resident[3 * resident.len() / 4..].iter().min());
    assert!(
        least.is_none_or(|least| most.is_some_and(|most| *least <= most + SLACK)),
        "host memory grows: {resident:?}"
    );

    // After one more step, the checkpoint has the device's state.
    let folder = tempfile::tempdir().unwrap();
    trainer.set_steps(Some(1));
    trainer.set_checkpointing(Some(Checkpointing { every: Every::Steps(1), ..Checkpointing::new(folder.path()) }));
    trainer.fit(&train, None).unwrap();
    let file = std::fs::read(folder.path().join(format!("step-{:010}.safetensors", steps + 1))).unwrap();
    let words: Vec<u32> =
        bytemuck::pod_collect_to_vec(SafeTensors::deserialize(&file).unwrap().tensor("state.step").unwrap().data());
    assert_eq!((words[0], words[11]), (steps as u32 + 1, 0), "steps done and steps skipped");
    for (beta, word) in BETAS.into_iter().zip(&words[20..]) {
        let (has, should) = (f32::from_bits(*word), 1.0 - beta.powf(steps as f64 + 1.0));
        println!("1 − {beta}^{}: {has:.9}, off by {:e}", steps + 1, (f64::from(has) - should).abs());
        assert!((f64::from(has) - should).abs() < 1e-4, "Adam's correction drifts");
    }
    println!(
        "{steps} steps in {:.0} s: {} dispatches, {} submissions, {} blocking reads, {told} looks at the device's step; nothing grew or drifted",
        started.elapsed().as_secs_f64(),
        stats.dispatches,
        stats.traffic.submissions,
        stats.traffic.blocking_reads,
    );
}
