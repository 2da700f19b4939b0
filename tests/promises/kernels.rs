//! Right on this adapter: every kernel, in every variant, against its f64 twin, at sizes that are multiples of nothing,
//! with outputs poisoned first.

use wgrad::gpu::Checks;
use wgrad::kernel::row_loss::Lossy;
use wgrad::kernel::team_head::{self, Team};
use wgrad::kernel::tile::{Family, Tile};
use wgrad::kernel::{
    Access, Dense, Input, Launch, Slot, Targets, close_step, dense_backward, dense_forward, dense_update, head,
    row_loss, textbook,
};
use wgrad::{Activation, Layer, Loss, Optimizer, Rule};

use crate::problem::{
    Adam1, Problem, ROWS, SCALARS, STATS_BYTES, STEP, bytes_of, floats, plain, run, run_all, state, unpadded,
};
use crate::reference;
use crate::support::{assert_close, families, gpu};

const TOLERANCE: f64 = 1e-5;

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

fn label(problem: &Problem, launch: &Launch, checks: Checks) -> String {
    format!("{} {} {:?} {:?} checks {checks:?}", launch.kernel, launch.variant, problem.dense, problem.input)
}

fn inputs_of(size: (u32, u32, u32)) -> [Input; 2] {
    // Each size with two of the four, so that all meet every extreme.
    match (size.0 + size.1 + size.2) % 4 {
        0 => [Input::SetU8, Input::Activations],
        1 => [Input::SetU8, Input::SetF32],
        2 => [Input::SetF16, Input::Activations],
        _ => [Input::SetF32, Input::SetF16],
    }
}

pub fn check_forward(problem: &Problem, activation: Activation, tile: Tile, checks: Checks) {
    let dense = problem.dense;
    let launch = dense_forward::launch(dense, problem.input, layer(activation), None, tile);
    let y = run(problem, &launch, Slot::Output, checks);
    let (stride, outputs) = ((dense.outputs as usize / 4 + 1) * 4, dense.outputs as usize);
    let twin = reference::dense_forward(&problem.x, &problem.weights, &problem.bias, activation == Activation::Relu);
    let what = label(problem, &launch, checks);
    assert_close(&what, &unpadded(&y, stride, problem.in_step(), outputs), &twin, TOLERANCE);
    // The 1 after the last unit, where the kernel writes that quad, and zeros after it.
    if outputs % 4 != 0 {
        for row in y.chunks_exact(stride) {
            assert_eq!(row[outputs], 1.0, "{what}: the bias's 1");
            assert!(row[outputs + 1..].iter().all(|&value| value == 0.0), "{what}: padding");
        }
    }
}

pub fn check_backward(problem: &Problem, below: Activation, tile: Tile, checks: Checks) {
    let dense = problem.dense;
    let launch = dense_backward::launch(dense, layer(below), tile);
    let dx = run(problem, &launch, Slot::InputGradient, checks);
    let (stride, inputs) = (dense.inputs.next_multiple_of(4) as usize, dense.inputs as usize);
    let relu = below == Activation::Relu;
    let twin = reference::dense_backward(&problem.dy, &problem.weights, &problem.x, dense.outputs as usize, relu);
    let what = label(problem, &launch, checks);
    assert_close(&what, &unpadded(&dx, stride, problem.in_step(), inputs), &twin, TOLERANCE);
    for row in dx.chunks_exact(stride) {
        assert!(row[inputs..].iter().all(|&value| value == 0.0), "{what}: padding");
    }
}

pub fn check_update(problem: &Problem, optimizer: &Optimizer, tile: Tile, checks: Checks) {
    let dense = problem.dense;
    let launch = dense_update::launch(dense, problem.input, plain(optimizer), tile, CLOSING);
    let contents = run_all(problem, &launch, checks);
    let what = label(problem, &launch, checks);

    let (gradient, bias_gradient) = reference::dense_gradient(&problem.x, &problem.dy, problem.in_step());
    let gradients = gradient.iter().chain(&bias_gradient);
    let weights = problem.weights.iter().chain(&problem.bias);
    let [m, v] = problem.moments();
    let twin: Vec<[f64; 3]> = weights
        .zip(gradients)
        .zip(m.iter().zip(&v))
        .map(|((&w, &g), (&m, &v))| match optimizer.rule {
            Rule::Sgd { .. } => [reference::sgd(w, g, optimizer.lr), m, v],
            _ => Adam1::TWIN.step(w, g, m, v, Adam1::T),
        })
        .collect();
    let part = |at: usize| twin.iter().map(|values| values[at]).collect::<Vec<_>>();

    let (outputs, rows) = (dense.outputs as usize, dense.inputs as usize + 1);
    let stride = outputs.next_multiple_of(4);
    let updated = floats(&launch, &contents, Slot::Weights);
    assert_close(&what, &unpadded(&updated, stride, rows, outputs), &part(0), TOLERANCE);
    assert!(updated[rows * stride..].iter().all(|&value| value == 0.0), "{what}: padding rows");
    if matches!(optimizer.rule, Rule::Adam { .. }) {
        let slots = floats(&launch, &contents, Slot::OptimizerSlots);
        for (slot, name) in ["first moment", "second moment"].into_iter().enumerate() {
            let values: Vec<f64> = slots.chunks_exact(8).flat_map(|pair| &pair[4 * slot..][..4]).copied().collect();
            let values = unpadded(&values, stride, rows, outputs);
            assert_close(&format!("{what}: {name}"), &values, &part(1 + slot), TOLERANCE);
        }
    }
    let step = u32::from_le_bytes(bytes_of(&launch, &contents, Slot::State)[..4].try_into().unwrap());
    assert_eq!(step, STEP + 1, "{what}: the step is closed");
}

/// A layer with this activation, whatever its width.
pub fn layer(activation: Activation) -> Layer {
    Layer { outputs: 0, activation, dropout: 0.0 }
}

const CLOSING: dense_update::Step = dense_update::Step { closes: true, weighted_mean: false, keeps_gradient: false };

/// The losses in the running sums.
fn losses_of(launch: &Launch, contents: &[Vec<u8>]) -> Vec<f64> {
    let stats = bytes_of(launch, contents, Slot::Stats);
    stats.chunks_exact(STATS_BYTES).map(|row| f32::from_le_bytes(row[..4].try_into().unwrap()).into()).collect()
}

/// Softmax cross-entropy with class indices.
fn lossy<'a>(dense: Dense, training: Option<&'a Optimizer>) -> Lossy<'a> {
    const LOSS: &Loss =
        &Loss::SoftmaxCrossEntropy { label_smoothing: 0.0, class_weights: None, ignore_index: None, gamma: 0.0 };
    Lossy { dense, loss: LOSS, targets: Targets::CLASSES, training: training.map(plain) }
}

/// What the loss kernels leave behind, few classes or many.
fn check_loss(problem: &Problem, launch: &Launch, checks: Checks) {
    let dense = problem.dense;
    let mut contents = problem.contents(launch);
    gpu().run_once(launch, &mut contents, checks).unwrap();
    let what = label(problem, launch, checks);
    let in_step = problem.in_step();
    let (losses, correct, gradient) =
        reference::softmax_cross_entropy(&problem.logits(), &problem.step_labels(), in_step);

    let (stride, outputs) = (dense.outputs.next_multiple_of(4) as usize, dense.outputs as usize);
    let dz = floats(launch, &contents, Slot::Gradient);
    assert_close(&what, &unpadded(&dz, stride, in_step, outputs), &gradient, TOLERANCE);
    assert!(dz[in_step * stride..].iter().all(|&value| value == 0.0), "{what}: places past the minibatch");

    assert_close(&format!("{what}: losses"), &losses_of(launch, &contents)[..in_step], &losses, TOLERANCE);
    let stats = bytes_of(launch, &contents, Slot::Stats);
    let hits: Vec<bool> = stats.chunks_exact(STATS_BYTES).map(|row| row[12] == 1).collect();
    assert_eq!(hits[..in_step], correct, "{what}: correct predictions");

    if launch.bindings.contains(&(Slot::InputGradient, Access::Write)) {
        let inputs = dense.inputs as usize;
        let dx = floats(launch, &contents, Slot::InputGradient);
        let twin = reference::dense_backward(&gradient, &problem.weights, &problem.x, outputs, true);
        let stride = inputs.next_multiple_of(4);
        assert_close(&format!("{what}: below"), &unpadded(&dx, stride, in_step, inputs), &twin, TOLERANCE);
        let padding = |row: &[f64]| row[inputs..].iter().all(|&value| value == 0.0);
        assert!(dx.chunks_exact(stride).all(padding), "{what}: padding below");
    }

    let visited = bytes_of(launch, &contents, Slot::Visited);
    let visited: Vec<u32> = visited.chunks_exact(4).map(|word| u32::from_le_bytes(word.try_into().unwrap())).collect();
    assert_eq!(visited[..in_step], problem.visited, "{what}: visited rows");
    let scalars = &floats(launch, &contents, Slot::State)[SCALARS / 4..][..2];
    let expected = [0.9 * Adam1::SCALARS[0] + 0.1, 0.999 * Adam1::SCALARS[1] + 0.001].map(f64::from);
    assert_close(&format!("{what}: scalars"), scalars, &expected, TOLERANCE);
}

/// A tile that is right at round sizes only; a gather, a bias or an activation that is lost.
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

/// A mask taken from the wrong tensor, a gradient for the bias's 1, a transposed weight.
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

/// A bias that is not trained, a moment that is lost, a row of the wrong epoch, padding that drifts from 0.
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

/// Classes that are not there winning, a mean over the wrong number of rows, a short batch that trains on ghosts.
#[test]
fn loss_kernels_agree_with_their_twin() {
    let optimizer = Adam1::optimizer();
    for &size in SIZES {
        let problem = Problem::new(size, Input::SetF32);
        if size.2 <= head::MOST_OUTPUTS {
            for workgroup in [Family::Software, Family::Hardware].map(Family::row_workgroup) {
                for input in inputs_of(size) {
                    let problem = Problem::new(size, if input == Input::Activations { Input::SetU8 } else { input });
                    let launch = head::launch(lossy(problem.dense, Some(&optimizer)), problem.input, workgroup);
                    check_loss(&problem, &launch, Checks::Off);
                }
            }
        }
        let launch = row_loss::launch(lossy(problem.dense, Some(&optimizer)));
        check_loss(&problem, &launch, Checks::Off);
    }
}

/// The teams that can judge rows here: the adapter's own, and the one that runs anywhere.
fn teams() -> Vec<Team> {
    families().into_iter().filter_map(Team::of).collect()
}

/// A lane's share that is lost, a row told to the wrong member, a gradient that goes below without its mask; teams with fewer rows
/// than members, and minibatches with fewer than a team.
#[test]
fn heads_of_teams_agree_with_their_twin() {
    let optimizer = Adam1::optimizer();
    for &size in SIZES.iter().chain(&[(6, 130, 64), (33, 20, 33), (7, 9, 24)]) {
        for team in teams() {
            for input in inputs_of(size).into_iter().filter(|_| size.2 <= head::MOST_OUTPUTS) {
                let problem = Problem::new(size, input);
                let below = (input == Input::Activations).then_some(layer(Activation::Relu));
                let launch = team_head::launch(lossy(problem.dense, Some(&optimizer)), input, below, team);
                check_loss(&problem, &launch, Checks::Off);
                if size.0 < 33 {
                    check_loss(&problem, &launch, Checks::On);
                }
            }
        }
    }
}

/// An evaluation that trains, writes elsewhere, or gives other logits than the forward pass.
#[test]
fn loss_kernels_that_only_evaluate_agree_with_their_twin() {
    for &size in SIZES {
        let problem = Problem::new(size, Input::SetU8);
        let few = size.2 <= head::MOST_OUTPUTS;
        let one_by_one = if few {
            head::launch(lossy(problem.dense, None), problem.input, 8)
        } else {
            row_loss::launch(lossy(problem.dense, None))
        };
        let by_team = |team| team_head::launch(lossy(problem.dense, None), problem.input, None, team);
        for launch in teams().into_iter().filter(|_| few).map(by_team).chain([one_by_one]) {
            let mut contents = problem.contents(&launch);
            let before = bytes_of(&launch, &contents, Slot::State).to_vec();
            gpu().run_once(&launch, &mut contents, Checks::Off).unwrap();
            let what = label(&problem, &launch, Checks::Off);
            assert_eq!(bytes_of(&launch, &contents, Slot::State), before, "{what}: the state is left alone");
            let (losses, ..) =
                reference::softmax_cross_entropy(&problem.logits(), &problem.step_labels(), problem.in_step());
            assert_close(
                &format!("{what}: losses"),
                &losses_of(&launch, &contents)[..losses.len()],
                &losses,
                TOLERANCE,
            );
            if few {
                let stride = (size.2 as usize / 4 + 1) * 4;
                let z = floats(&launch, &contents, Slot::Output);
                let z = unpadded(&z, stride, problem.in_step(), size.2 as usize);
                assert_close(&format!("{what}: logits"), &z, &problem.logits(), TOLERANCE);
            }
        }
    }
}

/// A tile shape that no size above picks, and an edge that only it has.
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

/// More workgroups than a dimension takes: those of the second row doing the first one's work again, or nothing.
#[test]
fn workgroups_of_a_second_dimension_do_their_own_work() {
    let problem = Problem::new((4, 1, 2_200_000), Input::SetF32);
    let launch = dense_forward::launch(problem.dense, problem.input, layer(Activation::Identity), None, Tile::Naive);
    assert!(launch.workgroups > 65_535 && launch.grid(65_535)[1] == 2);
    check_forward(&problem, Activation::Identity, Tile::Naive, Checks::Off);
}

/// An index that is out of bounds, and right by luck where nothing checks it.
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
            let launch = head::launch(lossy(problem.dense, Some(&optimizer)), problem.input, 8);
            check_loss(problem, &launch, Checks::On);
        }
        check_loss(&set, &row_loss::launch(lossy(set.dense, Some(&optimizer))), Checks::On);
    }
}

/// Logits so large that an exponential overflows; a probability so near to 1 that 1 − p has no digits left.
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
            head::launch(lossy(problem.dense, Some(&optimizer)), problem.input, 8)
        } else {
            row_loss::launch(lossy(problem.dense, Some(&optimizer)))
        };
        check_loss(&problem, &launch, Checks::Off);
    }
}

/// An order that visits a row twice, or the same one in every epoch, or whatever the seed is.
#[test]
fn every_epoch_visits_every_row_once_in_the_keyed_order() {
    let visits = |rows: u32, seed: u64, epoch: u32| -> Vec<u32> {
        let dense = Dense { batch: rows, inputs: 1, outputs: 2 };
        let launch = head::launch(lossy(dense, Some(&Optimizer::sgd(0.1))), Input::SetF32, 8);
        let bits = u32::BITS - (rows - 1).leading_zeros();
        let order = [epoch, rows, 1, bits, seed as u32, (seed >> 32) as u32, 1];
        let state = order.into_iter().chain([0; 25]);
        let mut contents: Vec<Vec<u8>> = launch
            .bindings
            .iter()
            .map(|&(slot, _)| match slot {
                Slot::State => state.clone().flat_map(u32::to_le_bytes).collect(),
                _ => vec![0; STATS_BYTES * rows.next_multiple_of(4) as usize],
            })
            .collect();
        gpu().run_once(&launch, &mut contents, Checks::Off).unwrap();
        let visited = bytes_of(&launch, &contents, Slot::Visited);
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

/// A counter that does not move, or moves by another number.
#[test]
fn close_step_moves_the_counter_by_one() {
    let mut contents = vec![state(5, 0.0, [0.0; 4])];
    gpu().run_once(&close_step::launch(), &mut contents, Checks::Off).unwrap();
    assert_eq!(contents[0][..4], (STEP + 1).to_le_bytes());
}

/// A yardstick that is quick because it leaves something out.
#[test]
fn the_textbooks_product_is_the_product() {
    let [m, n, k] = [5, 19, 7];
    let value = |at: usize| ((at * 37 + 11) % 23) as f32 - 11.0;
    let [a, b]: [Vec<f32>; 2] = [m * k, k * n].map(|count| (0..count).map(value).collect());
    let launch = textbook::launch(m as u32, n as u32, k as u32);
    let mut contents = [&a, &b, &vec![f32::NAN; m * n]].map(|values| bytemuck::cast_slice::<f32, u8>(values).to_vec());
    gpu().run_once(&launch, &mut contents, Checks::On).unwrap();
    // Small whole numbers: every sum is exact, in any order.
    let product = (0..m * n).map(|at| (0..k).map(|l| f64::from(a[at / n * k + l] * b[l * n + at % n])).sum());
    assert_eq!(floats(&launch, &contents, Slot::Output), product.collect::<Vec<f64>>());
}
