//! Texts: their tokens, their rows, their division, the vocabulary that a model keeps, and the program with them.

use std::path::Path;

use serde_json::{Value, json};
use wgrad::{Dataset, Error, Initializer, Loss, Model, Network, ReadOptions, Sets, Vocabulary};

use crate::metadata::changed;
use crate::support::{refused, succeed, wgrad};

fn in_rows(context: usize) -> ReadOptions {
    ReadOptions { context: Some(context), ..ReadOptions::default() }
}

fn written(folder: &Path, name: &str, bytes: &[u8], options: &ReadOptions) -> Result<Sets, Error> {
    let path = folder.join(name);
    std::fs::write(&path, bytes).unwrap();
    Sets::read(path, options)
}

/// The tokens of a text in rows, and the token after each.
fn tokens(set: &Dataset) -> Vec<u32> {
    let first = set.row(0).unwrap()[0] as u32;
    [first].into_iter().chain(set.labels().iter().copied()).collect()
}

/// Finds tokens that are no characters or no bytes, line ends that are changed, and a text that does not come back from its tokens.
#[test]
fn a_text_becomes_tokens_and_comes_back() {
    let text = "grün\r\n→ 𝄞\n";
    let characters = Vocabulary::of(text);
    assert_eq!(characters, Vocabulary::Characters("\n\r gnrü→𝄞".chars().collect()));
    assert_eq!(characters.encode("\r\n→").unwrap(), [1, 0, 7]);
    for vocabulary in [&characters, &Vocabulary::Bytes] {
        let encoded = vocabulary.encode(text).unwrap();
        assert_eq!(vocabulary.decode(&encoded), text);
        // The same, token by token, with no part of a character in between.
        let mut decoder = vocabulary.decoder();
        let parts: Vec<String> = encoded.iter().map(|&token| decoder.push(token)).collect();
        assert_eq!((parts.concat().as_str(), parts.concat().contains('\u{fffd}')), (text, false));
        assert_eq!(decoder.finish(), "");
    }
    refused(&["line 2, character 3", "'x'", "none of the vocabulary's 9 characters"], characters.encode("g\ngnx"));
    // Bytes that are no UTF-8 are as in the standard library; a character that has not ended waits, and is replaced at the end.
    for bytes in [&b"a\xff\xe2\x82b"[..], b"\xf0\x9d\x84", b"\xe2\x82\xac\xc3", b"\xed\xa0\x80"] {
        let encoded: Vec<u32> = bytes.iter().map(|&byte| byte.into()).collect();
        assert_eq!(Vocabulary::Bytes.decode(&encoded), String::from_utf8_lossy(bytes));
    }
    let mut decoder = Vocabulary::Bytes.decoder();
    assert_eq!([0xe2, 0x82, 0xac].map(|byte| decoder.push(byte)), ["", "", "€"]);
    assert_eq!((decoder.push(0xc3), decoder.finish()), (String::new(), "\u{fffd}".into()));
}

/// Finds rows that begin elsewhere, targets that are not the tokens that follow, and a token that training and validation both see.
#[test]
fn the_last_tenth_of_a_text_is_held_out() {
    let folder = tempfile::tempdir().unwrap();
    let text: String = (0..200).map(|at| char::from_u32(0x4e00 + at * at % 151).unwrap()).collect();
    let vocabulary = Vocabulary::of(&text);
    let all = vocabulary.encode(&text).unwrap();
    let Sets { train, validation, test } = written(folder.path(), "t.txt", text.as_bytes(), &in_rows(6)).unwrap();
    let validation = validation.unwrap();
    assert_eq!((train.rows(), train.width(), test), (180 - 6, 6, None));
    assert_eq!(tokens(&train), all[..180]);
    // Of the last twenty tokens, rows that do not overlap.
    assert_eq!((validation.rows(), tokens(&validation)), (3, all[180..199].to_vec()));
    let row = |set: &Dataset, row: usize| set.row(row).unwrap().iter().map(|&token| token as u32).collect::<Vec<_>>();
    assert_eq!((row(&train, 7), row(&validation, 1)), (all[7..13].to_vec(), all[186..192].to_vec()));
    for set in [&train, &validation] {
        assert_eq!(set.text_vocabulary(), Some(&vocabulary));
        assert_eq!((set.vocabulary(), set.classes()), (Some(vocabulary.len()), vocabulary.len()));
    }
    // Another share of an undivided set: the same rows under every seed. An undivided set has all rows.
    let whole = Dataset::from_text(&text, &in_rows(6)).unwrap();
    let (train, validation) = whole.split(0.25, 3).unwrap();
    assert_eq!((tokens(&train), tokens(&validation)), (all[..150].to_vec(), all[150..199].to_vec()));
    let undivided = ReadOptions { undivided: true, ..in_rows(6) };
    assert_eq!(written(folder.path(), "t.txt", text.as_bytes(), &undivided).unwrap(), whole.into());
    // Bytes, with the vocabulary of another set, packed by gzip's name.
    let bytes = ReadOptions { vocabulary: Some(Vocabulary::Bytes), ..in_rows(6) };
    let Sets { train, .. } = written(folder.path(), "t.txt", b"\xffr\r\n\xc3\xbc0123456789", &bytes).unwrap();
    assert_eq!((train.vocabulary(), &tokens(&train)[..6]), (Some(256), &[0xff, 114, 13, 10, 0xc3, 0xbc][..]));
    assert!(train.notes()[0].contains("no rows to validate on"), "{:?}", train.notes());
}

/// Finds a text that is read although it cannot be, and an error that does not say what would be right.
#[test]
fn texts_that_cannot_be_read_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let read = |bytes: &[u8], options: &ReadOptions| written(folder.path(), "t.txt", bytes, options);
    refused(&["t.txt", "the text is empty"], read(b"", &in_rows(4)));
    refused(&["a context of 4, and the text has 4 tokens", "one more than a row"], read(b"abcd", &in_rows(4)));
    refused(&["a context of 0"], read(b"abcd", &in_rows(0)));
    refused(&["byte 5, 0xfe at line 2, character 3", "vocabulary = \"bytes\""], read(b"ab\ncd\xfee", &in_rows(2)));
    refused(&["UTF-16", "save it in UTF-8"], read(b"\xff\xfea\0b\0c\0d\0", &in_rows(2)));
    refused(&["context = 64"], read(b"abcd", &ReadOptions { tokens: true, ..ReadOptions::default() }));
    let known = ReadOptions { vocabulary: Some(Vocabulary::of("abc")), ..in_rows(2) };
    refused(&["line 1, character 4 has 'd'", "3 characters"], read(b"abcd", &known));
    let whole = Dataset::from_text("abcdefghij", &in_rows(3)).unwrap();
    refused(&["a text of 10 tokens", "more tokens than a row"], whole.split(0.3, 0));
    refused(&["above 0 and below 1"], whole.split(1.5, 0));
    refused(&["leave stratify out"], whole.split_stratified(0.5, 0));
    // Without options for texts, such a file is a table, as it was before.
    assert!(read(b"a,y\n1,0\n2,1\n", &ReadOptions::default()).unwrap().train.columns().is_some());
}

/// Finds a vocabulary that a model loses, or keeps although it is none or is not its embedding's.
#[test]
fn a_model_keeps_its_vocabulary() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("m.safetensors"), folder.path().join("other.safetensors"));
    let network = Network::tokens(5).embedding(4, 6).dense(6, wgrad::Activation::Identity);
    let model = |vocabulary: Option<Vocabulary>| Model {
        vocabulary,
        ..Model::new(network.clone(), Initializer::Torch.weights(&network, 3), Loss::default())
    };
    let own = model(Some(Vocabulary::of("\n \"ü")));
    for model in [&own, &model(None)] {
        model.write(&path).unwrap();
        assert_eq!(&Model::read(&path).unwrap(), model);
    }
    own.write(&path).unwrap();
    assert_eq!(own.output_names(), ["'\\n'", "' '", "'\"'", "'ü'", "4", "5"]);
    for (said, words) in [
        (json!(7), &["vocabulary is 7", "\"bytes\""][..]),
        (json!(""), &["vocabulary: it is empty"]),
        (json!("ba"), &["'a' follows 'b'", "sorted"]),
        (json!("aa"), &["'a' follows 'a'", "each once"]),
        (json!("abcdefg"), &["7 characters", "embedding has a vocabulary of 6"]),
        (json!("bytes"), &["256 bytes", "embedding has a vocabulary of 6"]),
    ] {
        changed(&path, &other, &|about: &mut Value| about["vocabulary"] = said.clone());
        refused(&[words, &["other", "its metadata"]].concat(), Model::read(&other));
    }
    let rows = Dataset::from_text("ü \n\"ü \n", &ReadOptions::of_model(&own)).unwrap();
    assert_eq!((rows.width(), rows.labels()), (5, &[1, 0, 2, 3, 1, 0][..]));
}

const CONFIG: &str = r#"
[data]
train = "t.txt"
[model]
layers = [
  { embedding = 8 }, { positions = 8 },
  { residual = [{ layer_norm = true }, { attention = 2, causal = true }] },
  { layer_norm = true }, { dense = "vocabulary" },
]
[optimizer]
lr = 0.02
[train]
steps = 30
batch_size = 8
"#;

/// Finds a command that does not take a text, or a model of one.
#[test]
fn the_program_trains_on_a_text() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let text = "to be, or not to be: that is the question\n".repeat(20);
    std::fs::write(at("t.txt"), &text).unwrap();
    std::fs::write(at("run.toml"), CONFIG).unwrap();
    let explained = succeed(folder.path(), &["explain", "--config", "run.toml"]);
    assert!(explained.contains("t.txt: 748 rows of 8 tokens, a vocabulary of 16 characters"), "{explained}");
    let said = succeed(folder.path(), &["train", "--config", "run.toml", "--out", "out", "--screen", "lines"]);
    assert!(said.contains("validation loss"), "{said}");
    let model = Model::read(at("out/model.safetensors")).unwrap();
    assert_eq!((model.vocabulary, model.network.inputs()), (Some(Vocabulary::of(&text)), 8));
    assert!(at("out/report.html").exists());
    let evaluated = |data: &str| {
        let line = succeed(folder.path(), &["evaluate", "--model", "out/model.safetensors", "--data", data, "--json"]);
        serde_json::from_str::<Value>(&line).unwrap()
    };
    // The last tenth, 84 tokens, each once.
    let evaluation = evaluated("t.txt");
    assert_eq!((evaluation["rows"].as_u64(), evaluation["classes"][1]["name"].as_str()), (Some(10), Some("' '")));
    assert!(evaluation["loss"].as_f64().unwrap() < 2.2, "{evaluation}");
    let inspected = succeed(folder.path(), &["inspect", "out/model.safetensors"]);
    assert!(inspected.contains("inputs are 8 tokens, of 16 characters: \\n ,:abehinoqrstu"), "{inspected}");
    assert!(succeed(folder.path(), &["runs", "."]).contains("out"));
    // Another text in the model's vocabulary; a run that goes on from the model; options that do not fit.
    std::fs::write(at("new.txt"), "that is not the question\nor is it?\n".repeat(20)).unwrap();
    for (arguments, words) in [
        (&["evaluate", "--model", "out/model.safetensors", "--data", "new.txt"][..], "line 2, character 9 has '?'"),
        (&["predict", "--model", "out/model.safetensors", "--input", "t.txt"], "8 places of a row"),
        (&["train", "--config", "run.toml", "--scaling", "standardize"], "--scaling standardize"),
        (&["train", "--config", "run.toml", "--label", "2"], "--label 2"),
        (&["train", "--config", "run.toml", "--context", "9"], "positions for 8 places"),
        (&["train", "--config", "run.toml", "--vocabulary", "words"], "characters"),
        (&["train", "--context", "8"], "--context: only texts become rows of tokens by it, and mnist is none"),
        (&["train", "--data", "t.txt", "--context", "8"], "list a network's layers under [model]"),
    ] {
        let output = wgrad(folder.path(), arguments);
        let reason = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && reason.contains(words), "{arguments:?}: {reason}");
    }
    // A loss that is no text's, a file that would be a text; what is noted, and goes on.
    std::fs::write(
        at("sees.toml"),
        CONFIG.replace("causal = true", "causal = false").replace("positions = 8", "positions = 9"),
    )
    .unwrap();
    for (arguments, status, words) in [
        (&["train", "--config", "run.toml", "--loss", "mse"][..], 2, &["--loss mse", "softmax-cross-entropy"][..]),
        (&["train", "--data", "new.txt"], 2, &["new.txt", "layers", "embedding"]),
        (&["train", "--config", "run.toml", "--context", "0"], 2, &["a context of 0"]),
        (
            &["train", "--config", "sees.toml", "--context", "8", "--steps", "1"],
            0,
            &["(attention) sees the tokens that follow", "positions for 9: the others learn nothing"],
        ),
        (&["evaluate", "--model", "out/model.safetensors", "--data", "t.txt"], 0, &["the text's last tenth"]),
    ] {
        let output = wgrad(folder.path(), arguments);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        words.iter().for_each(|word| assert!(said.contains(word), "{arguments:?}: no \"{word}\" in {said}"));
    }
    let parts = ["train", "--config", "run.toml", "--accumulate", "30", "--screen", "lines"];
    assert!(succeed(folder.path(), &parts).contains("8/8"));
    std::fs::write(at("like.txt"), text.replace("question", "nation")).unwrap();
    let on = ["train", "--config", "run.toml", "--data", "like.txt", "--init", "out/model.safetensors", "--steps", "2"];
    let with = |more: &[&'static str]| succeed(folder.path(), &[&on[..], more].concat());
    with(&["--validation", "0.2"]);
    with(&["--validation", "t.txt"]);
    assert!(!with(&["--validation", "none"]).contains("validation"));
}

/// Finds token arrays that a network of tokens does not take.
#[test]
fn the_program_trains_on_arrays_of_tokens() {
    let folder = tempfile::tempdir().unwrap();
    let x: Vec<i64> = (0..48).map(|at| at * at % 7).collect();
    let bytes: Vec<u8> = x.iter().flat_map(|token| token.to_le_bytes()).collect();
    let view = || safetensors::tensor::TensorView::new(safetensors::Dtype::I64, vec![12, 4], &bytes).unwrap();
    let file = safetensors::serialize([("x", view()), ("y", view())], None).unwrap();
    std::fs::write(folder.path().join("x.safetensors"), file).unwrap();
    let layers =
        "[model]\nlayers = [{ embedding = 8 }, { dense = \"vocabulary\" }]\n[train]\nsteps = 2\nbatch_size = 4\n";
    std::fs::write(folder.path().join("run.toml"), layers).unwrap();
    succeed(folder.path(), &["train", "--config", "run.toml", "--data", "x.safetensors"]);
    let model = Model::read(folder.path().join("model.safetensors")).unwrap();
    assert_eq!(
        (model.network.shape().as_str(), model.network.vocabulary(), model.vocabulary),
        ("4-4×8-4×5", Some(5), None)
    );
    succeed(folder.path(), &["evaluate", "--model", "model.safetensors", "--data", "x.safetensors"]);
    let ignoring = format!("{layers}[loss]\nkind = \"softmax-cross-entropy\"\nignore_index = -100\n");
    std::fs::write(folder.path().join("ignoring.toml"), ignoring).unwrap();
    let ignored = (-100i64).to_le_bytes().repeat(48);
    let y = safetensors::tensor::TensorView::new(safetensors::Dtype::I64, vec![12, 4], &ignored).unwrap();
    let file = safetensors::serialize([("x", view()), ("y", y)], None).unwrap();
    std::fs::write(folder.path().join("ignored.safetensors"), file).unwrap();
    let output = wgrad(folder.path(), &["train", "--config", "ignoring.toml", "--data", "ignored.safetensors"]);
    let reason = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && reason.contains("every label is -100"), "{reason}");
    // A text has no tokens of such a model, though it can be numbered.
    let pooled = layers.replace("{ dense", "{ global_avg_pool = true }, { dense").replace("\"vocabulary\"", "5");
    std::fs::write(folder.path().join("pooled.toml"), pooled).unwrap();
    let labels: Vec<u8> = (0..12i64).flat_map(|row| (row % 5).to_le_bytes()).collect();
    let y = safetensors::tensor::TensorView::new(safetensors::Dtype::I64, vec![12], &labels).unwrap();
    let file = safetensors::serialize([("x", view()), ("y", y)], None).unwrap();
    std::fs::write(folder.path().join("rows.safetensors"), file).unwrap();
    succeed(
        folder.path(),
        &["train", "--config", "pooled.toml", "--data", "rows.safetensors", "--save", "p.safetensors"],
    );
    succeed(folder.path(), &["predict", "--model", "p.safetensors", "--input", "rows.safetensors"]);
    std::fs::write(folder.path().join("t.txt"), "abcabcabcabc").unwrap();
    let output = wgrad(folder.path(), &["predict", "--model", "p.safetensors", "--input", "t.txt"]);
    let reason = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.code() == Some(2) && reason.contains("keeps no vocabulary"), "{reason}");
}

/// Finds plays that are not the bundled ones, or whose rows are not of their characters.
#[test]
fn shakespeare_is_bundled() {
    let (train, validation) = Dataset::shakespeare(64).unwrap();
    let Some(vocabulary) = train.text_vocabulary() else { panic!("no vocabulary") };
    assert_eq!((vocabulary.len(), train.rows(), validation.rows()), (76, 932_840 - 64, (103_649 - 1) / 64));
    let first: Vec<u32> = train.row(0).unwrap().iter().map(|&token| token as u32).collect();
    assert!(vocabulary.decode(&first).starts_with("ROMEO AND JULIET\n\nby William Shakespeare\n"));
}
