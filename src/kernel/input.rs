//! Where a product's rows come from.

use super::binding::{Access, Binding};
use crate::layout::Dense;

/// Where a layer's input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Input {
    /// Rows of a set of u8 features.
    SetU8,
    /// Rows of a set of f16 features.
    SetF16,
    /// Rows of a set of f32 features.
    SetF32,
    /// The activations that the layer below wrote.
    Activations,
    /// Images that the layer below wrote, all values of one as a row.
    Flattened,
    /// Images, of which a row is what lies under a convolution's window.
    Patches,
}

impl Input {
    pub(super) fn module(self) -> &'static str {
        match self {
            Input::SetU8 => "input/set_u8",
            Input::SetF16 => "input/set_f16",
            Input::SetF32 => "input/set_f32",
            Input::Activations => "input/activations",
            Input::Flattened => "input/flattened",
            Input::Patches => "input/patches",
        }
    }

    /// Whether rows are those of the set, in the order of the minibatch.
    pub fn is_of_set(self) -> bool {
        !matches!(self, Input::Activations | Input::Flattened | Input::Patches)
    }

    /// Bytes of four features in device memory.
    pub fn quad_bytes(self) -> u64 {
        match self {
            Input::SetU8 => 4,
            Input::SetF16 => 8,
            Input::SetF32 | Input::Activations | Input::Flattened | Input::Patches => 16,
        }
    }

    /// Bytes of a layer's input in one minibatch.
    pub(super) fn bytes(self, dense: Dense) -> u64 {
        u64::from(dense.batch) * u64::from(dense.x_quads()) * self.quad_bytes()
    }

    /// What a kernel binds that reads the input's rows and computes which rows those are.
    pub(super) fn row_bindings(self) -> Vec<(Binding, Access)> {
        match self {
            Input::Activations | Input::Flattened | Input::Patches => vec![(Binding::Input, Access::Read)],
            _ => vec![(Binding::Input, Access::Read), (Binding::State, Access::Write)],
        }
    }
}
