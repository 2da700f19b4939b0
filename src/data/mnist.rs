//! The MNIST set, embedded in the program.

use std::path::Path;

use super::{Dataset, idx};
use crate::error::Error;

macro_rules! file {
    ($name:literal) => {
        (Path::new(concat!("data/mnist/", $name)), include_bytes!(concat!("../../data/mnist/", $name)).as_slice())
    };
}

pub(super) fn read() -> Result<(Dataset, Dataset), Error> {
    let pair = |images: (&Path, &[u8]), labels: (&Path, &[u8])| idx::pair_from(images.0, images.1, labels.0, labels.1);
    Ok((
        pair(file!("train-images-idx3-ubyte.gz"), file!("train-labels-idx1-ubyte.gz"))?,
        pair(file!("t10k-images-idx3-ubyte.gz"), file!("t10k-labels-idx1-ubyte.gz"))?,
    ))
}
