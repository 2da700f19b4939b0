//! Keras' convnet for MNIST (<https://keras.io/examples/vision/mnist_convnet/>), 34,826 weights: the run of examples/convnet.toml, in Rust.
//!
//!     cargo run --release --example convnet -- [EPOCHS] [SEED]

use std::ops::ControlFlow;

use wgrad::{Activation, Dataset, Error, Event, Initializer, Network, Optimizer, TrainOptions, Trainer};

fn main() -> Result<(), Error> {
    let number = |at: usize, usual: u64| match std::env::args().nth(at) {
        Some(word) => word.parse().map_err(|_| Error::Option(format!("{word} is not a number"))),
        None => Ok(usual),
    };
    let (train, test) = Dataset::mnist()?;
    let network = Network::image(28, 28, 1)
        .conv(32, 3, Activation::Relu)
        .max_pool(2)
        .conv(64, 3, Activation::Relu)
        .max_pool(2)
        .flatten()
        .dropout(0.5)
        .dense(10, Activation::Identity);
    println!("{}: {} weights", network.shape(), network.parameters());
    let options = TrainOptions {
        optimizer: Optimizer::adam(1e-3),
        initializer: Initializer::HeUniform,
        batch_size: 128,
        epochs: number(1, 12)?,
        seed: number(2, 1)?,
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::new(network, options)?;
    trainer.fit_with(&train, Some(&test), |event| {
        if let Event::Epoch(epoch) = event
            && let Some(validation) = epoch.validation
        {
            let accuracy = validation.accuracy.unwrap_or(0.0);
            println!(
                "epoch {:>2}   test loss {:.4}   accuracy {accuracy:.4}   {:.1} s",
                epoch.epoch, validation.loss, epoch.seconds
            );
        }
        ControlFlow::Continue(())
    })?;
    trainer.save("convnet.safetensors")
}
