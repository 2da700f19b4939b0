//! Steps that each process makes with weights of its own, which are averaged now and then.

use std::ops::ControlFlow;
use std::sync::Arc;

use wgrad::{
    Activation, Checkpoint, Dataset, Event, Every, History, LayerWeights, Network, NonFinite, Optimizer, Processes,
    TrainOptions, Trainer, Weights,
};

use crate::checkpoints::{checkpointing, file};
use crate::shards::each;
use crate::support::{assert_close, flat, gpu, learnable, refused};

/// Minibatches of 16, in the rows' own order, of which each of two processes has eight rows.
fn options(sync_every: u64) -> TrainOptions {
    TrainOptions {
        optimizer: Optimizer::sgd(0.1),
        batch_size: 16,
        shards: Some(4),
        sync_every: Some(sync_every),
        epochs: 3,
        shuffle: false,
        seed: 3,
        ..TrainOptions::default()
    }
}

fn network() -> Network {
    Network::new(9).dense(13, Activation::Tanh).dense(5, Activation::Identity)
}

fn trainer(options: &TrainOptions) -> Trainer {
    Trainer::on(gpu(), network(), options.clone()).unwrap()
}

/// What each of some processes comes to: weights, and what all of its epochs report.
fn runs(count: usize, options: &TrainOptions, set: &Dataset) -> Vec<(Vec<f64>, String, History)> {
    each(count, |processes| {
        let mut trainer = trainer(options);
        trainer.among(processes).unwrap();
        let history = trainer.fit(set, Some(set)).unwrap();
        let epochs: Vec<_> = history.epochs.iter().map(|epoch| (epoch.training, epoch.validation)).collect();
        (flat(&trainer.weights().unwrap()), format!("{epochs:?}"), history)
    })
}

/// Finds weights that are not those that two trainers come to, each with its own half of every minibatch, where their weights are averaged after every second step by hand.
#[test]
fn weights_are_averages_of_what_each_process_trained_alone() {
    let set = learnable(56, 9, 5, 1);
    let plain = TrainOptions { shards: None, sync_every: None, batch_size: 8, epochs: 1, ..options(2) };
    let trained = |weights: &Weights, lr: f64, rows: Vec<usize>| {
        let mut own = trainer(&TrainOptions { optimizer: Optimizer::sgd(lr), ..plain.clone() });
        own.set_weights(weights).unwrap();
        own.fit(&set.select(rows).unwrap(), None).unwrap();
        own.weights().unwrap()
    };
    let mut weights = trainer(&plain).weights().unwrap();
    for _ in 0..3 {
        let halves = [0, 8].map(|at| (at..at + 8).chain(at + 16..at + 24).collect());
        let [first, second] = halves.map(|rows| trained(&weights, 0.1, rows));
        weights = mean(&first, &second);
        // The last minibatch has eight rows, all of the first process, where each counts for a sixteenth of two means.
        let first = trained(&trained(&weights, 0.1, (32..40).collect()), 0.2, (48..56).collect());
        weights = mean(&first, &trained(&weights, 0.1, (40..48).collect()));
    }
    for (own, _, history) in runs(2, &options(2), &set) {
        assert_close("averages", &own, &flat(&weights), 1e-5);
        assert!(history.stats.exchanged_bytes > 0);
    }
}

/// The mean of two networks' weights.
fn mean(one: &Weights, other: &Weights) -> Weights {
    let means = |one: &mut [f32], other: &[f32]| {
        one.iter_mut().zip(other).for_each(|(one, other)| *one = (*one + other) / 2.0);
    };
    let layer = |(one, other): (&LayerWeights, &LayerWeights)| {
        let mut mean = one.clone();
        means(&mut mean.weight, &other.weight);
        means(&mut mean.bias, &other.bias);
        mean
    };
    Weights::new(one.layers.iter().zip(&other.layers).map(layer).collect())
}

/// Finds averages after each step that are another thing than sums of gradients, where the two are the same but for rounding.
#[test]
fn averages_after_every_step_of_sgd_are_sums_of_gradients() {
    let set = learnable(40, 9, 5, 1);
    let summed = runs(4, &TrainOptions { sync_every: None, ..options(1) }, &set);
    for (own, ..) in runs(4, &options(1), &set) {
        assert_close("averages", &own, &summed[0].0, 2e-5);
    }
}

/// Finds processes that end in other weights than each other, or than in a run before; an optimizer's values that are not averaged, so that a run that goes on from a checkpoint, where process 0's are
/// those of all, ends otherwise; and one that does not end at a step of all.
#[test]
fn all_processes_end_alike_also_from_a_checkpoint() {
    let set = learnable(40, 9, 5, 1);
    let options =
        TrainOptions { optimizer: Optimizer::keras_adam(), ema: Some(0.9), shuffle: true, epochs: 4, ..options(2) };
    let whole = runs(2, &options, &set);
    assert!(whole[0].0 == whole[1].0 && whole[0].1 == whole[1].1);
    assert!(runs(2, &options, &set)[0].0 == whole[0].0);
    let one = runs(1, &options, &set);
    assert!(one[0].0 != whole[0].0, "of one process they are other weights");

    let folder = tempfile::tempdir().unwrap();
    let steps = each(2, |processes: Arc<dyn Processes>| {
        let checkpoint = checkpointing(folder.path(), Every::Steps(2));
        let mut trainer = trainer(&TrainOptions { checkpoint, ..options.clone() });
        let rank = processes.rank();
        trainer.among(processes).unwrap();
        let ends = trainer.fit_with(&set, Some(&set), |event| match event {
            Event::Epoch(epoch) if rank == 1 && epoch.epoch == 2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        ends.map(|_| trainer.steps_done()).unwrap()
    });
    assert_eq!(steps, [6, 6]);
    for step in [4, 6] {
        let saved = Checkpoint::open(file(folder.path(), step)).unwrap();
        let ends = each(2, |processes| {
            let mut trainer = Trainer::resume(gpu(), &saved).unwrap();
            trainer.set_checkpointing(None);
            trainer.among(processes).unwrap();
            trainer.fit(&set, Some(&set)).unwrap();
            flat(&trainer.weights().unwrap())
        });
        assert!(ends.iter().all(|own| *own == whole[0].0), "from step {step}");
    }
}

/// Finds a process whose own numbers alone are not finite, of which the others hear nothing.
#[test]
fn numbers_that_are_not_finite_in_one_process_end_all() {
    // Of the second process alone, whose second step has an infinite loss.
    let rows = (0..40).map(|row| ([if (8..16).contains(&row) { 1e30 } else { 1.0 }; 9], row as u32 % 5));
    let set = Dataset::from_rows(rows).unwrap();
    let ends = each(2, |processes| {
        let network = Network::new(9).dense(13, Activation::Relu).dense(5, Activation::Identity);
        let mut trainer = Trainer::on(gpu(), network, options(2)).unwrap();
        trainer.among(processes).unwrap();
        trainer.fit(&set, None).map(|_| ()).map_err(|error| error.to_string())
    });
    assert!(ends.iter().all(|end| end.as_ref().is_err_and(|words| words.contains("not finite"))), "{ends:?}");
}

/// Finds options that cannot be had with local steps, that are taken all the same.
#[test]
fn what_cannot_be_averaged_is_refused() {
    let made = |options: TrainOptions| Trainer::on(gpu(), network(), options);
    refused(&["sync_every is 0", "1 step or more"], made(options(0)));
    refused(&["sync_every is 2", "set shards too"], made(TrainOptions { shards: None, ..options(2) }));
    refused(&["sync_every is 2", "stop or lower"], made(TrainOptions { non_finite: NonFinite::Skip, ..options(2) }));
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = checkpointing(folder.path(), Every::Steps(3));
    refused(&["sync_every is 2", "checkpoints come every 3 steps"], made(TrainOptions { checkpoint, ..options(2) }));
}
