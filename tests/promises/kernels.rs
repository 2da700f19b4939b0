//! Right on this adapter: every kernel, in every variant, against its f64 twin, at sizes that are multiples of nothing,
//! with outputs poisoned first.

use wgrad::gpu::Checks;
use wgrad::kernel::team_head::{self, Team};
use wgrad::kernel::tile::{Blocks, Family, Tile};
use wgrad::kernel::{Binding, Input, Launch, dense_backward, dense_forward, dense_update, head, row_loss};
use wgrad::layout::Dense;
use wgrad::selftest::kernels;
use wgrad::selftest::kernels::loss_kernel;
use wgrad::{Activation, Epilogue, Optimizer};

use crate::problem::{Adam1, Problem, ROWS, STATS_BYTES, bytes_of};
use crate::reference;
use crate::support::{agrees, families, gpu};

/// Batches 1, 3, 5, 33; features 1, 7, 784; outputs 1, 2, 10, 1000: each with each other's extremes.
const SIZES: &[(u32, u32, u32)] = &[
    (1, 1, 1),
    (1, 784, 2),
    (3, 7, 10),
    (3, 1, 1000),
    (5, 784, 10),
    (5, 7, 1),
    (33, 1, 2),
    (33, 784, 1),
    (33, 7, 1000),
    (33, 784, 10),
];

fn inputs_of(size: (u32, u32, u32)) -> [Input; 2] {
    // Each size with two of the four, so that all meet every extreme.
    match (size.0 + size.1 + size.2) % 4 {
        0 => [Input::SetU8, Input::Activations],
        1 => [Input::SetU8, Input::SetF32],
        2 => [Input::SetF16, Input::Activations],
        _ => [Input::SetF32, Input::SetF16],
    }
}

#[track_caller]
pub fn check_forward(problem: &Problem, activation: Activation, tile: Tile, checks: Checks) {
    agrees(kernels::forward(&gpu(), problem, activation, tile, checks));
}

#[track_caller]
pub fn check_backward(problem: &Problem, below: Activation, tile: Tile, checks: Checks) {
    agrees(kernels::backward(&gpu(), problem, below, tile, checks));
}

#[track_caller]
pub fn check_update(problem: &Problem, optimizer: &Optimizer, tile: Tile, checks: Checks) {
    agrees(kernels::update(&gpu(), problem, optimizer, tile, checks));
}

#[track_caller]
fn check_loss(problem: &Problem, launch: &Launch, checks: Checks) {
    agrees(kernels::loss(&gpu(), problem, launch, checks));
}

/// Finds a tile that is right at round sizes only; a gather, a bias or an activation that is lost.
#[test]
fn dense_forward_agrees_with_its_twin() {
    for &size in SIZES {
        for input in inputs_of(size) {
            let problem = Problem::new(size, input);
            for family in families() {
                let tile = family.tile(dense_forward::blocks(problem.dense));
                check_forward(&problem, Activation::Relu, tile, Checks::Off);
            }
        }
    }
}

/// Finds a residual that is added to the wrong quad or on the wrong side of the activation, and another reader's gradient that the mask misses. The
/// launches with the stage are compared with those without it, to the bit.
#[test]
fn stages_add_what_they_bind() {
    let values = |count: usize| (0..count).map(|at| (at % 23) as f32 / 8.0 - 1.25).collect::<Vec<f32>>();
    let run = |problem: &Problem, launch: &Launch, added: &[f32], output: Binding| -> Vec<f32> {
        let is_added = |binding| matches!(binding, Binding::Residual | Binding::OtherGradient);
        let mut contents = problem.contents(launch);
        for (content, (binding, _)) in contents.iter_mut().zip(&launch.bindings) {
            if is_added(*binding) {
                *content = added.iter().flat_map(|value| value.to_le_bytes()).collect();
            }
        }
        gpu().run_once(launch, &mut contents, Checks::On).unwrap();
        let bytes = bytes_of(launch, &contents, output);
        bytes.chunks_exact(4).map(|word| f32::from_le_bytes(word.try_into().unwrap())).collect()
    };
    for (size, activation) in [((5, 7, 10), Activation::Relu), ((33, 9, 16), Activation::Identity)] {
        let problem = Problem::new(size, Input::Activations);
        let (dense, inputs, outputs) = (problem.dense, size.1 as usize, size.2 as usize);
        let rows = (size.0 as usize).next_multiple_of(4);
        let stride = 4 * (outputs / 4 + 1);
        let added = values(rows * stride);
        for family in families() {
            let tile = family.tile(dense_forward::blocks(dense));
            let forward = |activation, adds| {
                let launch =
                    dense_forward::launch_with(dense, problem.input, Epilogue::of(activation), None, adds, tile);
                run(&problem, &launch, &added, Binding::Output)
            };
            let z = forward(Activation::Identity, false);
            let relu = |z: f32| if activation == Activation::Relu && z < 0.0 { 0.0 } else { z };
            let sum = forward(activation, true);
            for at in (0..size.0 as usize * stride).filter(|at| at % stride < outputs) {
                assert_eq!(sum[at], relu(z[at] + added[at]), "{size:?} {tile} at {at}");
            }
            for at in (0..size.0 as usize * stride).filter(|at| at % stride >= outputs) {
                let padding = if at % stride == outputs { 1.0 } else { 0.0 };
                assert_eq!(sum[at], padding, "{size:?} {tile} at {at}");
            }

            let tile = family.tile(dense_backward::blocks(dense));
            let width = inputs.next_multiple_of(4);
            let added = values(rows * width);
            let backward = |activation, adds| {
                let launch =
                    dense_backward::launch_with(dense, Input::Activations, Epilogue::of(activation), adds, tile);
                run(&problem, &launch, &added, Binding::InputGradient)
            };
            let (plain, both) = (backward(Activation::Identity, false), backward(activation, true));
            for at in (0..size.0 as usize * width).filter(|at| at % width < inputs) {
                let x = problem.x[at / width * inputs + at % width];
                let mask = if activation == Activation::Relu && x <= 0.0 { 0.0 } else { 1.0 };
                assert_eq!(both[at], (plain[at] + added[at]) * mask, "{size:?} {tile} at {at}");
            }
        }
    }
}

/// Finds a mask taken from the wrong tensor, a gradient for the bias's 1, a transposed weight.
#[test]
fn dense_backward_agrees_with_its_twin() {
    for &size in SIZES {
        let problem = Problem::new(size, Input::Activations);
        for family in families() {
            let tile = family.tile(dense_backward::blocks(problem.dense));
            check_backward(&problem, Activation::Relu, tile, Checks::Off);
        }
    }
}

/// Finds a bias that is not trained, a moment that is lost, a row of the wrong epoch, padding that drifts from 0.
#[test]
fn dense_update_agrees_with_its_twin() {
    for &size in SIZES {
        for input in inputs_of(size) {
            let problem = Problem::new(size, input);
            for family in families() {
                let tile = family.tile(dense_update::blocks(problem.dense));
                check_update(&problem, &Adam1::optimizer(), tile, Checks::Off);
            }
        }
        // So large a rate that the gradient is most of what is compared.
        let problem = Problem { lr: 100.0, ..Problem::new(size, Input::SetF32) };
        for family in families() {
            let tile = family.tile(dense_update::blocks(problem.dense));
            check_update(&problem, &Optimizer::sgd(problem.lr), tile, Checks::Off);
        }
    }
}

/// Finds a missing class that wins, a mean over the wrong number of rows, a short batch that trains on missing rows.
#[test]
fn loss_kernels_agree_with_their_twin() {
    let optimizer = Adam1::optimizer();
    for &size in SIZES {
        let problem = Problem::new(size, Input::SetF32);
        if size.2 <= head::MOST_OUTPUTS {
            for workgroup in [Family::Software, Family::Hardware].map(Family::row_workgroup) {
                for input in inputs_of(size) {
                    let problem = Problem::new(size, if input == Input::Activations { Input::SetU8 } else { input });
                    let launch = head::launch(loss_kernel(problem.dense, Some(&optimizer)), problem.input, workgroup);
                    check_loss(&problem, &launch, Checks::Off);
                }
            }
        }
        let launch = row_loss::launch(loss_kernel(problem.dense, Some(&optimizer)));
        check_loss(&problem, &launch, Checks::Off);
    }
}

/// The teams that can judge rows here: the adapter's own, and the one that runs anywhere.
fn teams() -> Vec<Team> {
    let mut teams: Vec<Team> = families().into_iter().chain([Family::Hardware]).filter_map(Team::of).collect();
    teams.dedup();
    assert!(teams.iter().any(|team| matches!(team, Team::Workgroup(_))), "GPUs have teams");
    teams
}

/// Finds a lane's share that is lost, a row passed to the wrong member, a gradient that goes below without its mask; teams with fewer rows than
/// members, and minibatches with fewer than a team.
#[test]
fn heads_of_teams_agree_with_their_twin() {
    let optimizer = Adam1::optimizer();
    for &size in SIZES.iter().chain(&[(6, 130, 64), (33, 20, 33), (7, 9, 24)]) {
        for team in teams() {
            for input in inputs_of(size).into_iter().filter(|_| size.2 <= head::MOST_OUTPUTS) {
                let problem = Problem::new(size, input);
                let below = (input == Input::Activations).then_some(Epilogue::of(Activation::Relu));
                let launch = team_head::launch(loss_kernel(problem.dense, Some(&optimizer)), input, below, team);
                check_loss(&problem, &launch, Checks::Off);
                if size.0 < 33 {
                    check_loss(&problem, &launch, Checks::On);
                }
            }
        }
    }
}

/// Finds an evaluation that trains, writes elsewhere, or gives other logits than the forward pass.
#[test]
fn loss_kernels_that_only_evaluate_agree_with_their_twin() {
    for &size in SIZES {
        let problem = Problem::new(size, Input::SetU8);
        let few = size.2 <= head::MOST_OUTPUTS;
        let one_by_one = if few {
            head::launch(loss_kernel(problem.dense, None), problem.input, 8)
        } else {
            row_loss::launch(loss_kernel(problem.dense, None))
        };
        let by_team = |team| team_head::launch(loss_kernel(problem.dense, None), problem.input, None, team);
        for launch in teams().into_iter().filter(|_| few).map(by_team).chain([one_by_one]) {
            agrees(kernels::evaluation(&gpu(), &problem, &launch, Checks::Off));
        }
    }
}

/// Finds a tile shape that no size above picks, and an edge that only it has.
#[test]
fn every_tile_agrees_at_awkward_sizes() {
    let register = [(1, 1), (2, 1), (2, 2), (4, 2)].map(|(m, n)| Tile::Register { m, n });
    let workgroup = [2, 8, 16].map(|side| Tile::Workgroup { side });
    for size in [(33, 45, 70), (6, 130, 9)] {
        let set = Problem::new(size, Input::SetU8);
        let hidden = Problem::new(size, Input::Activations);
        for tile in [Tile::Naive].into_iter().chain(register).chain(workgroup) {
            check_forward(&set, Activation::Identity, tile, Checks::Off);
            check_backward(&hidden, Activation::Identity, tile, Checks::Off);
            check_update(&set, &Adam1::optimizer(), tile, Checks::Off);
        }
    }
}

/// Finds a sum that a software driver ends without a word, after 65,535 iterations of an invocation; slices of it that overlap, or leave something out.
#[test]
fn sums_are_cut_where_they_are_long() {
    let tiles = || families().into_iter().flat_map(|family| family.variants()).chain([Tile::Naive]);
    for tile in tiles().filter(|tile| tile.shared_bytes() == 0) {
        for k in [1, 511, 512, 7_500, 7_501, 401_408, 1 << 22] {
            for (m, n) in [(1, 1), (3, 8), (73, 16), (500, 500)] {
                let slices = tile.slices_of(Blocks { m, n, k });
                assert!(
                    k.div_ceil(slices) <= 7_500 && (slices == 1 || k > 2_048),
                    "{tile}, {m}×{n}×{k}: {slices} slices"
                );
            }
        }
    }
    for family in families().into_iter().filter(|family| *family != Family::Hardware) {
        let tile = family.tile(Blocks { m: 1, n: 1, k: 75_000 });
        check_forward(&Problem::new((3, 300_001, 1), Input::SetF32), Activation::Identity, tile, Checks::Off);
        check_backward(&Problem::new((3, 1, 300_001), Input::Activations), Activation::Identity, tile, Checks::Off);
        let problem = Problem::new((300_001, 2, 1), Input::Activations);
        check_update(&problem, &Optimizer::sgd(problem.lr), tile, Checks::Off);
    }
}

/// Finds workgroups of a second dimension that do the first one's work again, or nothing, where there are more than a dimension takes.
#[test]
fn workgroups_of_a_second_dimension_do_their_own_work() {
    let problem = Problem::new((4, 1, 2_200_000), Input::SetF32);
    let launch =
        dense_forward::launch(problem.dense, problem.input, Epilogue::of(Activation::Identity), None, Tile::Naive);
    assert!(launch.workgroups > 65_535 && launch.grid(65_535)[1] == 2);
    check_forward(&problem, Activation::Identity, Tile::Naive, Checks::Off);
}

/// Finds an index that is out of bounds, and right by luck where nothing checks it.
#[test]
fn every_kernel_agrees_with_runtime_checks_on() {
    let optimizer = Adam1::optimizer();
    for size in [(5, 7, 10), (33, 8, 12)] {
        let (set, hidden) = (Problem::new(size, Input::SetU8), Problem::new(size, Input::Activations));
        let floats = Problem::new(size, Input::SetF32);
        for family in families() {
            let tile = family.tile(dense_forward::blocks(set.dense));
            for problem in [&set, &hidden, &floats] {
                check_forward(problem, Activation::Relu, tile, Checks::On);
                check_update(problem, &optimizer, tile, Checks::On);
            }
            check_backward(&hidden, Activation::Relu, tile, Checks::On);
        }
        for problem in [&set, &floats] {
            let launch = head::launch(loss_kernel(problem.dense, Some(&optimizer)), problem.input, 8);
            check_loss(problem, &launch, Checks::On);
        }
        check_loss(&set, &row_loss::launch(loss_kernel(set.dense, Some(&optimizer))), Checks::On);
    }
}

/// Finds logits so large that an exponential overflows; a probability so near to 1 that 1 − p has no digits left.
#[test]
fn softmax_is_precise_for_huge_logits_and_sure_predictions() {
    let huge = |c: u32| if c.is_multiple_of(2) { 1e4 } else { -1e4 };
    let sure = |c: u32| if c == 1 { 14.0 } else { 0.0 };
    let biases: [&dyn Fn(u32) -> f64; 2] = [&huge, &sure];
    for (outputs, bias) in [3u32, 100].into_iter().flat_map(|outputs| biases.map(|bias| (outputs, bias))) {
        let mut problem = Problem::new((4, 1, outputs), Input::SetF32);
        problem.weights = vec![0.0; outputs as usize];
        problem.bias = (0..outputs).map(bias).collect();
        problem.labels = vec![1; ROWS as usize];
        let optimizer = Adam1::optimizer();
        let launch = if outputs <= head::MOST_OUTPUTS {
            head::launch(loss_kernel(problem.dense, Some(&optimizer)), problem.input, 8)
        } else {
            row_loss::launch(loss_kernel(problem.dense, Some(&optimizer)))
        };
        check_loss(&problem, &launch, Checks::Off);
    }
}

/// Finds an order that visits a row twice, or that is the same in every epoch or for every seed.
#[test]
fn every_epoch_visits_every_row_once_in_the_keyed_order() {
    let visits = |rows: u32, seed: u64, epoch: u32| -> Vec<u32> {
        let dense = Dense { batch: rows, inputs: 1, outputs: 2 };
        let launch = head::launch(loss_kernel(dense, Some(&Optimizer::sgd(0.1))), Input::SetF32, 8);
        let bits = u32::BITS - (rows - 1).leading_zeros();
        let order = [epoch, rows, 1, bits, seed as u32, (seed >> 32) as u32, 1];
        let state = order.into_iter().chain([0; 25]);
        let mut contents: Vec<Vec<u8>> = launch
            .bindings
            .iter()
            .map(|&(slot, _)| match slot {
                Binding::State => state.clone().flat_map(u32::to_le_bytes).collect(),
                _ => vec![0; STATS_BYTES * rows.next_multiple_of(4) as usize],
            })
            .collect();
        gpu().run_once(&launch, &mut contents, Checks::Off).unwrap();
        let visited = bytes_of(&launch, &contents, Binding::Visited);
        visited.chunks_exact(4).take(rows as usize).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect()
    };
    for rows in [1, 2, 3, 5, 33, 100, 1000] {
        let (first, second, other) = (visits(rows, 7, 0), visits(rows, 7, 1), visits(rows, 8, 0));
        for (order, seed, epoch) in [(&first, 7, 0), (&second, 7, 1), (&other, 8, 0)] {
            let twin: Vec<u32> = (0..rows).map(|at| reference::row_of(at, rows, seed, epoch)).collect();
            assert_eq!(order, &twin, "{rows} rows");
            let mut sorted = order.clone();
            sorted.sort_unstable();
            assert!(sorted.into_iter().eq(0..rows), "{rows} rows: each once");
        }
        if rows >= 33 {
            assert!(first != second && first != other, "{rows} rows: orders differ");
        }
    }
}

/// Finds a counter that does not move, or moves by another number.
#[test]
fn close_step_moves_the_counter_by_one() {
    agrees(kernels::closing(&gpu(), Checks::Off));
}

/// Finds a reference product that is quick because it leaves something out.
#[test]
fn the_textbooks_product_is_the_product() {
    agrees(kernels::textbook(&gpu(), Checks::On));
}
