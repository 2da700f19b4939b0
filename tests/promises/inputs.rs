//! From a person's own files to a model and to predictions: what training did to the features is done to every input.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use wgrad::{Model, ReadOptions};

use crate::formats::fixture;
use crate::support::{Random, assert_close, succeed, wgrad};

fn events(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// The program with something on its standard input.
fn piped(folder: &Path, arguments: &[&str], input: &[u8]) -> String {
    let mut child = Command::new(env!("CARGO_BIN_EXE_wgrad"))
        .current_dir(folder)
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Flowers of three kinds by length, colour and weight in grams: a feature in the thousands that only a scaling makes learnable.
fn flowers() -> String {
    let mut random = Random(3);
    let mut text = String::from("length,color,weight,kind\n");
    for row in 0..150 {
        let kind = row % 3;
        let length = kind as f64 + 0.2 * random.value();
        let color = if random.below(2) == 0 { "red" } else { "blue" };
        let weight = 50_000.0 + 1_000.0 * random.value();
        text += &format!("{length},{color},{weight},{}\n", ["aster", "birch", "clover"][kind]);
    }
    text
}

/// Finds a model that forgets its columns, its scaling or its classes: predictions from raw rows are compared with a network that is computed by
/// hand.
#[test]
fn a_table_is_trained_on_and_predicted_from() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("flowers.csv"), flowers()).unwrap();
    let config = "[data]\nvalidation = 0.2\nstratify = true\nscaling = 'standardize'\n[optimizer]\nlr = 0.02\n[model]\nhidden = []\n";
    std::fs::write(folder.path().join("run.toml"), config).unwrap();
    let train =
        ["train", "--data", "flowers.csv", "--label", "kind", "--config", "run.toml", "--epochs", "30", "--json"];
    let end = events(&succeed(folder.path(), &train)).pop().unwrap();
    assert!(end["val_accuracy"].as_f64().unwrap() > 0.9, "{end}");

    let model = Model::read(folder.path().join("model.safetensors")).unwrap();
    assert_eq!(model.classes, ["aster", "birch", "clover"]);
    assert_eq!(model.columns.as_ref().unwrap().feature_names(), ["length", "color=blue", "color=red", "weight"]);
    let scaling = model.scaling.clone().unwrap();
    assert!(
        (scaling.shift[3] - 50_000.0).abs() < 300.0 && (1.0 / scaling.scale[3] - 577.0).abs() < 60.0,
        "{scaling:?}"
    );

    // By hand: the raw features, shifted and scaled, through the one layer and a softmax.
    let by_hand = |features: [f64; 4]| -> Vec<f64> {
        let layer = &model.weights.layers[0];
        let x: Vec<f64> = (0..4).map(|at| (features[at] - scaling.shift[at]) * f64::from(scaling.scale[at])).collect();
        let logit = |o: usize| {
            f64::from(layer.bias[o]) + (0..4).map(|i| x[i] * f64::from(layer.weight[4 * o + i])).sum::<f64>()
        };
        let powers: Vec<f64> = (0..3).map(|o| logit(o).exp()).collect();
        powers.iter().map(|power| power / powers.iter().sum::<f64>()).collect()
    };
    let lines = "weight,color,length\n50250,red,0.1\n49500,blue,1.9\n";
    let expected = [by_hand([0.1, 0.0, 1.0, 50_250.0]), by_hand([1.9, 1.0, 0.0, 49_500.0])];
    std::fs::write(folder.path().join("new.csv"), lines).unwrap();
    let predict = ["predict", "--model", "model.safetensors", "--json", "--input"];
    let from_file = succeed(folder.path(), &[&predict[..], &["new.csv"]].concat());
    assert_eq!(from_file, piped(folder.path(), &[&predict[..], &["-"]].concat(), lines.as_bytes()));
    assert_eq!(events(&from_file).len(), expected.len());
    for ((prediction, expected), name) in events(&from_file).iter().zip(&expected).zip(["aster", "clover"]) {
        let found: Vec<f64> =
            prediction["probabilities"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        assert_close("probabilities", &found, expected, 1e-4);
        assert_eq!(prediction["name"], name);
        assert_eq!(prediction["names"][2], "clover");
    }
    let table = piped(folder.path(), &["predict", "--model", "model.safetensors", "--input", "-"], lines.as_bytes());
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.lines().nth(2).unwrap().contains("clover"), "{table}");
    let one = piped(
        folder.path(),
        &["predict", "--model", "model.safetensors", "--input", "-", "--rows", "0"],
        lines.as_bytes(),
    );
    assert!(one.starts_with("row 0: class aster\n"), "{one}");

    let evaluate = ["evaluate", "--model", "model.safetensors", "--data", "flowers.csv"];
    let report = succeed(folder.path(), &evaluate);
    for name in &model.classes {
        // In the table of classes, and over and before the confusion matrix.
        assert_eq!(report.split_whitespace().filter(|word| word == name).count(), 3, "{report}");
    }
    let evaluation = &events(&succeed(folder.path(), &[&evaluate[..], &["--json"]].concat()))[0];
    assert!(evaluation["accuracy"].as_f64().unwrap() > 0.9);
    assert_eq!(evaluation["classes"][1]["name"], "birch");
    let output = wgrad(folder.path(), &[&predict[..], &["flowers.csv", "--rows", "150"]].concat());
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "150 rows, the header is none");
    assert!(message.contains("--rows") && message.contains("150 rows"), "{message}");
}

/// A regression loss predicts numbers; two classes take one output, whose name is the second's.
#[test]
fn tables_for_regression_and_for_one_yes_or_no() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..40).map(|row| format!("{row},{}\n", 2 * row)).collect();
    std::fs::write(folder.path().join("line.csv"), &rows).unwrap();
    let train = |arguments: &[&str]| {
        succeed(
            folder.path(),
            &[&["train", "--hidden", "none", "--epochs", "1", "--batch-size", "8"], arguments].concat(),
        )
    };
    train(&["--data", "line.csv", "--loss", "mse", "--scaling", "min-max", "--validation", "0.25"]);
    let predict = ["predict", "--model", "model.safetensors", "--json", "--input", "-"];
    let predictions = events(&piped(folder.path(), &predict, b"1\n2\n3\n"));
    assert_eq!(predictions.len(), 3);
    assert_eq!(predictions[0]["outputs"].as_array().unwrap().len(), 1);

    let rows: String = (0..40).map(|row| format!("{row},{}\n", if row < 20 { "no" } else { "yes" })).collect();
    std::fs::write(folder.path().join("two.csv"), &rows).unwrap();
    train(&["--data", "two.csv", "--loss", "sigmoid-cross-entropy"]);
    let model = Model::read(folder.path().join("model.safetensors")).unwrap();
    assert_eq!((model.network.outputs(), &model.classes[..]), (1, &["no".to_string(), "yes".to_string()][..]));
    assert_eq!(events(&piped(folder.path(), &predict, b"7\n"))[0]["names"], serde_json::json!(["yes"]));
}

/// Finds a picture that is read as another size or colour than the model's, from a file, a folder and standard input.
#[cfg(feature = "images")]
#[test]
fn images_are_trained_on_and_predicted_from() {
    let folder = tempfile::tempdir().unwrap();
    let animals = fixture("animals").to_str().unwrap().to_string();
    std::fs::write(folder.path().join("run.toml"), "[data]\nimage = [4, 4, 3]\n[train]\nbatch_size = 2\n").unwrap();
    succeed(folder.path(), &["train", "--data", &animals, "--config", "run.toml", "--epochs", "60", "--hidden", "8"]);
    let model = Model::read(folder.path().join("model.safetensors")).unwrap();
    assert_eq!((model.network.inputs(), &model.classes[..]), (48, &["cat".to_string(), "dog".to_string()][..]));
    let predict = ["predict", "--model", "model.safetensors", "--json", "--input"];
    let picture = fixture("animals/cat/1.png");
    let found = events(&succeed(folder.path(), &[&predict[..], &[picture.to_str().unwrap()]].concat()));
    assert_eq!((found.len(), &found[0]["name"]), (1, &Value::from("cat")));
    assert_eq!(
        events(&piped(folder.path(), &[&predict[..], &["-"]].concat(), &std::fs::read(&picture).unwrap())),
        found
    );
    let all = events(&succeed(folder.path(), &[&predict[..], &[&animals, "--rows", "0-2"]].concat()));
    let names: Vec<&str> = all.iter().map(|event| event["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["cat", "dog", "dog"]);
}

/// A model takes an array though it was trained on another format; a model of 784 inputs takes any picture as 28 × 28 grey.
#[test]
fn arrays_and_pictures_for_any_model() {
    let folder = tempfile::tempdir().unwrap();
    let set = fixture("f4.npz").to_str().unwrap().to_string();
    succeed(folder.path(), &["train", "--data", &set, "--batch-size", "2", "--epochs", "1", "--hidden", "none"]);
    let predict = |input: &Path| {
        let arguments = ["predict", "--model", "model.safetensors", "--json", "--input", input.to_str().unwrap()];
        events(&succeed(folder.path(), &arguments))
    };
    let from_npz = predict(&fixture("f4.npz"));
    assert_eq!(from_npz.len(), 4);
    for name in ["pair/x.npy", "f16.safetensors"] {
        assert_eq!(predict(&fixture(name)), from_npz, "{name}");
    }
    let rows = "0,1,2\n3,4,5\n6,7,8\n9,10,11\n";
    let arguments = ["predict", "--model", "model.safetensors", "--json", "--input", "-"];
    assert_eq!(events(&piped(folder.path(), &arguments, rows.as_bytes())), from_npz);

    if cfg!(feature = "images") {
        let network = wgrad::Network::new(784).dense(2, wgrad::Activation::Identity);
        let weights = wgrad::Initializer::default().weights(&network, 0);
        Model::new(network, weights, wgrad::Loss::default()).write(folder.path().join("model.safetensors")).unwrap();
        assert_eq!(predict(&fixture("grey.png")).len(), 1);
    }
}

/// Finds a model file whose columns, classes or images do not fit it, which is refused only when they are used.
#[test]
fn metadata_that_does_not_fit_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("model.safetensors");
    let set = wgrad::Dataset::from_bytes(b"a,b,y\n1,u,0\n2,v,1\n", &ReadOptions::default()).unwrap();
    let network = |inputs: usize| wgrad::Network::new(inputs).dense(2, wgrad::Activation::Identity);
    let model = |inputs: usize| {
        let network = network(inputs);
        let weights = wgrad::Initializer::default().weights(&network, 0);
        Model { columns: set.columns().cloned(), ..Model::new(network, weights, wgrad::Loss::default()) }
    };
    model(3).write(&path).unwrap();
    assert_eq!(Model::read(&path).unwrap(), model(3));
    model(4).write(&path).unwrap();
    let error = Model::read(&path).unwrap_err().to_string();
    assert!(error.contains("columns have 3 features, the network takes 4"), "{error}");
    let shape = wgrad::ImageShape { height: 2, width: 2, channels: 1 };
    Model { columns: None, image: Some(shape), ..model(3) }.write(&path).unwrap();
    let error = Model::read(&path).unwrap_err().to_string();
    assert!(error.contains("image must have") && error.contains("is 3"), "{error}");
}

/// Finds a single row of words that is taken for names; and a folder of IDX files that is refused because of a folder in it.
#[test]
fn a_row_of_words_is_a_row() {
    let folder = tempfile::tempdir().unwrap();
    let table = "colour,shape,kind\nred,round,apple\nyellow,long,banana\ngreen,round,apple\nyellow,bent,banana\n";
    std::fs::write(folder.path().join("fruit.csv"), table).unwrap();
    succeed(folder.path(), &["train", "--data", "fruit.csv", "--hidden", "none", "--batch-size", "2", "--epochs", "2"]);
    let predict = ["predict", "--model", "model.safetensors", "--json", "--input", "-"];
    assert_eq!(events(&piped(folder.path(), &predict, b"red,long\n")).len(), 1);
    assert_eq!(events(&piped(folder.path(), &predict, b"shape,colour\nlong,red\nbent,red\n")).len(), 2);
}

/// Finds one mistyped cell that turns a column of numbers into one of words, without a note.
#[test]
fn a_column_of_numbers_that_is_read_as_words_is_reported() {
    let folder = tempfile::tempdir().unwrap();
    let table = |cells: &[&str]| {
        let rows = (0..40)
            .map(|row| format!("{},{}\n", cells.get(row).map_or(row.to_string(), |cell| (*cell).into()), row % 2));
        std::fs::write(folder.path().join("set.csv"), format!("size,y\n{}", rows.collect::<String>())).unwrap();
    };
    let told = |more: &[&str]| {
        let words = ["explain", "--data", "set.csv", "--batch-size", "8"];
        let output = wgrad(folder.path(), &[&words, more].concat());
        let message = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.success(), "{message}");
        message
    };
    table(&["1", "2", "3_5"]);
    let message = told(&[]);
    assert!(message.contains("column \"size\"") && message.contains("\"3_5\" in row 2 (line 4)"), "{message}");
    assert!(message.contains("is not a number, and 39 of 40 cells are"), "{message}");
    std::fs::write(folder.path().join("run.toml"), "[data]\ncategorical = [\"size\"]\n").unwrap();
    assert_eq!(told(&["--config", "run.toml"]), "");
    let mut most = vec!["red"; 21];
    most[20] = "blue";
    table(&most);
    let message = told(&[]);
    assert!(message.contains("column \"size\" has 21 different words"), "{message}");
    assert!(!message.contains("is not a number"), "19 of 40 are not most of them: {message}");
}
