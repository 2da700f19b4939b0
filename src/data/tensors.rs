//! Data sets in safetensors files.

use std::borrow::Cow;
use std::path::Path;

use safetensors::{Dtype, SafeTensors};

use super::ReadOptions;
use super::array::{Array, Element};
use super::arrays::{self, Arrays};
use super::sets::Sets;
use crate::error::Error;
use crate::model::parse;

/// Reads the sets in a file's bytes: `x` and, unless only inputs are asked for, `y` or `t`.
pub(super) fn read(path: &Path, bytes: &[u8], options: &ReadOptions) -> Result<Sets, Error> {
    arrays::sets(&Tensors { path, file: parse(path, bytes)? }, options)
}

struct Tensors<'a> {
    path: &'a Path,
    file: SafeTensors<'a>,
}

impl Arrays for Tensors<'_> {
    fn path(&self) -> &Path {
        self.path
    }

    fn noun(&self) -> &'static str {
        "tensor"
    }

    fn names(&self) -> Vec<String> {
        self.file.names().into_iter().map(String::from).collect()
    }

    fn get(&self, name: &str) -> Result<Option<Array<'_>>, Error> {
        let Ok(tensor) = self.file.tensor(name) else { return Ok(None) };
        let element = element(self.path, name, tensor.dtype())?;
        Ok(Some(Array { element, shape: tensor.shape().to_vec(), bytes: Cow::Borrowed(tensor.data()) }))
    }
}

/// The element type of a tensor of this name.
pub(super) fn element(path: &Path, name: &str, dtype: Dtype) -> Result<Element, Error> {
    match dtype {
        Dtype::BOOL => Ok(Element::Bool),
        Dtype::U8 => Ok(Element::U8),
        Dtype::I8 => Ok(Element::I8),
        Dtype::U16 => Ok(Element::U16),
        Dtype::I16 => Ok(Element::I16),
        Dtype::U32 => Ok(Element::U32),
        Dtype::I32 => Ok(Element::I32),
        Dtype::U64 => Ok(Element::U64),
        Dtype::I64 => Ok(Element::I64),
        Dtype::F16 => Ok(Element::F16),
        Dtype::BF16 => Ok(Element::BF16),
        Dtype::F32 => Ok(Element::F32),
        Dtype::F64 => Ok(Element::F64),
        other => Err(Error::format(path, format!("{name} is {other:?}: it must be whole numbers or F16 to F64"))),
    }
}
