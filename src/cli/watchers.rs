//! Who hears of a run while it goes: the screen, and files.

use crate::error::Error;
use crate::history::Event;

/// Somebody who is told.
pub(super) trait Watcher {
    /// Hears of everything that a run tells. An error ends the run, with its model saved.
    fn hear(&mut self, event: &Event) -> Result<(), Error>;
}
