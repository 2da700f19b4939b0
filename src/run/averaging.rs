//! Weights that each process updates by itself for some steps, and their averages over all processes.

use std::sync::Arc;

use super::buffers::Buffers;
use super::told::{Copies, OfShards, Told};
use crate::error::Error;
use crate::gpu::{Gpu, Traffic};
use crate::plan::{Plan, Role};
use crate::processes::{self, Processes};
use crate::training::Shards;

/// What is averaged over the processes after every so many steps.
pub(super) struct Averaging {
    processes: Arc<dyn Processes>,
    every: u64,
    /// The weights, what the optimizer keeps beside them, and their moving averages.
    weights: Vec<Copies>,
    of_shards: OfShards,
}

impl Averaging {
    /// For the steps of a plan in these buffers, averaged after every `every` of them.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub async fn new(
        gpu: &Gpu,
        plan: &Plan,
        buffers: &Buffers,
        processes: &Arc<dyn Processes>,
        shards: Shards,
        every: u64,
    ) -> Result<Self, Error> {
        let mut weights = vec![];
        for planned in &plan.buffers {
            if let Role::Weights(_) | Role::OptimizerSlots(_) | Role::Averages(_) = planned.role {
                weights.push(Copies::new(gpu, vec![(buffers[&planned.role].clone(), 0..planned.bytes)]).await?);
            }
        }
        let of_shards = OfShards::new(gpu, plan, buffers, processes, shards).await?;
        Ok(Averaging { processes: Arc::clone(processes), every, weights, of_shards })
    }

    /// The steps until the next average, where as many were done since the weights were new.
    pub fn left(&self, steps_done: u64) -> u64 {
        self.every - steps_done % self.every
    }

    /// Averages, and tells the running sums.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the device failed, and what kept the other processes from answering.
    pub async fn average(&mut self, gpu: &Gpu, traffic: &mut Traffic, ends: bool) -> Result<Told, Error> {
        gpu.submit(traffic, |encoder| {
            self.weights.iter().for_each(|copies| copies.record(encoder));
            self.of_shards.record(encoder);
        });
        self.weights.iter_mut().try_for_each(|copies| copies.copy.request())?;
        self.of_shards.request()?;
        // A power of two.
        let share = 1.0 / self.processes.count() as f32;
        let mut sent = 0;
        for copies in &mut self.weights {
            let mut values: Vec<f32> = copies.copy.wait(gpu, traffic).await?;
            sent += processes::sum(&*self.processes, &mut values)?;
            values.iter_mut().for_each(|value| *value *= share);
            copies.write(gpu, &values);
        }
        let told = self.of_shards.tell(gpu, traffic, ends).await?;
        Ok(Told { sent: sent + told.sent, ..told })
    }
}
