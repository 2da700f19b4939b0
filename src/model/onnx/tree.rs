//! The network of a graph: layers one after the other, and in the place of a sum a residual of two such lists, which begin at the tensor where the ways to
//! the sum part.

use super::features::Features;
use super::features::Input;
use super::forks::{Forks, Point, Tensor};
use super::layers::{Layer, Sum, needed, source};
use crate::activation::Activation;
use crate::network::{self, ActivationLayer, DenseLayer, FlattenLayer, Form, LayerKind, ResidualLayer};

/// The layers of a model.
pub(super) struct Tree<'v, 'a> {
    pub layers: Vec<network::Layer>,
    /// Those of the graph that have weights, in the order of [`Network::named_parameters`](network::Network::named_parameters).
    pub weighted: Vec<&'v Layer<'a>>,
    /// The form of what the first ones take.
    pub input: Form,
    /// The features that they take, with what is done to these before.
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
    let (first, features) = features(layers, &needed)?;
    let forks = Forks::of(layers, &needed);
    let is_taken = vec![false; layers.len()];
    let input = input(layers, &needed, features)?;
    if let Form::Image(_) = input {
        features.check_turned().map_err(|reason| first.place().say(&reason))?;
    }
    let mut builder = Builder { layers, forks, is_taken, weighted: Vec::new(), known, input };
    let end = builder.forks.units(last);
    let layers = builder.way(Forks::FEATURES, end, None, 0)?;
    Ok(Tree { layers, weighted: builder.weighted, input, features })
}

/// The features that these layers take, which are the same for all, and the first of the layers.
fn features<'v, 'a>(layers: &'v [Layer<'a>], needed: &[usize]) -> Result<(&'v Layer<'a>, &'v Features<'a>), String> {
    let of = |layer: &'v Layer<'a>| {
        layer.inputs().iter().find_map(|input| match input {
            Input::Features(features) => Some(features),
            Input::Layer(..) => None,
        })
    };
    let mut all = needed.iter().filter_map(|&at| Some((&layers[at], of(&layers[at])?)));
    let (first, features) = all.next().ok_or("none of its layers takes the features")?;
    match all.find_map(|(layer, other)| Some((layer, other.differ(features)?))) {
        None => Ok((first, features)),
        Some((other, how)) => {
            let [one, other] = [first, other].map(Layer::name);
            Err(format!("{one} and {other} take the features {how}: both must take the same tensor"))
        }
    }
}

/// The form of the network's input: an image, where its first layers take one.
fn input(layers: &[Layer<'_>], needed: &[usize], features: &Features<'_>) -> Result<Form, String> {
    let takes = |layer: &Layer<'_>| match layer {
        Layer::Dense(dense) => Form::Features(dense.inputs),
        Layer::Made(made) => made.takes,
        Layer::Sum(sum) => sum.form,
    };
    let is_first = |layer: &Layer<'_>| layer.inputs().iter().any(|input| matches!(input, Input::Features(_)));
    let mut first = needed.iter().map(|&at| &layers[at]).filter(|layer| is_first(layer));
    let of = |layer: &Layer<'_>| match (takes(layer), features.image()) {
        // A sum of an image that is not moved is one of images.
        (Form::Features(_), Some(image)) if matches!(layer, Layer::Sum(_)) => Form::Image(image),
        (form, _) => form,
    };
    let one = first.next().ok_or("none of its layers takes the features")?;
    let is_image = |layer: &Layer<'_>| matches!(of(layer), Form::Image(_));
    match first.find(|other| is_image(other) != is_image(one)) {
        None => Ok(of(one)),
        Some(other) => Err(format!(
            "{} takes the features as {}, and {} as {}: both must take the same",
            one.name(),
            of(one),
            other.name(),
            of(other)
        )),
    }
}

struct Builder<'v, 'a, 'r> {
    layers: &'v [Layer<'a>],
    forks: Forks,
    /// The layers that the network has already.
    is_taken: Vec<bool>,
    weighted: Vec<&'v Layer<'a>>,
    known: Known<'r>,
    input: Form,
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
        let (mut made, mut form) = (Vec::new(), self.form(from));
        for (at, &point) in steps.iter().enumerate() {
            let layer = match self.forks.tensor(point) {
                Tensor::Features => continue,
                // The way begins with it, as in a residual whose activations come before its layers.
                Tensor::Activated(_, activation) if at == 0 => {
                    let dropout = self.known.dropouts.next().unwrap_or(0.0);
                    made.push(network::Layer::new(ActivationLayer::new(activation)).with_dropout(dropout));
                    continue;
                }
                // It is part of the layer before.
                Tensor::Activated(..) => continue,
                Tensor::Units(layer) => layer,
            };
            let activation = self.activation(steps.get(at + 1));
            // Too few are an error of the metadata, which is found once all layers are.
            let dropout = self.known.dropouts.next().unwrap_or(0.0);
            if let (true, Form::Image(_)) = (self.layers[layer].takes_features(), form) {
                made.push(FlattenLayer::new().into());
            }
            form = self.layers[layer].form();
            let again = std::mem::replace(&mut self.is_taken[layer], true);
            let kind: LayerKind = match &self.layers[layer] {
                other if again => {
                    let reason = format!("{} is part of both ways: each layer is on one", other.name());
                    return Err(of.map_or(reason.clone(), |sum| sum.say(self.layers, &reason)));
                }
                own @ Layer::Dense(dense) => {
                    self.weighted.push(own);
                    DenseLayer::new(dense.outputs).into()
                }
                own @ Layer::Made(made) => {
                    self.weighted.push(own);
                    made.kind.clone()
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

    /// The activation that a tensor is, which comes after its layer's units; identity where there is none.
    fn activation(&self, after: Option<&Point>) -> Activation {
        match after.map(|&point| self.forks.tensor(point)) {
            Some(Tensor::Activated(_, activation)) => activation,
            _ => Activation::Identity,
        }
    }

    /// The form of a tensor.
    fn form(&self, point: Point) -> Form {
        match self.forks.tensor(point) {
            Tensor::Features => self.input,
            Tensor::Units(layer) | Tensor::Activated(layer, _) => self.layers[layer].form(),
        }
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
        let number = |input: &Input<'_>| source(input, self.layers).map_or(0, Layer::number);
        let [of_a, of_b] = [a, b].map(|input| (self.forks.input(input), number(input)));
        if of_a.0 == of_b.0 {
            return Err(sum.say(self.layers, "both are the same tensor: a residual's ways are two"));
        }
        let is_longer = of_a.0 != fork && (of_b.0 == fork || self.known.body_first || of_a.1 >= of_b.1);
        let (body, shortcut) = if is_longer { (of_a.0, of_b.0) } else { (of_b.0, of_a.0) };
        let mut ways = [self.way(fork, body, Some(sum), depth + 1)?, self.way(fork, shortcut, Some(sum), depth + 1)?];
        if let (Form::Features(_), Form::Image(_)) = (sum.form, self.form(fork)) {
            // A way without layers that make features of the image has a flatten instead.
            ways.iter_mut().filter(|way| way.is_empty()).for_each(|way| way.push(FlattenLayer::new().into()));
        }
        Ok(ways)
    }
}
