//! A trainer from a checkpoint, and the fit that it goes on with.

use std::path::PathBuf;
use std::sync::Arc;

use super::file::{Checkpoint, Checkpointing, Run, Saved, Underway};
use super::folder;
use super::snapshot::interleaved;
use crate::data::{Dataset, Fingerprint};
use crate::error::Error;
use crate::gpu::{Buffer, Gpu};
use crate::kernel::tile::Family;
use crate::kernel::tiling::Picks;
use crate::options::TrainOptions;
use crate::plan::Role;
use crate::run::rows::Rows;
use crate::run::runner::{BASE_RATE_WORD, RATE_WORD, Runner, SKIPPED_WORD, State};
use crate::trainer::Trainer;
use crate::weights::Weights;

/// What a fit has to go on with.
#[derive(Clone, Debug)]
pub(crate) struct Resumed {
    pub underway: Underway,
    pub best: Option<Weights>,
    /// The step state's words, and the running sums'.
    pub state: Vec<u32>,
    pub sums: Vec<u32>,
    /// The fingerprints of both sets; none where they are this fit's own.
    pub sets: Option<(Fingerprint, Option<Fingerprint>)>,
    pub path: PathBuf,
}

impl Trainer {
    /// A trainer that is where the checkpoint was: its next [`fit`](Self::fit), on the same sets, goes on in the same step and ends in the
    /// bits that the run would have ended in, on the same adapter and driver. Everything but the sets and functions of the user's own
    /// ([`Checkpoint::bringing`]) comes from the file. Checkpoints go on into its folder; see
    /// [`set_checkpointing`](Self::set_checkpointing).
    ///
    /// # Errors
    ///
    /// [`Error::Format`] for a file that is damaged or lacks functions of the user's own; else as [`on`](Self::on).
    pub fn resume(gpu: Arc<Gpu>, checkpoint: &Checkpoint) -> Result<Self, Error> {
        let Saved { run, step, underway, weights, slots, best, state, sums } = checkpoint.saved()?;
        let Run { network, mut options, order, train, validation, adapter, picks, origin, .. } = run;
        let [name, driver, family] = &adapter;
        let here = gpu.adapter();
        if (name, driver) != (&here.name, &here.driver) {
            tracing::warn!(
                was = format!("{name} ({driver})"),
                is = format!("{} ({})", here.name, here.driver),
                "another adapter or driver than the checkpoint's: the run goes on, with other bits"
            );
        }
        // On its own adapter a run may have asked for another family of tiles.
        let families = [here.family(), Family::Software, Family::Hardware, Family::Reference];
        let known = if *name == here.name { &families[..] } else { &families[..1] };
        match known.iter().find(|known| known.to_string() == *family) {
            Some(&known) => {
                options.family = Some(known).filter(|&known| known != here.family());
                options.picks = picks;
            }
            None => tracing::warn!(was = family, is = %here.family(), "the tiles are chosen anew"),
        }
        let mut trainer = Trainer::with_weights(gpu, network, options, |_, _| weights)?;
        for layer in 0..trainer.network.layers().len() {
            let planes: Vec<Vec<f32>> = slots.iter().map(|slot| slot.layers[layer].to_device()).collect();
            if let Some(buffer) = trainer.model.get(&Role::OptimizerSlots(layer)) {
                trainer.gpu.write(buffer, &interleaved(&planes));
            }
        }
        trainer.gpu.write(&trainer.model[&Role::State], &state);
        (trainer.steps_done, trainer.skipped, trainer.order) = (step, state[SKIPPED_WORD], order);
        (trainer.origin, trainer.is_fitted) = (origin, true);
        let path = checkpoint.path().to_path_buf();
        trainer.resumed = Some(Resumed { underway, best, state, sums, sets: Some((train, validation)), path });
        Ok(trainer)
    }

    /// Where the next `fit` leaves checkpoints, if anywhere.
    pub fn set_checkpointing(&mut self, checkpointing: Option<Checkpointing>) {
        self.options.checkpoint = checkpointing;
    }

    /// How far the next `fit` goes, where no [steps](Self::set_steps) are set: so many epochs, and for a resumed one so many in all.
    pub fn set_epochs(&mut self, epochs: u64) {
        self.options.epochs = epochs;
    }

    /// Everything about the run besides the network and the sets.
    pub fn options(&self) -> &TrainOptions {
        &self.options
    }

    /// The steps that were done since the weights were new.
    pub fn steps_done(&self) -> u64 {
        self.steps_done
    }

    /// The step in which the next fit begins, or began before the checkpoint.
    pub(crate) fn fit_began(&self) -> u64 {
        self.resumed.as_ref().map_or(self.steps_done, |resumed| resumed.underway.began)
    }

    /// The sets' fingerprints, where checkpoints ask for them: that a resumed run has its own sets is known
    /// before anything is trained.
    pub(crate) fn sets_of_checkpoints(
        &self,
        train: Rows<'_>,
        validation: Option<&Dataset>,
    ) -> Result<Option<(Fingerprint, Option<Fingerprint>)>, Error> {
        let asked = self.options.checkpoint.as_ref();
        if asked.is_none() && self.resumed.is_none() {
            return Ok(None);
        }
        let sets = (train.fingerprint()?, validation.map(Dataset::fingerprint));
        if let Some(resumed) = &self.resumed {
            let per_epoch = train.count().div_ceil(self.options.batch_size) as u64;
            resumed.check(sets)?;
            let last_step = self.options.last_step(self.fit_began(), self.order.first_step, per_epoch)?;
            if last_step < self.steps_done {
                return Err(Error::Option(format!(
                    "{} is at step {}: a run of {last_step} steps has ended before it",
                    resumed.path.display(),
                    self.steps_done
                )));
            }
        }
        Ok(Some(sets))
    }

    /// Makes a folder ready for checkpoints, unless there are some of another run, and keeps it from others for as long as the file is open.
    pub(crate) fn claim(&self, asked: &Checkpointing) -> Result<std::fs::File, Error> {
        folder::open(&asked.folder)?;
        let lock = folder::lock(&asked.folder)?;
        let own = |folder: &std::path::Path| folder.canonicalize().ok() == asked.folder.canonicalize().ok();
        if self.resumed.as_ref().is_some_and(|resumed| own(crate::files::folder_of(&resumed.path))) {
            return Ok(lock);
        }
        match folder::list(&asked.folder)?.first() {
            Some((step, path)) if *step > self.steps_done => Err(Error::Option(format!(
                "{} is of another run: resume that one, or choose another folder for this one's checkpoints",
                path.display()
            ))),
            _ => Ok(lock),
        }
    }

    /// What all checkpoints of a fit on these sets have in common.
    pub(crate) fn run_of(
        &self,
        asked: &Checkpointing,
        (train, validation): (Fingerprint, Option<Fingerprint>),
        picks: Picks,
    ) -> Run {
        let adapter = self.gpu.adapter();
        Run {
            network: self.network.clone(),
            loss: self.options.loss.clone(),
            origin: self.origin.clone(),
            options: self.options.clone(),
            order: self.order,
            train,
            validation,
            adapter: [adapter.name.clone(), adapter.driver.clone(), self.tiling.family.to_string()],
            picks,
            notes: asked.notes.clone(),
        }
    }

    /// Weights in device memory, a buffer a layer.
    pub(crate) fn upload_weights(&self, name: &str, weights: &Weights) -> Result<Vec<Buffer>, Error> {
        weights.layers.iter().map(|layer| self.gpu.upload(name, &layer.to_device())).collect()
    }
}

impl Resumed {
    /// That these are the sets that the run had.
    fn check(&self, (train, validation): (Fingerprint, Option<Fingerprint>)) -> Result<(), Error> {
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
    pub fn go_on(self, gpu: &Gpu, training: &Runner, state: &mut State) -> Result<Underway, Error> {
        let sums = &training.buffers[&Role::Stats];
        let epoch = u64::from(state.steps_per_epoch);
        let Underway { sums_began, .. } = self.underway;
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
        Ok(self.underway)
    }
}
