//! The seed program with five seeds: 784-256-10, Adam as Keras sets it, ten epochs of MNIST, and its accuracy.
//!
//!     cargo run --release --example mnist_seeds
//!
//! Fails unless the mean test accuracy is at least 0.978 and none is under 0.975.

use wgrad::{Activation, AdapterChoice, Dataset, Gpu, Network, TrainOptions, Trainer};

const SEEDS: u64 = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (train, test) = Dataset::from_idx_dir("data/mnist")?;
    let gpu = Gpu::open(&AdapterChoice::Auto)?;
    println!("{} ({})", gpu.adapter().name, gpu.adapter().driver);

    let mut accuracies = Vec::new();
    for seed in 0..SEEDS {
        let network = Network::classifier(784, &[256], Activation::Relu, 10);
        let options = TrainOptions { seed, ..TrainOptions::default() };
        let history = Trainer::on(gpu.clone(), network, options)?.fit(&train, test.as_ref())?;
        let last = history.epochs.last().and_then(|epoch| epoch.validation).ok_or("no epoch")?;
        let seconds: f64 = history.epochs.iter().map(|epoch| epoch.seconds).sum();
        let accuracy = last.accuracy.ok_or("no accuracy")?;
        println!("seed {seed}   loss {:.4}   test accuracy {accuracy:.4}   {seconds:.1} s", last.loss);
        accuracies.push(accuracy);
    }
    let mean = accuracies.iter().sum::<f64>() / SEEDS as f64;
    let worst = accuracies.iter().copied().fold(1.0, f64::min);
    println!("mean {mean:.4}   worst {worst:.4}");
    if mean < 0.978 || worst < 0.975 {
        return Err("the mean has to be at least 0.978, and none under 0.975".into());
    }
    Ok(())
}
