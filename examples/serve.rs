//! Train in a program, save, load, predict: prices of flats, in euros from beginning to end.
//!
//!     cargo run --release --example serve

use wgrad::{Activation, Dataset, Loss, Network, Optimizer, Predictor, ScaleBy, TrainOptions, Trainer};

fn main() -> Result<(), wgrad::Error> {
    // Size in square metres, rooms, and the price: rows as a program may have them.
    let flat = |at: usize| {
        let (size, rooms) = (30.0 + (at * 37 % 120) as f32, 1.0 + (at * 13 % 5) as f32);
        ([size, rooms], 40_000.0 + 2_500.0 * size + 8_000.0 * rooms)
    };
    let (train, validation) = Dataset::regression((0..500).map(flat))?.split(0.2, 0)?;

    // The scaling is computed from the training rows alone; validation rows are scaled in the same way automatically.
    let mut train = train;
    if let Some(scaling) = ScaleBy::Standardize.of(&train)? {
        train = train.with_scaling(scaling)?;
    }
    if let Some(scaling) = ScaleBy::Standardize.of_targets(&train)? {
        train = train.with_target_scaling(scaling)?;
    }
    let network = Network::new(2).dense(32, Activation::Relu).dense(1, Activation::Identity);
    let options = TrainOptions {
        loss: Loss::MeanSquaredError,
        optimizer: Optimizer::adam(1e-2),
        epochs: 40,
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::new(network, options)?;
    trainer.fit(&train, Some(&validation))?;
    if let Some(metrics) = trainer.metrics(&validation)?.regression {
        println!("mean absolute error on rows held out: {:.0} euros", metrics.mean_absolute_error);
    }
    let path = std::env::temp_dir().join(format!("wgrad-flats-{}.safetensors", std::process::id()));
    trainer.save(&path)?;

    // Another program needs nothing but the file.
    let model = Predictor::open(&path)?;
    let prices = model.predict_rows([[80.0, 3.0], [45.0, 1.0]])?;
    println!("80 m² and 3 rooms: {:.0} euros; 45 m² and 1 room: {:.0} euros", prices[0], prices[1]);

    // Several threads may predict at once.
    std::thread::scope(|scope| {
        for size in [50.0, 100.0] {
            let model = &model;
            scope.spawn(move || match model.predict_rows([[size, 2.0]]) {
                Ok(prices) => println!("{size} m² and 2 rooms: {:.0} euros", prices[0]),
                Err(error) => eprintln!("{error}"),
            });
        }
    });
    let _ = std::fs::remove_file(&path);
    Ok(())
}
