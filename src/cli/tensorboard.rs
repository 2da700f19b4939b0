//! `--tensorboard`: a run's curves, histograms and images, as event files.

use std::path::Path;

use super::observers::Observer;
use super::report::{first_weights, image_of};
use crate::data::Dataset;
use crate::error::Error;
use crate::history::{Epoch, Event, Parameters, Progress};
use crate::network::Parameter;
use crate::preprocessing::ImageShape;
use crate::tensorboard::EventFile;
use crate::trainer::Trainer;

/// Writes event files. Steps are counted from the initial weights.
pub(super) struct TensorBoard {
    file: EventFile,
    /// The network's parameters, whose names the histograms have.
    parameters: Vec<Parameter>,
    /// The image shape of the set's rows, if they are images.
    image: Option<ImageShape>,
    /// The number of steps in the epochs reported so far.
    step: u64,
    /// Whether the run was resumed from a checkpoint, and has reported nothing since.
    resumes: bool,
}

impl TensorBoard {
    pub fn create(folder: &Path, trainer: &Trainer, train: &Dataset, resumes: bool) -> Result<Self, Error> {
        let mut file = EventFile::create(folder)?;
        if !resumes {
            // The events of an earlier run in this folder are removed: two runs in one curve would go back and forth.
            file.forget_from(0)?;
        }
        let parameters = trainer.network().named_parameters();
        Ok(TensorBoard { file, parameters, image: image_of(train), step: trainer.steps_done(), resumes })
    }

    /// Writes the progress, every tenth of a second.
    fn progress(&mut self, step: u64, progress: &Progress) -> Result<(), Error> {
        self.file.scalar("within_epoch/loss", step, progress.so_far.loss)?;
        if let Some(accuracy) = progress.so_far.accuracy {
            self.file.scalar("within_epoch/accuracy", step, accuracy)?;
        }
        self.file.scalar("within_epoch/samples_per_second", step, progress.samples_per_second)
    }

    fn epoch(&mut self, step: u64, epoch: &Epoch) -> Result<(), Error> {
        self.step = step;
        for (of, evaluation) in [("training", Some(epoch.training)), ("validation", epoch.validation)] {
            let Some(evaluation) = evaluation else { continue };
            self.file.scalar(&format!("loss/{of}"), step, evaluation.loss)?;
            if let Some(accuracy) = evaluation.accuracy {
                self.file.scalar(&format!("accuracy/{of}"), step, accuracy)?;
            }
        }
        self.file.scalar("learning_rate", step, epoch.learning_rate)?;
        self.file.scalar("samples_per_second", step, epoch.samples_per_second)
    }

    fn parameters(&mut self, step: u64, parameters: &Parameters) -> Result<(), Error> {
        for (what, of) in [("weights", &parameters.weights), ("gradients", &parameters.gradients)] {
            for (parameter, own) in self.parameters.iter().zip(&of.layers) {
                // Nothing has a gradient by running statistics.
                if what == "gradients" && !parameter.is_trained() {
                    continue;
                }
                for (name, values) in parameter.tensor_names().iter().zip([&own.weight, &own.bias]) {
                    if !values.is_empty() {
                        self.file.histogram(&format!("{what}/{name}"), step, values)?;
                    }
                }
            }
        }
        let (Some(parameter), Some(own)) = (self.parameters.first(), parameters.weights.layers.first()) else {
            return Ok(());
        };
        let Some((picture, _)) = first_weights(self.image, parameter, own) else { return Ok(()) };
        let size = [picture.height, picture.width];
        self.file.png(&format!("filters/{}", parameter.tensor_names()[0]), step, size, picture.channels, picture.png()?)
    }
}

impl Observer for TensorBoard {
    fn observe(&mut self, event: &Event) -> Result<(), Error> {
        let step = match event {
            Event::Progress(progress) => (progress.epoch - 1) * progress.steps + progress.step,
            Event::Parameters(parameters) => parameters.step,
            Event::Epoch(epoch) => self.step + epoch.stats.steps,
            &Event::DeviceReplaced { step, .. } | &Event::RateLowered { step, .. } => {
                (self.step, self.resumes) = (step, true);
                return Ok(());
            }
            _ => return Ok(()),
        };
        // A checkpoint was made before its epoch was judged, or after: the first event shows which.
        if std::mem::take(&mut self.resumes) {
            self.file.forget_from(step)?;
        }
        match event {
            Event::Progress(progress) => self.progress(step, progress),
            Event::Parameters(parameters) => self.parameters(step, parameters),
            Event::Epoch(epoch) => self.epoch(step, epoch),
            _ => Ok(()),
        }?;
        self.file.flush()
    }
}
