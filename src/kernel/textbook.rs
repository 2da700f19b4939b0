//! The product as textbooks have it, to measure tiles against.

use super::binding::{Access, Binding};
use super::launch::{Cost, Launch};
use crate::constants::Constants;

const WORKGROUP: u32 = 64;

/// An invocation for each of `m` × `n` outputs.
pub fn launch(m: u32, n: u32, k: u32) -> Launch {
    let constants = Constants::new().u32("M", m).u32("N", n).u32("K", k).u32("WORKGROUP", WORKGROUP);
    let [m, n, k] = [m, n, k].map(u64::from);
    Launch {
        kernel: "textbook",
        variant: String::new(),
        root: "textbook",
        mounts: vec![],
        constants: vec![("constants", constants.text())],
        flags: vec![],
        bindings: vec![
            (Binding::Input, Access::Read),
            (Binding::Weights, Access::Read),
            (Binding::Output, Access::Write),
        ],
        shape: None,
        parts: vec![],
        partials: None,
        workgroup: WORKGROUP,
        workgroups: (m * n).div_ceil(WORKGROUP.into()) as u32,
        cost: Cost { flops: 2 * m * n * k, bytes: 4 * (m * k + k * n + m * n) },
    }
}
