//! Threads that stand for processes, with links between them that may hold messages back: the tests' processes, and those of `benches/fabric.rs`.

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use wgrad::{Error, Processes};

/// A link between two devices, which carries messages both ways at once.
#[derive(Clone, Copy, Debug)]
pub struct Link {
    /// Seconds until the first byte arrives, and bytes a second after it.
    pub latency: f64,
    pub bandwidth: f64,
}

pub const NO_DELAY: Link = Link { latency: 0.0, bandwidth: f64::INFINITY };

impl Link {
    /// Seconds that a message takes.
    pub fn seconds(self, bytes: f64) -> f64 {
        self.latency + bytes / self.bandwidth
    }
}

/// Bytes, and when they arrive.
type Message = (Instant, Vec<u8>);

/// One of several threads.
#[derive(Debug)]
pub struct Thread {
    rank: usize,
    link: Link,
    to: Vec<Sender<Message>>,
    from: Vec<Mutex<Receiver<Message>>>,
}

impl Processes for Thread {
    fn rank(&self) -> usize {
        self.rank
    }

    fn count(&self) -> usize {
        self.to.len()
    }

    fn swap(&self, with: usize, own: &[u8], theirs: &mut [u8]) -> Result<(), Error> {
        let gone = || Error::Processes(format!("process {with} is gone"));
        let arrives = Instant::now() + Duration::from_secs_f64(self.link.seconds(own.len() as f64));
        self.to[with].send((arrives, own.to_vec())).map_err(|_| gone())?;
        let (arrives, bytes) = self.from[with].lock().map_err(|_| gone())?.recv().map_err(|_| gone())?;
        std::thread::sleep(arrives.saturating_duration_since(Instant::now()));
        theirs.copy_from_slice(&bytes);
        Ok(())
    }
}

/// As many threads, with a link between each two of them.
pub fn threads(count: usize, link: Link) -> Vec<Thread> {
    let mut all: Vec<Thread> = (0..count).map(|rank| Thread { rank, link, to: vec![], from: vec![] }).collect();
    for from in 0..count {
        for to in 0..count {
            let (sender, receiver) = channel();
            all[from].to.push(sender);
            all[to].from.push(Mutex::new(receiver));
        }
    }
    all
}
