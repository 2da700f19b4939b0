//! Moves the step counter on, at the end of a step whose other kernels all read it.

use super::{Access, Constants, Cost, Launch, Slot};

/// One invocation that updates the state.
pub fn launch() -> Launch {
    Launch {
        kernel: "close_step",
        variant: String::new(),
        root: "close_step",
        mounts: vec![],
        constants: vec![("constants", Constants::new().u32("BATCH", 1).text())],
        flags: vec![],
        bindings: vec![(Slot::State, Access::Write)],
        shape: None,
        parts: vec![],
        partials: None,
        workgroup: 1,
        workgroups: 1,
        cost: Cost { flops: 0, bytes: 8 },
    }
}
