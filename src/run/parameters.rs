//! Weights and gradients for the observer of a run. After an epoch's last step comes one of a plan that keeps its gradient and changes nothing,
//! with copies behind it: they are older than the epoch's sums, so the one read that is waited for brings them too.

use super::buffers::Buffers;
use super::runner::Runner;
use crate::error::Error;
use crate::gpu::{Buffer, Checks, Gpu, Readback, Traffic};
use crate::history::Parameters;
use crate::network::{Network, Parameter};
use crate::plan::{Plan, Role, STATE_BYTES};
use crate::weights::{LayerWeights, Weights};

/// Reads them, again and again.
pub(crate) struct ParameterReader {
    runner: Runner,
    /// The step state of the run, which the one of this step is a copy of.
    state: Buffer,
    /// Every parameter, then the gradients of those that are trained.
    sources: Vec<Buffer>,
    /// One for each: a network's weights may be more than a buffer holds.
    copies: Vec<Readback>,
    step: u64,
}

impl ParameterReader {
    /// For a [plan of gradients](Plan::gradients) over the run's weights and the banks that its rows can be in.
    pub async fn new(
        gpu: &Gpu,
        plan: &Plan,
        model: &Buffers,
        banks: &[Buffers],
        checks: Checks,
    ) -> Result<Self, Error> {
        let own = Buffers::from([(Role::State, gpu.zeros("the step state", STATE_BYTES).await?)]);
        let mut runner = Runner::new(gpu, plan, &[&own, model, &banks[0]], checks, None).await?;
        for bank in &banks[1..] {
            runner.also_over(gpu, plan, bank, checks).await?;
        }
        let count = (0..).take_while(|&number| model.contains_key(&Role::Weights(number))).count();
        let of = |buffers: &Buffers, role: fn(usize) -> Role| -> Vec<Buffer> {
            (0..count).filter_map(|number| buffers.get(&role(number)).cloned()).collect()
        };
        let sources = [of(model, Role::Weights), of(&runner.buffers, Role::WeightGradient)].concat();
        let mut copies = Vec::with_capacity(sources.len());
        for source in &sources {
            copies.push(Readback::new(gpu, source.size()).await?);
        }
        Ok(ParameterReader { runner, state: model[&Role::State].clone(), sources, copies, step: 0 })
    }

    /// Hands over the step and the copies, behind all that is on its way. `step` steps have been done.
    pub async fn take(&mut self, gpu: &Gpu, traffic: &mut Traffic, step: u64, bank: usize) -> Result<(), Error> {
        for copy in &mut self.copies {
            copy.ready(gpu).await?;
        }
        gpu.submit(traffic, |encoder| {
            encoder.copy_buffer_to_buffer(&self.state, 0, &self.runner.buffers[&Role::State], 0, STATE_BYTES);
            self.runner.record(encoder, bank);
            self.copies.iter().zip(&self.sources).for_each(|(copy, source)| copy.copy(encoder, &[source]));
        });
        self.step = step;
        self.copies.iter_mut().try_for_each(Readback::request)
    }

    /// What a buffer of the step has, once it was taken.
    pub fn buffer(&self, role: Role) -> Option<&Buffer> {
        self.runner.buffers.get(&role)
    }

    /// What was taken, waiting where it has not arrived.
    pub async fn parameters(
        &mut self,
        gpu: &Gpu,
        traffic: &mut Traffic,
        network: &Network,
    ) -> Result<Parameters, Error> {
        let parameters = network.named_parameters();
        let trained = parameters.iter().filter(|parameter| parameter.is_trained());
        let mut layers = Vec::with_capacity(2 * parameters.len());
        for (copy, parameter) in self.copies.iter_mut().zip(parameters.iter().chain(trained)) {
            layers.push(LayerWeights::from_device(parameter, &copy.wait::<f32>(gpu, traffic).await?));
        }
        let mut of_trained = layers.split_off(parameters.len().min(layers.len())).into_iter();
        // What no optimizer updates has a gradient of 0.
        let gradient = |parameter: &Parameter| {
            let own = if parameter.is_trained() { of_trained.next() } else { None };
            own.unwrap_or_else(|| LayerWeights::zeros(parameter))
        };
        let gradients = Weights { layers: parameters.iter().map(gradient).collect() };
        Ok(Parameters { step: self.step, weights: Weights { layers }, gradients })
    }
}
