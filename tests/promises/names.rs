//! Names in files are only shown. No name moves a terminal's cursor, becomes markup of a page, or decides where something is written; no text in
//! a file makes the program read another file.
#![cfg(unix)]

use std::collections::BTreeMap;
use std::os::unix::fs::symlink;
use std::path::Path;

use serde_json::Value;
use wgrad::{Dataset, Model, ReadOptions};

use crate::support::{files_in, golden_file, succeed, wgrad};

/// A screen that is cleared, a line that is forged, writing that is turned round, a script, a formula.
const EVIL: [&str; 4] = [
    "\u{1b}[2J\u{1b}]0;title\u{7}",
    "cat\nerror: all is lost\r",
    "\u{202e}txt.exe\u{9b}31m",
    "<script>alert(1)</script><img src=x onerror=alert(1)>&\"'",
];

/// Whether a terminal shows it as it is read.
#[track_caller]
fn is_plain(text: &str) {
    let moves = |letter: char| letter.is_control() && letter != '\n' || matches!(letter, '\u{202a}'..='\u{202e}');
    assert!(!text.contains(moves), "{text:?}");
    assert!(!text.lines().any(|line| line.starts_with("error: all is lost")), "{text:?}");
}

/// A table whose classes and columns have such names.
fn table() -> String {
    let quoted = |name: &str| format!("\"{}\"", name.replace('"', "\"\""));
    // With a letter more than any cell, or the first line would be a row.
    let column = |name: &str| quoted(&format!("{name}x"));
    let mut text = format!("{},height,{}\n", column(EVIL[0]), column(EVIL[3]));
    for row in 0..40 {
        let word = quoted(EVIL[(row + 1) % 4]);
        text += &format!("{word},{row},{}\n", quoted(EVIL[row % 4]));
    }
    text
}

/// Finds names from a file that act where they are printed or put in a page: on the screen, in errors, in the report; and names that are lost where
/// they should be kept.
#[test]
fn names_are_shown_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("set.csv"), table()).unwrap();
    let train =
        "train --data set.csv --batch-size 8 --epochs 2 --hidden 6 --validation 0.25 --out out --tensorboard board";
    is_plain(&succeed(folder, &train.split(' ').collect::<Vec<_>>()));
    let model = "out/model.safetensors";
    for words in [
        &["evaluate", "--model", model, "--data", "set.csv"][..],
        &["predict", "--model", model, "--input", "set.csv"],
        &["predict", "--model", model, "--input", "set.csv", "--rows", "3"],
        &["inspect", model],
        &["runs", "."],
    ] {
        is_plain(&succeed(folder, words));
    }
    // Programs have the names as they are.
    let mut sorted = EVIL;
    sorted.sort_unstable();
    let predicted = succeed(folder, &["predict", "--model", model, "--input", "set.csv", "--rows", "0", "--json"]);
    let predicted: Value = serde_json::from_str(predicted.trim()).unwrap();
    // Cells are trimmed.
    assert_eq!(predicted["names"], serde_json::json!(sorted.map(str::trim)));
    let kept = Model::read(folder.join(model)).unwrap();
    assert_eq!(kept.classes, sorted.map(str::trim));
    let features = kept.columns.as_ref().unwrap().feature_names();
    assert!(features.contains(&"height".to_string()), "the first line names the columns: {features:?}");

    let page = std::fs::read_to_string(folder.join("out/report.html")).unwrap();
    assert!(!page.contains("<script") && !page.contains("<img src=x") && !page.contains("onerror=alert(1)>&\""));
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;"));
    for file in ["out/metrics.csv", "out/curves.svg"] {
        let text = std::fs::read_to_string(folder.join(file)).unwrap();
        assert!(!text.contains("script") && !text.contains('\u{1b}'), "{file}");
    }
    // A model with such names goes to ONNX and comes back.
    succeed(folder, &["export", model, "model.onnx"]);
    is_plain(&succeed(folder, &["inspect", "model.onnx"]));

    // Errors name columns and cells.
    let torn = table().replacen(",7,", ",,", 1);
    assert_ne!(torn, table());
    std::fs::write(folder.join("torn.csv"), torn).unwrap();
    for (words, said) in [
        (
            &["train", "--data", "torn.csv"][..],
            &["torn.csv: row 7 (line ", "column \"height\"", "the cell is empty"][..],
        ),
        (
            &["train", "--data", "set.csv", "--label", "none such"],
            &["no column \"none such\"", "height", "<script>alert(1)</script>"],
        ),
        (&["evaluate", "--model", model, "--data", "torn.csv"], &["torn.csv: row 7 (line ", "column \"height\""]),
    ] {
        let output = wgrad(folder, words);
        assert_eq!(output.status.code(), Some(2));
        let message = String::from_utf8(output.stderr).unwrap();
        said.iter().for_each(|said| assert!(message.contains(said), "no {said} in {message}"));
        assert!(
            !message.contains('\u{1b}') && !message.contains('\u{202e}') && !message.contains('\u{7}'),
            "{message:?}"
        );
    }
}

/// Folders of classes may have any name: names as above, links to elsewhere, a link to itself.
#[cfg(feature = "images")]
#[test]
fn folders_of_images_may_have_any_name() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let image = crate::formats::fixture("grey.png");
    for name in [EVIL[0], EVIL[1], "..cat", "dog"] {
        let class = folder.join("set").join(name);
        std::fs::create_dir_all(&class).unwrap();
        std::fs::copy(&image, class.join("1.png")).unwrap();
        std::fs::copy(&image, class.join("2.png")).unwrap();
    }
    symlink("dog", folder.join("set/linked")).unwrap();
    let (set, _) = Dataset::read(folder.join("set"), &ReadOptions::default()).unwrap();
    // A folder whose name begins with a dot is hidden; one that is a link is a folder.
    assert_eq!(set.class_names(), [EVIL[0], EVIL[1], "dog", "linked"]);
    assert_eq!(set.rows(), 8);
    let train = ["train", "--data", "set", "--batch-size", "2", "--epochs", "1", "--validation", "none"];
    is_plain(&succeed(folder, &train));
    is_plain(&succeed(folder, &["predict", "--model", "model.safetensors", "--input", image.to_str().unwrap()]));
    symlink(".", folder.join("set/loop")).unwrap();
    let error = Dataset::read(folder.join("set"), &ReadOptions::default()).unwrap_err().to_string();
    assert!(error.contains("loop: it has no image"), "what is a link to the folder itself has no images: {error}");
}

/// A safetensors file with any names and any words.
fn file(names: &[&str], about: &Value) -> Vec<u8> {
    let mut header = serde_json::Map::new();
    header.insert("__metadata__".into(), serde_json::json!({ "wgrad": about.to_string() }));
    let entry = |shape: &[u64], from: u64, to: u64| serde_json::json!({ "dtype": "F32", "shape": shape, "data_offsets": [from, to] });
    header.insert("0.weight".into(), entry(&[2, 3], 0, 24));
    header.insert("0.bias".into(), entry(&[2], 24, 32));
    for (at, name) in (0u64..).zip(names) {
        header.insert(name.to_string(), entry(&[1], 32 + 4 * at, 36 + 4 * at));
    }
    let header = Value::from(header).to_string();
    let length = (header.len() as u64).to_le_bytes();
    [&length[..], header.as_bytes(), &vec![0; 32 + 4 * names.len()]].concat()
}

/// Every file below a folder, with what it has.
fn everything(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        match entry.is_dir() {
            true => found.extend(everything(&entry)),
            false => _ = found.insert(entry.to_str().unwrap().into(), std::fs::read(&entry).unwrap()),
        }
    }
    found
}

/// Finds tensors named as paths, and functions named as files, that are written to or read.
#[test]
fn a_models_names_are_no_paths() {
    let folder = tempfile::tempdir().unwrap();
    let inside = folder.path().join("deep/inside");
    std::fs::create_dir_all(&inside).unwrap();
    let own = "fn activate(z: f32) -> f32 { return z; }\nfn derivative(z: f32) -> f32 { return 1.0; }";
    std::fs::write(folder.path().join("own.wgsl"), own).unwrap();
    let absolute = folder.path().join("own.wgsl").to_str().unwrap().to_string();
    let names = ["../../escaped", "/tmp/escaped", "..", "a/../../b", "C:\\escaped", "\u{1b}[2J\nerror: all is lost"];
    let loss = serde_json::json!({ "kind": "softmax-cross-entropy" });
    let about = serde_json::json!({ "activations": ["identity"], "loss": loss, "classes": ["../../a", "/etc/b"] });
    std::fs::write(inside.join("good.safetensors"), file(&names, &about)).unwrap();
    for (at, word) in [absolute.as_str(), "../../own.wgsl", "identity\u{1b}[2J"].iter().enumerate() {
        let mut about = serde_json::json!({ "activations": [word], "loss": loss });
        std::fs::write(inside.join(format!("{at}.safetensors")), file(&[], &about)).unwrap();
        about["activations"] = serde_json::json!(["identity"]);
        about["loss"] = serde_json::json!({ "kind": word });
        std::fs::write(inside.join(format!("{at}-loss.safetensors")), file(&[], &about)).unwrap();
    }
    let before = everything(folder.path());
    for name in files_in(&inside) {
        is_plain(&succeed(&inside, &["inspect", &name]));
        let output = wgrad(&inside, &["export", &name, "out.onnx"]);
        let message = String::from_utf8(output.stderr).unwrap();
        is_plain(&message);
        if name == "good.safetensors" {
            assert!(output.status.success(), "{message}");
            std::fs::remove_file(inside.join("out.onnx")).unwrap();
        } else {
            assert_eq!(output.status.code(), Some(2), "{name}");
            assert!(
                message.contains("--wgsl") && message.contains("has such a function's name alone"),
                "{name}: not looked up: {message}"
            );
        }
    }
    assert!(everything(folder.path()) == before);
}

/// Finds a checkpoint of another person whose options make the run write the model over a file of the user's.
#[test]
fn a_checkpoint_does_not_say_what_is_replaced() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let victim = folder.join("victim");
    let elsewhere = folder.join("elsewhere");
    std::fs::create_dir(&elsewhere).unwrap();
    let set = golden_file("adam").to_str().unwrap().to_string();
    let begin = |option: &str, place: &str| {
        let begin =
            ["train", "--data", &set, "--batch-size", "10", "--steps", "7", "--checkpoint", "cks", option, place];
        succeed(folder, &begin);
        _ = std::fs::remove_file(&victim);
        std::fs::write(&victim, "precious").unwrap();
        std::fs::write(elsewhere.join("victim"), "precious").unwrap();
        let was = elsewhere.join("cks");
        _ = std::fs::remove_dir_all(&was);
        std::fs::rename(folder.join("cks"), &was).unwrap();
    };
    let resume = ["train", "--resume", "cks", "--steps", "14"];
    let absolute = folder.join("new").to_str().unwrap().to_string();
    for (option, place) in [
        ("--save", victim.to_str().unwrap()),
        ("--save", "a/../victim"),
        ("--save", "victim"),
        ("--out", &absolute),
        ("--tensorboard", &absolute),
    ] {
        std::fs::create_dir_all(folder.join("a")).unwrap();
        begin(option, place);
        _ = std::fs::remove_dir_all(folder.join("new"));
        let output = wgrad(&elsewhere, &resume);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{option} {place}: {message}");
        assert!(message.contains(option) && message.contains("outside this folder"), "{message}");
        for victim in [&victim, &elsewhere.join("victim")] {
            assert_eq!(std::fs::read_to_string(victim).unwrap(), "precious");
        }
        assert!(!folder.join("new").exists(), "{option}");
        if option == "--save" {
            // A user who gives the option again means it.
            succeed(&elsewhere, &[&resume[..], &[option, "mine"]].concat());
            std::fs::remove_file(elsewhere.join("mine")).unwrap();
        }
    }
}

/// Finds a run that writes through a link that came with the checkpoint, which no option names; and over a file that only begins as a model.
#[test]
fn a_checkpoint_writes_through_no_link() {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    let outside = folder.path().join("outside");
    for place in [&home, &outside] {
        std::fs::create_dir(place).unwrap();
    }
    let set = golden_file("adam").to_str().unwrap().to_string();
    let model = outside.join("model.safetensors");
    for (option, place, links) in [
        ("--save", "cks/l/new", &[("cks/l", "../../outside")][..]),
        ("--save", "cks/l", &[("cks/l", "../../outside/model.safetensors")]),
        ("--save", "down/l/new", &[("down/l", "../../outside")]),
        ("--out", "cks/l", &[("cks/l", "../../outside")]),
        ("--out", "cks/run", &[("cks/run/metrics.jsonl", "../../../outside/precious")]),
        ("--tensorboard", "cks/l/board", &[("cks/l", "../../outside")]),
        ("--tensorboard", "cks/l", &[("cks/l", "../../outside/nothing")]),
        // Nine bytes of a model, and those of a set.
        ("--save", "begins", &[]),
        ("--save", "set", &[]),
    ] {
        std::fs::create_dir_all(home.join(place).parent().unwrap()).unwrap();
        let before = ["train", "--data", &set, "--batch-size", "10", "--steps", "7", "--checkpoint", "cks"];
        succeed(&home, &[&before[..], &[option, place]].concat());
        for written in [place, "down", "cks/run", "model.safetensors"] {
            let written = home.join(written);
            _ = std::fs::remove_dir_all(&written);
            _ = std::fs::remove_file(&written);
        }
        _ = std::fs::remove_dir_all(home.join("cks/l"));
        for (link, target) in links {
            std::fs::create_dir_all(home.join(link).parent().unwrap()).unwrap();
            symlink(target, home.join(link)).unwrap();
        }
        std::fs::write(home.join("begins"), b"12345678{precious").unwrap();
        std::fs::copy(golden_file("adam"), home.join("set")).unwrap();
        std::fs::write(outside.join("precious"), "precious").unwrap();
        std::fs::copy(home.join("cks").join(files_in(&home.join("cks")).last().unwrap()), &model).unwrap();
        let was = (everything(&outside), std::fs::read(home.join("begins")).unwrap());
        let output = wgrad(&home, &["train", "--resume", "cks", "--steps", "14"]);
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{option} {place}: {message}");
        assert!(message.contains(option) && message.contains("outside this folder"), "{option} {place}: {message}");
        assert!((everything(&outside), std::fs::read(home.join("begins")).unwrap()) == was, "{option} {place}");
        std::fs::remove_dir_all(home.join("cks")).unwrap();
    }
}
