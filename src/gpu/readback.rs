//! Reads from device memory: a staging buffer, filled by the device and mapped when it is done.

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use super::submission::now;
use super::{Buffer, Gpu, Traffic};
use crate::error::Error;

/// A read in progress. Nothing waits for it until [`wait`](Self::wait) is called.
pub(crate) struct Readback {
    staging: Buffer,
    bytes: u64,
    mapped: Option<OneshotReceiver<Result<(), wgpu::BufferAsyncError>>>,
}

impl Readback {
    /// Room for `bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`], [`Error::Option`] where it is larger than any buffer.
    pub(crate) async fn new(gpu: &Gpu, bytes: u64) -> Result<Self, Error> {
        let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
        Ok(Readback { staging: gpu.buffer("a copy to read", bytes, usage, false).await?, bytes, mapped: None })
    }

    /// Reads this many bytes from now on, as far as there is room.
    pub(crate) fn limit(&mut self, bytes: u64) {
        self.bytes = bytes.min(self.staging.size());
    }

    /// Records the copy of buffers, one after another, as far as there is room.
    pub(crate) fn copy(&self, encoder: &mut wgpu::CommandEncoder, from: &[&Buffer]) {
        let mut at = 0;
        for buffer in from {
            let bytes = buffer.size().min(self.bytes - at);
            encoder.copy_buffer_to_buffer(buffer, 0, &self.staging, at, bytes);
            at += bytes;
        }
    }

    /// Asks for the copy, once its recording has been submitted.
    pub(crate) fn request(&mut self) {
        let (sender, receiver) = oneshot_channel();
        self.staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver may have been dropped: the answer is not wanted then.
            let _ = sender.send(result);
        });
        self.mapped = Some(receiver);
    }

    /// The content, if it has arrived. Never waits.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the device failed meanwhile.
    pub(crate) fn arrived<T: bytemuck::Pod>(&mut self, gpu: &Gpu) -> Result<Option<Vec<T>>, Error> {
        gpu.listen()?;
        match self.mapped.as_ref().and_then(now) {
            Some(result) => self.content(result.unwrap_or(Err(wgpu::BufferAsyncError))).map(Some),
            None => Ok(None),
        }
    }

    /// The content, waiting for the device.
    ///
    /// # Errors
    ///
    /// As [`arrived`](Self::arrived).
    pub(crate) async fn wait<T: bytemuck::Pod>(&mut self, gpu: &Gpu, traffic: &mut Traffic) -> Result<Vec<T>, Error> {
        if self.mapped.is_none() {
            self.request();
        }
        if let Some(content) = self.arrived(gpu)? {
            return Ok(content);
        }
        traffic.blocking_reads += 1;
        let result = gpu.answer(self.mapped.as_ref()).await?;
        self.content(result.unwrap_or(Err(wgpu::BufferAsyncError)))
    }

    fn content<T: bytemuck::Pod>(&mut self, result: Result<(), wgpu::BufferAsyncError>) -> Result<Vec<T>, Error> {
        self.mapped = None;
        let failed = |reason: String| Error::Device(format!("a read failed: {reason}"));
        result.map_err(|error| failed(error.to_string()))?;
        let view = self.staging.get_mapped_range(..).map_err(|error| failed(error.to_string()))?;
        let content = bytemuck::pod_collect_to_vec(&view[..self.bytes as usize]);
        drop(view);
        self.staging.unmap();
        Ok(content)
    }
}

impl Gpu {
    /// The first `count` values of a buffer.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the device failed.
    pub(crate) async fn read<T: bytemuck::Pod>(
        &self,
        buffer: &Buffer,
        count: usize,
        traffic: &mut Traffic,
    ) -> Result<Vec<T>, Error> {
        self.read_at(buffer, 0, count, traffic).await
    }

    /// [`read`](Self::read) from a byte on, a multiple of 4.
    ///
    /// # Errors
    ///
    /// As [`read`](Self::read).
    pub(crate) async fn read_at<T: bytemuck::Pod>(
        &self,
        buffer: &Buffer,
        byte: u64,
        count: usize,
        traffic: &mut Traffic,
    ) -> Result<Vec<T>, Error> {
        let bytes = (count * size_of::<T>()) as u64;
        let mut readback = Readback::new(self, bytes).await?;
        self.submit(traffic, |encoder| encoder.copy_buffer_to_buffer(buffer, byte, &readback.staging, 0, bytes));
        readback.wait(self, traffic).await
    }
}
