//! What is refused, and what is noted, where a run, a model and a set are of tokens.

use std::path::Path;

use super::config::Run;
use crate::data::Dataset;
use crate::error::Error;
use crate::loss::Task;
use crate::model::Model;
use crate::named::counted;
use crate::network::{LayerKind, Network};
use crate::preprocessing::ScaleBy;

/// Checks that a run asks for nothing that rows of tokens cannot have.
///
/// # Errors
///
/// [`Error::Option`] with the option.
pub(super) fn of_run(run: &Run) -> Result<(), Error> {
    let given = [
        (format!("--scaling {}", run.scaling), run.scaling != ScaleBy::None),
        ("image under [data]".into(), run.reading.image.is_some()),
        ("stratify under [data]".into(), run.stratify),
    ];
    let Some((option, _)) = given.into_iter().find(|(_, is_given)| *is_given) else { return Ok(()) };
    Err(Error::Option(format!(
        "{option}: the rows of {} are tokens, which are numbers of words or characters and no quantities; leave it out",
        run.data
    )))
}

/// Checks that a text is learned under a loss of classes, and notes what makes a loss mean nothing and what learns nothing.
///
/// # Errors
///
/// [`Error::Option`] with the loss.
pub(super) fn of_network(run: &mut Run, set: &Dataset, network: &Network) -> Result<(), Error> {
    if set.is_text() && run.options.loss.task() != Task::Classes {
        return Err(Error::Option(format!(
            "--loss {}: what comes next in a text is one of its tokens, which softmax-cross-entropy learns",
            run.options.loss.name()
        )));
    }
    run.note_all(reads_its_labels(set, network));
    run.note_all(unused_positions(set, network));
    Ok(())
}

/// A note on attention that sees the tokens that are to be predicted, if there is any.
fn reads_its_labels(set: &Dataset, network: &Network) -> Option<String> {
    let mut sees = None;
    network.walk(&mut |located| match located.layer.kind() {
        LayerKind::Attention(attention) if !attention.causal => sees = sees.take().or(Some(located.location)),
        _ => {}
    });
    sees.filter(|_| set.is_text()).map(|location| {
        format!(
            "{location} (attention) sees the tokens that follow, which the network is to predict, so its loss means nothing: write causal = true"
        )
    })
}

/// A note on positions that no row has a place for, if there are any.
fn unused_positions(set: &Dataset, network: &Network) -> Option<String> {
    let mut most = 0;
    network.walk(&mut |located| {
        if let LayerKind::Positions(positions) = located.layer.kind() {
            most = most.max(positions.length);
        }
    });
    (set.vocabulary().is_some() && most > set.width()).then(|| {
        let row = counted(set.width(), "token");
        format!("a row has {row}, and the layers have positions for {most}: the others learn nothing")
    })
}

/// What is wrong with a file that may be a text, where the layers take none.
pub(super) fn hinted_at_layers(run: &Run, error: Error) -> Error {
    let may_be_text = Path::new(&run.data).extension().is_some_and(|ending| ending == "txt" || ending == "md");
    match error {
        Error::Format { path, reason } if may_be_text && !run.layers.take_tokens() => {
            let hint = "to learn from it as a text, list layers under [model] that begin with an embedding, as examples/gpt.toml does";
            Error::Format { path, reason: format!("{reason}; {hint}") }
        }
        error => error,
    }
}

/// A note on a text whose tokens may be numbered otherwise than those that a model was trained on.
pub(super) fn of_init(set: &Dataset, model: &Model) -> Option<String> {
    (set.text_vocabulary().is_some() && model.vocabulary.is_none()).then(|| {
        "the model that training begins with keeps no vocabulary, so the text's tokens are numbered in their order: its weights fit if they were numbered so".into()
    })
}

/// A note on rows that are a part of a text.
pub(super) fn of_last_tenth(set: &Dataset) -> Option<String> {
    set.text_vocabulary().map(|_| "figures are of the text's last tenth, which training leaves out by default".into())
}

/// Checks that rows to predict on are tokens that the model knows: those of a text are, where it keeps the vocabulary.
///
/// # Errors
///
/// [`Error::Format`] with what the model takes.
pub(super) fn of_inputs(words: &str, set: &Dataset, model: &Model) -> Result<(), Error> {
    if set.text_vocabulary().is_none() || model.vocabulary.is_some() {
        return Ok(());
    }
    let reason = "it is read as a text, and the model keeps no vocabulary, as it was trained on arrays of tokens: predict takes an array for it, \
                  x of whole numbers, [rows, length], in .npz or safetensors";
    Err(Error::format(words, reason))
}
