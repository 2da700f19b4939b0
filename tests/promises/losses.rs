//! Every loss, with every kind of target and every option, against its f64 twin; its gradient against central differences, in
//! the middle of a network; for few outputs and for many.

use wgrad::selftest::training::{LossCase, RATE, ROWS, WIDTH, losses};
use wgrad::{Activation, Dataset, Initializer, Loss, Network, Optimizer, TrainOptions, Trainer};

use crate::dispatches::{Step, assert_dispatches};
use crate::reference::interpreter::Interpreter;
use crate::reference::loss::{Targets, weighted_mean_loss};
use crate::reference::network::layers;
use crate::reference::softmax_cross_entropy;
use crate::support::{Random, agrees, assert_close, bits, gpu};

fn trainer(network: &Network, loss: &Loss) -> Trainer {
    let options = TrainOptions {
        loss: loss.clone(),
        optimizer: Optimizer::sgd(RATE),
        batch_size: ROWS,
        steps: Some(1),
        shuffle: false,
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
    trainer.set_weights(&Initializer::Torch.weights(network, 3)).unwrap();
    trainer
}

fn check(outputs: usize) {
    for case in losses(outputs) {
        agrees(case.agrees(&gpu()));
    }
}

/// Finds a mean over the wrong values, a weight applied twice, a gradient that is right only where its upstream is 1.
#[test]
fn every_loss_agrees_with_its_twin() {
    check(3);
    check(1);
}

/// Every loss agrees with its twin where a row does not fit registers, and the loss has a kernel of its own.
#[test]
fn every_loss_agrees_with_its_twin_for_many_outputs() {
    check(70);
}

/// Finds a division by 0 in a minibatch of ignored rows alone.
#[test]
fn ignored_rows_alone_have_no_loss_and_change_nothing() {
    let loss =
        Loss::SoftmaxCrossEntropy { label_smoothing: 0.0, class_weights: None, ignore_index: Some(-100), gamma: 0.0 };
    let network = Network::classifier(WIDTH, &[5], Activation::Relu, 3);
    let case = LossCase {
        loss: loss.clone(),
        outputs: 3,
        labels: Some(vec![-100; ROWS]),
        values: vec![],
        weights: vec![1.0; ROWS],
    };
    let mut trainer = trainer(&network, &loss);
    let before = trainer.weights().unwrap();
    let history = trainer.fit(&case.set(&Random(1).values(ROWS * WIDTH)).unwrap(), None).unwrap();
    assert_eq!(history.epochs[0].training.loss, 0.0);
    assert_eq!(history.epochs[0].training.accuracy, None);
    assert_eq!(bits(&trainer.weights().unwrap()), bits(&before));
}

/// Finds a loss that costs a dispatch of its own.
#[test]
fn every_loss_costs_the_same_dispatches() {
    let network = Network::classifier(WIDTH, &[5], Activation::Relu, 3);
    let x = Random(1).values(ROWS * WIDTH);
    for case in losses(3) {
        let plan = trainer(&network, &case.loss).plan(&case.set(&x).unwrap()).unwrap();
        let (weighs_outputs, weighs_rows) = match &case.loss {
            Loss::SoftmaxCrossEntropy { class_weights, ignore_index, .. } => {
                let by_class = class_weights.is_some() || ignore_index.is_some();
                (class_weights.is_some(), by_class && case.labels.is_some())
            }
            Loss::SigmoidCrossEntropy { pos_weight, .. } => (pos_weight.is_some(), false),
            _ => (false, false),
        };
        let step = Step {
            more_of_the_loss: usize::from(weighs_outputs),
            weighted_mean: weighs_rows || case.weighs_rows(),
            ..Step::of(2, &Optimizer::sgd(RATE))
        };
        assert_dispatches(plan.dispatches().len() as u64, step, &case.label());
    }
}

/// Targets and values that a loss cannot take are refused before anything is trained.
#[test]
fn losses_refuse_what_they_cannot_take() {
    let network = Network::classifier(WIDTH, &[5], Activation::Relu, 3);
    let x = Random(1).values(ROWS * WIDTH);
    let refused = |loss: Loss, labels: Option<Vec<i64>>, values: Vec<f64>, words: &[&str]| {
        let case = LossCase { loss: loss.clone(), outputs: 3, labels, values, weights: vec![1.0; ROWS] };
        let error = trainer(&network, &loss).fit(&case.set(&x).unwrap(), None).unwrap_err();
        for word in words {
            assert!(error.to_string().contains(word), "no \"{word}\" in {error}");
        }
        assert_eq!(error.exit_code(), 2);
    };
    let plain = || Some(vec![0; ROWS]);
    let mut negative = vec![0.5; ROWS * 3];
    negative[4] = -0.5;
    refused(Loss::KlDivergence, plain(), vec![], &["kl-divergence", "class indices"]);
    refused(Loss::softmax_cross_entropy(), None, negative.clone(), &["target 1 of row 1 is -0.5", "at least 0"]);
    refused(Loss::sigmoid_cross_entropy(), None, vec![1.5; ROWS * 3], &["row 0 is 1.5", "from 0 to 1"]);
    refused(Loss::softmax_cross_entropy(), Some(vec![-100; ROWS]), vec![], &["row 0 is -100", "0 to 2"]);

    let options = |loss: Loss| TrainOptions { loss, ..TrainOptions::default() };
    for (loss, words) in [
        (
            Loss::SoftmaxCrossEntropy { label_smoothing: 1.5, class_weights: None, ignore_index: None, gamma: 0.0 },
            &["label_smoothing is 1.5", "0 to 1"][..],
        ),
        (
            Loss::SoftmaxCrossEntropy {
                label_smoothing: 0.0,
                class_weights: Some(vec![1.0]),
                ignore_index: None,
                gamma: 0.0,
            },
            &["class_weights has 1", "3 outputs"],
        ),
        (
            Loss::SigmoidCrossEntropy { pos_weight: Some(vec![1.0, f64::NAN, 1.0]), gamma: 0.0 },
            &["pos_weight", "NaN", "finite"],
        ),
        (Loss::Huber { delta: 0.0 }, &["delta is 0", "above 0"]),
        (Loss::SigmoidCrossEntropy { pos_weight: None, gamma: -1.0 }, &["gamma is -1", "0 to 100"]),
    ] {
        let error = Trainer::on(gpu(), network.clone(), options(loss)).map(drop).unwrap_err();
        assert_eq!(error.exit_code(), 2);
        for word in words {
            assert!(error.to_string().contains(word), "no \"{word}\" in {error}");
        }
    }
    let error = Loss::from_name("softmax-crossentropy").unwrap_err().to_string();
    assert!(error.contains("did you mean softmax-cross-entropy?"), "{error}");
}

/// Finds a short last batch that is divided by weights of rows it does not have: three steps of two batches, the second short.
#[test]
fn a_short_batch_is_divided_by_its_own_weights() {
    let (batch, outputs, rate) = (4, 3, 0.5);
    let x = Random(1).values(ROWS * WIDTH);
    let network = Network::classifier(WIDTH, &[5], Activation::Relu, outputs);
    let initial = Initializer::Torch.weights(&network, 3);
    let interpreter = Interpreter::evaluating(&network);
    for case in losses(outputs) {
        let mut twin = layers(&initial);
        for step in 0..3 {
            let rows = if step % 2 == 0 { 0..batch } else { batch..ROWS };
            let inputs = &x[rows.start * WIDTH..rows.end * WIDTH];
            let targets = match &case.labels {
                Some(labels) => Targets::Classes(&labels[rows.clone()]),
                None => Targets::Values(&case.values[rows.start * outputs..rows.end * outputs]),
            };
            let weights = &case.weights[rows];
            let loss = |z: &[f64]| weighted_mean_loss(&case.loss, z, &targets, outputs, weights);
            let gradients = interpreter.gradient(&twin, inputs, &loss);
            for (layer, gradient) in twin.iter_mut().zip(&gradients) {
                layer.weights.iter_mut().zip(&gradient.weights).for_each(|(w, g)| *w -= rate * g);
                layer.bias.iter_mut().zip(&gradient.bias).for_each(|(b, g)| *b -= rate * g);
            }
        }
        let options = TrainOptions {
            loss: case.loss.clone(),
            optimizer: Optimizer::sgd(rate),
            batch_size: batch,
            steps: Some(3),
            shuffle: false,
            ..TrainOptions::default()
        };
        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        trainer.set_weights(&initial).unwrap();
        trainer.fit(&case.set(&x).unwrap(), None).unwrap();
        for (trained, twin) in layers(&trainer.weights().unwrap()).iter().zip(&twin) {
            assert_close(&format!("{:?}", case.loss), &trained.weights, &twin.weights, 1e-5);
            assert_close(&format!("{:?}", case.loss), &trained.bias, &twin.bias, 1e-5);
        }
    }
}

/// Finds a sum of exponentials, an index or a launch that is too small for many classes, by loss and gradient of 100,000.
#[test]
fn a_hundred_thousand_classes_have_their_loss_and_gradient() {
    let (rows, width, classes) = (3, 4, 100_000);
    let x = Random(6).values(rows * width);
    let labels = [0, 99_999, 54_321];
    let features = x.iter().map(|&value| value as f32).collect();
    let set = Dataset::from_f32(features, width, labels.map(|label| label as u32).to_vec()).unwrap();
    let network = Network::classifier(width, &[], Activation::Relu, classes);
    let initial = Initializer::Torch.weights(&network, 3);
    let before = layers(&initial);
    let options = TrainOptions {
        optimizer: Optimizer::sgd(RATE),
        batch_size: rows,
        steps: Some(1),
        shuffle: false,
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
    trainer.set_weights(&initial).unwrap();
    let z = Interpreter::evaluating(&network).logits(&before, &x);
    let (losses, _, gradient) = softmax_cross_entropy(&z, &labels, rows);
    let loss = losses.iter().sum::<f64>() / rows as f64;
    let history = trainer.fit(&set, None).unwrap();
    assert_close("loss", &[history.epochs[0].training.loss], &[loss], 1e-5);
    let after = layers(&trainer.weights().unwrap());
    let step: Vec<f64> =
        before[0].bias.iter().zip(&after[0].bias).map(|(before, after)| (before - after) / RATE).collect();
    let bias: Vec<f64> = (0..classes).map(|c| (0..rows).map(|row| gradient[row * classes + c]).sum()).collect();
    assert_close("gradient", &step, &bias, 1e-5);
}
