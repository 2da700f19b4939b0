//! Sets that are read while a run trains on them: a thread of their own fills blocks that the device copies from, two windows ahead at
//! most, and the device keeps the window that it trains on and the one before. The host waits for rows where reading is slower than
//! training, and never for a step. Where there are no threads, a block is filled when its rows are wanted.

use std::ops::Range;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, channel, sync_channel};
use std::time::Duration;

use super::buffers::Buffers;
use super::order::Order;
use super::rows::SetShape;
use super::state::State;
use super::windows::{Visit, Windows};
use crate::data::Source;
use crate::error::Error;
use crate::gpu::{Buffer, Gpu, Staging, Traffic};
use crate::host::{Thread, Threads};
use crate::layout::quads_with_one;
use crate::loss::Loss;
use crate::network::Network;
use crate::plan::Role;
use crate::preprocessing::Scaling;

/// Blocks of host memory: one that is filled, one whose rows are on their way.
const BLOCKS: usize = 2;
/// Between two looks at whether rows have come, or the device has given a block back.
const PATIENCE: Duration = Duration::from_millis(1);

/// The steps whose rows are in a window on the device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowSteps {
    pub steps: u64,
    /// The runner's program that is bound to them.
    pub program: usize,
}

/// What a run is read with.
pub(crate) struct Reading<'a> {
    pub source: &'a dyn Source,
    pub network: Network,
    pub loss: Loss,
    pub shape: SetShape,
    pub scalings: [Option<Scaling>; 2],
    pub windows: Windows,
    pub order: Order,
    /// The run's first step, and the one after its last.
    pub steps: Range<u64>,
}

/// Rows on their way to the device.
pub(crate) struct Stream<'scope> {
    reader: Reader<'scope>,
    free: SyncSender<Option<Staging>>,
    /// Windows on the device, which take turns.
    places: Vec<Buffers>,
    turn: usize,
    /// The next step.
    step: u64,
    state: Buffer,
    batch: u32,
}

/// What fills blocks.
enum Reader<'scope> {
    /// A thread, which has ended where there is none any more.
    Thread { filled: Receiver<Result<Filled, Error>>, thread: Option<Box<dyn Thread + 'scope>> },
    /// Each block is filled when it is wanted.
    InTurn(Box<dyn FnMut(Staging) -> Option<Result<Filled, Error>> + 'scope>, Receiver<Option<Staging>>),
}

/// A block that was filled.
struct Filled {
    visit: Visit,
    /// The step in which it begins.
    first_step: u64,
    staging: Staging,
    feature_bytes: u64,
    target_bytes: u64,
}

impl<'scope> Stream<'scope> {
    /// Begins to read, on one of `threads` where there are any. `places` are the device's two windows, `state` the step state.
    pub async fn begin<'env: 'scope>(
        threads: Option<&'scope dyn Threads<'env>>,
        gpu: &Gpu,
        reading: Reading<'env>,
        places: Vec<Buffers>,
        state: &Buffer,
    ) -> Result<Self, Error> {
        let (free, take) = sync_channel(2 * BLOCKS + 1);
        let bytes = [Role::Set(0), Role::Targets].map(|role| places[0][&role].size());
        for _ in 0..BLOCKS {
            let block = gpu.staging("a window's rows", bytes[0].next_multiple_of(8) + bytes[1]).await?;
            // There is room for all blocks.
            let _ = free.send(Some(block));
        }
        let targets_at = bytes[0].next_multiple_of(8);
        let (step, batch) = (reading.steps.start, reading.windows.batch as u32);
        let reader = match threads {
            Some(threads) => Reader::on(threads, reading, take, targets_at)?,
            None => {
                let mut visits = reading.visits();
                let fill = move |staging| {
                    let (visit, first_step) = visits.next()?;
                    Some(reading.fill(visit, first_step, staging, targets_at))
                };
                Reader::InTurn(Box::new(fill), take)
            }
        };
        Ok(Stream { reader, free, places, turn: 0, step, state: state.clone(), batch })
    }

    /// Brings the next window to the device, behind the steps on their way, and says how many steps it has.
    ///
    /// # Errors
    ///
    /// What was wrong with its rows; [`Error::Device`].
    pub async fn next(&mut self, gpu: &Gpu, traffic: &mut Traffic) -> Result<WindowSteps, Error> {
        let Filled { visit, first_step, staging, feature_bytes, target_bytes } = self.reader.next(gpu).await?;
        let place = &self.places[self.turn];
        let targets_at = place[&Role::Set(0)].size().next_multiple_of(8);
        gpu.submit(traffic, |encoder| {
            let parts = [(0, &place[&Role::Set(0)], feature_bytes), (targets_at, &place[&Role::Targets], target_bytes)];
            staging.copy(encoder, &parts);
        });
        let free = self.free.clone();
        // Once the reader has ended, the block is not needed.
        staging.give_back(move |block| drop(free.send(Some(block))));

        let state = State {
            seed: [visit.seed as u32, (visit.seed >> 32) as u32],
            first_step: first_step as u32,
            epochs_before: visit.epoch as u32,
            ..State::new((visit.rows.end - visit.rows.start) as usize, self.batch)
        };
        state.write_order(gpu, &self.state);
        let end = first_step + visit.steps;
        let window = WindowSteps { steps: end - self.step, program: self.turn };
        (self.turn, self.step) = ((self.turn + 1) % self.places.len(), end);
        Ok(window)
    }

    /// Where the rows of the steps on their way are, by the number of the runner's program.
    pub fn place(&self) -> usize {
        (self.turn + self.places.len() - 1) % self.places.len()
    }
}

impl<'scope> Reader<'scope> {
    /// A thread that fills the blocks that `take` brings.
    fn on<'env: 'scope>(
        threads: &'scope dyn Threads<'env>,
        reading: Reading<'env>,
        take: Receiver<Option<Staging>>,
        targets_at: u64,
    ) -> Result<Self, Error> {
        let (give, filled) = channel();
        let read = move || {
            for (visit, first_step) in reading.visits() {
                let Ok(Some(staging)) = take.recv() else { return };
                let filled = reading.fill(visit, first_step, staging, targets_at);
                let failed = filled.is_err();
                if give.send(filled).is_err() || failed {
                    return;
                }
            }
        };
        let thread = threads.spawn("wgrad reader", Box::new(read));
        let thread = thread.map_err(|error| Error::Device(format!("no thread can be had to read with: {error}")))?;
        Ok(Reader::Thread { filled, thread: Some(thread) })
    }

    /// The next block that is filled.
    async fn next(&mut self, gpu: &Gpu) -> Result<Filled, Error> {
        let ended = |why: &str| Err(Error::Data(format!("the rows cannot be read further: {why}")));
        loop {
            match self {
                Reader::Thread { filled, thread } => match filled.recv_timeout(PATIENCE) {
                    Ok(filled) => return filled,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        let crashed = thread.take().is_some_and(|thread| !thread.join());
                        return ended(if crashed { "its thread panicked" } else { "its thread has ended" });
                    }
                },
                Reader::InTurn(fill, take) => match take.try_recv() {
                    Ok(Some(staging)) => return fill(staging).unwrap_or_else(|| ended("there are no more")),
                    _ => gpu.host().pause(PATIENCE).await,
                },
            }
            // The device gives blocks back only while it is polled.
            gpu.listen()?;
        }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        // The reader ends with the block that it has; where it panicked, that was reported.
        let _ = self.free.try_send(None);
        if let Reader::Thread { thread, .. } = &mut self.reader
            && let Some(thread) = thread.take()
        {
            let _ = thread.join();
        }
    }
}

impl Reading<'_> {
    /// The windows that the steps need, each with the step in which it begins.
    fn visits(&self) -> impl Iterator<Item = (Visit, u64)> + use<> {
        let (order, steps) = (self.order, self.steps.clone());
        let per_epoch = self.windows.rows.div_ceil(self.windows.batch);
        let in_order = steps.start - order.first_step;
        let first_step =
            move |visit: &Visit| order.first_step + (visit.epoch - order.epochs_before) * per_epoch + visit.first_step;
        let visits = self.windows.visits(order.epochs_before + in_order / per_epoch, in_order % per_epoch);
        let with_steps = visits.map(move |visit| {
            let begins = first_step(&visit);
            (visit, begins)
        });
        with_steps.take_while(move |(_, begins)| *begins < steps.end)
    }

    /// Reads a window's rows into a block: features first, targets from a byte on.
    fn fill(&self, visit: Visit, first_step: u64, staging: Staging, targets_at: u64) -> Result<Filled, Error> {
        let rows = visit.rows.start as usize..visit.rows.end as usize;
        let wrong = |reason: String| {
            Error::Data(format!(
                "in rows {} to {}, where row 0 is the first of these: {reason}",
                rows.start,
                rows.end - 1
            ))
        };
        let set = self.source.read(rows.clone()).map_err(|error| wrong(error.to_string()))?;
        if set.rows() != rows.len() {
            return Err(wrong(format!("{} rows came", set.rows())));
        }
        self.shape.check_like_first(&set, self.scalings.each_ref().map(Option::as_ref)).map_err(wrong)?;
        set.check_for(&self.network, &self.loss).map_err(|error| wrong(error.to_string()))?;
        let quads = quads_with_one(set.width() as u32) as usize;
        let feature_bytes = set.with_device_rows(0..set.rows(), quads, |bytes| {
            staging.write(0, bytes)?;
            Ok::<_, Error>(bytes.len() as u64)
        })?;
        let form = self.loss.targets(self.shape.targets);
        let targets = set.device_targets(0..set.rows(), form, self.network.outputs());
        staging.write(targets_at, bytemuck::cast_slice(&targets))?;
        Ok(Filled { visit, first_step, staging, feature_bytes, target_bytes: size_of_val(&targets[..]) as u64 })
    }
}
