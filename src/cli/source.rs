//! From the words of `--data`, `--validation` and `--input` to sets.

use std::path::Path;

use super::config::Validation;
use crate::{Dataset, Error};

/// What to train on, and what that brings to validate on.
pub(super) fn training(words: &str) -> Result<(Dataset, Option<Dataset>), Error> {
    let path = Path::new(words);
    if words == "mnist" {
        mnist().map(|(train, test)| (train, Some(test)))
    } else if path.is_dir() {
        Dataset::from_idx_dir(path)
    } else if path.exists() {
        Dataset::from_safetensors(path).map(|set| (set, None))
    } else {
        Err(Error::Option(format!(
            "there is no \"{words}\": data is mnist, a directory of MNIST-style IDX files, or a safetensors file"
        )))
    }
}

/// What to evaluate or predict on: the test rows, where there are any.
pub(super) fn testing(words: &str) -> Result<Dataset, Error> {
    training(words).map(|(train, test)| test.unwrap_or(train))
}

/// Training and validation sets, as the words for both say.
pub(super) fn with_validation(
    data: &str,
    validation: Option<&Validation>,
    seed: u64,
) -> Result<(Dataset, Option<Dataset>), Error> {
    let (train, own) = training(data)?;
    match validation {
        None => Ok((train, own)),
        Some(&Validation::Fraction(fraction)) => {
            train.split(fraction, seed).map(|(train, validation)| (train, Some(validation)))
        }
        Some(Validation::Path(words)) if words == "none" => Ok((train, None)),
        Some(Validation::Path(words)) => match testing(words) {
            Err(Error::Option(reason)) => {
                Err(Error::Option(format!("--validation: {reason}; or none, or a fraction as 0.1")))
            }
            set => Ok((train, Some(set?))),
        },
    }
}

#[cfg(mnist_embedded)]
fn mnist() -> Result<(Dataset, Dataset), Error> {
    Dataset::mnist()
}

#[cfg(not(mnist_embedded))]
fn mnist() -> Result<(Dataset, Dataset), Error> {
    Err(Error::Option(
        "this build has no MNIST inside, as it was not made from the repository: pass a directory of its IDX files"
            .into(),
    ))
}
