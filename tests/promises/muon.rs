//! Muon against its f64 twin, whole steps of whole networks; its dispatches, its bits, and what it cannot take.

use wgrad::kernel::tile::Family;
use wgrad::plan::Role;
use wgrad::{Activation, Dataset, Initializer, Loss, Network, Optimizer, Rule, TrainOptions, Trainer};

use crate::dispatches::{Step, assert_dispatches};
use crate::reference::muon::{Matrix, adjustment, orthogonalized};
use crate::reference::network::{Layer, layers};
use crate::reference::optimizer::{OptimizerState, step};
use crate::reference::{dense_backward, dense_forward, dense_gradient, softmax_cross_entropy};
use crate::support::{Random, assert_close, bits, families, gpu, learnable};

/// On the change of the weights, of which f32 weights lose some 1e-7 of their own size each step. Five iterations multiply a
/// small singular value by 485, and with it what f32 rounds off. Measured: 6e-6 at most.
const TOLERANCE: f64 = 2e-5;

/// Muon's values, and no two rates alike.
#[derive(Clone, Copy, Debug)]
struct Case {
    nesterov: bool,
    match_rms_adamw: bool,
    eps: f64,
    ns_steps: usize,
    weight_decay: f64,
    clip: Option<f64>,
    class_weights: bool,
}

const LR: f64 = 0.05;
const ADAMW_LR: f64 = 0.02;
const MOMENTUM: f64 = 0.9;
const BETA1: f64 = 0.8;
const BETA2: f64 = 0.99;
const ADAMW_EPS: f64 = 1e-6;
const CLASS_WEIGHTS: [f64; 3] = [0.5, 2.0, 1.25];

const PLAIN: Case = Case {
    nesterov: false,
    match_rms_adamw: false,
    eps: 1e-7,
    ns_steps: 5,
    weight_decay: 0.0,
    clip: None,
    class_weights: false,
};

/// Every switch on and off, odd and even numbers of iterations; an `eps` above every norm, under which the length of a
/// direction shows in the step, and so does a gradient that is not clipped.
const CASES: [Case; 8] = [
    PLAIN,
    Case { nesterov: true, ..PLAIN },
    Case { match_rms_adamw: true, weight_decay: 0.1, ..PLAIN },
    Case { nesterov: true, clip: Some(0.1), weight_decay: 0.1, ..PLAIN },
    Case { eps: 2.0, ns_steps: 2, ..PLAIN },
    Case { eps: 0.2, ns_steps: 1, clip: Some(0.1), ..PLAIN },
    Case { class_weights: true, ..PLAIN },
    Case { class_weights: true, nesterov: true, match_rms_adamw: true, clip: Some(0.1), weight_decay: 0.1, ..PLAIN },
];

impl Case {
    fn optimizer(self) -> Optimizer {
        let Case { nesterov, match_rms_adamw, eps, weight_decay, .. } = self;
        let rule = Rule::Muon {
            momentum: MOMENTUM,
            nesterov,
            match_rms_adamw,
            eps,
            ns_steps: self.ns_steps as f64,
            adamw_lr: ADAMW_LR,
            beta1: BETA1,
            beta2: BETA2,
            adamw_eps: ADAMW_EPS,
        };
        Optimizer { lr: LR, weight_decay, rule }
    }
}

/// A network on one minibatch, the same in every step.
struct Problem {
    network: Network,
    initial: wgrad::Weights,
    x: Vec<f64>,
    labels: Vec<usize>,
    set: Dataset,
}

impl Problem {
    fn new(rows: usize, width: usize, hidden: &[usize]) -> Self {
        let random = &mut Random(8);
        let x = random.values(rows * width);
        let labels: Vec<usize> = (0..rows).map(|_| random.below(3)).collect();
        let features = x.iter().map(|&value| value as f32).collect();
        let network = Network::classifier(width, hidden, Activation::Relu, 3);
        Problem {
            set: Dataset::from_f32(features, width, labels.iter().map(|&label| label as u32).collect()).unwrap(),
            initial: Initializer::Torch.weights(&network, 1),
            network,
            x,
            labels,
        }
    }

    /// The layers after some steps on the device.
    fn trained(&self, case: Case, steps: u64, family: Family) -> Vec<Layer> {
        let options = TrainOptions {
            optimizer: case.optimizer(),
            loss: Loss::SoftmaxCrossEntropy {
                label_smoothing: 0.0,
                class_weights: case.class_weights.then(|| CLASS_WEIGHTS.to_vec()),
                ignore_index: None,
                gamma: 0.0,
            },
            clip_grad_norm: case.clip,
            batch_size: self.labels.len(),
            steps: Some(steps),
            family: Some(family),
            ..TrainOptions::default()
        };
        let mut trainer = Trainer::on(gpu(), self.network.clone(), options).unwrap();
        trainer.set_weights(&self.initial).unwrap();
        trainer.fit(&self.set, None).unwrap();
        layers(&trainer.weights().unwrap())
    }

    /// Every layer's gradient, first to last.
    fn gradients(&self, layers: &[Layer], class_weights: bool) -> Vec<Layer> {
        let rows = self.labels.len();
        let last = layers.len() - 1;
        let mut inputs = vec![self.x.clone()];
        for (at, layer) in layers.iter().enumerate() {
            inputs.push(dense_forward(&inputs[at], &layer.weights, &layer.bias, at < last));
        }
        let (.., mut dy) = softmax_cross_entropy(&inputs[last + 1], &self.labels, rows);
        if class_weights {
            let sum: f64 = self.labels.iter().map(|&label| CLASS_WEIGHTS[label]).sum();
            for (row, &label) in dy.chunks_exact_mut(CLASS_WEIGHTS.len()).zip(&self.labels) {
                row.iter_mut().for_each(|value| *value *= CLASS_WEIGHTS[label] * rows as f64 / sum);
            }
        }
        let mut gradients: Vec<Layer> = (0..layers.len())
            .rev()
            .map(|at| {
                let (weights, bias) = dense_gradient(&inputs[at], &dy, rows);
                dy = dense_backward(&dy, &layers[at].weights, &inputs[at], layers[at].bias.len(), at > 0);
                Layer { weights, bias }
            })
            .collect();
        gradients.reverse();
        gradients
    }

    /// The layers after some steps of the twin.
    fn twin(&self, case: Case, steps: i32) -> Vec<Layer> {
        let mut layers = layers(&self.initial);
        let last = layers.len() - 1;
        let rule = Rule::AdamW { beta1: BETA1, beta2: BETA2, eps: ADAMW_EPS, amsgrad: false };
        let adamw = Optimizer { lr: ADAMW_LR, weight_decay: case.weight_decay, rule };
        let mut momenta: Vec<Vec<f64>> = layers.iter().map(|layer| vec![0.0; layer.weights.len()]).collect();
        let mut kept: Vec<Vec<OptimizerState>> = layers
            .iter()
            .map(|layer| vec![OptimizerState::default(); layer.weights.len() + layer.bias.len()])
            .collect();
        for t in 1..=steps {
            let mut gradients = self.gradients(&layers, case.class_weights);
            let norm = gradients.iter().flat_map(|layer| layer.weights.iter().chain(&layer.bias));
            let norm = norm.map(|g| g * g).sum::<f64>().sqrt();
            let factor = case.clip.map_or(1.0, |largest| (largest / (norm + 1e-6)).min(1.0));
            assert!(case.clip.is_none() || factor < 1.0, "a gradient that is clipped");
            for gradient in &mut gradients {
                gradient.weights.iter_mut().chain(&mut gradient.bias).for_each(|g| *g *= factor);
            }
            for (at, (layer, gradient)) in layers.iter_mut().zip(&gradients).enumerate() {
                let (of_weights, of_bias) = kept[at].split_at_mut(layer.weights.len());
                for ((w, &g), kept) in layer.bias.iter_mut().zip(&gradient.bias).zip(of_bias) {
                    *w = step(&adamw, kept, *w, g, t);
                }
                if at == last {
                    for ((w, &g), kept) in layer.weights.iter_mut().zip(&gradient.weights).zip(of_weights) {
                        *w = step(&adamw, kept, *w, g, t);
                    }
                } else {
                    step_matrix(case, layer, &gradient.weights, &mut momenta[at]);
                }
            }
        }
        layers
    }
}

/// The matrix of a hidden layer, `[in, out]`, after a step.
fn step_matrix(case: Case, layer: &mut Layer, gradient: &[f64], momentum: &mut [f64]) {
    let lerp = |from: f64, to: f64, share: f64| from + share * (to - from);
    let update = gradient.iter().zip(momentum).map(|(&g, v)| {
        *v = lerp(*v, g, 1.0 - MOMENTUM);
        if case.nesterov { lerp(g, *v, MOMENTUM) } else { *v }
    });
    let columns = layer.bias.len();
    let update = Matrix { rows: layer.weights.len() / columns, columns, values: update.collect() }.transposed();
    let adjustment = adjustment(&update, case.match_rms_adamw);
    let direction = orthogonalized(&update, case.eps, case.ns_steps).transposed();
    for (w, x) in layer.weights.iter_mut().zip(&direction.values) {
        *w = *w * (1.0 - LR * case.weight_decay) - LR * adjustment * x;
    }
}

fn change(before: &[f64], after: &[f64]) -> Vec<f64> {
    after.iter().zip(before).map(|(after, before)| after - before).collect()
}

fn agrees(problem: &Problem, case: Case, steps: u64, families: &[Family]) {
    let before = layers(&problem.initial);
    let twin = problem.twin(case, steps as i32);
    for &family in families {
        let trained = problem.trained(case, steps, family);
        for (at, before) in before.iter().enumerate() {
            let widths: Vec<_> = problem.network.widths().collect();
            let what = format!("{widths:?} {case:?} {family:?}: layer {at}");
            let part = |part: &str, before, trained, twin| {
                assert_close(&format!("{what}, {part}"), &change(before, trained), &change(before, twin), TOLERANCE);
            };
            part("weights", &before.weights, &trained[at].weights, &twin[at].weights);
            part("bias", &before.bias, &trained[at].bias, &twin[at].bias);
        }
    }
}

/// Finds a momentum that is a sum and not a mean, a side taken for the other, an X that is normalized twice or not, a bias that is orthogonalized
/// with its matrix, a rate or a decay of the other part, a gradient that is clipped in one part only.
#[test]
fn muon_agrees_with_its_twin() {
    // More inputs than units, then more units than inputs; and the other way round. A family a case: drivers compile for long.
    for (width, hidden) in [(11, [6, 13]), (5, [18, 7])] {
        let problem = Problem::new(30, width, &hidden);
        for (at, case) in CASES.into_iter().enumerate() {
            agrees(&problem, case, 4, &families()[at % 4..][..1]);
        }
    }
}

/// Finds tiles and buffers that are right for small matrices only, for square ones, or where the bias begins a block of its own: in every family.
#[test]
fn muon_agrees_with_its_twin_on_larger_matrices() {
    for (width, hidden) in [(70, vec![66, 81]), (8, vec![8, 16, 4])] {
        let case = Case { nesterov: true, weight_decay: 0.1, ..PLAIN };
        agrees(&Problem::new(90, width, &hidden), case, 2, &families());
    }
}

/// Finds a direction that agrees with the twin and is not what Muon is for: for any gradient, X keeps the length of every vector approximately.
#[test]
fn a_direction_is_nearly_orthogonal() {
    let problem = Problem::new(64, 12, &[8]);
    let before = layers(&problem.initial);
    let after = problem.trained(PLAIN, 1, Family::Software);
    let x = change(&before[0].weights, &after[0].weights);
    let random = &mut Random(9);
    for _ in 0..20 {
        let v = random.values(8);
        let length = |values: &[f64]| values.iter().map(|value| value * value).sum::<f64>().sqrt();
        let xv: Vec<f64> =
            x.chunks_exact(8).map(|row| row.iter().zip(&v).map(|(x, v)| x * v).sum::<f64>() / LR).collect();
        let ratio = length(&xv) / length(&v);
        assert!((0.68..1.21).contains(&ratio), "{ratio}");
    }
}

/// Finds a product that is lost or repeated; and bits that differ from run to run.
#[test]
fn muon_takes_the_dispatches_it_promises_and_repeats_its_bits() {
    for (hidden, ns_steps, clip) in
        [(vec![], 5, None), (vec![6], 5, None), (vec![6, 9], 3, None), (vec![6, 9], 5, Some(0.1))]
    {
        let layers = hidden.len() + 1;
        let network = Network::classifier(5, &hidden, Activation::Relu, 3);
        let set = learnable(20, 5, 3, 1);
        let case = Case { ns_steps, clip, ..PLAIN };
        let run = || {
            let options = TrainOptions {
                optimizer: case.optimizer(),
                clip_grad_norm: clip,
                batch_size: 6,
                epochs: 2,
                ..TrainOptions::default()
            };
            let mut trainer = Trainer::on(gpu(), network.clone(), options).unwrap();
            let plan = trainer.plan(&set).unwrap();
            let a_step = plan.dispatches().len() as u64;
            let step = Step { keeps_gradients: clip.is_some(), ..Step::of(layers, &case.optimizer()) };
            assert_dispatches(a_step, step, &format!("{hidden:?} {case:?}"));
            // There is one set of them for any number of layers.
            let directions = plan.buffers().iter().filter(|buffer| matches!(buffer.role, Role::Direction(_))).count();
            assert_eq!(directions, if layers > 1 { 2 } else { 0 });
            let history = trainer.fit(&set, None).unwrap();
            assert_eq!(history.stats.dispatches, a_step * history.stats.steps);
            trainer.weights().unwrap()
        };
        assert_eq!(bits(&run()), bits(&run()), "{hidden:?} {case:?}");
    }
}

/// Finds a buffer that is read and written in one dispatch, or read before it is made; a weight that changes too early; a step that is closed twice,
/// or not at all.
#[test]
fn muon_reads_what_is_made_and_changes_weights_last() {
    use wgrad::kernel::Access;
    for clip in [None, Some(1.0)] {
        let options = TrainOptions {
            optimizer: PLAIN.optimizer(),
            clip_grad_norm: clip,
            batch_size: 4,
            ..TrainOptions::default()
        };
        let network = Network::classifier(5, &[6, 9], Activation::Relu, 3);
        let trainer = Trainer::on(gpu(), network, options).unwrap();
        let plan = trainer.plan(&learnable(20, 5, 3, 1)).unwrap();
        let (mut made, mut updated) = (Vec::new(), Vec::new());
        for dispatch in plan.dispatches() {
            let written: Vec<Role> = dispatch.touches(Access::Write).collect();
            for role in dispatch.touches(Access::Read) {
                let given = matches!(role, Role::Set(_) | Role::Targets | Role::Weights(_));
                assert!(given || made.contains(&role), "{role} is read before it is made");
                assert!(!updated.contains(&role) && !written.contains(&role), "{role}");
            }
            updated.extend(written.iter().copied().filter(|role| matches!(role, Role::Weights(_))));
            made.extend(written);
            assert!(dispatch.roles.len() <= gpu().adapter().max_bindings as usize, "what the adapter binds");
        }
        let closing: Vec<bool> =
            plan.dispatches().iter().map(|dispatch| dispatch.launch.flags.contains(&"closes_step")).collect();
        assert_eq!(closing.iter().position(|&closes| closes), Some(plan.dispatches().len() - 1), "the last one");
        let table = plan.to_string();
        for word in
            ["muon_momentum", "newton_schulz_gram", "newton_schulz_polynomial", "newton_schulz_step", "direction.1"]
        {
            assert!(table.contains(word), "{table}");
        }
    }
}

/// Finds a default that is not PyTorch's, an invalid number of iterations, a ratio of rates that no f32 holds, and a rate of 0 that is divided by.
#[test]
fn muon_has_its_name_and_refuses_invalid_values() {
    let muon = Optimizer::from_name("muon").unwrap();
    assert_eq!((muon.name(), muon.lr, muon.weight_decay), ("muon", 1e-3, 0.1));
    assert_eq!(Optimizer::new(muon.rule), muon);
    muon.check().unwrap();
    let Rule::Muon { momentum, nesterov, match_rms_adamw, eps, ns_steps, .. } = muon.rule else {
        panic!("{:?}", muon.rule);
    };
    assert_eq!((momentum, nesterov, match_rms_adamw, eps, ns_steps), (0.95, true, false, 1e-7, 5.0));

    let mut switched = muon;
    switched.switch("match_rms_adamw", true).unwrap();
    switched.set("ns_steps", 7.0).unwrap();
    switched.check().unwrap();
    for (name, value) in [("ns_steps", 0.0), ("ns_steps", 21.0), ("ns_steps", 2.5), ("eps", 1e-20), ("momentum", 1.0)] {
        let mut bad = muon;
        bad.set(name, value).unwrap();
        let error = bad.check().unwrap_err().to_string();
        assert!(error.contains(&format!("{name} is {value}: it must be ")), "{error}");
    }
    let error = Optimizer { lr: 1e-45, ..muon }.check().unwrap_err().to_string();
    assert!(error.contains("adamw_lr") && error.contains("too far apart"), "{error}");

    let problem = Problem::new(10, 5, &[6]);
    let options = TrainOptions {
        optimizer: Optimizer { lr: 0.0, ..muon },
        steps: Some(2),
        batch_size: 5,
        ..TrainOptions::default()
    };
    let mut trainer = Trainer::on(gpu(), problem.network.clone(), options).unwrap();
    let before = bits(&trainer.weights().unwrap());
    trainer.fit(&problem.set, None).unwrap();
    assert_eq!(bits(&trainer.weights().unwrap()), before, "a rate of 0 is a rate of 0 for both parts");
}
