//! A host as a browser is one, for tests: it has one thread, which nothing may block, and an event loop that wakes futures.

use std::task::Poll;
use std::time::Duration;

use super::{Host, Task, Threads, native};

/// The host. A test polls the device, in place of the event loop.
pub(crate) struct EventLoop;

impl Host for EventLoop {
    fn now(&self) -> Duration {
        native().now()
    }

    fn pause(&self, time: Duration) -> Task<'static, ()> {
        let begun = native().now();
        Box::pin(std::future::poll_fn(move |context| match native().since(begun) < time {
            true => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            false => Poll::Ready(()),
        }))
    }

    fn threads(&self) -> Option<&dyn Threads<'static>> {
        None
    }
}
