//! How weights follow their gradients.

use std::ops::RangeInclusive;
use std::path::Path;

use crate::Error;
use crate::kernel::Constants;
use crate::wgsl::{Signature, Wgsl, check_name};

/// An optimizer and its values, in PyTorch's formulas, names and defaults.
///
/// ```
/// use wgrad::{Optimizer, Rule};
///
/// let adam = Optimizer::adam(1e-3);
/// let nesterov = Optimizer { lr: 0.05, ..Optimizer::new(Rule::Sgd { momentum: 0.9, nesterov: true }) };
/// assert_eq!((adam.name(), nesterov.name()), ("adam", "sgd"));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimizer {
    /// The learning rate η.
    pub lr: f64,
    /// λ: added to the gradient as λw, or, under AdamW and Lion, taken from the weight as ηλw.
    pub weight_decay: f64,
    /// The rule.
    pub rule: Rule,
}

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
        /// Whether the largest second moment so far is taken: Reddi, Kale & Kumar, ICLR 2018.
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
        /// Whether the largest second moment so far is taken.
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
    /// One that a user wrote; see [`Rule::custom`].
    Custom(Wgsl),
}

/// Every rule's word, its default learning rate and weight decay, and the rule with its defaults: PyTorch's.
const RULES: &[(&str, f64, f64, Rule)] = &[
    ("sgd", 1e-3, 0.0, Rule::Sgd { momentum: 0.0, nesterov: false }),
    ("adagrad", 1e-2, 0.0, Rule::Adagrad { eps: 1e-10 }),
    ("adadelta", 1.0, 0.0, Rule::Adadelta { rho: 0.9, eps: 1e-6 }),
    ("rmsprop", 1e-2, 0.0, Rule::RmsProp { alpha: 0.99, eps: 1e-8, momentum: 0.0, centered: false }),
    ("adam", 1e-3, 0.0, Rule::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, amsgrad: false }),
    ("adamw", 1e-3, 1e-2, Rule::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, amsgrad: false }),
    ("nadam", 2e-3, 0.0, Rule::NAdam { beta1: 0.9, beta2: 0.999, eps: 1e-8, momentum_decay: 4e-3 }),
    ("lion", 1e-4, 0.0, Rule::Lion { beta1: 0.9, beta2: 0.99 }),
];

/// What a rule is made of, by name: the one place where a rule's values are listed.
struct Parts<'a> {
    /// The shader module with its `updated` and `scalars_after`.
    module: &'static str,
    /// Values kept beside each weight.
    slots: u32,
    /// Numbers, with the range of each.
    values: Vec<(&'static str, &'a mut f64, RangeInclusive<f64>)>,
    /// Yes or no. Those that are on are flags of the shader.
    switches: Vec<(&'static str, &'a mut bool)>,
    /// Flags of the shader that follow from the rest.
    flags: Vec<&'static str>,
}

/// Averages decay by less than 1.
const DECAY: RangeInclusive<f64> = 0.0..=1.0 - 1e-7;
/// Devices may take subnormal numbers for 0.
const POSITIVE: RangeInclusive<f64> = 1.2e-38..=f32::MAX as f64;
const FINITE: RangeInclusive<f64> = 0.0..=f32::MAX as f64;

/// The most values that a user's rule may keep beside each weight.
const MOST_KEPT: u32 = 8;

impl Rule {
    /// A rule of one's own for each weight: WGSL with `fn update(w: f32, g: f32, lr: f32, t: f32) -> f32`, which gives the
    /// weight after step t (from 1) from the one before it, its gradient and the learning rate. A rule that keeps values beside
    /// each weight, at first 0, takes a fifth argument, `kept: ptr<function, array<f32, N>>`, N up to 8. It is fused as the
    /// others are. A weight of 0 whose gradient is 0 has to stay 0, as a trainer makes sure before it trains. The text stays in
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

    /// A rule of one's own from a file, named as the file is without its ending.
    ///
    /// # Errors
    ///
    /// As [`custom`](Self::custom), and [`Error::Io`].
    pub fn read(path: impl AsRef<Path>) -> Result<Self, Error> {
        let (name, source) = Wgsl::read(path.as_ref())?;
        Self::custom(&name, &source)
    }

    fn parts(&mut self) -> Parts<'_> {
        match self {
            Rule::Sgd { momentum, nesterov } => {
                let moves = *momentum > 0.0;
                Parts {
                    module: "optimizer/sgd",
                    slots: u32::from(moves),
                    values: vec![("momentum", momentum, FINITE)],
                    switches: vec![("nesterov", nesterov)],
                    flags: if moves { vec!["momentum"] } else { vec![] },
                }
            }
            Rule::Adagrad { eps } => Parts {
                module: "optimizer/adagrad",
                slots: 1,
                values: vec![("eps", eps, POSITIVE)],
                switches: vec![],
                flags: vec![],
            },
            Rule::Adadelta { rho, eps } => Parts {
                module: "optimizer/adadelta",
                slots: 2,
                values: vec![("rho", rho, DECAY), ("eps", eps, POSITIVE)],
                switches: vec![],
                flags: vec![],
            },
            Rule::RmsProp { alpha, eps, momentum, centered } => {
                let moves = *momentum > 0.0;
                Parts {
                    module: "optimizer/rmsprop",
                    slots: 1 + u32::from(moves) + u32::from(*centered),
                    values: vec![("alpha", alpha, DECAY), ("eps", eps, POSITIVE), ("momentum", momentum, FINITE)],
                    switches: vec![("centered", centered)],
                    flags: if moves { vec!["momentum"] } else { vec![] },
                }
            }
            Rule::Adam { beta1, beta2, eps, amsgrad } => adam(beta1, beta2, eps, amsgrad, vec![]),
            Rule::AdamW { beta1, beta2, eps, amsgrad } => adam(beta1, beta2, eps, amsgrad, vec!["decoupled"]),
            Rule::NAdam { beta1, beta2, eps, momentum_decay } => Parts {
                module: "optimizer/nadam",
                slots: 2,
                values: vec![
                    ("beta1", beta1, DECAY),
                    ("beta2", beta2, DECAY),
                    ("eps", eps, POSITIVE),
                    ("momentum_decay", momentum_decay, FINITE),
                ],
                switches: vec![],
                flags: vec![],
            },
            Rule::Lion { beta1, beta2 } => Parts {
                module: "optimizer/lion",
                slots: 1,
                values: vec![("beta1", beta1, DECAY), ("beta2", beta2, DECAY)],
                switches: vec![],
                flags: vec![],
            },
            Rule::Custom(own) => Parts {
                module: "optimizer/custom",
                slots: own.kept,
                values: vec![],
                switches: vec![],
                flags: if own.kept > 0 { vec!["keeps"] } else { vec![] },
            },
        }
    }
}

fn adam<'a>(
    beta1: &'a mut f64,
    beta2: &'a mut f64,
    eps: &'a mut f64,
    amsgrad: &'a mut bool,
    flags: Vec<&'static str>,
) -> Parts<'a> {
    Parts {
        module: "optimizer/adam",
        slots: 2 + u32::from(*amsgrad),
        values: vec![("beta1", beta1, DECAY), ("beta2", beta2, DECAY), ("eps", eps, POSITIVE)],
        switches: vec![("amsgrad", amsgrad)],
        flags,
    }
}

impl Optimizer {
    /// A rule with PyTorch's learning rate and weight decay for it.
    pub fn new(rule: Rule) -> Self {
        let same = |known: &Rule| std::mem::discriminant(known) == std::mem::discriminant(&rule);
        let (lr, weight_decay) =
            RULES.iter().find(|(.., known)| same(known)).map_or((1e-3, 0.0), |&(_, lr, decay, _)| (lr, decay));
        Optimizer { lr, weight_decay, rule }
    }

    /// Gradient descent.
    pub fn sgd(lr: f64) -> Self {
        Optimizer { lr, ..Optimizer::new(Rule::Sgd { momentum: 0.0, nesterov: false }) }
    }

    /// Adam with PyTorch's defaults: β 0.9 and 0.999, ε 1e-8.
    pub fn adam(lr: f64) -> Self {
        Optimizer { lr, ..Optimizer::new(Rule::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8, amsgrad: false }) }
    }

    /// Adam with Keras' values: learning rate 1e-3, β 0.9 and 0.999, ε 1e-7. The formula stays PyTorch's, which adds ε after
    /// the second moment's correction, where Keras adds it before.
    pub fn keras_adam() -> Self {
        Optimizer::new(Rule::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-7, amsgrad: false })
    }

    /// The rule's word in options and files.
    pub fn name(&self) -> &'static str {
        let same = |known: &Rule| std::mem::discriminant(known) == std::mem::discriminant(&self.rule);
        match self.rule {
            Rule::Custom(own) => own.name,
            _ => RULES.iter().find(|(.., known)| same(known)).map_or("?", |&(name, ..)| name),
        }
    }

    /// The optimizer that a word stands for, with PyTorch's defaults.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] with the words there are.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        RULES
            .iter()
            .find(|(known, ..)| *known == name)
            .map(|&(_, lr, weight_decay, rule)| Optimizer { lr, weight_decay, rule })
            .ok_or_else(|| {
                let words = RULES.iter().map(|&(known, ..)| known);
                Error::Option(crate::named::unknown(name, "an optimizer", words))
            })
    }

    /// Sets one of the rule's numbers by name.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] with the names that the rule has.
    pub fn set(&mut self, name: &str, number: f64) -> Result<(), Error> {
        let mut rule = self.rule;
        match rule.parts().values.into_iter().find(|(known, ..)| *known == name) {
            Some((_, value, _)) => *value = number,
            None => return Err(self.has_no(name)),
        }
        self.rule = rule;
        Ok(())
    }

    /// Turns one of the rule's switches on or off by name.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] with the names that the rule has.
    pub fn switch(&mut self, name: &str, on: bool) -> Result<(), Error> {
        let mut rule = self.rule;
        match rule.parts().switches.into_iter().find(|(known, _)| *known == name) {
            Some((_, value)) => *value = on,
            None => return Err(self.has_no(name)),
        }
        self.rule = rule;
        Ok(())
    }

    fn has_no(&self, name: &str) -> Error {
        let mut rule = self.rule;
        let parts = rule.parts();
        let names: Vec<&str> = ["lr", "weight_decay"]
            .into_iter()
            .chain(parts.values.iter().map(|(name, ..)| *name))
            .chain(parts.switches.iter().map(|(name, _)| *name))
            .collect();
        Error::Option(format!("optimizer {} has no {name}: it takes {}", self.name(), names.join(", ")))
    }

    /// That every value is one the formulas can take.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] naming the value and its range.
    pub fn check(&self) -> Result<(), Error> {
        let mut rule = self.rule;
        let own = rule.parts().values.into_iter().map(|(name, value, range)| (name, *value, range));
        let common = [("the learning rate", self.lr, FINITE), ("weight_decay", self.weight_decay, FINITE)];
        for (name, value, range) in common.into_iter().chain(own) {
            if !range.contains(&value) {
                let allowed = if range == DECAY {
                    "in [0, 1)"
                } else if range == POSITIVE {
                    "finite and above 0"
                } else {
                    "finite and at least 0"
                };
                return Err(Error::Option(format!("{name} is {value}: it must be {allowed}")));
            }
        }
        match self.rule {
            Rule::Sgd { momentum: 0.0, nesterov: true } => {
                Err(Error::Option("nesterov needs a momentum above 0".into()))
            }
            _ => Ok(()),
        }
    }

    /// The module that a user wrote.
    pub(crate) fn own_text(&self) -> Option<(&'static str, String)> {
        match self.rule {
            Rule::Custom(own) => Some(("user_optimizer", own.source.into())),
            _ => None,
        }
    }

    /// Values kept beside each weight.
    pub(crate) fn slots(&self) -> u32 {
        { self.rule }.parts().slots
    }

    /// The shader module with its `updated` and `scalars_after`.
    pub(crate) fn module(&self) -> &'static str {
        { self.rule }.parts().module
    }

    /// The flags that the module is linked with.
    pub(crate) fn flags(&self) -> Vec<&'static str> {
        let mut rule = self.rule;
        let parts = rule.parts();
        let on = parts.switches.into_iter().filter(|(_, on)| **on).map(|(name, _)| name);
        parts.flags.into_iter().chain(on).collect()
    }

    /// The module `optimizer_constants`: every number in capitals, and what it lacks to 1, exact before it is rounded. The
    /// learning rate is not among them: it lives in the step state.
    pub(crate) fn constants(&self) -> Constants {
        let mut rule = self.rule;
        let parts = rule.parts();
        let common = Constants::new().f32("WEIGHT_DECAY", self.weight_decay).u32("SLOTS", parts.slots);
        parts.values.into_iter().fold(common, |constants, (name, value, _)| {
            let name = name.to_uppercase();
            constants.f32(&name, *value).f32(&format!("ONE_MINUS_{name}"), 1.0 - *value)
        })
    }
}
