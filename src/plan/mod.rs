//! From a description to buffers and a list of dispatches: pure data, made with no device.
//!
//! Every choice is made here: what is fused into what, which tile cuts which product, how much memory it takes.
//! A plan prints itself as a table.

mod check;
mod fuse;
mod group;
mod head;
mod homes;
mod lower;
mod outputs;
mod place;
mod role;
mod set;
mod share;
mod slices;
mod step;
mod strips;
mod table;

use std::collections::BTreeMap;

use self::homes::Homes;
pub use self::role::{Buffer, Dispatch, Lifetime, Role};
pub use self::set::{Element, SetLayout};
use self::step::{Group, Step};
use crate::error::Error;
use crate::graph::{Graph, Value};
use crate::kernel::Access;
use crate::kernel::Cost;
use crate::kernel::accumulate::{ACCUMULATE, NEXT_PART, Parts};
use crate::kernel::tiling::{Picks, Tiling};
use crate::loss::Loss;
use crate::network::Network;
use crate::optimizer::Treated;
use crate::targets::Targets;
use crate::training::{Groups, Training};

/// What one step does on the device. Kernels run without checks because the plan knows every extent: so [`Plan::new`] alone makes one, and
/// no other crate can change it.
///
/// ```compile_fail,E0616
/// fn forget(plan: &mut wgrad::plan::Plan) {
///     plan.buffers.clear();
/// }
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    pub(crate) batch: u32,
    pub(crate) buffers: Vec<Buffer>,
    pub(crate) dispatches: Vec<Dispatch>,
    /// The parts that a step's minibatch comes in.
    pub(crate) parts: Parts,
    locations: BTreeMap<Role, String>,
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug)]
pub struct Request<'a> {
    /// The network, which has passed its check.
    pub network: &'a Network,
    /// The loss.
    pub loss: &'a Loss,
    /// The form that the set's targets were given in.
    pub targets: Targets,
    /// None for a plan that only evaluates.
    pub training: Option<Training<'a>>,
    /// Rows of a minibatch.
    pub batch: u32,
    /// How the set lies on the device.
    pub set: SetLayout,
    /// The adapter that it is cut for.
    pub tiling: &'a Tiling,
    /// Whether an evaluation measures more than loss and accuracy.
    pub metrics: bool,
}

impl Request<'_> {
    /// How the optimizer treats each parameter: none where no groups are asked for.
    fn treated(&self) -> Result<Vec<Treated>, Error> {
        let of = |training: Training<'_>| self.network.treated(training.groups.asked(), training.optimizer);
        self.training.map_or(Ok(vec![]), of)
    }
}

/// Bytes of the step state, and of one entry of the running sums.
pub(crate) const STATE_BYTES: u64 = 128;
pub(crate) const STATS_BYTES: u64 = 28;

impl Plan {
    /// The plan for one step.
    ///
    /// Training with few outputs: a forward dispatch for each hidden layer; one for the logits, the loss, its gradient and that of the
    /// layer below; a backward dispatch for each hidden layer but the last; one for the updates of all layers. That is 2L − 1 for L > 1
    /// layers: the bias, the activation and its mask, the gather, the bias gradient and the optimizer are parts of these. Families without
    /// teams take 2L, and many outputs, whose logits, loss and gradient are apart, 2L + 1. An adapter that binds few buffers takes updates in
    /// groups, as does a network of more than [`MOST_PARTS`](crate::kernel::merged::MOST_PARTS) layers; and on a CPU a product of more than 2²⁰ operations is a dispatch
    /// of its own (see [`is_better_alone`](crate::kernel::merged::is_better_alone)). Evaluating: the forward half and the counter. Clipping by the
    /// global norm, and skipping steps that are not finite, need every gradient before the first update: L + 1 more. Muon orthogonalizes
    /// the directions of L − 1 layers, in k iterations: (L − 1)(2 + 3k) more, and an update more. One more for a product whose reduction is cut into
    /// slices, and for the updates together where theirs is: long ones over few outputs, on a GPU (see
    /// [`Family::tile`](crate::kernel::tile::Family::tile)). The sum of a residual is part of the product before it, and the sum of the gradients
    /// by a residual's input is part of a backward product. Behind an activation, a sum is a dispatch of its own, forward and backward.
    ///
    /// Images are gathered by a dispatch. A convolution takes one forward, with its bias, a residual, a 2 × 2 max pool behind it where windows lie side by
    /// side, the activation and the dropout; and, but for the first, one backward. That pool's gradient takes one, another pool one forward and one backward,
    /// a batch norm two and two, where there are bindings enough. So Keras' example of MNIST, two convolutions with a pool each and a dense layer, takes 9 where its updates are one
    /// dispatch; on a CPU, where large products stay apart, 11 without teams and 10 with them. LeNet-5 takes 16, or 17 and 16, and a ResNet of two blocks, which has six
    /// convolutions with batch norms, 45, or 48 and 47, where an adapter binds 16 buffers and the convolutions' updates are not cut into slices.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a network that does not pass its check, no rows at all, and where a buffer would be larger than 32-bit indices reach.
    pub fn new(request: Request<'_>) -> Result<Plan, Error> {
        Plan::check_request(request)?;
        request.network.check_outputs(request.loss)?;
        let treated = request.treated()?;
        let training =
            request.training.map(|training| Training { groups: training.groups.treating(&treated), ..training });
        let request = Request { training, ..request };
        let forward = forward(request, request.training.is_some());
        let graph = match request.training {
            Some(training) => Graph::of_training(forward, request.batch, training)?,
            None => Graph::of_evaluation(forward, request.batch, request.metrics),
        };
        Plan::of(&Step::new(request, graph), |_| false)
    }

    /// Checks the network, its loss and its batch norms, before any buffer is sized.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] with the layer.
    pub(crate) fn check_asked(request: Request<'_>) -> Result<(), Error> {
        request.network.check()?;
        request.network.check_outputs(request.loss)?;
        place::check_norms(request)
    }

    /// That there is something to plan for, of sizes that can be counted.
    fn check_request(request: Request<'_>) -> Result<(), Error> {
        request.network.check()?;
        place::check_norms(request)?;
        if request.batch == 0 || request.set.rows == 0 || request.set.parts == 0 {
            return Err(Error::Option(format!(
                "a batch of {} rows, of a set of {} in {} parts: there must be one of each at least",
                request.batch, request.set.rows, request.set.parts
            )));
        }
        // The kernels' geometry is counted in 32 bits too.
        let step = Step::new(request, Graph::default());
        for layer in 0..step.dense.len() {
            for role in [Role::Weights(layer), Role::OptimizerSlots(layer)] {
                place::buffer(role, &step, &Homes::default(), &[])?;
            }
        }
        place::check_values(request)?;
        Ok(())
    }

    /// The plan of a graph, with kernels that compute as much as they can at once. `results` are read after the step.
    fn of(step: &Step<'_>, results: impl Fn(Role) -> bool) -> Result<Plan, Error> {
        let groups = fuse::groups(step);
        Plan::of_groups(step, &groups, &Homes::of(step, &groups)?, results)
    }

    /// The plan of a graph's nodes in groups: their dispatches, and every buffer that these bind.
    fn of_groups(
        step: &Step<'_>,
        groups: &[Group],
        homes: &Homes,
        results: impl Fn(Role) -> bool,
    ) -> Result<Plan, Error> {
        let dispatches = lower::dispatches(step, groups, homes)?;
        let mut roles: Vec<Role> = dispatches.iter().flat_map(|dispatch| dispatch.roles.iter().copied()).collect();
        roles.sort();
        roles.dedup();
        let buffer = |role| place::buffer(role, step, homes, &dispatches);
        let mut buffers = roles.into_iter().map(buffer).collect::<Result<Vec<_>, _>>()?;
        let locations = step.graph.outputs().filter_map(|(value, at)| Some((homes.role(step, value).ok()?, at.into())));
        let locations = locations.collect();
        share::share(&mut buffers, &dispatches, &results);
        let plan = Plan { batch: step.request.batch, buffers, dispatches, parts: step.parts(), locations };
        plan.check(step.request.tiling.most_bindings, results)?;
        Ok(plan)
    }

    /// The plan of a step that leaves every layer's gradient in memory, before any clipping, and changes no weight.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn gradients(request: Request<'_>) -> Result<Plan, Error> {
        Plan::of_gradients(request, |role| matches!(role, Role::WeightGradient(_)))
    }

    /// As [`gradients`](Self::gradients), with every output that is stored left in memory too, so that all of a step can be looked at.
    pub(crate) fn diagnosis(request: Request<'_>) -> Result<Plan, Error> {
        Plan::of_gradients(request, |role| matches!(role, Role::WeightGradient(_) | Role::Activations(_)))
    }

    fn of_gradients(request: Request<'_>, results: impl Fn(Role) -> bool) -> Result<Plan, Error> {
        Plan::check_request(request)?;
        let (groups, accumulate, shards) = (Groups::default(), 1, None);
        let plain = |training| Training { clip: None, skips_non_finite: true, groups, accumulate, shards, ..training };
        let training = request.training.map(plain);
        let graph = Graph::of_gradients(forward(request, true), request.batch)?;
        Plan::of(&Step::new(Request { training, ..request }, graph), results)
    }

    /// Rows of a minibatch, or of each part of one.
    pub fn batch(&self) -> u32 {
        self.batch
    }

    /// The parts of a step's minibatch that a process computes, where gradients are accumulated; else 1.
    pub fn parts(&self) -> u32 {
        self.parts.own()
    }

    /// Rows of a step.
    pub(crate) fn step_rows(&self) -> u32 {
        self.batch.saturating_mul(self.parts.all())
    }

    /// How many of the dispatches, from the first, are run once for each part.
    pub(crate) fn repeated(&self) -> usize {
        let ends = |dispatch: &Dispatch| [ACCUMULATE, NEXT_PART].contains(&dispatch.launch.kernel);
        self.dispatches.iter().rposition(ends).map_or(0, |at| at + 1)
    }

    /// Where gradients come in shards: the places behind which the sums of some parameters' gradients are there, in the part that is the last, and which. The last place is behind
    /// all that is run for each part.
    pub fn ready(&self) -> Vec<(usize, Vec<usize>)> {
        let mut ready: Vec<(usize, Vec<usize>)> = vec![];
        for (at, dispatch) in self.dispatches.iter().enumerate().filter(|(_, own)| own.launch.kernel == ACCUMULATE) {
            let sums = dispatch.touches(Access::Write).filter_map(|role| match role {
                Role::GradientSum(parameter) => Some(parameter),
                _ => None,
            });
            match ready.last_mut() {
                Some((end, parameters)) if *end == at => {
                    (*end, *parameters) = (at + 1, [&parameters[..], &sums.collect::<Vec<_>>()].concat())
                }
                _ => ready.push((at + 1, sums.collect())),
            }
        }
        if let Some((end, _)) = ready.last_mut() {
            *end = self.repeated();
        }
        ready
    }

    /// How often the dispatch with this place is run in a step: once, or for each part of its minibatch.
    pub fn times(&self, at: usize) -> u32 {
        if at < self.repeated() { self.parts.own() } else { 1 }
    }

    /// Dispatches of a step with all parts of its minibatch.
    pub fn calls(&self) -> usize {
        (0..self.dispatches.len()).map(|at| self.times(at) as usize).sum()
    }

    /// Every buffer that the dispatches bind, in order of role.
    pub fn buffers(&self) -> &[Buffer] {
        &self.buffers
    }

    /// The dispatches of one step, in order.
    pub fn dispatches(&self) -> &[Dispatch] {
        &self.dispatches
    }

    /// Work and traffic of a step.
    pub fn cost(&self) -> Cost {
        let times = |at: usize| std::iter::repeat_n(self.dispatches[at].launch.cost, self.times(at) as usize);
        (0..self.dispatches.len()).flat_map(times).fold(Cost::default(), |sum, cost| sum + cost)
    }

    /// The tile of every kind of product in it: what another run has to pin to have the same bits.
    pub fn picks(&self) -> Picks {
        let parts = self.dispatches.iter().flat_map(Dispatch::parts).map(|part| part.launch);
        parts.filter_map(|launch| Some((launch.shape?.to_string(), launch.variant))).collect()
    }

    /// Checks that the products in it take the tiles that are pinned for them.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] with the tile that would be taken: a pin that is not followed would give other bits than the run that it comes from.
    pub(crate) fn check_pins(&self, pins: &Picks) -> Result<(), Error> {
        for (shape, tile) in self.picks().iter() {
            if let Some(pinned) = pins.by_name(shape).filter(|&pinned| pinned != tile) {
                return Err(Error::Option(format!(
                    "{shape} is pinned to \"{pinned}\" and would take \"{tile}\": tiles of updates that are one dispatch must have \
                     the same kind and workgroup size as that of the largest of their layers"
                )));
            }
        }
        Ok(())
    }

    /// Warns of tiles that are pinned for products that are not in it.
    pub(crate) fn warn_of_unused(&self, pins: &Picks) {
        let taken = self.picks();
        for (shape, tile) in pins.iter().filter(|(shape, _)| taken.by_name(shape).is_none()) {
            tracing::warn!(shape, tile, "a pinned tile is for a product that this run has not");
        }
    }

    /// The shape of the buffer with this role, in elements, padding included; empty where there is none.
    pub fn shape(&self, role: Role) -> &[u64] {
        self.buffers.iter().find(|buffer| buffer.role == role).map_or(&[], |buffer| &buffer.shape)
    }

    /// Where the layer whose output this role holds is in the network, as "layer 2's body, layer 1".
    pub(crate) fn location(&self, role: Role) -> Option<&str> {
        self.locations.get(&role).map(String::as_str)
    }

    /// Bytes of the buffers that hold the outputs of the layer at a location: none where a kernel takes in what follows the layer, or where the layer passes its
    /// input on as it is.
    #[cfg(feature = "cli")]
    pub(crate) fn output_bytes(&self, location: &str) -> u64 {
        let is_of = |role| matches!(role, Role::Activations(_)) && self.location(role) == Some(location);
        self.buffers.iter().filter(|buffer| is_of(buffer.role)).map(|buffer| buffer.bytes).sum()
    }

    /// The first buffer of more than `bytes`.
    pub fn larger_than(&self, bytes: u64) -> Option<&Buffer> {
        self.buffers.iter().find(|buffer| buffer.bytes > bytes)
    }

    /// The largest batch, of fewer rows than the request's, whose plan has no buffer of more than `most_bytes`; none where the batch is not
    /// what makes it too large.
    pub fn largest_batch(request: Request<'_>, most_bytes: u64) -> Option<u32> {
        let fits = |batch: u32| {
            Plan::new(Request { batch, ..request }).is_ok_and(|plan| plan.larger_than(most_bytes).is_none())
        };
        let (mut fitting, mut beyond) = (0, request.batch);
        while beyond - fitting > 1 {
            let between = fitting + (beyond - fitting) / 2;
            if fits(between) {
                fitting = between;
            } else {
                beyond = between;
            }
        }
        (fitting > 0).then_some(fitting)
    }

    /// Device memory that the plan takes, the set included.
    pub fn bytes(&self) -> u64 {
        self.bytes_of(|_| true).iter().sum()
    }

    /// The bytes of each memory that has any of these roles.
    pub(crate) fn bytes_of(&self, counts: impl Fn(Role) -> bool) -> Vec<u64> {
        let mut memories = BTreeMap::new();
        for buffer in self.buffers.iter().filter(|buffer| counts(buffer.role)) {
            let bytes: &mut u64 = memories.entry(buffer.memory).or_default();
            *bytes = buffer.bytes.max(*bytes);
        }
        memories.into_values().collect()
    }
}

/// The forward pass, and the logits: as the network has it, with pools where kernels take them in.
fn forward(request: Request<'_>, training: bool) -> (Graph, Value) {
    let (graph, logits) = request.network.forward(request.batch, training);
    (fuse::pools_first(graph), logits)
}
