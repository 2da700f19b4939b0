//! The end of the forward pass and the beginning of the backward one, for few outputs, by teams of invocations.

use super::binding::{Access, Binding};
use super::input::Input;
use super::launch::Launch;
use super::loss_kernel::LossKernel;
use super::tile::Family;
use crate::activation::Epilogue;

/// Quads of logits and of their gradients that an invocation has room for.
const ROOM: u32 = 12;

/// The invocations that compute the logits of a row together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Team {
    /// The lanes of a subgroup: 4, 8 or 16 of them.
    Subgroup {
        /// Invocations in the subgroup.
        lanes: u32,
        /// Whether four values are loaded as two words of 64 bits.
        words_64: bool,
    },
    /// A workgroup of this many invocations, which exchange values through shared memory.
    Workgroup(u32),
}

impl Team {
    /// The team for a family, if it has one: where a barrier costs more than the loads that it saves, it has none.
    pub fn of(family: Family) -> Option<Team> {
        match family {
            Family::Subgroups { lanes, words_64 } => Some(Team::Subgroup { lanes, words_64 }),
            Family::Hardware => Some(Team::Workgroup(32)),
            Family::Software | Family::Reference => None,
        }
    }

    fn members(self) -> u32 {
        match self {
            Team::Subgroup { lanes, .. } => lanes,
            Team::Workgroup(members) => members,
        }
    }

    /// Rows of a team: as many as an invocation has room for.
    fn rows(self, out_quads: u32, batch: u32) -> u32 {
        let most = self.members().min(batch.next_multiple_of(4));
        [8, 4, 2].into_iter().find(|&rows| rows <= most && rows * out_quads <= ROOM).unwrap_or(1)
    }
}

/// Reads the last layer's input, weights and the targets; writes the logits' gradient and the running sums, and the gradient of the
/// layer `below`, if there is one. Where nothing is trained, the logits are written instead.
pub fn launch(loss_kernel: LossKernel<'_>, input: Input, below: Option<Epilogue>, team: Team) -> Launch {
    let dense = loss_kernel.dense;
    let rows = team.rows(dense.out_quads(), dense.batch);
    let mut launch = loss_kernel.launch("team_head", team.members(), rows);
    launch.bindings.extend([(Binding::Input, Access::Read), (Binding::Weights, Access::Read)]);
    launch.mounts.push(("input", input.module()));
    launch.cost.flops += dense.flops();
    launch.cost.bytes += input.bytes(dense) + dense.weights_bytes();
    match team {
        Team::Subgroup { words_64, .. } => {
            launch.mounts.push(("team", "team/subgroup"));
            launch.flags.push("lanes");
            launch.flags.extend(words_64.then_some("words_64"));
        }
        Team::Workgroup(_) => launch.mounts.push(("team", "team/workgroup")),
    }
    if loss_kernel.training.is_none() {
        launch.bindings.push((Binding::Output, Access::Write));
        launch.flags.extend(dense.one_in_own_quad().then_some("one_in_own_quad"));
    } else if let Some(below) = below {
        launch.flags.push("input_gradient");
        launch.mounts.push(("activation", below.activation.module()));
        launch.bindings.push((Binding::InputGradient, Access::Write));
        if below.keeps_derivative() {
            launch.flags.push("keeps_derivative");
            launch.bindings.push((Binding::Derivatives, Access::Read));
        }
        launch.cost.flops += 2 * u64::from(dense.batch) * u64::from(dense.inputs) * u64::from(dense.outputs);
        launch.cost.bytes += 16 * u64::from(dense.batch) * u64::from(dense.inputs.div_ceil(4));
    }
    let constants = launch.constants.iter_mut().find(|(name, _)| *name == "constants");
    if let Some((_, text)) = constants {
        text.push_str(
            &crate::constants::Constants::new()
                .u32("IN", dense.inputs)
                .u32("IN_QUADS", dense.inputs.div_ceil(4))
                .u32("ROWS", rows)
                .u32("TEAM", team.members())
                .text(),
        );
    }
    launch
}
