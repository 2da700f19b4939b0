//! What a table's cell says: a number, a word, or that a value is missing.

use std::collections::HashMap;

/// Whether a cell has no value.
pub(super) fn is_missing(cell: &str) -> bool {
    cell.is_empty() || cell == "NA" || cell == "?" || cell.eq_ignore_ascii_case("nan")
}

/// Whether a cell is written as a number; `inf` is, though no set takes it.
pub(super) fn is_number(cell: &str) -> bool {
    cell.parse::<f64>().is_ok()
}

pub(super) fn number(cell: &str) -> Result<f32, String> {
    if is_missing(cell) {
        return Err(missing(cell));
    }
    let value = cell.parse::<f32>().map_err(|_| format!("\"{}\" is no number", short(cell)))?;
    if value.is_finite() { Ok(value) } else { Err(format!("{} is no finite f32", short(cell))) }
}

/// Without what scaling, and its reverse, have left in the last digits.
pub(super) fn six_digits(value: f32) -> String {
    format!("{value:.5e}").parse().map_or_else(|_| value.to_string(), |value: f64| value.to_string())
}

pub(super) fn missing(cell: &str) -> String {
    let found =
        if cell.is_empty() { "the cell is empty".into() } else { format!("\"{cell}\" stands for a missing value") };
    format!("{found}: fill it in, or ask for a fill (--fill mean, zero or a number; or fill under [data] in run.toml)")
}

/// A cell's begin, for messages.
pub(super) fn short(cell: &str) -> String {
    let begin: String = cell.chars().take(40).collect();
    if begin.len() < cell.len() { format!("{begin}…") } else { begin }
}

/// A class' name: its word, or, for numbers without a fraction, their digits, so that 1 and 1.0 are one class.
pub(super) fn class_name(cell: &str) -> String {
    match cell.parse::<f64>() {
        Ok(value) if value.fract() == 0.0 && value.abs() < 1e15 => format!("{}", value as i64),
        _ => cell.into(),
    }
}

pub(super) fn class_index(classes: &HashMap<&str, u32>, cell: &str) -> Result<u32, String> {
    if is_missing(cell) {
        return Err("the target is missing: leave the row out, or fill it in".into());
    }
    let found = classes.get(cell).or_else(|| classes.get(class_name(cell).as_str()));
    found.copied().ok_or_else(|| format!("\"{}\" is none of the {} classes", short(cell), classes.len()))
}
