//! Residual sums: in the plan, in the gradients, in files.

mod random;

use std::path::Path;

use safetensors::SafeTensors;
use wgrad::kernel::tile::Family;
use wgrad::selftest::choices::Choices;
use wgrad::{
    Activation, Checkpoint, Checkpointing, Dataset, Initializer, LayerKind, Loss, Model, Network, Optimizer, Predictor,
    ResidualLayer, TrainOptions, Trainer,
};

use crate::reference::dropout_mask;
use crate::reference::interpreter::Interpreter;
use crate::reference::loss::{Targets, mean_loss};
use crate::reference::network::layers;
use crate::support::{Random, assert_close, bits, families, gpu, learnable, refused, succeed, wgrad};

const SEED: u64 = 0x1234_5678_9abc_def0;
/// With so large a rate, the step dwarfs the weight, and the difference keeps its digits.
const RATE: f64 = 1e4;
const ROWS: usize = 6;

/// Networks with sums in all positions and surroundings: each sum is in another kernel's epilogue, or in none.
fn networks(width: usize, classes: usize) -> Vec<(&'static str, Network)> {
    use Activation::{Gelu, Identity, Relu, Silu, Tanh};
    let begun = || Network::new(width).dense(9, Tanh);
    vec![
        ("a sum in a product", begun().residual(|body| body.dense(9, Identity)).activation(Tanh)),
        ("two layers", begun().residual(|body| body.dense(13, Relu).dense(9, Identity))),
        ("an activation before the sum", begun().residual(|body| body.dense(9, Tanh))),
        ("a kept derivative before and after", begun().residual(|body| body.dense(9, Silu)).activation(Gelu)),
        ("dropout before and after", {
            let body = |body: Network| body.dense(9, Relu).dropout(0.3);
            begun().residual(body).activation(Tanh).dropout(0.4)
        }),
        ("dropout in a product", begun().dropout(0.2).residual(|body| body.dense(9, Identity)).dropout(0.4)),
        ("the set", Network::new(width).residual(|body| body.dense(width, Tanh))),
        ("a sum of a sum", begun().residual(|body| body.residual(|inner| inner.dense(9, Tanh)))),
        ("a sum of a sum of a sum", {
            let inner = |inner: Network| inner.residual(|inner| inner.dense(9, Identity));
            begun().residual(|body| body.residual(inner))
        }),
        ("two derivatives in a row", Network::new(width).residual(|body| body.dense(width, Silu)).activation(Relu)),
        ("the set, in a product", Network::new(width).residual(|body| body.dense(width, Identity)).activation(Relu)),
        (
            "a shortcut",
            begun().residual_with_shortcut(|body| body.dense(7, Tanh).dense(8, Identity), |x| x.dense(8, Identity)),
        ),
        (
            "a shortcut with an activation",
            begun().residual_with_shortcut(|body| body.dense(8, Silu), |x| x.dense(8, Tanh)),
        ),
        ("a shortcut from the set", {
            let shortcut = |x: Network| x.dense(16, Identity);
            Network::new(width).residual_with_shortcut(|body| body.dense(16, Relu), shortcut).activation(Tanh)
        }),
        ("two sums", {
            let body = |body: Network| body.dense(12, Tanh).dense(9, Identity);
            begun().residual(body).residual(body)
        }),
        (
            "two sums, activations before",
            begun().residual(|body| body.dense(9, Tanh)).residual(|body| body.dense(9, Gelu)),
        ),
        (
            "sums in sums",
            begun()
                .residual(|body| body.residual(|inner| inner.dense(9, Identity)).activation(Tanh).dense(9, Identity)),
        ),
        ("sums in sums, the inner one last", {
            let inner = |inner: Network| inner.dense(9, Silu);
            begun().residual(|body| body.dense(9, Tanh).residual(inner)).activation(Tanh)
        }),
        ("a sum as a body and in a shortcut", {
            let sum = |network: Network| network.residual(|inner| inner.dense(9, Tanh).dense(9, Identity));
            begun().residual_with_shortcut(sum, sum).dropout(0.1)
        }),
    ]
    .into_iter()
    .map(|(what, network)| (what, network.dense(classes, Identity)))
    .collect()
}

/// A set, with its features and labels for the twin.
fn rows(width: usize, classes: usize) -> (Dataset, Vec<f64>, Vec<i64>) {
    let random = &mut Random(11);
    let x = random.values(ROWS * width);
    let labels: Vec<i64> = (0..ROWS).map(|_| random.below(classes) as i64).collect();
    let features = x.iter().map(|&value| value as f32).collect();
    let set = Dataset::from_f32(features, width, labels.iter().map(|&label| label as u32).collect()).unwrap();
    (set, x, labels)
}

/// Trains one step on a device, and compares the loss, and the gradients that it shows, with those of the twin by central differences.
fn assert_gradients(what: &str, network: &Network, family: Family) {
    let (set, x, labels) = rows(network.inputs(), network.outputs());
    let initial = Initializer::Torch.weights(network, 3);
    let mask = |layer, sample, unit, units, rate| dropout_mask(SEED, 0, layer, sample, unit, units, rate);
    let twin = Interpreter::training(network, &mask);
    let loss = |z: &[f64]| mean_loss(&Loss::default(), z, &Targets::Classes(&labels), network.outputs());
    let before = layers(&initial);
    let expected = twin.gradient(&before, &x, &loss);
    let options = TrainOptions {
        optimizer: Optimizer::sgd(RATE),
        batch_size: ROWS,
        steps: Some(1),
        shuffle: false,
        seed: SEED,
        family: Some(family),
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
    trainer.set_weights(&initial).unwrap();
    let reported = trainer.fit(&set, None).unwrap().epochs[0].training.loss;
    let what = format!("{what}, {}, {family:?}", network.shape());
    assert_close(&format!("{what}: loss"), &[reported], &[loss(&twin.logits(&before, &x))], 1e-5);
    let after = layers(&trainer.weights().unwrap());
    for (at, ((before, after), expected)) in before.iter().zip(&after).zip(&expected).enumerate() {
        let step = |before: &[f64], after: &[f64]| -> Vec<f64> {
            before.iter().zip(after).map(|(before, after)| (before - after) / RATE).collect()
        };
        let what = format!("{what}, layer {at}");
        assert_close(&what, &step(&before.weights, &after.weights), &expected.weights, 1e-5);
        assert_close(&what, &step(&before.bias, &after.bias), &expected.bias, 1e-5);
    }
}

/// Compares the gradients of every network, each on the families that `on` gives for its number.
fn assert_gradients_of_all(width: usize, classes: usize, on: impl Fn(usize) -> Vec<Family>) {
    for (number, (what, network)) in networks(width, classes).into_iter().enumerate() {
        on(number).into_iter().for_each(|family| assert_gradients(what, &network, family));
    }
}

/// Finds a gradient of one way that is forgotten, or taken before the activation instead of after it; a derivative of another layer's output; masks of another
/// layer. Gradients against central differences, in networks of few and of many outputs; of widths that fill quads and that do not.
#[test]
fn gradients_come_by_both_ways() {
    assert_gradients_of_all(7, 3, |_| families()[..2].to_vec());
}

/// Finds the same faults under the tiles of the adapter and of GPUs: a test of its own, as compiling takes the time.
#[test]
fn gradients_come_by_both_ways_under_larger_tiles() {
    assert_gradients_of_all(7, 3, |_| families()[2..].to_vec());
}

/// Finds the same faults in networks of many outputs, each on one family in turn.
#[test]
fn gradients_of_many_outputs_come_by_both_ways() {
    assert_gradients_of_all(8, 70, |number| vec![families()[number % 4]]);
}

/// Whether something holds for a layer or for one within it.
fn any_layer(layer: &wgrad::Layer, holds: &dyn Fn(&wgrad::Layer) -> bool) -> bool {
    holds(layer) || layer.parts().iter().any(|(_, part)| part.iter().any(|layer| any_layer(layer, holds)))
}

/// A network of two sums, one with a shortcut, with dropout and a kept derivative.
fn network() -> Network {
    Network::new(8)
        .dense(9, Activation::Relu)
        .residual(|body| body.dense(6, Activation::Gelu).dropout(0.1).dense(9, Activation::Identity))
        .activation(Activation::Relu)
        .dropout(0.2)
        .residual_with_shortcut(|body| body.dense(5, Activation::Tanh), |input| input.dense(5, Activation::Identity))
        .dense(3, Activation::Identity)
}

/// Names that PyTorch's modules of the same structure do not have: there, `Residual.body` and `.shortcut` are a `Sequential` each.
#[test]
fn weights_have_the_names_of_their_place() {
    let names = |network: &Network| -> Vec<String> {
        network.named_parameters().into_iter().map(|parameter| parameter.name).collect()
    };
    // 0, its ReLU, 2, its ReLU and its dropout, 5, 6; in the body 0, its GELU and its dropout, 3.
    assert_eq!(names(&network()), ["0", "2.body.0", "2.body.3", "5.body.0", "5.shortcut.0", "6"]);
    // A chain's identities have numbers too, as its files always had.
    let chain = Network::new(4).dense(5, Activation::Identity).dropout(0.5).dense(6, Activation::Relu);
    assert_eq!(names(&chain.dense(2, Activation::Identity)), ["0", "3", "5"]);
    let nested = Network::new(4).residual(|body| body.residual(|inner| inner.dense(4, Activation::Relu)));
    assert_eq!(names(&nested.dense(2, Activation::Identity)), ["0.body.0.body.0", "1"]);
    assert_eq!(network().shape(), "8-9-(6-9)-(5|5)-3");
}

/// Finds a part of the structure that a file loses, and weights that come back in another order.
#[test]
fn models_with_sums_are_written_and_read() {
    let folder = tempfile::tempdir().unwrap();
    let (path, again) = (folder.path().join("model.safetensors"), folder.path().join("again.safetensors"));
    let options = TrainOptions { epochs: 2, ..TrainOptions::default() };
    let set = learnable(40, 8, 3, 1);
    let mut trainer = Trainer::on(gpu(), network(), options).unwrap();
    trainer.fit(&set, None).unwrap();
    trainer.save(&path).unwrap();
    let model = Model::read(&path).unwrap();
    assert_eq!(model.network, network());
    assert_eq!(bits(&model.weights), bits(&trainer.weights().unwrap()));
    model.write(&again).unwrap();
    assert_eq!(Model::read(&again).unwrap(), model);
    // As deep as sums may be nested, a file can still be read.
    let deep = nested(32).dense(2, Activation::Identity);
    let weights = Initializer::default().weights(&deep, 1);
    Model::new(deep.clone(), weights, Loss::default()).write(&again).unwrap();
    assert_eq!(Model::read(&again).unwrap().network, deep);

    let x = Random(7).values(16 * 8);
    let features = x.iter().map(|&value| value as f32).collect();
    let rows = Dataset::from_f32(features, 8, vec![0; 16]).unwrap();
    let predictor = Predictor::from_model(gpu(), model.clone()).unwrap();
    let z: Vec<f64> = predictor.logits(&rows).unwrap().into_iter().map(f64::from).collect();
    let twin = Interpreter::evaluating(&model.network).logits(&layers(&model.weights), &x);
    assert_close("outputs", &z, &twin, 1e-5);
}

/// Finds a value of a sum that a checkpoint does not hold, or that another chunking computes otherwise: a run that goes on has the bits of one that was
/// never interrupted, under every optimizer's way to update.
#[test]
fn a_run_with_sums_goes_on_with_the_same_bits() {
    let set = learnable(40, 8, 3, 1);
    for (optimizer, clip) in [("adam", None), ("muon", None), ("sgd", Some(0.1))] {
        let folder = tempfile::tempdir().unwrap();
        let options = |epochs: u64| TrainOptions {
            optimizer: Optimizer::from_name(optimizer).unwrap(),
            clip_grad_norm: clip,
            epochs,
            batch_size: 7,
            ..TrainOptions::default()
        };
        let mut whole = Trainer::on(gpu(), network(), options(4)).unwrap();
        whole.fit(&set, None).unwrap();
        let checkpoint = Some(Checkpointing::new(folder.path()));
        let mut first = Trainer::on(gpu(), network(), TrainOptions { checkpoint, ..options(2) }).unwrap();
        first.fit(&set, None).unwrap();
        let opened = Checkpoint::open(folder.path()).unwrap();
        let mut second = Trainer::resume(gpu(), &opened).unwrap();
        second.set_epochs(4);
        second.fit(&set, None).unwrap();
        assert_eq!(bits(&second.weights().unwrap()), bits(&whole.weights().unwrap()), "{optimizer}");
    }
}

/// A file's tensors and nothing else, as PyTorch saves them.
pub fn without_metadata(path: &Path) {
    let bytes = std::fs::read(path).unwrap();
    let tensors = SafeTensors::deserialize(&bytes).unwrap().tensors();
    std::fs::write(path, safetensors::serialize(tensors, None).unwrap()).unwrap();
}

/// Layers as a state dict can say them: with Tanh wherever an activation is between two of them.
fn sayable(layers: &[wgrad::Layer]) -> Vec<wgrad::Layer> {
    let last = layers.len() - 1;
    let of_layer = |(at, layer): (usize, &wgrad::Layer)| {
        let is_between = at < last && layer.activation() != Activation::Identity;
        let activation = if is_between { Activation::Tanh } else { Activation::Identity };
        let kind: LayerKind = match layer.kind() {
            LayerKind::Dense(dense) => dense.clone().into(),
            LayerKind::Residual(ResidualLayer { body, shortcut, .. }) => {
                let shortcut = if shortcut.is_empty() { vec![] } else { sayable(shortcut) };
                ResidualLayer::new(sayable(body)).with_shortcut(shortcut).into()
            }
            _ => panic!("say what a state dict says of {}", layer.word()),
        };
        wgrad::Layer::new(kind).with_activation(activation)
    };
    layers.iter().enumerate().map(of_layer).collect()
}

/// Finds a layer that a reader or a writer of model files does not know, in any position: a network comes back from each kind of file as it was, with the bits
/// of its weights.
#[test]
fn every_network_comes_back_from_every_kind_of_file() {
    let folder = tempfile::tempdir().unwrap();
    let [own, onnx, named] = ["m.safetensors", "m.onnx", "named.safetensors"].map(|name| folder.path().join(name));
    let choices = Choices::new().unwrap();
    let cases: Vec<_> = choices.with_sums(200).into_iter().chain(choices.with_bare_sums(50)).collect();
    let at_random = cases.iter().map(|case| ("at random", case.request().network.clone()));
    let mut compared = 0;
    for (what, network) in networks(7, 3).into_iter().chain(at_random) {
        let model = |network: Network| {
            let weights = Initializer::Torch.weights(&network, 5);
            let loss = if network.outputs() == 1 { Loss::MeanSquaredError } else { Loss::default() };
            Model::new(network, weights, loss)
        };
        let said = model(Network::of_layers(network.inputs(), sayable(network.layers())));
        let model = model(network);
        let what = format!("{what}: {}", model.network.shape());
        let same = |read: Model, model: &Model| {
            assert_eq!(&read, model, "{what}");
            assert_eq!(bits(&read.weights), bits(&model.weights), "{what}");
        };
        said.write(&named).unwrap();
        without_metadata(&named);
        // Of dense layers alone, an activation is taken to be between each two.
        if said.network.layers().iter().any(|layer| !layer.parts().is_empty()) {
            same(Model::read_state_dict(&named, Some(Activation::Tanh)).unwrap(), &said);
        }
        // A file has the name alone of a user's own activation, and ONNX has no operator for it.
        let has_own = |layer: &wgrad::Layer| matches!(layer.activation(), Activation::Custom(_));
        if !model.network.layers().iter().any(|layer| any_layer(layer, &has_own)) {
            model.write(&own).unwrap();
            same(Model::read(&own).unwrap(), &model);
            model.write_onnx(&onnx, false).unwrap();
            same(Model::read_onnx(&onnx).unwrap(), &model);
            compared += 1;
        }
    }
    assert!(compared > 120, "{compared}");
}

/// Sums within sums.
fn nested(depth: usize) -> Network {
    let of = |depth: usize| if depth == 0 { Network::new(4).dense(4, Activation::Relu) } else { nested(depth) };
    Network::new(4).residual(|_| of(depth - 1))
}

/// Layers that do not fit each other, which are named by their number and their word, with the width that comes in and what would be right.
#[test]
fn sums_that_do_not_fit_are_refused_by_name() {
    use Activation::{Identity, Relu};
    let begun = || Network::new(8).dense(9, Relu);
    let last = |network: Network| network.dense(3, Identity);
    for (words, network) in [
        (
            &["layer 2 (residual)", "9 inputs", "7 outputs", "must have 9"][..],
            last(begun().residual(|body| body.dense(7, Relu))),
        ),
        (&["layer 2 (residual) has 9 inputs and a body without layers"], last(begun().residual(|body| body))),
        (
            &["layer 2 (residual)", "9 inputs", "7 outputs", "a shortcut with 6 outputs"],
            last(begun().residual_with_shortcut(|body| body.dense(7, Relu), |x| x.dense(6, Identity))),
        ),
        (
            &["layer 2's body, layer 1 (dense) has 9 inputs and a width of 0"],
            last(begun().residual(|body| body.dense(0, Relu))),
        ),
        (
            &["layer 1's body, layer 2's body, layer 1 (dense) has 8 inputs and a dropout of 2"],
            last(
                Network::new(8).residual(|body| body.dense(8, Relu).residual(|body| body.dense(8, Relu).dropout(2.0))),
            ),
        ),
        (
            &["layer 2 (residual), is not dense: add a dense layer after it"],
            begun().residual(|body| body.dense(9, Identity)),
        ),
        (&["nested 33 deep", "at most 32"], last(nested(33))),
        (
            &["layer 2's body has 4 inputs", "after 9 outputs"],
            last(begun().residual(|_| Network::new(4).dense(9, Relu))),
        ),
    ] {
        refused(words, network.check());
        refused(words, Trainer::on(gpu(), network, TrainOptions::default()));
    }
}

/// The program refuses a list of layers that it cannot use, and trains one from its file to a model.
#[test]
fn run_toml_has_lists_of_layers() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let csv: String = (0..60).map(|row| format!("{},{},{}\n", row % 7, row % 5, row % 2)).collect();
    std::fs::write(at.join("rows.csv"), format!("a,b,class\n{csv}")).unwrap();
    let toml = |list: &str| std::fs::write(at.join("run.toml"), format!("[model]\nlayers = {list}\n")).unwrap();
    let words = ["train", "--config", "run.toml", "--data", "rows.csv", "--epochs", "1", "--save", "m.safetensors"];
    toml(
        "[{ dense = 8, activation = \"relu\" }, { residual = [{ dense = 8 }], activation = \"tanh\", dropout = 0.1 }, \
         { residual = [{ dense = 4 }], shortcut = [{ dense = 4 }] }, { dense = 2 }]",
    );
    assert!(succeed(at, &words).contains("2-8-(8)-(4|4)-2"));
    let model = Model::read(at.join("m.safetensors")).unwrap();
    let same = Network::new(2)
        .dense(8, Activation::Relu)
        .residual(|body| body.dense(8, Activation::Identity))
        .activation(Activation::Tanh)
        .dropout(0.1)
        .residual_with_shortcut(|body| body.dense(4, Activation::Identity), |x| x.dense(4, Activation::Identity))
        .dense(2, Activation::Identity);
    assert_eq!(model.network, same);
    assert!(succeed(at, &["inspect", "m.safetensors"]).contains("2.body.0"));

    for (list, reason) in [
        (
            "[{ dens = 8 }]",
            "run.toml: layers under [model]: layer 1: \"dens\" is not a layer's word: did you mean dense? use one of dense, conv, max_pool",
        ),
        ("[{ dense = 8, residual = [] }]", "layer 1 has the words dense and residual: exactly one of them"),
        ("[{ dense = 8, activation = \"rely\" }, { dense = 2 }]", "layer 1 (dense)"),
        (
            "[{ dense = 8, units = 3 }, { dense = 2 }]",
            "layer 1 (dense): \"units\" is not an option of dense: use one of dense, bias, tied, activation, dropout, initializer",
        ),
        (
            "[{ dense = \"8\" }, { dense = 2 }]",
            "layer 1 (dense): dense is \"8\": it must be a whole number, at least 1",
        ),
        ("[{ dense = -8 }, { dense = 2 }]", "layer 1 (dense): dense is -8: it must be a whole number, at least 1"),
        ("[{ residual = 8 }, { dense = 2 }]", "layer 1's body is 8: it must be a list of layers"),
        (
            "[{ residual = [{ dense = 3 }] }, { dense = 2 }]",
            "run.toml: layers under [model]: layer 1 (residual) has 2 inputs and a body with 3 outputs",
        ),
        ("[{ residual = [{ gru = 3 }] }, { dense = 2 }]", "layer 1's body, layer 1: \"gru\" is not a layer's word"),
        (
            "[{ dense = 8, dropout = 1.5 }, { dense = 2 }]",
            "run.toml: layers under [model]: layer 1 (dense) has 2 inputs and a dropout of 1.5",
        ),
        ("[8, { dense = 2 }]", "run.toml: layers under [model]: layer 1 is 8: it must be a table"),
        ("[8]", "widths alone are hidden"),
        ("8", "layers under [model]: layers is 8: it must be a list of layers"),
        ("[]", "run.toml: layers under [model]: the network has no layers: add a dense layer, whose"),
        ("[{}]", "layer 1 is empty: one of the words dense, conv, max_pool"),
        ("[{ initializer = \"torch\" }]", "layer 1 has only initializer: one of the words"),
        ("[{ activation = \"relu\" }]", "the last layer, layer 1 (activation), is not dense"),
        ("[{ linear = 8 }]", "layer 1: \"linear\" is not a layer's word: write dense; use one of"),
        ("[{ dense = 8, dropuot = 0.1 }]", "\"dropuot\" is not an option of dense: did you mean dropout?"),
        ("[[{ dense = 8 }, { dense = 9 }]]", "layer 1 is a list: it must be a table"),
        ("[{ dense = [{ dense = 8 }] }]", "layer 1 (dense): dense is a list: it must be a whole number"),
        (
            "[{ residual = [{ dense = 2 }], shortcut = { dense = 2 } }]",
            "layer 1's shortcut is a table: it must be a list",
        ),
        (
            "[{ residual = [{ dense = 2 }] }]",
            "the last layer, layer 1 (residual), is not dense: add a dense layer after",
        ),
        ("[{ dense = 2, activation = \"relu\" }]", "the last layer, layer 1 (dense), has the activation relu"),
        ("[{ dense = 2 }]\nhidden = 8", "hidden and layers under [model]"),
    ] {
        toml(list);
        let output = wgrad(at, &words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(!output.status.success() && said.contains(reason), "{list}: no \"{reason}\" in: {said}");
    }
    // A shortcut without layers is the input itself.
    toml("[{ residual = [{ dense = 2 }], shortcut = [] }, { dense = 2 }]");
    assert!(succeed(at, &words).contains("2-(2)-2"));
    toml("[{ dense = 2 }]");
    let output = wgrad(at, &[&words[..], &["--hidden", "8"]].concat());
    assert!(String::from_utf8_lossy(&output.stderr).contains("--hidden and layers under [model]"));
}

/// Finds a file that is accepted although its list of layers does not fit its tensors, or is damaged.
#[test]
fn files_with_other_tensors_than_their_layers_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let weights = Initializer::default().weights(&network(), 1);
    Model::new(network(), weights, Loss::default()).write(&path).unwrap();
    let bytes = std::fs::read(&path).unwrap();
    let header = String::from_utf8_lossy(&bytes[8..]).into_owned();
    assert!(header.contains("5.shortcut.0.weight"));
    for (from, to, words) in [
        ("5.shortcut.0.weight", "x.shortcut.0.weight", &["no tensor 5.shortcut.0.weight"][..]),
        ("5.shortcut.0.weight", "7.shortcut.0.weight", &["7.shortcut.0.weight", "none of this name"]),
        ("\\\"dense\\\":5}", "\\\"dense\\\":4}", &["layer 3 (residual)", "a shortcut with 5 outputs"]),
        (
            "\\\"residual\\\":[",
            "\\\"residuel\\\":[",
            &["layer 2: \"residuel\" is not a layer's word: did you mean residual?"],
        ),
        ("\\\"gelu\\\"", "\\\"gulu\\\"", &["gulu"]),
    ] {
        let at = bytes.windows(from.len()).position(|window| window == from.as_bytes());
        let at = at.unwrap_or_else(|| panic!("no {from} in the file"));
        let mut changed = bytes.clone();
        changed[at..at + to.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&path, &changed).unwrap();
        refused(words, Model::read(&path));
    }
}
