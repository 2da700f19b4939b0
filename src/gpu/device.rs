//! An open device, with every way that it can fail turned into an error.

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::pipelines::PipelineCache;
use super::program::Pipeline;
use super::{AdapterChoice, AdapterSummary, adapter};
use crate::Error;

/// A buffer in device memory.
pub(crate) type Buffer = wgpu::Buffer;
/// Commands being recorded.
pub(crate) type Encoder = wgpu::CommandEncoder;
/// Work handed to the device, to be waited for.
pub(crate) type Submission = wgpu::SubmissionIndex;

/// What the host asked of the device, counted where it asks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Command buffers handed over.
    pub submissions: u64,
    /// Reads that the host waited for.
    pub blocking_reads: u64,
}

/// An open device. One can serve many trainers, one after another or side by side.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) pipelines: Mutex<HashMap<String, Arc<Pipeline>>>,
    pub(super) pipeline_cache: Option<PipelineCache>,
    handle: wgpu::Adapter,
    adapter: AdapterSummary,
    failure: Arc<Mutex<Option<String>>>,
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gpu").field("adapter", &self.adapter).finish_non_exhaustive()
    }
}

impl Gpu {
    /// Opens the adapter of the choice, with its own limits and the optional features that matter.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`] where there is none; [`Error::Device`] where its driver refuses.
    pub fn open(choice: &AdapterChoice) -> Result<Arc<Gpu>, Error> {
        pollster::block_on(Gpu::open_async(choice, None))
    }

    /// [`open`](Self::open), with a folder where compiled kernels are kept for the next run, on the adapters and drivers that wgpu can ask for
    /// them. Nobody should be able to write there who is not trusted: the driver believes what it finds.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); a cache that cannot be read or written is none.
    pub fn open_with_cache(choice: &AdapterChoice, folder: &Path) -> Result<Arc<Gpu>, Error> {
        pollster::block_on(Gpu::open_async(choice, Some(folder)))
    }

    /// [`open`](Self::open) or [`open_with_cache`](Self::open_with_cache), awaited.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_async(choice: &AdapterChoice, cache: Option<&Path>) -> Result<Arc<Gpu>, Error> {
        Gpu::on(adapter::pick(choice).await?, cache).await.map(Arc::new)
    }

    /// Another device of the same adapter.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the driver refuses.
    pub(crate) async fn another(&self) -> Result<Gpu, Error> {
        Gpu::on(self.handle.clone(), None).await
    }

    /// A device of this adapter.
    async fn on(handle: wgpu::Adapter, cache: Option<&Path>) -> Result<Gpu, Error> {
        let summary = AdapterSummary::of(&handle, true);
        let (device, queue) = handle
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("wgrad"),
                required_features: adapter::wanted_features(&handle),
                required_limits: handle.limits(),
                ..Default::default()
            })
            .await
            .map_err(|error| Error::Device(format!("{} cannot be opened: {error}", summary.name)))?;
        tracing::debug!(adapter = summary.name, driver = summary.driver, "opened");

        // wgpu's own handlers abort the process; ours keep the first failure for `check`.
        let failure = Arc::new(Mutex::new(None));
        let keep = |failure: &Arc<Mutex<Option<String>>>| {
            let failure = Arc::clone(failure);
            move |message: String| {
                failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(message);
            }
        };
        let on_error = keep(&failure);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| on_error(error.to_string())));
        let on_loss = keep(&failure);
        device.set_device_lost_callback(move |reason, message| on_loss(format!("lost ({reason:?}): {message}")));

        let pipeline_cache = cache.and_then(|folder| PipelineCache::open(&device, &handle.get_info(), folder));
        Ok(Gpu { device, queue, pipelines: Mutex::default(), pipeline_cache, handle, adapter: summary, failure })
    }

    /// The adapter behind the device.
    pub fn adapter(&self) -> &AdapterSummary {
        &self.adapter
    }

    /// That nothing has failed so far. After a loss the device goes on accepting work and does none of it, so this is
    /// asked before any result is believed.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] with the first failure.
    pub fn check(&self) -> Result<(), Error> {
        match &*self.failure.lock().unwrap_or_else(PoisonError::into_inner) {
            Some(message) => Err(Error::Device(message.clone())),
            None => Ok(()),
        }
    }

    /// Loses the device on purpose, so that a program can try how it takes it. Whatever is asked of it next fails.
    pub fn lose(&self) {
        self.device.destroy();
    }

    /// That a buffer of this size can be bound.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] with the number that would fit.
    pub(crate) fn check_size(&self, name: &str, bytes: u64) -> Result<(), Error> {
        let most = self.adapter.max_binding_bytes.min(self.adapter.max_buffer_bytes);
        if bytes > most {
            return Err(Error::Option(format!(
                "{name} takes {bytes} bytes in one buffer, and {} can bind at most {most}",
                self.adapter.name
            )));
        }
        Ok(())
    }

    /// A buffer of zeros.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] where it is larger than the device can bind; [`Error::Device`] where memory has run out.
    pub(crate) fn zeros(&self, name: &str, bytes: u64) -> Result<Buffer, Error> {
        self.check_size(name, bytes)?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        self.buffer(name, bytes, usage, false)
    }

    /// A buffer for some use, of zeros.
    pub(super) fn buffer(
        &self,
        name: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
        mapped: bool,
    ) -> Result<Buffer, Error> {
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let buffer = self.device.create_buffer(&wgpu::BufferDescriptor {
            label: Some(name),
            size: bytes.max(16).next_multiple_of(4),
            usage,
            mapped_at_creation: mapped,
        });
        match pollster::block_on(memory.pop()) {
            Some(error) => Err(Error::Device(format!("{name} ({bytes} bytes) cannot be allocated: {error}"))),
            None => Ok(buffer),
        }
    }

    /// A buffer with content.
    ///
    /// # Errors
    ///
    /// As [`zeros`](Self::zeros).
    pub(crate) fn upload<T: bytemuck::NoUninit>(&self, name: &str, content: &[T]) -> Result<Buffer, Error> {
        let buffer = self.zeros(name, size_of_val(content) as u64)?;
        self.write(&buffer, content);
        Ok(buffer)
    }

    /// Replaces the beginning of a buffer, before whatever is submitted next. `content` has whole words.
    pub(crate) fn write<T: bytemuck::NoUninit>(&self, buffer: &Buffer, content: &[T]) {
        self.write_at(buffer, 0, content);
    }

    /// The same, from a byte on.
    pub(crate) fn write_at<T: bytemuck::NoUninit>(&self, buffer: &Buffer, byte: u64, content: &[T]) {
        self.queue.write_buffer(buffer, byte, bytemuck::cast_slice(content));
    }

    /// Has whatever was asked of the device and has arrived told to those who asked. Never waits.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the device failed meanwhile.
    pub(crate) fn listen(&self) -> Result<(), Error> {
        self.device.poll(wgpu::PollType::Poll).map_err(|error| Error::Device(error.to_string()))?;
        self.check()
    }

    /// Records commands and hands them to the device, which runs them in order.
    pub(crate) fn submit(&self, traffic: &mut Traffic, record: impl FnOnce(&mut wgpu::CommandEncoder)) -> Submission {
        traffic.submissions += 1;
        let mut encoder = self.device.create_command_encoder(&Default::default());
        record(&mut encoder);
        self.queue.submit([encoder.finish()])
    }

    /// Waits until the device has finished a submission, so that the host stays only so far ahead.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the device failed meanwhile.
    pub(crate) fn wait_for(&self, submission: Submission) -> Result<(), Error> {
        let wait = wgpu::PollType::Wait { submission_index: Some(submission), timeout: None };
        self.device.poll(wait).map_err(|error| Error::Device(error.to_string()))?;
        self.check()
    }

    /// Whether the device finishes all that it was handed so soon; if not, it goes on. Asked again and again: a wait with a time limit
    /// panics in wgpu 30 where another thread sees the queue empty at the moment that it ends.
    pub(super) fn is_done_within(&self, time: Duration) -> bool {
        let done = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&done);
        self.queue.on_submitted_work_done(move || told.store(true, Ordering::Release));
        let begun = Instant::now();
        while begun.elapsed() < time && self.device.poll(wgpu::PollType::Poll).is_ok() {
            if done.load(Ordering::Acquire) {
                return true;
            }
            std::thread::sleep(time / 100);
        }
        false
    }
}
