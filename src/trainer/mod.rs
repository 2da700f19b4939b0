//! Fit, evaluate, predict: what is known without the device here, what is awaited in `awaited`, and what blocks, for programs, in `blocking`.

mod awaited;
#[cfg(not(target_family = "wasm"))]
mod blocking;

use std::sync::Arc;

use crate::data::{Dataset, Source};
use crate::error::Error;
use crate::fit::{self, Session};
use crate::gpu::Gpu;
use crate::history::TrainStats;
use crate::kernel::tiling::Picks;
use crate::network::Network;
use crate::options::{Checkpointing, TrainOptions};
use crate::plan::Plan;
use crate::processes::Processes;

/// A network in device memory, with its optimizer and step counter.
///
/// What waits for the device has two forms. In programs it blocks the thread, as [`fit`](Self::fit). Its name with `_async` is of the form that is awaited, which a browser
/// needs: nothing may block there, and its event loop brings the device's answers. Elsewhere nothing else brings them, so that polling such a future blocks the thread.
#[derive(Debug)]
pub struct Trainer {
    session: Session,
    /// Whether a fit was begun that has not come to its end: its future was dropped.
    is_fitting: bool,
}

impl Trainer {
    /// How far the next `fit` goes: this many steps, or [`TrainOptions::epochs`] where it is `None`.
    pub fn set_steps(&mut self, steps: Option<u64>) {
        self.session.options.steps = steps;
    }

    /// How far the next `fit` goes, where no [steps](Self::set_steps) are set: this many epochs, and for a resumed one this many in all.
    pub fn set_epochs(&mut self, epochs: u64) {
        self.session.options.epochs = epochs;
    }

    /// Where the next `fit` leaves checkpoints, if anywhere.
    pub fn set_checkpointing(&mut self, checkpointing: Option<Checkpointing>) {
        self.session.options.checkpoint = checkpointing;
    }

    /// The learning rate of the next `fit`, before any schedule; the optimizer's values stay as they are. A fit that goes on from a checkpoint takes it
    /// as well. Muon's rate for AdamW's part follows in proportion, as it does a schedule.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for one that is not finite and at least 0.
    pub fn set_learning_rate(&mut self, learning_rate: f64) -> Result<(), Error> {
        let optimizer = self.session.options.optimizer.at_rate(learning_rate);
        optimizer.check()?;
        self.session.options.optimizer = optimizer;
        if let Some(resumed) = &mut self.session.resumed {
            resumed.set_learning_rate(learning_rate);
        }
        Ok(())
    }

    /// Whether a `fit` reports the weights and their gradient after every epoch, as [`Event::Parameters`](crate::Event::Parameters). An epoch costs a step, a submission and a
    /// copy of the weights more then, and no read that is waited for; the device keeps a gradient. Changes no result.
    pub fn report_parameters(&mut self, reports: bool) {
        self.session.reports_parameters = reports;
    }

    /// Shares the next fits with other processes: each computes as many of the [shards](TrainOptions::shards) of every minibatch, and all end in the same bits, which are those
    /// of one process with as many shards. All call `fit` with the same sets and options. Process 0 alone makes checkpoints. What the observer of any process breaks off ends
    /// the fit of all, after the next step. With [`sync_every`](TrainOptions::sync_every), the bits are those of as many processes, and the fit ends when weights are next averaged.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] where minibatches come in no shards, or not in as many for each process.
    pub fn among(&mut self, processes: Arc<dyn Processes>) -> Result<(), Error> {
        let count = processes.count();
        let shards = self.session.options.shards.unwrap_or(1);
        if !count.is_power_of_two() || count > shards {
            let possible = std::iter::successors(Some(1), |count| Some(2 * count)).take_while(|&count| count <= shards);
            let possible: Vec<String> = possible.map(|count: usize| count.to_string()).collect();
            let right = match (shards, count.is_power_of_two()) {
                (1, true) => format!("a run that begins with {count} shards or more can be shared so"),
                (_, false) => "their number must be a power of two, and a minibatch must have as many shards".into(),
                _ => format!("start {} processes, or begin a run with more shards", possible.join(" or ")),
            };
            return Err(Error::Option(format!(
                "{count} processes cannot share the {shards} shard{} of a minibatch, as many each: {right}",
                if shards == 1 { "" } else { "s" }
            )));
        }
        self.session.processes = Some(processes);
        Ok(())
    }

    /// The device it runs on: another than it was made on, where that failed and a [`fit`](Self::fit) went on.
    pub fn gpu(&self) -> &Arc<Gpu> {
        &self.session.model.gpu
    }

    /// What is trained.
    pub fn network(&self) -> &Network {
        &self.session.model.network
    }

    /// Everything about the run besides the network and the sets.
    pub fn options(&self) -> &TrainOptions {
        &self.session.options
    }

    /// The steps that were done since the weights were new.
    pub fn steps_done(&self) -> u64 {
        self.session.position.steps_done
    }

    /// What the host had to do since the trainer was made.
    pub fn stats(&self) -> TrainStats {
        self.session.model.stats
    }

    /// The plan of a training step on this set: what [`fit`](Self::fit) would run.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] or [`Error::Option`] where the set, the network and the batch size do not fit together.
    pub fn plan(&self, train: &dyn Source) -> Result<Plan, Error> {
        let first = self.session.first_of_windows(train)?;
        fit::training_plan(&self.session, self.session.rows_of(train, first.as_ref())?)
    }

    /// The tile of every kind of product in the plan of a training step: what [`TrainOptions::picks`] of another run takes to have
    /// the same bits. Under [`Tuning::Auto`](crate::Tuning::Auto) they are known after the first [`fit`](Self::fit).
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan), but not for a minibatch that the next fit cannot train on.
    pub fn picks(&self, train: &dyn Source) -> Result<Picks, Error> {
        let first = self.session.first_of_windows(train)?;
        Ok(fit::step_plan(&self.session, self.session.rows_of(train, first.as_ref())?)?.picks())
    }

    /// Device memory that [`fit`](Self::fit) takes: the weights, the optimizer's values, what is in between, both sets, the best weights where they
    /// are kept, what parameters are reported by, and what is read back; and, where checkpoints are made, the copies of one.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan), for either set.
    pub fn device_bytes(&self, train: &dyn Source, validation: Option<&Dataset>) -> Result<u64, Error> {
        let first = self.session.first_of_windows(train)?;
        fit::bytes_of_fit(&self.session, self.session.rows_of(train, first.as_ref())?, validation)
    }
}
