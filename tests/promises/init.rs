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

/// Finds weights that are taken in silence where no shape tells that the network computes something else by them, and a difference that is none.
#[test]
fn options_that_no_shape_shows_are_compared() {
    let folder = tables();
    let at = folder.path();
    let line = |row: usize| (0..16).map(|at| format!("{},", (row * at) % 11)).collect::<String>();
    let rows: String = (0..20).map(|row| format!("{}{}\n", line(row), ["no", "yes"][row % 2])).collect();
    std::fs::write(at.join("images.csv"), rows).unwrap();
    let base = "[{ conv = 4, kernel = 3, padding = 1, activation = \"relu\" }, { max_pool = 2 }, { batch_norm = true }, \
                { repeat = 2, layers = [{ conv = 4, kernel = 1, groups = 2 }, { group_norm = 2 }] }, { flatten = true }, { dense = 2 }]";
    let run = |layers: &str, arguments: &[&str]| {
        std::fs::write(at.join("run.toml"), format!("[data]\nimage = [4, 4, 1]\n[model]\nlayers = {layers}\n"))
            .unwrap();
        let common = ["train", "--config", "run.toml", "--data", "images.csv", "--steps", "1", "--screen", "none"];
        wgrad(at, &[&common[..], arguments].concat())
    };
    assert_eq!(run(base, &["--save", "base.safetensors"]).code, 0);
    let from = |own: &str, other: &str| {
        assert!(base.contains(own));
        run(&base.replace(own, other), &["--init", "base.safetensors"])
    };
    for (own, other, words) in [
        (
            "padding = 1",
            "padding = 2, dilation = 2",
            &[
                "layer 1 is \"conv 4, kernel 3, padding 1\" in the model",
                "\"conv 4, dilation 2, kernel 3, padding 2\" in this run",
            ][..],
        ),
        ("max_pool = 2", "max_pool = 1, stride = 2", &["layer 2 is \"max_pool 2\"", "\"max_pool 1, stride 2\""]),
        (
            "batch_norm = true",
            "batch_norm = true, eps = 0.1",
            &["layer 3 is \"batch_norm\"", "\"batch_norm, eps 0.1\""],
        ),
        (
            "group_norm = 2",
            "group_norm = 1",
            &["layer 4's copy 1, layer 2 is \"group_norm 2\"", "\"group_norm 1\"", "the first of 2 layers that differ"],
        ),
    ] {
        let ran = from(own, other);
        assert_eq!(ran.code, 0, "{}", ran.said);
        ran.says(&[words, &["the weights fit, but", "computes something else than the model"]].concat());
        assert!(ran.event("start")["notes"].to_string().contains("computes something else"), "{other}");
    }
    // What gives other shapes, too, is told by the layer where it begins.
    from("max_pool = 2", "max_pool = 4").refused(&["layer 2 is \"max_pool 2\"", "\"max_pool 4\"", "layer 6, tensor"]);
    for (own, other) in [
        ("padding = 1", "padding = \"same\""),
        ("batch_norm = true", "batch_norm = true, momentum = 0.5"),
        ("flatten = true", "flatten = true, dropout = 0.1"),
        ("kernel = 3", "kernel = [3, 3], initializer = \"torch\""),
    ] {
        let ran = from(own, other);
        assert!(ran.code == 0 && !ran.said.contains("the weights fit"), "{other}: {}", ran.said);
    }
}
