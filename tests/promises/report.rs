//! A run's folder: what is in it, that it is true, and what is left of it when the run is killed; and the list of runs.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use wgrad::{Dataset, Model};

use crate::silences::tables;
use crate::support::{Random, all_between, golden_file, picture, succeed, wgrad};

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap()
}

fn json(folder: &Path, name: &str) -> Value {
    serde_json::from_str(&read(folder, name)).unwrap()
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Of less than a million.
fn grouped(number: u64) -> String {
    if number < 1000 { number.to_string() } else { format!("{},{:03}", number / 1000, number % 1000) }
}

/// Finds numbers of another model or another set, mistakes that are none or not the worst, a picture of another row, weights that are not the first
/// layer's: the page is compared with `evaluate`, `predict`, the images of MNIST and the model file.
#[test]
fn the_report_of_images_is_true() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    succeed(folder, &["train", "--steps", "60", "--hidden", "70", "--out", "out"]);
    let page = read(folder, "out/report.html");
    let model = "out/model.safetensors";
    let evaluation = &lines(&succeed(folder, &["evaluate", "--model", model, "--json"]))[0];
    let number = |value: &Value| value.as_f64().unwrap();
    let mut said = vec![
        format!("<b>{:.4}</b><span>validation loss", number(&evaluation["loss"])),
        format!("<b>{:.2} %</b><span>validation accuracy", 100.0 * number(&evaluation["accuracy"])),
    ];
    for class in evaluation["classes"].as_array().unwrap() {
        let cells = ["precision", "recall", "f1"].map(|figure| format!("<td>{:.4}</td>", number(&class[figure])));
        said.push(format!("{}<td>{}</td>", cells.concat(), grouped(class["support"].as_u64().unwrap())));
    }
    for (row, counts) in evaluation["confusion"].as_array().unwrap().iter().enumerate() {
        let counts = counts.as_array().unwrap().iter().enumerate();
        said.extend(counts.map(|(column, count)| format!("<title>{row} as {column}: {count}</title>")));
    }
    for words in &said {
        assert!(page.contains(words), "no {words}");
    }

    let (_, test) = Dataset::from_idx_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/data/mnist")).unwrap();
    let test = test.unwrap();
    let predictions = lines(&succeed(folder, &["predict", "--model", model, "--rows", "0-9999", "--json"]));
    assert_eq!((predictions.len(), test.rows()), (10_000, 10_000));
    let mut wrong: Vec<(f64, usize, u64)> = Vec::new();
    for (row, (prediction, &label)) in predictions.iter().zip(test.labels()).enumerate() {
        let class = prediction["class"].as_u64().unwrap();
        if class != u64::from(label) {
            wrong.push((number(&prediction["probabilities"][label as usize]), row, class));
        }
    }
    wrong.sort_by(|a, b| a.0.total_cmp(&b.0));
    let figures = all_between(&page, "<figure", "</figure>");
    assert_eq!(figures.len(), 25);
    for (figure, (_, row, class)) in figures.iter().zip(&wrong) {
        let probability = 100.0 * number(&predictions[*row]["probabilities"][*class as usize]);
        let words = format!(
            "true <b>{}</b><br>predicted <b class=\"wrong\">{class}</b> {probability:.1} %",
            test.labels()[*row]
        );
        assert!(
            figure.contains(&format!("alt=\"validation row {row}\"")) && figure.contains(&words),
            "row {row} in {figure}"
        );
        let (width, height, pixels) = picture(all_between(figure, "src=\"", "\"")[0]);
        let bytes: Vec<u8> = test.row(*row).unwrap().iter().map(|value| (255.0 * value).round() as u8).collect();
        assert!((width, height) == (28, 28) && pixels == bytes, "row {row} looks different");
    }
    assert!(page.contains(&format!("of {} wrong among 10,000 validation rows", grouped(wrong.len() as u64))));

    let addresses = all_between(&page, "<img src=\"", "\"");
    assert_eq!(addresses.len(), 26);
    let (width, height, pixels) = picture(addresses[25]);
    assert_eq!((width, height), (8 * 29 - 1, 8 * 29 - 1), "64 of 70 units");
    let layer = &Model::read(folder.join(model)).unwrap().weights.layers[0];
    let norm = |unit: &[f32]| unit.iter().map(|w| f64::from(w * w)).sum::<f64>();
    let unit = layer.weight.chunks_exact(784).max_by(|a, b| norm(a).total_cmp(&norm(b))).unwrap();
    let strongest = (0..784).max_by(|&a, &b| unit[a].abs().total_cmp(&unit[b].abs())).unwrap();
    let at = 4 * (strongest / 28 * width + strongest % 28);
    let color = if unit[strongest] > 0.0 { [180, 20, 30, 255] } else { [5, 80, 174, 255] };
    assert_eq!(pixels[at..at + 4], color);

    for name in ["curves.svg", "curves.png", "metrics.csv", "metrics.jsonl", "run.json"] {
        assert!(std::fs::metadata(folder.join("out").join(name)).unwrap().len() > 100, "{name}");
    }
    assert!(!folder.join("model.safetensors").exists(), "the model is in the run's folder");
    let about = json(folder, "out/run.json");
    assert_eq!((&about["state"], &about["model"]["network"]), (&"finished".into(), &"784-70-10".into()));
    for words in
        ["train --steps 60 --hidden 70 --out out", about["adapter"]["driver"].as_str().unwrap(), "glorot-uniform"]
    {
        assert!(page.contains(words), "no {words}");
    }
}

/// Finds words of the user's that the page takes for markup, and rows whose cells are another row's.
#[test]
fn names_are_names_and_no_markup() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut random = Random(3);
    let names = ["<script>alert(1)</script>", "a \"quoted\" & 'b'", "</style><img src=x onerror=y>"];
    let mut table = "size,<i>place,kind\n".to_string();
    for _ in 0..90 {
        let word = names[random.below(3)].replace('"', "\"\"");
        table += &format!("{:.3},<b>{}</b>,\"{word}\"\n", random.value(), random.below(2));
    }
    std::fs::write(folder.join("<u>.csv"), table).unwrap();
    let scaled = ["--scaling", "standardize", "--validation", "none", "--out", "<s>"];
    succeed(
        folder,
        &[&["train", "--data", "<u>.csv", "--hidden", "4", "--epochs", "2", "--lr", "0"][..], &scaled].concat(),
    );
    let page = read(folder, "<s>/report.html");
    for markup in ["<script", "<img", "<i>", "<u>", "<s>", "<b>0</b>", "<b>1</b>", "onerror=y>"] {
        assert!(!page.contains(markup), "{markup}");
    }
    assert_eq!(page.matches("</style>").count(), 1);
    for words in [
        "&lt;script&gt;alert(1)&lt;/script&gt;",
        "&quot;quoted&quot; &amp;",
        "&lt;b&gt;0&lt;/b&gt;",
        "&lt;i&gt;place",
        "training loss",
    ] {
        assert!(page.contains(words), "no {words}");
    }
    // Every row that is shown is one of the file's, as the file has it.
    let (set, _) = Dataset::read(folder.join("<u>.csv"), &wgrad::ReadOptions::default()).unwrap();
    let rows = all_between(page.split("id=\"mistakes\"").nth(1).unwrap(), "<tr><td>", "</tr>");
    assert_eq!(rows.len(), 25);
    for row in rows {
        let number: usize = row.split("</td>").next().unwrap().parse().unwrap();
        let cell = &set.columns().unwrap().cells(&set.row(number).unwrap())[0].1;
        assert!(row.contains(&format!(">{cell}</td>")), "row {number}: no {cell} in {row}");
    }
}

/// Finds predictions of other rows, or errors that are not the largest.
#[test]
fn the_report_of_numbers_is_true() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut random = Random(8);
    let rows: Vec<[f64; 3]> = (0..120).map(|_| [random.value(), random.value(), 3.0 * random.value()]).collect();
    let table: String = rows.iter().map(|[a, b, y]| format!("{a},{b},{y}\n")).collect();
    std::fs::write(folder.join("t.csv"), table).unwrap();
    succeed(folder, &["train", "--data", "t.csv", "--loss", "mse", "--hidden", "5", "--epochs", "3", "--out", "out"]);
    let page = read(folder, "out/report.html");
    let model = ["--model", "out/model.safetensors", "--json"];
    let evaluation = &lines(&succeed(folder, &[&["evaluate", "--data", "t.csv"], &model[..]].concat()))[0];
    for (key, name) in [
        ("mean_absolute_error", "mean absolute error"),
        ("root_mean_squared_error", "root mean squared error"),
        ("r2", "R²"),
    ] {
        let words = format!("<b>{:.4}</b><span>{name}", evaluation[key].as_f64().unwrap());
        assert!(page.contains(&words), "no {words}");
    }
    let predictions = lines(&succeed(folder, &[&["predict", "--input", "t.csv"], &model[..]].concat()));
    let off = |row: usize| (predictions[row]["outputs"][0].as_f64().unwrap() - rows[row][2]).abs();
    let worst = (0..120).max_by(|&a, &b| off(a).total_cmp(&off(b))).unwrap();
    let first = all_between(page.split("id=\"mistakes\"").nth(1).unwrap(), "<tr><td>", "</tr>")[0];
    assert!(
        first.starts_with(&format!("{worst}<")) && first.contains(&format!("<td>{:.4}</td>", off(worst))),
        "{first}"
    );
    assert!(!page.contains("id=\"confusion\"") && page.contains("id=\"numbers\""));
    assert!(page.matches("<circle").count() >= 120, "a point for each row");
}

fn small(words: &str) -> Vec<String> {
    let set = golden_file("adam").to_str().unwrap().to_string();
    let all = ["train", "--hidden", "6", "--batch-size", "10", "--json", "--data", &set, "--validation", &set];
    all.iter().map(ToString::to_string).chain(words.split_whitespace().map(String::from)).collect()
}

fn run(folder: &Path, words: &[String]) -> std::process::Output {
    wgrad(folder, &words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// Losses by epoch.
fn losses(folder: &Path) -> Vec<(u64, f64, f64)> {
    let number = |value: &Value| value.as_f64().unwrap();
    let epochs = lines(&read(folder, "metrics.jsonl"));
    epochs
        .iter()
        .map(|line| (line["epoch"].as_u64().unwrap(), number(&line["loss"]), number(&line["val_loss"])))
        .collect()
}

/// Finds metrics that are written at the end, or cut off; epochs that are there twice after a resume; a folder that two runs write to.
#[cfg(unix)]
#[test]
fn a_killed_run_leaves_its_metrics_and_goes_on_in_its_folder() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let out = folder.join("out");
    let endless = small("--steps 1000000000 --checkpoint cks --checkpoint-every 100 --out out");
    let mut program = Command::new(env!("CARGO_BIN_EXE_wgrad"));
    let mut child = program.current_dir(folder).args(&endless).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let seen: Vec<Value> = told.by_ref().take(40).map(|line| serde_json::from_str(&line).unwrap()).collect();
    let state = |folder: &Path| lines(&succeed(folder, &["runs", "out", "--json"]))[0]["state"].clone();
    let reader = std::thread::spawn(move || told.count());
    assert_eq!(state(folder), "running");
    let other = run(folder, &small("--steps 3 --out out"));
    let message = String::from_utf8_lossy(&other.stderr).into_owned();
    assert!(other.status.code() == Some(2) && message.contains("another run is writing there"), "{message}");
    // Some epochs after the last checkpoint, of which there is one: a busy disk takes its time.
    let is_kept = || {
        std::fs::read_dir(folder.join("cks"))
            .is_ok_and(|mut files| files.any(|file| file.unwrap().file_name().to_string_lossy().starts_with("step-")))
    };
    assert!((0..6000).any(|_| is_kept() || (std::thread::sleep(Duration::from_millis(10)), false).1));
    child.kill().unwrap();
    child.wait().unwrap();
    reader.join().unwrap();
    assert_eq!(state(folder), "killed");
    let before = losses(&out);
    assert!(before.len() >= 39, "an epoch's line is there when the epoch has been told");
    assert_eq!(lines(&read(&out, "metrics.jsonl"))[..39], seen[1..40]);
    let table = read(&out, "metrics.csv");
    assert!(table.lines().count() > 39 && table.starts_with("epoch,rows,loss,accuracy,val_loss,"));
    let cells: Vec<&str> = table.lines().nth(3).unwrap().split(',').collect();
    assert_eq!((cells[0], cells[1], cells[2].parse::<f64>().unwrap()), ("3", "64", before[2].1));

    for words in ["--steps 3 --out out", "--steps 3 --checkpoint others --out out"] {
        let other = run(folder, &small(words));
        let message = String::from_utf8_lossy(&other.stderr).into_owned();
        assert!(other.status.code() == Some(2) && message.contains("--resume"), "{message}");
    }
    assert_eq!(losses(&out), before, "nothing of it is lost");

    // Cut off, as by a power cut.
    let torn = read(&out, "metrics.jsonl") + "{\"epoch\":99";
    std::fs::write(out.join("metrics.jsonl"), torn).unwrap();
    let epochs = before.len() as u64 + 2;
    succeed(folder, &["train", "--resume", "cks", "--json", "--steps", &(7 * epochs).to_string()]);
    run(folder, &small(&format!("--steps {} --out whole", 7 * epochs)));
    assert_eq!(losses(&out), losses(&folder.join("whole")));
    assert_eq!(losses(&out).len() as u64, epochs);
    assert_eq!(read(&out, "metrics.csv").lines().count() as u64, epochs + 1);
    let about = json(&out, "run.json");
    assert_eq!((&about["state"], about["resumed"].as_array().unwrap().len()), (&"finished".into(), 1));
    assert!(about["resumed"][0]["step"].as_u64().unwrap() > 0 && out.join("report.html").exists());
}

/// Finds a report that is written only where a run ends by itself at its last epoch.
#[cfg(unix)]
#[test]
fn interrupted_and_stopped_runs_have_reports() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut program = Command::new(env!("CARGO_BIN_EXE_wgrad"));
    let endless = small("--steps 1000000000 --out cut");
    let mut child = program.current_dir(folder).args(&endless).stdout(Stdio::piped()).spawn().unwrap();
    let mut told = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(told.by_ref().any(|line| line.unwrap().contains("\"epoch\"")));
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    told.count();
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(read(folder, "cut/report.html").contains("interrupted after epoch"));
    // Half an epoch is no epoch.
    let about = &mut json(folder, "cut/run.json");
    assert!(about["steps_done"].is_u64());
    let told = lines(&read(folder, "cut/metrics.jsonl")).len() as u64;
    about["steps_done"] = (7 * told - 3).into();
    std::fs::write(folder.join("cut/run.json"), about.to_string()).unwrap();
    let listed = succeed(folder, &["runs", "cut"]);
    assert!(listed.contains(&format!(" {}.5/", told - 1)), "{listed}");
    assert!(run(folder, &small("--epochs 50 --lr 0 --early-stopping 2 --keep-best --out early")).status.success());
    assert!(read(folder, "early/report.html").contains("finished after epoch 3, with the weights of epoch 1"));
    let failed = run(folder, &small("--epochs 50 --lr 1e30 --optimizer sgd --out failed"));
    assert_eq!((failed.status.code(), &json(folder, "failed/run.json")["state"]), (Some(1), &"failed".into()));
    // The message is kept in the folder, to be read later.
    let said = String::from_utf8(failed.stderr).unwrap();
    let kept = json(folder, "failed/run.json")["error"].as_str().unwrap().to_string();
    assert!(said.contains(&kept) && kept.contains("not finite in step"), "{kept}: {said}");
    assert!(succeed(folder, &["runs", "failed"]).contains(&format!("failed failed: {kept}")));
    // The folder has nothing to lose: the corrected run may use it.
    assert!(run(folder, &small("--epochs 2 --out failed")).status.success());
    let about = json(folder, "failed/run.json");
    assert!(about["state"] == "finished" && about["error"].is_null(), "{about}");
    let again = run(folder, &small("--epochs 2 --out failed"));
    let said = String::from_utf8_lossy(&again.stderr);
    assert!(again.status.code() == Some(2) && said.contains("failed") && said.contains("--resume"), "{said}");
}

/// Finds runs in another order than their losses', a setting that all share among those that differ, and one bad folder that hides the others.
#[test]
fn runs_are_listed_and_compared() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let refused = |arguments: &[&str], words: &str| {
        let output = wgrad(folder, arguments);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && message.contains(words), "{message}");
    };
    refused(&["runs", "."], "no runs");
    refused(&["runs", "nowhere"], "nowhere");
    for (name, words) in [
        ("slow", "--lr 0.00001 --epochs 2 --early-stopping 9"),
        ("fast", "--lr 0.01 --epochs 8"),
        ("blind", "--validation none --epochs 2 --lr 0.01"),
    ] {
        // Of a flag that comes twice, the program takes neither.
        let mut all = small(&format!("{words} --out {name}"));
        if words.contains("none") {
            let at = all.iter().position(|word| word == "--validation").unwrap();
            all.drain(at..at + 2);
        }
        assert!(run(folder, &all).status.success());
    }
    for (name, text) in [("torn", "{\"started\": \"20"), ("other", "{}"), ("numbers", "[1, 2]")] {
        std::fs::create_dir(folder.join(name)).unwrap();
        std::fs::write(folder.join(name).join("run.json"), text).unwrap();
    }
    std::fs::create_dir(folder.join("no run")).unwrap();
    std::fs::create_dir(folder.join("strange")).unwrap();
    let strange = "{\"started\": \"\\u001b[2J\", \"state\": 7, \"train\": [], \"model\": \"x\"}";
    std::fs::write(folder.join("strange/run.json"), strange).unwrap();
    std::fs::write(folder.join("strange/metrics.jsonl"), "{\"epoch\": 1, \"loss\": \"low\"}\n[]\n\u{0}\n").unwrap();

    let told = lines(&succeed(folder, &["runs", ".", "--json"]));
    let names: Vec<&str> = told.iter().map(|run| run["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["fast", "slow", "blind", "strange", "numbers", "other", "torn"]);
    let best = losses(&folder.join("fast")).iter().map(|epoch| epoch.2).fold(f64::MAX, f64::min);
    assert_eq!(
        (&told[0]["best_loss"], &told[0]["epochs"], &told[0]["epochs_asked"]),
        (&best.into(), &8.into(), &8.into())
    );
    assert_eq!(
        (&told[2]["on"], &told[2]["last_loss"]),
        (&"training".into(), &lines(&read(folder, "blind/metrics.jsonl"))[1]["loss"])
    );
    assert!(told[4..].iter().all(|run| run["state"] == "unreadable" && run["error"].is_string()));

    let text = succeed(folder, &["runs", "."]);
    assert!(!text.contains('\u{1b}'), "{text:?}");
    assert!(text.contains("torn cannot be read: ./torn/run.json"), "{text}");
    std::fs::remove_dir_all(folder.join("strange")).unwrap();
    let (_, apart) =
        text_of(folder).split_once("Their different settings:").map(|(a, b)| (a.to_string(), b.to_string())).unwrap();
    for words in
        ["optimizer.lr", "0.01: fast, blind", "0.00001: slow", "train.epochs", "early_stopping.patience", "9: slow"]
    {
        assert!(apart.replace("1e-5", "0.00001").contains(words), "no {words} in {apart}");
    }
    assert!(!apart.contains("batch_size") && !apart.contains("network"), "{apart}");
    // Every column has a heading of its own, and a time is that of a place.
    let heading = text_of(folder).lines().next().unwrap().to_string();
    for words in ["best loss", "last loss", "best accuracy", "last accuracy", "started (UTC)"] {
        assert!(heading.contains(words), "{heading}");
    }
    let mut begun = json(folder, "slow/run.json");
    begun["state"] = "failed".into();
    std::fs::create_dir(folder.join("begun")).unwrap();
    std::fs::write(folder.join("begun/run.json"), begun.to_string()).unwrap();
    let begun = succeed(folder, &["runs", "begun"]);
    assert!(begun.contains(" 0.0 s") && !begun.contains("-0.0"), "{begun}");
    let one = succeed(folder, &["runs", "slow"]);
    assert!(one.contains("slow") && !one.contains("apart"), "{one}");
}

fn text_of(folder: &Path) -> String {
    succeed(folder, &["runs", "."])
}

/// Finds a list of layers that is compared and shown by what its first layer happens to have.
#[test]
fn runs_of_listed_layers_show_their_layers() {
    let folder = tables();
    let at = folder.path();
    for (name, first) in [("one", "batch_norm = true"), ("two", "layer_norm = true")] {
        let layers = format!("[{{ dense = 4 }}, {{ {first}, activation = \"relu\", dropout = 0.2 }}, {{ dense = 3 }}]");
        std::fs::write(at.join("run.toml"), format!("[model]\nlayers = {layers}\n")).unwrap();
        succeed(
            at,
            &[
                "train",
                "--config",
                "run.toml",
                "--data",
                "numbers.csv",
                "--epochs",
                "1",
                "--out",
                &format!("runs/{name}"),
            ],
        );
    }
    succeed(at, &["train", "--data", "numbers.csv", "--epochs", "1", "--dropout", "0.1", "--out", "runs/three"]);
    let text = succeed(at, &["runs", "runs"]);
    let layers = "[{ dense = 4 }, { activation = \"relu\", batch_norm = true, dropout = 0.2 }, { dense = 3 }]";
    assert!(text.contains(&format!("{layers}: one")) && !text.contains("identity"), "{text}");
    assert!(text.contains("relu: three") && text.contains("[0.1]: three") && text.contains("-: three"), "{text}");
    let page = |name: &str| std::fs::read_to_string(at.join("runs").join(name).join("report.html")).unwrap();
    let escaped = layers.replace('"', "&quot;");
    assert!(page("one").contains(&escaped) && !page("one").contains("activation identity"), "{}", page("one"));
    assert!(page("three").contains("activation relu, dropout [0.1]"));
}
