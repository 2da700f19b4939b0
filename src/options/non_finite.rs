//! How training treats numbers that are not finite.

use crate::error::Error;
use crate::named::{Elsewhere, Named, by_word};
use crate::run::sums::Sums;

/// The cause in [`Error::NonFinite`] where the loss of a step is not finite, until the first such tensor is found.
pub(crate) const THE_LOSS: &str = "the loss";
/// The cause where a gradient or an updated weight is not finite, until the first such tensor is found.
pub(crate) const AN_UPDATE: &str = "a gradient, or a weight that an update left";

/// How training treats a step whose numbers are not finite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum NonFinite {
    /// A loss, a gradient (before it is clipped) or a new weight that is not finite ends training with [`Error::NonFinite`], which names the step.
    /// The error names the first such tensor if it can be found: for this, the steps since the fit's beginning, or its last checkpoint, are run
    /// again, if that takes less than a minute. For as long the host keeps a copy of what the fit began with.
    #[default]
    Stop,
    /// A step with a gradient that is not finite changes nothing and is counted, on the device. An update that is not finite although its gradient
    /// is ends training. This needs every gradient before the first update: one more dispatch for each layer and one for all, as clipping by the
    /// norm does.
    Skip,
    /// Training restarts the epoch with the rate times [`TrainOptions::lower_factor`](crate::TrainOptions::lower_factor), at most
    /// [`TrainOptions::lower_times`](crate::TrainOptions::lower_times) times; after that, or where the rate would become 0, it stops. If the epoch's
    /// first step is not finite, it restarts the epoch before. For this, weights and the optimizer's values are read after every epoch. A run that
    /// was resumed within an epoch restarts from there.
    Lower,
}

impl Named for NonFinite {
    const WHAT: &'static str = "a treatment of steps that are not finite";
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
    /// Checks that the losses in the sums of an epoch (counted from 0) are finite, unless such steps are skipped, and that its updates are.
    ///
    /// # Errors
    ///
    /// [`Error::NonFinite`] with the first step that is not.
    pub(crate) fn check(self, sums: &Sums, epoch: u64) -> Result<(), Error> {
        let loss = sums.non_finite_loss.filter(|_| self != NonFinite::Skip);
        // In the same step, the loss comes before the update.
        let first = [(loss, THE_LOSS), (sums.non_finite_update, AN_UPDATE)];
        let first = first.into_iter().filter_map(|(step, cause)| Some((step?, cause))).min_by_key(|&(step, _)| step);
        match first {
            Some((step, cause)) => Err(Error::NonFinite { step, epoch: epoch + 1, cause: cause.into() }),
            None => Ok(()),
        }
    }
}
