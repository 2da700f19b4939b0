//! What a table's cell says: a number, a word, or that a value is missing.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// What stands for a missing value where nothing else is said: the words that pandas' `read_csv` takes for one, and `?`, as UCI's files have it.
const WORDS: &[&str] = &[
    "?", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "None",
    "n/a", "null",
];

/// The words that stand for a missing value. An empty cell always does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Missing(pub Option<Vec<String>>);

impl Missing {
    /// Whether a cell has no value.
    pub fn is(&self, cell: &str) -> bool {
        let is_nan = || cell.trim_start_matches('-').eq_ignore_ascii_case("nan");
        cell.is_empty()
            || match &self.0 {
                Some(words) => words.iter().any(|word| word == cell),
                None => WORDS.contains(&cell) || is_nan(),
            }
    }

    /// What to say of a cell that has none, where one is needed.
    pub fn reason(&self, cell: &str) -> String {
        const FILL: &str = "fill it in, or have it filled where the columns are learned (wgrad train --fill mean, zero or a number; or fill under [data] in run.toml)";
        match cell {
            "" => format!("the cell is empty: {FILL}"),
            word => format!("\"{word}\" stands for a missing value: {FILL}; {}", Missing::otherwise(word)),
        }
    }

    /// How to say that a word is one.
    pub fn otherwise(word: &str) -> String {
        let others: Vec<&str> = ["?", "NA", "N/A"].into_iter().filter(|&other| other != word).take(1).collect();
        format!(
            "if it is a word, say which others stand for a missing value (wgrad train --missing \"{0}\"; or missing = [\"{0}\"] under [data])",
            others.join(",")
        )
    }
}

/// Whether a cell is written as a number; `inf` is, though no set takes it.
pub(crate) fn is_number(cell: &str) -> bool {
    cell.parse::<f64>().is_ok()
}

/// Without what scaling, and its reverse, have left in the last digits.
pub(crate) fn six_digits(value: f32) -> String {
    format!("{value:.5e}").parse().map_or_else(|_| value.to_string(), |value: f64| value.to_string())
}

/// A cell's begin, for messages.
pub(crate) fn short(cell: &str) -> String {
    let begin: String = cell.chars().take(40).collect();
    if begin.len() < cell.len() { format!("{begin}…") } else { begin }
}

/// A whole number as it is written plainly: `7` for `7` and `7.0`. `None` for all else, also for `07`, `7e0` and `+7`, which may be codes.
pub(crate) fn whole(cell: &str) -> Option<&str> {
    let (digits, zeros) = cell.split_once('.').unwrap_or((cell, "0"));
    let unsigned = digits.strip_prefix('-').unwrap_or(digits);
    let is_plain = match unsigned.as_bytes() {
        [b'0'] => digits == "0",
        [b'1'..=b'9', rest @ ..] => rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    (is_plain && !zeros.is_empty() && zeros.bytes().all(|byte| byte == b'0')).then_some(digits)
}

/// Which of some words a cell is: the word itself, or, where they are whole numbers, the same number with a fraction of 0, as programs write
/// it that have no others.
pub(crate) fn index_of(words: &HashMap<&str, u32>, cell: &str) -> Option<u32> {
    words.get(cell).or_else(|| words.get(whole(cell)?)).copied()
}

/// The different words of a column, sorted: as whole numbers where all of them are, and then each number once; else as they are written.
pub(crate) fn distinct<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    match cells.clone().map(whole).collect::<Option<Vec<&str>>>() {
        Some(mut numbers) => {
            // By length before digits: they may have more than any integer.
            numbers.sort_by(|a, b| {
                let by_size = (a.len(), *a).cmp(&(b.len(), *b));
                match (a.starts_with('-'), b.starts_with('-')) {
                    (true, true) => by_size.reverse(),
                    (a, b) => b.cmp(&a).then(by_size),
                }
            });
            numbers.dedup();
            numbers.into_iter().map(String::from).collect()
        }
        None => {
            let mut words: Vec<&str> = cells.collect();
            words.sort_unstable();
            words.dedup();
            words.into_iter().map(String::from).collect()
        }
    }
}
