//! Minibatches that batch norm cannot train on: of one row, where that has one value for each channel. PyTorch refuses them when they come; here nothing is trained.

use wgrad::{Activation, Checkpoint, Checkpointing, Dataset, Every, Generated, Network, TrainOptions, Trainer};

use crate::support::{Random, gpu, learnable, refused, succeed, wgrad};

/// Finds a last minibatch of one row that a norm of features takes for one with a deviation, and rows that are refused though no norm comes to such a minibatch.
#[test]
fn a_last_minibatch_of_one_row_is_refused_before_training() {
    use Activation::{Identity, Relu};
    let features = || Network::new(9).dense(4, Relu).batch_norm().dense(3, Identity);
    let residual = || Network::new(9).residual(|body| body.dense(9, Relu).batch_norm()).dense(3, Identity);
    let pixel = || Network::image(3, 3, 1).conv(4, 3, Relu).batch_norm().flatten().dense(3, Identity);
    let image = || Network::image(3, 3, 1).conv(4, [3, 2], Relu).batch_norm().flatten().dense(3, Identity);
    let flat = || Network::image(3, 3, 1).flatten().batch_norm().dense(3, Identity);
    let other = || Network::new(9).layer_norm().dense(3, Identity);
    let options = |steps| TrainOptions { batch_size: 4, steps: Some(steps), ..TrainOptions::default() };
    let trainer = |network: Network, steps| Trainer::on(gpu(), network, options(steps)).unwrap();
    let set = |rows| learnable(rows, 9, 3, 7);
    let windows = |rows| {
        let all = set(rows);
        Generated::new(rows, 3, move |rows: std::ops::Range<usize>| all.select(rows))
    };
    let go_on = |_: wgrad::Event<'_>| std::ops::ControlFlow::Continue(());
    for (network, location) in
        [(features(), "layer 2"), (residual(), "layer 1's body, layer 2"), (pixel(), "layer 2"), (flat(), "layer 2")]
    {
        let words = [&format!("{location} (batch_norm)")[..], "9 rows", "minibatches of 4", "as 3"];
        let mut trainer = trainer(network.clone(), 3);
        refused(&words, trainer.fit(&set(9), None));
        refused(&words, trainer.plan(&set(9)));
        refused(&words, trainer.fit_from(&windows(9), None, go_on));
        assert_eq!(trainer.steps_done(), 0);
        // Validation takes running statistics.
        trainer.fit(&set(10), Some(&set(9))).unwrap();
        trainer.fit_from(&windows(11), Some(&set(1)), go_on).unwrap();
        // The epoch's last step is not among two.
        self::two_steps(&network, &options(2), &set(9));
        let mut streamed = self::trainer(&network, TrainOptions { shuffle: false, ..options(2) });
        streamed.fit_from(&windows(9), None, go_on).unwrap();
        refused(&words, streamed.fit_from(&windows(9), None, go_on));
        // Smaller layers would not help.
        let one = self::trainer(&network, TrainOptions { batch_size: 1, ..options(1) }).fit(&set(9), None).unwrap_err();
        assert!(one.to_string().contains("batch size of 2") && !one.to_string().contains("smaller"), "{one}");
    }
    for network in [image(), other()] {
        trainer(network, 3).fit(&set(9), None).unwrap();
    }
}

fn trainer(network: &Network, options: TrainOptions) -> Trainer {
    Trainer::on(gpu(), network.clone(), options).unwrap()
}

/// Windows in an order of their own: the runs that are refused are those that come to the minibatch of one row.
#[test]
fn windows_are_refused_where_their_turn_is_reached() {
    let network = Network::new(9).dense(4, Activation::Relu).batch_norm().dense(3, Activation::Identity);
    let all = learnable(13, 9, 3, 7);
    let source = Generated::new(13, 3, move |rows: std::ops::Range<usize>| all.select(rows));
    let mut reached = std::collections::BTreeSet::new();
    for seed in 0..12 {
        // Windows of one minibatch of four rows each: a row takes its nine bytes in whole words, and a label.
        let first = (1..=4u64).find(|&steps| {
            let options = TrainOptions {
                batch_size: 4,
                steps: Some(steps),
                seed,
                memory_budget: Some(150),
                ..TrainOptions::default()
            };
            let ran = trainer(&network, options).fit_from(&source, None, |_| std::ops::ControlFlow::Continue(()));
            ran.map_err(|error| assert!(error.to_string().contains("minibatches of 4"), "{error}")).is_err()
        });
        // Of every order, some number of steps comes to the last row.
        reached.insert(first.unwrap());
    }
    assert!(reached.len() > 1 && reached.contains(&1), "{reached:?}");
}

/// Two steps of three are trained, and a checkpoint that is made then does not go on to the third.
fn two_steps(network: &Network, options: &TrainOptions, set: &Dataset) {
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Checkpointing { every: Every::Steps(1), ..Checkpointing::new(folder.path()) };
    let options = TrainOptions { checkpoint: Some(checkpoint), ..options.clone() };
    let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
    trainer.fit(set, None).unwrap();
    // The program asks for them after a run, and the run is not to fail for what a further one would come to.
    trainer.picks(set).unwrap();
    let mut resumed = Trainer::resume(gpu(), &Checkpoint::open(folder.path()).unwrap()).unwrap();
    resumed.set_steps(Some(3));
    refused(&["(batch_norm)", "9 rows"], resumed.fit(set, None));
}

/// The same of the program: of a set's rows, of what a validation fraction leaves of them, and of windows, by every command that plans a step.
#[test]
fn the_program_refuses_a_last_minibatch_of_one_row() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let mut random = Random(4);
    let rows: Vec<String> =
        (0..40).map(|row| format!("{:.3},{:.3},{}\n", random.value(), random.value(), row % 2)).collect();
    std::fs::write(folder.join("even.csv"), rows.concat()).unwrap();
    std::fs::write(folder.join("odd.csv"), rows[..33].concat()).unwrap();
    let layers = "[model]\nlayers = [{ dense = 3 }, { batch_norm = true, activation = 'relu' }, { dense = 2 }]\n";
    std::fs::write(folder.join("run.toml"), layers).unwrap();
    let line = |command: &str| -> Vec<String> {
        format!("{command} --config run.toml --epochs 2 --batch-size 8").split(' ').map(String::from).collect()
    };
    for command in ["train", "explain", "bench", "profile"] {
        for set in ["odd.csv --validation none", "even.csv --validation 0.175", "odd.csv --validation even.csv"] {
            let arguments = line(&format!("{command} --data {set}"));
            let output = wgrad(folder, &arguments.iter().map(String::as_str).collect::<Vec<_>>());
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert_eq!(output.status.code(), Some(2), "{command} {set}: {message}");
            for words in ["layer 2 (batch_norm)", "33 rows", "minibatches of 8", "as 7"] {
                assert!(message.contains(words), "no {words} in {message}");
            }
        }
    }
    assert!(!folder.join("model.safetensors").exists());
    for set in ["even.csv --validation odd.csv", "odd.csv --batch-size 7 --validation none --epochs 1"] {
        let arguments = line(&format!("train --data {set}"));
        // Of a flag that comes twice, the program takes neither.
        let own = if set.contains("batch-size") { &arguments[..arguments.len() - 4] } else { &arguments[..] };
        succeed(folder, &own.iter().map(String::as_str).collect::<Vec<_>>());
    }
}
