//! What an observer of a run is told: everything that the program `wgrad` draws, at no cost to the loop.

use std::ops::ControlFlow;

use wgrad::{Activation, Epoch, Event, Network, NonFinite, Optimizer, Progress, TrainOptions, Trainer};

use crate::support::{bits, flat, gpu, learnable};

fn trainer(options: TrainOptions) -> Trainer {
    Trainer::on(gpu(), Network::classifier(16, &[8], Activation::Relu, 4), options).unwrap()
}

/// Finds an observer that makes the host wait for the device, hands it smaller chunks, or changes what is learned.
#[test]
fn an_observer_adds_no_blocking_read_and_no_submission() {
    let (set, validation) = (learnable(4000, 16, 4, 1), learnable(200, 16, 4, 2));
    let options = TrainOptions { epochs: 3, batch_size: 4, steps_per_submission: Some(20), ..TrainOptions::default() };
    let mut alone = trainer(options.clone());
    let expected = alone.fit(&set, Some(&validation)).unwrap();
    let mut observed = trainer(options);
    let mut events = 0;
    let history = observed
        .fit_with(&set, Some(&validation), |_| {
            events += 1;
            // Drawing takes time too.
            std::thread::sleep(std::time::Duration::from_millis(5));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(events >= 6, "{events}");
    let costs = |epoch: &Epoch| (epoch.stats.steps, epoch.stats.dispatches, epoch.stats.traffic.submissions);
    assert!(history.epochs.iter().map(costs).eq(expected.epochs.iter().map(costs)), "{history:?} {expected:?}");
    // One at an epoch's end; none where the sums are there by then.
    for epoch in history.epochs.iter().chain(&expected.epochs) {
        assert!(epoch.stats.traffic.blocking_reads <= 1, "{epoch:?}");
    }
    assert!(bits(&observed.weights().unwrap()) == bits(&alone.weights().unwrap()));
}

/// Finds rows that no progress counts, or that two do; and an epoch that is too short to be reported before its end.
#[test]
fn the_parts_of_an_epoch_make_up_the_whole() {
    for rows in [64, 40_000] {
        let set = learnable(rows, 16, 4, 3);
        let options = TrainOptions { epochs: 2, batch_size: 4, ..TrainOptions::default() };
        let mut parts: Vec<Progress> = Vec::new();
        let mut epochs = 0;
        trainer(options)
            .fit_with(&set, None, |event| {
                match event {
                    Event::Progress(progress) => {
                        assert!(parts.last().is_none_or(|before| before.step < progress.step), "{progress:?}");
                        assert_eq!((progress.learning_rate, progress.gradient_norm), (f64::from(1e-3f32), None));
                        assert!(progress.seconds > 0.0);
                        parts.push(progress);
                    }
                    Event::Epoch(epoch) => {
                        let last = parts.last().unwrap();
                        assert_eq!((last.step, last.epoch, last.so_far), (last.steps, epoch.epoch, epoch.training));
                        assert_eq!(parts.iter().map(|part| part.lately.rows).sum::<u64>(), rows as u64);
                        let whole = |of: fn(&Progress) -> f64| -> f64 {
                            parts.iter().map(|part| part.lately.rows as f64 * of(part)).sum::<f64>() / rows as f64
                        };
                        let (loss, accuracy) =
                            (whole(|part| part.lately.loss), whole(|part| part.lately.accuracy.unwrap()));
                        assert!((loss / epoch.training.loss - 1.0).abs() < 1e-9, "{loss} {epoch:?}");
                        assert!((accuracy - epoch.training.accuracy.unwrap()).abs() < 1e-9, "{accuracy} {epoch:?}");
                        parts.clear();
                        epochs += 1;
                    }
                    _ => {}
                }
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(epochs, 2, "of {rows} rows");
    }
}

/// Finds a norm of other values, of one layer, or from after it was clipped: under plain gradient descent the weights show what it was.
#[test]
fn the_gradient_norm_is_that_of_the_step() {
    let set = learnable(64, 16, 4, 5);
    let base =
        TrainOptions { steps: Some(1), batch_size: 64, optimizer: Optimizer::sgd(1.0), ..TrainOptions::default() };
    let clipping = TrainOptions { clip_grad_norm: Some(0.01), ..base.clone() };
    let skipping = TrainOptions { non_finite: NonFinite::Skip, ..base };
    let norm_of = |options: TrainOptions| {
        let mut trainer = trainer(options);
        let before = flat(&trainer.weights().unwrap());
        let mut told = None;
        let observe = |event: Event<'_>| {
            if let Event::Progress(progress) = event {
                told = progress.gradient_norm;
            }
            ControlFlow::Continue(())
        };
        trainer.fit_with(&set, None, observe).unwrap();
        let after = flat(&trainer.weights().unwrap());
        let moved = before.iter().zip(&after).map(|(before, after)| (before - after).powi(2)).sum::<f64>().sqrt();
        (told.unwrap(), moved)
    };
    let (told, moved) = norm_of(skipping);
    assert!((told / moved - 1.0).abs() < 1e-5, "{told} {moved}");
    let (clipped, moved) = norm_of(clipping);
    assert!((clipped / told - 1.0).abs() < 1e-5, "{clipped} {told}");
    assert!((moved / 0.01 - 1.0).abs() < 1e-2, "{moved}");
}
