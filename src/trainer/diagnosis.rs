//! Where numbers went bad. A loss that is not finite is seen on the device in its step, and by the host some chunks later, when nothing is finite
//! any more: so the steps before it are run again, to the same bits, and the last two of them are looked at; each of them, where weights had gone
//! bad before.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use super::epochs::Fit;
use super::fit::Kept;
use super::moment::Moment;
use super::parameters::ParameterReader;
use super::rows::Rows;
use super::runner::{Buffers, Part};
use super::weight_check::WeightCheck;
use super::{Parameters, Trainer};
use crate::plan::{Plan, Role};
use crate::{Dataset, Error, Weights};

/// What is said of a loss that is not finite before it is known where that came from.
pub(super) const THE_LOSS: &str = "the loss";

/// Running steps again to see where numbers went bad takes no longer, as far as that is known before.
pub(super) const MOST_TIME: Duration = Duration::from_secs(60);

impl Trainer {
    /// What was the first to be infinite or not a number in the step whose loss is, or before it, and in which step: found by running on from
    /// this moment. The trainer is then where it was before the step that is named. None where it cannot be found, or not in time.
    pub(super) async fn diagnose(
        &mut self,
        train: Rows<'_>,
        plan: &Plan,
        validation: Option<&Dataset>,
        moment: &Moment,
        step: u64,
    ) -> Result<Option<(u64, String)>, Error> {
        self.go_back(moment)?;
        let mut fit = self.begin(train, plan, validation, None)?;
        let mut reader = self.reader_of(&fit)?;
        let (before, last) = (step.saturating_sub(2).max(self.steps_done), step - 1);
        self.run_to(&mut fit, before).await?;
        if before < last {
            let Parameters { weights, gradients, .. } = self.parameters_of(&fit, &mut reader).await?;
            if bad_tensor(&weights, First::Below).is_some() {
                // A bounded activation kept it from the loss.
                return match self.first_bad_update(train, plan, validation, moment, before).await? {
                    Some(first) => Box::pin(self.diagnose(train, plan, validation, moment, first + 1)).await,
                    None => Ok(None),
                };
            }
            if let Some((tensor, value)) = bad_tensor(&gradients, First::Above) {
                return Ok(Some((last, format!("the gradient of {tensor} is {value}"))));
            }
            let good = self.beginning().await?;
            let part = Part { steps: 1, continues: true, stream: None, snapshots: None };
            fit.training.run_part(&fit.gpu, part, &mut self.stats, |_, _| Ok(ControlFlow::Continue(())))?;
            self.steps_done += 1;
            let weights = self.weights_of(&self.weight_buffers()).await?;
            if let Some((tensor, value)) = bad_tensor(&weights, First::Below) {
                self.go_back(&good)?;
                return Ok(Some((last, format!("the update of {tensor} left a value that is {value}"))));
            }
        }
        let gradients = self.parameters_of(&fit, &mut reader).await?.gradients;
        for layer in 0..self.network.layers().len() {
            // Those of the last layer are logits, and in memory where there are many.
            let Some(activations) = reader.buffer(Role::Activations(layer)) else { break };
            let count = activations.size() as usize / 4;
            let values: Vec<f32> = self.gpu.read(activations, count, &mut self.stats.traffic)?;
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Ok(Some((step, format!("an output of layer {} is {}", layer + 1, word(*value)))));
            }
        }
        let and = match bad_tensor(&gradients, First::Above) {
            Some((tensor, value)) => format!("and the gradient of {tensor} is {value}"),
            None => "though every gradient is finite".into(),
        };
        Ok(Some((step, format!("the loss of a row is the first, {and}"))))
    }

    /// The first step after this moment, up to the last one given, whose update left a weight that is not finite. None where none did, or looking
    /// after each takes too long.
    async fn first_bad_update(
        &mut self,
        train: Rows<'_>,
        plan: &Plan,
        validation: Option<&Dataset>,
        moment: &Moment,
        last: u64,
    ) -> Result<Option<u64>, Error> {
        self.go_back(moment)?;
        let mut fit = self.begin(train, plan, validation, None)?;
        let mut check = WeightCheck::new(&fit.gpu, &self.network, &self.model, self.options.checks)?;
        let begun = Instant::now();
        for step in moment.step + 1..=last {
            self.run_to(&mut fit, step).await?;
            fit.gpu.submit(&mut self.stats.traffic, |encoder| check.record(encoder));
            check.request();
            if !check.are_finite(&fit.gpu, &mut self.stats.traffic).await? {
                return Ok(Some(step));
            }
            if begun.elapsed() > MOST_TIME {
                break;
            }
        }
        Ok(None)
    }

    /// Runs on to the end of a step, told to nobody.
    async fn run_to(&mut self, fit: &mut Fit<'_, '_>, step: u64) -> Result<(), Error> {
        if step == self.steps_done {
            return Ok(());
        }
        fit.ends_at(step);
        self.run_epochs(fit, &mut Kept::default(), &mut |_| ControlFlow::Continue(())).await
    }

    /// Who reads parameters for a fit over a whole set.
    fn reader_of(&self, fit: &Fit<'_, '_>) -> Result<ParameterReader, Error> {
        let of_set = |role: &Role| matches!(role, Role::Set(_) | Role::Targets | Role::Scaling | Role::OutputWeights);
        let buffers = fit.training.buffers.iter().filter(|(role, _)| of_set(role));
        let place: Buffers = buffers.map(|(&role, buffer)| (role, buffer.clone())).collect();
        let shape = fit.train.shape(self.tiling.most_bytes);
        let plan = Plan::gradients(self.options.training_request(&self.network, shape, &self.tiling))?;
        ParameterReader::new(&fit.gpu, &plan, &self.model, &[place], self.options.checks)
    }

    async fn parameters_of(&mut self, fit: &Fit<'_, '_>, reader: &mut ParameterReader) -> Result<Parameters, Error> {
        let traffic = &mut self.stats.traffic;
        reader.take(&fit.gpu, traffic, self.steps_done, 0);
        reader.parameters(&fit.gpu, traffic, &self.network).await
    }
}

/// Which layer is the first: the one that rows come to, or the one that gradients do.
#[derive(Clone, Copy)]
pub(super) enum First {
    Below,
    Above,
}

/// What to say of a value that is found in a tensor after a step, whichever left it there.
pub(super) fn found_after(tensor: &str, value: &str) -> String {
    format!("after it a value of {tensor} is {value}, by its update or an earlier one")
}

/// The first tensor with a value that is not finite, and what that is.
pub(super) fn bad_tensor(tensors: &Weights, first: First) -> Option<(String, &'static str)> {
    let bad = |values: &[f32]| values.iter().copied().find(|value| !value.is_finite()).map(word);
    let layers = tensors.layers.len();
    (0..layers).find_map(|at| {
        let layer = if matches!(first, First::Below) { at } else { layers - 1 - at };
        let own = &tensors.layers[layer];
        let of = |what: &str, value| (format!("layer {}'s {what}", layer + 1), value);
        bad(&own.weight).map(|value| of("weights", value)).or_else(|| bad(&own.bias).map(|value| of("bias", value)))
    })
}

fn word(value: f32) -> &'static str {
    if value.is_nan() { "not a number" } else { "infinite" }
}
