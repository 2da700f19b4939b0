//! Buffers, counted while they are alive.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A buffer in device memory, which counts as the device's until its last clone is dropped.
#[derive(Clone, Debug)]
pub(crate) struct Buffer(Arc<Counted>);

#[derive(Debug)]
struct Counted {
    buffer: wgpu::Buffer,
    tally: Arc<Tally>,
}

/// What a device counts of its buffers.
#[derive(Debug, Default)]
pub(super) struct Tally {
    made: AtomicU64,
    bytes: AtomicU64,
}

/// The buffers of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Buffers that were made since it was opened.
    pub buffers_made: u64,
    /// Bytes of those that are alive.
    pub bytes: u64,
    /// Bytes that wgpu's allocator has given out for this device, on backends where it tells. Dropped buffers are among them until
    /// the device has done the work that uses them, and so are wgpu's own.
    pub allocated_bytes: Option<u64>,
}

/// The size of a buffer that holds `wanted` bytes.
pub(crate) const fn buffer_bytes(wanted: u64) -> u64 {
    if wanted < 16 { 16 } else { wanted.next_multiple_of(4) }
}

impl Buffer {
    pub(super) fn counted(buffer: wgpu::Buffer, tally: &Arc<Tally>) -> Self {
        tally.made.fetch_add(1, Ordering::Relaxed);
        tally.bytes.fetch_add(buffer.size(), Ordering::Relaxed);
        Buffer(Arc::new(Counted { buffer, tally: Arc::clone(tally) }))
    }
}

impl Deref for Buffer {
    type Target = wgpu::Buffer;

    fn deref(&self) -> &wgpu::Buffer {
        &self.0.buffer
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.tally.bytes.fetch_sub(self.buffer.size(), Ordering::Relaxed);
    }
}

impl Tally {
    /// Bytes of the buffers that are alive.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub fn memory(&self, device: &wgpu::Device) -> Memory {
        Memory {
            buffers_made: self.made.load(Ordering::Relaxed),
            bytes: self.bytes(),
            allocated_bytes: device.generate_allocator_report().map(|report| report.total_allocated_bytes),
        }
    }
}
