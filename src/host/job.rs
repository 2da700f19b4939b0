//! Work that goes on beside the caller.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Host, Thread};

/// Work on a thread of its own; where there are no threads, it is done before [`begin`](Self::begin) returns.
pub(crate) struct Job<T> {
    thread: Option<Box<dyn Thread>>,
    result: Arc<Mutex<Option<T>>>,
}

impl<T: Send + 'static> Job<T> {
    /// Begins the work; the name is its thread's.
    ///
    /// # Errors
    ///
    /// Why the system has no thread.
    pub fn begin(
        host: &'static dyn Host,
        name: &str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> std::io::Result<Self> {
        let result = Arc::new(Mutex::new(None));
        let Some(threads) = host.threads() else {
            return Ok(Job { thread: None, result: Arc::new(Mutex::new(Some(work()))) });
        };
        let to = Arc::clone(&result);
        let work = move || {
            let done = work();
            to.lock().unwrap_or_else(PoisonError::into_inner).replace(done);
        };
        let thread = threads.spawn(name, Box::new(work))?;
        Ok(Job { thread: Some(thread), result })
    }

    /// Whether it has come to its end.
    pub fn is_finished(&self) -> bool {
        self.thread.as_ref().is_none_or(|thread| thread.is_finished())
    }

    /// Waits for its end: what it has come to, or none where it panicked.
    pub fn result(self) -> Option<T> {
        if let Some(thread) = self.thread {
            let _ = thread.join();
        }
        self.result.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
