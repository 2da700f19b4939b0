//! The layers of networks of images: their shapes, the names of their weights, their words, and what is refused.

use std::collections::BTreeMap;
use std::path::PathBuf;

use safetensors::SafeTensors;
use serde_json::Value;
use wgrad::layout::Image;
use wgrad::{
    Activation, AvgPoolLayer, BatchNormLayer, ConvLayer, DenseLayer, DropoutLayer, Form, GlobalAvgPoolLayer,
    GroupNormLayer, Initializer, Layer, LayerNormLayer, MaxPoolLayer, Network, RepeatLayer,
};

use crate::support::{Random, files_in, refused};

/// The weights of the trajectories that PyTorch computed have the names and the shapes of the network that their header lists. Finds an output's size, a
/// number in a name, or a kind of weights that is not PyTorch's; and words that are not read as the header of `make_golden_nets.py` has them.
#[test]
fn names_and_shapes_are_pytorchs() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden-nets");
    let files: Vec<String> = files_in(&folder).into_iter().filter(|name| name.ends_with(".safetensors")).collect();
    assert_eq!(files.len(), 29);
    for name in files {
        let bytes = std::fs::read(folder.join(&name)).unwrap();
        let file = SafeTensors::deserialize(&bytes).unwrap();
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let case: Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["case"]).unwrap();
        let mut expected: BTreeMap<String, Vec<usize>> = file
            .tensors()
            .into_iter()
            .filter_map(|(name, tensor)| Some((name.strip_prefix("init.")?.to_string(), tensor.shape().to_vec())))
            .collect();
        let layers =
            Layer::list_from_json(&case["layers"].to_string()).unwrap_or_else(|error| panic!("{name}: {error}"));
        if name == "autoencoder.safetensors" {
            // Networks of dense layers alone keep their older names, in which identity has a number.
            for (from, to) in [("5", "6"), ("3", "4")] {
                for part in ["weight", "bias"] {
                    let shape = expected.remove(&format!("{from}.{part}")).unwrap();
                    expected.insert(format!("{to}.{part}"), shape);
                }
            }
        }
        let input = match *file.tensor("x").unwrap().shape() {
            [_, length] if case["layers"][0].get("embedding").is_some() => Form::Tokens(length),
            [_, features] => Form::Features(features),
            [_, height, width, channels] => form(height, width, channels),
            ref other => panic!("{name}: {other:?}"),
        };
        let network = Network::of_form(input, layers);
        network.check().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(tensors(&network), expected, "{name}");
        assert_eq!(network.outputs(), *file.tensor("eval").unwrap().shape().last().unwrap(), "{name}");
    }
}

/// The tensors of a network in files, with their shapes.
fn tensors(network: &Network) -> BTreeMap<String, Vec<usize>> {
    let named = network.named_parameters().into_iter();
    let both = named.flat_map(|own| {
        let [weight, bias] = own.tensor_names();
        [Some((weight, own.shape())), own.bias.then_some((bias, vec![own.outputs]))]
    });
    both.flatten().collect()
}

fn form(height: usize, width: usize, channels: usize) -> Form {
    let [height, width, channels] = [height, width, channels].map(|side| side as u32);
    Form::Image(Image { height, width, channels })
}

/// A layer's output is as large as the formulas of PyTorch's documentation say, for windows, strides, paddings and dilations of all kinds.
#[test]
fn outputs_are_as_large_as_pytorchs() {
    let random = &mut Random(5);
    let mut judged = 0;
    for _ in 0..4000 {
        let mut pair = |least: usize, most: usize| [0; 2].map(|_| least + random.below(most + 1 - least));
        let (image, kernel, stride, dilation) = (pair(1, 12), pair(1, 5), pair(1, 4), pair(1, 3));
        let (padding, half) = (pair(0, 4), pair(0, 2));
        // torch.nn.Conv2d: ⌊(H + 2·padding − dilation·(kernel − 1) − 1) / stride + 1⌋
        let sides = |padding: [usize; 2], dilation: [usize; 2]| {
            [0, 1].map(|at| {
                let room = (image[at] + 2 * padding[at]) as f64 - (dilation[at] * (kernel[at] - 1)) as f64 - 1.0;
                (room / stride[at] as f64 + 1.0).floor()
            })
        };
        let fits = |padding: [usize; 2], dilation: [usize; 2]| {
            (0..2).all(|at| image[at] + 2 * padding[at] > dilation[at] * (kernel[at] - 1))
        };
        let assert_output = |layer: Layer, fits: bool, [height, width]: [f64; 2], channels: usize| {
            let input = form(image[0], image[1], 3);
            let network = Network::of_form(input, vec![layer.clone()]).flatten().dense(2, Activation::Identity);
            assert_eq!(network.check().is_ok(), fits, "{layer:?} of {image:?}: {:?}", network.check());
            if fits {
                assert_eq!(
                    layer.output(input),
                    form(height as usize, width as usize, channels),
                    "{layer:?} of {image:?}"
                );
            }
        };
        let conv = ConvLayer::new(5, kernel).stride(stride).dilation(dilation);
        assert_output(conv.clone().padding(padding).into(), fits(padding, dilation), sides(padding, dilation), 5);
        assert_output(conv.clone().into(), fits([0; 2], dilation), sides([0; 2], dilation), 5);
        // padding="same" of TensorFlow, which is PyTorch's where strides are 1: ⌈H / stride⌉
        let same = [0, 1].map(|at| (image[at] as f64 / stride[at] as f64).ceil());
        assert_output(conv.same().into(), true, same, 5);
        // torch.nn.MaxPool2d and AvgPool2d, whose padding is at most half a window.
        let is_half = (0..2).all(|at| half[at] <= kernel[at] / 2);
        let fits_pool = is_half && fits(half, [1; 2]);
        assert_output(MaxPoolLayer::new(kernel).stride(stride).padding(half).into(), fits_pool, sides(half, [1; 2]), 3);
        assert_output(AvgPoolLayer::new(kernel).stride(stride).padding(half).into(), fits_pool, sides(half, [1; 2]), 3);
        judged += usize::from(fits_pool) + usize::from(fits(padding, dilation));
    }
    assert!(judged > 2000, "{judged}");
}

/// A network with every kind of layer and every option comes back from its words; they are those of the header of `make_golden_nets.py`.
#[test]
fn words_come_back() {
    use Activation::{Gelu, Identity, Relu, Silu, Tanh};
    let conv = ConvLayer::new(8, [3, 1]).stride([2, 1]).padding([1, 0]).dilation([1, 2]).groups(4).without_bias();
    let network = Network::image(20, 24, 4)
        .dropout(0.1)
        .activation(Tanh)
        .with(Layer::new(conv).with_initializer(Initializer::HeNormal))
        .with(Layer::new(BatchNormLayer::new().momentum(0.2).eps(1e-3)).with_initializer(Initializer::Constant(0.5)))
        .activation(Relu)
        .with(ConvLayer::new(8, 3).same().into())
        .with(ConvLayer::new(8, 3).padding(1).into())
        .max_pool([2, 3])
        .with(AvgPoolLayer::new(3).stride(1).padding(1).into())
        .layer_norm()
        .rms_norm()
        .with(Layer::new(GroupNormLayer::new(2).eps(1e-4)).with_activation(Gelu).with_dropout(0.2))
        .repeat(2, |copy| copy.residual(|body| body.conv(8, 1, Relu).batch_norm()).activation(Silu))
        .residual_with_shortcut(|body| body.global_avg_pool(), |x| x.flatten().dense(8, Identity))
        .flatten()
        .with(DenseLayer::new(6).without_bias().into())
        .with(LayerNormLayer::new().eps(1e-6).into())
        .dense(3, Identity);
    network.check().unwrap();
    let words = network.layers_to_json();
    let read = |words: &str| Network::of_form(network.input(), Layer::list_from_json(words).unwrap());
    assert_eq!(read(&words), network, "{words}");
    let list: Vec<Value> = serde_json::from_str(&words).unwrap();
    for part in [
        r#"{"dropout":0.1}"#,
        r#"{"activation":"tanh"}"#,
        r#"{"conv":8,"kernel":[3,1],"stride":[2,1],"padding":[1,0],"dilation":[1,2],"groups":4,"bias":false,"initializer":"he-normal"}"#,
        r#"{"batch_norm":true,"momentum":0.2,"eps":0.001,"initializer":"constant:0.5","activation":"relu"}"#,
        r#"{"conv":8,"kernel":3,"padding":"same"}"#,
        r#"{"conv":8,"kernel":3,"padding":1}"#,
        r#"{"max_pool":[2,3]}"#,
        r#"{"avg_pool":3,"stride":1,"padding":1}"#,
        r#"{"layer_norm":true}"#,
        r#"{"rms_norm":true}"#,
        r#"{"group_norm":2,"eps":0.0001,"activation":"gelu","dropout":0.2}"#,
        r#"{"repeat":2,"layers":[{"residual":[{"conv":8,"kernel":1,"activation":"relu"},{"batch_norm":true}],"activation":"silu"}]}"#,
        r#"{"residual":[{"global_avg_pool":true}],"shortcut":[{"flatten":true},{"dense":8}]}"#,
        r#"{"flatten":true}"#,
        r#"{"dense":6,"bias":false}"#,
        r#"{"layer_norm":true,"eps":0.000001}"#,
    ] {
        assert!(list.contains(&serde_json::from_str(part).unwrap()), "no {part} in {words}");
    }
    // What is usual need not be there.
    let long = r#"[{ "max_pool": 2, "stride": [2, 2], "padding": 0 }, { "conv": 4, "kernel": [3, 3], "stride": 1, "padding": "valid", "bias": true }]"#;
    let short = r#"[{ "max_pool": 2 }, { "conv": 4, "kernel": 3 }]"#;
    assert_eq!(Layer::list_from_json(long).unwrap(), Layer::list_from_json(short).unwrap());
}

/// A repeat's copies are named as layers of the list that it is in, and have weights of their own.
#[test]
fn copies_of_a_repeat_follow_each_other() {
    use Activation::{Identity, Relu};
    let block = |copy: Network| copy.conv(4, 3, Relu).max_pool(1).residual(|body| body.conv(4, 1, Identity));
    let repeated = Network::image(9, 9, 4).repeat(3, block).activation(Relu).flatten().dense(2, Identity);
    let written = block(block(block(Network::image(9, 9, 4))))
        .with(Layer::list_from_json(r#"[{"activation":"relu"}]"#).unwrap().remove(0));
    let written = written.flatten().dense(2, Identity);
    assert_eq!(tensors(&repeated), tensors(&written));
    assert_eq!(repeated.shape(), written.shape());
    assert_eq!(repeated.shape(), "9×9×4-7×7×4-(7×7×4)-5×5×4-(5×5×4)-3×3×4-(3×3×4)-36-2");
    let [one, other] = [&repeated, &written].map(|network| network.forward(4, true).0.to_string());
    assert_eq!(one, other);
    let locations: Vec<String> = repeated.named_parameters().into_iter().map(|own| own.location).collect();
    assert_eq!(locations[2..4], ["layer 1's copy 2, layer 1", "layer 1's copy 2, layer 3's body, layer 1"]);
    // Without end, in words and in Rust.
    let endless = r#"[{ "repeat": 1000000, "layers": [{ "repeat": 1000000, "layers": [{ "dense": 2 }] }] }]"#;
    refused(&["at most 100000"], Layer::list_from_json(endless));
    let layers =
        (0..9).fold(vec![DenseLayer::new(4).into()], |inner, _| vec![RepeatLayer::new(usize::MAX, inner).into()]);
    let network = Network::of_layers(4, layers).dense(2, Identity);
    assert_eq!((network.outputs(), network.shape().as_str()), (2, "4-2"));
    refused(&["layers, with all copies", "at most 100000"], network.check());
}

/// An initializer of a layer's own takes the place of the network's.
#[test]
fn a_layer_has_its_own_initializer() {
    let network = Network::image(6, 6, 2)
        .with(Layer::new(ConvLayer::new(4, 3)).with_initializer(Initializer::Constant(0.25)))
        .with(Layer::new(BatchNormLayer::new()).with_initializer(Initializer::Constant(0.0)))
        .batch_norm()
        .flatten()
        .dense(2, Activation::Identity);
    let weights = Initializer::Constant(3.0).weights(&network, 1).layers;
    let firsts: Vec<f32> = weights.iter().map(|layer| layer.weight[0]).collect();
    assert_eq!(firsts, [0.25, 0.0, 0.0, 1.0, 0.0, 3.0]);
    let variances = [&weights[2].bias, &weights[4].bias];
    assert!(variances.iter().all(|bias| bias[..] == [1.0; 4]));
}

/// Dropout and an activation before any layer are layers; after a layer they are that layer's.
#[test]
fn dropout_is_offered_everywhere() {
    let network = Network::image(4, 4, 1).dropout(0.2).flatten().dropout(0.5).dense(3, Activation::Identity);
    network.check().unwrap();
    assert_eq!(network.layers()[0], DropoutLayer::new(0.2).into());
    let rates: Vec<f64> = network.layers().iter().map(Layer::dropout).collect();
    assert_eq!(rates, [0.2, 0.5, 0.0]);
    assert_eq!(network.named_parameters()[0].name, "3");
    let graph = network.forward(4, true).0.to_string();
    assert_eq!(graph.matches("dropout").count(), 2, "{graph}");
    assert_eq!(network.forward(4, false).0.to_string().matches("dropout").count(), 0);
}

/// What does not fit is refused with the layer's location and word, what comes in, and what would be right.
#[test]
fn layers_that_do_not_fit_are_refused_by_name() {
    use Activation::{Identity, Relu};
    let image = || Network::image(8, 6, 4);
    let with = |layer: Layer| image().with(layer).flatten().dense(2, Identity);
    let of_large = |layer: Layer| Network::image(600, 600, 4).with(layer).flatten().dense(2, Identity);
    let conv = || ConvLayer::new(4, 3);
    let pool = || MaxPoolLayer::new(2);
    let begin = "layer 1 (conv) has an image of 8×6×4 as its input and ";
    for (words, network) in [
        (&[begin, "a kernel of 9×9", "8×6 with its padding"][..], with(ConvLayer::new(4, 9).into())),
        (&[begin, "a kernel of 9×5 with its dilation", "8×6"], with(ConvLayer::new(4, [5, 3]).dilation(2).into())),
        (&[begin, "a kernel of 0×3"], with(ConvLayer::new(4, [0, 3]).into())),
        (&[begin, "a stride of 1×0"], with(conv().stride([1, 0]).into())),
        (&[begin, "a dilation of 0×0"], with(conv().dilation(0).into())),
        (
            &[begin, "groups of 3", "the 4 that come in", "the 6 that go out"],
            with(ConvLayer::new(6, 3).groups(3).into()),
        ),
        (&[begin, "groups of 4", "the 6 that go out"], with(ConvLayer::new(6, 3).groups(4).into())),
        (&[begin, "groups of 0"], with(conv().groups(0).into())),
        (&[begin, "0 channels"], with(ConvLayer::new(0, 3).into())),
        (
            &[begin, "16777217 channels that go out", "from 1 to 16777216"],
            with(ConvLayer::new((1 << 24) + 1, 3).into()),
        ),
        (&[begin, "16777216 are allowed"], with(ConvLayer::new(1 << 20, 3).into())),
        (&[begin, "padding with which"], with(conv().padding(usize::MAX).into())),
        (&[begin, "a kernel of 18446744073709551615×18446744073709551615"], with(ConvLayer::new(4, usize::MAX).into())),
        (&[begin, "a stride of 18446744073709551615"], with(conv().stride(usize::MAX).into())),
        (&[begin, "values with its channels"], with(ConvLayer::new(1, 3000).padding(1500).into())),
        (
            &[begin, "the initializer constant:NaN"],
            with(Layer::new(conv()).with_initializer(Initializer::Constant(f32::NAN))),
        ),
        (&["layer 1 (max_pool)", "8×6×4", "a window of 7×7", "8×6"], with(MaxPoolLayer::new(7).into())),
        (
            &["layer 1 (max_pool)", "a padding of 2×2", "half of the window, which is 2×2"],
            with(pool().padding(2).into()),
        ),
        (&["layer 1 (max_pool)", "a stride of 0×0"], with(pool().stride(0).into())),
        (&["layer 1 (avg_pool)", "a padding of 0×1"], with(AvgPoolLayer::new([3, 1]).padding([0, 1]).into())),
        // What a software driver would end in the middle, without a word.
        (&["layer 1 (max_pool)", "a window of 127×126", "126×125"], of_large(MaxPoolLayer::new([127, 126]).into())),
        (&["layer 1 (avg_pool)", "a window of 200×200", "126×125"], of_large(AvgPoolLayer::new(200).into())),
        (
            &["layer 1 (global_avg_pool)", "an image of 360000 pixels", "250000"],
            of_large(GlobalAvgPoolLayer::new().into()),
        ),
        (
            &["layer 1 (conv)", "groups of 2", "a kernel of 150×150", "at most 60000"],
            of_large(ConvLayer::new(4, 150).groups(2).into()),
        ),
        (
            &["layer 2 (layer_norm)", "a norm over 1440000 features", "80000"],
            Network::image(600, 600, 4).flatten().layer_norm().dense(2, Identity),
        ),
        (&["layer 1 (group_norm)", "8×6×4", "groups of 3", "4 channels"], with(GroupNormLayer::new(3).into())),
        (&["layer 1 (group_norm)", "groups of 0"], with(GroupNormLayer::new(0).into())),
        (&["layer 1 (batch_norm)", "an eps of 0"], with(BatchNormLayer::new().eps(0.0).into())),
        (&["layer 1 (batch_norm)", "an eps of NaN"], with(BatchNormLayer::new().eps(f64::NAN).into())),
        (&["layer 1 (batch_norm)", "a momentum of 1.5"], with(BatchNormLayer::new().momentum(1.5).into())),
        (&["layer 1 (layer_norm)", "an eps of -1"], with(LayerNormLayer::new().eps(-1.0).into())),
        (
            &["layer 1 (batch_norm)", "the initializer torch", "constant:1"],
            with(Layer::new(BatchNormLayer::new()).with_initializer(Initializer::Torch)),
        ),
        (
            &["layer 1 (max_pool)", "the initializer torch", "no weights"],
            with(Layer::new(pool()).with_initializer(Initializer::Torch)),
        ),
        (
            &["layer 1 (dropout)", "after its own dropout"],
            with(Layer::new(DropoutLayer::new(0.5)).with_activation(Relu)),
        ),
        (
            &["layer 1 (dense) has an image of 8×6×4 as its input and takes features: add a flatten"],
            image().dense(2, Identity),
        ),
        (
            &["layer 1 (conv) has 9 inputs and takes an image", "height, width and channels"],
            Network::new(9).conv(4, 3, Relu).dense(2, Identity),
        ),
        (
            &["layer 2 (conv) has 192 inputs and takes an image", "8×6×4", "move the flatten"],
            image().flatten().conv(4, 3, Relu).dense(2, Identity),
        ),
        (
            &["layer 2 (max_pool) has 5 inputs and takes an image"],
            Network::new(9).dense(5, Relu).max_pool(2).dense(2, Identity),
        ),
        (&["layer 1 (global_avg_pool) has 9 inputs"], Network::new(9).global_avg_pool().dense(2, Identity)),
        (&["layer 1 (group_norm) has 4 inputs", "one value"], Network::new(4).group_norm(4).dense(2, Identity)),
        (
            &[
                "layer 1 (residual) has an image of 8×6×4",
                "a body with an image of 6×4×4",
                "must have an image of 8×6×4 as its output, or a shortcut must have an image of 6×4×4 as its output",
            ],
            image().residual(|body| body.conv(4, 3, Relu)).flatten().dense(2, Identity),
        ),
        (
            &[
                "layer 1 (residual)",
                "a body with an image of 6×4×4 as its output, and a shortcut with an image of 8×6×4 as its output",
            ],
            image()
                .residual_with_shortcut(|body| body.conv(4, 3, Relu), |x| x.conv(4, 1, Relu))
                .flatten()
                .dense(2, Identity),
        ),
        (
            &["layer 1's copy 3, layer 1 (conv) has an image of 4×2×4 as its input", "a kernel of 3×3"],
            image().repeat(3, |copy| copy.conv(4, 3, Relu)).flatten().dense(2, Identity),
        ),
        (&["layer 1 (repeat)", "0 copies"], image().repeat(0, |copy| copy.flatten()).flatten().dense(2, Identity)),
        (&["layer 1 (repeat)", "without layers"], image().repeat(2, |copy| copy).flatten().dense(2, Identity)),
        (&["layer 2 (flatten), is not dense"], image().conv(4, 3, Relu).flatten()),
        (&["the input is an image of 8×0×1"], Network::image(8, 0, 1).flatten().dense(2, Identity)),
        (
            &["the input has a side of 18446744073709551615"],
            Network::image(usize::MAX, usize::MAX, 1).flatten().dense(2, Identity),
        ),
        (
            &["the input has a side of 4294967297", "4294967297×1×1", "16777216 are allowed"],
            Network::image((1 << 32) + 1, 1, 1).flatten().dense(2, Identity),
        ),
    ] {
        refused(words, network.check());
        // What is asked of a network that does not pass is no panic either.
        assert!(network.shape().starts_with(&network.input().to_string()));
        let _: usize = network.parameters();
        assert_eq!(Initializer::Torch.weights(&network, 1).layers, vec![]);
    }
}

/// Words that are none, by the layer's location, with the word that other programs' stand for.
#[test]
fn words_of_other_programs_are_told() {
    for (list, words) in [
        (r#"[{ "Conv2D": 8 }]"#, &["layer 1: \"Conv2D\"", "write conv;"][..]),
        (r#"[{ "MaxPooling2D": 2 }]"#, &["write max_pool;"]),
        (r#"[{ "AveragePooling2D": 2 }]"#, &["write avg_pool;"]),
        (r#"[{ "AdaptiveAvgPool2d": 1 }]"#, &["write global_avg_pool;"]),
        (r#"[{ "BatchNorm2d": 8 }]"#, &["write batch_norm;"]),
        (r#"[{ "LayerNormalization": true }]"#, &["write layer_norm;"]),
        (r#"[{ "GroupNormalization": 4 }]"#, &["write group_norm;"]),
        (
            r#"[{ "convv": 8, "activation": "relu" }]"#,
            &["layer 1: \"convv\" is not a layer's word: did you mean conv?"],
        ),
        (r#"[{ "initializer": "torch", "activation": "relu" }]"#, &["layer 1 has only", "one of the words dense"]),
        (r#"[{ "ReLU": true }]"#, &["write activation = \"relu\";"]),
        (r#"[{ "conv": 8 }]"#, &["layer 1 (conv): kernel is missing", "[down, across]"]),
        (
            r#"[{ "conv": 8, "kernel_size": 3 }]"#,
            &["kernel is missing", "\"kernel_size\" is not an option of conv: write kernel;"],
        ),
        // A misspelt key is named beside the one that is missing: in nested layers, and next to right keys.
        (
            r#"[{ "conv": 8, "kernal": 3 }]"#,
            &["kernel is missing", "\"kernal\" is not an option of conv: did you mean kernel?"],
        ),
        (
            r#"[{ "residual": [{ "conv": 8, "padding": "same", "kernels": 3, "bias": false, "activation": "relu" }] }]"#,
            &["layer 1's body, layer 1 (conv): kernel is missing", "\"kernels\" is not an option of conv"],
        ),
        (r#"[{ "conv": 8, "kernel": 3, "strides": 2 }]"#, &["\"strides\" is not an option of conv: write stride;"]),
        (r#"[{ "dense": 8, "strides": 2 }]"#, &["\"strides\" is not an option of dense: use one of"]),
        (r#"[{ "conv": 8, "kernel": [3] }]"#, &["kernel is [3]"]),
        (r#"[{ "conv": 8, "kernel": [3, 0] }]"#, &["kernel is [3,0]: it must be a whole number, at least 1"]),
        (r#"[{ "conv": 8, "kernel": 3, "padding": "full" }]"#, &["padding is \"full\"", "\"same\""]),
        (r#"[{ "conv": 8, "kernel": 3, "padding": -1 }]"#, &["padding is -1"]),
        (r#"[{ "conv": 8, "kernel": 3, "bias": 1 }]"#, &["bias is 1: it must be true or false"]),
        (r#"[{ "flatten": false }]"#, &["layer 1 (flatten): flatten is false: it must be true"]),
        (r#"[{ "flatten": true, "initializer": "torch" }]"#, &["\"initializer\" is not an option of flatten"]),
        (r#"[{ "dense": 3, "initializer": "torche" }]"#, &["layer 1 (dense): initializer: ", "did you mean torch?"]),
        (r#"[{ "batch_norm": true, "epsilon": 1e-3 }]"#, &["write eps;"]),
        (r#"[{ "repeat": 2, "layers": [{ "dens": 3 }] }]"#, &["layer 1's layers, layer 1: \"dens\""]),
        (r#"[{ "conv": 8, "kernel": 3, "max_pool": 2 }]"#, &["the words conv and max_pool: exactly one"]),
        (r#"[{ "dense": 3 "#, &["the list of layers", "EOF"]),
    ] {
        refused(words, Layer::list_from_json(list));
    }
}
