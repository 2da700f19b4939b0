//! Networks at random: of images and of features, of every kind of layer, in sizes that are multiples of nothing.

use std::collections::BTreeSet;

use wgrad::{
    Activation, AvgPoolLayer, BatchNormLayer, ConvLayer, DenseLayer, FlattenLayer, Form, GlobalAvgPoolLayer,
    GroupNormLayer, Initializer, Layer, LayerNormLayer, MaxPoolLayer, Network, ResidualLayer, RmsNormLayer,
};

use crate::reference::interpreter::Interpreter;
use crate::reference::network::layers;
use crate::support::{ACTIVATIONS, Random, assert_close};

/// A network of at most five layers and those within them, of few outputs, all of whose choices follow from the seed. Minibatches of it have at least two
/// rows, as batch norm needs.
pub fn random_network(seed: u64) -> Network {
    let random = &mut Random(seed.wrapping_mul(2).wrapping_add(1));
    let size = |random: &mut Random, most: usize| 1 + random.below(most);
    let network = match random.below(4) {
        0 => Network::new(size(random, 12)),
        _ => {
            let [height, width] = [size(random, 9), size(random, 9)];
            Network::image(height, width, size(random, 6))
        }
    };
    let (mut form, mut all) = (network.input(), vec![]);
    for _ in 0..size(random, 5) {
        let layer = one(random, form, 2);
        form = layer.output(form);
        all.push(layer);
    }
    if let Form::Image(_) = form {
        let pools = random.below(2) == 0;
        all.push(if pools { GlobalAvgPoolLayer::new().into() } else { FlattenLayer::new().into() });
    }
    all.push(DenseLayer::new(2 + random.below(5)).into());
    let network = Network::of_form(network.input(), all);
    network.check().unwrap_or_else(|error| panic!("seed {seed}: {error}"));
    network
}

/// A layer that can follow, with an activation and a dropout that may be none. Sums are nested so deep at most.
fn one(random: &mut Random, form: Form, depth: usize) -> Layer {
    loop {
        let layer = match form {
            Form::Image(_) => of_image(random, form, depth),
            _ => of_features(random, form, depth),
        };
        let activation = ACTIVATIONS[random.below(ACTIVATIONS.len())];
        let layer = if random.below(2) == 0 { layer.with_activation(activation) } else { layer };
        let layer = if random.below(6) == 0 { layer.with_dropout(0.3) } else { layer };
        // What does not fit this form is drawn again.
        if Network::of_form(form, followed(form, layer.clone())).check().is_ok() {
            return layer;
        }
    }
}

/// A layer and what a whole network has after it.
fn followed(form: Form, layer: Layer) -> Vec<Layer> {
    let output = layer.output(form);
    let flatten = matches!(output, Form::Image(_)).then(|| FlattenLayer::new().into());
    [layer].into_iter().chain(flatten).chain([DenseLayer::new(2).into()]).collect()
}

fn of_features(random: &mut Random, form: Form, depth: usize) -> Layer {
    match random.below(6) {
        0 => BatchNormLayer::new().into(),
        1 => LayerNormLayer::new().into(),
        2 => RmsNormLayer::new().into(),
        3 if depth > 0 => {
            let inner = one(random, form, depth - 1);
            let back = DenseLayer::new(form.values()).into();
            ResidualLayer::new(vec![inner, back]).into()
        }
        4 if depth > 0 => {
            let units = 1 + random.below(9);
            let body = vec![one(random, form, depth - 1), DenseLayer::new(units).into()];
            ResidualLayer::new(body).with_shortcut(vec![DenseLayer::new(units).into()]).into()
        }
        _ => dense(random),
    }
}

fn dense(random: &mut Random) -> Layer {
    let dense = DenseLayer::new(1 + random.below(11));
    if random.below(4) == 0 { dense.without_bias().into() } else { dense.into() }
}

fn of_image(random: &mut Random, form: Form, depth: usize) -> Layer {
    let two = |random: &mut Random, most: usize| [1 + random.below(most), 1 + random.below(most)];
    match random.below(13) {
        0 => MaxPoolLayer::new(two(random, 3)).stride(two(random, 3)).padding(two(random, 2).map(|p| p - 1)).into(),
        1 => AvgPoolLayer::new(two(random, 3)).stride(two(random, 3)).padding(two(random, 2).map(|p| p - 1)).into(),
        2 => BatchNormLayer::new().momentum(0.3).into(),
        3 => LayerNormLayer::new().into(),
        4 => RmsNormLayer::new().into(),
        5 => GroupNormLayer::new(1 + random.below(4)).into(),
        6 if random.below(2) == 0 => FlattenLayer::new().into(),
        6 => GlobalAvgPoolLayer::new().into(),
        7 if depth > 0 => {
            let back = ConvLayer::new(form.channels(), two(random, 3)).same();
            let inner = ConvLayer::new(1 + random.below(7), two(random, 3)).same();
            let inner = Layer::new(inner).with_activation(ACTIVATIONS[random.below(ACTIVATIONS.len())]);
            ResidualLayer::new(vec![inner, back.into()]).into()
        }
        8 if depth > 0 => {
            let (channels, stride) = (1 + random.below(7), two(random, 2));
            let conv = |kernel: [usize; 2]| Layer::from(ConvLayer::new(channels, kernel).stride(stride).same());
            let body = vec![conv(two(random, 3)), BatchNormLayer::new().into()];
            ResidualLayer::new(body).with_shortcut(vec![conv([1, 1]).with_activation(Activation::Tanh)]).into()
        }
        _ => conv(random, form),
    }
}

fn conv(random: &mut Random, form: Form) -> Layer {
    let two = |random: &mut Random, most: usize| [1 + random.below(most), 1 + random.below(most)];
    let divisors: Vec<usize> = (1..=form.channels()).filter(|groups| form.channels().is_multiple_of(*groups)).collect();
    let groups = divisors[random.below(divisors.len())];
    let conv = ConvLayer::new(groups * (1 + random.below(3)), two(random, 4)).groups(groups);
    let conv = conv.stride(two(random, 2)).dilation(two(random, 2));
    let conv = match random.below(3) {
        0 => conv,
        1 => conv.same(),
        _ => conv.padding(two(random, 3).map(|p| p - 1)),
    };
    if random.below(4) == 0 { conv.without_bias().into() } else { conv.into() }
}

/// Finds a generator that no longer draws some op, and a sample of which the interpreter makes something else beside other samples.
#[test]
fn random_networks_have_every_op_and_samples_of_their_own() {
    let mut ops = BTreeSet::new();
    for seed in 0..300 {
        let network = random_network(seed);
        assert_eq!(network, random_network(seed), "seed {seed}");
        let (graph, _) = network.forward(3, true);
        ops.extend(graph.nodes().map(|(_, node)| node.op.to_string().split(' ').next().unwrap().to_string()));
        let (twin, parameters) =
            (Interpreter::evaluating(&network), layers(&Initializer::Torch.weights(&network, seed)));
        let x = Random(seed + 1).values(3 * network.inputs());
        let each = x.chunks_exact(network.inputs()).flat_map(|x| twin.logits(&parameters, x)).collect::<Vec<_>>();
        assert_close(&format!("seed {seed}: {}", network.shape()), &twin.logits(&parameters, &x), &each, 1e-12);
    }
    let kinds =
        "linear conv max_pool avg_pool global_avg_pool batch_norm layer_norm rms_norm group_norm flatten dropout add";
    let activations = ACTIVATIONS.iter().filter(|&&of| of != Activation::Identity).map(Activation::to_string);
    for op in kinds.split(' ').map(String::from).chain(activations) {
        assert!(ops.contains(&op), "no {op} among {ops:?}");
    }
}
