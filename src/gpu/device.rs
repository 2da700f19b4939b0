//! An open device, with every way that it can fail turned into an error.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use super::buffer::{Buffer, Memory, Tally, buffer_bytes};
use super::faults::Faults;
use super::pipelines::{Pipeline, PipelineCache};
use super::{AdapterChoice, AdapterSummary, Limits, adapter};
use crate::error::Error;
use crate::host::{Host, of_target};

/// Commands being recorded.
pub(crate) type Encoder = wgpu::CommandEncoder;

/// Counts of what the host asked of the device.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Command buffers handed over.
    pub submissions: u64,
    /// Reads that the host waited for.
    pub blocking_reads: u64,
}

/// Which device to open, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OpenOptions {
    /// Of which adapter.
    pub adapter: AdapterChoice,
    /// Of the adapters that fit and are of the kind and backend of the first, the number of the one to open, counted from 0; after the last, the first follows.
    pub number: usize,
    /// What of the adapter it may use.
    pub limits: Limits,
    /// A folder where compiled kernels are kept for the next run, on the adapters and drivers that wgpu can ask for them. Only trusted
    /// users should be able to write there: the driver believes what it finds. A cache that cannot be read or written is not used.
    pub cache: Option<PathBuf>,
}

/// An open device. One can serve many trainers, one after another or side by side.
pub struct Gpu {
    pub(super) device: wgpu::Device,
    pub(super) queue: wgpu::Queue,
    pub(super) pipelines: Mutex<HashMap<String, Arc<Pipeline>>>,
    pub(super) pipeline_cache: Option<PipelineCache>,
    pub(super) faults: Faults,
    pub(super) tally: Arc<Tally>,
    pub(super) host: &'static dyn Host,
    handle: wgpu::Adapter,
    limits: Limits,
    adapter: AdapterSummary,
    /// Where compiled kernels are kept for the next run, if anywhere.
    cache: Option<PathBuf>,
    failure: Arc<Mutex<Option<String>>>,
}

impl std::fmt::Debug for Gpu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gpu").field("adapter", &self.adapter).finish_non_exhaustive()
    }
}

impl Gpu {
    /// [`open_with`](Self::open_with), awaited: in a browser nothing is blocked, as its event loop brings the device's answers. Elsewhere, polling blocks the
    /// thread until the device has answered.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub async fn open_async(options: &OpenOptions) -> Result<Arc<Gpu>, Error> {
        Gpu::open_on(of_target(), options).await
    }

    /// [`open_async`](Self::open_async) on this host.
    pub(crate) async fn open_on(host: &'static dyn Host, options: &OpenOptions) -> Result<Arc<Gpu>, Error> {
        let handle = adapter::pick(&options.adapter, options.number).await?;
        Ok(Arc::new(Gpu::on(handle, options.limits, host).await?.keeping_pipelines(options.cache.clone())))
    }

    /// Another device of the same adapter.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the driver refuses.
    pub(crate) async fn another(&self) -> Result<Gpu, Error> {
        Gpu::on(self.handle.clone(), self.limits, self.host).await
    }

    /// A device in place of this one, which has failed: of the same adapter, with the same cache. Where the adapter is lost as well, it is
    /// looked for again, by its name and backend.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the driver refuses.
    pub(crate) async fn replacement(&self) -> Result<Gpu, Error> {
        if self.faults.refuses_another() {
            return Err(Error::Device(format!("{} cannot be opened: it is refused on purpose", self.adapter.name)));
        }
        let gpu = match self.another().await {
            Ok(gpu) if !self.faults.refuses_same_adapter() => gpu,
            refused => match adapter::again(&self.handle.get_info()).await {
                Some(handle) => Gpu::on(handle, self.limits, self.host).await?,
                None => refused?,
            },
        };
        Ok(Gpu { faults: self.faults.of_next(), ..gpu.keeping_pipelines(self.cache.clone()) })
    }

    /// With a folder where compiled kernels are kept for the next run.
    fn keeping_pipelines(self, cache: Option<PathBuf>) -> Self {
        let open = |folder: &PathBuf| PipelineCache::open(&self.device, &self.handle.get_info(), folder, self.host);
        let pipeline_cache = cache.as_ref().and_then(open);
        Gpu { pipeline_cache, cache, ..self }
    }

    /// A device of this adapter.
    async fn on(handle: wgpu::Adapter, limits: Limits, host: &'static dyn Host) -> Result<Gpu, Error> {
        let summary = AdapterSummary::of(&handle, limits, true);
        let (device, queue) = handle
            .request_device(&wgpu::DeviceDescriptor {
                label: Some("wgrad"),
                required_features: limits.features(&handle),
                required_limits: limits.of(&handle),
                ..Default::default()
            })
            .await
            .map_err(|error| Error::Device(format!("{} cannot be opened: {error}", summary.name)))?;
        tracing::debug!(adapter = summary.name, driver = summary.driver, "opened");

        // wgpu's own handlers abort the process; ours keep the first failure, and a loss, for `check`.
        let failure = Arc::new(Mutex::new(None::<String>));
        let first = Arc::clone(&failure);
        device.on_uncaptured_error(Arc::new(move |error: wgpu::Error| {
            first.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert(error.to_string());
        }));
        // What fails because the device is lost may be known before the loss is.
        let lost = Arc::clone(&failure);
        device.set_device_lost_callback(move |reason, message| {
            let words = format!("it was lost ({reason:?}): {message}");
            let words = words.trim_end_matches(": ").to_string();
            let before = lost.lock().unwrap_or_else(PoisonError::into_inner).replace(words);
            tracing::debug!(before, "a device is lost");
        });

        Ok(Gpu {
            device,
            queue,
            pipelines: Mutex::default(),
            pipeline_cache: None,
            faults: Faults::default(),
            tally: Arc::default(),
            host,
            handle,
            limits,
            adapter: summary,
            cache: None,
            failure,
        })
    }

    /// The adapter behind the device.
    pub fn adapter(&self) -> &AdapterSummary {
        &self.adapter
    }

    /// The machine around it.
    pub(crate) fn host(&self) -> &'static dyn Host {
        self.host
    }

    /// What its buffers take now.
    pub fn memory(&self) -> Memory {
        self.tally.memory(&self.device)
    }

    /// Checks that nothing has failed so far. After a loss the device goes on accepting work and does none of it, so this is
    /// called before any result is believed.
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

    /// Checks that the device has run the steps that it was handed: `counted` is its own counter, which its kernels move on. A driver
    /// that executes nothing, or leaves work out, reports no failure.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] with both numbers.
    pub(crate) fn check_steps(&self, counted: u32, handed_over: u64) -> Result<(), Error> {
        if u64::from(counted) == handed_over {
            return Ok(());
        }
        Err(self.unexecuted(&format!("its step counter says {counted} after {handed_over} steps")))
    }

    /// The error for work that was not done though it was said to be, as `seen` shows.
    pub(crate) fn unexecuted(&self, seen: &str) -> Error {
        Error::Device(format!(
            "{seen}: the driver of {} ({}) did not execute what it was handed, and reported no failure; update the driver, or use another \
             adapter (wgrad adapters lists them; wgrad selftest checks one)",
            self.adapter.name, self.adapter.driver
        ))
    }

    /// Loses the device on purpose: to try how a program takes it, and that a run [goes on](crate::Checkpointing::device_retries). It has no
    /// other use. Every later use of the device fails.
    pub fn lose(&self) {
        self.device.destroy();
    }

    /// Checks that a buffer of this size can be bound.
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
    /// [`Error::Option`] where it is larger than the device can bind; [`Error::OutOfMemory`].
    pub(crate) async fn zeros(&self, name: &str, bytes: u64) -> Result<Buffer, Error> {
        self.check_size(name, bytes)?;
        let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_SRC | wgpu::BufferUsages::COPY_DST;
        self.buffer(name, bytes, usage, false).await
    }

    /// A buffer for some use, of zeros.
    pub(super) async fn buffer(
        &self,
        name: &str,
        bytes: u64,
        usage: wgpu::BufferUsages,
        mapped: bool,
    ) -> Result<Buffer, Error> {
        let (size, most) = (buffer_bytes(bytes), self.adapter.max_buffer_bytes);
        if size > most {
            return Err(Error::Option(format!(
                "{name} takes {size} bytes in one buffer, and {} has buffers of at most {most}",
                self.adapter.name
            )));
        }
        let held = self.tally.bytes();
        let refused = |reason| Err(Error::OutOfMemory { what: name.into(), bytes: size, held, in_all: None, reason });
        if self.faults.refuses(name) {
            return refused("it is refused on purpose".into());
        }
        let memory = self.device.push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let descriptor = wgpu::BufferDescriptor { label: Some(name), size, usage, mapped_at_creation: mapped };
        let buffer = self.device.create_buffer(&descriptor);
        match memory.pop().await {
            Some(error) => refused(error.to_string()),
            None => Ok(Buffer::counted(buffer, &self.tally)),
        }
    }

    /// A buffer with content.
    ///
    /// # Errors
    ///
    /// As [`zeros`](Self::zeros).
    pub(crate) async fn upload<T: bytemuck::NoUninit>(&self, name: &str, content: &[T]) -> Result<Buffer, Error> {
        let buffer = self.zeros(name, size_of_val(content) as u64).await?;
        self.write(&buffer, content);
        Ok(buffer)
    }

    /// Replaces the beginning of a buffer, before the next submission runs. `content` has whole words.
    pub(crate) fn write<T: bytemuck::NoUninit>(&self, buffer: &Buffer, content: &[T]) {
        self.write_at(buffer, 0, content);
    }

    /// Replaces a part of a buffer, from a byte on, before the next submission runs.
    pub(crate) fn write_at<T: bytemuck::NoUninit>(&self, buffer: &Buffer, byte: u64, content: &[T]) {
        self.queue.write_buffer(buffer, byte, bytemuck::cast_slice(content));
    }
}

impl Gpu {
    /// Loses this device with its n-th submission from now, n the first number, and each device that replaces another with its own; 0: not at all. For tests.
    #[doc(hidden)]
    pub fn lose_with(&self, submissions: &[u64]) {
        *self.faults.losses.lock().unwrap_or_else(PoisonError::into_inner) = submissions.to_vec();
    }

    /// From its n-th submission from now on, executes none of them and says that they are done; 0: it executes all. For tests.
    #[doc(hidden)]
    pub fn idle_with(&self, submission: u64) {
        // Counting ends at 1, which is the state of executing nothing.
        *self.faults.idle.lock().unwrap_or_else(PoisonError::into_inner) =
            if submission > 0 { submission + 1 } else { 0 };
    }

    /// Has no memory for a buffer of this name the next `times` times, here and on the devices that replace this one; or does not open
    /// `"another device"`, or not of `"the same adapter"` as long as that is not looked for again. For tests.
    #[doc(hidden)]
    pub fn refuse(&self, name: &str, times: u64) {
        self.faults.refused.lock().unwrap_or_else(PoisonError::into_inner).insert(name.into(), times);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::block_on;

    /// Memory of another device of the adapter that is read or written as this one's, or a panic inside wgpu.
    #[test]
    fn another_devices_buffers_are_errors() {
        let other = Gpu::open(&AdapterChoice::Auto).unwrap();
        let [writing, reading] = [(); 2].map(|()| block_on(other.another()).unwrap());
        let there = block_on(other.upload("there", &[2u32; 4])).unwrap();
        writing.write(&there, &[3u32; 4]);
        assert!(matches!(writing.check(), Err(Error::Device(_))));
        let mut traffic = Traffic::default();
        assert!(matches!(block_on(reading.read::<u32>(&there, 4, &mut traffic)), Err(Error::Device(_))));
        assert_eq!(block_on(other.read::<u32>(&there, 4, &mut traffic)).unwrap(), [2; 4]);
    }
}
