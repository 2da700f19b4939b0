//! The summary of a network: a line for each layer.

use serde_json::{Value, json};

use super::output::{Output, grouped};
use crate::error::Error;
use crate::network::{Form, Network, Summary};

/// The sides of a sample: `[height, width, channels]`, or `[features]`.
pub(super) fn sides(form: Form) -> Value {
    match form {
        Form::Image(image) => json!([image.height, image.width, image.channels]),
        _ => json!([form.values()]),
    }
}

/// Prints a line for each layer, those within others indented, and their sums: what goes out, weights, and for one sample the operations of the forward pass and
/// the memory of the output.
pub(super) fn print(output: &Output, network: &Network) -> Result<(), Error> {
    let layers = network.summary();
    for layer in &layers {
        output.event(json!({
            "event": "layer", "name": layer.name, "location": layer.location, "depth": layer.depth, "kind": layer.kind, "words": layer.words,
            "input": sides(layer.input), "shape": sides(layer.output), "weights": layer.weights, "statistics": layer.statistics,
            "flops": layer.flops, "bytes": layer.bytes,
        }))?;
    }
    let flops: u64 = layers.iter().map(|layer| layer.flops).sum();
    output.event(json!({
        "event": "network", "network": network.shape(), "weights": network.parameters(), "flops": flops,
    }))?;
    output.text(table(network, &layers, flops))
}

fn table(network: &Network, layers: &[Summary], flops: u64) -> String {
    let name = |layer: &Summary| format!("{}{}", "  ".repeat(layer.depth), layer.short());
    let wide =
        |of: &dyn Fn(&Summary) -> String| layers.iter().map(|layer| of(layer).chars().count()).max().unwrap_or(0);
    let (names, words) = (wide(&name).max(10), wide(&|layer| layer.words.clone()).max(4));
    let line = |name: &str, own: &str, shape: &str, weights: usize, flops: u64, kib: &str| {
        let kflop = format!("{:.1}", flops as f64 / 1e3);
        let line =
            format!("{name:<names$}  {own:<words$}  {shape:>12}{:>14}{kflop:>14}{kib:>12}", grouped(weights as u64));
        line.trim_end().to_string()
    };
    let mut lines = vec![format!(
        "{:<names$}  {:<words$}  {:>12}{:>14}{:>14}{:>12}",
        "layer", "what", "shape out", "weights", "KFLOP/sample", "KiB/sample"
    )];
    lines.push(format!("{:<names$}  {:<words$}  {:>12}", "input", "", network.input().to_string()));
    lines.extend(layers.iter().map(|layer| {
        let kib = format!("{:.2}", layer.bytes as f64 / 1024.0);
        line(&name(layer), &layer.words, &layer.output.to_string(), layer.weights, layer.flops, &kib)
    }));
    lines.push(line("in all", "", "", network.parameters(), flops, ""));
    lines.join("\n") + "\n"
}
