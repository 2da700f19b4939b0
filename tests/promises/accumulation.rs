//! Gradients that are added up over several minibatches before they update the weights. PyTorch's numbers of it are in `golden_nets.rs`.

use wgrad::plan::Role;
use wgrad::{
    Activation, Augmentation, Checkpoint, Dataset, Every, History, ImageShape, Loss, Model, Network, NonFinite,
    Optimizer, Schedule, TrainOptions, Trainer,
};

use crate::checkpoints::{checkpointing, file};
use crate::support::{assert_close, bits, flat, gpu, learnable, refused, succeed};

fn network() -> Network {
    Network::new(9)
        .dense(13, Activation::Relu)
        .residual(|body| body.dense(13, Activation::Tanh).layer_norm())
        .dense(5, Activation::Identity)
}

/// Steps of 12 rows over 40: three whole ones, and one of 4 rows.
fn options(accumulate: usize, batch_size: usize) -> TrainOptions {
    let optimizer = Optimizer { lr: 0.02, ..Optimizer::keras_adam() };
    TrainOptions { optimizer, accumulate, batch_size, epochs: 3, seed: 3, ..TrainOptions::default() }
}

fn trained(network: &Network, options: TrainOptions, set: &Dataset) -> (Trainer, History) {
    let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
    let history = trainer.fit(set, None).unwrap();
    (trainer, history)
}

/// Finds a part that is left out or counted twice, a mean over one part's rows or weights, and steps that are counted by the part: the rate, the order of rows, a
/// short last step, Adam's corrections. Everything is as with one minibatch as large, but for rounding.
#[test]
fn parts_of_a_minibatch_are_one_minibatch() {
    let plain = learnable(40, 9, 5, 1);
    let weighted =
        plain.clone().with_sample_weights((0..40).map(|row| [0.5, 2.0, 0.0, 1.5][row % 4]).collect()).unwrap();
    let ignoring = Loss::SoftmaxCrossEntropy {
        label_smoothing: 0.1,
        class_weights: Some(vec![1.0, 2.0, 0.5, 1.0, 3.0]),
        ignore_index: Some(2),
        gamma: 0.0,
    };
    let muon = Optimizer { lr: 0.02, ..Optimizer::from_name("muon").unwrap() };
    type Change<'a> = &'a dyn Fn(TrainOptions) -> TrainOptions;
    let changes: [(&str, &Dataset, Change<'_>); 5] = [
        ("plain", &plain, &|options| options),
        ("weighted rows", &weighted, &|options| TrainOptions { clip_grad_norm: Some(0.3), ..options }),
        ("ignored rows", &plain, &|options| TrainOptions { loss: ignoring.clone(), ..options }),
        ("skipping", &plain, &|options| TrainOptions { non_finite: NonFinite::Skip, ema: Some(0.5), ..options }),
        ("muon", &plain, &|options| {
            let schedule = Schedule::default().warmup(2).by_epoch();
            TrainOptions { optimizer: muon, schedule, ..options }
        }),
    ];
    for (what, set, change) in changes {
        let (mut whole, history) = trained(&network(), change(options(1, 12)), set);
        let expected = flat(&whole.weights().unwrap());
        for (parts, rows) in [(3, 4), (2, 6), (12, 1)] {
            let (mut trainer, own) = trained(&network(), change(options(parts, rows)), set);
            assert_close(&format!("{what}, {parts} parts"), &flat(&trainer.weights().unwrap()), &expected, 2e-5);
            assert_eq!(own.epochs.len(), 3);
            for (own, whole) in own.epochs.iter().zip(&history.epochs) {
                assert!((own.training.loss - whole.training.loss).abs() < 1e-5 * whole.training.loss, "{what}");
                assert_eq!(
                    (own.training.accuracy, own.training.rows),
                    (whole.training.accuracy, whole.training.rows),
                    "{what}"
                );
                assert_eq!(own.learning_rate, whole.learning_rate, "{what}");
            }
            assert_eq!((own.stats.steps, trainer.steps_done()), (12, 12), "{what}");
        }
    }
}

/// Where all sums are exact, the bits are those of one minibatch as large: small whole numbers, and a rate that is a power of two.
#[test]
fn exact_sums_have_the_same_bits() {
    let values = |count: usize, most: usize| (0..count).map(move |at| ((at * 7 + at / 3) % most) as f32 - 2.0);
    let set = Dataset::from_f32(values(32 * 6, 5).collect(), 6, vec![0; 32]).unwrap();
    let set = set.with_targets(values(32 * 2, 7).collect(), 2).unwrap();
    let network = Network::new(6).dense(2, Activation::Identity);
    let run = |accumulate, batch_size| {
        let options = TrainOptions {
            loss: Loss::MeanSquaredError,
            optimizer: Optimizer::sgd(0.125),
            initializer: wgrad::Initializer::Constant(0.5),
            steps: Some(2),
            ..options(accumulate, batch_size)
        };
        bits(&trained(&network, options, &set).0.weights().unwrap())
    };
    let whole = run(1, 16);
    for (parts, rows) in [(2, 8), (4, 4), (8, 2)] {
        assert_eq!(run(parts, rows), whole, "{parts} parts");
    }
}

/// Finds a part's dispatches that are run once, a step's that are run for each part, empty parts of a short last step, and more memory than a part takes.
#[test]
fn a_part_costs_what_its_gradients_cost() {
    let set = learnable(40, 9, 5, 1);
    let (trainer, history) = trained(&network(), options(3, 4), &set);
    let plan = trainer.plan(&set).unwrap();
    let at = |kernel: &str| plan.dispatches().iter().rposition(|dispatch| dispatch.launch.kernel == kernel).unwrap();
    let repeated = at("accumulate") + 1;
    assert_eq!((plan.batch(), plan.parts(), plan.calls()), (4, 3, plan.dispatches().len() + 2 * repeated));
    assert!(at("kept_update") >= repeated && at("dense_update") < at("next_part"));
    // Of each epoch's four steps, the last has one part.
    let others = plan.dispatches().len() - repeated;
    assert_eq!(history.stats.dispatches, (3 * (10 * repeated + 4 * others)) as u64);
    let bytes = |plan: &wgrad::plan::Plan, is: fn(Role) -> bool| -> u64 {
        plan.buffers().iter().filter(|buffer| is(buffer.role)).map(|buffer| buffer.bytes).sum()
    };
    let activations = |role| matches!(role, Role::Activations(_) | Role::Gradient(_));
    let whole = Trainer::on(gpu(), network(), options(1, 12)).unwrap().plan(&set).unwrap();
    assert!(2 * bytes(&plan, activations) < bytes(&whole, activations));
    // And nothing where nothing is accumulated.
    assert_eq!((whole.parts(), whole.calls()), (1, whole.dispatches().len()));
    assert_eq!(bytes(&whole, |role| matches!(role, Role::GradientSum(_))), 0);
}

/// Finds a step that depends on how many are submitted at once, or that a resumed run begins in the middle of; dropout and augmentation included, of a set that
/// is read in windows too.
#[test]
fn a_run_in_parts_has_the_same_bits_again() {
    let set = learnable(40, 9, 5, 1);
    let network = Network::new(9).dense(16, Activation::Gelu).dropout(0.3).dense(5, Activation::Identity);
    for memory_budget in [None, Some(40 * 24)] {
        let run = |steps_per_submission, checkpoint| {
            let options = TrainOptions { steps_per_submission, checkpoint, memory_budget, ..options(3, 4) };
            bits(&trained(&network, options, &set).0.weights().unwrap())
        };
        let reference = run(None, None);
        assert_eq!(run(Some(1), None), reference);
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(run(Some(5), checkpointing(folder.path(), Every::Steps(3))), reference);
        for step in [3, 6] {
            let mut resumed = Trainer::resume(gpu(), &Checkpoint::open(file(folder.path(), step)).unwrap()).unwrap();
            assert_eq!(resumed.options().accumulate, 3);
            resumed.set_checkpointing(None);
            resumed.fit(&set, None).unwrap();
            assert_eq!(bits(&resumed.weights().unwrap()), reference, "from step {step}");
        }
    }
}

/// The same random changes as in one minibatch as large: they follow from a row's place in the step.
#[test]
fn augmentation_is_that_of_one_minibatch() {
    let pixels: Vec<u8> = (0..24 * 36).map(|at| (at * 37 % 251) as u8).collect();
    let set = Dataset::from_u8(pixels, 36, (0..24).map(|row| row % 3).collect())
        .unwrap()
        .with_image_shape(ImageShape { height: 6, width: 6, channels: 1 })
        .unwrap();
    let network = Network::image(6, 6, 1).conv(4, 3, Activation::Relu).flatten().dense(3, Activation::Identity);
    let run = |accumulate, batch_size| {
        let augmentation = Some(Augmentation { crop_padding: 1, flip: true, cutout: 2 });
        let options = TrainOptions { augmentation, ..options(accumulate, batch_size) };
        flat(&trained(&network, options, &set).0.weights().unwrap())
    };
    assert_close("augmented", &run(2, 6), &run(1, 12), 2e-5);
}

/// Finds a count that is none, and an option that the program does not take.
#[test]
fn accumulation_is_an_option() {
    refused(&["accumulate is 0", "it must be from 1 to"], Trainer::on(gpu(), network(), options(0, 12)));
    refused(&["accumulate is", "it must be from 1 to 1"], Trainer::on(gpu(), network(), options(2, u32::MAX as usize)));
    let folder = tempfile::tempdir().unwrap();
    let data = crate::support::golden_file("adam").to_str().unwrap().to_string();
    let common = ["train", "--data", &data, "--hidden", "6", "--epochs", "2", "--batch-size", "4"];
    let trained = |more: &[&str]| {
        succeed(folder.path(), &[&common[..], more].concat());
        bits(&Model::read(folder.path().join("model.safetensors")).unwrap().weights)
    };
    std::fs::write(folder.path().join("run.toml"), "[train]\naccumulate = 3\n").unwrap();
    let by_flag = trained(&["--accumulate", "3"]);
    assert_eq!(by_flag, trained(&["--config", "run.toml"]));
    assert_ne!(by_flag, trained(&[]));
}
