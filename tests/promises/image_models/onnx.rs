//! Graphs of images that other programs wrote, and graphs that were written here and read as any other's.

use std::path::{Path, PathBuf};

use safetensors::SafeTensors;
use wgrad::{Activation, Dataset, ImageShape, Initializer, Loss, Model, Network, Predictor, Scaling};

use super::{model, networks};
use crate::support::{Random, assert_close, gpu, numbers, succeed};

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/interchange/images")
}

/// The outputs of a model for images `[rows, height, width, channels]`.
fn outputs(model: &Model, x: &[f64], sides: [usize; 3]) -> Vec<f64> {
    let [height, width, channels] = sides;
    let features: Vec<f32> = x.iter().map(|&value| value as f32).collect();
    let count = features.len() / (height * width * channels);
    let set = Dataset::from_f32(features, height * width * channels, vec![0; count]).unwrap();
    let set = set.with_image_shape(ImageShape { height, width, channels }).unwrap();
    let predictor = Predictor::from_model(gpu(), model.clone()).unwrap();
    predictor.logits(&set).unwrap().into_iter().map(f64::from).collect()
}

/// Finds a graph that is read otherwise than other programs mean it: padding on the wrong side, a norm that is folded, channels in another place, a dense
/// layer's inputs in another order. The files are from PyTorch's two exporters and Keras'; the outputs are ONNX Runtime's.
#[test]
fn other_programs_networks_of_images_give_the_outputs_they_gave_there() {
    let expected = std::fs::read(folder().join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let values = |name: &str| numbers(&expected, name);
    let x = values("x");
    let mut names = expected.names();
    names.retain(|name| *name != "x");
    names.sort();
    assert_eq!(names.len(), 20);
    let mut wrong = Vec::new();
    for name in names {
        match Model::read_onnx(folder().join(format!("{name}.onnx"))) {
            Ok(model) => assert_close(name, &outputs(&model, &x, [9, 7, 3]), &values(name), 1e-5),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Finds a layer that is written as another, where the reader that knows the list of layers would not see it: without that list, what is written here is read as
/// any other graph.
#[test]
fn graphs_without_their_list_of_layers_compute_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("m.onnx");
    let mut read = 0;
    for (what, network) in networks() {
        let model = model(&network);
        model.write_onnx(&path, false).unwrap();
        let mut bytes = std::fs::read(&path).unwrap();
        // The key of the list, in the metadata's JSON.
        let at = bytes.windows(8).position(|window| window == b"\"layers\"").unwrap();
        bytes[at..at + 8].copy_from_slice(b"\"unread\"");
        let back = Model::from_onnx(Path::new("m.onnx"), bytes, &[]);
        // An activation of the input has no layer before it.
        if what.contains("alone") {
            assert!(back.unwrap_err().to_string().contains("node"), "{what}");
            continue;
        }
        let back = back.unwrap_or_else(|error| panic!("{what}: {error}"));
        let x = Random(3).values(5 * network.inputs());
        let sides = match network.input() {
            wgrad::Form::Image(image) => [image.height, image.width, image.channels].map(|side| side as usize),
            form => [1, 1, form.values()],
        };
        assert_close(what, &outputs(&back, &x, sides), &outputs(&model, &x, sides), 1e-5);
        read += 1;
    }
    assert!(read >= 10, "{read}");
}

/// Finds a graph of images of which less is said, or other than the truth, than of the model that it becomes.
#[test]
fn what_is_said_of_a_graph_of_images_is_said_of_its_model() {
    let folder = tempfile::tempdir().unwrap();
    let network = Network::image(2, 3, 2).conv(2, [1, 1], Activation::Relu).flatten().dense(3, Activation::Identity);
    let scaling = Scaling { shift: [1.0, 2.0].repeat(6), scale: [0.5, 0.25].repeat(6) };
    let model = Model {
        scaling: Some(scaling),
        ..Model::new(network.clone(), Initializer::Torch.weights(&network, 3), Loss::default())
    };
    model.write_onnx(folder.path().join("m.onnx"), false).unwrap();
    let imported = succeed(folder.path(), &["import", "m.onnx", "m.safetensors"]);
    assert!(imported.contains("take images of 2×3×2") && !imported.contains("rows of"), "{imported}");
    let said = ["m.onnx", "m.safetensors"].map(|file| succeed(folder.path(), &["inspect", file]));
    for words in ["inputs are 2×3×2 images", "each of 2 channels by its own values"] {
        assert!(said.iter().all(|said| said.contains(words)), "no {words} in {said:?}");
    }
}
