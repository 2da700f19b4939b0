//! The content of a table's cell: a number, a word, or a missing value.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// The words that mean a missing value by default: those of pandas' `read_csv`, and `?`, as in UCI's files.
const WORDS: &[&str] = &[
    "?", "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA", "NULL", "None",
    "n/a", "null",
];

/// The words that mean a missing value. An empty cell always does.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Missing(pub Option<Vec<String>>);

impl Missing {
    /// Whether a cell's value is missing.
    pub fn is(&self, cell: &str) -> bool {
        let is_nan = || cell.trim_start_matches('-').eq_ignore_ascii_case("nan");
        cell.is_empty()
            || match &self.0 {
                Some(words) => words.iter().any(|word| word == cell),
                None => WORDS.contains(&cell) || is_nan(),
            }
    }

    /// The message about a missing value where one is needed.
    pub fn reason(&self, cell: &str) -> String {
        const FILL: &str = "fill it in, or have it filled where the columns are learned (wgrad train --fill mean, zero or a number; or fill under [data] in run.toml)";
        match cell {
            "" => format!("the cell is empty: {FILL}"),
            word => format!("\"{word}\" stands for a missing value: {FILL}; {}", Missing::otherwise(word)),
        }
    }

    /// The advice on how to declare that a word means a missing value.
    pub fn otherwise(word: &str) -> String {
        let others: Vec<&str> = ["?", "NA", "N/A"].into_iter().filter(|&other| other != word).take(1).collect();
        format!(
            "if it is a word, say which others stand for a missing value (wgrad train --missing \"{0}\"; or missing = [\"{0}\"] under [data])",
            others.join(",")
        )
    }
}

/// Whether a cell parses as a number; `inf` does, although no set takes it.
pub(crate) fn is_number(cell: &str) -> bool {
    cell.parse::<f64>().is_ok()
}

/// A number in six digits, which hides the rounding errors of a scaling and its reverse.
pub(crate) fn six_digits(value: f32) -> String {
    format!("{value:.5e}").parse().map_or_else(|_| value.to_string(), |value: f64| value.to_string())
}

/// The beginning of a cell, for messages.
pub(crate) fn short(cell: &str) -> String {
    let begin: String = cell.chars().take(40).collect();
    if begin.len() < cell.len() { format!("{begin}…") } else { begin }
}

/// The plain notation of a whole number: `7` for `7` and `7.0`. `None` for anything else, also for `07`, `7e0` and `+7`, which may be codes.
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

/// The index of a cell among some words. Where the words are whole numbers, the same number with a fraction of 0 matches too, as programs
/// without integers write it.
pub(crate) fn index_of(words: &HashMap<&str, u32>, cell: &str) -> Option<u32> {
    words.get(cell).or_else(|| words.get(whole(cell)?)).copied()
}

/// The distinct words of a column, sorted. If all are whole numbers, they are sorted as such, and each number is there once.
pub(crate) fn distinct<'a>(cells: impl Iterator<Item = &'a str> + Clone) -> Vec<String> {
    match cells.clone().map(whole).collect::<Option<Vec<&str>>>() {
        Some(mut numbers) => {
            // Numbers are compared by length before digits, as they may have more digits than any integer type.
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
