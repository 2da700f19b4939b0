//! Rows that a step goes over a strip at a time: the last layer and the loss of a large vocabulary, whose logits are then in memory for one strip only.

use super::binding::{Access, Binding};
use super::launch::Launch;
use crate::constants::Constants;

/// The most logits that are in memory at once, if that leaves strips of at least [`LEAST_ROWS`] rows: 16 MiB.
pub const MOST_LOGITS: u64 = 1 << 22;

/// The fewest rows of a strip: products of fewer have too little to do for the weights that they read.
pub const LEAST_ROWS: u32 = 64;

/// Strips that rows are cut into.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Strips {
    /// Rows of a strip: a multiple of four.
    pub rows: u32,
    /// Rows in all, of which the last strip may have fewer.
    pub of: u32,
}

impl Strips {
    /// Those of this many rows with a logit for each of `outputs`; none where all logits are few enough to be in memory.
    pub fn of(rows: u32, outputs: u32) -> Option<Self> {
        let width = u64::from(outputs.next_multiple_of(4));
        let fitting = (MOST_LOGITS / width / 4 * 4).max(LEAST_ROWS.into());
        (fitting < u64::from(rows)).then_some(Strips { rows: fitting as u32, of: rows })
    }

    /// How many there are.
    pub fn count(self) -> u32 {
        self.of.div_ceil(self.rows)
    }

    fn constants(self) -> (&'static str, String) {
        let own = Constants::new().u32("STRIP_ROWS", self.rows).u32("ROWS_IN_ALL", self.of).u32("STRIPS", self.count());
        ("strip_constants", own.text())
    }

    /// A launch over the rows of a strip, which finds them by the number of the strip, [`Binding::Strip`].
    pub fn launch(self, mut launch: Launch) -> Launch {
        launch.flags.push("in_strips");
        launch.bindings.push((Binding::Strip, Access::Read));
        launch.constants.push(self.constants());
        launch
    }

    /// Moves on to the next strip.
    pub fn next(self) -> Launch {
        Launch::single("next_strip", self.constants(), vec![(Binding::Strip, Access::Write)])
    }
}
