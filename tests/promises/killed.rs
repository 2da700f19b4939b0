//! The program, killed, interrupted, on a full disk: it goes on from its last checkpoint, and ends in the bits that it would have had.
#![cfg(unix)]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use serde_json::Value;
use wgrad::{Activation, Checkpoint, Model};

use crate::support::{Random, bits, files_in, flat, golden_file, relative_error, succeed, wgrad};

/// Dropout, Adam, shuffled, clipped: 64 rows, 7 steps an epoch, the last of them short.
fn base() -> Vec<String> {
    let set = golden_file("adam").to_str().unwrap().to_string();
    let words = "train --hidden 6 --dropout 0.2 --batch-size 10 --clip-grad-norm 0.5 --validation none --json --data";
    words.split(' ').map(String::from).chain([set]).collect()
}

fn with(words: &str) -> Vec<String> {
    base().into_iter().chain(words.split_whitespace().map(String::from)).collect()
}

fn run(folder: &Path, words: &[String]) -> Output {
    wgrad(folder, &words.iter().map(String::as_str).collect::<Vec<_>>())
}

#[track_caller]
fn done(folder: &Path, words: &[String]) -> Vec<Value> {
    let out = succeed(folder, &words.iter().map(String::as_str).collect::<Vec<_>>());
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn words(line: &str) -> Vec<String> {
    line.split(' ').map(String::from).collect()
}

fn spawn(folder: &Path, words: &[String]) -> Child {
    let mut program = Command::new(env!("CARGO_BIN_EXE_wgrad"));
    program.current_dir(folder).args(words).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap()
}

fn signal(child: &Child, name: &str) {
    assert!(Command::new("kill").args([name, &child.id().to_string()]).status().unwrap().success());
}

/// Lines of a program that runs, until one has this event.
fn until(lines: &mut impl Iterator<Item = std::io::Result<String>>, event: &str) {
    let wanted = format!("\"event\":\"{event}\"");
    assert!(lines.by_ref().any(|line| line.unwrap().contains(&wanted)), "no {event}");
}

fn weights(folder: &Path, file: &str) -> Vec<u32> {
    bits(&Model::read(folder.join(file)).unwrap().weights)
}

/// The weights of an uninterrupted run of `steps` steps.
fn undisturbed(folder: &Path, steps: u64) -> Vec<u32> {
    done(folder, &with(&format!("--steps {steps} --save undisturbed")));
    weights(folder, "undisturbed")
}

/// Finds a file of which half is written, a folder that cannot be resumed from, a step done twice or not at all.
#[test]
fn killed_twenty_times_the_run_ends_in_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut random = Random(5);
    let mut steps = Vec::new();
    for kill in 0..20 {
        let words = match steps.last() {
            None | Some(0) => with("--steps 1000000000 --checkpoint cks --checkpoint-every 3"),
            Some(_) => words("train --resume cks --json"),
        };
        let mut child = spawn(folder, &words);
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        // Half of them at any moment, the driver's start included; half while it trains.
        if kill % 2 == 1 {
            until(&mut lines, "epoch");
        }
        // It must not wait for us to read.
        let reader = std::thread::spawn(move || lines.count());
        std::thread::sleep(Duration::from_millis(random.below(500) as u64));
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        child.kill().unwrap();
        let mut errors = String::new();
        std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut errors).unwrap();
        child.wait().unwrap();
        reader.join().unwrap();
        assert_eq!(errors, "", "kill {kill}: a whole one is there, or none");
        steps.push(Checkpoint::open(folder.join("cks")).map_or(0, |checkpoint| checkpoint.step()));
    }
    assert!(steps.windows(2).filter(|pair| pair[0] < pair[1]).count() > 5, "{steps:?}");
    let last = steps[19] + 5;
    done(folder, &words(&format!("train --resume cks --json --steps {last}")));
    assert!(weights(folder, "model.safetensors") == undisturbed(folder, last), "{steps:?}");
}

/// Finds a run under `nohup` that a closed terminal ends all the same.
#[test]
fn a_hangup_that_is_to_be_ignored_is() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Command::new("sh");
    program.args(["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_wgrad")]);
    program.current_dir(folder.path()).args(with("--steps 1000000000 --save saved"));
    let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    until(&mut lines, "epoch");
    signal(&child, "-HUP");
    for _ in 0..3 {
        until(&mut lines, "epoch");
    }
    signal(&child, "-TERM");
    lines.for_each(drop);
    assert_eq!(child.wait().unwrap().code(), Some(143));
}

/// Finds a signal that loses what was trained, is ignored, or ends a run with the wrong code; and a run that cannot go on after it.
#[test]
fn a_signal_ends_a_run_that_can_go_on() {
    for (name, code) in [("-TERM", 143), ("-INT", 130), ("-HUP", 129)] {
        // Tests may run under something like `nohup`: a hangup is received again where the program is started without it, as GNU's `env` can do.
        let starts = if cfg!(target_os = "linux") { &["env", "--default-signal=HUP"][..] } else { &[] };
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path();
        let endless = with("--steps 1000000000 --checkpoint cks --checkpoint-every 10h --save saved");
        let mut program = starts.iter().map(|word| word.to_string()).chain([env!("CARGO_BIN_EXE_wgrad").into()]);
        let mut command = Command::new(program.next().unwrap());
        command.current_dir(folder).args(program).args(&endless).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        until(&mut lines, "epoch");
        signal(&child, name);
        let last: Value = serde_json::from_str(&lines.last().unwrap().unwrap()).unwrap();
        assert_eq!((child.wait().unwrap().code(), &last["event"]), (Some(code), &"end".into()));
        assert_eq!(last["interrupted"], true);
        let step = last["step"].as_u64().unwrap();
        assert_eq!(Checkpoint::open(folder.join("cks")).unwrap().step(), step);
        assert!(weights(folder, "saved") == undisturbed(folder, step), "the model of step {step}");
        let events = done(folder, &words(&format!("train --resume cks --json --steps {}", step + 9)));
        assert_eq!(events[0]["resumed"], step);
        assert!(weights(folder, "saved") == undisturbed(folder, step + 9));
    }
}

/// The processor time of a process.
#[cfg(target_os = "linux")]
fn processor_time(child: &Child) -> String {
    let about = std::fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
    // In user mode and in the system's, after the name in parentheses, which may hold anything.
    about.rsplit(')').next().unwrap().split_whitespace().skip(11).take(2).collect::<Vec<_>>().join(" ")
}

/// A second Ctrl-C ends the program where the first did not help: here the program waits for a reader that does not read.
#[cfg(target_os = "linux")]
#[test]
fn the_second_signal_ends_the_program_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let mut child = spawn(folder.path(), &with("--steps 1000000000"));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    until(&mut lines, "epoch");
    // Until its output is full, and it does nothing but wait.
    let mut before = String::new();
    while before != processor_time(&child) {
        before = processor_time(&child);
        std::thread::sleep(Duration::from_millis(700));
    }
    signal(&child, "-INT");
    std::thread::sleep(Duration::from_millis(200));
    signal(&child, "-INT");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "no model: it had no time");
}

/// Finds a signal before the first step after which the system ends the program, an empty folder is left, or the run begins all the same.
#[test]
fn a_signal_while_the_set_is_read_ends_the_program() {
    let folder = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/dev/stdin", folder.path().join("set.csv")).unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_wgrad"));
    program.current_dir(folder.path()).args("train --data set.csv --batch-size 2 --out out/deep".split(' '));
    let mut child = program.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut rows = child.stdin.take().unwrap();
    // More than a pipe holds: once they are written the program reads them, and waits for more.
    std::io::Write::write_all(&mut rows, &b"1,2,0\n3,4,1\n5,6,0\n".repeat(20_000)).unwrap();
    signal(&child, "-INT");
    drop(rows);
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(130), "{said} {}", String::from_utf8_lossy(&output.stderr));
    assert!(said.contains("Interrupted before the first step") && !said.contains("epoch"), "{said}");
    assert_eq!(files_in(folder.path()), ["set.csv"]);
}

/// Finds a finished run that is reported again, as an epoch of no time and no rows; and one whose program ended before it had saved its model.
#[test]
fn a_run_that_is_done_has_nothing_left_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    done(folder, &with("--epochs 3 --checkpoint cks --out out --save out/model"));
    let metrics = std::fs::read(folder.join("out/metrics.jsonl")).unwrap();
    let model = std::fs::read(folder.join("out/model")).unwrap();
    std::fs::remove_file(folder.join("out/model")).unwrap();
    let told = succeed(folder, &["train", "--resume", "cks"]);
    assert!(
        told.contains("The run was finished before") && told.contains("--epochs") && !told.contains("epoch "),
        "{told}"
    );
    assert!(std::fs::read(folder.join("out/metrics.jsonl")).unwrap() == metrics);
    assert!(std::fs::read(folder.join("out/model")).unwrap() == model);
    // It goes on, and its metrics with it.
    done(folder, &words("train --resume cks --epochs 5 --json"));
    let metrics = std::fs::read_to_string(folder.join("out/metrics.jsonl")).unwrap();
    assert!(metrics.lines().count() == 5 && !metrics.contains("\"samples_per_second\":0.0"), "{metrics}");
}

/// Finds a signal while tiles are measured that is noticed only after all of them are.
#[test]
fn a_signal_ends_tuning() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = Command::new(env!("CARGO_BIN_EXE_wgrad"));
    program.current_dir(folder.path()).args(with("--tuning auto --steps 1000000000"));
    // Nothing that was measured before.
    program.env("XDG_CACHE_HOME", folder.path().join("cache")).env("HOME", folder.path());
    let mut child = program.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    until(&mut lines, "start");
    signal(&child, "-INT");
    let rest: Vec<String> = lines.map(Result::unwrap).collect();
    assert_eq!(child.wait().unwrap().code(), Some(130), "{rest:?}");
    assert!(rest.iter().all(|line| !line.contains("\"event\":\"epoch\"")), "{rest:?}");
    assert!(!folder.path().join("model.safetensors").exists());
}

/// Finds a disk that fills up while a checkpoint is written, where the one before it is lost, half of one is left, or there is no error.
#[test]
fn a_full_disk_leaves_the_checkpoint_before() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    done(folder, &with("--steps 10 --checkpoint cks"));
    let checkpoint = folder.join("cks/step-0000000010.safetensors");
    let whole = std::fs::read(&checkpoint).unwrap();
    let program = env!("CARGO_BIN_EXE_wgrad");
    // No file may grow past 512 bytes; a write that would make it is an error, as one to a full disk is.
    let limited =
        format!("ulimit -f 1; trap '' XFSZ; exec '{program}' train --resume cks --steps 1000 --checkpoint-every 5");
    let output = Command::new("sh").current_dir(folder).args(["-c", &limited]).output().unwrap();
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("step-00000000") && message.contains("too large"), "{message}");
    let names = || files_in(&folder.join("cks")).len();
    assert!(std::fs::read(&checkpoint).unwrap() == whole && names() == 1);

    // A disk of its own, where one can be mounted: with room for one checkpoint.
    std::fs::create_dir(folder.join("disk")).unwrap();
    let size = (whole.len() * 3 / 2).next_multiple_of(4096);
    // `unshare` has codes of its own where it is not allowed, 1 among them.
    const NOT_MOUNTED: i32 = 77;
    const ENDED_WELL: i32 = 78;
    const NOT_COPIED: i32 = 79;
    let mounted = format!(
        "mount -t tmpfs -o size={size} tmpfs disk || exit {NOT_MOUNTED}; cp -r cks disk || exit {NOT_COPIED}; \
         if '{program}' train --resume disk/cks --steps 1000 --checkpoint-every 5 2>message; then exit {ENDED_WELL}; fi; \
         cp -r disk/cks after || exit {NOT_COPIED}"
    );
    let output = Command::new("unshare").current_dir(folder).args(["-rm", "sh", "-c", &mounted]).output();
    let message = std::fs::read_to_string(folder.join("message")).unwrap_or_default();
    match output.map(|output| output.status.code()) {
        Ok(Some(0)) => {
            assert!(message.contains("No space left") && message.contains("step-00000000"), "{message}");
            assert_eq!(files_in(&folder.join("after")).len(), 1);
            assert!(std::fs::read(folder.join("after/step-0000000010.safetensors")).unwrap() == whole);
        }
        Ok(Some(code @ (ENDED_WELL | NOT_COPIED))) => panic!("{code}: {message}"),
        other => println!("not checked: this container does not allow to mount a disk ({other:?})"),
    }

    // And with room, the run goes on.
    done(folder, &words("train --resume cks --json --steps 20"));
    assert!(weights(folder, "model.safetensors") == undisturbed(folder, 20));
}

/// Finds a run that loses what it has trained because a checkpoint cannot be written; or that saves a model of another step than it says.
#[test]
fn a_checkpoint_that_cannot_be_written_costs_no_model() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut child = spawn(folder, &with("--steps 1000000000 --checkpoint cks --checkpoint-every 3 --save saved"));
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    until(&mut lines, "epoch");
    std::fs::rename(folder.join("cks"), folder.join("moved")).unwrap();
    std::fs::write(folder.join("cks"), "in the way").unwrap();
    let last: Value = serde_json::from_str(&lines.last().unwrap().unwrap()).unwrap();
    let mut message = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut message).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2), "{message}");
    assert!(message.contains("error: ") && message.contains("cks"), "{message}");
    assert_eq!((&last["event"], &last["model"]), (&"saved".into(), &"saved".into()));
    assert!(weights(folder, "saved") == undisturbed(folder, last["step"].as_u64().unwrap()));
}

/// Finds options of the run's beginning that are lost or mixed with new ones: in flags, in run.toml, in files of the user's own.
#[test]
fn a_run_is_resumed_with_its_own_options() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let set = golden_file("adam").to_str().unwrap().to_string();
    let softsign = "fn activate(z: f32) -> f32 { return z / (1.0 + abs(z)); }
        fn derivative(z: f32) -> f32 { return 1.0 / ((1.0 + abs(z)) * (1.0 + abs(z))); }";
    std::fs::write(folder.join("softsign.wgsl"), softsign).unwrap();
    let toml = format!(
        "[data]\ntrain = '{set}'\nvalidation = 0.25\n[model]\nhidden = [6]\n[schedule]\nkind = 'cosine'\nt_max = 40\n[train]\nkeep_best = true\n\
         batch_size = 10\nsave = 'from_toml'\ncheckpoint = 'cks'\ncheckpoint_every = 4\ncheckpoint_keep = 50\n"
    );
    std::fs::write(folder.join("run.toml"), toml).unwrap();
    let begin = words("train --config run.toml --activation softsign.wgsl --lr 0.03 --json --save");
    let whole = [begin.clone(), words("whole --epochs 6 --checkpoint whole_cks")].concat();
    done(folder, &whole);
    done(folder, &[begin, words("part --epochs 2")].concat());
    // They may be gone, but for what has no copy in the file.
    std::fs::remove_file(folder.join("run.toml")).unwrap();
    done(folder, &words("train --resume cks --epochs 4 --save moved --json"));
    std::fs::rename(folder.join("cks"), folder.join("elsewhere")).unwrap();
    done(folder, &words("train --resume elsewhere --epochs 6 --json"));
    let own = [Activation::custom("softsign", softsign).unwrap()];
    let weights = |file: &str| bits(&Model::read_with(folder.join(file), &own, &[]).unwrap().weights);
    assert!(weights("moved") == weights("whole"), "and where it goes is what was said last");
    assert!(weights("part") != weights("whole"));
    assert!(!folder.join("cks").exists() && !folder.join("from_toml").exists());

    let refused = |arguments: &str, said: &[&str]| {
        let output = run(folder, &words(arguments));
        let message = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments}: {message}");
        said.iter().for_each(|said| assert!(message.contains(said), "{arguments}: no {said} in {message}"));
    };
    refused("train --resume elsewhere --lr 0.1", &["--lr", "--epochs", "--checkpoint-keep"]);
    refused("train --resume elsewhere --no-shuffle", &["--no-shuffle"]);
    refused("train --resume elsewhere --batch-size 10", &["--batch-size"]);
    refused("train --resume elsewhere --epochs 1", &["has ended before"]);
    refused("train --resume nowhere", &["nowhere"]);
    refused("train --resume whole", &["whole", "no checkpoint"]);
    refused("explain --resume elsewhere", &["wgrad train"]);
    refused("train --checkpoint-every 5", &["--checkpoint DIR"]);
    refused("train --checkpoint-every 5d --checkpoint x", &["5d", "30s"]);
    refused("train --checkpoint-every 0 --checkpoint x", &["0 steps"]);
    refused("train --checkpoint-keep 0 --checkpoint x", &["at least 1"]);
    refused("train --checkpoint elsewhere", &["another run"]);
    std::fs::write(folder.join("softsign.wgsl"), softsign.replace("1.0 + abs", "1.5 + abs")).unwrap();
    refused("train --resume elsewhere --epochs 7", &["not the text"]);
    std::fs::remove_file(folder.join("softsign.wgsl")).unwrap();
    refused("train --resume elsewhere --epochs 7", &["softsign.wgsl"]);
}

/// Finds a checkpoint of an earlier version that can no longer be opened, or that goes on otherwise. Its bits depend on the adapter; what it learns
/// does not.
#[test]
fn a_checkpoint_of_every_version_opens() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = std::fs::read_to_string(root.join("tests/checkpoints/README.md")).unwrap();
    let commands: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("    wgrad ")).collect();
    assert_eq!(commands.len(), 2);
    for (version, command) in (1..).zip(commands) {
        let folder = tempfile::tempdir().unwrap();
        let kept = root.join(format!("tests/checkpoints/v{version}.safetensors"));
        let at = |name: &str| folder.path().join(name).to_str().unwrap().to_string();
        let checkpoint = Checkpoint::open(&kept).unwrap();
        assert_eq!(checkpoint.step(), 11);
        Model::read(&kept).unwrap();
        let (begun, _) = command.split_once(" --checkpoint ").unwrap();
        let begun = begun.replace("--steps 11", "--steps 30");
        done(root, &[words(&begun), vec!["--save".into(), at("whole"), "--json".into()]].concat());
        let resume = [
            "train",
            "--resume",
            kept.to_str().unwrap(),
            "--steps",
            "30",
            "--json",
            "--checkpoint",
            &at("cks"),
            "--save",
            &at("on"),
        ];
        let events = done(root, &resume.map(String::from));
        assert_eq!(events[0]["resumed"], 11);
        let model = |name| flat(&Model::read(at(name)).unwrap().weights);
        let error = relative_error(&model("on"), &model("whole"));
        assert!(error < 1e-4, "{error}");
    }
}

/// Finds a length given in steps that still counts when it is given in epochs later.
#[test]
fn a_run_of_steps_goes_on_for_epochs_and_the_other_way_round() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    done(folder, &with("--steps 10 --checkpoint steps --checkpoint-every 5"));
    done(folder, &words("train --resume steps --json --epochs 3 --save by-epochs"));
    assert!(weights(folder, "by-epochs") == undisturbed(folder, 21));
    done(folder, &with("--epochs 2 --checkpoint epochs --checkpoint-every 5"));
    done(folder, &words("train --resume epochs --json --steps 25 --save by-steps"));
    assert!(weights(folder, "by-steps") == undisturbed(folder, 25));
}

/// Finds a command to copy that a shell splits: a folder has a space and a quote in its name.
#[test]
fn the_hint_to_go_on_is_one_that_a_shell_takes() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut words = with("--steps 1000000000 --checkpoint");
    words.push("it's mine".into());
    words.retain(|word| word != "--json");
    let mut child = spawn(folder, &words);
    let taken = folder.join("it's mine/.lock");
    while !taken.exists() {
        assert!(child.try_wait().unwrap().is_none(), "it ended by itself");
        std::thread::sleep(Duration::from_millis(20));
    }
    std::thread::sleep(Duration::from_millis(500));
    signal(&child, "-INT");
    let said = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
    assert!(said.contains(r"wgrad train --resume 'it'\''s mine'"), "{said}");
}
