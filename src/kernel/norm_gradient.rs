//! The gradient by γ and β of a layer, RMS or group norm: sums over the rows, in slices of them.

use super::binding::{Access, Binding};
use super::launch::{Launch, Partials};
use super::row_norm::{Norm, Own, launch as launch_of};
use super::tile::Family;
use crate::constants::Constants;

/// The fewest rows of a slice: shorter ones take longer to be added up than they save. A core of a CPU goes over a thousand in the time that the second dispatch
/// takes; on a GPU, whose invocations wait for memory row by row, a few are as long.
fn least_rows(family: Family) -> u32 {
    if family == Family::Hardware { 16 } else { 1024 }
}

/// Invocations that keep a device busy: no more slices are made than have as many in all.
const MOST_INVOCATIONS: u32 = 4096;

/// Reads the gradient by the norm's output, [`Binding::Input`] and [`Binding::Moments`]; writes [`Binding::WeightGradient`], of
/// [`weights_shape`](Norm::weights_shape): rows of dγ and dβ, which is 0 where there is no bias, and two of padding.
///
/// Where the rows are cut into slices it is two launches, with [`Binding::Partials`] between them. A `weighted_mean` has the gradient divided by the sum
/// of the rows' weights, from [`Binding::Stats`].
pub fn launch(norm: Norm, weighted_mean: bool, family: Family) -> Launch {
    let (quads, workgroup) = (norm.quads(), family.row_workgroup());
    let slices = norm.rows().div_ceil(least_rows(family)).min(MOST_INVOCATIONS.div_ceil(quads));
    let rows_of_slice = norm.rows().div_ceil(slices);
    // No slice is empty.
    let slices = norm.rows().div_ceil(rows_of_slice);
    let splits = slices > 1;

    let mut stored = vec![(Binding::WeightGradient, Access::Write)];
    stored.extend(weighted_mean.then_some((Binding::Stats, Access::Read)));
    let mut stored_flags = norm.flags();
    stored_flags.push("keeps_gradient");
    stored_flags.extend(weighted_mean.then_some("weighted_mean"));

    let own = |root, invocations, operations, bindings, flags| {
        let own = Own { root, invocations, operations, bindings, flags };
        let mut launch = launch_of(norm, own, workgroup);
        launch.kernel = "norm_gradient";
        for (_, text) in launch.constants.iter_mut().filter(|(name, _)| *name == "constants") {
            text.push_str(&Constants::new().u32("SLICES", slices).u32("ROWS_OF_SLICE", rows_of_slice).text());
        }
        launch
    };
    let stores = |mut launch: Launch| {
        launch.mounts = vec![("input", "input/activations"), ("sink", "sink/weight_gradient")];
        launch
    };
    let mut read = [Binding::Gradient, Binding::Input, Binding::Moments].map(|read| (read, Access::Read)).to_vec();
    let invocations = slices * quads;
    if !splits {
        return stores(own("norm/gradient", invocations, 5, [read, stored].concat(), stored_flags));
    }
    let shape = [slices, 2, 4 * quads];
    let sums = 8 * u64::from(slices) * u64::from(quads);
    read.push((Binding::Partials, Access::Write));
    let mut first = own("norm/gradient", invocations, 5, read, [norm.flags(), vec!["splits"]].concat());
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
