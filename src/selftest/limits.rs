//! Checks at the limits that an adapter states.

use super::compared::{Agreed, Compared, words};
use super::kernels::TOLERANCE;
use crate::activation::{Activation, Epilogue};
use crate::error::Error;
use crate::gpu::{AdapterKind, Checks, Gpu, Program, Traffic};
use crate::host::block_on;
use crate::kernel::tile::Tile;
use crate::kernel::{Binding, Input, dense_forward};
use crate::layout::Dense;

/// The largest size that is tried: two buffers are needed, and a CPU's memory is shared with all other processes.
const MOST_BYTES: u64 = 1 << 30;
const MOST_BYTES_SOFTWARE: u64 = 256 << 20;
/// The smallest size that is tried: an adapter without room for such a buffer is of no use.
const LEAST_BYTES: u64 = 1 << 24;
/// The number of columns at the end that are compared.
const LAST: u32 = 64;

/// The size that is tried first: the largest that can be bound, up to 1 GiB, or 256 MiB on a software adapter.
pub fn largest_buffer(gpu: &Gpu) -> u64 {
    let software = gpu.adapter().kind == AdapterKind::Software;
    gpu.adapter().tiling().most_bytes.min(if software { MOST_BYTES_SOFTWARE } else { MOST_BYTES })
}

/// A product whose result fills a buffer of the largest size, by more workgroups than a dimension takes where the adapter
/// has a limit there: its last columns are right. Where memory is short, half as large a buffer, and so on.
///
/// # Errors
///
/// A message about the first result that is not as expected.
pub fn fill_largest_buffer(gpu: &Gpu) -> Agreed {
    let mut bytes = largest_buffer(gpu);
    loop {
        match fill(gpu, bytes) {
            Ok(agreed) => return agreed,
            Err(Error::Device(reason)) if gpu.check().is_err() || bytes / 2 < LEAST_BYTES => return Err(reason),
            // Memory has run out, and nothing else is lost.
            Err(Error::Device(reason)) => {
                tracing::debug!(bytes, reason, "too large here");
                bytes /= 2;
            }
            Err(error) => return Err(words(error)),
        }
    }
}

/// Computes a product of four rows of one feature whose number of units makes a result of `bytes` bytes.
fn fill(gpu: &Gpu, bytes: u64) -> Result<Agreed, Error> {
    // A row of the result has a quad more than units, for the 1 that a bias is multiplied by.
    let units = (bytes / 16) as u32 / 4 * 4 - 4;
    let dense = Dense { batch: 4, inputs: 1, outputs: units };
    let launch =
        dense_forward::launch(dense, Input::Activations, Epilogue::of(Activation::Identity), None, Tile::Naive);
    let stride = u64::from(4 * dense.y_quads());
    let x = [2f32, -3.0, 0.5, 7.0];
    let weight = |unit: u32| (unit % 1024) as f32 / 512.0 - 1.0;
    let bias = |unit: u32| (unit % 7) as f32;
    let last = || units - LAST..units;

    let rows: Vec<f32> = x.iter().flat_map(|&x| [x, 1.0, 0.0, 0.0]).collect();
    let input = block_on(gpu.upload("rows", &rows))?;
    // All other weights are 0, as new buffers are.
    let weights = block_on(gpu.zeros("weights", 16 * u64::from(units)))?;
    gpu.write_at(&weights, 4 * u64::from(units - LAST), &last().map(weight).collect::<Vec<f32>>());
    gpu.write_at(&weights, 4 * u64::from(2 * units - LAST), &last().map(bias).collect::<Vec<f32>>());
    let output = block_on(gpu.zeros("result", 16 * stride))?;
    let bound = launch.bindings.iter().map(|&(slot, _)| match slot {
        Binding::Input => &input,
        Binding::Weights => &weights,
        _ => &output,
    });
    let program = block_on(Program::new(gpu, &[(&launch, bound.collect())], Checks::Off))?;
    let traffic = &mut Traffic::default();
    gpu.submit(traffic, |encoder| program.record(encoder, 1));

    let [columns, lines] = launch.grid(gpu.adapter().max_workgroups);
    let (mut compared, mut worst) = (Compared::default(), Ok(()));
    for (row, &x) in (0..).zip(&x) {
        let at = 4 * (row * stride + u64::from(units - LAST));
        let found: Vec<f32> = block_on(gpu.read_at(&output, at, LAST as usize, traffic))?;
        let found: Vec<f64> = found.into_iter().map(f64::from).collect();
        let twin: Vec<f64> = last().map(|unit| f64::from(x * weight(unit) + bias(unit))).collect();
        let what = format!("row {row} of a buffer of {bytes} bytes, {columns} × {lines} workgroups");
        worst = worst.and(compared.close(what, &found, &twin, TOLERANCE));
    }
    Ok(worst.and_then(|()| compared.agreed()))
}
