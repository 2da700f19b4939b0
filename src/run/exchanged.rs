//! Runs a program's steps where other processes compute shards of each. Between its gradients and its updates a step waits for all of them, once; or each process makes some steps
//! alone, after which weights are averaged.

use std::ops::ControlFlow;

use super::runner::{Ahead, CHUNKS_AHEAD, CopiesAlong, PROGRESS_INTERVAL, Part, Runner};
use super::shared::Shared;
use super::stream::WindowSteps;
use super::sums::Sums;
use super::told::Told;
use crate::error::Error;
use crate::gpu::Gpu;
use crate::history::TrainStats;
use crate::plan::Role;

/// Steps after which the processes may tell each other something.
#[derive(Clone, Copy)]
struct Stretch {
    steps: u64,
    /// The program that is bound to their rows.
    program: usize,
    /// Whether the running sums are cleared before.
    clears: bool,
    /// Whether something is told after them. Not where a window of rows ends before.
    tells: bool,
    wants_end: bool,
}

impl Runner {
    /// [`run_part`](Self::run_part), with other processes. `report` gets the sums that all processes have told; what it breaks off with ends the run when they next
    /// tell each other anything, of all processes alike. Numbers that are not finite are reported then too, in all processes.
    pub(super) async fn run_shared(
        &mut self,
        gpu: &Gpu,
        part: Part<'_, '_>,
        stats: &mut TrainStats,
        mut report: impl FnMut(u64, Sums) -> Result<ControlFlow<()>, Error>,
    ) -> Result<u64, Error> {
        let host = gpu.host();
        let Part { mut steps, until_end, rows, began, continues, mut stream, mut copies } = part;
        let mut window = WindowSteps { steps: if stream.is_some() { 0 } else { until_end }, rows, program: 0 };
        let (mut done, mut reported_at, mut wants_end) = (0, host.now(), false);
        let mut reported_not_finite = [None; 2];
        self.on_its_way = 0..0;
        while done < steps {
            if let Some(stream) = stream.as_mut().filter(|_| window.steps == 0) {
                window = stream.next(gpu, &mut stats.traffic).await?;
            }
            let left = self.shared.as_ref().map_or(1, |shared| shared.left(began + done)).min(steps - done);
            let now = left.min(window.steps);
            let (program, clears) = (window.program, done == 0 && !continues);
            let stretch = Stretch { steps: now, program, clears, tells: now == left, wants_end };
            let told = self.run_stretch(gpu, stretch, stats).await?;
            done += now;
            window.steps -= now;
            let Some(Told { sums, ends, sent }) = told else { continue };
            stats.exchanged_bytes += sent;
            match &mut copies {
                Some(copies) => self.update(gpu, program, done, Some(&mut **copies), stats).await?,
                None => self.update(gpu, program, done, None, stats).await?,
            }
            if ends {
                steps = done;
            }
            // In all processes at the same step; what they only show is each one's own to time.
            let not_finite = [sums.non_finite_loss, sums.non_finite_update];
            let is_due = host.since(reported_at) >= PROGRESS_INTERVAL && !wants_end;
            if not_finite != reported_not_finite || is_due {
                (reported_at, reported_not_finite) = (host.now(), not_finite);
                wants_end |= report(done, sums)?.is_break();
            }
        }
        gpu.settled().await?;
        self.on_its_way = 0..0;
        Ok(done)
    }

    /// Computes this process's shards of some steps, and tells the others what these come to. Where gradients are told, the step's update is left to [`update`](Self::update).
    async fn run_stretch(
        &mut self,
        gpu: &Gpu,
        stretch: Stretch,
        stats: &mut TrainStats,
    ) -> Result<Option<Told>, Error> {
        if matches!(self.shared, Some(Shared::Gradients(_))) {
            return self.exchange_gradients(gpu, stretch, stats).await.map(Some);
        }
        self.run_alone(gpu, stretch, stats).await?;
        match &mut self.shared {
            Some(Shared::Weights(averaging)) if stretch.tells => {
                averaging.average(gpu, &mut stats.traffic, stretch.wants_end).await.map(Some)
            }
            _ => Ok(None),
        }
    }

    /// A step's shards, and the exchange of their gradients.
    async fn exchange_gradients(&mut self, gpu: &Gpu, stretch: Stretch, stats: &mut TrainStats) -> Result<Told, Error> {
        let Runner { programs, buffers, in_parts, shared: Some(Shared::Gradients(exchange)), on_its_way, .. } = self
        else {
            return Err(Error::Processes("there are no other processes".into()));
        };
        let (program, parts) = (&programs[stretch.program], u64::from(in_parts.parts.own()));
        stats.dispatches += in_parts.dispatches([parts].into_iter());
        if stretch.clears || parts > 1 {
            gpu.submit(&mut stats.traffic, |encoder| {
                if stretch.clears {
                    encoder.clear_buffer(&buffers[&Role::Stats], 0, None);
                }
                program.record_range(encoder, 0..in_parts.repeated, parts - 1);
            });
        }
        on_its_way.end += 1;
        let told = exchange.tell(gpu, &mut stats.traffic, program, stretch.wants_end).await?;
        // All before it was done by then.
        on_its_way.start = on_its_way.end - 1;
        Ok(told)
    }

    /// Steps that this process makes alone, in chunks.
    async fn run_alone(&mut self, gpu: &Gpu, stretch: Stretch, stats: &mut TrainStats) -> Result<(), Error> {
        let mut ahead = Ahead::new(gpu.host().now());
        let (mut done, parts) = (0, u64::from(self.in_parts.parts.own()));
        while done < stretch.steps {
            let chunk = self.chunk.min(stretch.steps - done);
            let of_steps = std::iter::repeat_n(parts, chunk as usize);
            let submission = gpu.submit(&mut stats.traffic, |encoder| {
                if stretch.clears && done == 0 {
                    encoder.clear_buffer(&self.buffers[&Role::Stats], 0, None);
                }
                self.programs[stretch.program].record_in_parts(encoder, self.in_parts.repeated, of_steps.clone());
            });
            stats.dispatches += self.in_parts.dispatches(of_steps);
            done += chunk;
            self.on_its_way.end += chunk;
            ahead.submissions.push_back((submission, chunk));
            self.wait_until_ahead(gpu, &mut ahead, if done == stretch.steps { 0 } else { CHUNKS_AHEAD }).await?;
        }
        Ok(())
    }

    /// Updates the weights where gradients were told, and makes the copies that are due after `done` steps of the pass in the same submission. Waits for nothing.
    async fn update(
        &self,
        gpu: &Gpu,
        program: usize,
        done: u64,
        copies: Option<&mut (dyn CopiesAlong + '_)>,
        stats: &mut TrainStats,
    ) -> Result<(), Error> {
        let updates = self.in_parts.repeated..self.programs[program].dispatches();
        let times = matches!(self.shared, Some(Shared::Gradients(_))).into();
        let record = |encoder: &mut _| self.programs[program].record_range(encoder, updates.clone(), times);
        let Some(copies) = copies else {
            gpu.submit(&mut stats.traffic, record);
            return Ok(());
        };
        let are_due = copies.is_due(gpu, done);
        if are_due {
            copies.prepare(gpu, done).await?;
        }
        gpu.submit(&mut stats.traffic, |encoder| {
            record(encoder);
            if are_due {
                copies.copy(encoder);
            }
        });
        if are_due {
            copies.request()?;
        }
        copies.advance(gpu)
    }
}
