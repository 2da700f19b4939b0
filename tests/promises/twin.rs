//! The f64 interpreter of graphs, by which everything else is judged, against PyTorch's numbers and against values that are known otherwise.

use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use wgrad::selftest::golden::network_of;
use wgrad::{Activation, BatchNormLayer, Loss, MaxPoolLayer, Network, ParameterKind};

use crate::reference::interpreter::Interpreter;
use crate::reference::loss::{Targets, mean_loss};
use crate::reference::network::Layer as Own;
use crate::support::{assert_close, files_in};

fn f64s(tensor: &TensorView<'_>) -> Vec<f64> {
    let values: Vec<f32> = bytemuck::pod_collect_to_vec(tensor.data());
    values.into_iter().map(f64::from).collect()
}

/// The names of the parameters' layers in PyTorch's file: of a chain of dense layers, whose identities have numbers of their own here and not there, those
/// that the file has, in order.
fn names(network: &Network, file: &SafeTensors<'_>) -> Vec<String> {
    if !network.layers().iter().all(|layer| layer.word() == "dense") {
        return network.named_parameters().into_iter().map(|parameter| parameter.name).collect();
    }
    let number = |name: &str| name.strip_prefix("init.")?.strip_suffix(".weight")?.parse::<usize>().ok();
    let mut numbers: Vec<usize> = file.names().into_iter().filter_map(number).collect();
    numbers.sort();
    numbers.iter().map(usize::to_string).collect()
}

/// The parameters in tensors whose names begin so, `[out, in]` turned into `[in, out]`; NaN where there is no tensor.
fn parameters(network: &Network, file: &SafeTensors<'_>, prefix: &str) -> Vec<Own> {
    let of = |(mut parameter, name): (wgrad::Parameter, String)| {
        parameter.name = name;
        let (inputs, outputs) = (parameter.inputs, parameter.outputs);
        let [weight, bias] = parameter.tensor_names().map(|name| file.tensor(&format!("{prefix}{name}")));
        let weight = weight.map_or_else(|_| vec![f64::NAN; inputs * outputs], |tensor| f64s(&tensor));
        // The table of an embedding has a row for each token in files, too.
        let weights = match parameter.kind {
            ParameterKind::Embedding => weight,
            _ => (0..weight.len()).map(|at| weight[at % outputs * inputs + at / outputs]).collect(),
        };
        let without = || vec![f64::NAN; if parameter.bias { outputs } else { 0 }];
        Own { weights, bias: bias.map_or_else(|_| without(), |tensor| f64s(&tensor)) }
    };
    network.named_parameters().into_iter().zip(names(network, file)).map(of).collect()
}

/// Where both are numbers, they are close.
fn assert_known_close(what: &str, out: &[f64], expected: &[f64], tolerance: f64) {
    let known: Vec<_> =
        out.iter().zip(expected).filter(|(out, expected)| !out.is_nan() && !expected.is_nan()).collect();
    let [out, expected]: [Vec<f64>; 2] =
        [known.iter().map(|both| *both.0).collect(), known.iter().map(|both| *both.1).collect()];
    if !out.is_empty() {
        assert_close(what, &out, &expected, tolerance);
    }
}

/// Finds an op that the interpreter takes for another than PyTorch does: in each network's first minibatch the loss, and some of the gradients of every
/// parameter, by differences; and what the trained network makes of all rows in evaluation, by running statistics.
#[test]
fn the_interpreter_has_pytorchs_numbers() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden-nets");
    let files: Vec<String> = files_in(&folder).into_iter().filter(|name| name.ends_with(".safetensors")).collect();
    assert!(files.len() >= 16, "{files:?}");
    for name in files {
        let path = folder.join(&name);
        let bytes = std::fs::read(&path).unwrap();
        let (network, file) = (network_of(&path, &bytes).unwrap(), SafeTensors::deserialize(&bytes).unwrap());
        let (_, header) = SafeTensors::read_metadata(&bytes).unwrap();
        let case: serde_json::Value = serde_json::from_str(&header.metadata().as_ref().unwrap()["case"]).unwrap();
        let batch = case["batch_size"].as_u64().unwrap() as usize;
        let (x, outputs) = (file.tensor("x").unwrap(), network.outputs());
        let x: Vec<f64> = match network.vocabulary() {
            Some(_) => {
                bytemuck::pod_collect_to_vec::<u8, i64>(x.data()).into_iter().map(|token| token as f64).collect()
            }
            None => f64s(&x),
        };
        let places = network.places().map_or(1, |places| places as usize);
        let minibatch = &x[..batch * network.inputs()];
        let labels: Vec<i64> = file.tensor("y").map_or(vec![], |y| bytemuck::pod_collect_to_vec(y.data()));
        let values = file.tensor("t").map_or(vec![], |t| f64s(&t));
        // PyTorch ignores -100 by default.
        let cross_entropy = Loss::SoftmaxCrossEntropy {
            label_smoothing: case["loss_args"]["label_smoothing"].as_f64().unwrap_or(0.0),
            class_weights: None,
            ignore_index: Some(-100),
            gamma: 0.0,
        };
        let loss = |z: &[f64]| match labels.is_empty() {
            true => mean_loss(&Loss::MeanSquaredError, z, &Targets::Values(&values[..z.len()]), outputs),
            false => mean_loss(&cross_entropy, z, &Targets::Classes(&labels[..batch * places]), outputs),
        };

        // Where a step has several minibatches, its batch norms see one at a time.
        if name != "accumulate.safetensors" {
            let none = |_, _, _, _, _| 1.0;
            let (twin, initial) = (Interpreter::training(&network, &none), parameters(&network, &file, "init."));
            let first = f64s(&file.tensor("loss").unwrap())[0];
            assert_close(&format!("{name}: loss"), &[loss(&twin.logits(&initial, minibatch))], &[first], 1e-6);
            let gradients = twin.some_of_gradient(&initial, minibatch, &loss, 24);
            let expected = parameters(&network, &file, "grad0.");
            for (at, (gradient, expected)) in gradients.iter().zip(&expected).enumerate() {
                let what = format!("{name}: gradient by parameter {at}");
                assert_known_close(&what, &gradient.weights, &expected.weights, 1e-5);
                assert_known_close(&what, &gradient.bias, &expected.bias, 1e-5);
            }
        }

        let trained = parameters(&network, &file, "final.");
        let z = Interpreter::evaluating(&network).logits(&trained, &x);
        assert_close(&format!("{name}: evaluation"), &z, &f64s(&file.tensor("eval").unwrap()), 1e-5);
    }
}

/// Finds a variance that is divided by another number, or a share that is another's: two rows, 1 and 3, whose mean is 2, and whose variances are 1 and 2.
#[test]
fn running_statistics_move_to_the_minibatchs() {
    let network = Network::new(1).with(BatchNormLayer::new().momentum(0.25).eps(0.5).into());
    let network = network.dense(1, Activation::Identity);
    let own = |weight: f64, bias: f64| Own { weights: vec![weight], bias: vec![bias] };
    let parameters = [own(3.0, 0.5), own(10.0, 4.0), own(1.0, 0.0)];
    let none = |_, _, _, _, _| 1.0;
    let values = Interpreter::training(&network, &none).values(&parameters, &[1.0, 3.0]);
    let moved = &values.statistics[&1];
    assert_eq!((moved.weights[0], moved.bias[0]), (0.75 * 10.0 + 0.25 * 2.0, 0.75 * 4.0 + 0.25 * 2.0));
    let deviation = 1.5f64.sqrt();
    let z = Interpreter::training(&network, &none).logits(&parameters, &[1.0, 3.0]);
    assert_close("normed", &z, &[0.5 - 3.0 / deviation, 0.5 + 3.0 / deviation], 1e-12);
    let z = Interpreter::evaluating(&network).logits(&parameters, &[1.0, 3.0]);
    assert_close("by running statistics", &z, &[0.5 - 27.0 / 4.5f64.sqrt(), 0.5 - 21.0 / 4.5f64.sqrt()], 1e-12);
}

/// Finds a mask that another unit gets: the masks of an image are those of its pixels' channels, sample after sample.
#[test]
fn masks_of_images_are_of_pixels_and_channels() {
    let network = Network::image(1, 2, 3).dropout(0.5).flatten().dense(1, Activation::Identity);
    let weights: Vec<f64> = (1..=6).map(f64::from).collect();
    let parameters = [Own { weights: weights.clone(), bias: vec![0.0] }];
    let factor = |row: usize, unit: usize| (10 * row + unit) as f64;
    let mask = |number, row, unit, units, rate: f64| {
        assert_eq!((number, units, rate.to_bits()), (1, 3, 0.5f64.to_bits()));
        factor(row, unit)
    };
    let z = Interpreter::training(&network, &mask).logits(&parameters, &[1.0; 12]);
    // Flattened channel by channel.
    let of_image = |image: usize| -> f64 { (0..6).map(|at| weights[at] * factor(2 * image + at % 2, at / 2)).sum() };
    assert_eq!(z, [of_image(0), of_image(1)]);
    assert_eq!(Interpreter::evaluating(&network).logits(&parameters, &[1.0; 6]), [21.0]);
}

/// Finds a tie that goes to another tap than the first, and a tap that is counted from elsewhere than the window's corner, which padding can cover.
#[test]
fn the_largest_value_of_a_window_is_the_first_of_equals() {
    let pool = MaxPoolLayer::new(2).stride(1).padding(1);
    let network = Network::image(2, 2, 1).with(pool.into()).flatten().dense(1, Activation::Identity);
    let parameters = [Own { weights: vec![1.0; 9], bias: vec![0.0] }];
    let none = |_, _, _, _, _| 1.0;
    let twin = Interpreter::training(&network, &none);
    let values = twin.values(&parameters, &[-1.0, -1.0, -2.0, -1.0]);
    let (_, pool) = twin.graph().nodes().find(|(_, node)| node.op.to_string().starts_with("max_pool")).unwrap();
    assert_eq!(values.of(pool.results[0]), [-1.0, -1.0, -1.0, -1.0, -1.0, -1.0, -2.0, -1.0, -1.0]);
    assert_eq!(values.of(pool.results[1]), [3.0, 2.0, 2.0, 1.0, 0.0, 0.0, 1.0, 1.0, 0.0]);
}
