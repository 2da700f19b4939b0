//! Reads the sets that `--data`, `--validation` and `--input` name.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::Path;

use super::config::Run;
use super::reading::Validation;
use super::table_options::{MissingTarget, Text, Unknown};
use super::token_checks;
use super::training_set::TrainingSet;
use super::unfit::{Content, Given};
use crate::data::{Dataset, ReadOptions, Sets, Source, Stored, begins_as_arrays, is_text_table};
use crate::error::Error;
use crate::loss::Task;
use crate::model::{Model, names_for};
use crate::named::counted;
use crate::preprocessing::{ImageShape, ScaleBy, Scaling, Vocabulary};

/// The most bytes that are read from standard input.
const MOST_FROM_STDIN: u64 = 1 << 30;
/// The word for standard input.
pub(super) const STDIN: &str = "-";

/// Reads all sets that the words name.
fn sets(words: &str, options: &ReadOptions) -> Result<Sets, Error> {
    let path = Path::new(words);
    if words == "mnist" {
        Dataset::mnist().map(|(train, test)| Sets { train, validation: None, test: Some(test) })
    } else if words == "shakespeare" {
        Sets::shakespeare(options)
    } else if path.exists() {
        Sets::read(path, options)
    } else if options.inputs_only {
        Err(Error::Option(format!(
            "--input: there is no \"{words}\": predict takes a picture, an array (.npy), any file of a set (CSV, TSV, .npz, safetensors, Parquet), a folder \
             (MNIST-style IDX files, CIFAR's binary files, x.npy, or pictures), mnist, or - for standard input"
        )))
    } else {
        Err(Error::Option(format!(
            "there is no \"{words}\": data is mnist, shakespeare, a file (CSV, TSV, .npz, safetensors, Parquet, a text), or a folder (MNIST-style IDX files, \
             CIFAR's binary files, x.npy and y.npy, or a folder of images for each class)"
        )))
    }
}

/// Reads the sets that a run trains and validates on. A safetensors file that is larger than the memory budget stays in its file, unless all
/// its rows have to be known first.
pub(super) fn of_run(run: &Run, init: Option<&Model>) -> Result<(TrainingSet, Option<Dataset>), Error> {
    let path = Path::new(&run.data);
    let is_safetensors = path.extension().is_some_and(|extension| extension == "safetensors");
    let is_larger = |budget| std::fs::metadata(path).is_ok_and(|about| about.len() > budget);
    let scales = run.scaling != ScaleBy::None || run.scale_targets != ScaleBy::None;
    let is_scaled = init.is_some_and(|model| model.scaling.is_some() || model.target_scaling.is_some());
    let is_whole =
        scales || is_scaled || run.layers.take_tokens() || matches!(run.validation, Some(Validation::Fraction(_)));
    if !is_safetensors || is_whole || !run.options.memory_budget.is_some_and(is_larger) {
        let (train, validation) = with_validation(run, init)?;
        return Ok((TrainingSet::Whole(with_unused(run, train, validation.as_ref())?), validation));
    }
    let stored = Stored::open_with(path, &run.reading)?;
    let train = stored.read(0..run.options.batch_size.clamp(1, stored.rows()))?;
    let train = train.noted_all(path, stored.note().map(String::from));
    check_image(run, &train)?;
    let first = Sets { train, validation: stored.validation()?, test: stored.test()? };
    let (first, validation) = beside(run, first, init)?;
    let first = with_unused(run, noted(run, first), validation.as_ref())?;
    Ok((TrainingSet::Stored(stored, first), validation))
}

/// The options for reading a run's sets: as its layers take rows, and with the vocabulary of the model that training goes on from.
fn reading(run: &Run, init: Option<&Model>) -> ReadOptions {
    let before = init.and_then(|model| model.vocabulary.clone());
    let vocabulary = match (run.reading.vocabulary.clone(), before) {
        (Some(Vocabulary::Characters(_)), Some(before @ Vocabulary::Characters(_))) => Some(before),
        (asked, before) => asked.or(before),
    };
    ReadOptions {
        tokens: run.layers.take_tokens(),
        context: run.reading.context.or(run.layers.positions()),
        vocabulary,
        // A part of it is held out where the run says so.
        undivided: run.validation.is_some(),
        ..run.reading.clone()
    }
}

/// Reads the sets that a run trains on.
fn of_data(run: &Run, init: Option<&Model>) -> Result<Sets, Error> {
    let own = sets(&run.data, &reading(run, init)).map_err(|error| token_checks::hinted_at_layers(run, error))?;
    if own.train.vocabulary().is_some() {
        token_checks::of_run(run)?;
    }
    let hint = init.and_then(|model| token_checks::of_init(&own.train, model));
    let own = Sets { train: own.train.noted_all(Path::new(&run.data), hint), ..own };
    check_image(run, &own.train)?;
    Ok(own)
}

/// Checks that rows are images of the form that the run gives them, if it gives one.
///
/// # Errors
///
/// [`Error::Option`] with both forms, or with the number of features that are not one image of this form.
fn check_image(run: &Run, train: &Dataset) -> Result<(), Error> {
    let Some(asked) = run.reading.image.filter(|&asked| train.image_shape() != Some(asked)) else { return Ok(()) };
    let ImageShape { height, width, channels } = asked;
    let given = format!("image = [{height}, {width}, {channels}] under [data]");
    Err(Error::Option(match train.image_shape() {
        Some(ImageShape { height, width, channels }) => format!(
            "{given}: {} says itself that its images are [{height}, {width}, {channels}], and only files of pictures are resized; leave image out",
            run.data
        ),
        None => format!(
            "{given}: an image of {asked} has {}, and a row of {} has {}: choose a height, a width and channels whose product is that, or leave image out",
            counted(height * width * channels, "value"),
            run.data,
            counted(train.width(), "feature")
        ),
    }))
}

/// Checks that rows to validate on have the form of the rows to train on.
///
/// # Errors
///
/// [`Error::Data`] or [`Error::Format`] with both forms.
fn check_alike(run: &Run, train: &Dataset, validation: &Dataset) -> Result<(), Error> {
    let form = |set: &Dataset| match set.image_shape() {
        Some(image) => format!("are images of {image}"),
        None if set.vocabulary().is_some() => format!("have {}", counted(set.width(), "token")),
        None => format!("have {}", counted(set.width(), "feature")),
    };
    let images = train.image_shape().zip(validation.image_shape());
    if train.width() == validation.width() && images.is_none_or(|(own, other)| own == other) {
        return Ok(());
    }
    let (words, flag) = validation_words(run);
    let reason = format!(
        "the rows to validate on {}, and those to train on, of {}, {}: both must have the same form",
        form(validation),
        run.data,
        form(train)
    );
    Err(of_words(words, flag, Error::Data(reason)))
}

/// The words of the set to validate on, and the flag that gives it: those of the training set where the rows are part of that.
pub(super) fn validation_words(run: &Run) -> (&str, &'static str) {
    match &run.validation {
        Some(Validation::Path(words)) => (words, "--validation"),
        _ => (&run.data, "--data"),
    }
}

/// Reads the training and the validation set. Scalings are computed from the training rows alone, or taken from the model that training
/// goes on from.
fn with_validation(run: &Run, init: Option<&Model>) -> Result<(Dataset, Option<Dataset>), Error> {
    let (train, mut validation) = beside(run, of_data(run, init)?, init)?;
    if let Some(validation) = &validation {
        check_alike(run, &train, validation)?;
    }
    let mut train = noted_on_labels(run, train);
    let mut notes = Vec::new();
    let mut chosen = |what: &str, flag: &str, own: Option<Scaling>, model: Option<&Scaling>| match (own, model) {
        (None, Some(scaling)) => {
            notes.push(format!("the {what} are scaled as the model was trained on them; {flag} changes that"));
            Some(scaling.clone())
        }
        (Some(own), Some(scaling)) if own != *scaling => {
            notes.push(format!(
                "the {what} are scaled differently from the model's training rows, as {flag} asks: its weights were trained for other numbers; without \
                 {flag} the model's scaling is used"
            ));
            Some(own)
        }
        (own, _) => own,
    };
    let own = run.scaling.of(&train)?;
    // A model for rows of another width is refused later, with its weights.
    let model = init.filter(|model| model.network.inputs() == train.width());
    let features = chosen("features", "--scaling", own, model.and_then(|model| model.scaling.as_ref()));
    let own = run.scale_targets.of_targets(&train)?;
    let takes_targets = |model: &&Model| {
        run.options.loss.task() == Task::Numbers
            && train.values().is_some()
            && model.network.outputs() == train.classes()
    };
    let scaling_of_model = model.filter(takes_targets).and_then(|model| model.target_scaling.as_ref());
    let targets = chosen("targets", "--scale-targets", own, scaling_of_model);
    if let Some(scaling) = features {
        validation = validation.map(|set| set.with_scaling(scaling.clone())).transpose()?;
        train = train.with_scaling(scaling)?;
    }
    if let Some(scaling) = targets {
        validation = validation.map(|set| set.with_target_scaling(scaling.clone())).transpose()?;
        train = train.with_target_scaling(scaling)?;
    }
    notes.extend(model.into_iter().flat_map(|model| other_meanings(&train, model)));
    let path = run.init.as_deref().unwrap_or(Path::new("--init"));
    Ok((noted(run, train.noted_all(path, notes)), validation))
}

/// Notes on features and classes that mean something else than those of the model that training goes on from.
fn other_meanings(train: &Dataset, model: &Model) -> Vec<String> {
    let mut notes: Vec<String> = Vec::new();
    if train.columns().is_some() && model.columns.is_none() {
        notes.push(
            "the model keeps no columns of a table, so its weights may have been learned for other features, or for these in another order; with a \
             table, --init is for models that wgrad trained on one"
                .into(),
        );
    }
    if let (Some(own), Some(before)) = (train.text_vocabulary(), &model.vocabulary)
        && own != before
    {
        notes.push(format!(
            "the text's vocabulary is {own}, and the model's {before}: its embedding was learned for other tokens; without a vocabulary under [data] and without --vocabulary the model's is used"
        ));
    }
    let columns = train.columns().zip(model.columns.as_ref());
    if columns.is_some_and(|(own, model)| !own.make_the_same_as(model)) {
        notes.push(
            "the columns become other features than those that the model was trained on: its weights were learned for others".into(),
        );
    }
    let own = names_for(train.class_names().to_vec(), model.network.outputs());
    if !model.classes.is_empty() && !train.class_names().is_empty() && model.classes != own {
        notes.push(format!(
            "the {} are {}, and the model was trained on {}: its outputs get other meanings",
            output_word(model),
            train.class_names().join(", "),
            model.classes.join(", ")
        ));
    }
    notes
}

/// The training set of a run, with notes on keys of its file that have no effect on it: a file of options may serve several sets.
///
/// # Errors
///
/// [`Error::Option`] for flags that have none, and for a column that is both the target and left out.
fn with_unused(run: &Run, train: Dataset, validation: Option<&Dataset>) -> Result<Dataset, Error> {
    let ReadOptions { label, ignore, .. } = &run.reading;
    if let (Some(label), Some(columns)) = (label, train.columns())
        && let Some(word) = ignore.iter().find(|word| columns.has_target(word))
    {
        return Err(Error::Option(format!(
            "--label {label} and --ignore {word} name the same column: the target cannot be left out; leave it out of --ignore"
        )));
    }
    // Options that the validation set was read by had an effect.
    let beside = validation.map(|set| Content::of(validation_words(run).0, set));
    let sets: Vec<Content> = [Content::of(&run.data, &train)].into_iter().chain(beside).collect();
    run.flags.check(&run.data, &sets)?;
    let notes = Given::of(&run.reading).notes(&run.data, &sets);
    Ok(train.noted_all(Path::new(&run.data), notes))
}

/// The training set with notes on numbers that are not scaled.
fn noted(run: &Run, train: Dataset) -> Dataset {
    let notes = [train.note_on_digits(), train.note_on_targets(&run.options.loss)];
    train.noted_all(Path::new(&run.data), notes.into_iter().flatten())
}

/// The set, with a note if its labels begin at another number than 0.
fn noted_on_labels(run: &Run, train: Dataset) -> Dataset {
    let labels = || train.labels().iter().copied();
    match (labels().min(), labels().max()) {
        (Some(least @ 1..), Some(most))
            if train.class_names().is_empty() && !train.has_fixed_classes() && most <= i32::MAX as u32 =>
        {
            let note = format!(
                "its labels go from {least} to {most}, and labels count from 0: the network has outputs for 0 to {most}; subtract {least} to \
                 avoid outputs that no row needs"
            );
            train.noted(Path::new(&run.data), note)
        }
        _ => train,
    }
}

/// The training set, and the set to validate on.
fn beside(run: &Run, own: Sets, init: Option<&Model>) -> Result<(Dataset, Option<Dataset>), Error> {
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
                vocabulary: train.text_vocabulary().cloned(),
                ..reading(run, init)
            };
            match sets(words, &alike).map(|sets| sets.to_validate_on().without_overlap()) {
                Err(Error::Option(reason)) => {
                    return Err(Error::Option(format!("--validation: {reason}; or none, or a fraction as 0.1")));
                }
                set => {
                    let set = noted_on_names(words, train.class_names(), set?);
                    (train, Some(set))
                }
            }
        }
    })
}

/// Reads rows with targets for an existing model, and the targets from the columns `label` of a table if the model keeps no columns.
pub(super) fn for_model(words: &str, model: &Model, text: &Text, label: Option<&str>) -> Result<Dataset, Error> {
    if let (Some(label), Some(columns)) = (label, &model.columns) {
        let own = columns.target_names().join(",");
        if label != own {
            return Err(Error::Option(format!(
                "--label {label}: the model keeps the columns of the table that it was trained on, and its target there is \"{own}\": leave --label out"
            )));
        }
    }
    let regression = model.loss.task() == Task::Numbers;
    let options = ReadOptions { regression, label: label.map(str::to_string), ..of_model(model, text) };
    let own = sets(words, &options)?;
    let left_out = own.validation.as_ref().and_then(token_checks::of_last_tenth);
    let set = own.to_test_on().without_overlap();
    let set = set.noted_all(Path::new(words), left_out);
    Given::of(&options).check(words, &[Content::of(words, &set)])?;
    let set = match set.text_vocabulary() {
        Some(own) if model.vocabulary.is_none() => {
            let note = format!(
                "the model keeps no vocabulary, so the text's {own} are numbered in their order: figures mean something where training numbered them so"
            );
            set.noted(Path::new(words), note)
        }
        _ => set,
    };
    let set = noted_on_names(words, &model.classes, set);
    scaled(set, model).map_err(|error| of_words(words, "--data", error))
}

/// The set, with a note where its classes have names and those that were trained on have none, or the reverse: they are numbered as they come.
fn noted_on_names(words: &str, names: &[String], set: Dataset) -> Dataset {
    const MOST: usize = 10;
    let own = set.class_names();
    let known = if own.is_empty() { names } else { own };
    let are_numbers = known.iter().enumerate().all(|(at, name)| *name == at.to_string());
    if own.is_empty() == names.is_empty() || are_numbers || set.labels().is_empty() {
        return set;
    }
    let numbered: Vec<String> =
        known.iter().take(MOST).enumerate().map(|(at, name)| format!("{name} is {at}")).collect();
    let more = if known.len() > MOST { ", …" } else { "" };
    let numbered = format!("{}{more}", numbered.join(", "));
    let note = match own.is_empty() {
        true => format!(
            "its classes are numbers and the classes that were trained on have names, so they are taken in this order: {numbered}; figures mean something \
             where the set numbers them so"
        ),
        false => format!(
            "its classes have names and the classes that were trained on have none, so they are numbered in this order: {numbered}; figures mean something \
             where training numbered them so"
        ),
    };
    set.noted(Path::new(words), note)
}

/// The options for reading rows for a model.
fn of_model(model: &Model, text: &Text) -> ReadOptions {
    ReadOptions {
        header: text.header(),
        delimiter: text.delimiter,
        channels: text.channels,
        unknown_is_none: text.unknown == Some(Unknown::None),
        leave_out_without_target: text.missing_target == Some(MissingTarget::LeaveOut),
        ..ReadOptions::of_model(model)
    }
}

/// The source of rows to predict on.
pub(super) enum Input {
    /// A table in text, whose rows are answered one after the other.
    Lines(Box<dyn BufRead + Send>),
    /// Other data on standard input.
    Stream(Box<dyn BufRead + Send>),
    /// A file, a folder, or mnist.
    Place,
}

impl Input {
    /// Opens `-`, which is standard input, or a file, and checks whether it begins as a table.
    pub fn open(words: &str, model: &Model) -> Result<Self, Error> {
        let path = Path::new(words);
        let mut stream: Box<dyn BufRead + Send> = match words {
            STDIN => Box::new(BufReader::new(std::io::stdin())),
            _ if path.is_file() => Box::new(BufReader::new(File::open(path).map_err(Error::io(path))?)),
            _ => return Ok(Input::Place),
        };
        let begin = stream.fill_buf().map_err(Error::io(path))?;
        // Empty input has no rows, which is reported once it is read.
        let takes_table = model.network.vocabulary().is_none();
        Ok(match !begin.is_empty() && takes_table && is_text_table(path, begin) {
            true => Input::Lines(stream),
            false if words == STDIN => Input::Stream(stream),
            false => Input::Place,
        })
    }
}

/// The options for reading rows to predict on.
pub(super) fn reading_inputs(model: &Model, text: &Text) -> ReadOptions {
    ReadOptions { inputs_only: true, ..of_model(model, text) }
}

/// Reads all rows to predict on.
pub(super) fn inputs(words: &str, input: Input, model: &Model, text: &Text) -> Result<Dataset, Error> {
    let mut options = reading_inputs(model, text);
    if options.image.is_none() && !options.tokens && model.network.inputs() == 784 {
        options.image = Some(ImageShape { height: 28, width: 28, channels: 1 });
    }
    let is_text = matches!(input, Input::Lines(_));
    let (set, content) = match input {
        Input::Lines(stream) | Input::Stream(stream) if words == STDIN => {
            let bytes = crate::files::read_to_end(Path::new(STDIN), stream, MOST_FROM_STDIN)?;
            let set = Dataset::from_bytes(&bytes, &options)?;
            let are_images = set.image_shape().is_some() && begins_as_arrays(Path::new(STDIN), &bytes);
            let content = if are_images { Content::Images } else { Content::of(words, &set) };
            (set, content)
        }
        _ => {
            let set = sets(words, &options)?.to_test_on();
            let content = Content::of(words, &set);
            (set, content)
        }
    };
    Given::of(&options).check(words, &[if is_text { Content::Text } else { content }])?;
    token_checks::of_inputs(words, &set, model)?;
    scaled(set, model).map_err(|error| of_words(words, "--input", error))
}

/// The error about a set, with the set's name. Of MNIST, which is also taken where no set is named, with the flag that names another.
pub(super) fn of_words(words: &str, flag: &str, error: Error) -> Error {
    match error {
        Error::Data(reason) if words == "mnist" => {
            Error::Data(format!("{reason}; the set is MNIST: {flag} takes another"))
        }
        Error::Data(reason) if words != "-" => Error::format(words, reason),
        error => error,
    }
}

pub(super) fn scaled(set: Dataset, model: &Model) -> Result<Dataset, Error> {
    // A wrong form is reported before a wrong scaling.
    set.check_form(&model.network)?;
    let set = match model.scaling.clone() {
        Some(scaling) => set.with_scaling(scaling)?,
        None => set,
    };
    match model.target_scaling.clone().filter(|_| set.values().is_some()) {
        Some(scaling) => set.with_target_scaling(scaling),
        None => Ok(set),
    }
}

/// What a model's outputs are named for, in the plural: its classes, or the numbers that it predicts.
pub(super) fn output_word(model: &Model) -> &'static str {
    if model.loss.task() == Task::Numbers { "targets" } else { "classes" }
}
