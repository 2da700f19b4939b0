//! What kernels that take stages are given of a group: its epilogue, and the buffers that the stages read.

use super::super::Role;
use super::super::homes::Homes;
use super::super::step::{Group, Step};
use crate::activation::Epilogue;
use crate::error::Error;
use crate::kernel::Binding;

/// The stages of a group in the forward pass.
pub(super) struct Forward {
    pub epilogue: Epilogue,
    /// Whether a residual is added.
    pub adds: bool,
    /// What tells the masks of its dropout from those of others, where it trains.
    pub trains: Option<usize>,
    /// The output, and what the stages bind.
    pub values: Vec<(Binding, Role)>,
    /// The number of the layer whose output it is.
    pub layer: usize,
}

/// The stages of a group in the backward pass.
pub(super) struct Backward {
    /// The activation and the dropout that are derived, if any.
    pub below: Option<Epilogue>,
    /// Whether another gradient is added.
    pub adds: bool,
    /// The result, and what the stages bind.
    pub values: Vec<(Binding, Role)>,
}

impl Forward {
    pub fn of(step: &Step<'_>, homes: &Homes, group: &Group) -> Result<Self, Error> {
        let (stages, output) = (step.stages(&group.nodes), homes.role(step, step.end(group))?);
        let layer = if let Role::Activations(layer) = output { layer } else { 0 };
        let addend = stages.addend.map(|addend| homes.role(step, addend)).transpose()?;
        let values = [(Binding::Output, output)].into_iter().chain(addend.map(|role| (Binding::Residual, role)));
        Ok(Forward {
            epilogue: stages.epilogue,
            adds: addend.is_some(),
            trains: step.request.training.map(|_| stages.dropout_number.unwrap_or(layer)),
            values: values.collect(),
            layer,
        })
    }
}

impl Backward {
    pub fn of(step: &Step<'_>, homes: &Homes, group: &Group) -> Result<Self, Error> {
        let derived = step.derived(group).map(|node| homes.role(step, node.inputs[1])).transpose()?;
        Self::deriving(step, homes, group, derived)
    }

    /// Of the product of this layer. Its kernel always has the stage that derives, here given as an epilogue: where no op of the group derives, it is the
    /// identity's, and binds the layer's input.
    pub fn of_product(step: &Step<'_>, homes: &Homes, group: &Group, layer: usize) -> Result<(Self, Epilogue), Error> {
        Self::deriving_of(step, homes, group, homes.derived(step, group, layer)?)
    }

    /// The same, with where what it derives by is.
    pub fn deriving_of(
        step: &Step<'_>,
        homes: &Homes,
        group: &Group,
        derived: Role,
    ) -> Result<(Self, Epilogue), Error> {
        Ok((Self::deriving(step, homes, group, Some(derived))?, step.stages(&group.nodes).epilogue))
    }

    fn deriving(step: &Step<'_>, homes: &Homes, group: &Group, derived: Option<Role>) -> Result<Self, Error> {
        let stages = step.stages(&group.nodes);
        let addend = stages.addend.map(|addend| homes.role(step, addend)).transpose()?;
        let mut values = vec![(Binding::InputGradient, homes.role(step, step.end(group))?)];
        values.extend(addend.map(|addend| (Binding::OtherGradient, addend)));
        if let Some(derived) = derived {
            values.extend([(Binding::Input, derived), (Binding::Derivatives, derivatives(derived))]);
        }
        Ok(Backward { below: derived.map(|_| stages.epilogue), adds: addend.is_some(), values })
    }
}

/// Where the derivatives of the stages that made this output are kept.
pub(super) fn derivatives(output: Role) -> Role {
    match output {
        Role::Activations(below) => Role::Derivatives(below),
        other => other,
    }
}
