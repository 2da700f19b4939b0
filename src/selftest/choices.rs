//! Requests for plans, with choices of every kind, in pairs and at random.

use std::collections::HashSet;

use super::compared::Random;
use super::training;
use crate::activation::Activation;
use crate::error::Error;
use crate::kernel::loss_kernel::LossKernel;
use crate::kernel::row_loss;
use crate::kernel::tile::Family;
use crate::kernel::tiling::Tiling;
use crate::layout::Dense;
use crate::loss::Loss;
use crate::network::Network;
use crate::optimizer::{Optimizer, Rule};
use crate::plan::{Element, Plan, Request, SetLayout};
use crate::schedule::{Decay, Schedule};
use crate::targets::{TargetKind, Targets};
use crate::training::{Clip, Training};

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

/// The purpose of a plan.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Purpose {
    Train,
    Evaluate,
    Measure,
    Gradients,
    Outputs,
}

/// The request for a plan, with all that it refers to, and the choices behind it.
pub struct Case {
    /// The choices in words.
    pub label: String,
    /// The tiling of the plan's adapter.
    pub tiling: Tiling,
    network: Network,
    loss: Loss,
    targets: Targets,
    optimizer: Optimizer,
    schedule: Schedule,
    clip: (Option<Clip>, bool),
    batch: u32,
    set: SetLayout,
    purpose: Purpose,
}

impl Case {
    /// The request for the plan.
    pub fn request(&self) -> Request<'_> {
        let (clip, skips_non_finite) = self.clip;
        let training = Training { clip, skips_non_finite, ..Training::new(&self.optimizer, &self.schedule) };
        let trains = matches!(self.purpose, Purpose::Train | Purpose::Gradients);
        Request {
            network: &self.network,
            loss: &self.loss,
            targets: self.targets,
            training: trains.then_some(training),
            batch: self.batch,
            set: self.set,
            tiling: &self.tiling,
            metrics: self.purpose == Purpose::Measure,
        }
    }

    /// The plan.
    ///
    /// # Errors
    ///
    /// As [`Plan::new`].
    pub fn plan(&self) -> Result<Plan, Error> {
        match self.purpose {
            Purpose::Gradients => Plan::gradients(self.request()),
            Purpose::Outputs => Plan::outputs(self.request()),
            _ => Plan::new(self.request()),
        }
    }
}

/// The layout of the set on the device.
type Set = (Element, bool, usize);

/// All choices of every kind.
pub struct Choices {
    tilings: Vec<Tiling>,
    networks: Vec<&'static [usize]>,
    sets: Vec<Set>,
    /// A user's own first, as with losses and optimizers.
    pub(super) activations: Vec<(Activation, f64)>,
    pub(super) losses: Vec<(Loss, Targets)>,
    pub(super) optimizers: Vec<Optimizer>,
    clips: Vec<(Option<Clip>, bool)>,
    schedules: Vec<Schedule>,
    purposes: Vec<Purpose>,
}

/// One choice of each kind, by its index.
type Choice = [usize; 9];

impl Choices {
    /// All choices.
    ///
    /// # Errors
    ///
    /// None, unless a choice is no longer valid.
    pub fn new() -> Result<Self, Error> {
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
            purposes: vec![Purpose::Train, Purpose::Evaluate, Purpose::Measure, Purpose::Gradients, Purpose::Outputs],
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

    /// Cases that cover every pair of choices of different kinds. For a pair that is not covered yet, the other choices are drawn at random; of a
    /// few draws, the one that covers the most new pairs is taken.
    pub fn in_pairs(&self) -> Vec<Case> {
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
        choices.iter().map(|choice| self.case(choice, None)).collect()
    }

    /// Cases drawn at random: the same in every run. Networks of up to six layers, some of them wide, under minibatches of up to 5,000 rows.
    pub fn at_random(&self, count: usize) -> Vec<Case> {
        let random = &mut Random(17);
        let drawn = |_| {
            let choice = self.counts().map(|count| random.below(count));
            let layers = 1 + random.below(6);
            let mut one_to = |most: [usize; 4]| {
                let most = most[random.below(4)];
                1 + random.below(most)
            };
            let widths = (0..=layers).map(|_| one_to([12, 70, 300, 3000])).collect();
            let batch = one_to([8, 70, 1000, 5000]) as u32;
            self.case(&choice, Some((widths, batch)))
        };
        (0..count).map(drawn).collect()
    }

    /// Cases drawn at random of networks with residual sums, nested up to three deep: the same in every run.
    pub fn with_sums(&self, count: usize) -> Vec<Case> {
        self.drawn_sums(count, Random(19), false)
    }

    /// As [`with_sums`](Self::with_sums), with residuals that are the whole body of others: there, one value is added twice.
    pub fn with_bare_sums(&self, count: usize) -> Vec<Case> {
        self.drawn_sums(count, Random(23), true)
    }

    fn drawn_sums(&self, count: usize, mut random: Random, bare: bool) -> Vec<Case> {
        let random = &mut random;
        let drawn = |_| {
            let choice = self.counts().map(|count| random.below(count));
            let widths = vec![1 + random.below(20), 1 + random.below(70)];
            let case = self.case(&choice, Some((widths.clone(), 1 + random.below(40) as u32)));
            let mut network = Network::new(widths[0]);
            for _ in 0..1 + random.below(3) {
                network = self.layer(network, random, 3);
            }
            if bare {
                let depth = 1 + random.below(3);
                network = self.bare(network, random, depth);
            }
            let network = network.dense(widths[1], Activation::Identity);
            Case { label: format!("{} sums {}", network.shape(), case.label), network, ..case }
        };
        (0..count).map(drawn).collect()
    }

    /// The network with a layer more: a dense one, or, down to some depth, a residual.
    fn layer(&self, network: Network, random: &mut Random, depth: usize) -> Network {
        let mut epilogue = || {
            let (activation, dropout) = self.activations[random.below(self.activations.len())];
            // Half of them have none, as the last layer of a body mostly has.
            if random.below(2) == 0 { (Activation::Identity, 0.0) } else { (activation, dropout) }
        };
        let ((activation, dropout), (inner, inner_dropout)) = (epilogue(), epilogue());
        if depth == 0 || random.below(3) == 0 {
            return network.dense(1 + random.below(30), activation).dropout(dropout);
        }
        let has_shortcut = random.below(3) == 0;
        let width = if has_shortcut { 1 + random.below(30) } else { network.outputs() };
        let mut body = Network::new(network.outputs());
        for _ in 0..random.below(3) {
            body = self.layer(body, random, depth - 1);
        }
        let body = body.dense(width, inner).dropout(inner_dropout);
        let body = if random.below(4) == 0 { self.layer_of_width(body, random, depth - 1) } else { body };
        let network = match has_shortcut {
            true => network.residual_with_shortcut(|_| body, |input| input.dense(width, activation)),
            false => network.residual(|_| body),
        };
        network.activation(activation).dropout(dropout)
    }

    /// The network with a residual more, whose body is another one, down to some depth, with an activation after each or none.
    fn bare(&self, network: Network, random: &mut Random, depth: usize) -> Network {
        let (activation, _) = self.activations[random.below(self.activations.len())];
        let activation = if random.below(2) == 0 { Activation::Identity } else { activation };
        let body = |body: Network| match depth {
            0 => self.layer_of_width(body, random, 1),
            depth => self.bare(body, random, depth - 1),
        };
        network.residual(body).activation(activation)
    }

    /// The network with a residual more, which keeps its width.
    fn layer_of_width(&self, network: Network, random: &mut Random, depth: usize) -> Network {
        let (width, (activation, _)) = (network.outputs(), self.activations[random.below(self.activations.len())]);
        let mut inner = |body: Network| if depth > 0 { self.layer(body, random, depth - 1) } else { body };
        network.residual(|body| inner(body).dense(width, activation))
    }

    /// A choice as a case; of these widths and rows of a minibatch, where they are given.
    fn case(&self, choice: &Choice, sizes: Option<(Vec<usize>, u32)>) -> Case {
        let &[tiling, network, set, activation, loss, optimizer, clip, schedule, purpose] = choice;
        let (widths, batch) = sizes.unwrap_or_else(|| (self.networks[network].to_vec(), 6));
        let label = format!("{widths:?} batch {batch} choices {choice:?}");
        let (element, is_scaled, parts) = self.sets[set];
        let (activation, dropout) = self.activations[activation];
        let (inputs, hidden, outputs) = (widths[0], &widths[1..widths.len() - 1], widths[widths.len() - 1]);
        let network = hidden
            .iter()
            .fold(Network::new(inputs), |network, &width| network.dense(width, activation).dropout(dropout))
            .dense(outputs, Activation::Identity);
        let (loss, targets) = &self.losses[loss];
        Case {
            label,
            tiling: self.tilings[tiling].clone(),
            network,
            loss: with_outputs(loss, outputs),
            targets: *targets,
            optimizer: self.optimizers[optimizer],
            schedule: self.schedules[schedule],
            clip: self.clips[clip],
            batch,
            set: SetLayout { is_scaled, parts, ..SetLayout::whole(element, 40) },
            purpose: self.purposes[purpose],
        }
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
        let sample_weights = case.weighs_rows();
        losses.push((case.loss, Targets { kind, sample_weights, label_bits: 32 }));
    }
    for label_bits in [8, 16] {
        losses.push((Loss::softmax_cross_entropy(), Targets { label_bits, ..Targets::CLASSES }));
    }
    // One is kept of losses that differ only in numbers.
    let mut known = HashSet::new();
    let dense = Dense { batch: 6, inputs: 9, outputs: 3 };
    losses.retain(|(loss, targets)| {
        let launch = row_loss::launch(LossKernel {
            dense,
            places: None,
            strips: None,
            loss,
            targets: loss.targets(*targets),
            training: None,
        });
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
    // A weight decay is a number, and needs no other kernel.
    let others = training::optimizers().into_iter().filter(|optimizer| optimizer.weight_decay == 0.0);
    Ok([Optimizer::new(own)].into_iter().chain(others).chain(muons).collect())
}
