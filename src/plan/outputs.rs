//! Steps that compute a network's outputs and nothing of targets: what answers take.

use super::{Dispatch, Plan, Request, set, slices};
use crate::Error;
use crate::kernel::{Dense, dense_forward};

impl Plan {
    /// The plan of a step that leaves the network's outputs of a minibatch in its last activations: no targets, no loss, no running sums. The
    /// step counter stays where it is.
    ///
    /// Its first rows alone can be computed by the same kernels, so that another number of rows compiles nothing
    /// and each row's outputs have the same bits.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn outputs(request: Request<'_>) -> Result<Plan, Error> {
        let request = Request { training: None, ..request };
        Plan::check_request(request)?;
        let dense = request.network.dense_layers(request.batch);
        Plan::of(request, &dense, dispatches(request, &dense, request.batch))
    }

    /// Workgroups of each dispatch of [`outputs`](Self::outputs) where only a minibatch's first rows are wanted.
    pub(crate) fn workgroups_of_rows(request: Request<'_>, rows: u32) -> Vec<u32> {
        let request = Request { training: None, ..request };
        let dense = request.network.dense_layers(request.batch);
        dispatches(request, &dense, rows).iter().map(|dispatch| dispatch.launch.workgroups).collect()
    }
}

/// The dispatches for the first rows of a minibatch: kernels number their workgroups row after row, so that fewer rows are fewer workgroups of
/// the same kernel. Slices of a reduction are numbered otherwise, and all of them are computed.
fn dispatches(request: Request<'_>, dense: &[Dense], rows: u32) -> Vec<Dispatch> {
    let places = 4 * rows.div_ceil(4);
    let mut gathers = set::gathers(request, dense[0]);
    gathers.iter_mut().for_each(|gather| gather.launch.workgroups = gather.launch.workgroups.min(places));
    let layers = (0..dense.len()).flat_map(|layer| {
        let input = request.input(layer);
        let tile = request.tiling.tile("dense_forward", input, dense_forward::blocks(dense[layer]));
        let of = |dense: Dense| dense_forward::launch(dense, input, request.layer(layer), None, tile);
        let mut launch = of(dense[layer]);
        if launch.partials.is_none() {
            launch.workgroups = of(Dense { batch: rows, ..dense[layer] }).workgroups;
        }
        slices::stages(launch, move |launch| Dispatch::of_layer(request, launch, layer))
    });
    gathers.into_iter().chain(layers).collect()
}
