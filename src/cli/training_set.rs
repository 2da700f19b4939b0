//! The training set of a run.

use crate::data::{Dataset, Source, Stored};

/// The training set of a run, in memory or in a file.
pub(super) enum TrainingSet {
    Whole(Dataset),
    /// A file that is larger than the memory budget, and a set of its first rows.
    Stored(Stored, Dataset),
}

impl TrainingSet {
    /// All rows, or the first ones, which show what the others are like.
    pub fn at_hand(&self) -> &Dataset {
        match self {
            TrainingSet::Whole(set) | TrainingSet::Stored(_, set) => set,
        }
    }

    /// All rows, in memory or in the file.
    pub fn source(&self) -> &dyn Source {
        match self {
            TrainingSet::Whole(set) => set,
            TrainingSet::Stored(stored, _) => stored,
        }
    }
}
