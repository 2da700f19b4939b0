//! How near does each kernel of the seed network's step come to what the device can do?
//!
//! Measured: each dispatch of the step by itself, repeated in one submission, over buffers of zeros; beside it the same products by the
//! plain tile (a block of 4 × 4 an invocation), a copy from buffer to buffer, a product of 1024³, and the first layer's by a textbook kernel (an
//! invocation for each output).
//! Columns: criterion's throughput is floating-point operations a second ("Gelem/s" are GFLOP/s), or bytes a second for the copy; a
//! multiply-add is two operations. What lies between two dispatches is in the time of one.
//! Not to be read as: shares of a step (alone, a dispatch finds its operands in the cache); nor as GPU speeds where the adapter is a CPU.
//! Control: `control/1` and `control/2` are the same kernel twice and must read the same.

mod common;

use criterion::{BenchmarkId, Criterion, Throughput};
use wgrad::Gpu;
use wgrad::gpu::Checks;
use wgrad::kernel::tile::Family;
use wgrad::kernel::tiling::Tiling;
use wgrad::profile::{StepTimer, ceilings};

/// The dispatches of one plan, each as a benchmark.
fn dispatches(criterion: &mut Criterion, gpu: &Gpu, group: &str, tiling: &Tiling, batch: u32, only: Option<&str>) {
    let plan = common::plan(tiling, &[784, 256, 10], batch, 60_000).unwrap();
    let timer = StepTimer::new(gpu, &plan, Checks::Off).unwrap();
    let mut group = criterion.benchmark_group(format!("{group}, batch {batch}"));
    for (at, dispatch) in plan.dispatches().iter().enumerate() {
        let launch = &dispatch.launch;
        if only.is_some_and(|only| only != launch.kernel) || (only.is_some() && launch.cost.flops < 1 << 20) {
            continue;
        }
        group.throughput(Throughput::Elements(launch.cost.flops));
        let name = BenchmarkId::new(launch.kernel, format!("{} {at}", launch.variant));
        group.bench_function(name, |bencher| bencher.iter_custom(|times| timer.dispatch(at, times).unwrap().all));
    }
    group.finish();
}

fn main() {
    let mut criterion = common::criterion();
    let gpu = common::gpu();
    // Updates are not merged, so that each has a time of its own.
    let own = Tiling { most_bindings: 8, ..gpu.adapter().tiling() };
    let plain = Tiling { family: Family::Reference, ..own.clone() };
    for control in ["control/1", "control/2"] {
        dispatches(&mut criterion, &gpu, control, &own, 32, Some("dense_forward"));
    }
    for batch in [32, 128, 1024] {
        dispatches(&mut criterion, &gpu, "own", &own, batch, None);
    }
    for (batch, kernel) in [(32, "dense_forward"), (32, "dense_update"), (128, "dense_forward"), (128, "dense_update")]
    {
        dispatches(&mut criterion, &gpu, "plain", &plain, batch, Some(kernel));
    }
    let most = ceilings(&gpu, Checks::Off).unwrap();
    println!(
        "{}: copy {:.1} GB/s, product of 1024³ {:.1} GFLOP/s, of 32×784 · 784×256 by a textbook kernel {:.2} GFLOP/s",
        gpu.adapter().name,
        most.copy / 1e9,
        most.product / 1e9,
        most.naive / 1e9,
    );
    criterion.final_summary();
}
