//! When dispatches begin and end, by the device's own clock.

use super::{Buffer, Encoder, Gpu, Program, Readback, Traffic};
use crate::error::Error;

/// The times of some steps' dispatches.
pub(crate) struct Timestamps {
    times: wgpu::QuerySet,
    resolved: Buffer,
    read: Readback,
    seconds_a_tick: f64,
}

impl Timestamps {
    /// Room for the times of this many dispatches in one submission. `None` where the device has no clock, or no room for their times.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub(crate) async fn new(gpu: &Gpu, dispatches: usize) -> Result<Option<Self>, Error> {
        let count = 2 * dispatches;
        if !gpu.device.features().contains(wgpu::Features::TIMESTAMP_QUERY) || count > Self::MOST {
            return Ok(None);
        }
        let times = gpu.device.create_query_set(&wgpu::QuerySetDescriptor {
            label: Some("times"),
            ty: wgpu::QueryType::Timestamp,
            count: count as u32,
        });
        let bytes = 8 * count as u64;
        let usage = wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC;
        let resolved = gpu.buffer("times", bytes, usage, false).await?;
        let seconds_a_tick = 1e-9 * f64::from(gpu.queue.get_timestamp_period());
        Ok(Some(Timestamps { times, resolved, read: Readback::new(gpu, bytes).await?, seconds_a_tick }))
    }

    /// The most times that there is room for.
    pub(crate) const MOST: usize = wgpu::QUERY_SET_MAX_QUERIES as usize;

    /// Records a number of steps, each dispatch in a pass of its own, and the copy of their times.
    pub(crate) fn record(&self, encoder: &mut Encoder, program: &Program, steps: u64) {
        let dispatches = steps as usize * program.dispatches();
        for at in 0..dispatches as u32 {
            let times = wgpu::ComputePassTimestampWrites {
                query_set: &self.times,
                beginning_of_pass_write_index: Some(2 * at),
                end_of_pass_write_index: Some(2 * at + 1),
            };
            program.record_timed(encoder, at as usize % program.dispatches(), times);
        }
        encoder.resolve_query_set(&self.times, 0..2 * dispatches as u32, &self.resolved, 0);
        self.read.copy(encoder, &[&self.resolved]);
    }

    /// Begin and end of every dispatch, in seconds since the first began. Waits for them.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the device failed.
    pub(crate) async fn times(&mut self, gpu: &Gpu) -> Result<Vec<[f64; 2]>, Error> {
        let ticks: Vec<u64> = self.read.wait(gpu, &mut Traffic::default()).await?;
        // Subtracted as whole numbers: in seconds, the reading of a clock that has run for long has no digits for microseconds.
        let first = ticks.iter().copied().min().unwrap_or(0);
        let seconds = |tick: u64| (tick - first) as f64 * self.seconds_a_tick;
        Ok(ticks.chunks_exact(2).map(|pair| [seconds(pair[0]), seconds(pair[1])]).collect())
    }
}
