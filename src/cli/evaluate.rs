//! `wgrad evaluate`.

use serde_json::json;

use super::options::Evaluate;
use super::output::{Output, figures, grouped};
use super::source;
use crate::Error;

pub(super) fn run(options: &Evaluate) -> Result<(), Error> {
    let output = Output { json: options.common.json };
    let model = super::model(&options.model, &options.own)?;
    let set = source::testing(&options.data)?;
    set.check_for(&model.network, &model.loss)?;
    let result = super::open(model, &options.common)?.evaluate(&set)?;
    output.event(
        json!({ "event": "evaluation", "rows": result.rows, "loss": result.loss, "accuracy": result.accuracy }),
    )?;
    output.text(format_args!("{}   on {} rows", figures(&result), grouped(result.rows)))
}
