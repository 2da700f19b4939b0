//! Observers of a run: the screen, and files.

use crate::error::Error;
use crate::history::Event;

/// An observer of a run's events.
pub(super) trait Watcher {
    /// Receives each event of the run. An error ends the run, after its model is saved.
    fn hear(&mut self, event: &Event) -> Result<(), Error>;
}
