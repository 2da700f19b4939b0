//! One layer's part of the global norm of the gradient, and, from the last, what follows from all of them.

use super::binding::{Access, Binding};
use super::launch::{Cost, Launch};
use crate::constants::Constants;
use crate::layout::Dense;
use crate::optimizer::Treated;
use crate::training::Training;

/// Invocations of the one workgroup: as many as WebGPU promises for the largest of weights, so that none has more iterations than a software driver lets it have.
fn workgroup(quads: u32) -> u32 {
    const MOST_ITERATIONS: u32 = 60_000;
    if quads > 64 * MOST_ITERATIONS { 256 } else { 64 }
}

/// Reads the layer's gradient, writes the sum of its squares to its entry. `ends` has the number of layers where it is the last
/// of them: it writes what training does about the norm to the step state.
pub fn launch(dense: Dense, layer: usize, ends: Option<(usize, Training<'_>)>) -> Launch {
    let workgroup = workgroup(dense.weight_quads());
    let mut constants = Constants::new()
        .u32("BATCH", dense.batch)
        .u32("LAYER", layer as u32)
        .u32("QUADS", dense.weight_quads())
        .u32("WORKGROUP", workgroup);
    let mut bindings = vec![(Binding::WeightGradient, Access::Read), (Binding::Norms, Access::Write)];
    let (mut flags, mut others) = (vec![], vec![]);
    if let Some((layers, training)) = ends {
        constants = constants.u32("LAYERS", layers as u32);
        bindings.push((Binding::State, Access::Write));
        let (clip_flags, clip_constants) = training.clip_parts();
        flags = clip_flags;
        flags.push("ends");
        others.push(clip_constants);
    }
    others.push(("constants", constants.text()));
    Launch {
        kernel: "gradient_norm",
        variant: String::new(),
        root: "gradient_norm",
        mounts: vec![],
        constants: others,
        flags,
        bindings,
        shape: None,
        parts: vec![],
        partials: None,
        workgroup,
        workgroups: 1,
        cost: Cost { flops: dense.weights_bytes() / 2, bytes: dense.weights_bytes() },
    }
}

/// The same of a parameter of which only the matrix or only the bias is trained: what is frozen has no part in the norm.
pub(crate) fn of_trained(whole: &Launch, treated: Treated) -> Launch {
    let mut launch = whole.clone();
    let own = launch.constants.iter_mut().filter(|(name, _)| *name == "constants");
    if treated.bias.frozen {
        own.for_each(|(_, text)| text.push_str(&Constants::new().u32("END", treated.bias_at).text()));
        launch.flags.push("without_bias");
    } else if treated.matrix.frozen {
        own.for_each(|(_, text)| text.push_str(&Constants::new().u32("BEGIN", treated.bias_at).text()));
        launch.flags.push("bias_alone");
    }
    launch
}
