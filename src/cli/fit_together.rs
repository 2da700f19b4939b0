//! That a run's options, network and sets fit together.

use super::config::Run;
use super::source;
use super::token_checks;
use super::training_set::TrainingSet;
use crate::data::Dataset;
use crate::error::Error;
use crate::loss::Loss;
use crate::named::counted;
use crate::network::Network;

/// The network for a run. Its outputs are inferred from the targets if the run does not give them.
pub(super) fn network(run: &Run, set: &TrainingSet, validation: Option<&Dataset>) -> Result<Network, Error> {
    let train = set.at_hand();
    let classes = classes_of(set, validation);
    // Two classes take one sigmoid output.
    let inferred =
        if classes == 2 && matches!(run.options.loss, Loss::SigmoidCrossEntropy { .. }) && !train.labels().is_empty() {
            1
        } else {
            classes
        };
    run.layers.network(&run.data, train, inferred)
}

/// Checks that the run's options are for the network, and that it takes both sets; notes outputs without a class.
pub(super) fn check(
    run: &mut Run,
    set: &TrainingSet,
    validation: Option<&Dataset>,
    network: &Network,
) -> Result<(), Error> {
    run.options.check(network)?;
    check_sets(run, set.at_hand(), validation, network)?;
    check_labels(run, set)?;
    run.note_all(unused_outputs(set, validation, network));
    token_checks::of_network(run, set.at_hand(), network)
}

/// Checks that the loss leaves some label to learn from.
///
/// # Errors
///
/// [`Error::Format`] with the label that all rows have, and that the loss ignores.
fn check_labels(run: &Run, set: &TrainingSet) -> Result<(), Error> {
    let Loss::SoftmaxCrossEntropy { ignore_index: Some(index), .. } = run.options.loss else { return Ok(()) };
    let labels = set.source().whole().map_or(&[][..], Dataset::labels);
    match !labels.is_empty() && labels.iter().all(|&label| label == index as u32) {
        true => Err(Error::format(
            &run.data,
            format!("every label is {index}, which ignore_index leaves out of the loss: there is nothing to learn"),
        )),
        false => Ok(()),
    }
}

/// A note on outputs that stand for no class of the data, if there are any.
fn unused_outputs(set: &TrainingSet, validation: Option<&Dataset>, network: &Network) -> Option<String> {
    let (classes, outputs) = (classes_of(set, validation), network.outputs());
    let has_classes = !set.at_hand().labels().is_empty();
    // One output tells two classes apart.
    (has_classes && classes < outputs && outputs > 1).then(|| {
        let names = set.at_hand().class_names();
        let named = if names.is_empty() { "" } else { "; they are named by their numbers" };
        format!(
            "the network has {}, and the data {}: {} for no class of the data{named}; leave outputs under [model] out, or make the last of its \
             layers as wide as there are classes, unless rows of other classes follow",
            counted(outputs, "output"),
            counted(classes, "class"),
            match outputs - classes {
                1 => format!("output {classes} stands"),
                _ => format!("outputs {classes} to {} stand", outputs - 1),
            },
        )
    })
}

/// The number of classes, or of values a row, in both sets.
fn classes_of(set: &TrainingSet, validation: Option<&Dataset>) -> usize {
    set.source().classes().max(validation.map_or(0, Dataset::classes))
}

/// Checks that the network takes both sets under the loss. An error names the set.
pub(super) fn check_sets(
    run: &Run,
    train: &Dataset,
    validation: Option<&Dataset>,
    network: &Network,
) -> Result<(), Error> {
    let check = |set: &Dataset, words: &str, flag: &str| {
        set.check_for(network, &run.options.loss).map_err(|error| source::of_words(words, flag, error))
    };
    check(train, &run.data, "--data")?;
    let (words, flag) = source::validation_words(run);
    validation.map_or(Ok(()), |set| check(set, words, flag))
}
