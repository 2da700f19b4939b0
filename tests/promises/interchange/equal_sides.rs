//! Graphs of images with as many channels as rows and columns, in which one dimension is easily taken for another. `make_equal_sides.py` makes them.

use std::collections::HashMap;
use std::path::PathBuf;

use safetensors::SafeTensors;
use wgrad::Model;

use super::{folder, logits};
use crate::support::{assert_close, numbers};

fn graphs() -> PathBuf {
    folder().join("equal_sides")
}

/// Finds a graph that is read as another function than ONNX Runtime computes for it: padding of an image without the zeros around it, a norm over columns in place
/// of channels, a scale whose dimensions have changed places, outputs in another order.
#[test]
fn graphs_of_equal_sides_give_the_outputs_of_onnx_runtime() {
    let expected = std::fs::read(graphs().join("expected.safetensors")).unwrap();
    let expected = SafeTensors::deserialize(&expected).unwrap();
    let mut names = expected.names();
    names.retain(|name| *name != "x" && !name.ends_with(".x"));
    assert_eq!(names.len(), 18);
    let mut wrong = Vec::new();
    for name in names {
        // Some take the same numbers as images with their channels last.
        let own = format!("{name}.x");
        let x = numbers(&expected, if expected.tensor(&own).is_ok() { &own } else { "x" });
        match Model::read_onnx(graphs().join(format!("{name}.onnx"))) {
            Ok(model) => assert_close(name, &logits(&model, &x), &numbers(&expected, name), 1e-5),
            Err(error) => wrong.push(error.to_string()),
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Finds a graph that is read though no model computes it, or a reason that is untrue: each names the node, and says what is wrong there.
#[test]
fn graphs_of_equal_sides_that_are_no_model_are_refused_by_the_node() {
    let refused = std::fs::read(graphs().join("refused.json")).unwrap();
    let refused: HashMap<String, Vec<String>> = serde_json::from_slice(&refused).unwrap();
    assert_eq!(refused.len(), 41);
    let mut wrong = Vec::new();
    for (name, words) in refused {
        match Model::read_onnx(graphs().join(format!("{name}.onnx"))) {
            Ok(model) => wrong.push(format!("{name} is read as {}", model.network.shape())),
            Err(error) => {
                let error = error.to_string();
                wrong.extend(
                    words.iter().filter(|word| !error.contains(*word)).map(|word| format!("no {word} in: {error}")),
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
