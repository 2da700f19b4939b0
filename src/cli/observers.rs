//! What observes a run while it goes: the screen, and files.

use crate::error::Error;
use crate::history::Event;

/// An observer of a run.
pub(super) trait Observer {
    /// Takes an event of the run. An error ends the run, with its model saved.
    fn observe(&mut self, event: &Event) -> Result<(), Error>;
}
