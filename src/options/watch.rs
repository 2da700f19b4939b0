//! The decisions after an epoch, from its metric: whether it was the best so far, whether the learning rate is lowered, and
//! whether training goes on.

use super::monitor::Monitor;
use crate::error::Error;
use crate::history::Epoch;

/// Ends training when it no longer helps: Keras' `EarlyStopping`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct EarlyStopping {
    /// Training ends after this many epochs in a row that were no better than the best.
    pub patience: u64,
    /// The least change that counts as better.
    pub min_delta: f64,
}

/// Lowers the learning rate when training no longer helps: `torch.optim.lr_scheduler.ReduceLROnPlateau`. It works with any
/// schedule, which scales the lowered rate.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ReduceOnPlateau {
    /// The factor of the rate.
    pub factor: f64,
    /// The number of epochs in a row that may be no better than the best.
    pub patience: u64,
    /// The least relative change that counts as better.
    pub threshold: f64,
    /// The number of epochs after a reduction that do not count.
    pub cooldown: u64,
    /// The lowest rate.
    pub min_lr: f64,
}

impl Default for ReduceOnPlateau {
    fn default() -> Self {
        ReduceOnPlateau { factor: 0.1, patience: 10, threshold: 1e-4, cooldown: 0, min_lr: 0.0 }
    }
}

impl EarlyStopping {
    pub(crate) fn check(&self) -> Result<(), Error> {
        if self.patience == 0 {
            return Err(Error::Option("early_stopping: patience is 0: it must be at least 1".into()));
        }
        if !(0.0..=1e30).contains(&self.min_delta) {
            return Err(Error::Option(format!(
                "early_stopping: min_delta is {}: it must be finite and at least 0",
                self.min_delta
            )));
        }
        Ok(())
    }
}

impl ReduceOnPlateau {
    pub(crate) fn check(&self) -> Result<(), Error> {
        for (name, value, range, right) in [
            ("factor", self.factor, 1e-30..=1.0 - 1e-7, "above 0 and below 1"),
            ("threshold", self.threshold, 0.0..=1.0, "from 0 to 1"),
            ("min_lr", self.min_lr, 0.0..=1e30, "finite and at least 0"),
        ] {
            if !range.contains(&value) {
                return Err(Error::Option(format!("reduce_on_plateau: {name} is {value}: it must be {right}")));
            }
        }
        Ok(())
    }
}

/// The state of the decisions over the epochs of a run.
#[derive(Clone, Debug)]
pub(crate) struct Watch {
    pub monitor: Monitor,
    pub early_stopping: Option<EarlyStopping>,
    pub plateau: Option<ReduceOnPlateau>,
    best: Option<f64>,
    /// For early stopping: the value to beat, and the number of epochs since.
    to_beat: Option<f64>,
    waited: u64,
    /// For the plateau: the same, and the number of epochs that still do not count.
    plateaus_best: Option<f64>,
    bad_epochs: u64,
    cooling: u64,
}

/// The decisions after an epoch.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Verdict {
    /// Whether it is the best so far.
    pub is_best: bool,
    /// The learning rate to go on with.
    pub lr: f64,
    /// Whether training ends here.
    pub stops: bool,
}

impl Watch {
    pub fn new(monitor: Monitor, early_stopping: Option<EarlyStopping>, plateau: Option<ReduceOnPlateau>) -> Self {
        Watch {
            monitor,
            early_stopping,
            plateau,
            best: None,
            to_beat: None,
            waited: 0,
            plateaus_best: None,
            bad_epochs: 0,
            cooling: 0,
        }
    }

    /// The state as numbers, for a checkpoint; NaN where there is no value yet.
    pub fn figures(&self) -> [f64; 6] {
        let some = |value: Option<f64>| value.unwrap_or(f64::NAN);
        let counts = [self.waited, self.bad_epochs, self.cooling].map(|count| count as f64);
        [some(self.best), some(self.to_beat), some(self.plateaus_best), counts[0], counts[1], counts[2]]
    }

    /// The state from these numbers; `None` for another count of them.
    pub fn with_figures(self, figures: &[f64]) -> Option<Self> {
        let &[best, to_beat, plateaus_best, waited, bad_epochs, cooling] = figures else { return None };
        let some = |value: f64| Some(value).filter(|value| !value.is_nan());
        Some(Watch {
            best: some(best),
            to_beat: some(to_beat),
            plateaus_best: some(plateaus_best),
            waited: waited as u64,
            bad_epochs: bad_epochs as u64,
            cooling: cooling as u64,
            ..self
        })
    }

    /// Whether training was ended.
    pub fn is_over(&self) -> bool {
        self.early_stopping.is_some_and(|early| self.waited >= early.patience)
    }

    /// Judges an epoch that was trained with this learning rate.
    pub fn judge(&mut self, epoch: &Epoch, lr: f64) -> Verdict {
        let Some(figure) = epoch.monitored else {
            return Verdict { is_best: false, lr, stops: false };
        };
        let figure = self.monitor.turned(figure);
        let is_best = self.best.is_none_or(|best| figure < best);
        if is_best {
            self.best = Some(figure);
        }
        Verdict { is_best, lr: self.reduced(figure, lr), stops: self.stops(figure) }
    }

    fn stops(&mut self, figure: f64) -> bool {
        let Some(early) = self.early_stopping else { return false };
        if self.to_beat.is_none_or(|best| figure < best - early.min_delta) {
            (self.to_beat, self.waited) = (Some(figure), 0);
        } else {
            self.waited += 1;
        }
        self.is_over()
    }

    fn reduced(&mut self, figure: f64, lr: f64) -> f64 {
        let Some(plateau) = self.plateau else { return lr };
        // The change is relative to the value's size; values are negative where more is better.
        if self.plateaus_best.is_none_or(|best| figure < best - plateau.threshold * best.abs()) {
            (self.plateaus_best, self.bad_epochs) = (Some(figure), 0);
        } else {
            self.bad_epochs += 1;
        }
        if self.cooling > 0 {
            self.cooling -= 1;
            self.bad_epochs = 0;
        }
        if self.bad_epochs <= plateau.patience {
            return lr;
        }
        (self.bad_epochs, self.cooling) = (0, plateau.cooldown);
        (plateau.factor * lr).max(plateau.min_lr.min(lr))
    }
}
