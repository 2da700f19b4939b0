//! From a description to buffers and a list of dispatches: pure data, made with no device.
//!
//! Every choice is made here: what is fused into what, which tile cuts which product, how much memory it takes.
//! A plan prints itself as a table.

mod muon;
mod outputs;
mod role;
mod set;
mod slices;
mod table;

pub use self::role::{Buffer, Dispatch, Role};
pub use self::set::{Element, SetLayout};
use crate::kernel::muon::Muon;
use crate::kernel::tile::Tile;
use crate::kernel::tiling::{Picks, Tiling};
use crate::kernel::{
    Access, Cost, Dense, Input, Targets, Training, class_metrics, close_step, dense_backward, dense_forward,
    dense_update, gradient_norm, head, kept_update, loss_kernel, merged, regression_metrics, row_loss, team_head,
};
use crate::loss::Task;
use crate::{Error, Layer, Loss, Network};

/// What one step does on the device. Kernels run without checks because the plan knows every extent: so [`Plan::new`] alone makes one, and
/// nobody outside can change it.
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
    /// groups, as does a network of more than [`merged::MOST_PARTS`] layers. Evaluating: the forward half and the counter. Clipping by the
    /// global norm, and skipping steps that are not finite, need every gradient before the first update: L + 1 more. Muon orthogonalizes
    /// the directions of L − 1 layers, in k iterations: (L − 1)(2 + 3k) more, and an update more. One more for a product whose reduction is cut into slices, and for the updates together where theirs is: long
    /// ones over few outputs, on a GPU (see [`Family::tile`](crate::kernel::tile::Family::tile)).
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a network that does not pass its check, no rows at all, and where a buffer would be larger than 32-bit indices reach.
    pub fn new(request: Request<'_>) -> Result<Plan, Error> {
        Plan::check_request(request)?;
        let dense = request.network.dense_layers(request.batch);
        let mut dispatches = set::gathers(request, dense[0]);
        let (ahead, went_back) = forward(request, &dense);
        dispatches.extend(ahead);
        match request.training {
            Some(training) => {
                dispatches.extend(backward(request, &dense[..dense.len() - usize::from(went_back)]));
                dispatches.extend(updates(request, &dense, training));
            }
            None => {
                dispatches.extend(metrics(request, &dense));
                dispatches.push(Dispatch::new(close_step::launch(), |_| Role::State));
            }
        }

        Plan::of(request, &dense, dispatches)
    }

    /// That there is something to plan for, of sizes that can be counted.
    fn check_request(request: Request<'_>) -> Result<(), Error> {
        request.network.check()?;
        if request.batch == 0 || request.set.rows == 0 || request.set.parts == 0 {
            return Err(Error::Option(format!(
                "a batch of {} rows, of a set of {} in {} parts: there must be one of each at least",
                request.batch, request.set.rows, request.set.parts
            )));
        }
        // The kernels' geometry is counted in 32 bits too.
        let dense = request.network.dense_layers(request.batch);
        for layer in 0..dense.len() {
            for role in [Role::Weights(layer), Role::OptimizerSlots(layer), Role::Activations(layer)] {
                buffer(role, request, &dense, &[])?;
            }
        }
        Ok(())
    }

    /// The plan of these dispatches, with every buffer that they bind.
    fn of(request: Request<'_>, dense: &[Dense], dispatches: Vec<Dispatch>) -> Result<Plan, Error> {
        let mut roles: Vec<Role> = dispatches.iter().flat_map(|dispatch| dispatch.roles.iter().copied()).collect();
        roles.sort();
        roles.dedup();
        let buffers =
            roles.into_iter().map(|role| buffer(role, request, dense, &dispatches)).collect::<Result<_, _>>()?;
        Ok(Plan { batch: request.batch, buffers, dispatches })
    }

    /// The plan of a step that leaves every layer's gradient in memory, before any clipping, and changes no weight.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub fn gradients(request: Request<'_>) -> Result<Plan, Error> {
        let training = request.training.map(|training| Training { clip: None, skips_non_finite: true, ..training });
        let mut plan = Plan::new(Request { training, ..request })?;
        // Where a step may be skipped, all gradients are there before the first update. What follows them is not wanted.
        let is_gradient = |role| matches!(role, Role::WeightGradient(_));
        let writes = |dispatch: &Dispatch| dispatch.touches(Access::Write).any(is_gradient);
        let wanted = plan.dispatches.iter().rposition(writes).map_or(0, |last| last + 1);
        plan.dispatches.truncate(wanted);
        plan.buffers.retain(|buffer| plan.dispatches.iter().any(|dispatch| dispatch.roles.contains(&buffer.role)));
        Ok(plan)
    }

    /// Rows of a minibatch.
    pub fn batch(&self) -> u32 {
        self.batch
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
        self.dispatches.iter().fold(Cost::default(), |sum, dispatch| sum + dispatch.launch.cost)
    }

    /// The tile of every kind of product in it: what another run has to pin to have the same bits.
    pub fn picks(&self) -> Picks {
        let parts = self.dispatches.iter().flat_map(Dispatch::parts).map(|part| part.launch);
        parts.filter_map(|launch| Some((launch.shape?.to_string(), launch.variant))).collect()
    }

    /// The shape of the buffer with this role, in elements, padding included; empty where there is none.
    pub fn shape(&self, role: Role) -> &[u64] {
        self.buffers.iter().find(|buffer| buffer.role == role).map_or(&[], |buffer| &buffer.shape)
    }

    /// The first buffer of more than so many bytes.
    pub fn larger_than(&self, bytes: u64) -> Option<&Buffer> {
        self.buffers.iter().find(|buffer| buffer.bytes > bytes)
    }

    /// The largest batch, of fewer rows than the request's, whose plan has no buffer of more than so many bytes; none where the batch is not
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
        self.buffers.iter().map(|buffer| buffer.bytes).sum()
    }
}

impl Request<'_> {
    fn input(&self, layer: usize) -> Input {
        // A gathered minibatch is laid out as what a layer writes.
        if layer == 0 && !self.set.is_gathered() { self.set.element.input() } else { Input::Activations }
    }

    /// The form that the loss takes the targets in.
    fn device_targets(&self) -> Targets {
        self.loss.targets(self.targets)
    }

    fn layer(&self, layer: usize) -> Layer {
        self.network.layers()[layer]
    }
}

/// Every layer's output, and the loss. Few outputs: the last layer is part of the loss kernel, and so is the gradient of the layer
/// below it where the adapter has a way to do both at once. Says whether it was.
fn forward(request: Request<'_>, dense: &[Dense]) -> (Vec<Dispatch>, bool) {
    let last = dense.len() - 1;
    let few = dense[last].outputs <= head::MOST_OUTPUTS;
    let plain_layers = if few { last } else { last + 1 };
    let mut dispatches: Vec<Dispatch> = (0..plain_layers)
        .flat_map(|layer| {
            let blocks = dense_forward::blocks(dense[layer]);
            let tile = request.tiling.tile("dense_forward", request.input(layer), blocks);
            let trains = request.training.map(|_| layer);
            let launch = dense_forward::launch(dense[layer], request.input(layer), request.layer(layer), trains, tile);
            slices::stages(launch, move |launch| Dispatch::of_layer(request, launch, layer))
        })
        .collect();
    let targets = request.device_targets();
    let loss_kernel =
        loss_kernel::LossKernel { dense: dense[last], loss: request.loss, targets, training: request.training };
    let below = last.checked_sub(1).map(|below| request.layer(below));
    let by_team = team_head::Team::of(request.tiling.family)
        .filter(|_| few)
        .map(|team| team_head::launch(loss_kernel, request.input(last), below, team))
        .filter(|launch| launch.bindings.len() <= request.tiling.most_bindings as usize);
    let goes_back = by_team.is_some() && below.is_some() && request.training.is_some();
    let loss = by_team.unwrap_or_else(|| match few {
        true => head::launch(loss_kernel, request.input(last), request.tiling.family.row_workgroup()),
        false => row_loss::launch(loss_kernel),
    });
    dispatches.push(Dispatch::of_layer(request, loss, last));
    (dispatches, goes_back)
}

/// What an evaluation measures besides the loss, where that is asked for.
fn metrics(request: Request<'_>, dense: &[Dense]) -> Option<Dispatch> {
    let last = dense.len() - 1;
    let targets = request.device_targets();
    let loss_kernel = loss_kernel::LossKernel { dense: dense[last], loss: request.loss, targets, training: None };
    let workgroup = request.tiling.family.row_workgroup();
    let launch = match request.loss.task() {
        Task::Numbers => regression_metrics::launch(loss_kernel, workgroup),
        task => {
            let counts = class_metrics::Counts::of(task == Task::EachOutput, dense[last].outputs);
            class_metrics::launch(loss_kernel, counts, workgroup)
        }
    };
    request.metrics.then(|| Dispatch::of_layer(request, launch, last))
}

/// The gradient of every hidden layer, last to first. All of them come before the first update changes a weight.
fn backward(request: Request<'_>, dense: &[Dense]) -> Vec<Dispatch> {
    (1..dense.len())
        .rev()
        .flat_map(|layer| {
            let blocks = dense_backward::blocks(dense[layer]);
            let tile = request.tiling.tile("dense_backward", Input::Activations, blocks);
            let launch = dense_backward::launch(dense[layer], request.layer(layer - 1), tile);
            slices::stages(launch, move |launch| Dispatch::of_layer(request, launch, layer))
        })
        .collect()
}

/// The weight gradients with the optimizer, last layer to first; the first layer's closes the step.
fn updates(request: Request<'_>, dense: &[Dense], training: Training<'_>) -> Vec<Dispatch> {
    let weighted_mean = request.loss.has_weighted_mean(request.device_targets());
    let muon_of = |layer: usize| Muon::of(training.optimizer).filter(|_| layer + 1 < dense.len());
    let last_to_first = || (0..dense.len()).rev();
    let own_tile =
        |layer: usize| request.tiling.tile("dense_update", request.input(layer), dense_update::blocks(dense[layer]));
    // Launches can be merged where their workgroups are alike: those of the largest layer decide.
    let largest = (0..dense.len()).max_by_key(|&layer| dense[layer].weight_quads()).map_or(Tile::Naive, own_tile);
    let tile = |layer| {
        let own = own_tile(layer);
        if !request.tiling.merges {
            return own;
        }
        // Their reduction is the same minibatch: all are cut into slices or none, and both halves are merged.
        if own.is_like(largest) { own.sliced(largest.slices()) } else { largest }
    };
    let keeps_gradient = |layer| training.keeps_gradient() || muon_of(layer).is_some();
    let update = |layer: usize, closes| {
        let step = dense_update::Step { keeps_gradient: keeps_gradient(layer), closes, weighted_mean };
        dense_update::launch(dense[layer], request.input(layer), training, tile(layer), step)
    };
    let most_bindings = request.tiling.most_bindings;
    let sliced = last_to_first().filter(|&layer| tile(layer).slices() > 1);
    let most_bindings = if request.tiling.merges { most_bindings } else { 0 };
    let mut dispatches = together(sliced, most_bindings, false, |layer, _| {
        let (slices, whole) = slices::split(update(layer, false));
        Dispatch::of_layer(request, slices.unwrap_or(whole), layer)
    });
    let whole = |layer, closes| Dispatch::of_layer(request, slices::split(update(layer, closes)).1, layer);
    dispatches.extend(together(last_to_first(), most_bindings, !keeps_gradient(0), whole));
    if training.keeps_gradient() {
        dispatches.extend(last_to_first().map(|layer| {
            let ends = (layer == 0).then_some((dense.len(), training));
            Dispatch::of_layer(request, gradient_norm::launch(dense[layer], layer, ends), layer)
        }));
    }
    if training.keeps_gradient() {
        let plain_layers = last_to_first().filter(|&layer| muon_of(layer).is_none());
        let update = |layer: usize, closes| {
            Dispatch::of_layer(request, kept_update::launch(dense[layer], training, closes), layer)
        };
        dispatches.extend(together(plain_layers, most_bindings, muon_of(0).is_none(), update));
    }
    dispatches.extend(
        last_to_first().flat_map(|layer| {
            muon_of(layer).map_or(vec![], |muon| muon::updates(request, dense, layer, training, muon))
        }),
    );
    dispatches
}

/// The layers' dispatches, which do not depend on each other, merged as far as the adapter's bindings allow. `dispatch` makes one; where
/// all of them together `close` the step, the last one does.
fn together(
    layers: impl Iterator<Item = usize>,
    most_bindings: u32,
    close: bool,
    dispatch: impl Fn(usize, bool) -> Dispatch,
) -> Vec<Dispatch> {
    let mut groups: Vec<Vec<(usize, Dispatch)>> = vec![];
    for layer in layers {
        let own = dispatch(layer, false);
        let has_room = |group: &&mut Vec<(usize, Dispatch)>| {
            // The step state is bound once for all, or not at all.
            let but_state = |dispatch: &Dispatch| dispatch.roles.iter().filter(|&&role| role != Role::State).count();
            let bindings: usize = group.iter().map(|(_, other)| but_state(other)).sum::<usize>() + but_state(&own) + 1;
            let fits = group.len() < merged::MOST_PARTS && bindings <= most_bindings as usize;
            fits && merged::fit(&group[0].1.launch, &own.launch)
        };
        match groups.last_mut().filter(has_room) {
            Some(group) => group.push((layer, own)),
            None => groups.push(vec![(layer, own)]),
        }
    }
    let last = groups.len().saturating_sub(1);
    let close_of = |at| close && at == last;
    let merge = |(at, group): (usize, Vec<(usize, Dispatch)>)| match &group[..] {
        [(layer, _)] => dispatch(*layer, close_of(at)),
        _ => Dispatch::merged(group.into_iter().map(|(_, part)| part).collect(), close_of(at)),
    };
    groups.into_iter().enumerate().map(merge).collect()
}

fn buffer(role: Role, request: Request<'_>, dense: &[Dense], dispatches: &[Dispatch]) -> Result<Buffer, Error> {
    let batch = u64::from(request.batch).next_multiple_of(4);
    let last = dense[dense.len() - 1];
    let (shape, element_bytes) = match role {
        Role::Set(part) => {
            let rows = request.set.rows_of(part);
            (vec![rows.end - rows.start, 4 * u64::from(dense[0].x_quads())], request.set.element.bytes())
        }
        Role::Scaling => (vec![2, 4 * u64::from(dense[0].x_quads())], 4),
        Role::Minibatch => (vec![batch, 4 * u64::from(dense[0].x_quads())], 4),
        Role::Targets => match request.device_targets().row_bits(request.network.outputs() as u32) {
            bits @ (8 | 16 | 32) => (vec![request.set.rows], bits / 8),
            bits => (vec![request.set.rows, bits / 32], 4),
        },
        Role::OutputWeights => (vec![4 * u64::from(last.out_quads())], 4),
        Role::State => (vec![1], STATE_BYTES),
        Role::Stats => (vec![u64::from(request.batch)], STATS_BYTES),
        Role::Visited => (vec![u64::from(request.batch)], 4),
        Role::Metrics => match request.loss.task() {
            Task::Numbers => (vec![u64::from(last.out_quads()), regression_metrics::SUMS, 4], 4),
            task => (vec![class_metrics::Counts::of(task == Task::EachOutput, last.outputs).words(last.outputs)], 4),
        },
        Role::Scores => (vec![request.set.rows], 4),
        Role::Direction(_) | Role::DirectionNorm | Role::Gram | Role::GramPolynomial => (muon::shape(role, dense), 4),
        Role::Norms => (vec![dense.len() as u64, 2], 4),
        Role::Partials(_) => (slices::shape(role, dispatches), 4),
        Role::Weights(layer) | Role::WeightGradient(layer) => (dense[layer].weights_shape().map(u64::from).to_vec(), 4),
        Role::OptimizerSlots(layer) => {
            let slots = u64::from(request.training.map_or(0, |training| training.optimizer.slots()));
            let [rows, columns] = dense[layer].weights_shape().map(u64::from);
            (vec![rows, columns / 4, slots, 4], 4)
        }
        Role::Activations(layer) => (vec![batch, 4 * u64::from(dense[layer].y_quads())], 4),
        Role::Gradient(layer) | Role::Derivatives(layer) => (vec![batch, 4 * u64::from(dense[layer].out_quads())], 4),
    };
    let elements = shape.iter().try_fold(1u64, |product, &side| product.checked_mul(side));
    match elements.filter(|&elements| elements <= u64::from(u32::MAX)) {
        Some(elements) => Ok(Buffer { role, shape, bytes: (elements * element_bytes).next_multiple_of(4) }),
        None => Err(Error::Option(format!(
            "{role} would have the shape {shape:?}, more elements than 32-bit indices reach: make the batch or the \
             layer smaller"
        ))),
    }
}
