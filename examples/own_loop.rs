//! A loop of one's own: early stopping on the F1 of a rare class, and a rate that falls when that does not rise.
//!
//!     cargo run --release --example own_loop

use wgrad::{Activation, Dataset, Error, Initializer, Network, Optimizer, TrainOptions, Trainer};

/// Epochs without a better F1 until the rate falls, and until training ends.
const PATIENCE: [u32; 2] = [4, 10];

fn main() -> Result<(), Error> {
    let (train, validation) = (rows(4000, 1)?, rows(1000, 2)?);
    let network = Network::new(2).dense(64, Activation::Relu).dense(2, Activation::Identity);
    let mut rate = 1e-2;
    // Each `fit` is an epoch here, and goes on where the one before it ended.
    let options = TrainOptions {
        optimizer: Optimizer::adam(rate),
        initializer: Initializer::GlorotUniform,
        batch_size: 64,
        epochs: 1,
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::new(network, options)?;
    let (mut best, mut weights, mut waited) = (0.0, trainer.weights()?, 0);
    while waited < PATIENCE[1] {
        let history = trainer.fit(&train, None)?;
        let epoch = &history.epochs[0];
        let metrics = trainer.metrics(&validation)?;
        let f1 = metrics.classes.as_ref().map_or(0.0, |classes| classes.classes[1].f1());
        println!(
            "epoch {:>3}   loss {:.4}   F1 of the rare class {f1:.4}   rate {rate}",
            epoch.epoch, epoch.training.loss
        );
        if f1 > best {
            (best, weights, waited) = (f1, trainer.weights()?, 0);
            continue;
        }
        waited += 1;
        if waited % PATIENCE[0] == 0 {
            rate /= 4.0;
            trainer.set_learning_rate(rate)?;
        }
    }
    // Half an epoch more, as a loop may count in steps too: then back to the best.
    trainer.set_steps(Some(31));
    trainer.fit(&train, None)?;
    trainer.set_weights(&weights)?;
    println!("the best F1 was {best:.4}; the model has it: {:.4}", trainer.evaluate(&validation)?.loss);
    trainer.save(std::env::temp_dir().join("own_loop.safetensors"))
}

/// Rows whose class is rare: points, and whether each lies in a ring. From a generator, so that they are the same in
/// every run.
fn rows(count: usize, mut seed: u64) -> Result<Dataset, Error> {
    let mut next = || {
        seed = seed.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        (seed >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let features: Vec<f32> = (0..2 * count).map(|_| next()).collect();
    let is_in_ring = |row: &[f32]| (0.4..0.6).contains(&row[0].hypot(row[1]));
    let labels = features.chunks_exact(2).map(|row| u32::from(is_in_ring(row))).collect();
    Dataset::from_f32(features, 2, labels)
}
