//! Runs a program's steps in chunks: each a submission of some 75 ms, encoded while the one before it runs.

use std::collections::{HashMap, VecDeque};
use std::mem::offset_of;
use std::ops::{ControlFlow, Range};
use std::time::{Duration, Instant};

use bytemuck::{Pod, Zeroable};

use super::checkpoint::Underway;
use super::history::{Evaluation, TrainStats};
use super::snapshot::Snapshots;
use super::stream::{Stream, Stretch};
use crate::gpu::{Buffer, Checks, Encoder, Gpu, Program, Readback, Submission};
use crate::layout::quads_with_one;
use crate::plan::{Plan, Role, STATE_BYTES, STATS_BYTES};
use crate::{Dataset, Error, Loss};

/// Long enough to hide the host, short enough for GPU watchdogs and a live progress line.
const CHUNK: Duration = Duration::from_millis(75);
/// Steps of the first chunk, before any was timed, and of the longest.
const FIRST_CHUNK: u64 = 1;
const LONGEST_CHUNK: u64 = 4096;
/// Chunks that may wait on the device behind the one that runs.
const CHUNKS_AHEAD: usize = 2;
/// Between two asynchronous reads of the running sums.
const PROGRESS_INTERVAL: Duration = Duration::from_millis(100);

/// The step state as the shaders declare it (`step.wesl`), without the optimizer's scalars at its end: those belong to
/// the device, as do the learning rate, the skipped steps and the bad one while it runs.
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
pub(super) struct State {
    pub step: u32,
    pub rows: u32,
    pub steps_per_epoch: u32,
    pub order_bits: u32,
    pub seed: [u32; 2],
    pub shuffle: u32,
    pub learning_rate: f32,
    pub first_step: u32,
    pub epochs_before: u32,
    pub by_epoch: u32,
    pub skipped: u32,
    pub base_rate: f32,
    pub warmup: u32,
    pub warmup_start: f32,
    pub bad_step: u32,
    pub schedule: [f32; 4],
}

/// The state's words that are read back: the step's, the learning rate's, the number of skipped steps, the rate that the schedule scales, the first step whose
/// update is not finite, and the norm of the gradient.
pub(super) const STEP_WORD: usize = 0;
pub(super) const RATE_WORD: usize = 7;
pub(super) const SKIPPED_WORD: usize = 11;
pub(super) const BASE_RATE_WORD: usize = 12;
const BAD_STEP_WORD: usize = 15;
const NORM_WORD: usize = 28;

// What the plan allocates is what the shaders declare.
const _: () = assert!(size_of::<State>() as u64 + 3 * 16 == STATE_BYTES);
const _: () = assert!(size_of::<RowStats>() as u64 == STATS_BYTES);

impl State {
    /// The state before the first step over a set of so many rows in minibatches of `batch`.
    pub fn new(rows: usize, batch: u32) -> Self {
        let rows = rows as u32;
        State {
            step: 0,
            rows,
            steps_per_epoch: rows.div_ceil(batch),
            order_bits: u32::BITS - (rows - 1).leading_zeros(),
            ..State::zeroed()
        }
    }

    /// Replaces in a state on the device what says which rows the next steps visit, and nothing else.
    pub fn write_order(&self, gpu: &Gpu, buffer: &Buffer) {
        let seed = self.seed;
        let of_rows = [self.rows, self.steps_per_epoch, self.order_bits, seed[0], seed[1]];
        gpu.write_at(buffer, offset_of!(State, rows) as u64, &of_rows);
        gpu.write_at(buffer, offset_of!(State, first_step) as u64, &[self.first_step, self.epochs_before]);
    }
}

/// One entry of the running sums (`stats.wesl`).
#[repr(C)]
#[derive(Clone, Copy, Pod, Zeroable)]
struct RowStats {
    loss: f32,
    compensation: f32,
    weight: f32,
    correct: u32,
    judged: u32,
    share: f32,
    bad_step: u32,
}

/// Buffers by what they hold.
pub(crate) type Buffers = HashMap<Role, Buffer>;

/// A set in device memory, with its targets as the loss takes them.
pub(super) fn upload(gpu: &Gpu, set: &Dataset, loss: &Loss, outputs: usize) -> Result<Buffers, Error> {
    let quads = quads_with_one(set.width() as u32) as usize;
    let mut buffers = beside(gpu, set, loss, outputs)?;
    let layout = set.layout(gpu.adapter().tiling().most_bytes);
    for part in 0..layout.parts {
        let rows = layout.rows_of(part);
        let rows = rows.start as usize..rows.end as usize;
        let features = set.with_device_rows(rows, quads, |rows| gpu.upload("the set's features", rows))?;
        buffers.insert(Role::Set(part), features);
    }
    let form = loss.targets(set.targets());
    let targets = gpu.upload("the set's targets", &set.device_targets(0..set.rows(), form, outputs))?;
    buffers.insert(Role::Targets, targets);
    Ok(buffers)
}

/// What is beside a set's rows, the same for all of them: the scaling of its features, and the loss' weights.
pub(super) fn beside(gpu: &Gpu, set: &Dataset, loss: &Loss, outputs: usize) -> Result<Buffers, Error> {
    let mut buffers = Buffers::new();
    if let Some(scaling) = set.device_scaling(quads_with_one(set.width() as u32) as usize) {
        buffers.insert(Role::Scaling, gpu.upload("the features' scaling", &scaling)?);
    }
    if let Some(weights) = loss.parts(set.targets()).output_weights {
        let mut weights: Vec<f32> = weights.iter().map(|&weight| weight as f32).collect();
        weights.resize(outputs.next_multiple_of(4), 0.0);
        buffers.insert(Role::OutputWeights, gpu.upload("the loss' weights", &weights)?);
    }
    Ok(buffers)
}

/// A part of a pass over a set.
pub(super) struct Part<'a, 's> {
    pub steps: u64,
    /// Whether the running sums go on, in place of being cleared.
    pub continues: bool,
    /// Who brings the rows, where they are not on the device already.
    pub stream: Option<&'a mut Stream<'s>>,
    /// Who makes checkpoints meanwhile, and of what.
    pub snapshots: Option<(&'a mut Snapshots, &'a Underway)>,
}

/// A compiled plan with its own buffers, ready to run.
pub(super) struct Runner {
    /// One for each place that rows can be in.
    programs: Vec<Program>,
    pub buffers: Buffers,
    batch: u32,
    /// Steps of a chunk: set by the caller, or learned.
    chunk: u64,
    fixed: bool,
    sums: Readback,
    /// Of the pass that is run: its steps from those known to be done to those handed over.
    on_its_way: Range<u64>,
}

impl Runner {
    /// Compiles the plan over the shared buffers given, and allocates those that are missing.
    pub fn new(gpu: &Gpu, plan: &Plan, shared: &[&Buffers], checks: Checks, chunk: Option<u64>) -> Result<Self, Error> {
        let buffers = make_buffers(gpu, plan, shared)?;
        let program = program(gpu, plan, &[&buffers], checks)?;
        let sums = Readback::new(gpu, buffers[&Role::Stats].size() + STATE_BYTES)?;
        Ok(Runner {
            programs: vec![program],
            buffers,
            batch: plan.batch,
            chunk: chunk.unwrap_or(FIRST_CHUNK),
            fixed: chunk.is_some(),
            sums,
            on_its_way: 0..0,
        })
    }

    /// Another program of the same steps, over rows in another place; it is the next by number.
    pub fn also_over(&mut self, gpu: &Gpu, plan: &Plan, rows: &Buffers, checks: Checks) -> Result<(), Error> {
        self.programs.push(program(gpu, plan, &[rows, &self.buffers], checks)?);
        Ok(())
    }

    /// Records one step over the rows in a place.
    pub fn record(&self, encoder: &mut Encoder, place: usize) {
        self.programs[place].record(encoder, 1);
    }

    /// Runs steps of one pass over the set, after clearing the running sums, and says how many were run: all, unless
    /// `told` breaks off. `told` hears how many steps' sums have arrived, and the sums; asynchronously, so that nothing
    /// waits for it. All work has been done at the end, the sums not yet read.
    pub fn run(
        &mut self,
        gpu: &Gpu,
        steps: u64,
        stats: &mut TrainStats,
        told: impl FnMut(u64, Sums) -> Result<ControlFlow<()>, Error>,
    ) -> Result<u64, Error> {
        self.run_part(gpu, Part { steps, continues: false, stream: None, snapshots: None }, stats, told)
    }

    /// [`run`](Self::run), for a part of a pass, with checkpoints on its way.
    pub fn run_part(
        &mut self,
        gpu: &Gpu,
        part: Part<'_, '_>,
        stats: &mut TrainStats,
        mut told: impl FnMut(u64, Sums) -> Result<ControlFlow<()>, Error>,
    ) -> Result<u64, Error> {
        let mut ahead: VecDeque<(Submission, u64)> = VecDeque::new();
        let mut finished_at = Instant::now();
        let mut asked: Option<u64> = None;
        let mut asked_at = Instant::now();
        let Part { mut steps, continues, mut stream, mut snapshots } = part;
        // Rows that are on the device already are there for all steps.
        let mut stretch = Stretch { steps: if stream.is_some() { 0 } else { u64::MAX }, program: 0 };
        let mut done = 0;
        self.on_its_way = 0..0;
        while done < steps {
            if let Some(stream) = stream.as_mut().filter(|_| stretch.steps == 0) {
                stretch = stream.next(gpu, &mut stats.traffic)?;
            }
            let limit = snapshots.as_ref().map_or(u64::MAX, |(snapshots, _)| snapshots.limit(done));
            let chunk = self.chunk.min(steps - done).min(limit).min(stretch.steps);
            // Behind the steps, in the same submission.
            let mut snapshot = None;
            if let Some((snapshots, underway)) = &mut snapshots
                && snapshots.is_due(gpu, done + chunk)?
            {
                snapshots.prepare(gpu, done + chunk, underway)?;
                snapshot = Some(snapshots);
            }
            let ask = asked.is_none() && asked_at.elapsed() >= PROGRESS_INTERVAL;
            let (sums, state) = (&self.buffers[&Role::Stats], &self.buffers[&Role::State]);
            let submission = gpu.submit(&mut stats.traffic, |encoder| {
                if done == 0 && !continues {
                    encoder.clear_buffer(sums, 0, None);
                }
                self.programs[stretch.program].record(encoder, chunk);
                if ask {
                    self.sums.copy(encoder, &[sums, state]);
                }
                if let Some(snapshot) = &snapshot {
                    snapshot.copy(encoder);
                }
            });
            if let Some(snapshot) = snapshot {
                snapshot.request();
            }
            done += chunk;
            self.on_its_way.end = done;
            stretch.steps -= chunk;
            stats.dispatches += chunk * self.program().dispatches() as u64;
            ahead.push_back((submission, chunk));
            if ask {
                self.sums.request();
                (asked, asked_at) = (Some(done), Instant::now());
            }
            while ahead.len() > CHUNKS_AHEAD || (done == steps && !ahead.is_empty()) {
                if let Some((oldest, steps)) = ahead.pop_front() {
                    gpu.wait_for(oldest)?;
                    self.on_its_way.start += steps;
                    self.learn(finished_at.elapsed(), steps);
                    finished_at = Instant::now();
                }
            }
            if let Some((snapshots, _)) = &mut snapshots {
                snapshots.advance(gpu)?;
            }
            if let Some(step) = asked
                && let Some(sums) = self.sums.arrived(gpu)?
            {
                asked = None;
                if told(step, Sums::of(&sums))?.is_break() {
                    steps = done;
                }
            }
        }
        // An answer still on its way would be older than the sums that are read next.
        if asked.is_some() {
            self.sums = Readback::new(gpu, self.buffers[&Role::Stats].size() + STATE_BYTES)?;
        }
        tracing::debug!(steps = done, chunk = self.chunk, "ran a pass");
        self.on_its_way = 0..0;
        Ok(done)
    }

    /// Of the pass that is run, or broke off with an error: how many of its steps are known to be done, and how many were handed over. Both
    /// are 0 once it has been run.
    pub fn on_its_way(&self) -> Range<u64> {
        self.on_its_way.clone()
    }

    /// Asks for the sums of the pass that was run.
    pub fn request_sums(&mut self, gpu: &Gpu, stats: &mut TrainStats) {
        let from = [&self.buffers[&Role::Stats], &self.buffers[&Role::State]];
        gpu.submit(&mut stats.traffic, |encoder| self.sums.copy(encoder, &from));
        self.sums.request();
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

    /// Rows of a minibatch.
    pub fn batch(&self) -> u32 {
        self.batch
    }
}

/// The running sums over all places of the minibatch.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Sums {
    /// What the device's own counter of steps says.
    pub step: u32,
    loss: f64,
    weight: f64,
    correct: u64,
    judged: u64,
    /// The first step, counted from 1, with a loss that is not finite.
    pub bad_loss: Option<u64>,
    /// The first with a gradient or a new weight that is not.
    pub bad_update: Option<u64>,
    /// Of the last step.
    pub learning_rate: f32,
    /// Of the last step's gradient, where a kernel computes it.
    pub gradient_norm: f32,
    /// Since the weights were new.
    pub skipped: u32,
}

impl Sums {
    /// Whether they have no loss: one that is not finite is not added.
    pub fn have_no_loss(&self) -> bool {
        self.loss == 0.0
    }

    /// From the words of the running sums and the state behind them.
    fn of(words: &[u32]) -> Self {
        let (entries, state) = words.split_at(words.len() - STATE_BYTES as usize / 4);
        Sums::of_both(entries, state)
    }

    /// From the words of the running sums and those of the state.
    pub fn of_both(entries: &[u32], state: &[u32]) -> Self {
        let step = |word: u32| Some(u64::from(word)).filter(|&step| step > 0);
        let of_device = Sums {
            step: state[STEP_WORD],
            learning_rate: f32::from_bits(state[RATE_WORD]),
            gradient_norm: f32::from_bits(state[NORM_WORD]),
            skipped: state[SKIPPED_WORD],
            bad_update: step(state[BAD_STEP_WORD]),
            ..Sums::default()
        };
        bytemuck::cast_slice::<u32, RowStats>(entries).iter().fold(of_device, |sums, entry| Sums {
            loss: sums.loss + f64::from(entry.loss) - f64::from(entry.compensation),
            weight: sums.weight + f64::from(entry.weight),
            correct: sums.correct + u64::from(entry.correct),
            judged: sums.judged + u64::from(entry.judged),
            bad_loss: [sums.bad_loss, step(entry.bad_step)].into_iter().flatten().min(),
            ..sums
        })
    }

    /// What came on top of earlier sums of the same pass.
    pub fn since(self, earlier: Sums) -> Sums {
        Sums {
            loss: self.loss - earlier.loss,
            weight: self.weight - earlier.weight,
            correct: self.correct - earlier.correct,
            judged: self.judged - earlier.judged,
            ..self
        }
    }

    /// Their means, over so many rows. Where every row is ignored, the loss is 0.
    pub fn over(self, rows: u64) -> Evaluation {
        let loss = if self.weight > 0.0 { self.loss / self.weight } else { 0.0 };
        Evaluation { loss, accuracy: (self.judged > 0).then(|| self.correct as f64 / self.judged as f64), rows }
    }
}

/// A plan's buffers: the shared ones given, and those that are missing.
pub(super) fn make_buffers(gpu: &Gpu, plan: &Plan, shared: &[&Buffers]) -> Result<Buffers, Error> {
    // Before the first is made.
    for wanted in &plan.buffers {
        gpu.check_size(&wanted.role.to_string(), wanted.bytes)?;
    }
    let mut buffers = Buffers::new();
    for wanted in &plan.buffers {
        let known = shared.iter().find_map(|shared| shared.get(&wanted.role));
        let buffer = match known {
            Some(buffer) => buffer.clone(),
            None => gpu.zeros(&wanted.role.to_string(), wanted.bytes)?,
        };
        buffers.insert(wanted.role, buffer);
    }
    Ok(buffers)
}

/// The plan's dispatches, each bound to the first buffers that have its roles.
pub(super) fn program(gpu: &Gpu, plan: &Plan, from: &[&Buffers], checks: Checks) -> Result<Program, Error> {
    let buffer = |role| from.iter().find_map(|buffers| buffers.get(role));
    let bindings: Vec<_> = plan
        .dispatches
        .iter()
        .map(|dispatch| (&dispatch.launch, dispatch.roles.iter().filter_map(buffer).collect()))
        .collect();
    Program::new(gpu, &bindings, checks)
}
