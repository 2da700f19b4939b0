//! Observers of a run: the screen, and files.

use crate::error::Error;
use crate::history::Event;

/// An observer of a run.
pub(super) trait Observer {
    /// Receives an event of the run. An error ends the run, after its model is saved.
    fn observe(&mut self, event: &Event) -> Result<(), Error>;
}
