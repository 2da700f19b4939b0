//! Epochs are judged by any metric of an evaluation, or by a user's own, and by the same one after a checkpoint.

use std::ops::ControlFlow;

use wgrad::{
    Activation, Best, Checkpoint, Checkpointing, Dataset, EarlyStopping, Every, History, Loss, Metrics, Monitor,
    Network, Optimizer, ReduceOnPlateau, TrainOptions, Trainer,
};

use crate::bad_input::tensors;
use crate::support::{Random, bits, gpu, learnable, succeed};

const EPOCHS: u64 = 5;

/// Rows that are hard enough for the figures to rise and fall.
fn sets(classes: usize) -> (Dataset, Dataset) {
    (learnable(90, 6, classes, 1), learnable(150, 6, classes, 2))
}

fn numbers(rows: usize, seed: u64) -> Dataset {
    let x = Random(seed).values(4 * rows);
    let t = x.chunks_exact(4).map(|row| (row[0] * row[1] - row[2]) as f32).collect();
    Dataset::from_f32(x.iter().map(|&value| value as f32).collect(), 4, vec![0; rows])
        .unwrap()
        .with_targets(t, 1)
        .unwrap()
}

fn options(monitor: Monitor, loss: Loss) -> TrainOptions {
    let optimizer = Optimizer { lr: 0.03, ..Optimizer::keras_adam() };
    TrainOptions { monitor, loss, optimizer, batch_size: 16, epochs: EPOCHS, ..TrainOptions::default() }
}

fn top_2(metrics: &Metrics) -> f64 {
    metrics.classes.as_ref().unwrap().top_k(2).unwrap()
}

/// Finds counts of one pass that are added to the next, a metric of another pass, or one more read that an epoch waits for: each metric is compared
/// with an evaluation after the epoch.
#[test]
fn every_figure_is_that_of_an_evaluation() {
    type Of = fn(&Metrics) -> f64;
    let (train, validation) = sets(3);
    let (pairs, others) = sets(2);
    let (train_numbers, validation_numbers) = (numbers(90, 1), numbers(150, 2));
    let cases: [(&str, &str, Of); 12] = [
        ("loss", "softmax-cross-entropy", |metrics| metrics.evaluation.loss),
        ("accuracy", "softmax-cross-entropy", |metrics| metrics.evaluation.accuracy.unwrap()),
        ("f1", "softmax-cross-entropy", |metrics| metrics.classes.as_ref().unwrap().macro_mean(wgrad::ClassCounts::f1)),
        ("precision", "softmax-cross-entropy", |metrics| {
            metrics.classes.as_ref().unwrap().macro_mean(wgrad::ClassCounts::precision)
        }),
        ("recall", "softmax-cross-entropy", |metrics| {
            metrics.classes.as_ref().unwrap().macro_mean(wgrad::ClassCounts::recall)
        }),
        ("top-2", "softmax-cross-entropy", top_2),
        ("f1", "sigmoid-cross-entropy", |metrics| metrics.classes.as_ref().unwrap().macro_mean(wgrad::ClassCounts::f1)),
        ("roc-auc", "pairs", |metrics| metrics.roc_auc.unwrap()),
        ("mae", "mse", |metrics| metrics.regression.unwrap().mean_absolute_error),
        ("rmse", "mse", |metrics| metrics.regression.unwrap().root_mean_squared_error),
        ("r2", "mae", |metrics| metrics.regression.unwrap().r2),
        ("own", "softmax-cross-entropy", top_2),
    ];
    for (word, loss, of) in cases {
        let (train, validation, outputs) = match loss {
            "pairs" => (&pairs, &others, 2),
            "mse" | "mae" => (&train_numbers, &validation_numbers, 1),
            _ => (&train, &validation, 3),
        };
        let loss = Loss::from_name(if loss == "pairs" { "softmax-cross-entropy" } else { loss }).unwrap();
        let monitor = if word == "own" { Monitor::custom("own", Best::Highest, top_2) } else { word.parse().unwrap() };
        assert_eq!(monitor.to_string(), word);
        let network = Network::classifier(train.width(), &[7], Activation::Relu, outputs);
        let mut whole = Trainer::on(gpu(), network.clone(), options(monitor, loss.clone())).unwrap();
        let history = whole.fit(train, Some(validation)).unwrap();
        let mut by_hand =
            Trainer::on(gpu(), network, TrainOptions { epochs: 1, ..options(Monitor::Loss, loss) }).unwrap();
        for epoch in &history.epochs {
            by_hand.fit(train, None).unwrap();
            assert_eq!(
                epoch.monitored,
                Some(of(&by_hand.metrics(validation).unwrap())),
                "{word}, epoch {}",
                epoch.epoch
            );
            assert!(epoch.stats.traffic.blocking_reads <= 1, "{word}: {:?}", epoch.stats);
        }
        assert_eq!(
            bits(&whole.weights().unwrap()),
            bits(&by_hand.weights().unwrap()),
            "{word}: the figure changed the run"
        );
    }
}

/// Finds a best epoch, an end or a lowered rate that follows the loss and not the chosen metric; and a worse value that is taken for better.
#[test]
fn what_is_kept_follows_the_figure() {
    let (train, validation) = sets(3);
    let network = Network::classifier(6, &[7], Activation::Relu, 3);
    let fit = |options: TrainOptions| {
        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        trainer.fit(&train, Some(&validation)).unwrap()
    };
    let figures = |history: &History| history.epochs.iter().map(|epoch| epoch.monitored.unwrap()).collect::<Vec<f64>>();
    let best = |figures: &[f64], is_better: fn(f64, f64) -> bool| {
        (0..figures.len()).fold(0, |best, at| if is_better(figures[at], figures[best]) { at } else { best })
    };
    let keeps = |monitor| TrainOptions { keep_best: true, ..options(monitor, Loss::default()) };
    let by_f1 = fit(keeps(Monitor::F1));
    assert_eq!(by_f1.kept, Some(best(&figures(&by_f1), |a, b| a > b)));
    // The worst by another's judgement: the first epoch's weights, where the F1 rises.
    let worst = Monitor::custom("least f1", Best::Lowest, |metrics| {
        metrics.classes.as_ref().unwrap().macro_mean(wgrad::ClassCounts::f1)
    });
    let by_least = fit(keeps(worst));
    assert_eq!(figures(&by_least), figures(&by_f1));
    assert_eq!(by_least.kept, Some(best(&figures(&by_f1), |a, b| a < b)));
    assert_ne!(by_least.kept, by_f1.kept);

    // What never gets better, and what is no number: both end at once, and the plateau comes down.
    for value in [0.5, f64::NAN] {
        let flat = Monitor::custom("flat", Best::Highest, move |_| value);
        let plateau = ReduceOnPlateau { factor: 0.5, patience: 0, ..ReduceOnPlateau::default() };
        let early_stopping = Some(EarlyStopping { patience: 2, min_delta: 0.0 });
        let history = fit(TrainOptions { early_stopping, reduce_on_plateau: Some(plateau), ..keeps(flat) });
        let rates: Vec<f64> = history.epochs.iter().map(|epoch| epoch.learning_rate).collect();
        assert_eq!((history.epochs.len(), history.kept), (3, Some(0)), "{value}");
        crate::support::assert_close("rates", &rates, &[0.03, 0.03, 0.015], 1e-6);
    }
}

/// Finds a resumed run that has forgotten the best so far, or judges by the loss; and one that goes on although the user's own metric was not given
/// again.
#[test]
fn a_resumed_run_judges_as_it_would_have() {
    let (train, validation) = sets(3);
    let network = Network::classifier(6, &[7], Activation::Relu, 3);
    let own = Monitor::custom("top two", Best::Highest, top_2);
    for monitor in [Monitor::F1, own] {
        let run = |folder: Option<&std::path::Path>, breaks_at: u64| {
            let checkpoint =
                folder.map(|folder| Checkpointing { every: Every::Steps(7), ..Checkpointing::new(folder) });
            let early_stopping = Some(EarlyStopping { patience: 3, min_delta: 0.0 });
            let options =
                TrainOptions { keep_best: true, early_stopping, checkpoint, ..options(monitor, Loss::default()) };
            let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
            let told = |event: wgrad::Event| match event {
                wgrad::Event::Epoch(epoch) if epoch.epoch == breaks_at => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            };
            let history = trainer.fit_with(&train, Some(&validation), told).unwrap();
            (trainer, history)
        };
        let end = |trainer: &mut Trainer, history: &History| {
            let figures: Vec<_> =
                history.epochs.iter().map(|epoch| (epoch.epoch, epoch.monitored, epoch.validation)).collect();
            (bits(&trainer.weights().unwrap()), figures, history.kept)
        };
        let (mut whole, history) = run(None, 0);
        let expected = end(&mut whole, &history);
        let folder = tempfile::tempdir().unwrap();
        run(Some(folder.path()), 2);
        let checkpoint = Checkpoint::open(folder.path()).unwrap();
        if monitor == own {
            let error = Trainer::resume(gpu(), &checkpoint).map(drop).unwrap_err().to_string();
            assert!(error.contains("top two") && error.contains("brought again"), "{error}");
        }
        let mut resumed = Trainer::resume(gpu(), &checkpoint.bringing_monitor(own)).unwrap();
        assert_eq!(resumed.options().monitor, monitor);
        let history = resumed.fit(&train, Some(&validation)).unwrap();
        assert_eq!(end(&mut resumed, &history), expected, "{monitor}");
    }
}

/// Finds a metric that the loss does not have, or that is measured on nothing: every epoch would be as good as any other.
#[test]
fn figures_that_cannot_be_had_are_refused() {
    for (monitor, loss, outputs, words) in [
        (Monitor::F1, "mse", 1, &["f1", "mse", "r2"][..]),
        (Monitor::Accuracy, "huber", 1, &["accuracy", "huber", "mae"]),
        (Monitor::R2, "softmax-cross-entropy", 3, &["r2", "f1", "top-5"]),
        (Monitor::RocAuc, "softmax-cross-entropy", 3, &["roc-auc", "3 outputs", "f1"]),
        (Monitor::RocAuc, "sigmoid-cross-entropy", 2, &["roc-auc", "2 outputs"]),
        (Monitor::TopK(2), "sigmoid-cross-entropy", 3, &["top-2", "f1"]),
        (Monitor::TopK(0), "softmax-cross-entropy", 3, &["top-0", "from top-1 to top-3"]),
        (Monitor::TopK(4), "softmax-cross-entropy", 3, &["top-4", "3 classes"]),
    ] {
        let network = Network::classifier(6, &[], Activation::Relu, outputs);
        let error =
            Trainer::on(gpu(), network, options(monitor, Loss::from_name(loss).unwrap())).map(drop).unwrap_err();
        let message = error.to_string();
        assert!(words.iter().all(|word| message.contains(word)) && error.exit_code() == 2, "{message}");
    }
    let (train, validation) = sets(2);
    let network = Network::classifier(6, &[], Activation::Relu, 2);
    let fit = |monitor, validation: Option<&Dataset>| {
        let mut trainer = Trainer::on(gpu(), network.clone(), options(monitor, Loss::default())).unwrap();
        let known = trainer.device_bytes(&train, validation).map(drop).map_err(|error| error.to_string());
        let fitted = trainer.fit(&train, validation).map(drop).map_err(|error| error.to_string());
        assert_eq!(known, fitted);
        assert!(fitted.is_ok() || trainer.steps_done() == 0);
        fitted
    };
    assert!(fit(Monitor::F1, None).unwrap_err().contains("monitor is f1, which needs a validation set"));
    assert!(fit(Monitor::Accuracy, None).is_ok());
    let ones: Vec<usize> = (0..validation.rows()).filter(|&row| validation.labels()[row] == 1).collect();
    let one_class = validation.select(ones).unwrap();
    assert!(
        fit(Monitor::RocAuc, Some(&one_class)).unwrap_err().contains("all rows of the validation set are of one class")
    );
    assert!(fit(Monitor::F1, Some(&one_class)).is_ok());

    let set = tensors(&[("x", &[4, 1], &[0.0, 1.0, 2.0, 3.0])], Some(&[0, 1, 1, 0]));
    let train = ["train", "--data", "set.safetensors", "--batch-size", "2", "--validation"];
    for (arguments, words) in [
        (&["none", "--monitor", "f1"][..], &["monitor is f1", "name one"][..]),
        (&["set.safetensors", "--monitor", "mae"], &["monitor is mae", "roc-auc"]),
        (&["set.safetensors", "--monitor", "auc"], &["write roc-auc;"]),
        (&["set.safetensors", "--monitor", "val_f1"], &["write f1"]),
        (&["set.safetensors", "--monitor", "top-x"], &["top-5"]),
    ] {
        refused_after_start(&set, &[&train[..], arguments].concat(), words);
    }
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("set.safetensors"), &set).unwrap();
    let said = succeed(folder.path(), &[&train[..], &["set.safetensors", "--monitor", "f1", "--epochs", "2"]].concat());
    assert!(said.contains("  f1 "), "{said}");
    let said = succeed(folder.path(), &[&train[..], &["set.safetensors", "--monitor", "roc-auc", "--json"]].concat());
    assert!(said.contains("\"monitored\":"), "{said}");
}

/// Checks for exit code 2 with these words and nothing written, also where the run was introduced before.
#[track_caller]
fn refused_after_start(set: &[u8], arguments: &[&str], words: &[&str]) {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("set.safetensors"), set).unwrap();
    let output = crate::support::wgrad(folder.path(), arguments);
    let message = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    words.iter().for_each(|word| assert!(message.contains(word), "no \"{word}\" in {message}"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
}
