//! Sets that are read while a run trains on them: a thread of their own fills blocks that the device copies from, two windows ahead at
//! most, and the device keeps the window that it trains on and the one before. The host waits for rows where reading is slower than
//! training, and never for a step. Where there are no threads, a block is filled when its rows are wanted.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Duration;

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

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
/// Between two looks at whether the device has given a block back, while rows are awaited of a thread.
const PATIENCE: Duration = Duration::from_millis(1);

/// The steps whose rows are in a window on the device.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WindowSteps {
    pub steps: u64,
    /// The rows in it.
    pub rows: u64,
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
    /// Windows on the device, which take turns.
    banks: Vec<Buffers>,
    turn: usize,
    /// The next step.
    step: u64,
    state: Buffer,
    batch: u32,
}

/// What fills blocks.
enum Reader<'scope> {
    /// A thread that fills the blocks which are free.
    Thread {
        free: Sender<Option<Staging>>,
        filled: Receiver<Result<Filled, Error>>,
        /// Set when no more rows are wanted.
        ends: Arc<AtomicBool>,
        /// None where it has ended.
        thread: Option<Box<dyn Thread + 'scope>>,
    },
    /// Each block is filled when it is wanted, the one first that will be free first.
    InTurn {
        fill: Box<dyn FnMut(Staging) -> Option<Result<Filled, Error>> + 'scope>,
        free: VecDeque<OneshotReceiver<Staging>>,
    },
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
    /// Begins to read, on one of `threads` where there are any. `banks` are the device's two windows, `state` the step state.
    pub async fn begin<'env: 'scope>(
        threads: Option<&'scope dyn Threads<'env>>,
        gpu: &Gpu,
        reading: Reading<'env>,
        banks: Vec<Buffers>,
        state: &Buffer,
    ) -> Result<Self, Error> {
        let bytes = [Role::Set(0), Role::Targets].map(|role| banks[0][&role].size());
        let mut blocks = Vec::with_capacity(BLOCKS);
        for _ in 0..BLOCKS {
            blocks.push(gpu.staging("a window's rows", bytes[0].next_multiple_of(8) + bytes[1]).await?);
        }
        let targets_at = bytes[0].next_multiple_of(8);
        let (step, batch) = (reading.steps.start, reading.windows.batch as u32);
        let reader = match threads {
            Some(threads) => Reader::on(threads, reading, blocks, targets_at)?,
            None => {
                let mut visits = reading.visits();
                let fill = move |staging| {
                    let (visit, first_step) = visits.next()?;
                    Some(reading.fill(visit, first_step, staging, targets_at))
                };
                let free = blocks.into_iter().map(|block| {
                    let (give, free) = oneshot_channel();
                    // Its receiver is there.
                    let _ = give.send(block);
                    free
                });
                Reader::InTurn { fill: Box::new(fill), free: free.collect() }
            }
        };
        Ok(Stream { reader, banks, turn: 0, step, state: state.clone(), batch })
    }

    /// Brings the next window to the device, behind the steps on their way, and says how many steps it has.
    ///
    /// # Errors
    ///
    /// What was wrong with its rows; [`Error::Device`].
    pub async fn next(&mut self, gpu: &Gpu, traffic: &mut Traffic) -> Result<WindowSteps, Error> {
        let Filled { visit, first_step, staging, feature_bytes, target_bytes } = self.reader.next(gpu).await?;
        let bank = &self.banks[self.turn];
        let targets_at = bank[&Role::Set(0)].size().next_multiple_of(8);
        gpu.submit(traffic, |encoder| {
            let parts = [(0, &bank[&Role::Set(0)], feature_bytes), (targets_at, &bank[&Role::Targets], target_bytes)];
            staging.copy(encoder, &parts);
        });
        self.reader.take_back(staging);

        let state = State {
            seed: [visit.seed as u32, (visit.seed >> 32) as u32],
            first_step: first_step as u32,
            epochs_before: visit.epoch as u32,
            ..State::new((visit.rows.end - visit.rows.start) as usize, self.batch)
        };
        state.write_order(gpu, &self.state);
        let end = first_step + visit.steps;
        let rows = visit.rows.end - visit.rows.start;
        let window = WindowSteps { steps: end - self.step, rows, program: self.turn };
        (self.turn, self.step) = ((self.turn + 1) % self.banks.len(), end);
        Ok(window)
    }

    /// The bank that the rows of the steps on their way are in, which is also the number of the runner's program.
    pub fn bank(&self) -> usize {
        (self.turn + self.banks.len() - 1) % self.banks.len()
    }
}

impl<'scope> Reader<'scope> {
    /// A thread that fills these blocks, and again those that come back.
    fn on<'env: 'scope>(
        threads: &'scope dyn Threads<'env>,
        reading: Reading<'env>,
        blocks: Vec<Staging>,
        targets_at: u64,
    ) -> Result<Self, Error> {
        let (free, take) = channel();
        let (give, filled) = channel();
        // The receiver is there.
        blocks.into_iter().for_each(|block| drop(free.send(Some(block))));
        let ends = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&ends);
        let read = move || {
            for (visit, first_step) in reading.visits() {
                let Ok(Some(staging)) = take.recv() else { return };
                // Blocks that are free already come before the word that no more are wanted.
                if is_over.load(Ordering::Relaxed) {
                    return;
                }
                let filled = reading.fill(visit, first_step, staging, targets_at);
                let failed = filled.is_err();
                if give.send(filled).is_err() || failed {
                    return;
                }
            }
        };
        let thread = threads.spawn("wgrad reader", Box::new(read));
        let thread = thread.map_err(|error| Error::Device(format!("no thread can be had to read with: {error}")))?;
        Ok(Reader::Thread { free, filled, ends, thread: Some(thread) })
    }

    /// Takes a block that is free again once its copy, which has been submitted, is done.
    fn take_back(&mut self, block: Staging) {
        match self {
            Reader::Thread { free, .. } => {
                let free = free.clone();
                // Once the reader has ended, the block is not needed.
                block.give_back(move |block| drop(free.send(Some(block))));
            }
            Reader::InTurn { free, .. } => {
                let (give, back) = oneshot_channel();
                // Likewise.
                block.give_back(move |block| drop(give.send(block)));
                free.push_back(back);
            }
        }
    }

    /// The next block that is filled.
    async fn next(&mut self, gpu: &Gpu) -> Result<Filled, Error> {
        let ended = |why: &str| Err(Error::Data(format!("the rows cannot be read further: {why}")));
        loop {
            match self {
                Reader::Thread { filled, thread, .. } => match filled.recv_timeout(PATIENCE) {
                    Ok(filled) => return filled,
                    Err(RecvTimeoutError::Timeout) => {}
                    Err(RecvTimeoutError::Disconnected) => {
                        let crashed = thread.take().is_some_and(|thread| !thread.join());
                        return ended(if crashed { "its thread panicked" } else { "its thread has ended" });
                    }
                },
                Reader::InTurn { fill, free } => {
                    let Some(back) = free.pop_front() else { return ended("there is no memory to read into") };
                    // On a host that may block, nothing else polls the device, which gives blocks back only then.
                    let Some(block) = gpu.answer(Some(&back)).await? else {
                        // A device that fails gives none back.
                        gpu.settled().await?;
                        return ended("the device did not give its memory back");
                    };
                    return fill(block).unwrap_or_else(|| ended("there are no more"));
                }
            }
            // The device gives blocks back only while it is polled.
            gpu.listen()?;
        }
    }
}

impl Drop for Stream<'_> {
    fn drop(&mut self) {
        let Reader::Thread { free, ends, thread, .. } = &mut self.reader else { return };
        let Some(thread) = thread.take() else { return };
        // The thread ends with the block that it has, or is woken where it waits for one; where it panicked, that was reported.
        ends.store(true, Ordering::Relaxed);
        let _ = free.send(None);
        let _ = thread.join();
    }
}

impl Reading<'_> {
    /// The windows that the steps need, each with the step in which it begins.
    fn visits(&self) -> impl Iterator<Item = (Visit, u64)> + use<> {
        self.windows.of_steps(self.order, self.steps.clone())
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
        let set = set.for_vocabulary(self.network.vocabulary());
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::sync::OnceLock;
    use std::sync::atomic::AtomicUsize;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::activation::Activation;
    use crate::data::Dataset;
    use crate::gpu::AdapterChoice;
    use crate::host::{block_on, with_threads};

    /// Rows whose first read lasts until the stream is told to end.
    struct Slow {
        rows: Dataset,
        reads: AtomicUsize,
        ends: OnceLock<Arc<AtomicBool>>,
    }

    impl Source for Slow {
        fn rows(&self) -> usize {
            self.rows.rows()
        }

        fn classes(&self) -> usize {
            self.rows.classes()
        }

        fn read(&self, rows: Range<usize>) -> Result<Dataset, Error> {
            self.reads.fetch_add(1, Ordering::SeqCst);
            while !self.ends.get().is_some_and(|ends| ends.load(Ordering::SeqCst)) {
                std::hint::spin_loop();
            }
            Source::read(&self.rows, rows)
        }
    }

    /// Eight windows of these 64 rows.
    fn reading<'a>(source: &'a dyn Source, rows: &Dataset) -> Reading<'a> {
        Reading {
            source,
            network: Network::new(4).dense(3, Activation::Identity),
            loss: Loss::default(),
            shape: SetShape::of(rows, u64::MAX),
            scalings: [None, None],
            windows: Windows { rows: 64, window: 8, batch: 4, seed: 0, shuffles: false },
            order: Order { rows: 64, ..Order::default() },
            steps: 0..16,
        }
    }

    /// The two windows, and the step state.
    fn on_device(gpu: &Gpu) -> (Vec<Buffers>, Buffer) {
        let buffer = |bytes| block_on(gpu.zeros("a window", bytes)).unwrap();
        let bank = || Buffers::from([(Role::Set(0), buffer(1024)), (Role::Targets, buffer(256))]);
        (vec![bank(), bank()], buffer(1024))
    }

    fn rows() -> Dataset {
        Dataset::from_rows((0..64).map(|at| ([at as f32; 4], at % 3))).unwrap()
    }

    /// A program that reads in turn with the steps, and awaits a block that the device gives back without polling the device: nothing else polls it
    /// there, and the next window never comes.
    #[test]
    fn a_host_that_may_block_reads_in_turn_to_the_last_window() {
        let gpu = Gpu::open(&AdapterChoice::Auto).unwrap();
        let (rows, (banks, state)) = (rows(), on_device(&gpu));
        let mut stream = block_on(Stream::begin(None, &gpu, reading(&rows, &rows), banks, &state)).unwrap();
        // With a single block each window awaits the copy before it. With two, a device that is done by then answers in a submission.
        let Reader::InTurn { free, .. } = &mut stream.reader else { panic!("there are no threads") };
        free.truncate(1);
        let steps: Vec<u64> = (0..8)
            .map(|window| {
                let mut traffic = Traffic::default();
                let mut next = pin!(stream.next(&gpu, &mut traffic));
                match next.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                    Poll::Ready(next) => next.unwrap().steps,
                    Poll::Pending => panic!("window {window} is awaited of a device that nothing polls"),
                }
            })
            .collect();
        assert_eq!(steps, [2; 8]);
        let ended = block_on(stream.next(&gpu, &mut Traffic::default())).unwrap_err().to_string();
        assert!(ended.contains("there are no more"), "{ended}");
    }

    /// A stream that is dropped while memory for more windows is free: reading them may take minutes.
    #[test]
    fn a_stream_that_ends_reads_no_further_window() {
        let gpu = Gpu::open(&AdapterChoice::Auto).unwrap();
        let source = Slow { rows: rows(), reads: AtomicUsize::new(0), ends: OnceLock::new() };
        let (banks, state) = on_device(&gpu);
        with_threads(|threads| {
            let stream =
                block_on(Stream::begin(Some(threads), &gpu, reading(&source, &source.rows), banks, &state)).unwrap();
            let Reader::Thread { ends, .. } = &stream.reader else { panic!("there are threads") };
            while source.reads.load(Ordering::SeqCst) == 0 {
                std::hint::spin_loop();
            }
            source.ends.set(Arc::clone(ends)).unwrap();
            drop(stream);
        });
        assert_eq!(source.reads.load(Ordering::SeqCst), 1);
    }
}
