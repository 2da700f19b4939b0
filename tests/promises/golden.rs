//! The numbers of PyTorch: whole trajectories, computed there in float64, step by step. 22 came with the design; `make_golden.py`
//! beside the files wrote the others.

use wgrad::selftest::golden::{EMBEDDED, EMBEDDED_NETS, Trajectory};

use crate::support::{agrees, files_in, golden_file, gpu};

/// The first gradients, the losses of its steps and the final weights must be PyTorch's.
fn matches_pytorch(name: &str) {
    let path = golden_file(name);
    agrees(Trajectory::read(&path, &std::fs::read(&path).unwrap()).unwrap().agrees(&gpu()));
}

/// Finds a trajectory that the program's selftest lacks, or has in an older version.
#[test]
fn every_trajectory_is_in_the_program() {
    let golden = golden_file("adam").parent().unwrap().to_path_buf();
    for (folder, own) in [(golden.clone(), EMBEDDED), (golden.with_file_name("golden-nets"), EMBEDDED_NETS)] {
        let files: Vec<String> = files_in(&folder).into_iter().filter(|name| name.ends_with(".safetensors")).collect();
        let mut embedded: Vec<String> = own.iter().map(|(name, _)| format!("{name}.safetensors")).collect();
        embedded.sort();
        assert_eq!(embedded, files);
        for (name, bytes) in own {
            assert!(*bytes == std::fs::read(folder.join(format!("{name}.safetensors"))).unwrap(), "{name}");
        }
    }
}

/// Finds moments, corrections or epsilon in another place than PyTorch has them.
#[test]
fn adam_is_pytorchs() {
    matches_pytorch("adam");
}

/// Every optimizer of PyTorch's that is here agrees with it, in all variants. Finds a slot in the wrong place, an epsilon inside a root, a decay that
/// is coupled where it should not be.
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

/// Every loss of PyTorch's that is here agrees with it, with all options. Finds a mean over the wrong values, a weight that is applied twice, a
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

/// Every activation of PyTorch's that is here agrees with it, through two hidden layers.
#[test]
fn every_activation_is_pytorchs() {
    for name in ["leaky-relu", "elu", "gelu", "gelu-tanh", "silu", "tanh", "sigmoid", "softplus"] {
        matches_pytorch(&format!("activation_{name}"));
    }
}

/// Every schedule of PyTorch's that is here agrees with it. Finds a rate that is a step late.
#[test]
fn every_schedule_is_pytorchs() {
    for case in ["step_lr", "exponential_lr", "polynomial_lr", "cosine_lr", "one_cycle_lr", "warmup_cosine_lr"] {
        matches_pytorch(case);
    }
}

/// Finds a value that is clipped before the mean is taken.
#[test]
fn clipping_by_value_is_pytorchs() {
    matches_pytorch("clip_grad_value");
}

/// Finds a norm of one layer instead of all, or a gradient that is clipped after the update.
#[test]
fn clipping_by_the_global_norm_is_pytorchs() {
    matches_pytorch("clip_grad_norm");
}

/// Finds a sum in place of a mean, or a wrong sign.
#[test]
fn sgd_is_pytorchs() {
    matches_pytorch("sgd");
}

/// Finds a layer in the middle that is updated before its gradient has gone further back.
#[test]
fn a_deep_network_is_pytorchs() {
    matches_pytorch("deep");
}

/// Finds padding that leaks into a sum; and a run that ends inside an epoch.
#[test]
fn odd_sizes_are_pytorchs() {
    matches_pytorch("odd_sizes");
}

/// Finds a short last batch whose loss is divided by the full one's rows.
#[test]
fn a_short_last_batch_is_pytorchs() {
    matches_pytorch("short_last_batch");
}

/// Finds a batch of one row in which the three missing rows of its block count.
#[test]
fn a_batch_of_one_is_pytorchs() {
    matches_pytorch("batch_of_one");
}

/// Residual sums are PyTorch's, and their weights have the names of its modules. Finds a sum on the wrong side of an activation, a way of the gradient
/// that is lost, and a shortcut and a body that are confused.
#[test]
fn residual_sums_are_pytorchs() {
    matches_pytorch("residual");
    matches_pytorch("residual_of_the_inputs");
}
