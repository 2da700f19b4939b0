//! What a fit that goes on from a checkpoint has to go on with.

use std::path::PathBuf;

use super::fit_state::FitState;
use crate::data::Fingerprint;
use crate::error::Error;
use crate::gpu::Gpu;
use crate::plan::Role;
use crate::run::runner::Runner;
use crate::run::state::{BASE_RATE_WORD, RATE_WORD, State};
use crate::weights::Weights;

/// What a fit has to go on with.
#[derive(Clone, Debug)]
pub(crate) struct Resumed {
    pub fit: FitState,
    pub best: Option<Weights>,
    /// The step state's words, and the running sums'.
    pub state: Vec<u32>,
    pub sums: Vec<u32>,
    /// The fingerprints of both sets; none where they are this fit's own.
    pub sets: Option<(Fingerprint, Option<Fingerprint>)>,
    pub path: PathBuf,
}

impl Resumed {
    /// That these are the sets that the run had.
    pub fn check(&self, (train, validation): (Fingerprint, Option<Fingerprint>)) -> Result<(), Error> {
        let refused = |what: &str, was: String, is: String| {
            let path = self.path.display();
            Err(Error::Data(format!("{path}: the run had another {what}: {was}, and this one has {is}")))
        };
        let Some((own_train, own_validation)) = self.sets else { return Ok(()) };
        if train != own_train {
            return refused("training set", own_train.to_string(), train.to_string());
        }
        if validation != own_validation {
            let words = |set: Option<Fingerprint>| set.map_or("none".into(), |set| set.to_string());
            return refused("validation set", words(own_validation), words(validation));
        }
        Ok(())
    }

    /// Goes on with another learning rate.
    pub fn set_learning_rate(&mut self, learning_rate: f64) {
        self.state[BASE_RATE_WORD] = (learning_rate as f32).to_bits();
    }

    /// Puts the running sums back, and into the step state what the device had there.
    pub fn go_on(self, gpu: &Gpu, training: &Runner, state: &mut State) -> Result<FitState, Error> {
        let sums = &training.buffers[&Role::Stats];
        let epoch = u64::from(state.steps_per_epoch);
        let FitState { sums_began, .. } = self.fit;
        let in_order = sums_began.checked_sub(state.first_step.into());
        let in_sums = u64::from(state.step).checked_sub(sums_began);
        let is_within = in_order.zip(in_sums).is_some_and(|(before, since)| before % epoch + since <= epoch);
        if sums.size() != 4 * self.sums.len() as u64 || !is_within {
            return Err(Error::format(
                self.path,
                "its running sums are not those of such an epoch: resume from another checkpoint",
            ));
        }
        gpu.write(sums, &self.sums);
        state.learning_rate = f32::from_bits(self.state[RATE_WORD]);
        state.base_rate = f32::from_bits(self.state[BASE_RATE_WORD]);
        Ok(self.fit)
    }
}
