//! Minibatches that are computed part by part: the sums of the parts' gradients, and the way from one part to the next.

use super::binding::{Access, Binding};
use super::launch::{Cost, Launch};
use crate::constants::Constants;
use crate::layout::Dense;
use crate::training::Shards;

/// The parts that a step's minibatch comes in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Parts {
    /// One after another, of which each adds to the sum of those before it. An epoch's last step has those that remain.
    InTurn(u32),
    /// The same number in every step, which may be of no rows; they are added up in a tree.
    Shards(Shards),
}

impl Parts {
    /// A minibatch as a whole.
    pub const ONE: Parts = Parts::InTurn(1);

    /// The shards, where there are any.
    pub fn of(accumulate: u32, shards: Option<Shards>) -> Self {
        shards.map_or(Parts::InTurn(accumulate), Parts::Shards)
    }

    /// Whether gradients are added up before they update the weights.
    pub fn are_summed(self) -> bool {
        self != Parts::ONE
    }

    /// How many a process computes.
    pub fn own(self) -> u32 {
        match self {
            Parts::InTurn(parts) => parts,
            Parts::Shards(shards) => shards.own,
        }
    }

    /// How many there are.
    pub fn all(self) -> u32 {
        match self {
            Parts::InTurn(parts) => parts,
            Parts::Shards(shards) => shards.all,
        }
    }

    /// The parts whose rows have running sums of their own: shards, so that these have one order in every run.
    pub fn stats(self) -> u32 {
        match self {
            Parts::InTurn(_) => 1,
            Parts::Shards(shards) => shards.all,
        }
    }

    /// The numbers that are kept of the weights of their rows.
    pub fn shares(self) -> u64 {
        match self {
            Parts::InTurn(_) => 2,
            Parts::Shards(shards) => shards.all.into(),
        }
    }

    /// The sums of gradients that are kept at once: one for each level of the tree.
    pub fn sums(self) -> u32 {
        match self {
            Parts::InTurn(_) => 1,
            Parts::Shards(shards) => 1 + shards.own.trailing_zeros(),
        }
    }
}

/// Adds a layer's gradient to its sum over the parts before. Shards are counted after it, other parts before. A `weighted_mean` has each part's divided by the weights of its own rows.
pub fn launch(dense: Dense, parts: Parts, weighted_mean: bool, workgroup: u32) -> Launch {
    let constants = Constants::new()
        .u32("BATCH", dense.batch)
        .u32("QUADS", dense.weight_quads())
        .u32("LEVELS", parts.sums() - 1)
        .u32("WORKGROUP", workgroup);
    let mut bindings = vec![(Binding::WeightGradient, Access::Read), (Binding::GradientSum, Access::Write)];
    if weighted_mean {
        bindings.push((Binding::Shares, Access::Read));
    }
    bindings.push((Binding::State, Access::Write));
    Launch {
        kernel: ACCUMULATE,
        root: ACCUMULATE,
        workgroup,
        workgroups: dense.weight_quads().div_ceil(workgroup),
        cost: Cost { flops: dense.weights_bytes() / 4, bytes: 3 * dense.weights_bytes() },
        ..plain(constants, bindings, weighted_mean)
    }
}

/// Counts a part of `samples` rows, or places of rows that have several, before its gradients are added up.
pub fn next_part(samples: u32, weighted_mean: bool) -> Launch {
    let mut bindings = vec![(Binding::State, Access::Write)];
    if weighted_mean {
        bindings.extend([(Binding::Stats, Access::Read), (Binding::Shares, Access::Write)]);
    }
    plain(Constants::new().u32("SAMPLES", samples), bindings, weighted_mean)
}

/// Divides the sum of all shards' gradients by the sum of their rows' weights.
pub fn mean_of_shards(dense: Dense, parts: Parts, workgroup: u32) -> Launch {
    let constants =
        Constants::new().u32("QUADS", dense.weight_quads()).u32("ALL", parts.all()).u32("WORKGROUP", workgroup);
    let bindings = vec![(Binding::Shares, Access::Read), (Binding::WeightGradient, Access::Write)];
    Launch {
        kernel: "mean_of_shards",
        root: "mean_of_shards",
        workgroup,
        workgroups: dense.weight_quads().div_ceil(workgroup),
        cost: Cost { flops: dense.weights_bytes() / 4, bytes: 2 * dense.weights_bytes() },
        ..plain(constants, bindings, false)
    }
}

fn plain(constants: Constants, bindings: Vec<(Binding, Access)>, weighted_mean: bool) -> Launch {
    let mut launch = Launch::single(NEXT_PART, ("constants", constants.text()), bindings);
    launch.flags.extend(weighted_mean.then_some("weighted_mean"));
    launch
}

/// The kernels that end a part: the dispatches up to the last of them are run once for each.
pub const ACCUMULATE: &str = "accumulate";
/// See [`ACCUMULATE`].
pub const NEXT_PART: &str = "next_part";

/// The same launch in a step whose minibatch comes in these parts, of `samples` each: rows, or places of rows that have several.
pub fn in_parts(mut launch: Launch, parts: Parts, samples: u32) -> Launch {
    launch.flags.push("accumulates");
    let mut constants = Constants::new().u32("PARTS", parts.all());
    if let Parts::Shards(shards) = parts {
        launch.flags.push("shards");
        constants = constants.u32("FIRST_SHARD", shards.first).u32("SAMPLES", samples).u32("MEANS", shards.means());
    }
    launch.constants.push(("accumulation", constants.text()));
    launch
}
