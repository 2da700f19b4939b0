//! Optimizers: rules by which weights follow their gradients.

mod group;
mod rule;
mod treated;

pub use group::ParameterGroup;
pub(crate) use group::{Tensor, Treatment, WeightKind, treatments};
pub use rule::Rule;
use rule::{DECAY, ELSEWHERE, FINITE, ITERATIONS, NORM, POSITIVE, RULES, SHARE};
pub(crate) use treated::Treated;

use crate::constants::Constants;
use crate::error::Error;

/// An optimizer and its hyperparameters, in PyTorch's formulas, names and defaults.
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
    /// The weight decay λ: λw is added to the gradient, or, under AdamW, Lion and Muon, ηλw is subtracted from the weight.
    pub weight_decay: f64,
    /// The rule.
    pub rule: Rule,
}

impl Optimizer {
    /// A rule with PyTorch's learning rate and weight decay for it.
    pub fn new(rule: Rule) -> Self {
        let same = |known: &Rule| std::mem::discriminant(known) == std::mem::discriminant(&rule);
        let (lr, weight_decay) =
            RULES.iter().find(|(.., known)| same(known)).map_or((1e-3, 0.0), |&(_, lr, decay, _)| (lr, decay));
        Optimizer { lr, weight_decay, rule }
    }

    /// Plain gradient descent, without momentum.
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

    /// The same optimizer with another learning rate; other rates of its rule change in proportion.
    pub(crate) fn at_rate(self, lr: f64) -> Self {
        let mut changed = Optimizer { lr, ..self };
        if let Rule::Muon { adamw_lr, .. } = &mut changed.rule
            && self.lr > 0.0
        {
            *adamw_lr *= lr / self.lr;
        }
        changed
    }

    /// The rule's name in options and files.
    pub fn name(&self) -> &'static str {
        let same = |known: &Rule| std::mem::discriminant(known) == std::mem::discriminant(&self.rule);
        match self.rule {
            Rule::Custom(own) => own.name,
            _ => RULES.iter().find(|(.., known)| same(known)).map_or("?", |&(name, ..)| name),
        }
    }

    /// The optimizer with this name, with PyTorch's defaults.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for an unknown name, listing the known ones.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        RULES
            .iter()
            .find(|(known, ..)| *known == name)
            .map(|&(_, lr, weight_decay, rule)| Optimizer { lr, weight_decay, rule })
            .ok_or_else(|| {
                let words = RULES.iter().map(|&(known, ..)| known);
                Error::Option(crate::named::unknown(name, "an optimizer", words, ELSEWHERE))
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

    /// The rule's numbers by name, as [`set`](Self::set) takes them.
    pub(crate) fn values(&self) -> Vec<(&'static str, f64)> {
        { self.rule }.parts().values.into_iter().map(|(name, value, _)| (name, *value)).collect()
    }

    /// The rule's switches by name, as [`switch`](Self::switch) takes them.
    pub(crate) fn switches(&self) -> Vec<(&'static str, bool)> {
        { self.rule }.parts().switches.into_iter().map(|(name, on)| (name, *on)).collect()
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

    /// Checks that every value is in the range of its formula.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] naming the first value that is not, and its range.
    pub fn check(&self) -> Result<(), Error> {
        let mut rule = self.rule;
        let own = rule.parts().values.into_iter().map(|(name, value, range)| (name, *value, range));
        let common = [("the learning rate", self.lr, FINITE), ("weight_decay", self.weight_decay, FINITE)];
        for (name, value, range) in common.into_iter().chain(own) {
            if !range.contains(&value) || (range == ITERATIONS && value.fract() != 0.0) {
                let allowed = if range == DECAY {
                    "in [0, 1)"
                } else if range == SHARE {
                    "from 0 to 1"
                } else if range == POSITIVE {
                    "finite and above 0"
                } else if range == NORM {
                    "finite and at least 1e-15"
                } else if range == ITERATIONS {
                    "a whole number from 1 to 20"
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
            Rule::Muon { adamw_lr, .. } if !FINITE.contains(&self.lr_ratio()) => {
                Err(Error::Option(format!("adamw_lr is {adamw_lr} and the learning rate {}: too far apart", self.lr)))
            }
            _ => Ok(()),
        }
    }

    /// The name and the source of the module that a user wrote.
    pub(crate) fn own_text(&self) -> Option<(&'static str, String)> {
        match self.rule {
            Rule::Custom(own) => Some(("user_optimizer", own.source.into())),
            _ => None,
        }
    }

    /// The number of values kept beside each weight.
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

    /// The factor of the step state's learning rate under the elementwise rule. It is 1, except for Muon's AdamW part, where it is the ratio of
    /// the two learning rates, so that both follow one schedule.
    fn lr_ratio(&self) -> f64 {
        match self.rule {
            Rule::Muon { .. } if self.lr == 0.0 => 0.0,
            Rule::Muon { adamw_lr, .. } => adamw_lr / self.lr,
            _ => 1.0,
        }
    }

    /// The module `optimizer_constants`: every number x of the elementwise rule, in capitals, and `ONE_MINUS_X`, computed exactly before
    /// it is rounded. The learning rate is not among them: it is part of the step state.
    pub(crate) fn constants(&self) -> Constants {
        self.constants_where(false)
    }

    /// The same, where weights `are_grouped`: the decay is a variable that is set for each of them.
    pub(crate) fn constants_where(&self, are_grouped: bool) -> Constants {
        let mut rule = self.rule.elementwise();
        let parts = rule.parts();
        let decay = match are_grouped {
            true => Constants::new().variable_f32("WEIGHT_DECAY"),
            false => Constants::new().f32("WEIGHT_DECAY", self.weight_decay),
        };
        let common = decay.f32("LR_RATIO", self.lr_ratio()).u32("SLOTS", parts.slots);
        parts.values.into_iter().fold(common, |constants, (name, value, _)| {
            let name = name.to_uppercase();
            constants.f32(&name, *value).f32(&format!("ONE_MINUS_{name}"), 1.0 - *value)
        })
    }
}
