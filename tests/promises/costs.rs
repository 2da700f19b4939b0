//! The costs that `explain` prints are those of the kernels: what they touch is found by changing one word at a time.

use wgrad::gpu::Checks;
use wgrad::kernel::loss_kernel::LossKernel;
use wgrad::kernel::team_head::{self, Team};
use wgrad::kernel::tile::Family;
use wgrad::kernel::{Access, Binding, Input, Launch, dense_backward, dense_forward, dense_update, head};
use wgrad::layout::Dense;
use wgrad::targets::Targets;
use wgrad::{Activation, Epilogue, Loss, Optimizer};

use crate::problem::{plain, state};
use crate::support::{Random, families, gpu};

/// Sizes without padding: 19 features and the bias's 1 are five quads, 12 units three. A set twice as large as the minibatch.
const DENSE: Dense = Dense { batch: 8, inputs: 19, outputs: 12 };
const ROWS: u32 = 50;

/// Words that a launch reads and writes, and pairs of a word of one binding and a written word that depends on it.
struct Touched {
    read: u64,
    written: u64,
    pairs: u64,
}

/// Finds out by runs that differ in one word. `factor` is the binding whose words are paired.
fn touched(launch: &Launch, contents: &[Vec<u8>], factor: Binding) -> Touched {
    let run = |contents: &[Vec<u8>]| -> Vec<Vec<u8>> {
        let mut contents = contents.to_vec();
        gpu().run_once(launch, &mut contents, Checks::Off).unwrap();
        contents
    };
    let words = |bytes: &[u8]| -> Vec<[u8; 4]> { bytemuck::pod_collect_to_vec(bytes) };
    let counted = |slot: Binding| slot != Binding::State;
    let base = run(contents);
    let mut result = Touched { read: 0, written: 0, pairs: 0 };
    for (at, &(slot, access)) in launch.bindings.iter().enumerate().filter(|(_, (slot, _))| counted(*slot)) {
        if access == Access::Write {
            let changed = words(&base[at]).iter().zip(&words(&contents[at])).filter(|(a, b)| a != b).count();
            result.written += changed as u64;
        }
        for word in 0..contents[at].len() / 4 {
            let mut other = contents.to_vec();
            let place = &mut other[at][4 * word..][..4];
            let value = f32::from_le_bytes(place.try_into().unwrap());
            // Indices stay indices: another class, another row.
            let changed = match slot {
                Binding::Targets | Binding::Visited => {
                    (u32::from_le_bytes(place.try_into().unwrap()) ^ 1).to_le_bytes()
                }
                _ => (1.5 * value + 0.25).to_le_bytes(),
            };
            place.copy_from_slice(&changed);
            let after = run(&other);
            let depends: u64 = launch
                .bindings
                .iter()
                .enumerate()
                .filter(|(_, (slot, access))| *access == Access::Write && counted(*slot))
                .map(|(written, _)| {
                    let pairs = words(&after[written]).into_iter().zip(words(&base[written])).enumerate();
                    // A word that the launch does not write keeps its changed value.
                    let kept =
                        |index: usize, word_after: [u8; 4]| written == at && index == word && word_after == changed;
                    pairs.filter(|&(index, (a, b))| a != b && !kept(index, a)).count() as u64
                })
                .sum();
            result.read += u64::from(depends > 0);
            result.pairs += if slot == factor { depends } else { 0 };
        }
    }
    result
}

/// Numbers for every binding, none of them 0; what is padding elsewhere too.
fn contents(launch: &Launch, dense: Dense, input: Input) -> Vec<Vec<u8>> {
    let random = &mut Random(5);
    let mut floats = |count: u32| -> Vec<u8> {
        (0..count).flat_map(|_| (0.2 + random.value().abs() as f32).to_le_bytes()).collect()
    };
    let rows = if input == Input::Activations { dense.batch } else { ROWS };
    let content = |&(slot, access): &(Binding, Access)| match slot {
        // No row has this number, so that every one that is written is seen.
        Binding::Visited if access == Access::Write => vec![0xff; 4 * dense.batch as usize],
        Binding::Input => floats(rows * 4 * dense.x_quads()),
        Binding::Weights | Binding::WeightGradient => floats(4 * dense.weight_quads()),
        Binding::OptimizerSlots => floats(8 * dense.weight_quads()),
        Binding::Gradient => floats(dense.batch * 4 * dense.out_quads()),
        Binding::InputGradient => floats(dense.batch * dense.inputs.next_multiple_of(4)),
        Binding::Output => floats(dense.batch * 4 * dense.y_quads()),
        Binding::State => state(dense.batch, 0.01, [0.5; 4]),
        Binding::Visited => (0..dense.batch).flat_map(|place| (5 * place).to_le_bytes()).collect(),
        Binding::Targets => (0..ROWS).flat_map(|row| (row % dense.outputs).to_le_bytes()).collect(),
        Binding::Stats => vec![0; 28 * dense.batch as usize],
        other => unreachable!("{other:?}"),
    };
    launch.bindings.iter().map(content).collect()
}

#[track_caller]
fn check(launch: &Launch, dense: Dense, input: Input, factor: Binding) {
    let found = touched(launch, &contents(launch, dense, input), factor);
    let what = format!("{} {}", launch.kernel, launch.variant);
    assert_eq!(4 * (found.read + found.written), launch.cost.bytes, "{what}: bytes");
    assert_eq!(2 * found.pairs, launch.cost.flops, "{what}: floating-point operations");
}

/// Finds a product that reads more than it says, or less than it should; and one whose tile multiplies twice or leaves out values.
#[test]
fn products_touch_what_the_plan_says() {
    let below = Epilogue::of(Activation::Identity);
    let adam = Optimizer::keras_adam();
    for family in families() {
        let tile = family.tile(dense_forward::blocks(DENSE));
        let forward = dense_forward::launch(DENSE, Input::SetF32, below, None, tile);
        check(&forward, DENSE, Input::SetF32, Binding::Weights);
        let tile = family.tile(dense_update::blocks(DENSE));
        let keeps = dense_update::Step { keeps_gradient: true, ..dense_update::Step::default() };
        let gradient = dense_update::launch(DENSE, Input::Activations, plain(&adam), tile, keeps);
        check(&gradient, DENSE, Input::Activations, Binding::Gradient);
        // Three written words follow from each gradient, and the product is a third of them.
        let update = dense_update::launch(DENSE, Input::Activations, plain(&adam), tile, dense_update::Step::default());
        let found = touched(&update, &contents(&update, DENSE, Input::Activations), Binding::Gradient);
        assert_eq!(4 * (found.read + found.written), update.cost.bytes, "{}: bytes", update.variant);
        assert_eq!(2 * found.pairs / 3, update.cost.flops, "{}: operations", update.variant);
        // Of whole quads: the backward pass has no use for the bias's row, nor for what is beside it.
        let dense = Dense { inputs: 20, ..DENSE };
        let tile = family.tile(dense_backward::blocks(dense));
        let backward = dense_backward::launch(dense, Epilogue::of(Activation::Tanh), tile);
        check(&backward, dense, Input::Activations, Binding::Weights);
    }
}

/// Finds a head whose bytes are not counted.
#[test]
fn heads_touch_what_the_plan_says() {
    let sgd = Optimizer::sgd(0.1);
    let loss = Loss::softmax_cross_entropy();
    let dense = Dense { inputs: 20, ..DENSE };
    let loss_kernel = LossKernel {
        dense,
        places: None,
        strips: None,
        loss: &loss,
        targets: Targets::CLASSES,
        training: Some(plain(&sgd)),
    };
    let below = Epilogue::of(Activation::Tanh);
    let by_team = |team| team_head::launch(loss_kernel, Input::Activations, Some(below), team);
    let teams: Vec<Team> = families().into_iter().chain([Family::Hardware]).filter_map(Team::of).collect();
    assert!(!teams.is_empty(), "GPUs have teams");
    for launch in teams.into_iter().map(by_team).chain([head::launch(loss_kernel, Input::Activations, 8)]) {
        let found = touched(&launch, &contents(&launch, dense, Input::Activations), Binding::Weights);
        // A row's first step changes four of the seven words of its running sums, and needs what was in them; the kernel reads and writes all.
        let untouched = (7 - 4) * 4 * 2 * u64::from(dense.batch);
        let bytes = 4 * (found.read + found.written);
        assert_eq!(bytes, launch.cost.bytes - untouched, "{} {}", launch.kernel, launch.variant);
    }
}
