//! The trainer's face where nothing may block.

use std::ops::ControlFlow;
use std::sync::Arc;

use super::Trainer;
use crate::checkpoint::Checkpoint;
use crate::data::{Dataset, Source};
use crate::error::Error;
use crate::fit::{self, Session, TrainingSet};
use crate::gpu::Gpu;
use crate::history::{Event, History};
use crate::host::Threads;
use crate::loss::Loss;
use crate::metric::{Evaluation, Metrics};
use crate::model::Model;
use crate::network::Network;
use crate::options::TrainOptions;
use crate::preprocessing::in_own_units;
use crate::run::activations::LayerOutput;
use crate::run::evaluator::Evaluator;
use crate::weights::Weights;

impl Trainer {
    /// As [`on`](Self::on), awaited.
    ///
    /// # Errors
    ///
    /// As [`new`](Self::new).
    pub async fn on_async(gpu: Arc<Gpu>, network: Network, options: TrainOptions) -> Result<Self, Error> {
        options.check(&network)?;
        let initial = |network: &Network, options: &TrainOptions| options.initializer.weights(network, options.seed);
        Ok(Trainer { session: Session::new(gpu, network, options, initial).await?, is_fitting: false })
    }

    /// As [`from_model`](Self::from_model), awaited.
    ///
    /// # Errors
    ///
    /// As [`on`](Self::on).
    pub async fn from_model_async(gpu: Arc<Gpu>, model: Model, options: TrainOptions) -> Result<Self, Error> {
        model.check_kept()?;
        let origin = model.origin();
        let Model { network, weights, loss, .. } = model;
        let options = if options.loss == Loss::default() { TrainOptions { loss, ..options } } else { options };
        options.check(&network)?;
        network.check_weights(&weights)?;
        let session = Session::new(gpu, network, options, |_, _| weights).await?;
        Ok(Trainer { session: Session { origin, ..session }, is_fitting: false })
    }

    /// As [`resume`](Self::resume), awaited.
    ///
    /// # Errors
    ///
    /// As [`resume`](Self::resume).
    pub async fn resume_async(gpu: Arc<Gpu>, checkpoint: &Checkpoint) -> Result<Self, Error> {
        Ok(Trainer { session: Session::resume(gpu, checkpoint).await?, is_fitting: false })
    }

    /// As [`set_weights`](Self::set_weights), awaited.
    ///
    /// # Errors
    ///
    /// As [`set_weights`](Self::set_weights).
    pub async fn set_weights_async(&mut self, weights: &Weights) -> Result<(), Error> {
        self.check_whole()?;
        self.session.set_weights(weights).await
    }

    /// As [`weights`](Self::weights), awaited.
    ///
    /// # Errors
    ///
    /// As [`weights`](Self::weights).
    pub async fn weights_async(&mut self) -> Result<Weights, Error> {
        self.check_whole()?;
        self.session.model.weights().await
    }

    /// The model as it is now: what [`save`](Self::save) writes. Awaited.
    ///
    /// # Errors
    ///
    /// As [`save`](Self::save), but for [`Error::Io`].
    pub async fn model_async(&mut self) -> Result<Model, Error> {
        self.check_whole()?;
        let Session { model, options, origin, .. } = &mut self.session;
        let weights = model.weights().await?;
        let model = Model::new(model.network.clone(), weights, options.loss.clone()).keeping(origin.clone());
        // The last update comes after the last loss, which is where numbers that are not finite are seen otherwise.
        let refused = |error: Error| Error::NonFiniteResult(format!("the model is not saved: {error}"));
        model.network.check_weights(&model.weights).map_err(refused)?;
        Ok(model)
    }

    /// As [`tune`](Self::tune), awaited.
    ///
    /// # Errors
    ///
    /// As [`tune`](Self::tune).
    pub async fn tune_async(&mut self, train: &dyn Source, mut observer: impl FnMut(Event)) -> Result<(), Error> {
        let first = self.session.first_of_windows(train)?;
        let rows = self.session.rows_of(train, first.as_ref())?;
        fit::tune(&mut self.session, rows, &mut |event| {
            observer(event);
            ControlFlow::Continue(())
        })
        .await
    }

    /// As [`fit_with`](Self::fit_with), awaited. The set stays in memory as a whole, or is read in windows in turn with the steps.
    ///
    /// # Errors
    ///
    /// As [`fit`](Self::fit).
    pub async fn fit_async(
        &mut self,
        train: &Dataset,
        validation: Option<&Dataset>,
        mut observer: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<History, Error> {
        let train = TrainingSet::of_set(&self.session, train)?;
        self.fit_on(&train, validation, None, &mut observer).await
    }

    /// As [`fit_from`](Self::fit_from), awaited. Without threads, windows of rows are read in turn with the steps.
    ///
    /// # Errors
    ///
    /// As [`fit_from`](Self::fit_from).
    pub async fn fit_from_async(
        &mut self,
        train: &dyn Source,
        validation: Option<&Dataset>,
        mut observer: impl FnMut(Event) -> ControlFlow<()>,
    ) -> Result<History, Error> {
        let train = TrainingSet::of_source(&self.session, train)?;
        self.fit_on(&train, validation, None, &mut observer).await
    }

    /// Every fit. One whose future is dropped leaves steps on the device that the session does not know of.
    pub(super) async fn fit_on<'scope, 'env: 'scope>(
        &mut self,
        train: &'env TrainingSet<'_>,
        validation: Option<&Dataset>,
        threads: Option<&'scope dyn Threads<'env>>,
        observer: &mut dyn FnMut(Event) -> ControlFlow<()>,
    ) -> Result<History, Error> {
        self.check_whole()?;
        self.is_fitting = true;
        let history = fit::fit(&mut self.session, train, validation, threads, observer).await;
        self.is_fitting = false;
        history
    }

    /// As [`evaluate`](Self::evaluate), awaited.
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate).
    pub async fn evaluate_async(&mut self, set: &Dataset) -> Result<Evaluation, Error> {
        let set = &*self.session.seen(set)?;
        let mut evaluator = self.evaluated(set, false).await?;
        let model = &mut self.session.model;
        evaluator.evaluation(&model.gpu, &mut model.stats).await
    }

    /// As [`metrics`](Self::metrics), awaited.
    ///
    /// # Errors
    ///
    /// As [`evaluate`](Self::evaluate).
    pub async fn metrics_async(&mut self, set: &Dataset) -> Result<Metrics, Error> {
        let set = &*self.session.seen(set)?;
        let mut evaluator = self.evaluated(set, true).await?;
        let Session { model, options, .. } = &mut self.session;
        let evaluation = evaluator.evaluation(&model.gpu, &mut model.stats).await?;
        let outputs = model.network.outputs();
        evaluator.metrics(&model.gpu, &mut model.stats, set, &options.loss, outputs, evaluation).await
    }

    /// As [`predict`](Self::predict), awaited.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict).
    pub async fn predict_async(&mut self, set: &Dataset) -> Result<Vec<f32>, Error> {
        let logits = self.logits_async(set).await?;
        let Session { model, options, origin, .. } = &self.session;
        let rows = logits.chunks_exact(model.network.outputs());
        let mut results: Vec<f32> = rows.flat_map(|logits| options.loss.predict(logits)).collect();
        in_own_units(origin.target_scaling.as_ref(), &mut results);
        Ok(results)
    }

    /// As [`logits`](Self::logits), awaited.
    ///
    /// # Errors
    ///
    /// As [`predict`](Self::predict).
    pub async fn logits_async(&mut self, set: &Dataset) -> Result<Vec<f32>, Error> {
        self.check_whole()?;
        let set = &*self.session.seen(set)?;
        self.session.model.outputs(set).await
    }

    /// As [`activations`](Self::activations), awaited.
    ///
    /// # Errors
    ///
    /// As [`activations`](Self::activations).
    pub async fn activations_async(&mut self, set: &Dataset, row: usize) -> Result<Vec<LayerOutput>, Error> {
        self.check_whole()?;
        let one = set.select([row])?;
        let one = &*self.session.seen(&one)?;
        self.session.model.activations(one).await
    }

    /// An evaluator that has passed over the set.
    async fn evaluated(&mut self, set: &Dataset, metrics: bool) -> Result<Evaluator, Error> {
        self.check_whole()?;
        let plan = fit::evaluation_plan(&self.session, set, metrics)?;
        let Session { model, options, .. } = &mut self.session;
        let rows = model.upload_set(set, &options.loss).await?;
        let mut evaluator = model.evaluator(set.rows(), rows, &plan).await?;
        evaluator.run(&model.gpu, &mut model.stats).await?;
        Ok(evaluator)
    }

    fn check_whole(&self) -> Result<(), Error> {
        if self.is_fitting {
            return Err(Error::Option(
                "the future of a fit of this trainer was dropped before its end: use a new trainer, and end a fit by its observer".into(),
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;
    use crate::activation::Activation;
    use crate::gpu::OpenOptions;
    use crate::host::{EventLoop, block_on};

    /// A fit whose future was dropped in the middle: the trainer would go on from steps that it does not know of.
    #[test]
    fn a_trainer_whose_fit_was_dropped_refuses_to_go_on() {
        let gpu = block_on(Gpu::open_on(&EventLoop, &OpenOptions::default())).unwrap();
        let rows = Dataset::from_rows((0..300u32).map(|at| ([at as f32 / 300.0, 0.5], at % 2))).unwrap();
        let network = Network::new(2).dense(8, Activation::Relu).dense(2, Activation::Identity);
        let mut trainer = block_on(Trainer::on_async(gpu, network, TrainOptions::default())).unwrap();
        {
            let mut fit = pin!(trainer.fit_async(&rows, Some(&rows), |_| ControlFlow::Continue(())));
            let mut context = Context::from_waker(Waker::noop());
            assert!(matches!(fit.as_mut().poll(&mut context), Poll::Pending), "nothing has polled the device");
        }
        let refused = |error: Error| assert!(error.to_string().contains("dropped before its end"), "{error}");
        refused(block_on(trainer.evaluate_async(&rows)).unwrap_err());
        refused(block_on(trainer.model_async()).unwrap_err());
        refused(block_on(trainer.fit_async(&rows, None, |_| ControlFlow::Continue(()))).unwrap_err());
    }
}
