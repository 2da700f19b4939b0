//! The moving average of the weights: who answers by it, what it costs, and how a run goes on with it. PyTorch's numbers of it are in `golden_nets.rs`.

use wgrad::plan::Role;
use wgrad::{
    Activation, Checkpoint, Every, Model, Network, NonFinite, Optimizer, ParameterGroup, TrainOptions, Trainer, Weights,
};

use crate::checkpoints::{checkpointing, file};
use crate::support::{bits, flat, gpu, learnable, refused, succeed};

fn network() -> Network {
    Network::new(9).dense(13, Activation::Relu).dense(6, Activation::Tanh).dense(5, Activation::Identity)
}

fn options(ema: Option<f64>) -> TrainOptions {
    let optimizer = Optimizer { lr: 0.02, ..Optimizer::keras_adam() };
    TrainOptions { ema, optimizer, batch_size: 7, epochs: 2, seed: 3, ..TrainOptions::default() }
}

/// The weights after each of some steps, as a run without an average has them.
fn weights_of_steps(steps: u64) -> Vec<Vec<f64>> {
    let mut trainer = Trainer::on(gpu(), network(), TrainOptions { steps: Some(1), ..options(None) }).unwrap();
    let mut step = || {
        trainer.fit(&learnable(40, 9, 5, 1), None).unwrap();
        flat(&trainer.weights().unwrap())
    };
    (0..steps).map(|_| step()).collect()
}

/// Finds an average of other weights than those that are trained, one that changes them, and anything that answers by the weights in its place:
/// `evaluate`, `predict`, the validation after an epoch, a saved model.
#[test]
fn what_answers_answers_by_the_average() {
    let (set, other) = (learnable(40, 9, 5, 1), learnable(30, 9, 5, 2));
    let mut trainer = Trainer::on(gpu(), network(), options(Some(0.9))).unwrap();
    let history = trainer.fit(&set, Some(&other)).unwrap();
    let steps = weights_of_steps(12);
    let mut expected = steps[0].clone();
    for weights in &steps[1..] {
        expected.iter_mut().zip(weights).for_each(|(average, weight)| *average += 0.1 * (weight - *average));
    }
    let weights = trainer.weights().unwrap();
    crate::support::assert_close("average", &flat(&weights), &expected, 1e-6);
    assert!(flat(&weights) != steps[11]);

    let mut plain = Trainer::on(gpu(), network(), options(None)).unwrap();
    plain.set_weights(&weights).unwrap();
    let validated = history.epochs[1].validation.unwrap();
    assert_eq!(validated.loss, plain.evaluate(&other).unwrap().loss);
    assert_eq!(trainer.evaluate(&other).unwrap(), plain.evaluate(&other).unwrap());
    assert_eq!(trainer.predict(&other).unwrap(), plain.predict(&other).unwrap());
    assert_eq!(trainer.activations(&other, 3).unwrap(), plain.activations(&other, 3).unwrap());
    let folder = tempfile::tempdir().unwrap();
    trainer.save(folder.path().join("m.safetensors")).unwrap();
    assert_eq!(bits(&Model::read(folder.path().join("m.safetensors")).unwrap().weights), bits(&weights));

    // What is trained is not changed by it, and goes on after all these answers: in a second fit as in one.
    let mut whole = Trainer::on(gpu(), network(), TrainOptions { epochs: 4, ..options(Some(0.9)) }).unwrap();
    whole.fit(&set, None).unwrap();
    trainer.fit(&set, None).unwrap();
    assert_eq!(bits(&trainer.weights().unwrap()), bits(&whole.weights().unwrap()));
}

/// Finds more dispatches than the updates' bindings need, a buffer for what is frozen, and an average in runs that ask for none.
#[test]
fn an_average_costs_a_dispatch() {
    let set = learnable(40, 9, 5, 1);
    let plan = |ema, groups| {
        let options = TrainOptions { groups, ..options(ema) };
        Trainer::on(gpu(), network(), options).unwrap().plan(&set).unwrap()
    };
    let (without, with) = (plan(None, vec![]), plan(Some(0.9), vec![]));
    let own: Vec<_> = with.dispatches().iter().filter(|dispatch| dispatch.launch.kernel == "weight_average").collect();
    assert_eq!(with.dispatches().len(), without.dispatches().len() + own.len());
    assert_eq!(own.len(), 1);
    let averages = |plan: &wgrad::plan::Plan| -> Vec<Role> {
        plan.buffers().iter().map(|buffer| buffer.role).filter(|role| matches!(role, Role::Averages(_))).collect()
    };
    assert_eq!(averages(&without), []);
    assert_eq!(averages(&with), [0, 1, 2].map(Role::Averages));
    let frozen = plan(Some(0.9), vec![ParameterGroup::new(["2.*"]).frozen()]);
    assert_eq!(averages(&frozen), [Role::Averages(0), Role::Averages(2)]);
}

/// Finds an average that a checkpoint loses, or weights that a resumed run takes for it; and the best epoch's average that is not kept.
#[test]
fn a_run_with_an_average_goes_on_to_the_same_bits() {
    let (set, other) = (learnable(40, 9, 5, 1), learnable(30, 9, 5, 2));
    for groups in [vec![], vec![ParameterGroup::new(["0.*"]).frozen()]] {
        let folder = tempfile::tempdir().unwrap();
        let checkpoint = checkpointing(folder.path(), Every::Steps(4));
        let options = TrainOptions { keep_best: true, groups, checkpoint, ..options(Some(0.8)) };
        let mut trainer = Trainer::on(gpu(), network(), options).unwrap();
        trainer.fit(&set, Some(&other)).unwrap();
        let end = bits(&trainer.weights().unwrap());
        let mut resumed = Trainer::resume(gpu(), &Checkpoint::open(file(folder.path(), 8)).unwrap()).unwrap();
        // As a model, it is what it answers by.
        let model: Weights = Model::read(file(folder.path(), 8)).unwrap().weights;
        assert_eq!(bits(&resumed.weights().unwrap()), bits(&model));
        resumed.set_checkpointing(None);
        resumed.fit(&set, Some(&other)).unwrap();
        assert_eq!(bits(&resumed.weights().unwrap()), end);
    }
}

/// Finds an average that moves in a step which was left out, as its weights did not.
#[test]
fn a_skipped_step_moves_no_average() {
    let set = learnable(40, 9, 5, 1);
    let run = |lr: f64| {
        let options = TrainOptions {
            optimizer: Optimizer::sgd(lr),
            non_finite: NonFinite::Skip,
            shuffle: false,
            steps: Some(1),
            ..options(Some(0.5))
        };
        let mut trainer = Trainer::on(gpu(), network(), options).unwrap();
        let mut weights = vec![];
        for step in 0..4 {
            // The third step's rows have no finite gradient; by then the average is no longer the weights.
            let rows: Vec<f32> =
                (0..40 * 9).map(|at| if step == 2 { f32::MAX } else { (at % 7) as f32 / 7.0 }).collect();
            let bad = wgrad::Dataset::from_f32(rows, 9, (0..40).map(|row| row % 5).collect()).unwrap();
            let _ = trainer.fit(if step == 2 { &bad } else { &set }, None);
            weights.push(bits(&trainer.weights().unwrap()));
        }
        weights
    };
    let weights = run(0.1);
    assert_ne!(weights[0], weights[1]);
    assert_eq!(weights[1], weights[2], "the step was skipped");
    assert_ne!(weights[2], weights[3]);
}

/// Finds a decay that is no decay, and an option that the program does not take.
#[test]
fn averages_are_options() {
    for ema in [-0.1, 1.0, f64::NAN] {
        refused(&["ema is", "from 0 to below 1"], Trainer::on(gpu(), network(), options(Some(ema))));
    }
    let folder = tempfile::tempdir().unwrap();
    let data = crate::support::golden_file("adam").to_str().unwrap().to_string();
    let common = ["train", "--data", &data, "--hidden", "6", "--epochs", "2", "--batch-size", "8"];
    let trained = |more: &[&str]| {
        succeed(folder.path(), &[&common[..], more].concat());
        bits(&Model::read(folder.path().join("model.safetensors")).unwrap().weights)
    };
    std::fs::write(folder.path().join("run.toml"), "[train]\nema = 0.9\n").unwrap();
    let by_flag = trained(&["--ema", "0.9"]);
    assert_eq!(by_flag, trained(&["--config", "run.toml"]));
    assert_ne!(by_flag, trained(&[]));
}
