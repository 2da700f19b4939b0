//! Metrics: what the device counts and sums against the plain way, from outputs of the f64 twin network.

use std::collections::HashMap;

use wgrad::{Activation, Dataset, Initializer, Loss, Metrics, Network, TrainOptions, Trainer, Weights};

use crate::reference::interpreter::Interpreter;
use crate::reference::network::layers;
use crate::support::{Random, assert_close, gpu, succeed};

/// More than one minibatch, and a short last one.
const ROWS: usize = 700;
const WIDTH: usize = 5;

/// A network with initial weights, its outputs by the twin, and what the device says of it.
fn measured(
    loss: Loss,
    outputs: usize,
    set: impl FnOnce(Dataset) -> Dataset,
    weights: Option<Weights>,
) -> (Vec<f64>, Metrics) {
    let x = Random(1).values(ROWS * WIDTH);
    let features = x.iter().map(|&value| value as f32).collect();
    let network = Network::classifier(WIDTH, &[6], Activation::Relu, outputs);
    let options = TrainOptions { loss, ..TrainOptions::default() };
    let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
    let weights = weights.unwrap_or_else(|| Initializer::Torch.weights(&network, 3));
    trainer.set_weights(&weights).unwrap();
    let set = set(Dataset::from_f32(features, WIDTH, vec![0; ROWS]).unwrap());
    let metrics = trainer.metrics(&set).unwrap();
    assert_eq!(trainer.metrics(&set).unwrap(), metrics, "a second time");
    assert_eq!(trainer.evaluate(&set).unwrap(), metrics.evaluation);
    (Interpreter::evaluating(&network).logits(&layers(&weights), &x), metrics)
}

fn with_labels(labels: &[i64]) -> impl FnOnce(Dataset) -> Dataset + '_ {
    |set| {
        let bytes: Vec<u32> = labels.iter().map(|&label| label as u32).collect();
        let rows = Random(1).values(ROWS * WIDTH).into_iter().map(|value| value as f32).collect();
        assert_eq!(set.rows(), ROWS);
        Dataset::from_f32(rows, WIDTH, bytes).unwrap()
    }
}

fn with_values(values: &[f64], outputs: usize) -> impl FnOnce(Dataset) -> Dataset + '_ {
    move |set| set.with_targets(values.iter().map(|&value| value as f32).collect(), outputs).unwrap()
}

/// Precision, recall and F1 of every class; ranks; the confusion matrix: one row at a time.
fn check_classes(z: &[f64], wanted: &[Option<usize>], outputs: usize, metrics: &Metrics) {
    let classes = metrics.classes.as_ref().unwrap();
    let mut confusion: HashMap<(usize, usize), u64> = HashMap::new();
    let mut ranks = vec![0u64; outputs];
    for (z, wanted) in z.chunks_exact(outputs).zip(wanted).filter_map(|(z, wanted)| Some((z, (*wanted)?))) {
        let mut order: Vec<usize> = (0..outputs).collect();
        order.sort_by(|&a, &b| z[b].total_cmp(&z[a]));
        *confusion.entry((wanted, order[0])).or_default() += 1;
        ranks[order.iter().position(|&class| class == wanted).unwrap()] += 1;
    }
    let sum = |keep: &dyn Fn(&(usize, usize)) -> bool| -> u64 {
        confusion.iter().filter(|(pair, _)| keep(pair)).map(|(_, count)| count).sum()
    };
    assert_eq!(classes.classes.len(), outputs);
    for (class, counts) in classes.classes.iter().enumerate() {
        assert_eq!(counts.support, sum(&|pair| pair.0 == class), "{outputs} outputs, support of {class}");
        assert_eq!(counts.predicted, sum(&|pair| pair.1 == class), "{outputs} outputs, predicted {class}");
        assert_eq!(counts.hits, sum(&|pair| *pair == (class, class)), "{outputs} outputs, hits of {class}");
        let ratio = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
        let (precision, recall) = (ratio(counts.hits, counts.predicted), ratio(counts.hits, counts.support));
        assert_eq!((counts.precision(), counts.recall()), (precision, recall));
        let f1 = if precision + recall > 0.0 { 2.0 * precision * recall / (precision + recall) } else { 0.0 };
        assert!((counts.f1() - f1).abs() < 1e-12);
    }
    assert_eq!(classes.ranks, ranks, "{outputs} outputs: ranks");
    let all = sum(&|_| true);
    for k in [1, 2, outputs] {
        let expected = ranks.iter().take(k).sum::<u64>() as f64 / all as f64;
        assert_eq!(classes.top_k(k), Some(expected), "{outputs} outputs: top {k}");
    }
    assert_eq!(classes.top_k(1), metrics.evaluation.accuracy);
    assert_eq!(classes.confusion.is_some(), outputs <= 1000, "{outputs} outputs: the confusion matrix");
    if let Some(matrix) = &classes.confusion {
        assert_eq!(matrix.len(), outputs * outputs);
        for (at, &count) in matrix.iter().enumerate() {
            let pair = (at / outputs, at % outputs);
            assert_eq!(count, confusion.get(&pair).copied().unwrap_or(0), "{outputs} outputs: {pair:?}");
        }
    }
}

/// The probability that a positive row scores above a negative one, pair by pair.
fn auc(scores: &[f64], positive: &[Option<bool>]) -> Option<f64> {
    let of = |wanted: bool| -> Vec<f64> {
        scores.iter().zip(positive).filter(|(_, p)| **p == Some(wanted)).map(|(score, _)| *score).collect()
    };
    let (positives, negatives) = (of(true), of(false));
    let points = |p: f64, n: f64| {
        if p > n {
            1.0
        } else if p == n {
            0.5
        } else {
            0.0
        }
    };
    let sum: f64 = positives.iter().flat_map(|&p| negatives.iter().map(move |&n| points(p, n))).sum();
    let pairs = positives.len() * negatives.len();
    (pairs > 0).then(|| sum / pairs as f64)
}

/// Finds a count of the wrong class, of a row past the last, or of one that is ignored; for few classes and many, by index and by distribution.
#[test]
fn classes_are_counted_as_they_are() {
    for outputs in [2, 3, 10, 70, 1001] {
        let random = &mut Random(outputs as u64);
        let labels: Vec<i64> = (0..ROWS).map(|_| random.below(outputs) as i64).collect();
        let (z, metrics) = measured(Loss::default(), outputs, with_labels(&labels), None);
        let wanted: Vec<Option<usize>> = labels.iter().map(|&label| Some(label as usize)).collect();
        check_classes(&z, &wanted, outputs, &metrics);
        if outputs == 2 {
            let scores: Vec<f64> = z.chunks_exact(2).map(|z| z[1] - z[0]).collect();
            let positive: Vec<Option<bool>> = labels.iter().map(|&label| Some(label == 1)).collect();
            assert_close("AUC", &[metrics.roc_auc.unwrap()], &[auc(&scores, &positive).unwrap()], 1e-9);
        } else {
            assert_eq!(metrics.roc_auc, None);
        }

        let ignoring: Vec<i64> =
            labels.iter().enumerate().map(|(row, &label)| if row % 3 == 0 { -100 } else { label }).collect();
        let loss = Loss::SoftmaxCrossEntropy {
            label_smoothing: 0.1,
            class_weights: None,
            ignore_index: Some(-100),
            gamma: 0.0,
        };
        let (z, metrics) = measured(loss, outputs, with_labels(&ignoring), None);
        let wanted: Vec<Option<usize>> = ignoring.iter().map(|&label| usize::try_from(label).ok()).collect();
        check_classes(&z, &wanted, outputs, &metrics);
        if outputs == 2 {
            let scores: Vec<f64> = z.chunks_exact(2).map(|z| z[1] - z[0]).collect();
            let positive: Vec<Option<bool>> = wanted.iter().map(|wanted| wanted.map(|class| class == 1)).collect();
            assert_close("AUC", &[metrics.roc_auc.unwrap()], &[auc(&scores, &positive).unwrap()], 1e-9);
        }
    }
    let outputs = 4;
    let distribution: Vec<f64> = Random(8).distributions(ROWS, outputs);
    let (z, metrics) = measured(Loss::KlDivergence, outputs, with_values(&distribution, outputs), None);
    let largest = |t: &[f64]| (0..outputs).max_by(|&a, &b| t[a].total_cmp(&t[b]));
    let wanted: Vec<Option<usize>> = distribution.chunks_exact(outputs).map(largest).collect();
    check_classes(&z, &wanted, outputs, &metrics);
}

/// Where all logits are equal, the first class is predicted, and the rank of the right one is its index.
#[test]
fn ties_go_to_the_first() {
    let outputs = 3;
    let labels: Vec<i64> = (0..ROWS as i64).map(|row| row % 3).collect();
    let network = Network::classifier(WIDTH, &[6], Activation::Relu, outputs);
    let alike = Initializer::Constant(0.0).weights(&network, 0);
    let (z, metrics) = measured(Loss::default(), outputs, with_labels(&labels), Some(alike));
    let wanted: Vec<Option<usize>> = labels.iter().map(|&label| Some(label as usize)).collect();
    check_classes(&z, &wanted, outputs, &metrics);
    let alike = Initializer::Constant(0.0).weights(&Network::classifier(WIDTH, &[6], Activation::Relu, 2), 0);
    let labels: Vec<i64> = (0..ROWS as i64).map(|row| row % 2).collect();
    let (_, metrics) = measured(Loss::default(), 2, with_labels(&labels), Some(alike));
    assert_eq!(metrics.roc_auc, Some(0.5));
    let (_, metrics) = measured(Loss::default(), 2, with_labels(&[1; ROWS]), None);
    assert_eq!(metrics.roc_auc, None, "one class alone");
}

/// Outputs that are each a yes or no are counted by themselves, and so is a single one.
#[test]
fn outputs_of_their_own_are_counted_by_themselves() {
    for outputs in [1, 5, 70] {
        let t: Vec<f64> =
            Random(9).values(ROWS * outputs).into_iter().map(|value| f64::from(u8::from(value > 0.3))).collect();
        let (z, metrics) = measured(Loss::sigmoid_cross_entropy(), outputs, with_values(&t, outputs), None);
        let classes = metrics.classes.as_ref().unwrap();
        let count = |c: usize, keep: &dyn Fn(f64, f64) -> bool| {
            (0..ROWS).filter(|row| keep(z[row * outputs + c], t[row * outputs + c])).count() as u64
        };
        assert_eq!(classes.classes.len(), outputs);
        for (c, counts) in classes.classes.iter().enumerate() {
            assert_eq!(counts.support, count(c, &|_, t| t > 0.5), "{outputs} outputs: {c}");
            assert_eq!(counts.predicted, count(c, &|z, _| z > 0.0), "{outputs} outputs: {c}");
            assert_eq!(counts.hits, count(c, &|z, t| z > 0.0 && t > 0.5), "{outputs} outputs: {c}");
        }
        assert_eq!((classes.top_k(1), &classes.confusion), (None, &None));
        let positive: Vec<Option<bool>> = t.iter().map(|&t| Some(t > 0.5)).collect();
        match outputs {
            1 => assert_close("AUC", &[metrics.roc_auc.unwrap()], &[auc(&z, &positive).unwrap()], 1e-9),
            _ => assert_eq!(metrics.roc_auc, None),
        }
    }
}

/// Finds sums that lose digits, a variance about the wrong mean, an average over the wrong thing; targets far from 0, and one that never changes.
#[test]
fn errors_of_numbers_are_scikit_learns() {
    for outputs in [1, 3, 70] {
        let mut t = Random(7).values(ROWS * outputs);
        t.iter_mut().enumerate().for_each(|(at, t)| match at % outputs {
            0 => *t = f64::from((1000.0 + *t) as f32),
            1 => *t = 0.25,
            _ => {}
        });
        for loss in [Loss::MeanSquaredError, Loss::Huber { delta: 1.0 }] {
            let (z, metrics) = measured(loss, outputs, with_values(&t, outputs), None);
            let regression = metrics.regression.unwrap();
            let off: Vec<f64> = z.iter().zip(&t).map(|(z, t)| z - t).collect();
            let mean = |values: &mut dyn Iterator<Item = f64>, count: usize| values.sum::<f64>() / count as f64;
            let absolute = mean(&mut off.iter().map(|off| off.abs()), off.len());
            let squared = mean(&mut off.iter().map(|off| off * off), off.len());
            let r2 = (0..outputs).map(|c| {
                let column = |values: &[f64]| -> Vec<f64> { values.iter().skip(c).step_by(outputs).copied().collect() };
                let (t, off) = (column(&t), column(&off));
                let centre = mean(&mut t.iter().copied(), ROWS);
                let spread: f64 = t.iter().map(|t| (t - centre).powi(2)).sum();
                if spread == 0.0 { 0.0 } else { 1.0 - off.iter().map(|off| off * off).sum::<f64>() / spread }
            });
            let r2 = mean(&mut r2.collect::<Vec<_>>().into_iter(), outputs);
            assert_close("MAE", &[regression.mean_absolute_error], &[absolute], 1e-6);
            assert_close("RMSE", &[regression.root_mean_squared_error], &[squared.sqrt()], 1e-6);
            assert_close("R²", &[regression.r2], &[r2], 1e-5);
            assert!(metrics.classes.is_none() && metrics.roc_auc.is_none());
        }
    }
}

/// The program prints the metrics, as tables and as JSON.
#[test]
fn the_program_prints_them() {
    let folder = tempfile::tempdir().unwrap();
    succeed(folder.path(), &["train", "--steps", "30", "--hidden", "none"]);
    let told = succeed(folder.path(), &["evaluate", "--model", "model.safetensors", "--top-k", "3"]);
    for words in ["among the first 3", "precision", "class ↓ predicted →", "mean"] {
        assert!(told.contains(words), "no {words} in {told}");
    }
    let told = succeed(folder.path(), &["evaluate", "--model", "model.safetensors", "--json"]);
    let event: serde_json::Value = serde_json::from_str(&told).unwrap();
    let confusion = event["confusion"].as_array().unwrap();
    let supports: Vec<u64> =
        event["classes"].as_array().unwrap().iter().map(|class| class["support"].as_u64().unwrap()).collect();
    let rows: Vec<u64> =
        confusion.iter().map(|row| row.as_array().unwrap().iter().map(|count| count.as_u64().unwrap()).sum()).collect();
    assert_eq!(rows, supports);
    assert_eq!(supports, [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009], "MNIST's test set");
    // The right class is among the first five more often than it is the first.
    let [top_k, accuracy] = [&event["top_k"]["accuracy"], &event["accuracy"]].map(|value| value.as_f64().unwrap());
    assert!(event["top_k"]["k"] == 5 && 1.0 >= top_k && top_k > accuracy, "{event}");
    assert!(event["macro"]["f1"].as_f64().unwrap() > 0.5);
}
