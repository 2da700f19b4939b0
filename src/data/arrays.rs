//! Named arrays, as safetensors and NumPy files have them, and the sets in them.

use std::borrow::Cow;
use std::path::Path;

use half::{bf16, f16};

use super::{Dataset, Features, ImageShape, ReadOptions};
use crate::Error;

/// The element types that are read, little-endian.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Element {
    Bool,
    U8,
    I8,
    U16,
    I16,
    U32,
    I32,
    U64,
    I64,
    F16,
    BF16,
    F32,
    F64,
}

impl Element {
    pub fn bytes(self) -> usize {
        match self {
            Element::Bool | Element::U8 | Element::I8 => 1,
            Element::U16 | Element::I16 | Element::F16 | Element::BF16 => 2,
            Element::U32 | Element::I32 | Element::F32 => 4,
            Element::U64 | Element::I64 | Element::F64 => 8,
        }
    }
}

/// A file's array, its values row-major. There are as many bytes as the shape and the element say.
pub(super) struct Array<'a> {
    pub element: Element,
    pub shape: Vec<usize>,
    pub bytes: Cow<'a, [u8]>,
}

/// A file with named arrays.
pub(super) trait Arrays {
    /// For messages.
    fn path(&self) -> &Path;
    /// What the file calls an array.
    fn noun(&self) -> &'static str;
    /// Those that it has.
    fn names(&self) -> Vec<String>;
    /// One of them, where it is there.
    fn get(&self, name: &str) -> Result<Option<Array<'_>>, Error>;
}

/// The set, and another of test rows where there is one: `x`, with `y` or `t`, or the same names with `_train` and `_test` after them.
pub(super) fn sets(arrays: &dyn Arrays, options: &ReadOptions) -> Result<(Dataset, Option<Dataset>), Error> {
    let names = arrays.names();
    let has = |name: &str| names.iter().any(|known| known == name);
    if has("x") || !has("x_train") {
        return Ok((set(arrays, "", options)?, None));
    }
    let test = if has("x_test") { Some(set(arrays, "_test", options)?) } else { None };
    Ok((set(arrays, "_train", options)?, test))
}

/// `x` `[N, D]` or images `[N, H, W]` or `[N, H, W, C]`; `t` `[N, C]` or `y` `[N]`; `w` `[N]`.
fn set(arrays: &dyn Arrays, suffix: &str, options: &ReadOptions) -> Result<Dataset, Error> {
    let wrong = |reason: String| Error::format(arrays.path(), reason);
    let in_file = |error: Error| wrong(error.to_string());
    let named = |name: &str| format!("{name}{suffix}");
    let x = needed(arrays, &named("x"))?;
    let (rows, width, image) = rows_of(&x).map_err(|reason| wrong(format!("{} {reason}", named("x"))))?;
    let features = features(&x);
    let of_labels = |labels: Vec<u32>| -> Result<Dataset, Error> {
        let set = Dataset::of(features, width, labels).map_err(in_file)?;
        Ok(match image {
            Some(shape) => set.with_image_shape(shape).map_err(in_file)?,
            None => set,
        })
    };
    if options.inputs_only {
        return of_labels(vec![0; rows]);
    }
    let set = match arrays.get(&named("t"))? {
        Some(t) => {
            let (target_rows, outputs) = match t.shape[..] {
                [rows] => (rows, 1),
                [rows, outputs] => (rows, outputs),
                _ => return Err(wrong(format!("t has the shape {:?}: it must be [rows, outputs]", t.shape))),
            };
            if target_rows != rows {
                return Err(wrong(format!("x has {rows} rows and t has {target_rows}: they must agree")));
            }
            of_labels(vec![0; rows])?.with_targets(floats(&t), outputs).map_err(in_file)?
        }
        None => {
            let labels =
                labels(&needed(arrays, &named("y"))?).map_err(|reason| wrong(format!("{} {reason}", named("y"))))?;
            if labels.len() != rows {
                return Err(wrong(format!("x has {rows} rows and y has {}: they must agree", labels.len())));
            }
            of_labels(labels)?
        }
    };
    match arrays.get(&named("w"))? {
        Some(w) if w.shape == [rows] => set.with_sample_weights(floats(&w)).map_err(in_file),
        Some(w) => Err(wrong(format!("w has the shape {:?}: it must be [{rows}], a weight a row", w.shape))),
        None => Ok(set),
    }
}

fn needed<'a>(arrays: &'a dyn Arrays, name: &str) -> Result<Array<'a>, Error> {
    arrays.get(name)?.ok_or_else(|| {
        let mut names = arrays.names();
        names.sort_unstable();
        names.truncate(20);
        Error::format(
            arrays.path(),
            format!(
                "it has no {} {name}: a set has x [rows, features], and y [rows] class indices or t [rows, outputs] values; this \
                 has {names:?}",
                arrays.noun()
            ),
        )
    })
}

/// Rows, features of each, and their form where they are images.
fn rows_of(x: &Array<'_>) -> Result<(usize, usize, Option<ImageShape>), String> {
    let image = |rows, height, width, channels| {
        let shape = ImageShape { height, width, channels };
        shape.features().map(|features| (rows, features, Some(shape)))
    };
    let found = match x.shape[..] {
        [rows, features] => Some((rows, features, None)),
        [rows, height, width] => image(rows, height, width, 1),
        [rows, height, width, channels] => image(rows, height, width, channels),
        _ => None,
    };
    found.ok_or_else(|| {
        format!(
            "has the shape {:?}: it must be [rows, features], or for images [rows, height, width] or [rows, height, width, 1 or 3]",
            x.shape
        )
    })
}

/// In the element type that they keep on the device: bytes stay bytes, and f16 what they are; everything else is f32, once it is scaled
/// where f32 has not enough digits for it.
fn features(x: &Array<'_>) -> Features {
    match x.element {
        Element::U8 => Features::U8(x.bytes.to_vec()),
        Element::F16 => Features::F16(x.bytes.as_chunks().0.iter().map(|&word| f16::from_le_bytes(word)).collect()),
        Element::U32 | Element::I32 | Element::U64 | Element::I64 | Element::F64 => Features::of_f64(doubles(x)),
        _ => Features::F32(floats(x)),
    }
}

fn each<T, const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| value(bytes)).collect()
}

/// As f64, of the types that have more digits than f32.
fn doubles(array: &Array<'_>) -> Vec<f64> {
    let bytes = &array.bytes[..];
    match array.element {
        Element::U32 => each(bytes, |word| u32::from_le_bytes(word).into()),
        Element::I32 => each(bytes, |word| i32::from_le_bytes(word).into()),
        Element::U64 => each(bytes, |word| u64::from_le_bytes(word) as f64),
        Element::I64 => each(bytes, |word| i64::from_le_bytes(word) as f64),
        Element::F64 => each(bytes, f64::from_le_bytes),
        _ => floats(array).into_iter().map(f64::from).collect(),
    }
}

/// As f32, rounded to the nearest where they are finer.
fn floats(array: &Array<'_>) -> Vec<f32> {
    let bytes = &array.bytes[..];
    match array.element {
        Element::Bool => each(bytes, |[byte]| f32::from(u8::from(byte != 0))),
        Element::U8 => each(bytes, |[byte]| byte.into()),
        Element::I8 => each(bytes, |[byte]| (byte as i8).into()),
        Element::U16 => each(bytes, |word| u16::from_le_bytes(word).into()),
        Element::I16 => each(bytes, |word| i16::from_le_bytes(word).into()),
        Element::F16 => each(bytes, |word| f16::from_le_bytes(word).to_f32()),
        Element::BF16 => each(bytes, |word| bf16::from_le_bytes(word).to_f32()),
        Element::F32 => each(bytes, f32::from_le_bytes),
        _ => doubles(array).into_iter().map(|value| value as f32).collect(),
    }
}

/// Class indices.
pub(super) fn labels(y: &Array<'_>) -> Result<Vec<u32>, String> {
    let ([_] | [_, 1]) = y.shape[..] else {
        return Err(format!("has the shape {:?}: it must be [rows]", y.shape));
    };
    let signed = match y.element {
        Element::I8 | Element::I16 | Element::I32 | Element::I64 => true,
        Element::Bool | Element::U8 | Element::U16 | Element::U32 | Element::U64 => false,
        other => {
            return Err(format!("is {other:?}: it must be whole numbers, as I64 or U8; values to predict are named t"));
        }
    };
    let size = y.element.bytes();
    y.bytes
        .chunks_exact(size)
        .enumerate()
        .map(|(row, bytes)| {
            let mut word = [if signed && bytes[size - 1] >= 0x80 { 0xff } else { 0 }; 8];
            word[..size].copy_from_slice(bytes);
            let value = match signed {
                true => i64::from_le_bytes(word).into(),
                false => i128::from(u64::from_le_bytes(word)),
            };
            // Negative ones are for a loss' ignore_index; whether this one is, is known only with the loss.
            i32::try_from(value)
                .ok()
                .filter(|&label| label < 1 << 24)
                .map(|label| label as u32)
                .ok_or_else(|| format!("of row {row} is {value}: a class index is from 0 to 16777215"))
        })
        .collect()
}
