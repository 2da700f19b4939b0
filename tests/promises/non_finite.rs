//! Steps whose numbers are not finite: seen on the device by their bits, skipped and counted there where that is asked for.

use wgrad::{
    Activation, Dataset, Initializer, LayerWeights, Loss, Network, NonFinite, Optimizer, TrainOptions, Trainer, Weights,
};

use crate::support::{Random, assert_dispatches, bits, gpu};

const BATCH: usize = 4;
const WIDTH: usize = 5;

/// Minibatches of rows, each as the caller makes it; a row's label is its place's.
fn set(batches: &[&[f32]]) -> Dataset {
    let rows: Vec<f32> = batches.concat();
    let labels = (0..rows.len() / WIDTH).map(|row| (row % BATCH) as u32 % 3).collect();
    Dataset::from_f32(rows, WIDTH, labels).unwrap()
}

fn good(seed: u64) -> Vec<f32> {
    Random(seed).values(BATCH * WIDTH).into_iter().map(|value| value as f32).collect()
}

/// A minibatch with one feature so large that logits overflow.
fn overflowing() -> Vec<f32> {
    let mut rows = good(9);
    rows[7] = 3e38;
    rows[8] = -3e38;
    rows
}

fn trainer(optimizer: Optimizer, non_finite: NonFinite) -> Trainer {
    let network = Network::classifier(WIDTH, &[6], Activation::Relu, 3);
    let options =
        TrainOptions { optimizer, non_finite, batch_size: BATCH, shuffle: false, epochs: 2, ..TrainOptions::default() };
    let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
    let mut weights = Initializer::Torch.weights(&network, 3);
    weights.layers.iter_mut().for_each(|layer| layer.weight.iter_mut().for_each(|weight| *weight *= 4.0));
    trainer.set_weights(&weights).unwrap();
    trainer
}

/// A skipped step that moves a weight, a moment or the count that Adam corrects its bias by: the bits must be those of a run
/// that never met the bad minibatch.
#[test]
fn a_skipped_step_leaves_no_trace_but_the_count() {
    let (first, second) = (good(1), good(2));
    for optimizer in ["adam", "sgd", "nadam", "rmsprop", "muon"] {
        // Two for the norms and one for the updates they wait for; Muon's own for its one hidden layer besides.
        let dispatches = 3 + 2 + 1 + if optimizer == "muon" { 2 + 3 * 5 } else { 0 };
        let optimizer = Optimizer { lr: 0.01, ..Optimizer::from_name(optimizer).unwrap() };
        let mut skipping = trainer(optimizer, NonFinite::Skip);
        let history = skipping.fit(&set(&[&first, &overflowing(), &second]), None).unwrap();
        let mut clean = trainer(optimizer, NonFinite::Skip);
        let expected = clean.fit(&set(&[&first, &second]), None).unwrap();
        assert_eq!(history.epochs.iter().map(|epoch| epoch.skipped_steps).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(expected.epochs.iter().map(|epoch| epoch.skipped_steps).collect::<Vec<_>>(), [0, 0]);
        assert_dispatches(history.stats.dispatches / history.stats.steps, dispatches, 2, optimizer.name());
        assert!(history.epochs.iter().all(|epoch| epoch.training.loss.is_finite()));
        assert_eq!(bits(&skipping.weights().unwrap()), bits(&clean.weights().unwrap()), "{optimizer:?}");
    }
}

/// The same that stops by default, naming the step.
#[test]
fn training_stops_at_a_loss_that_is_not_finite_unless_told_otherwise() {
    let mut stopping = trainer(Optimizer::sgd(0.1), NonFinite::Stop);
    let error = stopping.fit(&set(&[&good(1), &overflowing(), &good(2)]), None).unwrap_err();
    assert!(error.to_string().contains("step 2 (epoch 1)"), "{error}");
}

/// A gradient that overflows under a loss that does not: only the gradient's own bits tell.
#[test]
fn a_gradient_that_overflows_under_a_finite_loss_is_skipped() {
    let features: Vec<f32> = vec![1.0, 1e38, 1.0, 0.5];
    let set = Dataset::from_f32(features, 2, vec![0; 2]).unwrap().with_targets(vec![1e3, 1e3], 1).unwrap();
    let network = Network::classifier(2, &[], Activation::Relu, 1);
    // The large feature has no weight: the output is small, the gradient 1e38 times the residual.
    let layer = LayerWeights { inputs: 2, outputs: 1, weight: vec![0.5, 0.0], bias: vec![0.0] };
    let weights = Weights { layers: vec![layer] };
    let options = |non_finite| TrainOptions {
        loss: Loss::MeanSquaredError,
        optimizer: Optimizer::sgd(0.1),
        non_finite,
        batch_size: 1,
        shuffle: false,
        steps: Some(1),
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::on(gpu(), network, options(NonFinite::Skip)).unwrap();
    trainer.set_weights(&weights).unwrap();
    let epoch = trainer.fit(&set, None).unwrap().epochs[0];
    assert!(epoch.training.loss.is_finite() && epoch.training.loss > 1e5);
    assert_eq!(epoch.skipped_steps, 1);
    assert_eq!(trainer.weights().unwrap(), weights);
    let epoch = trainer.fit(&set, None).unwrap().epochs[0];
    assert_eq!(epoch.skipped_steps, 0);
    assert_ne!(trainer.weights().unwrap(), weights);
}
