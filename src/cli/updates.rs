//! Flags of what follows from gradients.

use clap::Args;

/// Options of what follows from a step's gradients, besides the optimizer and the rate.
#[derive(Args, Default)]
pub(super) struct Updates {
    /// Evaluate and save an exponential moving average of the weights with this decay, in place of the weights [default: none]
    #[arg(long, value_name = "0.999", allow_negative_numbers = true)]
    pub ema: Option<f64>,
    /// Add up the gradients of this many minibatches before the weights are updated, as one as many times as large [default: 1]
    #[arg(long, value_name = "K", allow_negative_numbers = true)]
    pub accumulate: Option<usize>,
    /// Cut each minibatch into this many shards, a power of two, which processes share [default: 8 under mpirun, else none]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    pub shards: Option<usize>,
    /// Let each process make this many steps with its own weights before the weights of all are averaged [default: add up the gradients of all in every step]
    #[arg(long, value_name = "H", allow_negative_numbers = true)]
    pub sync_every: Option<u64>,
}
