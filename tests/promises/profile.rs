//! Profiles of a step's time, and a plan's description of itself.

use std::collections::BTreeMap;

use serde_json::Value;
use wgrad::kernel::tile::Family;
use wgrad::kernel::tiling::Tiling;
use wgrad::plan::{Dispatch, Element, Plan, Request, SetLayout};
use wgrad::targets::Targets;
use wgrad::training::{Clip, Training};
use wgrad::{Activation, ConvLayer, Layer, Loss, Network, Optimizer, Rule, Schedule};

use crate::support::{documented_config, gpu, succeed};

fn events(stdout: &str) -> Vec<Value> {
    stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

fn of_kind<'a>(events: &'a [Value], kind: &str) -> Vec<&'a Value> {
    events.iter().filter(|event| event["event"] == kind).collect()
}

const OPTIONS: [&str; 5] = ["--hidden", "16", "--batch-size", "8", "--json"];

/// Finds a profile of something else than the plan, shares that leave something out, and a trace that no viewer shows: kernels out of order, on top
/// of each other, or before they were submitted.
#[test]
fn profile_lists_the_plans_kernels_and_its_trace_is_one() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| events(&succeed(folder.path(), &[arguments, &OPTIONS].concat()));
    let (profile, explain) = (run(&["profile", "--trace", "trace.json"]), run(&["explain"]));
    let kernels = |events: &[Value]| -> Vec<String> {
        of_kind(events, "dispatch").iter().map(|event| event["kernel"].as_str().unwrap().to_string()).collect()
    };
    assert_eq!(kernels(&profile), kernels(&explain));
    let layers = |events: &[Value]| -> Vec<Value> {
        of_kind(events, "dispatch").iter().map(|event| event["layers"].clone()).collect()
    };
    assert_eq!(layers(&profile), layers(&explain));
    assert_eq!(layers(&profile)[0], serde_json::json!(["layer 1"]));
    let sum =
        |name: &str| -> f64 { of_kind(&profile, "dispatch").iter().map(|event| event[name].as_f64().unwrap()).sum() };
    assert!((sum("share") - 1.0).abs() < 1e-9, "{profile:?}");
    assert!(of_kind(&profile, "dispatch").iter().all(|event| event["seconds"].as_f64().unwrap() > 0.0), "{profile:?}");

    // What is said of a share follows from it.
    for event in of_kind(&profile, "dispatch") {
        assert_eq!(event["above_ceiling"], event["of_ceiling"].as_f64().unwrap() >= 1.005, "{event}");
    }
    let is_above = of_kind(&profile, "dispatch").iter().any(|event| event["above_ceiling"] == true);
    let step = of_kind(&profile, "step")[0]["above_ceiling"].as_bool().unwrap();
    assert!(step || !is_above, "{profile:?}");

    let trace: Vec<Value> = serde_json::from_slice(&std::fs::read(folder.path().join("trace.json")).unwrap()).unwrap();
    assert!(trace.iter().all(|event| event["pid"] == 1 && event["name"].is_string()), "{trace:?}");
    let mut tracks: BTreeMap<u64, Vec<&Value>> = BTreeMap::new();
    for event in trace.iter().filter(|event| event["ph"] == "X") {
        tracks.entry(event["tid"].as_u64().unwrap()).or_default().push(event);
    }
    assert_eq!(trace.iter().filter(|event| event["ph"] == "M").count(), 3);
    assert_eq!(tracks.len(), 2);
    let number = |event: &Value, key: &str| event[key].as_f64().unwrap();
    for track in tracks.values() {
        assert!(track.iter().all(|event| number(event, "dur") >= 0.0 && number(event, "ts") >= 0.0), "{track:?}");
        for pair in track.windows(2) {
            let end = number(pair[0], "ts") + number(pair[0], "dur");
            // Half a nanosecond, of additions.
            assert!(end <= number(pair[1], "ts") + 5e-4, "{pair:?}");
        }
    }
    let names = |track: u64| tracks[&track].iter().map(|event| event["name"].as_str().unwrap());
    let plan = kernels(&explain);
    assert!(tracks[&2].len() > plan.len() && tracks[&2].len().is_multiple_of(plan.len()));
    assert!(names(2).eq(plan.iter().map(String::as_str).cycle().take(tracks[&2].len())));
    assert!(names(1).eq(["encode", "submit", "wait"].into_iter().cycle().take(tracks[&1].len())));
    if gpu().adapter().features.contains(&"timestamps") {
        // By the host's last wait, all was done.
        let last = |track: u64| tracks[&track].last().map(|event| number(event, "ts") + number(event, "dur")).unwrap();
        assert!(last(2) <= last(1) + 1e-3);
    } else {
        // By no clock, they are laid out from where they were handed over.
        assert!((number(tracks[&2][0], "ts") - number(tracks[&1][1], "ts")).abs() < 1e-3);
    }
    let left: Vec<_> = std::fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["trace.json"], "nothing is trained, and nothing else written");
}

/// Finds columns that do not add up to what the plan costs, or a binding that is no buffer of the plan.
#[test]
fn explain_adds_up() {
    let folder = tempfile::tempdir().unwrap();
    let config = documented_config(folder.path());
    for arguments in [&["explain", "--json"][..], &["explain", "--json", "--config", &config]] {
        let events = events(&succeed(folder.path(), arguments));
        let [step] = of_kind(&events, "step")[..] else { panic!("{events:?}") };
        let (dispatches, buffers) = (of_kind(&events, "dispatch"), of_kind(&events, "buffer"));
        // A dispatch may be run for each part of a minibatch.
        let times = |event: &Value| event["times"].as_u64().unwrap_or(1);
        let sum = |of: &[&Value], name: &str| {
            of.iter().map(|event| times(event) * event[name].as_u64().unwrap()).sum::<u64>()
        };
        for (name, of) in [("flops", &dispatches), ("bytes", &dispatches)] {
            assert_eq!(sum(of, name), step[name].as_u64().unwrap(), "{name}");
        }
        // Buffers that share a memory take as much as the largest of them.
        let mut memories: BTreeMap<u64, u64> = BTreeMap::new();
        for buffer in &buffers {
            let (memory, bytes) = (buffer["memory"].as_u64().unwrap(), buffer["bytes"].as_u64().unwrap());
            memories.entry(memory).and_modify(|most| *most = bytes.max(*most)).or_insert(bytes);
        }
        assert_eq!(memories.values().sum::<u64>(), step["memory_bytes"].as_u64().unwrap());
        assert_eq!(step["dispatches"], dispatches.iter().map(|event| times(event)).sum::<u64>());
        let known: BTreeMap<&str, &Value> =
            buffers.iter().map(|buffer| (buffer["name"].as_str().unwrap(), &buffer["shape"])).collect();
        for dispatch in dispatches {
            let bound = |key: &str| dispatch[key].as_array().unwrap().clone();
            assert!(!bound("writes").is_empty(), "{dispatch}");
            for buffer in [bound("reads"), bound("writes")].concat() {
                assert_eq!(known[buffer["name"].as_str().unwrap()], &buffer["shape"], "{dispatch}");
            }
        }
    }
}

/// Finds words that name what is not fused, or leave out what is. The expected words come from the kernels' own comments.
#[test]
fn explain_names_what_is_fused() {
    let network = Network::new(784).dense(256, Activation::Relu).dropout(0.1).dense(10, Activation::Identity);
    let (adam, schedule, loss) = (Optimizer::keras_adam(), Schedule::default(), Loss::default());
    let tiling = Tiling { most_bindings: 16, ..Tiling::of(Family::Hardware) };
    let fused = |clip: Option<Clip>| -> Vec<Vec<String>> {
        let training = Training { clip, ..Training::new(&adam, &schedule) };
        let plan = Plan::new(Request {
            network: &network,
            loss: &loss,
            targets: Targets::CLASSES,
            training: Some(training),
            batch: 32,
            set: SetLayout::whole(Element::U8, 1000),
            tiling: &tiling,
            metrics: false,
        });
        plan.unwrap().dispatches().iter().map(|dispatch| dispatch.launch.fuses()).collect()
    };
    let head = ["last layer", "bias", "loss softmax-cross-entropy", "derivative of relu", "gradient of the loss"];
    let books = ["running sums of loss and hits", "learning rate and optimizer's scalars"];
    assert_eq!(
        fused(None),
        [
            vec!["row gather", "bias", "activation relu", "dropout", "derivatives kept"],
            [&head[..], &books, &["gradient of the layer below"]].concat(),
            vec!["2 layers", "row gather", "bias gradient", "optimizer adam", "step counter"],
        ]
    );
    // Clipped by the norm, no gradient's kernel updates anything.
    let clipped = fused(Some(Clip::Norm(1.0)));
    assert!(
        clipped[2].contains(&"bias gradient".into()) && !clipped[2].contains(&"optimizer adam".into()),
        "{clipped:?}"
    );
    let last = clipped.last().unwrap();
    assert!(last.contains(&"optimizer adam".into()) && last.contains(&"clipping by the norm".into()), "{clipped:?}");
}

/// A network of images with a batch norm, a residual and a repeat.
fn of_images() -> Network {
    let conv = |channels: usize| Layer::new(ConvLayer::new(channels, 3).same().without_bias());
    Network::image(8, 8, 3)
        .with(conv(4))
        .batch_norm()
        .activation(Activation::Relu)
        .residual(|body| body.with(conv(4).with_activation(Activation::Relu)).with(conv(4)))
        .activation(Activation::Relu)
        .repeat(2, |copy| copy.with(conv(6).with_activation(Activation::Relu)))
        .max_pool(2)
        .flatten()
        .dense(20, Activation::Relu)
        .dense(5, Activation::Identity)
}

/// Finds a dispatch of a layer that is named after another, a layer that no dispatch names, and a merged update that leaves layers out.
#[test]
fn every_dispatch_names_its_layers() {
    let network = of_images();
    let (loss, schedule) = (Loss::default(), Schedule::default());
    let muon = Optimizer::new(Rule::Muon {
        momentum: 0.9,
        nesterov: true,
        match_rms_adamw: false,
        eps: 1e-7,
        ns_steps: 2.0,
        adamw_lr: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        adamw_eps: 1e-7,
    });
    for (optimizer, clip) in
        [(Optimizer::keras_adam(), None), (Optimizer::keras_adam(), Some(Clip::Norm(1.0))), (muon, None)]
    {
        for family in [Family::Software, Family::Hardware] {
            let tiling = Tiling { most_bindings: 16, ..Tiling::of(family) };
            let training = Training { clip, ..Training::new(&optimizer, &schedule) };
            let plan = Plan::new(Request {
                network: &network,
                loss: &loss,
                targets: Targets::CLASSES,
                training: Some(training),
                batch: 8,
                set: SetLayout::whole(Element::U8, 100),
                tiling: &tiling,
                metrics: false,
            })
            .unwrap();
            // The layers are taken from the parameters' numbers alone, not from the graph.
            let parameters = network.named_parameters();
            let mut forward = vec![];
            for Dispatch { launch, roles, layers, .. } in plan.dispatches() {
                let is_gather = launch.kernel.starts_with("gather");
                assert_eq!(layers.is_empty(), is_gather, "{}: {layers:?}", launch.kernel);
                for role in roles {
                    if let wgrad::plan::Role::Weights(number) = role {
                        let own = &parameters[*number].location;
                        assert!(layers.contains(own), "{} binds the weights of {own}: {layers:?}", launch.kernel);
                    }
                }
                if launch.kernel == "conv_forward" {
                    forward.push(layers[0].clone());
                }
            }
            let expected = [
                "layer 1",
                "layer 3's body, layer 1",
                "layer 3's body, layer 2",
                "layer 4's copy 1, layer 1",
                "layer 4's copy 2, layer 1",
            ];
            assert_eq!(forward, expected);
        }
    }
}

/// Finds a layer that is left out of the summary, a shape, a number of weights or operations that is not the layer's, and running statistics that count as
/// weights.
#[test]
fn explain_begins_with_the_layers() {
    let folder = tempfile::tempdir().unwrap();
    let events = events(&succeed(folder.path(), &["explain", "--hidden", "16,8", "--json"]));
    let layers = of_kind(&events, "layer");
    let of = |key: &str| layers.iter().map(|layer| layer[key].clone()).collect::<Vec<_>>();
    assert_eq!(of("location"), ["layer 1", "layer 2", "layer 3"]);
    assert_eq!(of("words"), ["dense 16, relu", "dense 8, relu", "dense 10"]);
    assert_eq!(of("shape"), [serde_json::json!([16]), serde_json::json!([8]), serde_json::json!([10])]);
    assert_eq!(of("weights"), [785 * 16, 17 * 8, 9 * 10]);
    assert_eq!(of("flops"), [2 * 785 * 16, 2 * 17 * 8, 2 * 9 * 10]);
    let [network] = of_kind(&events, "network")[..] else { panic!("{events:?}") };
    assert_eq!((&network["weights"], &network["flops"]), (&12_786.into(), &25_572.into()));
    let text = succeed(folder.path(), &["explain", "--hidden", "16,8"]);
    assert!(text.lines().any(|line| line.starts_with("layer 1 ") && line.contains("dense 16, relu")), "{text}");

    // In a file, with layers of images.
    let network = of_images();
    let weights = wgrad::Initializer::default().weights(&network, 1);
    let model = wgrad::Model::new(network.clone(), weights, Loss::default());
    model.write(folder.path().join("m.safetensors")).unwrap();
    let inspected = self::events(&succeed(folder.path(), &["inspect", "m.safetensors", "--json"])).remove(0);
    let layers: Vec<&Value> = inspected["layers"].as_array().unwrap_or_else(|| panic!("{inspected}")).iter().collect();
    let of = |key: &str| layers.iter().map(|layer| layer[key].clone()).collect::<Vec<_>>();
    let kinds = [
        "conv",
        "batch_norm",
        "residual",
        "conv",
        "conv",
        "repeat",
        "conv",
        "conv",
        "max_pool",
        "flatten",
        "dense",
        "dense",
    ];
    assert_eq!(of("kind"), kinds);
    assert_eq!(of("parameters"), [108, 8, 0, 144, 144, 0, 216, 324, 0, 0, 97 * 20, 21 * 5]);
    assert_eq!((&layers[1]["statistics"], &layers[0]["shape"]), (&8.into(), &serde_json::json!([8, 8, 4])));
    assert_eq!(inspected["parameters"], network.parameters());
    let text = succeed(folder.path(), &["inspect", "m.safetensors"]);
    assert!(text.contains("8×8×4") && text.contains("4×4×6"), "{text}");
}
