//! Runs a program's steps in chunks: each a submission of some 75 ms, encoded while the one before it runs.

use std::collections::VecDeque;
use std::ops::{ControlFlow, Range};
use std::sync::Arc;
use std::time::Duration;

use super::buffers::{Buffers, make_buffers, program};
use super::in_parts::InParts;
use super::shared::Shared;
use super::stream::{Stream, WindowSteps};
use super::sums::Sums;
use crate::error::Error;
use crate::gpu::{Checks, Encoder, Gpu, Program, Readback, Submission};
use crate::history::TrainStats;
use crate::host::Task;
use crate::plan::{Plan, Role, STATE_BYTES};
use crate::processes::Processes;

/// Long enough to hide the host, short enough for GPU watchdogs and a live progress line.
const CHUNK: Duration = Duration::from_millis(75);
/// Steps of the first chunk, before any was timed, and of the longest.
const FIRST_CHUNK: u64 = 1;
const LONGEST_CHUNK: u64 = 4096;
/// Chunks that may wait on the device behind the one that runs.
pub(super) const CHUNKS_AHEAD: usize = 2;
/// Between two asynchronous reads of the running sums.
pub(super) const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// Copies of what is on the device, made behind some steps in their submission: a checkpoint.
pub(crate) trait CopiesAlong {
    /// The most steps that may be run in one submission after `done` of the pass.
    fn limit(&self, done: u64) -> u64;

    /// Whether any are due after `done` steps of the pass.
    fn is_due(&self, gpu: &Gpu, done: u64) -> bool;

    /// Makes room for those that are due after `done` steps of the pass.
    fn prepare<'a>(&'a mut self, gpu: &'a Gpu, done: u64) -> Task<'a, Result<(), Error>>;

    /// Records the copies that there is room for.
    fn copy(&self, encoder: &mut Encoder);

    /// Asks for the copies, once their recording has been submitted.
    fn request(&mut self) -> Result<(), Error>;

    /// Takes what has arrived. Never waits.
    fn advance(&mut self, gpu: &Gpu) -> Result<(), Error>;
}

/// A part of a pass over a set.
pub(crate) struct Part<'a, 's> {
    pub steps: u64,
    /// The steps until the epoch ends, and the rows of it, where they are on the device already.
    pub until_end: u64,
    pub rows: u64,
    /// The steps that were done since the weights were new.
    pub began: u64,
    /// Whether the running sums go on, in place of being cleared.
    pub continues: bool,
    /// What brings the rows, where they are not on the device already.
    pub stream: Option<&'a mut Stream<'s>>,
    /// What is copied meanwhile.
    pub copies: Option<&'a mut dyn CopiesAlong>,
}

/// A compiled plan with its own buffers, ready to run.
pub(crate) struct Runner {
    /// One for each bank that rows can be in.
    pub(super) programs: Vec<Program>,
    pub buffers: Buffers,
    pub(super) in_parts: InParts,
    /// What is shared with other processes, where they compute shards of each step.
    pub(super) shared: Option<Shared>,
    /// Steps of a chunk: set by the caller, or learned.
    pub(super) chunk: u64,
    fixed: bool,
    sums: Readback,
    /// Of the pass that is run: its steps from those known to be done to those handed over.
    pub(super) on_its_way: Range<u64>,
}

impl Runner {
    /// Compiles the plan over the shared buffers given, and allocates those that are missing.
    pub async fn new(
        gpu: &Gpu,
        plan: &Plan,
        shared: &[&Buffers],
        checks: Checks,
        chunk: Option<u64>,
    ) -> Result<Self, Error> {
        let buffers = make_buffers(gpu, plan, shared).await?;
        let program = program(gpu, plan, &[&buffers], checks).await?;
        let sums = Readback::new(gpu, buffers[&Role::Stats].size() + STATE_BYTES).await?;
        Ok(Runner {
            programs: vec![program],
            buffers,
            in_parts: InParts::of(plan),
            shared: None,
            chunk: chunk.unwrap_or(FIRST_CHUNK),
            fixed: chunk.is_some(),
            sums,
            on_its_way: 0..0,
        })
    }

    /// Another program of the same steps, over rows in another bank; it is the next by number.
    pub async fn also_over(&mut self, gpu: &Gpu, plan: &Plan, rows: &Buffers, checks: Checks) -> Result<(), Error> {
        self.programs.push(program(gpu, plan, &[rows, &self.buffers], checks).await?);
        Ok(())
    }

    /// From now on, tells these processes what its shards come to: in each step, or after every so many.
    pub async fn among(
        &mut self,
        gpu: &Gpu,
        plan: &Plan,
        processes: &Arc<dyn Processes>,
        sync_every: Option<u64>,
    ) -> Result<(), Error> {
        self.shared = Shared::new(gpu, plan, &self.buffers, processes, sync_every).await?;
        Ok(())
    }

    /// Records one step over the rows in a bank.
    pub fn record(&self, encoder: &mut Encoder, bank: usize) {
        self.programs[bank].record(encoder, 1);
    }

    /// Runs steps of one pass over the set, after clearing the running sums, and says how many were run: all, unless
    /// `report` breaks off. `report` gets the number of steps whose sums have arrived, and the sums; asynchronously, so that nothing
    /// waits for it. All work has been done at the end, the sums not yet read.
    pub async fn run(
        &mut self,
        gpu: &Gpu,
        steps: u64,
        stats: &mut TrainStats,
        report: impl FnMut(u64, Sums) -> Result<ControlFlow<()>, Error>,
    ) -> Result<u64, Error> {
        let rows = steps * u64::from(self.batch());
        let part = Part { steps, until_end: steps, rows, began: 0, continues: false, stream: None, copies: None };
        self.run_part(gpu, part, stats, report).await
    }

    /// [`run`](Self::run), for a part of a pass, with copies on its way.
    pub async fn run_part(
        &mut self,
        gpu: &Gpu,
        part: Part<'_, '_>,
        stats: &mut TrainStats,
        mut report: impl FnMut(u64, Sums) -> Result<ControlFlow<()>, Error>,
    ) -> Result<u64, Error> {
        if self.shared.is_some() {
            return self.run_shared(gpu, part, stats, report).await;
        }
        let host = gpu.host();
        let mut ahead = Ahead::new(host.now());
        let mut asked: Option<u64> = None;
        let mut asked_at = host.now();
        let Part { mut steps, until_end, rows, continues, mut stream, mut copies, .. } = part;
        // Rows that are on the device already are there for all steps.
        let mut window = WindowSteps { steps: if stream.is_some() { 0 } else { until_end }, rows, program: 0 };
        let mut done = 0;
        self.on_its_way = 0..0;
        self.sums.ready(gpu).await?;
        while done < steps {
            if let Some(stream) = stream.as_mut().filter(|_| window.steps == 0) {
                window = stream.next(gpu, &mut stats.traffic).await?;
            }
            let limit = copies.as_ref().map_or(u64::MAX, |copies| copies.limit(done));
            let chunk = self.chunk.min(steps - done).min(limit).min(window.steps);
            // Behind the steps, in the same submission.
            let mut copied = copies.as_deref_mut().filter(|copies| copies.is_due(gpu, done + chunk));
            if let Some(copies) = &mut copied {
                copies.prepare(gpu, done + chunk).await?;
            }
            let parts = self.in_parts.of_steps(0..chunk, window.steps, window.rows);
            let ask = asked.is_none() && host.since(asked_at) >= PROGRESS_INTERVAL;
            let (sums, state) = (&self.buffers[&Role::Stats], &self.buffers[&Role::State]);
            let submission = gpu.submit(&mut stats.traffic, |encoder| {
                if done == 0 && !continues {
                    encoder.clear_buffer(sums, 0, None);
                }
                self.programs[window.program].record_in_parts(encoder, self.in_parts.repeated, parts.clone());
                if ask {
                    self.sums.copy(encoder, &[sums, state]);
                }
                if let Some(copies) = &copied {
                    copies.copy(encoder);
                }
            });
            if let Some(copies) = copied {
                copies.request()?;
            }
            done += chunk;
            self.on_its_way.end = done;
            window.steps -= chunk;
            stats.dispatches += self.in_parts.dispatches(parts.clone());
            ahead.submissions.push_back((submission, chunk));
            if ask {
                self.sums.request()?;
                (asked, asked_at) = (Some(done), host.now());
            }
            self.wait_until_ahead(gpu, &mut ahead, if done == steps { 0 } else { CHUNKS_AHEAD }).await?;
            if let Some(copies) = &mut copies {
                copies.advance(gpu)?;
            }
            if let Some(step) = asked
                && let Some(sums) = self.sums.arrived(gpu)?
            {
                asked = None;
                if report(step, Sums::of(&sums))?.is_break() {
                    steps = done;
                }
            }
        }
        tracing::debug!(steps = done, chunk = self.chunk, "ran a pass");
        self.on_its_way = 0..0;
        Ok(done)
    }

    /// Waits for the oldest submissions until at most `most` are on the device, and learns from each how long its steps took.
    pub(super) async fn wait_until_ahead(&mut self, gpu: &Gpu, ahead: &mut Ahead, most: usize) -> Result<(), Error> {
        while ahead.submissions.len() > most {
            if let Some((oldest, steps)) = ahead.submissions.pop_front() {
                gpu.wait_for(oldest).await?;
                self.on_its_way.start += steps;
                self.learn(gpu.host().since(ahead.finished_at), steps);
                ahead.finished_at = gpu.host().now();
            }
        }
        Ok(())
    }

    /// Of the pass that is run, or broke off with an error: how many of its steps are known to be done, and how many were handed over. Both
    /// are 0 once it has been run.
    pub fn on_its_way(&self) -> Range<u64> {
        self.on_its_way.clone()
    }

    /// Asks for the sums of the pass that was run.
    pub async fn request_sums(&mut self, gpu: &Gpu, stats: &mut TrainStats) -> Result<(), Error> {
        // An answer still on its way would be older.
        self.sums.ready(gpu).await?;
        let from = [&self.buffers[&Role::Stats], &self.buffers[&Role::State]];
        gpu.submit(&mut stats.traffic, |encoder| self.sums.copy(encoder, &from));
        self.sums.request()
    }

    /// The sums that were asked for, waiting where they have not arrived.
    pub async fn sums(&mut self, gpu: &Gpu, stats: &mut TrainStats) -> Result<Sums, Error> {
        Ok(Sums::of(&self.sums.wait(gpu, &mut stats.traffic).await?))
    }

    /// Sizes the next chunk by the time that one took; twice as long at most, as the first ones also warm up.
    fn learn(&mut self, took: Duration, steps: u64) {
        if !self.fixed {
            let fitting = CHUNK.as_secs_f64() * steps as f64 / took.as_secs_f64().max(1e-6);
            self.chunk = (fitting as u64).clamp(1, (2 * self.chunk).min(LONGEST_CHUNK));
        }
    }

    /// The compiled steps.
    pub fn program(&self) -> &Program {
        &self.programs[0]
    }

    /// Rows of a minibatch, with all its parts.
    pub fn batch(&self) -> u32 {
        self.in_parts.step_rows()
    }
}

/// Submissions that the device has not finished, with their steps, and when it finished the one before them.
pub(super) struct Ahead {
    pub submissions: VecDeque<(Submission, u64)>,
    finished_at: Duration,
}

impl Ahead {
    pub fn new(now: Duration) -> Self {
        Ahead { submissions: VecDeque::new(), finished_at: now }
    }
}
