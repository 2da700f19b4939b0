//! A network in device memory.

use std::sync::Arc;

use super::activations::{LayerOutput, activations};
use super::buffers::{Buffers, upload};
use super::evaluator::Evaluator;
use super::outputs::Outputs;
use super::runner::Runner;
use crate::data::Dataset;
use crate::error::Error;
use crate::gpu::{Buffer, Checks, Gpu, Submission};
use crate::history::TrainStats;
use crate::kernel::tiling::Tiling;
use crate::loss::Loss;
use crate::network::{Network, Parameter, ParameterKind};
use crate::plan::{Plan, Role, STATE_BYTES};
use crate::weights::{LayerWeights, Weights};

/// A network in device memory, with what an optimizer keeps beside its weights and the step state.
#[derive(Debug)]
pub(crate) struct DeviceModel {
    pub gpu: Arc<Gpu>,
    pub tiling: Tiling,
    pub network: Network,
    /// Whether the kernels check every index at run time.
    pub checks: Checks,
    /// Weights, their averages and optimizer slots of every layer, and the step state.
    pub buffers: Buffers,
    /// What the host had to do since the model was made.
    pub stats: TrainStats,
}

/// Of a copy of the weights.
#[derive(Clone, Copy)]
pub(crate) enum Direction {
    Out,
    Back,
}

impl DeviceModel {
    /// A model that has no weights yet.
    pub fn new(gpu: Arc<Gpu>, tiling: Tiling, network: Network, checks: Checks) -> Self {
        DeviceModel { gpu, tiling, network, checks, buffers: Buffers::new(), stats: TrainStats::default() }
    }

    /// Replaces the weights, with as many values of the optimizer beside each as `slots` says of their layer, and the step state: both begin at 0. The
    /// averages of layers that are `averaged` begin at the weights.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the shapes are not the network's; [`Error::Device`].
    pub async fn set_weights(&mut self, weights: &Weights, slots: &[u32], averaged: &[bool]) -> Result<(), Error> {
        self.network.check_weights(weights)?;
        let mut buffers = Buffers::from([(Role::State, self.gpu.zeros("the step state", STATE_BYTES).await?)]);
        for (layer, (parameter, weights)) in self.network.named_parameters().iter().zip(&weights.layers).enumerate() {
            let location = &parameter.location;
            let (name, content) = (format!("the weights of {location}"), weights.to_device(parameter));
            buffers.insert(Role::Weights(layer), self.gpu.upload(&name, &content).await?);
            if averaged[layer] {
                let name = format!("the averages of {location}");
                buffers.insert(Role::Averages(layer), self.gpu.upload(&name, &content).await?);
            }
            let slot_bytes = u64::from(slots[layer]) * size_of_val(content.as_slice()) as u64;
            if slot_bytes > 0 {
                let name = format!("the optimizer's values for {location}");
                buffers.insert(Role::OptimizerSlots(layer), self.gpu.zeros(&name, slot_bytes).await?);
            }
        }
        // A device that is lost takes all that it is given, and reports nothing.
        self.gpu.check()?;
        self.buffers = buffers;
        Ok(())
    }

    /// The buffers of the weights that answers are given by, one for each layer: their averages, where there are any.
    pub fn weight_buffers(&self) -> Vec<Buffer> {
        let buffer = |layer| {
            let average = self.buffers.get(&Role::Averages(layer));
            average.unwrap_or_else(|| &self.buffers[&Role::Weights(layer)]).clone()
        };
        (0..self.network.named_parameters().len()).map(buffer).collect()
    }

    /// The buffers of a model that answers: in place of the weights, [those that it answers by](Self::weight_buffers).
    fn answering(&self) -> Buffers {
        let weights = self.weight_buffers().into_iter().enumerate();
        let mut buffers = self.buffers.clone();
        buffers.extend(weights.map(|(layer, buffer)| (Role::Weights(layer), buffer)));
        buffers
    }

    /// The weights as they are trained, which their averages follow.
    pub async fn trained_weights(&mut self) -> Result<Weights, Error> {
        let layers = 0..self.network.named_parameters().len();
        let buffers: Vec<Buffer> = layers.map(|layer| self.buffers[&Role::Weights(layer)].clone()).collect();
        self.weights_in(&buffers).await
    }

    /// The weights as they are now, or their averages.
    pub async fn weights(&mut self) -> Result<Weights, Error> {
        self.weights_in(&self.weight_buffers()).await
    }

    /// Weights read from these buffers, one for each layer.
    pub async fn weights_in(&mut self, buffers: &[Buffer]) -> Result<Weights, Error> {
        let mut layers = Vec::new();
        for (parameter, buffer) in self.network.named_parameters().iter().zip(buffers) {
            let values: Vec<f32> = self.gpu.read(buffer, buffer.size() as usize / 4, &mut self.stats.traffic).await?;
            layers.push(LayerWeights::from_device(parameter, &values));
        }
        Ok(Weights { layers })
    }

    /// Weights in new buffers, one for each layer.
    pub async fn upload_weights(&self, name: &str, weights: &Weights) -> Result<Vec<Buffer>, Error> {
        let mut buffers = Vec::with_capacity(weights.layers.len());
        for (parameter, values) in self.network.named_parameters().iter().zip(&weights.layers) {
            buffers.push(self.gpu.upload(name, &values.to_device(parameter)).await?);
        }
        Ok(buffers)
    }

    /// Copies all weights that answers are given by, on the device, to the buffers given, which are made where there are none, or back from them.
    pub async fn copy_weights(&mut self, kept: &mut Vec<Buffer>, direction: Direction) -> Result<Submission, Error> {
        let weights = self.weight_buffers();
        if kept.is_empty() {
            let mut made = Vec::with_capacity(weights.len());
            for weights in &weights {
                made.push(self.gpu.zeros("the best weights", weights.size()).await?);
            }
            *kept = made;
        }
        Ok(self.gpu.submit(&mut self.stats.traffic, |encoder| {
            for (weights, kept) in weights.iter().zip(&*kept) {
                let (from, to) = match direction {
                    Direction::Out => (weights, kept),
                    Direction::Back => (kept, weights),
                };
                encoder.copy_buffer_to_buffer(from, 0, to, 0, from.size());
            }
        }))
    }

    /// The words of every buffer.
    pub async fn words(&mut self) -> Result<Vec<(Role, Vec<u32>)>, Error> {
        let mut all = Vec::new();
        for (&role, buffer) in &self.buffers {
            let words = self.gpu.read(buffer, buffer.size() as usize / 4, &mut self.stats.traffic).await?;
            all.push((role, words));
        }
        Ok(all)
    }

    /// Goes on with these words of every buffer, on a device that may be another.
    pub async fn restore(&mut self, gpu: Arc<Gpu>, words: &[(Role, Vec<u32>)]) -> Result<(), Error> {
        let mut buffers = Buffers::new();
        for (role, words) in words {
            buffers.insert(*role, gpu.upload(&role.to_string(), words).await?);
        }
        (self.gpu, self.buffers) = (gpu, buffers);
        Ok(())
    }

    /// A set in device memory, with its targets as the loss takes them.
    pub async fn upload_set(&self, set: &Dataset, loss: &Loss) -> Result<Buffers, Error> {
        upload(&self.gpu, set, loss, self.network.outputs()).await
    }

    /// An evaluator over `count` rows that are on the device.
    pub async fn evaluator(&self, count: usize, rows: Buffers, plan: &Plan) -> Result<Evaluator, Error> {
        // A state of its own: training goes on where it was.
        let state = Buffers::from([(Role::State, self.gpu.zeros("the step state", STATE_BYTES).await?)]);
        let runner = Runner::new(&self.gpu, plan, &[&state, &self.answering(), &rows], self.checks, None).await?;
        Evaluator::new(&self.gpu, runner, count).await
    }

    /// The network's outputs for all rows of a set: `[rows, outputs]`, row-major.
    pub async fn outputs(&mut self, set: &Dataset) -> Result<Vec<f32>, Error> {
        let weights = self.answering();
        let (gpu, stats) = (&self.gpu, &mut self.stats);
        let mut outputs = Outputs::new(gpu, &self.network, &self.tiling, &weights, set, self.checks).await?;
        outputs.of(gpu, set, &mut stats.traffic, &mut stats.dispatches).await
    }

    /// What each layer makes of the only row of a set.
    pub async fn activations(&self, set: &Dataset) -> Result<Vec<LayerOutput>, Error> {
        activations(&self.gpu, &self.network, &self.tiling, &self.answering(), set, self.checks).await
    }
}

/// That every layer's weights, and the values of the optimizer beside each, of which `slots` has the number for every layer, are buffers that the device can bind.
///
/// # Errors
///
/// [`Error::Option`] with the units that would fit.
pub(crate) fn check_layers(gpu: &Gpu, network: &Network, slots: &[u32]) -> Result<(), Error> {
    let adapter = gpu.adapter();
    let most = adapter.tiling().most_bytes;
    let layers = network.named_parameters().into_iter().zip(network.dense_sizes(1)).zip(slots);
    for ((Parameter { location, kind, .. }, dense), &slots) in layers {
        let values = u64::from(slots.max(1));
        let [rows, columns] = dense.weights_shape().map(u64::from);
        let quad_bytes = 16 * values * rows;
        let bytes = quad_bytes * columns / 4;
        if bytes > most {
            let (unit, inputs, below) = match kind {
                ParameterKind::Kernel { .. } => {
                    ("channel", "values in a window", "the kernel or the channels that come in")
                }
                _ => ("unit", "inputs", "the layer below"),
            };
            let advice = match 4 * (most / quad_bytes) {
                0 => format!("not one {unit} with {} {inputs} fits: make {below} smaller", dense.inputs),
                units => format!("with {} {inputs}, at most {units} {unit}s fit", dense.inputs),
            };
            return Err(Error::Option(format!(
                "{location} of {} {unit}s takes {bytes} bytes in one buffer, and {} can bind at most {most}: {advice}",
                dense.outputs, adapter.name
            )));
        }
    }
    Ok(())
}
