//! Where a fit can go back to when its device has failed or numbers were not finite: all that it had on the device, in host memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::fit_state::FitState;
use super::packing::{averages_of, slots_of, unpacked};
use super::resumed::Resumed;
use super::saved::{Run, Saved};
use crate::error::Error;
use crate::gpu::{Buffer, Gpu};
use crate::history::History;
use crate::plan::Role;
use crate::run::device_model::DeviceModel;
use crate::run::order::Position;
use crate::run::state::{BASE_RATE_WORD, SKIPPED_WORD};

/// A moment of a fit that it can go back to: its beginning, the beginning of an epoch, or one that a checkpoint is of.
#[derive(Clone, Debug)]
pub(crate) struct RestorePoint {
    /// The words of every buffer of the model.
    model: Vec<(Role, Vec<u32>)>,
    position: Position,
    resumed: Option<Resumed>,
    /// Whether this fit has written a checkpoint of it.
    is_written: bool,
}

impl RestorePoint {
    /// Of a checkpoint in this file: the layers' weights, slots and averages as they are on the device, and the rest of it.
    pub fn of_checkpoint(saved: &Saved, path: PathBuf, [weights, slots, averages]: [Vec<Vec<u32>>; 3]) -> Self {
        let of_layers = |role: fn(usize) -> Role, layers: Vec<Vec<u32>>| {
            let layers = layers.into_iter().enumerate().filter(|(_, words)| !words.is_empty());
            layers.map(move |(layer, words)| (role(layer), words))
        };
        let Saved { run, step, state, .. } = saved;
        let model = of_layers(Role::Weights, weights)
            .chain(of_layers(Role::OptimizerSlots, slots))
            .chain(of_layers(Role::Averages, averages))
            .chain([(Role::State, state.clone())])
            .collect();
        let resumed = Resumed {
            fit: saved.fit.clone(),
            best: saved.best.clone(),
            state: state.clone(),
            sums: saved.sums.clone(),
            sets: Some((run.train, run.validation)),
            path,
        };
        let position = Position { steps_done: *step, skipped: state[SKIPPED_WORD], order: run.order };
        RestorePoint { model, position, resumed: Some(resumed), is_written: true }
    }

    /// Where a model is now, read from the device, between two fits: `resumed` is what the next one goes on with, if anything.
    pub async fn between_fits(
        model: &mut DeviceModel,
        position: Position,
        resumed: Option<Resumed>,
    ) -> Result<Self, Error> {
        Ok(RestorePoint { model: model.words().await?, position, resumed, is_written: false })
    }

    /// Where a fit is now, read from the device: `sums` are its running sums, `best` its best weights where they are kept.
    pub async fn within_fit(
        model: &mut DeviceModel,
        position: Position,
        fit: FitState,
        sums: &Buffer,
        best: Option<&[Buffer]>,
    ) -> Result<Self, Error> {
        let point = RestorePoint::between_fits(model, position, None).await?;
        let sums = model.gpu.read(sums, sums.size() as usize / 4, &mut model.stats.traffic).await?;
        let best = match best.filter(|best| !best.is_empty()) {
            Some(best) => Some(model.weights_in(best).await?),
            None => None,
        };
        let state = point.model.iter().find(|(role, _)| *role == Role::State).map(|(_, words)| words.clone());
        let state = state.unwrap_or_default();
        let resumed = Resumed { fit, best, state, sums, sets: None, path: PathBuf::new() };
        Ok(RestorePoint { resumed: Some(resumed), ..point })
    }

    /// Takes a model back to it, on a device that may be another: where training is then, and what its fit goes on with.
    pub async fn restore(&self, model: &mut DeviceModel, gpu: Arc<Gpu>) -> Result<(Position, Option<Resumed>), Error> {
        model.restore(gpu, &self.model).await?;
        Ok((self.position, self.resumed.clone()))
    }

    /// Steps that were done by then.
    pub fn step(&self) -> u64 {
        self.position.steps_done
    }

    /// Its step, where there is a checkpoint of it.
    pub fn written(&self) -> Option<u64> {
        self.is_written.then_some(self.step())
    }

    /// How often the rate had been lowered by then.
    pub fn lowered(&self) -> u64 {
        self.resumed.as_ref().map_or(0, |resumed| resumed.fit.history.lowered)
    }

    /// Lowers the rate, as often as makes it `times` in all, and says what it is then.
    pub fn lower(&mut self, factor: f64, times: u64) -> f64 {
        let Some(resumed) = &mut self.resumed else { return 0.0 };
        let before = std::mem::replace(&mut resumed.fit.history.lowered, times);
        let rate = f64::from(f32::from_bits(resumed.state[BASE_RATE_WORD])) * factor.powi((times - before) as i32);
        resumed.state[BASE_RATE_WORD] = (rate as f32).to_bits();
        self.is_written = false;
        rate
    }

    /// Writes a checkpoint of it, where it is one inside a fit.
    ///
    /// # Errors
    ///
    /// [`Error::Io`].
    pub fn write(&mut self, run: &Run, folder: &Path) -> Result<(), Error> {
        let Some(resumed) = self.resumed.clone() else { return Ok(()) };
        let of = |role: fn(usize) -> Role| -> Vec<Vec<u32>> {
            let words =
                |layer| self.model.iter().find(|(other, _)| *other == role(layer)).map(|(_, words)| words.clone());
            (0..run.network.named_parameters().len()).map(|layer| words(layer).unwrap_or_default()).collect()
        };
        let Resumed { fit, best, state, sums, .. } = resumed;
        let [weights, slots, averages] = [Role::Weights, Role::OptimizerSlots, Role::Averages].map(of);
        let averages = averages_of(run, &weights, &averages);
        let (weights, slots) = (unpacked(run, &weights, 0, 1), slots_of(run, &slots));
        Saved { run: run.clone(), step: self.step(), fit, weights, averages, slots, best, state, sums }
            .write(folder)?;
        self.is_written = true;
        Ok(())
    }

    /// The history of the fit until then.
    pub fn history(&self) -> History {
        self.resumed.as_ref().map_or_else(Default::default, |resumed| resumed.fit.history.clone())
    }
}
