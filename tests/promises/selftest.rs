//! The selftest fails on a wrong kernel and names it, and passes on right ones.

use serde_json::Value;
use wgrad::kernel::tile::Family;

use crate::support::{golden_file, gpu, succeed, wgrad};

fn events(out: &str) -> Vec<Value> {
    out.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

/// Finds a selftest that passes on wrong kernels: compiled for subgroups of twice the lanes, tiles leave out columns and teams rows. It names them,
/// with what was expected, and its exit code is 1; a reader of `--json` learns the same.
#[test]
fn a_wrong_kernel_is_found_and_named() {
    let folder = tempfile::tempdir().unwrap();
    // An adapter without such subgroups has no kernels that can be made wrong so: there it is the numbers that are expected.
    let (arguments, first, words) = match gpu().adapter().family() {
        Family::Subgroups { lanes: lanes @ (4 | 8), .. } => {
            let tile = format!("subgroup 4×{}", 8 * lanes);
            let arguments =
                ["selftest", "--lanes", &(2 * lanes).to_string(), "--only", &tile].map(String::from).to_vec();
            // Checks come in the order in which they end.
            (arguments, "failed: tiles, dense_forward", ["33 rows 45 → 70".to_string(), tile])
        }
        _ => {
            let mut wrong = std::fs::read(golden_file("sgd")).unwrap();
            *wrong.last_mut().unwrap() ^= 0x80;
            std::fs::create_dir(folder.path().join("more")).unwrap();
            std::fs::write(folder.path().join("more/mine.safetensors"), wrong).unwrap();
            let arguments = ["selftest", "--golden", "more", "--only", "of the folder"].map(String::from).to_vec();
            (arguments, "failed: trajectories of the folder", ["mine: losses".to_string(), "mine".into()])
        }
    };
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = wgrad(folder.path(), &arguments);
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{out}");
    let failed = out.lines().find(|line| line.starts_with(first) && line.contains(&words[0])).expect(&out);
    for word in [&words[1], "relative error", "expected"] {
        assert!(failed.contains(word), "no \"{word}\" in {failed}");
    }
    assert!(out.contains("failed on "), "{out}");

    let output = wgrad(folder.path(), &[&arguments[..], &["--json"]].concat());
    assert_eq!(output.status.code(), Some(1));
    let events = events(&String::from_utf8(output.stdout).unwrap());
    let end = events.last().unwrap();
    assert_eq!((&end["event"], &end["passed"]), (&"selftest".into(), &false.into()));
    let failed = events.iter().filter(|event| event["event"] == "check" && event["outcome"] == "failed").count();
    assert!(failed > 0 && end["failed"] == failed, "{end}");
}

/// Finds a variant that the adapter cannot run, counted as right; and a table without the adapter, its driver or this version.
#[test]
fn a_pass_says_on_what_and_what_was_left_out() {
    let folder = tempfile::tempdir().unwrap();
    let out = succeed(folder.path(), &["selftest", "--only", "close_step"]);
    let (adapter, version) = (gpu().adapter().clone(), env!("CARGO_PKG_VERSION"));
    for word in [&adapter.name, &adapter.driver, &format!("wgrad {version}: passed"), "other kernels"] {
        assert!(out.contains(word), "no \"{word}\" in {out}");
    }
    // No adapter has subgroups of 4, 8 and 16 lanes alike.
    let output = wgrad(folder.path(), &["selftest", "--only", "subgroup 4×", "--json"]);
    let events = events(&String::from_utf8(output.stdout).unwrap());
    let left_out: Vec<&Value> = events.iter().filter(|event| event["outcome"] == "not eligible").collect();
    assert!(left_out.len() >= 2 && left_out.iter().all(|event| event["reason"].is_string()), "{events:?}");
    let end = events.last().unwrap();
    let passed = events.iter().filter(|event| event["outcome"] == "passed").count();
    assert_eq!(end["passed"], passed > 0, "a selftest that checked nothing has not passed");
    assert_eq!(end["checks"], passed + left_out.len());
}

/// Finds a folder of trajectories that is read as if it had none; one that follows another path than PyTorch, and passes.
#[test]
fn more_trajectories_come_from_a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let more = folder.path().join("more");
    let selftest = || wgrad(folder.path(), &["selftest", "--golden", "more", "--only", "of the folder"]);
    let refused = |words: &[&str]| {
        let output = selftest();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{message}");
        words.iter().for_each(|word| assert!(message.contains(word), "no \"{word}\" in {message}"));
    };
    refused(&["more"]);
    std::fs::create_dir(&more).unwrap();
    refused(&["more", "no .safetensors file"]);

    let good = std::fs::read(golden_file("sgd")).unwrap();
    let file = more.join("mine.safetensors");
    std::fs::write(&file, &good).unwrap();
    let output = selftest();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));

    // The last number is a feature: its sign.
    let mut other = good.clone();
    *other.last_mut().unwrap() ^= 0x80;
    std::fs::write(&file, &other).unwrap();
    let output = selftest();
    let out = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{out}");
    assert!(out.contains("failed: trajectories of the folder, mine: mine"), "{out}");

    std::fs::write(&file, &good[..good.len() - 1]).unwrap();
    refused(&["mine.safetensors", "not a whole safetensors file"]);
    let replaced = |from: &str, to: &str| {
        assert_eq!(from.len(), to.len());
        let at = good.windows(from.len()).position(|window| window == from.as_bytes()).unwrap();
        let mut bytes = good.clone();
        bytes[at..at + from.len()].copy_from_slice(to.as_bytes());
        std::fs::write(&file, &bytes).unwrap();
    };
    replaced("\"SGD", "\"XGD");
    refused(&["mine.safetensors", "optimizer", "XGD"]);
    replaced("steps\\\": 4", "steps\\\": 9");
    refused(&["mine.safetensors", "9", "losses"]);
    replaced("batch_size\\\": 8", "batch_size\\\": 0");
    refused(&["mine.safetensors", "batch size is 0"]);
    replaced("\"case\"", "\"cast\"");
    refused(&["mine.safetensors", "not a trajectory"]);
    std::fs::write(&file, std::fs::read(golden_file("adam")).unwrap().repeat(2)).unwrap();
    refused(&["mine.safetensors"]);
}

/// Finds words that match no check, and pass.
#[test]
fn a_selftest_of_nothing_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let output = wgrad(folder.path(), &["selftest", "--only", "quantum"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{message}");
    for word in ["quantum", "other kernels", "tiles", "--only list"] {
        assert!(message.contains(word), "no \"{word}\" in {message}");
    }
}

/// Finds words that a user has to know before, or has to write as the code does; and a list of checks that are not made.
#[test]
fn the_words_of_a_selftest_are_listed_and_taken_in_any_case() {
    let folder = tempfile::tempdir().unwrap();
    let run = |words: &str| events(&succeed(folder.path(), &["selftest", "--only", words, "--json"]));
    let listed = run("List");
    assert!(listed.len() > 3 && listed.iter().all(|event| event["event"] == "checks"), "{listed:?}");
    let of_close_step = listed.iter().find(|event| event["section"] == "other kernels").unwrap();
    assert!(of_close_step["what"].as_array().unwrap().contains(&"close_step".into()), "{of_close_step}");
    let checks = |words: &str| run(words).last().unwrap()["checks"].as_u64().unwrap();
    assert!(checks("close_step") > 0);
    assert_eq!(checks("Close_STEP"), checks("close_step"));
    assert_eq!(checks("OTHER kernels, CLOSE"), checks("close_step"));
}
