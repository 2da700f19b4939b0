//! Checkpoints: a run that goes on from one ends as if it had not been interrupted, bit for bit.

use std::path::{Path, PathBuf};

use wgrad::{
    Activation, Checkpoint, Checkpointing, Dataset, Decay, EarlyStopping, Error, Event, Every, History, Model, Network,
    NonFinite, Optimizer, ReduceOnPlateau, Rule, Schedule, TrainOptions, Trainer,
};

use crate::support::{bits, gpu, learnable};

/// 6 steps an epoch, the last of them short; widths that are padded on the device.
fn sets() -> (Dataset, Dataset) {
    (learnable(40, 9, 5, 1), learnable(30, 9, 5, 2))
}

fn network() -> Network {
    Network::new(9).dense(13, Activation::Relu).dropout(0.2).dense(6, Activation::Tanh).dense(5, Activation::Identity)
}

fn options() -> TrainOptions {
    TrainOptions { batch_size: 7, epochs: 5, seed: 3, ..TrainOptions::default() }
}

/// Everything that a run carries from step to step and from epoch to epoch, in three runs.
fn runs() -> [TrainOptions; 3] {
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

fn checkpointing(folder: &Path, every: Every) -> Option<Checkpointing> {
    Some(Checkpointing { every, keep: 1000, ..Checkpointing::new(folder) })
}

/// What a run comes to: its weights, and its epochs without their times.
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

fn fitted(options: TrainOptions) -> End {
    let (train, validation) = sets();
    let mut trainer = Trainer::on(gpu(), network(), options).unwrap();
    let history = trainer.fit(&train, Some(&validation)).unwrap();
    end(&mut trainer, &history)
}

fn resumed(path: &Path) -> End {
    let (train, validation) = sets();
    let mut trainer = Trainer::resume(gpu(), &Checkpoint::open(path).unwrap()).unwrap();
    trainer.set_checkpointing(None);
    let history = trainer.fit(&train, Some(&validation)).unwrap();
    end(&mut trainer, &history)
}

fn file(folder: &Path, step: u64) -> PathBuf {
    folder.join(format!("step-{step:010}.safetensors"))
}

/// Anything that is left out of a checkpoint: a slot, a scalar, the sums of the epoch so far, its order, the schedule's place, what the plateau
/// and early stopping have seen, the best weights. And a checkpoint that changes the run that it is made of.
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

/// Each rule's slots and scalars, in the places where they were.
#[test]
fn every_optimizer_goes_on() {
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
