//! The gradient by γ and β of a layer, RMS or group norm: sums over the rows, in slices of them.

use super::binding::{Access, Binding};
use super::launch::{Launch, Partials};
use super::row_norm::{Norm, Own, launch as launch_of};
use super::tile::Family;
use crate::constants::Constants;

/// How the rows are shared out.
#[derive(Clone, Copy)]
struct Shares {
    /// The fewest rows of a slice: shorter ones take longer to be added up than they save.
    least_rows: u32,
    workgroup: u32,
    /// Quads of a row whose sums a workgroup makes, where its invocations share a slice: each adds up some of its rows, and a tree the invocations' sums.
    team: Option<u32>,
}

/// A core of a CPU goes over a thousand rows in the time that a second dispatch takes. On a GPU, whose invocations wait for memory row by row, 32 invocations go
/// over 64 rows each in less time than that; and eight neighbours read 128 bytes in a row.
fn shares(family: Family) -> Shares {
    match family {
        Family::Hardware => Shares { least_rows: 2048, workgroup: 256, team: Some(8) },
        _ => Shares { least_rows: 1024, workgroup: family.row_workgroup(), team: None },
    }
}

/// Sums that keep a device busy: no more slices are made than have as many in all.
const MOST_SUMS: u32 = 4096;

/// Reads the gradient by the norm's output, [`Binding::Input`] and [`Binding::Moments`]; writes [`Binding::WeightGradient`], of
/// [`weights_shape`](Norm::weights_shape): rows of dγ and dβ, which is 0 where there is no bias, and two of padding.
///
/// Where the rows are cut into slices it is two launches, with [`Binding::Partials`] between them. A `weighted_mean` has the gradient divided by the sum
/// of the rows' weights, from [`Binding::Stats`].
pub fn launch(norm: Norm, weighted_mean: bool, family: Family) -> Launch {
    let Shares { least_rows, workgroup, team } = shares(family);
    let quads = norm.quads();
    let slices = norm.rows().div_ceil(least_rows).min(MOST_SUMS.div_ceil(quads));
    let rows_of_slice = norm.rows().div_ceil(slices);
    // No slice is empty.
    let slices = norm.rows().div_ceil(rows_of_slice);
    let splits = slices > 1;

    let mut stored = vec![(Binding::WeightGradient, Access::Write)];
    stored.extend(weighted_mean.then_some((Binding::Stats, Access::Read)));
    let mut stored_flags = norm.flags();
    stored_flags.push("keeps_gradient");
    stored_flags.extend(weighted_mean.then_some("weighted_mean"));

    // Blocks of quads that have a workgroup each, for each slice.
    let blocks = team.map(|team_quads| quads.div_ceil(team_quads));
    let own = |root, invocations, operations, bindings, flags| {
        let own = Own { root, invocations, operations, bindings, flags };
        let mut launch = launch_of(norm, own, workgroup);
        launch.kernel = "norm_gradient";
        for (_, text) in launch.constants.iter_mut().filter(|(name, _)| *name == "constants") {
            let of_slices = Constants::new().u32("SLICES", slices).u32("ROWS_OF_SLICE", rows_of_slice);
            text.push_str(&of_slices.u32("TEAM_QUADS", team.unwrap_or(1)).u32("BLOCKS", blocks.unwrap_or(1)).text());
        }
        launch
    };
    let stores = |mut launch: Launch| {
        launch.mounts = vec![("input", "input/activations"), ("sink", "sink/weight_gradient")];
        launch
    };
    let mut read = [Binding::Gradient, Binding::Input, Binding::Moments].map(|read| (read, Access::Read)).to_vec();
    let invocations = slices * blocks.map_or(quads, |blocks| blocks * workgroup);
    let shared = team.map(|_| "team");
    if !splits {
        stored_flags.extend(shared);
        return stores(own("norm/gradient", invocations, 5, [read, stored].concat(), stored_flags));
    }
    let shape = [slices, 2, 4 * quads];
    let sums = 8 * u64::from(slices) * u64::from(quads);
    read.push((Binding::Partials, Access::Write));
    let first_flags = norm.flags().into_iter().chain(["splits"]).chain(shared).collect();
    let mut first = own("norm/gradient", invocations, 5, read, first_flags);
    first.cost.bytes += 4 * sums;
    first.partials = Some(Partials { shape, written_by: None });
    let mut last = stores(own(
        "norm/gradient_sum",
        quads,
        0,
        [vec![(Binding::Partials, Access::Read)], stored].concat(),
        stored_flags,
    ));
    last.cost.flops = sums;
    last.cost.bytes = 4 * sums;
    last.partials = Some(Partials { shape, written_by: Some(Box::new(first)) });
    last
}
