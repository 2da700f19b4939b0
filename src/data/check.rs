//! Whether a set can be used at all, and by a network under a loss.

use super::{Dataset, Values};
use crate::kernel::TargetKind;
use crate::{Error, Loss, Network};

impl Dataset {
    /// That the network takes rows of this width.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] naming both numbers.
    pub fn check_width(&self, network: &Network) -> Result<(), Error> {
        if self.width != network.inputs() {
            return Err(Error::Data(format!(
                "the rows have {} features, the network takes {}",
                self.width,
                network.inputs()
            )));
        }
        Ok(())
    }

    /// That the network takes these rows and has an output for every label.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] naming the numbers that differ, and the first row whose target the loss cannot take.
    pub fn check_for(&self, network: &Network, loss: &Loss) -> Result<(), Error> {
        self.check_width(network)?;
        match &self.values {
            Some(all) => check_values(all, network, loss),
            None => self.check_labels(network, loss),
        }
    }

    fn check_labels(&self, network: &Network, loss: &Loss) -> Result<(), Error> {
        let ignored = match loss {
            Loss::SoftmaxCrossEntropy { ignore_index, .. } => ignore_index.map(|index| index as u32),
            Loss::KlDivergence => {
                return Err(Error::Data(
                    "kl-divergence needs a distribution for every row (t), and the set has class indices (y)".into(),
                ));
            }
            _ => None,
        };
        // One output takes a label of 0 or 1.
        let labels = if loss.targets(self.targets()).kind == TargetKind::Values {
            network.outputs().max(2)
        } else {
            network.outputs()
        };
        match self.labels.iter().position(|&label| label as usize >= labels && Some(label) != ignored) {
            Some(row) => {
                let label = self.labels[row] as i32;
                // No number of outputs has one for it.
                let hint = if label < 0 {
                    "; labels count from 0, and ignore_index under [loss] names one to leave out"
                } else {
                    ""
                };
                Err(Error::Data(format!(
                    "the label of row {row} is {label}: with {} outputs, labels go from 0 to {}{hint}",
                    network.outputs(),
                    labels - 1
                )))
            }
            None => Ok(()),
        }
    }
}

fn check_values(all: &Values, network: &Network, loss: &Loss) -> Result<(), Error> {
    if all.outputs != network.outputs() {
        return Err(Error::Data(format!(
            "a row has {} targets, the network {} outputs: they must agree",
            all.outputs,
            network.outputs()
        )));
    }
    let range = match loss {
        Loss::SoftmaxCrossEntropy { .. } | Loss::KlDivergence => 0.0..=f32::MAX,
        Loss::SigmoidCrossEntropy { .. } => 0.0..=1.0,
        _ => f32::MIN..=f32::MAX,
    };
    match all.values.iter().position(|value| !range.contains(value)) {
        Some(at) => Err(Error::Data(format!(
            "target {} of row {} is {}: {} takes targets {}",
            at % all.outputs,
            at / all.outputs,
            all.values[at],
            loss.name(),
            if *range.end() == 1.0 { "from 0 to 1" } else { "of at least 0" },
        ))),
        None => Ok(()),
    }
}

pub(super) fn check_finite<T: Copy + Into<f32>>(features: &[T], width: usize) -> Result<(), Error> {
    match features.iter().position(|&value| !value.into().is_finite()) {
        Some(at) => Err(Error::Data(format!(
            "feature {} of row {} is {}: every feature must be finite",
            at % width.max(1),
            at / width.max(1),
            features[at].into()
        ))),
        None => Ok(()),
    }
}
