//! How the weights of one parameter are treated, where they are in groups.

use super::Optimizer;
use super::group::Treatment;
use crate::constants::Constants;

/// How the weights of one parameter are treated: a matrix and its bias may be in different groups.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Treated {
    pub matrix: Treatment,
    /// As the matrix, where there is no bias.
    pub bias: Treatment,
    /// The quad of the weights on the device in which the bias begins.
    pub bias_at: u32,
}

impl Treated {
    /// Whether both are treated as the optimizer says.
    pub fn is_plain(self, optimizer: &Optimizer) -> bool {
        let own = Treatment { weight_decay: optimizer.weight_decay, lr_scale: 1.0, frozen: false };
        self.matrix == own && self.bias == own
    }

    /// Whether none of it is updated.
    pub fn is_frozen(self) -> bool {
        self.matrix.frozen && self.bias.frozen
    }

    /// The module `group_constants`.
    pub fn constants(self) -> Constants {
        Constants::new()
            .u32("BIAS_AT", self.bias_at)
            .f32("MATRIX_RATE", self.matrix.lr_scale)
            .f32("MATRIX_DECAY", self.matrix.weight_decay)
            .bool("MATRIX_IS_FROZEN", self.matrix.frozen)
            .f32("BIAS_RATE", self.bias.lr_scale)
            .f32("BIAS_DECAY", self.bias.weight_decay)
            .bool("BIAS_IS_FROZEN", self.bias.frozen)
    }
}
