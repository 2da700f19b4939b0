//! Buffers by what they hold, and the launches that bind them.

use crate::kernel::{Access, Binding, Launch, merged};
use crate::network::{Network, ParameterKind};

/// What a buffer holds. The number tells the layers apart, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Role {
    /// Features of the set: one of its parts, from 0.
    Set(usize),
    /// A shift and a scale for each feature.
    Scaling,
    /// The minibatch's rows, where they are gathered from the set.
    Minibatch,
    /// The set's targets.
    Targets,
    /// The step state.
    State,
    /// Running sums of loss and correct predictions.
    Stats,
    /// The set's row for each place in the minibatch.
    Visited,
    /// A weight for each output, in the loss.
    OutputWeights,
    /// A layer's weights and bias.
    Weights(usize),
    /// The optimizer's values beside a layer's weights.
    OptimizerSlots(usize),
    /// A layer's output.
    Activations(usize),
    /// Gradient of the loss by a layer's output, before its activation: what the layer's weights and input have their gradients from.
    Gradient(usize),
    /// Gradient of the loss by a layer's input, where it is no layer's [`Gradient`](Self::Gradient) yet: what comes by another way is added to it, or an
    /// activation's derivative follows.
    InputGradient(usize),
    /// Gradient of the loss by a layer's weights, where it is kept.
    WeightGradient(usize),
    /// The sum of the squares of every layer's gradient, and how much of it is not finite.
    Norms,
    /// Derivatives of a layer's activation, where they cannot be computed from its output.
    Derivatives(usize),
    /// Which tap of each window of a pool had the largest value.
    Winners(usize),
    /// The mean and 1/σ of what a norm normalizes together, or the logarithm of the sum of exponentials of an attention's row.
    Moments(usize),
    /// Sums over the minibatch that the gradient by a batch norm's input is made from, or those over a head that an attention's is.
    Sums(usize),
    /// Which slots of the minibatch have the same token, for the gradient by an embedding's table.
    Links(usize),
    /// An attention's keys and values of the places of a sequence that steps continue.
    Kept(usize),
    /// Muon's direction of the layer whose turn it is, before and after an iteration: two buffers, 0 and 1, that take turns.
    Direction(usize),
    /// The sum of the direction's squares.
    DirectionNorm,
    /// The direction's Gram matrix.
    Gram,
    /// The polynomial of it that the direction is multiplied by.
    GramPolynomial,
    /// What evaluations count or sum besides the loss.
    Metrics,
    /// A score for every row of the set.
    Scores,
    /// Sums of slices of a layer's products, where their reduction is cut; they take turns with it.
    Partials(usize),
    /// The sum of a [`WeightGradient`](Self::WeightGradient) over the parts of a minibatch, where it comes in parts.
    GradientSum(usize),
    /// The sum of the weights of the rows in the parts that were done, and the share of the last one in it; of shards, the sum of each.
    Shares,
    /// Which strip of its rows a step is at, where the last layer and the loss go over them a strip at a time.
    Strip,
    /// The moving average of a layer's weights, by which evaluations answer.
    Averages(usize),
}

/// How long what a buffer holds is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Lifetime {
    /// The host brings it and no step changes it: the set and what belongs to it.
    Set,
    /// It goes from step to step, and a checkpoint holds it: weights, their averages, the optimizer's values, the step state.
    Run,
    /// It is summed up over an epoch, or a pass over a set.
    Epoch,
    /// It grows with a sequence that steps continue.
    Sequence,
    /// A step makes it and needs it no longer than to its end, unless the step is run for it.
    Step,
}

impl Role {
    /// How long it is wanted.
    pub fn lifetime(self) -> Lifetime {
        match self {
            Role::Set(_) | Role::Scaling | Role::Targets | Role::OutputWeights => Lifetime::Set,
            Role::Weights(_) | Role::OptimizerSlots(_) | Role::Averages(_) | Role::State => Lifetime::Run,
            Role::Stats | Role::Metrics | Role::Scores | Role::Shares | Role::Strip => Lifetime::Epoch,
            Role::Kept(_) => Lifetime::Sequence,
            Role::Minibatch
            | Role::Visited
            | Role::Activations(_)
            | Role::Gradient(_)
            | Role::InputGradient(_)
            | Role::WeightGradient(_)
            | Role::GradientSum(_)
            | Role::Norms
            | Role::Derivatives(_)
            | Role::Winners(_)
            | Role::Moments(_)
            | Role::Sums(_)
            | Role::Links(_)
            | Role::Direction(_)
            | Role::DirectionNorm
            | Role::Gram
            | Role::GramPolynomial
            | Role::Partials(_) => Lifetime::Step,
        }
    }

    /// What has the outputs of a network in a plan that computes no loss.
    pub(crate) fn last_activations(network: &Network) -> Role {
        let parameters = network.named_parameters();
        let of_embedding = || parameters.iter().position(|parameter| parameter.kind == ParameterKind::Embedding);
        let tied = if network.is_tied() { of_embedding() } else { None };
        Role::Activations(tied.unwrap_or(parameters.len() - 1))
    }

    /// What a layer's kernel binds, as far as the layer alone says.
    pub(super) fn of_layer(binding: Binding, layer: usize) -> Role {
        match binding {
            Binding::Input => Role::Set(0),
            Binding::Targets => Role::Targets,
            Binding::OutputWeights => Role::OutputWeights,
            Binding::WeightGradient => Role::WeightGradient(layer),
            Binding::Norms => Role::Norms,
            Binding::Derivatives => Role::Derivatives(layer),
            Binding::Visited => Role::Visited,
            Binding::Weights => Role::Weights(layer),
            Binding::OptimizerSlots => Role::OptimizerSlots(layer),
            Binding::State => Role::State,
            Binding::Output => Role::Activations(layer),
            Binding::Gradient => Role::Gradient(layer),
            Binding::InputGradient => Role::InputGradient(layer),
            Binding::Stats => Role::Stats,
            Binding::Direction => Role::Direction(0),
            Binding::Square => Role::Gram,
            Binding::Product => Role::GramPolynomial,
            Binding::Metrics => Role::Metrics,
            Binding::Scores => Role::Scores,
            Binding::Partials => Role::Partials(layer),
            Binding::Scaling => Role::Scaling,
            Binding::Residual => Role::Activations(layer),
            Binding::OtherGradient => Role::InputGradient(layer),
            Binding::Moments => Role::Moments(layer),
            Binding::Running => Role::Weights(layer),
            Binding::Coefficients => Role::Sums(layer),
            Binding::Winners => Role::Winners(layer),
            Binding::Tokens => Role::Minibatch,
            Binding::Links => Role::Links(layer),
            Binding::Kept => Role::Kept(layer),
            Binding::Positions => Role::Weights(layer),
            Binding::GradientSum => Role::GradientSum(layer),
            Binding::Shares => Role::Shares,
            Binding::Strip => Role::Strip,
            Binding::Average => Role::Averages(layer),
        }
    }
}

/// A device buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Buffer {
    /// What it holds.
    pub role: Role,
    /// Its shape in elements, padding included.
    pub shape: Vec<u64>,
    /// What it takes. Where several share a memory, that is as large as the largest of them.
    pub bytes: u64,
    /// The memory that it is in, by number.
    pub memory: usize,
}

/// One launch and what it binds.
#[derive(Clone, Debug, PartialEq)]
pub struct Dispatch {
    /// The kernel with its sizes.
    pub launch: Launch,
    /// One role for each of the launch's bindings, in their order.
    pub roles: Vec<Role>,
    /// Where the layers are that it computes something of, as "layer 2's body, layer 1": first the one whose op it begins with, then those of the ops that it
    /// fuses; of merged dispatches, the layers of all, in the network's order. None for what is of no layer, as the step counter.
    pub layers: Vec<String>,
}

impl Dispatch {
    pub(super) fn new(launch: Launch, role: impl Fn(Binding) -> Role) -> Self {
        let roles = launch.bindings.iter().map(|&(binding, _)| role(binding)).collect();
        Dispatch { launch, roles, layers: vec![] }
    }

    /// The same, of the layers with these locations.
    pub(super) fn of_layers(self, layers: &[String]) -> Self {
        Dispatch { layers: layers.to_vec(), ..self }
    }

    /// Its layers in a few words: all of up to three, else the first and the last. Empty for none.
    pub(crate) fn layers_in_words(&self) -> String {
        match &self.layers[..] {
            [first, .., last] if self.layers.len() > 3 => format!("{first} … {last} ({} layers)", self.layers.len()),
            few => few.join(" + "),
        }
    }

    /// Dispatches that do not depend on each other as one, the longest first, so that the short ones fill up what it leaves idle.
    pub(super) fn merged(mut parts: Vec<Dispatch>, closes: bool) -> Self {
        parts.sort_by_key(|part| std::cmp::Reverse(part.launch.workgroups));
        let roles_of =
            |part: &Dispatch| part.roles.iter().copied().filter(|&role| role != Role::State).collect::<Vec<_>>();
        let mut roles: Vec<Role> = parts.iter().flat_map(roles_of).collect();
        let layers = parts.iter().flat_map(|part| part.layers.iter().cloned()).collect();
        let launch = merged::launch(parts.into_iter().map(|part| part.launch).collect(), closes);
        // The state is what they share, and comes last.
        roles.extend((launch.bindings.len() > roles.len()).then_some(Role::State));
        Dispatch { launch, roles, layers }
    }

    /// What it is made of, where it is merged; else itself. Parts do not say which of its layers is theirs.
    pub fn parts(&self) -> Vec<Dispatch> {
        if self.launch.parts.is_empty() {
            return vec![self.clone()];
        }
        let mut own = self.roles.iter().copied().filter(|&role| role != Role::State);
        let mut part = |launch: &Launch| {
            let mut role = |binding| if binding == Binding::State { Some(Role::State) } else { own.next() };
            let roles = launch.bindings.iter().filter_map(|&(binding, _)| role(binding)).collect();
            Dispatch { launch: launch.clone(), roles, layers: vec![] }
        };
        self.launch.parts.iter().map(&mut part).collect()
    }

    /// The roles that the dispatch writes, and those it reads.
    pub fn touches(&self, access: Access) -> impl Iterator<Item = Role> {
        self.launch.bindings.iter().zip(&self.roles).filter(move |((_, a), _)| *a == access).map(|(_, &role)| role)
    }
}
