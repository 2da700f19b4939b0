//! Shards of minibatches: a run has the same bits for any number of processes. In these tests threads stand for processes; `tests/mpi` has processes of an MPI.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use wgrad::{
    Activation, AttentionLayer, Augmentation, Checkpoint, Dataset, EarlyStopping, Event, Every, History, ImageShape,
    Loss, Network, NonFinite, Optimizer, Processes, ReduceOnPlateau, TrainOptions, Trainer,
};

use crate::checkpoints::{checkpointing, file};
use crate::support::{Random, assert_close, bits, flat, gpu, learnable, refused};
use crate::threads::{NO_DELAY, threads};

/// What each of `count` processes comes to.
pub fn each<T: Send>(count: usize, run: impl Fn(Arc<dyn Processes>) -> T + Sync) -> Vec<T> {
    std::thread::scope(|scope| {
        let started = threads(count, NO_DELAY).into_iter().map(|own| scope.spawn(|| run(Arc::new(own))));
        let started: Vec<_> = started.collect();
        started.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

/// A network, its set and its options.
type Job = (&'static str, Network, Dataset, TrainOptions);

/// 40 rows in minibatches of 16: the last has 8, so half of its shards are empty.
fn options() -> TrainOptions {
    let optimizer = Optimizer { lr: 0.02, ..Optimizer::keras_adam() };
    TrainOptions { optimizer, batch_size: 16, shards: Some(8), epochs: 3, seed: 3, ..TrainOptions::default() }
}

fn dense() -> Network {
    Network::new(9).dense(13, Activation::Relu).layer_norm().dense(12, Activation::Tanh).dense(5, Activation::Identity)
}

/// Its gradients are three buckets: of the last two layers, of the second, and of the first.
fn large() -> Network {
    let hidden = |network: Network, width| network.dense(width, Activation::Tanh);
    hidden(hidden(hidden(Network::new(9), 600), 700), 700).dense(5, Activation::Identity)
}

fn images() -> Dataset {
    let (random, width) = (&mut Random(5), 8 * 7 * 3);
    let features = (0..40 * width).map(|_| random.bits() as u8).collect();
    let set = Dataset::from_u8(features, width, (0..40).map(|row| row * row % 4).collect());
    set.and_then(|set| set.with_image_shape(ImageShape { height: 8, width: 7, channels: 3 })).unwrap()
}

fn convolutions(dropout: f64) -> Network {
    Network::image(8, 7, 3)
        .conv(8, 3, Activation::Relu)
        .max_pool(2)
        .conv(12, 2, Activation::Relu)
        .flatten()
        .dropout(dropout)
        .dense(4, Activation::Identity)
}

fn tokens(dropout: f64) -> Network {
    let attention = AttentionLayer::new(2).causal().weights_dropout(dropout);
    Network::tokens(10)
        .embedding(12, 30)
        .positions(10)
        .residual(|body| body.layer_norm().with(attention.into()))
        .residual(|body| body.layer_norm().dense(20, Activation::Gelu).dense(12, Activation::Identity))
        .layer_norm()
        .dense(30, Activation::Identity)
}

fn text() -> Dataset {
    let random = &mut Random(4);
    Dataset::of_text((0..50).map(|_| random.below(30) as u32).collect(), 10).unwrap()
}

fn jobs() -> Vec<Job> {
    let plain = learnable(40, 9, 5, 1);
    let weights = (0..40).map(|row| [0.5, 2.0, 0.0, 1.5][row % 4]).collect();
    let weighted = plain.clone().with_sample_weights(weights).unwrap();
    let ignoring = Loss::SoftmaxCrossEntropy {
        label_smoothing: 0.1,
        class_weights: Some(vec![1.0, 2.0, 0.5, 1.0, 3.0]),
        ignore_index: Some(2),
        gamma: 0.0,
    };
    let ignoring_tokens =
        Loss::SoftmaxCrossEntropy { label_smoothing: 0.0, class_weights: None, ignore_index: Some(2), gamma: 0.0 };
    let sgd = Optimizer::sgd(0.1);
    let muon = Optimizer { lr: 0.02, ..Optimizer::from_name("muon").unwrap() };
    let augmentation = Some(Augmentation { crop_padding: 2, flip: true, cutout: 3 });
    let dropping = Network::new(9).dense(13, Activation::Relu).dropout(0.2).dense(5, Activation::Identity);
    vec![
        ("dense", dense(), plain.clone(), options()),
        ("clipped", dense(), weighted, TrainOptions { clip_grad_norm: Some(0.3), ..options() }),
        ("ignored rows", dense(), plain.clone(), TrainOptions { loss: ignoring, ..options() }),
        (
            "skipping",
            dropping,
            plain.clone(),
            TrainOptions { non_finite: NonFinite::Skip, ema: Some(0.5), ..options() },
        ),
        ("gradients in buckets", large(), plain.clone(), TrainOptions { optimizer: sgd, ..options() }),
        ("muon", dense(), plain, TrainOptions { optimizer: muon, ..options() }),
        ("images", convolutions(0.0), images(), options()),
        ("augmented images", convolutions(0.3), images(), TrainOptions { augmentation, ..options() }),
        // A key's bias has a gradient of rounding errors alone, of which Adam would make whole steps.
        ("tokens", tokens(0.0), text(), TrainOptions { optimizer: sgd, ..options() }),
        ("ignored tokens", tokens(0.0), text(), TrainOptions { loss: ignoring_tokens, optimizer: sgd, ..options() }),
        ("dropped tokens", tokens(0.2), text(), TrainOptions { optimizer: sgd, ..options() }),
    ]
}

/// The results of a run: its weights, and its epochs without their times.
fn end(trainer: &mut Trainer, history: &History) -> (Vec<u32>, Vec<String>) {
    let epoch = |epoch: &wgrad::Epoch| {
        format!("{} {:?} {:?} {}", epoch.epoch, epoch.training, epoch.validation, epoch.learning_rate)
    };
    (bits(&trainer.weights().unwrap()), history.epochs.iter().map(epoch).collect())
}

/// Finds values of two shards that are taken from what pads their buffer, windows that other processes read otherwise, and what follows from an epoch, that does not come alike to all.
#[test]
fn two_processes_share_what_is_small_and_what_is_large() {
    let weights = (0..40).map(|row| [0.5, 2.0, 0.0, 1.5][row % 4]).collect();
    let weighted = learnable(40, 9, 5, 1).with_sample_weights(weights).unwrap();
    let of_epochs = TrainOptions {
        keep_best: true,
        early_stopping: Some(EarlyStopping { patience: 1, min_delta: 0.0 }),
        reduce_on_plateau: Some(ReduceOnPlateau { patience: 0, cooldown: 1, ..ReduceOnPlateau::default() }),
        optimizer: Optimizer::sgd(3.0),
        epochs: 9,
        ..options()
    };
    let changes = [
        ("two shards", TrainOptions { shards: Some(2), ..options() }),
        ("windows", TrainOptions { memory_budget: Some(2048), ..options() }),
        ("epochs that are judged", of_epochs),
    ];
    for (what, options) in changes {
        let run = |processes: Option<Arc<dyn Processes>>| {
            let mut trainer = trainer(&dense(), &options);
            processes.map_or(Ok(()), |processes| trainer.among(processes)).unwrap();
            let history = trainer.fit(&weighted, Some(&weighted)).unwrap();
            end(&mut trainer, &history)
        };
        let alone = run(None);
        for own in each(2, |processes| run(Some(processes))) {
            assert_eq!(own.1, alone.1, "{what}");
            assert!(own.0 == alone.0, "{what}");
        }
    }
}

/// Finds a process that goes back, or skips, where others do not, when numbers are not finite, and one that waits for ever for another that wanted no more then.
#[test]
fn numbers_that_are_not_finite_come_to_all_alike() {
    let set = learnable(40, 9, 5, 1);
    let diverging = Optimizer::sgd(3e38);
    for non_finite in [NonFinite::Lower, NonFinite::Skip, NonFinite::Stop] {
        let options = TrainOptions { optimizer: diverging, non_finite, lower_factor: 1e-30, ..options() };
        let run = |processes: Option<Arc<dyn Processes>>, breaks: bool| {
            let mut trainer = trainer(&dense(), &options);
            let rank = processes.as_ref().map_or(0, |processes| processes.rank());
            processes.map_or(Ok(()), |processes| trainer.among(processes)).unwrap();
            let history = trainer.fit_with(&set, None, |event| match event {
                Event::RateLowered { .. } if breaks && rank == 1 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            });
            (history.map(|history| history.epochs.len()).map_err(|error| error.to_string()), trainer.steps_done())
        };
        let alone = run(None, false);
        for own in each(4, |processes| run(Some(processes), false)) {
            // Of several processes it is seen a step later.
            let words = |result: &Result<usize, String>| result.clone().map_err(|error| error[..20].to_string());
            assert_eq!(words(&own.0), words(&alone.0), "{non_finite}");
        }
        if non_finite == NonFinite::Lower {
            let broken = each(4, |processes| run(Some(processes), true));
            assert!(broken.iter().all(|own| own == &broken[0]) && broken[0].0 == Ok(0), "{broken:?}");
        }
    }
}

fn trainer(network: &Network, options: &TrainOptions) -> Trainer {
    Trainer::on(gpu(), network.clone(), options.clone()).unwrap()
}

/// Finds a sum whose order follows the processes, a row's dropout or augmentation that follows from its shard or its process, a shard that is left out or counted twice, an empty shard that
/// changes something, a mean over one process' rows or weights, and running sums that lack other processes'.
#[test]
fn any_number_of_processes_ends_in_the_same_bits() {
    for (what, network, set, options) in jobs() {
        let mut alone = trainer(&network, &options);
        let history = alone.fit(&set, Some(&set)).unwrap();
        let expected = end(&mut alone, &history);
        for count in [2, 4, 8] {
            let ends = each(count, |processes| {
                let mut trainer = trainer(&network, &options);
                trainer.among(processes).unwrap();
                let history = trainer.fit(&set, Some(&set)).unwrap();
                let stats = history.stats;
                assert_eq!(stats.steps, expected.1.len() as u64 * 3);
                assert!(stats.exchanged_bytes > 0);
                end(&mut trainer, &history)
            });
            for (process, own) in ends.iter().enumerate() {
                assert_eq!(own.1, expected.1, "{what}, process {process} of {count}");
                assert!(own.0 == expected.0, "{what}: the weights of process {process} of {count}");
            }
        }
        // A minibatch as a whole has the same rows, masks and changes of images.
        let mut whole = trainer(&network, &TrainOptions { shards: None, ..options });
        whole.fit(&set, None).unwrap();
        let weights = [&mut alone, &mut whole].map(|trainer| flat(&trainer.weights().unwrap()));
        assert_close(what, &weights[0], &weights[1], 2e-5);
    }
}

/// Finds a process that goes on alone when the observer of another one broke off, a checkpoint without the running sums of other processes, or by another process than the first, and one that
/// another number of processes does not go on from to the same bits.
#[test]
fn a_run_goes_on_with_another_number_of_processes() {
    let (set, whole) = (learnable(40, 9, 5, 1), options());
    let expected = {
        let mut trainer = trainer(&dense(), &whole);
        let history = trainer.fit(&set, Some(&set)).unwrap();
        end(&mut trainer, &history)
    };
    let folder = tempfile::tempdir().unwrap();
    let interrupted = |path: &Path, processes: Arc<dyn Processes>, every: Every| {
        let checkpoint = checkpointing(path, every);
        let mut trainer = trainer(&dense(), &TrainOptions { checkpoint, ..whole.clone() });
        let rank = processes.rank();
        trainer.among(processes).unwrap();
        let history = trainer.fit_with(&set, Some(&set), |event| match event {
            // The second process alone wants no more.
            Event::Epoch(epoch) if rank == 1 && epoch.epoch == 2 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        (trainer.steps_done(), history.unwrap().epochs.len())
    };
    let broken = each(4, |processes| interrupted(folder.path(), processes, Every::Steps(2)));
    assert_eq!(broken, [(6, 2); 4]);
    // No checkpoint is due by then: the one that ends the run is made for it.
    let at_end = tempfile::tempdir().unwrap();
    let seldom = Every::Time(std::time::Duration::from_secs(3600));
    each(4, |processes| interrupted(at_end.path(), processes, seldom));
    assert_eq!(Checkpoint::open(at_end.path()).unwrap().step(), 6);
    let saved = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(saved.step(), 6);
    // In the middle of an epoch.
    let inside = Checkpoint::open(file(folder.path(), 4)).unwrap();
    for (checkpoint, count) in [(&saved, 2), (&inside, 8), (&inside, 1)] {
        let ends = each(count, |processes| {
            let mut trainer = Trainer::resume(gpu(), checkpoint).unwrap();
            trainer.set_checkpointing(None);
            trainer.among(processes).unwrap();
            let history = trainer.fit(&set, Some(&set)).unwrap();
            end(&mut trainer, &history)
        });
        for own in ends {
            assert_eq!(own.1, expected.1, "{count} processes");
            assert!(own.0 == expected.0, "{count} processes");
        }
    }
}

/// Finds processes that train different things, or on different rows, without a word, and an error that does not say which one, and what.
#[test]
fn processes_that_were_started_otherwise_are_refused() {
    let set = learnable(40, 9, 5, 1);
    let other_rows = learnable(40, 9, 5, 2);
    let odd = |change: &(dyn Fn(TrainOptions) -> TrainOptions + Sync), set_of: &(dyn Fn(usize) -> Dataset + Sync)| {
        each(4, |processes| {
            let rank = processes.rank();
            let options = if rank == 2 { change(options()) } else { options() };
            let mut trainer = trainer(&dense(), &options);
            trainer.among(processes).unwrap();
            trainer.fit(&set_of(rank), None).map(|_| ())
        })
    };
    let same = |_| set.clone();
    let cases = [
        ("train.seed", odd(&|options| TrainOptions { seed: 4, ..options }, &same)),
        ("train.batch_size", odd(&|options| TrainOptions { batch_size: 8, ..options }, &same)),
        ("training set", odd(&|options| options, &|rank| if rank == 2 { other_rows.clone() } else { set.clone() })),
    ];
    for (what, results) in cases {
        for result in results {
            refused(&[what, "in process 0, and", "in process 2", "must be started alike"], result);
        }
    }
}

/// Finds a minibatch that does not come in shards, and processes that cannot have as many each, that are trained all the same.
#[test]
fn what_does_not_come_in_shards_is_refused() {
    let made = |options: TrainOptions| Trainer::on(gpu(), dense(), options);
    refused(&["shards is 6", "power of two"], made(TrainOptions { shards: Some(6), ..options() }));
    refused(
        &["a batch of 20 rows", "8 shards", "a batch size of 16 or 24 does"],
        made(TrainOptions { batch_size: 20, ..options() }),
    );
    refused(
        &["accumulate is 2", "shards is 8", "a batch size of 32 rows"],
        made(TrainOptions { accumulate: 2, ..options() }),
    );
    let normed = Network::new(9).dense(13, Activation::Relu).batch_norm().dense(5, Activation::Identity);
    refused(&["layer 2 (batch_norm)", "layer_norm"], Trainer::on(gpu(), normed, options()));
    for (shards, count, words) in
        [(None, 2, "a run that begins with 2 shards or more"), (Some(2), 4, "start 1 or 2 processes")]
    {
        let one = threads(count, NO_DELAY).swap_remove(0);
        let mut trainer = made(TrainOptions { shards, ..options() }).unwrap();
        refused(&[&format!("{count} processes cannot share"), words], trainer.among(Arc::new(one)));
    }
}

/// Finds gradients that are all told at the end of a step, where earlier layers could be computed meanwhile.
#[test]
fn gradients_of_later_layers_are_ready_before_those_of_earlier_ones() {
    let plan = trainer(&large(), &options()).plan(&learnable(40, 9, 5, 1)).unwrap();
    let mut ready = plan.ready();
    ready.iter_mut().for_each(|(_, parameters)| parameters.sort_unstable());
    let parameters: Vec<&[usize]> = ready.iter().map(|(_, parameters)| &parameters[..]).collect();
    assert_eq!(parameters, [&[2, 3][..], &[1], &[0]]);
    let kernels: Vec<&str> = plan.dispatches().iter().map(|dispatch| dispatch.launch.kernel).collect();
    for (end, parameters) in &ready[..2] {
        assert!(kernels[*end..].contains(&"dense_backward"), "behind those of {parameters:?}: {:?}", &kernels[*end..]);
    }
}

/// Finds a step that waits more than once, one that sends more than its gradients twice, and a process that computes others' shards.
#[test]
fn a_step_waits_once() {
    let set = learnable(64, 9, 5, 1);
    let of_process = |count| {
        let all = each(count, |processes| {
            let mut trainer = trainer(&dense(), &options());
            trainer.among(processes).unwrap();
            let history = trainer.fit(&set, None).unwrap();
            (trainer.plan(&set).unwrap(), history.stats)
        });
        all.into_iter().next().unwrap()
    };
    let (alone, stats) = of_process(1);
    assert_eq!((alone.batch(), alone.parts(), alone.ready().len(), stats.exchanged_bytes), (2, 8, 1, 0));
    for count in [2, 8] {
        let (plan, stats) = of_process(count);
        assert_eq!((plan.batch(), plan.parts()), (2, 8 / count as u32));
        // One bucket of gradients a step, and one read after each epoch; what has arrived already is not waited for.
        let most_reads = stats.steps * plan.ready().len() as u64 + 3;
        assert!(stats.traffic.blocking_reads <= most_reads, "{} of {most_reads}", stats.traffic.blocking_reads);
        let gradients: u64 = plan
            .buffers()
            .iter()
            .filter(|buffer| buffer.role.to_string().starts_with("gradient_sum"))
            .map(|buffer| 4 * buffer.shape[1] * buffer.shape[2])
            .sum();
        let (stats_bytes, processes) = (16 * 28, count as u64);
        let most = 2 * gradients + processes * (stats_bytes / processes + 8);
        assert!(stats.exchanged_bytes <= stats.steps * most, "{} of {}", stats.exchanged_bytes, stats.steps * most);
    }
}
