//! The body of every fuzz target: it reads its bytes as a set (with targets, and as inputs alone) or as a model. Any result and any error is
//! right; a panic, an abort or more memory than libFuzzer's limit is not.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use wgrad::{Activation, Checkpoint, Columns, Dataset, FORMATS, Fill, Model, ReadOptions, Sets, Source, Stored};

/// The options under which a reader is called.
fn ways() -> [ReadOptions; 4] {
    let filled = ReadOptions { fill: Some(Fill::Mean), header: Some(true), regression: true, ..ReadOptions::default() };
    let placed = ReadOptions { header: Some(false), label: Some("1".into()), ..ReadOptions::default() };
    [ReadOptions::default(), ReadOptions::inputs(), filled, placed]
}

/// Reads bytes as a file of the format with this name.
pub fn read(word: &str, bytes: &[u8]) {
    if word == "parquet" {
        // The assertions of Parquet's crate are caught and become errors; a panic that is not caught still ends the target.
        static QUIET: std::sync::Once = std::sync::Once::new();
        QUIET.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    }
    let format = FORMATS.iter().find(|format| format.word == word).expect("a format of this name");
    // The length decides which options are used, and mutations change it often. Only tables are read differently under the last two.
    let ways_of_format = if matches!(word, "csv" | "parquet") { 4 } else { 2 };
    let options = &ways()[bytes.len() % ways_of_format];
    let Ok(Sets { train: set, .. }) = (format.read)(Path::new("fuzz"), bytes, options) else { return };
    if let Some(columns) = set.columns() {
        let like = ReadOptions { columns: Some(columns.clone()), inputs_only: true, ..options.clone() };
        let again = (format.read)(Path::new("fuzz"), bytes, &like);
        assert!(options_agree(&again, &set), "the same file, other features");
    }
}

/// Whether a table that is read with its own columns has the same rows.
fn options_agree(again: &Result<Sets, wgrad::Error>, set: &Dataset) -> bool {
    again.as_ref().is_ok_and(|again| (again.train.rows(), again.train.width()) == (set.rows(), set.width()))
}

/// Two IDX files: the first two bytes give the number of bytes of the images' file, and the rest is the labels'.
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

/// A model file, and the same as a state dict of another program. A model that was read is one that can be written, and is then the same.
pub fn model(bytes: &[u8]) {
    let path = Path::new("fuzz");
    if let Ok(model) = Model::from_bytes(path, bytes, &[], &[]) {
        let file = scratch("model");
        model.write(&file).expect("what was read can be written");
        assert_eq!(Model::read(&file).expect("what was written can be read"), model);
    }
    let _ = Model::from_state_dict(path, bytes, Some(Activation::Tanh));
    let _ = Model::from_state_dict(path, bytes, None);
    let _ = Model::from_gpt(path, bytes, 2, None);
}

/// An ONNX file. A model that was read is one that can be written, and is then the same network under the same loss.
pub fn onnx(bytes: &[u8]) {
    if let Ok(model) = Model::from_onnx(Path::new("fuzz"), bytes.to_vec(), &[]) {
        let file = scratch("onnx");
        model.write_onnx(&file, false).expect("what was read can be written");
        let again = Model::read_onnx(&file).expect("what was written can be read");
        assert_eq!((again.network, again.loss, again.classes), (model.network, model.loss, model.classes));
    }
}

/// A checkpoint with any checksums: they are easy to forge, and no mutation would pass them.
pub fn checkpoint(bytes: &[u8]) {
    if let Ok(checkpoint) = Checkpoint::from_bytes(Path::new("fuzz"), bytes.to_vec()) {
        let _ = (checkpoint.step(), checkpoint.notes(), checkpoint.check());
    }
}

/// A safetensors set of which ranges of rows are read. They have to be rows of the set in the whole file.
pub fn stored(bytes: &[u8]) {
    let file = scratch("stored");
    std::fs::write(&file, bytes).expect("a temporary file");
    let Ok(stored) = Stored::open(&file) else { return };
    let rows = stored.rows();
    for range in [0..1, rows / 2..rows, rows - 1..rows] {
        if range.len() > 1 << 16 {
            continue;
        }
        if let (Ok(set), Ok(whole)) = (stored.read(range.clone()), Dataset::from_safetensors(&file)) {
            assert_eq!(whole.select(range).expect("rows of the whole").labels(), set.labels());
        }
    }
    let _ = (stored.test(), stored.validation());
}

/// A file of this process' own, in memory if TMPDIR is.
fn scratch(name: &str) -> PathBuf {
    static FOLDER: LazyLock<PathBuf> = LazyLock::new(|| {
        let folder = std::env::temp_dir().join(format!("wgrad-fuzz-{}", std::process::id()));
        std::fs::create_dir_all(&folder).expect("a temporary folder");
        folder
    });
    FOLDER.join(name)
}
