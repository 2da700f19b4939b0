//! Evaluates functions that a user wrote at given points, to check them before they train.

use super::binding::{Access, Binding};
use super::launch::{Cost, Launch};
use crate::activation::Activation;
use crate::constants::Constants;
use crate::loss::Loss;
use crate::optimizer::Optimizer;

/// Evaluates the activation and its derivative at `points` points.
pub fn activation(activation: Activation, points: u32) -> Launch {
    launch("probe/activation", vec![("activation", activation.module())], activation.own_text(), points)
}

/// Evaluates the loss of one output and its derivative at `points` points.
pub fn loss(loss: &Loss, points: u32) -> Launch {
    let parts = loss.parts(crate::targets::Targets::CLASSES);
    let mounts = parts.element.map(|element| ("element", element)).into_iter().collect();
    launch("probe/loss", mounts, loss.own_text(), points)
}

/// One step of the optimizer for a weight and a gradient of 0.
pub fn optimizer(optimizer: &Optimizer) -> Launch {
    let mut launch = launch("probe/optimizer", vec![("optimizer", optimizer.module())], optimizer.own_text(), 1);
    launch.constants.push(("optimizer_constants", optimizer.constants().text()));
    launch.flags = optimizer.flags();
    launch.bindings = vec![(Binding::State, Access::Write), (Binding::Output, Access::Write)];
    if optimizer.slots() > 0 {
        launch.bindings.push((Binding::OptimizerSlots, Access::Write));
    }
    launch
}

fn launch(
    root: &'static str,
    mounts: Vec<(&'static str, &'static str)>,
    own_text: Option<(&'static str, String)>,
    points: u32,
) -> Launch {
    let constants = Constants::new().u32("POINTS", points).u32("BATCH", 1).text();
    Launch {
        kernel: root,
        variant: String::new(),
        root,
        mounts,
        constants: own_text.into_iter().chain([("constants", constants)]).collect(),
        flags: vec![],
        bindings: vec![(Binding::Input, Access::Read), (Binding::Output, Access::Write)],
        shape: None,
        parts: vec![],
        partials: None,
        workgroup: points.min(64),
        workgroups: points.div_ceil(64),
        cost: Cost::default(),
    }
}
