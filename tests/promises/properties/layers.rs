//! Random networks of every kind of layer, most of them of images, beside the f64 interpreter: their gradients, running statistics, outputs and bits.
//!
//! An element of a gradient may differ from the twin's by what f32's rounding makes of it. How much that is depends on the network: the gradient through a norm of
//! two rows is what remains of terms that cancel, and a unit beside a kink of ReLU, or two equal values under a window of a max pool, have another gradient on
//! either side. So the elements that differ by more than the tolerance are compared with the twins of [neighbours](Twin::neighbours), whose values differ as
//! rounding makes them differ: an element may be off by twice what these vary by, and where that is much, it cannot be judged, and is counted.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use wgrad::graph::Value;
use wgrad::kernel::tile::Family;
use wgrad::{Dataset, Gpu, Initializer, Loss, Network, Optimizer, TrainOptions, Trainer, Weights};

use super::case::OPTIMIZERS;
use super::twin::within;
use super::{Devices, first, wanted};
use crate::random_networks::random_network;
use crate::reference::dropout_mask;
use crate::reference::interpreter::{Interpreter, Mask};
use crate::reference::loss::{Targets, mean_loss};
use crate::reference::network::{Layer, layers};
use crate::support::{Random, bits, families};

/// f32 keeps 6e-8 of each number; sums of some hundred terms, one layer after another, lose a few hundred times that, and a wrong tap, mean or mask changes
/// a percent or more.
const TOLERANCE: f64 = 1e-4;
/// Of the network's largest gradient: what is left where terms cancel, as they do in the gradient of a bias before a batch norm, which is 0.
const CANCELLED: f64 = 1e-6;
/// WGSL lets a logarithm between 0.5 and 2 be off by 2⁻²¹, which is 1.6e-6 of softplus at 0.7; the values in between are rounded, too.
const ROUNDING: f64 = 4e-6;
/// With so large a rate, the step dwarfs the weight, and the difference keeps its digits.
const RATE: f64 = 1e4;
/// Cases that a run of 2,000 found, and that every run begins with (docs/soundness.md): norms whose gradients cancel but for some 1e-5 of their terms, so that the twin has to know
/// how f32 rounds them, or that show every digit of the activation before them.
const KEPT: [usize; 6] = [438, 517, 777, 1401, 1562, 1990];
/// A gradient's difference costs two forward passes.
const ELEMENTS: usize = 12;

/// A network, its options and its rows, all of which follow from the seed.
struct Case {
    seed: u64,
    network: Network,
    initial: Weights,
    family: Family,
    optimizer: Optimizer,
    loss: Loss,
    batch: usize,
    rows: usize,
    x: Vec<f64>,
    labels: Vec<i64>,
    values: Vec<f64>,
}

/// A part of a parameter, by its word.
type Part = (&'static str, fn(&Layer) -> &Vec<f64>);

/// Elements of gradients.
#[derive(Default)]
struct Count {
    judged: AtomicUsize,
    excused: AtomicUsize,
}

/// The network's twin in a minibatch.
struct Twin<'a> {
    network: &'a Network,
    mask: Mask<'a>,
    parameters: Vec<Layer>,
    x: &'a [f64],
    loss: &'a dyn Fn(&[f64]) -> f64,
}

impl Twin<'_> {
    fn interpreter(&self) -> Interpreter<'_> {
        Interpreter::training(self.network, self.mask)
    }

    fn gradient(&self) -> Vec<Layer> {
        self.interpreter().some_of_gradient(&self.parameters, self.x, self.loss, ELEMENTS)
    }

    /// The gradients in other arithmetics, in which each value of the forward pass, and the gradient by it, differs by up to [`ROUNDING`] of it.
    fn neighbours(&self) -> Vec<Vec<Layer>> {
        let of = |seed: u64| {
            let rounding = |value: Value, at: usize| {
                let mut hasher = DefaultHasher::new();
                (seed, value, at).hash(&mut hasher);
                1.0 + ROUNDING * Random(hasher.finish()).value()
            };
            let interpreter = self.interpreter().with_rounding(&rounding);
            interpreter.some_of_gradient(&self.parameters, self.x, self.loss, ELEMENTS)
        };
        (0..6).map(of).collect()
    }
}

impl Case {
    fn new(seed: u64) -> Self {
        let network = random_network(seed);
        let random = &mut Random(seed ^ 0x5eed);
        // Mostly with a short last minibatch, of two rows at least, as batch norm needs.
        let (batch, rest) = match random.below(4) {
            0 => (2 + random.below(8), 0),
            _ => {
                let batch = 3 + random.below(3);
                (batch, 2 + random.below(batch - 2))
            }
        };
        let (rows, outputs) = (batch + rest, network.outputs());
        let mut optimizer = Optimizer::from_name(OPTIMIZERS[random.below(OPTIMIZERS.len())]).unwrap();
        optimizer.weight_decay = [0.0, 0.1][random.below(2)];
        // No γ is 1, no β, mean or bias 0 and no variance 1, so that none of them can be forgotten.
        let mut initial = Initializer::Torch.weights(&network, seed);
        for value in initial.layers.iter_mut().flat_map(|layer| layer.weight.iter_mut().chain(&mut layer.bias)) {
            *value += 0.25 * random.value() as f32;
        }
        Case {
            seed,
            family: families()[(seed % 4) as usize],
            optimizer,
            loss: if random.below(2) == 0 { Loss::default() } else { Loss::MeanSquaredError },
            batch,
            rows,
            x: random.values(rows * network.inputs()),
            labels: (0..rows).map(|_| random.below(outputs) as i64).collect(),
            values: random.values(rows * outputs),
            network,
            initial,
        }
    }

    fn set(&self) -> Dataset {
        let features = self.x.iter().map(|&value| value as f32).collect();
        let labels = self.labels.iter().map(|&label| label as u32).collect();
        let set = Dataset::from_f32(features, self.network.inputs(), labels).unwrap();
        match self.loss {
            Loss::MeanSquaredError => {
                let values = self.values.iter().map(|&value| value as f32).collect();
                set.with_targets(values, self.network.outputs()).unwrap()
            }
            _ => set,
        }
    }

    fn options(&self) -> TrainOptions {
        TrainOptions {
            optimizer: self.optimizer,
            loss: self.loss.clone(),
            batch_size: self.batch,
            seed: self.seed,
            family: Some(self.family),
            ..TrainOptions::default()
        }
    }

    fn trainer(&self, gpu: &Arc<Gpu>, options: TrainOptions) -> Result<Trainer, String> {
        let mut trainer =
            Trainer::on(Arc::clone(gpu), self.network.clone(), options).map_err(|e| format!("new: {e}"))?;
        trainer.set_weights(&self.initial).map_err(|error| format!("set_weights: {error}"))?;
        Ok(trainer)
    }

    /// A step of plain gradient descent from the initial weights shows the loss, the gradients and the running statistics of its minibatch. The steps before it
    /// have a rate of 0, and move the running statistics alone.
    fn gradients_agree(&self, gpu: &Arc<Gpu>, count: &Count) -> Result<(), String> {
        let plain = TrainOptions { optimizer: Optimizer::sgd(RATE), shuffle: false, ..self.options() };
        let (set, mut trainer) = (self.set(), self.trainer(gpu, plain)?);
        let fit = |trainer: &mut Trainer, rate, steps| {
            trainer.set_learning_rate(rate).map_err(|error| format!("set_learning_rate: {error}"))?;
            trainer.set_steps(Some(steps));
            trainer.fit(&set, None).map_err(|error| format!("{steps} steps at a rate of {rate}: {error}"))
        };
        let (width, outputs) = (self.network.inputs(), self.network.outputs());
        for step in 0..self.rows.div_ceil(self.batch) {
            trainer.set_weights(&self.initial).map_err(|error| format!("set_weights: {error}"))?;
            if step > 0 {
                fit(&mut trainer, 0.0, step as u64)?;
            }
            let before = layers(&trainer.weights().map_err(|error| format!("weights: {error}"))?);
            let history = fit(&mut trainer, RATE, 1)?;
            let after = layers(&trainer.weights().map_err(|error| format!("weights: {error}"))?);

            let visited = step * self.batch..((step + 1) * self.batch).min(self.rows);
            let targets = match self.loss {
                Loss::MeanSquaredError => Targets::Values(&self.values[visited.start * outputs..visited.end * outputs]),
                _ => Targets::Classes(&self.labels[visited.clone()]),
            };
            let loss = |z: &[f64]| mean_loss(&self.loss, z, &targets, outputs);
            let mask =
                |number, row, unit, units, rate| dropout_mask(self.seed, step as u32, number, row, unit, units, rate);
            let twin = Twin {
                network: &self.network,
                mask: &mask,
                parameters: before,
                x: &self.x[visited.start * width..visited.end * width],
                loss: &loss,
            };
            let what = |of: &str| format!("step {step}, {} rows: {of}", visited.len());
            let values = twin.interpreter().values(&twin.parameters, twin.x);
            let expected = loss(&twin.interpreter().logits(&twin.parameters, twin.x));
            near(&what("loss"), &[history.epochs[0].training.loss], &[expected])?;
            for (&at, moved) in &values.statistics {
                near(&what(&format!("means, parameter {at}")), &after[at].weights, &moved.weights)?;
                near(&what(&format!("variances, parameter {at}")), &after[at].bias, &moved.bias)?;
            }
            self.gradient_agrees(&twin, &after, count).map_err(|reason| what(&reason))?;
        }
        Ok(())
    }

    fn gradient_agrees(&self, twin: &Twin<'_>, after: &[Layer], count: &Count) -> Result<(), String> {
        let expected = twin.gradient();
        let largest = |values: &[f64]| {
            values.iter().filter(|value| !value.is_nan()).fold(0.0, |most, value| value.abs().max(most))
        };
        let trained: Vec<bool> =
            self.network.named_parameters().iter().map(|parameter| parameter.is_trained()).collect();
        let of_all = expected.iter().flat_map(|own| [largest(&own.weights), largest(&own.bias)]).fold(0.0, f64::max);
        let mut neighbours = None;
        for at in (0..expected.len()).filter(|&at| trained[at]) {
            let parts: [Part; 2] = [("weight", |own| &own.weights), ("bias", |own| &own.bias)];
            for (part, of) in parts {
                let (before, after, expected) = (of(&twin.parameters[at]), of(&after[at]), of(&expected[at]));
                let allowed = TOLERANCE * largest(expected) + CANCELLED * of_all;
                for i in (0..expected.len()).filter(|&i| !expected[i].is_nan()) {
                    count.judged.fetch_add(1, Ordering::Relaxed);
                    let found = (before[i] - after[i]) / RATE;
                    let off = (found - expected[i]).abs();
                    if within(off, allowed) {
                        continue;
                    }
                    let varies = neighbours
                        .get_or_insert_with(|| twin.neighbours())
                        .iter()
                        .map(|own| (of(&own[at])[i] - expected[i]).abs())
                        .fold(0.0, f64::max);
                    if !within(off, 2.0 * varies) {
                        return Err(format!(
                            "gradient by {part} {i} of parameter {at} is {found:e}, and the twin's {:e}; allowed {allowed:e}; neighbours vary by {varies:e}; \
                             largest {of_all:e}",
                            expected[i]
                        ));
                    }
                    count.excused.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
        Ok(())
    }

    /// Two epochs, and the same once more a step at a time, have the same bits; and what the trained network makes of all rows is the twin's.
    fn outputs_and_bits_agree(&self, gpu: &Arc<Gpu>) -> Result<(), String> {
        let set = self.set();
        let run = |steps_per_submission| -> Result<(Trainer, Weights, Vec<u64>), String> {
            let mut trainer = self.trainer(gpu, TrainOptions { epochs: 2, steps_per_submission, ..self.options() })?;
            let history = trainer.fit(&set, None).map_err(|error| format!("fit: {error}"))?;
            let losses = history.epochs.iter().map(|epoch| epoch.training.loss.to_bits()).collect();
            let weights = trainer.weights().map_err(|error| format!("weights: {error}"))?;
            Ok((trainer, weights, losses))
        };
        let (mut trainer, weights, losses) = run(None)?;
        let logits = |trainer: &mut Trainer| trainer.logits(&set).map_err(|error| format!("logits: {error}"));
        let z = logits(&mut trainer)?;
        let (mut trainer, again, losses_again) = run(Some(1))?;
        let to_bits = |values: &[f32]| values.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
        if bits(&weights) != bits(&again) || losses != losses_again || to_bits(&z) != to_bits(&logits(&mut trainer)?) {
            return Err("a second run has other bits than the first".into());
        }
        let z: Vec<f64> = z.into_iter().map(f64::from).collect();
        near("outputs", &z, &Interpreter::evaluating(&self.network).logits(&layers(&weights), &self.x))
    }
}

/// Each number is as near to the expected one as rounding brings it, of the largest.
fn near(what: &str, found: &[f64], expected: &[f64]) -> Result<(), String> {
    let largest = expected.iter().fold(0.0, |most: f64, value| most.max(value.abs()));
    if found.len() != expected.len() {
        return Err(format!("{what}: {} numbers, and the twin has {}", found.len(), expected.len()));
    }
    match (0..found.len()).find(|&at| !within(found[at] - expected[at], TOLERANCE * largest)) {
        Some(at) => Err(format!(
            "{what}: number {at} is {}, and the twin's {}; the largest is {largest}",
            found[at], expected[at]
        )),
        None => Ok(()),
    }
}

/// Finds a kernel, a fusion or a place in memory that is wrong for some size, some neighbour in the graph, some family or a short minibatch only; and sums whose
/// order is not fixed.
#[test]
fn random_layers_agree_with_their_twins() {
    let (first, wanted) = (first(), wanted());
    let seeds = |at: usize| KEPT.into_iter().chain(first..first + wanted).nth(at);
    let all = KEPT.len() + wanted;
    for seed in KEPT {
        let words = Case::new(seed as u64).network.layers_to_json();
        assert!(
            words.contains("_norm"),
            "the seed {seed} is kept for its norms, and its network is another now: {words}"
        );
    }
    let (next, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
    // Of those that are kept, many elements are excused: that is why they are.
    let (count, of_kept, failures) = (Count::default(), Count::default(), Mutex::new(vec![]));
    let work = || {
        let devices = Devices::new();
        while let Some(seed) = seeds(next.fetch_add(1, Ordering::Relaxed)) {
            let (gpu, case) = (devices.next(), Case::new(seed as u64));
            let count = if KEPT.contains(&seed) { &of_kept } else { &count };
            let agreed = case.gradients_agree(&gpu, count).and_then(|()| case.outputs_and_bits_agree(&gpu));
            if let Err(reason) = agreed {
                let (shape, of) = (case.network.shape(), case.network.input());
                let optimizer = case.optimizer.name();
                failures.lock().unwrap().push(format!(
                    "seed {seed}, {of:?}, {shape}, {:?}, {optimizer}, {} rows of minibatches of {}: {reason}",
                    case.family, case.rows, case.batch
                ));
            }
            // Thousands of networks take hours.
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            if done % 50 == 0 {
                eprintln!("{done} of {all} networks, {} failed", failures.lock().unwrap().len());
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let failures = failures.into_inner().unwrap();
    let (judged, excused) = (count.judged.into_inner(), count.excused.into_inner());
    println!("{all} networks, {excused} of {judged} elements of gradients could not be judged");
    assert!(failures.is_empty(), "{} of {all} networks:\n{}", failures.len(), failures.join("\n\n"));
    assert!(50 * excused <= judged, "{excused} of {judged} elements could not be judged");
}
