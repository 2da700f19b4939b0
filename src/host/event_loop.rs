//! A host as a browser is one: it has one thread, which nothing may block, and an event loop that wakes futures.

use std::path::Path;
use std::sync::LazyLock;
use std::time::Duration;

#[cfg(not(target_family = "wasm"))]
use std::time::Instant;
#[cfg(target_family = "wasm")]
use web_time::Instant;

use super::{Cache, Host, Threads};

/// The host. Outside of a browser, a test polls the device in place of the event loop.
pub(crate) struct EventLoop;

impl Host for EventLoop {
    fn now(&self) -> Duration {
        static FIRST: LazyLock<Instant> = LazyLock::new(Instant::now);
        FIRST.elapsed()
    }

    fn threads(&self) -> Option<&dyn Threads<'static>> {
        None
    }

    fn cache(&self, _: &Path) -> Option<Box<dyn Cache>> {
        None
    }
}
