//! The tensors of a safetensors file: parameters under their layers' names.

use std::borrow::Cow;
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::error::Error;
use crate::files::kinds;
use crate::network::{Parameter, ParameterKind};
use crate::weights::LayerWeights;

/// A tensor on its way to a file.
pub(crate) struct Tensor {
    pub name: String,
    pub dtype: Dtype,
    pub shape: Vec<usize>,
    pub bytes: Vec<u8>,
}

impl Tensor {
    /// One of f32 values, u32 words and the like, which are its bytes.
    pub fn new<T: bytemuck::NoUninit>(name: impl Into<String>, dtype: Dtype, shape: Vec<usize>, values: &[T]) -> Self {
        Tensor { name: name.into(), dtype, shape, bytes: bytemuck::cast_slice(values).to_vec() }
    }

    pub fn view(&self) -> Result<TensorView<'_>, safetensors::SafeTensorError> {
        TensorView::new(self.dtype, self.shape.clone(), &self.bytes)
    }
}

/// The tensors of parameters, whose names get a prefix.
pub(crate) fn tensors(prefix: &str, names: &[Parameter], layers: &[LayerWeights]) -> impl Iterator<Item = Tensor> {
    names.iter().zip(layers).flat_map(move |(parameter, layer)| {
        let [weight, bias] = parameter.tensor_names().map(|name| format!("{prefix}{name}"));
        let bias = parameter.bias.then(|| Tensor::new(bias, Dtype::F32, vec![layer.outputs], &layer.bias));
        let of_file = in_file(parameter, &layer.weight);
        [Tensor::new(weight, Dtype::F32, parameter.shape(), &of_file)].into_iter().chain(bias)
    })
}

/// The CRC-32 of tensors' names and contents, in the order of their names.
pub(crate) fn checksum<'a>(tensors: impl Iterator<Item = (&'a str, &'a [u8])>) -> u32 {
    let mut tensors: Vec<_> = tensors.collect();
    tensors.sort_unstable_by_key(|(name, _)| *name);
    let mut hasher = crc32fast::Hasher::new();
    for (name, bytes) in tensors {
        hasher.update(name.as_bytes());
        hasher.update(bytes);
    }
    hasher.finalize()
}

/// How the layers of a state dict are said that it does not say itself: convolutions have strides and padding, and pools are between them.
pub(super) const LISTED: &str = "with wgrad import FILE OUT.safetensors --config run.toml, whose [model] has the list of layers, and for images --inputs, as 28,28,1";

/// That a file's tensors and metadata are what was written, where it has their checksums, as every checkpoint must.
pub(crate) fn check_sums(path: &Path, file: &SafeTensors<'_>, about: Option<&Value>) -> Result<(), Error> {
    let Some(about) = about.filter(|about| about.get("crc32").or(about.get("checkpoint")).is_some()) else {
        return Ok(());
    };
    let sum = checksum(file.iter().map(|(name, tensor)| (name, tensor.data())));
    if about["crc32"].as_u64() != Some(sum.into()) {
        return Err(Error::format(path, "its contents are not what was written: the checksum differs"));
    }
    let mut rest = about.clone();
    let of_rest = rest.as_object_mut().and_then(|rest| rest.remove("crc32_about"));
    if of_rest.is_some_and(|of_rest| of_rest != crc32fast::hash(rest.to_string().as_bytes())) {
        return Err(Error::format(path, "it is damaged: the checksum of its metadata is another"));
    }
    Ok(())
}

/// A safetensors file's tensors.
pub(crate) fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<SafeTensors<'a>, Error> {
    SafeTensors::deserialize(bytes).map_err(|error| {
        Error::format(
            path,
            match kinds::of(bytes) {
                _ if kinds::is_onnx(bytes) || path.extension().is_some_and(|ending| ending == "onnx") => {
                    "an ONNX model has to be converted first: wgrad import FILE.onnx model.safetensors".into()
                }
                Some(kind) => format!("it is {}: it is not a whole safetensors file, which is needed", kind.what),
                None => format!("it is not a whole safetensors file: {error}"),
            },
        )
    })
}

/// The values of these parameters, whose names have a prefix.
pub(crate) fn layers(
    path: &Path,
    file: &SafeTensors<'_>,
    prefix: &str,
    parameters: &[Parameter],
) -> Result<Vec<LayerWeights>, Error> {
    let layer = |parameter: &Parameter| {
        let &Parameter { inputs, outputs, .. } = parameter;
        let [weight, bias] = parameter.tensor_names();
        let read = |name: String, shape: Vec<usize>| {
            let name = format!("{prefix}{name}");
            let tensor = file.tensor(&name).map_err(|_| Error::format(path, format!("it has no tensor {name}")))?;
            if tensor.shape() != shape {
                let reason = format!("{name} has the shape {:?}: it must be {shape:?}", tensor.shape());
                return Err(Error::format(path, reason));
            }
            f32_values(path, &name, &tensor)
        };
        let weight = out_of_file(parameter, read(weight, parameter.shape())?);
        let bias = if parameter.bias { read(bias, vec![outputs])? } else { vec![] };
        Ok(LayerWeights { inputs, outputs, weight, bias })
    };
    parameters.iter().map(layer).collect()
}

/// That a layer can compute with its values.
pub(super) fn check_values(parameter: &Parameter, layer: &LayerWeights) -> Result<(), String> {
    match wrong_value(parameter.kind, layer) {
        None => Ok(()),
        Some((tensor, reason)) => Err(format!("{}.{tensor} {reason}", parameter.name)),
    }
}

/// The first tensor with a value that its layer cannot compute with, and why not.
pub(super) fn wrong_value(kind: ParameterKind, layer: &LayerWeights) -> Option<(&'static str, String)> {
    let [weight, bias] = kind.tensors();
    for (name, values) in [(weight, &layer.weight), (bias, &layer.bias)] {
        if let Some(value) = values.iter().find(|value| !value.is_finite()) {
            return Some((name, format!("holds {value}: every weight must be finite")));
        }
    }
    let negative = layer.bias.iter().find(|&&value| value < 0.0).filter(|_| kind == ParameterKind::Statistics)?;
    Some((bias, format!("holds {negative}: a variance is at least 0")))
}

/// The values of a parameter as files have them: the table of an embedding has a row for each token there.
pub(super) fn in_file<'a>(parameter: &Parameter, weight: &'a [f32]) -> Cow<'a, [f32]> {
    match parameter.kind {
        ParameterKind::Embedding => transposed(weight, parameter.inputs, parameter.outputs).into(),
        _ => weight.into(),
    }
}

/// The reverse of [`in_file`].
pub(super) fn out_of_file(parameter: &Parameter, weight: Vec<f32>) -> Vec<f32> {
    match parameter.kind {
        ParameterKind::Embedding => transposed(&weight, parameter.outputs, parameter.inputs),
        _ => weight,
    }
}

/// The values of a matrix `[columns, rows]` as one `[rows, columns]`.
pub(super) fn transposed(values: &[f32], rows: usize, columns: usize) -> Vec<f32> {
    (0..rows * columns).map(|at| values[at % columns * rows + at / columns]).collect()
}

/// A tensor's values, which must be f32.
pub(crate) fn f32_values(path: &Path, name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, Error> {
    match tensor.dtype() {
        Dtype::F32 => Ok(bytemuck::pod_collect_to_vec(tensor.data())),
        other => Err(Error::format(path, format!("{name} is {other:?}: it must be F32"))),
    }
}

/// A tensor's values, of any kind of float, as f32.
pub(super) fn values(name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, String> {
    let data = tensor.data();
    let halves = |value: fn([u8; 2]) -> f32| data.chunks_exact(2).map(|bytes| value([bytes[0], bytes[1]])).collect();
    match tensor.dtype() {
        Dtype::F32 => Ok(bytemuck::pod_collect_to_vec(data)),
        Dtype::F64 => Ok(bytemuck::pod_collect_to_vec::<u8, f64>(data).into_iter().map(|value| value as f32).collect()),
        Dtype::F16 => Ok(halves(|bytes| f16::from_le_bytes(bytes).to_f32())),
        Dtype::BF16 => Ok(halves(|bytes| bf16::from_le_bytes(bytes).to_f32())),
        other => Err(format!("{name} is {other:?}: it must be F32, F64, F16 or BF16")),
    }
}
