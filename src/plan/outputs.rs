//! Steps that compute a network's outputs and nothing of targets: what answers take.

use std::collections::BTreeMap;

use super::homes::Homes;
use super::step::Step;
use super::{Plan, Request, Role, forward, fuse, lower};
use crate::error::Error;
use crate::graph::Op;

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
        let last = Role::last_activations(request.network);
        Plan::of(&outputs(request, request.batch), |role| role == last)
    }

    /// The plan of a step that leaves what every layer makes of a minibatch in memory: nothing is fused. Besides, where that is of each layer, by its number in
    /// [`Graph::layers`](crate::graph::Graph::layers); of one that passes its input on as it is, nowhere.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(crate) fn activations(request: Request<'_>) -> Result<(Plan, BTreeMap<usize, Role>), Error> {
        let request = Request { training: None, ..request };
        Plan::check_request(request)?;
        let (graph, _) = request.network.forward(request.batch, false);
        let step = Step::new(request, graph);
        let groups = fuse::apart(&step);
        let homes = Homes::of(&step, &groups)?;
        let plan = Plan::of_groups(&step, &groups, &homes, |role| matches!(role, Role::Activations(_)))?;
        let mut places = BTreeMap::new();
        for (id, node) in step.graph.nodes() {
            // Of a layer's ops, the last one makes what it hands on.
            let Some(layer) = step.graph.layer(id).filter(|_| !matches!(node.op, Op::Source(_))) else { continue };
            places.insert(layer, homes.role(&step, node.result())?);
        }
        Ok((plan, places))
    }

    /// Workgroups of each dispatch of [`outputs`](Self::outputs) where only a minibatch's first rows are wanted.
    ///
    /// # Errors
    ///
    /// As [`outputs`](Self::outputs).
    pub(crate) fn workgroups_of_rows(request: Request<'_>, rows: u32) -> Result<Vec<u32>, Error> {
        let step = outputs(Request { training: None, ..request }, rows);
        let groups = fuse::groups(&step);
        let dispatches = lower::dispatches(&step, &groups, &Homes::of(&step, &groups)?)?;
        Ok(dispatches.iter().map(|dispatch| dispatch.launch.workgroups).collect())
    }
}

/// The step that computes the outputs of a minibatch's first rows.
fn outputs(request: Request<'_>, rows: u32) -> Step<'_> {
    let (graph, _) = forward(request, false);
    let mut step = Step::new(request, graph);
    step.rows = rows;
    step
}
