//! Rates that are lowered where numbers are not finite: from the restored step on, the run is one with the lower rate.

use std::ops::ControlFlow;

use wgrad::{
    Activation, Checkpoint, Checkpointing, Dataset, Error, Event, Every, History, Loss, Network, NonFinite, Optimizer,
    TrainOptions, Trainer,
};

use crate::non_finite::{BATCH, WIDTH, chain, good, overflowing, set, trainer};
use crate::support::{bits, files_in, golden_file, gpu, succeed};

/// Finds an update that overflows after the last loss, which nothing sees.
#[test]
fn the_last_update_is_seen_where_the_rate_is_lowered() {
    let options = TrainOptions {
        optimizer: Optimizer::sgd(1e37),
        non_finite: NonFinite::Lower,
        lower_factor: 1e-16,
        steps: Some(1),
        ..TrainOptions::default()
    };
    let (mut trainer, set) = chain(&[0.5], [1.0, 1.0], [1e3, 1e3], options);
    let (history, rates, _) = lowered(&mut trainer, &set);
    assert_eq!((history.unwrap().lowered, rates.len()), (1, 1));
    let weight = trainer.weights().unwrap().layers[0].weight[0];
    // 1e37 · 1e-16, by a gradient of 2 · (0.5 − 1000).
    assert!((weight / 1.999e24 - 1.0).abs() < 1e-5, "{weight}");
}

/// The results of a run, how often its rate was lowered, and to what.
fn lowered(trainer: &mut Trainer, set: &Dataset) -> (Result<History, Error>, Vec<f64>, Vec<u64>) {
    let (mut rates, mut from) = (Vec::new(), Vec::new());
    let history = trainer.fit_with(set, None, |event| {
        if let Event::RateLowered { reason, step, learning_rate, times, .. } = event {
            rates.push(learning_rate);
            from.push(step);
            assert_eq!(times, rates.len() as u64);
            assert!(reason.contains("not finite"), "{reason}");
        }
        ControlFlow::Continue(())
    });
    (history, rates, from)
}

/// Finds a rate that is lowered while the bad weights are kept, or steps that are left out: the bits must be those of a run that began with the lower
/// rate.
#[test]
fn a_run_whose_rate_is_lowered_is_one_that_had_that_rate() {
    let batches: Vec<Vec<f32>> = (1..6).map(good).collect();
    let set = set(&batches.iter().map(Vec::as_slice).collect::<Vec<_>>());
    // Five steps an epoch; then all rows in one, where it is the next epoch that begins with what was spoilt.
    for batch_size in [BATCH, 5 * BATCH] {
        let options = |lr: f64, non_finite| TrainOptions {
            optimizer: Optimizer::from_name("sgd").map(|sgd| Optimizer { lr, ..sgd }).unwrap(),
            loss: Loss::MeanSquaredError,
            non_finite,
            lower_factor: 1e-16,
            batch_size,
            epochs: 6,
            ..TrainOptions::default()
        };
        let values: Vec<f32> = (0..20).flat_map(|row| [row as f32 / 20.0, 0.5, -0.25]).collect();
        let set = set.clone().with_targets(values, 3).unwrap();
        let network = Network::classifier(WIDTH, &[6], Activation::Relu, 3);
        let mut trainer = Trainer::on(gpu(), network.clone(), options(1e30, NonFinite::Lower)).unwrap();
        let (history, rates, from) = lowered(&mut trainer, &set);
        let history = history.unwrap();
        assert_eq!((rates.len(), history.lowered, history.epochs.len()), (2, 2, 6), "{rates:?}");
        assert_eq!(from, [0, 0]);
        let mut clean = Trainer::on(gpu(), network, options(rates[1], NonFinite::Stop)).unwrap();
        let expected = clean.fit(&set, None).unwrap();
        assert_eq!(bits(&trainer.weights().unwrap()), bits(&clean.weights().unwrap()));
        assert!(
            history.epochs.iter().map(|epoch| epoch.training).eq(expected.epochs.iter().map(|epoch| epoch.training))
        );
        assert_eq!(history.epochs[5].learning_rate, f64::from(rates[1] as f32));
    }
}

/// A run whose numbers are not finite at any rate ends with the reason, after as many tries as are allowed.
#[test]
fn a_rate_is_lowered_as_often_as_is_allowed() {
    let (first, second) = (good(1), good(2));
    let mut lowering = trainer(Optimizer::sgd(0.1), NonFinite::Lower);
    // Every minibatch of the first epoch is good but the last.
    let (history, rates, from) = lowered(&mut lowering, &set(&[&first, &second, &overflowing()]));
    assert_eq!(rates.len(), 5);
    assert!(
        rates.iter().zip(1..).all(|(rate, times)| (rate / (0.1 * 0.5f64.powi(times)) - 1.0).abs() < 1e-6),
        "{rates:?}"
    );
    assert_eq!(from, [0; 5]);
    let error = history.unwrap_err().to_string();
    assert!(error.contains("step 3 (epoch 1): an output of layer 1 is"), "{error}");
}

/// A run whose first rate is far too high, with five steps an epoch.
fn exploding(lower_factor: f64, epochs: u64, kept: Checkpointing) -> (Trainer, Dataset) {
    let batches: Vec<Vec<f32>> = (1..6).map(good).collect();
    let options = TrainOptions {
        optimizer: Optimizer { lr: 1e30, ..Optimizer::keras_adam() },
        non_finite: NonFinite::Lower,
        lower_factor,
        batch_size: BATCH,
        epochs,
        checkpoint: Some(kept),
        ..TrainOptions::default()
    };
    let network = Network::classifier(WIDTH, &[6], Activation::Relu, 3);
    let set = set(&batches.iter().map(Vec::as_slice).collect::<Vec<_>>());
    (Trainer::on(gpu(), network, options).unwrap(), set)
}

/// Finds a checkpoint of steps that were undone; one that forgets the rate, or how often it was lowered.
#[test]
fn a_run_whose_rate_was_lowered_goes_on_from_its_checkpoints() {
    let folder = tempfile::tempdir().unwrap();
    let kept = Checkpointing { every: Every::Steps(3), keep: 1000, ..Checkpointing::new(folder.path()) };
    let (mut trainer, set) = exploding(1e-16, 8, kept);
    let (history, rates, _) = lowered(&mut trainer, &set);
    let history = history.unwrap();
    assert!(!rates.is_empty());
    let expected = bits(&trainer.weights().unwrap());
    let files = files_in(folder.path());
    assert!(files.len() > 1, "{files:?}");
    for file in files {
        let checkpoint = Checkpoint::open(folder.path().join(&file)).unwrap();
        let mut resumed = Trainer::resume(gpu(), &checkpoint).unwrap();
        resumed.set_checkpointing(None);
        let end = resumed.fit(&set, None).unwrap();
        assert_eq!((end.lowered, end.epochs.len()), (history.lowered, 8));
        assert!(bits(&resumed.weights().unwrap()) == expected, "{file}");
    }
}

/// Finds a moment in which a killed run has no checkpoint: its own were of steps that were undone, and the older ones are deleted.
#[test]
fn a_lowered_rate_is_on_the_disk_before_it_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let kept =
        Checkpointing { every: Every::Steps(1), keep: 1, device_retries: 0, ..Checkpointing::new(folder.path()) };
    let (mut trainer, set) = exploding(1e-30, 4, kept);
    let killed = tempfile::tempdir().unwrap();
    let mut lowered_at = None;
    trainer
        .fit_with(&set, None, |event| {
            if let Event::RateLowered { step, .. } = event {
                lowered_at = Some(step);
                for file in files_in(folder.path()) {
                    std::fs::copy(folder.path().join(&file), killed.path().join(&file)).unwrap();
                }
            }
            ControlFlow::Continue(())
        })
        .unwrap();
    let checkpoint = Checkpoint::open(killed.path()).unwrap();
    assert_eq!(Some(checkpoint.step()), lowered_at);
    let mut resumed = Trainer::resume(gpu(), &checkpoint).unwrap();
    resumed.set_checkpointing(None);
    assert_eq!(resumed.fit(&set, None).unwrap().lowered, 1);
    assert_eq!(bits(&resumed.weights().unwrap()), bits(&trainer.weights().unwrap()));
}

/// Finds a rate that becomes 0, with which a run learns nothing to its end; and a fit that was broken off there and changes the next one.
#[test]
fn a_rate_is_not_lowered_to_nothing() {
    let (first, second) = (good(1), good(2));
    let bad = set(&[&first, &second, &overflowing()]);
    let lowering = |times| {
        let mut trainer = trainer(Optimizer::sgd(0.1), NonFinite::Lower);
        let options = TrainOptions { lower_factor: 1e-30, lower_times: times, ..trainer.options().clone() };
        let weights = trainer.weights().unwrap();
        trainer = Trainer::on(gpu(), trainer.network().clone(), options).unwrap();
        trainer.set_weights(&weights).unwrap();
        trainer
    };
    let (history, rates, _) = lowered(&mut lowering(5), &bad);
    assert_eq!(rates.len(), 1, "{rates:?}");
    assert!(matches!(history, Err(Error::NonFinite { step: 3, .. })), "{history:?}");

    let mut trainer = lowering(5);
    let broken_off = trainer.fit_with(&bad, None, |event| match event {
        Event::RateLowered { .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    });
    assert_eq!(broken_off.unwrap().lowered, 1);
    // Other rows than those: nothing is left of where that fit would have gone on.
    let history = trainer.fit(&set(&[&first, &second]), None).unwrap();
    assert_eq!((history.lowered, history.epochs.len()), (0, 2));
}

/// The program takes the option and the keys of run.toml, and prints the line of `--json`.
#[test]
fn the_program_lowers_the_rate() {
    let folder = tempfile::tempdir().unwrap();
    let set = golden_file("adam").to_str().unwrap().to_string();
    let toml = format!(
        "[data]\ntrain = '{set}'\nvalidation = 'none'\n[model]\nhidden = [6]\n[optimizer]\nkind = 'sgd'\nlr = 1e30\n\
         [train]\nepochs = 2\nlower_factor = 1e-16\nlower_times = 5\n"
    );
    std::fs::write(folder.path().join("run.toml"), toml).unwrap();
    let out = succeed(folder.path(), &["train", "--config", "run.toml", "--non-finite", "lower", "--json"]);
    let lowered = out.lines().filter(|line| line.contains("\"event\":\"rate_lowered\"")).collect::<Vec<_>>();
    assert!(!lowered.is_empty() && lowered[0].contains("\"of\":5"), "{out}");
    let out = succeed(folder.path(), &["train", "--config", "run.toml", "--non-finite", "lower"]);
    assert!(out.contains("with a learning rate of"), "{out}");
}
