//! Where numbers went bad. It is seen on the device in its step, and by the host some chunks later, when nothing is finite any more: so the steps
//! before that one are run again, to the same bits, and it is looked at.

use std::ops::ControlFlow;
use std::time::Duration;

use super::attempts::Kept;
use super::epochs::Fit;
use crate::checkpoint::restore_point::Moment;
use crate::data::Dataset;
use crate::error::Error;
use crate::history::Parameters;
use crate::plan::{Plan, Role};
use crate::run::parameters::ParameterReader;
use crate::run::rows::Rows;
use crate::run::runner::{Buffers, Part};
use crate::trainer::Trainer;
use crate::weights::Weights;

/// What is said of a step before it is known where its numbers went bad: that its loss is not finite,
pub(crate) const THE_LOSS: &str = "the loss";
/// or what its updates read or left.
pub(crate) const AN_UPDATE: &str = "a gradient, or a weight that an update left";

/// Running steps again to see where numbers went bad takes no longer, as far as that is known before.
pub(crate) const MOST_TIME: Duration = Duration::from_secs(60);

impl Trainer {
    /// What was the first to be infinite or not a number in a step, all before which was finite: found by running on from this moment. `seen` is
    /// what the device saw. The trainer is then where it was before the step. None where it cannot be found.
    pub(crate) async fn diagnose(
        &mut self,
        train: Rows<'_>,
        plan: &Plan,
        validation: Option<&Dataset>,
        moment: &Moment,
        step: u64,
        seen: &str,
    ) -> Result<Option<String>, Error> {
        self.go_back(moment)?;
        let mut fit = self.begin(train, plan, validation, None)?;
        let mut reader = self.reader_of(&fit)?;
        self.run_to(&mut fit, validation, step - 1).await?;
        let gradients = self.parameters_of(&fit, &mut reader).await?.gradients;
        for layer in 0..self.network.layers().len() {
            // Those of the last layer are logits, and in memory where there are many.
            let Some(activations) = reader.buffer(Role::Activations(layer)) else { break };
            let count = activations.size() as usize / 4;
            let values: Vec<f32> = self.gpu.read(activations, count, &mut self.stats.traffic)?;
            if let Some(value) = values.iter().find(|value| !value.is_finite()) {
                return Ok(Some(format!("an output of layer {} is {}", layer + 1, word(*value))));
            }
        }
        let of_gradient = bad_tensor(&gradients, First::Above);
        let of_gradient = of_gradient.map(|(tensor, value)| format!("the gradient of {tensor} is {value}"));
        if seen == THE_LOSS {
            let and = of_gradient.map_or("though every gradient is finite".into(), |bad| format!("and {bad}"));
            return Ok(Some(format!("the loss of a row is the first, {and}")));
        }
        if of_gradient.is_some() {
            return Ok(of_gradient);
        }
        let good = self.beginning().await?;
        let part = Part { steps: 1, continues: true, stream: None, snapshots: None };
        fit.training.run_part(&fit.gpu, part, &mut self.stats, |_, _| Ok(ControlFlow::Continue(())))?;
        let weights = self.weights_of(&self.weight_buffers()).await?;
        self.go_back(&good)?;
        let left = bad_tensor(&weights, First::Below);
        Ok(left.map(|(tensor, value)| format!("the update of {tensor} left a value that is {value}")))
    }

    /// Runs on to the end of a step, told to nobody.
    async fn run_to(&mut self, fit: &mut Fit<'_, '_>, validation: Option<&Dataset>, step: u64) -> Result<(), Error> {
        if step == self.steps_done {
            return Ok(());
        }
        fit.ends_at(step);
        self.run_epochs(fit, validation, &mut Kept::default(), &mut |_| ControlFlow::Continue(())).await
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
enum First {
    Below,
    Above,
}

/// The first tensor with a value that is not finite, and what that is.
fn bad_tensor(tensors: &Weights, first: First) -> Option<(String, &'static str)> {
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
