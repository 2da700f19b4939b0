//! A user's own functions: fused and right like the built-in ones, and refused with the line of the user's text.

use std::path::Path;

use wgrad::{Activation, Dataset, Error, Initializer, Loss, Model, Network, Optimizer, Rule, TrainOptions, Trainer};

use crate::dispatches::{Step, assert_dispatches};
use crate::reference::interpreter::Interpreter;
use crate::reference::network::layers;
use crate::support::{Random, assert_close, bits, gpu, learnable, refused, succeed, wgrad};

const SOFTSIGN: &str = "
fn activate(z: f32) -> f32 { return z / (1.0 + abs(z)); }
fn derivative(z: f32) -> f32 { return 1.0 / ((1.0 + abs(z)) * (1.0 + abs(z))); }
";
/// log cosh, with a constant and a helper function, named as one of the project's own.
const LOG_COSH: &str = "
const log_2 = 0.6931472;
fn row_loss(d: f32) -> f32 { return abs(d) + log(1.0 + exp(-2.0 * abs(d))) - log_2; }
fn loss(z: f32, t: f32) -> f32 { return row_loss(z - t); }
fn derivative(z: f32, t: f32) -> f32 { return tanh(z - t); }
";
/// Momentum, as sgd has it, with the rate of step t.
const HEAVY_BALL: &str = "
fn update(w: f32, g: f32, lr: f32, t: f32, kept: ptr<function, array<f32, 2>>) -> f32 {
    (*kept)[0] = 0.9 * (*kept)[0] + g;
    (*kept)[1] += 1.0;
    return w - lr / t * (*kept)[0] + select(0.0, 1.0, (*kept)[1] != t);
}
";
const PLAIN: &str = "fn update(w: f32, g: f32, lr: f32, t: f32) -> f32 { return w - lr * g; }";

/// Finds a user's function that is fused in the wrong place: an activation in the middle of a network, a loss and an optimizer at once, against twins
/// in f64, for few outputs and many.
#[test]
fn own_functions_are_right_in_a_network() {
    let (rows, width, rate) = (6, 5, 0.05);
    let x = Random(1).values(rows * width);
    let softsign = Activation::custom("softsign", SOFTSIGN).unwrap();
    for outputs in [3, 70] {
        let t = Random(2).values(rows * outputs);
        let features = x.iter().map(|&value| value as f32).collect();
        let set = Dataset::from_f32(features, width, vec![0; rows]).unwrap();
        let set = set.with_targets(t.iter().map(|&value| value as f32).collect(), outputs).unwrap();
        let network = Network::classifier(width, &[6, 5], softsign, outputs);
        let options = TrainOptions {
            loss: Loss::custom("log_cosh", LOG_COSH).unwrap(),
            optimizer: Optimizer { lr: rate, ..Optimizer::new(Rule::custom("heavy_ball", HEAVY_BALL).unwrap()) },
            batch_size: rows,
            shuffle: false,
            epochs: 4,
            ..TrainOptions::default()
        };
        let initial = Initializer::Torch.weights(&network, 3);
        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        trainer.set_weights(&initial).unwrap();
        let mut twin = layers(&initial);
        let mut moments: Option<Vec<_>> = None;
        let interpreter = Interpreter::evaluating(&network).with_activations(&|_, z| z / (1.0 + z.abs()));
        let loss = |z: &[f64]| z.iter().zip(&t).map(|(z, t)| (z - t).cosh().ln()).sum::<f64>() / z.len() as f64;
        let before = loss(&interpreter.logits(&twin, &x));
        for step in 1..=4 {
            let gradients = interpreter.gradient(&twin, &x, &loss);
            let moments = moments.get_or_insert_with(|| {
                let mut zero = gradients.clone();
                zero.iter_mut().for_each(|layer| {
                    layer.weights.fill(0.0);
                    layer.bias.fill(0.0);
                });
                zero
            });
            for ((layer, gradient), moment) in twin.iter_mut().zip(&gradients).zip(moments.iter_mut()) {
                for ((w, g), v) in layer.weights.iter_mut().zip(&gradient.weights).zip(&mut moment.weights) {
                    *v = 0.9 * *v + g;
                    *w -= rate / f64::from(step) * *v;
                }
                for ((w, g), v) in layer.bias.iter_mut().zip(&gradient.bias).zip(&mut moment.bias) {
                    *v = 0.9 * *v + g;
                    *w -= rate / f64::from(step) * *v;
                }
            }
        }
        let history = trainer.fit(&set, None).unwrap();
        // An own activation has its derivatives kept.
        let plain = Step::of(3, &trainer.options().optimizer);
        let step = Step { many_outputs: outputs > 64, more_of_the_loss: 1, ..plain };
        assert_dispatches(history.stats.dispatches / history.stats.steps, step, "an own optimizer");
        assert_close("loss", &[history.epochs[0].training.loss], &[before], 1e-5);
        for (trained, twin) in layers(&trainer.weights().unwrap()).iter().zip(&twin) {
            assert_close("weights", &trained.weights, &twin.weights, 1e-5);
            assert_close("bias", &trained.bias, &twin.bias, 1e-5);
        }
    }
}

/// A user's optimizer without state gives the same bits as the built-in one of the same formula.
#[test]
fn an_own_optimizer_is_as_good_as_a_built_in_one() {
    let network = Network::classifier(5, &[6], Activation::Relu, 3);
    let run = |rule: Rule| {
        let optimizer = Optimizer { lr: 0.1, weight_decay: 0.01, rule };
        let options = TrainOptions { optimizer, batch_size: 6, epochs: 3, ..TrainOptions::default() };
        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        trainer.fit(&learnable(20, 5, 3, 1), None).unwrap();
        bits(&trainer.weights().unwrap())
    };
    let own = Rule::custom("plain", PLAIN).unwrap();
    assert_eq!(run(own), run(Rule::Sgd { momentum: 0.0, nesterov: false }));
    assert_eq!(run(own), run(own));
}

/// Finds mistakes in a user's text that are reported without the user's line, or not before training.
#[test]
fn mistakes_are_told_with_the_users_own_line() {
    let refused = |error: Error, words: &[&str]| {
        let message = error.to_string();
        for word in words {
            assert!(message.contains(word), "no \"{word}\" in: {message}");
        }
        assert_eq!(error.exit_code(), 2);
    };
    let activation = |source: &str| Activation::custom("mine", source).unwrap_err();
    refused(activation("fn activate(z: f32) -> f32 {\n    return zz;\n}"), &["mine:2:12", "return zz;", "zz"]);
    refused(activation("fn activate(z: f32) -> f32 {\n    return 1u;\n}"), &["mine", "activate"]);
    refused(
        activation("fn activate(z: f32) -> f32 { return z; }"),
        &["mine: it must define fn derivative(z: f32) -> f32"],
    );
    refused(
        activation(
            &SOFTSIGN
                .replace("activate(z: f32)", "activate(z: vec4f)")
                .replace("-> f32 { return z /", "-> vec4f { return z /"),
        ),
        &["fn activate(z: f32) -> f32"],
    );
    refused(activation(&format!("@group(0) @binding(0) var<storage> a: f32;{SOFTSIGN}")), &["no variables"]);
    refused(activation(&format!("@compute @workgroup_size(1) fn main() {{}} {SOFTSIGN}")), &["entry points"]);
    refused(activation("not wgsl"), &["mine:1:1"]);
    refused(activation(""), &["fn activate"]);
    refused(activation(&"// \n".repeat(3000)), &["12000 bytes", "the most is 8192"]);
    refused(Activation::custom("relu", SOFTSIGN).unwrap_err(), &["relu", "already"]);
    refused(Loss::custom("mse", LOG_COSH).unwrap_err(), &["mse", "already"]);
    refused(Loss::custom("mine", SOFTSIGN).unwrap_err(), &["fn loss(z: f32, t: f32) -> f32"]);
    refused(
        Rule::custom("mine", SOFTSIGN).unwrap_err(),
        &["fn update(w: f32, g: f32, lr: f32, t: f32) -> f32", "kept"],
    );
    refused(
        Rule::custom("mine", &HEAVY_BALL.replace("array<f32, 2>", "array<f32, 9>")).unwrap_err(),
        &["9 values", "the most is 8"],
    );

    let network = |activation| Network::classifier(5, &[6], activation, 3);
    let trainer = |activation, loss, rule| {
        let optimizer = Optimizer::new(rule);
        let options = TrainOptions { loss, optimizer, ..TrainOptions::default() };
        Trainer::on(gpu(), network(activation), options).map(drop).unwrap_err()
    };
    let sgd = Rule::Sgd { momentum: 0.0, nesterov: false };
    let wrong = SOFTSIGN.replace("return 1.0 / (", "return 1.05 / (");
    refused(
        trainer(Activation::custom("wrong", &wrong).unwrap(), Loss::default(), sgd),
        &["wrong: derivative(", "by differences of activate"],
    );
    let wrong = LOG_COSH.replace("return tanh(z - t)", "return tanh(t - z)");
    refused(
        trainer(Activation::Relu, Loss::custom("wrong", &wrong).unwrap(), sgd),
        &["wrong: derivative(", "by differences of loss"],
    );
    let nowhere = "fn loss(z: f32, t: f32) -> f32 { return log(z * 0.0); } fn derivative(z: f32, t: f32) -> f32 { return 1.0 / (z * 0.0); }";
    refused(
        trainer(Activation::Relu, Loss::custom("nowhere", nowhere).unwrap(), sgd),
        &["nowhere: loss is finite almost nowhere"],
    );
    let moving = "fn update(w: f32, g: f32, lr: f32, t: f32) -> f32 { return w - lr * (g + 1.0); }";
    refused(
        trainer(Activation::Relu, Loss::default(), Rule::custom("moving", moving).unwrap()),
        &["moving", "weight of 0", "-0.01"],
    );
}

/// The program takes files of the user's own functions, and opens a model that has them only with these files.
#[test]
fn the_program_takes_the_users_own_functions() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    for (name, text) in [("softsign.wgsl", SOFTSIGN), ("log_cosh.wgsl", LOG_COSH), ("heavy_ball.wgsl", HEAVY_BALL)] {
        std::fs::write(path(name), text).unwrap();
    }
    let x: Vec<u8> = bytemuck::cast_slice::<f32, u8>(&[0.0, 1.0, 1.0, 0.0, 0.5, 0.5, 1.0, 1.0]).to_vec();
    let y: Vec<u8> = [0i64, 1, 0, 1].iter().flat_map(|label| label.to_le_bytes()).collect();
    let view =
        |dtype, shape: &[usize], bytes| safetensors::tensor::TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
    let tensors = [("x", view(safetensors::Dtype::F32, &[4, 2], &x)), ("y", view(safetensors::Dtype::I64, &[4], &y))];
    std::fs::write(path("set.safetensors"), safetensors::serialize(tensors, None).unwrap()).unwrap();
    std::fs::write(
        path("run.toml"),
        "[loss]\nkind = \"log_cosh.wgsl\"\n[optimizer]\nkind = \"heavy_ball.wgsl\"\nlr = 0.1\n",
    )
    .unwrap();

    let set = ["--data", "set.safetensors"];
    let train =
        ["train", "--config", "run.toml", "--activation", "softsign.wgsl", "--hidden", "4", "--batch-size", "2"];
    succeed(folder.path(), &[&train[..], &set].concat());
    let model = ["--model", "model.safetensors"];
    let alone = wgrad(folder.path(), &[&["evaluate"], &set[..], &model].concat());
    let message = String::from_utf8_lossy(&alone.stderr).into_owned();
    assert_eq!(alone.status.code(), Some(2), "{message}");
    // Both that are missing, and the words that bring them.
    let words = ["activation \"softsign\"", "loss \"log_cosh\"", "--wgsl softsign.wgsl --wgsl log_cosh.wgsl"];
    words.iter().for_each(|word| assert!(message.contains(word), "no {word} in {message}"));
    let half = wgrad(folder.path(), &[&["evaluate"], &set[..], &model, &["--wgsl", "softsign.wgsl"]].concat());
    let message = String::from_utf8_lossy(&half.stderr).into_owned();
    assert!(message.contains("with --wgsl log_cosh.wgsl") && message.contains("brought is softsign"), "{message}");
    // `inspect` says the same, and shows what is in the file.
    let told = succeed(folder.path(), &["inspect", "model.safetensors"]);
    assert!(words.iter().all(|word| told.contains(word)) && told.contains("0.weight"), "{told}");
    let own = ["--wgsl", "softsign.wgsl", "--wgsl", "log_cosh.wgsl"];
    let told = succeed(folder.path(), &[&["inspect", "model.safetensors"], &own[..]].concat());
    assert!(told.contains("softsign") && told.contains("log_cosh") && !told.contains("cannot be read"), "{told}");
    // A run with the same functions begins with its weights.
    succeed(
        folder.path(),
        &[&train[..], &set, &["--init", "model.safetensors", "--save", "again.safetensors"]].concat(),
    );
    let told = succeed(folder.path(), &[&["evaluate"], &set[..], &model, &own].concat());
    assert!(told.contains("loss"), "{told}");

    // A file that names another file gets an error, not that file read.
    let model = Model::read_with(
        path("model.safetensors"),
        &[Activation::read(path("softsign.wgsl")).unwrap()],
        &[Loss::read(path("log_cosh.wgsl")).unwrap()],
    )
    .unwrap();
    assert_eq!(model.network.layers()[0].activation().to_string(), "softsign");
    refused(&["model.safetensors", words[0], words[1]], Model::read(path("model.safetensors")));
    refused(&["none.wgsl: No such file"], Activation::read(Path::new("none.wgsl")));
}
