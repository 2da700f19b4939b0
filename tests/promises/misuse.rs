//! The public face in hands that do not read: calls out of order, sets and weights of another network, a trainer after an error, numbers that are
//! none. Every one of them is an error that says so, or does what it can; none panics, and none leaves the trainer worse than it was.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use wgrad::gpu::Checks;
use wgrad::kernel::Targets;
use wgrad::kernel::tile::Family;
use wgrad::kernel::tiling::Tiling;
use wgrad::plan::{Element, Plan, Request, SetLayout};
use wgrad::profile::StepTimer;
use wgrad::{
    Activation, Checkpoint, Checkpointing, Dataset, Decay, EarlyStopping, Error, Event, Every, Generated, ImageShape,
    Initializer, LayerWeights, Loss, Model, Network, NonFinite, Optimizer, Picks, ReduceOnPlateau, Rule, Scaling,
    Schedule, Source, TrainOptions, Trainer, Tuning, Weights,
};

use crate::problem::plain;
use crate::support::{bits, gpu, learnable, own_gpu};

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

/// An error for bad input, by its exit code and its words.
#[track_caller]
fn refused<T>(words: &[&str], result: Result<T, Error>) {
    let error = result.err().unwrap_or_else(|| panic!("nobody refused what {words:?} is for"));
    assert_eq!(error.exit_code(), 2, "{error}");
    for word in words {
        assert!(error.to_string().contains(word), "no \"{word}\" in: {error}");
    }
}

/// Options that no run can have, each found before anything is trained: a field that nobody checks reaches a kernel or a division.
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
        for name in ["sgd", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam", "lion", "muon"] {
            let optimizer = Optimizer::from_name(name).unwrap();
            for value in ["momentum", "eps", "rho", "alpha", "beta1", "beta2", "momentum_decay", "adamw_lr", "ns_steps"]
            {
                let mut changed = optimizer;
                if changed.set(value, number).is_ok() {
                    refused(&[value, &shown], with(&|options| options.optimizer = changed));
                }
            }
        }
        for name in ["step", "exponential", "polynomial", "cosine", "one-cycle"] {
            for value in
                ["step_size", "gamma", "total_iters", "power", "t_max", "total_steps", "pct_start", "div_factor"]
            {
                let mut schedule = Schedule::from_name(name).unwrap();
                if schedule.set("gamma", 0.5).is_ok() {
                    let _ = schedule.set("step_size", 2.0);
                }
                if schedule.set(value, number).is_ok() {
                    refused(&[value, &shown], with(&|options| options.schedule = schedule));
                }
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

/// The largest numbers that an integer holds, and 0, wherever one is taken: a sum that wraps, or memory that is asked for without end.
#[test]
fn the_largest_and_the_smallest_numbers_are_refused_or_harmless() {
    let with = |change: &dyn Fn(&mut TrainOptions)| {
        let mut changed = options();
        change(&mut changed);
        Trainer::on(gpu(), network(), changed).and_then(|mut trainer| trainer.fit(&set(), None).map(|_| trainer))
    };
    refused(&["batch size is 0"], with(&|options| options.batch_size = 0));
    for batch_size in [0, 41, MOST, 1 << 32] {
        // Of fewer rows than a minibatch, all of them are one: the weights are those of a minibatch of that size.
        if let Ok(mut trainer) = with(&|options| options.batch_size = batch_size) {
            let mut of_all = with(&|options| options.batch_size = 40).unwrap();
            assert_eq!(trainer.weights().unwrap(), of_all.weights().unwrap());
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

    for network in [
        Network::new(MOST).dense(3, Activation::Identity),
        Network::new(4).dense(MOST, Activation::Relu).dense(3, Activation::Identity),
        Network::new(MOST).dense(MOST, Activation::Relu).dense(MOST, Activation::Identity),
        Network::new(0).dense(0, Activation::Identity),
        Network::new(4),
    ] {
        let _ = network.parameters();
        refused(&[], network.check());
        let weights = Initializer::Orthogonal.weights(&network, 0);
        assert!(weights.layers.is_empty());
        refused(&[], Trainer::on(gpu(), network.clone(), options()));
        refused(&[], Model::new(network.clone(), weights, Loss::default()).write(folder.path().join("m.safetensors")));
        let layer = LayerWeights { inputs: MOST, outputs: MOST, weight: vec![], bias: vec![] };
        refused(&[], network.check_weights(&Weights { layers: vec![layer; network.layers().len().max(2)] }));
    }
    assert_eq!(
        std::fs::read_dir(folder.path())
            .unwrap()
            .filter(|entry| { entry.as_ref().unwrap().path().ends_with("m.safetensors") })
            .count(),
        0
    );
}

/// Sets that contradict themselves, and rows that they do not have.
#[test]
fn sets_that_are_none_are_refused() {
    let set = set();
    let of = |width: usize, rows: usize| Dataset::from_u8(vec![0; 8], width, vec![0; rows]);
    for (width, rows) in [(0, 0), (0, 8), (MOST, 2), (MOST, 0), (3, 2), (8, 0), (1 << 63, 2)] {
        refused(&[], of(width, rows));
    }
    refused(&[], Dataset::from_rows(Vec::<([f32; 2], u32)>::new()));
    refused(&["row 1"], Dataset::from_rows([(vec![0.0], 0), (vec![0.0, 1.0], 1)]));
    refused(&[], set.clone().with_targets(vec![], MOST));
    refused(&[], set.clone().with_targets(vec![], 0));
    refused(&["row 0"], set.clone().with_targets(vec![f32::NAN; 40], 1));
    refused(&[], set.clone().with_sample_weights(vec![]));
    refused(&["row 0"], set.clone().with_sample_weights(vec![f32::INFINITY; 40]));
    refused(&[], set.clone().with_class_names(vec![]));
    refused(&[], set.clone().with_class_names(vec!["a".into(), "a".into(), "b".into()]));
    let shape = |height, width, channels| ImageShape { height, width, channels };
    for shape in [shape(MOST, MOST, 3), shape(0, 0, 1), shape(2, 2, MOST), shape(1 << 62, 4, 1), shape(2, 1, 2)] {
        refused(&[], set.clone().with_image_shape(shape));
    }
    for (shift, scale) in [(vec![], vec![]), (vec![0.0; 4], vec![f32::NAN; 4]), (vec![f64::MAX; 4], vec![f32::MAX; 4])]
    {
        refused(&[], set.clone().with_scaling(Scaling { shift, scale }));
    }
    refused(&["40"], set.read(3..41));
    refused(&[], set.read(MOST..MOST));
    #[allow(clippy::reversed_empty_ranges)]
    {
        refused(&[], set.read(9..3));
    }
    refused(&[], set.row(MOST));
    refused(&[], set.select([MOST]));
    refused(&[], set.select([]));
    for fraction in [0.0, 1.0, -1.0, f64::NAN, f64::INFINITY, 1e-9] {
        refused(&["fraction"], set.split(fraction, 0));
        refused(&["fraction"], set.split_stratified(fraction, 0));
    }
    let values = set.clone().with_targets(vec![0.5; 120], 3).unwrap();
    refused(&[], values.split_stratified(0.5, 0));

    let make = |rows: std::ops::Range<usize>| learnable(40, 4, 3, 1).read(rows);
    for (rows, words) in [(0, "empty"), (MOST, "rows")] {
        refused(&[words], trainer().fit_from(&Generated::new(rows, 3, make), None, go_on));
    }
    refused(&[], trainer().fit_from(&Generated::new(100, MOST, make), None, go_on));
}

/// Everything that a trainer is asked for with sets, weights and files of other networks, before it was ever trained and after: each an error, and
/// the weights what they were.
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
        for wrong in [&wide, &other, &values] {
            refused(&[], trainer.fit(wrong, None));
            refused(&[], trainer.fit(&set(), Some(wrong)));
            refused(&[], trainer.fit_from(wrong, None, go_on));
            refused(&[], trainer.evaluate(wrong));
            refused(&[], trainer.metrics(wrong));
            refused(&[], trainer.plan(wrong));
            refused(&[], trainer.picks(wrong));
            refused(&[], trainer.tune(wrong, |_| ()));
            refused(&[], trainer.device_bytes(&set(), Some(wrong)));
        }
        refused(&["9 features", "takes 4"], trainer.predict(&wide));
        refused(&["9 features", "takes 4"], trainer.logits(&wide));
        let weights = |network: &Network| Initializer::Torch.weights(network, 0);
        let mut short = weights(&network());
        short.layers[1].weight.pop();
        let mut bad = weights(&network());
        bad.layers[0].bias[2] = f32::NEG_INFINITY;
        for wrong in [
            Weights::default(),
            weights(&Network::classifier(4, &[5], Activation::Relu, 4)),
            weights(&Network::classifier(4, &[5, 5], Activation::Relu, 3)),
            short,
            bad,
        ] {
            refused(&[], trainer.set_weights(&wrong));
            let model = Model::new(network(), wrong, Loss::default());
            refused(&[], model.write(folder.path().join("wrong.safetensors")));
        }
        refused(&[], trainer.save("no such folder/m.safetensors"));
        refused(&[], trainer.save(folder.path()));
        assert_eq!(bits(&trainer.weights().unwrap()), before, "trained {trained}");
        trainer.fit(&set(), Some(&set())).unwrap();
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing else is written");
    refused(&[], Model::read(folder.path()));
    refused(&[], Model::read(Path::new("no such file")));
    // A model is no checkpoint.
    refused(&[], Checkpoint::open(folder.path().join("new.safetensors")).and_then(|it| Trainer::resume(gpu(), &it)));
    let pinned: Picks = [("dense_update set_u8 2×2×2", "no tile")].into_iter().collect();
    refused(&["no tile"], Trainer::on(gpu(), network(), TrainOptions { picks: pinned, ..options() }));
}

/// Another fit after one that ended badly: with a refused set, a loss that is not finite, rows that could not be read.
#[test]
fn a_trainer_goes_on_after_an_error() {
    let diverging = TrainOptions { optimizer: Optimizer::sgd(3e38), ..options() };
    let mut trainer = Trainer::on(gpu(), network(), diverging).unwrap();
    let initial = trainer.weights().unwrap();
    for _ in 0..2 {
        let error = trainer.fit(&set(), None).unwrap_err();
        assert!(matches!(error, Error::NonFinite { .. } | Error::NonFiniteResult(_)), "{error}");
    }
    for result in
        [trainer.evaluate(&set()).map(drop), trainer.metrics(&set()).map(drop), trainer.predict(&set()).map(drop)]
    {
        assert!(matches!(result, Ok(()) | Err(Error::NonFiniteResult(_))), "{result:?}");
    }
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

/// A lost device that is asked for more: every call says that it is lost, and what was opened beside it goes on.
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

/// Plans and timers that are asked for nothing, or for more than there is.
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
    for wrong in [
        Request { batch: 0, ..request },
        Request { batch: u32::MAX, ..request },
        Request { set: SetLayout::whole(Element::F32, 0), ..request },
        Request { set: SetLayout::whole(Element::F32, u64::MAX), ..request },
        Request { set: SetLayout { parts: 0, ..request.set }, ..request },
        Request { network: &Network::new(4), ..request },
        Request { network: &Network::new(MOST).dense(MOST, Activation::Identity), ..request },
    ] {
        refused(&[], Plan::new(wrong));
        refused(&[], Plan::gradients(wrong));
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
    refused(&[], trainer.fit(&learnable(40, 5, 3, 1), None));
    assert_eq!((trainer.steps_done(), trainer.stats().steps), (0, 0));
}
