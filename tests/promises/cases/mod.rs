//! Files that people have, each in a folder of `tests/cases/` whose README says what is right: the program is run on them as its users would.

mod arrays;
mod images;
mod models;
mod options;
mod tables;

use std::path::{Path, PathBuf};

use crate::support;

/// The folder of a case.
pub fn case(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cases").join(name)
}

/// How a run of the program ended.
pub struct Ran {
    /// Its exit code.
    pub code: i32,
    /// The objects that it printed, a line each, under `--json`.
    pub events: Vec<serde_json::Value>,
    /// What it said on standard error: warnings, and why it failed.
    pub said: String,
}

impl Ran {
    /// The first event of a kind.
    #[track_caller]
    pub fn event(&self, kind: &str) -> &serde_json::Value {
        self.events.iter().find(|event| event["event"] == kind).unwrap_or_else(|| panic!("no {kind}: {}", self.said))
    }

    /// Checks that it was refused as bad input, with these words in the reason.
    #[track_caller]
    pub fn refused(&self, words: &[&str]) {
        assert_eq!(self.code, 2, "{}", self.said);
        self.says(words);
    }

    /// Checks that it said these words.
    #[track_caller]
    pub fn says(&self, words: &[&str]) {
        for word in words {
            assert!(self.said.contains(word), "\"{word}\" is not in: {}", self.said);
        }
    }
}

/// Runs `wgrad` in a folder with `--json`.
pub fn wgrad(folder: &Path, arguments: &[&str]) -> Ran {
    let output = support::wgrad(folder, &[arguments, &["--json"]].concat());
    let events = String::from_utf8(output.stdout).unwrap();
    Ran {
        code: output.status.code().unwrap_or(-1),
        events: events.lines().map(|line| serde_json::from_str(line).unwrap()).collect(),
        said: String::from_utf8(output.stderr).unwrap(),
    }
}

/// `wgrad train` on a case's data; the model goes to a temporary folder, as `model.safetensors`.
pub fn train(name: &str, arguments: &[&str]) -> (Ran, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.safetensors");
    let all = [&["train", "--save", model.to_str().unwrap()], arguments].concat();
    (wgrad(&case(name), &all), folder)
}
