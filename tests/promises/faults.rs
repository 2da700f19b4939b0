//! Faults of the machine: no permission to write, no room, files that change while they are read, clocks that stand still or jump, other runs in
//! the same folders. Each ends in a clear message, or in the result of a run without it.
#![cfg(target_os = "linux")]

use std::io::{BufRead, BufReader, Write};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use wgrad::{Activation, Dataset, Event, Model, Network, Source, Stored, TrainOptions, Trainer};

use crate::bad_input::tensors;
use crate::support::{Random, bits, files_in, golden_file, gpu, refused, succeed};

const PROGRAM: &str = env!("CARGO_BIN_EXE_wgrad");

/// 64 rows, 7 steps an epoch.
pub fn train(words: &str) -> String {
    let set = golden_file("adam").to_str().unwrap().to_string();
    format!("train --hidden 6 --batch-size 10 --validation none --json --data {set} {words}")
}

pub fn program(folder: &Path, words: &str) -> Command {
    let mut program = Command::new(PROGRAM);
    program.current_dir(folder).args(words.split_whitespace()).stdout(Stdio::piped()).stderr(Stdio::piped());
    program
}

fn shell(folder: &Path, script: &str) -> Output {
    Command::new("sh").current_dir(folder).args(["-c", script]).output().unwrap()
}

pub fn message(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn weights(folder: &Path, file: &str) -> Vec<u32> {
    bits(&Model::read(folder.join(file)).unwrap().weights)
}

/// A folder with a model that was trained for `steps` steps, and its weights.
pub fn undisturbed(steps: u64) -> (tempfile::TempDir, Vec<u32>) {
    let folder = tempfile::tempdir().unwrap();
    let output = program(folder.path(), &train(&format!("--steps {steps} --save model.safetensors"))).output().unwrap();
    assert!(output.status.success(), "{}", message(&output));
    let weights = weights(folder.path(), "model.safetensors");
    (folder, weights)
}

/// Every command that writes, with a path to write to.
fn writers(place: &str) -> Vec<String> {
    let explained = train("");
    let (_, options) = explained.split_once(' ').unwrap();
    vec![
        train(&format!("--steps 7 --save {place}/new.safetensors")),
        train(&format!("--steps 7 --save kept --out {place}/new")),
        train(&format!("--steps 7 --save kept --tensorboard {place}/new")),
        train(&format!("--steps 7 --save kept --checkpoint {place}/new")),
        format!("export model.safetensors {place}/new.onnx"),
        format!("import model.safetensors {place}/new.safetensors"),
        format!("profile --trace {place}/new.json {options}"),
    ]
}

/// Finds a folder that cannot be written to and is refused only when the work is done, or without its name. Users who may write anywhere are tested,
/// too: a file stands where a folder should, the system owns the place, or another user does. A read-only disk is tested where a user may mount one,
/// which many containers forbid: the test then says so.
#[test]
fn places_that_cannot_be_written_to_are_named() {
    let (folder, _) = undisturbed(7);
    let folder = folder.path();
    std::fs::write(folder.join("file"), "").unwrap();
    let before = files_in(folder);
    let refused = |output: Output, place: &str, words: &str| {
        let message = message(&output);
        assert_eq!(output.status.code(), Some(2), "{words}: {message}");
        assert!(message.starts_with("error: ") && message.contains(place), "{words}: {message}");
        assert!(!message.contains("kept") && !folder.join("kept").exists(), "{words}: it was trained before");
        let not_ours = ["Permission denied", "Operation not permitted", "Read-only file system"]
            .iter()
            .any(|word| message.contains(word));
        assert_eq!(not_ours, message.contains("name a place where you may write"), "{words}: {message}");
        not_ours
    };
    for place in ["file", "/sys/wgrad", "/proc/wgrad"] {
        for words in writers(place) {
            refused(program(folder, &words).output().unwrap(), place, &words);
        }
    }
    assert_eq!(files_in(folder), before);

    // A user who may write everywhere gives that up.
    let own = folder.join("locked");
    std::fs::create_dir(&own).unwrap();
    std::fs::set_permissions(&own, std::os::unix::fs::PermissionsExt::from_mode(0o555)).unwrap();
    let may_all = std::fs::File::create(own.join("probe")).is_ok();
    let prefix = if may_all { "setpriv --bounding-set=-dac_override " } else { "" };
    _ = std::fs::remove_file(own.join("probe"));
    // It can be given up where the shell starts and is held by it.
    let is_held = shell(folder, &format!("{prefix}sh -c 'touch locked/probe || exit 77'")).status.code() == Some(77);
    for words in if is_held { writers("locked") } else { vec![] } {
        let output = shell(folder, &format!("exec {prefix}'{PROGRAM}' {words}"));
        assert!(refused(output, "locked", &words), "{words}: it is told what to do");
    }
    if !is_held {
        println!("not checked: a folder of others; the right to write everywhere cannot be given up here");
    }

    // `unshare` has codes of its own where it is not allowed, 1 among them.
    const ENDED_WELL: i32 = 78;
    const NOT_MOUNTED: i32 = 77;
    std::fs::create_dir(folder.join("disk")).unwrap();
    let mount = "mount -t tmpfs tmpfs disk && mount -o remount,ro disk";
    let commands: Vec<String> = writers("disk")
        .iter()
        .map(|words| format!("if '{PROGRAM}' {words} >>out 2>>message; then exit {ENDED_WELL}; fi"))
        .collect();
    let script = format!("{{ {mount}; }} || exit {NOT_MOUNTED}; {}", commands.join("; "));
    let mounted = Command::new("unshare").current_dir(folder).args(["-rm", "sh", "-c", &script]).output();
    let message = std::fs::read_to_string(folder.join("message")).unwrap_or_default();
    match mounted.map(|output| output.status.code()) {
        Ok(Some(0)) => {
            for words in ["Read-only file system", "name a place where you may write"] {
                assert_eq!(message.matches(words).count(), 7, "{message}");
            }
        }
        Ok(Some(ENDED_WELL)) => panic!("one of them ended well: {message}"),
        other => println!("not checked: this container does not allow to mount a disk that is only read ({other:?})"),
    }
}

/// Finds a full disk that leaves half a file, loses the file that was there before, or gives no error, for every kind of output. No file may grow
/// past a limit here; a write beyond it is an error, as one to a full disk is.
#[test]
fn a_full_disk_leaves_no_half_files() {
    let (folder, _) = undisturbed(7);
    let folder = folder.path();
    let limited = |blocks: u32, words: &str| {
        shell(folder, &format!("ulimit -f {blocks}; trap '' XFSZ; exec '{PROGRAM}' {words}"))
    };
    let refused = |blocks: u32, words: &str, file: &str| {
        let output = limited(blocks, words);
        let message = message(&output);
        assert_eq!(output.status.code(), Some(2), "{words}: {message}");
        assert!(
            message.contains(file) && message.contains("File too large") && message.contains("make room"),
            "{words}: {message}"
        );
    };
    let old = std::fs::read(folder.join("model.safetensors")).unwrap();
    std::fs::write(folder.join("old.onnx"), "old").unwrap();
    let before = files_in(folder);
    refused(1, &train("--steps 14 --save model.safetensors"), "model.safetensors");
    refused(1, "export model.safetensors old.onnx", "old.onnx");
    refused(1, "import model.safetensors new.safetensors", "new.safetensors");
    assert_eq!(files_in(folder), before, "no temporary file");
    assert!(std::fs::read(folder.join("model.safetensors")).unwrap() == old);
    assert_eq!(std::fs::read(folder.join("old.onnx")).unwrap(), b"old");

    // What grows while it goes: with the model of the step that it came to, and nothing said that is not so.
    let endless = |words: &str| train(&format!("--steps 1000000000 --save grown {words}"));
    for (words, file) in [("--out out", "metrics"), ("--tensorboard board", "tfevents")] {
        refused(16, &endless(words), file);
        assert!(!weights(folder, "grown").is_empty());
        std::fs::remove_file(folder.join("grown")).unwrap();
    }
    let about: Value = serde_json::from_slice(&std::fs::read(folder.join("out/run.json")).unwrap()).unwrap();
    assert_eq!(about["state"], "failed", "{about}");
    let told = std::fs::read_to_string(folder.join("out/metrics.jsonl")).unwrap();
    let epochs = told.lines().filter(|line| serde_json::from_str::<Value>(line).is_ok()).count();
    assert!(epochs > 1 && succeed(folder, &["runs", "out"]).contains(&format!("{epochs}/")));
    // It fails before its first epoch: its folder is free for the next.
    refused(1, &train("--steps 7 --save kept --out again"), "run.json");
    assert!(limited(10_000, &train("--steps 7 --out again")).status.success());
}

/// Finds a log without room that ends the run it belongs to.
#[test]
fn a_log_without_room_does_not_end_the_run() {
    let (folder, without) = undisturbed(7);
    let words = train("--steps 7 --save logged --verbose");
    let output = shell(folder.path(), &format!("'{PROGRAM}' {words} 2>/dev/full"));
    assert_eq!(output.status.code(), Some(0));
    assert!(weights(folder.path(), "logged") == without);
}

/// A set's file may change while it is trained on: missing rows are reported with the file's name, and a file that is still open is read on.
#[test]
fn a_set_may_go_while_it_is_trained_on() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.safetensors");
    let (rows, width) = (4000, 8);
    let mut random = Random(11);
    let x: Vec<f32> = (0..rows * width).map(|_| random.value() as f32).collect();
    let y: Vec<i64> = (0..rows as i64).map(|row| row % 3).collect();
    let whole = tensors(&[("x", &[rows, width], &x)], Some(&y));
    let fit = |change: &dyn Fn()| {
        std::fs::write(&path, &whole).unwrap();
        let stored = Stored::open(&path).unwrap();
        let network = Network::classifier(width, &[6], Activation::Relu, 3);
        let options =
            TrainOptions { batch_size: 20, epochs: 4, memory_budget: Some(20_000), ..TrainOptions::default() };
        let mut trainer = Trainer::on(gpu(), network, options).unwrap();
        let mut epochs = 0;
        let fitted = trainer.fit_from(&stored, None, |event| {
            if let Event::Epoch(_) = event {
                epochs += 1;
                if epochs == 1 {
                    change();
                }
            }
            ControlFlow::Continue(())
        });
        fitted.map(|_| bits(&trainer.weights().unwrap()))
    };
    let undisturbed = fit(&|| ()).unwrap();
    assert!(fit(&|| std::fs::remove_file(&path).unwrap()).unwrap() == undisturbed, "it is open");
    let replace = || {
        let other: Vec<f32> = x.iter().map(|value| -value).collect();
        let beside = folder.path().join("other");
        std::fs::write(&beside, tensors(&[("x", &[rows, width], &other)], Some(&y))).unwrap();
        std::fs::rename(beside, &path).unwrap();
    };
    assert!(fit(&replace).unwrap() == undisturbed, "by rename, as files should be replaced");
    let shrink = || std::fs::File::options().write(true).open(&path).unwrap().set_len(whole.len() as u64 / 2).unwrap();
    let error = fit(&shrink).unwrap_err();
    let message = error.to_string();
    assert!(error.exit_code() == 2 && message.contains("set.safetensors"), "{message}");
    assert!(message.contains("it was cut short after it was opened: rows "), "{message}");
    std::fs::write(&path, &whole).unwrap();
    let stored = Stored::open(&path).unwrap();
    shrink();
    refused(&["cut short after it was opened: rows 3999 to 4000"], stored.read(rows - 1..rows));
    stored.read(0..20).unwrap();
}

/// Finds files that vanish after their folder is listed, as links to nothing do, without their name in the error.
#[test]
fn files_that_vanish_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let link = |name: &str| {
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink("/gone", path).unwrap();
    };
    ["idx/train-images-idx3-ubyte", "idx/train-labels-idx1-ubyte", "images/cat/1.png", "images/dog/1.png"]
        .iter()
        .for_each(|name| link(name));
    for (set, file) in [("idx", "idx/train-images-idx3-ubyte"), ("images", "images/cat/1.png")] {
        let output = program(folder.path(), &format!("train --data {set}")).output().unwrap();
        let message = message(&output);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(message.contains(&format!("{file}: No such file")), "{message}");
    }
}

/// Finds a file that vanishes between the listing of its folder and its turn, without its name in the error: the labels to train on, while the images
/// to test on, a pipe here, are read.
#[test]
fn files_that_vanish_between_two_others_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let images = [&[0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 1][..], &[7, 200]].concat();
    let labels = [0, 0, 8, 1, 0, 0, 0, 2, 0, 1];
    let (piped, gone) = (at("t10k-images-idx3-ubyte"), at("train-labels-idx1-ubyte"));
    assert!(Command::new("mkfifo").arg(&piped).status().unwrap().success());
    std::fs::write(at("train-images-idx3-ubyte"), &images).unwrap();
    for name in ["t10k-labels-idx1-ubyte", "train-labels-idx1-ubyte"] {
        std::fs::write(at(name), labels).unwrap();
    }
    for vanishes in [false, true] {
        let read = std::thread::scope(|scope| {
            let reading = scope.spawn(|| Dataset::from_idx_dir(folder.path()));
            // Opened once both ends are: by then the names are known.
            let mut pipe = std::fs::File::options().write(true).open(&piped).unwrap();
            if vanishes {
                std::fs::remove_file(&gone).unwrap();
            }
            pipe.write_all(&images).unwrap();
            drop(pipe);
            reading.join().unwrap()
        });
        let words = read.map(|(set, _)| set.rows()).map_err(|error| error.to_string());
        match vanishes {
            false => assert_eq!(words, Ok(2)),
            true => {
                let message = words.unwrap_err();
                assert!(message.contains("train-labels-idx1-ubyte") && message.contains("No such file"), "{message}");
            }
        }
    }
}

/// Finds a run that a sleeping laptop spoils: steps done twice or not at all, times that are wrong, and decisions by them.
#[test]
fn a_run_that_is_stopped_and_continued_ends_in_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let began = Instant::now();
    let endless = "--steps 1000000000 --save stopped --checkpoint cks --checkpoint-every 50";
    let mut child = program(folder, &train(endless)).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    let first: Vec<String> = lines.by_ref().take(2).collect();
    let rest = std::thread::spawn(move || lines.collect::<Vec<String>>());
    let signal =
        |name: &str| assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
    let mut stopped = Duration::ZERO;
    for pause in [150, 400, 30, 250] {
        signal("-STOP");
        let since = Instant::now();
        std::thread::sleep(Duration::from_millis(pause));
        stopped += since.elapsed();
        signal("-CONT");
        std::thread::sleep(Duration::from_millis(40));
    }
    signal("-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let took = began.elapsed().as_secs_f64();
    let told: Vec<Value> =
        first.iter().chain(&rest.join().unwrap()).map(|line| serde_json::from_str(line).unwrap()).collect();
    let end = told.last().unwrap();
    let steps = end["step"].as_u64().unwrap();
    assert!(weights(folder, "stopped") == undisturbed(steps).1, "{steps} steps");
    let seconds = |event: &Value| event["seconds"].as_f64().unwrap();
    let epochs: Vec<&Value> = told.iter().filter(|event| event["event"] == "epoch").collect();
    assert_eq!(epochs.len() as u64, steps / 7, "{steps} steps");
    assert!(epochs.iter().all(|epoch| seconds(epoch) > 0.0 && epoch["samples_per_second"].as_f64().unwrap() > 0.0));
    let (sum, end) = (epochs.iter().map(|epoch| seconds(epoch)).sum::<f64>(), seconds(end));
    assert!(sum <= end && end <= took, "{sum} {end} {took}");
    assert!(end >= stopped.as_secs_f64(), "what it was stopped for has passed: {end} {stopped:?}");
}

/// Finds decisions by the system's clock, which may be set while a run goes on: checkpoints that never come, files of the year 1970 that are in the
/// way, times below 0. It jumps at every look here, by years, forward and back.
#[test]
fn nothing_is_decided_by_the_clock_on_the_wall() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let shim = r#"
        #define _GNU_SOURCE
        #include <dlfcn.h>
        #include <time.h>
        int clock_gettime(clockid_t clock, struct timespec *now) {
            static int (*real)(clockid_t, struct timespec *);
            static _Atomic unsigned looks;
            static const long jumps[] = {0, 86400L * 365 * 20, -86400L * 365 * 60, 3600, 86400L * 365 * 9000};
            if (!real) real = (int (*)(clockid_t, struct timespec *))dlsym(RTLD_NEXT, "clock_gettime");
            int result = real(clock, now);
            if (clock == CLOCK_REALTIME) now->tv_sec += jumps[looks++ % 5];
            return result;
        }"#;
    std::fs::write(folder.join("clock.c"), shim).unwrap();
    let compiled =
        Command::new("cc").current_dir(folder).args(["-shared", "-fPIC", "-o", "clock.so", "clock.c", "-ldl"]).output();
    assert!(compiled.is_ok_and(|output| output.status.success()), "Rust links by cc");
    let jumping = |words: &str| {
        let mut program = program(folder, words);
        program.env("LD_PRELOAD", folder.join("clock.so"));
        program
    };
    let endless = "--steps 1000000000 --out out --tensorboard board --checkpoint cks --checkpoint-every 1s";
    let mut child = jumping(&train(endless)).spawn().unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let told = std::thread::spawn(move || stdout.lines().map(Result::unwrap).collect::<Vec<String>>());
    // Checkpoints follow the monotonic clock, which cannot be set.
    while !folder.join("cks").exists() || files_in(&folder.join("cks")).len() < 2 {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(50));
    }
    assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    let told: Vec<Value> = told.join().unwrap().iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let epochs: Vec<&Value> = told.iter().filter(|event| event["event"] == "epoch").collect();
    assert!(epochs.iter().all(|epoch| epoch["seconds"].as_f64().unwrap() > 0.0));
    let steps = told.last().unwrap()["step"].as_u64().unwrap() + 70;
    let resumed = jumping(&format!("train --resume cks --steps {steps} --json")).output().unwrap();
    assert!(resumed.status.success(), "{}", message(&resumed));
    assert!(weights(folder, "out/model.safetensors") == undisturbed(steps).1);
    let listed = jumping("runs .").output().unwrap();
    assert!(String::from_utf8_lossy(&listed.stdout).contains("finished"), "{}", message(&listed));
}

/// Finds several runs that begin at once in one folder, for checkpoints or for the run, of which two write there, or none.
#[test]
fn one_folder_is_one_runs() {
    for option in ["--out shared --save", "--checkpoint shared --save"] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let endless = |at: usize| train(&format!("--steps 1000000000 {option} model{at}"));
        let mut children: Vec<_> = (0..3).map(|at| program(folder, &endless(at)).spawn().unwrap()).collect();
        // All but one end by themselves.
        let mut ended: Vec<Output> = Vec::new();
        while ended.len() < 2 {
            let at = children.iter_mut().position(|child| child.try_wait().unwrap().is_some());
            match at {
                Some(at) => ended.push(children.remove(at).wait_with_output().unwrap()),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
        for output in &ended {
            let message = message(output);
            assert!(output.status.code() == Some(2) && message.contains("another run"), "{option}: {message}");
        }
        let mut child = children.remove(0);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
        assert!(lines.any(|line| line.contains("\"event\":\"epoch\"")));
        assert!(Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap().success());
        assert!(lines.last().unwrap().contains("\"event\":\"end\""));
        assert_eq!(child.wait().unwrap().code(), Some(130));
    }
}
