//! Makes checks on several threads, each with a device of its own, and fails checks that hang.

use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::check::{Case, Check, Outcome};
use crate::error::Error;
use crate::gpu::Gpu;

/// The number of hanging checks after which no other is begun: each takes the whole time limit, and leaves a thread behind.
const MOST_LATE: usize = 3;

/// A thread, with the case that it is at.
struct Worker {
    orders: mpsc::Sender<usize>,
    thread: JoinHandle<()>,
    at: usize,
    since: Instant,
}

/// What a worker, by its number, found; or that it has no device.
type Found = (usize, Result<Check, Error>);

/// Opens a worker's device.
type Open = dyn Fn() -> Result<Arc<Gpu>, Error> + Send + Sync;

/// Makes the checks of the cases on several threads, with devices from `open`, and returns those made, in the order of the cases. `on_check` is called
/// with each, and may end the selftest. A check that takes longer than `timeout` has failed: its thread, which cannot be ended, is left behind, and
/// another takes its place.
///
/// # Errors
///
/// [`Error::Device`] where no device can be had.
pub(super) fn make_all(
    cases: Vec<Case>,
    workers: usize,
    timeout: Duration,
    open: impl Fn() -> Result<Arc<Gpu>, Error> + Send + Sync + 'static,
    mut on_check: impl FnMut(&Check) -> ControlFlow<()>,
) -> Result<Vec<Check>, Error> {
    let (sender, found) = mpsc::channel();
    let next = 0..cases.len();
    let (cases, open, busy) = (Arc::new(cases), Arc::new(open), HashMap::new());
    let mut all = Workers { cases, open, sender, found, timeout, next, busy, started: 0, late: 0, failed: Ok(()) };
    let mut checks: Vec<(usize, Check)> = vec![];
    loop {
        all.start(workers)?;
        let Some(first) = all.busy.values().map(|worker| worker.since).min() else { break };
        let Some((at, check)) = all.next_check(first) else { continue };
        if on_check(&check).is_break() {
            all.next = 0..0;
        }
        checks.push((at, check));
    }
    all.failed?;
    checks.sort_by_key(|&(at, _)| at);
    Ok(checks.into_iter().map(|(_, check)| check).collect())
}

/// The workers, and what is left to do.
struct Workers {
    cases: Arc<Vec<Case>>,
    open: Arc<Open>,
    sender: mpsc::Sender<Found>,
    found: mpsc::Receiver<Found>,
    timeout: Duration,
    /// The cases that no worker was given yet.
    next: Range<usize>,
    busy: HashMap<usize, Worker>,
    /// The number of workers that were ever started, which numbers them.
    started: usize,
    /// The number of checks that took too long.
    late: usize,
    /// Whether a worker had no device.
    failed: Result<(), Error>,
}

impl Workers {
    /// Starts workers until there are `most`, or nothing is left to do.
    fn start(&mut self, most: usize) -> Result<(), Error> {
        while self.busy.len() < most
            && let Some(at) = self.next.next()
        {
            let (orders, ordered) = mpsc::channel();
            let (number, cases, open, sender) =
                (self.started, Arc::clone(&self.cases), Arc::clone(&self.open), self.sender.clone());
            let work = move || work(number, &cases, &*open, &ordered, &sender);
            let thread = std::thread::Builder::new().spawn(work).map_err(|error| Error::Device(error.to_string()))?;
            // The worker has just begun to wait for orders.
            _ = orders.send(at);
            self.busy.insert(number, Worker { orders, thread, at, since: Instant::now() });
            self.started += 1;
        }
        Ok(())
    }

    /// The next check that is made, or that is late, with its case. The worker that has been busy longest has been so since `first`.
    fn next_check(&mut self, first: Instant) -> Option<(usize, Check)> {
        match self.found.recv_timeout((first + self.timeout).saturating_duration_since(Instant::now())) {
            Ok((number, result)) => self.receive(number, result),
            Err(_) => self.give_up(first),
        }
    }

    /// Takes a worker's result, and gives the worker something else to do. The result of a worker that was given up comes too late.
    fn receive(&mut self, number: usize, result: Result<Check, Error>) -> Option<(usize, Check)> {
        let worker = self.busy.get_mut(&number)?;
        let at = worker.at;
        match self.next.next() {
            Some(order) if result.is_ok() => {
                (worker.at, worker.since) = (order, Instant::now());
                _ = worker.orders.send(order);
            }
            _ => self.busy.remove(&number).into_iter().for_each(|worker| worker.end(self.timeout)),
        }
        match result {
            Ok(check) => Some((at, check)),
            Err(error) => {
                (self.next, self.failed) = (0..0, Err(error));
                None
            }
        }
    }

    /// Gives up the worker that has been busy since `first`, and says that its check is late.
    fn give_up(&mut self, first: Instant) -> Option<(usize, Check)> {
        let number = self.busy.iter().find(|(_, worker)| worker.since == first).map(|(&number, _)| number)?;
        let worker = self.busy.remove(&number)?;
        self.late += 1;
        if self.late == MOST_LATE {
            self.next = 0..0;
        }
        Some((worker.at, self.cases[worker.at].late(self.timeout)))
    }
}

impl Worker {
    /// Ends the worker with its device, and waits at most this long for it: drivers hang there too.
    fn end(self, timeout: Duration) {
        drop(self.orders);
        let begun = Instant::now();
        while !self.thread.is_finished() && begun.elapsed() < timeout {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// Makes the ordered checks until one of the channels is closed. A device that a check loses is replaced for the next.
fn work(
    number: usize,
    cases: &[Case],
    open: &dyn Fn() -> Result<Arc<Gpu>, Error>,
    orders: &mpsc::Receiver<usize>,
    found: &mpsc::Sender<Found>,
) {
    let mut own: Option<Arc<Gpu>> = None;
    for at in orders {
        let mut check = || -> Result<Check, Error> {
            let gpu = match own.take().filter(|gpu| gpu.check().is_ok()) {
                Some(gpu) => gpu,
                None => open()?,
            };
            Ok(cases[at].check(own.insert(gpu)))
        };
        let crashed = |_| Err(Error::Device("the driver crashed as a device was opened".into()));
        if found.send((number, catch_unwind(AssertUnwindSafe(&mut check)).unwrap_or_else(crashed))).is_err() {
            break;
        }
    }
}

impl Case {
    /// The failed check of a worker that did not finish in time.
    fn late(&self, timeout: Duration) -> Check {
        let seconds = timeout.as_secs_f64();
        let outcome = Outcome::Failed(format!(
            "it did not finish within {seconds} s: the driver hangs in it, or its compiler is very slow"
        ));
        Check { section: self.section, name: self.name.clone(), outcome, took: timeout }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::super::cases::case;
    use super::*;
    use crate::gpu::AdapterChoice;

    const TIMEOUT: Duration = Duration::from_secs(2);

    /// Makes checks of which those with these numbers never finish, and the others pass; returns also the number of devices opened.
    fn made(count: usize, hang: &'static [usize]) -> (Vec<Check>, usize) {
        let gpu = Gpu::open(&AdapterChoice::Auto).unwrap();
        // Locked for as long as the test process runs, as a driver is that hangs.
        static HELD: Mutex<()> = Mutex::new(());
        std::mem::forget(HELD.try_lock());
        let cases = (0..count).map(|at| {
            case("", at.to_string(), move |_| {
                if hang.contains(&at) {
                    drop(HELD.lock());
                }
                Ok(0.0)
            })
        });
        let opened = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&opened);
        let open = move || {
            counted.fetch_add(1, Ordering::Relaxed);
            Ok(Arc::clone(&gpu))
        };
        let checks = make_all(cases.collect(), 1, TIMEOUT, open, |_| ControlFlow::Continue(())).unwrap();
        (checks, opened.load(Ordering::Relaxed))
    }

    /// Finds a selftest that hangs with its driver: such a check is a failure, and all others are made, on another device.
    #[test]
    fn a_check_that_never_finishes_has_failed() {
        let (checks, opened) = made(6, &[1]);
        let names: Vec<&str> = checks.iter().map(|check| check.name.as_str()).collect();
        assert_eq!(names, ["0", "1", "2", "3", "4", "5"]);
        let Outcome::Failed(reason) = &checks[1].outcome else { panic!("{:?}", checks[1]) };
        assert!(reason.contains("did not finish within 2 s"), "{reason}");
        assert_eq!(checks.iter().filter(|check| check.outcome == Outcome::Passed(0.0)).count(), 5, "{checks:?}");
        assert_eq!(opened, 2);
    }

    /// Finds a selftest that waits for a hanging driver once for each check, which takes hours.
    #[test]
    fn a_driver_that_hangs_again_and_again_is_given_up() {
        let (checks, _) = made(1000, &[0, 1, 2, 3, 4, 5]);
        assert_eq!(checks.len(), MOST_LATE, "{checks:?}");
        assert!(checks.iter().all(|check| matches!(check.outcome, Outcome::Failed(_))), "{checks:?}");
    }
}
