//! Caches of compiled kernels and of measured tiles that cannot be written, are damaged, are not caches, or are used by several runs at once: each
//! costs time, and never a run.
#![cfg(target_os = "linux")]

use std::process::Command;

use serde_json::Value;

use crate::faults::{message, program, train, undisturbed, weights};
use crate::support::{Random, files_in, golden_file, succeed};

/// A cache that has no room, no folder, or a folder in its place costs a warning, and the run is as it is without one.
#[test]
fn caches_cost_time_and_never_a_run() {
    let (folder, without) = undisturbed(21);
    let folder = folder.path();
    std::fs::write(folder.join("file"), "").unwrap();
    let cached = |place: &str| {
        let mut program = program(folder, &train("--steps 21 --save cached"));
        let output = program.env("XDG_CACHE_HOME", folder.join(place)).output().unwrap();
        assert!(output.status.success(), "{place}: {}", message(&output));
        assert!(weights(folder, "cached") == without, "{place}");
        // Mesa has a cache of its own there, and words for it.
        message(&output).lines().filter(|line| !line.contains("for shader cache")).collect::<String>()
    };
    let adapters: Vec<Value> = succeed(folder, &["adapters", "--json"])
        .lines()
        .filter_map(|line| serde_json::from_str(line).ok())
        .filter(|adapter: &Value| adapter["chosen"] == true)
        .collect();
    // Where the driver has a cache to keep, that it cannot be kept is said.
    let keeps = adapters[0]["features"].as_array().unwrap().contains(&"pipeline-cache".into());
    for place in ["file", "/sys/wgrad"] {
        let told = cached(place);
        assert_eq!(told.contains("a cache is not written"), keeps, "{told}");
        assert_eq!(told.is_empty(), !keeps, "{told}");
    }
    // Compiled kernels that are none: cut short, of another machine, a folder.
    assert_eq!(cached("cache"), "");
    let own = folder.join("cache/wgrad");
    let names = if own.exists() { files_in(&own) } else { vec![] };
    assert_eq!(names.len(), usize::from(keeps), "{names:?} of {adapters:?}");
    for name in names {
        let file = own.join(&name);
        let whole = std::fs::read(&file).unwrap();
        let mut random = Random(3);
        let noise: Vec<u8> = (0..whole.len()).map(|_| random.bits() as u8).collect();
        // With the right checksum, so that the driver sees it.
        let mut hasher = std::hash::DefaultHasher::new();
        std::hash::Hasher::write(&mut hasher, &noise);
        let sum = std::hash::Hasher::finish(&hasher).to_le_bytes();
        for damaged in [whole[..whole.len() / 2].to_vec(), noise.clone(), [&sum[..], &noise].concat()] {
            std::fs::write(&file, &damaged).unwrap();
            assert_eq!(cached("cache"), "");
            assert!(std::fs::read(&file).unwrap() != damaged, "it is begun anew");
        }
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        assert!(cached("cache").contains("a cache is not written"));
    }
}

/// Finds a plan that follows damaged picks of tiles, or waits for them.
#[test]
fn picks_that_are_none_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let own = folder.join("picks/wgrad");
    std::fs::create_dir_all(&own).unwrap();
    let cache = own.join("tuning.json");
    let explained = |told: bool| {
        let words = train("").replacen("train", "explain --tuning auto", 1);
        let output = program(folder, &words).env("XDG_CACHE_HOME", folder.join("picks")).output().unwrap();
        assert!(output.status.success(), "{}", message(&output));
        assert_eq!(message(&output).contains("tuning cache"), told, "{}", message(&output));
        output.stdout
    };
    let plain = explained(false);
    for content in ["{\"a\": {\"b\"", "{\"a\": 1e999}", &"[".repeat(100_000), &" ".repeat(5 << 20)] {
        std::fs::write(&cache, content).unwrap();
        assert!(explained(true) == plain);
    }
    std::fs::write(&cache, "{\"another adapter\": {\"dense_update set_u8 16×16×8\": \"subgroup 99999999999×7\"}}")
        .unwrap();
    assert!(explained(false) == plain);
    std::fs::remove_file(&cache).unwrap();
    std::fs::create_dir(&cache).unwrap();
    assert!(explained(true) == plain);
    std::fs::remove_dir(&cache).unwrap();
    assert!(Command::new("mkfifo").arg(&cache).status().unwrap().success());
    assert!(explained(true) == plain);
}

/// Finds runs that measure tiles at once into one file, of which half of each is kept, or the second fails.
#[test]
fn runs_that_tune_at_once_share_a_cache() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let set = golden_file("adam").to_str().unwrap().to_string();
    let words = |hidden: u32| {
        format!(
            "train --hidden {hidden} --batch-size 10 --validation none --tuning auto --steps 7 --save {hidden} --data {set}"
        )
    };
    let begun = [40, 24, 12]
        .map(|hidden| program(folder, &words(hidden)).env("XDG_CACHE_HOME", folder.join("cache")).spawn().unwrap());
    for child in begun {
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", message(&output));
        assert_eq!(message(&output), "");
    }
    // On a busy machine a search may be cut short, and is not kept: the next one finds the driver's compiler done with more of it.
    let kept = folder.join("cache/wgrad/tuning.json");
    for _ in 0..10 {
        if kept.exists() {
            break;
        }
        let mut again = program(folder, &words(12));
        assert!(again.env("XDG_CACHE_HOME", folder.join("cache")).output().unwrap().status.success());
    }
    let table: serde_json::Map<String, Value> = serde_json::from_slice(&std::fs::read(kept).unwrap()).unwrap();
    assert!(table.len() == 1 && table.values().all(|picks| !picks.as_object().unwrap().is_empty()));
}
