//! Lines to stdout: for people, or one JSON object each.

use std::io::Write;

use serde_json::Value;

use crate::{Error, Evaluation};

/// Where a command's results go.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub json: bool,
}

impl Output {
    /// A line for people; nothing under `--json`.
    pub fn text(&self, line: impl std::fmt::Display) -> Result<(), Error> {
        if self.json { Ok(()) } else { Self::line(line) }
    }

    /// A line for programs; nothing without `--json`.
    pub fn event(&self, event: Value) -> Result<(), Error> {
        if self.json { Self::line(event) } else { Ok(()) }
    }

    fn line(line: impl std::fmt::Display) -> Result<(), Error> {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(Error::Output)
    }
}

/// A number with commas between its thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

/// "loss 0.2211  accuracy 93.56 %"
pub(super) fn figures(result: &Evaluation) -> String {
    let accuracy = result.accuracy.map_or(String::new(), |accuracy| format!("  accuracy {:.2} %", 100.0 * accuracy));
    format!("loss {:.4}{accuracy}", result.loss)
}
