//! The targets in the array `y`: class indices, one-hot rows, class names or numbers.

use super::array::{Array, Element, floats};

/// The targets of rows.
pub(super) enum Targets {
    /// A class index for each row.
    Labels(Vec<u32>),
    /// Values `[rows, outputs]`, and the number of outputs.
    Values(Vec<f32>, usize),
}

impl Targets {
    /// The targets in an array, with a note where the reading may surprise. With `regression`, the values are numbers to predict,
    /// except for one integer a row, which is a class index.
    pub fn of(y: &Array<'_>, regression: bool) -> Result<(Targets, Option<String>), String> {
        let is_float = matches!(y.element, Element::F16 | Element::BF16 | Element::F32 | Element::F64);
        match y.shape[..] {
            [_, outputs] if outputs > 1 => {
                let values = floats(y);
                if regression {
                    return Ok((Targets::Values(values, outputs), Some("is read as t, values to predict".into())));
                }
                let labels = values.chunks_exact(outputs).enumerate().map(|(row, values)| {
                    hot(values).ok_or_else(|| {
                        format!(
                            "has the shape {:?}: it must be [rows], class indices, or one-hot rows, which row {row} is not; distributions, several \
                             labels a row, and values to predict are named t",
                            y.shape
                        )
                    })
                });
                let labels = labels.collect::<Result<_, _>>()?;
                Ok((
                    Targets::Labels(labels),
                    Some(format!(
                        "is one-hot, {:?}: it is read as the class indices 0 to {}; to keep such rows as values, name them t",
                        y.shape,
                        outputs - 1
                    )),
                ))
            }
            [_] | [_, 1] if is_float && regression => {
                Ok((Targets::Values(floats(y), 1), Some("is read as t, values to predict".into())))
            }
            [_] | [_, 1] if is_float => Ok((
                Targets::Labels(whole(y)?),
                Some(format!(
                    "is {:?}, all whole numbers: it is read as class indices; values to predict are named t",
                    y.element
                )),
            )),
            _ => labels(y).map(|labels| (Targets::Labels(labels), None)),
        }
    }
}

/// The index of the 1 in a one-hot row; `None` for any other row.
fn hot(values: &[f32]) -> Option<u32> {
    let at = values.iter().position(|&value| value == 1.0)?;
    let rest = values.iter().enumerate().all(|(other, &value)| other == at || value == 0.0);
    rest.then_some(at as u32)
}

/// Class indices stored as floating-point numbers.
fn whole(y: &Array<'_>) -> Result<Vec<u32>, String> {
    let index = |(row, value): (usize, f32)| {
        // Up to here, f32 has every whole number.
        if value.fract() != 0.0 || !(-16_777_216.0..16_777_216.0).contains(&value) {
            return Err(format!(
                "is {:?}, and row {row} is {value}: it must be whole numbers, as I64 or U8; values to predict are named t",
                y.element
            ));
        }
        Ok(value as i32 as u32)
    };
    floats(y).into_iter().enumerate().map(index).collect()
}

/// The class index of each name, and the class names in the order of their indices: the known ones, or else all names, sorted.
pub(super) fn classes(words: &[String], known: &[String]) -> Result<(Vec<u32>, Vec<String>), String> {
    if let Some(row) = words.iter().position(|word| word.is_empty()) {
        return Err(format!("of row {row} is an empty text: every row needs the name of its class"));
    }
    let classes = match known {
        [] => words.iter().collect::<std::collections::BTreeSet<_>>().into_iter().cloned().collect(),
        known => known.to_vec(),
    };
    let places: std::collections::HashMap<&str, u32> =
        classes.iter().zip(0..).map(|(name, index)| (name.as_str(), index)).collect();
    let label = |(row, word): (usize, &String)| {
        places
            .get(word.as_str())
            .copied()
            .ok_or_else(|| format!("of row {row} is \"{word}\", which is none of the classes {}", shown(&classes)))
    };
    Ok((words.iter().enumerate().map(label).collect::<Result<_, _>>()?, classes))
}

/// The first ten of some names, for messages.
fn shown(names: &[String]) -> String {
    let first = names.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
    if names.len() > 10 { format!("{first}, …") } else { first }
}

/// Class indices stored as integers.
pub(super) fn labels(y: &Array<'_>) -> Result<Vec<u32>, String> {
    let ([_] | [_, 1]) = y.shape[..] else {
        return Err(format!("has the shape {:?}: it must be [rows]", y.shape));
    };
    whole_numbers(y, CLASS_INDEX)
}

/// What whole numbers are, as messages have it, and what to do with others.
#[derive(Clone, Copy)]
pub(super) struct Meaning {
    noun: &'static str,
    hint: &'static str,
}

pub(super) const CLASS_INDEX: Meaning = Meaning { noun: "a class index", hint: "; values to predict are named t" };
pub(super) const TOKEN: Meaning = Meaning { noun: "a token", hint: "" };

/// Class indices or tokens stored as integers, of any shape.
pub(super) fn whole_numbers(y: &Array<'_>, Meaning { noun, hint }: Meaning) -> Result<Vec<u32>, String> {
    let signed = match y.element {
        Element::I8 | Element::I16 | Element::I32 | Element::I64 => true,
        Element::Bool | Element::U8 | Element::U16 | Element::U32 | Element::U64 => false,
        other => {
            return Err(format!("is {other:?}: it must be whole numbers, as I64 or U8{hint}"));
        }
    };
    let (size, length) = (y.element.bytes(), y.shape.iter().skip(1).product::<usize>().max(1));
    y.bytes
        .chunks_exact(size)
        .enumerate()
        .map(|(at, bytes)| {
            let mut word = [if signed && bytes[size - 1] >= 0x80 { 0xff } else { 0 }; 8];
            word[..size].copy_from_slice(bytes);
            let value = match signed {
                true => i64::from_le_bytes(word).into(),
                false => i128::from(u64::from_le_bytes(word)),
            };
            // A negative label may match the loss' ignore_index, which is not known here.
            i32::try_from(value).ok().filter(|&label| label < 1 << 24).map(|label| label as u32).ok_or_else(|| {
                let place = if length > 1 { format!("number {} ", at % length) } else { String::new() };
                format!("{place}of row {} is {value}: {noun} is from 0 to 16777215", at / length)
            })
        })
        .collect()
}
