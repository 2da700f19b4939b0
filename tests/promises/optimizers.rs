//! Every optimizer against its f64 twin, on a matrix and a bias of odd sizes, over several steps; and what they cost.

use wgrad::kernel::tile::Family;
use wgrad::selftest::training::{self, optimizers};
use wgrad::{Activation, Initializer, Network, Optimizer, Rule, TrainOptions, Trainer};

use crate::dispatches::{Step, assert_dispatches};
use crate::support::{agrees, bits, flat, gpu, learnable, relative_error};

/// Finds a moment in another's slot, a decay on the wrong side of the gradient, a correction that lags a step, padding that drifts.
#[test]
fn every_optimizer_agrees_with_its_twin() {
    for optimizer in optimizers() {
        agrees(training::optimizer(&gpu(), optimizer));
    }
}

/// Finds an optimizer that needs a dispatch of its own, or that is another one the second time.
#[test]
fn every_optimizer_costs_the_same_dispatches_and_repeats_its_bits() {
    let network = Network::classifier(5, &[6], Activation::Relu, 3);
    let set = learnable(20, 5, 3, 1);
    let run = |optimizer: Optimizer| {
        let options = TrainOptions { optimizer, batch_size: 6, epochs: 2, ..TrainOptions::default() };
        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        let history = trainer.fit(&set, None).unwrap();
        let (dispatches, steps) = (history.stats.dispatches, history.stats.steps);
        assert_eq!(dispatches % steps, 0, "every step takes as many: {dispatches} in {steps}");
        assert_dispatches(dispatches / steps, Step::of(2, &optimizer), optimizer.name());
        trainer.weights().unwrap()
    };
    let initial = Initializer::default().weights(&network, 0);
    for optimizer in optimizers() {
        let weights = run(optimizer);
        assert_eq!(bits(&weights), bits(&run(optimizer)), "{optimizer:?}");
        assert_ne!(flat(&weights), flat(&initial), "{optimizer:?} trains");
    }
}

/// Finds a slot that a GPU's update, which has several rows on their way at once, keeps of another row or not at all.
#[test]
fn updates_of_gpus_are_those_of_cpus() {
    let network = Network::classifier(9, &[10], Activation::Tanh, 3);
    let set = learnable(40, 9, 3, 1);
    let run = |optimizer: Optimizer, family: Option<Family>| {
        let options = TrainOptions { optimizer, family, batch_size: 10, epochs: 3, ..TrainOptions::default() };
        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        trainer.fit(&set, None).unwrap();
        flat(&trainer.weights().unwrap())
    };
    for optimizer in optimizers() {
        let error = relative_error(&run(optimizer, Some(Family::Hardware)), &run(optimizer, None));
        assert!(error < 1e-4, "{optimizer:?}: {error:e}");
    }
}

/// Finds a name that stands for another rule, a default that is not PyTorch's, a value that no formula takes.
#[test]
fn optimizers_have_names_and_refuse_invalid_values() {
    for name in ["sgd", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam", "lion", "muon"] {
        let optimizer = Optimizer::from_name(name).unwrap();
        assert_eq!(optimizer.name(), name);
        assert_eq!(Optimizer::new(optimizer.rule), optimizer);
        optimizer.check().unwrap();
    }
    let error = Optimizer::from_name("adagrd").unwrap_err().to_string();
    assert!(error.contains("did you mean adagrad?") && error.contains("rmsprop"), "{error}");

    let mut rmsprop = Optimizer::from_name("rmsprop").unwrap();
    rmsprop.set("alpha", 0.5).unwrap();
    rmsprop.switch("centered", true).unwrap();
    assert_eq!(rmsprop.rule, Rule::RmsProp { alpha: 0.5, eps: 1e-8, momentum: 0.0, centered: true });
    let error = rmsprop.set("beta1", 0.5).unwrap_err().to_string();
    assert!(error.contains("rmsprop has no beta1") && error.contains("alpha"), "{error}");

    for (name, value) in [("alpha", 1.0), ("alpha", -0.1), ("eps", 0.0), ("eps", 1e-40), ("momentum", f64::NAN)] {
        let mut bad = rmsprop;
        bad.set(name, value).unwrap();
        let error = bad.check().unwrap_err().to_string();
        assert!(error.contains(&format!("{name} is {value}: it must be ")), "{error}");
    }
    for (bad, words) in [
        (Optimizer::new(Rule::Sgd { momentum: 0.0, nesterov: true }), "nesterov needs a momentum above 0"),
        (Optimizer { weight_decay: -1.0, ..Optimizer::sgd(0.1) }, "weight_decay is -1"),
    ] {
        let error = bad.check().unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
