//! Learning-rate schedules.

use crate::error::Error;
use crate::named::Elsewhere;

/// A learning-rate schedule, in PyTorch's formulas, names and defaults, evaluated on the device in every step.
///
/// ```
/// use wgrad::{Decay, Schedule};
///
/// let cosine = Schedule::new(Decay::Cosine { t_max: None, eta_min: 0.0 }).warmup(500);
/// assert_eq!(cosine.name(), "cosine");
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Schedule {
    /// The factor of the learning rate after the warm-up.
    pub decay: Decay,
    /// Whether time is counted in epochs, with a constant rate in each, as if PyTorch's `scheduler.step()` were called once
    /// an epoch; otherwise time is counted in steps.
    pub by_epoch: bool,
    /// How long the rate first rises linearly, in steps or epochs: `torch.optim.lr_scheduler.LinearLR`. 0 for no warm-up.
    pub warmup: u32,
    /// The share of the rate that the warm-up begins with.
    pub start_factor: f64,
}

/// The factor of the learning rate, as a function of the time t in steps or epochs since the warm-up. A length that is `None` ends with
/// the run.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Decay {
    /// The factor 1.
    Constant,
    /// `StepLR`: γ^⌊t / step_size⌋
    Step {
        /// How long the rate stays the same.
        step_size: f64,
        /// The base γ.
        gamma: f64,
    },
    /// `ExponentialLR`: γ^t
    Exponential {
        /// The base γ.
        gamma: f64,
    },
    /// `PolynomialLR`: (1 − t/T)^power, and 0 from T on.
    Polynomial {
        /// T, where the rate reaches 0.
        total_iters: Option<f64>,
        /// The exponent; 1 gives a straight line.
        power: f64,
    },
    /// `CosineAnnealingLR`: down along half a cosine wave; past T up again. Loshchilov & Hutter, ICLR 2017.
    Cosine {
        /// T, where the rate is lowest.
        t_max: Option<f64>,
        /// The lowest learning rate.
        eta_min: f64,
    },
    /// `OneCycleLR` with two phases: up to the optimizer's rate and down again, each along half a cosine wave. Momentum stays
    /// as it is. Smith & Topin, arXiv:1708.07120 (2017).
    OneCycle {
        /// The whole cycle's length. After it the rate stays at its last value.
        total_steps: Option<f64>,
        /// The share of the cycle in which the rate rises.
        pct_start: f64,
        /// The initial rate is the largest rate divided by this.
        div_factor: f64,
        /// The last rate is the initial rate divided by this.
        final_div_factor: f64,
    },
}

/// Every decay's word, and its default values. A value without a default in PyTorch is 0 here, which the check refuses.
const DECAYS: &[(&str, Decay)] = &[
    ("constant", Decay::Constant),
    ("step", Decay::Step { step_size: 0.0, gamma: 0.1 }),
    ("exponential", Decay::Exponential { gamma: 0.0 }),
    ("polynomial", Decay::Polynomial { total_iters: None, power: 1.0 }),
    ("cosine", Decay::Cosine { t_max: None, eta_min: 0.0 }),
    ("one-cycle", Decay::OneCycle { total_steps: None, pct_start: 0.3, div_factor: 25.0, final_div_factor: 1e4 }),
];

/// The values without a default, each with its decay's word.
const NEEDED: [(&str, &str); 2] = [("step", "step_size"), ("exponential", "gamma")];

/// One of a decay's values.
enum Value<'a> {
    Number(&'a mut f64),
    /// A length of time; `None` lasts to the run's end.
    Time(&'a mut Option<f64>),
}

impl Decay {
    /// The values by name: the one place where they are listed.
    fn values(&mut self) -> Vec<(&'static str, Value<'_>)> {
        match self {
            Decay::Constant => vec![],
            Decay::Step { step_size, gamma } => {
                vec![("step_size", Value::Number(step_size)), ("gamma", Value::Number(gamma))]
            }
            Decay::Exponential { gamma } => vec![("gamma", Value::Number(gamma))],
            Decay::Polynomial { total_iters, power } => {
                vec![("total_iters", Value::Time(total_iters)), ("power", Value::Number(power))]
            }
            Decay::Cosine { t_max, eta_min } => {
                vec![("t_max", Value::Time(t_max)), ("eta_min", Value::Number(eta_min))]
            }
            Decay::OneCycle { total_steps, pct_start, div_factor, final_div_factor } => vec![
                ("total_steps", Value::Time(total_steps)),
                ("pct_start", Value::Number(pct_start)),
                ("div_factor", Value::Number(div_factor)),
                ("final_div_factor", Value::Number(final_div_factor)),
            ],
        }
    }
}

/// Names of decays in other programs, with ours.
const ELSEWHERE: Elsewhere = &[
    (
        &[
            "cosine-annealing",
            "cosineannealinglr",
            "cosine-annealing-lr",
            "cosineannealing",
            "cosine-decay",
            "cosinedecay",
            "cos",
        ],
        "cosine",
    ),
    (&["onecycle", "one-cycle-lr", "onecyclelr", "1cycle", "super-convergence"], "one-cycle"),
    (&["steplr", "step-lr", "staircase", "multistep", "step-decay", "piecewise"], "step"),
    (&["exponentiallr", "exponential-lr", "exp", "exponential-decay", "exponentialdecay"], "exponential"),
    (
        &["linear", "linear-decay", "linearlr", "poly", "polynomiallr", "polynomial-decay"],
        "polynomial, which is linear where its power is 1",
    ),
    (&["none", "no", "fixed", "constantlr", "off"], "constant"),
    (
        &["plateau", "reducelronplateau", "reduce-lr-on-plateau", "reduce-on-plateau"],
        "a table [reduce_on_plateau] in run.toml, which goes with any schedule",
    ),
    (&["warmup", "linear-warmup"], "--warmup N, or warmup under [schedule] in run.toml, which goes with any schedule"),
    (&["cosine-warmup", "cosine-with-warmup", "warmup-cosine"], "cosine, with --warmup N"),
];

impl Default for Schedule {
    /// A constant rate.
    fn default() -> Self {
        Schedule::new(Decay::Constant)
    }
}

impl Schedule {
    /// A decay counted in steps, with no warm-up.
    pub const fn new(decay: Decay) -> Self {
        Schedule { decay, by_epoch: false, warmup: 0, start_factor: 1.0 / 3.0 }
    }

    /// The schedule with this name, with PyTorch's defaults.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for an unknown name, listing the known ones.
    pub fn from_name(name: &str) -> Result<Self, Error> {
        let known = DECAYS.iter().find(|(known, _)| *known == name);
        known.map(|&(_, decay)| Schedule::new(decay)).ok_or_else(|| {
            let words = DECAYS.iter().map(|&(known, _)| known);
            Error::Option(crate::named::unknown(name, "a schedule", words, ELSEWHERE))
        })
    }

    /// The same schedule, counted in epochs.
    #[must_use]
    pub fn by_epoch(self) -> Self {
        Schedule { by_epoch: true, ..self }
    }

    /// The same schedule after a warm-up of `warmup` steps, or epochs where it is counted in them.
    #[must_use]
    pub fn warmup(self, warmup: u32) -> Self {
        Schedule { warmup, ..self }
    }

    /// The decay's word in options and files.
    pub fn name(&self) -> &'static str {
        let same = |known: &Decay| std::mem::discriminant(known) == std::mem::discriminant(&self.decay);
        DECAYS.iter().find(|(_, known)| same(known)).map_or("?", |&(name, _)| name)
    }

    /// Sets one of the values by name.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for a name that the schedule does not have, listing those that it has; for a warm-up that is no whole number.
    pub fn set(&mut self, name: &str, number: f64) -> Result<(), Error> {
        match name {
            "warmup" if number >= 0.0 && number <= f64::from(u32::MAX) && number.fract() == 0.0 => {
                self.warmup = number as u32;
            }
            "warmup" => return Err(Error::Option(format!("warmup is {number}: it must be a whole number"))),
            "start_factor" => self.start_factor = number,
            _ => {
                let mut decay = self.decay;
                match decay.values().into_iter().find(|(known, _)| *known == name) {
                    Some((_, Value::Number(value))) => *value = number,
                    Some((_, Value::Time(value))) => *value = Some(number),
                    None => {
                        let own = self.decay.values().into_iter().map(|(known, _)| known);
                        let names: Vec<&str> = own.chain(["by_epoch", "warmup", "start_factor"]).collect();
                        let takes = names.join(", ");
                        let name_of = Schedule::name(self);
                        return Err(Error::Option(format!("schedule {name_of} has no {name}: it takes {takes}")));
                    }
                }
                self.decay = decay;
            }
        }
        Ok(())
    }

    /// The values by name, as [`set`](Self::set) takes them; without the lengths that end with the run.
    pub(crate) fn values(&self) -> Vec<(&'static str, f64)> {
        let mut decay = self.decay;
        let own = decay.values().into_iter().filter_map(|(name, value)| match value {
            Value::Number(number) => Some((name, *number)),
            Value::Time(time) => Some((name, (*time)?)),
        });
        own.chain([("warmup", self.warmup.into()), ("start_factor", self.start_factor)]).collect()
    }

    /// Checks that every value is in the range of its formula.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] naming the first value that is not, and its range.
    pub fn check(&self) -> Result<(), Error> {
        let refuse = |name: &str, value: f64, right: &str| {
            Err(Error::Option(format!("schedule {}: {name} is {value}: it must be {right}", self.name())))
        };
        if !(0.0..=1.0).contains(&self.start_factor) {
            return refuse("start_factor", self.start_factor, "from 0 to 1");
        }
        let mut decay = self.decay;
        for (name, value) in decay.values() {
            let (value, is_time) = match value {
                Value::Number(value) => (*value, name == "step_size"),
                Value::Time(Some(value)) => (*value, true),
                Value::Time(None) => continue,
            };
            if value == 0.0 && NEEDED.contains(&(self.name(), name)) {
                return Err(Error::Option(format!(
                    "schedule {} needs {name}, above 0, as it has no default: set it under [schedule] in run.toml",
                    self.name()
                )));
            }
            match name {
                "eta_min" if !(0.0..=1e30).contains(&value) => return refuse(name, value, "finite and at least 0"),
                "eta_min" => {}
                "pct_start" if !(value > 0.0 && value < 1.0) => return refuse(name, value, "between 0 and 1"),
                _ if is_time && !(1.0..=f64::from(u32::MAX)).contains(&value) => {
                    return refuse(name, value, "from 1 to 4294967295");
                }
                _ if !(1e-30..=1e30).contains(&value) => return refuse(name, value, "finite and above 0"),
                _ => {}
            }
        }
        Ok(())
    }

    /// The shader module with its `factor_at`.
    pub(crate) fn module(&self) -> &'static str {
        match self.decay {
            Decay::Constant => "schedule/constant",
            Decay::Step { .. } => "schedule/step",
            Decay::Exponential { .. } => "schedule/exponential",
            Decay::Polynomial { .. } => "schedule/polynomial",
            Decay::Cosine { .. } => "schedule/cosine",
            Decay::OneCycle { .. } => "schedule/one_cycle",
        }
    }

    /// The arguments of the module's `factor_at` after the time, in their order, for a learning rate and a run that ends at `end`, in steps or
    /// epochs since the first step.
    pub(crate) fn device_values(&self, end: u64, lr: f64) -> [f32; 4] {
        let whole = |time: Option<f64>| time.unwrap_or_else(|| end.saturating_sub(self.warmup.into()).max(1) as f64);
        match self.decay {
            Decay::Constant => [0.0; 4],
            Decay::Step { step_size, gamma } => [gamma.ln(), step_size, 0.0, 0.0],
            Decay::Exponential { gamma } => [gamma.ln(), 0.0, 0.0, 0.0],
            Decay::Polynomial { total_iters, power } => [whole(total_iters), power, 0.0, 0.0],
            Decay::Cosine { t_max, eta_min } => [whole(t_max), if lr > 0.0 { eta_min / lr } else { 0.0 }, 0.0, 0.0],
            Decay::OneCycle { total_steps, pct_start, div_factor, final_div_factor } => {
                // The phases' last steps, counted from 0. A first phase of one step would be a division by 0.
                let total = whole(total_steps);
                let top = if pct_start * total == 1.0 { 1e-6 } else { pct_start * total - 1.0 };
                [top, total - 1.0, 1.0 / div_factor, 1.0 / (div_factor * final_div_factor)]
            }
        }
        .map(|value| value as f32)
    }
}
