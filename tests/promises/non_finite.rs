//! Steps whose numbers are not finite: the device recognizes them by their bits, and skips and counts them if it is asked to.

use wgrad::{
    Activation, Checkpointing, Dataset, Decay, Error, Every, Initializer, LayerWeights, Loss, Model, Network,
    NonFinite, Optimizer, Schedule, TrainOptions, Trainer, Weights,
};

use crate::dispatches::{Step, assert_dispatches};
use crate::support::{Random, bits, files_in, golden_file, gpu, succeed, wgrad};

pub const BATCH: usize = 4;
pub const WIDTH: usize = 5;

/// Minibatches of rows, each as the caller makes it; a row's label is its place's.
pub fn set(batches: &[&[f32]]) -> Dataset {
    let rows: Vec<f32> = batches.concat();
    let labels = (0..rows.len() / WIDTH).map(|row| (row % BATCH) as u32 % 3).collect();
    Dataset::from_f32(rows, WIDTH, labels).unwrap()
}

pub fn good(seed: u64) -> Vec<f32> {
    Random(seed).values(BATCH * WIDTH).into_iter().map(|value| value as f32).collect()
}

/// A minibatch with one feature so large that logits overflow.
pub fn overflowing() -> Vec<f32> {
    let mut rows = good(9);
    rows[7] = 3e38;
    rows[8] = -3e38;
    rows
}

pub fn trainer(optimizer: Optimizer, non_finite: NonFinite) -> Trainer {
    let network = Network::classifier(WIDTH, &[6], Activation::Relu, 3);
    let options =
        TrainOptions { optimizer, non_finite, batch_size: BATCH, shuffle: false, epochs: 2, ..TrainOptions::default() };
    let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
    let mut weights = Initializer::Torch.weights(&network, 3);
    weights.layers.iter_mut().for_each(|layer| layer.weight.iter_mut().for_each(|weight| *weight *= 4.0));
    trainer.set_weights(&weights).unwrap();
    trainer
}

/// Finds a skipped step that moves a weight, a moment or the count that Adam corrects its bias by: the bits must be those of a run that never met the
/// bad minibatch.
#[test]
fn a_skipped_step_leaves_no_trace_but_the_count() {
    let (first, second) = (good(1), good(2));
    for optimizer in ["adam", "sgd", "nadam", "rmsprop", "muon"] {
        let optimizer = Optimizer { lr: 0.01, ..Optimizer::from_name(optimizer).unwrap() };
        let mut skipping = trainer(optimizer, NonFinite::Skip);
        let history = skipping.fit(&set(&[&first, &overflowing(), &second]), None).unwrap();
        let mut clean = trainer(optimizer, NonFinite::Skip);
        let expected = clean.fit(&set(&[&first, &second]), None).unwrap();
        assert_eq!(history.epochs.iter().map(|epoch| epoch.skipped_steps).collect::<Vec<_>>(), [1, 1]);
        assert_eq!(expected.epochs.iter().map(|epoch| epoch.skipped_steps).collect::<Vec<_>>(), [0, 0]);
        // Two for the norms and one for the updates they wait for; Muon's own for its one hidden layer besides.
        let step = Step { keeps_gradients: true, ..Step::of(2, &optimizer) };
        assert_dispatches(history.stats.dispatches / history.stats.steps, step, optimizer.name());
        assert!(history.epochs.iter().all(|epoch| epoch.training.loss.is_finite()));
        assert_eq!(bits(&skipping.weights().unwrap()), bits(&clean.weights().unwrap()), "{optimizer:?}");
    }
}

/// Finds training that goes on after a loss that is not finite, by default, or an error that does not name the step.
#[test]
fn training_stops_at_a_loss_that_is_not_finite_unless_told_otherwise() {
    let mut stopping = trainer(Optimizer::sgd(0.1), NonFinite::Stop);
    let error = stopping.fit(&set(&[&good(1), &overflowing(), &good(2)]), None).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("step 2 (epoch 1): an output of layer 1 is"), "{said}");
    // It is where it was before the bad step.
    assert_eq!(stopping.steps_done(), 1);
    assert_eq!(
        bits(&stopping.weights().unwrap()),
        bits(&{
            let mut one = trainer(Optimizer::sgd(0.1), NonFinite::Stop);
            one.set_steps(Some(1));
            one.fit(&set(&[&good(1), &overflowing(), &good(2)]), None).unwrap();
            one.weights().unwrap()
        })
    );
}

/// Two rows, each a minibatch of its own, of one number to learn; a chain of layers of one unit each.
pub fn chain(weights: &[f32], features: [f32; 2], targets: [f32; 2], options: TrainOptions) -> (Trainer, Dataset) {
    chain_of(Activation::Identity, weights, features, targets, options)
}

fn chain_of(
    activation: Activation,
    weights: &[f32],
    features: [f32; 2],
    targets: [f32; 2],
    options: TrainOptions,
) -> (Trainer, Dataset) {
    let set = Dataset::from_f32(features.to_vec(), 1, vec![0; 2]).unwrap().with_targets(targets.to_vec(), 1).unwrap();
    let hidden = vec![1; weights.len() - 1];
    let network = Network::classifier(1, &hidden, activation, 1);
    let layer = |&weight: &f32| LayerWeights::new(1, 1, vec![weight], vec![0.0]);
    let options = TrainOptions { loss: Loss::MeanSquaredError, batch_size: 1, shuffle: false, ..options };
    let mut trainer = Trainer::on(gpu(), network, options).unwrap();
    trainer.set_weights(&Weights::new(weights.iter().map(layer).collect())).unwrap();
    (trainer, set)
}

/// Finds a message that names the step in which the numbers were noticed and not the one in which they began, the wrong layer, or the loss in every
/// case: the first such tensor was worked out by hand. The bad step may begin the epoch, too.
#[test]
fn a_stop_names_step_layer_and_kind() {
    let tiny = Optimizer::sgd(1e-30);
    let (large, small) = (2f32.powi(120), 2f32.powi(-120));
    for (weights, features, targets, optimizer, words) in [
        // 2 · (1 − 1000) · 2¹²⁰ overflows, 2 · 999 · 2⁻¹²⁰ does not.
        (
            &[large, small][..],
            [1.0, 1.0],
            [1e3, 1.0],
            tiny,
            "in step 1 (epoch 1): the gradient of layer 2's weights is infinite",
        ),
        (&[small, large], [1.0, 1.0], [1.0, 1e3], tiny, "in step 2 (epoch 1): the gradient of layer 1's weights is"),
        // The gradient by the second layer's output overflows, and so do both below it; the third layer's own does not.
        (
            &[2f32.powi(-60), 2f32.powi(-60), large],
            [1.0, 1.0],
            [1e3, 1.0],
            tiny,
            "in step 1 (epoch 1): the gradient of layer 2's weights is",
        ),
        // 1e38 · 6.
        (&[0.5, 6.0, 1e-30], [1.0, 2e38], [1.0, 1.0], tiny, "in step 2 (epoch 1): an output of layer 2 is infinite"),
        // 1e37 · 2000.
        (
            &[0.5],
            [1.0, 1.0],
            [1e3, 1e3],
            Optimizer::sgd(1e37),
            "in step 1 (epoch 1): the update of layer 1's weights left a value that is infinite",
        ),
        // (1e20)².
        (
            &[0.5],
            [1.0, 1.0],
            [1.0, 1e20],
            tiny,
            "in step 2 (epoch 1): the loss of a row is the first, though every gradient is finite",
        ),
    ] {
        let options = TrainOptions { optimizer, epochs: 2, ..TrainOptions::default() };
        let (mut trainer, set) = chain(weights, features, targets, options);
        let error = trainer.fit(&set, None).unwrap_err();
        assert!(error.to_string().contains(words), "{weights:?} {features:?}: {error}");
        assert!(matches!(error, Error::NonFinite { .. }), "{error}");
        // And is where it was before, so that something else may be tried.
        assert!(trainer.weights().unwrap().layers.iter().all(|layer| layer.weight[0].is_finite()));
        let Error::NonFinite { step, .. } = error else { unreachable!() };
        assert!(trainer.steps_done() < step, "{error}");
    }
}

/// Finds a diagnosis that reads an output's memory after the step has put another value there, stops looking at an output that is not stored, or never
/// looks at a sum that has a kernel of its own. The first overflow was worked out by hand.
#[test]
fn the_first_output_that_overflows_is_named_in_any_network() {
    let hidden = |body: Activation| {
        Network::new(1).dense(1, Activation::Identity).residual(|layers| layers.dense(1, body)).activation(body)
    };
    let nested = Network::new(1).dense(1, Activation::Identity);
    let nested = nested.residual(|body| body.residual(|inner| inner.dense(1, Activation::Relu)));
    let feature = 2e38;
    for (network, first, words) in [
        // 2e38 · 2: all that is stored later is not finite either.
        (hidden(Activation::Identity), 2.0, "an output of layer 1 is infinite"),
        (hidden(Activation::Relu), 2.0, "an output of layer 1 is infinite"),
        // 2e38 + 2e38, in the product of the second layer, or in a map behind its activation.
        (hidden(Activation::Identity), 1.0, "an output of layer 2 is infinite"),
        (hidden(Activation::Relu), 1.0, "an output of layer 2 is infinite"),
        (nested, 1.0, "an output of layer 2's body, layer 1 is infinite"),
    ] {
        for outputs in [1, 70] {
            let network = network.clone().dense(outputs, Activation::Identity);
            let layer = |outputs, weight| LayerWeights::new(1, outputs, vec![weight; outputs], vec![0.0; outputs]);
            let weights = Weights::new(vec![layer(1, first), layer(1, 1.0), layer(outputs, 1e-30)]);
            let set = Dataset::from_f32(vec![1.0, feature], 1, vec![0; 2]).unwrap();
            let set = set.with_targets(vec![0.0; 2 * outputs], outputs).unwrap();
            let optimizer = Optimizer::sgd(1e-30);
            let options = TrainOptions {
                loss: Loss::MeanSquaredError,
                batch_size: 1,
                shuffle: false,
                optimizer,
                epochs: 1,
                ..TrainOptions::default()
            };
            let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
            trainer.set_weights(&weights).unwrap();
            let error = trainer.fit(&set, None).unwrap_err().to_string();
            assert!(error.contains("in step 2 (epoch 1)") && error.contains(words), "{network:?}: {error}");
        }
    }
}

/// Finds weights that are infinite behind an activation that bounds them: no loss shows it, and a run went to its end with them. The gradient of the
/// first layer's weight, 2 · (0 − 10) · 1e38, overflows in the first step; tanh and sigmoid are as they would be of a large number then.
#[test]
fn infinite_weights_behind_a_finite_loss_end_a_run() {
    let folder = tempfile::tempdir().unwrap();
    let kept =
        |device_retries| Checkpointing { every: Every::Steps(1), device_retries, ..Checkpointing::new(folder.path()) };
    for (activation, weight) in [(Activation::Tanh, 0.0), (Activation::Sigmoid, 0.0)] {
        for (steps, checkpoint) in [(1, None), (2, None), (9, None), (9, Some(kept(3))), (9, Some(kept(0)))] {
            let options = TrainOptions {
                optimizer: Optimizer::sgd(0.1),
                steps: Some(steps),
                checkpoint: checkpoint.clone(),
                ..TrainOptions::default()
            };
            let (mut trainer, set) = chain_of(activation, &[weight, 1.0], [1e38, 1.0], [10.0, 10.0], options);
            let before = bits(&trainer.weights().unwrap());
            let said = trainer.fit(&set, None).unwrap_err().to_string();
            assert!(
                said.contains("in step 1 (epoch 1): the gradient of layer 1's weights is infinite"),
                "{activation:?} {steps} {checkpoint:?}: {said}"
            );
            assert_eq!((trainer.steps_done(), bits(&trainer.weights().unwrap())), (0, before));
            assert_eq!(files_in(folder.path()).len(), 0);
        }
    }
}

/// Finds an infinite gradient after which all weights are finite, as only its sign counts, or its value is clipped. A run went on after it.
#[test]
fn an_infinite_gradient_that_leaves_finite_weights_ends_a_run() {
    let (lion, sgd) = (Optimizer::from_name("lion").unwrap(), Optimizer::sgd(0.1));
    let muon = Optimizer::from_name("muon").unwrap();
    for (optimizer, clip_grad_value, clip_grad_norm) in
        [(lion, None, None), (lion, None, Some(1.0)), (sgd, Some(1.0), None), (muon, Some(1.0), None)]
    {
        let options =
            TrainOptions { optimizer, clip_grad_value, clip_grad_norm, epochs: 50, ..TrainOptions::default() };
        let (mut trainer, set) = chain_of(Activation::Tanh, &[0.0, 1.0], [1e38, 1.0], [10.0, 10.0], options);
        let said = trainer.fit(&set, None).unwrap_err().to_string();
        let first = "in step 1 (epoch 1): the gradient of layer 1's weights is infinite";
        assert!(said.contains(first), "{}, {clip_grad_value:?}, {clip_grad_norm:?}: {said}", optimizer.name());
        assert_eq!(trainer.steps_done(), 0);
    }
}

/// Finds a bad update that is reported only at the end of an epoch, which may take a day, with no checkpoint after it.
#[test]
fn a_bad_update_ends_a_long_epoch() {
    let folder = tempfile::tempdir().unwrap();
    let steps = 200_000;
    // The first layer's weight stays 0 until the third step.
    let features = (0..steps).map(|step| [0.0, 0.0, 1e38].get(step).copied().unwrap_or(1.0)).collect();
    let set = Dataset::from_f32(features, 1, vec![0; steps]).unwrap().with_targets(vec![10.0; steps], 1).unwrap();
    let options = TrainOptions {
        loss: Loss::MeanSquaredError,
        optimizer: Optimizer::sgd(1e-30),
        batch_size: 1,
        shuffle: false,
        epochs: 1,
        checkpoint: Some(Checkpointing { every: Every::Steps(2), ..Checkpointing::new(folder.path()) }),
        ..TrainOptions::default()
    };
    let network = Network::classifier(1, &[1], Activation::Tanh, 1);
    let mut trainer = Trainer::on(gpu(), network, options).unwrap();
    let layer = |weight| LayerWeights::new(1, 1, vec![weight], vec![0.0]);
    trainer.set_weights(&Weights::new(vec![layer(0.0), layer(1.0)])).unwrap();
    let error = trainer.fit(&set, None).unwrap_err();
    let said = error.to_string();
    assert!(said.contains("in step 3 (epoch 1): the gradient of layer 1's weights is infinite"), "{said}");
    assert_eq!(files_in(folder.path()), ["step-0000000002.safetensors"]);
    // The steps of parts that were run to their end: of the diagnosis, and not the epoch.
    assert!(trainer.stats().steps < 100, "{}", trainer.stats().steps);
    assert_eq!(trainer.steps_done(), 2);
}

/// Finds good weights that are thrown away because the next step was not finite.
#[test]
fn the_program_saves_what_was_before_a_bad_step() {
    let folder = tempfile::tempdir().unwrap();
    let set = golden_file("adam").to_str().unwrap().to_string();
    let words = ["train", "--data", &set, "--validation", "none", "--hidden", "6", "--optimizer", "sgd", "--json"];
    let output = wgrad(folder.path(), &[&words[..], &["--lr", "1e30"]].concat());
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(1), "{err}");
    assert!(err.contains("in step 2 (epoch 1)"), "{err}");
    let saved = out.lines().find(|line| line.contains("\"event\":\"saved\"")).unwrap_or_else(|| panic!("{out}{err}"));
    assert!(saved.contains("\"step\":1"), "{saved}");
    let one = folder.path().join("one");
    std::fs::create_dir(&one).unwrap();
    succeed(&one, &[&words[..], &["--lr", "1e30", "--steps", "1"]].concat());
    let model = |folder: &std::path::Path| bits(&Model::read(folder.join("model.safetensors")).unwrap().weights);
    assert_eq!(model(folder.path()), model(&one));
}

/// Finds the best weights lost because later ones are not finite: the second epoch's rate blows up what the first one learned.
#[test]
fn the_best_weights_are_kept_when_later_ones_are_not_finite() {
    let batches: Vec<Vec<f32>> = (1..6).map(good).collect();
    let set = set(&batches.iter().map(Vec::as_slice).collect::<Vec<_>>());
    let schedule = Schedule { by_epoch: true, ..Schedule::new(Decay::Exponential { gamma: 1e10 }) };
    let fitted = |keep_best, epochs| {
        let before = trainer(Optimizer::sgd(0.01), NonFinite::Stop);
        let options = TrainOptions { keep_best, epochs, schedule, ..before.options().clone() };
        let mut trainer = Trainer::on(gpu(), before.network().clone(), options).unwrap();
        let error = trainer.fit(&set, None).map(drop);
        (error, bits(&trainer.weights().unwrap()))
    };
    let (one_epoch, first) = fitted(false, 1);
    one_epoch.unwrap();
    let (error, kept) = fitted(true, 8);
    assert!(matches!(error, Err(Error::NonFinite { epoch: 2.., .. })), "{error:?}");
    assert!(kept == first);
    assert!(fitted(false, 8).1 != first, "what came after it is something else");
}

/// Finds a model that is thrown away because of the set that it was validated on.
#[test]
fn the_program_saves_what_a_bad_validation_found() {
    let folder = tempfile::tempdir().unwrap();
    let table = |name: &str, large: &str| {
        let text = format!("a,b,c\n1,2,0\n2,1,1\n{large},{large},0\n{large},3,1\n");
        std::fs::write(folder.path().join(name), text).unwrap();
    };
    table("good.csv", "3");
    table("bad.csv", "3e38");
    let words = "train --data good.csv --validation bad.csv --hidden 6 --initializer constant:1 --batch-size 2 --epochs 1 --json";
    let output = wgrad(folder.path(), &words.split(' ').collect::<Vec<_>>());
    let (out, err) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(output.status.code() == Some(1) && err.contains("validation after epoch 1: the evaluated loss"), "{err}");
    assert!(out.contains("\"event\":\"saved\""), "{out}");
    Model::read(folder.path().join("model.safetensors")).unwrap();
}

/// Finds a gradient that overflows under a finite loss and is not skipped: only the gradient's own bits show it.
#[test]
fn a_gradient_that_overflows_under_a_finite_loss_is_skipped() {
    let features: Vec<f32> = vec![1.0, 1e38, 1.0, 0.5];
    let set = Dataset::from_f32(features, 2, vec![0; 2]).unwrap().with_targets(vec![1e3, 1e3], 1).unwrap();
    let network = Network::classifier(2, &[], Activation::Relu, 1);
    // The large feature has no weight: the output is small, the gradient 1e38 times the residual.
    let layer = LayerWeights::new(2, 1, vec![0.5, 0.0], vec![0.0]);
    let weights = Weights::new(vec![layer]);
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

/// Finds a row that overflows and spoils the steps before its own, as minibatches are computed in quads of rows: a 0 in a row past the minibatch is
/// not 0 once it is multiplied with a value that is not finite.
#[test]
fn a_bad_row_is_bad_in_its_own_step_alone() {
    const ROWS: usize = 30;
    const BAD: usize = 15;
    let mut features = Random(4).values(ROWS * WIDTH).into_iter().map(|value| value as f32).collect::<Vec<_>>();
    features[BAD * WIDTH..][..WIDTH].fill(3e38);
    let labels = (0..ROWS as u32).map(|row| row % 3).collect();
    let set = Dataset::from_f32(features, WIDTH, labels).unwrap();
    let numbers = set.clone().with_targets(vec![0.5; 3 * ROWS], 3).unwrap();
    let many: Vec<u32> = (0..ROWS as u32).map(|row| row * 3).collect();
    let many = Dataset::from_f32((0..ROWS).flat_map(|row| set.row(row).unwrap()).collect(), WIDTH, many).unwrap();
    for (set, loss, outputs) in [
        (&set, Loss::default(), 3),
        (&numbers, Loss::MeanSquaredError, 3),
        // The loss of many outputs has a kernel of its own.
        (&many, Loss::default(), 90),
    ] {
        for (batch_size, activation) in [
            (1, Activation::Relu),
            (1, Activation::Gelu),
            (2, Activation::Silu),
            (3, Activation::Gelu),
            (5, Activation::Relu),
        ] {
            let network = Network::classifier(WIDTH, &[6, 5], activation, outputs);
            let options = |non_finite| TrainOptions {
                loss: loss.clone(),
                optimizer: Optimizer::sgd(1e-3),
                initializer: Initializer::Constant(1.0),
                non_finite,
                batch_size,
                shuffle: false,
                epochs: 1,
                ..TrainOptions::default()
            };
            let what = format!("{loss:?}, batches of {batch_size}, {activation:?}");
            let mut skipping = Trainer::on(gpu(), network.clone(), options(NonFinite::Skip)).unwrap();
            let history = skipping.fit(set, None).unwrap();
            assert_eq!(history.epochs[0].skipped_steps, 1, "{what}");
            let mut stopping = Trainer::on(gpu(), network, options(NonFinite::Stop)).unwrap();
            let step = BAD / batch_size + 1;
            let error = stopping.fit(set, None).unwrap_err();
            assert!(matches!(error, Error::NonFinite { step: bad, .. } if bad == step as u64), "{what}: {error}");
        }
    }
}

/// Finds an epoch of skipped steps alone whose loss of 0 is the best.
#[test]
fn an_epoch_of_skipped_steps_is_never_the_best() {
    // 2¹²⁰ · 2¹²⁰
    let options =
        TrainOptions { optimizer: Optimizer::sgd(0.1), non_finite: NonFinite::Skip, ..TrainOptions::default() };
    let (mut skipping, set) = chain(&[2f32.powi(120); 2], [1.0; 2], [1.0; 2], options);
    let error = skipping.fit(&set, None).unwrap_err();
    assert!(error.to_string().contains("all 2 steps of the epoch were skipped"), "{error}");
}
