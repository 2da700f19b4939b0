//! An array of a file, and its values.

use std::borrow::Cow;

use half::{bf16, f16};

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

/// An array of a file, in row-major order. The shape and the element type determine the number of bytes.
pub(super) struct Array<'a> {
    pub element: Element,
    pub shape: Vec<usize>,
    pub bytes: Cow<'a, [u8]>,
}

pub(super) fn each<T, const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.as_chunks::<N>().0.iter().map(|&bytes| value(bytes)).collect()
}

/// The values as f64, for types that have more digits than f32.
pub(super) fn doubles(array: &Array<'_>) -> Vec<f64> {
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

/// The values as f32, rounded to the nearest.
pub(super) fn floats(array: &Array<'_>) -> Vec<f32> {
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
