//! What the processes of a run tell each other in each step: the sums of their shards' gradients, and the running sums of their rows.

use std::ops::Range;
use std::sync::Arc;

use super::buffers::Buffers;
use super::state::STEP_WORD;
use super::sums::Sums;
use crate::error::Error;
use crate::gpu::{Buffer, Encoder, Gpu, Readback, Traffic};
use crate::kernel::accumulate::Parts;
use crate::plan::{Plan, Role, STATE_BYTES};
use crate::processes::{self, Processes};

/// What is copied out between a step's gradients and its updates, told to the other processes, and copied in.
pub(crate) struct Exchange {
    processes: Arc<dyn Processes>,
    /// Of each parameter, the sum of gradients over all of this process's shards.
    gradients: Vec<Source>,
    /// Values of each shard, of which this process's own are told: the running sums of its rows, and the sum of their weights where the loss has a weighted mean.
    of_shards: Vec<Source>,
    state: Source,
}

/// Bytes of a buffer that are copied out.
struct Source {
    buffer: Buffer,
    own: Range<u64>,
    copy: Readback,
}

impl Source {
    async fn new(gpu: &Gpu, buffer: &Buffer, own: Range<u64>) -> Result<Self, Error> {
        Ok(Source { buffer: buffer.clone(), copy: Readback::new(gpu, own.end - own.start).await?, own })
    }

    /// How many words they are.
    fn words(&self) -> usize {
        (self.own.end - self.own.start) as usize / 4
    }
}

/// What the exchange of a step has told.
pub(crate) struct Told {
    /// The running sums over the rows of all processes.
    pub sums: Sums,
    /// Whether any process wants the run to end.
    pub ends: bool,
    /// Bytes that were sent.
    pub sent: u64,
}

impl Exchange {
    /// For the steps of a plan in these buffers; none where no other process computes any of its shards.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub async fn new(
        gpu: &Gpu,
        plan: &Plan,
        buffers: &Buffers,
        processes: &Arc<dyn Processes>,
    ) -> Result<Option<Self>, Error> {
        let Parts::Shards(shards) = plan.parts else { return Ok(None) };
        if shards.own == shards.all {
            return Ok(None);
        }
        let (mut gradients, mut of_shards) = (vec![], vec![]);
        for planned in &plan.buffers {
            let buffer = &buffers[&planned.role];
            match planned.role {
                Role::GradientSum(_) => {
                    gradients.push(Source::new(gpu, buffer, 0..planned.bytes / planned.shape[0]).await?);
                }
                // A buffer may be longer than what the plan has in it.
                Role::Stats | Role::Shares => {
                    let each = planned.bytes / u64::from(shards.all);
                    let own = each * u64::from(shards.first)..each * u64::from(shards.first + shards.own);
                    of_shards.push(Source::new(gpu, buffer, own).await?);
                }
                _ => {}
            }
        }
        let state = Source::new(gpu, &buffers[&Role::State], 0..STATE_BYTES).await?;
        Ok(Some(Exchange { processes: Arc::clone(processes), gradients, of_shards, state }))
    }

    fn sources(&mut self) -> impl Iterator<Item = &mut Source> {
        self.gradients.iter_mut().chain(&mut self.of_shards).chain([&mut self.state])
    }

    /// Records the copies, behind the gradients.
    pub fn copy_out(&mut self, encoder: &mut Encoder) {
        self.sources().for_each(|source| source.copy.copy_ranges(encoder, [(&source.buffer, source.own.clone())]));
    }

    /// Asks for the copies, once their recording has been submitted.
    pub fn request(&mut self) -> Result<(), Error> {
        self.sources().try_for_each(|source| source.copy.request())
    }

    /// Waits for the copies, tells them to the other processes, and writes what these told, for what is submitted next.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the device failed, and what kept the other processes from answering.
    pub async fn tell(&mut self, gpu: &Gpu, traffic: &mut Traffic, ends: bool) -> Result<Told, Error> {
        // One wait brings all of them.
        let (mut gradients, mut message): (Vec<f32>, Vec<u32>) = (vec![], vec![]);
        for source in &mut self.gradients {
            gradients.extend(source.copy.wait::<f32>(gpu, traffic).await?);
        }
        for source in &mut self.of_shards {
            message.extend(source.copy.wait::<u32>(gpu, traffic).await?);
        }
        let state: Vec<u32> = self.state.copy.wait(gpu, traffic).await?;
        message.push(ends.into());
        let all: Vec<u32> =
            bytemuck::pod_collect_to_vec(&processes::gather(&*self.processes, bytemuck::cast_slice(&message))?);
        processes::sum(&*self.processes, &mut gradients)?;

        let mut at = 0;
        for source in &self.gradients {
            gpu.write(&source.buffer, &gradients[at..at + source.words()]);
            at += source.words();
        }
        let (mut sums, mut at) = (Sums::default(), 0);
        for source in &self.of_shards {
            let of_all = all.chunks(message.len()).flat_map(|message| &message[at..at + source.words()]);
            let of_all: Vec<u32> = of_all.copied().collect();
            gpu.write(&source.buffer, &of_all);
            // The running sums come before the weights' sums, as their roles do.
            if at == 0 {
                sums = Sums::of_both(&of_all, &state);
            }
            at += source.words();
        }
        // The step moves on with its updates.
        sums.step = state[STEP_WORD] + 1;
        let ends = all.chunks(message.len()).any(|message| message[at] != 0);
        let count = self.processes.count() as u64;
        let sent = (count - 1) * (4 * message.len() as u64 + 2 * 4 * gradients.len() as u64 / count);
        Ok(Told { sums, ends, sent })
    }
}
