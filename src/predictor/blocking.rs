//! The predictor's face for programs, which have a thread to wait on.

use std::path::Path;
use std::sync::Arc;

use super::{Class, Predictor};
use crate::activation::Activation;
use crate::data::{Dataset, Feature};
use crate::error::Error;
use crate::gpu::{AdapterChoice, Gpu};
use crate::host::block_on;
use crate::loss::Loss;
use crate::model::Model;
use crate::run::activations::LayerOutput;

impl Predictor {
    /// Loads a model from a file, which may be a checkpoint, on the best adapter of this machine.
    ///
    /// # Errors
    ///
    /// As [`Model::read`]; [`Error::NoAdapter`]; [`Error::Option`] where a layer is larger than the device can bind, [`Error::OutOfMemory`],
    /// [`Error::Device`].
    pub fn open(path: impl AsRef<Path>) -> Result<Self, Error> {
        // What is wrong with the file is said before a driver is looked for.
        let model = Model::read(path)?;
        Predictor::from_model(Gpu::open(&AdapterChoice::Auto)?, model)
    }

    /// As [`open`](Self::open) on a device that is already open, for a model that may use functions of the user's own: a file has only their names,
    /// so the functions must be passed here.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open). A function that does not compile is an [`Error::Kernel`] of the first prediction.
    pub fn open_with(
        gpu: Arc<Gpu>,
        path: impl AsRef<Path>,
        activations: &[Activation],
        losses: &[Loss],
    ) -> Result<Self, Error> {
        Predictor::from_model(gpu, Model::read_with(path, activations, losses)?)
    }

    /// Takes a model that is in memory, on a device that is already open.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open); [`Error::Data`] for weights that are not the network's.
    pub fn from_model(gpu: Arc<Gpu>, model: Model) -> Result<Self, Error> {
        block_on(Predictor::from_model_async(gpu, model))
    }

    /// The class of one row. The model must be a classifier.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for another number of features than the model has, and for a non-finite feature; [`Error::Option`] where the model is
    /// no classifier; [`Error::NonFiniteResult`], [`Error::Device`]; [`Error::Kernel`] and [`Error::OutOfMemory`] where buffers are made.
    pub fn classify<X: Feature, F: AsRef<[X]> + ?Sized>(&self, features: &F) -> Result<Class, Error> {
        let mut classes = self.classify_rows([features])?;
        classes.pop().ok_or_else(|| Error::Data("there are no rows: at least one is needed".into()))
    }

    /// As [`classify`](Self::classify), for several rows at once, which cost little more than one.
    ///
    /// # Errors
    ///
    /// As [`classify`](Self::classify), and for no rows.
    pub fn classify_rows<X: Feature, F: AsRef<[X]>>(
        &self,
        rows: impl IntoIterator<Item = F>,
    ) -> Result<Vec<Class>, Error> {
        self.classify_set(&Dataset::inputs(rows)?)
    }

    /// As [`classify`](Self::classify), for the rows of a table in text. Cells are separated by commas or tabs. Columns are in the order of the table
    /// that the model was trained on, or in any order below a header line with their names.
    ///
    /// # Errors
    ///
    /// As [`classify`](Self::classify); [`Error::Format`] naming the line and the column of a wrong cell.
    pub fn classify_csv(&self, text: &str) -> Result<Vec<Class>, Error> {
        self.classify_set(&self.read_csv(text)?)
    }

    /// As [`classify`](Self::classify), for the rows of a data set; see [`read`](Self::read). A network that answers at each place of its rows has a class for each, row
    /// after row.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict); [`Error::Option`] where the model is no classifier.
    pub fn classify_set(&self, set: &Dataset) -> Result<Vec<Class>, Error> {
        block_on(self.classify_set_async(set))
    }

    /// The model's predictions for rows: `[rows, outputs]`, row-major, or `[rows, places, outputs]` where it answers at each place. They are numbers in the units of the training targets, the classes'
    /// probabilities, or each output's own probability, depending on the loss.
    ///
    /// # Errors
    ///
    /// As [`classify`](Self::classify), but for any model; and for no rows.
    pub fn predict_rows<X: Feature, F: AsRef<[X]>>(
        &self,
        rows: impl IntoIterator<Item = F>,
    ) -> Result<Vec<f32>, Error> {
        self.predict(&Dataset::inputs(rows)?)
    }

    /// As [`predict_rows`](Self::predict_rows), for the rows of a table in text, as [`classify_csv`](Self::classify_csv) takes them.
    ///
    /// # Errors
    ///
    /// As [`classify_csv`](Self::classify_csv), but for any model.
    pub fn predict_csv(&self, text: &str) -> Result<Vec<f32>, Error> {
        self.predict(&self.read_csv(text)?)
    }

    /// As [`predict_rows`](Self::predict_rows), for the rows of a data set; its targets, if it has any, are not used.
    ///
    /// # Errors
    ///
    /// As [`predict_rows`](Self::predict_rows); [`Error::Data`] for a set with another scaling than the model's training set.
    pub fn predict(&self, set: &Dataset) -> Result<Vec<f32>, Error> {
        block_on(self.predict_async(set))
    }

    /// The network's raw outputs, before the loss' softmax or sigmoid and in the scaled units of the targets: `[rows, outputs]`, row-major, or
    /// `[rows, places, outputs]`.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict).
    pub fn logits(&self, set: &Dataset) -> Result<Vec<f32>, Error> {
        block_on(self.logits_async(set))
    }

    /// What each layer makes of one row, behind its activation: a convolution's channels, say. Layers are in the network's order, each before those within it,
    /// without those that pass on what comes in as it is: a flatten, a dropout. Each call compiles the kernels that it needs.
    ///
    /// # Errors
    ///
    /// As [`predict_rows`](Self::predict_rows); [`Error::Option`] where an output has no room in one buffer of the device.
    pub fn activations<X: Feature, F: AsRef<[X]> + ?Sized>(&self, features: &F) -> Result<Vec<LayerOutput>, Error> {
        block_on(self.activations_async(&Dataset::inputs([features])?))
    }
}
