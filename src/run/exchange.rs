//! What the processes of a run tell each other in each step: the sums of their shards' gradients, and the running sums of their rows.

use std::collections::VecDeque;
use std::sync::Arc;

use super::buffers::Buffers;
use super::told::{Copies, OfShards, Told};
use crate::error::Error;
use crate::gpu::{Gpu, Program, Submission, Traffic};
use crate::plan::{Plan, Role};
use crate::processes::{self, Processes};
use crate::training::Shards;

/// What is copied out of a step's last shard as soon as it is there, told to the other processes, and copied in before the updates.
pub(crate) struct Exchange {
    processes: Arc<dyn Processes>,
    /// The sums of gradients over all of this process's shards.
    buckets: Vec<Bucket>,
    of_shards: OfShards,
}

/// Gradients that are there once the dispatches in front of a place have been run, and not yet behind those of the bucket before.
struct Bucket {
    end: usize,
    gradients: Copies,
}

impl Exchange {
    /// For the steps of a plan in these buffers.
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
    ) -> Result<Self, Error> {
        let of_plan = |role| plan.buffers.iter().filter(move |planned| planned.role == role);
        let mut buckets = vec![];
        for (end, parameters) in plan.ready() {
            let sums = parameters.into_iter().flat_map(|parameter| of_plan(Role::GradientSum(parameter)));
            let from = sums.map(|planned| (buffers[&planned.role].clone(), 0..planned.bytes / planned.shape[0]));
            buckets.push(Bucket { end, gradients: Copies::new(gpu, from.collect()).await? });
        }
        let of_shards = OfShards::new(gpu, plan, buffers, processes, shards).await?;
        Ok(Exchange { processes: Arc::clone(processes), buckets, of_shards })
    }

    /// Hands the device a step's last shard, in as many submissions as there are buckets, tells each bucket's gradients to the other processes while the device makes the next ones, and writes
    /// what these told, for what is submitted next.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the device failed, and what kept the other processes from answering.
    pub async fn tell(
        &mut self,
        gpu: &Gpu,
        traffic: &mut Traffic,
        program: &Program,
        ends: bool,
    ) -> Result<Told, Error> {
        let processes = Arc::clone(&self.processes);
        let (mut submitted, mut sent, mut told) = (VecDeque::new(), 0, 0);
        for at in 0..self.buckets.len() {
            submitted.push_back(self.submit(gpu, traffic, program, at)?);
            // Drivers that execute within a submission have finished the one before by now, and there is a later one for the device to work on.
            while told < at
                && let Some(values) = self.buckets[told].gradients.copy.arrived(gpu)?
            {
                sent += self.buckets[told].tell(gpu, &*processes, values)?;
                (_, told) = (submitted.pop_front(), told + 1);
            }
        }
        for (bucket, submission) in self.buckets[told..].iter_mut().zip(submitted) {
            let values = bucket.gradients.copy.wait_behind(gpu, submission, traffic).await?;
            sent += bucket.tell(gpu, &*processes, values)?;
        }
        let mut told = self.of_shards.tell(gpu, traffic, ends).await?;
        // The step moves on with its updates.
        told.sums.step += 1;
        Ok(Told { sent: sent + told.sent, ..told })
    }

    /// Submits what makes a bucket's gradients, with their copies behind it; with the last of all, what else is told.
    fn submit(&mut self, gpu: &Gpu, traffic: &mut Traffic, program: &Program, at: usize) -> Result<Submission, Error> {
        let is_last = at + 1 == self.buckets.len();
        let begin = at.checked_sub(1).map_or(0, |before| self.buckets[before].end);
        let submission = gpu.submit(traffic, |encoder| {
            program.record_range(encoder, begin..self.buckets[at].end, 1);
            self.buckets[at].gradients.record(encoder);
            if is_last {
                self.of_shards.record(encoder);
            }
        });
        self.buckets[at].gradients.copy.request()?;
        if is_last {
            self.of_shards.request()?;
        }
        Ok(submission)
    }
}

impl Bucket {
    /// Adds up its gradients, which have been copied out, over all processes, and writes the sums in their place. The bytes that were sent.
    fn tell(&self, gpu: &Gpu, processes: &dyn Processes, mut gradients: Vec<f32>) -> Result<u64, Error> {
        let sent = processes::sum(processes, &mut gradients)?;
        self.gradients.write(gpu, &gradients);
        Ok(sent)
    }
}
