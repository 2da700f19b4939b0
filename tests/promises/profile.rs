//! Profiles of a step's time, and a plan's description of itself.

use std::collections::BTreeMap;

use serde_json::Value;
use wgrad::kernel::tile::Family;
use wgrad::kernel::tiling::Tiling;
use wgrad::plan::{Element, Plan, Request, SetLayout};
use wgrad::targets::Targets;
use wgrad::training::{Clip, Training};
use wgrad::{Activation, Loss, Network, Optimizer, Schedule};

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
        let sum = |of: &[&Value], name: &str| of.iter().map(|event| event[name].as_u64().unwrap()).sum::<u64>();
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
        assert_eq!(step["dispatches"], dispatches.len());
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
        let training =
            Training { optimizer: &adam, schedule: &schedule, clip, skips_non_finite: false, augmentation: None };
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
