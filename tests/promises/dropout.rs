//! Dropout: the masks of the generator, in the right places, in training alone.

use wgrad::{Activation, Dataset, Initializer, Model, Network, Optimizer, TrainOptions, Trainer};

use crate::dispatches::{Step, assert_dispatches};
use crate::reference::dropout_mask;
use crate::reference::interpreter::Interpreter;
use crate::reference::loss::{Targets, mean_loss};
use crate::reference::network::{Layer, layers};
use crate::support::{Random, assert_close, bits, flat, gpu, learnable};

const SEED: u64 = 0x1234_5678_9abc_def0;
const RATE: f64 = 1e4;

/// The mean loss of a minibatch, with the masks of a step.
fn masked_loss(network: &Network, layers: &[Layer], x: &[f64], labels: &[i64], step: u32) -> f64 {
    let mask = |layer, sample, unit, units, rate| dropout_mask(SEED, step, layer, sample, unit, units, rate);
    mean(&Interpreter::training(network, &mask).logits(layers, x), labels)
}

fn mean(z: &[f64], labels: &[i64]) -> f64 {
    mean_loss(&wgrad::Loss::default(), z, &Targets::Classes(labels), z.len() / labels.len())
}

/// Finds a mask that is forgotten on the way back, scaled twice, or of another layer or step: gradients against central differences, for an
/// activation whose derivative comes from its output and one whose derivative is kept.
#[test]
fn gradients_go_through_the_same_units() {
    let (rows, width, classes) = (5, 6, 3);
    let random = &mut Random(5);
    let x = random.values(rows * width);
    let labels: Vec<i64> = (0..rows).map(|_| random.below(classes) as i64).collect();
    let features = x.iter().map(|&value| value as f32).collect();
    let set = Dataset::from_f32(features, width, labels.iter().map(|&label| label as u32).collect()).unwrap();
    for activation in [Activation::Relu, Activation::Tanh, Activation::Silu] {
        let network = Network::new(width)
            .dense(9, activation)
            .dropout(0.5)
            .dense(7, activation)
            .dropout(0.2)
            .dense(classes, Activation::Identity);
        let options = TrainOptions {
            optimizer: Optimizer::sgd(RATE),
            batch_size: rows,
            steps: Some(1),
            shuffle: false,
            seed: SEED,
            ..TrainOptions::default()
        };
        let initial = Initializer::Torch.weights(&network, 3);
        // The second step has masks of its own, from the first step's weights.
        let mut trainer =
            Trainer::on(gpu(), network.clone(), TrainOptions { optimizer: Optimizer::sgd(0.0), ..options.clone() })
                .unwrap();
        trainer.set_weights(&initial).unwrap();
        let before = layers(&initial);
        let losses: Vec<f64> = (0..4).map(|_| trainer.fit(&set, None).unwrap().epochs[0].training.loss).collect();
        let twins: Vec<f64> = (0..4).map(|step| masked_loss(&network, &before, &x, &labels, step)).collect();
        assert_close(&format!("{activation}: losses"), &losses, &twins, 1e-5);
        assert!(losses.windows(2).all(|pair| pair[0] != pair[1]), "every step has masks of its own: {losses:?}");

        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        trainer.set_weights(&initial).unwrap();
        trainer.fit(&set, None).unwrap();
        let after = layers(&trainer.weights().unwrap());
        let mask = |layer, sample, unit, units, rate| dropout_mask(SEED, 0, layer, sample, unit, units, rate);
        let expected = Interpreter::training(&network, &mask).gradient(&before, &x, &|z| mean(z, &labels));
        for (at, ((before, after), expected)) in before.iter().zip(&after).zip(&expected).enumerate() {
            let step = |before: &[f64], after: &[f64]| -> Vec<f64> {
                before.iter().zip(after).map(|(before, after)| (before - after) / RATE).collect()
            };
            let (weights, bias) = (step(&before.weights, &after.weights), step(&before.bias, &after.bias));
            assert_close(&format!("{activation}: layer {at}"), &weights, &expected.weights, 1e-5);
            assert_close(&format!("{activation}: bias {at}"), &bias, &expected.bias, 1e-5);
        }
    }
}

/// Finds units that drop out of a prediction; a mean that is not kept; a share that is not the one asked for.
#[test]
fn evaluation_uses_every_unit() {
    let set = learnable(300, 8, 3, 1);
    let plain = Network::classifier(8, &[64], Activation::Relu, 3);
    let dropped = Network::new(8).dense(64, Activation::Relu).dropout(0.4).dense(3, Activation::Identity);
    let trainer = |network: &Network| Trainer::on(gpu(), network.clone(), TrainOptions::default()).unwrap();
    let (mut with, mut without) = (trainer(&dropped), trainer(&plain));
    assert_eq!(with.predict(&set).unwrap(), without.predict(&set).unwrap());
    assert_eq!(with.evaluate(&set).unwrap(), without.evaluate(&set).unwrap());

    // Of 512,000 units the right share drops out, in every step, layer and position.
    let dropped = |step: u32, layer: usize| {
        (0..128_000).filter(|i| dropout_mask(SEED, step, layer, i / 100, i % 100, 100, 0.4) == 0.0).count()
    };
    for (step, layer) in [(0, 0), (1, 0), (0, 1), (70_000, 3)] {
        let share = dropped(step, layer) as f64 / 128_000.0;
        assert!((share - 0.4).abs() < 0.007, "step {step}, layer {layer}: {share}");
    }
}

/// Finds masks that depend on the chunking, or on anything but the seed.
#[test]
fn dropout_repeats_its_bits_with_every_optimizer() {
    let network = Network::new(6).dense(9, Activation::Relu).dropout(0.5).dense(3, Activation::Identity);
    let set = learnable(40, 6, 3, 1);
    let run = |optimizer: &str, seed: u64, steps_per_submission: Option<u64>| {
        let options = TrainOptions {
            optimizer: Optimizer::from_name(optimizer).unwrap(),
            batch_size: 7,
            epochs: 3,
            seed,
            steps_per_submission,
            ..TrainOptions::default()
        };
        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        trainer.set_weights(&Initializer::Torch.weights(&network, 3)).unwrap();
        let history = trainer.fit(&set, None).unwrap();
        // What drops out is bound as derivatives, and is no dispatch.
        let step = Step { more_of_the_loss: 1, ..Step::of(2, &trainer.options().optimizer) };
        assert_dispatches(history.stats.dispatches / history.stats.steps, step, optimizer);
        bits(&trainer.weights().unwrap())
    };
    for optimizer in ["sgd", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam", "lion", "muon"] {
        let reference = run(optimizer, 1, None);
        assert_eq!(run(optimizer, 1, None), reference, "{optimizer}");
        assert_eq!(run(optimizer, 1, Some(1)), reference, "{optimizer}");
        assert_ne!(run(optimizer, 2, None), reference, "{optimizer}");
    }
}

/// Finds a model whose layers move when it is read back; the numbers are those of torch.nn.Sequential with its Dropout layers.
#[test]
fn models_with_dropout_are_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let network = Network::new(4)
        .dense(5, Activation::Relu)
        .dropout(0.25)
        .dense(6, Activation::Tanh)
        .dense(2, Activation::Identity);
    let mut trainer = Trainer::on(gpu(), network.clone(), TrainOptions::default()).unwrap();
    trainer.save(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let mut names = safetensors::SafeTensors::deserialize(&bytes)
        .unwrap()
        .names()
        .into_iter()
        .map(String::from)
        .collect::<Vec<_>>();
    names.sort();
    assert_eq!(names, ["0.bias", "0.weight", "3.bias", "3.weight", "5.bias", "5.weight"]);
    let model = Model::read(&path).unwrap();
    assert_eq!(model.network, network);
    assert_eq!(flat(&model.weights), flat(&trainer.weights().unwrap()));
}

#[test]
fn dropouts_out_of_place_are_refused() {
    let hidden = |rate: f64| Network::new(4).dense(5, Activation::Relu).dropout(rate).dense(2, Activation::Identity);
    hidden(0.0).check().unwrap();
    hidden(0.999).check().unwrap();
    for (network, words) in [
        (hidden(1.0), "layer 1 (dense) has 4 inputs and a dropout of 1: it must be from 0 to below 1"),
        (hidden(-0.1), "layer 1 (dense) has 4 inputs and a dropout of -0.1"),
        (hidden(f64::NAN), "NaN"),
        (
            Network::new(4).dense(2, Activation::Identity).dropout(0.5),
            "the last layer, layer 1 (dense), has a dropout of 0.5",
        ),
        (
            Network::new(4).dropout(1.5).dense(2, Activation::Identity),
            "layer 1 (dropout) has 4 inputs and a dropout of 1.5",
        ),
    ] {
        let error = network.check().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
