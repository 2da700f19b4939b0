//! The numbers of PyTorch: whole trajectories, computed there in float64, step by step. 22 came with the design; `make_golden.py`
//! beside the files wrote the others.

use safetensors::SafeTensors;
use serde_json::Value;
use wgrad::{Dataset, Decay, Loss, Model, Network, Optimizer, Rule, Schedule, TrainOptions, Trainer};

use crate::support::{assert_close, flat, golden_file, gpu};

const TOLERANCE: f64 = 2e-5;

/// One case: what to run, and what has to come out.
struct Case {
    network: Network,
    options: TrainOptions,
    steps: usize,
    losses: Vec<f64>,
    /// Gradients of the first step, in the same order, before clipping.
    gradients: Vec<f64>,
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
    let list = |list: &Value| -> Option<Vec<f64>> {
        list.as_array().map(|list| list.iter().map(|value| value.as_f64().unwrap()).collect())
    };
    let flag = |name: &str| arguments[name].as_bool().unwrap_or(false);
    let or = |name: &str, default: f64| arguments[name].as_f64().unwrap_or(default);
    let (beta1, beta2) =
        (arguments["betas"][0].as_f64().unwrap_or(0.9), arguments["betas"][1].as_f64().unwrap_or(0.999));
    let rule = match case["optimizer"].as_str().unwrap() {
        "SGD" => Rule::Sgd { momentum: or("momentum", 0.0), nesterov: flag("nesterov") },
        "Adam" => Rule::Adam { beta1, beta2, eps: number("eps"), amsgrad: flag("amsgrad") },
        "AdamW" => Rule::AdamW { beta1, beta2, eps: number("eps"), amsgrad: flag("amsgrad") },
        "NAdam" => Rule::NAdam { beta1, beta2, eps: or("eps", 1e-8), momentum_decay: or("momentum_decay", 4e-3) },
        "Muon" => Rule::Muon {
            momentum: or("momentum", 0.95),
            nesterov: arguments["nesterov"].as_bool().unwrap_or(true),
            match_rms_adamw: arguments["adjust_lr_fn"] == "match_rms_adamw",
            eps: 1e-7,
            ns_steps: 5.0,
            adamw_lr: case["adamw_args"]["lr"].as_f64().unwrap(),
            beta1,
            beta2,
            adamw_eps: 1e-8,
        },
        "Adagrad" => Rule::Adagrad { eps: number("eps") },
        "Adadelta" => Rule::Adadelta { rho: or("rho", 0.9), eps: or("eps", 1e-6) },
        "RMSprop" => Rule::RmsProp {
            alpha: number("alpha"),
            eps: number("eps"),
            momentum: or("momentum", 0.0),
            centered: flag("centered"),
        },
        other => panic!("{other} is not part of this suite"),
    };
    let loss_arguments = &case["loss_args"];
    let loss = match case["loss"].as_str().unwrap() {
        "softmax_cross_entropy" => Loss::SoftmaxCrossEntropy {
            label_smoothing: loss_arguments["label_smoothing"].as_f64().unwrap_or(0.0),
            class_weights: list(&loss_arguments["weight"]),
            ignore_index: loss_arguments["ignore_index"].as_i64(),
            gamma: 0.0,
        },
        "sigmoid_cross_entropy" => {
            Loss::SigmoidCrossEntropy { pos_weight: list(&loss_arguments["pos_weight"]), gamma: 0.0 }
        }
        "kl_divergence" => Loss::KlDivergence,
        "mse" => Loss::MeanSquaredError,
        "l1" => Loss::MeanAbsoluteError,
        "huber" => Loss::Huber { delta: loss_arguments["delta"].as_f64().unwrap() },
        other => panic!("{other} is not part of this suite"),
    };
    let defaults = Optimizer::new(rule);
    let optimizer = Optimizer { lr: number("lr"), weight_decay: or("weight_decay", defaults.weight_decay), rule };
    let all = |prefix: &str| -> Vec<f64> {
        let parts = |at: usize| ["weight", "bias"].map(|part| values(&format!("{prefix}.{}.{part}", 2 * at)));
        (0..widths.len() - 1).flat_map(parts).flatten().collect()
    };
    Case {
        network: Network::classifier(
            widths[0],
            &widths[1..widths.len() - 1],
            case["activation"].as_str().unwrap().parse().unwrap(),
            widths[widths.len() - 1],
        ),
        options: TrainOptions {
            loss,
            optimizer,
            schedule: schedule(&case["schedule"]),
            clip_grad_norm: case["clip_grad_norm"].as_f64(),
            clip_grad_value: case["clip_grad_value"].as_f64(),
            batch_size: case["batch_size"].as_u64().unwrap() as usize,
            steps: Some(1),
            shuffle: false,
            ..TrainOptions::default()
        },
        steps: case["steps"].as_u64().unwrap() as usize,
        losses: values("loss"),
        gradients: all("grad0"),
        weights: all("final"),
    }
}

/// PyTorch's schedulers, one or two after each other: a warm-up, and what comes after it.
fn schedule(schedulers: &Value) -> Schedule {
    let schedulers = schedulers.as_array().map_or(&[][..], Vec::as_slice);
    schedulers.iter().fold(Schedule::default(), |schedule, scheduler| {
        let (kind, arguments) = (scheduler[0].as_str().unwrap(), &scheduler[1]);
        let number = |name: &str| arguments[name].as_f64();
        let decay = match kind {
            "LinearLR" => {
                let warmup = number("total_iters").unwrap() as u32;
                return Schedule { warmup, start_factor: number("start_factor").unwrap(), ..schedule };
            }
            "StepLR" => Decay::Step { step_size: number("step_size").unwrap(), gamma: number("gamma").unwrap() },
            "ExponentialLR" => Decay::Exponential { gamma: number("gamma").unwrap() },
            "PolynomialLR" => Decay::Polynomial { total_iters: number("total_iters"), power: number("power").unwrap() },
            "CosineAnnealingLR" => Decay::Cosine { t_max: number("T_max"), eta_min: number("eta_min").unwrap_or(0.0) },
            "OneCycleLR" => Decay::OneCycle {
                total_steps: number("total_steps"),
                pct_start: 0.3,
                div_factor: 25.0,
                final_div_factor: 1e4,
            },
            other => panic!("{other} is not part of this suite"),
        };
        Schedule { decay, ..schedule }
    })
}

/// Runs a case one step at a time; the first gradients, the losses of its steps and the final weights must be PyTorch's.
fn matches_pytorch(name: &str) {
    let case = read(name);
    let set = Dataset::from_safetensors(golden_file(name)).unwrap();
    let initial = Model::read(golden_file(name)).unwrap().weights;

    // So large a rate that a step of gradient descent drowns the weight, and their difference is the gradient.
    let rate = 1e4;
    let descent = TrainOptions {
        optimizer: Optimizer::sgd(rate),
        schedule: Schedule::default(),
        clip_grad_norm: None,
        clip_grad_value: None,
        ..case.options.clone()
    };
    let mut trainer = Trainer::on(gpu(), case.network.clone(), descent).unwrap();
    trainer.set_weights(&initial).unwrap();
    trainer.fit(&set, None).unwrap();
    let after = flat(&trainer.weights().unwrap());
    let gradients: Vec<f64> =
        flat(&initial).iter().zip(&after).map(|(before, after)| (before - after) / rate).collect();
    assert_close(&format!("{name}: first gradients"), &gradients, &case.gradients, TOLERANCE);

    let mut trainer = Trainer::on(gpu(), case.network, case.options).unwrap();
    trainer.set_weights(&initial).unwrap();
    let losses: Vec<f64> = (0..case.steps).map(|_| trainer.fit(&set, None).unwrap().epochs[0].training.loss).collect();
    assert_close(&format!("{name}: losses"), &losses, &case.losses, TOLERANCE);
    assert_close(&format!("{name}: weights"), &flat(&trainer.weights().unwrap()), &case.weights, TOLERANCE);
}

/// Moments, corrections or epsilon in another place than PyTorch has them.
#[test]
fn adam_is_pytorchs() {
    matches_pytorch("adam");
}

/// Every optimizer of PyTorch's that is here, with its variants: a slot in the wrong place, an epsilon inside a root, a decay
/// that is coupled where it should not be.
#[test]
fn every_optimizer_is_pytorchs() {
    for case in [
        "momentum",
        "nesterov",
        "weight_decay_sgd",
        "adagrad",
        "rmsprop",
        "rmsprop_momentum_centered",
        "amsgrad",
        "adamw",
        "adadelta",
        "nadam",
        "rmsprop_weight_decay",
        "adagrad_weight_decay",
        "adamw_amsgrad",
        "adam_weight_decay",
        "muon",
        "muon_match_rms_adamw",
    ] {
        matches_pytorch(case);
    }
}

/// Every loss of PyTorch's that is here, with its options: a mean over the wrong thing, a weight that is applied twice, a
/// target that is smoothed after it was weighted.
#[test]
fn every_loss_is_pytorchs() {
    for case in [
        "soft_targets",
        "label_smoothing",
        "class_weights",
        "ignore_index",
        "binary",
        "multilabel",
        "mse",
        "kl_divergence",
        "l1",
        "huber",
        "pos_weight",
        "everything_at_once",
        "soft_smoothed_weighted",
    ] {
        matches_pytorch(case);
    }
}

/// Every activation of PyTorch's that is here, through two hidden layers.
#[test]
fn every_activation_is_pytorchs() {
    for name in ["leaky-relu", "elu", "gelu", "gelu-tanh", "silu", "tanh", "sigmoid", "softplus"] {
        matches_pytorch(&format!("activation_{name}"));
    }
}

/// Every schedule of PyTorch's that is here: a rate that is a step late.
#[test]
fn every_schedule_is_pytorchs() {
    for case in ["step_lr", "exponential_lr", "polynomial_lr", "cosine_lr", "one_cycle_lr", "warmup_cosine_lr"] {
        matches_pytorch(case);
    }
}

/// A value that is clipped before the mean is taken.
#[test]
fn clipping_by_value_is_pytorchs() {
    matches_pytorch("clip_grad_value");
}

/// A norm of one layer instead of all, or a gradient that is clipped after the update.
#[test]
fn clipping_by_the_global_norm_is_pytorchs() {
    matches_pytorch("clip_grad_norm");
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
