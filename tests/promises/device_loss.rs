//! A device that is lost, or has no memory left, in the middle of a fit: an error that says where, or the run goes on by itself and ends in
//! the bits of a run without the loss.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use wgrad::{
    Activation, Checkpoint, Checkpointing, Dataset, Decay, EarlyStopping, Error, Event, Every, Generated, History,
    Loss, Network, NonFinite, Optimizer, ReduceOnPlateau, Schedule, TrainOptions, Trainer,
};

use crate::support::{Random, bits, files_in, learnable, own_gpu};

/// 6 steps an epoch, the last of them short.
fn sets() -> (Dataset, Dataset) {
    (learnable(40, 9, 5, 1), learnable(30, 9, 5, 2))
}

fn network() -> Network {
    Network::new(9).dense(13, Activation::Relu).dropout(0.2).dense(5, Activation::Identity)
}

/// What a run carries from step to step and from epoch to epoch: slots, a plateau, early stopping, the best weights. A step a submission.
fn options(checkpoint: Option<Checkpointing>) -> TrainOptions {
    TrainOptions {
        optimizer: Optimizer { lr: 0.05, ..Optimizer::keras_adam() },
        reduce_on_plateau: Some(ReduceOnPlateau { patience: 0, cooldown: 1, ..ReduceOnPlateau::default() }),
        early_stopping: Some(EarlyStopping { patience: 3, min_delta: 0.0 }),
        keep_best: true,
        batch_size: 7,
        epochs: 4,
        seed: 3,
        steps_per_submission: Some(1),
        checkpoint,
        ..TrainOptions::default()
    }
}

/// Submissions with which a fit reads where it begins: weights and slots of two layers, and the state.
const READS: u64 = 5;

fn every(folder: &Path, steps: u64) -> Option<Checkpointing> {
    Some(Checkpointing { every: Every::Steps(steps), keep: 1000, ..Checkpointing::new(folder) })
}

/// Finds the results of a driver that executes nothing, from the first submission on or from the middle of a run, and reports that all is done: zeros
/// that are taken for a loss, an accuracy, predictions or times, or that are written over a good checkpoint.
#[test]
fn a_driver_that_executes_nothing_is_found_out() {
    let (train, validation) = sets();
    let refused = |what: &str, error: Error| {
        let message = error.to_string();
        assert!(matches!(error, Error::Device(_)), "{what}: {error:?}");
        // Answers have no steps that are counted.
        let seen = match what {
            "predict" | "logits" | "classify" => "none has an output",
            _ => "its step counter says ",
        };
        assert!(message.contains(seen) && message.contains("did not execute"), "{what}: {message}");
    };
    let idle = |submission: u64, options: TrainOptions| {
        let gpu = own_gpu();
        let trainer = Trainer::on(Arc::clone(&gpu), network(), options).unwrap();
        gpu.idle_with(submission);
        trainer
    };
    for submission in [1, 5, 12] {
        let folder = tempfile::tempdir().unwrap();
        let mut trainer = idle(READS + submission, options(every(folder.path(), 1)));
        refused("fit", trainer.fit(&train, Some(&validation)).unwrap_err());
        // Those of the steps that were run are there, and no others.
        let kept = files_in(folder.path());
        assert!(kept.len() < submission as usize, "{submission}: {kept:?}");
        for file in kept {
            Checkpoint::open(folder.path().join(file)).unwrap().check().unwrap();
        }
    }
    refused("evaluate", idle(1, options(None)).evaluate(&validation).unwrap_err());
    refused("metrics", idle(1, options(None)).metrics(&validation).map(drop).unwrap_err());
    refused("predict", idle(1, options(None)).predict(&validation).unwrap_err());
    refused("logits", idle(1, options(None)).logits(&validation).unwrap_err());
    // Answers of the rows before, for others.
    let gpu = own_gpu();
    let weights = wgrad::Initializer::Torch.weights(&network(), 1);
    let model = wgrad::Model::new(network(), weights, Loss::default());
    let predictor = wgrad::Predictor::from_model(Arc::clone(&gpu), model).unwrap();
    let row = validation.row(0).unwrap();
    let answer = predictor.classify(&row).unwrap();
    assert_eq!(predictor.classify(&row).unwrap(), answer);
    gpu.idle_with(1);
    refused("classify", predictor.classify(&row).map(drop).unwrap_err());
    let trainer = idle(0, options(None));
    let plan = trainer.plan(&train).unwrap();
    let times = |gpu: &wgrad::Gpu| wgrad::profile::step_times(gpu, &plan, wgrad::gpu::Checks::On);
    times(trainer.gpu()).unwrap();
    trainer.gpu().idle_with(1);
    refused("times", times(trainer.gpu()).unwrap_err());
    let profile = wgrad::profile::profile(trainer.gpu(), &plan, wgrad::gpu::Checks::On);
    refused("profile", profile.map(drop).unwrap_err());
}

/// The results of a run: its weights, and its epochs without their times.
type End = (Vec<u32>, Vec<String>, Option<usize>);

fn end(trainer: &mut Trainer, history: &History) -> End {
    let epoch = |epoch: &wgrad::Epoch| {
        format!("{} {:?} {:?} {}", epoch.epoch, epoch.training, epoch.validation, epoch.learning_rate)
    };
    (bits(&trainer.weights().unwrap()), history.epochs.iter().map(epoch).collect(), history.kept)
}

fn undisturbed() -> End {
    let (train, validation) = sets();
    let mut trainer = Trainer::on(own_gpu(), network(), options(None)).unwrap();
    let history = trainer.fit(&train, Some(&validation)).unwrap();
    end(&mut trainer, &history)
}

/// The steps that a fit went on from, and its end.
fn fitted(trainer: &mut Trainer) -> (Vec<u64>, Result<History, Error>) {
    let (train, validation) = sets();
    let mut from = Vec::new();
    let history = trainer.fit_with(&train, Some(&validation), |event| {
        if let Event::DeviceReplaced { reason, step, times, of } = event {
            from.push(step);
            assert_eq!((times, of), (from.len() as u64, 3));
            assert!(reason.contains("the device failed") && reason.contains("epoch"), "{reason}");
        }
        ControlFlow::Continue(())
    });
    (from, history)
}

/// Finds a step done twice or not at all, sums that begin anew, an epoch reported to early stopping twice, results of a lost device that are used: in
/// the first submission, in an epoch, in its validation, in the last step, and in between.
#[test]
fn a_run_goes_on_when_its_device_is_lost() {
    let expected = undisturbed();
    let mut random = Random(7);
    let mut places = vec![1, 2, 9, 10, 11];
    // 4 epochs of 6 steps, each with its sums and its validation: some forty submissions.
    places.extend((0..4).map(|_| 12 + random.below(28) as u64));
    let mut went_back = Vec::new();
    for place in places {
        let folder = tempfile::tempdir().unwrap();
        let gpu = own_gpu();
        let mut trainer = Trainer::on(Arc::clone(&gpu), network(), options(every(folder.path(), 4))).unwrap();
        gpu.lose_with(&[READS + place]);
        let (from, history) = fitted(&mut trainer);
        assert_eq!(from.len(), 1, "submission {place}");
        assert!(end(&mut trainer, &history.unwrap()) == expected, "lost with submission {place}, on from {from:?}");
        assert!(gpu.check().unwrap_err().to_string().contains("lost"));
        trainer.gpu().check().unwrap();
        assert_eq!(Checkpoint::open(folder.path()).unwrap().step(), trainer.steps_done());
        went_back.extend(from);
    }
    assert!(went_back.contains(&0) && went_back.iter().any(|&step| step > 6), "{went_back:?}");
    assert!(went_back.iter().all(|step| step % 4 == 0), "{went_back:?}");
}

/// Finds a second loss of the device that ends the run, more losses than are allowed, and a run of losses that goes on for ever.
#[test]
fn a_run_survives_as_many_lost_devices_as_are_allowed() {
    let expected = undisturbed();
    let folder = tempfile::tempdir().unwrap();
    let gpu = own_gpu();
    let mut trainer = Trainer::on(Arc::clone(&gpu), network(), options(every(folder.path(), 4))).unwrap();
    gpu.lose_with(&[15, 12, 9]);
    let (from, history) = fitted(&mut trainer);
    assert_eq!(from.len(), 3);
    assert!(end(&mut trainer, &history.unwrap()) == expected, "{from:?}");

    let folder = tempfile::tempdir().unwrap();
    let gpu = own_gpu();
    let mut trainer = Trainer::on(Arc::clone(&gpu), network(), options(every(folder.path(), 4))).unwrap();
    gpu.lose_with(&[15, 3, 3, 3]);
    let (from, history) = fitted(&mut trainer);
    assert_eq!(from.len(), 3);
    let error = history.unwrap_err();
    assert!(matches!(error, Error::DeviceFailed { .. }), "{error}");
    assert!(error.to_string().contains("it had failed 3 times before, and may 3 times in a fit"), "{error}");
    // It says what it cannot do, and why.
    assert!(trainer.weights().unwrap_err().to_string().contains("lost"));

    let folder = tempfile::tempdir().unwrap();
    let gpu = own_gpu();
    let mut trainer = Trainer::on(Arc::clone(&gpu), network(), options(every(folder.path(), 4))).unwrap();
    gpu.lose_with(&[15]);
    gpu.refuse("another device", 1);
    let error = fitted(&mut trainer).1.unwrap_err().to_string();
    assert!(error.contains("lost") && error.contains("another device cannot be had: "), "{error}");

    // The adapter is lost with its device, as after a driver update: it is searched for again.
    let folder = tempfile::tempdir().unwrap();
    let gpu = own_gpu();
    let mut trainer = Trainer::on(Arc::clone(&gpu), network(), options(every(folder.path(), 4))).unwrap();
    gpu.lose_with(&[15]);
    gpu.refuse("the same adapter", 1);
    let history = fitted(&mut trainer).1.unwrap();
    assert!(end(&mut trainer, &history) == expected);
    assert_eq!(trainer.gpu().adapter(), gpu.adapter());
}

/// Finds a step that the device never reached, reported as done; and a trainer that goes on with state that it lost.
#[test]
fn without_checkpoints_a_lost_device_is_an_error_that_says_where() {
    let (train, validation) = sets();
    // Ten submissions an epoch: six steps, their sums, a step of validation, its sums, and the best weights.
    for (lost_with, step, epoch) in [(1, 1, 1), (4, 4, 1), (12, 8, 2), (14, 10, 2)] {
        let gpu = own_gpu();
        let mut trainer = Trainer::on(Arc::clone(&gpu), network(), options(None)).unwrap();
        gpu.lose_with(&[READS + lost_with]);
        let error = trainer.fit(&train, Some(&validation)).unwrap_err();
        let Error::DeviceFailed { done, sent, epoch: said, ref reason } = error else { panic!("{error}") };
        assert!(done < step && step <= sent && sent <= step + 2, "{lost_with}: {done} to {sent}, not {step}");
        assert_eq!(said, epoch);
        assert!(reason.contains("lost"), "{error}");
        assert_eq!(error.exit_code(), 1);
        for error in [trainer.fit(&train, None).map(drop), trainer.evaluate(&train).map(drop)] {
            assert!(matches!(&error, Err(Error::Device(words)) if words.contains("lost")), "{error:?}");
        }
    }
    // In the validation: all of the epoch's steps are done.
    let gpu = own_gpu();
    let mut trainer = Trainer::on(Arc::clone(&gpu), network(), options(None)).unwrap();
    gpu.lose_with(&[READS + 8]);
    let error = trainer.fit(&train, Some(&validation)).unwrap_err();
    assert!(matches!(error, Error::DeviceFailed { done: 6, sent: 6, epoch: 1, .. }), "{error}");
    assert!(error.to_string().contains("after step 6 (epoch 1)"), "{error}");
}

/// Finds memory that runs out half-way without saying for what, and a fit that begins and cannot go on.
#[test]
fn memory_that_runs_out_is_an_error_or_another_device() {
    let (train, validation) = sets();
    for (name, mid_run) in [
        ("the set's features", false),
        ("the set's targets", false),
        ("activations.0", false),
        ("stats", false),
        ("a copy to read", false),
        ("the best weights", true),
    ] {
        let gpu = own_gpu();
        let mut trainer = Trainer::on(Arc::clone(&gpu), network(), options(None)).unwrap();
        gpu.refuse(name, 1);
        let in_all = trainer.device_bytes(&train, Some(&validation)).unwrap();
        let error = trainer.fit(&train, Some(&validation)).unwrap_err();
        let said = error.to_string();
        // What the fit needs, and what there is already: the model at least.
        assert!(said.contains(&format!("a fit takes {in_all} bytes in all")), "{said}");
        let held = said.split_once("buffers take ").and_then(|(_, rest)| rest.split_once(' '));
        let held: u64 = held.unwrap().0.parse().unwrap();
        assert!((4 * 198..in_all).contains(&held), "{said}");
        assert!(said.contains(name) && said.contains("bytes"), "{name}: {said}");
        assert_eq!(matches!(error, Error::DeviceFailed { .. }), mid_run, "{name}: {said}");
        assert_eq!(matches!(error, Error::OutOfMemory { .. }), !mid_run, "{name}: {said}");
        // The device is as it was, and so is the trainer, where the device says.
        assert_eq!(trainer.steps_done(), if mid_run { 6 } else { 0 });
        trainer.fit(&train, Some(&validation)).unwrap();
    }
    let expected = undisturbed();
    // In the first checkpoint there is no room for its copies, or after the first epoch none for the best weights.
    for (name, times) in [("the best weights", 1), ("the best weights", 2)] {
        let folder = tempfile::tempdir().unwrap();
        let gpu = own_gpu();
        let mut trainer = Trainer::on(Arc::clone(&gpu), network(), options(every(folder.path(), 4))).unwrap();
        gpu.refuse(name, times);
        let (from, history) = fitted(&mut trainer);
        assert_eq!(from.len() as u64, times);
        assert!(end(&mut trainer, &history.unwrap()) == expected, "{name}");
    }
    // Nothing is tried again where nothing has been trained.
    let folder = tempfile::tempdir().unwrap();
    let gpu = own_gpu();
    let mut trainer = Trainer::on(Arc::clone(&gpu), network(), options(every(folder.path(), 4))).unwrap();
    gpu.refuse("the set's features", 1);
    let (from, history) = fitted(&mut trainer);
    assert!(from.is_empty() && matches!(history, Err(Error::OutOfMemory { .. })), "{from:?} {history:?}");
    assert_eq!(files_in(folder.path()).len(), 0);
}

/// Finds windows that are read from the wrong row on, and a thread that reads on for a device that is lost.
#[test]
fn a_streamed_run_goes_on() {
    let row = |row: u64| {
        let mut random = Random(row + 1);
        let features: Vec<f32> = random.values(9).into_iter().map(|value| value as f32).collect();
        let label = (0..5u32).max_by(|&a, &b| features[a as usize].total_cmp(&features[b as usize])).unwrap();
        (features, label)
    };
    let read = |rows: std::ops::Range<usize>| -> Result<Dataset, Error> {
        let (features, labels): (Vec<Vec<f32>>, Vec<u32>) = rows.map(|at| row(at as u64)).unzip();
        Dataset::from_f32(features.concat(), 9, labels)
    };
    let source = Generated::new(40, 5, read);
    let validation = sets().1;
    let fit = |lost_with: &[u64]| {
        let folder = tempfile::tempdir().unwrap();
        let gpu = own_gpu();
        // Windows of a few minibatches.
        let options = TrainOptions { memory_budget: Some(1500), ..options(every(folder.path(), 4)) };
        let mut trainer = Trainer::on(Arc::clone(&gpu), network(), options).unwrap();
        gpu.lose_with(lost_with);
        let mut times = 0;
        let history = trainer
            .fit_from(&source, Some(&validation), |event| {
                times += usize::from(matches!(event, Event::DeviceReplaced { .. }));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(times, lost_with.len());
        end(&mut trainer, &history)
    };
    let expected = fit(&[]);
    for lost_with in [&[7][..], &[14], &[29, 13], &[33]] {
        assert!(fit(lost_with) == expected, "{lost_with:?}");
    }
}

/// Finds a trainer that shares the lost device and does not notice; and a resumed one that goes back to a step where it never was.
#[test]
fn a_resumed_run_goes_back_to_its_checkpoint() {
    let expected = undisturbed();
    let (train, validation) = sets();
    let folder = tempfile::tempdir().unwrap();
    let gpu = own_gpu();
    let mut first = Trainer::on(Arc::clone(&gpu), network(), options(every(folder.path(), 100))).unwrap();
    first.set_steps(Some(9));
    first.fit(&train, Some(&validation)).unwrap();
    let checkpoint = Checkpoint::open(folder.path()).unwrap();
    let mut trainer = Trainer::resume(Arc::clone(&gpu), &checkpoint).unwrap();
    trainer.set_steps(None);
    gpu.lose_with(&[8]);
    let (from, history) = fitted(&mut trainer);
    assert_eq!(from, [9]);
    assert!(end(&mut trainer, &history.unwrap()) == expected);
    assert!(first.weights().unwrap_err().to_string().contains("lost"));
}

/// Finds the beginning of an epoch that is replaced by the checkpoint from which a run went on: it would go back to another step if numbers become
/// non-finite later.
#[test]
fn a_run_whose_rate_is_lowered_goes_on() {
    let (train, validation) = sets();
    let targets = |set: &Dataset, rows: usize| {
        let values = (0..rows * 5).map(|at| (at % 7) as f32 - 3.0).collect();
        set.clone().with_targets(values, 5).unwrap()
    };
    let (train, validation) = (targets(&train, 40), targets(&validation, 30));
    let fit = |lost_with: &[u64]| {
        let folder = tempfile::tempdir().unwrap();
        let gpu = own_gpu();
        let options = TrainOptions {
            loss: Loss::MeanSquaredError,
            // The updates grow with every step, to 1e20 in the second epoch, after its first checkpoint.
            optimizer: Optimizer { lr: 1e-10, ..Optimizer::keras_adam() },
            schedule: Schedule { decay: Decay::Exponential { gamma: 2500.0 }, ..Schedule::default() },
            non_finite: NonFinite::Lower,
            lower_factor: 1e-20,
            early_stopping: None,
            epochs: 2,
            ..options(every(folder.path(), 4))
        };
        let mut trainer = Trainer::on(Arc::clone(&gpu), network(), options).unwrap();
        gpu.lose_with(lost_with);
        let (mut replaced, mut lowered) = (0, Vec::new());
        let history = trainer.fit_with(&train, Some(&validation), |event| {
            match event {
                Event::DeviceReplaced { .. } => replaced += 1,
                Event::RateLowered { step, .. } => lowered.push(step),
                _ => {}
            }
            ControlFlow::Continue(())
        });
        assert_eq!(replaced, lost_with.len(), "{lost_with:?}");
        (end(&mut trainer, &history.unwrap()), lowered)
    };
    let expected = fit(&[]);
    assert_eq!(expected.1, [6]);
    // An epoch has some twenty submissions, reads of its beginning included; steps 7 to 12 are with those around the thirty-third.
    for place in [14, 20, 27, 31, 32, 33, 34, 35, 36, 40, 47] {
        assert!(fit(&[place]) == expected, "lost with submission {place}");
    }
}

/// Finds a trainer that is moved to a device that cannot hold it: the lost device's buffers are gone, and the new one's are missing.
#[test]
fn a_device_that_cannot_take_the_model_takes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let gpu = own_gpu();
    let mut trainer = Trainer::on(Arc::clone(&gpu), network(), options(every(folder.path(), 4))).unwrap();
    gpu.lose_with(&[15]);
    gpu.refuse("weights.1", 1);
    let (from, history) = fitted(&mut trainer);
    let said = history.unwrap_err().to_string();
    assert!(from.is_empty() && said.contains("on another device it cannot go on: weights.1 takes"), "{said}");
    // It is on the device that was lost, with its buffers, and says so.
    assert!(Arc::ptr_eq(trainer.gpu(), &gpu));
    assert!(trainer.weights().unwrap_err().to_string().contains("lost"));
}
