//! Where ways through a graph part: of every tensor that a layer takes, the last one before it that all ways to it go through.
//!
//! These are the immediate dominators of a flow graph. Layers are visited in the order in which they depend on each other, so that the fork of a sum is the
//! nearest common ancestor of its two inputs. Each point has a pointer far back besides the one to the point before, so that an ancestor is found in
//! logarithmic time (Myers, "An applicative random-access stack", 1983).

use std::collections::HashMap;

use super::features::Input;
use super::layers::Layer;
use crate::activation::Activation;

/// A tensor, by its number.
pub(super) type Point = usize;

/// What a tensor is.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Tensor {
    Features,
    /// A layer's units.
    Units(usize),
    /// An activation of a layer's units, other than identity.
    Activated(usize, Activation),
}

struct Entry {
    tensor: Tensor,
    before: Point,
    /// How many points are before it.
    depth: usize,
    /// A point further back.
    far: Point,
}

/// The tensors that a layer is made of.
pub(super) struct Forks {
    entries: Vec<Entry>,
    numbers: HashMap<Tensor, Point>,
}

impl Forks {
    /// The features.
    pub const FEATURES: Point = 0;

    /// The tensors that these layers take and give. Each comes after those that it takes.
    pub fn of(layers: &[Layer<'_>], needed: &[usize]) -> Self {
        let features = Entry { tensor: Tensor::Features, before: 0, depth: 0, far: 0 };
        let mut forks = Forks { entries: vec![features], numbers: HashMap::from([(Tensor::Features, 0)]) };
        for &at in needed {
            let inputs: Vec<Point> = layers[at].inputs().iter().map(|input| forks.input(input)).collect();
            let before = inputs[1..].iter().fold(inputs[0], |fork, &input| forks.common(fork, input));
            forks.add(Tensor::Units(at), before);
        }
        forks
    }

    pub fn tensor(&self, point: Point) -> Tensor {
        self.entries[point].tensor
    }

    /// The last point before this one that all ways to it go through.
    pub fn before(&self, point: Point) -> Point {
        self.entries[point].before
    }

    /// The units of a layer.
    pub fn units(&self, layer: usize) -> Point {
        self.numbers[&Tensor::Units(layer)]
    }

    /// What a layer takes.
    pub fn input(&mut self, input: &Input<'_>) -> Point {
        match *input {
            Input::Features(_) => Self::FEATURES,
            Input::Layer(layer, Activation::Identity) => self.units(layer),
            Input::Layer(layer, activation) => {
                let tensor = Tensor::Activated(layer, activation);
                let known = self.numbers.get(&tensor).copied();
                known.unwrap_or_else(|| self.add(tensor, self.units(layer)))
            }
        }
    }

    fn add(&mut self, tensor: Tensor, before: Point) -> Point {
        let entry = |point: Point| &self.entries[point];
        let far = entry(before).far;
        let is_even = entry(before).depth - entry(far).depth == entry(far).depth - entry(entry(far).far).depth;
        let far = if is_even { entry(far).far } else { before };
        let depth = entry(before).depth + 1;
        let point = self.entries.len();
        self.entries.push(Entry { tensor, before, depth, far });
        self.numbers.insert(tensor, point);
        point
    }

    /// The nearest point that all ways to both go through.
    fn common(&self, mut a: Point, mut b: Point) -> Point {
        let entry = |point: Point| &self.entries[point];
        if entry(a).depth < entry(b).depth {
            (a, b) = (b, a);
        }
        while entry(a).depth > entry(b).depth {
            a = if entry(entry(a).far).depth >= entry(b).depth { entry(a).far } else { entry(a).before };
        }
        // Points of the same depth have far ones of the same depth.
        while a != b {
            (a, b) = match (entry(a).far, entry(b).far) {
                (far_a, far_b) if far_a != far_b => (far_a, far_b),
                _ => (entry(a).before, entry(b).before),
            };
        }
        a
    }
}
