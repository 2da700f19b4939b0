//! The main job: MNIST from one command.

use serde_json::Value;
use wgrad::Optimizer;

use crate::dispatches::{Step, promised};
use crate::support::succeed;

/// Finds a loop that runs, reports, and does not learn. One epoch of the seed program; ten are run by `examples/mnist_seeds`.
#[test]
fn the_seed_program_learns_mnist() {
    let folder = tempfile::tempdir().unwrap();
    let stdout = succeed(folder.path(), &["train", "--epochs", "1", "--json"]);
    let events: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(events[0]["parameters"], 203_530);
    // Three on a GPU that binds the updates of both layers together, four on a CPU with teams.
    assert_eq!(events[0]["dispatches_per_step"], promised(Step::of_seed(&Optimizer::keras_adam())));
    let epoch = &events[1];
    assert!(epoch["blocking_reads"].as_u64().unwrap() <= 1, "{epoch}");
    assert!(epoch["submissions"].as_u64().unwrap() < 1875 / 4, "no submission per step: {epoch}");
    // Keras and PyTorch end their first epoch at 0.955 to 0.970.
    assert!(epoch["val_accuracy"].as_f64().unwrap() > 0.955, "{epoch}");

    let prediction = succeed(folder.path(), &["predict", "--model", "model.safetensors", "--rows", "0", "--json"]);
    let prediction: Value = serde_json::from_str(prediction.trim()).unwrap();
    assert_eq!(prediction["class"], 7, "the first test image is a seven");
    assert_eq!(prediction["probabilities"].as_array().unwrap().len(), 10);
}
