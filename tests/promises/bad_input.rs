//! Every bad input is an error that says what, where and what would be right; exit 2, and nothing written.

use safetensors::Dtype;
use safetensors::tensor::TensorView;
use wgrad::kernel::tile::Family;
use wgrad::{Activation, Dataset, Error, Network, Optimizer, TrainOptions, Trainer};

use crate::data::{gzipped, idx};
use crate::support::{gpu, learnable, wgrad};

/// The program in an empty folder with some files: exit 2, every word in its message, and no file more than before.
#[track_caller]
pub fn refused(files: &[(&str, Vec<u8>)], arguments: &[&str], words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    for (name, content) in files {
        std::fs::write(folder.path().join(name), content).unwrap();
    }
    let output = wgrad(folder.path(), arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "wgrad {}: {message}", arguments.join(" "));
    for word in words {
        assert!(message.contains(word), "wgrad {}: no \"{word}\" in: {message}", arguments.join(" "));
    }
    assert!(!message.contains("panicked"), "{message}");
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), files.len(), "nothing is written");
}

/// A safetensors file of f32 tensors, and of i64 ones for `y`.
pub fn tensors(entries: &[(&str, &[usize], &[f32])], labels: Option<&[i64]>) -> Vec<u8> {
    let bytes: Vec<Vec<u8>> = entries.iter().map(|(.., values)| bytemuck::cast_slice(values).to_vec()).collect();
    let label_bytes: Vec<u8> = labels.unwrap_or_default().iter().flat_map(|label| label.to_le_bytes()).collect();
    let mut views: Vec<(String, TensorView<'_>)> = entries
        .iter()
        .zip(&bytes)
        .map(|((name, shape, _), bytes)| {
            (name.to_string(), TensorView::new(Dtype::F32, shape.to_vec(), bytes).unwrap())
        })
        .collect();
    if let Some(labels) = labels {
        views.push(("y".into(), TensorView::new(Dtype::I64, vec![labels.len()], &label_bytes).unwrap()));
    }
    safetensors::serialize(views, None).unwrap()
}

const GOOD: [f32; 8] = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0];

fn good_set() -> Vec<u8> {
    tensors(&[("x", &[4, 2], &GOOD)], Some(&[0, 1, 2, 0]))
}

fn with_set(content: Vec<u8>) -> [(&'static str, Vec<u8>); 1] {
    [("set.safetensors", content)]
}

const TRAIN: [&str; 5] = ["train", "--data", "set.safetensors", "--batch-size", "2"];

#[test]
fn options_out_of_range_are_refused() {
    for (arguments, words) in [
        (&["--batch-size", "0"][..], &["batch size is 0", "at least 1"][..]),
        (&["--hidden", "0"], &["layer 1", "width of 0"]),
        (&["--hidden", "16,x"], &["\"x\"", "256,128"]),
        (&["--hidden", "99999999999"], &["layer 1", "16777216"]),
        (&["--lr", "nan"], &["learning rate is NaN", "finite"]),
        (&["--lr", "inf"], &["learning rate is inf", "finite"]),
        (&["--lr", "1e300"], &["learning rate", "finite"]),
        (&["--lr", "-0.1"], &["learning rate is -0.1", "at least 0"]),
        (&["--optimizer", "adagrd"], &["adagrd", "did you mean adagrad?", "rmsprop"]),
        (&["--activation", "rleu"], &["rleu", "relu"]),
        (&["--loss", "hinge"], &["hinge", "softmax-cross-entropy"]),
        (&["--dropout", "1"], &["dropout of 1", "below 1"]),
        (&["--schedule", "cosin"], &["cosin", "did you mean cosine?"]),
        (&["--schedule", "step"], &["step needs step_size", "[schedule] in run.toml"]),
        (&["--schedule", "exponential"], &["exponential needs gamma", "[schedule] in run.toml"]),
        (&["--out", "set.safetensors"], &["--out set.safetensors: it must be a folder"]),
        (&["--out", "set.safetensors/deep"], &["--out", "set.safetensors is a file"]),
        (&["--checkpoint", "set.safetensors"], &["--checkpoint set.safetensors: it must be a folder"]),
        (&["--tensorboard", "set.safetensors"], &["--tensorboard set.safetensors: it must be a folder"]),
        (&["--out", "both", "--checkpoint", "./both"], &["--out", "--checkpoint", "cannot be the same folder"]),
        (&["--early-stopping", "0"], &["patience is 0", "at least 1"]),
        (&["--flip"], &["augmentation", "rows of features", "leave it out"]),
        (&["--flip=perhaps"], &["'perhaps'", "--flip", "true, false"]),
        (&["--clip-grad-value", "0"], &["clip_grad_value is 0", "above 0"]),
        (
            &["--clip-grad-value", "1", "--clip-grad-norm", "1"],
            &["clip_grad_norm", "clip_grad_value", "set only one of them"],
        ),
        (&["--non-finite", "ignore"], &["ignore", "skip"]),
        (&["--monitor", "acuracy"], &["did you mean accuracy?"]),
        (&["--initializer", "constant:x"], &["constant:x", "constant:0.1"]),
        (&["--validation", "1.5"], &["fraction", "at least one row"]),
        (&["--save", "no/such/folder/m.safetensors"], &["error: no/such/folder/m.safetensors: No such file"]),
        (&["--save", "."], &["not a file"]),
        (&["--save", "set.safetensors"], &["the file of the data"]),
        (&["--save", "/dev/null"], &["not a file"]),
        (&["--init", "missing.safetensors"], &["missing.safetensors: No such file"]),
        (&["--config", "missing.toml"], &["missing.toml: No such file"]),
        (&["--epochs", "-1"], &["--epochs"]),
        (&["--epochs", "18446744073709551615"], &["steps", "4294967295"]),
    ] {
        // clap takes an option once: ours replaces the one in TRAIN.
        let common = if arguments[0] == "--batch-size" { &TRAIN[..3] } else { &TRAIN };
        refused(&with_set(good_set()), &[common, arguments].concat(), words);
    }
}

/// Finds a value that makes a formula diverge and is accepted. The ranges are PyTorch's, but a momentum above 1 is refused, too.
#[test]
fn optimizers_values_have_ranges() {
    let optimizer = |name: &str, value: &str, number: f64| {
        let mut optimizer = Optimizer::from_name(name).unwrap();
        match value {
            "lr" => optimizer.lr = number,
            "weight_decay" => optimizer.weight_decay = number,
            value => optimizer.set(value, number).unwrap(),
        }
        optimizer.check()
    };
    for (names, value, good, bad, words) in [
        (&["sgd", "rmsprop"][..], "momentum", &[0.0, 0.9, 1.0][..], &[-0.1, 1.01, f64::NAN][..], "from 0 to 1"),
        (&["muon"], "momentum", &[0.95], &[-0.1, 1.0], "in [0, 1)"),
        (&["adam", "adamw", "nadam", "lion", "muon"], "beta1", &[0.0, 0.9], &[-0.1, 1.0, 1.5, f64::NAN], "in [0, 1)"),
        (&["adam", "adamw", "nadam", "lion", "muon"], "beta2", &[0.0, 0.999], &[-0.1, 1.0, 9.0], "in [0, 1)"),
        (&["adadelta"], "rho", &[0.9], &[-0.1, 1.0, 1.1], "in [0, 1)"),
        (&["rmsprop"], "alpha", &[0.99], &[-0.1, 1.0, 1.1], "in [0, 1)"),
        (&["adam", "adagrad", "adadelta", "rmsprop"], "eps", &[1e-8], &[-1e-8, 0.0, f64::INFINITY], "above 0"),
        (&["nadam"], "momentum_decay", &[0.0, 4e-3], &[-1e-3], "at least 0"),
        (&["sgd", "adam", "lion", "muon"], "weight_decay", &[0.0, 0.1], &[-0.1, f64::INFINITY], "at least 0"),
    ] {
        for name in names {
            good.iter().for_each(|&number| optimizer(name, value, number).unwrap());
            for &number in bad {
                let message = optimizer(name, value, number).unwrap_err().to_string();
                assert!(
                    message.contains(&format!("{value} is {number}")) && message.contains(words),
                    "{name}: {message}"
                );
            }
        }
    }
}

/// Finds training that ends with a loss of 0 and has learned nothing, as there is one class; and targets that are no probabilities.
#[test]
fn losses_that_cannot_fit_their_targets_are_refused() {
    let table = |labels: [&str; 4]| {
        let rows: String = labels.iter().enumerate().map(|(row, label)| format!("{row}.5,{label}\n")).collect();
        vec![("set.csv", format!("size,kind\n{rows}").into_bytes())]
    };
    let train = ["train", "--data", "set.csv", "--batch-size", "2", "--validation", "none"];
    for (labels, loss, words) in [
        (["a"; 4], "softmax-cross-entropy", &["softmax-cross-entropy over one output", "two classes", "mse"][..]),
        (["0"; 4], "softmax-cross-entropy", &["over one output"]),
        (["a"; 4], "sigmoid-cross-entropy", &["every row is of one class", "\"a\"", "two classes"]),
    ] {
        refused(&table(labels), &[&train[..], &["--loss", loss]].concat(), words);
    }
    let values = |rows: &[f32]| {
        let width = rows.len() / 4;
        vec![("set.safetensors", tensors(&[("x", &[4, 2], &GOOD), ("t", &[4, width], rows)], None))]
    };
    let train = ["train", "--data", "set.safetensors", "--batch-size", "2", "--validation", "none", "--epochs", "1"];
    for loss in ["softmax-cross-entropy", "kl-divergence"] {
        for (rows, words) in [
            ([1.0, 0.0, 0.5, 0.5, 0.5, 0.6, 0.0, 1.0], "row 2 add up to 1.1"),
            ([1.0, 0.0, 0.5, 0.5, 0.5, 0.5, 0.0, 0.0], "row 3 add up to 0"),
            ([1.0, 0.0, 0.5, 0.498, 0.5, 0.5, 0.0, 1.0], "row 1 add up to 0.998"),
        ] {
            refused(&values(&rows), &[&train[..], &["--loss", loss]].concat(), &[words, loss, "add up to 1"]);
        }
        refused(&values(&[1.0; 4]), &[&train[..], &["--loss", loss]].concat(), &["over one output"]);
        // A distribution may have three decimals.
        let folder = tempfile::tempdir().unwrap();
        let thirds = [0.333, 0.333, 0.333].repeat(4);
        std::fs::write(folder.path().join("set.safetensors"), &values(&thirds)[0].1).unwrap();
        let output = wgrad(folder.path(), &[&train[..], &["--loss", loss]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
}

/// Finds words and flags of other programs that are refused with a list in which a user has to guess.
#[test]
fn words_of_other_programs_are_answered_with_ours() {
    for (arguments, words) in [
        (&["--activation", "swish"][..], &["write silu;"][..]),
        (&["--activation", "LeakyReLU"], &["write leaky-relu;"]),
        (&["--activation", "ReLU"], &["did you mean relu?"]),
        (&["--activation", "linear"], &["write identity;"]),
        (&["--loss", "bce"], &["write sigmoid-cross-entropy;"]),
        (&["--loss", "cross_entropy"], &["write softmax-cross-entropy;"]),
        (&["--loss", "SparseCategorical_Crossentropy"], &["write softmax-cross-entropy;"]),
        (&["--loss", "sparse_categorical_crossentropy"], &["write softmax-cross-entropy;"]),
        (&["--loss", "mean_squared_error"], &["write mse;"]),
        (&["--loss", "l1"], &["write mae;"]),
        (&["--loss", "Smooth_L1"], &["write huber;"]),
        (&["--optimizer", "AdamW"], &["did you mean adamw?"]),
        (&["--optimizer", "adam_w"], &["write adamw;"]),
        (&["--optimizer", "nesterov"], &["write sgd", "nesterov = true under [optimizer]"]),
        (&["--schedule", "cosine_annealing"], &["write cosine;"]),
        (&["--schedule", "OneCycle"], &["write one-cycle;"]),
        (&["--schedule", "ReduceLROnPlateau"], &["[reduce_on_plateau]"]),
        (&["--initializer", "xavier"], &["write glorot-uniform;"]),
        (&["--initializer", "kaiming_normal"], &["write he-normal;"]),
        (&["--scaling", "zscore"], &["write standardize;"]),
        (&["--learning-rate", "0.1"], &["'--learning-rate'", "--lr", "lr under [optimizer] in run.toml"]),
        (&["--batch", "2"], &["--batch-size"]),
        (&["--epoch=3"], &["--epochs"]),
        (&["--gpu", "0"], &["--adapter"]),
        (&["--cuda"], &["--adapter"]),
        (&["--model", "m.safetensors"], &["--init FILE"]),
        (&["--output", "m"], &["--out DIR", "--save FILE"]),
        (&["--test", "t.csv"], &["--validation"]),
        (&["--beta1", "0.5"], &["under [optimizer] in run.toml"]),
        (&["--class_weights", "1"], &["under [loss] in run.toml"]),
        (&["--momentum", "0.9"], &["optimizer adam has no momentum", "beta1"]),
        (&["--optimizer", "sgd", "--momentum", "1.5"], &["momentum is 1.5", "from 0 to 1"]),
        (&["--weight-decay", "-1"], &["weight_decay is -1"]),
    ] {
        refused(&with_set(good_set()), &[&TRAIN, arguments].concat(), words);
    }
    for (toml, words) in [
        ("[train]\nlearning_rate = 0.1\n", "lr under [optimizer]"),
        ("[train]\nlr = 0.1\n", "lr under [optimizer]"),
        ("[model]\nunits = [3]\n", "hidden or layers under [model]"),
        ("[data]\nval = 0.1\n", "--validation"),
    ] {
        refused(
            &[("run.toml", toml.into())],
            &["train", "--config", "run.toml"],
            &["run.toml", "unknown field", words],
        );
    }
}

#[test]
fn sets_that_disagree_with_themselves_are_refused() {
    let nan: Vec<f32> = GOOD.iter().map(|&value| if value == 5.0 { f32::NAN } else { value }).collect();
    let infinite: Vec<f32> = GOOD.iter().map(|&value| if value == 5.0 { f32::INFINITY } else { value }).collect();
    let labels = Some(&[0i64, 1, 2, 0][..]);
    for (content, words) in [
        (tensors(&[("x", &[4, 2], &nan)], labels), &["feature 1 of row 2", "NaN", "finite"][..]),
        (tensors(&[("x", &[4, 2], &infinite)], labels), &["feature 1 of row 2", "inf"]),
        (tensors(&[("x", &[4, 2], &GOOD)], Some(&[0, 1])), &["4 rows", "2"]),
        (tensors(&[("x", &[8], &GOOD)], labels), &["x has the shape [8]", "[rows, features]"]),
        (tensors(&[("x", &[0, 2], &[])], Some(&[])), &["empty"]),
        (tensors(&[("x", &[4, 0], &[])], labels), &["width of 0"]),
        (tensors(&[("x", &[4, 2], &GOOD)], None), &["no tensor y"]),
        (tensors(&[("z", &[4, 2], &GOOD)], labels), &["no tensor x"]),
        (tensors(&[("x", &[4, 2], &GOOD), ("w", &[3], &[1.0; 3])], labels), &["w has the shape [3]", "[4]"]),
        (
            tensors(&[("x", &[4, 2], &GOOD), ("w", &[4], &[1.0, -2.0, 1.0, 1.0])], labels),
            &["sample weight of row 1 is -2", "at least 0"],
        ),
        (good_set()[..100].to_vec(), &["not a whole safetensors file"]),
        (b"hello".to_vec(), &["not a whole safetensors file"]),
        (Vec::new(), &["not a whole safetensors file"]),
    ] {
        refused(&with_set(content), &TRAIN, &[words, &["set.safetensors"]].concat());
    }
    refused(&[], &["train", "--data", "nothing"], &["nothing", "mnist"]);
    let negative = tensors(&[("x", &[4, 2], &GOOD)], Some(&[0, -1, 2, 0]));
    refused(&with_set(negative), &TRAIN, &["row 1 is -1", "0 to 2"]);
}

/// Finds labels for which the network has no output, in a training set or a validation set.
#[test]
fn labels_out_of_range_are_refused() {
    let config = ("run.toml", b"[model]\noutputs = 2\nhidden = [3]\n".to_vec());
    let files = [with_set(good_set())[0].clone(), config];
    refused(&files, &[&TRAIN[..], &["--config", "run.toml"]].concat(), &["row 2 is 2", "2 outputs", "0 to 1"]);

    let network = Network::classifier(2, &[], Activation::Relu, 3);
    let options = TrainOptions { batch_size: 2, ..TrainOptions::default() };
    let mut trainer = Trainer::on(gpu(), network, options).unwrap();
    let (train, validation) = (learnable(4, 2, 2, 1), Dataset::from_u8(vec![1, 2], 2, vec![3]).unwrap());
    let before = trainer.weights().unwrap();
    let error = trainer.fit(&train, Some(&validation)).unwrap_err();
    assert!(error.to_string().contains("row 0 is 3"), "{error}");
    assert_eq!(trainer.weights().unwrap(), before, "nothing is trained");
}

/// Finds an IDX file that is wrong in any of the possible ways, and is read.
#[test]
fn broken_idx_files_are_refused() {
    let images = idx(&[4, 2, 3], &[1; 24]);
    let labels = idx(&[4], &[0, 1, 2, 1]);
    let with = |at: usize, byte: u8, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        bytes[at] = byte;
        bytes
    };
    let cases: Vec<(Vec<u8>, Vec<u8>, &[&str])> = vec![
        (images[..30].to_vec(), labels.clone(), &["train-images", "24 bytes", "cut short"]),
        (images[..10].to_vec(), labels.clone(), &["train-images", "header", "cut short"]),
        (Vec::new(), labels.clone(), &["train-images", "header", "cut short"]),
        (gzipped(&images)[..20].to_vec(), labels.clone(), &["train-images", "header", "cut short"]),
        (with(3, 1, &images), labels.clone(), &["train-images", "magic number is 0x00000801", "0x00000803"]),
        (images.clone(), with(2, 9, &labels), &["train-labels", "magic number is 0x00000901", "0x00000801"]),
        (images.clone(), idx(&[3], &[0, 1, 2]), &["train-labels", "3 labels", "4 images"]),
        ([images.clone(), vec![0]].concat(), labels.clone(), &["train-images", "more"]),
        (idx(&[0, 2, 3], &[]), idx(&[0], &[]), &["train-images", "no images"]),
        (idx(&[4, 0, 3], &[]), labels.clone(), &["train-images", "width of 0"]),
        (idx(&[u32::MAX, u32::MAX, u32::MAX], &[]), labels.clone(), &["train-images", "4 GiB"]),
    ];
    for (images, labels, words) in cases {
        refused(
            &[("train-images-idx3-ubyte", images), ("train-labels-idx1-ubyte", labels)],
            &["train", "--data", "."],
            words,
        );
    }
    refused(&[("train-images-idx3-ubyte", images)], &["train", "--data", "."], &["no train-labels"]);
    refused(&[("readme", vec![])], &["train", "--data", "."], &["no train-images"]);
}

/// Finds a message that leaves out what would help: the delimiter in the file, what a folder may have, which set was used.
#[test]
fn messages_say_what_would_be_right() {
    let table = |text: &str| [("set.csv", text.as_bytes().to_vec())];
    let train = ["train", "--data", "set.csv", "--batch-size", "2", "--out", "out/deep"];
    let commas = [&train[..], &["--delimiter", ","]].concat();
    refused(&table("a;b;c\n1;2;0\n3;4;1\n"), &commas, &["';'", "delimiter", "[data]"]);
    refused(&table("1,5;2,5;0\n3;4;1\n"), &commas, &["';'", "delimiter"]);
    refused(&table("a\tb\n1\t0\n2\t1\n"), &commas, &["'\\t'", "delimiter"]);
    refused(&table("a b\n1 0\n2 1\n"), &train, &["separated by spaces", "commas, tabs or semicolons"]);
    refused(&table("height,width,species\n"), &train, &["it has no rows", "at least one"]);
    refused(&table("a,b\n1,0\n,1\n"), &train, &["row 1 (line 3)", "column \"a\""]);
    refused(&[("readme", vec![])], &["train", "--data", "."], &["train-images", "x.npy", "folders of images"]);
    let model = tensors(&[("0.weight", &[3, 2], &[0.5; 6]), ("0.bias", &[3], &[0.5; 3])], None);
    for command in ["evaluate", "predict"] {
        let flag = if command == "predict" { "--input" } else { "--data" };
        let words = ["784 features", "takes 2", "MNIST", flag];
        refused(&[("m.safetensors", model.clone())], &[command, "--model", "m.safetensors"], &words);
    }
    refused(&table("a,b\n1,0\n,1\n"), &train, &["--fill mean", "fill under [data]"]);
    let model = tensors(&[("0.weight", &[3, 2], &[0.5; 6]), ("0.bias", &[3], &[0.5; 3])], None);
    let files = [with_set(good_set())[0].clone(), ("m.safetensors", model)];
    for k in ["0", "4"] {
        let words = ["evaluate", "--model", "m.safetensors", "--data", "set.safetensors", "--top-k", k];
        refused(&files, &words, &[&format!("--top-k {k}"), "from 1 to 3"]);
    }
    refused(&[("m.onnx", vec![])], &["predict", "--model", "m.onnx"], &["wgrad import m.onnx"]);
    refused(&with_set(good_set()), &["profile", "--trace", "nodir/x.json"], &["nodir"]);
    for command in ["explain", "bench", "profile"] {
        refused(&with_set(good_set()), &[command, "--out", "run"], &["--out is for wgrad train", command]);
    }
    for (hidden, said) in [("true", "one width"), ("\"many\"", "\"many\" is not a width"), ("-1", "hidden")] {
        let config = format!("[model]\nhidden = {hidden}\n").into_bytes();
        let files = [with_set(good_set())[0].clone(), ("run.toml", config)];
        refused(&files, &[&TRAIN[..], &["--config", "run.toml"]].concat(), &[said]);
    }
}

/// Finds a pin that a plan cannot follow, and `explain` shows the plan, which `train` then refuses.
#[test]
fn pins_that_are_not_followed_are_refused() {
    let config = "[model]\nhidden = 16\n[tiles]\n\"dense_update activations 8×4×8\" = \"naive\"\n".as_bytes().to_vec();
    for command in ["explain", "train", "bench"] {
        let words = ["dense_update activations 8×4×8 is pinned to \"naive\"", "one dispatch"];
        refused(&[("run.toml", config.clone())], &[command, "--config", "run.toml"], &words);
    }
}

/// Finds a model file of other shapes, or no model file at all, that is accepted.
#[test]
fn model_files_that_do_not_fit_are_refused() {
    let model = |out: usize, inputs: usize, bias: usize| {
        tensors(&[("0.weight", &[out, inputs], &vec![0.5; out * inputs]), ("0.bias", &[bias], &vec![0.5; bias])], None)
    };
    let nan = tensors(&[("0.weight", &[3, 2], &[f32::NAN; 6]), ("0.bias", &[3], &[0.0; 3])], None);
    for (content, words) in [
        (model(3, 4, 3), &["0.weight", "[3, 4]", "[3, 2]"][..]),
        (model(5, 2, 5), &["0.weight", "[5, 2]", "[3, 2]"]),
        (model(3, 2, 4), &["0.bias", "[4]", "[3]"]),
        (nan, &["0.weight holds NaN", "NaN", "finite"]),
        (tensors(&[("0.weight", &[6], &[0.0; 6]), ("0.bias", &[3], &[0.0; 3])], None), &["0.weight", "[6]"]),
        (tensors(&[("0.weight", &[3, 2], &[0.0; 6])], None), &["no 0.bias"]),
        (
            // As torch.nn.Sequential(Linear, ReLU, Dropout, Linear) numbers them.
            tensors(
                &[
                    ("0.weight", &[3, 2], &[0.5; 6]),
                    ("0.bias", &[3], &[0.5; 3]),
                    ("3.weight", &[3, 3], &[0.5; 9]),
                    ("3.bias", &[3], &[0.5; 3]),
                ],
                None,
            ),
            &["3.", "no tensor 2.weight before it", "0, 2, 4"],
        ),
        (good_set(), &["no tensor 0.weight"]),
        (b"{}".to_vec(), &["not a whole safetensors file"]),
    ] {
        let files = [with_set(good_set())[0].clone(), ("m.safetensors", content)];
        refused(&files, &[&TRAIN[..], &["--hidden", "none", "--init", "m.safetensors"]].concat(), words);
    }
    let files = [with_set(good_set())[0].clone(), ("m.safetensors", model(3, 4, 3))];
    let set = ["--model", "m.safetensors"];
    refused(&files, &[&["evaluate", "--data", "set.safetensors"], &set[..]].concat(), &["2 features", "takes 4"]);
    refused(&files, &[&["predict", "--input", "set.safetensors"], &set[..]].concat(), &["2 features", "takes 4"]);
    let fits = [with_set(good_set())[0].clone(), ("m.safetensors", model(3, 2, 3))];
    let predict = [&["predict", "--input", "set.safetensors"], &set[..]].concat();
    refused(&fits, &[&predict[..], &["--rows", "2-4"]].concat(), &["--rows", "4 rows"]);
    refused(&fits, &[&predict[..], &["--rows", "3-2"]].concat(), &["--rows 3-2", "7-9"]);
}

/// Finds a misspelt key that is ignored, and a run that is not the one described.
#[test]
fn configuration_files_that_say_something_else_are_refused() {
    for (text, words) in [
        ("[train]\nepoch = 3\n", &["epoch", "epochs"][..]),
        ("[trian]\n", &["unknown field `trian`", "`train`"]),
        ("[train]\nepochs = \"many\"\n", &["epochs"]),
        ("[train]\nbatch_size = -1\n", &["batch_size"]),
        ("[optimizer]\nkind = \"sgd\"\nbeta1 = 0.5\n", &["sgd", "beta1"]),
        ("[optimizer]\nkind = \"adam\"\nbeta1 = 1.0\n", &["beta1 is 1", "[0, 1)"]),
        ("[optimizer]\nkind = \"adam\"\neps = 0.0\n", &["eps is 0", "above 0"]),
        ("[model]\nhidden = [0]\n", &["layer 1", "width of 0"]),
        ("[data]\nvalidation = true\n", &["validation", "fraction"]),
        ("[schedule]\nkind = \"cosine\"\nt_max = 0\n", &["t_max is 0", "from 1"]),
        ("[schedule]\nkind = \"cosine\"\ngamma = 0.5\n", &["cosine has no gamma", "t_max"]),
        ("[model]\nhidden = [3, 4]\ndropout = [0.1]\n", &["dropout has 1", "2 hidden layers"]),
        ("[early_stopping]\nmin_delta = 0.1\n", &["patience"]),
        ("[reduce_on_plateau]\nfactor = 2\n", &["factor is 2", "below 1"]),
        ("not toml", &["run.toml", "TOML parse error", "line 1"]),
    ] {
        let files = [with_set(good_set())[0].clone(), ("run.toml", text.as_bytes().to_vec())];
        refused(&files, &[&TRAIN[..], &["--config", "run.toml"]].concat(), words);
    }
}

/// The library returns the same errors when it is used without the program.
#[test]
fn the_library_refuses_what_it_cannot_train() {
    let network = Network::classifier(2, &[3], Activation::Relu, 2);
    let with = |options: TrainOptions| Trainer::on(gpu(), network.clone(), options).map(drop);
    let on = |network: Network| Trainer::on(gpu(), network, TrainOptions::default()).map(drop);
    let plain = TrainOptions::default;
    let short_bias = on(network.clone()).and_then(|()| {
        let mut trainer = Trainer::on(gpu(), network.clone(), plain())?;
        let mut weights = trainer.weights()?;
        weights.layers[0].bias.pop();
        trainer.set_weights(&weights)
    });
    for (case, words) in [
        (with(TrainOptions { batch_size: 0, ..plain() }), "the batch size is 0: it must be at least 1"),
        (with(TrainOptions { steps_per_submission: Some(0), ..plain() }), "steps per submission are 0"),
        (with(TrainOptions { optimizer: Optimizer::sgd(f64::NAN), ..plain() }), "the learning rate is NaN"),
        (on(Network::new(2)), "the network has no layers"),
        (
            on(Network::new(2).dense(2, Activation::Relu)),
            "the last layer, layer 1 (dense), has the activation relu: it must be identity",
        ),
        (on(Network::new(0).dense(2, Activation::Identity)), "the input has a width of 0"),
        (Dataset::from_u8(vec![1, 2, 3], 2, vec![0]).map(drop), "3 features are not 1 rows of 2"),
        (Dataset::from_u8(vec![], 2, vec![]).map(drop), "the set is empty"),
        (Dataset::from_u8(vec![], 1 << 63, vec![0, 0]).map(drop), "0 features are not 2 rows of 9223372036854775808"),
        (on(Network::classifier(1 << 24, &[1 << 24], Activation::Relu, 2)), "not one unit with 16777216 inputs fits"),
        (short_bias, "layer 1 has 6 weights and 2 biases: 2 inputs and 3 outputs take 6 and 3"),
        (Dataset::from_f32(vec![f32::NAN], 1, vec![0]).map(drop), "feature 0 of row 0 is NaN"),
        (Dataset::from_idx_dir("no such folder").map(drop), "no such folder: No such file"),
        (learnable(4, 2, 2, 1).select([4]).map(drop), "row 4 is not in the set, whose last is 3"),
        (learnable(4, 2, 2, 1).select([]).map(drop), "no rows were selected"),
    ] {
        crate::support::refused(&[words], case);
    }
}

/// Finds tiles for subgroups of another size, which would leave out columns without an error.
#[test]
fn tiles_for_other_subgroups_are_refused() {
    let family = Some(Family::Subgroups { lanes: 2, words_64: false });
    let options = TrainOptions { family, ..TrainOptions::default() };
    let error = Trainer::on(gpu(), Network::classifier(4, &[8], Activation::Relu, 3), options).unwrap_err();
    assert!(matches!(&error, Error::Option(words) if words.contains("lanes: 2")), "{error}");
}

/// Finds a layer or a set beyond what the adapter binds that the driver refuses instead of the library.
#[test]
fn what_the_device_cannot_bind_is_refused_with_the_number_that_fits() {
    let most = gpu().adapter().max_binding_bytes;
    let inputs = 1 << 16;
    let outputs = usize::try_from(most).unwrap() / (4 * inputs) + 1;
    // The refusal comes before any allocation: this test takes little memory.
    let network = Network::classifier(inputs, &[outputs], Activation::Relu, 2);
    let error = Trainer::on(gpu(), network, TrainOptions::default()).map(drop).unwrap_err();
    assert!(error.to_string().contains("layer 1") && error.to_string().contains(&most.to_string()), "{error}");
    assert_eq!(error.exit_code(), 2);
}
