//! Every optimizer against its f64 twin, on a matrix and a bias of odd sizes, over several steps; and what they cost.

use wgrad::{Activation, Dataset, Initializer, Network, Optimizer, Rule, TrainOptions, Trainer};

use crate::reference::network::{layers, logits};
use crate::reference::optimizer::{Kept, step};
use crate::reference::{dense_gradient, softmax_cross_entropy};
use crate::support::{Random, assert_close, assert_dispatches, bits, flat, gpu, learnable};

/// Every rule, with every variant that has a formula of its own.
fn optimizers() -> Vec<Optimizer> {
    let (beta1, beta2, eps) = (0.9, 0.99, 1e-7);
    [
        Rule::Sgd { momentum: 0.0, nesterov: false },
        Rule::Sgd { momentum: 0.9, nesterov: false },
        Rule::Sgd { momentum: 0.8, nesterov: true },
        Rule::Adagrad { eps: 1e-10 },
        Rule::Adadelta { rho: 0.8, eps: 1e-6 },
        Rule::RmsProp { alpha: 0.9, eps, momentum: 0.0, centered: false },
        Rule::RmsProp { alpha: 0.9, eps, momentum: 0.5, centered: false },
        Rule::RmsProp { alpha: 0.9, eps, momentum: 0.0, centered: true },
        Rule::RmsProp { alpha: 0.9, eps, momentum: 0.5, centered: true },
        Rule::Adam { beta1, beta2, eps, amsgrad: false },
        Rule::Adam { beta1, beta2, eps, amsgrad: true },
        Rule::AdamW { beta1, beta2, eps, amsgrad: false },
        Rule::AdamW { beta1, beta2, eps, amsgrad: true },
        Rule::NAdam { beta1, beta2, eps, momentum_decay: 0.5 },
        Rule::Lion { beta1, beta2 },
    ]
    .into_iter()
    .flat_map(|rule| [0.0, 0.1].map(|weight_decay| Optimizer { lr: 0.01, weight_decay, rule }))
    .collect()
}

/// A moment in another's slot, a decay on the wrong side of the gradient, a correction that lags a step, padding that
/// drifts.
#[test]
fn every_optimizer_agrees_with_its_twin() {
    let (rows, width, classes) = (11, 7, 3);
    let random = &mut Random(4);
    let x = random.values(rows * width);
    let labels: Vec<usize> = (0..rows).map(|_| random.below(classes)).collect();
    let features = x.iter().map(|&value| value as f32).collect();
    let set = Dataset::from_f32(features, width, labels.iter().map(|&label| label as u32).collect()).unwrap();
    let network = Network::classifier(width, &[], Activation::Relu, classes);
    let initial = Initializer::Torch.weights(&network, 1);

    for optimizer in optimizers() {
        let mut twin = layers(&network, &initial);
        let mut kept = vec![Kept::default(); (width + 1) * classes];
        let steps = 6;
        for t in 1..=steps {
            let (.., gradient) = softmax_cross_entropy(&logits(&twin, &x), &labels, rows);
            let (weights, bias) = dense_gradient(&x, &gradient, rows);
            let layer = &mut twin[0];
            let parameters = layer.weights.iter_mut().chain(&mut layer.bias);
            for ((w, g), kept) in parameters.zip(weights.iter().chain(&bias)).zip(&mut kept) {
                *w = step(&optimizer, kept, *w, *g, t);
            }
        }

        let options = TrainOptions {
            optimizer,
            batch_size: rows,
            shuffle: false,
            steps: Some(steps as u64),
            ..TrainOptions::default()
        };
        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        trainer.set_weights(&initial).unwrap();
        trainer.fit(&set, None).unwrap();
        let trained = layers(&network, &trainer.weights().unwrap());
        assert_close(&format!("{optimizer:?}: weights"), &trained[0].weights, &twin[0].weights, 2e-5);
        assert_close(&format!("{optimizer:?}: bias"), &trained[0].bias, &twin[0].bias, 2e-5);
    }
}

/// An optimizer that needs a dispatch of its own, or that is another one the second time.
#[test]
fn every_optimizer_costs_the_same_dispatches_and_repeats_its_bits() {
    let network = Network::classifier(5, &[6], Activation::Relu, 3);
    let set = learnable(20, 5, 3, 1);
    let run = |optimizer: Optimizer| {
        let options = TrainOptions { optimizer, batch_size: 6, epochs: 2, ..TrainOptions::default() };
        let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
        let history = trainer.fit(&set, None).unwrap();
        assert_dispatches(history.stats.dispatches / history.stats.steps, 3, 2, optimizer.name());
        trainer.weights().unwrap()
    };
    let initial = Initializer::default().weights(&network, 0);
    for optimizer in optimizers() {
        let weights = run(optimizer);
        assert_eq!(bits(&weights), bits(&run(optimizer)), "{optimizer:?}");
        assert_ne!(flat(&weights), flat(&initial), "{optimizer:?} trains");
    }
}

/// A name that stands for another rule, a default that is not PyTorch's, a value that no formula takes.
#[test]
fn optimizers_go_by_name_and_refuse_what_they_cannot_take() {
    for name in ["sgd", "adagrad", "adadelta", "rmsprop", "adam", "adamw", "nadam", "lion"] {
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
        assert!(error.contains(name), "{error}");
    }
    assert!(Optimizer::new(Rule::Sgd { momentum: 0.0, nesterov: true }).check().is_err());
    assert!(Optimizer { weight_decay: -1.0, ..Optimizer::sgd(0.1) }.check().is_err());
}
