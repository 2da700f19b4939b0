//! Features that are categories: their vectors mid-graph, beside the f64 interpreter; columns of words that become some; runs, models and answers. PyTorch's
//! numbers of them are in `golden_nets.rs`.

use std::path::Path;

use wgrad::kernel::tile::Family;
use wgrad::{
    Activation, Checkpoint, Checkpointing, Dataset, EmbedLayer, EmbeddedFeature, Fill, Initializer, Layer, Loss, Model,
    Network, Optimizer, Predictor, ReadOptions, ScaleBy, Scaling, TrainOptions, Trainer,
};

use crate::reference::dropout_mask;
use crate::reference::interpreter::Interpreter;
use crate::reference::loss::{Targets, mean_loss};
use crate::reference::network::layers;
use crate::support::{Random, assert_close, bits, families, gpu, refused, succeed, wgrad};

const SEED: u64 = 0x1234_5678_9abc_def0;
/// With so large a rate, the step dwarfs the weight, and the difference keeps its digits.
const RATE: f64 = 1e4;
const ROWS: usize = 37;

fn feature(feature: usize, vocabulary: usize, width: usize) -> EmbeddedFeature {
    EmbeddedFeature::new(feature, vocabulary, width)
}

/// Random rows of a network that looks up categories.
fn rows(network: &Network, seed: u64) -> Vec<f64> {
    let random = &mut Random(seed);
    let width = network.inputs();
    let mut x = random.values(ROWS * width);
    let layers = network.layers();
    let wgrad::LayerKind::Embed(embed) = layers[0].kind() else { panic!("{} looks nothing up", network.shape()) };
    for own in &embed.features {
        x.iter_mut().skip(own.feature).step_by(width).for_each(|value| *value = random.below(own.vocabulary) as f64);
    }
    x
}

fn set_of(x: &[f64], width: usize, classes: usize) -> (Dataset, Vec<i64>) {
    let labels: Vec<i64> = (0..x.len() / width).map(|row| (row * row % classes) as i64).collect();
    let features = x.iter().map(|&value| value as f32).collect();
    (Dataset::from_f32(features, width, labels.iter().map(|&label| label as u32).collect()).unwrap(), labels)
}

/// Numbers before, between and behind the categories, tables in another order than their features, and widths that fill quads and that do not.
fn networks() -> Vec<(&'static str, Network)> {
    use Activation::{Identity, Silu, Tanh};
    let mixed = || Network::new(7).embed([feature(4, 9, 6), feature(1, 5, 3), feature(6, 70, 1)]);
    vec![
        ("a hidden layer", mixed().dense(9, Tanh).dense(3, Identity)),
        ("few outputs at once", mixed().dense(3, Identity)),
        ("many outputs at once", mixed().dense(70, Identity)),
        ("an activation and dropout", mixed().activation(Silu).dropout(0.3).dense(6, Tanh).dense(3, Identity)),
        ("a sum", mixed().residual(|body| body.dense(14, Silu)).dense(3, Identity)),
        ("a category that all rows have", Network::new(1).embed([feature(0, 1, 8)]).dense(2, Identity)),
        (
            "categories alone",
            Network::new(2).embed([feature(0, 4, 4), feature(1, 33, 5)]).dense(5, Tanh).dense(2, Identity),
        ),
    ]
}

/// Trains one step on a device, and compares the outputs, the loss, and the gradients that it shows, with those of the twin by central differences.
fn assert_gradients(what: &str, network: &Network, loss: &Loss, family: Family) {
    let x = rows(network, 11);
    let (set, mut labels) = set_of(&x, network.inputs(), network.outputs());
    let ignored = matches!(loss, Loss::SoftmaxCrossEntropy { ignore_index: Some(_), .. });
    let set = if ignored {
        labels.iter_mut().step_by(3).for_each(|label| *label = -1);
        let features = x.iter().map(|&value| value as f32).collect();
        Dataset::from_f32(features, network.inputs(), labels.iter().map(|&label| label as u32).collect()).unwrap()
    } else {
        set
    };
    let initial = Initializer::Torch.weights(network, 3);
    let mask = |layer, sample, unit, units, rate| dropout_mask(SEED, 0, layer, sample, unit, units, rate);
    let twin = Interpreter::training(network, &mask);
    let mean = |z: &[f64]| mean_loss(loss, z, &Targets::Classes(&labels), network.outputs());
    let before = layers(&initial);
    let expected = twin.gradient(&before, &x, &mean);
    let options = TrainOptions {
        optimizer: Optimizer::sgd(RATE),
        loss: loss.clone(),
        batch_size: ROWS,
        steps: Some(1),
        shuffle: false,
        seed: SEED,
        family: Some(family),
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
    trainer.set_weights(&initial).unwrap();
    let what = format!("{what}, {}, {family:?}", network.shape());
    let outputs: Vec<f64> = trainer.logits(&set).unwrap().into_iter().map(f64::from).collect();
    let of_twin = Interpreter::evaluating(network).logits(&before, &x);
    assert_close(&format!("{what}: outputs"), &outputs, &of_twin, 1e-5);
    let reported = trainer.fit(&set, None).unwrap().epochs[0].training.loss;
    assert_close(&format!("{what}: loss"), &[reported], &[mean(&twin.logits(&before, &x))], 1e-5);
    let after = layers(&trainer.weights().unwrap());
    for (at, ((before, after), expected)) in before.iter().zip(&after).zip(&expected).enumerate() {
        let step = |before: &[f64], after: &[f64]| -> Vec<f64> {
            before.iter().zip(after).map(|(before, after)| (before - after) / RATE).collect()
        };
        let what = format!("{what}, parameter {at}");
        assert_close(&what, &step(&before.weights, &after.weights), &expected.weights, 1e-5);
        if !before.bias.is_empty() {
            assert_close(&what, &step(&before.bias, &after.bias), &expected.bias, 1e-5);
        }
    }
}

/// Finds a vector of another category, a table that gets the gradient of another's values or of some rows alone, numbers that are moved, and a 1 that no bias is
/// multiplied by.
#[test]
fn gradients_are_the_central_differences() {
    for (number, (what, network)) in networks().iter().enumerate() {
        assert_gradients(what, network, &Loss::default(), families()[number % 4]);
    }
    let ignoring =
        Loss::SoftmaxCrossEntropy { label_smoothing: 0.1, class_weights: None, ignore_index: Some(-1), gamma: 0.0 };
    assert_gradients("rows that do not count", &networks()[0].1, &ignoring, families()[1]);
}

/// Finds sums in an order that differs from run to run, a table that a checkpoint loses, and a category that no row has whose vector moves.
#[test]
fn runs_have_the_same_bits_and_go_on() {
    let network = &networks()[0].1;
    let mut x = rows(network, 5);
    // No row has category 0 of the first table.
    x.iter_mut().skip(4).step_by(7).for_each(|value| *value = value.max(1.0));
    let (set, _) = set_of(&x, 7, 3);
    let folder = tempfile::tempdir().unwrap();
    for optimizer in [Optimizer::from_name("adam").unwrap(), Optimizer::from_name("muon").unwrap()] {
        let options =
            |epochs: u64| TrainOptions { optimizer, epochs, batch_size: 8, seed: 3, ..TrainOptions::default() };
        let trained = || {
            let mut trainer = Trainer::on(gpu(), network.clone(), options(6)).unwrap();
            let before = trainer.weights().unwrap();
            trainer.fit(&set, None).unwrap();
            (before, trainer.weights().unwrap())
        };
        let (before, whole) = trained();
        assert_eq!(bits(&trained().1), bits(&whole));
        // The host has a table as [values, categories].
        let of_category = |weights: &wgrad::Weights, category: usize| -> Vec<f32> {
            weights.layers[0].weight.iter().skip(category).step_by(9).copied().collect()
        };
        // Muon's decay moves every weight.
        if optimizer.weight_decay == 0.0 {
            assert_eq!(of_category(&before, 0), of_category(&whole, 0));
        }
        assert_ne!(of_category(&before, 1), of_category(&whole, 1));

        let checkpoint = Some(Checkpointing::new(folder.path().join(optimizer.name())));
        let mut first = Trainer::on(gpu(), network.clone(), TrainOptions { checkpoint, ..options(2) }).unwrap();
        first.fit(&set, None).unwrap();
        let opened = Checkpoint::open(folder.path().join(optimizer.name())).unwrap();
        let mut second = Trainer::resume(gpu(), &opened).unwrap();
        second.set_epochs(6);
        second.fit(&set, None).unwrap();
        assert_eq!(bits(&second.weights().unwrap()), bits(&whole));
    }
}

/// Finds a list of words that a model file loses, and a network whose layers do not fit.
#[test]
fn layers_come_back_from_words_and_are_refused_by_name() {
    let words = r#"[{"embed":[{"feature":3,"vocabulary":12,"width":8},{"feature":0,"vocabulary":4,"width":2}],"dropout":0.1},{"dense":3}]"#;
    let read = Layer::list_from_json(words).unwrap();
    let network = Network::of_layers(5, read);
    let written =
        Network::new(5).embed([feature(3, 12, 8), feature(0, 4, 2)]).dropout(0.1).dense(3, Activation::Identity);
    assert_eq!(network, written);
    assert_eq!(network.shape(), "5-13-3");
    assert_eq!(Layer::list_from_json(&network.layers_to_json()).unwrap(), network.layers());
    let names: Vec<_> = network.named_parameters().into_iter().map(|own| (own.name.clone(), own.shape())).collect();
    let own = |name: &str, shape: [usize; 2]| (name.to_string(), shape.to_vec());
    assert_eq!(names, [own("0.0", [12, 8]), own("0.1", [4, 2]), own("2", [3, 13])]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.safetensors");
    let model = Model::new(network.clone(), Initializer::Torch.weights(&network, 1), Loss::default());
    model.write(&path).unwrap();
    assert_eq!(Model::read(&path).unwrap(), model);

    let last = |network: Network| network.dense(2, Activation::Identity);
    let of = |features: &[EmbeddedFeature]| last(Network::new(5).embed(features.iter().copied()));
    for (words, network) in [
        (&["layer 1 (embed) has 5 inputs and looks up feature 5", "from 0 to 4"][..], of(&[feature(5, 3, 2)])),
        (&["layer 1 (embed)", "looks up feature 2 twice"], of(&[feature(2, 3, 2), feature(2, 3, 2)])),
        (&["layer 1 (embed)", "a vocabulary of 0 for feature 1"], of(&[feature(1, 0, 2)])),
        (&["layer 1 (embed)", "a width of 0 for feature 1"], of(&[feature(1, 4, 0)])),
        (&["layer 1 (embed)", "values after it", "16777216"], of(&[feature(1, 1, 1 << 24)])),
        (&["layer 1 (embed)", "no features"], of(&[])),
        (
            &["layer 2 (embed) comes after other layers"],
            last(Network::new(5).dense(4, Activation::Relu).embed([feature(1, 4, 2)])),
        ),
        (
            &["layer 1's body, layer 1 (embed) comes after other layers"],
            last(Network::new(5).residual(|body| body.embed([feature(1, 4, 1)]))),
        ),
        (
            &["layer 1 (embed) has an image of 4×4×1", "takes rows of features"],
            last(Network::image(4, 4, 1).embed([feature(1, 4, 2)]).flatten()),
        ),
        (&["layer 1 (embed)", "begins with an embedding"], last(Network::tokens(3).embed([feature(1, 4, 2)]))),
    ] {
        refused(words, network.check());
    }
    for list in [
        r#"[{ "embed": 8 }]"#,
        r#"[{ "embed": [8] }]"#,
        r#"[{ "embed": [{ "feature": 1, "vocabulary": 3 }] }]"#,
        r#"[{ "embed": [{ "feature": 1, "vocabulary": 3, "width": 2, "size": 1 }] }]"#,
        r#"[{ "embed": [{ "feature": -1, "vocabulary": 3, "width": 2 }] }]"#,
    ] {
        refused(
            &["layer 1 (embed): embed is ", "feature, vocabulary, width", "{ feature = 3"],
            Layer::list_from_json(list),
        );
    }
}

/// Finds a category that a kernel would read past a table for, one that a scaling or bytes change, and a word's number that a network takes for a quantity.
#[test]
fn rows_that_a_network_cannot_look_up_are_refused() {
    let network = Network::new(3).embed([feature(1, 4, 2)]).dense(2, Activation::Identity);
    let options = || TrainOptions { batch_size: 2, epochs: 1, ..TrainOptions::default() };
    let train = |set: &Dataset| Trainer::on(gpu(), network.clone(), options()).unwrap().fit(set, None);
    let of = |value: f32| Dataset::from_f32(vec![0.5, 3.0, 1.0, 0.5, value, 1.0], 3, vec![0, 1]).unwrap();
    for wrong in [4.0, -1.0, 1.5, 1e9] {
        refused(
            &["row 1 has", &format!("{wrong} as feature 1"), "among 4 categories", "from 0 to 3"],
            train(&of(wrong)),
        );
    }
    train(&of(0.0)).unwrap();
    let bytes = Dataset::from_u8(vec![1, 2, 3, 4, 1, 6], 3, vec![0, 1]).unwrap();
    refused(&["looks up feature 1", "bytes", "f32"], train(&bytes));
    let scaling = Scaling { shift: vec![0.0, 1.0, 0.0], scale: vec![1.0; 3] };
    refused(&["the scaling changes feature 1", "shift must be 0"], train(&of(1.0).with_scaling(scaling).unwrap()));
    let table = Dataset::from_csv(CITIES, &embedding_cities()).unwrap();
    let plain = Network::classifier(table.width(), &[4], Activation::Relu, 2);
    let mut trainer = Trainer::on(gpu(), plain, options()).unwrap();
    refused(&["column \"city\" is the number of a word", "Dataset::embed_layer"], trainer.fit(&table, None));
    let many = Dataset::from_f32(vec![0.0; 30_001], 1, [vec![0; 30_000], vec![1]].concat()).unwrap();
    let network = Network::new(1).embed([feature(0, 2, 4)]).dense(2, Activation::Identity);
    let mut trainer = Trainer::on(gpu(), network, TrainOptions { batch_size: 30_001, ..options() }).unwrap();
    refused(&["a minibatch of 30001 rows", "at most 30000", "accumulate"], trainer.fit(&many, None));
    // Half floats hold whole numbers, too.
    let halves = [0.5, 3.0, 1.0, 0.5, 2.0, 1.0].map(half::f16::from_f32).to_vec();
    train(&Dataset::from_f16(halves, 3, vec![0, 1]).unwrap()).unwrap();
}

const CITIES: &str = "rooms,city,zip,size,sold\n3,Rome,10,80.5,yes\n2,Oslo,20,41,no\n4,Rome,10,97,yes\n1,Bern,30,30,no\n2,Oslo,30,44,no\n5,Bern,10,120,yes\n";

fn embedding(columns: &[(&str, usize)]) -> ReadOptions {
    let embed = columns.iter().map(|&(column, width)| (column.to_string(), width)).collect();
    ReadOptions { embed, ..ReadOptions::default() }
}

fn embedding_cities() -> ReadOptions {
    embedding(&[("city", 8)])
}

/// Finds words that are numbered from 0, as what is no word; a missing cell that becomes a word; a scaling that changes numbers of words; a column of numbers
/// that becomes vectors in silence; more words than a table of features takes.
#[test]
fn columns_of_words_become_numbers() {
    let set = Dataset::from_csv(CITIES, &embedding_cities()).unwrap();
    let columns = set.columns().unwrap();
    assert_eq!(columns.feature_names(), ["rooms", "city", "zip", "size"]);
    let cities = |set: &Dataset| (0..set.rows()).map(|row| set.row(row).unwrap()[1]).collect::<Vec<f32>>();
    // Bern, Oslo, Rome
    assert_eq!(cities(&set), [3.0, 2.0, 3.0, 1.0, 2.0, 1.0]);
    assert_eq!(set.embed_layer(), Some(EmbedLayer::new([feature(1, 4, 8)])));
    assert_eq!(columns.cells(&[3.0, 2.0, 20.0, 41.0])[1], ("city".into(), "Oslo".into()));
    assert_eq!(columns.cells(&[3.0, 0.0, 20.0, 41.0])[1], ("city".into(), String::new()));
    for by in [ScaleBy::Standardize, ScaleBy::MinMax] {
        let scaling = by.of(&set).unwrap().unwrap();
        assert_eq!((scaling.shift[1], scaling.scale[1]), (0.0, 1.0));
        assert_ne!((scaling.shift[0], scaling.scale[0]), (0.0, 1.0));
        assert_eq!(cities(&set.clone().with_scaling(scaling).unwrap()), cities(&set));
    }
    // As a model keeps it; words that were never seen, and missing ones.
    let columns: wgrad::Columns = serde_json::from_str(&serde_json::to_string(columns).unwrap()).unwrap();
    assert_eq!(Some(&columns), set.columns());
    let like = |columns| ReadOptions { columns: Some(columns), ..ReadOptions::inputs() };
    refused(
        &["column \"city\"", "\"Paris\" is none of its words", "--unknown none"],
        Dataset::from_csv("3,Paris,10,80\n", &like(columns.clone())),
    );
    let unseen = Dataset::from_csv("3,Paris,10,80\n3,Bern,10,80\n", &like(columns.with_unknown_as_none(true))).unwrap();
    assert_eq!(cities(&unseen), [0.0, 1.0]);
    let holes = CITIES.replace("1,Bern", "1,");
    refused(&["row 3 (line 5), column \"city\""], Dataset::from_csv(&holes, &embedding_cities()));
    let filled = ReadOptions { fill: Some(Fill::Mean), ..embedding_cities() };
    assert_eq!(cities(&Dataset::from_csv(&holes, &filled).unwrap()), [3.0, 2.0, 3.0, 0.0, 2.0, 1.0]);

    // Numbers that are categories, by number, in the order of the table.
    let both = ReadOptions { categorical: vec!["zip".into()], ..embedding(&[("3", 2), ("city", 8)]) };
    let set = Dataset::from_csv(CITIES, &both).unwrap();
    assert_eq!(set.embed_layer(), Some(EmbedLayer::new([feature(1, 4, 8), feature(2, 4, 2)])));
    let many: String = (0..1500).map(|row| format!("w{row},{row},{}\n", ["a", "b"][row % 2])).collect();
    assert_eq!(
        Dataset::from_csv(&many, &embedding(&[("1", 3)])).unwrap().embed_layer(),
        Some(EmbedLayer::new([feature(0, 1501, 3)]))
    );

    for (options, words) in [
        (embedding(&[("town", 8)]), &["no column \"town\"", "rooms, city"][..]),
        (embedding(&[("rooms", 8)]), &["column \"rooms\" has numbers", "categorical"]),
        (embedding(&[("sold", 8)]), &["column \"sold\" is the target", "leave it out of embed"]),
        (embedding(&[("city", 0)]), &["column \"city\" has a width of 0", "embed = { city = 8 }"]),
        (embedding(&[("city", 2), ("2", 2)]), &["column \"2\" is there twice"]),
        (ReadOptions { ignore: vec!["2".into()], ..embedding_cities() }, &["column \"city\" is left out (ignore)"]),
    ] {
        refused(words, Dataset::from_csv(CITIES, &options));
    }
}

/// A table whose target follows from the city alone, and run.toml.
fn houses(folder: &Path, config: &str) {
    let random = &mut Random(3);
    let row = |_| {
        let city = ["Rome", "Oslo", "Bern", "Nice", "York"][random.below(5)];
        let sold = if ["Rome", "Bern"].contains(&city) { "yes" } else { "no" };
        format!("{:.3},{city},{:.1},{sold}\n", random.value(), 100.0 * random.value())
    };
    let rows: String = (0..150).map(row).collect();
    std::fs::write(folder.join("houses.csv"), format!("age,city,size,sold\n{rows}")).unwrap();
    std::fs::write(folder.join("run.toml"), config).unwrap();
}

/// The whole way of a run: learned columns, the layer that the program puts in front, a model, its answers on words that were never seen, resuming, ONNX. Finds a
/// model that answers by other numbers than it was trained on.
#[test]
fn a_run_learns_cities() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let config = "[data]\ntrain = \"houses.csv\"\nvalidation = \"none\"\nscaling = \"standardize\"\nembed = { city = 8 }\n\
                  [model]\nhidden = [16]\n[optimizer]\nlr = 0.01\n[train]\nepochs = 30\nbatch_size = 8\nsave = \"m.safetensors\"\n";
    houses(at, config);
    let said = succeed(at, &["train", "--config", "run.toml", "--out", "whole"]);
    // Three features; two numbers and eight values.
    assert!(said.contains("3-10-16-2"), "{said}");
    let model = Model::read(at.join("m.safetensors")).unwrap();
    assert_eq!(model.network.layers()[0], EmbedLayer::new([feature(1, 6, 8)]).into());
    assert_eq!(model.scaling.as_ref().map(|scaling| (scaling.shift[1], scaling.scale[1])), Some((0.0, 1.0)));
    assert!(succeed(at, &["inspect", "m.safetensors"]).contains("embed"));
    assert!(succeed(at, &["explain", "--config", "run.toml"]).contains("embed_gradient"));
    assert!(succeed(at, &["explain", "--config", "run.toml"]).contains("words, vectors of 8 values"));
    let metrics = succeed(at, &["evaluate", "--model", "m.safetensors", "--data", "houses.csv", "--json"]);
    let metrics: serde_json::Value = serde_json::from_str(metrics.lines().next().unwrap()).unwrap();
    assert!(metrics["accuracy"].as_f64().unwrap() > 0.97, "{metrics}");

    // By flags, and with the layer listed: the same bits.
    let listed = config.replace("hidden = [16]", "layers = [{ dense = 16, activation = \"relu\" }, { dense = 2 }]");
    std::fs::write(at.join("listed.toml"), listed.replace("embed = { city = 8 }\n", "").replace("m.safe", "l.safe"))
        .unwrap();
    succeed(at, &["train", "--config", "listed.toml", "--embed", "2=8"]);
    let other = Model::read(at.join("l.safetensors")).unwrap();
    assert_eq!((other.network, bits(&other.weights)), (model.network.clone(), bits(&model.weights)));

    std::fs::write(at.join("new.csv"), "age,city,size\n0.125,Rome,3.0\n0.125,Oslo,3.0\n0.125,Paris,3.0\n").unwrap();
    let predict = ["predict", "--model", "m.safetensors", "--input", "new.csv", "--json"];
    let output = wgrad(at, &predict);
    let all = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(2), "{all}");
    assert!(all.contains("Paris") && all.contains("--unknown none"), "{all}");
    let said = succeed(at, &[&predict[..], &["--unknown", "none"]].concat());
    let lines: Vec<serde_json::Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!((lines[0]["name"].as_str(), lines[1]["name"].as_str()), (Some("yes"), Some("no")), "{said}");
    // Number 0 is Paris.
    let predictor = Predictor::from_model(gpu(), model.clone()).unwrap();
    let [paris, rome] = [0.0f32, 4.0].map(|city| predictor.predict_rows([[0.125, city, 3.0]]).unwrap());
    let said = |line: &serde_json::Value| -> Vec<f32> {
        line["probabilities"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap() as f32).collect()
    };
    assert_eq!((said(&lines[2]), said(&lines[0])), (paris, rome));
    assert_eq!(predictor.classify_csv("0.125,Oslo,3.0\n").unwrap()[0].name, "no");

    // What a run to the middle, and from there, ends in.
    let half = ["train", "--config", "run.toml", "--save", "h.safetensors", "--checkpoint", "points", "--epochs", "12"];
    succeed(at, &half);
    succeed(at, &["train", "--resume", "points", "--epochs", "30", "--save", "h.safetensors"]);
    assert_eq!(bits(&Model::read(at.join("h.safetensors")).unwrap().weights), bits(&model.weights));

    succeed(at, &["export", "m.safetensors", "m.onnx"]);
    let back = Model::read_onnx(at.join("m.onnx")).unwrap();
    assert_eq!((back.network, bits(&back.weights)), (model.network, bits(&model.weights)));
}

/// Finds options that do nothing in silence, and errors of the program that do not say what would be right.
#[test]
fn wrong_options_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    houses(
        at,
        "[data]\ntrain = \"houses.csv\"\nembed = { city = 8 }\n[model]\nlayers = [{ embed = [{ feature = 1, vocabulary = 6, width = 8 }] }, { dense = 2 }]\n",
    );
    let refused = |arguments: &[&str], words: &[&str]| {
        let output = wgrad(at, &[&["train", "--epochs", "1"], arguments].concat());
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{error}");
        words.iter().for_each(|word| assert!(error.contains(word), "no {word:?} in {error}"));
    };
    let houses = |embed: &'static str| ["--data", "houses.csv", "--embed", embed];
    refused(&houses("town=8"), &["no column \"town\"", "age, city, size, sold"]);
    refused(&houses("size=8"), &["column \"size\" has numbers", "--categorical"]);
    refused(&houses("sold=8"), &["column \"sold\" is the target"]);
    refused(&houses("city=0"), &["a width of 0"]);
    refused(&houses("city"), &["--embed", "as city=8"]);
    refused(&["--data", "mnist", "--embed", "city=8"], &["--embed", "only tables", "mnist is no table"]);
    refused(
        &["--config", "run.toml"],
        &["layer 2 (embed) comes after other layers", "layer 1 is that of embed under [data]"],
    );
}
