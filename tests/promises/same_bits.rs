//! Same seed, same bits; and the loop that never waits.

use wgrad::{Activation, Dataset, Network, TrainOptions, Trainer, Weights};

use crate::support::{bits, gpu, learnable, succeed, wgrad};

/// The seed network on rows of its width: enough of them for a short last batch and several chunks.
fn seed_network() -> (Network, Dataset) {
    (Network::classifier(784, &[256], Activation::Relu, 10), learnable(1000, 784, 10, 1))
}

fn trained(options: TrainOptions) -> Weights {
    let (network, set) = seed_network();
    let mut trainer = Trainer::on(gpu(), network, TrainOptions { epochs: 2, ..options }).unwrap();
    trainer.fit(&set, None).unwrap();
    trainer.weights().unwrap()
}

/// A reduction whose order depends on timing; a step that is lost or doubled where one submission ends.
#[test]
fn same_seed_same_bits_whatever_the_chunking() {
    let reference = bits(&trained(TrainOptions::default()));
    assert_eq!(bits(&trained(TrainOptions::default())), reference, "a second run");
    for chunk in [1, 7, 256] {
        let options = TrainOptions { steps_per_submission: Some(chunk), ..TrainOptions::default() };
        assert_eq!(bits(&trained(options)), reference, "{chunk} steps a submission");
    }
}

/// A seed that does nothing: eight runs, eight models (a complaint about every engine we looked at). And the reverse:
/// a seed that moves only the order, or only the weights.
#[test]
fn another_seed_is_another_model() {
    let reference = bits(&trained(TrainOptions::default()));
    let other = TrainOptions { seed: 1, ..TrainOptions::default() };
    assert_ne!(bits(&trained(other.clone())), reference);
    let (network, _) = seed_network();
    let initial = |seed| Trainer::on(gpu(), network.clone(), TrainOptions { seed, ..other.clone() }).unwrap();
    assert_ne!(bits(&initial(0).weights().unwrap()), bits(&initial(1).weights().unwrap()), "initial weights");
    assert_ne!(
        bits(&trained(TrainOptions { shuffle: false, ..TrainOptions::default() })),
        reference,
        "the set's own order"
    );
}

/// Something that differs from process to process: a hash map's order, an address, a driver's cache.
#[test]
fn two_processes_write_the_same_file() {
    let folder = tempfile::tempdir().unwrap();
    for file in ["a.safetensors", "b.safetensors"] {
        succeed(folder.path(), &["train", "--steps", "40", "--seed", "7", "--save", file]);
    }
    let read = |file: &str| std::fs::read(folder.path().join(file)).unwrap();
    assert!(read("a.safetensors") == read("b.safetensors"));
}

/// A second `fit` that begins the epoch, the order or the optimizer anew.
#[test]
fn fit_goes_on_where_it_ended() {
    let (network, set) = seed_network();
    let run = |parts: &[u64]| {
        let mut trainer = None;
        for &steps in parts {
            let options = TrainOptions { steps: Some(steps), ..TrainOptions::default() };
            let trainer = trainer.get_or_insert_with(|| Trainer::on(gpu(), network.clone(), options.clone()).unwrap());
            trainer.set_steps(Some(steps));
            trainer.fit(&set, None).unwrap();
        }
        bits(&trainer.unwrap().weights().unwrap())
    };
    assert_eq!(run(&[50]), run(&[7, 30, 13]));
}

/// Promises 1 and 2: a host that waits on every step, submits every step, or a kernel that should have been fused.
#[test]
fn the_loop_stays_on_the_device() {
    let (network, set) = seed_network();
    let options = TrainOptions { epochs: 3, steps_per_submission: Some(16), ..TrainOptions::default() };
    let mut trainer = Trainer::on(gpu(), network, options).unwrap();
    let validation = learnable(100, 784, 10, 2);
    let history = trainer.fit(&set, Some(&validation)).unwrap();
    assert_eq!(history.epochs.len(), 3);
    assert_eq!(history.stats.steps, 3 * 32);
    assert!(trainer.plan(&set).unwrap().dispatches.len() <= 5, "dispatches of a training step");
    for epoch in &history.epochs {
        assert!(epoch.stats.blocking_reads <= 1, "{:?}", epoch.stats);
        // Two chunks and their sums, and the same for one step of validation.
        assert!(epoch.stats.submissions <= 5, "{:?}", epoch.stats);
        assert!(epoch.stats.dispatches <= 5 * 32 + 3, "{:?}", epoch.stats);
    }
}

/// A chunk size that never grows from its first guess.
#[test]
fn submissions_are_sized_by_the_measured_step() {
    let set = learnable(2000, 4, 2, 3);
    let options = TrainOptions { epochs: 4, batch_size: 4, ..TrainOptions::default() };
    let network = Network::classifier(4, &[4], Activation::Relu, 2);
    let history = Trainer::on(gpu(), network, options).unwrap().fit(&set, None).unwrap();
    assert!(history.stats.submissions * 4 < history.stats.steps, "{:?}", history.stats);
}

/// A driver's complaint that aborts the process, or a lost device whose results are believed.
#[test]
fn a_lost_device_is_an_error() {
    let gpu = wgrad::Gpu::open(&wgrad::AdapterChoice::Auto).unwrap();
    let (network, set) = seed_network();
    let mut trainer = Trainer::on(std::sync::Arc::clone(&gpu), network, TrainOptions::default()).unwrap();
    gpu.lose();
    let error = trainer.fit(&set, None).unwrap_err();
    assert!(matches!(error, wgrad::Error::Device(_)), "{error}");
}

/// A loss that became NaN and trained on in silence: the step is named, and nothing is written.
#[test]
fn a_loss_that_breaks_down_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let output = wgrad(folder.path(), &["train", "--optimizer", "sgd", "--lr", "1e30", "--epochs", "1"]);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{message}");
    assert!(message.contains("not finite in step"), "{message}");
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
}
