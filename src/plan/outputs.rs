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

    /// The plan of a step that goes on with one sequence of at most `places` tokens: the rows of the minibatch are its next places, from the one on that the step state
    /// has the number of, a multiple of four. It leaves their logits in its last activations, and the keys and values of every attention for the steps to come.
    /// The network is that [of one place](crate::Network::of_one_place).
    ///
    /// As of [`outputs`](Self::outputs), its first rows alone can be computed. A place's logits have the same bits whichever step computes them.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub(crate) fn continuation(request: Request<'_>, places: u32) -> Result<Plan, Error> {
        let request = Request { training: None, ..request };
        Plan::check_request(request)?;
        let last = Role::last_activations(request.network);
        Plan::of(&continuation(request, places, request.batch), |role| role == last)
    }

    /// Workgroups of each dispatch of [`outputs`](Self::outputs), or of a [`continuation`](Self::continuation) of this many places, where only a minibatch's first rows
    /// are wanted.
    ///
    /// # Errors
    ///
    /// As [`outputs`](Self::outputs).
    pub(crate) fn workgroups_of_rows(
        request: Request<'_>,
        continues: Option<u32>,
        rows: u32,
    ) -> Result<Vec<u32>, Error> {
        let request = Request { training: None, ..request };
        let step = match continues {
            Some(places) => continuation(request, places, rows),
            None => outputs(request, rows),
        };
        let groups = fuse::groups(&step);
        let dispatches = lower::dispatches(&step, &groups, &Homes::of(&step, &groups)?)?;
        Ok(dispatches.iter().map(|dispatch| dispatch.launch.workgroups).collect())
    }
}

/// The step that computes the outputs of a minibatch's first rows.
fn outputs(request: Request<'_>, rows: u32) -> Step<'_> {
    let (graph, _) = forward(request, false);
    of_rows(Step::new(request, graph), rows)
}

/// The step that goes on with a sequence by its first rows.
fn continuation(request: Request<'_>, places: u32, rows: u32) -> Step<'_> {
    let (graph, _) = request.network.continuation(request.batch, places);
    of_rows(Step::new(request, graph), rows)
}

/// The step that computes the first rows of a minibatch alone.
fn of_rows(mut step: Step<'_>, rows: u32) -> Step<'_> {
    step.rows = rows;
    step
}
