//! The same seed gives the same bits, and the loop never waits.

use std::ops::ControlFlow;

use wgrad::{Activation, Dataset, Event, Network, Optimizer, TrainOptions, Trainer, Weights};

use crate::dispatches::{Step, promised};
use crate::support::{bits, gpu, learnable, own_gpu, succeed, wgrad};

/// The seed network on rows of its width: enough of them for a short last batch and several chunks.
fn seed_network() -> (Network, Dataset) {
    (Network::classifier(784, &[256], Activation::Relu, 10), learnable(1000, 784, 10, 1))
}

fn trained(options: TrainOptions) -> Weights {
    let (network, set) = seed_network();
    let mut trainer = Trainer::on(gpu(), network, TrainOptions { epochs: 2, ..options }).unwrap();
    trainer.fit(&set, None).unwrap();
    trainer.weights().unwrap()
}

/// Finds a reduction whose order depends on timing; a step that is lost or doubled where one submission ends.
#[test]
fn same_seed_same_bits_whatever_the_chunking() {
    // 334 steps an epoch, the last of them short.
    let small = TrainOptions { batch_size: 3, ..TrainOptions::default() };
    let reference = bits(&trained(small.clone()));
    assert_eq!(bits(&trained(small.clone())), reference, "a second run");
    for chunk in [1, 7, 256] {
        let options = TrainOptions { steps_per_submission: Some(chunk), ..small.clone() };
        assert_eq!(bits(&trained(options)), reference, "{chunk} steps a submission");
    }
}

/// Finds a seed that does nothing: eight runs, eight models (a complaint about every engine we looked at). And the reverse: a seed that moves only
/// the order, or only the weights.
#[test]
fn another_seed_is_another_model() {
    let reference = bits(&trained(TrainOptions::default()));
    let other = TrainOptions { seed: 1, ..TrainOptions::default() };
    assert_ne!(bits(&trained(other.clone())), reference);
    let (network, set) = seed_network();
    let with_seed = |seed| Trainer::on(gpu(), network.clone(), TrainOptions { seed, ..other.clone() }).unwrap();
    let initial = with_seed(0).weights().unwrap();
    assert_ne!(bits(&initial), bits(&with_seed(1).weights().unwrap()), "initial weights");
    let orders: Vec<Vec<u32>> = [2, 3]
        .into_iter()
        .map(|seed| {
            let mut trainer = with_seed(seed);
            trainer.set_weights(&initial).unwrap();
            trainer.fit(&set, None).unwrap();
            bits(&trainer.weights().unwrap())
        })
        .collect();
    assert_ne!(orders[0], orders[1], "the order, from the same weights");
    assert_ne!(
        bits(&trained(TrainOptions { shuffle: false, ..TrainOptions::default() })),
        reference,
        "the set's own order"
    );
}

/// Finds something that differs from process to process: a hash map's order, an address, a driver's cache.
#[test]
fn two_processes_write_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["a.safetensors", "b.safetensors"] {
        succeed(folder.path(), &["train", "--steps", "40", "--seed", "7", "--save", file]);
    }
    let read = |file: &str| std::fs::read(folder.path().join(file)).unwrap();
    assert!(read("a.safetensors") == read("b.safetensors"));
}

/// Finds a second `fit` that begins the epoch, the order or the optimizer anew.
#[test]
fn fit_goes_on_where_it_ended() {
    let (network, set) = seed_network();
    let run = |parts: &[u64]| {
        let mut trainer = None;
        for &steps in parts {
            let options = TrainOptions { steps: Some(steps), ..TrainOptions::default() };
            let trainer = trainer.get_or_insert_with(|| Trainer::on(gpu(), network.clone(), options.clone()).unwrap());
            trainer.set_steps(Some(steps));
            trainer.fit(&set, None).unwrap();
        }
        bits(&trainer.unwrap().weights().unwrap())
    };
    assert_eq!(run(&[50]), run(&[7, 30, 13]));
}

/// Finds a fit on another set that begins in the middle of its first epoch, or with the wrong number.
#[test]
fn another_set_begins_an_epoch_of_its_own() {
    let network = Network::classifier(4, &[4], Activation::Relu, 2);
    let options = TrainOptions { batch_size: 5, ..TrainOptions::default() };
    let mut trainer = Trainer::on(gpu(), network, options).unwrap();
    let mut fit = |rows: usize, steps: u64| -> Vec<(u64, u64)> {
        trainer.set_steps(Some(steps));
        let history = trainer.fit(&learnable(rows, 4, 2, 1), None).unwrap();
        history.epochs.iter().map(|epoch| (epoch.epoch, epoch.training.rows)).collect()
    };
    assert_eq!(fit(22, 7), [(1, 22), (2, 10)]);
    assert_eq!(fit(22, 1), [(2, 5)], "the same set: on in the second epoch");
    assert_eq!(fit(13, 4), [(3, 13), (4, 5)], "another: from its beginning, with a short last batch");
}

/// Finds sums that lose a step, or one row of the minibatch: an epoch's loss is the mean of its steps', seen one by one.
#[test]
fn an_epochs_loss_is_the_mean_over_its_rows() {
    let (network, set) = seed_network();
    let options = TrainOptions { epochs: 1, ..TrainOptions::default() };
    let new = || Trainer::on(gpu(), network.clone(), options.clone()).unwrap();
    let whole = new().fit(&set, None).unwrap().epochs[0].training;
    let mut single = new();
    single.set_steps(Some(1));
    let (mut loss, mut hits) = (0.0, 0.0);
    for _ in 0..32 {
        let step = single.fit(&set, None).unwrap().epochs[0].training;
        loss += step.loss * step.rows as f64;
        hits += step.accuracy.unwrap() * step.rows as f64;
    }
    assert!((whole.loss / (loss / 1000.0) - 1.0).abs() < 1e-6, "{} against {}", whole.loss, loss / 1000.0);
    assert!((whole.accuracy.unwrap() - hits / 1000.0).abs() < 1e-12);
}

/// Finds progress that goes backwards, comes from another epoch, or costs a blocking read; a run that cannot be broken off.
#[test]
fn progress_is_reported_while_a_run_goes_on_and_may_end_it() {
    let set = learnable(60_000, 16, 4, 1);
    let network = Network::classifier(16, &[64], Activation::Relu, 4);
    let options = TrainOptions { batch_size: 4, steps_per_submission: Some(20), ..TrainOptions::default() };
    let mut trainer = Trainer::on(gpu(), network, options).unwrap();
    let mut told = Vec::new();
    let history = trainer
        .fit_with(&set, None, |event| match event {
            Event::Progress(progress) if told.len() < 3 => {
                told.push(progress);
                ControlFlow::Continue(())
            }
            _ => ControlFlow::Break(()),
        })
        .unwrap();
    assert_eq!(told.len(), 3, "an epoch of 15,000 steps takes longer than three tenths of a second");
    for (progress, next) in told.iter().zip(&told[1..]) {
        assert!(progress.step < next.step && next.step < 15_000 && progress.epoch == 1);
        assert_eq!(progress.so_far.rows, 4 * progress.step);
        assert!(progress.so_far.loss.is_finite() && progress.so_far.loss > 0.0);
    }
    assert_eq!(history.epochs.len(), 1);
    assert!(history.stats.steps < 15_000, "broken off");
    assert_eq!(history.epochs[0].training.rows, 4 * history.stats.steps);
    assert!(history.stats.traffic.blocking_reads <= 1, "{:?}", history.stats);
}

/// Finds a host that waits on every step or submits every step, and a kernel that should have been fused: promises 1 and 2.
#[test]
fn the_loop_stays_on_the_device() {
    let (network, set) = seed_network();
    let options = TrainOptions { epochs: 3, steps_per_submission: Some(16), ..TrainOptions::default() };
    let mut trainer = Trainer::on(gpu(), network, options).unwrap();
    let validation = learnable(100, 784, 10, 2);
    let history = trainer.fit(&set, Some(&validation)).unwrap();
    assert_eq!(history.epochs.len(), 3);
    assert_eq!(history.stats.steps, 3 * 32);
    let a_step = promised(Step::of_seed(&Optimizer::keras_adam()));
    assert_eq!(trainer.plan(&set).unwrap().dispatches().len() as u64, a_step, "dispatches of a training step");
    for epoch in &history.epochs {
        assert!(epoch.stats.traffic.blocking_reads <= 1, "{:?}", epoch.stats);
        // Two chunks and their sums, and the same for one step of validation.
        assert!(epoch.stats.traffic.submissions <= 5, "{:?}", epoch.stats);
        // The forward pass, the loss, and the counter of the one step of validation.
        assert_eq!(epoch.stats.dispatches, a_step * 32 + 3, "{:?}", epoch.stats);
    }
}

/// Finds a chunk size that never grows from its first guess.
#[test]
fn submissions_are_sized_by_the_measured_step() {
    let set = learnable(2000, 4, 2, 3);
    let options = TrainOptions { epochs: 4, batch_size: 4, ..TrainOptions::default() };
    let network = Network::classifier(4, &[4], Activation::Relu, 2);
    let history = Trainer::on(gpu(), network, options).unwrap().fit(&set, None).unwrap();
    assert!(history.stats.traffic.submissions * 4 < history.stats.steps, "{:?}", history.stats);
}

/// Finds a driver's complaint that aborts the process, or a lost device whose results are believed.
#[test]
fn a_lost_device_is_an_error() {
    let gpu = own_gpu();
    let (network, set) = seed_network();
    let mut trainer = Trainer::on(std::sync::Arc::clone(&gpu), network, TrainOptions::default()).unwrap();
    gpu.lose();
    let error = trainer.fit(&set, None).unwrap_err();
    assert!(matches!(error, wgrad::Error::Device(_)), "{error}");
}

/// Finds a loss that becomes NaN and trains on in silence: the step is named, and nothing is written but the model as it was before.
#[test]
fn a_loss_that_breaks_down_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = wgrad(folder.path(), &["train", "--optimizer", "sgd", "--lr", "1e30", "--epochs", "1"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("not finite in step 2"), "{message}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("after step 1 is in model.safetensors"));
    std::fs::remove_file(folder.path().join("model.safetensors")).unwrap();
    // An update after the last loss, which was finite, so large that what it is validated by overflows; the weights do not.
    let output = wgrad(folder.path(), &["train", "--optimizer", "sgd", "--lr", "3e38", "--steps", "1"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("validation after epoch 1: the evaluated loss is not finite"), "{message}");
    assert!(String::from_utf8_lossy(&output.stdout).contains("after step 1 is in model.safetensors"));
}

/// Finds an activation that swallows a NaN, and a result that is printed as if it were one: weights so large that every sum overflows.
#[test]
fn weights_that_overflow_are_an_error_everywhere() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::classifier(784, &[4], Activation::Relu, 10);
    let mut weights = wgrad::Initializer::Torch.weights(&network, 1);
    for (at, weight) in weights.layers[0].weight.iter_mut().enumerate() {
        *weight = if at % 2 == 0 { 3e38 } else { -3e38 };
    }
    wgrad::Model::new(network, weights, wgrad::Loss::default()).write(folder.path().join("m.safetensors")).unwrap();
    for (command, words) in [
        (&["train", "--hidden", "4", "--steps", "5", "--init", "m.safetensors"][..], "not finite in step 1 (epoch 1)"),
        (&["evaluate", "--model", "m.safetensors"], "the evaluated loss is not finite"),
        (&["predict", "--model", "m.safetensors", "--rows", "0-9"], "a logit of row 0 is"),
    ] {
        let output = wgrad(folder.path(), command);
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{command:?}: {message}");
        assert!(message.contains(words), "{command:?}: {message}");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}

/// Finds a sum that drifts over an epoch, or a compensation that a compiler took for 0: twenty thousand rows of the same loss.
#[test]
fn long_sums_lose_nothing() {
    let rows = 20_000;
    let network = Network::classifier(2, &[], Activation::Relu, 3);
    let options = TrainOptions {
        optimizer: wgrad::Optimizer::sgd(0.0),
        initializer: wgrad::Initializer::Constant(0.1),
        batch_size: 1,
        epochs: 1,
        ..TrainOptions::default()
    };
    let set = Dataset::from_u8(vec![128; 2 * rows], 2, vec![1; rows]).unwrap();
    let mut trainer = Trainer::on(gpu(), network, options).unwrap();
    let history = trainer.fit(&set, None).unwrap();
    // Logits that are all alike: log 3, to f32's last digit.
    let loss = history.epochs[0].training.loss;
    assert!((loss - 3f64.ln()).abs() < 1.5e-7, "{loss}");
}
