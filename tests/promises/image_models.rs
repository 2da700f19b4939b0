//! Networks of images in files: their form, every layer's options, running statistics, and what does not fit, by name.

mod onnx;

use std::collections::HashMap;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::{Value, json};
use wgrad::{
    Activation, AvgPoolLayer, BatchNormLayer, Checkpoint, Checkpointing, ConvLayer, DenseLayer, GroupNormLayer,
    Initializer, Layer, LayerNormLayer, Loss, MaxPoolLayer, Model, Network, ParameterKind, Predictor, RmsNormLayer,
    TrainOptions, Trainer, Weights,
};

use crate::support::{Random, bits, gpu, learnable, refused};

/// Networks of images with every layer, in several surroundings.
pub fn networks() -> Vec<(&'static str, Network)> {
    use Activation::{Gelu, Identity, Relu, Silu, Tanh};
    let conv = |channels: usize, kernel: usize| ConvLayer::new(channels, kernel);
    let with = |layer: ConvLayer, activation| Layer::new(layer).with_activation(activation);
    let image = || Network::image(9, 7, 3);
    vec![
        ("a convnet", image().conv(6, 3, Relu).max_pool(2).conv(5, 2, Tanh).flatten().dropout(0.5).dense(7, Relu)),
        (
            "strides and padding",
            image()
                .with(with(conv(6, 3).stride([2, 1]).padding(1), Relu))
                .with(with(conv(5, 4).same(), Gelu))
                .flatten(),
        ),
        (
            "same with a stride, dilation",
            image().with(with(conv(6, 3).stride(2).same(), Silu)).with(conv(4, 2).dilation([2, 1]).into()).flatten(),
        ),
        ("same with dilation", image().with(ConvLayer::new(6, [3, 2]).dilation(2).same().into()).flatten()),
        (
            "groups",
            image()
                .conv(8, 3, Relu)
                .with(with(conv(8, 3).groups(8).same().without_bias(), Relu))
                .with(conv(6, 1).groups(2).into())
                .flatten(),
        ),
        (
            "pools",
            image()
                .with(MaxPoolLayer::new(3).stride(2).padding(1).into())
                .with(Layer::new(AvgPoolLayer::new([3, 2]).stride(1).padding([1, 0])).with_activation(Tanh))
                .conv(4, 2, Relu)
                .avg_pool(2)
                .flatten(),
        ),
        (
            "batch norms",
            image()
                .with(BatchNormLayer::new().momentum(0.03).eps(1e-3).into())
                .with(conv(6, 3).without_bias().into())
                .batch_norm()
                .activation(Relu)
                .global_avg_pool()
                .batch_norm()
                .with(Layer::new(DenseLayer::new(9).without_bias()))
                .batch_norm()
                .activation(Relu),
        ),
        (
            "norms",
            image()
                .conv(8, 3, Identity)
                .with(GroupNormLayer::new(4).eps(1e-4).into())
                .activation(Relu)
                .with(LayerNormLayer::new().eps(1e-6).into())
                .with(RmsNormLayer::new().eps(1e-6).into())
                .group_norm(8)
                .global_avg_pool()
                .layer_norm()
                .rms_norm()
                .group_norm(2),
        ),
        ("norms of a flattened image", image().conv(2, 3, Relu).flatten().layer_norm().batch_norm().rms_norm()),
        (
            "a residual network",
            image()
                .with(conv(6, 3).same().without_bias().into())
                .batch_norm()
                .activation(Relu)
                .repeat(2, |copy| {
                    let body = |body: Network| {
                        let body = body.with(conv(6, 3).same().without_bias().into()).batch_norm().activation(Relu);
                        body.with(conv(6, 3).same().without_bias().into()).batch_norm()
                    };
                    copy.residual(body).activation(Relu)
                })
                .residual_with_shortcut(
                    |body| body.with(conv(10, 3).stride(2).padding(1).without_bias().into()).batch_norm(),
                    |x| x.with(conv(10, 1).stride(2).without_bias().into()).batch_norm(),
                )
                .activation(Relu)
                .global_avg_pool(),
        ),
        (
            "activations and dropouts alone",
            image()
                .dropout(0.1)
                .activation(Tanh)
                .conv(4, 3, Relu)
                .with(wgrad::ActivationLayer::new(Gelu).into())
                .with(wgrad::DropoutLayer::new(0.3).into())
                .flatten(),
        ),
        (
            "an initializer, a residual of a flattened image",
            image()
                .with(Layer::new(conv(2, 3)).with_initializer(Initializer::HeNormal))
                .flatten()
                .residual(|body| body.dense(8, Relu).dense(70, Identity)),
        ),
        ("features with norms", Network::new(12).dense(8, Relu).layer_norm().dense(8, Relu).batch_norm().rms_norm()),
        (
            "one pixel, one channel",
            Network::image(1, 1, 1).with(with(conv(3, 3).padding(1), Relu)).max_pool(1).flatten(),
        ),
    ]
    .into_iter()
    .map(|(what, network)| (what, network.dense(3, Identity)))
    .collect()
}

/// A model with weights that are all different, and with statistics as after training.
pub fn model(network: &Network) -> Model {
    network.check().unwrap_or_else(|error| panic!("{}: {error}", network.shape()));
    let (mut random, mut weights) = (Random(5), Initializer::Torch.weights(network, 3));
    for (parameter, layer) in network.named_parameters().iter().zip(&mut weights.layers) {
        let is_norm = matches!(parameter.kind, ParameterKind::Scale | ParameterKind::Statistics);
        if is_norm {
            layer.weight.iter_mut().for_each(|value| *value += 0.5 * random.value() as f32);
            layer.bias.iter_mut().for_each(|value| *value += 0.5 * random.value() as f32);
        }
    }
    Model::new(network.clone(), weights, Loss::default())
}

/// Finds an option of a layer, the image's form or a tensor that a file loses.
#[test]
fn networks_of_images_come_back_from_model_files() {
    let folder = tempfile::tempdir().unwrap();
    let (path, again) = (folder.path().join("m.safetensors"), folder.path().join("again.safetensors"));
    for (what, network) in networks() {
        let model = model(&network);
        model.write(&path).unwrap();
        let back = Model::read(&path).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert_eq!(back, model, "{what}");
        assert_eq!(bits(&back.weights), bits(&model.weights), "{what}");
        back.write(&again).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), std::fs::read(&again).unwrap(), "{what}");
        assert_eq!(Model::read_state_dict(&path, None).unwrap(), model, "{what}");
    }
    // Kept as a list, so that a number of features is not taken for it.
    model(&networks()[0].1).write(&path).unwrap();
    assert_eq!(about(&path)["inputs"], json!([9, 7, 3]));
}

fn about(path: &Path) -> Value {
    let bytes = std::fs::read(path).unwrap();
    let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
    serde_json::from_str(&header.metadata().as_ref().unwrap()["wgrad"]).unwrap()
}

/// A file with some of its tensors and its metadata changed.
type Tensors = Vec<(String, Vec<usize>, Vec<f32>)>;
fn changed(from: &Path, to: &Path, change: impl FnOnce(&mut Tensors, &mut Value)) {
    let bytes = std::fs::read(from).unwrap();
    let (mut tensors, mut said) = (tensors(&bytes), about(from));
    change(&mut tensors, &mut said);
    save(to, &tensors, Some(said));
}

fn tensors(bytes: &[u8]) -> Tensors {
    let file = SafeTensors::deserialize(bytes).unwrap();
    let values = |data: &[u8]| data.chunks_exact(4).map(|four| f32::from_le_bytes(four.try_into().unwrap())).collect();
    file.iter().map(|(name, tensor)| (name.to_string(), tensor.shape().to_vec(), values(tensor.data()))).collect()
}

/// Writes tensors, as PyTorch does where there is no metadata.
pub fn save(path: &Path, tensors: &Tensors, about: Option<Value>) {
    let bytes: Vec<Vec<u8>> =
        tensors.iter().map(|(.., values)| values.iter().flat_map(|value| value.to_le_bytes()).collect()).collect();
    let views = tensors.iter().zip(&bytes).map(|((name, shape, _), bytes)| {
        (name, safetensors::tensor::TensorView::new(safetensors::Dtype::F32, shape.clone(), bytes).unwrap())
    });
    let entries = about.map(|about| HashMap::from([("wgrad".to_string(), about.to_string())]));
    std::fs::write(path, safetensors::serialize(views, entries).unwrap()).unwrap();
}

/// Finds a tensor that is read for another, or a file that is read as another network.
#[test]
fn tensors_that_do_not_fit_are_refused_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let (path, other) = (folder.path().join("m.safetensors"), folder.path().join("other.safetensors"));
    let network = Network::image(8, 8, 3)
        .with(ConvLayer::new(4, 3).without_bias().into())
        .batch_norm()
        .flatten()
        .dense(2, Activation::Identity);
    model(&network).write(&path).unwrap();
    type Change = fn(&mut Tensors, &mut Value);
    let cases: [(Change, &[&str]); 14] = [
        (
            |tensors, _| at(tensors, "0.weight").1 = vec![3, 4, 3, 3],
            &["0.weight has the shape [3, 4, 3, 3]", "layer 1", "[4, 3, 3, 3]"],
        ),
        (|tensors, _| at(tensors, "0.weight").1 = vec![4, 27], &["0.weight has the shape [4, 27]", "[4, 3, 3, 3]"]),
        (|tensors, _| at(tensors, "1.running_mean").1 = vec![2, 2], &["1.running_mean has the shape [2, 2]", "[4]"]),
        (|tensors, _| at(tensors, "1.running_var").2[1] = -0.5, &["1.running_var holds -0.5", "variance"]),
        (|tensors, _| at(tensors, "1.running_mean").2[1] = f32::NAN, &["1.running_mean holds NaN"]),
        (|tensors, _| at(tensors, "1.weight").2[1] = f32::INFINITY, &["1.weight holds inf"]),
        (|tensors, _| tensors.retain(|(name, ..)| name != "1.running_var"), &["no tensor 1.running_var"]),
        (|tensors, _| tensors.push(("0.bias".into(), vec![4], vec![0.0; 4])), &["0.bias", "layer 1", "no bias"]),
        (|tensors, _| tensors.push(("0.running_mean".into(), vec![4], vec![0.0; 4])), &["0.running_mean", "layer 1"]),
        (
            |tensors, _| tensors.push(("5.running_mean".into(), vec![4], vec![0.0; 4])),
            &["5.running_mean", "none of this name"],
        ),
        (|_, about| about["inputs"] = json!(192), &["layer 1 (conv)", "takes an image"]),
        (|_, about| about["inputs"] = json!([8, 8]), &["inputs is [8,8]", "height"]),
        (|_, about| about["inputs"] = json!([4294967295u32, 4294967295u32, 3]), &["16777216"]),
        (|_, about| about["image"] = json!({ "height": 4, "width": 16, "channels": 3 }), &["image is 4×16×3", "8×8×3"]),
    ];
    for (number, (change, words)) in cases.into_iter().enumerate() {
        changed(&path, &other, change);
        assert!(Model::read(&other).is_err(), "{number}");
        refused(words, Model::read(&other));
    }
    // PyTorch's counter of minibatches changes nothing.
    changed(&path, &other, |tensors, _| tensors.push(("1.num_batches_tracked".into(), vec![], vec![7.0])));
    assert_eq!(Model::read(&other).unwrap(), Model::read(&path).unwrap());
}

fn at<'t>(tensors: &'t mut Tensors, name: &str) -> &'t mut (String, Vec<usize>, Vec<f32>) {
    tensors.iter_mut().find(|(own, ..)| own == name).unwrap()
}

/// Finds an option that a graph or its metadata loses, weights in another order, and a scaling of other pixels.
#[test]
fn networks_of_images_come_back_from_onnx() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    for (at, (what, network)) in networks().into_iter().enumerate() {
        let mut model = model(&network);
        let mut random = Random(7);
        // One value for each pixel, or the same for all pixels of a channel.
        let period = if at % 2 == 0 { network.inputs() } else { 3 };
        if at % 3 > 0 {
            let shift: Vec<f64> = random.values(period).iter().map(|value| f64::from(*value as f32)).collect();
            let scale: Vec<f32> = random.values(period).iter().map(|value| *value as f32 + 2.0).collect();
            let of = |at: usize| at % period;
            let all = 0..network.inputs();
            model.scaling = Some(wgrad::Scaling {
                shift: all.clone().map(|at| shift[of(at)]).collect(),
                scale: all.map(|at| scale[of(at)]).collect(),
            });
        }
        model.classes = ["a", "b", "c"].map(String::from).to_vec();
        for softmax in [false, true] {
            model.write_onnx(&path, softmax).unwrap();
            let back = Model::read_onnx(&path).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(back, model, "{what}");
            assert_eq!(bits(&back.weights), bits(&model.weights), "{what}");
        }
    }
}

/// Finds a scaling of the targets that is folded into weights which an activation follows, or which have no bias to hold it.
#[test]
fn outputs_in_their_own_units_come_back_from_onnx() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let begun = || Network::image(4, 4, 1).conv(2, 2, Activation::Relu).flatten();
    for last in [
        Layer::new(DenseLayer::new(2)).with_activation(Activation::Sigmoid),
        Layer::new(DenseLayer::new(2).without_bias()),
    ] {
        let mut model = model(&begun().with(last));
        model.loss = Loss::MeanSquaredError;
        model.target_scaling = Some(wgrad::Scaling { shift: vec![3.0, -1.5], scale: vec![0.5, 4.0] });
        model.write_onnx(&path, false).unwrap();
        assert_eq!(Model::read_onnx(&path).unwrap(), model);
    }
}

/// The tensors of a model, as a `torch.nn.Sequential` with some prefix has them.
fn state_dict(from: &Path, to: &Path, prefix: &str, change: impl FnOnce(&mut Tensors)) {
    let mut tensors = tensors(&std::fs::read(from).unwrap());
    tensors.iter_mut().for_each(|(name, ..)| *name = format!("{prefix}{name}"));
    change(&mut tensors);
    save(to, &tensors, None);
}

/// The tensors without the prefix of their names.
fn unprefixed(tensors: &mut Tensors) {
    tensors.iter_mut().for_each(|(name, ..)| *name = name.trim_start_matches("n.").into());
}

/// Finds a state dict whose layers are guessed, or that is read for another network than the one that is listed.
#[test]
fn state_dicts_of_images_are_read_where_the_layers_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    let [path, other, listed] = ["m.safetensors", "other.safetensors", "run.toml"].map(|name| folder.path().join(name));
    for (what, network) in networks() {
        let model = model(&network);
        model.write(&path).unwrap();
        for prefix in ["", "net.", "model.0."] {
            state_dict(&path, &other, prefix, |tensors| {
                let counters: Vec<String> = tensors
                    .iter()
                    .filter_map(|(name, ..)| name.strip_suffix("running_mean"))
                    .map(|name| format!("{name}num_batches_tracked"))
                    .collect();
                tensors.extend(counters.into_iter().map(|name| (name, vec![1], vec![9.0])));
            });
            assert_eq!(Model::read_state_dict_as(&other, &network).unwrap(), model, "{what}, {prefix}");
        }
        if network.input() != wgrad::Form::Features(12) {
            refused(&["listed", "--config", "--inputs"], Model::read_state_dict(&other, None));
        }
    }
    let network =
        Network::image(8, 8, 3).conv(4, 3, Activation::Relu).batch_norm().flatten().dense(2, Activation::Identity);
    model(&network).write(&path).unwrap();
    type Change = fn(&mut Tensors);
    let cases: [(Change, &[&str]); 9] = [
        (
            |tensors| at(tensors, "n.0.weight").1 = vec![3, 4, 3, 3],
            &["n.0.weight has the shape [3, 4, 3, 3]", "layer 1", "[4, 3, 3, 3]", "layers after n."],
        ),
        (
            |tensors| tensors.retain(|(name, ..)| name != "n.2.running_var"),
            &["no tensor n.2.running_var", "layer 2", "n.0.bias"],
        ),
        (
            |tensors| tensors.push(("n.9.weight".into(), vec![1], vec![0.0])),
            &["n.9.weight", "none of the listed layers"],
        ),
        (
            |tensors| tensors.push(("head.weight".into(), vec![1], vec![0.0])),
            &["head.weight", "none of the listed layers"],
        ),
        (|tensors| at(tensors, "n.2.running_var").2[0] = -1.0, &["2.running_var holds -1", "variance"]),
        (|tensors| tensors.clear(), &["no tensor 0.weight", "it has none"]),
        // Names of other layers, after which the first layer's name may be found too, are no prefix.
        (
            |tensors| {
                unprefixed(tensors);
                at(tensors, "0.weight").0 = "conv1.weight".into();
                tensors.push(("6.body.0.weight".into(), vec![16, 8, 3, 3], vec![0.0; 16 * 8 * 9]));
            },
            &["no tensor 0.weight", "layer 1", "it has 6.body.0.weight, conv1.weight, which no layer takes"],
        ),
        (
            |tensors| {
                unprefixed(tensors);
                *at(tensors, "0.weight") = ("0.weight".into(), vec![8, 3, 3, 3], vec![0.0; 8 * 27]);
                let within: Tensors = tensors
                    .iter()
                    .map(|(name, shape, values)| (format!("3.body.{name}"), shape.clone(), values.clone()))
                    .collect();
                tensors.extend(within);
            },
            &[": 0.weight has the shape [8, 3, 3, 3]", "layer 1", "[4, 3, 3, 3]"],
        ),
        (
            |tensors| at(tensors, "n.0.weight").0 = "n.conv1.weight".into(),
            &["no tensor n.0.weight", "layer 1", "layers after n.", "it has n.conv1.weight, which no layer takes"],
        ),
    ];
    for (change, words) in cases {
        state_dict(&path, &other, "n.", change);
        refused(words, Model::read_state_dict_as(&other, &network));
    }
    refused(&["says itself what its layers are"], Model::read_state_dict_as(&path, &network));

    // By the program: the list in run.toml, the image's form in it or beside it.
    state_dict(&path, &other, "", |_| ());
    let layers = r#"layers = [{ conv = 4, kernel = 3, activation = "relu" }, { batch_norm = true }, { flatten = true }, { dense = 2 }]"#;
    let import = |toml: String, more: &[&str]| {
        std::fs::write(&listed, toml).unwrap();
        let _ = std::fs::remove_file(folder.path().join("back.safetensors"));
        let common = ["import", "other.safetensors", "back.safetensors", "--config", "run.toml"];
        crate::cases::wgrad(folder.path(), &[&common[..], more].concat())
    };
    let plain = format!("[model]\n{layers}\n[train]\nepochs = 3\n");
    let with_image = format!("[data]\nimage = [8, 8, 3]\n{plain}");
    for (toml, more) in [(plain.clone(), &["--inputs", "8,8,3"][..]), (with_image, &[])] {
        let ran = import(toml, more);
        assert_eq!(ran.code, 0, "{}", ran.said);
        let back = Model::read(folder.path().join("back.safetensors")).unwrap();
        assert_eq!((back.network, back.weights), (network.clone(), model(&network).weights));
        assert_eq!(back.image.map(|image| image.to_string()).as_deref(), Some("8×8×3"));
    }
    import(plain.clone(), &[]).refused(&["--inputs is missing", "28,28,1"]);
    import(plain.clone(), &["--inputs", "8,8"]).refused(&["--inputs", "three"]);
    import(plain.clone(), &["--inputs", "192"]).refused(&["run.toml", "layer 1 (conv)", "takes an image"]);
    import(plain, &["--inputs", "9,8,3"]).refused(&["4.weight has the shape [2, 144]", "layer 4", "[2, 168]"]);
    import("[train]\nepochs = 3\n".into(), &["--inputs", "8,8,3"]).refused(&["run.toml", "no layers under [model]"]);
}

/// Finds a value that a checkpoint does not hold, as running statistics, and a form that a trainer loses.
#[test]
fn a_run_of_images_goes_on_with_the_same_bits_and_is_saved() {
    let (_, network) = networks().into_iter().find(|(what, _)| *what == "a residual network").unwrap();
    let set = learnable(30, network.inputs(), 3, 1);
    let shape = wgrad::ImageShape { height: 9, width: 7, channels: 3 };
    let set = set.with_image_shape(shape).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let options = |epochs: u64| TrainOptions { epochs, batch_size: 7, ..TrainOptions::default() };
    let mut whole = Trainer::on(gpu(), network.clone(), options(3)).unwrap();
    whole.fit(&set, None).unwrap();
    let checkpoint = Some(Checkpointing::new(folder.path()));
    let mut first = Trainer::on(gpu(), network.clone(), TrainOptions { checkpoint, ..options(2) }).unwrap();
    first.fit(&set, None).unwrap();
    let mut second = Trainer::resume(gpu(), &Checkpoint::open(folder.path()).unwrap()).unwrap();
    second.set_epochs(3);
    second.fit(&set, None).unwrap();
    let weights: Weights = whole.weights().unwrap();
    assert_eq!(bits(&second.weights().unwrap()), bits(&weights));
    let path = folder.path().join("m.safetensors");
    second.save(&path).unwrap();
    let model = Model::read(&path).unwrap();
    assert_eq!(model.network, network);
    assert_eq!(bits(&model.weights), bits(&weights));
    let logits = |model: Model| Predictor::from_model(gpu(), model).unwrap().logits(&set).unwrap();
    model.write(&path).unwrap();
    assert_eq!(logits(Model::read(&path).unwrap()), logits(model));
}
