//! From the words of `--data`, `--validation` and `--input` to sets.

use std::path::Path;

use super::config::{Run, Validation};
use crate::loss::Task;
use crate::{Dataset, Error, Model, ReadOptions, ScaleBy, Sets, Source, Stored};

/// The most bytes that are read from standard input.
const MOST_FROM_STDIN: u64 = 1 << 30;

/// All sets that words name.
fn sets(words: &str, options: &ReadOptions) -> Result<Sets, Error> {
    let path = Path::new(words);
    if words == "mnist" {
        mnist().map(|(train, test)| Sets { train, validation: None, test: Some(test) })
    } else if path.exists() {
        Sets::read(path, options)
    } else {
        Err(Error::Option(format!(
            "there is no \"{words}\": data is mnist, a file (CSV, TSV, .npz, safetensors, Parquet), or a folder (MNIST-style IDX files, \
             x.npy and y.npy, or a folder of images for each class)"
        )))
    }
}

/// What a run trains on.
pub(super) enum TrainingSet {
    Whole(Dataset),
    /// A file that the memory budget has no room for; the set has its first rows.
    Stored(Stored, Dataset),
}

impl TrainingSet {
    /// All rows, or the first: what they are like.
    pub fn at_hand(&self) -> &Dataset {
        match self {
            TrainingSet::Whole(set) | TrainingSet::Stored(_, set) => set,
        }
    }

    /// All rows, wherever they are.
    pub fn source(&self) -> &dyn Source {
        match self {
            TrainingSet::Whole(set) => set,
            TrainingSet::Stored(stored, _) => stored,
        }
    }
}

/// What a run trains on, and validates on. A safetensors file that is larger than the memory budget stays where it is, unless something has to
/// be known of all its rows first.
pub(super) fn of_run(run: &Run) -> Result<(TrainingSet, Option<Dataset>), Error> {
    let path = Path::new(&run.data);
    let is_safetensors = path.extension().is_some_and(|extension| extension == "safetensors");
    let is_larger = |budget| std::fs::metadata(path).is_ok_and(|about| about.len() > budget);
    let is_whole = run.scaling != ScaleBy::None || matches!(run.validation, Some(Validation::Fraction(_)));
    if !is_safetensors || is_whole || !run.options.memory_budget.is_some_and(is_larger) {
        return with_validation(run).map(|(train, validation)| (TrainingSet::Whole(train), validation));
    }
    let stored = Stored::open(path)?;
    let train = stored.read(0..run.options.batch_size.clamp(1, stored.rows()))?;
    let first = Sets { train, validation: stored.validation()?, test: stored.test()? };
    let (first, validation) = beside(run, first)?;
    Ok((TrainingSet::Stored(stored, first), validation))
}

/// Training and validation sets, as the words for both say. The scaling is of the training rows alone.
fn with_validation(run: &Run) -> Result<(Dataset, Option<Dataset>), Error> {
    let (train, validation) = beside(run, sets(&run.data, &run.reading)?)?;
    let train = counted(run, train);
    let Some(scaling) = run.scaling.of(&train) else { return Ok((train, validation)) };
    let validation = validation.map(|set| set.with_scaling(scaling.clone())).transpose()?;
    Ok((train.with_scaling(scaling)?, validation))
}

/// The set, with a note where its classes are counted from another number than 0.
fn counted(run: &Run, train: Dataset) -> Dataset {
    let labels = || train.labels().iter().copied();
    match (labels().min(), labels().max()) {
        (Some(least @ 1..), Some(most)) if train.class_names().is_empty() && most <= i32::MAX as u32 => {
            let note = format!(
                "its labels go from {least} to {most}, and labels count from 0: the network has outputs for 0 to {most}; subtract {least} to \
                 have none that no row asks for"
            );
            train.noted(Path::new(&run.data), note)
        }
        _ => train,
    }
}

/// The training set with what it is validated on.
fn beside(run: &Run, own: Sets) -> Result<(Dataset, Option<Dataset>), Error> {
    if run.validation.is_none() {
        return Ok(own.to_train_on(&run.data));
    }
    let train = own.train;
    Ok(match &run.validation {
        None => (train, None),
        Some(Validation::Fraction(fraction)) => {
            let (fraction, seed) = (*fraction, run.options.seed);
            let (train, validation) =
                if run.stratify { train.split_stratified(fraction, seed)? } else { train.split(fraction, seed)? };
            (train, Some(validation))
        }
        Some(Validation::Path(words)) if words == "none" => (train, None),
        Some(Validation::Path(words)) => {
            let alike = ReadOptions {
                columns: train.columns().cloned(),
                image: train.image_shape(),
                class_names: train.class_names().to_vec(),
                ..run.reading.clone()
            };
            match sets(words, &alike).map(Sets::to_validate_on) {
                Err(Error::Option(reason)) => {
                    return Err(Error::Option(format!("--validation: {reason}; or none, or a fraction as 0.1")));
                }
                set => (train, Some(set?)),
            }
        }
    })
}

/// Rows with their targets for a model that is there.
pub(super) fn for_model(words: &str, model: &Model) -> Result<Dataset, Error> {
    let regression = model.loss.task() == Task::Numbers;
    let set = sets(words, &ReadOptions { regression, ..ReadOptions::of_model(model) })?.to_test_on();
    scaled(set, model).map_err(|error| of_words(words, "--data", error))
}

/// Rows to predict on; `-` is standard input.
pub(super) fn inputs(words: &str, model: &Model) -> Result<Dataset, Error> {
    let mut options = ReadOptions { inputs_only: true, ..ReadOptions::of_model(model) };
    if model.image.is_none() && model.network.inputs() == 784 {
        options.image = Some(crate::ImageShape { height: 28, width: 28, channels: 1 });
    }
    let set = if words == "-" {
        let bytes = crate::files::read_to_end(Path::new("-"), std::io::stdin().lock(), MOST_FROM_STDIN)?;
        Dataset::from_bytes(&bytes, &options)?
    } else {
        sets(words, &options)?.to_test_on()
    };
    scaled(set, model).map_err(|error| of_words(words, "--input", error))
}

/// What is wrong with a set, and which set that is. Who named none has not asked for MNIST's.
pub(super) fn of_words(words: &str, flag: &str, error: Error) -> Error {
    match error {
        Error::Data(reason) if words == "mnist" => {
            Error::Data(format!("{reason}; the set is MNIST, as long as {flag} names no other"))
        }
        Error::Data(reason) if words != "-" => Error::format(words, reason),
        error => error,
    }
}

fn scaled(set: Dataset, model: &Model) -> Result<Dataset, Error> {
    // Said before any that is wrong with the scaling.
    set.check_width(&model.network)?;
    match model.scaling.clone() {
        Some(scaling) => set.with_scaling(scaling),
        None => Ok(set),
    }
}

/// What a class, or an output, is called: its name, or its number where it has none.
pub(super) fn name_of(names: &[String], outputs: usize, index: usize) -> String {
    // The one output of two classes is the second one's probability.
    let place = if outputs == 1 && names.len() == 2 { 1 } else { index };
    names.get(place).cloned().unwrap_or_else(|| index.to_string())
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
