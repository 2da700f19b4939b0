//! Constants of a graph: tensors of the file, in any shape and order in which the graph uses them.

use std::rc::Rc;

use half::{bf16, f16};

use super::proto::{DataLocation, DataType, TensorProto};
use super::shape::{self, Size};

/// The most dimensions of a tensor. A chain of dense layers takes two; exporters write a few more around them.
const MOST_DIMENSIONS: usize = 8;

/// A constant. Its values are read when they are needed, so that a constant with many uses is not copied for each.
#[derive(Clone)]
pub(super) struct Constant<'a> {
    source: Source<'a>,
    /// The dimensions, if they differ from the source's.
    dims: Option<Rc<[usize]>>,
    /// Whether integers have been cast to floats.
    cast: bool,
}

#[derive(Clone)]
enum Source<'a> {
    Tensor(&'a TensorProto),
    Scalar(f32),
    Integer(i64),
    Floats(&'a [f32]),
    Integers(&'a [i64]),
    /// The values of a transposed constant.
    Made(Rc<[f32]>),
    /// Integers that were computed from others.
    Whole(Rc<[i64]>),
}

impl<'a> Constant<'a> {
    /// The most integers of a constant with which the graph computes.
    pub const MOST_WHOLE: usize = 64;

    pub fn tensor(tensor: &'a TensorProto) -> Self {
        Source::Tensor(tensor).into()
    }

    pub fn number(value: f32) -> Self {
        Source::Scalar(value).into()
    }

    pub fn integer(value: i64) -> Self {
        Source::Integer(value).into()
    }

    pub fn numbers(values: &'a [f32]) -> Self {
        Source::Floats(values).into()
    }

    pub fn integers_of(values: &'a [i64]) -> Self {
        Source::Integers(values).into()
    }

    /// Integers in these dimensions, of which there are few.
    pub fn of_whole(dims: Vec<usize>, values: Vec<i64>) -> Option<Self> {
        let fits =
            dims.len() <= MOST_DIMENSIONS && values.len() <= Self::MOST_WHOLE && shape_len(&dims) == values.len();
        fits.then(|| Constant { source: Source::Whole(values.into()), dims: Some(dims.into()), cast: false })
    }

    /// Its dimensions and its values, if these are integers, and few.
    pub fn whole(&self) -> Option<(Vec<usize>, Vec<i64>)> {
        let dims = self.dims().ok().filter(|dims| !self.cast && shape_len(dims) <= Self::MOST_WHOLE)?;
        Some((dims, self.integers()?))
    }

    /// Its values, if these are integers: of constants with few alone, as they are copied.
    fn integers(&self) -> Option<Vec<i64>> {
        match &self.source {
            Source::Tensor(tensor) => integers(tensor),
            Source::Integer(value) => Some(vec![*value]),
            Source::Integers(values) => Some(values.to_vec()),
            Source::Whole(values) => Some(values.to_vec()),
            Source::Scalar(_) | Source::Floats(_) | Source::Made(_) => None,
        }
    }

    /// The dimensions.
    pub fn dims(&self) -> Result<Vec<usize>, String> {
        if let Some(dims) = &self.dims {
            return Ok(dims.to_vec());
        }
        match self.source {
            Source::Tensor(tensor) => size(tensor).map(|(dims, _)| dims).map_err(|reason| say(tensor, &reason)),
            Source::Scalar(_) | Source::Integer(_) => Ok(Vec::new()),
            Source::Floats(values) => Ok(vec![values.len()]),
            Source::Integers(values) => Ok(vec![values.len()]),
            Source::Made(ref values) => Ok(vec![values.len()]),
            Source::Whole(ref values) => Ok(vec![values.len()]),
        }
    }

    /// Whether it is a constant with the same dimensions and the same values, as far as these are few or have the same tensor.
    pub fn is(&self, other: &Constant<'_>) -> bool {
        const MOST: usize = 1 << 16;
        let (Ok(dims), Ok(others)) = (self.dims(), other.dims()) else { return false };
        let is_same_tensor = match (&self.source, &other.source) {
            (Source::Tensor(one), Source::Tensor(other)) => std::ptr::eq(*one, *other),
            _ => false,
        };
        let are_few = || shape_len(&dims) <= MOST && self.values().is_ok() && self.values().ok() == other.values().ok();
        dims == others && (is_same_tensor || are_few())
    }

    /// The number of dimensions, which may be those of no tensor in memory.
    pub fn rank(&self) -> usize {
        match (&self.dims, &self.source) {
            (Some(dims), _) => dims.len(),
            (None, Source::Tensor(tensor)) => tensor.dims.len(),
            (None, Source::Scalar(_) | Source::Integer(_)) => 0,
            (None, Source::Floats(_) | Source::Integers(_) | Source::Made(_) | Source::Whole(_)) => 1,
        }
    }

    /// The number of values.
    pub fn count(&self) -> Result<usize, String> {
        self.dims().map(|dims| shape_len(&dims))
    }

    /// Its dimensions and its values, as f32.
    pub fn values(&self) -> Result<(Vec<usize>, Vec<f32>), String> {
        let dims = self.dims()?;
        let values = match &self.source {
            Source::Tensor(tensor) => match self.cast.then(|| integers(tensor)).flatten() {
                Some(values) => values.into_iter().map(|value| value as f32).collect(),
                None => floats(tensor).map_err(|reason| say(tensor, &reason))?,
            },
            Source::Scalar(value) => vec![*value],
            Source::Floats(values) => values.to_vec(),
            Source::Made(values) => values.to_vec(),
            Source::Integer(value) => vec![*value as f32],
            Source::Integers(values) => values.iter().map(|&value| value as f32).collect(),
            Source::Whole(values) => values.iter().map(|&value| value as f32).collect(),
        };
        Ok((dims, values))
    }

    /// The value that is the same at every index of a row, if there is such a value; it may be repeated for each of `rows` rows. Values
    /// of more than one index are subtracted from the `room`.
    pub fn scalar(&self, width: usize, rows: Option<i64>, room: &mut usize) -> Result<Option<f64>, String> {
        let dims = self.dims()?;
        let count = shape_len(&dims);
        let is_row = match dims.as_slice() {
            [before @ .., last] if *last == width => {
                before.iter().all(|&dim| dim == 1) || (before.len() == 1 && i64::try_from(before[0]).ok() == rows)
            }
            _ => false,
        };
        if count != 1 && !is_row {
            return Ok(None);
        }
        if count != 1 {
            let Some(left) = room.checked_sub(count) else { return Ok(None) };
            *room = left;
        }
        let values = match &self.source {
            Source::Tensor(tensor) if integers(tensor).is_some() => Constant { cast: true, ..self.clone() }.values()?.1,
            _ => self.values()?.1,
        };
        let same = |&first: &f32| values.iter().all(|&value| value == first).then_some(f64::from(first));
        Ok(values.first().and_then(same))
    }

    /// Its one value as a yes or no, if it is one.
    pub fn flag(&self) -> Option<bool> {
        self.count().ok().filter(|&count| count == 1)?;
        match &self.source {
            Source::Tensor(tensor) => match integers(tensor)?.as_slice() {
                &[value] => Some(value != 0),
                _ => None,
            },
            Source::Integer(value) => Some(*value != 0),
            Source::Whole(values) => values.first().map(|&value| value != 0),
            _ => None,
        }
    }

    /// Its values as sizes of a shape, if they are a short list of integers or one; and whether it is a single size.
    pub fn sizes(&self) -> Option<(Vec<Size>, bool)> {
        let dims = self.dims().ok().filter(|dims| dims.len() <= 1)?;
        if dims.first().is_some_and(|&count| count > shape::MOST_SIZES) {
            return None;
        }
        let values = self.integers()?;
        Some((values.into_iter().map(Size::Known).collect(), dims.is_empty()))
    }

    /// Its values as names: texts, or whole numbers.
    pub fn names(&self) -> Option<Vec<String>> {
        match &self.source {
            Source::Tensor(tensor) if tensor.data_type() == DataType::String => {
                tensor.string_data.iter().map(|name| String::from_utf8(name.to_vec()).ok()).collect()
            }
            Source::Tensor(tensor) => Some(integers(tensor)?.iter().map(i64::to_string).collect()),
            Source::Integers(values) => Some(values.iter().map(i64::to_string).collect()),
            Source::Whole(values) => Some(values.iter().map(i64::to_string).collect()),
            _ => None,
        }
    }

    /// The same values in another type.
    pub fn cast(&self, to: DataType) -> Option<Self> {
        let is_integer = match &self.source {
            Source::Tensor(tensor) => !tensor.data_type().is_float(),
            Source::Integer(_) | Source::Integers(_) | Source::Whole(_) => true,
            Source::Scalar(_) | Source::Floats(_) | Source::Made(_) => false,
        };
        match (is_integer && !self.cast, to.is_float()) {
            (true, true) => Some(Constant { cast: true, ..self.clone() }),
            // Integers are read in any integer type.
            (true, false) if to != DataType::Bool => Some(self.clone()),
            (false, true) => Some(self.clone()),
            _ => None,
        }
    }

    /// The same values in other dimensions, in which -1 means the remaining size and 0 the previous one.
    pub fn reshaped(&self, to: &[Size], keeps_zeros: bool) -> Result<Self, String> {
        let dims = self.dims()?;
        let from: Vec<Size> = dims.iter().map(|&dim| Size::Known(dim as i64)).collect();
        let sizes = shape::reshaped(&from, to, keeps_zeros);
        let known = sizes.and_then(|sizes| sizes.into_iter().map(Size::known).collect::<Option<Vec<usize>>>());
        known
            .filter(|sizes| sizes.len() <= MOST_DIMENSIONS && shape_len(sizes) == shape_len(&dims))
            .map(|sizes| Constant { dims: Some(sizes.into()), ..self.clone() })
            .ok_or_else(|| format!("a constant of the shape {dims:?} does not fit that shape"))
    }

    /// The same values with the dimensions in another order, or reversed. The number of values is subtracted from the `room`.
    pub fn transposed(&self, order: Option<&[i64]>, room: &mut usize) -> Result<Self, String> {
        let dims = self.dims()?;
        if dims.contains(&0) {
            return Err(format!("it transposes a constant of the shape {dims:?}, which has no values"));
        }
        let order = shape::order(order, dims.len()).ok_or("its perm is not an order of the constant's dimensions")?;
        let turned: Rc<[usize]> = order.iter().map(|&dim| dims[dim]).collect();
        if shape::keeps_order(&order, |dim| dims[dim] == 1) {
            return Ok(Constant { dims: Some(turned), ..self.clone() });
        }
        let count = shape_len(&dims);
        *room = room.checked_sub(count).ok_or("constants are transposed more often than there is room for")?;
        let mut strides = vec![1; dims.len()];
        for dim in (1..dims.len()).rev() {
            strides[dim - 1] = strides[dim] * dims[dim];
        }
        let mut place = vec![0; dims.len()];
        let places = (0..count).map(|_| {
            let from: usize = place.iter().zip(&order).map(|(&at, &dim)| at * strides[dim]).sum();
            for (at, &size) in place.iter_mut().zip(turned.iter()).rev() {
                *at += 1;
                if *at < size {
                    break;
                }
                *at = 0;
            }
            from
        });
        let source = match self.whole() {
            Some((_, values)) => Source::Whole(places.map(|from| values[from]).collect()),
            None => {
                let (_, values) = self.values()?;
                Source::Made(places.map(|from| values[from]).collect())
            }
        };
        Ok(Constant { source, dims: Some(turned), cast: false })
    }
}

impl<'a> From<Source<'a>> for Constant<'a> {
    fn from(source: Source<'a>) -> Self {
        Constant { source, dims: None, cast: false }
    }
}

/// The number of values in a checked shape.
fn shape_len(dims: &[usize]) -> usize {
    dims.iter().product()
}

fn say(tensor: &TensorProto, reason: &str) -> String {
    format!("tensor \"{}\" {reason}", super::limits::short(&tensor.name))
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
    if tensor.dims.len() > MOST_DIMENSIONS {
        return Err(format!("has {} dimensions: at most {MOST_DIMENSIONS} are read", tensor.dims.len()));
    }
    let dims: Option<Vec<usize>> = tensor.dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let count = dims.as_ref().and_then(|dims| dims.iter().try_fold(1usize, |count, &dim| count.checked_mul(dim)));
    dims.zip(count).ok_or_else(|| format!("has the shape {:?}, which no tensor in memory has", tensor.dims))
}

/// The values of a tensor of floats.
fn floats(tensor: &TensorProto) -> Result<Vec<f32>, String> {
    let (dims, count) = size(tensor)?;
    let raw = &tensor.raw_data;
    let (in_list, size) = match tensor.data_type() {
        DataType::Float => (tensor.float_data.len(), 4),
        DataType::Double => (tensor.double_data.len(), 8),
        DataType::Float16 | DataType::Bfloat16 => (tensor.int32_data.len(), 2),
        other => return Err(format!("is {other:?}: it must be Float, Double, Float16 or Bfloat16")),
    };
    if in_list != 0 && raw.is_empty() && in_list == count {
        // The lower half of each number is the bits.
        let halves = |value: fn(u16) -> f32| tensor.int32_data.iter().map(|&bits| value(bits as u16)).collect();
        return Ok(match tensor.data_type() {
            DataType::Double => tensor.double_data.iter().map(|&value| value as f32).collect(),
            DataType::Float16 => halves(|bits| f16::from_bits(bits).to_f32()),
            DataType::Bfloat16 => halves(|bits| bf16::from_bits(bits).to_f32()),
            _ => tensor.float_data.clone(),
        });
    }
    if in_list != 0 || !raw.len().is_multiple_of(size) || raw.len() / size != count {
        let there = if raw.is_empty() { format!("{in_list} values") } else { format!("{} bytes", raw.len()) };
        return Err(format!("has {there}: its shape {dims:?} takes {count} values of {size} bytes"));
    }
    Ok(match tensor.data_type() {
        DataType::Double => chunks(raw, |bytes| f64::from_le_bytes(bytes) as f32),
        DataType::Float16 => chunks(raw, |bytes| f16::from_le_bytes(bytes).to_f32()),
        DataType::Bfloat16 => chunks(raw, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        _ => chunks(raw, f32::from_le_bytes),
    })
}

/// The values of a short tensor of integers or booleans.
fn integers(tensor: &TensorProto) -> Option<Vec<i64>> {
    /// The most values: no more classes have names, and shapes are shorter.
    const MOST: usize = 1 << 16;
    let (_, count) = size(tensor).ok().filter(|&(_, count)| count <= MOST)?;
    let raw = &tensor.raw_data;
    let in_list = || tensor.int32_data.iter().map(|&value| value.into()).collect();
    let values: Vec<i64> = match (tensor.data_type(), raw.is_empty()) {
        (DataType::Int64, true) => tensor.int64_data.clone(),
        (DataType::Int64, false) => chunks(raw, i64::from_le_bytes),
        (DataType::Int32, false) => chunks(raw, |bytes| i32::from_le_bytes(bytes).into()),
        (DataType::Bool | DataType::Uint8, false) => raw.iter().map(|&byte| byte.into()).collect(),
        (DataType::Int32 | DataType::Bool | DataType::Uint8, true) => in_list(),
        _ => return None,
    };
    Some(values).filter(|values| values.len() == count)
}

fn chunks<T, const N: usize>(bytes: &[u8], value: impl Fn([u8; N]) -> T) -> Vec<T> {
    bytes.chunks_exact(N).map(|chunk| value(std::array::from_fn(|at| chunk[at]))).collect()
}
