//! What the processes of a run tell each other in each step: the sums of their shards' gradients, and the running sums of their rows.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use super::buffers::Buffers;
use super::state::STEP_WORD;
use super::sums::Sums;
use crate::error::Error;
use crate::gpu::{Buffer, Encoder, Gpu, Program, Readback, Submission, Traffic};
use crate::kernel::accumulate::Parts;
use crate::plan::{Plan, Role, STATE_BYTES};
use crate::processes::{self, Processes};

/// What is copied out of a step's last shard as soon as it is there, told to the other processes, and copied in before the updates.
pub(crate) struct Exchange {
    processes: Arc<dyn Processes>,
    /// The sums of gradients over all of this process's shards.
    buckets: Vec<Bucket>,
    /// Values of each shard, of which this process's own are told: the running sums of its rows, and the sum of their weights where the loss has a weighted mean.
    of_shards: Copies,
    state: Copies,
}

/// Gradients that are there once the dispatches in front of a place have been run, and not yet behind those of the bucket before.
struct Bucket {
    end: usize,
    gradients: Copies,
}

/// Bytes of some buffers that are copied out.
struct Copies {
    from: Vec<(Buffer, Range<u64>)>,
    copy: Readback,
}

impl Copies {
    async fn new(gpu: &Gpu, from: Vec<(Buffer, Range<u64>)>) -> Result<Self, Error> {
        let bytes = from.iter().map(|(_, own)| own.end - own.start).sum();
        Ok(Copies { copy: Readback::new(gpu, bytes).await?, from })
    }

    /// Records the copies.
    fn record(&self, encoder: &mut Encoder) {
        self.copy.copy_ranges(encoder, self.from.iter().map(|(buffer, own)| (buffer, own.clone())));
    }

    /// How many words each buffer's are.
    fn words(&self) -> impl Iterator<Item = usize> {
        self.from.iter().map(|(_, own)| (own.end - own.start) as usize / 4)
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
        let of_plan = |role| plan.buffers.iter().filter(move |planned| planned.role == role);
        let mut buckets = vec![];
        for (end, parameters) in plan.ready() {
            let sums = parameters.into_iter().flat_map(|parameter| of_plan(Role::GradientSum(parameter)));
            let from = sums.map(|planned| (buffers[&planned.role].clone(), 0..planned.bytes / planned.shape[0]));
            buckets.push(Bucket { end, gradients: Copies::new(gpu, from.collect()).await? });
        }
        // The running sums come first. A buffer may be longer than what the plan has in it.
        let of_shards = [Role::Stats, Role::Shares].into_iter().flat_map(of_plan).map(|planned| {
            let each = planned.bytes / u64::from(shards.all);
            let own = each * u64::from(shards.first)..each * u64::from(shards.first + shards.own);
            (buffers[&planned.role].clone(), own)
        });
        Ok(Some(Exchange {
            processes: Arc::clone(processes),
            buckets,
            of_shards: Copies::new(gpu, of_shards.collect()).await?,
            state: Copies::new(gpu, vec![(buffers[&Role::State].clone(), 0..STATE_BYTES)]).await?,
        }))
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
        let (processes, count) = (&*processes, processes.count());
        let (mut submitted, mut sent, mut told) = (VecDeque::new(), 0, 0);
        for at in 0..self.buckets.len() {
            submitted.push_back(self.submit(gpu, traffic, program, at)?);
            // Drivers that execute within a submission have finished the one before by now, and there is a later one for the device to work on.
            while told < at
                && let Some(values) = self.buckets[told].gradients.copy.arrived(gpu)?
            {
                sent += self.buckets[told].tell(gpu, processes, values)?;
                (_, told) = (submitted.pop_front(), told + 1);
            }
        }
        for (bucket, submission) in self.buckets[told..].iter_mut().zip(submitted) {
            let values = bucket.gradients.copy.wait_behind(gpu, submission, traffic).await?;
            sent += bucket.tell(gpu, processes, values)?;
        }
        let mut message: Vec<u32> = self.of_shards.copy.wait(gpu, traffic).await?;
        let state: Vec<u32> = self.state.copy.wait(gpu, traffic).await?;
        message.push(ends.into());
        let all: Vec<u32> =
            bytemuck::pod_collect_to_vec(&processes::gather(processes, bytemuck::cast_slice(&message))?);
        sent += (count - 1) * size_of_val(&message[..]);

        let (mut sums, mut at) = (Sums::default(), 0);
        for (words, (buffer, _)) in self.of_shards.words().zip(&self.of_shards.from) {
            let of_all = all.chunks(message.len()).flat_map(|message| &message[at..at + words]);
            let of_all: Vec<u32> = of_all.copied().collect();
            gpu.write(buffer, &of_all);
            if at == 0 {
                sums = Sums::of_both(&of_all, &state);
            }
            at += words;
        }
        // The step moves on with its updates.
        sums.step = state[STEP_WORD] + 1;
        let ends = all.chunks(message.len()).any(|message| message[at] != 0);
        Ok(Told { sums, ends, sent: sent as u64 })
    }

    /// Submits what makes a bucket's gradients, with their copies behind it; with the last of all, what else is told.
    fn submit(&mut self, gpu: &Gpu, traffic: &mut Traffic, program: &Program, at: usize) -> Result<Submission, Error> {
        let is_last = at + 1 == self.buckets.len();
        let begin = at.checked_sub(1).map_or(0, |before| self.buckets[before].end);
        let submission = gpu.submit(traffic, |encoder| {
            program.record_range(encoder, begin..self.buckets[at].end, 1);
            self.buckets[at].gradients.record(encoder);
            if is_last {
                [&self.of_shards, &self.state].into_iter().for_each(|copies| copies.record(encoder));
            }
        });
        self.buckets[at].gradients.copy.request()?;
        if is_last {
            self.of_shards.copy.request()?;
            self.state.copy.request()?;
        }
        Ok(submission)
    }
}

impl Bucket {
    /// Adds up its gradients, which have been copied out, over all processes, and writes the sums in their place. The bytes that were sent.
    fn tell(&self, gpu: &Gpu, processes: &dyn Processes, mut gradients: Vec<f32>) -> Result<usize, Error> {
        processes::sum(processes, &mut gradients)?;
        let mut values = &gradients[..];
        for (words, (buffer, _)) in self.gradients.words().zip(&self.gradients.from) {
            let (own, others) = values.split_at(words);
            gpu.write(buffer, own);
            values = others;
        }
        let count = processes.count();
        Ok(2 * (count - 1) * size_of_val(&gradients[..]) / count)
    }
}
