//! The optimizers' rules, their names and their hyperparameters.

use std::ops::RangeInclusive;
use std::path::Path;

use crate::error::Error;
use crate::named::Elsewhere;
use crate::wgsl::{Signature, Wgsl, check_name};

/// An optimizer's rule, without the learning rate. The formulas stand in `shaders/optimizer/`.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// `torch.optim.SGD`: gradient descent, with momentum where it is not 0.
    Sgd {
        /// μ
        momentum: f64,
        /// Whether to look ahead by the momentum.
        nesterov: bool,
    },
    /// `torch.optim.Adagrad`: Duchi, Hazan & Singer, JMLR 2011.
    Adagrad {
        /// Added to the root.
        eps: f64,
    },
    /// `torch.optim.Adadelta`: Zeiler, arXiv:1212.5701 (2012).
    Adadelta {
        /// Decay of both averages.
        rho: f64,
        /// Added inside the roots.
        eps: f64,
    },
    /// `torch.optim.RMSprop`: Tieleman & Hinton, Coursera lecture 6.5 (2012).
    RmsProp {
        /// Decay of the averages.
        alpha: f64,
        /// Added to the root.
        eps: f64,
        /// μ
        momentum: f64,
        /// Whether the mean gradient's square is subtracted from the mean square.
        centered: bool,
    },
    /// `torch.optim.Adam`: Kingma & Ba, ICLR 2015.
    Adam {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        eps: f64,
        /// Whether the largest second moment so far is used: Reddi, Kale & Kumar, ICLR 2018.
        amsgrad: bool,
    },
    /// `torch.optim.AdamW`: Loshchilov & Hutter, ICLR 2019. As Adam, with decoupled weight decay.
    AdamW {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        eps: f64,
        /// Whether the largest second moment so far is used.
        amsgrad: bool,
    },
    /// `torch.optim.NAdam`: Dozat, ICLR workshop 2016.
    NAdam {
        /// Decay of the first moment, before its own decay.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        eps: f64,
        /// How fast the momentum approaches `beta1`.
        momentum_decay: f64,
    },
    /// Chen et al., "Symbolic discovery of optimization algorithms", NeurIPS 2023. Weight decay is decoupled.
    Lion {
        /// Share of the momentum in the step.
        beta1: f64,
        /// Decay of the momentum.
        beta2: f64,
    },
    /// `torch.optim.Muon`: Jordan et al., "Muon: an optimizer for hidden layers in neural networks" (2024), for the matrix of
    /// every layer except the last; AdamW for the last layer's matrix and for every bias. The momentum is orthogonalized by
    /// Newton–Schulz iterations in f32, where PyTorch uses bf16: the weights agree with PyTorch's to bf16's precision, and with
    /// the result of its code in float64 to f32's precision.
    Muon {
        /// μ: the average moves by 1 − μ of the gradient.
        momentum: f64,
        /// Whether the direction is the gradient moved towards the average, in place of the average itself.
        nesterov: bool,
        /// Whether a matrix `[out, in]` moves by 0.2 √max(out, in) · η, about as far as AdamW would move it (PyTorch's
        /// `adjust_lr_fn="match_rms_adamw"`), and not by √max(1, out/in) · η.
        match_rms_adamw: bool,
        /// The smallest norm that a direction is divided by.
        eps: f64,
        /// Newton–Schulz iterations: a whole number from 1 to 20.
        ns_steps: f64,
        /// AdamW's learning rate. It follows η's schedule in proportion, and an η of 0 makes it 0 too.
        adamw_lr: f64,
        /// AdamW's decay of the first moment.
        beta1: f64,
        /// AdamW's decay of the second moment.
        beta2: f64,
        /// AdamW's addend to the root of the second moment.
        adamw_eps: f64,
    },
    /// A rule that a user wrote; see [`Rule::custom`].
    Custom(Wgsl),
}

/// Every rule's name, its default learning rate and weight decay, and the rule with its default values, all as in PyTorch.
pub(super) const RULES: &[(&str, f64, f64, Rule)] = &[
    ("sgd", 1e-3, 0.0, Rule::Sgd { momentum: 0.0, nesterov: false }),
    ("adagrad", 1e-2, 0.0, Rule::Adagrad { eps: 1e-10 }),
    ("adadelta", 1.0, 0.0, Rule::Adadelta { rho: 0.9, eps: 1e-6 }),
    ("rmsprop", 1e-2, 0.0, Rule::RmsProp { alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false }),
    ("adam", 1e-3, 0.0, Rule::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, amsgrad: false }),
    ("adamw", 1e-3, 1e-2, Rule::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, amsgrad: false }),
    ("nadam", 2e-3, 0.0, Rule::NAdam { beta1: 0.9, beta2: 0.999, eps: 1e-8, momentum_decay: 4e-3 }),
    ("lion", 1e-4, 0.0, Rule::Lion { beta1: 0.9, beta2: 0.99 }),
    ("muon", 1e-3, 0.1, MUON),
];

/// Names of optimizers in other programs, with ours.
pub(super) const ELSEWHERE: Elsewhere = &[
    (&["adam-w", "adamw-torch", "decoupled-adam"], "adamw"),
    (&["rms-prop", "rmsprop-tf"], "rmsprop"),
    (&["ada-grad"], "adagrad"),
    (&["ada-delta"], "adadelta"),
    (&["nesterov", "nag"], "sgd, with a momentum and nesterov = true under [optimizer] in run.toml"),
    (
        &["momentum", "sgdm", "sgd-momentum", "heavy-ball"],
        "sgd, with --momentum 0.9 or momentum under [optimizer] in run.toml",
    ),
    (&["gradient-descent", "gd", "vanilla"], "sgd"),
    (&["amsgrad"], "adam, with amsgrad = true under [optimizer] in run.toml"),
    (&["n-adam"], "nadam"),
    (
        &["adamax", "radam", "lamb", "adafactor", "lars", "lbfgs", "l-bfgs", "rprop", "ftrl", "sophia", "asgd"],
        "adam or adamw, or a rule of your own in WGSL",
    ),
];

const MUON: Rule = Rule::Muon {
    momentum: 0.95,
    nesterov: true,
    match_rms_adamw: false,
    eps: 1e-7,
    ns_steps: 5.0,
    adamw_lr: 1e-3,
    beta1: 0.9,
    beta2: 0.999,
    adamw_eps: 1e-8,
};

/// The parts of a rule: its shader module and, by name, its values. This is the one list of a rule's values.
pub(super) struct Parts<'a> {
    /// The shader module with its `updated` and `scalars_after`.
    pub module: &'static str,
    /// The number of values kept beside each weight.
    pub slots: u32,
    /// The rule's numbers: name, value and range of each.
    pub values: Vec<(&'static str, &'a mut f64, RangeInclusive<f64>)>,
    /// The rule's switches. The names of switches that are on become flags of the shader.
    pub switches: Vec<(&'static str, &'a mut bool)>,
    /// Flags of the shader that follow from the rest.
    pub flags: Vec<&'static str>,
}

impl<'a> Parts<'a> {
    /// A rule without switches.
    fn plain(module: &'static str, slots: u32, values: Vec<(&'static str, &'a mut f64, RangeInclusive<f64>)>) -> Self {
        Parts { module, slots, values, switches: vec![], flags: vec![] }
    }

    /// The same with a switch.
    fn switched(mut self, name: &'static str, switch: &'a mut bool) -> Self {
        self.switches.push((name, switch));
        self
    }

    /// The same with a flag of the shader, where it is set.
    fn flagged(mut self, name: &'static str, is_set: bool) -> Self {
        self.flags.extend(is_set.then_some(name));
        self
    }
}

/// The range of a momentum: above 1, it would grow even with gradients of 0.
pub(super) const SHARE: RangeInclusive<f64> = 0.0..=1.0;
/// The range of an average's decay, which must be below 1.
pub(super) const DECAY: RangeInclusive<f64> = 0.0..=1.0 - 1e-7;
/// The range of numbers above 0, without the subnormal ones, which devices may flush to 0.
pub(super) const POSITIVE: RangeInclusive<f64> = 1.2e-38..=f32::MAX as f64;
pub(super) const FINITE: RangeInclusive<f64> = 0.0..=f32::MAX as f64;
/// The range of a norm to divide by: the square of its inverse is still a finite f32.
pub(super) const NORM: RangeInclusive<f64> = 1e-15..=f32::MAX as f64;
/// The range of a number of iterations, which must be a whole number.
pub(super) const ITERATIONS: RangeInclusive<f64> = 1.0..=20.0;

/// The most values that a user's rule may keep beside each weight.
const MOST_KEPT: u32 = 8;

impl Rule {
    /// A user's own rule for each weight: WGSL source with `fn update(w: f32, g: f32, lr: f32, t: f32) -> f32`, which gives the
    /// weight after step t (counted from 1), given the weight before it, its gradient and the learning rate. A rule that keeps values beside
    /// each weight, initially 0, takes a fifth argument, `kept: ptr<function, array<f32, N>>`, N up to 8. It is fused as the
    /// others are. A weight of 0 whose gradient is 0 has to stay 0; a trainer checks this before it trains. The text stays in
    /// memory for the life of the program.
    ///
    /// ```
    /// use wgrad::{Optimizer, Rule};
    ///
    /// let rule = Rule::custom("signum", "
    ///     fn update(w: f32, g: f32, lr: f32, t: f32, kept: ptr<function, array<f32, 1>>) -> f32 {
    ///         (*kept)[0] = 0.9 * (*kept)[0] + 0.1 * g;
    ///         return w - lr * sign((*kept)[0]);
    ///     }
    /// ")?;
    /// let signum = Optimizer { lr: 1e-4, ..Optimizer::new(rule) };
    /// assert_eq!(signum.name(), "signum");
    /// # Ok::<(), wgrad::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// [`Error::Wgsl`] with the line that is wrong or the function that is missing, for more values than 8, and for the name
    /// of a built-in rule.
    pub fn custom(name: &str, source: &str) -> Result<Self, Error> {
        const SIGNATURES: &[Signature] =
            &[Signature { name: "update", arguments: &["w", "g", "lr", "t"], may_keep: true }];
        check_name(name, "an optimizer", RULES.iter().map(|&(known, ..)| known))?;
        let own = Wgsl::new(name, source, SIGNATURES)?;
        if own.kept > MOST_KEPT {
            let reason = format!("it keeps {} values beside each weight: the most is {MOST_KEPT}", own.kept);
            return Err(Error::Wgsl { name: name.into(), reason });
        }
        Ok(Rule::Custom(own))
    }

    /// Reads a user's own rule from a file. Its name is the file's without the extension.
    ///
    /// # Errors
    ///
    /// As [`custom`](Self::custom), and [`Error::Io`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let (name, source) = Wgsl::read(path.as_ref())?;
        Self::custom(&name, &source)
    }

    pub(super) fn parts(&mut self) -> Parts<'_> {
        match self {
            Rule::Sgd { momentum, nesterov } => {
                let moves = *momentum > 0.0;
                Parts::plain("optimizer/sgd", u32::from(moves), vec![("momentum", momentum, SHARE)])
                    .switched("nesterov", nesterov)
                    .flagged("momentum", moves)
            }
            Rule::Adagrad { eps } => Parts::plain("optimizer/adagrad", 1, vec![("eps", eps, POSITIVE)]),
            Rule::Adadelta { rho, eps } => {
                Parts::plain("optimizer/adadelta", 2, vec![("rho", rho, DECAY), ("eps", eps, POSITIVE)])
            }
            Rule::RmsProp { alpha, eps, momentum, centered } => {
                let moves = *momentum > 0.0;
                let slots = 1 + u32::from(moves) + u32::from(*centered);
                let values = vec![("alpha", alpha, DECAY), ("eps", eps, POSITIVE), ("momentum", momentum, SHARE)];
                Parts::plain("optimizer/rmsprop", slots, values)
                    .switched("centered", centered)
                    .flagged("momentum", moves)
            }
            Rule::Adam { beta1, beta2, eps, amsgrad } => adam(beta1, beta2, eps, amsgrad),
            Rule::AdamW { beta1, beta2, eps, amsgrad } => adam(beta1, beta2, eps, amsgrad).flagged("decoupled", true),
            Rule::NAdam { beta1, beta2, eps, momentum_decay } => Parts::plain(
                "optimizer/nadam",
                2,
                vec![
                    ("beta1", beta1, DECAY),
                    ("beta2", beta2, DECAY),
                    ("eps", eps, POSITIVE),
                    ("momentum_decay", momentum_decay, FINITE),
                ],
            ),
            Rule::Lion { beta1, beta2 } => {
                Parts::plain("optimizer/lion", 1, vec![("beta1", beta1, DECAY), ("beta2", beta2, DECAY)])
            }
            Rule::Muon { momentum, nesterov, match_rms_adamw, eps, ns_steps, adamw_lr, beta1, beta2, adamw_eps } => {
                let values = vec![
                    ("momentum", momentum, DECAY),
                    ("eps", eps, NORM),
                    ("ns_steps", ns_steps, ITERATIONS),
                    ("adamw_lr", adamw_lr, FINITE),
                    ("beta1", beta1, DECAY),
                    ("beta2", beta2, DECAY),
                    ("adamw_eps", adamw_eps, POSITIVE),
                ];
                Parts::plain("optimizer/adam", 2, values)
                    .switched("nesterov", nesterov)
                    .switched("match_rms_adamw", match_rms_adamw)
                    .flagged("decoupled", true)
            }
            Rule::Custom(own) => Parts::plain("optimizer/custom", own.kept, vec![]).flagged("keeps", own.kept > 0),
        }
    }

    /// The elementwise rule: the rule itself, or for Muon the rule of its AdamW part.
    pub(super) fn elementwise(self) -> Rule {
        match self {
            Rule::Muon { beta1, beta2, adamw_eps: eps, .. } => Rule::AdamW { beta1, beta2, eps, amsgrad: false },
            rule => rule,
        }
    }
}

fn adam<'a>(beta1: &'a mut f64, beta2: &'a mut f64, eps: &'a mut f64, amsgrad: &'a mut bool) -> Parts<'a> {
    let values = vec![("beta1", beta1, DECAY), ("beta2", beta2, DECAY), ("eps", eps, POSITIVE)];
    Parts::plain("optimizer/adam", 2 + u32::from(*amsgrad), values).switched("amsgrad", amsgrad)
}
