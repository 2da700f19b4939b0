//! Tensors whose values are in the file.

use half::{bf16, f16};

use super::proto::{DataLocation, DataType, TensorProto};

/// A value that no row changes: read when it is asked for, so that one used often is not kept often.
#[derive(Clone, Copy)]
pub(super) enum Constant<'a> {
    Tensor(&'a TensorProto),
    Scalar(f32),
}

impl Constant<'_> {
    /// Its dimensions and its values, as f32.
    pub fn values(self) -> Result<(Vec<usize>, Vec<f32>), String> {
        let tensor = match self {
            Constant::Tensor(tensor) => tensor,
            Constant::Scalar(value) => return Ok((Vec::new(), vec![value])),
        };
        let say = |reason: String| format!("tensor \"{}\" {reason}", tensor.name);
        let (dims, count) = size(tensor).map_err(say)?;
        let raw = &tensor.raw_data;
        let (in_list, size) = match tensor.data_type() {
            DataType::Float => (tensor.float_data.len(), 4),
            DataType::Double => (tensor.double_data.len(), 8),
            DataType::Float16 | DataType::Bfloat16 => (0, 2),
            other => return Err(say(format!("is {other:?}: it must be Float, Double, Float16 or Bfloat16"))),
        };
        if in_list != 0 && raw.is_empty() && in_list == count {
            return Ok((
                dims,
                match tensor.data_type() {
                    DataType::Double => tensor.double_data.iter().map(|&value| value as f32).collect(),
                    _ => tensor.float_data.clone(),
                },
            ));
        }
        if in_list != 0 || !raw.len().is_multiple_of(size) || raw.len() / size != count {
            let there = if raw.is_empty() { format!("{in_list} values") } else { format!("{} bytes", raw.len()) };
            return Err(say(format!("has {there}: its shape {dims:?} takes {count} values of {size} bytes")));
        }
        Ok((
            dims,
            match tensor.data_type() {
                DataType::Double => chunks(raw, |bytes| f64::from_le_bytes(bytes) as f32),
                DataType::Float16 => chunks(raw, |bytes| f16::from_le_bytes(bytes).to_f32()),
                DataType::Bfloat16 => chunks(raw, |bytes| bf16::from_le_bytes(bytes).to_f32()),
                _ => chunks(raw, f32::from_le_bytes),
            },
        ))
    }

    /// Its one value, if it has only one.
    pub fn scalar(self) -> Result<Option<f64>, String> {
        match self {
            Constant::Tensor(tensor) if size(tensor).map_or(true, |(_, count)| count != 1) => Ok(None),
            _ => self.values().map(|(_, values)| values.first().map(|&value| value.into())),
        }
    }

    /// Its values, where it is a list of integers: a shape.
    pub fn integers(self) -> Option<Vec<i64>> {
        match self {
            Constant::Tensor(tensor) if tensor.data_type() == DataType::Int64 && tensor.raw_data.is_empty() => {
                Some(tensor.int64_data.clone())
            }
            Constant::Tensor(tensor) if tensor.data_type() == DataType::Int64 && tensor.raw_data.len() <= 64 => {
                Some(chunks(&tensor.raw_data, i64::from_le_bytes))
            }
            _ => None,
        }
    }
}

/// The dimensions of a tensor, and their product.
fn size(tensor: &TensorProto) -> Result<(Vec<usize>, usize), String> {
    if tensor.data_location() == DataLocation::External {
        return Err(
            "has its values in another file, and no other file is opened: export with the weights inside, in PyTorch \
                    with torch.onnx.export(…, external_data=False)"
                .into(),
        );
    }
    let dims: Option<Vec<usize>> = tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let count = dims.as_ref().and_then(|dims| dims.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim)));
    dims.zip(count).ok_or_else(|| format!("has the shape {:?}, which no tensor in memory has", tensor.dims))
}

fn chunks<T, const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|chunk| value(std::array::from_fn(|at| chunk[at]))).collect()
}
