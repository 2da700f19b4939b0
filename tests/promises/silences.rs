//! What the program must not take in silence: a table that a model knows nothing of, outputs without a class, a run that is
//! finished.

use std::path::Path;

use serde_json::json;

use crate::cases::{Ran, wgrad};
use crate::support::{self, succeed};
use wgrad::Source;

/// A folder with a table of numbers, `numbers.csv`, and one with words among the features, `words.csv`, both of three classes of words, of which the
/// first row has the last; and with `price.csv`, of numbers to predict.
pub fn tables() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let class = |row: usize| ["rose", "iris", "lily"][row % 3];
    let write = |name: &str, head: &str, line: &dyn Fn(usize) -> String| {
        let rows: String = (0..60).map(line).collect();
        std::fs::write(folder.path().join(name), format!("{head}\n{rows}")).unwrap();
    };
    write("numbers.csv", "a,b,kind", &|row| format!("{}.5,{},{}\n", row % 3, row % 7, class(row)));
    write("words.csv", "a,b,kind", &|row| format!("{}.5,w{},{}\n", row % 3, row % 2, class(row)));
    write("price.csv", "a,b,price", &|row| format!("{},{},{}\n", row % 5, row % 7, row % 5 + row % 7));
    folder
}

pub fn train(folder: &Path, arguments: &[&str]) -> Ran {
    let ran = wgrad(folder, &[&["train", "--hidden", "4", "--epochs", "2", "--screen", "none"], arguments].concat());
    assert_eq!(ran.code, 0, "{}", ran.said);
    ran
}

/// Finds classes of a table that are numbered by the table for a model that numbered them by another, and words that become features that the model
/// never had.
#[test]
fn a_model_without_columns_numbers_nothing_anew() {
    let folder = tables();
    let at = folder.path();
    train(at, &["--data", "numbers.csv", "--save", "own.safetensors"]);
    let exported = wgrad(at, &["export", "own.safetensors", "net.onnx"]);
    let notes = exported.event("exported")["notes"].to_string();
    assert!(notes.contains("columns are left out") && notes.contains("metadata"), "{notes}");
    let imported = wgrad(at, &["import", "net.onnx", "back.safetensors"]);
    let notes = imported.event("imported")["notes"].to_string();
    assert!(notes.contains("no columns of a table") && notes.contains("no scaling"), "{notes}");
    let evaluated = |model: &str, data: &str| wgrad(at, &["evaluate", "--model", model, "--data", data]);
    // Rows of two classes alone, which a dictionary of their own would number 0 and 1.
    let text = std::fs::read_to_string(at.join("numbers.csv")).unwrap();
    let some: Vec<&str> = text.lines().filter(|line| !line.ends_with("iris")).collect();
    std::fs::write(at.join("some.csv"), some.join("\n")).unwrap();
    for data in ["numbers.csv", "some.csv"] {
        let (own, back) = (evaluated("own.safetensors", data), evaluated("back.safetensors", data));
        let [own, back] = [&own, &back].map(|ran| ran.event("evaluation"));
        let (own_loss, back_loss) = (own["loss"].as_f64().unwrap(), back["loss"].as_f64().unwrap());
        assert!((own_loss - back_loss).abs() < 1e-6, "{data}: {own} {back}");
        assert_eq!(own["classes"], back["classes"], "{data}");
    }
    std::fs::write(at.join("other.csv"), text.replace("lily", "tulip")).unwrap();
    evaluated("back.safetensors", "other.csv").refused(&[
        "\"tulip\"",
        "none of the model's classes",
        "iris, lily, rose",
    ]);
    // Without names, the target's numbers are indices of outputs.
    let network = wgrad::Network::classifier(2, &[4], wgrad::Activation::Relu, 3);
    let back = wgrad::Model::read(at.join("back.safetensors")).unwrap();
    let nameless = wgrad::Model { classes: Vec::new(), network, ..back };
    nameless.write(at.join("nameless.safetensors")).unwrap();
    evaluated("nameless.safetensors", "numbers.csv").refused(&["\"iris\"", "nor names of classes", "0 to 2"]);
    let indices = text.replace("iris", "0").replace("lily", "1").replace("rose", "2");
    std::fs::write(at.join("indices.csv"), &indices).unwrap();
    let (by_index, by_name) =
        (evaluated("nameless.safetensors", "indices.csv"), evaluated("own.safetensors", "numbers.csv"));
    assert_eq!(by_index.event("evaluation")["accuracy"], by_name.event("evaluation")["accuracy"]);
    let upper: Vec<&str> = indices.lines().filter(|line| !line.ends_with(",0")).collect();
    std::fs::write(at.join("upper.csv"), upper.join("\n")).unwrap();
    let (by_index, by_name) =
        (evaluated("nameless.safetensors", "upper.csv"), evaluated("own.safetensors", "some.csv"));
    assert_eq!(by_index.event("evaluation")["accuracy"], by_name.event("evaluation")["accuracy"]);
    // Words are features of the table that they were learned from.
    for (model, width) in [("own.safetensors", 0), ("back.safetensors", 1)] {
        let ran = evaluated(model, "words.csv");
        if width == 1 {
            ran.refused(&["words.csv", "column \"b\" has words", "keeps no columns of a table"]);
            let ran = wgrad(at, &["predict", "--model", model, "--input", "words.csv"]);
            ran.refused(&["keeps no columns of a table"]);
        } else {
            ran.refused(&["\"w0\" is not a number"]);
        }
    }
    std::fs::write(at.join("narrow.csv"), "a,kind\n1,rose\n2,iris\n").unwrap();
    evaluated("back.safetensors", "narrow.csv").refused(&["1 column of numbers", "takes 2", "keeps no columns"]);
}

/// Finds a table whose target is not its last column and is evaluated all the same, or a number that is read for one command and not for another.
#[test]
fn a_model_without_columns_takes_the_target_that_is_named() {
    let folder = tables();
    let at = folder.path();
    let write = |name: &str, head: &str, line: &dyn Fn(usize) -> String| {
        let rows: String = (0..30).map(line).collect();
        std::fs::write(at.join(name), format!("{head}{rows}")).unwrap();
    };
    let model = |name: &str, inputs: usize, outputs: usize, loss: wgrad::Loss| {
        let network = wgrad::Network::classifier(inputs, &[4], wgrad::Activation::Relu, outputs);
        let weights = wgrad::Initializer::default().weights(&network, 0);
        wgrad::Model::new(network, weights, loss).write(at.join(name)).unwrap();
    };
    model("digits.safetensors", 784, 10, wgrad::Loss::softmax_cross_entropy());
    model("price.safetensors", 2, 1, wgrad::Loss::MeanSquaredError);
    let evaluated = |model: &str, data: &str, more: &[&str]| {
        wgrad(at, &[&["evaluate", "--model", model, "--data", data], more].concat())
    };
    let loss = |ran: &Ran| ran.event("evaluation")["loss"].as_f64().unwrap();
    // Each pixel may be a class, as 0 and 1 are.
    let pixels = |row: usize| (0..784).map(|at| ((at + row) % 2).to_string()).collect::<Vec<_>>().join(",");
    let names = (0..784).map(|at| format!("p{at}")).collect::<Vec<_>>().join(",");
    for (file, first) in [("named.csv", format!("Label,{names}\n")), ("nameless.csv", String::new())] {
        write(file, &first, &|row| format!("{},{}\n", row % 10, pixels(row)));
        let last = if first.is_empty() { first } else { format!("{names},Label\n") };
        write("last.csv", &last, &|row| format!("{},{}\n", pixels(row), row % 10));
        let right = evaluated("digits.safetensors", "last.csv", &[]);
        right.says(&["is taken as the target", "--label"]);
        for label in ["1", "Label"].iter().take(if file == "named.csv" { 2 } else { 1 }) {
            let ran = evaluated("digits.safetensors", file, &["--label", label]);
            assert_eq!(loss(&ran), loss(&right), "{file}");
            assert!(!ran.said.contains("is taken"), "{}", ran.said);
        }
    }
    let guessed = evaluated("digits.safetensors", "named.csv", &[]);
    guessed.refused(&["named.csv: column \"Label\"", "\"p783\"", "--label"]);
    evaluated("digits.safetensors", "nameless.csv", &[]).says(&["the last column, \"785\", is taken as the target"]);
    // Fractions are no classes, which is not what is wrong with this table; and a name of its own kind at the end is the target.
    write("first.csv", "target,a,b\n", &|row| format!("{},{row},{row}.5\n", row % 2));
    write("point.csv", "x,y,label\n", &|row| format!("{row},{row}.5,{}\n", row % 2));
    model("two.safetensors", 2, 2, wgrad::Loss::softmax_cross_entropy());
    evaluated("two.safetensors", "first.csv", &[]).refused(&["\"target\" looks like the target", "--label \"target\""]);
    evaluated("two.safetensors", "point.csv", &[]).says(&["\"label\", is taken"]);
    // Numbers to predict.
    write("price.csv", "price,a,b\n", &|row| format!("{row},{},{}\n", row % 3, row % 5));
    write("last.csv", "a,b,price\n", &|row| format!("{},{},{row}\n", row % 3, row % 5));
    let right = evaluated("price.safetensors", "last.csv", &[]);
    assert_eq!(loss(&evaluated("price.safetensors", "price.csv", &["--label", "price"])), loss(&right));
    evaluated("price.safetensors", "price.csv", &[]).says(&["the last column, \"b\", is taken as the target"]);
    // What would be passed over.
    evaluated("price.safetensors", "price.csv", &["--label", "cost"]).refused(&["no column \"cost\""]);
    evaluated("digits.safetensors", "mnist", &["--label", "a"]).refused(&["--label a", "mnist is no table"]);
    train(at, &["--data", "numbers.csv", "--save", "own.safetensors"]);
    evaluated("own.safetensors", "numbers.csv", &["--label", "a"])
        .refused(&["--label a", "its target there is \"kind\""]);
    assert_eq!(evaluated("own.safetensors", "numbers.csv", &["--label", "kind"]).code, 0);
    // Cells that no such model predicts on.
    for (cell, way) in
        [("1.234,5", "with a decimal comma"), ("1,234", "',' between thousands"), ("$5", "without their $")]
    {
        write("ways.csv", "a,b,price\n", &|row| format!("\"{cell}\",{},{row}\n", row % 5));
        evaluated("price.safetensors", "ways.csv", &[]).refused(&["column \"a\"", way, "plainly", "keeps no columns"]);
        write("ways.csv", "a,b\n", &|row| format!("\"{cell}\",{}\n", row % 5));
        let ran = wgrad(at, &["predict", "--model", "price.safetensors", "--input", "ways.csv"]);
        ran.says(&[&format!("\"{cell}\" is not a number"), "keeps no columns"]);
    }
}

/// Finds outputs that stand for no class without a word about them, or names that are lost because of them.
#[test]
fn outputs_without_a_class_are_noted_and_the_others_keep_their_names() {
    let folder = tables();
    let at = folder.path();
    std::fs::write(at.join("wide.toml"), "[model]\noutputs = 5\n").unwrap();
    let ran = train(at, &["--data", "numbers.csv", "--config", "wide.toml"]);
    ran.says(&["5 outputs", "3 classes", "outputs 3 to 4 stand for no class"]);
    assert!(ran.event("start")["notes"].to_string().contains("stand for no class"));
    let names = json!(["iris", "lily", "rose", "3", "4"]);
    let ran = wgrad(at, &["predict", "--model", "model.safetensors", "--input", "numbers.csv"]);
    assert_eq!(ran.event("prediction")["names"], names);
    let ran = wgrad(at, &["evaluate", "--model", "model.safetensors", "--data", "numbers.csv"]);
    let classes = ran.event("evaluation")["classes"].as_array().unwrap();
    assert_eq!(json!(classes.iter().map(|class| class["name"].clone()).collect::<Vec<_>>()), names);
    // The same classes are not taken for others when training goes on.
    let ran = train(at, &["--data", "numbers.csv", "--config", "wide.toml", "--init", "model.safetensors"]);
    assert!(!ran.said.contains("other meanings"), "{}", ran.said);
    let ran = train(at, &["--data", "numbers.csv"]);
    assert!(!ran.said.contains("stand"), "{}", ran.said);
}

/// Finds two contrary answers to one question, or a last epoch that is printed as if it had been trained now.
#[test]
fn a_finished_run_says_so_once_and_how_it_is_trained_longer() {
    let folder = tables();
    let at = folder.path();
    train(at, &["--data", "numbers.csv", "--checkpoint", "ck"]);
    let text = succeed(at, &["train", "--resume", "ck", "--screen", "lines"]);
    assert!(text.contains("The run was finished before: all its 4 steps are done"), "{text}");
    assert!(text.contains("To train longer:  wgrad train --resume ck --epochs 4"), "{text}");
    assert!(!text.contains("epoch ") && !text.contains("on from step"), "{text}");
    let ran = wgrad(at, &["train", "--resume", "ck"]);
    assert_eq!((ran.code, &ran.event("end")["finished_before"]), (0, &json!(true)));
    let shorter = support::wgrad(at, &["train", "--resume", "ck", "--epochs", "1"]);
    let message = String::from_utf8_lossy(&shorter.stderr);
    assert!(shorter.status.code() == Some(2) && message.contains("ask for more with --epochs"), "{message}");
    assert!(shorter.stdout.is_empty(), "{}", String::from_utf8_lossy(&shorter.stdout));
    let longer = succeed(at, &["train", "--resume", "ck", "--epochs", "4", "--screen", "lines"]);
    assert!(
        longer.contains("trained before") && longer.contains("epoch  4/4") && !longer.contains(" 0 samples/s"),
        "{longer}"
    );
}

/// Finds a column of predictions under a number.
#[test]
fn predicted_numbers_have_their_columns_name() {
    let folder = tables();
    let at = folder.path();
    train(at, &["--data", "price.csv", "--loss", "mse"]);
    let predict = ["predict", "--model", "model.safetensors", "--input", "price.csv", "--rows", "0-1"];
    assert_eq!(wgrad(at, &predict).event("prediction")["names"], json!(["price"]));
    let text = succeed(at, &predict);
    assert_eq!(text.lines().next().unwrap().split_whitespace().collect::<Vec<_>>(), ["row", "price"]);
    let model = wgrad::Model::read(at.join("model.safetensors")).unwrap();
    assert_eq!(model.output_names(), ["price"]);
    let unknown = wgrad::Model { columns: None, ..model };
    assert_eq!(unknown.output_names(), ["prediction"]);
    let network = wgrad::Network::classifier(2, &[], wgrad::Activation::Relu, 2);
    let weights = wgrad::Initializer::default().weights(&network, 0);
    assert_eq!(
        wgrad::Model::new(network, weights, wgrad::Loss::MeanSquaredError).output_names(),
        ["output_0", "output_1"]
    );
}

/// Finds a fraction that is refused for its size, where the rows are too few for it; or a number of rows that it does not need, or that does not do.
#[test]
fn a_fraction_of_too_few_rows_says_how_many_it_needs() {
    let set = |rows: usize| wgrad::Dataset::from_f32(vec![0.5; rows], 1, vec![0; rows]).unwrap();
    let all = set(200);
    let refused = |rows: usize, fraction: f64| {
        all.read(0..rows).unwrap().split(fraction, 0).map(drop).map_err(|error| error.to_string())
    };
    for fraction in [0.5, 0.25, 0.2, 0.1, 0.3, 0.003, 0.6, 0.75, 0.9, 0.99] {
        let needed = (1..=200).find(|&rows| refused(rows, fraction).is_ok()).unwrap();
        for rows in 1..needed {
            let message = refused(rows, fraction).unwrap_err();
            assert!(message.contains("too few") && !message.contains("below 1"), "{message}");
            assert!(message.ends_with(&format!("needs at least {needed} rows")), "{needed} of {fraction}: {message}");
        }
    }
    for fraction in [1e-300, 5e-324, 1.0 - f64::EPSILON / 2.0] {
        assert!(refused(200, fraction).unwrap_err().contains("no set has enough rows"), "{fraction}");
    }
    let message = refused(200, 1.0).unwrap_err();
    assert!(message.contains("below 1") && !message.contains("too few"), "{message}");
}

/// Finds an option's value that is refused in a parser's words.
#[test]
fn values_of_options_are_refused_with_what_would_be_right() {
    let folder = tables();
    for (arguments, words) in [
        (["--epochs", "two"], &["--epochs", "'two'", "must be a whole number, as 10"][..]),
        (["--epochs", "-5"], &["--epochs", "'-5'", "a whole number that is not negative, as 10"]),
        (["--batch-size", "3.5"], &["--batch-size", "must be a whole number"]),
        (["--lr", "fast"], &["--lr", "must be a number, as 0.1"]),
        (["--seed", "99999999999999999999"], &["--seed", "out of range"]),
        (["--config", "missing.toml"], &["--config missing.toml", "No such file", "TOML"]),
        (["--validation", "2"], &["a fraction of 2 of 60 rows", "above 0 and below 1, as 0.2"]),
    ] {
        wgrad(folder.path(), &[&["train", "--data", "numbers.csv"][..], &arguments].concat()).refused(words);
    }
}

/// Finds a model that is trained and then written under a name that no command reads as a model, and a folder under a model's name.
#[test]
fn a_models_name_has_its_formats_ending_before_it_is_trained() {
    let folder = tables();
    let at = folder.path();
    let run = |arguments: &[&str]| {
        wgrad(at, &[&["train", "--data", "numbers.csv", "--hidden", "4", "--epochs", "1"], arguments].concat())
    };
    for name in ["x.onnx", "x.pt", "x.npz"] {
        run(&["--save", name]).refused(&[name, "its name must end in .safetensors"]);
        std::fs::write(at.join("run.toml"), format!("[train]\nsave = \"{name}\"\n")).unwrap();
        run(&["--config", "run.toml", "--out", "run"]).refused(&[name, "its name must end in .safetensors"]);
        assert!(!at.join(name).exists() && !at.join("run").exists());
    }
    for flag in ["--out", "--checkpoint", "--tensorboard"] {
        for name in ["x.safetensors", "x.onnx"] {
            run(&[flag, name]).refused(&[flag, name, "names a folder", "--save"]);
            let key = flag.trim_start_matches('-');
            std::fs::write(at.join("run.toml"), format!("[train]\n{key} = \"{name}\"\n")).unwrap();
            run(&["--config", "run.toml"]).refused(&[flag, name, "names a folder"]);
            assert!(!at.join(name).exists());
        }
    }
    train(at, &["--data", "numbers.csv", "--save", "plain"]);
    assert_eq!(wgrad(at, &["inspect", "plain"]).code, 0);
}

/// Finds a finished run that its folder calls failed because a later call asked for what could not be done.
#[test]
fn a_resume_that_is_refused_changes_nothing_of_the_run() {
    let folder = tables();
    let at = folder.path();
    let data = at.join("numbers.csv");
    let rows = std::fs::read_to_string(&data).unwrap();
    let out = ["--out", "run", "--checkpoint", "ck"];
    train(at, &[&["--data", "numbers.csv", "--validation", "0.2"], &out[..]].concat());
    let files = || {
        ["run.json", "metrics.jsonl", "metrics.csv", "model.safetensors"]
            .map(|name| std::fs::read(at.join("run").join(name)).unwrap())
    };
    let before = files();
    std::fs::write(&data, rows.replacen("0.5,0,", "0.5,1,", 1)).unwrap();
    for more in [&["--epochs", "8"][..], &[], &["--epochs", "8", "--tensorboard", "board"]] {
        let ran = wgrad(at, &[&["train", "--resume", "ck"], more].concat());
        ran.refused(&["the run had another"]);
        assert!(files() == before, "{more:?}: {}", std::fs::read_to_string(at.join("run/run.json")).unwrap());
    }
    std::fs::write(&data, rows).unwrap();
    let ran = wgrad(at, &["train", "--resume", "ck", "--epochs", "3"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    let about: serde_json::Value = serde_json::from_slice(&files()[0]).unwrap();
    let resumed = about["resumed"].as_array().unwrap();
    assert_eq!((&about["state"], resumed.len(), &resumed[0]["step"]), (&json!("finished"), 1, &json!(4)));
}

/// Finds a file of another program that is refused without the command that converts it, or an option that is named by no flag.
#[test]
fn a_file_of_another_program_is_refused_with_the_command_that_converts_it() {
    let folder = tables();
    let at = folder.path();
    train(at, &["--data", "numbers.csv", "--save", "own.safetensors"]);
    assert_eq!(wgrad(at, &["export", "own.safetensors", "net.onnx"]).code, 0);
    std::fs::copy(at.join("net.onnx"), at.join("net.model")).unwrap();
    for name in ["net.onnx", "net.model"] {
        for arguments in [
            &["train", "--data", "numbers.csv", "--init", name][..],
            &["predict", "--input", "numbers.csv", "--model", name],
            &["evaluate", "--data", "numbers.csv", "--model", name],
            &["export", name, "again.onnx"],
        ] {
            wgrad(at, arguments).refused(&[name, "has to be converted first: wgrad import"]);
        }
    }
    wgrad(at, &["inspect", "net.model"]).refused(&["has to be converted first: wgrad import"]);
    wgrad(at, &["train", "--data", "net.model"]).refused(&["ONNX", "wgrad import"]);
    for name in ["numbers.csv", "net.model"] {
        wgrad(at, &["import", name, "new.safetensors"]).refused(&[name, "import reads .onnx, and .safetensors"]);
    }
}

/// Finds options that are taken in silence and do nothing.
#[test]
fn options_without_effect_are_refused_and_keys_noted() {
    let folder = tables();
    let at = folder.path();
    let values: Vec<f32> = (0..20).map(|at| at as f32).collect();
    let x: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let y: Vec<u8> = (0..10u32).flat_map(|row| i64::from(row % 2).to_le_bytes()).collect();
    let tensor = |dtype, shape, bytes| safetensors::tensor::TensorView::new(dtype, shape, bytes).unwrap();
    let (x, y) = (tensor(safetensors::Dtype::F32, vec![10, 2], &x), tensor(safetensors::Dtype::I64, vec![10], &y));
    let bytes = safetensors::serialize([("x", x), ("y", y)], None).unwrap();
    std::fs::write(at.join("set.safetensors"), bytes).unwrap();
    let arrays = ["train", "--data", "set.safetensors"];
    for (flag, value) in
        [("--label", "foo"), ("--fill", "mean"), ("--ignore", "a"), ("--categorical", "a"), ("--unknown", "none")]
    {
        wgrad(at, &[&arrays[..], &[flag, value]].concat()).refused(&[flag, "set.safetensors is no table"]);
    }
    // A file of options may serve several sets.
    std::fs::write(at.join("run.toml"), "[data]\nlabel = \"foo\"\n").unwrap();
    let noted = train(at, &["--data", "set.safetensors", "--config", "run.toml"]);
    noted.says(&["no effect of label under [data]", "set.safetensors is no table"]);
    let fraction = train(at, &["--data", "numbers.csv", "--validation", "0.2", "--label", "kind", "--ignore", "a"]);
    assert!(!fraction.said.contains("no effect"), "{}", fraction.said);
    for ignored in ["kind", "3"] {
        let asked = ["train", "--data", "numbers.csv", "--label", "kind", "--ignore", ignored];
        wgrad(at, &asked).refused(&["--label kind", "--ignore", "the same column"]);
    }
}

/// Finds numbers to predict that are called classes.
#[test]
fn targets_that_are_numbers_are_not_called_classes() {
    let folder = tables();
    let at = folder.path();
    std::fs::write(at.join("two.csv"), "a,s,d\n1,2,3\n2,3,5\n4,4,4\n3,1,2\n").unwrap();
    train(at, &["--data", "two.csv", "--loss", "mse", "--label", "s,d"]);
    let contents = wgrad(at, &["inspect", "model.safetensors"]);
    let contents = contents.event("contents");
    assert_eq!((&contents["targets"], &contents["classes"]), (&json!(["s", "d"]), &json!([])));
    assert!(succeed(at, &["inspect", "model.safetensors"]).contains("\ntargets s, d"));
    let notes = wgrad(at, &["export", "model.safetensors", "net.onnx"]).event("exported")["notes"].to_string();
    assert!(notes.contains("names of the targets"), "{notes}");
    std::fs::write(at.join("other.csv"), "a,u,v\n1,2,3\n2,3,5\n4,4,4\n3,1,2\n").unwrap();
    let ran = train(at, &["--data", "other.csv", "--loss", "mse", "--label", "u,v", "--init", "model.safetensors"]);
    ran.says(&["the targets are u, v, and the model was trained on s, d"]);
}

/// Finds a switch of run.toml that no flag turns off.
#[test]
fn switches_of_a_file_can_be_turned_off() {
    let folder = tables();
    let at = folder.path();
    let file = "[augmentation]\nflip = true\n[train]\nkeep_best = true\nshuffle = false\n";
    std::fs::write(at.join("run.toml"), file).unwrap();
    let run = |flags: &[&str]| {
        let common = [
            "train",
            "--config",
            "run.toml",
            "--data",
            "numbers.csv",
            "--epochs",
            "2",
            "--out",
            "run",
            "--screen",
            "none",
        ];
        wgrad(at, &[&common[..], flags].concat())
    };
    for flags in [&[][..], &["--flip"], &["--flip=true"]] {
        run(flags).refused(&["augmentation", "rows of features"]);
    }
    let about = |flags: &[&str]| {
        let ran = run(&[&["--flip=false"], flags].concat());
        assert_eq!(ran.code, 0, "{}", ran.said);
        let about: serde_json::Value =
            serde_json::from_slice(&std::fs::read(at.join("run/run.json")).unwrap()).unwrap();
        std::fs::remove_dir_all(at.join("run")).unwrap();
        [about["train"]["keep_best"].clone(), about["train"]["shuffle"].clone()]
    };
    assert_eq!(about(&[]), [json!(true), json!(false)]);
    assert_eq!(about(&["--keep-best=false", "--no-shuffle=false"]), [json!(false), json!(true)]);
    assert_eq!(about(&["--keep-best", "--no-shuffle"]), [json!(true), json!(false)]);
}

/// Numbers that are none, where a parser's words or an example of another option say nothing of what is right.
#[test]
fn numbers_are_told_in_the_words_of_their_option() {
    let folder = tables();
    let at = folder.path();
    for (text, words) in [
        ("[train]\nreport_image = -3\n", &["report_image = -3", "a row number, 0 or more"][..]),
        ("[train]\nbatch_size = -1\n", &["batch_size = -1", "a whole number, 0 or more"]),
        ("[train]\nepochs = 1.5\n", &["epochs = 1.5", "a whole number, 0 or more"]),
        ("[augmentation]\ncutout = \"x\"\n", &["a whole number, 0 or more"]),
        ("[data]\nimage = [28, -1, 1]\n", &["image = [28, -1, 1]", "a whole number, 0 or more"]),
    ] {
        std::fs::write(at.join("run.toml"), text).unwrap();
        let ran = wgrad(at, &["train", "--config", "run.toml", "--data", "numbers.csv"]);
        ran.refused(words);
        assert!(!ran.said.contains("usize") && !ran.said.contains("u64"), "{}", ran.said);
    }
    std::fs::write(at.join("run.toml"), "[model]\nlayers = [{ dense = 2 }]\n").unwrap();
    let import = |inputs: &str| {
        wgrad(at, &["import", "a.safetensors", "b.safetensors", "--config", "run.toml", "--inputs", inputs])
    };
    for inputs in ["28x28", "28,28,x", "28,-28,1"] {
        import(inputs).refused(&["--inputs", "as 784", "as 28,28,1"]);
    }
    import("4294967297,1,1").refused(&["4294967297×1×1", "16777216 are allowed"]);
}
