//! Work for the device: handing it over, and waiting for it. A program has this thread wait in the driver; where no thread may be blocked, the event loop brings the device's answers, and
//! each wakes the future that waits for it.

use std::time::Duration;

use futures_intrusive::channel::shared::{OneshotReceiver, oneshot_channel};

use super::{Gpu, Traffic};
use crate::error::Error;
use crate::host::Threads;

/// Work that was handed to the device.
pub(crate) struct Submission {
    index: wgpu::SubmissionIndex,
    /// Where no thread may be blocked: what says that the device has finished.
    done: Option<OneshotReceiver<()>>,
}

impl Gpu {
    /// Records commands and hands them to the device, which runs them in order.
    pub(crate) fn submit(&self, traffic: &mut Traffic, record: impl FnOnce(&mut wgpu::CommandEncoder)) -> Submission {
        if self.faults.is_lost_now() {
            self.lose();
        }
        self.hand_over(traffic, record)
    }

    /// [`submit`](Self::submit) for work that is no part of a run, which faults do not count.
    pub(super) fn hand_over(
        &self,
        traffic: &mut Traffic,
        record: impl FnOnce(&mut wgpu::CommandEncoder),
    ) -> Submission {
        traffic.submissions += 1;
        let mut encoder = self.device.create_command_encoder(&Default::default());
        record(&mut encoder);
        if self.faults.is_idle_now() {
            encoder = self.device.create_command_encoder(&Default::default());
        }
        let index = self.queue.submit([encoder.finish()]);
        Submission { index, done: (!self.host.may_block()).then(|| self.on_all_done()) }
    }

    /// What says that the device has finished all that it was handed until now.
    fn on_all_done(&self) -> OneshotReceiver<()> {
        let (sender, receiver) = oneshot_channel();
        // The receiver may have been dropped: nothing waits for the answer then.
        self.queue.on_submitted_work_done(move || drop(sender.send(())));
        receiver
    }

    /// Waits until the device has finished a submission, which bounds how far the host is ahead.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the device failed meanwhile.
    pub(crate) async fn wait_for(&self, submission: Submission) -> Result<(), Error> {
        let Submission { index, done } = submission;
        match done {
            Some(done) => _ = done.receive().await,
            None => self.poll(wgpu::PollType::Wait { submission_index: Some(index), timeout: None })?,
        }
        self.check()
    }

    /// [`check`](Self::check), once all that the device was handed is done or given up: some drivers report a loss only then.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub(crate) async fn settled(&self) -> Result<(), Error> {
        let waited = self.poll(wgpu::PollType::wait_indefinitely());
        if !self.host.may_block() {
            self.on_all_done().receive().await;
        }
        self.check()?;
        waited
    }

    /// What the device answers, once all that it was handed is done. None where the answer was lost. A program has the answer when the driver has
    /// been waited for; from an event loop it comes while it is awaited, as a failure may: so nothing is believed before a check that follows.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the device failed meanwhile.
    pub(crate) async fn answer<T>(&self, answer: Option<&OneshotReceiver<T>>) -> Result<Option<T>, Error> {
        self.poll(wgpu::PollType::wait_indefinitely())?;
        // A device that has failed may leave out the answer.
        self.check()?;
        let answer = match answer {
            Some(answer) => answer.receive().await,
            None => None,
        };
        self.check().map(|()| answer)
    }

    /// Delivers the answers of the device that have arrived to their callbacks. Never waits.
    ///
    /// # Errors
    ///
    /// [`Error::Device`] where the device failed meanwhile.
    pub(crate) fn listen(&self) -> Result<(), Error> {
        self.poll(wgpu::PollType::Poll)?;
        self.check()
    }

    /// Whether the device finishes all that it was handed within this time; if not, the work goes on. This blocks the thread, and polls: a wait with
    /// a time limit panics in wgpu 30 where another thread sees the queue empty at the moment that it ends.
    pub(super) fn is_done_within(&self, threads: &dyn Threads<'static>, time: Duration) -> bool {
        let done = self.on_all_done();
        let begun = self.host.now();
        while self.host.since(begun) < time && self.poll(wgpu::PollType::Poll).is_ok() {
            if now(&done).is_some() {
                return true;
            }
            threads.pause(time / 100);
        }
        false
    }

    /// What a host's event loop does, where it has one.
    #[cfg(test)]
    pub(crate) fn deliver_answers(&self) {
        let _ = self.device.poll(wgpu::PollType::Poll);
    }

    fn poll(&self, how: wgpu::PollType) -> Result<(), Error> {
        if !self.host.may_block() {
            // The event loop does.
            return Ok(());
        }
        self.device.poll(how).map(drop).map_err(|error| Error::Device(error.to_string()))
    }
}

/// What has been sent by now, if anything has.
pub(super) fn now<T>(receiver: &OneshotReceiver<T>) -> Option<Option<T>> {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    // The channel has no other way to ask without waiting.
    match pin!(receiver.receive()).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(sent) => Some(sent),
        Poll::Pending => None,
    }
}
