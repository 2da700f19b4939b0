//! Everything about a run besides the network and the data.

use crate::gpu::Checks;
use crate::kernel::tile::Family;
use crate::{Dataset, Error, Initializer, Loss, Network, Optimizer};

/// Everything about a run besides the network and the data. The default is the program's own: softmax cross-entropy,
/// Adam as Keras sets it, Glorot uniform weights, 10 epochs of minibatches of 32.
#[derive(Clone, Debug, PartialEq)]
pub struct TrainOptions {
    /// What is minimized.
    pub loss: Loss,
    /// How weights follow their gradients.
    pub optimizer: Optimizer,
    /// The largest norm of all gradients together; longer ones are scaled down to it: `torch.nn.utils.clip_grad_norm_`.
    pub clip_grad_norm: Option<f64>,
    /// How weights begin.
    pub initializer: Initializer,
    /// Rows of a minibatch. The last one of an epoch has the rows that remain.
    pub batch_size: usize,
    /// Passes over the set in one `fit`.
    pub epochs: u64,
    /// Steps in one `fit`, in place of `epochs`; it may end inside an epoch, and the next goes on from there.
    pub steps: Option<u64>,
    /// Whether every epoch visits the rows in a new order.
    pub shuffle: bool,
    /// Decides the initial weights and the order: the same seed gives the same bits on the same adapter and driver.
    pub seed: u64,
    /// Steps handed to the device at once; sized by their measured time where it is `None`. Changes no result.
    pub steps_per_submission: Option<u64>,
    /// Whether the kernels check every index at run time.
    pub checks: Checks,
    /// The family of kernels; by the adapter where it is `None`.
    pub family: Option<Family>,
}

impl Default for TrainOptions {
    fn default() -> Self {
        TrainOptions {
            loss: Loss::default(),
            optimizer: Optimizer::keras_adam(),
            clip_grad_norm: None,
            initializer: Initializer::default(),
            batch_size: 32,
            epochs: 10,
            steps: None,
            shuffle: true,
            seed: 0,
            steps_per_submission: None,
            checks: Checks::default(),
            family: None,
        }
    }
}

impl TrainOptions {
    /// That the options can be used, whatever the set.
    pub(crate) fn check(&self, network: &Network) -> Result<(), Error> {
        network.check()?;
        self.optimizer.check()?;
        self.loss.check(network.outputs())?;
        if let Some(norm) = self.clip_grad_norm.filter(|norm| !(1e-30..=1e30).contains(norm)) {
            return Err(Error::Option(format!("clip_grad_norm is {norm}: it must be finite and above 0")));
        }
        if self.batch_size == 0 {
            return Err(Error::Option("the batch size is 0: it must be at least 1".into()));
        }
        if self.steps_per_submission == Some(0) {
            return Err(Error::Option("steps per submission are 0: they must be at least 1".into()));
        }
        Ok(())
    }

    /// That the set has rows for a minibatch.
    pub(crate) fn check_set(&self, train: &Dataset) -> Result<(), Error> {
        if self.batch_size > train.rows() {
            return Err(Error::Option(format!(
                "the batch size is {} and the set has {} rows: it must be from 1 to that",
                self.batch_size,
                train.rows()
            )));
        }
        Ok(())
    }

    /// The step that a `fit` ends with, which must be one that the device can count to. `first` is the step in which the
    /// order's first epoch began.
    pub(super) fn last_step(&self, done: u64, first: u64, per_epoch: u64) -> Result<u64, Error> {
        let last = match self.steps {
            Some(steps) => done.checked_add(steps),
            None => ((done - first) / per_epoch)
                .checked_add(self.epochs)
                .and_then(|epochs| epochs.checked_mul(per_epoch))
                .and_then(|steps| steps.checked_add(first)),
        };
        last.filter(|&last| last <= u64::from(u32::MAX)).ok_or_else(|| {
            Error::Option(format!(
                "that is more steps than the step counter reaches: {} at most, over all epochs",
                u32::MAX
            ))
        })
    }
}
