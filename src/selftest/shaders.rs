//! Every shader that a plan can ask for on any adapter, or enough of them: made with no device, to be translated for all.
//!
//! Tiles: each under each product, and each kind of tile with each kind of input. All else comes from plans as training makes them: for every
//! two choices of different kinds (kinds of adapter, networks, sets, activations, losses, optimizers, clippings, schedules, purposes) there is a plan
//! that has both. What is wrong with a shader is seldom the doing of three.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use super::compared::Random;
use super::kernels::layer;
use super::problem::{Adam1, plain};
use super::training;
use crate::error::Error;
use crate::kernel::link::link_for_browsers;
use crate::kernel::row_loss::{self, Lossy};
use crate::kernel::tile::{Family, Tile};
use crate::kernel::tiling::Tiling;
use crate::kernel::{
    Clip, Dense, Input, Launch, TargetKind, Targets, Training, dense_backward, dense_forward, dense_update, probe,
    textbook,
};
use crate::loss::Loss;
use crate::network::{Activation, Network};
use crate::optimizer::{Optimizer, Rule};
use crate::plan::{Element, Plan, Request, SetLayout};
use crate::schedule::{Decay, Schedule};

/// Every kind of adapter that kernels are chosen for.
pub const FAMILIES: [Family; 9] = [
    Family::Reference,
    Family::Software,
    Family::Hardware,
    Family::Subgroups { lanes: 4, words_64: false },
    Family::Subgroups { lanes: 8, words_64: false },
    Family::Subgroups { lanes: 16, words_64: false },
    Family::Subgroups { lanes: 4, words_64: true },
    Family::Subgroups { lanes: 8, words_64: true },
    Family::Subgroups { lanes: 16, words_64: true },
];

/// The launches, each once, with the kind of adapter that has them.
///
/// # Errors
///
/// None, unless a choice has become one that no plan takes.
pub fn every_launch() -> Result<Vec<(Family, Launch)>, Error> {
    let mut every = Every::default();
    tiles(&mut every);
    let choices = Choices::new()?;
    for choice in choices.in_pairs() {
        choices.plan(&choice, &mut every)?;
    }
    every.add(Family::Reference, textbook::launch(5, 19, 7));
    every.add(Family::Reference, probe::activation(choices.activations[0].0, 64));
    every.add(Family::Reference, probe::loss(&choices.losses[0].0, 64));
    every.add(Family::Reference, probe::optimizer(&choices.optimizers[0]));
    Ok(every.launches)
}

/// Writes what a browser would be given of them to files of a folder, and says how many. What needs words of 64 bits, which browsers do not
/// have, is left out.
///
/// # Errors
///
/// [`Error::Io`] where they cannot be written.
pub fn write_for_browsers(folder: &Path) -> Result<usize, Error> {
    std::fs::create_dir_all(folder).map_err(Error::io(folder))?;
    let launches = every_launch()?;
    let browsers = launches.iter().filter(|(family, _)| !matches!(family, Family::Subgroups { words_64: true, .. }));
    let mut count = 0;
    for (at, (_, launch)) in browsers.enumerate() {
        let variant: String = launch.variant.chars().map(|c| if c.is_alphanumeric() { c } else { '_' }).collect();
        let kernel = launch.kernel.replace('/', "_");
        let file: PathBuf = folder.join(format!("{at:04}_{kernel}_{variant}.wgsl"));
        std::fs::write(&file, link_for_browsers(launch)?).map_err(Error::io(&file))?;
        count = at + 1;
    }
    Ok(count)
}

/// Different launches.
#[derive(Default)]
struct Every {
    launches: Vec<(Family, Launch)>,
    known: HashSet<String>,
}

impl Every {
    /// The launch, and the one of its slices where it has one.
    fn add(&mut self, family: Family, mut launch: Launch) {
        if let Some(first) = launch.partials.as_mut().and_then(|partials| partials.written_by.take()) {
            self.add(family, *first);
        }
        if self.known.insert(launch.identity()) {
            self.launches.push((family, launch));
        }
    }
}

/// Every tile under every product, and every kind of tile with every input.
fn tiles(every: &mut Every) {
    const INPUTS: [Input; 4] = [Input::SetU8, Input::Activations, Input::SetF16, Input::SetF32];
    let dense = Dense { batch: 33, inputs: 45, outputs: 70 };
    let optimizer = Adam1::optimizer();
    let closes = dense_update::Step { closes: true, ..Default::default() };
    for family in FAMILIES {
        for (at, tile) in family.variants().into_iter().enumerate() {
            every.add(family, dense_backward::launch(dense, layer(Activation::Relu), tile));
            // The first two of a family, whole and in slices, with every input.
            let inputs = if at < 2 || tile == Tile::Naive { &INPUTS[..] } else { &INPUTS[at % 4..][..1] };
            for &input in inputs {
                every.add(family, dense_forward::launch(dense, input, layer(Activation::Relu), None, tile));
                every.add(family, dense_update::launch(dense, input, plain(&optimizer), tile, closes));
            }
        }
    }
}

/// What a plan is made for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Purpose {
    Train,
    Evaluate,
    Measure,
    TellGradients,
}

/// How the minibatch's rows lie on the device.
type Set = (Element, bool, usize);

/// Everything that there is to choose from, by kind.
struct Choices {
    tilings: Vec<Tiling>,
    networks: Vec<&'static [usize]>,
    sets: Vec<Set>,
    activations: Vec<(Activation, f64)>,
    losses: Vec<(Loss, Targets)>,
    optimizers: Vec<Optimizer>,
    clips: Vec<(Option<Clip>, bool)>,
    schedules: Vec<Schedule>,
    purposes: Vec<Purpose>,
}

/// One of each kind, by its place.
type Choice = [usize; 9];

impl Choices {
    fn new() -> Result<Self, Error> {
        let bindings = |family: Family| [8, 32].map(|most_bindings| Tiling { most_bindings, ..Tiling::of(family) });
        let schedules = [
            Decay::Constant,
            Decay::Step { step_size: 3.0, gamma: 0.5 },
            Decay::Exponential { gamma: 0.9 },
            Decay::Polynomial { total_iters: Some(9.0), power: 2.0 },
            Decay::Cosine { t_max: Some(9.0), eta_min: 0.0 },
            Decay::OneCycle { total_steps: Some(9.0), pct_start: 0.3, div_factor: 25.0, final_div_factor: 1e4 },
        ];
        Ok(Choices {
            tilings: FAMILIES.into_iter().flat_map(bindings).collect(),
            // One layer; few and many outputs; several layers; products that are cut into slices on a GPU.
            networks: vec![&[9, 2], &[9, 20, 10], &[9, 6, 70], &[30, 20, 50, 7], &[2100, 8, 2048]],
            sets: vec![
                (Element::U8, false, 1),
                (Element::F16, false, 1),
                (Element::F32, false, 1),
                (Element::U8, true, 1),
                (Element::F32, true, 2),
                (Element::F16, false, 2),
            ],
            activations: activations()?,
            losses: losses()?,
            optimizers: optimizers()?,
            clips: vec![
                (None, false),
                (Some(Clip::Norm(1.0)), false),
                (Some(Clip::Value(0.1)), false),
                (None, true),
                (Some(Clip::Norm(1.0)), true),
            ],
            schedules: schedules.map(|decay| Schedule::new(decay).warmup(2)).to_vec(),
            purposes: vec![Purpose::Train, Purpose::Evaluate, Purpose::Measure, Purpose::TellGradients],
        })
    }

    fn counts(&self) -> Choice {
        [
            self.tilings.len(),
            self.networks.len(),
            self.sets.len(),
            self.activations.len(),
            self.losses.len(),
            self.optimizers.len(),
            self.clips.len(),
            self.schedules.len(),
            self.purposes.len(),
        ]
    }

    /// Choices in which every two of different kinds meet. Where two are still to meet, all others are drawn; of a few draws, the one in which
    /// the most meet that did not before.
    fn in_pairs(&self) -> Vec<Choice> {
        const DRAWS: usize = 16;
        let (counts, random) = (self.counts(), &mut Random(11));
        let pairs = |choice: &Choice| {
            let choice = *choice;
            (0..9).flat_map(move |a| (a + 1..9).map(move |b| (a, choice[a], b, choice[b])))
        };
        let mut met: HashSet<(usize, usize, usize, usize)> = HashSet::new();
        let mut choices = vec![];
        for (a, b) in (0..9).flat_map(|a| (a + 1..9).map(move |b| (a, b))) {
            for (x, y) in (0..counts[a]).flat_map(|x| (0..counts[b]).map(move |y| (x, y))) {
                if met.contains(&(a, x, b, y)) {
                    continue;
                }
                let draws: Vec<Choice> = (0..DRAWS)
                    .map(|_| {
                        let mut choice = counts.map(|count| random.below(count));
                        (choice[a], choice[b]) = (x, y);
                        choice
                    })
                    .collect();
                let new = |choice: &&Choice| pairs(choice).filter(|pair| !met.contains(pair)).count();
                if let Some(&best) = draws.iter().max_by_key(new) {
                    met.extend(pairs(&best));
                    choices.push(best);
                }
            }
        }
        choices
    }

    /// The launches of one choice's plan.
    fn plan(&self, choice: &Choice, every: &mut Every) -> Result<(), Error> {
        let &[tiling, network, set, activation, loss, optimizer, clip, schedule, purpose] = choice;
        let (tiling, (element, is_scaled, parts)) = (&self.tilings[tiling], self.sets[set]);
        let (activation, dropout) = self.activations[activation];
        let widths = self.networks[network];
        let (inputs, hidden, outputs) = (widths[0], &widths[1..widths.len() - 1], widths[widths.len() - 1]);
        let network = hidden
            .iter()
            .fold(Network::new(inputs), |network, &width| network.dense(width, activation).dropout(dropout))
            .dense(outputs, Activation::Identity);
        let (loss, targets) = &self.losses[loss];
        let loss = &with_outputs(loss, outputs);
        let (clip, skips_non_finite) = self.clips[clip];
        let training = Training {
            optimizer: &self.optimizers[optimizer],
            schedule: &self.schedules[schedule],
            clip,
            skips_non_finite,
        };
        let purpose = self.purposes[purpose];
        let trains = matches!(purpose, Purpose::Train | Purpose::TellGradients);
        let request = Request {
            network: &network,
            loss,
            targets: *targets,
            training: trains.then_some(training),
            batch: 6,
            set: SetLayout { is_scaled, parts, ..SetLayout::whole(element, 40) },
            tiling,
            metrics: purpose == Purpose::Measure,
        };
        let plan = if purpose == Purpose::TellGradients { Plan::gradients(request)? } else { Plan::new(request)? };
        plan.dispatches.into_iter().for_each(|dispatch| every.add(tiling.family, dispatch.launch));
        Ok(())
    }
}

/// Every activation, some with units that drop out; a user's own first.
fn activations() -> Result<Vec<(Activation, f64)>, Error> {
    let softsign = "fn activate(z: f32) -> f32 { return z / (1.0 + abs(z)); }
        fn derivative(z: f32) -> f32 { return 1.0 / ((1.0 + abs(z)) * (1.0 + abs(z))); }";
    let own = Activation::custom("softsign", softsign)?;
    let named = ["relu", "leaky-relu", "elu", "gelu", "gelu-tanh", "silu", "tanh", "sigmoid", "softplus", "identity"];
    let named = named.into_iter().map(str::parse).collect::<Result<Vec<Activation>, _>>()?;
    let with_dropout = [(Activation::Relu, 0.3), (Activation::Gelu, 0.3), (own, 0.3)];
    Ok([(own, 0.0)].into_iter().chain(named.into_iter().map(|named| (named, 0.0))).chain(with_dropout).collect())
}

/// Losses with the forms of their targets that have kernels of their own; a user's own first.
fn losses() -> Result<Vec<(Loss, Targets)>, Error> {
    let log_cosh = "fn loss(z: f32, t: f32) -> f32 { return log(cosh(z - t)); }
        fn derivative(z: f32, t: f32) -> f32 { return tanh(z - t); }";
    let values = Targets { kind: TargetKind::Values, ..Targets::CLASSES };
    let mut losses = vec![(Loss::custom("log-cosh", log_cosh)?, values)];
    for case in training::losses(3) {
        let kind = if case.labels.is_some() { TargetKind::Classes } else { TargetKind::Values };
        let sample_weights = case.weights.iter().any(|&weight| weight != 1.0);
        losses.push((case.loss, Targets { kind, sample_weights, label_bits: 32 }));
    }
    for label_bits in [8, 16] {
        losses.push((Loss::softmax_cross_entropy(), Targets { label_bits, ..Targets::CLASSES }));
    }
    // Of those that differ in numbers alone, one.
    let mut known = HashSet::new();
    let dense = Dense { batch: 6, inputs: 9, outputs: 3 };
    losses.retain(|(loss, targets)| {
        let launch = row_loss::launch(Lossy { dense, loss, targets: loss.targets(*targets), training: None });
        known.insert(format!("{:?}", (launch.mounts, launch.flags)))
    });
    Ok(losses)
}

/// The loss with as many weights as there are outputs, where it has any.
fn with_outputs(loss: &Loss, outputs: usize) -> Loss {
    let mut loss = loss.clone();
    if let Loss::SoftmaxCrossEntropy { class_weights: Some(weights), .. }
    | Loss::SigmoidCrossEntropy { pos_weight: Some(weights), .. } = &mut loss
    {
        weights.resize(outputs, 1.0);
    }
    loss
}

/// Optimizers with kernels of their own; a user's own first.
fn optimizers() -> Result<Vec<Optimizer>, Error> {
    let signum = "fn update(w: f32, g: f32, lr: f32, t: f32, kept: ptr<function, array<f32, 1>>) -> f32 {
            (*kept)[0] = 0.9 * (*kept)[0] + 0.1 * g;
            return w - lr * sign((*kept)[0]);
        }";
    let own = Rule::custom("signum", signum)?;
    let muon = |nesterov: bool, match_rms_adamw: bool, ns_steps: f64| Rule::Muon {
        momentum: 0.9,
        nesterov,
        match_rms_adamw,
        eps: 1e-7,
        ns_steps,
        adamw_lr: 0.01,
        beta1: 0.9,
        beta2: 0.999,
        adamw_eps: 1e-7,
    };
    let muons = [muon(true, false, 2.0), muon(false, true, 1.0)].map(Optimizer::new);
    // Every second has a weight decay, which is a number.
    let others = training::optimizers().into_iter().step_by(2);
    Ok([Optimizer::new(own)].into_iter().chain(others).chain(muons).collect())
}
