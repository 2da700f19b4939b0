//! The numbers of PyTorch: whole trajectories, computed there in float64 (`make_golden.py` of the design), step by step.

use safetensors::SafeTensors;
use serde_json::Value;
use wgrad::{Activation, Dataset, Model, Network, Optimizer, Rule, TrainOptions, Trainer};

use crate::support::{assert_close, flat, golden_file, gpu};

const TOLERANCE: f64 = 2e-5;

/// One case: what to run, and what has to come out.
struct Case {
    network: Network,
    options: TrainOptions,
    steps: usize,
    losses: Vec<f64>,
    /// Weights and bias of every layer, in the order of `support::flat`.
    weights: Vec<f64>,
}

fn read(name: &str) -> Case {
    let bytes = std::fs::read(golden_file(name)).unwrap();
    let file = SafeTensors::deserialize(&bytes).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    let case: Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["case"]).unwrap();
    let values = |tensor: &str| -> Vec<f64> {
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(file.tensor(tensor).unwrap().data());
        values.into_iter().map(f64::from).collect()
    };
    let widths: Vec<usize> =
        case["layers"].as_array().unwrap().iter().map(|width| width.as_u64().unwrap() as usize).collect();
    let arguments = &case["optimizer_args"];
    let number = |name: &str| arguments[name].as_f64().unwrap();
    let rule = match case["optimizer"].as_str().unwrap() {
        "SGD" => Rule::Sgd,
        "Adam" => Rule::Adam {
            beta1: arguments["betas"][0].as_f64().unwrap_or(0.9),
            beta2: arguments["betas"][1].as_f64().unwrap_or(0.999),
            eps: number("eps"),
        },
        other => panic!("{other} is not part of this suite"),
    };
    let layers = 0..widths.len() - 1;
    Case {
        network: Network::classifier(
            widths[0],
            &widths[1..widths.len() - 1],
            Activation::Relu,
            widths[widths.len() - 1],
        ),
        options: TrainOptions {
            optimizer: Optimizer { lr: number("lr"), rule },
            batch_size: case["batch_size"].as_u64().unwrap() as usize,
            steps: Some(1),
            shuffle: false,
            ..TrainOptions::default()
        },
        steps: case["steps"].as_u64().unwrap() as usize,
        losses: values("loss"),
        weights: layers
            .flat_map(|at| [values(&format!("final.{}.weight", 2 * at)), values(&format!("final.{}.bias", 2 * at))])
            .flatten()
            .collect(),
    }
}

/// Runs a case one step at a time; the losses of its steps and the final weights must be PyTorch's.
fn matches_pytorch(name: &str) {
    let case = read(name);
    let set = Dataset::from_safetensors(golden_file(name)).unwrap();
    let mut trainer = Trainer::on(gpu(), case.network, case.options).unwrap();
    trainer.set_weights(&Model::read(golden_file(name)).unwrap().weights).unwrap();
    let losses: Vec<f64> = (0..case.steps).map(|_| trainer.fit(&set, None).unwrap().epochs[0].training.loss).collect();
    assert_close(&format!("{name}: losses"), &losses, &case.losses, TOLERANCE);
    assert_close(&format!("{name}: weights"), &flat(&trainer.weights().unwrap()), &case.weights, TOLERANCE);
}

/// Moments, corrections or epsilon in another place than PyTorch has them.
#[test]
fn adam_is_pytorchs() {
    matches_pytorch("adam");
}

/// A sum where a mean belongs, or a sign.
#[test]
fn sgd_is_pytorchs() {
    matches_pytorch("sgd");
}

/// A layer in the middle that is updated before its gradient has gone further back.
#[test]
fn a_deep_network_is_pytorchs() {
    matches_pytorch("deep");
}

/// Padding that leaks into a sum; and a run that ends inside an epoch.
#[test]
fn odd_sizes_are_pytorchs() {
    matches_pytorch("odd_sizes");
}

/// A short last batch whose loss is divided by the full one's rows.
#[test]
fn a_short_last_batch_is_pytorchs() {
    matches_pytorch("short_last_batch");
}

/// Three of four rows in a block that are not there.
#[test]
fn a_batch_of_one_is_pytorchs() {
    matches_pytorch("batch_of_one");
}
