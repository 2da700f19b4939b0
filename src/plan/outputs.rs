//! Steps that compute a network's outputs and nothing of targets: what answers take.

use super::homes::Homes;
use super::step::Step;
use super::{Plan, Request, Role, forward, fuse, lower};
use crate::error::Error;

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
