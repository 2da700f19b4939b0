//! The buffers of a plan and of a set, and the program over them.

use std::collections::HashMap;

use crate::data::Dataset;
use crate::error::Error;
use crate::gpu::{Buffer, Checks, Gpu, Program};
use crate::layout::quads_with_one;
use crate::loss::Loss;
use crate::plan::{Plan, Role};

/// Buffers by what they hold.
pub(crate) type Buffers = HashMap<Role, Buffer>;

/// A set in device memory, with its targets as the loss takes them.
pub(crate) async fn upload(gpu: &Gpu, set: &Dataset, loss: &Loss, outputs: usize) -> Result<Buffers, Error> {
    let quads = quads_with_one(set.width() as u32) as usize;
    let mut buffers = beside(gpu, set, loss, outputs).await?;
    let layout = set.layout(gpu.adapter().tiling().most_bytes);
    for part in 0..layout.parts {
        let rows = layout.rows_of(part);
        let rows = rows.start as usize..rows.end as usize;
        let bytes = set.bytes_of_rows(rows.len() as u64);
        let features = gpu.zeros("the set's features", bytes).await?;
        set.with_device_rows(rows, quads, |rows| gpu.write(&features, rows));
        buffers.insert(Role::Set(part), features);
    }
    let form = loss.targets(set.targets());
    let targets = gpu.upload("the set's targets", &set.device_targets(0..set.rows(), form, outputs)).await?;
    buffers.insert(Role::Targets, targets);
    Ok(buffers)
}

/// What is beside a set's rows, the same for all of them: the scaling of its features, and the loss' weights.
pub(crate) async fn beside(gpu: &Gpu, set: &Dataset, loss: &Loss, outputs: usize) -> Result<Buffers, Error> {
    let mut buffers = Buffers::new();
    if let Some(scaling) = set.device_scaling(quads_with_one(set.width() as u32) as usize) {
        buffers.insert(Role::Scaling, gpu.upload("the features' scaling", &scaling).await?);
    }
    if let Some(weights) = loss.parts(set.targets()).output_weights {
        let mut weights: Vec<f32> = weights.iter().map(|&weight| weight as f32).collect();
        weights.resize(outputs.next_multiple_of(4), 0.0);
        buffers.insert(Role::OutputWeights, gpu.upload("the loss' weights", &weights).await?);
    }
    Ok(buffers)
}

/// A plan's buffers: the shared ones given, and those that are missing, of which some may be one.
pub(crate) async fn make_buffers(gpu: &Gpu, plan: &Plan, shared: &[&Buffers]) -> Result<Buffers, Error> {
    // Before the first is made.
    for wanted in &plan.buffers {
        gpu.check_size(&wanted.role.to_string(), wanted.bytes)?;
    }
    let mut memories: HashMap<usize, Buffer> = HashMap::new();
    let mut buffers = Buffers::new();
    for wanted in &plan.buffers {
        let known = shared.iter().find_map(|shared| shared.get(&wanted.role));
        let buffer = match known.or_else(|| memories.get(&wanted.memory)) {
            Some(buffer) => buffer.clone(),
            None => {
                let sharing = plan.buffers.iter().filter(|other| other.memory == wanted.memory);
                let bytes = sharing.map(|other| other.bytes).max().unwrap_or(wanted.bytes);
                gpu.zeros(&wanted.role.to_string(), bytes).await?
            }
        };
        memories.insert(wanted.memory, buffer.clone());
        buffers.insert(wanted.role, buffer);
    }
    Ok(buffers)
}

/// The plan's dispatches, each bound to the first buffers that have its roles.
pub(crate) async fn program(gpu: &Gpu, plan: &Plan, from: &[&Buffers], checks: Checks) -> Result<Program, Error> {
    let buffer = |role| from.iter().find_map(|buffers| buffers.get(role));
    let bindings: Vec<_> = plan
        .dispatches
        .iter()
        .map(|dispatch| (&dispatch.launch, dispatch.roles.iter().filter_map(buffer).collect()))
        .collect();
    Program::new(gpu, &bindings, checks).await
}
