//! The summary of a network: a line for each layer.

use serde_json::{Value, json};

use super::output::{Output, grouped};
use crate::error::Error;
use crate::network::{Form, Network, Summary};
use crate::plan::Plan;

/// The sides of a sample: `[height, width, channels]`, `[places, values]` of a sequence, or `[features]`.
pub(super) fn sides(form: Form) -> Value {
    match form {
        Form::Image(image) => json!([image.height, image.width, image.channels]),
        Form::Sequence(sequence) => json!([sequence.length, sequence.width]),
        _ => json!([form.values()]),
    }
}

/// Prints a line for each layer, those within others indented, and their sums: what goes out, weights, the operations of the forward pass for one sample, and the
/// memory of the weights and of the output of a minibatch, where the plan stores that; then the memory of the whole plan.
pub(super) fn print(output: &Output, network: &Network, plan: &Plan) -> Result<(), Error> {
    let (layers, batch) = (network.summary(), plan.batch());
    for layer in &layers {
        output.event(json!({
            "event": "layer", "name": layer.name, "location": layer.location, "depth": layer.depth, "kind": layer.kind, "words": layer.words,
            "input": sides(layer.input), "shape": sides(layer.output), "weights": layer.weights, "statistics": layer.statistics,
            "flops": layer.flops, "weight_bytes": layer.weight_bytes, "output_bytes": plan.output_bytes(&layer.location),
        }))?;
    }
    let flops: u64 = layers.iter().map(|layer| layer.flops).sum();
    output.event(json!({
        "event": "network", "network": network.shape(), "weights": network.parameters(), "flops": flops,
        "batch": batch, "memory_bytes": plan.bytes(),
    }))?;
    output.text(table(network, &layers, flops, plan))?;
    output.text(format_args!(
        "{} KiB of device memory for a training step: the set's rows, weights, the optimizer's values, and what is between, of which some share a buffer\n",
        kib(plan.bytes())
    ))
}

fn kib(bytes: u64) -> String {
    format!("{:.1}", bytes as f64 / 1024.0)
}

fn table(network: &Network, layers: &[Summary], flops: u64, plan: &Plan) -> String {
    let name = |layer: &Summary| format!("{}{}", "  ".repeat(layer.depth), layer.short());
    let wide =
        |of: &dyn Fn(&Summary) -> String| layers.iter().map(|layer| of(layer).chars().count()).max().unwrap_or(0);
    let (names, words) = (wide(&name).max(10), wide(&|layer| layer.words.clone()).max(4));
    let line = |name: &str, own: &str, shape: &str, weights: usize, flops: u64, memory: [u64; 2]| {
        let kflop = format!("{:.1}", flops as f64 / 1e3);
        // Of what has none: no weights, or an output that is not stored.
        let [of_weights, of_output] = memory.map(|bytes| if bytes == 0 { "-".into() } else { kib(bytes) });
        format!(
            "{name:<names$}  {own:<words$}  {shape:>12}{:>14}{kflop:>14}{of_weights:>13}{of_output:>12}",
            grouped(weights as u64)
        )
    };
    let mut lines = vec![format!(
        "{:<names$}  {:<words$}  {:>12}{:>14}{:>14}{:>13}{:>12}   (outputs of {} rows, where they are stored)",
        "layer",
        "what",
        "shape out",
        "weights",
        "KFLOP/sample",
        "weights KiB",
        "output KiB",
        plan.batch()
    )];
    lines.push(format!("{:<names$}  {:<words$}  {:>12}", "input", "", network.input().to_string()));
    lines.extend(layers.iter().map(|layer| {
        let memory = [layer.weight_bytes, plan.output_bytes(&layer.location)];
        line(&name(layer), &layer.words, &layer.output.to_string(), layer.weights, layer.flops, memory)
    }));
    let sum = |of: &dyn Fn(&Summary) -> u64| layers.iter().map(of).sum();
    let memory = [sum(&|layer| layer.weight_bytes), sum(&|layer| plan.output_bytes(&layer.location))];
    lines.push(line("in all", "", "", network.parameters(), flops, memory));
    lines.join("\n") + "\n"
}
