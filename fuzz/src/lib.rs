//! What every fuzz target does with its bytes: read them as a set, with targets and as inputs alone. Whatever comes back is right; a
//! panic, an abort or more memory than libFuzzer's limit is not.

use std::path::Path;

use wgrad::{Columns, Dataset, FORMATS, Fill, ReadOptions};

/// The ways in which a reader can be asked.
fn ways() -> [ReadOptions; 4] {
    let filled = ReadOptions { fill: Some(Fill::Mean), header: Some(true), regression: true, ..ReadOptions::default() };
    let placed = ReadOptions { header: Some(false), label: Some("1".into()), ..ReadOptions::default() };
    [ReadOptions::default(), ReadOptions::inputs(), filled, placed]
}

/// Bytes as a file of the format that has this name.
pub fn read(word: &str, bytes: &[u8]) {
    if word == "parquet" {
        // Its crate's assertions are caught and told as errors; what is not caught ends the target all the same.
        static QUIET: std::sync::Once = std::sync::Once::new();
        QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    }
    let format = FORMATS.iter().find(|format| format.word == word).expect("a format of this name");
    // Which way is taken hangs on the length, which a mutation changes soon. Only tables are read differently in the last two.
    let ways_of_format = if matches!(word, "csv" | "parquet") { 4 } else { 2 };
    let options = &ways()[bytes.len() % ways_of_format];
    let Ok((set, _)) = (format.read)(Path::new("fuzz"), bytes, options) else { return };
    if let Some(columns) = set.columns() {
        let like = ReadOptions { columns: Some(columns.clone()), inputs_only: true, ..options.clone() };
        let again = (format.read)(Path::new("fuzz"), bytes, &like);
        assert!(options_agree(&again, &set), "the same file, other features");
    }
}

/// That a table read like itself has the same rows.
fn options_agree(again: &Result<(Dataset, Option<Dataset>), wgrad::Error>, set: &Dataset) -> bool {
    again.as_ref().is_ok_and(|(again, _)| (again.rows(), again.width()) == (set.rows(), set.width()))
}

/// Two IDX files: so many bytes as the first two say are the images', the rest the labels'.
pub fn idx(bytes: &[u8]) {
    if let Some((length, rest)) = bytes.split_first_chunk() {
        let (images, labels) = rest.split_at(usize::from(u16::from_le_bytes(*length)).min(rest.len()));
        let _ = Dataset::from_idx_bytes(images, labels);
    }
}

/// The columns of a model, as JSON, and a table after the first line.
pub fn columns(bytes: &[u8]) {
    let end = bytes.iter().position(|&byte| byte == b'\n').unwrap_or(bytes.len());
    let (json, text) = bytes.split_at(end);
    if let Ok(columns) = serde_json::from_slice::<Columns>(json) {
        for inputs_only in [false, true] {
            let like = ReadOptions { columns: Some(columns.clone()), inputs_only, ..ReadOptions::default() };
            let _ = Dataset::from_bytes(text, &like);
        }
    }
}
