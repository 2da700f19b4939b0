//! What hears of a training run while it goes.

pub(super) trait Watcher {
    /// Hears of everything that a run tells.
    fn hear(&mut self, event: &crate::Event) -> Result<(), crate::Error>;
}
