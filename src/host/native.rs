//! A program of an operating system, which has threads, and may block them: what is awaited of this host blocks the thread that polls it, and so is polled by a
//! face, or by a thread that a face started.

use std::path::Path;
use std::sync::LazyLock;
use std::thread::{Builder, JoinHandle, ScopedJoinHandle, available_parallelism};
use std::time::{Duration, Instant};

pub(crate) use pollster::block_on;

use super::cache::CacheFile;
use super::{Cache, Host, Task, Thread, Threads};

struct Native;

/// The host of a program.
pub(crate) fn native() -> &'static dyn Host {
    &Native
}

impl Host for Native {
    fn now(&self) -> Duration {
        static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
        FIRST.elapsed()
    }

    fn threads(&self) -> Option<&dyn Threads<'static>> {
        Some(self)
    }

    fn cache(&self, path: &Path) -> Option<Box<dyn Cache>> {
        Some(Box::new(CacheFile(path.into())))
    }

    fn help<'a>(&self, tasks: usize, help: &'a (dyn Fn() -> Task<'a, ()> + Sync), own: Task<'a, ()>) -> Task<'a, bool> {
        Box::pin(async move {
            let helpers = available_parallelism().map_or(1, usize::from).min(tasks).saturating_sub(1);
            std::thread::scope(|scope| {
                let spawn = |_| Builder::new().spawn_scoped(scope, || block_on(help())).ok();
                let threads: Vec<_> = (0..helpers).filter_map(spawn).collect();
                block_on(own);
                threads.into_iter().filter_map(|thread| thread.join().err()).count() == 0
            })
        })
    }
}

impl Threads<'static> for Native {
    fn spawn<'a>(
        &'a self,
        name: &str,
        work: Box<dyn FnOnce() + Send + 'static>,
    ) -> std::io::Result<Box<dyn Thread + 'a>> {
        Ok(Box::new(Builder::new().name(name.into()).spawn(work)?))
    }
}

impl Thread for JoinHandle<()> {
    fn is_finished(&self) -> bool {
        JoinHandle::is_finished(self)
    }

    fn join(self: Box<Self>) -> bool {
        JoinHandle::join(*self).is_ok()
    }
}

/// Has `run` start threads that use what the caller has; they have ended when this returns.
#[cfg(not(target_family = "wasm"))]
pub(crate) fn with_threads<'env, T>(run: impl FnOnce(&dyn Threads<'env>) -> T) -> T {
    std::thread::scope(|scope| run(&Scoped(scope)))
}

#[cfg(not(target_family = "wasm"))]
struct Scoped<'scope, 'env: 'scope>(&'scope std::thread::Scope<'scope, 'env>);

#[cfg(not(target_family = "wasm"))]
impl<'env> Threads<'env> for Scoped<'_, 'env> {
    fn spawn<'a>(&'a self, name: &str, work: Box<dyn FnOnce() + Send + 'env>) -> std::io::Result<Box<dyn Thread + 'a>> {
        Ok(Box::new(Builder::new().name(name.into()).spawn_scoped(self.0, work)?))
    }
}

impl Thread for ScopedJoinHandle<'_, ()> {
    fn is_finished(&self) -> bool {
        ScopedJoinHandle::is_finished(self)
    }

    fn join(self: Box<Self>) -> bool {
        ScopedJoinHandle::join(*self).is_ok()
    }
}

/// Blocks this thread for some time.
pub(crate) fn sleep(time: Duration) {
    std::thread::sleep(time);
}

/// Whether this process has no thread but the one that asks. Where the system does not say, it is not known to be alone.
#[cfg(target_os = "linux")]
pub(crate) fn is_only_thread() -> bool {
    std::fs::read_dir("/proc/self/task").is_ok_and(|threads| threads.count() == 1)
}
