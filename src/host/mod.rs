//! What the core asks of the machine around the device: the time, and threads and files for caches, where there are any. The core names none of them elsewhere, so that it
//! also runs where there are no threads and nothing may block, as in a browser: there, things are done in turn.

mod cache;
mod event_loop;
mod job;
mod native;

use std::any::Any;
use std::path::Path;
use std::pin::Pin;
use std::time::Duration;

pub(crate) use event_loop::EventLoop;
pub(crate) use job::Job;
#[cfg(target_os = "linux")]
pub(crate) use native::is_only_thread;
#[cfg(not(target_family = "wasm"))]
pub(crate) use native::with_threads;
pub(crate) use native::{block_on, native, sleep};

/// The host of the system that this was built for: a browser's event loop, or a program's.
pub(crate) fn of_target() -> &'static dyn Host {
    if cfg!(target_family = "wasm") { &EventLoop } else { native() }
}

/// What is done while the caller awaits it.
pub(crate) type Task<'a, T> = Pin<Box<dyn Future<Output = T> + 'a>>;

/// The machine that the core runs on, as far as the core needs it.
pub(crate) trait Host: Sync {
    /// The time since a moment that stays the same.
    fn now(&self) -> Duration;

    /// The time since an earlier moment, which [`now`](Self::now) returned.
    fn since(&self, earlier: Duration) -> Duration {
        self.now().saturating_sub(earlier)
    }

    /// What starts threads that outlive the caller. None where there are no threads: nothing may wait for the device there but a future, which the
    /// event loop wakes.
    fn threads(&self) -> Option<&dyn Threads<'static>>;

    /// The file of this path, which need not be there, as one that saves work. None where there are no files: the work is done again then.
    fn cache(&self, path: &Path) -> Option<Box<dyn Cache>>;

    /// Whether a thread may be blocked until the device answers.
    fn may_block(&self) -> bool {
        self.threads().is_some()
    }

    /// Does `own`, while other threads do `help`: as many as make it at most `tasks` at once, and no more than there are cores. Where a thread
    /// cannot be had, `own` has to do its work. Says whether all came to their ends: a thread that panicked did not.
    fn help<'a>(&self, tasks: usize, help: &'a (dyn Fn() -> Task<'a, ()> + Sync), own: Task<'a, ()>) -> Task<'a, bool> {
        let _ = (tasks, help);
        Box::pin(async {
            own.await;
            true
        })
    }
}

/// A file that saves work: where it is not there, or not whole, the work is done again, and no run fails.
pub(crate) trait Cache: Send + Sync {
    /// Where it is.
    fn path(&self) -> &Path;

    /// What it has; nothing where it is not there, and no bytes where it cannot be read.
    ///
    /// # Errors
    ///
    /// The number of its bytes, where these are more than `most`, or it is no file.
    fn read(&self, most: u64) -> Result<Option<Vec<u8>>, u64>;

    /// Replaces it as a whole; its folder is made where it is not there. A file that cannot be written is a warning, and no error.
    fn write(&self, bytes: &[u8]);

    /// Locks it against additions by other processes, until what is returned is dropped. `None` if another process does not release
    /// the lock, or if the file system has no locks: then an addition may be lost, but no run fails.
    fn lock(&self) -> Option<Box<dyn Any>>;
}

/// What starts threads, which may use all that lives as long as `'env`.
pub(crate) trait Threads<'env> {
    /// Does nothing on this thread for some time.
    fn pause(&self, time: Duration) {
        sleep(time);
    }

    /// Starts a thread.
    ///
    /// # Errors
    ///
    /// Why the system has none.
    fn spawn<'a>(&'a self, name: &str, work: Box<dyn FnOnce() + Send + 'env>) -> std::io::Result<Box<dyn Thread + 'a>>;
}

/// A thread that was started.
pub(crate) trait Thread {
    /// Whether it has come to its end.
    fn is_finished(&self) -> bool;

    /// Waits for its end, and says whether it came there: if not, it panicked.
    fn join(self: Box<Self>) -> bool;
}
