//! Kernels compiled before they are needed, where the driver does so only when a kernel first runs.
//!
//! Lavapipe hands a kernel to LLVM at its first dispatch, on the one thread that runs a device's work: for the seed network's three kernels one
//! after another, 2.3 s. What was compiled is kept in the driver's cache on disk, which all devices share. So on software adapters kernels are
//! dispatched over no workgroups first, on as many devices as there are cores: 1.2 s on two of them. Where the cache has them already the
//! first answers at once, and no other device is opened.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use super::adapter::AdapterKind;
use super::{Buffer, Checks, Gpu, Submission, Traffic};
use crate::error::Error;
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
    pub(super) fn rehearse(&self, launches: &[&Launch], checks: Checks) -> Result<(), Error> {
        if self.adapter().kind != AdapterKind::Software || launches.len() < 2 || !keeps_kernels() {
            return Ok(());
        }
        let mut running = self.run_empty(launches[0], checks)?;
        if self.is_done_within(KNOWN) {
            return self.check();
        }
        let next = AtomicUsize::new(1);
        let take = || launches.get(next.fetch_add(1, Ordering::Relaxed));
        let help = || -> Result<(), Error> {
            let other = pollster::block_on(self.another())?;
            while let Some(launch) = take() {
                other.wait_for(other.run_empty(launch, checks)?)?;
            }
            Ok(())
        };
        let helpers = std::thread::available_parallelism().map_or(1, usize::from).min(launches.len()) - 1;
        std::thread::scope(|scope| {
            // Where a thread cannot be had, this one does its work.
            let spawn = |_| std::thread::Builder::new().spawn_scoped(scope, help).ok();
            let threads: Vec<_> = (0..helpers).filter_map(spawn).collect();
            let mut own = || loop {
                self.wait_for(running.clone())?;
                let Some(launch) = take() else { return Ok(()) };
                running = self.run_empty(launch, checks)?;
            };
            let done = own();
            // A driver that crashes on another device is no harm to this one.
            threads.into_iter().for_each(|thread| drop(thread.join()));
            done
        })
    }

    /// Dispatches a kernel over no workgroups: it is compiled, and touches nothing.
    fn run_empty(&self, launch: &Launch, checks: Checks) -> Result<Submission, Error> {
        let buffers: Vec<Buffer> =
            launch.bindings.iter().map(|_| self.zeros("nothing", NOTHING)).collect::<Result<_, _>>()?;
        let mut call = self.call(launch, &buffers.iter().collect::<Vec<_>>(), checks)?;
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
