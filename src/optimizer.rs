//! How weights follow their gradients.

use crate::Error;
use crate::kernel::Constants;

/// An optimizer and its values, in PyTorch's formulas and names.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Optimizer {
    /// The learning rate η.
    pub lr: f64,
    /// The rule.
    pub rule: Rule,
}

/// An optimizer's rule, without the learning rate.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Rule {
    /// `w ← w − η g`: `torch.optim.SGD`.
    Sgd,
    /// Kingma & Ba, ICLR 2015: `torch.optim.Adam`.
    Adam {
        /// Decay of the first moment.
        beta1: f64,
        /// Decay of the second moment.
        beta2: f64,
        /// Added to the root of the second moment.
        eps: f64,
    },
}

impl Optimizer {
    /// Gradient descent.
    pub fn sgd(lr: f64) -> Self {
        Optimizer { lr, rule: Rule::Sgd }
    }

    /// Adam with PyTorch's defaults: β 0.9 and 0.999, ε 1e-8.
    pub fn adam(lr: f64) -> Self {
        Optimizer { lr, rule: Rule::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-8 } }
    }

    /// Adam with Keras' values: learning rate 1e-3, β 0.9 and 0.999, ε 1e-7. The formula stays PyTorch's, which adds ε after
    /// the second moment's correction, where Keras adds it before.
    pub fn keras_adam() -> Self {
        Optimizer { lr: 1e-3, rule: Rule::Adam { beta1: 0.9, beta2: 0.999, eps: 1e-7 } }
    }

    /// The rule's word in options and files.
    pub fn name(&self) -> &'static str {
        match self.rule {
            Rule::Sgd => "sgd",
            Rule::Adam { .. } => "adam",
        }
    }

    /// The optimizer that a word stands for, with PyTorch's defaults (learning rate 1e-3 for both).
    ///
    /// # Errors
    ///
    /// [`Error::Option`] with the words there are.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        match name {
            "sgd" => Ok(Optimizer::sgd(1e-3)),
            "adam" => Ok(Optimizer::adam(1e-3)),
            _ => Err(Error::Option(format!("\"{name}\" is not an optimizer: use one of adam, sgd"))),
        }
    }

    /// That every value is one the formulas can take.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] naming the value and its range.
    pub fn check(&self) -> Result<(), Error> {
        let require = |holds: bool, name: &str, value: f64, range: &str| {
            if holds { Ok(()) } else { Err(Error::Option(format!("{name} is {value}: it must be {range}"))) }
        };
        let finite = |value: f64| (value as f32).is_finite();
        require(finite(self.lr) && self.lr >= 0.0, "the learning rate", self.lr, "finite and at least 0")?;
        match self.rule {
            Rule::Sgd => Ok(()),
            Rule::Adam { beta1, beta2, eps } => {
                require((0.0..1.0).contains(&beta1), "beta1", beta1, "in [0, 1)")?;
                require((0.0..1.0).contains(&beta2), "beta2", beta2, "in [0, 1)")?;
                // Devices may take subnormal numbers for 0.
                require(finite(eps) && eps as f32 >= f32::MIN_POSITIVE, "eps", eps, "finite and above 0")
            }
        }
    }

    /// Values kept beside each weight.
    pub(crate) fn slots(&self) -> u32 {
        match self.rule {
            Rule::Sgd => 0,
            Rule::Adam { .. } => 2,
        }
    }

    /// The shader module with its `updated` and `scalars_after`.
    pub(crate) fn module(&self) -> &'static str {
        match self.rule {
            Rule::Sgd => "optimizer/sgd",
            Rule::Adam { .. } => "optimizer/adam",
        }
    }

    /// The module `optimizer_constants`. The learning rate is not among them: it lives in the step state.
    pub(crate) fn constants(&self) -> Constants {
        match self.rule {
            Rule::Sgd => Constants::new(),
            Rule::Adam { beta1, beta2, eps } => Constants::new()
                .f32("BETA1", beta1)
                .f32("ONE_MINUS_BETA1", 1.0 - beta1)
                .f32("BETA2", beta2)
                .f32("ONE_MINUS_BETA2", 1.0 - beta2)
                .f32("EPS", eps),
        }
    }
}
