//! Rows of your own: points in a plane, labelled by the ring they lie in.
//!
//!     cargo run --release --example own_rows

use std::ops::ControlFlow;

use wgrad::{Activation, Dataset, Event, Network, Optimizer, TrainOptions, Trainer};

fn main() -> Result<(), wgrad::Error> {
    // A spiral of points covers the disk evenly; three rings of it are three classes.
    let rows = 3000;
    let radius = |row: usize| (row as f32 / rows as f32).sqrt();
    let point = |row: usize| {
        let angle = 2.399_963 * row as f32;
        [radius(row) * angle.cos(), radius(row) * angle.sin()]
    };
    let features = (0..rows).flat_map(point).collect();
    let labels = (0..rows).map(|row| (3.0 * radius(row)) as u32).collect();
    let (train, validation) = Dataset::from_f32(features, 2, labels)?.split(0.2, 0)?;

    let network = Network::classifier(2, &[32, 32], Activation::Relu, 3);
    let options = TrainOptions { optimizer: Optimizer::adam(0.01), epochs: 20, ..TrainOptions::default() };
    let mut trainer = Trainer::new(network, options)?;
    trainer.fit_with(&train, Some(&validation), |event| {
        if let Event::Epoch(epoch) = event
            && let Some(validation) = epoch.validation
        {
            println!(
                "epoch {:>2}   loss {:.4}   accuracy {:.3}",
                epoch.epoch,
                validation.loss,
                validation.accuracy.unwrap_or(0.0)
            );
        }
        ControlFlow::Continue(())
    })?;

    let somewhere = Dataset::from_f32(vec![0.1, 0.1, 0.7, 0.6], 2, vec![0, 0])?;
    for probabilities in trainer.predict(&somewhere)?.chunks_exact(3) {
        println!("{probabilities:.3?}");
    }
    Ok(())
}
