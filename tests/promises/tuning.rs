//! Tuning: with any picked tiles the model is as good; with the same pinned tiles its bits are the same.

use std::path::Path;
use std::time::Duration;

use wgrad::kernel::tile::Family;
use wgrad::{Activation, Dataset, Event, Network, Picks, TrainOptions, Trainer, Tuning, Weights};

use crate::support::{bits, flat, gpu, learnable, relative_error, succeed, wgrad};

fn problem() -> (Network, Dataset) {
    (Network::classifier(60, &[40], Activation::Relu, 10), learnable(600, 60, 10, 1))
}

fn options(tuning: Tuning) -> TrainOptions {
    // The budget is unlimited: how much is measured must not depend on the machine.
    let tuning_budget = Duration::from_secs(3600);
    TrainOptions { tuning, tuning_budget, epochs: 3, batch_size: 20, ..TrainOptions::default() }
}

/// The results of a run: its weights, its tiles and its accuracy; and the products that were measured before it.
fn run(options: TrainOptions) -> (Weights, Picks, f64, Vec<&'static str>) {
    let (network, set) = problem();
    let mut trainer = Trainer::on(gpu(), network, options).unwrap();
    let mut measured = vec![];
    let history = trainer
        .fit_with(&set, None, |event| {
            if let Event::Tuning { kernel, at, of } = event {
                measured.push(kernel);
                assert!(at == measured.len() && of >= at);
            }
            std::ops::ControlFlow::Continue(())
        })
        .unwrap();
    let accuracy = history.epochs[2].training.accuracy.unwrap();
    (trainer.weights().unwrap(), trainer.picks(&set).unwrap(), accuracy, measured)
}

/// Finds a tile that is fast and wrong; a pick that changes what is learned; and picks that are reported but are not the ones that ran.
#[test]
fn every_tuning_learns_the_same_and_pinned_tiles_give_the_same_bits() {
    let folder = tempfile::tempdir().unwrap();
    let cache = folder.path().join("deep/tuning.json");
    let (reference, rule_picks, accuracy, measured) = run(options(Tuning::Off));
    assert!(measured.is_empty());
    let auto = TrainOptions { tuning_cache: Some(cache.clone()), ..options(Tuning::Auto) };
    let (tuned, picks, tuned_accuracy, measured) = run(auto.clone());
    // The forward product, and an update for each layer; the head's are its own.
    assert_eq!(measured.len(), rule_picks.iter().count(), "{measured:?}");
    let (by_table, _, table_accuracy, _) = run(options(Tuning::Table));
    for (weights, accuracy_of) in [(&tuned, tuned_accuracy), (&by_table, table_accuracy)] {
        assert!(relative_error(&flat(weights), &flat(&reference)) < 1e-4);
        assert!((accuracy_of - accuracy).abs() < 0.005, "{accuracy_of} {accuracy}");
    }

    // From the cache: nothing is measured again, and the bits are those of the run that measured.
    let (again, cached_picks, _, measured) = run(auto);
    assert!(measured.is_empty() && cached_picks == picks);
    assert_eq!(bits(&again), bits(&tuned));
    // Pins come before any other option.
    for tuning in [Tuning::Off, Tuning::Auto] {
        let (pinned, pinned_picks, _, measured) = run(TrainOptions { picks: picks.clone(), ..options(tuning) });
        assert!(measured.is_empty() && pinned_picks == picks);
        assert_eq!(bits(&pinned), bits(&tuned));
    }
    // Pins that do nothing would pass all of this: the plain tile is one that no tuning picks.
    let plain: Picks = rule_picks.iter().map(|(shape, _)| (shape, "naive")).collect();
    let (_, picked, ..) = run(TrainOptions { picks: plain.clone(), ..options(Tuning::Table) });
    assert_eq!(picked, plain);
}

/// A cache that another program wrote, or half of one, costs a measurement and is no error; so does one that cannot be written at all.
#[test]
fn a_broken_cache_costs_a_measurement() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tuning.json");
    let auto = |path: &Path| TrainOptions { tuning_cache: Some(path.into()), ..options(Tuning::Auto) };
    for content in [&b"{\"a\": {\"b\""[..], b"[1, 2]", b"\xff\xfe", b"{\"x\": {\"dense\": \"no such tile\"}}"] {
        std::fs::write(&path, content).unwrap();
        let (.., measured) = run(auto(&path));
        assert!(!measured.is_empty());
        let (.., measured) = run(auto(&path));
        assert!(measured.is_empty(), "written anew");
    }
    // A tile that there is not, under the right key.
    let text = std::fs::read_to_string(&path).unwrap();
    let tile =
        text.split('"').find(|word| ["subgroup ", "register ", "buffered "].iter().any(|kind| word.starts_with(kind)));
    std::fs::write(&path, text.replace(tile.unwrap(), "subgroup 7×7")).unwrap();
    let (_, picks, _, measured) = run(auto(&path));
    assert!(!measured.is_empty() && picks.iter().all(|(_, tile)| tile != "subgroup 7×7"));
    let (.., measured) = run(auto(folder.path()));
    assert!(!measured.is_empty(), "a folder is not a cache");
}

/// Finds layers of one kind that have different tiles. Each layer of a GPU's tiles is measured once and by itself.
#[test]
fn layers_of_one_kind_have_one_tile() {
    let set = learnable(64, 30, 10, 1);
    // The second and third layer are of one kind: 36 to 63 blocks, and 64 to 35. By their exact sizes the rule for 8 lanes would have two tiles.
    for (family, widths) in [(None, [140, 252, 140]), (Some(Family::Hardware), [40, 24, 20])] {
        let network = Network::classifier(30, &widths, Activation::Relu, 10);
        let options = TrainOptions { family, epochs: 1, batch_size: 32, ..options(Tuning::Off) };
        let trainer = |options: &TrainOptions| Trainer::on(gpu(), network.clone(), options.clone()).unwrap();
        let plan = trainer(&options).plan(&set).unwrap();
        let picks = plan.picks();
        let mut shapes = std::collections::BTreeSet::new();
        for part in plan.dispatches().iter().flat_map(wgrad::plan::Dispatch::parts) {
            if let Some(shape) = part.launch.shape {
                shapes.insert(shape.to_string());
                assert_eq!(picks.get(shape), Some(part.launch.variant.as_str()), "{shape}");
            }
        }
        assert!(shapes.len() > 3 && shapes.len() == picks.iter().count(), "{shapes:?} {picks:?}");
        if family.is_some() {
            let mut tuned = trainer(&TrainOptions { tuning: Tuning::Auto, ..options.clone() });
            let mut measured = 0;
            tuned.tune(&set, |event| measured += usize::from(matches!(event, Event::Tuning { .. }))).unwrap();
            assert_eq!(measured, picks.iter().count());
            tuned.tune(&set, |_| panic!("measured again")).unwrap();
        }
    }
}

/// Finds a request to stop while tiles are measured that is ignored.
#[test]
fn a_run_can_be_broken_off_while_it_is_tuned() {
    let (network, set) = problem();
    let mut trainer = Trainer::on(gpu(), network, options(Tuning::Auto)).unwrap();
    let history = trainer.fit_with(&set, None, |_| std::ops::ControlFlow::Break(())).unwrap();
    assert!(history.epochs.is_empty() && history.stats.steps == 0);
}

/// Finds a search that was cut short and is kept: a machine that was busy once would have the wrong tiles for ever.
#[test]
fn what_was_cut_short_is_not_kept() {
    let folder = tempfile::tempdir().unwrap();
    let tuning_cache = Some(folder.path().join("tuning.json"));
    let (.., measured) = run(TrainOptions {
        tuning_cache: tuning_cache.clone(),
        tuning_budget: Duration::ZERO,
        ..options(Tuning::Auto)
    });
    assert!(measured.is_empty());
    // Long enough to begin, too short for a second variant.
    let tuning_budget = Duration::from_nanos(1_000);
    let (.., measured) =
        run(TrainOptions { tuning_cache: tuning_cache.clone(), tuning_budget, ..options(Tuning::Auto) });
    assert!(measured.len() <= 1);
    assert!(!folder.path().join("tuning.json").exists());
    let (.., measured) = run(TrainOptions { tuning_cache, ..options(Tuning::Auto) });
    assert!(!measured.is_empty() && folder.path().join("tuning.json").exists());
}

/// Finds a pin of a tile that does not exist, and is ignored.
#[test]
fn a_pin_that_cannot_be_kept_is_an_error() {
    let (network, _) = problem();
    for (shape, tile, said) in [
        ("dense_update set_u8 16×16×8", "subgroup 7×7", "subgroup 7×7"),
        ("dense_sideways set_u8 16×16×8", "naive", "dense_sideways"),
        ("dense_update set_u8 16×17×8", "naive", "16×17×8"),
    ] {
        let picks: Picks = [(shape, tile)].into_iter().collect();
        let error = Trainer::on(gpu(), network.clone(), TrainOptions { picks, ..options(Tuning::Table) }).unwrap_err();
        assert!(error.to_string().contains(said), "{error}");
    }
}

/// Finds a program that does not take what its own output says.
#[test]
fn the_program_reports_its_tiles_and_takes_them() {
    let folder = tempfile::tempdir().unwrap();
    let end = |out: &str| -> serde_json::Value { serde_json::from_str(out.lines().last().unwrap()).unwrap() };
    let base = ["train", "--steps", "2", "--hidden", "16", "--validation", "0.001", "--json"];
    let first = end(&succeed(folder.path(), &[&base[..], &["--tuning", "off", "--save", "a"]].concat()));
    let tiles = first["tiles"].as_object().unwrap();
    assert!(tiles.keys().any(|shape| shape.starts_with("dense_update set_u8")), "{first}");
    let table: String = tiles.keys().map(|shape| format!("\"{shape}\" = \"naive\"\n")).collect();
    std::fs::write(folder.path().join("run.toml"), format!("[tiles]\n{table}")).unwrap();
    let second = end(&succeed(folder.path(), &[&base[..], &["--config", "run.toml", "--save", "b"]].concat()));
    let pinned = second["tiles"].as_object().unwrap();
    assert!(pinned.keys().eq(tiles.keys()) && pinned.values().all(|tile| tile == "naive"), "{second}");
    std::fs::write(folder.path().join("run.toml"), "[tiles]\n\"dense_update set_u8 16×16×8\" = \"best\"\n").unwrap();
    let output = wgrad(folder.path(), &[&base[..], &["--config", "run.toml"]].concat());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("best"));
}

/// Finds a plan that is explained with other tiles than the run would have.
#[cfg(target_os = "linux")]
#[test]
fn explain_follows_what_was_measured() {
    let folder = tempfile::tempdir().unwrap();
    let run = |arguments: &[&str]| {
        let mut program = std::process::Command::new(env!("CARGO_BIN_EXE_wgrad"));
        program.current_dir(folder.path()).env("XDG_CACHE_HOME", folder.path()).args(arguments);
        let output = program.args(["--hidden", "16", "--validation", "none", "--tuning", "auto"]).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    let cache = folder.path().join("wgrad/tuning.json");
    // On a busy machine a search may be cut short, and what it did not come to is not kept.
    assert!((0..20).any(|_| {
        run(&["train", "--steps", "1"]);
        std::fs::read_to_string(&cache).is_ok_and(|kept| kept.contains("dense_forward"))
    }));
    let measured: serde_json::Value = serde_json::from_slice(&std::fs::read(&cache).unwrap()).unwrap();
    let mut forced = measured.clone();
    for table in forced.as_object_mut().unwrap().values_mut() {
        table.as_object_mut().unwrap().values_mut().for_each(|tile| *tile = "naive".into());
    }
    std::fs::write(&cache, forced.to_string()).unwrap();
    let explained = run(&["explain"]);
    assert!(explained.lines().any(|line| line.contains("dense_forward") && line.contains("naive")), "{explained}");
}
