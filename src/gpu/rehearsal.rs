//! Kernels compiled before they are needed, where the driver does so only when a kernel first runs.
//!
//! Lavapipe hands a kernel to LLVM at its first dispatch, on the one thread that runs a device's work: for the seed network's three kernels one
//! after another, 2.3 s. What was compiled is kept in the driver's cache on disk, which all devices share. So on software adapters kernels are
//! dispatched over no workgroups first, on as many devices as there are cores: 1.2 s on two of them. Where the cache has them already the
//! first answers at once, and no other device is opened.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::adapter::AdapterKind;
use super::{Checks, Gpu, Submission, Traffic};
use crate::error::Error;
use crate::host::Task;
use crate::kernel::Launch;

/// A kernel that the driver makes in less time was compiled before.
const KNOWN: Duration = Duration::from_millis(40);

/// Bytes of a buffer that no invocation will touch: at least as many as the largest struct that a kernel declares.
const NOTHING: u64 = 256;

impl Gpu {
    /// Has the driver compile these different kernels, the longest of which is the first, all at once.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where this device failed. What fails on another is compiled when it first runs on this one.
    pub(super) async fn rehearse(&self, launches: &[&Launch], checks: Checks) -> Result<(), Error> {
        if self.adapter().kind != AdapterKind::Software || launches.len() < 2 || !keeps_kernels() {
            return Ok(());
        }
        // Where there are no threads, nothing would be compiled beside anything else.
        let Some(threads) = self.host.threads() else { return Ok(()) };
        let first = self.run_empty(launches[0], checks).await?;
        if self.is_done_within(threads, KNOWN) {
            return self.check();
        }
        let next = AtomicUsize::new(1);
        let take = || launches.get(next.fetch_add(1, Ordering::Relaxed));
        let help = || -> Task<'_, ()> {
            Box::pin(async {
                // What fails there, and a driver that crashes there, is no harm to this device.
                let _ = self.rehearse_elsewhere(&take, checks).await;
            })
        };
        let mut done = Ok(());
        let own = async {
            let mut running = first;
            done = loop {
                if let Err(error) = self.wait_for(running).await {
                    break Err(error);
                }
                let Some(launch) = take() else { break Ok(()) };
                running = match self.run_empty(launch, checks).await {
                    Ok(running) => running,
                    Err(error) => break Err(error),
                };
            };
        };
        self.host.help(launches.len(), &help, Box::pin(own)).await;
        done
    }

    /// Runs what `take` has on another device of the adapter.
    async fn rehearse_elsewhere<'a>(
        &self,
        take: &(dyn Fn() -> Option<&'a &'a Launch> + Sync),
        checks: Checks,
    ) -> Result<(), Error> {
        let other = self.another().await?;
        while let Some(launch) = take() {
            other.wait_for(other.run_empty(launch, checks).await?).await?;
        }
        Ok(())
    }

    /// Dispatches a kernel over no workgroups: it is compiled, and touches nothing.
    async fn run_empty(&self, launch: &Launch, checks: Checks) -> Result<Submission, Error> {
        let mut buffers = Vec::new();
        for _ in &launch.bindings {
            buffers.push(self.zeros("nothing", NOTHING).await?);
        }
        let mut call = self.call(launch, &buffers.iter().collect::<Vec<_>>(), checks).await?;
        call.grid = [0, 1];
        Ok(self.hand_over(&mut Traffic::default(), |encoder| {
            call.record(&mut encoder.begin_compute_pass(&Default::default()))
        }))
    }
}

/// Whether Mesa keeps compiled kernels in its cache. Its users can forbid that, and then kernels compiled on other devices are of no use.
fn keeps_kernels() -> bool {
    let forbidden = |word: String| ["1", "true", "yes", "y"].contains(&word.to_lowercase().as_str());
    !std::env::var("MESA_SHADER_CACHE_DISABLE").is_ok_and(forbidden)
}
