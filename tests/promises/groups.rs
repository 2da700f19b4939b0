//! Groups of weights: decay, rate and freezing of their own. PyTorch's numbers of them are in `golden_nets.rs`.

use wgrad::plan::{Plan, Request, Role, SetLayout};
use wgrad::selftest::training::{self, optimizers};
use wgrad::targets::Targets;
use wgrad::training::{Groups, Training};
use wgrad::{
    Activation, Checkpoint, Every, Loss, Model, Network, Optimizer, ParameterGroup, Rule, Schedule, TrainOptions,
    Trainer,
};

use crate::checkpoints::{checkpointing, file};
use crate::support::{agrees, assert_close, bits, families, gpu, learnable, refused, succeed, wgrad};

/// Finds a decay or a rate of the bias on the matrix, a rule that does not take its group's, one that takes the rate twice.
#[test]
fn every_optimizer_in_groups_agrees_with_its_twin() {
    for optimizer in optimizers().into_iter().filter(|optimizer| optimizer.weight_decay > 0.0) {
        agrees(training::grouped(&gpu(), optimizer));
    }
}

fn network() -> Network {
    Network::new(9).dense(13, Activation::Relu).dense(10, Activation::Tanh).layer_norm().dense(5, Activation::Identity)
}

fn muon(lr: f64, weight_decay: f64) -> Optimizer {
    let mut muon = Optimizer { lr, weight_decay, ..Optimizer::from_name("muon").unwrap() };
    muon.set("adamw_lr", lr / 4.0).unwrap();
    muon
}

fn options(optimizer: Optimizer, groups: Vec<ParameterGroup>) -> TrainOptions {
    TrainOptions { optimizer, groups, batch_size: 7, epochs: 2, seed: 3, ..TrainOptions::default() }
}

/// The values of every tensor after training.
fn trained(options: TrainOptions) -> Vec<Vec<f32>> {
    let mut trainer = Trainer::on(gpu(), network(), options).unwrap();
    trainer.fit(&learnable(40, 9, 5, 1), None).unwrap();
    trainer.weights().unwrap().layers.into_iter().flat_map(|layer| [layer.weight, layer.bias]).collect()
}

/// Finds a group that changes the bits of what it does not change, and Muon's parts that do not follow their group: powers of two scale a rate exactly.
#[test]
fn all_weights_in_one_group_are_another_optimizer() {
    let clip = |options| TrainOptions { clip_grad_norm: Some(0.5), ..options };
    for (asked, group, meant) in [
        (muon(0.02, 0.1), ParameterGroup::new(["*"]).lr_scale(0.5).weight_decay(0.4), muon(0.01, 0.4)),
        (Optimizer::adam(0.02), ParameterGroup::new(["*"]).lr_scale(0.5), Optimizer::adam(0.01)),
        (Optimizer::adam(0.02), ParameterGroup::new(["biases"]), Optimizer::adam(0.02)),
    ] {
        let (in_group, plain) = (trained(clip(options(asked, vec![group]))), trained(clip(options(meant, vec![]))));
        assert!(in_group == plain, "{meant:?}");
    }
}

/// Finds a frozen weight that moves, a weight beside it that does not, and another result of what is frozen by a rate of 0: the same steps, as long as no
/// optimizer's value or norm counts what is frozen.
#[test]
fn frozen_weights_stay_to_the_bit() {
    let before = Trainer::on(gpu(), network(), options(Optimizer::adam(0.01), vec![])).unwrap().weights().unwrap();
    let before: Vec<Vec<f32>> = before.layers.into_iter().flat_map(|layer| [layer.weight, layer.bias]).collect();
    // The tensors are 0.weight, 0.bias, 2.weight, 2.bias, the norm's two, 5.weight, 5.bias.
    for (names, frozen) in [
        (vec!["0.*"], vec![0, 1]),
        (vec!["0.*", "2.*", "norms"], vec![0, 1, 2, 3, 4, 5]),
        (vec!["biases"], vec![1, 3, 5, 7]),
        (vec!["matrices", "4.weight"], vec![0, 2, 4, 6]),
        (vec!["5.*", "2.weight"], vec![2, 6, 7]),
    ] {
        for optimizer in [muon(0.02, 0.1), Optimizer { weight_decay: 0.1, ..Optimizer::adam(0.02) }] {
            let after = trained(options(optimizer, vec![ParameterGroup::new(names.clone()).frozen()]));
            for (at, (before, after)) in before.iter().zip(&after).enumerate() {
                assert_eq!(
                    before == after,
                    frozen.contains(&at),
                    "tensor {at} of {names:?} under {}",
                    optimizer.name()
                );
            }
            // A last layer that is frozen makes no hidden one the last, and a matrix that is has no direction: its bias moves by another kernel.
            let still = trained(options(optimizer, vec![ParameterGroup::new(names.clone()).lr_scale(0.0)]));
            let both = [&after, &still].map(|tensors| tensors.concat().into_iter().map(f64::from).collect::<Vec<_>>());
            assert_close(&format!("{names:?} under {}", optimizer.name()), &both[0], &both[1], 1e-6);
        }
    }
}

fn plan_of(network: &Network, groups: &[ParameterGroup], optimizer: &Optimizer, skips: bool, family: usize) -> Plan {
    let schedule = Schedule::default();
    let training =
        Training { groups: Groups::new(groups), skips_non_finite: skips, ..Training::new(optimizer, &schedule) };
    Plan::new(Request {
        network,
        loss: &Loss::default(),
        targets: Targets::CLASSES,
        training: Some(training),
        batch: 8,
        set: SetLayout::whole(wgrad::plan::Element::F32, 40),
        tiling: &wgrad::kernel::tiling::Tiling::of(families()[family]),
        metrics: false,
    })
    .unwrap()
}

/// Finds a gradient, a slot or a walk back of what is frozen, and a group that changes the plan of what stays as it is.
#[test]
fn what_is_frozen_costs_nothing() {
    let network = Network::new(9)
        .dense(70, Activation::Relu)
        .dense(60, Activation::Relu)
        .dense(50, Activation::Relu)
        .dense(5, Activation::Identity);
    let adam = Optimizer::adam(0.01);
    for family in 0..families().len() {
        for skips in [false, true] {
            let plan = |groups: &[ParameterGroup]| plan_of(&network, groups, &adam, skips, family);
            let all = plan(&[]);
            // Such a group changes nothing, so every kernel is the one without groups.
            assert_eq!(plan(&[ParameterGroup::new(["*"])]), all);
            // The output names the rule, and says that groups have others.
            let decayed = plan(&[ParameterGroup::new(["biases"]).weight_decay(0.5)]);
            let fused: Vec<String> = decayed.dispatches().iter().flat_map(|dispatch| dispatch.launch.fuses()).collect();
            for words in ["optimizer adam", "rate and decay by group"] {
                assert!(fused.iter().any(|fused| fused == words), "{words} in {fused:?}");
            }
            // Above what is frozen nothing changes; below, there is no gradient of what goes in.
            let head = plan(&[ParameterGroup::new(["0.*", "2.*"]).frozen()]);
            let roles: Vec<Role> = head.buffers().iter().map(|buffer| buffer.role).collect();
            for layer in [0, 1] {
                for role in [Role::OptimizerSlots(layer), Role::WeightGradient(layer), Role::Gradient(layer)] {
                    assert!(!roles.contains(&role), "{role} in\n{head}");
                }
                assert!(roles.contains(&Role::Weights(layer)));
            }
            assert!(roles.contains(&Role::OptimizerSlots(2)) && roles.contains(&Role::Gradient(2)));
            assert!(head.dispatches().len() < all.dispatches().len());
            assert!(head.cost().flops < all.cost().flops);
        }
    }
}

/// Finds a checkpoint that loses groups, or has values of the optimizer for what is frozen, and a resumed run that mixes them up.
#[test]
fn a_run_in_groups_goes_on_to_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let groups =
        vec![ParameterGroup::new(["2.*", "5.bias"]).frozen(), ParameterGroup::new(["norms"]).weight_decay(0.0)];
    let adamw = Optimizer::new(Rule::AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8, amsgrad: true });
    let options = TrainOptions { checkpoint: checkpointing(folder.path(), Every::Steps(4)), ..options(adamw, groups) };
    let set = learnable(40, 9, 5, 1);
    let mut trainer = Trainer::on(gpu(), network(), options.clone()).unwrap();
    trainer.fit(&set, None).unwrap();
    let checkpoint = Checkpoint::open(file(folder.path(), 8)).unwrap();
    let mut resumed = Trainer::resume(gpu(), &checkpoint).unwrap();
    assert_eq!(resumed.options().groups, options.groups);
    resumed.set_checkpointing(None);
    resumed.fit(&set, None).unwrap();
    assert_eq!(bits(&resumed.weights().unwrap()), bits(&trainer.weights().unwrap()));
    let bytes = std::fs::read(file(folder.path(), 8)).unwrap();
    let tensors = safetensors::SafeTensors::deserialize(&bytes).unwrap();
    let of_slots = |tensor: &str| {
        tensors.names().iter().filter(|name| name.starts_with("optimizer.") && name.ends_with(tensor)).count()
    };
    assert_eq!([".0.weight", ".2.weight", ".2.bias", ".4.bias", ".5.bias"].map(of_slots), [3, 0, 0, 3, 3]);
    // A model all the same.
    assert_eq!(Model::read(file(folder.path(), 8)).unwrap().network, network());
}

/// Finds a group without effect that goes unnoticed, and a message that does not say what there is.
#[test]
fn groups_that_cannot_be_are_refused() {
    let group = |words: &[&str]| ParameterGroup::new(words.iter().copied());
    for (groups, words) in [
        (
            vec![group(&["bias"])],
            vec!["group 1", "\"bias\" is not a kind of weights", "write biases", "matrices, convs, norms"],
        ),
        (vec![group(&["norms"]), group(&["1.weight"])], vec!["group 2", "\"1.weight\"", "0.weight, 0.bias, 2.weight"]),
        (vec![group(&["norms", "7.*"])], vec!["\"7.*\"", "there are matrices, norms, biases"]),
        (vec![group(&["convs", "embeddings"])], vec!["matches convs, embeddings", "the network has none"]),
        (vec![group(&["*"]), group(&["norms"])], vec!["group 2", "(norms) changes nothing", "the first group counts"]),
        (vec![group(&[])], vec!["match is empty"]),
        (vec![group(&["norms"]).weight_decay(-1.0)], vec!["weight_decay is -1", "at least 0"]),
        (vec![group(&["norms"]).lr_scale(f64::NAN)], vec!["lr_scale is NaN", "finite"]),
        (vec![group(&["norms"]).lr_scale(0.1).frozen()], vec!["it is frozen", "no lr_scale"]),
        (vec![group(&["*"]).frozen()], vec!["every weight is frozen"]),
    ] {
        refused(&words, Trainer::on(gpu(), network(), options(Optimizer::adam(0.01), groups)));
    }
    // Of several kinds, those that a network has not are no mistake: one rule serves many networks.
    let rule = group(&["norms", "biases", "embeddings"]).weight_decay(0.0);
    assert!(Trainer::on(gpu(), network(), options(Optimizer::adam(0.01), vec![rule])).is_ok());
}

/// Finds a table of run.toml that is not taken, and one whose mistakes are not named.
#[test]
fn run_toml_has_groups() {
    let folder = tempfile::tempdir().unwrap();
    let run = |groups: &str| {
        let text = format!("[optimizer]\nkind = \"adamw\"\n{groups}");
        std::fs::write(folder.path().join("run.toml"), text).unwrap();
        let data = crate::support::golden_file("adam").to_str().unwrap().to_string();
        ["train", "--data", &data, "--hidden", "6", "--epochs", "1", "--batch-size", "8", "--config", "run.toml"]
            .map(String::from)
    };
    let arguments = run(
        "[[optimizer.groups]]\nmatch = [\"biases\"]\nweight_decay = 0\n[[optimizer.groups]]\nmatch = \"0.weight\"\nfrozen = true",
    );
    succeed(folder.path(), &arguments.each_ref().map(String::as_str));
    let model = Model::read(folder.path().join("model.safetensors")).unwrap();
    let initial = TrainOptions::default().initializer.weights(&model.network, 0);
    assert_eq!(model.weights.layers[0].weight, initial.layers[0].weight);
    assert_ne!(model.weights.layers[0].bias, initial.layers[0].bias);
    for (groups, words) in [
        (
            "[[optimizer.groups]]\nmatch = [\"norms\"]",
            "the network has none: there are matrices, biases; by name 0.weight",
        ),
        ("[[optimizer.groups]]\nmatch = 3", "match is a kind of weights or a name, or a list of them"),
        ("[[optimizer.groups]]\nmatch = \"0.*\"\nlr = 0.1", "unknown field `lr`"),
        ("[[optimizer.groups]]\nweight_decay = 0.1", "missing field `match`"),
    ] {
        let arguments = run(groups);
        let output = wgrad(folder.path(), &arguments.each_ref().map(String::as_str));
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(2) && error.contains(words), "{groups}: {error}");
    }
}
