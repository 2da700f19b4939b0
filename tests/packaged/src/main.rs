//! Trains a small network on rows that it makes itself, and fails unless the loss falls and the saved model classifies unseen rows, and
//! unless `Dataset::mnist` says that a published package comes without MNIST.

use wgrad::{Activation, Dataset, Network, Optimizer, Predictor, TrainOptions, Trainer};

/// Points of a square, by whether they lie in a circle. They are numbered along a sequence that fills the square evenly.
fn point(index: usize) -> ([f32; 2], u32) {
    let coordinate = |step: f64| (2.0 * (step * index as f64).fract() - 1.0) as f32;
    let [x, y] = [coordinate(0.754_877_666_2), coordinate(0.569_840_290_9)];
    ([x, y], u32::from(x * x + y * y < 0.6))
}

fn main() -> Result<(), wgrad::Error> {
    let train = Dataset::from_rows((0..2000).map(point))?;
    let network = Network::classifier(2, &[32], Activation::Relu, 2);
    let options = TrainOptions { optimizer: Optimizer::adam(0.01), epochs: 20, ..TrainOptions::default() };
    let mut trainer = Trainer::new(network, options)?;
    let before = trainer.evaluate(&train)?.loss;
    trainer.fit(&train, None)?;
    let after = trainer.evaluate(&train)?.loss;
    println!("loss {before:.4}, after 20 epochs {after:.4}");
    assert!(after < 0.3 * before, "the loss fell from {before} to {after} only");

    let folder = std::env::temp_dir().join(format!("wgrad-packaged-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a temporary folder");
    let path = folder.join("model.safetensors");
    trainer.save(&path)?;
    let model = Predictor::open(&path)?;
    std::fs::remove_dir_all(&folder).expect("the temporary folder");
    let (features, classes): (Vec<_>, Vec<_>) = (2000..2500).map(point).unzip();
    let told = model.classify_rows(features)?;
    let right = told.iter().zip(&classes).filter(|(told, class)| told.index == **class as usize).count();
    println!("{right} of 500 unseen points are classified as they should be");
    assert!(right >= 475, "only {right} of 500 unseen points are classified as they should be");

    let said = Dataset::mnist().expect_err("a published package has no data").to_string();
    println!("{said}");
    assert!(said.contains("this build has no MNIST inside"), "{said}");
    Ok(())
}
