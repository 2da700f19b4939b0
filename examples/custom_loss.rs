//! A loss of one's own: a few lines of WGSL, checked and fused like the built-in ones.
//!
//! `cargo run --release --example custom_loss`
//!
//! The quantile (pinball) loss asks for the value that a share τ of the targets stays below. Trained on noisy measurements, a
//! network learns a band that nine tenths of them fall into, where mean squared error would learn the middle alone.

use wgrad::{Activation, Dataset, Decay, Error, Loss, Network, Optimizer, Schedule, TrainOptions, Trainer};

/// The pinball loss for a share `tau`, rounded off near 0 over a width of 0.01.
fn quantile(tau: f32) -> Result<Loss, Error> {
    Loss::custom(
        "quantile",
        &format!(
            "
            const TAU = {tau:?};
            fn loss(z: f32, t: f32) -> f32 {{ return (TAU - 0.5) * (t - z) + 0.5 * sqrt((t - z) * (t - z) + 1e-4); }}
            fn derivative(z: f32, t: f32) -> f32 {{
                return 0.5 - TAU - 0.5 * (t - z) / sqrt((t - z) * (t - z) + 1e-4);
            }}
            "
        ),
    )
}

/// 4,000 measurements of sin 3x in [-1, 1], with noise that grows from left to right.
fn measurements() -> Result<Dataset, Error> {
    let mut state = 1u32;
    let mut random = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32 * 2.0 - 1.0
    };
    let x: Vec<f32> = (0..4000).map(|_| random()).collect();
    let t = x.iter().map(|x| (3.0 * x).sin() + 0.3 * (1.1 + x) * (random() + random() + random())).collect();
    Dataset::from_f32(x, 1, vec![0; 4000])?.with_targets(t, 1)
}

fn main() -> Result<(), Error> {
    let set = measurements()?;
    for tau in [0.05, 0.5, 0.95] {
        let network =
            Network::new(1).dense(32, Activation::Tanh).dense(32, Activation::Tanh).dense(1, Activation::Identity);
        let options = TrainOptions {
            loss: quantile(tau)?,
            optimizer: Optimizer::adam(3e-3),
            schedule: Schedule::new(Decay::Cosine { t_max: None, eta_min: 0.0 }),
            batch_size: 100,
            epochs: 60,
            ..TrainOptions::default()
        };
        let mut trainer = Trainer::new(network, options)?;
        let history = trainer.fit(&set, None)?;
        let below = {
            let targets = set.values().unwrap_or_default();
            let predicted = trainer.predict(&set)?;
            targets.iter().zip(&predicted).filter(|(target, predicted)| target < predicted).count()
        };
        let loss = history.epochs.last().map_or(f64::NAN, |epoch| epoch.training.loss);
        println!("τ {tau:.2}   loss {loss:.4}   {:.1} % of the targets lie below", below as f64 / 40.0);
    }
    Ok(())
}
