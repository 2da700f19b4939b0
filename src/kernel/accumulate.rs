//! Minibatches that are computed part by part: the sums of the parts' gradients, and the way from one part to the next.

use super::binding::{Access, Binding};
use super::launch::{Cost, Launch};
use crate::constants::Constants;
use crate::layout::Dense;

/// Adds a layer's gradient to its sum over the parts before. A `weighted_mean` has each part's divided by the weights of its own rows.
pub fn launch(dense: Dense, weighted_mean: bool, workgroup: u32) -> Launch {
    let constants =
        Constants::new().u32("BATCH", dense.batch).u32("QUADS", dense.weight_quads()).u32("WORKGROUP", workgroup);
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

/// Counts a part of `batch` rows, before its gradients are added up.
pub fn next_part(batch: u32, weighted_mean: bool) -> Launch {
    let mut bindings = vec![(Binding::State, Access::Write)];
    if weighted_mean {
        bindings.extend([(Binding::Stats, Access::Read), (Binding::Shares, Access::Write)]);
    }
    plain(Constants::new().u32("BATCH", batch), bindings, weighted_mean)
}

fn plain(constants: Constants, bindings: Vec<(Binding, Access)>, weighted_mean: bool) -> Launch {
    let mut launch = Launch::single("next_part", ("constants", constants.text()), bindings);
    launch.flags.extend(weighted_mean.then_some("weighted_mean"));
    launch
}

/// The kernel that ends a part: the dispatches up to the last of it are run once for each.
pub const ACCUMULATE: &str = "accumulate";

/// The same launch in a step whose minibatch comes in this many parts.
pub fn in_parts(mut launch: Launch, parts: u32) -> Launch {
    launch.flags.push("accumulates");
    launch.constants.push(("accumulation", Constants::new().u32("PARTS", parts).text()));
    launch
}
