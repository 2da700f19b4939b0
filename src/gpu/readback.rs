//! Reads from device memory: a staging buffer, filled by the device and mapped when it is done.

use std::ops::Range;

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use super::submission::{Submission, now};
use super::{Buffer, Gpu, Traffic};
use crate::error::Error;

/// A read in progress. Nothing waits for it until [`wait`](Self::wait) is called.
pub(crate) struct Readback {
    staging: Buffer,
    bytes: u64,
    /// The answer that was asked for and not taken yet. The device cannot write to the staging buffer meanwhile.
    mapped: Option<OneshotReceiver<Result<(), wgpu::BufferAsyncError>>>,
}

impl Readback {
    /// Room for `bytes`.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`], [`Error::Option`] where it is larger than any buffer.
    pub(crate) async fn new(gpu: &Gpu, bytes: u64) -> Result<Self, Error> {
        Ok(Readback { staging: staging(gpu, bytes).await?, bytes, mapped: None })
    }

    /// Makes it ready for another copy. Where an answer is still on its way, as what asked for it ended early, the answer is given up, and the next
    /// copy goes to a buffer of its own.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub(crate) async fn ready(&mut self, gpu: &Gpu) -> Result<(), Error> {
        if self.mapped.is_some() {
            self.staging = staging(gpu, self.staging.size()).await?;
            self.mapped = None;
        }
        Ok(())
    }

    /// Reads this many bytes from now on, as far as there is room.
    pub(crate) fn limit(&mut self, bytes: u64) {
        self.bytes = bytes.min(self.staging.size());
    }

    /// Records the copy of buffers, one after another, as far as there is room. Records nothing while an answer is on its way:
    /// [`request`](Self::request) refuses then.
    pub(crate) fn copy(&self, encoder: &mut wgpu::CommandEncoder, from: &[&Buffer]) {
        self.copy_from(encoder, from.iter().map(|&buffer| (buffer, 0)));
    }

    /// [`copy`](Self::copy) of each buffer from a byte on, a multiple of 4.
    pub(crate) fn copy_from<'a>(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        from: impl IntoIterator<Item = (&'a Buffer, u64)>,
    ) {
        self.copy_ranges(encoder, from.into_iter().map(|(buffer, byte)| (buffer, byte..buffer.size())));
    }

    /// [`copy`](Self::copy) of some bytes of each buffer, from one multiple of 4 to another.
    pub(crate) fn copy_ranges<'a>(
        &self,
        encoder: &mut wgpu::CommandEncoder,
        from: impl IntoIterator<Item = (&'a Buffer, Range<u64>)>,
    ) {
        if self.mapped.is_some() {
            return;
        }
        let mut at = 0;
        for (buffer, range) in from {
            let bytes = (range.end - range.start).min(self.bytes - at);
            encoder.copy_buffer_to_buffer(buffer, range.start, &self.staging, at, bytes);
            at += bytes;
        }
    }

    /// Asks for the copy, once its recording has been submitted.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the answer before this one was not taken: it can still be, and then there is another copy to ask for.
    pub(crate) fn request(&mut self) -> Result<(), Error> {
        if self.mapped.is_some() {
            return Err(Error::Device(
                "a read was asked for while the answer to the one before it was still to be taken".into(),
            ));
        }
        let (sender, receiver) = oneshot_channel();
        self.staging.map_async(wgpu::MapMode::Read, .., move |result| {
            // The receiver may have been dropped: the answer is not wanted then.
            let _ = sender.send(result);
        });
        self.mapped = Some(receiver);
        Ok(())
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
            self.request()?;
        }
        if let Some(content) = self.arrived(gpu)? {
            return Ok(content);
        }
        traffic.blocking_reads += 1;
        let result = gpu.answer(self.mapped.as_ref()).await?;
        self.content(result.unwrap_or(Err(wgpu::BufferAsyncError)))
    }

    /// [`wait`](Self::wait) for the submission that the copy is in, and not for what was handed over behind it.
    ///
    /// # Errors
    ///
    /// As [`arrived`](Self::arrived).
    pub(crate) async fn wait_behind<T: bytemuck::Pod>(
        &mut self,
        gpu: &Gpu,
        submission: Submission,
        traffic: &mut Traffic,
    ) -> Result<Vec<T>, Error> {
        if let Some(content) = self.arrived(gpu)? {
            return Ok(content);
        }
        traffic.blocking_reads += 1;
        gpu.wait_for(submission).await?;
        let result = match self.mapped.as_ref().and_then(now) {
            Some(result) => result,
            // An event loop brings both answers, in any order.
            None => gpu.answer(self.mapped.as_ref()).await?,
        };
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

async fn staging(gpu: &Gpu, bytes: u64) -> Result<Buffer, Error> {
    let usage = wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST;
    gpu.buffer("a copy to read", bytes, usage, false).await
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

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::gpu::{AdapterChoice, OpenOptions};
    use crate::host::{EventLoop, block_on};

    fn copied(gpu: &Gpu, read: &mut Readback, from: &Buffer) -> Result<(), Error> {
        gpu.submit(&mut Traffic::default(), |encoder| read.copy(encoder, &[from]));
        read.request()
    }

    /// A read that is asked for too early: it fails the device, or the answer before it is lost.
    #[test]
    fn a_read_over_another_is_refused_and_loses_no_answer() {
        let gpu = Gpu::open(&AdapterChoice::Auto).unwrap();
        let [first, second] = [1u32, 2].map(|value| block_on(gpu.upload("values", &[value; 4])).unwrap());
        let mut read = block_on(Readback::new(&gpu, 16)).unwrap();
        copied(&gpu, &mut read, &first).unwrap();
        let refused = copied(&gpu, &mut read, &second).unwrap_err().to_string();
        assert!(refused.contains("still to be taken"), "{refused}");
        let mut values = || block_on(read.wait::<u32>(&gpu, &mut Traffic::default())).unwrap();
        assert_eq!(values(), [1; 4]);

        // One that was given up takes nothing from the next.
        copied(&gpu, &mut read, &first).unwrap();
        block_on(read.ready(&gpu)).unwrap();
        copied(&gpu, &mut read, &second).unwrap();
        assert_eq!(block_on(read.wait::<u32>(&gpu, &mut Traffic::default())).unwrap(), [2; 4]);
        gpu.check().unwrap();
    }

    /// On a host that nothing may block, a failure that comes while a read is awaited: what was read would be believed.
    #[test]
    fn an_answer_after_a_failure_is_an_error_where_nothing_may_block() {
        let gpu = block_on(Gpu::open_on(&EventLoop, &OpenOptions::default())).unwrap();
        let values = block_on(gpu.upload("values", &[7u32; 4])).unwrap();
        for fails in [false, true] {
            let mut traffic = Traffic::default();
            let mut reading = pin!(gpu.read::<u32>(&values, 4, &mut traffic));
            let mut context = Context::from_waker(Waker::noop());
            assert!(reading.as_mut().poll(&mut context).is_pending(), "nothing has polled the device");
            if fails {
                let other = block_on(gpu.another()).unwrap();
                gpu.write(&block_on(other.upload("there", &[0u32; 4])).unwrap(), &[1u32; 4]);
            }
            let answer = loop {
                gpu.deliver_answers();
                if let Poll::Ready(answer) = reading.as_mut().poll(&mut context) {
                    break answer;
                }
            };
            match answer {
                Ok(read) => assert!(!fails && read == [7; 4]),
                Err(error) => assert!(fails && matches!(error, Error::Device(_)), "{error}"),
            }
        }
    }
}
