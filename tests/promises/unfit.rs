//! What a newcomer gives or gets that does not fit: options for another kind of set, a loss that is passed over, images of another form, figures and advice
//! that are not true.

use std::path::Path;

use serde_json::json;
use wgrad::{Loss, Model, ReadOptions, Sets};
use zip::CompressionMethod;

use crate::cases::{Ran, wgrad};
use crate::hostile::{npy, npz};
use crate::silences::tables;
use crate::support;

/// Writes `x` of this type and shape with the labels 0, 1, 2, 0, …
fn archive(path: &Path, descr: &str, shape: &[usize], bytes: &[u8]) {
    let words = shape.iter().map(usize::to_string).collect::<Vec<_>>().join(", ");
    let labels: Vec<u8> = (0..shape[0]).map(|row| (row % 3) as u8).collect();
    let (x, y) = (npy(descr, &format!("({words})"), bytes), npy("|u1", &format!("({},)", shape[0]), &labels));
    std::fs::write(path, npz(&[("x.npy", &x), ("y.npy", &y)], CompressionMethod::Stored)).unwrap();
}

/// An array of bytes of this shape.
fn of_bytes(path: &Path, shape: &[usize]) {
    let values: Vec<u8> = (0..shape.iter().product()).map(|at: usize| (at % 251) as u8).collect();
    archive(path, "|u1", shape, &values);
}

/// A file of CIFAR-10 with these labels.
fn cifar(path: &Path, labels: &[u8]) {
    let rows = labels.iter().flat_map(|&label| std::iter::once(label).chain((0..3072).map(|at| (at % 249) as u8)));
    std::fs::write(path, rows.collect::<Vec<u8>>()).unwrap();
}

/// Two classes of small grey pictures.
fn pictures(folder: &Path) {
    for (class, light) in [("cat", 30u8), ("dog", 220)] {
        let own = folder.join(class);
        std::fs::create_dir_all(&own).unwrap();
        for image in 0..3u8 {
            let pixels = [light + image, light, light - image, light];
            std::fs::write(own.join(format!("{image}.pgm")), [&b"P5 2 2 255\n"[..], &pixels].concat()).unwrap();
        }
    }
}

const CONVOLUTION: &str =
    "[model]\nlayers = [{ conv = 2, kernel = 2, activation = 'relu' }, { flatten = true }, { dense = 3 }]\n";

fn train(at: &Path, arguments: &[&str]) -> Ran {
    let ran = wgrad(at, &[&["train", "--steps", "2", "--screen", "none"], arguments].concat());
    assert_eq!(ran.code, 0, "{}", ran.said);
    ran
}

/// Finds an option for tables or for arrays that is taken in silence for a set which is neither.
#[test]
fn options_for_another_kind_of_set_are_refused() {
    let folder = tables();
    let at = folder.path();
    pictures(&at.join("pics"));
    std::fs::create_dir(at.join("cifar")).unwrap();
    cifar(&at.join("cifar/data_batch_1.bin"), &[0, 1, 2, 3]);
    of_bytes(&at.join("rows.npz"), &[6, 4]);
    of_bytes(&at.join("images.npz"), &[6, 3, 2, 3]);
    let given = [
        &["--label", "a"][..],
        &["--header"],
        &["--no-header"],
        &["--fill", "mean"],
        &["--missing", "-"],
        &["--missing-target", "leave-out"],
        &["--categorical", "a"],
        &["--ignore", "a"],
        &["--delimiter", ";"],
        &["--decimal", ","],
        &["--unknown", "none"],
    ];
    for data in ["pics", "cifar", "mnist", "rows.npz", "images.npz"] {
        for option in given.iter().filter(|option| data == "pics" || option[0] == "--label") {
            let command = if data == "mnist" { "explain" } else { "train" };
            let words = [&[command, "--data", data], *option].concat();
            wgrad(at, &words).refused(&[option[0], "tables", data, "leave it out"]);
        }
        if data != "images.npz" {
            let words = ["train", "--data", data, "--channels", "first"];
            wgrad(at, &words).refused(&["--channels first", "arrays", data, "leave it out"]);
        }
    }
    train(at, &["--data", "images.npz", "--channels", "last", "--validation", "none"]);
    wgrad(at, &["train", "--data", "numbers.csv", "--channels", "first"]).refused(&["--channels first", "numbers.csv"]);
    train(at, &["--data", "numbers.csv", "--label", "kind", "--header", "--delimiter", ",", "--save", "t.safetensors"]);
    // A file of options may serve several sets: its keys are noted.
    std::fs::write(at.join("run.toml"), "[data]\nlabel = \"a\"\nmissing_target = \"leave-out\"\nchannels = \"last\"\n")
        .unwrap();
    let notes = train(at, &["--data", "pics", "--config", "run.toml", "--save", "pics.safetensors"]);
    let notes = notes.event("start")["notes"].to_string();
    assert!(notes.contains("no effect of label, missing_target under [data]: only tables"), "{notes}");
    assert!(notes.contains("no effect of channels under [data]: only images in arrays"), "{notes}");
    for option in [&["--header"][..], &["--delimiter", ";"], &["--missing-target", "leave-out"], &["--unknown", "none"]]
    {
        let evaluate = ["evaluate", "--model", "pics.safetensors", "--data", "pics"];
        wgrad(at, &[&evaluate, option].concat()).refused(&[option[0], "pics", "leave it out"]);
        let predict = ["predict", "--model", "pics.safetensors", "--input", "pics/cat/0.pgm"];
        wgrad(at, &[&predict, option].concat()).refused(&[option[0], "0.pgm", "leave it out"]);
    }
    let channels = ["--channels", "first"];
    let evaluate = ["evaluate", "--model", "pics.safetensors", "--data", "pics"];
    wgrad(at, &[&evaluate[..], &channels].concat()).refused(&["--channels first", "pics"]);
    let predict = ["predict", "--model", "t.safetensors", "--input", "numbers.csv"];
    wgrad(at, &[&predict[..], &channels].concat()).refused(&["--channels first", "numbers.csv"]);
    assert_eq!(wgrad(at, &[&predict[..], &["--delimiter", ","]].concat()).code, 0);
}

/// Finds a setting of a run that its list and its report do not show.
#[test]
fn augmentation_is_a_setting() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    of_bytes(&at.join("set.npz"), &[9, 4, 4, 1]);
    std::fs::write(at.join("run.toml"), CONVOLUTION).unwrap();
    let common = ["--data", "set.npz", "--config", "run.toml"];
    train(at, &[&common[..], &["--out", "runs/plain"]].concat());
    train(at, &[&common[..], &["--out", "runs/moved", "--flip", "--crop-padding", "2"]].concat());
    let listed = wgrad(at, &["runs", "runs"]);
    let of = |name: &str| listed.events.iter().find(|event| event["name"] == name).unwrap()["settings"].clone();
    let moved = of("moved");
    assert_eq!([&moved["augmentation.flip"], &moved["augmentation.crop_padding"]], [&json!("true"), &json!("2")]);
    assert!(of("plain").get("augmentation.flip").is_none());
    let text = support::succeed(at, &["runs", "runs"]);
    assert!(text.contains("augmentation.crop_padding") && text.contains("2: moved"), "{text}");
    let page = |name: &str| std::fs::read_to_string(at.join(format!("runs/{name}/report.html"))).unwrap();
    assert!(page("moved").contains("crop padding 2, cutout 0, flip true"));
    assert!(!page("plain").contains("crop padding"));
}

/// Finds a regression that becomes a classifier because the loss of its file is passed over.
#[test]
fn an_import_takes_the_loss_of_its_file() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let values = [0u8; 24];
    let view = |shape: Vec<usize>, count: usize| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape, &values[..4 * count]).unwrap()
    };
    let tensors = [("0.weight", view(vec![3, 2], 6)), ("0.bias", view(vec![3], 3))];
    safetensors::serialize_to_file(tensors, None, &at.join("net.safetensors")).unwrap();
    let import = |tables: &str, more: &[&str]| {
        std::fs::write(at.join("run.toml"), format!("{tables}\n[model]\nlayers = [{{ dense = 3 }}]\n")).unwrap();
        let common = ["import", "net.safetensors", "m.safetensors", "--config", "run.toml", "--inputs", "2"];
        let ran = wgrad(at, &[&common[..], more].concat());
        assert_eq!(ran.code, 0, "{}", ran.said);
        (Model::read(at.join("m.safetensors")).unwrap().loss, ran.event("imported")["notes"].to_string())
    };
    let huber = "[loss]\nkind = 'huber'\ndelta = 0.5\n";
    assert_eq!(import(huber, &[]).0, Loss::Huber { delta: 0.5 });
    assert_eq!(import("[loss]\nkind = 'mse'\n", &["--loss", "mae"]).0, Loss::MeanAbsoluteError);
    assert_eq!(import("", &["--loss", "mae"]).0, Loss::MeanAbsoluteError);
    let (loss, notes) = import("", &[]);
    assert!(loss == Loss::default() && !notes.contains("under [data]"), "{notes}");
    let scaled = format!("{huber}[data]\nscaling = 'standardize'\nscale_targets = 'min-max'\n");
    let (_, notes) = import(&scaled, &[]);
    assert!(notes.contains("scaling = \\\"standardize\\\" under [data] is not taken"), "{notes}");
    assert!(notes.contains("scale_targets = \\\"min-max\\\" under [data] is not taken"), "{notes}");
    let (loss, notes) = import("[loss]\nclass_weights = 'balanced'\n", &[]);
    assert!(loss == Loss::default() && notes.contains("class_weights = \\\"balanced\\\""), "{notes}");
}

/// Finds pixels that are said to be divided by 255 and were not.
#[test]
fn an_export_says_what_the_pixels_were() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let shape = [6, 4, 4, 1];
    of_bytes(&at.join("bytes.npz"), &shape);
    let floats: Vec<u8> = (0..96u8).flat_map(|at| f32::from(at).to_le_bytes()).collect();
    archive(&at.join("floats.npz"), "<f4", &shape, &floats);
    std::fs::write(at.join("conv.toml"), CONVOLUTION).unwrap();
    std::fs::write(at.join("dense.toml"), "[model]\nhidden = [4]\n").unwrap();
    for (data, said, not) in
        [("bytes.npz", "divided by 255", "as they were"), ("floats.npz", "as they were", "divided")]
    {
        for config in ["conv.toml", "dense.toml"] {
            train(at, &["--data", data, "--config", config, "--scaling", "standardize"]);
            let notes = wgrad(at, &["export", "model.safetensors", "m.onnx"]).event("exported")["notes"].to_string();
            assert!(notes.contains(said) && !notes.contains(not), "{data}, {config}: {notes}");
        }
    }
}

/// Finds two lengths of a run of which one is passed over.
#[test]
fn a_run_has_one_length() {
    let folder = tables();
    let at = folder.path();
    let run = |text: &str, more: &[&str]| {
        std::fs::write(at.join("run.toml"), format!("[train]\n{text}")).unwrap();
        wgrad(at, &[&["train", "--config", "run.toml", "--data", "numbers.csv", "--screen", "none"], more].concat())
    };
    run("epochs = 2\nsteps = 3\n", &[]).refused(&["epochs and steps under [train]", "leave one of them out"]);
    // 60 rows are two steps an epoch.
    for (text, more, steps) in
        [("steps = 3\n", &["--epochs", "2"][..], 4), ("epochs = 2\n", &["--steps", "3"], 3), ("steps = 3\n", &[], 3)]
    {
        assert_eq!(run(text, more).event("end")["step"], steps, "{text} {more:?}");
    }
}

/// Finds labels of a format that are taken for all that there are.
#[test]
fn a_part_of_cifar_has_all_its_classes() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    cifar(&at.join("data_batch_1.bin"), &[3, 5, 4, 3]);
    let sets = Sets::read(at, &ReadOptions::default()).unwrap();
    assert_eq!((sets.train.classes(), sets.train.select([0]).unwrap().classes()), (10, 10));
    let ran = train(at, &["--data", ".", "--hidden", "8", "--validation", "none"]);
    assert!(!ran.said.contains("subtract"), "{}", ran.said);
    assert_eq!(Model::read(at.join("model.safetensors")).unwrap().network.outputs(), 10);
    // The files that are there, of two sets.
    std::fs::write(at.join("test.bin"), [0; 3074]).unwrap();
    let ran = wgrad(at, &["train", "--data", "."]);
    ran.refused(&["CIFAR-10 (data_batch_1.bin)", "CIFAR-100 (test.bin)"]);
}

/// Finds numbers that are taken for names without a word.
#[test]
fn classes_without_names_are_noted_for_a_model_with_names() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    pictures(&at.join("pics"));
    train(at, &["--data", "pics"]);
    let values = [30u8, 30, 30, 30, 220, 220, 220, 220];
    let (x, y) = (npy("|u1", "(2, 2, 2)", &values), npy("|u1", "(2,)", &[0, 1]));
    std::fs::write(at.join("set.npz"), npz(&[("x.npy", &x), ("y.npy", &y)], CompressionMethod::Stored)).unwrap();
    let ran = wgrad(at, &["evaluate", "--model", "model.safetensors", "--data", "set.npz"]);
    assert_eq!(ran.code, 0, "{}", ran.said);
    ran.says(&["its classes are numbers", "cat is 0, dog is 1"]);
    // Five classes at most say nothing of the first five.
    assert!(ran.event("evaluation").get("top_k").is_none());
    let ran = wgrad(at, &["evaluate", "--model", "model.safetensors", "--data", "set.npz", "--top-k", "1"]);
    assert_eq!(ran.event("evaluation")["top_k"]["k"], 1);
    let ran = wgrad(at, &["evaluate", "--model", "model.safetensors", "--data", "pics"]);
    assert!(!ran.said.contains("numbers"), "{}", ran.said);
}

/// Finds advice that does not make images what the network takes.
#[test]
fn images_of_another_form_are_told_what_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    std::fs::write(at.join("conv.toml"), CONVOLUTION).unwrap();
    of_bytes(&at.join("set.npz"), &[6, 4, 5, 3]);
    train(at, &["--data", "set.npz", "--config", "conv.toml", "--channels", "last"]);
    train(at, &["--data", "set.npz", "--hidden", "4", "--channels", "last", "--save", "dense.safetensors"]);
    for (shape, more, words, not) in [
        (&[6, 4, 5, 1][..], &[][..], "they must have 3 channels", "resize"),
        (&[6, 8, 9, 1], &[], "resize them to 4×5, and give them 3 channels", "4×5×3 "),
        (&[6, 8, 9, 3], &[], "resize them to 4×5×3", "give them"),
        (&[6, 4, 5, 3], &["--channels", "first"], "say --channels last", "resize"),
        (&[6, 3, 4, 5], &["--channels", "last"], "say --channels first", "resize"),
        (&[4, 5, 3], &[], "an axis for the rows", "resize"),
        (&[3, 4, 5], &[], "an axis for the rows", "resize"),
    ] {
        of_bytes(&at.join("other.npz"), shape);
        let evaluate = ["evaluate", "--model", "model.safetensors", "--data", "other.npz"];
        let ran = wgrad(at, &[&evaluate[..], more].concat());
        ran.refused(&["the network takes images of 4×5×3", words]);
        assert!(!ran.said.contains(not), "{shape:?}: {}", ran.said);
    }
    of_bytes(&at.join("one.npz"), &[4, 5, 3]);
    wgrad(at, &["predict", "--model", "dense.safetensors", "--input", "one.npz"]).refused(&["an axis for the rows"]);
}

/// Finds a plan of a network that training refuses, and messages that say one thing twice or not what would be right.
#[test]
fn what_training_refuses_has_no_plan_either() {
    let folder = tables();
    let at = folder.path();
    for outputs in [2, 5] {
        std::fs::write(at.join("run.toml"), format!("[model]\nlayers = [{{ dense = {outputs} }}]\n")).unwrap();
        for command in ["train", "explain", "profile", "bench"] {
            if outputs == 5 && ["profile", "bench"].contains(&command) {
                continue;
            }
            let ran = wgrad(at, &[command, "--data", "numbers.csv", "--config", "run.toml"]);
            match outputs {
                2 => ran.refused(&["numbers.csv", "the label of row 0 is 2: with 2 outputs"]),
                _ => ran.says(&["outputs 3 to 4 stand for no class"]),
            }
        }
    }
    train(at, &["--data", "numbers.csv"]);
    let ran = wgrad(at, &["export", "model.safetensors", "m.onnx", "--wgsl", "nothere.wgsl"]);
    ran.refused(&["--wgsl nothere.wgsl"]);
    assert_eq!(ran.said.matches("nothere.wgsl").count(), 1, "{}", ran.said);
    let ran = wgrad(at, &["predict", "--model", "model.safetensors", "--input", "nothere.png"]);
    ran.refused(&["--input", "nothere.png", "a picture", ".npy", "- for standard input"]);
}
