//! A trainer, and the model that it has at the moment, which answers while it trains.

use std::cell::{Cell, RefCell};
use std::ops::ControlFlow;
use std::rc::Rc;
use std::sync::Arc;

use js_sys::Function;
use serde_json::{Value, json};
use wasm_bindgen::prelude::*;
use wgrad::gpu::OpenOptions;
use wgrad::{Dataset, Error, Evaluation, Event, Gpu, Model, Predictor, Sampling};

use crate::options::Options;
use crate::rows::Rows;
use crate::thrown;

/// A network that is trained on a device.
#[wasm_bindgen]
pub struct Trainer {
    gpu: Arc<Gpu>,
    options: Options,
    /// Made for the first set that it is given; a fit that is under way has it.
    own: RefCell<Option<wgrad::Trainer>>,
    /// The model after the last epoch, or before the first.
    model: RefCell<Option<Model>>,
    /// One that answers as that model does.
    predictor: RefCell<Option<Rc<Predictor>>>,
    /// How many models there were.
    models: Cell<u64>,
    is_fitting: Cell<bool>,
    is_to_stop: Cell<bool>,
}

#[wasm_bindgen]
impl Trainer {
    /// A trainer on the browser's adapter, with options as JSON.
    pub async fn create(options: String) -> Result<Trainer, JsError> {
        let options = Options::of(&options).map_err(thrown)?;
        let gpu = Gpu::open_async(&OpenOptions::default()).await.map_err(thrown)?;
        Ok(Trainer {
            gpu,
            options,
            own: RefCell::default(),
            model: RefCell::default(),
            predictor: RefCell::default(),
            models: Cell::default(),
            is_fitting: Cell::new(false),
            is_to_stop: Cell::new(false),
        })
    }

    /// Trains. `each` is called with the progress and with every epoch, as JSON. Another call goes on from the last.
    pub async fn fit(&self, train: &Rows, each: Function) -> Result<(), JsError> {
        self.fit_once(train, None, each).await
    }

    /// As `fit`, judged after each epoch by other rows.
    #[wasm_bindgen(js_name = fitJudged)]
    pub async fn fit_judged(&self, train: &Rows, validation: &Rows, each: Function) -> Result<(), JsError> {
        self.fit_once(train, Some(validation), each).await
    }

    /// Ends a fit that is under way, with the steps that are on their way.
    pub fn stop(&self) {
        self.is_to_stop.set(true);
    }

    /// The class of each row, and its probability: as many of the one as of the other, one after the other.
    pub async fn classify(&self, rows: &Rows) -> Result<Vec<f32>, JsError> {
        let predictor = self.predictor().await.map_err(thrown)?;
        let classes = predictor.classify_set_async(&rows.0).await.map_err(thrown)?;
        let indices = classes.iter().map(|class| class.index as f32);
        Ok(indices.chain(classes.iter().map(|class| class.probability)).collect())
    }

    /// The predictions of rows, row by row: probabilities, or numbers in the units of the targets.
    pub async fn predict(&self, rows: &Rows) -> Result<Vec<f32>, JsError> {
        let predictor = self.predictor().await.map_err(thrown)?;
        predictor.predict_async(&rows.0).await.map_err(thrown)
    }

    /// A text that continues another.
    pub async fn generate(
        &self,
        prompt: String,
        count: usize,
        temperature: f64,
        top_k: Option<usize>,
        seed: u32,
    ) -> Result<String, JsError> {
        let predictor = self.predictor().await.map_err(thrown)?;
        let none = || Error::Option("the model was trained on no text, so that it has none to continue".into());
        let vocabulary = predictor.vocabulary().ok_or_else(none).map_err(thrown)?;
        let tokens = vocabulary.encode(&prompt).map_err(thrown)?;
        let mut drawn = vec![];
        let sampling = Sampling { temperature, top_k, seed: seed.into() };
        let take = |token| {
            drawn.push(token);
            Ok(())
        };
        predictor.generate_async(&tokens, count, sampling, take).await.map_err(thrown)?;
        Ok(vocabulary.decode(&drawn))
    }

    /// The model as a safetensors file.
    pub fn model(&self) -> Result<Vec<u8>, JsError> {
        self.model.borrow().as_ref().ok_or_else(untrained).and_then(Model::to_bytes).map_err(thrown)
    }

    /// What is known of the device and of the network, as JSON.
    pub fn about(&self) -> String {
        self.known().to_string()
    }
}

impl Trainer {
    fn known(&self) -> Value {
        let adapter = self.gpu.adapter();
        let model = self.model.borrow();
        let network = model.as_ref().map(|model| &model.network);
        json!({
            "adapter": adapter.name, "kind": adapter.kind.to_string(), "network": network.map(|network| network.shape()),
            "parameters": network.map(|network| network.parameters()),
        })
    }

    async fn fit_once(&self, train: &Rows, validation: Option<&Rows>, each: Function) -> Result<(), JsError> {
        if self.is_fitting.replace(true) {
            return Err(JsError::new("this trainer is training already: stop it, or await its end"));
        }
        self.is_to_stop.set(false);
        let done = self.fit_on(&train.0, validation.map(|rows| &rows.0), &each).await;
        self.is_fitting.set(false);
        done.map_err(thrown)
    }

    async fn fit_on(&self, train: &Dataset, validation: Option<&Dataset>, each: &Function) -> Result<(), Error> {
        let known = self.own.borrow_mut().take();
        let mut own = match known {
            Some(own) => own,
            None => {
                let network = self.options.network(train)?;
                wgrad::Trainer::on_async(Arc::clone(&self.gpu), network, self.options.training()?).await?
            }
        };
        let fitted = self.fit_own(&mut own, train, validation, each).await;
        self.own.borrow_mut().replace(own);
        fitted
    }

    async fn fit_own(
        &self,
        own: &mut wgrad::Trainer,
        train: &Dataset,
        validation: Option<&Dataset>,
        each: &Function,
    ) -> Result<(), Error> {
        own.report_parameters(true);
        let mut model = own.model_async().await?.trained_on(train);
        self.set_model(model.clone());
        tell(each, json!({ "event": "start", "about": self.known() }));
        let observer = |event: Event<'_>| {
            match event {
                Event::Progress(at) => tell(
                    each,
                    json!({
                        "event": "progress", "epoch": at.epoch, "step": at.step, "steps": at.steps, "loss": at.lately.loss,
                        "accuracy": at.lately.accuracy, "samplesPerSecond": at.samples_per_second,
                    }),
                ),
                Event::Parameters(parameters) => {
                    model.weights = parameters.weights.clone();
                    self.set_model(model.clone());
                }
                Event::Epoch(epoch) => tell(
                    each,
                    json!({
                        "event": "epoch", "epoch": epoch.epoch, "loss": epoch.training.loss, "accuracy": epoch.training.accuracy,
                        "validationLoss": epoch.validation.map(|Evaluation { loss, .. }| loss),
                        "validationAccuracy": epoch.validation.and_then(|own| own.accuracy),
                        "seconds": epoch.seconds, "samplesPerSecond": epoch.samples_per_second,
                    }),
                ),
                _ => {}
            }
            if self.is_to_stop.get() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        };
        let fitted = own.fit_async(train, validation, observer).await;
        if let Ok(model) = own.model_async().await {
            self.set_model(model);
        }
        fitted.map(drop)
    }

    fn set_model(&self, model: Model) {
        self.model.replace(Some(model));
        self.predictor.take();
        self.models.set(self.models.get() + 1);
    }

    async fn predictor(&self) -> Result<Rc<Predictor>, Error> {
        if let Some(known) = &*self.predictor.borrow() {
            return Ok(Rc::clone(known));
        }
        let model = self.model.borrow().clone().ok_or_else(untrained)?;
        let number = self.models.get();
        let made = Rc::new(Predictor::from_model_async(Arc::clone(&self.gpu), model).await?);
        // While it was made, an epoch may have come to its end, and left another model for the next call.
        if self.models.get() == number {
            self.predictor.replace(Some(Rc::clone(&made)));
        }
        Ok(made)
    }
}

/// Passes a message to the page's callback. An exception that the callback throws is ignored: it must not end the training.
fn tell(each: &Function, message: Value) {
    let _ = each.call1(&JsValue::NULL, &message.to_string().into());
}

fn untrained() -> Error {
    Error::Option("there is no model yet: the first epoch of a fit has to end before".into())
}
