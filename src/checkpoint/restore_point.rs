//! Where a fit can go back to when its device has failed: all that it had on the device, in host memory.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::file::{Run, Saved};
use super::resume::Resumed;
use super::snapshot::{slots_of, unpacked};
use crate::error::Error;
use crate::fit::epochs::Fit;
use crate::gpu::Gpu;
use crate::history::History;
use crate::plan::Role;
use crate::run::runner::{BASE_RATE_WORD, SKIPPED_WORD};
use crate::trainer::{Order, Trainer};

/// A moment of a fit: its beginning, or one that a checkpoint is of.
#[derive(Clone, Debug)]
pub(crate) struct Moment {
    /// The words of every buffer of the model.
    model: Vec<(Role, Vec<u32>)>,
    pub step: u64,
    skipped: u32,
    order: Order,
    resumed: Option<Resumed>,
    /// Whether this fit has written a checkpoint of it.
    is_written: bool,
}

impl Moment {
    /// Of a checkpoint in this file: the layers' weights and slots as they are on the device, and the rest of it.
    pub fn of_checkpoint(saved: &Saved, path: PathBuf, weights: Vec<Vec<u32>>, slots: Vec<Vec<u32>>) -> Self {
        let of_layers = |role: fn(usize) -> Role, layers: Vec<Vec<u32>>| {
            layers.into_iter().enumerate().map(move |(layer, words)| (role(layer), words))
        };
        let Saved { run, step, state, .. } = saved;
        let model = of_layers(Role::Weights, weights)
            .chain(of_layers(Role::OptimizerSlots, slots))
            .chain([(Role::State, state.clone())])
            .collect();
        let resumed = Resumed {
            underway: saved.underway.clone(),
            best: saved.best.clone(),
            state: state.clone(),
            sums: saved.sums.clone(),
            sets: Some((run.train, run.validation)),
            path,
        };
        let (skipped, order) = (state[SKIPPED_WORD], run.order);
        Moment { model, step: *step, skipped, order, resumed: Some(resumed), is_written: true }
    }

    /// Its step, where there is a checkpoint of it.
    pub fn written(&self) -> Option<u64> {
        self.is_written.then_some(self.step)
    }

    /// How often the rate had been lowered by then.
    pub fn lowered(&self) -> u64 {
        self.resumed.as_ref().map_or(0, |resumed| resumed.underway.history.lowered)
    }

    /// Lowers the rate, as often as makes it `times` in all, and says what it is then.
    pub fn lower(&mut self, factor: f64, times: u64) -> f64 {
        let Some(resumed) = &mut self.resumed else { return 0.0 };
        let before = std::mem::replace(&mut resumed.underway.history.lowered, times);
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
            (0..).map_while(words).collect()
        };
        let Resumed { underway, best, state, sums, .. } = resumed;
        let (weights, slots) = (of(Role::Weights), of(Role::OptimizerSlots));
        let (weights, slots) = (unpacked(run, &weights, 0, 1), slots_of(run, &slots));
        Saved { run: run.clone(), step: self.step, underway, weights, slots, best, state, sums }.write(folder)?;
        self.is_written = true;
        Ok(())
    }

    /// What the fit had told by then.
    pub fn history(&self) -> History {
        self.resumed.as_ref().map_or_else(Default::default, |resumed| resumed.underway.history.clone())
    }
}

impl Trainer {
    /// The moment before a fit begins, read from the device.
    pub(crate) async fn beginning(&mut self) -> Result<Moment, Error> {
        let mut model = Vec::new();
        for (&role, buffer) in &self.model {
            let words = self.gpu.fetch(buffer, buffer.size() as usize / 4, &mut self.stats.traffic).await?;
            model.push((role, words));
        }
        Ok(Moment {
            model,
            step: self.steps_done,
            skipped: self.skipped,
            order: self.order,
            resumed: self.resumed.clone(),
            is_written: false,
        })
    }

    /// The moment that a fit is at, read from the device.
    pub(crate) async fn moment_of(&mut self, fit: &Fit<'_, '_>) -> Result<Moment, Error> {
        let moment = self.beginning().await?;
        let sums = &fit.training.buffers[&Role::Stats];
        let sums = self.gpu.fetch(sums, sums.size() as usize / 4, &mut self.stats.traffic).await?;
        let best = match fit.best.as_ref().filter(|best| !best.is_empty()) {
            Some(best) => Some(self.weights_of(best).await?),
            None => None,
        };
        let state = moment.model.iter().find(|(role, _)| *role == Role::State).map(|(_, words)| words.clone());
        let (underway, state) = (fit.underway.clone(), state.unwrap_or_default());
        let resumed = Resumed { underway, best, state, sums, sets: None, path: PathBuf::new() };
        Ok(Moment { resumed: Some(resumed), ..moment })
    }

    /// Takes the trainer back to a moment, on the device that it has now.
    pub(crate) fn go_back(&mut self, moment: &Moment) -> Result<(), Error> {
        self.go_back_on(Arc::clone(&self.gpu), moment)
    }

    /// The same on a device that may be another, which is the trainer's once all of the moment is there.
    pub(crate) fn go_back_on(&mut self, gpu: Arc<Gpu>, moment: &Moment) -> Result<(), Error> {
        let upload = |(role, words): &(Role, Vec<u32>)| Ok((*role, gpu.upload(&role.to_string(), words)?));
        let model = moment.model.iter().map(upload).collect::<Result<_, Error>>()?;
        (self.gpu, self.model) = (gpu, model);
        (self.steps_done, self.skipped, self.order) = (moment.step, moment.skipped, moment.order);
        self.resumed = moment.resumed.clone();
        Ok(())
    }
}
