//! What a training step is besides the network and the loss.

use crate::augmentation::Augmentation;
use crate::constants::Constants;
use crate::optimizer::Optimizer;
use crate::schedule::Schedule;

/// What a training step is besides the network and the loss.
#[derive(Clone, Copy, Debug)]
pub struct Training<'a> {
    /// How weights follow their gradients.
    pub optimizer: &'a Optimizer,
    /// How the learning rate changes.
    pub schedule: &'a Schedule,
    /// How gradients are clipped.
    pub clip: Option<Clip>,
    /// Whether a step changes nothing where any gradient is not finite.
    pub skips_non_finite: bool,
    /// Random changes of the images that it trains on.
    pub augmentation: Option<Augmentation>,
}

impl Training<'_> {
    /// Whether every gradient has to be known before the first weight is updated.
    pub fn keeps_gradient(self) -> bool {
        self.skips_non_finite || matches!(self.clip, Some(Clip::Norm(_)))
    }

    /// How gradients are clipped, and whether steps are skipped: flags, and the constants of module `clipped`.
    pub(crate) fn clip_parts(self) -> (Vec<&'static str>, (&'static str, String)) {
        let (mut flags, constants) = match self.clip {
            Some(Clip::Norm(norm)) => (vec!["clips_norm"], Constants::new().f32("MAX_NORM", norm)),
            Some(Clip::Value(value)) => (vec!["clips_value"], Constants::new().f32("MAX_VALUE", value)),
            None => (vec![], Constants::new()),
        };
        if self.skips_non_finite {
            flags.push("skips");
        }
        (flags, ("clip_constants", constants.text()))
    }

    /// The modules, constants and flags of a kernel that updates weights.
    pub(crate) fn update_parts(self) -> UpdateParts {
        let (clip_flags, clip_constants) = self.clip_parts();
        let own = [("optimizer_constants", self.optimizer.constants().text()), clip_constants];
        UpdateParts {
            mount: ("optimizer", self.optimizer.module()),
            constants: own.into_iter().chain(self.optimizer.own_text()).collect(),
            flags: [self.optimizer.flags(), clip_flags].concat(),
        }
    }
}

/// See [`Training::update_parts`].
pub(crate) struct UpdateParts {
    pub mount: (&'static str, &'static str),
    pub constants: Vec<(&'static str, String)>,
    pub flags: Vec<&'static str>,
}

/// How gradients are clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// All together are scaled down to this norm: `torch.nn.utils.clip_grad_norm_`.
    Norm(f64),
    /// Each is cut off at this value and its negative: `torch.nn.utils.clip_grad_value_`.
    Value(f64),
}
