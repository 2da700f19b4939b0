//! Runs a program's steps where other processes compute shards of each: between its gradients and its updates a step waits for all of them, once.

use std::ops::ControlFlow;

use super::exchange::Told;
use super::runner::{CopiesAlong, PROGRESS_INTERVAL, Part, Runner};
use super::stream::WindowSteps;
use super::sums::Sums;
use crate::error::Error;
use crate::gpu::Gpu;
use crate::history::TrainStats;
use crate::plan::Role;

impl Runner {
    /// [`run_part`](Self::run_part), with an exchange in each step. `report` gets the sums that all processes have told; what it breaks off with ends the run after
    /// the next step, of all processes alike. Numbers that are not finite are reported in the step after theirs, in all processes.
    pub(super) async fn run_exchanged(
        &mut self,
        gpu: &Gpu,
        part: Part<'_, '_>,
        stats: &mut TrainStats,
        mut report: impl FnMut(u64, Sums) -> Result<ControlFlow<()>, Error>,
    ) -> Result<u64, Error> {
        let host = gpu.host();
        let Part { mut steps, until_end, rows, continues, mut stream, mut copies } = part;
        let mut window = WindowSteps { steps: if stream.is_some() { 0 } else { until_end }, rows, program: 0 };
        let (mut done, mut reported_at, mut wants_end) = (0, host.now(), false);
        let mut reported_not_finite = [None; 2];
        self.on_its_way = 0..0;
        while done < steps {
            if let Some(stream) = stream.as_mut().filter(|_| window.steps == 0) {
                window = stream.next(gpu, &mut stats.traffic).await?;
            }
            let clears = done == 0 && !continues;
            let Told { sums, ends, sent } =
                self.exchange_gradients(gpu, window.program, clears, wants_end, stats).await?;
            done += 1;
            window.steps -= 1;
            stats.exchanged_bytes += sent;
            match &mut copies {
                Some(copies) => self.update(gpu, window.program, done, Some(&mut **copies), stats).await?,
                None => self.update(gpu, window.program, done, None, stats).await?,
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

    /// Computes this process's shards of a step, and exchanges what they come to. The running sums are cleared before where the step is a pass's first.
    async fn exchange_gradients(
        &mut self,
        gpu: &Gpu,
        program: usize,
        clears: bool,
        wants_end: bool,
        stats: &mut TrainStats,
    ) -> Result<Told, Error> {
        let Runner { programs, buffers, in_parts, exchange: Some(exchange), on_its_way, .. } = self else {
            return Err(Error::Processes("there are no other processes".into()));
        };
        let parts = u64::from(in_parts.parts.own());
        stats.dispatches += in_parts.dispatches([parts].into_iter());
        if clears || parts > 1 {
            gpu.submit(&mut stats.traffic, |encoder| {
                if clears {
                    encoder.clear_buffer(&buffers[&Role::Stats], 0, None);
                }
                programs[program].record_range(encoder, 0..in_parts.repeated, parts - 1);
            });
        }
        on_its_way.end += 1;
        let told = exchange.tell(gpu, &mut stats.traffic, &programs[program], wants_end).await?;
        // All before it was done by then.
        on_its_way.start = on_its_way.end - 1;
        Ok(told)
    }

    /// Updates the weights, and makes the copies that are due after `done` steps of the pass in the same submission. Waits for nothing.
    async fn update(
        &self,
        gpu: &Gpu,
        program: usize,
        done: u64,
        copies: Option<&mut (dyn CopiesAlong + '_)>,
        stats: &mut TrainStats,
    ) -> Result<(), Error> {
        let updates = self.in_parts.repeated..self.programs[program].dispatches();
        let record = |encoder: &mut _| self.programs[program].record_range(encoder, updates.clone(), 1);
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
