//! Sets in safetensors files.

use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use super::Dataset;
use crate::Error;
use crate::checkpoint::{f32_values, parse};

/// `x` `[N, D]` f32, and `t` `[N, C]` f32 or `y` `[N]` i64 (i32, u8 and u32 as well).
pub(super) fn read(path: &Path) -> Result<Dataset, Error> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let file = parse(path, &bytes)?;
    let (features, [rows, width]) = features(path, &file)?;
    let in_file = |error: Error| Error::format(path, error.to_string());
    let weighted = |set: Dataset| match file.tensor("w") {
        Ok(w) if w.shape() == [rows] => set.with_sample_weights(f32_values(path, "w", &w)?).map_err(in_file),
        Ok(w) => {
            Err(Error::format(path, format!("w has the shape {:?}: it must be [{rows}], a weight a row", w.shape())))
        }
        Err(_) => Ok(set),
    };
    if let Ok(t) = file.tensor("t") {
        let &[target_rows, outputs] = t.shape() else {
            return Err(Error::format(path, format!("t has the shape {:?}: it must be [rows, outputs]", t.shape())));
        };
        if target_rows != rows {
            return Err(Error::format(path, format!("x has {rows} rows and t has {target_rows}: they must agree")));
        }
        let values = f32_values(path, "t", &t)?;
        let set = Dataset::from_f32(features, width, vec![0; rows]).map_err(in_file)?;
        return weighted(set.with_targets(values, outputs).map_err(in_file)?);
    }
    let labels = labels(path, &tensor(path, &file, "y")?)?;
    if labels.len() != rows {
        return Err(Error::format(path, format!("x has {rows} rows and y has {}: they must agree", labels.len())));
    }
    weighted(Dataset::from_f32(features, width, labels).map_err(in_file)?)
}

/// `x` alone, with labels of 0.
pub(super) fn read_inputs(path: &Path) -> Result<Dataset, Error> {
    let bytes = std::fs::read(path).map_err(Error::io(path))?;
    let (features, [rows, width]) = features(path, &parse(path, &bytes)?)?;
    Dataset::from_f32(features, width, vec![0; rows]).map_err(|error| Error::format(path, error.to_string()))
}

fn features(path: &Path, file: &SafeTensors<'_>) -> Result<(Vec<f32>, [usize; 2]), Error> {
    let x = tensor(path, file, "x")?;
    let &[rows, width] = x.shape() else {
        return Err(Error::format(path, format!("x has the shape {:?}: it must be [rows, features]", x.shape())));
    };
    Ok((f32_values(path, "x", &x)?, [rows, width]))
}

fn tensor<'a>(path: &Path, file: &SafeTensors<'a>, name: &str) -> Result<safetensors::tensor::TensorView<'a>, Error> {
    file.tensor(name).map_err(|_| {
        let mut names: Vec<&str> = file.names();
        names.sort_unstable();
        Error::format(
            path,
            format!("it has no tensor {name}: a set has x [rows, features] f32, and y [rows] i64 or t [rows, outputs] f32; this has {names:?}"),
        )
    })
}

fn labels(path: &Path, y: &safetensors::tensor::TensorView<'_>) -> Result<Vec<u32>, Error> {
    if y.shape().len() != 1 {
        return Err(Error::format(path, format!("y has the shape {:?}: it must be [rows]", y.shape())));
    }
    let (size, signed) = match y.dtype() {
        Dtype::I64 => (8, true),
        Dtype::I32 => (4, true),
        Dtype::U32 => (4, false),
        Dtype::U8 => (1, false),
        other => return Err(Error::format(path, format!("y is {other:?}: it must be I64, I32, U32 or U8"))),
    };
    y.data()
        .chunks_exact(size)
        .enumerate()
        .map(|(row, bytes)| {
            let mut word = [if signed && bytes[size - 1] >= 0x80 { 0xff } else { 0 }; 8];
            word[..size].copy_from_slice(bytes);
            let value = i64::from_le_bytes(word);
            // Negative ones are for a loss' ignore_index; whether this one is, is known only with the loss.
            i32::try_from(value).ok().filter(|&label| label < 1 << 24).map(|label| label as u32).ok_or_else(|| {
                Error::format(path, format!("y of row {row} is {value}: a class index is from 0 to 16777215"))
            })
        })
        .collect()
}
