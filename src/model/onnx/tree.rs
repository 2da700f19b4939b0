//! The network of a graph: layers one after the other, and in the place of a sum a residual of two such lists, which begin at the tensor where the ways to
//! the sum part.

use super::features::Features;
use super::forks::{Forks, Point, Tensor};
use super::layers::{Dense, Input, Layer, Sum, needed};
use crate::activation::Activation;
use crate::network::{self, DenseLayer, LayerKind, ResidualLayer};

/// The layers of a model.
pub(super) struct Tree<'v, 'a> {
    pub layers: Vec<network::Layer>,
    /// Those with weights, in the order of [`Network::named_parameters`](network::Network::named_parameters).
    pub dense: Vec<&'v Dense<'a>>,
    /// What the first ones take.
    pub features: &'v Features<'a>,
}

/// What the metadata says of a graph's layers.
pub(super) struct Known<'r> {
    /// Whether a sum's first input is its body, as in the files that are written here. Of others, the longer way is.
    pub body_first: bool,
    /// The dropout of every layer, each before those within it.
    pub dropouts: &'r mut dyn Iterator<Item = f64>,
}

/// The layers that end in one of a graph.
pub(super) fn tree<'v, 'a>(layers: &'v [Layer<'a>], last: usize, known: Known<'_>) -> Result<Tree<'v, 'a>, String> {
    let needed = needed(layers, last);
    let features = features(layers, &needed)?;
    let forks = Forks::of(layers, &needed);
    let is_taken = vec![false; layers.len()];
    let mut builder = Builder { layers, forks, is_taken, dense: Vec::new(), known };
    let end = builder.forks.units(last);
    let layers = builder.way(Forks::FEATURES, end, None, 0)?;
    Ok(Tree { layers, dense: builder.dense, features })
}

/// The features that these layers take, which are the same for all.
fn features<'v, 'a>(layers: &'v [Layer<'a>], needed: &[usize]) -> Result<&'v Features<'a>, String> {
    let of = |layer: &'v Layer<'a>| {
        layer.inputs().iter().find_map(|input| match input {
            Input::Features(features) => Some(features),
            Input::Layer(..) => None,
        })
    };
    let mut all = needed.iter().filter_map(|&at| Some((&layers[at], of(&layers[at])?)));
    let (first, features) = all.next().ok_or("none of its layers takes the features")?;
    match all.find(|(_, other)| !other.are(features)) {
        None => Ok(features),
        Some((other, _)) => Err(format!(
            "{} and {} take the features with different shifts and scales: both must take the same tensor",
            first.name(),
            other.name()
        )),
    }
}

struct Builder<'v, 'a, 'r> {
    layers: &'v [Layer<'a>],
    forks: Forks,
    /// The layers that the network has already.
    is_taken: Vec<bool>,
    dense: Vec<&'v Dense<'a>>,
    known: Known<'r>,
}

impl<'v, 'a> Builder<'v, 'a, '_> {
    /// The layers between two tensors, of which all ways to the second go through the first. They are a way to a sum, or the whole network.
    fn way(
        &mut self,
        from: Point,
        to: Point,
        of: Option<&Sum<'a>>,
        depth: usize,
    ) -> Result<Vec<network::Layer>, String> {
        let before = |&point: &Point| Some(self.forks.before(point));
        let mut steps: Vec<Point> =
            std::iter::successors(Some(to), before).take_while(|&point| point != from).collect();
        steps.reverse();
        let mut made = Vec::new();
        for (at, &point) in steps.iter().enumerate() {
            let layer = match self.forks.tensor(point) {
                Tensor::Features => continue,
                Tensor::Activated(layer, activation) if at == 0 => {
                    let reason = format!(
                        "one way to it begins with {activation} of {}, which the other does not: a residual's ways begin at the same tensor, \
                         each with a dense layer unless it is that tensor itself",
                        self.layers[layer].name()
                    );
                    return Err(of.map_or(reason.clone(), |sum| sum.say(self.layers, &reason)));
                }
                // It is part of the layer before.
                Tensor::Activated(..) => continue,
                Tensor::Units(layer) => layer,
            };
            let activation = match steps.get(at + 1).map(|&next| self.forks.tensor(next)) {
                Some(Tensor::Activated(_, activation)) => activation,
                _ => Activation::Identity,
            };
            // Too few are an error of the metadata, which is found once all layers are.
            let dropout = self.known.dropouts.next().unwrap_or(0.0);
            let again = std::mem::replace(&mut self.is_taken[layer], true);
            let kind: LayerKind = match &self.layers[layer] {
                other if again => {
                    let reason = format!("{} is part of both ways: each layer is on one", other.name());
                    return Err(of.map_or(reason.clone(), |sum| sum.say(self.layers, &reason)));
                }
                Layer::Dense(dense) => {
                    self.dense.push(dense);
                    DenseLayer::new(dense.outputs).into()
                }
                Layer::Sum(sum) => {
                    let [body, shortcut] = self.ways(sum, self.forks.before(point), depth)?;
                    ResidualLayer::new(body).with_shortcut(shortcut).into()
                }
            };
            made.push(network::Layer::new(kind).with_activation(activation).with_dropout(dropout));
        }
        Ok(made)
    }

    /// The body and the shortcut of a sum whose ways part at a tensor.
    fn ways(&mut self, sum: &Sum<'a>, fork: Point, depth: usize) -> Result<[Vec<network::Layer>; 2], String> {
        let most = ResidualLayer::MOST_NESTED;
        if depth == most {
            return Err(sum.say(
                self.layers,
                &format!("it is within {most} other sums: at most {most} are read within each other"),
            ));
        }
        let [a, b] = &sum.inputs;
        let number = |input: &Input<'_>| input.layer(self.layers).map_or(0, Layer::number);
        let [of_a, of_b] = [a, b].map(|input| (self.forks.input(input), number(input)));
        if of_a.0 == of_b.0 {
            return Err(sum.say(self.layers, "both are the same tensor: a residual's ways are two"));
        }
        let is_longer = of_a.0 != fork && (of_b.0 == fork || self.known.body_first || of_a.1 >= of_b.1);
        let (body, shortcut) = if is_longer { (of_a.0, of_b.0) } else { (of_b.0, of_a.0) };
        Ok([self.way(fork, body, Some(sum), depth + 1)?, self.way(fork, shortcut, Some(sum), depth + 1)?])
    }
}
