//! The device's face for programs, which have a thread to wait on.

use std::sync::Arc;

use super::adapter::summaries;
use super::{AdapterChoice, AdapterSummary, Checks, Gpu, Limits, OpenOptions};
use crate::error::Error;
use crate::host::block_on;
use crate::kernel::Launch;

/// Every adapter of this machine, best first, with what of it may be used; the one that the choice would use is marked.
pub fn adapters(choice: &AdapterChoice, limits: Limits) -> Vec<AdapterSummary> {
    block_on(summaries(choice, limits))
}

impl Gpu {
    /// Opens the adapter of the choice, with its own limits and the optional features that matter.
    ///
    /// # Errors
    ///
    /// [`Error::NoAdapter`] where there is none; [`Error::Device`] where its driver refuses.
    pub fn open(choice: &AdapterChoice) -> Result<Arc<Gpu>, Error> {
        Gpu::open_with(&OpenOptions { adapter: choice.clone(), ..OpenOptions::default() })
    }

    /// Opens a device in another way.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open).
    pub fn open_with(options: &OpenOptions) -> Result<Arc<Gpu>, Error> {
        block_on(Gpu::open_async(options))
    }

    /// Runs one launch by itself: `contents` has the bytes for each of its bindings, in their order, and holds what the
    /// device left there afterwards. For this crate's tests, which check kernels against references. The caller has to know
    /// how large each buffer must be: without checks a kernel trusts that it is.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] where there are not as many contents as bindings, or one is not made of whole words;
    /// [`Error::Kernel`] where it does not compile, [`Error::Option`] where a buffer does not fit, [`Error::Device`]
    /// where the device failed.
    #[doc(hidden)]
    pub fn run_once(&self, launch: &Launch, contents: &mut [Vec<u8>], checks: Checks) -> Result<(), Error> {
        block_on(self.run_launch(launch, contents, checks))
    }
}
