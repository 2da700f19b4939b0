//! Lines to stdout: for people, or one JSON object each.

use std::io::Write;

use serde_json::{Value, json};

use super::figures::{figure, shortest};
use crate::error::Error;
use crate::history::Epoch;
use crate::metric::Evaluation;
use crate::named::noun_of;

/// The output of a command's results, for people or for programs.
#[derive(Clone, Copy)]
pub(super) struct Output {
    pub json: bool,
    is_silent: bool,
}

impl Output {
    pub fn of(json: bool) -> Self {
        Output { json, is_silent: false }
    }

    /// Prints nothing: another process does.
    pub fn silent(self) -> Self {
        Output { is_silent: true, ..self }
    }

    /// Prints lines for people; nothing under `--json`.
    pub fn text(&self, lines: impl std::fmt::Display) -> Result<(), Error> {
        if self.json || self.is_silent { Ok(()) } else { Self::line(clean_lines(&lines.to_string())) }
    }

    /// Prints a line for programs; nothing without `--json`.
    pub fn event(&self, event: Value) -> Result<(), Error> {
        if self.json && !self.is_silent { Self::line(event) } else { Ok(()) }
    }

    fn line(line: impl std::fmt::Display) -> Result<(), Error> {
        let mut stdout = std::io::stdout().lock();
        writeln!(stdout, "{line}").and_then(|()| stdout.flush()).map_err(Error::Output)
    }
}

/// A name from a file, safe for a terminal: characters that would move the cursor, begin a line or turn the direction of writing become �.
pub(super) fn clean(name: &str) -> String {
    name.replace(moves, "\u{fffd}")
}

/// A text of several lines, safe for a terminal.
pub(super) fn clean_lines(text: &str) -> String {
    text.replace(|letter| moves(letter) && letter != '\n', "\u{fffd}")
}

fn moves(letter: char) -> bool {
    letter.is_control() || matches!(letter, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A word of a command line, quoted if a shell would split it.
pub(super) fn quoted(word: &str) -> String {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_./=:,+@%".contains(letter);
    match !word.is_empty() && word.chars().all(is_plain) {
        true => word.to_string(),
        false => format!("'{}'", word.replace('\'', r"'\''")),
    }
}

/// A number with commas between its thousands.
pub(super) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().map(|group| std::str::from_utf8(group).unwrap_or_default()).collect();
    groups.join(",")
}

/// A number with commas between its thousands, and a noun, in the plural but for 1.
pub(super) fn grouped_of(number: u64, noun: &str) -> String {
    format!("{} {}", grouped(number), noun_of(number, noun))
}

/// "loss 0.2211  accuracy 93.56 %"
pub(super) fn figures(result: &Evaluation) -> String {
    let accuracy = result.accuracy.map_or(String::new(), |accuracy| format!("  accuracy {:.2} %", 100.0 * accuracy));
    format!("loss {}{accuracy}", figure(result.loss))
}

/// The event of an epoch, for programs.
pub(super) fn epoch_event(epoch: &Epoch) -> Value {
    json!({
        "event": "epoch", "epoch": epoch.epoch, "rows": epoch.training.rows,
        "loss": epoch.training.loss, "accuracy": epoch.training.accuracy,
        "val_loss": epoch.validation.map(|validation| validation.loss),
        "val_accuracy": epoch.validation.and_then(|validation| validation.accuracy),
        "monitored": epoch.monitored, "learning_rate": shortest(epoch.learning_rate), "skipped_steps": epoch.skipped_steps,
        "seconds": epoch.seconds, "samples_per_second": epoch.samples_per_second,
        "submissions": epoch.stats.traffic.submissions, "blocking_reads": epoch.stats.traffic.blocking_reads,
    })
}

/// Columns that are as wide as their widest cell and two spaces apart, the first to the left and the others to the right.
pub(super) fn table(rows: &[Vec<String>]) -> String {
    let wide = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..rows.iter().map(Vec::len).max().unwrap_or(0)).map(wide).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, &width))| match column {
            0 => format!("{cell:<width$}"),
            _ => format!("  {cell:>width$}"),
        });
        cells.collect::<String>().trim_end().to_string()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds a count whose noun is in another plural than elsewhere.
    #[test]
    fn grouped_counts_have_their_nouns_plural() {
        assert_eq!(grouped_of(1, "class"), "1 class");
        assert_eq!(grouped_of(1000, "class"), "1,000 classes");
        assert_eq!(grouped_of(1_234_567, "row"), "1,234,567 rows");
    }
}
