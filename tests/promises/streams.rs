//! Sets that are read while a run trains on them: the same rows in the order that the seed says, no waiting, and errors that end it.

use std::ops::{ControlFlow, Range};
use std::sync::atomic::{AtomicUsize, Ordering};

use wgrad::{
    Activation, Checkpoint, Checkpointing, Dataset, Error, Every, Generated, History, Network, Optimizer, Source,
    TrainOptions, Trainer,
};

use crate::reference;
use crate::support::{Random, bits, gpu, learnable, refused};

const BATCH: usize = 16;
/// Of 9 u8 features, 12 bytes a row and one for its label: windows of 96 rows.
const BUDGET: u64 = 2 * 13 * 100;
const WINDOW: u32 = 96;

fn options() -> TrainOptions {
    TrainOptions {
        batch_size: BATCH,
        epochs: 2,
        seed: 3 << 40 | 5,
        memory_budget: Some(BUDGET),
        ..TrainOptions::default()
    }
}

fn trainer(options: TrainOptions) -> Trainer {
    Trainer::on(gpu(), Network::classifier(9, &[12], Activation::Relu, 3), options).unwrap()
}

fn trained(set: &Dataset, options: TrainOptions) -> (Vec<u32>, History) {
    let mut trainer = trainer(options);
    let history = trainer.fit(set, None).unwrap();
    (bits(&trainer.weights().unwrap()), history)
}

/// SplitMix64, as the library's orders have it.
fn hash(seed: u64, place: u64) -> u64 {
    let mix = |value: u64| {
        let mut z = value.wrapping_add(0x9e37_79b9_7f4a_7c15);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    };
    mix(mix(seed).wrapping_add(place))
}

/// The rows in the order in which epochs visit them.
fn visited(rows: u32, seed: u64, epochs: Range<u64>) -> Vec<usize> {
    let of_epoch = |epoch: u64| {
        let key = hash(seed, epoch);
        let mut windows: Vec<u32> = (0..rows.div_ceil(WINDOW)).collect();
        windows.sort_by_key(|&window| hash(key, window.into()));
        windows.into_iter().flat_map(move |window| {
            let (first, count) = (window * WINDOW, WINDOW.min(rows - window * WINDOW));
            let inside = hash(!key, window.into());
            (0..count).map(move |at| (first + reference::row_of(at, count, inside, 0)) as usize)
        })
    };
    epochs.flat_map(of_epoch).collect()
}

/// Finds a window whose rows come late, twice or from another window's place; an order that is not the seed's.
#[test]
fn windows_bring_the_rows_that_the_seed_says() {
    let set = learnable(5 * WINDOW as usize, 9, 3, 8);
    let (streamed, history) = trained(&set, options());
    let brought = set.select(visited(5 * WINDOW, options().seed, 0..2)).unwrap();
    let whole = TrainOptions { shuffle: false, epochs: 1, memory_budget: None, ..options() };
    assert_eq!(streamed, trained(&brought, whole).0);
    assert_eq!(history.epochs.len(), 2);

    let plain = TrainOptions { shuffle: false, ..options() };
    let whole = TrainOptions { memory_budget: None, ..plain.clone() };
    assert_eq!(trained(&set, plain).0, trained(&set, whole).0);
}

/// Finds rows that an epoch leaves out where a window is shorter, or counts twice: with a learning rate of 0, an epoch's mean loss is the set's.
#[test]
fn short_windows_are_whole() {
    for rows in [1003, 97, 16, 95] {
        let set = learnable(rows, 9, 3, 8);
        let mut trainer = trainer(TrainOptions { optimizer: Optimizer::sgd(0.0), ..options() });
        let all = trainer.evaluate(&set).unwrap();
        let history = trainer.fit_from(&set, None, |_| ControlFlow::Continue(())).unwrap();
        for epoch in history.epochs {
            assert_eq!((epoch.training.rows, epoch.training.accuracy), (all.rows, all.accuracy));
            assert!((epoch.training.loss - all.loss).abs() < 1e-6, "{rows}: {} {}", epoch.training.loss, all.loss);
        }
    }
}

/// Finds a loop that waits for the device at every window.
#[test]
fn an_epoch_of_windows_has_one_blocking_read() {
    let set = learnable(12 * WINDOW as usize, 9, 3, 8);
    let (_, history) = trained(&set, options());
    for epoch in &history.epochs {
        assert!(epoch.stats.traffic.blocking_reads <= 1, "{:?}", epoch.stats);
        assert_eq!(epoch.stats.steps, 12 * u64::from(WINDOW) / BATCH as u64);
    }
}

/// Finds a run that resumes with another window, or at another row in it, than where it was broken off.
#[test]
fn fits_and_resumed_runs_go_on_inside_a_window() {
    let set = learnable(1003, 9, 3, 8);
    let (whole, _) = trained(&set, TrainOptions { steps: Some(100), ..options() });
    let mut parts = trainer(options());
    for steps in [3, 40, 23, 34] {
        parts.set_steps(Some(steps));
        parts.fit(&set, None).unwrap();
    }
    assert_eq!(bits(&parts.weights().unwrap()), whole);

    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpointing { every: Every::Steps(33), keep: 9, ..Checkpointing::new(folder.path()) };
    trained(&set, TrainOptions { steps: Some(100), checkpoint: Some(checkpoint), ..options() });
    // One that was due while another was written is left out.
    let files: Vec<_> = std::fs::read_dir(folder.path())
        .unwrap()
        .map(|file| file.unwrap().path())
        .filter(|path| path.extension().is_some())
        .collect();
    assert!(files.len() >= 2, "{files:?}");
    for path in files {
        let mut resumed = Trainer::resume(gpu(), &Checkpoint::open(path).unwrap()).unwrap();
        resumed.set_checkpointing(None);
        resumed.fit(&set, None).unwrap();
        assert_eq!(bits(&resumed.weights().unwrap()), whole);
    }
}

/// Sets of every kind can be read in windows: bytes that are scaled on the device, and weights and values beside the rows.
#[test]
fn every_kind_of_set_can_be_read_in_windows() {
    let mut random = Random(4);
    let rows = 4 * WINDOW as usize;
    let scaling = wgrad::Scaling { shift: vec![0.25; 9], scale: (0..9).map(|at| 1.0 + at as f32).collect() };
    let bytes = learnable(rows, 9, 3, 2);
    let weights = (0..rows).map(|row| 0.5 + (row % 4) as f32).collect();
    let values: Vec<f32> = (0..rows).flat_map(|row| [0, 1, 2].map(|class| f32::from(row % 3 == class))).collect();
    let halves = (0..rows * 9).map(|_| half::f16::from_f64(random.value())).collect();
    let labels = (0..rows as u32).map(|row| row % 3).collect();
    for set in [
        bytes.clone().with_scaling(scaling).unwrap(),
        bytes.clone().with_sample_weights(weights).unwrap(),
        bytes.with_targets(values, 3).unwrap(),
        Dataset::from_f16(halves, 9, labels).unwrap(),
    ] {
        let plain = TrainOptions { shuffle: false, ..options() };
        let whole = TrainOptions { memory_budget: None, ..plain.clone() };
        assert_eq!(trained(&set, plain).0, trained(&set, whole).0);
    }
}

/// Finds an error of a source that is swallowed, a panic that hangs or ends the program; rows that are not what was promised.
#[test]
fn what_is_wrong_with_rows_ends_the_run() {
    let fit = |source: &dyn Source| {
        trainer(options()).fit_from(source, None, |_| ControlFlow::Continue(())).unwrap_err().to_string()
    };
    let rows = |rows: Range<usize>| Dataset::from_u8(vec![1; 9 * rows.len()], 9, vec![0; rows.len()]);
    let failing = fit(&Generated::new(1000, 3, |range: Range<usize>| match range.start {
        0 => rows(range),
        _ => Err(Error::Data("the tape is torn".into())),
    }));
    assert!(failing.contains("the tape is torn"), "{failing}");
    let calls = AtomicUsize::new(0);
    let panicking = fit(&Generated::new(1000, 3, |range: Range<usize>| {
        assert!(calls.fetch_add(1, Ordering::Relaxed) < 3, "a source of the user's own panics");
        rows(range)
    }));
    assert!(panicking.contains("panicked"), "{panicking}");
    let short = fit(&Generated::new(1000, 3, |range: Range<usize>| rows(range.start..range.end.min(range.start + 5))));
    assert!(short.contains("5 rows came"), "{short}");
    let wrong_label = fit(&Generated::new(1000, 3, |range: Range<usize>| {
        let labels = range.clone().map(|row| u32::from(row > 500) * 7).collect();
        Dataset::from_u8(vec![1; 9 * range.len()], 9, labels)
    }));
    assert!(wrong_label.contains("the label of row") && wrong_label.contains("is 7"), "{wrong_label}");
    let other_type = fit(&Generated::new(1000, 3, |range: Range<usize>| match range.start {
        0 if range.end == 1 => rows(range),
        _ => Dataset::from_f32(vec![1.0; 9 * range.len()], 9, vec![0; range.len()]),
    }));
    assert!(other_type.contains("F32"), "{other_type}");
    let empty = fit(&Generated::new(0, 3, rows));
    assert!(empty.contains("empty"), "{empty}");

    let set = learnable(100, 9, 3, 1);
    let small =
        trainer(TrainOptions { memory_budget: Some(100), ..options() }).fit(&set, None).unwrap_err().to_string();
    assert!(small.contains("416 bytes"), "{small}");
}

/// A set of safetensors tensors: rows of bytes, of floats; labels, weights.
fn stored_set(path: &std::path::Path, rows: usize) {
    let mut random = Random(12);
    let x: Vec<u8> = (0..rows * 9).map(|_| random.bits() as u8).collect();
    let y: Vec<i64> = (0..rows).map(|_| random.below(3) as i64).collect();
    let w: Vec<f32> = (0..rows).map(|row| 1.0 + (row % 2) as f32).collect();
    let view =
        |dtype, shape: &[usize], bytes| safetensors::tensor::TensorView::new(dtype, shape.to_vec(), bytes).unwrap();
    let (y, w) = (bytemuck::cast_slice(&y), bytemuck::cast_slice(&w));
    let tensors = [
        ("w", view(safetensors::Dtype::F32, &[rows], w)),
        ("x", view(safetensors::Dtype::U8, &[rows, 3, 3], &x)),
        ("y", view(safetensors::Dtype::I64, &[rows], y)),
    ];
    safetensors::serialize_to_file(tensors, None, path).unwrap();
}

/// Finds rows that are read from the wrong place of the file; and a file that is larger than the budget and is still read whole, or from which the
/// program trains another model.
#[test]
fn a_file_is_read_in_windows_as_a_set_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.safetensors");
    stored_set(&path, 1003);
    let stored = wgrad::Stored::open(&path).unwrap();
    let set = Dataset::from_safetensors(&path).unwrap();
    assert_eq!((stored.rows(), stored.classes()), (1003, 3));
    assert_eq!(stored.read(500..731).unwrap(), set.read(500..731).unwrap());

    let mut by_file = trainer(options());
    by_file.fit_from(&stored, None, |_| ControlFlow::Continue(())).unwrap();
    assert_eq!(bits(&by_file.weights().unwrap()), trained(&set, options()).0);

    let program = [
        "train",
        "--data",
        "set.safetensors",
        "--hidden",
        "12",
        "--batch-size",
        "16",
        "--epochs",
        "2",
        "--memory-budget",
        "4kB",
    ];
    let train = |more: &[&str]| crate::support::succeed(folder.path(), &[&program[..], more].concat());
    train(&["--save", "stored.safetensors"]);
    // A part to validate on is known only with all rows: the set is read whole, and goes to the device in windows.
    let told = train(&["--save", "split.safetensors", "--validation", "0.25"]);
    assert!(told.contains("752 rows"), "{told}");
    let mut twin = Trainer::on(
        gpu(),
        Network::classifier(9, &[12], Activation::Relu, 3),
        TrainOptions { seed: 0, memory_budget: Some(4000), ..options() },
    )
    .unwrap();
    twin.fit(&set, None).unwrap();
    let model = wgrad::Model::read(folder.path().join("stored.safetensors")).unwrap();
    assert_eq!(bits(&model.weights), bits(&twin.weights().unwrap()));
}

/// Finds rows to test on that are in a file, and are ignored where it stays on the disk.
#[test]
fn a_stored_file_brings_its_test_rows() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.safetensors");
    let bytes: Vec<u8> = (0..640u32).map(|at| (at * 37 % 251) as u8).collect();
    let labels: Vec<u8> = (0..64).map(|row| row % 3).collect();
    let view = |shape: &[usize], bytes| {
        safetensors::tensor::TensorView::new(safetensors::Dtype::U8, shape.to_vec(), bytes).unwrap()
    };
    let tensors = [
        ("x_test", view(&[20, 10], &bytes[..200])),
        ("x_train", view(&[64, 10], &bytes)),
        ("y_test", view(&[20], &labels[..20])),
        ("y_train", view(&[64], &labels)),
    ];
    safetensors::serialize_to_file(tensors, None, &path).unwrap();
    let stored = wgrad::Stored::open(&path).unwrap();
    let (train, test) = Dataset::read(&path, &wgrad::ReadOptions::default()).unwrap();
    assert_eq!((stored.read(0..64).unwrap(), stored.test().unwrap()), (train, test));
    let program = [
        "train",
        "--data",
        "set.safetensors",
        "--hidden",
        "none",
        "--batch-size",
        "16",
        "--epochs",
        "1",
        "--memory-budget",
        "500",
    ];
    let told = crate::support::succeed(folder.path(), &program);
    assert!(told.contains("64 rows") && told.contains("on 20 rows"), "{told}");
    // The run's figures are of all its rows, not of the first minibatch, and so is the report.
    crate::support::succeed(folder.path(), &[&program[..], &["--validation", "none", "--out", "run"]].concat());
    let read = |name: &str| std::fs::read_to_string(folder.path().join("run").join(name)).unwrap();
    let about: serde_json::Value = serde_json::from_str(&read("run.json")).unwrap();
    assert_eq!((&about["data"]["rows"], &about["steps_per_epoch"]), (&64.into(), &4.into()));
    // As many as the budget has room for.
    assert!(read("report.html").contains(" wrong among 41 first training rows"));
    // The window that it would have, not the file.
    let explained = crate::support::succeed(folder.path(), &[&["explain"], &program[1..]].concat());
    assert!(explained.contains("set [16, ") && !explained.contains("set [64, "), "{explained}");
}

/// Finds a file that lies about its content, and is believed until its rows are read; and memory for rows that it does not have.
#[test]
fn files_that_lie_are_not_opened() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("set.safetensors");
    stored_set(&path, 64);
    let whole = std::fs::read(&path).unwrap();
    let with_header = |header: &str| [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &[0; 100]].concat();
    for (bytes, said) in [
        (whole[..5].to_vec(), "no header"),
        (whole[..60].to_vec(), "a header of"),
        (whole[..whole.len() - 1].to_vec(), "does not lie whole"),
        ([&u64::MAX.to_le_bytes()[..], &whole[8..]].concat(), "a header of"),
        (with_header(r#"{"y":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}"#), "no tensor x"),
        (
            with_header(
                r#"{"x":{"dtype":"U8","shape":[4,9],"data_offsets":[0,36]},"y":{"dtype":"U8","shape":[5],"data_offsets":[36,41]}}"#,
            ),
            "must agree",
        ),
        (with_header(r#"{"x":{"dtype":"U8","shape":[1152921504606846976,16],"data_offsets":[0,36]}}"#), "its header"),
        (with_header(r#"{"x":{"dtype":"U8","shape":[4,9],"data_offsets":[36,0]}}"#), "header"),
        (with_header("nonsense"), "its header"),
    ] {
        std::fs::write(&path, bytes).unwrap();
        let error = wgrad::Stored::open(&path).err().expect(said).to_string();
        assert!(error.contains(said) && error.contains("set.safetensors"), "{error}");
    }
    refused(&["no header"], wgrad::Stored::open(folder.path()));
    refused(&["none: No such file"], wgrad::Stored::open(folder.path().join("none")));
}
