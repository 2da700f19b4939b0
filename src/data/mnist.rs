//! MNIST, inside the library.

use super::Dataset;
use crate::error::Error;

#[cfg(mnist_embedded)]
pub(super) fn read() -> Result<(Dataset, Dataset), Error> {
    use std::path::Path;

    macro_rules! file {
        ($name:literal) => {
            (Path::new(concat!("data/mnist/", $name)), include_bytes!(concat!("../../data/mnist/", $name)).as_slice())
        };
    }
    let pair =
        |images: (&Path, &[u8]), labels: (&Path, &[u8])| super::idx::pair_from(images.0, images.1, labels.0, labels.1);
    Ok((
        pair(file!("train-images-idx3-ubyte.gz"), file!("train-labels-idx1-ubyte.gz"))?,
        pair(file!("t10k-images-idx3-ubyte.gz"), file!("t10k-labels-idx1-ubyte.gz"))?,
    ))
}

#[cfg(not(mnist_embedded))]
pub(super) fn read() -> Result<(Dataset, Dataset), Error> {
    Err(Error::Option(
        "this build has no MNIST inside: the published package comes without it, and only a build of the repository has it; \
         name a folder with its four IDX files instead"
            .into(),
    ))
}
