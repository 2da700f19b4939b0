//! What each process of a run tells the others of the rows that it computes, and the copies of buffers that is told from.

use std::ops::Range;
use std::sync::Arc;

use super::buffers::Buffers;
use super::state::NON_FINITE_WORD;
use super::sums::Sums;
use crate::error::Error;
use crate::gpu::{Buffer, Encoder, Gpu, Readback, Traffic};
use crate::plan::{Plan, Role, STATE_BYTES};
use crate::processes::{self, Processes};
use crate::training::Shards;

/// Bytes of some buffers that are copied out, and written anew.
pub(super) struct Copies {
    from: Vec<(Buffer, Range<u64>)>,
    pub copy: Readback,
}

impl Copies {
    pub async fn new(gpu: &Gpu, from: Vec<(Buffer, Range<u64>)>) -> Result<Self, Error> {
        let bytes = from.iter().map(|(_, own)| own.end - own.start).sum();
        Ok(Copies { copy: Readback::new(gpu, bytes).await?, from })
    }

    /// Records the copies.
    pub fn record(&self, encoder: &mut Encoder) {
        self.copy.copy_ranges(encoder, self.from.iter().map(|(buffer, own)| (buffer, own.clone())));
    }

    /// How many words each buffer's are.
    fn words(&self) -> impl Iterator<Item = usize> {
        self.from.iter().map(|(_, own)| (own.end - own.start) as usize / 4)
    }

    /// Writes these values in the place of those that were copied, each buffer's from its first on.
    pub fn write(&self, gpu: &Gpu, mut values: &[f32]) {
        for (words, (buffer, _)) in self.words().zip(&self.from) {
            let (own, others) = values.split_at(words);
            gpu.write(buffer, own);
            values = others;
        }
    }
}

/// What the processes have told each other.
pub(super) struct Told {
    /// The running sums over the rows of all processes, with the counters of this one's step state.
    pub sums: Sums,
    /// Whether any process wants the run to end.
    pub ends: bool,
    /// Bytes that were sent.
    pub sent: u64,
}

/// Values of each shard, of which a process tells its own: the running sums of its rows, and the sum of their weights where the loss has a weighted mean.
pub(super) struct OfShards {
    processes: Arc<dyn Processes>,
    values: Copies,
    state: Copies,
}

impl OfShards {
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
        // The running sums come first. A buffer may be longer than what the plan has in it.
        let values = [Role::Stats, Role::Shares].into_iter().flat_map(of_plan).map(|planned| {
            let each = planned.bytes / u64::from(shards.all);
            let own = each * u64::from(shards.first)..each * u64::from(shards.first + shards.own);
            (buffers[&planned.role].clone(), own)
        });
        Ok(OfShards {
            processes: Arc::clone(processes),
            values: Copies::new(gpu, values.collect()).await?,
            state: Copies::new(gpu, vec![(buffers[&Role::State].clone(), 0..STATE_BYTES)]).await?,
        })
    }

    /// Records the copies.
    pub fn record(&self, encoder: &mut Encoder) {
        [&self.values, &self.state].into_iter().for_each(|copies| copies.record(encoder));
    }

    /// Asks for the copies, once their recording has been submitted.
    pub fn request(&mut self) -> Result<(), Error> {
        self.values.copy.request()?;
        self.state.copy.request()
    }

    /// Waits for the copies, tells them to the other processes, and writes what these told.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the device failed, and what kept the other processes from answering.
    pub async fn tell(&mut self, gpu: &Gpu, traffic: &mut Traffic, ends: bool) -> Result<Told, Error> {
        let mut message: Vec<u32> = self.values.copy.wait(gpu, traffic).await?;
        let state: Vec<u32> = self.state.copy.wait(gpu, traffic).await?;
        message.extend([state[NON_FINITE_WORD], ends.into()]);
        let all = processes::gather(&*self.processes, bytemuck::cast_slice(&message))?;
        let all: Vec<u32> = bytemuck::pod_collect_to_vec(&all);
        let messages = || all.chunks(message.len());

        let (mut sums, mut at) = (Sums::default(), 0);
        for (words, (buffer, _)) in self.values.words().zip(&self.values.from) {
            let of_all: Vec<u32> = messages().flat_map(|message| &message[at..at + words]).copied().collect();
            gpu.write(buffer, &of_all);
            if at == 0 {
                sums = Sums::of_both(&of_all, &state);
            }
            at += words;
        }
        // The first step of any process with a new weight that is not finite.
        let steps = messages().map(|message| u64::from(message[at])).filter(|&step| step > 0);
        sums.non_finite_update = steps.min();
        let ends = messages().any(|message| message[at + 1] != 0);
        let sent = (self.processes.count() - 1) * size_of_val(&message[..]);
        Ok(Told { sums, ends, sent: sent as u64 })
    }
}
