//! How long does a plan take to be made?
//!
//! Measured: `Plan::new` for a training step, from a description to buffers and dispatches, on the host alone: the seed network, 40 layers and 500,
//! for a software adapter with subgroups and for a GPU.
//! Not to be read as: start-up, most of which is the driver's compiler.

mod common;

use criterion::BenchmarkId;
use wgrad::kernel::tile::Family;
use wgrad::kernel::tiling::Tiling;

fn main() {
    let mut criterion = common::criterion();
    let mut group = criterion.benchmark_group("plan");
    let (deep, very_deep) = ([256; 41], [256; 501]);
    for (adapter, family) in [("lanes", Family::Subgroups { lanes: 8, words_64: true }), ("gpu", Family::Hardware)] {
        let tiling = Tiling { most_bindings: 32, ..Tiling::of(family) };
        for (name, widths) in [("784-256-10", &[784, 256, 10][..]), ("40 layers", &deep), ("500 layers", &very_deep)] {
            group.bench_function(BenchmarkId::new(name, adapter), |bencher| {
                bencher.iter(|| common::plan(&tiling, widths, 32, 60_000).unwrap());
            });
        }
    }
    group.finish();
    criterion.final_summary();
}
