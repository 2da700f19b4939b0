//! The plan: what is fused, what it costs and what it takes, with no device; and that what is merged does what its parts do.

use std::collections::HashMap;

use wgrad::gpu::{AdapterKind, AdapterSummary, Checks};
use wgrad::kernel::tile::{Blocks, Family, Tile};
use wgrad::kernel::tiling::Tiling;
use wgrad::kernel::{Access, Input, Launch};
use wgrad::plan::{Dispatch, Element, Lifetime, Plan, Request, Role, SetLayout};
use wgrad::targets::Targets;
use wgrad::training::{Clip, Training};
use wgrad::{Activation, Loss, Network, Optimizer, Rule};

use crate::dispatches::Step;
use crate::problem::{self, Adam1, plain};
use crate::support::{Random, assert_close, gpu};

fn plan(widths: &[usize], optimizer: Option<&Optimizer>, batch: u32) -> Plan {
    plan_for(&Tiling::of(Family::Software), widths, optimizer, batch)
}

fn plan_for(tiling: &Tiling, widths: &[usize], optimizer: Option<&Optimizer>, batch: u32) -> Plan {
    let network =
        Network::classifier(widths[0], &widths[1..widths.len() - 1], Activation::Relu, widths[widths.len() - 1]);
    let request = Request {
        network: &network,
        loss: &Loss::softmax_cross_entropy(),
        targets: Targets::CLASSES,
        training: optimizer.map(plain),
        batch,
        set: SetLayout::whole(Element::U8, 1000),
        tiling,
        metrics: false,
    };
    Plan::new(request).unwrap()
}

fn kernels(plan: &Plan) -> Vec<&str> {
    plan.dispatches().iter().map(|dispatch| dispatch.launch.kernel).collect()
}

const LANES: Family = Family::Subgroups { lanes: 8, words_64: false };

/// Finds a fusion or a merger that is lost. L layers take L − 1 forward, the loss with what goes below it, L − 2 backward, and all updates in one;
/// without teams, or with many outputs, the loss' neighbours are dispatches of their own. Where an adapter binds 8 buffers, updates stay apart; so do large ones on a CPU.
#[test]
fn training_takes_the_dispatches_it_promises() {
    let adam = Optimizer::keras_adam();
    let tiling = |family, most_bindings| Tiling { most_bindings, ..Tiling::of(family) };
    let seed = |family, bindings| plan_for(&tiling(family, bindings), &[784, 256, 10], Some(&adam), 32);
    let (merged, apart) = (
        ["dense_forward", "team_head", "dense_update"],
        ["dense_forward", "team_head", "dense_update", "dense_update"],
    );
    assert_eq!(kernels(&seed(Family::Hardware, 16)), merged);
    assert_eq!(kernels(&seed(Family::Hardware, 8)), apart);
    // On a CPU the first layer's product is faster alone, unless it is small.
    assert_eq!(kernels(&seed(LANES, 16)), apart);
    assert_eq!(kernels(&plan_for(&tiling(LANES, 16), &[784, 64, 10], Some(&adam), 4)), merged);
    // The small ones on both sides of a large one are one.
    let small_large_small = plan_for(&tiling(LANES, 16), &[10, 512, 512, 1], Some(&adam), 32);
    assert_eq!(kernels(&small_large_small).iter().filter(|&&kernel| kernel == "dense_update").count(), 2);
    assert_eq!(
        kernels(&seed(Family::Software, 16)),
        ["dense_forward", "head", "dense_backward", "dense_update", "dense_update"]
    );
    assert_eq!(kernels(&seed(Family::Reference, 16)), ["dense_forward", "head", "dense_backward", "dense_update"]);
    // Twenty outputs for teams and for families without; 65 outputs, for all: by hand, for layers under Adam, by what an adapter binds.
    const BINDINGS: [u32; 4] = [8, 10, 16, 32];
    const TEAMS: [Family; 3] = [LANES, Family::Subgroups { lanes: 16, words_64: true }, Family::Hardware];
    const NO_TEAMS: [Family; 2] = [Family::Software, Family::Reference];
    for (layers, by_teams, without_teams, many_outputs) in [
        (1, [2, 2, 2, 2], [2, 2, 2, 2], [3, 3, 3, 3]),
        (2, [4, 3, 3, 3], [5, 4, 4, 4], [6, 5, 5, 5]),
        (3, [7, 6, 5, 5], [8, 7, 6, 6], [9, 8, 7, 7]),
        (6, [16, 13, 12, 11], [17, 14, 13, 12], [18, 15, 14, 13]),
        // At most eight updates are merged.
        (9, [25, 21, 19, 18], [26, 22, 20, 19], [27, 23, 21, 20]),
    ] {
        let few = vec![20; layers + 1];
        let many = [&few[1..], &[65]].concat();
        let step = Step::of(layers, &adam);
        let check = |families: &[Family], widths: &[usize], step: Step, expected: [usize; 4]| {
            for (family, (bindings, expected)) in
                families.iter().flat_map(|&family| BINDINGS.into_iter().zip(expected).map(move |pair| (family, pair)))
            {
                let plan = plan_for(&tiling(family, bindings), widths, Some(&adam), 8);
                let what = format!("{widths:?}, {family:?}, {bindings} bindings");
                assert_eq!(plan.dispatches().len(), expected, "{what}");
                // What the other tests expect of the device that they have.
                assert_eq!(step.dispatches(family, bindings as usize), expected, "{what}");
            }
        };
        check(&TEAMS, &few, step, by_teams);
        check(&NO_TEAMS, &few, step, without_teams);
        for families in [&TEAMS[..], &NO_TEAMS] {
            check(families, &many, Step { many_outputs: true, ..step }, many_outputs);
        }
    }
    // An optimizer that keeps nothing has its two updates merged within eight bindings.
    let sgd = Optimizer::sgd(0.1);
    for (family, expected) in [(LANES, 3), (Family::Hardware, 3), (Family::Software, 4), (Family::Reference, 4)] {
        let plan = plan_for(&tiling(family, 8), &[784, 64, 10], Some(&sgd), 4);
        assert_eq!(plan.dispatches().len(), expected, "{family:?}");
        assert_eq!(Step::of(2, &sgd).dispatches(family, 8), expected, "{family:?}");
    }
    // Derivatives of the layer below are a ninth buffer of the team's kernel: with eight, the gradient below is a dispatch.
    let network = Network::classifier(784, &[256], Activation::Silu, 10);
    let silu = |family, bindings| {
        let request = Request {
            network: &network,
            loss: &Loss::softmax_cross_entropy(),
            targets: Targets::CLASSES,
            training: Some(plain(&adam)),
            batch: 32,
            set: SetLayout::whole(Element::U8, 1000),
            tiling: &tiling(family, bindings),
            metrics: false,
        };
        Plan::new(request).unwrap()
    };
    for (family, updates) in [(LANES, &apart[2..]), (Family::Hardware, &merged[2..])] {
        assert_eq!(kernels(&silu(family, 16)), [&["dense_forward", "team_head"], updates].concat());
        assert_eq!(
            kernels(&silu(family, 8)),
            ["dense_forward", "head", "dense_backward", "dense_update", "dense_update"]
        );
    }
}

/// Finds tiles whose sums Intel's compiler has too few registers for, in products with and without Adam, in Muon's, and over patches; and a rule that spares other GPUs'
/// registers too.
#[test]
fn tiles_for_intel_hold_two_blocks() {
    let tiling = |vendor| AdapterSummary { vendor, kind: AdapterKind::Discrete, ..gpu().adapter().clone() }.tiling();
    let (intel, others) = (tiling(0x8086), [tiling(0x1002), tiling(0x10de)]);
    let variants = |tiling: &Tiling, optimizer: &Optimizer| -> Vec<String> {
        let plan = plan_for(tiling, &[784, 2048, 2048, 10], Some(optimizer), 4096);
        plan.dispatches().iter().flat_map(Dispatch::parts).map(|part| part.launch.variant).collect()
    };
    // Of workgroups of 16 × 16, 16 × 8 and 8 × 8 invocations with 2 × 2 blocks each.
    let of_four = |variant: &String| ["128×128", "128×64", "64×64"].iter().any(|size| variant.contains(size));
    for optimizer in [Optimizer::keras_adam(), Optimizer::from_name("muon").unwrap()] {
        let own = variants(&intel, &optimizer);
        assert!(!own.iter().any(of_four) && own.iter().any(|variant| variant.contains("64×32")), "{own:?}");
        for tiling in &others {
            let own = variants(tiling, &optimizer);
            assert!(own.iter().filter(|&variant| of_four(variant)).count() > 2, "{own:?}");
        }
    }
    let held = |tiling: &Tiling, input| match tiling.tile("conv_forward", input, Blocks { m: 4096, n: 64, k: 512 }) {
        Tile::Buffered { m, n, .. } => m * n,
        other => panic!("{other}"),
    };
    let both = |tiling: &Tiling| [Input::Activations, Input::Patches].map(|input| held(tiling, input));
    assert_eq!(both(&intel), [2, 1]);
    assert!(others.iter().all(|tiling| both(tiling) == [4, 2]));
}

/// Finds a tile that was picked for a small layer and is not followed, though nothing is merged with the layer; and one that is followed, though the layer is merged.
#[test]
fn a_picked_tile_is_followed_where_a_layer_is_not_merged() {
    let adam = Optimizer::keras_adam();
    let updates = |tiling: &Tiling, widths: &[usize], batch| -> Vec<(String, String)> {
        let plan = plan_for(tiling, widths, Some(&adam), batch);
        let picks = plan.picks();
        let updates = picks.iter().filter(|(shape, _)| shape.starts_with("dense_update"));
        updates.map(|(shape, tile)| (shape.to_string(), tile.to_string())).collect()
    };
    // A product of more than 2²⁰ operations is not merged: the first layer's of the first network. In minibatches of 32,768 rows both layers' are larger, and are cut into slices.
    for (widths, batch, is_followed) in
        [([784, 256, 10], 32, true), ([784, 64, 10], 4, false), ([784, 256, 10], 32_768, true)]
    {
        let mut tiling = Tiling { most_bindings: 16, ..Tiling::of(LANES) };
        let by_rule = updates(&tiling, &widths, batch);
        let (last, _) = by_rule.iter().find(|(shape, _)| !shape.contains("set_u8")).unwrap();
        tiling.picks = [(last.as_str(), "naive")].into_iter().collect();
        for (shape, tile) in updates(&tiling, &widths, batch) {
            assert_eq!(tile == "naive", shape == *last && is_followed, "{shape}: {tile}, {widths:?}");
        }
    }
}

/// What a step starts from, for every buffer of a plan: the same numbers for the same roles in every plan.
fn contents_of(plan: &Plan) -> HashMap<Role, Vec<u8>> {
    let batch = plan.batch();
    let content = |role: Role, count: u64| match role {
        Role::Set(_) => {
            let random = &mut Random(3);
            (0..count).map(|_| random.bits() as u8).collect()
        }
        Role::State => problem::state(batch, 0.01, Adam1::SCALARS),
        Role::Visited => (0..batch).flat_map(|place| (37 * place % 1000).to_le_bytes()).collect(),
        Role::Targets => (0..count / 4).flat_map(|row| (row as u32 % 7).to_le_bytes()).collect(),
        _ => {
            let random = &mut Random(5);
            (0..count / 4).flat_map(|_| (random.value().abs() as f32).to_le_bytes()).collect()
        }
    };
    plan.buffers().iter().map(|buffer| (buffer.role, content(buffer.role, buffer.bytes))).collect()
}

/// Runs a launch by itself on what its roles hold.
fn run(launch: &Launch, roles: &[Role], contents: &mut HashMap<Role, Vec<u8>>) {
    let mut bound: Vec<Vec<u8>> = roles.iter().map(|role| contents[role].clone()).collect();
    gpu().run_once(launch, &mut bound, Checks::Off).unwrap();
    for ((role, bytes), (_, access)) in roles.iter().zip(bound).zip(&launch.bindings) {
        if *access == Access::Write {
            contents.insert(*role, bytes);
        }
    }
}

/// Finds a kernel that leaves out a part of what it owns, the 1 after a row's last unit or the padding of a minibatch of 10 rows, and so computes
/// with what another step or another value of a shared buffer left there: whether that is zeros or NaNs, a step ends in the same bits.
#[test]
fn a_step_does_not_depend_on_what_was_in_memory_before() {
    let most_bindings = gpu().adapter().max_bindings;
    // Units in whole quads and not; few outputs and many; gradients that are kept; sets that are gathered.
    let networks: [&[usize]; 4] = [&[30, 20, 48, 7], &[30, 21, 64, 70], &[8, 8, 8, 8, 8, 8], &[9, 3]];
    let families = [gpu().adapter().family(), Family::Reference, Family::Software, Family::Hardware];
    for ((family, widths), is_scaled) in families.iter().zip(networks.iter().cycle()).zip([false, true, false, true]) {
        let tiling = Tiling { most_bindings, ..Tiling::of(*family) };
        let (adam, muon) = (Optimizer::keras_adam(), Optimizer::from_name("muon").unwrap());
        let (hidden, outputs) = (&widths[1..widths.len() - 1], widths[widths.len() - 1]);
        for (activation, dropout, clip, optimizer) in [
            (Activation::Relu, 0.0, None, Some(&adam)),
            (Activation::Gelu, 0.5, Some(Clip::Norm(0.1)), Some(&adam)),
            (Activation::Relu, 0.0, None, Some(&muon)),
            (Activation::Tanh, 0.0, None, None),
        ] {
            let hidden_layers = |network: Network, &width: &usize| network.dense(width, activation).dropout(dropout);
            let network =
                hidden.iter().fold(Network::new(widths[0]), hidden_layers).dense(outputs, Activation::Identity);
            let request = Request {
                network: &network,
                loss: &Loss::softmax_cross_entropy(),
                targets: Targets::CLASSES,
                training: optimizer.map(|optimizer| Training { clip, ..plain(optimizer) }),
                batch: 10,
                set: SetLayout { is_scaled, ..SetLayout::whole(Element::U8, 1000) },
                tiling: &tiling,
                metrics: false,
            };
            let plan = Plan::new(request).unwrap();
            let after = |byte: u8| {
                let mut contents = contents_of(&plan);
                let of_step = contents.iter_mut().filter(|(role, _)| role.lifetime() == Lifetime::Step);
                of_step.for_each(|(_, bytes)| bytes.fill(byte));
                plan.dispatches().iter().for_each(|each| run(&each.launch, &each.roles, &mut contents));
                contents.retain(|role, _| role.lifetime() != Lifetime::Step);
                contents
            };
            let (zeros, nans) = (after(0), after(0xff));
            for (role, bytes) in &zeros {
                assert!(bytes == &nans[role], "{family:?}, {widths:?}, {activation}: {role} depends on it");
            }
        }
    }
}

/// Finds a hundred layers in one pipeline, which a compiler takes minutes for, and binding numbers past WebGPU's thousand of a bind group.
#[test]
fn launches_of_very_deep_networks_stay_small() {
    let tiling = Tiling { most_bindings: 1_000_000, ..Tiling::of(LANES) };
    let plan = plan_for(&tiling, &[8; 41], Some(&Optimizer::keras_adam()), 8);
    let parts: Vec<usize> = plan.dispatches().iter().map(|dispatch| dispatch.launch.parts.len()).collect();
    // Of the forward passes, the loss and the backward passes none is merged: each needs the one before it.
    assert_eq!(parts, [&[0; 39 + 1 + 38][..], &[8; 5]].concat());
}

/// Finds a part of a merged launch that reads another's constants or bindings, or is left out, or has less shared memory than it needs: merged, parts
/// do what they do alone. So do the halves of products whose reduction is sliced: a minibatch of 2,048 rows, on a GPU. Where an adapter binds 8
/// buffers, two of three layers are merged, under an optimizer that keeps nothing.
#[test]
fn merged_launches_do_what_their_parts_do() {
    // How many layers are in each update: as a whole, and where slices are summed up first. An update of finished sums binds two buffers a layer,
    // one of the slices three or four.
    let (optimizer, most_bindings, whole, in_halves) = match gpu().adapter().max_bindings {
        32.. => (Optimizer::keras_adam(), 32, &[3][..], &[3, 3][..]),
        _ => (Optimizer::sgd(0.01), 8, &[2, 1][..], &[2, 1, 3][..]),
    };
    let families = [gpu().adapter().family(), Family::Reference, Family::Software, Family::Hardware];
    for (family, batch, expected) in
        families.map(|family| (family, 10, whole)).into_iter().chain([(Family::Hardware, 2048, in_halves)])
    {
        let tiling = Tiling { most_bindings, ..Tiling::of(family) };
        let plan = plan_for(&tiling, &[30, 20, 50, 7], Some(&optimizer), batch);
        let mut contents = contents_of(&plan);
        let mut alone = contents.clone();
        let is_update = |dispatch: &&Dispatch| dispatch.launch.kernel == "dense_update";
        let updates: Vec<&Dispatch> = plan.dispatches().iter().filter(is_update).collect();
        let layers: Vec<usize> = updates.iter().map(|update| update.launch.parts.len().max(1)).collect();
        assert_eq!(layers, expected, "{family:?}");
        // The step is closed by the whole, not by its parts.
        let closes = u8::from(updates.last().is_some_and(|last| !last.launch.parts.is_empty()));
        for merged in updates {
            for part in merged.parts() {
                run(&part.launch, &part.roles, &mut alone);
            }
            run(&merged.launch, &merged.roles, &mut contents);
        }
        for (role, bytes) in &contents {
            if *role == Role::State {
                assert_eq!(bytes[0], alone[role][0] + closes, "{family:?}: the step is closed once");
            } else {
                assert_eq!(bytes, &alone[role], "{family:?}: {role}");
            }
        }
    }
}

/// Finds slices' sums that go to another layer's buffer, or are added up before they are there: a step with every kind of sliced product in a plan
/// leaves what the plain kernels leave.
#[test]
fn a_step_with_sliced_products_does_what_the_plain_one_does() {
    let rule = Rule::Muon {
        momentum: 0.9,
        nesterov: true,
        match_rms_adamw: false,
        eps: 1e-7,
        ns_steps: 1.0,
        adamw_lr: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        adamw_eps: 1e-7,
    };
    let optimizer = Optimizer::new(rule);
    let step = |family| {
        let plan = plan_for(&Tiling::of(family), &[2100, 8, 2048], Some(&optimizer), 5);
        let mut contents = contents_of(&plan);
        for dispatch in plan.dispatches() {
            run(&dispatch.launch, &dispatch.roles, &mut contents);
        }
        (plan, contents)
    };
    let ((plan, contents), (_, plain)) = (step(Family::Hardware), step(Family::Reference));
    let sliced = |dispatch: &&Dispatch| dispatch.touches(Access::Write).any(|role| matches!(role, Role::Partials(_)));
    let kernels: Vec<&str> = plan.dispatches().iter().filter(sliced).map(|dispatch| dispatch.launch.kernel).collect();
    assert_eq!(kernels, ["dense_forward", "dense_backward", "newton_schulz_gram"]);
    for (role, bytes) in plain.iter().filter(|(role, _)| !matches!(role, Role::State | Role::Set(_) | Role::Visited)) {
        let floats = |bytes: &Vec<u8>| -> Vec<f64> {
            bytemuck::pod_collect_to_vec::<u8, f32>(bytes).into_iter().map(f64::from).collect()
        };
        assert_close(&role.to_string(), &floats(&contents[role]), &floats(bytes), 1e-5);
    }
}

/// Finds another dispatch where nothing is gained by it; and a long reduction over a small result that leaves most of a chip idle.
#[test]
fn only_long_reductions_over_small_results_take_another_dispatch() {
    let adam = Optimizer::keras_adam();
    let tiling = Tiling { most_bindings: 16, ..Tiling::of(Family::Hardware) };
    let kernels_of = |widths: &[usize], batch| {
        let plan = plan_for(&tiling, widths, Some(&adam), batch);
        plan.dispatches().iter().map(|dispatch| dispatch.launch.kernel).collect::<Vec<_>>()
    };
    let plain = ["dense_forward", "team_head", "dense_update"];
    assert_eq!(kernels_of(&[1000, 256, 10], 32), plain);
    assert_eq!(kernels_of(&[8192, 2048, 10], 32), plain);
    assert_eq!(kernels_of(&[8192, 256, 10], 32), ["dense_forward", "dense_forward", "team_head", "dense_update"]);
    assert_eq!(kernels_of(&[64, 64, 10], 4096), ["dense_forward", "team_head", "dense_update", "dense_update"]);
    assert_eq!(kernels_of(&[784, 1024, 10], 4096), plain);
}

/// Finds an evaluation that trains.
#[test]
fn evaluation_writes_no_weights() {
    let plan = plan(&[784, 256, 10], None, 32);
    assert_eq!(kernels(&plan), ["dense_forward", "head", "close_step"]);
    let written: Vec<Role> = plan.dispatches().iter().flat_map(|dispatch| dispatch.touches(Access::Write)).collect();
    assert!(!written.iter().any(|role| matches!(role, Role::Weights(_) | Role::OptimizerSlots(_))), "{written:?}");
}

/// Finds a set that is copied in f32, and memory that is not counted.
#[test]
fn memory_is_what_the_shapes_say() {
    let adam = Optimizer::keras_adam();
    let plan = plan(&[784, 256, 10], Some(&adam), 32);
    let expected: HashMap<Role, u64> = [
        // A pixel a byte: 784, the bias's 1 and three of padding.
        (Role::Set(0), 1000 * 788),
        (Role::Targets, 1000 * 4),
        (Role::Weights(0), 788 * 256 * 4),
        (Role::Weights(1), 260 * 12 * 4),
        (Role::OptimizerSlots(0), 2 * 788 * 256 * 4),
        (Role::OptimizerSlots(1), 2 * 260 * 12 * 4),
        (Role::Activations(0), 32 * 260 * 4),
        (Role::Gradient(0), 32 * 256 * 4),
        (Role::Gradient(1), 32 * 12 * 4),
        // A row's number; and of its loss, seven words.
        (Role::Visited, 32 * 4),
        (Role::Stats, 32 * 28),
        (Role::State, 128),
    ]
    .into();
    let bytes: HashMap<Role, u64> = plan.buffers().iter().map(|buffer| (buffer.role, buffer.bytes)).collect();
    assert_eq!(bytes, expected);
    assert_eq!(plan.buffers().len(), expected.len(), "each once");
    assert_eq!(plan.bytes(), 3_318_912);
}

/// Finds costs in `explain` that no kernel has: the floating-point operations of the seed network, by hand.
#[test]
fn costs_are_the_methods() {
    let adam = Optimizer::keras_adam();
    let plan = plan(&[784, 256, 10], Some(&adam), 32);
    let flops: Vec<u64> = plan.dispatches().iter().map(|dispatch| dispatch.launch.cost.flops).collect();
    let (first, second) = (2 * 32 * 785 * 256, 2 * 32 * 257 * 10);
    let below = 2 * 32 * 256 * 10;
    assert_eq!(flops, [first, second + 6 * 32 * 10, below, second, first]);
}

/// Finds more workgroups than a dimension takes, refused by the driver in the middle of a run.
#[test]
fn large_launches_use_a_second_dimension() {
    let mut launch = wgrad::kernel::close_step::launch();
    for workgroups in [1, 65_535, 65_536, 200_000, 4_000_000] {
        launch.workgroups = workgroups;
        let [x, y] = launch.grid(65_535);
        assert!(x <= 65_535 && y <= 65_535 && x * y >= workgroups, "{workgroups}: {x} × {y}");
        assert!(x * y - workgroups < y, "{workgroups}: {x} × {y} wastes a row");
    }
}

/// Finds a table that leaves something out.
#[test]
fn a_plan_prints_every_dispatch_and_buffer() {
    let plan = plan(&[784, 256, 10], Some(&Optimizer::keras_adam()), 32);
    let table = plan.to_string();
    let cells = |line: &str| line.split_whitespace().map(String::from).collect::<Vec<_>>();
    let (step, buffers) = table.split_once("\n\nbuffer ").expect(&table);
    // A dispatch begins at the margin; what it fuses, reads and writes is indented.
    let rows: Vec<Vec<String>> = step.lines().filter(|line| !line.starts_with(' ')).map(cells).collect();
    assert_eq!(rows.len(), 1 + plan.dispatches().len() + 1, "heading, dispatches, sum: {table}");
    for (row, dispatch) in rows[1..].iter().zip(plan.dispatches()) {
        let launch = &dispatch.launch;
        let words = [launch.kernel, &launch.variant, &launch.workgroups.to_string()].join(" ");
        assert_eq!(row[..row.len() - 3], cells(&words), "{table}");
        let (mflop, kib) = (launch.cost.flops as f64 / 1e6, launch.cost.bytes as f64 / 1024.0);
        assert_eq!(row[row.len() - 3..][..2], [format!("{mflop:.2}"), format!("{kib:.1}")], "{table}");
    }
    assert_eq!(rows[rows.len() - 1][..4], ["a", "step", "5", "calls"], "{table}");
    for (list, access) in [("reads", Access::Read), ("writes", Access::Write)] {
        let told = step.lines().filter_map(|line| line.trim_start().strip_prefix(list)).map(str::trim);
        let bound = plan.dispatches().iter().map(|dispatch| {
            let roles = dispatch.touches(access).map(|role| format!("{role} {:?}", plan.shape(role)));
            roles.collect::<Vec<_>>().join(", ")
        });
        assert_eq!(told.collect::<Vec<_>>(), bound.collect::<Vec<_>>(), "{table}");
    }
    let rows: Vec<Vec<String>> = buffers.lines().skip(1).map(cells).collect();
    assert_eq!(rows.len(), plan.buffers().len() + 1, "buffers, sum: {table}");
    for (row, buffer) in rows.iter().zip(plan.buffers()) {
        let kib = buffer.bytes as f64 / 1024.0;
        assert_eq!(row.join(" "), format!("{} {:?} {kib:.1}", buffer.role, buffer.shape), "{table}");
    }
    assert_eq!(rows[rows.len() - 1], ["in", "all", "3241.1"], "{table}");
}
