//! Weights and gradients that a run reports: they are its own, and cost it nothing.

use std::ops::ControlFlow;

use wgrad::{
    Activation, Dataset, Event, Loss, Network, NonFinite, Optimizer, Parameters, TrainOptions, Trainer, Weights,
};

use crate::support::{assert_close, bits, families, flat, gpu, learnable};

const RATE: f64 = 0.5;

fn network() -> Network {
    Network::new(9).dense(14, Activation::Tanh).dropout(0.3).dense(7, Activation::Relu).dense(3, Activation::Identity)
}

fn options(steps: u64) -> TrainOptions {
    let optimizer = Optimizer::sgd(RATE);
    TrainOptions { optimizer, batch_size: 8, steps: Some(steps), seed: 11, ..TrainOptions::default() }
}

/// The weights after a run, and what it reported.
fn run(set: &Dataset, options: TrainOptions, reports: bool) -> (Weights, Vec<Parameters>, Vec<u64>) {
    let mut trainer = Trainer::on(gpu(), network(), options).unwrap();
    trainer.report_parameters(reports);
    let mut told = vec![];
    let history = trainer.fit_with(set, Some(set), |event| {
        if let Event::Parameters(parameters) = event {
            told.push(parameters.clone());
        }
        ControlFlow::Continue(())
    });
    let reads = history.unwrap().epochs.iter().map(|epoch| epoch.stats.traffic.blocking_reads).collect();
    (trainer.weights().unwrap(), told, reads)
}

/// Finds a gradient of other rows, of another step's dropout, of stale weights, or by other kernels: one more step of gradient descent changes the
/// weights by the gradient that was reported before it. For every family, weighted rows, and a set that is read in windows.
#[test]
fn the_reported_gradient_is_the_next_steps() {
    let set = learnable(201, 9, 3, 4);
    // With 26 steps an epoch, this many steps end inside the second one, and in the windows' case inside a window of 48 rows, in any order.
    let steps = 26 + 14;
    let weighted = Loss::SoftmaxCrossEntropy {
        label_smoothing: 0.0,
        class_weights: Some(vec![0.2, 1.0, 3.0]),
        ignore_index: None,
        gamma: 0.0,
    };
    let plain = || options(steps);
    let mut cases = vec![
        ("weighted".to_string(), TrainOptions { loss: weighted, ..plain() }),
        ("windows".into(), TrainOptions { memory_budget: Some(2 * 13 * 48), ..plain() }),
        ("skips".into(), TrainOptions { non_finite: NonFinite::Skip, ..plain() }),
    ];
    cases.extend(families().map(|family| (format!("{family:?}"), TrainOptions { family: Some(family), ..plain() })));
    for (what, options) in cases {
        let (after, ..) = run(&set, TrainOptions { steps: Some(steps + 1), ..options.clone() }, false);
        let (_, told, _) = run(&set, options, true);
        let last = told.last().unwrap();
        assert_eq!(last.step, steps, "{what}");
        let moved: Vec<f64> =
            flat(&last.weights).iter().zip(flat(&after)).map(|(before, after)| (before - after) / RATE).collect();
        assert_close(&what, &flat(&last.gradients), &moved, 1e-4);
    }
}

/// Finds a gradient that is reported after it was clipped, and so does not show how large it was.
#[test]
fn the_reported_gradient_is_not_clipped() {
    let set = learnable(64, 9, 3, 4);
    let (_, whole, _) = run(&set, options(1), true);
    let clipped = [
        TrainOptions { clip_grad_value: Some(1e-3), ..options(1) },
        TrainOptions { clip_grad_norm: Some(1e-3), ..options(1) },
    ];
    for options in clipped {
        // One step that is clipped to nothing much is between them.
        let (_, told, _) = run(&set, options, true);
        let norm = |told: &[Parameters]| flat(&told[0].gradients).iter().map(|g| g * g).sum::<f64>().sqrt();
        assert!(norm(&told) > 0.3 * norm(&whole), "{} of {}", norm(&told), norm(&whole));
    }
}

/// Finds a run that trains otherwise because it is observed, or waits for its reports: the bits are the same, there is one blocking read an epoch,
/// and the weights reported last are those that it ends with.
#[test]
fn reporting_parameters_changes_no_bit_and_waits_for_nothing() {
    let set = learnable(100, 9, 3, 4);
    for options in [
        TrainOptions { steps: None, epochs: 3, ..options(0) },
        TrainOptions { optimizer: Optimizer::from_name("adam").unwrap(), clip_grad_norm: Some(1.0), ..options(30) },
        TrainOptions { optimizer: Optimizer::from_name("muon").unwrap(), ..options(30) },
    ] {
        let (watched, told, reads) = run(&set, options.clone(), true);
        let (unwatched, nothing, _) = run(&set, options, false);
        assert_eq!(bits(&watched), bits(&unwatched));
        assert_eq!(bits(&told[2].weights), bits(&watched));
        assert_eq!((told.len(), nothing.len()), (3, 0));
        // None, where the sums have come by the time they are asked for.
        assert!(reads.iter().all(|&reads| reads <= 1), "{reads:?}");
        assert!(told.iter().zip([13, 26]).all(|(told, step)| told.step == step), "{told:?}");
    }
}
