//! `--init`: weights go on in the network that they were trained in, and what differs is refused or noted.

use std::path::Path;

use crate::cases::wgrad;
use crate::silences::{tables, train};

/// Finds weights that are taken for another function, or a refusal that leaves the user to search for what differs.
#[test]
fn weights_for_another_network_are_refused_or_noted() {
    let folder = tables();
    let at = folder.path();
    train(at, &["--data", "numbers.csv", "--save", "init.safetensors"]);
    let from = |arguments: &[&str]| {
        let common = ["train", "--data", "numbers.csv", "--init", "init.safetensors", "--epochs", "1"];
        wgrad(at, &[&common[..], arguments].concat())
    };
    from(&["--hidden", "6"]).refused(&[
        "2-4-3",
        "2-6-3",
        "layer 1, tensor 0.weight, [4, 2]",
        "[6, 2]",
        "--hidden 4 --activation relu",
    ]);
    from(&["--hidden", "4,4"]).refused(&["2-4-3", "2-4-4-3", "layer 2, tensor 2.weight, [3, 4]", "[4, 4]"]);
    from(&["--hidden", "none"]).refused(&["2-4-3", "2-3", "layer 1, tensor 0.weight"]);
    let same = from(&["--hidden", "4"]);
    assert!(same.code == 0 && same.said.is_empty(), "{}", same.said);
    let tanh = from(&["--hidden", "4", "--activation", "tanh"]);
    assert_eq!(tanh.code, 0, "{}", tanh.said);
    tanh.says(&["the weights fit", "relu in the model and tanh in this run", "--activation relu"]);
    assert!(tanh.event("start")["notes"].to_string().contains("tanh"));
    from(&["--hidden", "4", "--loss", "sigmoid-cross-entropy"]).says(&["the loss softmax-cross-entropy", "--loss"]);
}

/// Finds weights that are taken for those of another layer, because they have the same shapes in the same order; `[model] layers` tells the two apart.
#[test]
fn weights_for_other_locations_are_refused() {
    let folder = tables();
    let at = folder.path();
    let listed = |name: &str, layers: &str| {
        std::fs::write(at.join(format!("{name}.toml")), format!("[model]\nlayers = {layers}\n")).unwrap();
    };
    listed("two", "[{ dense = 4 }, { residual = [{ dense = 4 }, { dense = 4 }] }, { dense = 3 }]");
    listed("one", "[{ dense = 4 }, { residual = [{ dense = 4 }] }, { dense = 4 }, { dense = 3 }]");
    listed("across", "[{ dense = 4 }, { residual = [{ dense = 4 }], shortcut = [{ dense = 4 }] }, { dense = 3 }]");
    for name in ["two", "one", "across"] {
        let (config, save) = (format!("{name}.toml"), format!("{name}.safetensors"));
        train_listed(at, &["--config", &config, "--save", &save]);
    }
    for (model, run, words) in [
        ("two", "one", &["layer 2's body, layer 2 (dense) in the file", "layer 3 (dense) is in the run"][..]),
        ("one", "two", &["layer 3 (dense) in the file", "layer 2's body, layer 2 (dense) is in the run"]),
        ("two", "across", &["layer 2's body, layer 2 (dense) in the file", "shortcut"]),
    ] {
        let (config, init) = (format!("{run}.toml"), format!("{model}.safetensors"));
        let ran = wgrad(at, &["train", "--data", "numbers.csv", "--epochs", "1", "--config", &config, "--init", &init]);
        ran.refused(&[words, &["weights of one are not for the other"]].concat());
    }
}

/// An activation of the user's own.
const HALF: &str = "fn activate(z: f32) -> f32 { return z / 2.0; }\nfn derivative(z: f32) -> f32 { return 0.5; }\n";

fn train_listed(folder: &Path, arguments: &[&str]) {
    let common = ["train", "--data", "numbers.csv", "--epochs", "1", "--screen", "none"];
    let ran = wgrad(folder, &[&common[..], arguments].concat());
    assert_eq!(ran.code, 0, "{}", ran.said);
}

/// Finds advice that is refused when it is followed: flags beside `[model] layers`, one activation for layers of several, a name in place of a file.
#[test]
fn what_is_advised_for_a_models_layers_can_be_done() {
    let folder = tables();
    let at = folder.path();
    let listed = |name: &str, layers: &str| {
        std::fs::write(at.join(name), format!("[model]\nlayers = {layers}\n")).unwrap();
    };
    let differing = "[{ dense = 4, activation = \"tanh\" }, { dense = 4, activation = \"relu\" }, { dense = 3 }]";
    listed("differing.toml", differing);
    listed("relu.toml", &differing.replace("tanh", "relu"));
    listed("wide.toml", &differing.replace("4", "5"));
    train_listed(at, &["--config", "differing.toml", "--save", "differing.safetensors"]);
    train_listed(at, &["--config", "relu.toml", "--save", "relu.safetensors"]);
    let from = |model: &str, arguments: &[&str]| {
        let init = format!("{model}.safetensors");
        let common = ["train", "--data", "numbers.csv", "--epochs", "1", "--init", &init];
        let ran = wgrad(at, &[&common[..], arguments].concat());
        (ran.code, ran.said)
    };
    let set = "set the activation of layer 1 under [model] to \"tanh\"";
    for (model, arguments, right, wrong) in [
        ("differing", &["--config", "relu.toml"][..], set, "--activation"),
        (
            "differing",
            &["--hidden", "4,4"],
            &format!("list the model's layers under [model], and {set}"),
            "--activation",
        ),
        ("relu", &["--config", "differing.toml"], "layer 1 under [model] to \"relu\"", "--activation"),
        ("relu", &["--config", "wide.toml"], "list the model's layers under [model]", "--hidden"),
        ("relu", &["--hidden", "5"], "--hidden 4,4 --activation relu gives", "list"),
        ("differing", &["--hidden", "5"], "list the model's layers under [model]", "--hidden"),
        ("relu", &["--hidden", "4,4", "--activation", "tanh"], "--activation relu gives the model's", "list"),
    ] {
        let (_, said) = from(model, arguments);
        assert!(said.contains(right) && !said.contains(wrong), "{model} {arguments:?}: {said}");
    }
    // A function of the user's own is given by its file.
    std::fs::write(at.join("half.wgsl"), HALF).unwrap();
    listed("half.toml", &differing.replace("tanh", "half.wgsl"));
    listed("other.toml", &differing.replace("relu", "half.wgsl"));
    train_listed(at, &["--config", "half.toml", "--save", "half.safetensors"]);
    let (_, said) = from("half", &["--config", "other.toml"]);
    assert!(said.contains("layer 1 under [model] to \"half.wgsl\", the path of its file"), "{said}");
}
