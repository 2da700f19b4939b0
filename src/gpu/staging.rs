//! Host memory that the device copies from: one thread fills a block while the device works on what came before.

use super::{Buffer, Encoder, Gpu};
use crate::error::Error;

/// A block of such memory, which the host may write to.
pub(crate) struct Staging {
    buffer: Buffer,
}

impl Gpu {
    /// A block of `bytes` bytes.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfMemory`].
    pub(crate) async fn staging(&self, name: &str, bytes: u64) -> Result<Staging, Error> {
        let usage = wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC;
        self.buffer(name, bytes, usage, true).await.map(|buffer| Staging { buffer })
    }
}

impl Staging {
    /// Writes from this byte on, a multiple of 8; what is written counts as whole words.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the device was lost.
    pub(crate) fn write(&self, at: u64, content: &[u8]) -> Result<(), Error> {
        let failed = |error: wgpu::MapRangeError| Error::Device(format!("a block cannot be written: {error}"));
        let (whole, rest) = content.split_at(content.len() / 4 * 4);
        if !whole.is_empty() {
            let mut view = self.buffer.get_mapped_range_mut(at..at + whole.len() as u64).map_err(failed)?;
            view.copy_from_slice(whole);
        }
        if !rest.is_empty() {
            let mut word = [0; 4];
            word[..rest.len()].copy_from_slice(rest);
            let at = at + whole.len() as u64;
            self.buffer.get_mapped_range_mut(at..at + 4).map_err(failed)?.copy_from_slice(&word);
        }
        Ok(())
    }

    /// Records copies: from which byte, to the beginning of which buffer, how many bytes. The host cannot write to it from now on.
    pub(crate) fn copy(&self, encoder: &mut Encoder, parts: &[(u64, &Buffer, u64)]) {
        self.buffer.unmap();
        for &(from, to, bytes) in parts {
            encoder.copy_buffer_to_buffer(&self.buffer, from, to, 0, bytes.next_multiple_of(4));
        }
    }

    /// Gives the block to `taker` when the submitted copies are done, and drops it where the device was lost. Returns at once.
    pub(crate) fn give_back(self, taker: impl FnOnce(Staging) + Send + 'static) {
        let buffer = self.buffer.clone();
        self.buffer.map_async(wgpu::MapMode::Write, .., move |result| {
            if result.is_ok() {
                taker(Staging { buffer });
            }
        });
    }
}
