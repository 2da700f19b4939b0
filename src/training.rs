//! What a training step is besides the network and the loss.

use crate::augmentation::Augmentation;
use crate::constants::Constants;
use crate::optimizer::{Optimizer, ParameterGroup, Treated};
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
    /// The parts that a step's minibatch comes in: their gradients are added up before the weights are updated. 1 for a minibatch as a whole.
    pub accumulate: u32,
    /// Those of them that this process computes, where a minibatch is cut into shards; `accumulate` is 1 then.
    pub shards: Option<Shards>,
    /// The decay of the moving average of the weights, where there is one.
    pub average: Option<f64>,
    /// The weights that are treated otherwise than the optimizer says.
    pub groups: Groups<'a>,
}

/// The shards that a minibatch is cut into, of as many rows each, and those of them that a process computes. Gradients are added up in one binary tree over all
/// shards, in their order, so that a run has the same bits however many processes share them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shards {
    /// How many there are: a power of two.
    pub all: u32,
    /// The first that this process computes.
    pub first: u32,
    /// How many it computes, from there: a power of two.
    pub own: u32,
    /// Whether each process updates its weights by its own shards alone, so that gradients are means over their rows.
    pub local: bool,
}

impl Shards {
    /// The shards of the process with this number, of `processes` that have as many each.
    pub fn of_process(all: u32, process: u32, processes: u32) -> Self {
        let own = all / processes;
        Shards { all, first: process * own, own, local: false }
    }

    /// How many means of gradients there are of a minibatch's rows.
    pub(crate) fn means(self) -> u32 {
        if self.local { self.all / self.own } else { 1 }
    }
}

impl<'a> Training<'a> {
    /// The optimizer and the schedule alone.
    pub fn new(optimizer: &'a Optimizer, schedule: &'a Schedule) -> Self {
        Training {
            optimizer,
            schedule,
            clip: None,
            skips_non_finite: false,
            augmentation: None,
            accumulate: 1,
            shards: None,
            average: None,
            groups: Groups::default(),
        }
    }

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

    /// The same, of the update of one parameter.
    pub(crate) fn of_parameter(self, parameter: usize) -> Self {
        Training { groups: Groups { own: self.groups.of(parameter), ..self.groups }, ..self }
    }

    /// How the parameter whose update this is is treated, where that is otherwise than the optimizer says.
    pub(crate) fn own(self) -> Option<Treated> {
        self.groups.own.filter(|own| !own.is_plain(self.optimizer))
    }

    /// The modules, constants and flags of a kernel that updates weights.
    pub(crate) fn update_parts(self) -> UpdateParts {
        let (clip_flags, clip_constants) = self.clip_parts();
        let own = self.own();
        let mut constants =
            vec![("optimizer_constants", self.optimizer.constants_where(own.is_some()).text()), clip_constants];
        constants.extend(self.optimizer.own_text());
        let mut mount = ("optimizer", self.optimizer.module());
        if let Some(own) = own {
            // A module that sets the rate and the decay of a weight before it calls the rule.
            let rule = format!(
                "@publish import package::{}::{{Slots, Updated, keep, slots_at, updated}};\n",
                mount.1.replace('/', "::")
            );
            let slots = format!("@publish import package::{}::slots;\n", mount.1.replace('/', "::"));
            constants.push(("rule", if self.optimizer.slots() > 0 { rule + &slots } else { rule }));
            constants.push(("group_constants", own.constants().text()));
            mount.1 = "optimizer/grouped";
        }
        UpdateParts { mount, constants, flags: [self.optimizer.flags(), clip_flags].concat() }
    }
}

/// See [`Training::update_parts`].
pub(crate) struct UpdateParts {
    pub mount: (&'static str, &'static str),
    pub constants: Vec<(&'static str, String)>,
    pub flags: Vec<&'static str>,
}

/// The weights that are treated otherwise than the optimizer says, as they were asked for, and as a network has them.
#[derive(Clone, Copy, Debug, Default)]
pub struct Groups<'a> {
    asked: &'a [ParameterGroup],
    /// Of every parameter, once the network is known; empty where nothing is asked for.
    treated: &'a [Treated],
    /// Of the parameter whose update it is.
    own: Option<Treated>,
}

impl<'a> Groups<'a> {
    /// These groups, of which the first that matches a weight counts.
    pub fn new(asked: &'a [ParameterGroup]) -> Self {
        Groups { asked, ..Groups::default() }
    }

    pub(crate) fn asked(self) -> &'a [ParameterGroup] {
        self.asked
    }

    /// The same, once it is known how each parameter of the network is treated.
    pub(crate) fn treating(self, treated: &'a [Treated]) -> Self {
        Groups { treated, ..self }
    }

    /// How a parameter is treated, where groups are asked for.
    pub(crate) fn of(self, parameter: usize) -> Option<Treated> {
        self.treated.get(parameter).copied()
    }

    /// Whether none of a parameter's weights is updated.
    pub(crate) fn is_frozen(self, parameter: usize) -> bool {
        self.of(parameter).is_some_and(Treated::is_frozen)
    }
}

/// How gradients are clipped.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Clip {
    /// All together are scaled down to this norm: `torch.nn.utils.clip_grad_norm_`.
    Norm(f64),
    /// Each is cut off at this value and its negative: `torch.nn.utils.clip_grad_value_`.
    Value(f64),
}
