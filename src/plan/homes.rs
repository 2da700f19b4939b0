//! Which buffer each value of a step lives in.

use std::collections::HashMap;

use super::Role;
use super::step::{Group, Step};
use crate::error::Error;
use crate::graph::{
    Attention, Conv2d, ConvInput, ConvWeights, EmbedColumn, EmbedWeights, LinearInput, LinearWeights, Node, Op, Over,
    Pass, Positions, PositionsWeights, RowNorm, RowNormWeights, Value,
};
use crate::kernel::tokens::Tokens;
use crate::kernel::{lists, pool};
use crate::layout::Extent;

/// The buffer of every value that is stored.
#[derive(Default)]
pub(super) struct Homes {
    homes: HashMap<Value, Role>,
    /// How what is in each buffer of a step lies.
    extents: HashMap<Role, Extent>,
    /// The shapes of those that hold anything but values for rows: winners, statistics.
    shapes: HashMap<Role, Vec<u64>>,
    /// How many layers have outputs: the parameters, then what is computed by itself, in the order of the step.
    layers: usize,
}

impl Homes {
    /// Assigns them: a group stores what its last node makes, and besides what its first node makes for others: a loss its gradient, a pool its winners, a
    /// norm its statistics.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] for an op that no kernel computes, and for a value that a stage reads and no kernel stores: a mistake in this crate.
    pub fn of(step: &Step<'_>, groups: &[Group]) -> Result<Homes, Error> {
        let mut homes =
            Homes { homes: HashMap::new(), extents: HashMap::new(), shapes: HashMap::new(), layers: step.dense.len() };
        for (_, node) in step.graph.nodes() {
            // Where no kernel gathers, products read the set.
            if matches!(node.op, Op::Gather(_)) {
                homes.put(step, node.result(), Role::Set(0));
            }
        }
        for group in groups {
            homes.assign(step, group)?;
        }
        Ok(homes)
    }

    /// Gives a value its buffer.
    fn put(&mut self, step: &Step<'_>, value: Value, role: Role) {
        self.homes.insert(value, role);
        let whole = Extent::of(step.graph.shape(value));
        self.extents.insert(role, step.in_strips.map_or(whole, |own| own.extent(value, whole)));
    }

    /// The number of a layer that has an output and no product.
    fn next_layer(&mut self) -> usize {
        self.layers += 1;
        self.layers - 1
    }

    fn assign(&mut self, step: &Step<'_>, group: &Group) -> Result<(), Error> {
        let first = step.graph.node(group.nodes[0]);
        let end = step.end(group);
        match &first.op {
            Op::Gather(_) => self.put(step, end, Role::Minibatch),
            Op::Linear(linear) => self.assign_linear(step, group, linear.parameter),
            Op::Conv2d(conv) => {
                self.put(step, end, Role::Activations(conv.parameter));
                group.nodes.iter().for_each(|&id| self.put_winners(step, step.graph.node(id), conv.parameter));
            }
            Op::Loss(_) => {
                if let Some(&Role::Activations(layer)) = self.homes.get(&first.inputs[0]) {
                    // Behind an activation, what is derived of it is the layer's gradient.
                    let is_logits = step.graph.node(step.graph.maker(first.inputs[0])).op.stage().is_none();
                    let role = if is_logits { Role::Gradient(layer) } else { Role::InputGradient(self.next_layer()) };
                    self.put_second(step, first, role);
                }
            }
            Op::LinearInput(LinearInput { parameter, .. }) | Op::ConvInput(ConvInput(Conv2d { parameter, .. })) => {
                self.put(step, end, self.gradient_below(step, group, *parameter));
            }
            Op::LinearWeights(LinearWeights { parameter })
            | Op::ConvWeights(ConvWeights(Conv2d { parameter, .. }))
            | Op::RowNormWeights(RowNormWeights(RowNorm { parameter, .. }))
            | Op::PositionsWeights(PositionsWeights(Positions { parameter, .. })) => {
                self.put(step, first.result(), Role::WeightGradient(*parameter));
            }
            Op::EmbedWeights(EmbedWeights { column: EmbedColumn { parameter, vocabulary, .. }, .. }) => {
                self.put(step, first.result(), Role::WeightGradient(*parameter));
                self.shapes.insert(Role::Links(*parameter), vec![lists::words(step.request.batch, *vocabulary)]);
            }
            Op::EmbeddingWeights(own) => {
                self.put(step, end, Role::WeightGradient(own.0.parameter));
                let words = lists::words(tokens_of(step, first.inputs[0]).slots_in_all(), own.0.vocabulary);
                self.shapes.insert(Role::Links(own.0.parameter), vec![words]);
            }
            Op::BatchNormWeights(norm) => {
                self.put(step, first.result(), Role::WeightGradient(norm.0.parameter));
                self.put_second(step, first, Role::Sums(norm.0.parameter));
                let [_, columns] = of_channels(step, first.inputs[1]);
                self.shapes.insert(Role::Sums(norm.0.parameter), vec![4, columns]);
                if group.nodes.len() > 1 {
                    let number = self.next_layer();
                    let home = self.of_own(step, group, number)?;
                    self.put(step, end, home);
                }
            }
            // The embedding's own output has a number after those of all parameters.
            Op::Tied(own) => self.put(step, end, Role::Activations(own.parameter)),
            Op::TiedWeights(_) => {
                let number = self.next_layer();
                self.put(step, end, Role::InputGradient(number));
            }
            Op::Metrics(_) | Op::GradientNorm(_) | Op::Update(_) | Op::Orthogonalize(_) => {}
            // Ops with a kernel of their own, and stages that no product takes in.
            _ => self.assign_own(step, group)?,
        }
        Ok(())
    }

    /// A dense layer; in one kernel with the loss, also the gradients of both.
    fn assign_linear(&mut self, step: &Step<'_>, group: &Group, layer: usize) {
        let (mut nodes, end) = (group.nodes.iter().map(|&id| step.graph.node(id)), step.end(group));
        match nodes.clone().find(|node| matches!(node.op, Op::Loss(_))) {
            None => self.put(step, end, Role::Activations(layer)),
            Some(loss) => {
                self.put(step, loss.inputs[0], Role::Activations(layer));
                self.put_second(step, loss, Role::Gradient(layer));
            }
        }
        if nodes.any(|node| matches!(node.op, Op::LinearInput(_))) {
            self.put(step, end, self.gradient_below(step, group, layer));
        }
    }

    /// What has a kernel of its own, and what that keeps for the way back.
    fn assign_own(&mut self, step: &Step<'_>, group: &Group) -> Result<(), Error> {
        let (first, number) = (step.graph.node(group.nodes[0]), self.next_layer());
        let home = self.of_own(step, group, number)?;
        self.put(step, step.end(group), home);
        let (role, shape) = match &first.op {
            Op::MaxPool(_) => {
                self.put_winners(step, first, number);
                return Ok(());
            }
            Op::Attention(Attention { continues: Some(places), .. }) => {
                let width = step.graph.shape(first.result())[3];
                (Role::Kept(number), [places.next_multiple_of(4), 2, width.next_multiple_of(4)].map(u64::from).to_vec())
            }
            Op::Attention(own) => (Role::Moments(number), of_heads(step, first.inputs[0], *own)),
            Op::AttentionInput(own) => (Role::Sums(number), of_heads(step, first.inputs[1], own.0)),
            Op::BatchNorm(_) => (Role::Moments(number), of_channels(step, first.inputs[0]).to_vec()),
            Op::RowNorm(norm) => {
                let x = step.graph.shape(first.inputs[0]);
                let count = match norm.over {
                    Over::Groups(groups) => x[0].next_multiple_of(4) * groups,
                    _ => Extent::of(x).rows,
                };
                (Role::Moments(number), vec![count.into(), 2])
            }
            _ => return Ok(()),
        };
        self.put_second(step, first, role);
        self.shapes.insert(role, shape);
        Ok(())
    }

    /// Gives the winners of a max pool their buffer.
    fn put_winners(&mut self, step: &Step<'_>, node: &Node, number: usize) {
        let Op::MaxPool(pool) = node.op else { return };
        self.put_second(step, node, Role::Winners(number));
        let y = Extent::of(step.graph.shape(node.result()));
        let words = pool::winner_words(pool.sliding.window);
        let shape = [y.rows, y.quads(), words].map(u64::from).to_vec();
        self.shapes.insert(Role::Winners(number), shape);
    }

    /// Gives a node's second result its buffer, where it has one.
    fn put_second(&mut self, step: &Step<'_>, node: &Node, role: Role) {
        if let Some(&second) = node.results.get(1) {
            self.put(step, second, role);
        }
    }

    /// How what is in a buffer of a step lies; derivatives as the output that they are of.
    pub fn extent(&self, role: Role) -> Option<Extent> {
        let role = if let Role::Derivatives(layer) = role { Role::Activations(layer) } else { role };
        self.extents.get(&role).copied()
    }

    /// The shape of what is no value for rows.
    pub fn shape(&self, role: Role) -> Option<Vec<u64>> {
        self.shapes.get(&role).cloned()
    }

    /// Where the result of a kernel of its own is: an output in the forward pass; in the backward pass a gradient, which belongs to the layer whose
    /// activation it is derived of.
    fn of_own(&self, step: &Step<'_>, group: &Group, number: usize) -> Result<Role, Error> {
        let made = step.derived(group).map(|node| node.inputs[1]);
        match (made.map(|made| (made, self.homes.get(&made))), step.pass(group.nodes[0])) {
            (Some((_, Some(&Role::Activations(layer)))), _) => Ok(Role::Gradient(layer)),
            (Some((made, _)), _) => Err(not_stored(step, made)),
            (None, Pass::Backward) => Ok(Role::InputGradient(number)),
            (None, Pass::Forward) => Ok(Role::Activations(number)),
        }
    }

    /// Where the gradient that goes below a layer is: that of the layer whose activation is derived, or which made the input; or a part of it, which a later
    /// product adds.
    fn gradient_below(&self, step: &Step<'_>, group: &Group, layer: usize) -> Role {
        let reader = step.graph.only_reader(step.end(group)).map(|reader| &step.graph.node(reader).op);
        let made = step.derived(group).map(|node| node.inputs[1]).or_else(|| step.input_of(layer));
        match (reader, made.and_then(|made| self.homes.get(&made))) {
            (Some(Op::Add(_)), _) => Role::InputGradient(layer),
            (_, Some(&Role::Activations(below))) => Role::Gradient(below),
            _ => Role::InputGradient(layer),
        }
    }

    /// The buffer of a value that a kernel hands on to others.
    ///
    /// # Errors
    ///
    /// [`Error::Kernel`] for a value that no kernel stores: a mistake in this crate.
    pub fn role(&self, step: &Step<'_>, value: Value) -> Result<Role, Error> {
        self.homes.get(&value).copied().ok_or_else(|| not_stored(step, value))
    }

    /// Where the input of a dense layer or a convolution is.
    ///
    /// # Errors
    ///
    /// As [`role`](Self::role).
    pub fn input(&self, step: &Step<'_>, layer: usize) -> Result<Role, Error> {
        let input = step.input_of(layer).ok_or_else(|| Error::Kernel {
            kernel: format!("linear {layer}"),
            reason: "its gradient is computed and it is not".into(),
        })?;
        self.role(step, input)
    }

    /// Where what a gradient is derived by is: the output that the group's first derivative is of, or else the layer's input.
    ///
    /// # Errors
    ///
    /// As [`role`](Self::role).
    pub fn derived(&self, step: &Step<'_>, group: &Group, layer: usize) -> Result<Role, Error> {
        step.derived(group).map_or_else(|| self.input(step, layer), |node| self.role(step, node.inputs[1]))
    }
}

/// What a value that is read and that no kernel stores ends a plan with.
fn not_stored(step: &Step<'_>, value: Value) -> Error {
    let op = &step.graph.node(step.graph.maker(value)).op;
    Error::Kernel { kernel: op.to_string(), reason: "another kernel reads its result, which none stores".into() }
}

/// The shape of two numbers for each channel of a value.
fn of_channels(step: &Step<'_>, x: Value) -> [u64; 2] {
    [2, 4 * u64::from(Extent::of(step.graph.shape(x)).quads())]
}

/// The shape of a number for each place and head of an attention.
fn of_heads(step: &Step<'_>, x: Value, attention: Attention) -> Vec<u64> {
    vec![Extent::of(step.graph.shape(x)).rows.into(), attention.heads.into()]
}

/// The sizes of the tokens that became this sequence, or that it has the places of.
pub(super) fn tokens_of(step: &Step<'_>, sequence: Value) -> Tokens {
    let shape = step.graph.shape(sequence);
    Tokens { batch: step.request.batch, places: shape[2], width: shape[3] }
}

/// What an op that nothing computes ends a plan with.
pub(super) fn no_kernel(op: &Op) -> Error {
    Error::Kernel { kernel: op.to_string(), reason: "no kernel computes this op".into() }
}
