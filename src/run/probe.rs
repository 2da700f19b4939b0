//! That functions which a user wrote are what training takes them for: derivatives against central differences, on the device,
//! before the first step.

use bytemuck::Zeroable;

use super::state::State;
use crate::activation::Activation;
use crate::error::Error;
use crate::gpu::{Checks, Gpu};
use crate::kernel::{Binding, Launch, probe};
use crate::loss::Loss;
use crate::network::Network;
use crate::optimizer::{Optimizer, Rule};
use crate::plan::STATE_BYTES;

/// Half the distances over which differences are taken: where one meets a corner, the other may not.
const REACHES: [f32; 2] = [1.0 / 64.0, 1.0 / 256.0];
/// By how much a derivative may differ from the differences, relative to it where it is above 1.
const TOLERANCE: f64 = 1e-2;
/// Targets that a loss is tried with: both classes, and numbers.
const TARGETS: [f32; 5] = [0.0, 1.0, -0.53, 0.37, 2.3];

/// Checks the functions of a network, its loss and its optimizer that a user wrote.
///
/// # Errors
///
/// [`Error::Wgsl`] naming the point, the derivative there and what it should be; [`Error::Device`].
pub(crate) async fn check(gpu: &Gpu, network: &Network, loss: &Loss, optimizer: &Optimizer) -> Result<(), Error> {
    let mut checked: Vec<Activation> = Vec::new();
    for activation in network.activations() {
        if let Activation::Custom(_) = activation
            && !checked.contains(&activation)
        {
            let name = activation.to_string();
            let points: Vec<[f32; 1]> = arguments().map(|z| [z]).collect();
            derivative(gpu, &name, "activate", &points, |points| probe::activation(activation, points)).await?;
            checked.push(activation);
        }
    }
    if let Loss::Custom(_) = loss {
        let points: Vec<[f32; 2]> = TARGETS.iter().flat_map(|&t| arguments().map(move |z| [z, t])).collect();
        derivative(gpu, loss.name(), "loss", &points, |points| probe::loss(loss, points)).await?;
    }
    if let Rule::Custom(_) = optimizer.rule {
        stays_at_zero(gpu, optimizer).await?;
    }
    Ok(())
}

/// Arguments from -6 to 6 that are no round numbers, where functions have their corners.
fn arguments() -> impl Iterator<Item = f32> {
    (0..64).map(|at| -5.97 + 0.1893 * at as f32)
}

async fn derivative<const N: usize>(
    gpu: &Gpu,
    name: &str,
    function: &str,
    points: &[[f32; N]],
    launch: impl Fn(u32) -> Launch,
) -> Result<(), Error> {
    let moved = |by: f32| {
        points.iter().map(move |point| std::array::from_fn(|i| if i == 0 { point[0] + by } else { point[i] }))
    };
    let reaches = [0.0, REACHES[0], -REACHES[0], REACHES[1], -REACHES[1]];
    let asked: Vec<[f32; N]> = reaches.into_iter().flat_map(moved).collect();
    let launch = launch(asked.len() as u32);
    let flat: Vec<f32> = asked.iter().flatten().copied().collect();
    let mut contents = [bytemuck::cast_slice(&flat).to_vec(), vec![0; 16 * asked.len()]];
    gpu.run_launch(&launch, &mut contents, Checks::On).await?;
    let values: Vec<[f32; 4]> = bytemuck::pod_collect_to_vec(&contents[1]);

    let mut seen = 0;
    for (at, point) in points.iter().enumerate() {
        let given = f64::from(values[at][1]);
        let differences = [1, 3].map(|pass| {
            let (above, below) = (at + pass * points.len(), at + (pass + 1) * points.len());
            f64::from(values[above][0] - values[below][0]) / f64::from(asked[above][0] - asked[below][0])
        });
        // A function need not be defined everywhere: a logarithm is not.
        if !given.is_finite() || differences.iter().any(|difference| !difference.is_finite()) {
            continue;
        }
        seen += 1;
        let fits = |difference: &f64| (difference - given).abs() <= TOLERANCE * given.abs().max(1.0);
        if !differences.iter().any(fits) {
            let at: Vec<String> = point.iter().map(|value| format!("{value:.4}")).collect();
            let (at, difference) = (at.join(", "), differences[1]);
            return Err(Error::Wgsl {
                name: name.into(),
                reason: format!(
                    "derivative({at}) is {given:.6}, and by differences of {function} it is {difference:.6}"
                ),
            });
        }
    }
    if seen < points.len() / 8 {
        return Err(Error::Wgsl {
            name: name.into(),
            reason: format!("{function} is finite almost nowhere from -6 to 6"),
        });
    }
    Ok(())
}

/// That a weight of 0 with a gradient of 0 stays 0: rows of weights are padded with such.
async fn stays_at_zero(gpu: &Gpu, optimizer: &Optimizer) -> Result<(), Error> {
    let launch = probe::optimizer(optimizer);
    let mut state = bytemuck::bytes_of(&State { learning_rate: 0.01, ..Zeroable::zeroed() }).to_vec();
    state.resize(STATE_BYTES as usize, 0);
    let content = |slot: Binding| match slot {
        Binding::State => state.clone(),
        Binding::OptimizerSlots => vec![0; 16 * optimizer.slots() as usize],
        _ => vec![0; 16],
    };
    let mut contents: Vec<Vec<u8>> = launch.bindings.iter().map(|&(slot, _)| content(slot)).collect();
    // What it keeps stays from one to the next.
    let state_at = launch.bindings.iter().position(|&(slot, _)| slot == Binding::State).unwrap_or_default();
    for t in 1..=3 {
        contents[state_at][size_of::<State>()..][..4].copy_from_slice(&(t as f32).to_le_bytes());
        gpu.run_launch(&launch, &mut contents, Checks::On).await?;
        let values: Vec<f32> = bytemuck::pod_collect_to_vec(&contents[1]);
        if values.iter().any(|value| value.to_bits() << 1 != 0) {
            return Err(Error::Wgsl {
                name: optimizer.name().into(),
                reason: format!("it moves a weight of 0 whose gradient is 0 to {}: such weights must stay", values[0]),
            });
        }
    }
    Ok(())
}
