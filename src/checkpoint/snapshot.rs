//! Checkpoints while training goes on: copies into staging behind the steps on their way, read when they arrive, written by a thread.
//! At most one is on the device and one on its way to the disk; what is due meanwhile is left out.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::fit_state::FitState;
use super::folder;
use super::packing::{averages_of, slots_of, unpacked};
use super::restore_point::RestorePoint;
use super::saved::{Run, Saved};
use crate::error::Error;
use crate::gpu::{Buffer, Encoder, Gpu, Readback, Traffic};
use crate::host::{Host, Job, Task};
use crate::options::{Checkpointing, Every};
use crate::run::runner::CopiesAlong;
use crate::run::sums::Sums;

/// The checkpoints of one fit.
pub(crate) struct Snapshots {
    run: Arc<Run>,
    folder: PathBuf,
    every: Every,
    keep: usize,
    /// When the last one was taken, by the host's clock.
    last_at: Duration,
    /// The step of the last one that was taken.
    last_step: Option<u64>,
    pass: Option<Pass>,
    on_its_way: Option<OnItsWay>,
    writer: Option<Job<Written>>,
    /// Where the fit goes back to when its device fails: its beginning, and then its last checkpoint. None where it does not.
    last: Option<Arc<RestorePoint>>,
}

/// What comes of writing a checkpoint: its restore point, where that is asked for and the checkpoint was not left out.
type Written = Result<Option<RestorePoint>, Error>;

/// The steps that are run now.
struct Pass {
    first_step: u64,
    last_step: u64,
    sources: Vec<Buffer>,
}

/// A copy that the device has not made yet, or that waits for the one before it to be written.
struct OnItsWay {
    step: u64,
    fit: FitState,
    copies: Vec<(Readback, Option<Vec<u32>>)>,
}

impl Snapshots {
    /// `beginning` is where the fit begins, if it is to go back there when its device fails before the first checkpoint.
    pub fn new(host: &dyn Host, checkpointing: &Checkpointing, run: Run, beginning: Option<RestorePoint>) -> Self {
        let Checkpointing { folder, every, keep, .. } = checkpointing.clone();
        let (last_at, run, last) = (host.now(), Arc::new(run), beginning.map(Arc::new));
        Snapshots {
            run,
            folder,
            every,
            keep,
            last_at,
            last_step: None,
            pass: None,
            on_its_way: None,
            writer: None,
            last,
        }
    }

    /// Where the fit goes back to, now that its device has failed and what was on its way there is lost.
    ///
    /// # Errors
    ///
    /// As [`advance`](Self::advance).
    pub fn go_back(&mut self) -> Result<Option<Arc<RestorePoint>>, Error> {
        (self.on_its_way, self.pass) = (None, None);
        if let Some(writer) = self.writer.take() {
            self.wrote(joined(writer)?);
        }
        self.last_step = self.last.as_ref().and_then(|last| last.written());
        Ok(self.last.clone())
    }

    /// Goes back to another restore point of the same fit, of which a checkpoint is made: what was taken after it is of another course, and then
    /// deleted.
    ///
    /// # Errors
    ///
    /// As [`advance`](Self::advance); [`Error::Io`].
    pub fn go_back_to(&mut self, point: &mut RestorePoint) -> Result<(), Error> {
        self.go_back()?;
        // In this order: whenever the run is killed, there is one to go on from.
        point.write(&self.run, &self.folder)?;
        folder::forget_after(&self.folder, point.step())?;
        self.last_step = point.written();
        if self.last.is_some() {
            self.last = Some(Arc::new(point.clone()));
        }
        Ok(())
    }

    /// Where the fit would go back to.
    pub fn last(&self) -> Option<&RestorePoint> {
        self.last.as_deref()
    }

    fn wrote(&mut self, point: Option<RestorePoint>) {
        if let Some(point) = point {
            self.last = Some(Arc::new(point));
        }
    }

    /// Before steps are run: which, and of what buffers a checkpoint is made: all weights, all slots of the optimizer, the weights' averages, the step state, the
    /// running sums, and the best weights where there are any.
    pub fn begin(&mut self, first_step: u64, last_step: u64, sources: Vec<Buffer>) {
        self.pass = Some(Pass { first_step, last_step, sources });
    }

    /// The most steps that may be run in one go after `done` of the pass, so that the next checkpoint is at its step.
    pub fn limit(&self, done: u64) -> u64 {
        match (self.every, &self.pass) {
            (Every::Steps(every), Some(pass)) => every - (pass.first_step + done) % every,
            _ => u64::MAX,
        }
    }

    /// Whether there is one to take after `done` steps of the pass: always after the run's last one.
    pub fn is_due(&self, host: &dyn Host, done: u64) -> bool {
        let Some(pass) = &self.pass else { return false };
        let (step, is_last) = (pass.first_step + done, pass.first_step + done == pass.last_step);
        let due = match self.every {
            Every::Steps(every) => step % every == 0,
            Every::Time(time) => host.since(self.last_at) >= time,
        };
        if due && !is_last && self.on_its_way.is_some() {
            tracing::debug!(step, "a checkpoint is left out: the one before it is still being written");
            return false;
        }
        (due || is_last) && self.last_step != Some(step)
    }

    /// Makes room for the copies after `done` steps of the pass, once it is known that one [is due](Self::is_due). The run's last one waits for
    /// the one before it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub async fn prepare(&mut self, gpu: &Gpu, done: u64, fit: &FitState) -> Result<(), Error> {
        self.drain(gpu).await?;
        let Some(Pass { first_step, sources, .. }) = &self.pass else { return Ok(()) };
        let mut copies = Vec::with_capacity(sources.len());
        for source in sources {
            copies.push((Readback::new(gpu, source.size()).await?, None));
        }
        let step = first_step + done;
        self.on_its_way = Some(OnItsWay { step, fit: fit.clone(), copies });
        (self.last_at, self.last_step) = (gpu.host().now(), Some(step));
        Ok(())
    }

    /// Records the copies that there is room for now.
    pub fn copy(&self, encoder: &mut Encoder) {
        let (Some(pass), Some(way)) = (&self.pass, &self.on_its_way) else { return };
        for (source, (readback, _)) in pass.sources.iter().zip(&way.copies) {
            readback.copy(encoder, &[source]);
        }
    }

    /// Asks for the copies, once their recording has been submitted.
    ///
    /// # Errors
    ///
    /// As [`Readback::request`].
    pub fn request(&mut self) -> Result<(), Error> {
        let mut copies = self.on_its_way.iter_mut().flat_map(|way| &mut way.copies);
        copies.try_for_each(|(readback, _)| readback.request())
    }

    /// Takes one where training was broken off, `done` steps into the pass.
    pub async fn take(&mut self, gpu: &Gpu, traffic: &mut Traffic, done: u64, fit: &FitState) -> Result<(), Error> {
        let step = self.pass.as_ref().map(|pass| pass.first_step + done);
        if step.is_none() || self.last_step == step {
            return Ok(());
        }
        self.prepare(gpu, done, fit).await?;
        gpu.submit(traffic, |encoder| self.copy(encoder));
        self.request()
    }

    /// Hands what has arrived to the thread that writes, where it has nothing to do. Never waits.
    ///
    /// # Errors
    ///
    /// What went wrong with the last one that was written.
    pub fn advance(&mut self, gpu: &Gpu) -> Result<(), Error> {
        if let Some(writer) = self.writer.take_if(|writer| writer.is_finished()) {
            self.wrote(joined(writer)?);
        }
        let Some(way) = &mut self.on_its_way else { return Ok(()) };
        for (readback, content) in way.copies.iter_mut().filter(|(_, content)| content.is_none()) {
            *content = readback.arrived(gpu)?;
            if content.is_none() {
                return Ok(());
            }
        }
        if self.writer.is_none()
            && let Some(OnItsWay { step, fit, copies }) = self.on_its_way.take()
        {
            let contents = copies.into_iter().filter_map(|(_, content)| content).collect();
            let (run, folder, keep) = (Arc::clone(&self.run), self.folder.clone(), self.keep);
            let remembers = self.last.is_some();
            let host = gpu.host();
            let spawned = Job::begin(host, "wgrad checkpoint", move || {
                let started = host.now();
                let point = write(&run, step, fit, contents, &folder, keep)?;
                if point.is_some() {
                    tracing::debug!(step, took = ?host.since(started), "a checkpoint is written");
                }
                Ok(point.filter(|_| remembers))
            });
            self.writer =
                Some(spawned.map_err(|error| Error::Device(format!("no thread can be had to write with: {error}")))?);
        }
        Ok(())
    }

    /// Waits until all that were taken are written.
    ///
    /// # Errors
    ///
    /// As [`advance`](Self::advance).
    pub async fn finish(&mut self, gpu: &Gpu, traffic: &mut Traffic) -> Result<(), Error> {
        self.advance(gpu)?;
        let arrived = |way: &OnItsWay| way.copies.iter().all(|(_, content)| content.is_some());
        if self.on_its_way.as_ref().is_some_and(|way| !arrived(way)) {
            traffic.blocking_reads += 1;
        }
        self.drain(gpu).await?;
        if let Some(writer) = self.writer.take() {
            self.wrote(joined(writer)?);
        }
        Ok(())
    }

    /// Waits until none is on its way but in the thread.
    async fn drain(&mut self, gpu: &Gpu) -> Result<(), Error> {
        let Some(way) = &mut self.on_its_way else { return Ok(()) };
        for (readback, content) in way.copies.iter_mut().filter(|(_, content)| content.is_none()) {
            *content = Some(readback.wait(gpu, &mut Traffic::default()).await?);
        }
        if let Some(writer) = self.writer.take() {
            self.wrote(joined(writer)?);
        }
        self.advance(gpu)
    }
}

impl Drop for Snapshots {
    /// What is being written is written to its end, however the fit ends.
    fn drop(&mut self) {
        if let Some(Err(error)) = self.writer.take().map(joined) {
            tracing::warn!(%error, "a checkpoint is not written");
        }
    }
}

fn joined(writer: Job<Written>) -> Written {
    writer.result().unwrap_or_else(|| Err(Error::Device("the thread that writes checkpoints crashed".into())))
}

/// From the device's buffers, in the order of [`Snapshots::begin`], to a file. The restore point that it is of, where it is not left out.
fn write(run: &Run, step: u64, fit: FitState, contents: Vec<Vec<u32>>, folder: &Path, keep: usize) -> Written {
    let layers = run.network.named_parameters().len();
    let mut contents = contents.into_iter();
    let layers_of = |contents: &mut dyn Iterator<Item = Vec<u32>>| -> Vec<Vec<u32>> { contents.take(layers).collect() };
    let own = layers_of(&mut contents);
    // Frozen layers have none.
    let mut next_if = |is_there: bool| if is_there { contents.next().unwrap_or_default() } else { Vec::new() };
    let slots = run.options.slots_of(&run.network).into_iter();
    let of_slots: Vec<Vec<u32>> = slots.map(|slots| next_if(slots > 0)).collect();
    let averages: Vec<Vec<u32>> = run.options.averaged(&run.network).into_iter().map(&mut next_if).collect();
    let (state, sums) = (contents.next().unwrap_or_default(), contents.next().unwrap_or_default());
    let best = layers_of(&mut contents);

    // What was good before it is worth more. Training ends or goes back by itself where it has come to this.
    let (epoch, of_both) = (run.order.epoch_of(step, run.options.step_rows()), Sums::of_both(&sums, &state));
    if let Err(error) = run.options.non_finite.check(&of_both, epoch - 1) {
        tracing::debug!(step, %error, "a checkpoint is left out");
        return Ok(None);
    }
    if u64::from(of_both.step) != step {
        tracing::debug!(step, counted = of_both.step, "a checkpoint is left out: the device has not run these steps");
        return Ok(None);
    }
    let saved = Saved {
        run: run.clone(),
        step,
        fit,
        weights: unpacked(run, &own, 0, 1),
        averages: averages_of(run, &own, &averages),
        slots: slots_of(run, &of_slots),
        best: (!best.is_empty()).then(|| unpacked(run, &best, 0, 1)),
        state,
        sums,
    };
    let point = RestorePoint::of_checkpoint(&saved, folder::file(folder, step), [own, of_slots, averages]);
    saved.write(folder)?;
    folder::prune(folder, step, keep)?;
    Ok(Some(point))
}

/// The checkpoints of a fit while a part of an epoch is run.
pub(crate) struct PartSnapshots<'a> {
    pub snapshots: &'a mut Snapshots,
    /// What the fit remembers then.
    pub fit: &'a FitState,
}

impl CopiesAlong for PartSnapshots<'_> {
    fn limit(&self, done: u64) -> u64 {
        self.snapshots.limit(done)
    }

    fn is_due(&self, gpu: &Gpu, done: u64) -> bool {
        self.snapshots.is_due(gpu.host(), done)
    }

    fn prepare<'a>(&'a mut self, gpu: &'a Gpu, done: u64) -> Task<'a, Result<(), Error>> {
        Box::pin(self.snapshots.prepare(gpu, done, self.fit))
    }

    fn copy(&self, encoder: &mut Encoder) {
        self.snapshots.copy(encoder);
    }

    fn request(&mut self) -> Result<(), Error> {
        self.snapshots.request()
    }

    fn advance(&mut self, gpu: &Gpu) -> Result<(), Error> {
        self.snapshots.advance(gpu)
    }
}
