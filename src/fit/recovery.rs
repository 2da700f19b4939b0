//! What a fit can go back to.

use std::time::Duration;

use crate::checkpoint::{RestorePoint, Snapshots};
use crate::gpu::Buffer;
use crate::host::Host;

/// Steps are run again to find which number was not finite only where that takes no longer than this, as far as it is known before.
pub(crate) const MOST_TIME: Duration = Duration::from_secs(60);

/// What a fit can go back to.
#[derive(Default)]
pub(crate) struct Recovery {
    pub snapshots: Option<Snapshots>,
    /// Its beginning and when that was by the host's clock, where the weights were new and it makes no checkpoints.
    pub first: Option<(RestorePoint, Duration)>,
    /// The beginnings of the epoch and of the one before it, where the rate is lowered when numbers are not finite.
    pub good: Vec<RestorePoint>,
    pub keeps_good: bool,
    /// The best weights of an attempt that has failed, where they are kept.
    pub best: Option<Vec<Buffer>>,
}

impl Recovery {
    /// Keeps the beginning of an epoch.
    pub fn keep(&mut self, point: RestorePoint) {
        self.good.retain(|other| other.step() < point.step());
        if self.good.len() > 1 {
            self.good.remove(0);
        }
        self.good.push(point);
    }

    /// Lets go of the fit's beginning, once it would take too long to come from there again.
    pub fn forget_first(&mut self, host: &dyn Host) {
        self.first.take_if(|(_, began)| host.since(*began) > MOST_TIME);
    }

    /// The latest point before a step that steps can be run again from.
    pub fn before(&self, step: u64) -> Option<&RestorePoint> {
        let checkpoint = self.snapshots.as_ref().and_then(Snapshots::last);
        let first = self.first.as_ref().map(|(first, _)| first);
        self.good.last().or(checkpoint).or(first).filter(|from| from.step() < step)
    }
}
