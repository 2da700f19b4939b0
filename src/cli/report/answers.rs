//! What every convolution makes of one image.

use std::collections::HashMap;

use super::super::training_set::TrainingSet;
use super::findings::image_of;
use crate::cli::config::Run;
use crate::data::Dataset;
use crate::error::Error;
use crate::named::counted;
use crate::network::{Layer, LayerKind, Network};
use crate::preprocessing::ImageShape;
use crate::run::activations::LayerOutput;
use crate::trainer::Trainer;

/// The row whose image is shown, of the validation set or, without one, of the training set.
#[derive(Clone, Copy)]
pub struct Chosen(usize);

/// The rows that one is chosen of.
enum Rows<'a> {
    Validation(&'a Dataset),
    Training(&'a TrainingSet),
}

impl<'a> Rows<'a> {
    fn of(train: &'a TrainingSet, validation: Option<&'a Dataset>) -> Self {
        validation.map_or(Rows::Training(train), Rows::Validation)
    }

    /// What they are, as a word before "row".
    fn name(&self) -> &'static str {
        match self {
            Rows::Validation(_) => "validation",
            Rows::Training(_) => "training",
        }
    }

    fn count(&self) -> usize {
        match self {
            Rows::Validation(set) => set.rows(),
            Rows::Training(set) => set.source().rows(),
        }
    }

    fn one(&self, row: usize) -> Result<Dataset, Error> {
        match self {
            Rows::Validation(set) => set.select([row]),
            Rows::Training(set) => set.source().read(row..row + 1),
        }
    }
}

pub struct Answers {
    /// The rows that the image is one of, as a word before "row".
    pub on: &'static str,
    pub row: usize,
    /// The image, where it can be shown.
    pub image: Option<(ImageShape, Vec<f32>)>,
    /// The convolutions, in the network's order, each with its words in a list of layers; none in a network without any.
    pub layers: Vec<(String, LayerOutput)>,
    /// Why there are none, where the device has no room for what they make.
    pub no_room: Option<String>,
}

impl Chosen {
    /// The row that the run asks for, or the first.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for one that is asked for and cannot be shown.
    pub fn of(run: &Run, network: &Network, train: &TrainingSet, validation: Option<&Dataset>) -> Result<Self, Error> {
        let Some(row) = run.report_image else { return Ok(Chosen(0)) };
        let rows = Rows::of(train, validation);
        let reason = if run.out.is_none() {
            "there is no report without a folder for the run: name one with --out DIR".into()
        } else if !has_convolution(network) {
            let shape = network.shape();
            format!("it is for what convolutions make of an image, and the network {shape} has none: leave it out")
        } else if row >= rows.count() {
            let rows = counted(rows.count(), &format!("{} row", rows.name()));
            format!("there are {rows}, counted from 0: choose one of them")
        } else {
            return Ok(Chosen(row));
        };
        Err(Error::Option(format!("--report-image {row} (report_image in run.toml): {reason}")))
    }
}

fn has_convolution(network: &Network) -> bool {
    let mut found = false;
    network.walk(&mut |located| found |= is_convolution(located.layer));
    found
}

fn is_convolution(layer: &Layer) -> bool {
    matches!(layer.kind(), LayerKind::Conv(_))
}

impl Answers {
    pub fn of(
        trainer: &mut Trainer,
        train: &TrainingSet,
        validation: Option<&Dataset>,
        Chosen(row): Chosen,
    ) -> Result<Self, Error> {
        let rows = Rows::of(train, validation);
        let none = Answers { on: rows.name(), row, image: None, layers: vec![], no_room: None };
        if !has_convolution(trainer.network()) {
            return Ok(none);
        }
        let one = rows.one(row)?;
        let outputs = match trainer.activations(&one, 0) {
            Ok(outputs) => outputs,
            // A step of training may need less memory, as it does not keep what every layer makes. The run is done, and the rest of its report is whole.
            Err(error @ (Error::Option(_) | Error::OutOfMemory { .. })) => {
                let reason = format!("the report does not show what convolutions make of an image: {error}");
                tracing::warn!("{reason}");
                return Ok(Answers { no_room: Some(reason), ..none });
            }
            Err(error) => return Err(error),
        };
        let (mut convolutions, mut lines) = (HashMap::new(), trainer.network().summary().into_iter());
        trainer.network().walk(&mut |located| {
            let line = lines.next().filter(|_| is_convolution(located.layer));
            convolutions.extend(line.map(|line| (line.location, line.words)));
        });
        let named = |own: LayerOutput| Some((convolutions.remove(&own.location)?, own));
        let image = match image_of(&one) {
            Some(shape) => Some((shape, one.row(0)?)),
            None => None,
        };
        Ok(Answers { image, layers: outputs.into_iter().filter_map(named).collect(), ..none })
    }
}
