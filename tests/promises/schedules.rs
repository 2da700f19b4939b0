//! The learning rate from step to step, and what is decided after an epoch.

use wgrad::{
    Activation, Checkpoint, Checkpointing, Dataset, Decay, EarlyStopping, Every, Initializer, Monitor, Network,
    Optimizer, ReduceOnPlateau, Schedule, TrainOptions, Trainer,
};

use crate::reference::interpreter::Interpreter;
use crate::reference::network::layers;
use crate::reference::{dense_gradient, softmax_cross_entropy};
use crate::support::{Random, assert_close, bits, flat, gpu, learnable};

const LR: f64 = 0.05;

/// PyTorch's documentation, once more: the learning rate at a time since the weights were new.
fn twin(schedule: &Schedule, t: u32) -> f64 {
    let warmup = schedule.warmup;
    if t < warmup {
        let start = schedule.start_factor;
        return LR * (start + (1.0 - start) * f64::from(t) / f64::from(warmup));
    }
    let t = f64::from(t - warmup);
    let half_wave =
        |from: f64, to: f64, share: f64| to + (from - to) / 2.0 * (1.0 + (std::f64::consts::PI * share).cos());
    match schedule.decay {
        Decay::Constant => LR,
        Decay::Step { step_size, gamma } => LR * gamma.powf((t / step_size).floor()),
        Decay::Exponential { gamma } => LR * gamma.powf(t),
        Decay::Polynomial { total_iters, power } => LR * (1.0 - (t / total_iters.unwrap()).min(1.0)).powf(power),
        Decay::Cosine { t_max, eta_min } => half_wave(LR, eta_min, t / t_max.unwrap()),
        Decay::OneCycle { total_steps, pct_start, div_factor, final_div_factor } => {
            let (total, first) = (total_steps.unwrap(), LR / div_factor);
            let (top, last) = (pct_start * total - 1.0, total - 1.0);
            if t <= top {
                half_wave(first, LR, t / top)
            } else {
                half_wave(LR, first / final_div_factor, ((t - top) / (last - top)).min(1.0))
            }
        }
        other => panic!("{other:?} has no twin yet"),
    }
}

fn schedules() -> Vec<Schedule> {
    let one_cycle = |total: f64, pct_start: f64| Decay::OneCycle {
        total_steps: Some(total),
        pct_start,
        div_factor: 25.0,
        final_div_factor: 100.0,
    };
    [
        Decay::Constant,
        Decay::Step { step_size: 3.0, gamma: 0.3 },
        Decay::Step { step_size: 7.0, gamma: 0.9999 },
        Decay::Exponential { gamma: 0.97 },
        Decay::Polynomial { total_iters: Some(9.0), power: 1.0 },
        Decay::Polynomial { total_iters: Some(20.0), power: 2.5 },
        Decay::Cosine { t_max: Some(13.0), eta_min: 0.0 },
        Decay::Cosine { t_max: Some(5.0), eta_min: 0.01 },
        one_cycle(14.0, 0.3),
        one_cycle(10.0, 0.05),
        one_cycle(3.0, 0.25),
    ]
    .into_iter()
    .flat_map(|decay| {
        let plain = Schedule::new(decay);
        [plain, plain.warmup(4), plain.by_epoch(), Schedule { start_factor: 0.0, ..plain.by_epoch().warmup(2) }]
    })
    .collect()
}

/// Finds a rate that lags a step, an angle in the wrong unit, an epoch counted from the wrong end: each step's rate, and the weights that come of it.
#[test]
fn every_schedule_agrees_with_its_twin() {
    let (rows, width, classes, batch, steps) = (9, 5, 3, 4, 17);
    let random = &mut Random(4);
    let x = random.values(rows * width);
    let labels: Vec<usize> = (0..rows).map(|_| random.below(classes)).collect();
    let features = x.iter().map(|&value| value as f32).collect();
    let set = Dataset::from_f32(features, width, labels.iter().map(|&label| label as u32).collect()).unwrap();
    let network = Network::classifier(width, &[], Activation::Relu, classes);
    let initial = Initializer::Torch.weights(&network, 1);
    let interpreter = Interpreter::evaluating(&network);
    for schedule in schedules() {
        let options = TrainOptions {
            optimizer: Optimizer::sgd(LR),
            schedule,
            batch_size: batch,
            shuffle: false,
            steps: Some(1),
            ..TrainOptions::default()
        };
        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        trainer.set_weights(&initial).unwrap();
        let mut expected = layers(&initial);
        let (mut rates, mut twins) = (Vec::new(), Vec::new());
        for step in 0..steps {
            rates.push(trainer.fit(&set, None).unwrap().epochs[0].learning_rate);
            let rate = twin(&schedule, if schedule.by_epoch { step / 3 } else { step });
            twins.push(rate);
            let first = step as usize % 3 * batch;
            let last = (first + batch).min(rows);
            let (inputs, labels) = (&x[first * width..last * width], &labels[first..last]);
            let (.., gradient) = softmax_cross_entropy(&interpreter.logits(&expected, inputs), labels, last - first);
            let (weights, bias) = dense_gradient(inputs, &gradient, last - first);
            let layer = &mut expected[0];
            layer.weights.iter_mut().zip(&weights).for_each(|(w, g)| *w -= rate * g);
            layer.bias.iter_mut().zip(&bias).for_each(|(b, g)| *b -= rate * g);
        }
        for (step, (rate, twin)) in rates.iter().zip(&twins).enumerate() {
            let error = (rate - twin).abs();
            assert!(error <= 1e-6 * LR, "{schedule:?}, step {step}: {rate}, the twin {twin}");
        }
        let trained = layers(&trainer.weights().unwrap());
        assert_close(&format!("{schedule:?}: weights"), &trained[0].weights, &expected[0].weights, 1e-5);
        assert_close(&format!("{schedule:?}: bias"), &trained[0].bias, &expected[0].bias, 1e-5);
    }
}

/// Finds a rate that is set and not taken, by the next fit, by one that goes on from a checkpoint or by all parts of a rule; or one that no formula
/// takes.
#[test]
fn a_rate_that_is_set_is_the_next_fits() {
    let network = Network::classifier(6, &[5], Activation::Relu, 2);
    let set = learnable(32, 6, 2, 1);
    for name in ["sgd", "adam", "muon"] {
        let at = |optimizer: Optimizer| {
            let options = TrainOptions { optimizer, batch_size: 8, epochs: 1, ..TrainOptions::default() };
            Trainer::on(gpu(), network.clone(), options).unwrap()
        };
        let slow = Optimizer { lr: 0.01, ..Optimizer::from_name(name).unwrap() };
        let mut fast = Optimizer { lr: 0.04, ..slow };
        if name == "muon" {
            fast.set("adamw_lr", 4e-3).unwrap();
        }
        let (mut set_to_it, mut begun_with_it) = (at(slow), at(fast));
        set_to_it.set_learning_rate(0.04).unwrap();
        for trainer in [&mut set_to_it, &mut begun_with_it] {
            assert_close("rate", &[trainer.fit(&set, None).unwrap().epochs[0].learning_rate], &[0.04], 1e-6);
        }
        assert_eq!(bits(&set_to_it.weights().unwrap()), bits(&begun_with_it.weights().unwrap()), "{name}");
        // With the values that the optimizer has by then.
        for trainer in [&mut set_to_it, &mut begun_with_it] {
            trainer.set_learning_rate(0.02).unwrap();
            let epoch = trainer.fit(&set, None).unwrap().epochs[0];
            assert_eq!(epoch.epoch, 2);
            assert_close("rate", &[epoch.learning_rate], &[0.02], 1e-6);
        }
        assert_eq!(bits(&set_to_it.weights().unwrap()), bits(&begun_with_it.weights().unwrap()), "{name}");
        for wrong in [-0.1, f64::NAN, f64::INFINITY] {
            let error = set_to_it.set_learning_rate(wrong).unwrap_err().to_string();
            assert!(error.contains("learning rate"), "{error}");
            assert_eq!(set_to_it.options().optimizer.lr, 0.02);
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let checkpoint = Some(Checkpointing { every: Every::Steps(3), ..Checkpointing::new(folder.path()) });
    let options = TrainOptions { batch_size: 8, epochs: 2, checkpoint, ..TrainOptions::default() };
    Trainer::on(gpu(), network, options).unwrap().fit(&set, None).unwrap();
    let mut resumed =
        Trainer::resume(gpu(), &Checkpoint::open(folder.path().join("step-0000000003.safetensors")).unwrap()).unwrap();
    resumed.set_checkpointing(None);
    resumed.set_learning_rate(0.5).unwrap();
    let history = resumed.fit(&set, None).unwrap();
    assert_close("rate", &[history.epochs[1].learning_rate], &[0.5], 1e-6);
}

/// Finds a schedule with no length of its own that ends before its run, or after it.
#[test]
fn schedules_end_with_the_run_unless_they_say_otherwise() {
    let network = Network::classifier(4, &[], Activation::Relu, 2);
    let set = learnable(20, 4, 2, 1);
    let last = |decay: Decay, by_epoch: bool| {
        let schedule = Schedule { by_epoch, ..Schedule::new(decay) };
        let options = TrainOptions {
            optimizer: Optimizer::sgd(LR),
            schedule,
            batch_size: 5,
            epochs: 5,
            ..TrainOptions::default()
        };
        let history = Trainer::on(gpu(), network.clone(), options).unwrap().fit(&set, None).unwrap();
        history.epochs[4].learning_rate
    };
    let line = Decay::Polynomial { total_iters: None, power: 1.0 };
    assert_close("steps", &[last(line, false)], &[LR / 20.0], 1e-5);
    assert_close("epochs", &[last(line, true)], &[LR / 5.0], 1e-5);
    let cycle = Decay::OneCycle { total_steps: None, pct_start: 0.3, div_factor: 10.0, final_div_factor: 10.0 };
    assert_close("one cycle", &[last(cycle, false)], &[LR / 100.0], 1e-5);
}

/// A validation set whose labels are the others: every epoch after the first is worse.
fn worsening(options: TrainOptions) -> (Trainer, wgrad::History) {
    let network = Network::classifier(6, &[5], Activation::Relu, 2);
    let train = learnable(64, 6, 2, 1);
    let others = train.labels().iter().map(|label| 1 - label).collect();
    let features: Vec<u8> = {
        let mut random = Random(1);
        (0..64 * 6).map(|_| random.bits() as u8).collect()
    };
    let validation = Dataset::from_u8(features, 6, others).unwrap();
    let options = TrainOptions { optimizer: Optimizer::sgd(0.1), batch_size: 8, epochs: 6, ..options };
    let mut trainer = Trainer::on(gpu(), network, options).unwrap();
    let history = trainer.fit(&train, Some(&validation)).unwrap();
    (trainer, history)
}

/// Finds patience that counts one epoch too many; a best that is the last; a rate that falls at once, or never.
#[test]
fn epochs_that_do_not_help_have_consequences() {
    let (_, plain) = worsening(TrainOptions::default());
    let losses: Vec<f64> = plain.epochs.iter().map(|epoch| epoch.validation.unwrap().loss).collect();
    assert!(losses.windows(2).all(|pair| pair[0] < pair[1]), "the case is one where every epoch is worse: {losses:?}");
    assert_eq!((plain.epochs.len(), plain.kept), (6, None));

    let early_stopping = Some(EarlyStopping { patience: 2, min_delta: 0.0 });
    let (_, stopped) = worsening(TrainOptions { early_stopping, ..TrainOptions::default() });
    assert_eq!(stopped.epochs.len(), 3);

    for monitor in [Monitor::Loss, Monitor::Accuracy] {
        let (_, history) = worsening(TrainOptions { keep_best: true, monitor, ..TrainOptions::default() });
        assert_eq!(history.kept, Some(0), "{monitor}");
    }

    let plateau = ReduceOnPlateau { factor: 0.5, patience: 0, cooldown: 1, min_lr: 0.04, ..ReduceOnPlateau::default() };
    let (_, reduced) = worsening(TrainOptions { reduce_on_plateau: Some(plateau), ..TrainOptions::default() });
    let rates: Vec<f64> = reduced.epochs.iter().map(|epoch| epoch.learning_rate).collect();
    // The first is the best, the second is bad; the third does not count; the fourth is bad again; 0.025 is below the lowest.
    assert_close("rates", &rates, &[0.1, 0.1, 0.05, 0.05, 0.04, 0.04], 1e-6);
}

/// The weights that are kept are those of the best epoch, to the bit.
#[test]
fn the_kept_weights_are_the_best_epochs() {
    let (mut kept, _) = worsening(TrainOptions { keep_best: true, ..TrainOptions::default() });
    let network = kept.network().clone();
    let options = TrainOptions { optimizer: Optimizer::sgd(0.1), batch_size: 8, epochs: 1, ..TrainOptions::default() };
    let mut one_epoch = Trainer::on(gpu(), network, options).unwrap();
    one_epoch.fit(&learnable(64, 6, 2, 1), None).unwrap();
    assert_eq!(bits(&kept.weights().unwrap()), bits(&one_epoch.weights().unwrap()));
    assert!(flat(&kept.weights().unwrap()).iter().any(|&weight| weight != 0.0));
}

/// Finds a name that stands for another schedule, or a value that no formula takes.
#[test]
fn schedules_have_names_and_refuse_invalid_values() {
    for name in ["constant", "step", "exponential", "polynomial", "cosine", "one-cycle"] {
        assert_eq!(Schedule::from_name(name).unwrap().name(), name);
    }
    let error = Schedule::from_name("cosin").unwrap_err().to_string();
    assert!(error.contains("did you mean cosine?") && error.contains("one-cycle"), "{error}");
    let mut step = Schedule::from_name("step").unwrap();
    assert!(step.check().unwrap_err().to_string().contains("step needs step_size"));
    step.set("step_size", 30.0).unwrap();
    step.check().unwrap();
    assert_eq!(step.decay, Decay::Step { step_size: 30.0, gamma: 0.1 });
    let error = step.set("t_max", 3.0).unwrap_err().to_string();
    assert!(error.contains("step has no t_max") && error.contains("step_size"), "{error}");
    for (name, value) in [("gamma", 0.0), ("gamma", f64::NAN), ("step_size", 0.5), ("start_factor", 1.5)] {
        let mut bad = step;
        bad.set(name, value).unwrap();
        assert!(bad.check().unwrap_err().to_string().contains(name), "{name} {value}");
    }
    assert!(step.set("warmup", 1.5).unwrap_err().to_string().contains("whole number"));
    let bad = EarlyStopping { patience: 0, min_delta: 0.0 };
    let options = TrainOptions { early_stopping: Some(bad), ..TrainOptions::default() };
    let network = Network::classifier(4, &[], Activation::Relu, 2);
    let error = Trainer::on(gpu(), network.clone(), options).map(drop).unwrap_err().to_string();
    assert!(error.contains("patience is 0"), "{error}");
    let bad = ReduceOnPlateau { factor: 1.0, ..ReduceOnPlateau::default() };
    let options = TrainOptions { reduce_on_plateau: Some(bad), ..TrainOptions::default() };
    let error = Trainer::on(gpu(), network, options).map(drop).unwrap_err().to_string();
    assert!(error.contains("factor is 1"), "{error}");
}
