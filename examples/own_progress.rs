//! Progress of your own: a line that is drawn over itself while an epoch runs, and a run that ends when it is good enough.
//!
//!     cargo run --release --example own_progress

use std::io::Write;
use std::ops::ControlFlow;

use wgrad::{Activation, Dataset, Error, Event, Network, TrainOptions, Trainer};

fn main() -> Result<(), Error> {
    let (train, test) = Dataset::from_idx_dir("data/mnist")?;
    let network = Network::classifier(784, &[256], Activation::Relu, 10);
    // Clipping computes the gradient's norm, which progress then has.
    let options = TrainOptions { clip_grad_norm: Some(5.0), ..TrainOptions::default() };
    let mut trainer = Trainer::new(network, options)?;
    // Called on this thread, ten times a second at most: it may take its time, and the device goes on meanwhile.
    let history = trainer.fit_with(&train, test.as_ref(), |event| {
        match event {
            Event::Progress(now) => {
                let done = (20 * now.step / now.steps) as usize;
                let norm = now.gradient_norm.map_or(String::new(), |norm| format!("  |g| {norm:.2}"));
                print!(
                    "\r{:>2} [{:<20}] loss {:.4}  {:.0} samples/s  lr {}{norm}    ",
                    now.epoch,
                    "#".repeat(done),
                    now.lately.loss,
                    now.samples_per_second,
                    now.learning_rate
                );
                // A progress line that cannot be written is no reason to end the run.
                _ = std::io::stdout().flush();
            }
            Event::Epoch(epoch) => {
                println!("\nepoch {} in {:.1} s: {:?}", epoch.epoch, epoch.seconds, epoch.validation);
                let reached = epoch.validation.and_then(|validation| validation.accuracy);
                if reached.is_some_and(|accuracy| accuracy >= 0.97) {
                    return ControlFlow::Break(());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
    })?;
    println!("{} epochs, {} steps", history.epochs.len(), history.stats.steps);
    Ok(())
}
