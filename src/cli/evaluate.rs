//! `wgrad evaluate`.

use serde_json::json;

use super::options::Evaluate;
use super::output::{Output, grouped};
use super::source;
use crate::{Error, Gpu, Model, TrainOptions, Trainer};

pub(super) fn run(options: &Evaluate) -> Result<(), Error> {
    let output = Output { json: options.common.json };
    let model = Model::read(&options.model)?;
    let set = source::testing(&options.data)?;
    set.check_for(&model.network)?;
    let gpu = Gpu::open(&options.common.adapter.clone().unwrap_or_default())?;
    let mut trainer = Trainer::on(gpu, model.network, TrainOptions::default())?;
    trainer.set_weights(&model.weights)?;
    let result = trainer.evaluate(&set)?;
    output.event(
        json!({ "event": "evaluation", "rows": result.rows, "loss": result.loss, "accuracy": result.accuracy }),
    )?;
    output.text(format_args!(
        "loss {:.4}   accuracy {:.2} %   on {} rows",
        result.loss,
        100.0 * result.accuracy,
        grouped(result.rows)
    ))
}
