//! The program's interface: JSON lines, run.toml, commands, exit codes.

use std::io::{BufRead, BufReader};

use serde_json::Value;
use wgrad::Optimizer;
use wgrad::kernel::tile::Family;

use crate::dispatches::{Step, promised};
use crate::support::{documented_config, golden_file, gpu, succeed, wgrad};

fn events(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn golden(case: &str) -> String {
    golden_file(case).to_str().unwrap().to_string()
}

/// Finds a key that is missing or renamed: other programs read these lines.
#[test]
fn json_lines_are_the_documented_ones() {
    let folder = tempfile::tempdir().unwrap();
    let set = golden("adam");
    let arguments = ["train", "--data", &set, "--batch-size", "8", "--epochs", "2", "--validation", &set, "--json"];
    let events = events(&succeed(folder.path(), &arguments));
    let kinds: Vec<&str> = events.iter().map(|event| event["event"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["start", "epoch", "epoch", "end"]);
    let start = ["adapter", "backend", "driver", "dispatches_per_step", "parameters"];
    let epoch = [
        "epoch",
        "loss",
        "accuracy",
        "val_loss",
        "val_accuracy",
        "seconds",
        "samples_per_second",
        "submissions",
        "blocking_reads",
    ];
    let end = ["loss", "val_loss", "val_accuracy", "seconds", "model"];
    for (event, keys) in [(&events[0], &start[..]), (&events[1], &epoch), (&events[2], &epoch), (&events[3], &end)] {
        for key in keys {
            assert!(!event[key].is_null(), "{key} of {event}");
        }
    }
    assert_eq!(events[0]["parameters"], 12 * 256 + 256 + 256 * 5 + 5);
    assert_eq!(events[2]["val_loss"], events[3]["val_loss"]);
    assert_eq!(events[3]["model"], "model.safetensors");
    assert!(folder.path().join("model.safetensors").exists());
}

/// Finds a flag that the file overrules, a key that does nothing: the same run, said in flags, in a file, and in both.
#[test]
fn run_toml_says_what_flags_say_and_flags_win() {
    let folder = tempfile::tempdir().unwrap();
    let set = golden("sgd");
    let toml = |lr: f64, save: &str| {
        format!(
            "[data]\ntrain = '{set}'\n[model]\nhidden = [16]\nactivation = 'relu'\noutputs = 5\n\
             [loss]\nkind = 'softmax-cross-entropy'\n[optimizer]\nkind = 'sgd'\nlr = {lr}\n\
             [train]\nepochs = 3\nbatch_size = 8\nshuffle = false\nseed = 4\ninit = '{set}'\nsave = '{save}'\n"
        )
    };
    std::fs::write(folder.path().join("file.toml"), toml(0.1, "file.safetensors")).unwrap();
    std::fs::write(folder.path().join("both.toml"), toml(0.7, "wrong.safetensors")).unwrap();
    succeed(folder.path(), &["train", "--config", "file.toml"]);
    let both = ["train", "--config", "both.toml", "--lr", "0.1", "--save", "both.safetensors"];
    succeed(folder.path(), &both);
    let mut flags = vec!["train", "--data", &set, "--hidden", "16", "--activation", "relu", "--optimizer", "sgd"];
    flags.extend(["--loss", "softmax-cross-entropy", "--lr", "0.1", "--epochs", "3", "--batch-size", "8"]);
    flags.extend(["--no-shuffle", "--seed", "4", "--init", &set, "--save", "flags.safetensors"]);
    succeed(folder.path(), &flags);
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(read("file.safetensors") == read("flags.safetensors"));
    assert!(read("both.safetensors") == read("flags.safetensors"));
    assert!(!folder.path().join("wrong.safetensors").exists());
}

/// Finds a single width that has to be written as a list, and values of run.toml that no flag has.
#[test]
fn widths_and_fills_have_several_notations() {
    let folder = tempfile::tempdir().unwrap();
    let set = golden("adam");
    let shape = |hidden: &str| {
        std::fs::write(folder.path().join("run.toml"), format!("[model]\nhidden = {hidden}\n")).unwrap();
        succeed(folder.path(), &["explain", "--data", &set, "--config", "run.toml", "--batch-size", "8"])
    };
    assert_eq!(shape("32"), shape("[32]"));
    assert_eq!(shape("\"none\""), shape("[]"));
    assert_eq!(shape("\"16, 8\""), shape("[16, 8]"));
    assert!(shape("32") != shape("[]") && shape("[16, 8]") != shape("32"));

    std::fs::write(folder.path().join("gaps.csv"), "height,kind\n1,a\n,b\n3,a\n5,b\n").unwrap();
    let train = ["train", "--data", "gaps.csv", "--batch-size", "2", "--epochs", "1", "--hidden", "none"];
    let mean = wgrad::Fill::Number(3.0);
    for (fill, same) in [("mean", mean), ("3", mean), ("zero", wgrad::Fill::Zero), ("-1.5", wgrad::Fill::Number(-1.5))]
    {
        succeed(folder.path(), &[&train[..], &["--fill", fill]].concat());
        let options = wgrad::ReadOptions { fill: Some(same), ..Default::default() };
        let (set, _) = wgrad::Dataset::read(folder.path().join("gaps.csv"), &options).unwrap();
        let columns = wgrad::Model::read(folder.path().join("model.safetensors")).unwrap().columns.unwrap();
        let kept = wgrad::ReadOptions { columns: Some(columns), ..Default::default() };
        let (again, _) = wgrad::Dataset::read(folder.path().join("gaps.csv"), &kept).unwrap();
        assert_eq!(set.row(1).unwrap(), again.row(1).unwrap(), "{fill}");
    }
    let output = wgrad(folder.path(), &[&train[..], &["--fill", "median"]].concat());
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("\"median\" is not a replacement: use mean, zero"), "{message}");
}

/// Finds messages of a driver's layer among the program's own where there is no desktop: in training, which opens its adapter on a thread, and in
/// commands that open it as any user of the library does.
#[cfg(target_os = "linux")]
#[test]
fn without_a_desktop_the_program_is_as_quiet() {
    let folder = tempfile::tempdir().unwrap();
    let set = golden("adam");
    let train = ["train", "--steps", "1", "--data", &set, "--out", "a b"];
    let output = program_without_desktop(folder.path()).args(train).output();
    let output = output.unwrap();
    assert!(output.status.success());
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    let about: Value = serde_json::from_slice(&std::fs::read(folder.path().join("a b/run.json")).unwrap()).unwrap();
    let command: Vec<&str> = about["command"].as_array().unwrap().iter().map(|word| word.as_str().unwrap()).collect();
    assert_eq!(command, [env!("CARGO_BIN_EXE_wgrad"), "train", "--steps", "1", "--data", &set, "--out", "a b"]);
    let model = folder.path().join("a b/model.safetensors").to_str().unwrap().to_string();
    for arguments in
        [&["adapters"][..], &["evaluate", "--data", &set, "--model", &model], &["selftest", "--only", "close_step"]]
    {
        let output = program_without_desktop(folder.path()).args(arguments).output().unwrap();
        assert!(output.status.success());
        assert_eq!(String::from_utf8_lossy(&output.stderr), "", "{arguments:?}");
    }
}

/// The program where no variable says anything to the driver's layers.
#[cfg(target_os = "linux")]
fn program_without_desktop(folder: &std::path::Path) -> std::process::Command {
    let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_wgrad"));
    program.current_dir(folder);
    ["XDG_RUNTIME_DIR", "MESA_VK_DEVICE_SELECT", "NODEVICE_SELECT"]
        .iter()
        .for_each(|name| _ = program.env_remove(name));
    program
}

/// Finds an evaluation or a prediction that is not the trained model's.
#[test]
fn evaluate_and_predict_use_the_saved_model() {
    let folder = tempfile::tempdir().unwrap();
    let set = golden("adam");
    let train = ["train", "--data", &set, "--validation", &set, "--batch-size", "8", "--epochs", "3", "--json"];
    let end = events(&succeed(folder.path(), &train)).pop().unwrap();
    let model = ["--model", "model.safetensors", "--json"];
    let evaluation = &events(&succeed(folder.path(), &[&["evaluate", "--data", &set], &model[..]].concat()))[0];
    assert_eq!(evaluation["loss"], end["val_loss"]);
    assert_eq!(evaluation["accuracy"], end["val_accuracy"]);

    let predictions = events(&succeed(folder.path(), &[&["predict", "--input", &set], &model[..]].concat()));
    assert_eq!(predictions.len(), 64);
    let labels = wgrad::Dataset::from_safetensors(&set).unwrap();
    let mut hits = 0;
    for (row, prediction) in predictions.iter().enumerate() {
        let probabilities: Vec<f64> =
            prediction["probabilities"].as_array().unwrap().iter().map(|value| value.as_f64().unwrap()).collect();
        assert_eq!(probabilities.len(), 5);
        assert!((probabilities.iter().sum::<f64>() - 1.0).abs() < 1e-6);
        let class = prediction["class"].as_u64().unwrap();
        assert!(probabilities.iter().all(|&value| value <= probabilities[class as usize]));
        hits += u32::from(class as u32 == labels.labels()[row]);
    }
    assert_eq!(f64::from(hits) / 64.0, end["val_accuracy"].as_f64().unwrap());
    let one = succeed(folder.path(), &["predict", "--input", &set, "--rows", "5", "--model", "model.safetensors"]);
    assert_eq!(one.lines().count(), 6, "{one}");
}

/// Finds an adapter list without the one in use, or a plan that needs a device.
#[test]
fn adapters_and_explain_say_what_would_be_used() {
    let folder = tempfile::tempdir().unwrap();
    let adapters = events(&succeed(folder.path(), &["adapters", "--json"]));
    assert_eq!(adapters.iter().filter(|adapter| adapter["chosen"] == true).count(), 1, "{adapters:?}");
    assert!(succeed(folder.path(), &["adapters"]).lines().any(|line| line.starts_with('→')));
    let explain = succeed(folder.path(), &["explain"]);
    // A team computes the gradient below the loss, too; an adapter without teams takes another dispatch for it.
    let has_teams = matches!(gpu().adapter().family(), Family::Subgroups { .. } | Family::Hardware);
    let head = if has_teams { &["team_head"][..] } else { &["head", "dense_backward"] };
    let calls = promised(Step::of_seed(&Optimizer::keras_adam())) as usize;
    let updates = calls - 1 - head.len();
    let expected = [&["dense_forward"][..], head, &vec!["dense_update"; updates], &["a step"]].concat();
    let (step, buffers) = explain.split_once("\nbuffer ").unwrap();
    // Lines that belong to a dispatch are indented; the first two are the set and the table's heading.
    let heading = step.lines().position(|line| line.starts_with("dispatch ")).unwrap();
    let rows: Vec<&str> = step.lines().skip(heading + 1).filter(|line| !line.starts_with(' ')).collect();
    assert_eq!(rows.len(), expected.len(), "{explain}");
    assert!(rows.iter().zip(&expected).all(|(row, kernel)| row.starts_with(&format!("{kernel} "))), "{explain}");
    assert!(rows[calls].contains(&format!(" {calls} calls")), "{explain}");
    assert!(buffers.lines().any(|line| line.starts_with("weights.0 ") && line.contains("[788, 256]")), "{explain}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is trained or written");
}

/// Finds a backend or a kind that is looked for in names, several words of which only one counts, and a word that fits nothing, refused without a
/// list of what there is.
#[test]
fn an_adapter_is_chosen_by_backend_kind_and_name() {
    let folder = tempfile::tempdir().unwrap();
    let all = events(&succeed(folder.path(), &["adapters", "--json"]));
    let word = |adapter: &Value, key: &str| adapter[key].as_str().unwrap().to_lowercase();
    let chosen = |words: &str| {
        let all = events(&succeed(folder.path(), &["adapters", "--json", "--adapter", words]));
        all.into_iter().find(|adapter| adapter["chosen"] == true).unwrap()
    };
    for adapter in &all {
        let (backend, kind) = (word(adapter, "backend"), word(adapter, "kind"));
        let kind = kind.split(' ').next().unwrap();
        let name = word(adapter, "adapter");
        let name = name.split(' ').next().unwrap();
        for words in [backend.clone(), format!("{backend} {kind}"), format!("{} {}", kind.to_uppercase(), backend)] {
            assert_eq!(word(&chosen(&words), "backend"), backend, "{words}");
        }
        let found = chosen(&format!("{name} {kind} {backend}"));
        assert_eq!((&found["adapter"], &found["backend"]), (&adapter["adapter"], &adapter["backend"]));
        // Each word by itself fits; no adapter is both.
        let other = if kind == "software" { "gpu" } else { "cpu" };
        let output = wgrad(folder.path(), &["adapters", "--adapter", &format!("{backend} {other} {name}")]);
        assert_eq!(output.status.code(), Some(3));
    }
    let refused = |words: &str, said: &[&str]| {
        let output = wgrad(folder.path(), &["--adapter", words]);
        let message = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(3), "{message}");
        for said in [said, &["there is: ", all[0]["adapter"].as_str().unwrap()]].concat() {
            assert!(message.contains(said), "no \"{said}\" in {message}");
        }
    };
    // No machine has both.
    let missing = if cfg!(windows) { "metal" } else { "dx12" };
    refused(missing, &[&format!("no adapter is {missing}")]);
    refused("vulcan", &["\"vulcan\"", "did you mean vulkan?", "discrete"]);
    refused("quantum computer", &["\"quantum\""]);
    let output = wgrad(folder.path(), &["--adapter", " "]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && message.contains("the adapter's name is empty"), "{message}");
}

/// Finds a bench that times something else than the plan, or impossible times: the host's share is a part of a step.
#[test]
fn bench_times_every_dispatch_of_the_plan() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["--hidden", "16", "--batch-size", "8", "--json"];
    let run = |command| events(&succeed(folder.path(), &[&[command][..], &options].concat()));
    let (bench, explain) = (run("bench"), run("explain"));
    let kernels = |events: &[serde_json::Value]| -> Vec<serde_json::Value> {
        events.iter().filter(|event| event["event"] == "dispatch").map(|event| event["kernel"].clone()).collect()
    };
    assert_eq!(kernels(&bench), kernels(&explain));
    let step = bench.last().unwrap();
    assert_eq!((&step["event"], &step["batch"]), (&"step".into(), &8.into()));
    let seconds = |event: &serde_json::Value, name: &str| event[name].as_f64().unwrap();
    assert!(bench.iter().all(|event| seconds(event, "seconds") > 0.0), "{bench:?}");
    assert!(seconds(step, "host_seconds") < seconds(step, "seconds"), "{step}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is trained or written");
}

/// Finds a bench of the host that times dispatches too, or says nothing.
#[test]
fn bench_times_the_host_alone() {
    let folder = tempfile::tempdir().unwrap();
    let options = ["bench", "--hidden", "16", "--batch-size", "8"];
    let printed = events(&succeed(folder.path(), &[&options[..], &["--host", "--json"]].concat()));
    let [host] = &printed[..] else { panic!("{printed:?}") };
    // The plan's dispatches, which depend on the adapter's limits.
    let explained = events(&succeed(folder.path(), &["explain", "--hidden", "16", "--batch-size", "8", "--json"]));
    let dispatches = explained.iter().filter(|event| event["event"] == "dispatch").count();
    assert_eq!((&host["event"], &host["dispatches"], &host["batch"]), (&"host".into(), &dispatches.into(), &8.into()));
    assert!(host["host_seconds"].as_f64().unwrap() > 0.0, "{host}");
    let text = succeed(folder.path(), &[&options[..], &["--host"]].concat());
    assert!(text.contains("The host spends") && text.contains(&format!("a step of {dispatches} dispatches")), "{text}");
}

/// Finds a GPU test that silently runs nothing, or an error that does not help, on a machine with no adapter at all.
#[test]
fn without_an_adapter_the_package_to_install_is_named() {
    let folder = tempfile::tempdir().unwrap();
    for arguments in [&[][..], &["adapters"]] {
        let output = std::process::Command::new(env!("CARGO_BIN_EXE_wgrad"))
            .current_dir(folder.path())
            .args(arguments)
            // Neither Vulkan's nor OpenGL's loader finds a driver.
            .env("VK_DRIVER_FILES", "/nonexistent")
            .env("VK_ICD_FILENAMES", "/nonexistent")
            .env("__EGL_VENDOR_LIBRARY_FILENAMES", "/nonexistent")
            .env("LIBGL_DRIVERS_PATH", "/nonexistent")
            .output()
            .unwrap();
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{message}");
        for words in
            ["apt-get install mesa-vulkan-drivers", "dnf install mesa-vulkan-drivers", "pacman -S vulkan-swrast"]
        {
            assert!(message.contains(words), "{message}");
        }
    }
    let output = wgrad(folder.path(), &["--adapter", "no such adapter"]);
    assert_eq!(output.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&output.stderr).contains("there is: "));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}

/// A reader that goes away (`wgrad … | head -1`) causes no panic and no complaint.
#[test]
fn a_closed_pipe_ends_the_program_quietly() {
    let folder = tempfile::tempdir().unwrap();
    let set = golden("adam");
    let mut child = std::process::Command::new(env!("CARGO_BIN_EXE_wgrad"))
        .current_dir(folder.path())
        .args(["train", "--data", &set, "--batch-size", "8", "--epochs", "50"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // Gone after the first epoch's line.
    let lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.into_iter().any(|line| line.starts_with("epoch")));
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8_lossy(&output.stderr), "");
    wgrad::Model::read(folder.path().join("model.safetensors")).expect("what was trained is not lost");
}

/// Finds a key in the documentation that the program does not know, a value that it refuses, or one that it warns of.
#[test]
fn the_documented_run_toml_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let config = documented_config(folder.path());
    let run = wgrad(folder.path(), &["train", "--config", &config, "--steps", "1", "--validation", "none"]);
    assert!(run.status.success() && run.stderr.is_empty(), "{}", String::from_utf8_lossy(&run.stderr));
    let plan = succeed(folder.path(), &["explain", "--config", &config]);
    assert!(plan.contains("gradient_norm") && plan.contains("derivatives.0"), "{plan}");
    // The keys of [data] for tables, arrays and texts, which have no effect on MNIST.
    let text = std::fs::read_to_string(&config).unwrap();
    let (data, others) = text.split_once("[model]").unwrap();
    let (head, data) = data.split_once("[data]").unwrap();
    let all = format!("{head}[data]{}[model]{others}", data.replace("\n# ", "\n"));
    std::fs::write(folder.path().join("all.toml"), all).unwrap();
    let run = wgrad(folder.path(), &["explain", "--config", "all.toml"]);
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(run.status.success() && said.lines().filter(|line| !line.is_empty()).count() == 4, "{said}");
    assert!(said.lines().all(|line| line.is_empty() || line.contains("no effect of")), "{said}");
}
