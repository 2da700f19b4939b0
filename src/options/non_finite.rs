//! What becomes of numbers that are not finite.

use crate::error::Error;
use crate::named::{Elsewhere, Named, by_word};
use crate::run::sums::Sums;

/// The cause of [`Error::NonFinite`] before it is known which tensor was the first: the loss of the step is not finite,
pub(crate) const THE_LOSS: &str = "the loss";
/// or what its updates read or left.
pub(crate) const AN_UPDATE: &str = "a gradient, or a weight that an update left";

/// What becomes of a step whose numbers are not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum NonFinite {
    /// A loss, a gradient (before it is clipped) or a new weight that is not finite ends training with [`Error::NonFinite`], which names the step.
    /// It says where that came from, as far as can be known: the steps since the fit's beginning, or its last checkpoint, are run again for it,
    /// where that takes less than a minute. For that long the host keeps a copy of what the fit began with.
    #[default]
    Stop,
    /// A step with a gradient that is not finite changes nothing and is counted, on the device; an update that is not, of a gradient that is, ends
    /// training. Needs every gradient before
    /// the first update: a dispatch more for each layer and one for all, as clipping by the norm does.
    Skip,
    /// Training goes on from the beginning of the epoch, with a rate that is lower by [`TrainOptions::lower_factor`]; at most
    /// [`TrainOptions::lower_times`] times, and not to 0, then it stops. Where the epoch's first step is bad, from the beginning of the one before. Weights and
    /// the optimizer's values are read after every epoch for it. A run that was resumed within an epoch goes back as far as that.
    Lower,
}

impl Named for NonFinite {
    const WHAT: &'static str = "a way with steps that are not finite";
    const WORDS: &'static [(&'static str, Self)] =
        &[("stop", NonFinite::Stop), ("skip", NonFinite::Skip), ("lower", NonFinite::Lower)];
    const ELSEWHERE: Elsewhere = &[
        (&["error", "raise", "fail", "abort", "terminate"], "stop"),
        (&["ignore", "drop"], "skip"),
        (&["reduce", "reduce-lr", "retry", "backoff"], "lower"),
    ];
}
by_word!(NonFinite);

impl NonFinite {
    /// That the losses in the sums of an epoch, counted from 0, are finite, where no step is skipped for others, and so are its updates.
    ///
    /// # Errors
    ///
    /// [`Error::NonFinite`] with the first step that is not.
    pub(crate) fn check(self, sums: &Sums, epoch: u64) -> Result<(), Error> {
        let loss = sums.bad_loss.filter(|_| self != NonFinite::Skip);
        // A loss that is not finite is there before what comes of it.
        let first = [(loss, THE_LOSS), (sums.bad_update, AN_UPDATE)];
        let first = first.into_iter().filter_map(|(step, cause)| Some((step?, cause))).min_by_key(|&(step, _)| step);
        match first {
            Some((step, cause)) => Err(Error::NonFinite { step, epoch: epoch + 1, cause: cause.into() }),
            None => Ok(()),
        }
    }
}
