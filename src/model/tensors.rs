//! A model's tensors in a file: dense layers by their numbers, and checksums over all.

use std::path::Path;

use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::error::Error;
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

    pub(super) fn view(&self) -> Result<TensorView<'_>, safetensors::SafeTensorError> {
        TensorView::new(self.dtype, self.shape.clone(), &self.bytes)
    }
}

/// The tensors of dense layers under a prefix.
pub(crate) fn tensors(prefix: &str, dropouts: &[f64], layers: &[LayerWeights]) -> impl Iterator<Item = Tensor> {
    numbers(dropouts).zip(layers).flat_map(move |(number, layer)| {
        [("weight", vec![layer.outputs, layer.inputs], &layer.weight), ("bias", vec![layer.outputs], &layer.bias)]
            .map(|(part, shape, values)| Tensor::new(format!("{prefix}{number}.{part}"), Dtype::F32, shape, values))
    })
}

/// The CRC-32 of tensors' names and contents, whatever order a file has them in.
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
            match crate::files::kinds::of(bytes) {
                Some(kind) => format!("it is {}: it is not a whole safetensors file, which is needed", kind.what),
                None => format!("it is not a whole safetensors file: {error}"),
            },
        )
    })
}

/// The dense layers under `prefix`, in order; what their numbers are follows from the dropouts.
pub(crate) fn layers(
    path: &Path,
    file: &SafeTensors<'_>,
    prefix: &str,
    dropouts: &[f64],
) -> Result<Vec<LayerWeights>, Error> {
    let mut layers: Vec<LayerWeights> = Vec::new();
    let mut number = 0;
    while let Ok(weight) = file.tensor(&format!("{prefix}{number}.weight")) {
        let name = format!("{prefix}{number}.weight");
        let &[outputs, inputs] = weight.shape() else {
            return Err(Error::format(
                path,
                format!("{name} has the shape {:?}: it must be [out, in]", weight.shape()),
            ));
        };
        if let Some(before) = layers.last()
            && before.outputs != inputs
        {
            return Err(Error::format(
                path,
                format!("{name} takes {inputs} inputs, and the layer before it has {} outputs", before.outputs),
            ));
        }
        let bias_name = format!("{prefix}{number}.bias");
        let bias =
            file.tensor(&bias_name).map_err(|_| Error::format(path, format!("it has {name} and no {bias_name}")))?;
        if bias.shape() != [outputs] {
            return Err(Error::format(
                path,
                format!("{bias_name} has the shape {:?}: it must be [{outputs}]", bias.shape()),
            ));
        }
        let (weight, bias) = (f32_values(path, &name, &weight)?, f32_values(path, &bias_name, &bias)?);
        layers.push(LayerWeights { inputs, outputs, weight, bias });
        number += places(dropouts.get(layers.len() - 1).copied().unwrap_or(0.0));
    }
    Ok(layers)
}

/// A tensor's values, which must be f32.
pub(crate) fn f32_values(path: &Path, name: &str, tensor: &TensorView<'_>) -> Result<Vec<f32>, Error> {
    match tensor.dtype() {
        Dtype::F32 => Ok(bytemuck::pod_collect_to_vec(tensor.data())),
        other => Err(Error::format(path, format!("{name} is {other:?}: it must be F32"))),
    }
}

/// That no layer was left over: a network with a layer in between that has no weights (dropout, a second activation) numbers
/// the rest differently, and would be read as another, shorter one.
pub(super) fn check_all_read(
    path: &Path,
    file: &SafeTensors<'_>,
    prefix: &str,
    dropouts: &[f64],
    layers: usize,
) -> Result<(), Error> {
    let numbers: Vec<usize> = numbers(&dropouts_of(dropouts, layers + 1)).collect();
    let known = |number: usize| numbers[..layers].contains(&number);
    for name in file.names() {
        let number = name
            .strip_prefix(prefix)
            .and_then(|name| name.strip_suffix(".weight").or(name.strip_suffix(".bias")))
            .and_then(|number| number.parse().ok());
        if let Some(number) = number
            && !known(number)
        {
            return Err(Error::format(
                path,
                format!(
                    "it has a tensor {name}, and no layer {} before it: dense layers are numbered 0, 2, 4, … with one \
                     activation after each",
                    numbers[layers]
                ),
            ));
        }
    }
    Ok(())
}

/// The numbers of dense layers in a `torch.nn.Sequential`, where each has an activation after it and some have a dropout.
pub(super) fn numbers(dropouts: &[f64]) -> impl Iterator<Item = usize> {
    dropouts.iter().scan(0, |next, &rate| {
        let number = *next;
        *next += places(rate);
        Some(number)
    })
}

/// The dropouts of so many layers, where a file names those of the first.
pub(super) fn dropouts_of(dropouts: &[f64], layers: usize) -> Vec<f64> {
    dropouts.iter().copied().chain(std::iter::repeat(0.0)).take(layers).collect()
}

/// How many of these numbers a layer takes with what comes after it.
pub(super) fn places(dropout: f64) -> usize {
    if dropout > 0.0 { 3 } else { 2 }
}
