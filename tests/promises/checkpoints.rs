//! Checkpoints: a run that goes on from one ends as if it had not been interrupted, bit for bit.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use wgrad::{
    Activation, Checkpoint, Checkpointing, Dataset, Decay, EarlyStopping, Error, Event, Every, History, Model, Network,
    NonFinite, Optimizer, ReduceOnPlateau, Rule, Schedule, TrainOptions, Trainer,
};

use crate::support::{bits, files_in, gpu, learnable, refused};

/// 6 steps an epoch, the last of them short; widths that are padded on the device.
pub fn sets() -> (Dataset, Dataset) {
    (learnable(40, 9, 5, 1), learnable(30, 9, 5, 2))
}

pub fn network() -> Network {
    Network::new(9).dense(13, Activation::Relu).dropout(0.2).dense(6, Activation::Tanh).dense(5, Activation::Identity)
}

pub fn options() -> TrainOptions {
    TrainOptions { batch_size: 7, epochs: 5, seed: 3, ..TrainOptions::default() }
}

/// Everything that a run carries from step to step and from epoch to epoch, in three runs.
pub fn runs() -> [TrainOptions; 3] {
    let optimizer = |word: &str, lr: f64| Optimizer { lr, ..Optimizer::from_name(word).unwrap() };
    [
        TrainOptions {
            schedule: Schedule::new(Decay::Cosine { t_max: None, eta_min: 1e-4 }).warmup(4),
            optimizer: Optimizer { lr: 0.02, ..Optimizer::keras_adam() },
            clip_grad_norm: Some(0.5),
            keep_best: true,
            ..options()
        },
        // Epochs that are worse than those before: the rate comes down, training ends early, and not with the last epoch's weights.
        TrainOptions {
            optimizer: optimizer("muon", 0.3),
            reduce_on_plateau: Some(ReduceOnPlateau { patience: 0, cooldown: 1, ..ReduceOnPlateau::default() }),
            early_stopping: Some(EarlyStopping { patience: 2, min_delta: 0.0 }),
            non_finite: NonFinite::Skip,
            keep_best: true,
            epochs: 9,
            ..options()
        },
        TrainOptions {
            schedule: Schedule::new(Decay::Step { step_size: 2.0, gamma: 0.5 }).by_epoch(),
            optimizer: optimizer("nadam", 0.05),
            steps: Some(25),
            ..options()
        },
    ]
}

pub fn checkpointing(folder: &Path, every: Every) -> Option<Checkpointing> {
    Some(Checkpointing { every, keep: 1000, ..Checkpointing::new(folder) })
}

/// The results of a run: its weights, and its epochs without their times.
type End = (Vec<u32>, Vec<String>, Option<usize>);

fn end(trainer: &mut Trainer, history: &History) -> End {
    let epoch = |epoch: &wgrad::Epoch| {
        format!(
            "{} {:?} {:?} {} {}",
            epoch.epoch, epoch.training, epoch.validation, epoch.learning_rate, epoch.skipped_steps
        )
    };
    (bits(&trainer.weights().unwrap()), history.epochs.iter().map(epoch).collect(), history.kept)
}

pub fn fitted(options: TrainOptions) -> End {
    let (train, validation) = sets();
    let mut trainer = Trainer::on(gpu(), network(), options).unwrap();
    let history = trainer.fit(&train, Some(&validation)).unwrap();
    end(&mut trainer, &history)
}

pub fn resumed(path: &Path) -> End {
    let (train, validation) = sets();
    let mut trainer = Trainer::resume(gpu(), &Checkpoint::open(path).unwrap()).unwrap();
    trainer.set_checkpointing(None);
    let history = trainer.fit(&train, Some(&validation)).unwrap();
    end(&mut trainer, &history)
}

pub fn file(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("step-{step:010}.safetensors"))
}

/// Finds anything that is left out of a checkpoint: a slot, a scalar, the sums of the epoch so far, its order, the schedule's position, the state of
/// the plateau and of early stopping, the best weights. And a checkpoint that changes the run it is made of.
#[test]
fn a_run_goes_on_from_any_step_as_if_it_had_not_ended() {
    for options in runs() {
        let reference = fitted(options.clone());
        // Within an epoch, at its last step, at the next one's first, and so on.
        for step in [1, 5, 6, 7, 16] {
            let folder = tempfile::tempdir().unwrap();
            let checkpoint = checkpointing(folder.path(), Every::Steps(step));
            assert!(
                fitted(TrainOptions { checkpoint, ..options.clone() }) == reference,
                "made checkpoints every {step} steps"
            );
            assert!(resumed(&file(folder.path(), step)) == reference, "from step {step} of {options:?}");
            // The newest: at the end, or one before it.
            assert!(resumed(folder.path()) == reference, "from the last one, every {step}");
        }
    }
    let (_, epochs, kept) = fitted(runs()[1].clone());
    assert!(epochs.len() < 9 && kept.is_some_and(|kept| kept + 1 < epochs.len()), "{kept:?} {epochs:?}");
}

/// Finds a rule whose slots or scalars are not restored.
#[test]
fn every_optimizer_is_resumed_bit_for_bit() {
    let own = Rule::custom(
        "counting",
        "fn update(w: f32, g: f32, lr: f32, t: f32, kept: ptr<function, array<f32, 2>>) -> f32 {
            (*kept)[0] = 0.9 * (*kept)[0] + g;
            (*kept)[1] = (*kept)[1] + 0.01 * t;
            return w - lr * (*kept)[0] * (*kept)[1];
        }",
    )
    .unwrap();
    let named =
        ["sgd", "adagrad", "adadelta", "rmsprop", "adamw", "lion"].map(|word| Optimizer::from_name(word).unwrap());
    let mut momentum = Optimizer::from_name("rmsprop").unwrap();
    momentum.set("momentum", 0.9).unwrap();
    momentum.switch("centered", true).unwrap();
    let (train, validation) = sets();
    for optimizer in named.into_iter().chain([momentum, Optimizer::new(own)]) {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = checkpointing(folder.path(), Every::Steps(5));
        let options = TrainOptions { optimizer, epochs: 2, ..options() };
        let reference = fitted(TrainOptions { checkpoint, ..options });
        let checkpoint = Checkpoint::open(file(folder.path(), 5)).unwrap();
        if let Rule::Custom(_) = optimizer.rule {
            let error = Trainer::resume(gpu(), &checkpoint).unwrap_err();
            assert!(error.to_string().contains("counting") && error.to_string().contains("brought again"), "{error}");
        }
        let checkpoint = checkpoint.bringing(&[], &[], &[own]);
        let mut trainer = Trainer::resume(gpu(), &checkpoint).unwrap();
        assert_eq!((trainer.steps_done(), trainer.options().optimizer), (5, optimizer));
        trainer.set_checkpointing(None);
        let history = trainer.fit(&train, Some(&validation)).unwrap();
        assert!(end(&mut trainer, &history) == reference, "{}", optimizer.name());
    }
}

/// Finds a loop that waits for its checkpoints, or submits more for them: the epochs' counts are the same with and without.
#[test]
fn checkpoints_do_not_stop_the_loop() {
    let (train, validation) = sets();
    let folder = tempfile::tempdir().unwrap();
    let fit = |checkpoint| {
        let options = TrainOptions { checkpoint, keep_best: true, steps_per_submission: Some(2), ..options() };
        Trainer::on(gpu(), network(), options).unwrap().fit(&train, Some(&validation)).unwrap()
    };
    let (without, with) = (fit(None), fit(checkpointing(folder.path(), Every::Steps(2))));
    assert_eq!(with.stats.steps, 30);
    assert_eq!(with.stats.traffic.submissions, without.stats.traffic.submissions);
    // As without: an epoch's sums, where they have not arrived when they are asked for; and nothing outside the epochs.
    assert!(with.epochs.iter().all(|epoch| epoch.stats.traffic.blocking_reads <= 1), "{with:?}");
    let in_epochs: u64 = with.epochs.iter().map(|epoch| epoch.stats.traffic.blocking_reads).sum();
    assert_eq!(with.stats.traffic.blocking_reads, in_epochs);
    let last = Checkpoint::open(folder.path()).unwrap();
    assert_eq!(last.step(), 30, "the end of a run has one");
}

/// Finds more files than were asked for, or fewer; the newest deleted in place of the oldest; steps between those asked for.
#[test]
fn the_last_few_are_kept() {
    let (train, _) = sets();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/cks");
    let options = TrainOptions {
        checkpoint: Some(Checkpointing { every: Every::Steps(50), keep: 2, ..Checkpointing::new(&path) }),
        steps_per_submission: Some(1),
        epochs: 100,
        ..options()
    };
    let mut trainer = Trainer::on(gpu(), network(), options.clone()).unwrap();
    trainer.fit(&train, None).unwrap();
    let names = || files_in(&path);
    let kept = names();
    assert_eq!(kept.len(), 2, "{kept:?}");
    assert_eq!(kept[1], "step-0000000600.safetensors");
    let step: u64 = kept[0]["step-".len()..][..10].parse().unwrap();
    assert!(step.is_multiple_of(50) && step < 600, "{kept:?}");

    // The same trainer goes on there; another run does not, and leaves what is there as it is.
    trainer.set_epochs(50);
    trainer.fit(&train, None).unwrap();
    assert_eq!(names()[1], "step-0000000900.safetensors");
    let before = names();
    let error = Trainer::on(gpu(), network(), options).unwrap().fit(&train, None).unwrap_err();
    assert!(error.to_string().contains("step-0000000900") && error.to_string().contains("another run"), "{error}");
    assert_eq!(names(), before);
    // Half a file that a killed run left is deleted once no process can be writing it.
    let left = path.join(".wgrad-left");
    let recent = path.join(".wgrad-recent");
    #[allow(clippy::disallowed_types)]
    let old = std::time::SystemTime::now() - std::time::Duration::from_secs(3600);
    std::fs::File::create(&left).unwrap().set_modified(old).unwrap();
    std::fs::write(&recent, "x").unwrap();
    trainer.fit(&train, None).unwrap();
    assert!(!left.exists() && recent.exists());
}

/// Finds an interval in time that is counted in steps, or ignored.
#[test]
fn a_checkpoint_is_made_each_time_its_interval_has_passed() {
    let (train, _) = sets();
    let folder = tempfile::tempdir().unwrap();
    let every = Every::Time(std::time::Duration::from_nanos(1));
    let options = TrainOptions { checkpoint: checkpointing(folder.path(), every), epochs: 100, ..options() };
    let reference = bits(&{
        let mut trainer = Trainer::on(gpu(), network(), options.clone()).unwrap();
        trainer.fit(&train, None).unwrap();
        trainer.weights().unwrap()
    });
    assert!(files_in(folder.path()).len() > 2);
    let later = tempfile::tempdir().unwrap();
    let every = Every::Time(std::time::Duration::from_secs(3600));
    let mut trainer =
        Trainer::on(gpu(), network(), TrainOptions { checkpoint: checkpointing(later.path(), every), ..options })
            .unwrap();
    trainer.fit(&train, None).unwrap();
    assert_eq!(files_in(later.path()).len(), 1, "the last step's alone");
    assert_eq!(bits(&trainer.weights().unwrap()), reference);
    for (words, every) in [
        ("500", Some(Every::Steps(500))),
        ("30s", Some(Every::Time(std::time::Duration::from_secs(30)))),
        ("5m", Some(Every::Time(std::time::Duration::from_secs(300)))),
        ("2h", Some(Every::Time(std::time::Duration::from_secs(7200)))),
        ("m", None),
        ("5d", None),
        ("1.5m", None),
        ("5mm", None),
        ("", None),
        ("99999999999999999999", None),
        ("18446744073709551615h", None),
    ] {
        match every {
            Some(every) => assert_eq!(words.parse::<Every>().unwrap(), every, "{words}"),
            None => {
                refused(&[&format!("\"{words}\" is not an interval"), "500", "30s, 5m or 2h"], words.parse::<Every>())
            }
        }
    }
}

/// Finds a run that the program itself breaks off between two epochs, whose last epoch is lost or counted twice.
#[test]
fn a_run_that_is_broken_off_can_be_resumed() {
    let (train, validation) = sets();
    for options in runs() {
        let reference = fitted(options.clone());
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = checkpointing(folder.path(), Every::Steps(1000));
        let mut trainer = Trainer::on(gpu(), network(), TrainOptions { checkpoint, ..options }).unwrap();
        let broken_off = trainer.fit_with(&train, Some(&validation), |event| match event {
            Event::Epoch(epoch) if epoch.epoch == 3 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        });
        assert_eq!(broken_off.unwrap().epochs.len(), 3);
        assert_eq!(trainer.steps_done(), 18);
        assert!(resumed(folder.path()) == reference);
    }
}

/// Finds a checkpoint that only its own run can read.
#[test]
fn a_checkpoint_is_a_model() {
    let folder = tempfile::tempdir().unwrap();
    let (train, validation) = sets();
    let options = TrainOptions { checkpoint: checkpointing(folder.path(), Every::Steps(30)), ..options() };
    let mut trainer = Trainer::on(gpu(), network(), options).unwrap();
    let classes: Vec<String> = ["a", "b", "c", "d", "e"].map(String::from).into();
    let train = train.with_class_names(classes.clone()).unwrap();
    trainer.fit(&train, Some(&validation)).unwrap();
    let model = Model::read(file(folder.path(), 30)).unwrap();
    assert_eq!((&model.network, &model.weights, &model.classes), (&network(), &trainer.weights().unwrap(), &classes));
    // In torch's layout: Adam's first moment of every weight that has a gradient is not 0.
    let bytes = std::fs::read(file(folder.path(), 30)).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    for (name, shape) in [("0.weight", &[13, 9][..]), ("3.weight", &[6, 13]), ("5.weight", &[5, 6]), ("5.bias", &[5])] {
        for slot in 0..2 {
            let tensor = tensors.tensor(&format!("optimizer.{slot}.{name}")).unwrap();
            assert_eq!(tensor.shape(), shape);
            assert!(tensor.data().iter().any(|&byte| byte != 0));
        }
    }
    let error = Checkpoint::open({
        let path = folder.path().join("model.safetensors");
        trainer.save(&path).unwrap();
        path
    });
    refused(&["model.safetensors: it is no checkpoint"], error);
}

/// Finds a run that goes on with another set without an error.
#[test]
fn another_set_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let (train, validation) = sets();
    let options = TrainOptions { checkpoint: checkpointing(folder.path(), Every::Steps(7)), ..options() };
    Trainer::on(gpu(), network(), options).unwrap().fit(&train, Some(&validation)).unwrap();
    let checkpoint = Checkpoint::open(file(folder.path(), 7)).unwrap();
    let one_more = learnable(41, 9, 5, 1);
    let relabelled = train.clone().with_targets(vec![0.5; 200], 5).unwrap();
    for (train, validation, words) in [
        (&one_more, Some(&validation), "41 rows"),
        (&validation, Some(&validation), "30 rows"),
        (&relabelled, Some(&validation), "checksum"),
        (&train, None, "another validation set"),
        (&train, Some(&train), "another validation set"),
    ] {
        let mut trainer = Trainer::resume(gpu(), &checkpoint).unwrap();
        let error = trainer.fit(train, validation).unwrap_err();
        assert!(matches!(error, Error::Data(_)) && error.to_string().contains(words), "{error}");
    }
    let mut trainer = Trainer::resume(gpu(), &checkpoint).unwrap();
    trainer.set_steps(Some(6));
    let error = trainer.fit(&train, Some(&validation)).unwrap_err();
    assert!(error.to_string().contains("step 7"), "{error}");
}

/// Finds two runs that write checkpoints to one folder at once, and delete each other's.
#[test]
fn a_folder_has_one_run_at_a_time() {
    let folder = tempfile::tempdir().unwrap();
    let (train, _) = sets();
    let options = TrainOptions { checkpoint: checkpointing(folder.path(), Every::Steps(50)), ..options() };
    let mut trainer = Trainer::on(gpu(), network(), options.clone()).unwrap();
    let mut refused = None;
    trainer
        .fit_with(&train, None, |_| {
            let mut other = Trainer::on(gpu(), network(), options.clone()).unwrap();
            refused.get_or_insert_with(|| other.fit(&train, None).unwrap_err().to_string());
            ControlFlow::Continue(())
        })
        .unwrap();
    assert!(refused.as_ref().is_some_and(|refused| refused.contains("another run")), "{refused:?}");
}

/// Finds a run that goes on with bytes under another scaling, which are features that it never saw. Rows as they were read are scaled as before.
#[test]
fn another_scaling_is_another_set() {
    let folder = tempfile::tempdir().unwrap();
    let (train, _) = sets();
    let scaled = train.clone().with_scaling(wgrad::Scaling::standardize(&train)).unwrap();
    let checkpoint = checkpointing(folder.path(), Every::Steps(10));
    Trainer::on(gpu(), network(), TrainOptions { checkpoint, ..options() }).unwrap().fit(&scaled, None).unwrap();
    let resume = || Trainer::resume(gpu(), &Checkpoint::open(folder.path()).unwrap()).unwrap();
    let other = train.clone().with_scaling(wgrad::Scaling::min_max(&train)).unwrap();
    let error = resume().fit(&other, None).unwrap_err().to_string();
    assert!(error.contains("another training set"), "{error}");
    let ended = [&train, &scaled].map(|set| {
        let mut trainer = resume();
        trainer.fit(set, None).unwrap();
        bits(&trainer.weights().unwrap())
    });
    assert_eq!(ended[0], ended[1]);
}
