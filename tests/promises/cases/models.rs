//! Models.

use serde_json::Value;
use wgrad::{Loss, Model};

use super::{Ran, case, wgrad};
use crate::interchange::{logits, softmax};
use crate::support::assert_close;

/// `wgrad import` of a case's model: how it ended, and the model with the widths that `inspect` shows.
fn import(name: &str, file: &str, arguments: &[&str]) -> (Ran, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let model = folder.path().join("model.safetensors");
    let ran = wgrad(&case(name), &[&["import", file, model.to_str().unwrap()], arguments].concat());
    (ran, folder)
}

fn read(folder: &tempfile::TempDir) -> (Model, Vec<u64>) {
    let inspected = wgrad(folder.path(), &["inspect", "model.safetensors"]);
    let layers = inspected.event("contents")["layers"].as_array().unwrap();
    let widths = [layers[0]["inputs"].as_u64().unwrap()];
    let widths = widths.into_iter().chain(layers.iter().map(|layer| layer["outputs"].as_u64().unwrap())).collect();
    (Model::read(folder.path().join("model.safetensors")).unwrap(), widths)
}

/// Every ONNX case gives what ONNX Runtime has for it, in `onnx_outputs.json`; `tests/interchange/check.py` asks it again.
#[test]
fn onnx_cases_give_the_outputs_of_onnx_runtime() {
    let outputs = std::fs::read(case("onnx_outputs.json")).unwrap();
    let outputs: Value = serde_json::from_slice(&outputs).unwrap();
    let numbers = |value: &Value| -> Vec<f64> {
        let rows = value.as_array().unwrap();
        rows.iter().flat_map(|row| row.as_array().unwrap().iter().map(|number| number.as_f64().unwrap())).collect()
    };
    let x = numbers(&outputs["x"]);
    for name in ["bias1x8", "dropout12", "logsoftmax", "opset22", "softmax11_default", "view_dynamic"] {
        let name = format!("onnx_{name}");
        let (ran, folder) = import(&name, "net.onnx", &[]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.said);
        let (model, widths) = read(&folder);
        assert_eq!((widths, &model.loss), (vec![4, 8, 3], &Loss::softmax_cross_entropy()), "{name}");
        let z = logits(&model, &x);
        let given = match name.as_str() {
            "onnx_softmax11_default" => softmax(&z, 3),
            "onnx_logsoftmax" => softmax(&z, 3).into_iter().map(f64::ln).collect(),
            _ => z,
        };
        assert_close(&name, &given, &numbers(&outputs[&name]), 1e-5);
    }
}

/// Every state dict's tensors become the layers of 4-8-6-3, in their order and the right way round.
#[test]
fn state_dict_cases_are_the_layers_that_they_have() {
    for (name, layers) in [
        ("state_dict_bf16", ["0", "2", "4"]),
        ("state_dict_fcout", ["fc1", "fc2", "out"]),
        ("state_dict_keras", ["dense_0", "dense_1", "dense_2"]),
        ("state_dict_module", ["module.0", "module.2", "module.4"]),
    ] {
        let (ran, folder) = import(name, "net.safetensors", &["--activation", "relu"]);
        assert_eq!(ran.code, 0, "{name}: {}", ran.said);
        let (model, widths) = read(&folder);
        assert_eq!(widths, [4, 8, 6, 3], "{name}");
        let bytes = std::fs::read(case(name).join("net.safetensors")).unwrap();
        let file = safetensors::SafeTensors::deserialize(&bytes).unwrap();
        for (layer, of) in layers.iter().zip(&model.weights.layers) {
            let values = |part: &str| -> Option<Vec<f32>> {
                let tensor = file.tensor(&format!("{layer}.{part}")).ok()?;
                // The upper half of an f32 is a bf16.
                Some(match tensor.dtype() {
                    safetensors::Dtype::BF16 => {
                        let halves = tensor.data().chunks_exact(2);
                        halves.map(|half| f32::from_le_bytes([0, 0, half[0], half[1]])).collect()
                    }
                    _ => bytemuck::pod_collect_to_vec(tensor.data()),
                })
            };
            let weight = values("weight").unwrap_or_else(|| {
                let kernel = values("kernel").unwrap();
                (0..kernel.len()).map(|at| kernel[at % of.inputs * of.outputs + at / of.inputs]).collect()
            });
            assert_eq!((&of.weight, &of.bias), (&weight, &values("bias").unwrap()), "{name} {layer}");
        }
    }
    let (ran, folder) = import("state_dict_bn", "net.safetensors", &[]);
    ran.refused(&["1.num_batches_tracked", "batch normalization", "dense layers only"]);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    let (ran, _folder) = import("state_dict_fcout", "net.safetensors", &[]);
    ran.refused(&["fc1", "activation"]);
}
