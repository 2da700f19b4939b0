//! Options for tables, and what a model keeps of a table.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};

use wgrad::{Dataset, Fill, ReadOptions, Scaling};

use super::wgrad;

/// Several targets are numbers for an output each, in the order in which they were named.
#[test]
fn several_targets() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..40).map(|row| format!("{},{},{},w{}\n", row % 7, row, 40 - row, row % 3)).collect();
    std::fs::write(folder.path().join("set.csv"), format!("a,low,high,kind\n{rows}")).unwrap();
    let label = |label: &str| ReadOptions { label: Some(label.into()), ..ReadOptions::default() };
    let set = Dataset::read(folder.path().join("set.csv"), &label("high,low")).unwrap().0;
    assert_eq!((set.classes(), set.width()), (2, 4));
    assert_eq!(set.values().unwrap()[..4], [40.0, 0.0, 39.0, 1.0]);
    for (words, reason) in
        [("low,low", "twice"), ("low,none", "no column \"none\""), ("low,kind", "every target must be a number")]
    {
        let error = Dataset::read(folder.path().join("set.csv"), &label(words)).unwrap_err().to_string();
        assert!(error.contains(reason), "{words}: {error}");
    }
    std::fs::write(folder.path().join("run.toml"), "[data]\nlabel = [\"high\", 2]\n").unwrap();
    let train =
        ["train", "--data", "set.csv", "--config", "run.toml", "--loss", "mse", "--epochs", "1", "--hidden", "4"];
    assert_eq!(wgrad(folder.path(), &train).code, 0);
    std::fs::write(folder.path().join("new.csv"), "kind,a\nw1,3\n").unwrap();
    let ran = wgrad(folder.path(), &["predict", "--model", "model.safetensors", "--input", "new.csv"]);
    assert_eq!(ran.event("prediction")["names"], serde_json::json!(["high", "low"]), "{}", ran.said);
    let ran = wgrad(folder.path(), &["evaluate", "--model", "model.safetensors", "--data", "set.csv"]);
    assert_eq!(ran.event("evaluation")["rows"], 40, "{}", ran.said);
}

/// Balanced class weights are scikit-learn's: rows / (classes · rows of the class).
#[test]
fn balanced_classes() {
    let set = Dataset::from_rows((0..10u32).map(|row| ([row as f32], u32::from(row > 7)))).unwrap();
    assert_eq!(set.balanced_class_weights().unwrap(), [10.0 / (2.0 * 8.0), 10.0 / (2.0 * 2.0)]);
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..40).map(|row| format!("{row},{}\n", u8::from(row > 35))).collect();
    std::fs::write(folder.path().join("set.csv"), format!("a,y\n{rows}")).unwrap();
    let losses =
        ["\"balanced\"", &format!("[{}, {}]", 40.0 / (2.0 * 36.0), 40.0 / (2.0 * 4.0)), "[1, 1]"].map(|weights| {
            std::fs::write(folder.path().join("run.toml"), format!("[loss]\nclass_weights = {weights}\n")).unwrap();
            let ran = wgrad(folder.path(), &["train", "--data", "set.csv", "--config", "run.toml", "--epochs", "2"]);
            ran.event("end")["loss"].as_f64().unwrap()
        });
    assert_eq!(losses[0], losses[1]);
    assert_ne!(losses[0], losses[2]);
    for (table, reason) in [
        ("class_weights = \"even\"", "can be \"balanced\""),
        ("label_smoothing = \"balanced\"", "numbers"),
        ("kind = \"mse\"\nclass_weights = \"balanced\"", "class_weights"),
    ] {
        std::fs::write(folder.path().join("run.toml"), format!("[loss]\n{table}\n")).unwrap();
        wgrad(folder.path(), &["train", "--data", "set.csv", "--config", "run.toml"]).refused(&[reason]);
    }
}

#[test]
fn rows_without_a_target() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("set.csv"), "a,y\n1,u\n2,\n3,v\n4,NA\n").unwrap();
    wgrad(folder.path(), &["explain", "--data", "set.csv"]).refused(&[
        "row 1 (line 3)",
        "column \"y\"",
        "--missing-target leave-out",
    ]);
    let ran = wgrad(folder.path(), &["explain", "--data", "set.csv", "--missing-target", "leave-out"]);
    assert_eq!((ran.event("table")["rows"].as_u64(), ran.event("table")["classes"].as_u64()), (Some(2), Some(2)));
    ran.says(&["2 of 4 rows have no target"]);
}

#[test]
fn fewer_rows_than_a_minibatch() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("set.csv"), "a,y\n1,u\n2,v\n3,u\n4,v\n").unwrap();
    let trained = |batch: &str| {
        let ran = wgrad(folder.path(), &["train", "--data", "set.csv", "--epochs", "3", "--batch-size", batch]);
        (ran.event("end")["loss"].as_f64().unwrap(), ran)
    };
    let (loss, ran) = trained("32");
    ran.says(&["4 rows, fewer than a batch of 32"]);
    assert!(ran.event("start")["notes"][0].as_str().unwrap().contains("fewer than a batch"));
    assert_eq!(loss, trained("4").0);
}

/// A model predicts on its training table with no option given again.
#[test]
fn a_model_keeps_how_its_table_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..40)
        .map(|row| format!("{},5|{}|w{}\n", row, if row == 3 { "-".into() } else { format!("$1.{row:03}") }, row % 2))
        .collect();
    std::fs::write(folder.path().join("set.csv"), format!("a|b|y\n{rows}")).unwrap();
    let train = ["train", "--data", "set.csv", "--delimiter", "|", "--missing", "-", "--fill", "mean", "--epochs", "1"];
    let ran = wgrad(folder.path(), &train);
    assert_eq!(ran.code, 0, "{}", ran.said);
    let ran = wgrad(folder.path(), &["evaluate", "--model", "model.safetensors", "--data", "set.csv"]);
    assert_eq!(ran.event("evaluation")["rows"], 40, "{}", ran.said);
    std::fs::write(folder.path().join("new.csv"), "a|b\n0,5|$1.000\n1|-\n").unwrap();
    let ran = wgrad(folder.path(), &["predict", "--model", "model.safetensors", "--input", "new.csv"]);
    assert_eq!((ran.code, ran.events.len()), (0, 2), "{}", ran.said);
    // The same computed by hand.
    let set = Dataset::read(
        folder.path().join("set.csv"),
        &ReadOptions {
            delimiter: Some('|'),
            missing: Some(vec!["-".into()]),
            fill: Some(Fill::Mean),
            ..ReadOptions::default()
        },
    )
    .unwrap()
    .0;
    assert_eq!(set.row(7).unwrap(), [7.5, 1007.0]);
    let mean = (0..40).filter(|row| *row != 3).map(|row| 1000.0 + f64::from(row)).sum::<f64>() / 39.0;
    assert_eq!(set.row(3).unwrap(), [3.5, mean as f32]);
}

/// Each line is answered before the next is written.
#[test]
fn standard_input_is_answered_line_by_line() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..40).map(|row| format!("{},w{},{}\n", row, row % 3, row % 2)).collect();
    std::fs::write(folder.path().join("set.csv"), format!("a,b,y\n{rows}")).unwrap();
    assert_eq!(wgrad(folder.path(), &["train", "--data", "set.csv", "--epochs", "1"]).code, 0);
    let mut program = Command::new(env!("CARGO_BIN_EXE_wgrad"))
        .current_dir(folder.path())
        .args(["predict", "--model", "model.safetensors", "--input", "-", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut input = program.stdin.take().unwrap();
    let mut answers = BufReader::new(program.stdout.take().unwrap()).lines();
    input.write_all(b"b,a\n\n").unwrap();
    for (text, event, row, line) in [
        ("w1,3\n", "prediction", 0, 3),
        ("\"w2\",4\r\n", "prediction", 1, 4),
        ("w9,4\n", "error", 2, 5),
        ("w1\n", "error", 3, 6),
        ("w0,\"-1\"\n", "prediction", 4, 7),
    ] {
        input.write_all(text.as_bytes()).unwrap();
        input.flush().unwrap();
        let answer: serde_json::Value = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        assert_eq!((&answer["event"], &answer["row"]), (&event.into(), &row.into()), "{answer}");
        if event == "error" {
            assert_eq!(answer["line"], line, "{answer}");
        }
    }
    // With the target, too, as a table has it.
    input.write_all(b"8,w0\n").unwrap();
    assert!(answers.next().unwrap().unwrap().contains("\"error\""));
    drop(input);
    assert!(answers.next().is_none());
    assert_eq!(program.wait().unwrap().code(), Some(2), "two rows could not be read");
}

/// Numbers that f32 distinguishes only after their mean is subtracted keep their digits: in a text, and in arrays of f64 and of i64.
#[test]
fn more_digits_than_f32_has() {
    let meters = |row: usize| 5_400_000.0 + row as f64 / 8.0;
    let expected: Vec<f32> = {
        let mean = (0..64).map(meters).sum::<f64>() / 64.0;
        let deviation = ((0..64).map(|row| (meters(row) - mean).powi(2)).sum::<f64>() / 64.0).sqrt();
        (0..64).map(|row| ((meters(row) - mean) / deviation) as f32).collect()
    };
    let text: String = std::iter::once("north,y\n".into())
        .chain((0..64).map(|row| format!("{},{}\n", meters(row), row % 2)))
        .collect();
    let doubles: Vec<u8> = (0..64).flat_map(|row| meters(row).to_le_bytes()).collect();
    let whole: Vec<u8> = (0..64).flat_map(|row| ((8.0 * meters(row)) as i64 + (1 << 40)).to_le_bytes()).collect();
    let labels: Vec<u8> = (0..64u8).map(|row| row % 2).collect();
    let tensors = |dtype: safetensors::Dtype, x: &[u8]| {
        let x = safetensors::tensor::TensorView::new(dtype, vec![64, 1], x).unwrap();
        let y = safetensors::tensor::TensorView::new(safetensors::Dtype::U8, vec![64], &labels).unwrap();
        safetensors::serialize([("x", x), ("y", y)], None).unwrap()
    };
    for bytes in
        [text.into_bytes(), tensors(safetensors::Dtype::F64, &doubles), tensors(safetensors::Dtype::I64, &whole)]
    {
        let set = Dataset::from_bytes(&bytes, &ReadOptions::default()).unwrap();
        assert!(set.note_on_digits().is_some_and(|note| note.contains("more digits than f32")));
        let scaling = Scaling::standardize(&set);
        let scaled = set.with_scaling(scaling).unwrap();
        assert_eq!(scaled.note_on_digits(), None);
        let seen = Scaling::min_max(&scaled);
        let range = expected[63] - expected[0];
        assert!(
            (1.0 / seen.scale[0] - range).abs() < 1e-5 && (seen.shift[0] - f64::from(expected[0])).abs() < 1e-5,
            "{seen:?}"
        );
    }
    let plain = Dataset::from_bytes(b"a,y\n0.1,0\n0.2,1\n0.7,0\n", &ReadOptions::default()).unwrap();
    assert_eq!(plain.note_on_digits(), None, "0.1 is none of f32's numbers, and near enough");
}

/// Finds targets that f32 rounds to one number, so that nothing is learned of them, without a note.
#[test]
fn targets_of_more_digits_than_f32_has() {
    let table = |first: u64| -> String {
        std::iter::once("x,y\n".into()).chain((0..40).map(|row| format!("{row},{}\n", first + row))).collect()
    };
    let options = ReadOptions { regression: true, ..ReadOptions::default() };
    let notes = |first| Dataset::from_bytes(table(first).as_bytes(), &options).unwrap().notes().to_vec();
    assert!(notes(1_700_000_000).iter().any(|note| note.contains("the targets have more digits than f32 keeps")));
    assert_eq!(notes(300_000), [""; 0]);
}

/// A first line that cannot be read is a row, and no row after it is lost.
#[test]
fn a_first_line_that_is_wrong() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..40).map(|row| format!("{},w{},{}\n", row, row % 3, row % 2)).collect();
    std::fs::write(folder.path().join("set.csv"), format!("a,b,y\n{rows}")).unwrap();
    assert_eq!(wgrad(folder.path(), &["train", "--data", "set.csv", "--epochs", "1"]).code, 0);
    for first in ["x,w1", "# comment", "1,w1,0,5"] {
        std::fs::write(folder.path().join("new.csv"), format!("{first}\n1,w1\n2,w2,0\n3,w0\n")).unwrap();
        let ran = wgrad(folder.path(), &["predict", "--model", "model.safetensors", "--input", "new.csv"]);
        let kinds: Vec<&str> = ran.events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["error", "prediction", "prediction", "prediction"], "{first}: {}", ran.said);
        assert_eq!(ran.events[0]["line"], 1);
    }
    // With a model of no index, a first line of fewer names is none.
    std::fs::write(folder.path().join("new.csv"), "a,b\n0,5,w1\n1,7,w1\n").unwrap();
    let ran = wgrad(folder.path(), &["evaluate", "--model", "model.safetensors", "--data", "new.csv"]);
    ran.refused(&["line 2 has 3 cells, and those before it 2"]);
}

/// Rows that come alone show less than a table: one row, one of missing cells only, one that is too long, and one whose number overflows in the
/// scaling.
#[test]
fn rows_that_come_alone() {
    let folder = tempfile::tempdir().unwrap();
    let rows: String = (0..40).map(|row| format!("{}\t{}\tu{}|v|w|x\t{}\n", row % 5, row, row % 3, row % 2)).collect();
    std::fs::write(folder.path().join("set.tsv"), format!("a\tb\tc\ty\n{rows}")).unwrap();
    let train = ["train", "--data", "set.tsv", "--fill", "mean", "--scaling", "min-max", "--epochs", "1"];
    assert_eq!(wgrad(folder.path(), &train).code, 0);
    let long = "9".repeat((1 << 24) + 5);
    for (text, kinds) in [
        ("1\t2\tu1|v|w|x\n", &["prediction"][..]),
        ("1\t2\tu1|v|w|x\n\n\n\t\t\n", &["prediction", "prediction"]),
        ("\t\t\r\n\r\n1\t2\tu0|v|w|x\r\n", &["prediction", "prediction"]),
        (&format!("1\t{long}\tu1|v|w|x\n1\t2\tu2|v|w|x\n"), &["error", "prediction"]),
        ("1\t2\tu1|v|w|x\r1\t3\tu1|v|w|x\r", &["prediction", "prediction"]),
        ("0.5\t3e38\tu1|v|w|x\n1\t2\tu1|v|w|x\n", &["prediction", "prediction"]),
        ("0.5\t3e39\tu1|v|w|x\n1\t2\tu1|v|w|x\n", &["error", "prediction"]),
    ] {
        std::fs::write(folder.path().join("new.tsv"), text).unwrap();
        let ran = wgrad(folder.path(), &["predict", "--model", "model.safetensors", "--input", "new.tsv"]);
        let found: Vec<&str> = ran.events.iter().map(|event| event["event"].as_str().unwrap()).collect();
        let text: String = text.chars().take(40).collect();
        assert_eq!(found, kinds, "{text:?}: {}", ran.said.chars().take(400).collect::<String>());
    }
    for text in ["", "a\tb\tc\n", "\n\n"] {
        std::fs::write(folder.path().join("new.tsv"), text).unwrap();
        for words in [["predict", "--input"], ["evaluate", "--data"]] {
            wgrad(folder.path(), &[words[0], "--model", "model.safetensors", words[1], "new.tsv"])
                .refused(&["no rows"]);
        }
    }
}
