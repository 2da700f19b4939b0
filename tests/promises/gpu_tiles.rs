//! The tiles for real GPUs are right, at sizes that are multiples of nothing, whole and in slices, alone and merged; and ask for no more
//! than every adapter has.

use wgrad::gpu::Checks;
use wgrad::kernel::link::{Form, link};
use wgrad::kernel::tile::{Blocks, Family, Tile};
use wgrad::kernel::{Binding, Input, Launch, dense_backward, dense_forward, dense_update, merged};
use wgrad::layout::Dense;
use wgrad::{Activation, Epilogue, Optimizer};

use crate::kernels::{check_backward, check_forward, check_update};
use crate::problem::{Adam1, Problem, bytes_of, plain, run_all, state};
use crate::support::gpu;

/// The buffered tiles, whole.
fn buffered() -> impl Iterator<Item = Tile> {
    let tiles = Family::Hardware.variants().into_iter().filter(|tile| matches!(tile, Tile::Buffered { slices: 1, .. }));
    let tiles: Vec<Tile> = tiles.collect();
    assert!(tiles.len() > 3, "{tiles:?}");
    tiles.into_iter()
}

/// Finds a buffer that is written while it is read, a block that is not loaded or is loaded twice, an edge that is stored; at sizes that cut the last
/// of several tiles down, across and in the sum.
#[test]
fn buffered_tiles_agree_at_awkward_sizes() {
    let large = Problem::new((150, 141, 130), Input::Activations);
    for tile in buffered() {
        check_forward(&large, Activation::Relu, tile, Checks::Off);
        check_backward(&large, Activation::Relu, tile, Checks::Off);
        check_update(&large, &Adam1::optimizer(), tile, Checks::Off);
    }
    let set = Problem::new((33, 45, 70), Input::SetU8);
    let tile = Family::Hardware.tile(Blocks { m: 64, n: 64, k: 64 });
    check_forward(&set, Activation::Relu, tile, Checks::Off);
    check_update(&set, &Adam1::optimizer(), tile, Checks::Off);
}

/// Finds a slice that is left out or added twice, one past the end of the sum that is not zero, a result that is stored before it is whole.
#[test]
fn sliced_sums_agree_at_awkward_sizes() {
    // 36 blocks in sixteen slices: the last few are empty, one is cut off.
    let problem = Problem::new((70, 141, 50), Input::Activations);
    let small: Vec<Tile> = buffered().filter(|tile| tile.area() <= 256).step_by(3).collect();
    assert!(small.len() > 1, "{small:?}");
    for tile in small.into_iter().flat_map(|tile| [4, 16].map(|slices| tile.sliced(slices))) {
        check_forward(&problem, Activation::Relu, tile, Checks::Off);
        check_backward(&problem, Activation::Relu, tile, Checks::Off);
        check_update(&problem, &Adam1::optimizer(), tile, Checks::Off);
    }
    let small = Problem::new((5, 7, 10), Input::Activations);
    let tile = buffered().last().unwrap().sliced(4);
    check_backward(&small, Activation::Relu, tile, Checks::On);
    check_update(&small, &Adam1::optimizer(), tile, Checks::On);
}

/// Finds sums of slices whose order depends on timing.
#[test]
fn sums_of_slices_are_added_in_order() {
    let problem = Problem::new((33, 300, 6), Input::SetF32);
    let tile = buffered().last().unwrap().sliced(8);
    let launch = dense_forward::launch(problem.dense, problem.input, Epilogue::of(Activation::Identity), None, tile);
    let contents = run_all(&problem, &launch, Checks::Off);
    assert_eq!(contents, run_all(&problem, &launch, Checks::Off), "the same bits twice");

    let [slices, rows, columns] = launch.partials.as_ref().unwrap().shape.map(|side| side as usize);
    let sums: Vec<f32> = bytemuck::pod_collect_to_vec(bytes_of(&launch, &contents, Binding::Partials));
    let in_order = |at: usize| (0..slices).fold(0.0, |sum, slice| sum + sums[slice * rows * columns + at]);
    let y: Vec<f32> = bytemuck::pod_collect_to_vec(bytes_of(&launch, &contents, Binding::Output));
    for (row, column) in (0..33).flat_map(|row| (0..6).map(move |column| (row, column))) {
        assert_eq!(y[row * columns + column].to_bits(), in_order(row * columns + column).to_bits(), "{row}, {column}");
    }
}

/// Finds a tile that an adapter with the least that WebGPU promises would refuse; a pick by name that is another tile than was measured.
#[test]
fn tiles_of_gpus_keep_to_what_every_adapter_has_and_go_by_name() {
    let tiles = Family::Hardware.variants();
    let dense = Dense { batch: 64, inputs: 64, outputs: 64 };
    let mut names: Vec<String> = tiles.iter().map(Tile::to_string).collect();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), tiles.len());
    assert!(tiles.iter().any(|tile| tile.shared_bytes() > 0), "{names:?}");
    for &tile in &tiles {
        let launch = dense_backward::launch(dense, Epilogue::of(Activation::Relu), tile);
        let first = launch.partials.as_ref().and_then(|partials| partials.written_by.as_deref()).unwrap_or(&launch);
        let memory = first.constants.iter().find(|(name, _)| *name == "memory");
        let quads = memory.map_or(0, |(_, text)| text.matches(char::is_numeric).collect::<String>().parse().unwrap());
        // What is found under that name is all there is, and what the tile says of itself.
        assert_eq!(memory.is_some(), link(first, Form::default()).unwrap().contains("var<workgroup>"), "{tile}");
        assert_eq!(16 * quads, tile.shared_bytes(), "{tile}");
        assert!(first.workgroup <= 256 && 16 * quads <= 16 * 1024, "{tile}: {quads} quads");
    }
    let sides = [1, 2, 3, 8, 17, 64, 65, 197, 512, 1000, 5000];
    for (m, n, k) in sides.iter().flat_map(|&m| sides.iter().flat_map(move |&n| sides.map(|k| (m, n, k)))) {
        let tile = Family::Hardware.tile(Blocks { m, n, k });
        assert!(tiles.contains(&tile) && tile.suits(Blocks { m, n, k }), "{m}×{n}×{k}: {tile}");
        assert!(tile.slices() == 1 || k >= 512, "{m}×{n}×{k}: {tile}");
        // Teams share sums that are neither short nor cut into slices.
        assert!(!matches!(tile, Tile::Buffered { teams: 2.., .. }) || (64..512).contains(&k), "{m}×{n}×{k}: {tile}");
    }
    // A minibatch of 32 rows on the seed's first layer: 32 workgroups where there were eight.
    assert_eq!(Family::Hardware.tile(Blocks { m: 8, n: 64, k: 256 }).to_string(), "buffered 16×16 of 16 teams");
    assert_eq!(Family::Hardware.tile(Blocks { m: 4, n: 4, k: 256 }).to_string(), "buffered 16×16 of 16 teams");
    for tile in tiles.iter().filter(|tile| matches!(tile, Tile::Buffered { teams: 2.., .. })) {
        // Every team's sums fit where the vectors were.
        assert!(64 * tile.workgroup() <= tile.shared_bytes(), "{tile}");
    }
}

/// Finds shared memory that a merged launch takes once for each part, more than adapters have; or too little of it, as the part needs that needs
/// less.
#[test]
fn parts_of_a_merged_launch_share_memory() {
    // With what Adam keeps, nine buffers: more than WebGPU promises.
    let optimizer = if gpu().adapter().max_bindings < 9 { Optimizer::sgd(0.01) } else { Adam1::optimizer() };
    let problems = [(33, 70, 10), (33, 45, 70)].map(|size| Problem::new(size, Input::Activations));
    let named = |name: &str| Family::Hardware.variants().into_iter().find(|tile| tile.to_string() == name).unwrap();
    let tiles = ["buffered 64×16", "buffered 64×64"].map(named);
    let part = |at: usize| {
        let dense = problems[at].dense;
        dense_update::launch(dense, Input::Activations, plain(&optimizer), tiles[at], Default::default())
    };
    let parts = [part(0), part(1)];
    assert!(merged::fit(&parts[0], &parts[1]));
    let merged = merged::launch(parts.to_vec(), false);
    assert_eq!(link(&merged, Form::default()).unwrap().matches("var<workgroup>").count(), 1);

    let own = |(problem, launch): (&Problem, &Launch)| {
        let contents = launch.bindings.iter().copied().zip(problem.contents(launch));
        contents.filter(|((slot, _), _)| *slot != Binding::State).map(|(_, bytes)| bytes).collect::<Vec<_>>()
    };
    let mut contents: Vec<Vec<u8>> = problems.iter().zip(&parts).flat_map(own).collect();
    contents.push(state(33, Adam1::TWIN.lr, Adam1::SCALARS));
    // With checks, an index past the end is another's.
    gpu().run_once(&merged, &mut contents, Checks::On).unwrap();
    let mut left = merged.bindings.iter().zip(&contents).filter(|((slot, _), _)| *slot == Binding::Weights);
    for (problem, launch) in problems.iter().zip(&parts) {
        let alone = run_all(problem, launch, Checks::On);
        let own = bytes_of(launch, &alone, Binding::Weights);
        assert!(!own.is_empty() && left.next().unwrap().1 == own, "{}", launch.variant);
    }
}
