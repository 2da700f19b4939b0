//! Wrong uses of the public API: calls out of order, sets and weights of another network, a trainer after an error, invalid numbers. Each is an
//! error that says so, or works as far as possible; none panics, and none leaves the trainer worse than it was.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wgrad::gpu::Checks;
use wgrad::kernel::tile::Family;
use wgrad::kernel::tiling::Tiling;
use wgrad::plan::{Element, Plan, Request, SetLayout};
use wgrad::profile::StepTimer;
use wgrad::targets::Targets;
use wgrad::{
    Activation, Checkpoint, Checkpointing, Dataset, Decay, EarlyStopping, Error, Event, Every, Generated, ImageShape,
    Initializer, LayerWeights, Loss, Model, Network, NonFinite, Optimizer, Picks, ReduceOnPlateau, Rule, Scaling,
    Schedule, Source, TrainOptions, Trainer, Tuning, Weights,
};

use crate::problem::plain;
use crate::support::{bits, gpu, learnable, own_gpu, refused};

const MOST: usize = usize::MAX;

fn network() -> Network {
    Network::classifier(4, &[5], Activation::Relu, 3)
}

fn options() -> TrainOptions {
    TrainOptions { batch_size: 8, epochs: 2, ..TrainOptions::default() }
}

fn trainer() -> Trainer {
    Trainer::on(gpu(), network(), options()).unwrap()
}

fn set() -> Dataset {
    learnable(40, 4, 3, 1)
}

fn go_on(_: Event) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

/// Every built-in optimizer, with its values and switches by name.
const OPTIMIZERS: [(&str, &[&str]); 9] = [
    ("sgd", &["momentum", "nesterov"]),
    ("adagrad", &["eps"]),
    ("adadelta", &["rho", "eps"]),
    ("rmsprop", &["alpha", "eps", "momentum", "centered"]),
    ("adam", &["beta1", "beta2", "eps", "amsgrad"]),
    ("adamw", &["beta1", "beta2", "eps", "amsgrad"]),
    ("nadam", &["beta1", "beta2", "eps", "momentum_decay"]),
    ("lion", &["beta1", "beta2"]),
    (
        "muon",
        &["momentum", "eps", "ns_steps", "adamw_lr", "beta1", "beta2", "adamw_eps", "nesterov", "match_rms_adamw"],
    ),
];
/// Those of them that are switches.
const SWITCHES: [&str; 4] = ["nesterov", "centered", "amsgrad", "match_rms_adamw"];

/// Every schedule, with its values by name.
const SCHEDULES: [(&str, &[&str]); 5] = [
    ("step", &["step_size", "gamma"]),
    ("exponential", &["gamma"]),
    ("polynomial", &["total_iters", "power"]),
    ("cosine", &["t_max", "eta_min"]),
    ("one-cycle", &["total_steps", "pct_start", "div_factor", "final_div_factor"]),
];

/// The names that are taken, from the error for one that is not.
fn taken(result: Result<(), Error>) -> Vec<String> {
    let error = result.unwrap_err().to_string();
    let (_, names) = error.split_once("it takes ").expect(&error);
    names.split(", ").map(String::from).collect()
}

/// Finds options that no run can have and that are not refused before training: a field that is not checked reaches a kernel or a division.
#[test]
fn options_that_are_no_numbers_are_refused() {
    const NAN: f64 = f64::NAN;
    const INFINITE: f64 = f64::INFINITY;
    let with = |change: &dyn Fn(&mut TrainOptions)| {
        let mut changed = options();
        change(&mut changed);
        Trainer::on(gpu(), network(), changed).and_then(|mut trainer| trainer.fit(&set(), None))
    };
    let softmax = |label_smoothing, gamma, ignore_index| Loss::SoftmaxCrossEntropy {
        label_smoothing,
        class_weights: None,
        ignore_index,
        gamma,
    };
    for number in [NAN, INFINITE, -INFINITE, -1.0] {
        let shown = number.to_string();
        let words = |name: &'static str| [name, shown.as_str()];
        refused(&words("the learning rate"), with(&|options| options.optimizer.lr = number));
        refused(&words("weight_decay"), with(&|options| options.optimizer.weight_decay = number));
        refused(&words("clip_grad_norm"), with(&|options| options.clip_grad_norm = Some(number)));
        refused(&words("clip_grad_value"), with(&|options| options.clip_grad_value = Some(number)));
        refused(&words("label_smoothing"), with(&|options| options.loss = softmax(number, 0.0, None)));
        refused(&words("gamma"), with(&|options| options.loss = softmax(0.0, number, None)));
        refused(&words("delta"), with(&|options| options.loss = Loss::Huber { delta: number }));
        refused(&words("start_factor"), with(&|options| options.schedule.start_factor = number));
        for (name, values) in OPTIMIZERS {
            let optimizer = Optimizer::from_name(name).unwrap();
            assert_eq!(taken(optimizer.clone().set("no such value", 1.0)), [&["lr", "weight_decay"], values].concat());
            for &value in values.iter().filter(|value| !SWITCHES.contains(value)) {
                let mut changed = optimizer;
                changed.set(value, number).unwrap();
                refused(&[value, &shown], with(&|options| options.optimizer = changed));
            }
        }
        for (name, values) in SCHEDULES {
            let mut schedule = Schedule::from_name(name).unwrap();
            let common = ["by_epoch", "warmup", "start_factor"];
            assert_eq!(taken(schedule.set("no such value", 1.0)), [values, &common].concat());
            // Values that have no default, so that it is the one below that is refused.
            for (value, number) in
                [("step_size", 2.0), ("gamma", 0.5)].iter().filter(|(value, _)| values.contains(value))
            {
                schedule.set(value, *number).unwrap();
            }
            for value in values {
                let mut changed = schedule;
                changed.set(value, number).unwrap();
                refused(&[value, &shown], with(&|options| options.schedule = changed));
            }
        }
        let plateau = ReduceOnPlateau { factor: number, ..ReduceOnPlateau::default() };
        refused(&words("factor"), with(&|options| options.reduce_on_plateau = Some(plateau)));
        let constant = Initializer::Constant(number as f32);
        if number != -1.0 {
            refused(&["layer 1", &shown], with(&|options| options.initializer = constant));
        }
        let network = Network::new(4).dense(5, Activation::Relu).dropout(number).dense(3, Activation::Identity);
        refused(&words("dropout"), Trainer::on(gpu(), network, options()));
    }
    for index in [i64::MIN, i64::MAX, 1 << 32, -(1 << 32)] {
        refused(&["ignore_index", &index.to_string()], with(&|options| options.loss = softmax(0.0, 0.0, Some(index))));
    }
    refused(&["NaN"], Schedule::new(Decay::Constant).set("warmup", NAN));
}

/// Finds a sum that wraps, or memory that is asked for without end, for the largest integers and for 0, wherever one is taken.
#[test]
fn the_largest_and_the_smallest_numbers_are_refused_or_harmless() {
    let with = |change: &dyn Fn(&mut TrainOptions)| {
        let mut changed = options();
        change(&mut changed);
        Trainer::on(gpu(), network(), changed).and_then(|mut trainer| trainer.fit(&set(), None).map(|_| trainer))
    };
    refused(&["batch size is 0"], with(&|options| options.batch_size = 0));
    let of_all = with(&|options| options.batch_size = 40).unwrap().weights().unwrap();
    for batch_size in [0, 41, MOST, 1 << 32] {
        // Of fewer rows than a minibatch, all of them are one: the weights are those of a minibatch of that size.
        if batch_size > 0 {
            let mut trainer = with(&|options| options.batch_size = batch_size).unwrap();
            assert_eq!(trainer.weights().unwrap(), of_all, "batches of {batch_size}");
        }
        refused(
            &["batch size"],
            with(&|options| (options.batch_size, options.memory_budget) = (batch_size, Some(100))),
        );
    }
    refused(&["steps"], with(&|options| options.epochs = u64::MAX));
    refused(&["steps"], with(&|options| options.steps = Some(u64::MAX)));
    refused(&["steps per submission"], with(&|options| options.steps_per_submission = Some(0)));
    refused(&["memory budget"], with(&|options| options.memory_budget = Some(0)));
    refused(
        &["patience"],
        with(&|options| options.early_stopping = Some(EarlyStopping { patience: 0, min_delta: 0.0 })),
    );
    let folder = tempfile::tempdir().unwrap();
    let into = |every, keep| Some(Checkpointing { every, keep, ..Checkpointing::new(folder.path()) });
    refused(&["0 checkpoints"], with(&|options| options.checkpoint = into(Every::Steps(1), 0)));
    refused(&["every 0"], with(&|options| options.checkpoint = into(Every::Steps(0), 1)));
    refused(&["every 0"], with(&|options| options.checkpoint = into(Every::Time(Duration::ZERO), 1)));

    // None of these is wrong.
    let plain = bits(&with(&|_| ()).unwrap().weights().unwrap());
    let harmless: [&dyn Fn(&mut TrainOptions); 5] = [
        &|options| options.steps_per_submission = Some(u64::MAX),
        &|options| options.memory_budget = Some(u64::MAX),
        &|options| {
            options.early_stopping = Some(EarlyStopping { patience: u64::MAX, min_delta: 0.0 });
            options.reduce_on_plateau = Some(ReduceOnPlateau { patience: u64::MAX, ..ReduceOnPlateau::default() });
        },
        &|options| options.checkpoint = into(Every::Steps(u64::MAX), MOST),
        &|options| options.tuning_budget = Duration::MAX,
    ];
    for (at, change) in harmless.iter().enumerate() {
        assert_eq!(bits(&with(change).unwrap().weights().unwrap()), plain, "case {at}");
    }
    with(&|options| options.schedule.warmup = u32::MAX).unwrap();
    with(&|options| options.seed = u64::MAX).unwrap();
    with(&|options| (options.tuning, options.tuning_budget) = (Tuning::Auto, Duration::ZERO)).unwrap();
    let mut none = with(&|options| options.epochs = 0).unwrap();
    assert_eq!(none.steps_done(), 0);
    none.set_steps(Some(u64::MAX));
    refused(&["steps"], none.fit(&set(), None));
    none.set_steps(None);
    none.set_epochs(u64::MAX);
    refused(&["steps"], none.fit(&set(), None));
    none.set_epochs(1);
    none.fit(&set(), None).unwrap();

    let most = MOST.to_string();
    let (too_wide, too_much) = (["a width of", &most, "the widest layer is 16777216"], ["layer 1", &most, &most]);
    for (network, words, of_weights) in [
        (Network::new(MOST).dense(3, Activation::Identity), &too_wide[..], &["have 2 layers", "has 1"][..]),
        (Network::new(4).dense(MOST, Activation::Relu).dense(3, Activation::Identity), &too_wide, &too_much),
        (
            Network::new(MOST).dense(MOST, Activation::Relu).dense(MOST, Activation::Identity),
            &too_wide,
            &["layer 1 has 0 weights", &most],
        ),
        (Network::new(0).dense(0, Activation::Identity), &["the input has a width of 0"], &["have 2 layers", "has 1"]),
        (Network::new(4), &["the network has no layers"], &["have 2 layers", "has 0"]),
    ] {
        let _ = network.parameters();
        refused(words, network.check());
        let weights = Initializer::Orthogonal.weights(&network, 0);
        assert!(weights.layers.is_empty());
        refused(words, Trainer::on(gpu(), network.clone(), options()));
        let file = folder.path().join("m.safetensors");
        refused(words, Model::new(network.clone(), weights, Loss::default()).write(&file));
        assert!(!file.exists());
        let layer = LayerWeights::new(MOST, MOST, vec![], vec![]);
        refused(of_weights, network.check_weights(&Weights::new(vec![layer; network.layers().len().max(2)])));
    }
}

/// Sets that contradict themselves, and rows that a set does not have, are refused.
#[test]
fn sets_that_are_none_are_refused() {
    let set = set();
    let of = |width: usize, rows: usize| Dataset::from_u8(vec![0; 8], width, vec![0; rows]);
    for rows in [0, 8] {
        refused(&["the rows have a width of 0"], of(0, rows));
    }
    for (width, rows) in [(MOST, 2), (MOST, 0), (3, 2), (8, 0), (1 << 63, 2)] {
        refused(&[&format!("8 features are not {rows} rows of {width}")], of(width, rows));
    }
    refused(&["the set is empty"], Dataset::from_rows(Vec::<([f32; 2], u32)>::new()));
    refused(&["row 1"], Dataset::from_rows([(vec![0.0], 0), (vec![0.0, 1.0], 1)]));
    refused(&["0 targets are not 40 rows"], set.clone().with_targets(vec![], MOST));
    refused(&["0 targets are not 40 rows of 0"], set.clone().with_targets(vec![], 0));
    refused(&["row 0"], set.clone().with_targets(vec![f32::NAN; 40], 1));
    refused(&["0 sample weights for 40 rows"], set.clone().with_sample_weights(vec![]));
    refused(&["row 0"], set.clone().with_sample_weights(vec![f32::INFINITY; 40]));
    refused(&["0 names for 3 classes"], set.clone().with_class_names(vec![]));
    let twice = vec!["a".into(), "a".into(), "b".into()];
    refused(&["two classes are named \"a\""], set.clone().with_class_names(twice));
    let shape = |height, width, channels| ImageShape { height, width, channels };
    for shape in [shape(MOST, MOST, 3), shape(0, 0, 1), shape(2, 2, MOST), shape(1 << 62, 4, 1), shape(2, 1, 3)] {
        refused(&[&format!("rows of 4 features are not images of {shape}")], set.clone().with_image_shape(shape));
    }
    for (shift, scale, words) in [
        (vec![], vec![], "0 values of shift for 4 features"),
        (vec![0.0; 4], vec![f32::NAN; 4], "the scale of feature 0 is NaN"),
        (vec![f64::MAX; 4], vec![f32::MAX; 4], "feature 0 is no longer finite after its scaling"),
    ] {
        refused(&[words], set.clone().with_scaling(Scaling { shift, scale }));
    }
    refused(&["rows 3 to 41 are not in a set of 40"], set.read(3..41));
    refused(&["are not in a set of 40"], set.read(MOST..MOST));
    #[allow(clippy::reversed_empty_ranges)]
    {
        refused(&["rows 9 to 3 are not in a set of 40"], set.read(9..3));
    }
    refused(&["is not in the set, whose last is 39"], set.row(MOST));
    refused(&["is not in the set, whose last is 39"], set.select([MOST]));
    refused(&["no rows were selected"], set.select([]));
    for fraction in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
        refused(&["fraction"], set.split(fraction, 0));
        refused(&["fraction"], set.split_stratified(fraction, 0));
    }
    let values = set.clone().with_targets(vec![0.5; 120], 3).unwrap();
    refused(&["needs a class index for every row"], values.split_stratified(0.5, 0));

    let make = |rows: std::ops::Range<usize>| learnable(40, 4, 3, 1).read(rows);
    for (rows, words) in [(0, "empty"), (MOST, "rows")] {
        refused(&[words], trainer().fit_from(&Generated::new(rows, 3, make), None, go_on));
    }
    let longer = Generated::new(100, MOST, make);
    refused(&["rows 0 to 100 are not in a set of 40"], trainer().fit_from(&longer, None, go_on));
}

/// A trainer refuses sets, weights and files of other networks, before it was ever trained and after: each call is an error, and the weights stay
/// what they were.
#[test]
fn what_belongs_to_another_network_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = trainer();
    // Before any fit.
    assert_eq!(trainer.predict(&set()).unwrap().len(), 40 * 3);
    assert_eq!(trainer.logits(&set()).unwrap().len(), 40 * 3);
    assert_eq!(trainer.evaluate(&set()).unwrap().rows, 40);
    assert!(trainer.metrics(&set()).unwrap().classes.unwrap().top_k(MOST).unwrap() > 0.99);
    trainer.save(folder.path().join("new.safetensors")).unwrap();

    for trained in [false, true] {
        let before = bits(&trainer.weights().unwrap());
        let (wide, other) = (learnable(40, 9, 3, 1), learnable(40, 4, 4, 1));
        let values = set().with_targets(vec![0.5; 80], 2).unwrap();
        for (wrong, words) in [
            (&wide, &["the rows have 9 features", "takes 4"][..]),
            (&other, &["the label of row 0 is 3", "from 0 to 2"]),
            (&values, &["a row has 2 targets", "3 outputs"]),
        ] {
            refused(words, trainer.fit(wrong, None));
            refused(words, trainer.fit(&set(), Some(wrong)));
            refused(words, trainer.fit_from(wrong, None, go_on));
            refused(words, trainer.evaluate(wrong));
            refused(words, trainer.metrics(wrong));
            refused(words, trainer.plan(wrong));
            refused(words, trainer.picks(wrong));
            refused(words, trainer.tune(wrong, |_| ()));
            refused(words, trainer.device_bytes(&set(), Some(wrong)));
        }
        refused(&["9 features", "takes 4"], trainer.predict(&wide));
        refused(&["9 features", "takes 4"], trainer.logits(&wide));
        let weights = |network: &Network| Initializer::Torch.weights(network, 0);
        let mut short = weights(&network());
        short.layers[1].weight.pop();
        let mut bad = weights(&network());
        bad.layers[0].bias[2] = f32::NEG_INFINITY;
        for (wrong, words) in [
            (Weights::default(), "the weights have 0 layers"),
            (
                weights(&Network::classifier(4, &[5], Activation::Relu, 4)),
                "layer 2 (tensor 2.weight) has the shape [4, 5]",
            ),
            (weights(&Network::classifier(4, &[5, 5], Activation::Relu, 3)), "the weights have 3 layers"),
            (short, "layer 2 has 14 weights"),
            (bad, "layer 1 holds -inf"),
        ] {
            refused(&[words], trainer.set_weights(&wrong));
            let model = Model::new(network(), wrong, Loss::default());
            refused(&[words], model.write(folder.path().join("wrong.safetensors")));
        }
        refused(&["no such folder/m.safetensors: No such file"], trainer.save("no such folder/m.safetensors"));
        refused(&["is not a file"], trainer.save(folder.path()));
        assert_eq!(bits(&trainer.weights().unwrap()), before, "trained {trained}");
        trainer.fit(&set(), Some(&set())).unwrap();
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is written");
    refused(&["it is a folder"], Model::read(folder.path()));
    refused(&["no such file: No such file"], Model::read(Path::new("no such file")));
    // A model is no checkpoint.
    refused(&["new.safetensors: it is no checkpoint"], Checkpoint::open(folder.path().join("new.safetensors")));
    let pinned: Picks = [("dense_update set_u8 2×2×2", "no tile")].into_iter().collect();
    refused(&["no tile"], Trainer::on(gpu(), network(), TrainOptions { picks: pinned, ..options() }));
}

/// A trainer can be used after a fit that failed: with a refused set, a loss that is not finite, rows that could not be read.
#[test]
fn a_trainer_goes_on_after_an_error() {
    let diverging = TrainOptions { optimizer: Optimizer::sgd(3e38), ..options() };
    let mut trainer = Trainer::on(gpu(), network(), diverging).unwrap();
    let initial = trainer.weights().unwrap();
    for _ in 0..2 {
        let error = trainer.fit(&set(), None).unwrap_err();
        assert!(matches!(error, Error::NonFinite { .. }), "{error}");
    }
    // It is where it was before the step that went wrong: with weights so large that answers may be none, which is said then.
    assert!(trainer.weights().unwrap() != initial && trainer.steps_done() > 0);
    assert!(trainer.evaluate(&set()).unwrap().loss.is_finite());
    assert!(trainer.metrics(&set()).unwrap().evaluation.loss.is_finite());
    assert!(trainer.predict(&set()).unwrap().iter().all(|p| p.is_finite()));
    trainer.set_weights(&initial).unwrap();
    assert!(trainer.evaluate(&set()).unwrap().loss.is_finite());

    // Rows that run out in the second window, and then do not.
    let options = TrainOptions { memory_budget: Some(2 * 9 * 16), ..options() };
    let mut broken = Trainer::on(gpu(), network(), options.clone()).unwrap();
    let failing = Generated::new(40, 3, |rows: std::ops::Range<usize>| match rows.start {
        0 => set().read(rows),
        _ => Err(Error::Data("the disk is gone".into())),
    });
    refused(&["the disk is gone"], broken.fit_from(&failing, None, go_on));
    broken.set_weights(&initial).unwrap();
    broken.fit_from(&set(), None, go_on).unwrap();
    let mut undisturbed = Trainer::on(gpu(), network(), options).unwrap();
    undisturbed.set_weights(&initial).unwrap();
    undisturbed.fit_from(&set(), None, go_on).unwrap();
    assert_eq!(bits(&broken.weights().unwrap()), bits(&undisturbed.weights().unwrap()));
}

/// A lost device answers every call with an error that says so, and what was opened beside it goes on.
#[test]
fn a_lost_device_says_so_to_every_call() {
    let lost = own_gpu();
    let mut trainer = Trainer::on(Arc::clone(&lost), network(), options()).unwrap();
    trainer.fit(&set(), None).unwrap();
    let weights = trainer.weights().unwrap();
    lost.lose();
    let folder = tempfile::tempdir().unwrap();
    let results = [
        trainer.fit(&set(), Some(&set())).map(drop),
        trainer.fit_from(&set(), None, go_on).map(drop),
        trainer.evaluate(&set()).map(drop),
        trainer.metrics(&set()).map(drop),
        trainer.predict(&set()).map(drop),
        trainer.logits(&set()).map(drop),
        trainer.weights().map(drop),
        trainer.save(folder.path().join("m.safetensors")),
        lost.check(),
        Trainer::on(Arc::clone(&lost), network(), options())
            .and_then(|mut trainer| trainer.fit(&set(), None))
            .map(drop),
        trainer.fit(&set(), None).map(drop),
        Trainer::on(Arc::clone(&lost), network(), options()).map(drop),
        trainer.set_weights(&weights),
    ];
    for (at, result) in results.into_iter().enumerate() {
        assert!(matches!(result, Err(Error::Device(_))), "call {at}: {result:?}");
    }
    // What needs no device still answers.
    trainer.plan(&set()).unwrap();
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    drop(trainer);
    self::trainer().fit(&set(), None).unwrap();
}

/// Plans and timers refuse requests for nothing, or for more than there is.
#[test]
fn plans_and_timers_refuse_what_is_none() {
    let (network, loss, optimizer) =
        (network(), Loss::default(), Optimizer::new(Rule::Lion { beta1: 0.9, beta2: 0.99 }));
    let tiling = Tiling::of(Family::Software);
    let request = Request {
        network: &network,
        loss: &loss,
        targets: Targets::CLASSES,
        training: Some(plain(&optimizer)),
        batch: 8,
        set: SetLayout::whole(Element::F32, 40),
        tiling: &tiling,
        metrics: false,
    };
    for (wrong, words) in [
        (Request { batch: 0, ..request }, "a batch of 0 rows"),
        (Request { batch: u32::MAX, ..request }, "the output of layer 1 would have the shape [4294967296, 8]"),
        (Request { set: SetLayout::whole(Element::F32, 0), ..request }, "of a set of 0"),
        (
            Request { set: SetLayout::whole(Element::F32, u64::MAX), ..request },
            "set would have the shape [18446744073709551615, 8]",
        ),
        (Request { set: SetLayout { parts: 0, ..request.set }, ..request }, "in 0 parts"),
        (Request { network: &Network::new(4), ..request }, "the network has no layers"),
        (
            Request { network: &Network::new(MOST).dense(MOST, Activation::Identity), ..request },
            "the widest layer is 16777216",
        ),
    ] {
        refused(&[words], Plan::new(wrong));
        refused(&[words], Plan::gradients(wrong));
    }
    let adapter = gpu().adapter().tiling();
    let plan = Plan::new(Request { tiling: &adapter, ..request }).unwrap();
    let gpu = gpu();
    let timer = StepTimer::new(&gpu, &plan, Checks::Off).unwrap();
    refused(&["at most"], timer.steps(u64::MAX));
    refused(&["at most"], timer.dispatch(0, u64::MAX));
    refused(&["no dispatch"], timer.dispatch(MOST, 1));
    timer.steps(0).unwrap();

    // A skipped step, and a refused fit, are no reason to count wrong.
    let mut trainer =
        Trainer::on(gpu, network.clone(), TrainOptions { non_finite: NonFinite::Skip, ..options() }).unwrap();
    refused(&["5 features", "takes 4"], trainer.fit(&learnable(40, 5, 3, 1), None));
    assert_eq!((trainer.steps_done(), trainer.stats().steps), (0, 0));
}
