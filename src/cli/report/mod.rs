//! The report of a run: one page with everything in it, and its curves as files of their own.

mod answers;
mod curves;
mod findings;
mod page;
mod pictures;

pub(super) use answers::Chosen;
pub(super) use findings::image_of;
pub(super) use pictures::{first_seen, first_weights};

use super::out::Out;
use super::training_set::TrainingSet;
use crate::data::Dataset;
use crate::error::Error;
use crate::history::History;
use crate::trainer::Trainer;
use answers::Answers;
use curves::{Chart, Colors};
use findings::Findings;

/// The page's name in the run's folder.
pub(super) const PAGE: &str = "report.html";
/// The most rows of a training set that are judged where there are none to validate on.
const MOST_JUDGED: usize = 100_000;

/// Evaluates the trained model, and writes the page and the curves. It reads from the device, as training is over.
pub(super) fn write(
    out: &Out,
    trainer: &mut Trainer,
    history: &History,
    train: &TrainingSet,
    validation: Option<&Dataset>,
    chosen: Chosen,
) -> Result<(), Error> {
    let (first, rows) = (train.at_hand(), train.source().rows());
    // No more rows than the device has room for.
    let row_bytes = first.device_bytes().div_ceil(first.rows() as u64).max(1);
    let room = trainer.options().memory_budget.map_or(MOST_JUDGED, |bytes| (bytes / row_bytes).max(1) as usize);
    let most = room.min(MOST_JUDGED);
    let some = match (validation, train.source().whole()) {
        (None, whole) if whole.is_none() || rows > most => Some(train.source().read(0..rows.min(most))?),
        _ => None,
    };
    let set = some.as_ref().or(validation).unwrap_or(first);
    // Rows of a text overlap: each token is judged once.
    let once = set.is_text().then(|| set.without_overlap());
    let set = once.as_ref().unwrap_or(set);
    let on = match (validation, &some) {
        (Some(_), _) => "validation",
        (None, Some(some)) if some.rows() < rows => "first training",
        (None, _) => "training",
    };
    let findings = Findings::of(trainer, set, on)?;
    let answers = Answers::of(trainer, train, validation, chosen)?;
    let charts = Chart::of_history(&history.epochs);
    let write = |name: &str, bytes: &[u8]| crate::files::write_whole(&out.folder().join(name), bytes);
    write("curves.svg", curves::svg(&charts, Colors::OnPaper)?.as_bytes())?;
    write("curves.png", &curves::png(&charts)?)?;
    write(PAGE, page::html(out.about(), history, &charts, &findings, &answers)?.as_bytes())
}
