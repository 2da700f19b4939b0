//! What a checkpoint holds besides the model, and how it goes to a file and comes back.
//!
//! A checkpoint is a model file with more tensors: `optimizer.K.0.weight`, …, slot K of the optimizer beside each weight that is not frozen;
//! `state.weights.0.weight`, …, the weights as they are trained, where the model's are their moving averages; `state.best.0.weight`, …, the best epoch's
//! weights where they are kept; `state.step` (u32), the step state as `shaders/step.wesl` has it;
//! `state.sums` (u32, [batch, 7]), the epoch's running sums (`shaders/stats.wesl`); `state.watch` (f64) and `state.history` (f64, a row an
//! epoch). The metadata's `checkpoint` has the rest: [`FORMAT`], the options, the position, the sets' checksums, the tiles.

use std::collections::BTreeMap;
use std::path::Path;

use safetensors::Dtype;
use serde_json::json;

use super::fit_state::FitState;
use super::{configuration, folder};
use crate::activation::Activation;
use crate::data::Fingerprint;
use crate::error::Error;
use crate::history::{Epoch, figures_of};
use crate::kernel::tiling::Picks;
use crate::loss::Loss;
use crate::model::{Model, Tensor, tensors};
use crate::network::Network;
use crate::optimizer::Rule;
use crate::options::TrainOptions;
use crate::preprocessing::Origin;
use crate::run::order::Order;
use crate::weights::Weights;
use crate::wgsl::Wgsl;

/// What is the same in every checkpoint of a fit.
#[derive(Clone, Debug)]
pub(crate) struct Run {
    pub network: Network,
    pub loss: Loss,
    /// Of the training set.
    pub origin: Origin,
    pub options: TrainOptions,
    pub order: Order,
    pub train: Fingerprint,
    pub validation: Option<Fingerprint>,
    /// Name, driver and family.
    pub adapter: [String; 3],
    pub picks: Picks,
    pub notes: BTreeMap<String, String>,
}

/// A whole checkpoint in memory.
#[derive(Clone, Debug)]
pub(crate) struct Saved {
    pub run: Run,
    pub step: u64,
    pub fit: FitState,
    pub weights: Weights,
    /// The moving averages of the weights, where they are kept.
    pub averages: Option<Weights>,
    /// Of the optimizer, by slot.
    pub slots: Vec<Weights>,
    pub best: Option<Weights>,
    /// The step state's words, and the running sums'.
    pub state: Vec<u32>,
    pub sums: Vec<u32>,
}

/// The version of the format that is described above. A later one reads the earlier ones.
pub(crate) const FORMAT: u64 = 2;

/// The earliest version whose readers can go on with such a run: groups of weights, averages and minibatches in parts, or in shards, came with the second.
fn format_of(options: &TrainOptions) -> u64 {
    let is_plain =
        options.groups.is_empty() && options.ema.is_none() && options.accumulate == 1 && options.shards.is_none();
    if is_plain { 1 } else { FORMAT }
}

/// Words of an entry of the running sums.
const SUMS_WORDS: usize = 7;

impl Saved {
    /// Writes it into the folder, whole or not at all.
    pub fn write(self, folder: &Path) -> Result<(), Error> {
        let Saved { run, step, fit, mut weights, averages, slots, best, state, sums } = self;
        let parameters = run.network.named_parameters();
        let mut all: Vec<Tensor> = Vec::new();
        for (slot, values) in slots.iter().enumerate() {
            let own = parameters.iter().cloned().zip(values.layers.iter().cloned());
            let (parameters, values): (Vec<_>, Vec<_>) = own.filter(|(_, own)| !own.weight.is_empty()).unzip();
            all.extend(tensors(&format!("optimizer.{slot}."), &parameters, &values));
        }
        // The model that the file is too answers by the averages.
        if let Some(averages) = averages {
            all.extend(tensors("state.weights.", &parameters, &weights.layers));
            weights = averages;
        }
        if let Some(best) = &best {
            all.extend(tensors("state.best.", &parameters, &best.layers));
        }
        let history: Vec<f64> = fit.history.epochs.iter().flat_map(figures_of).collect();
        let watch = fit.watch.figures();
        let epochs = fit.history.epochs.len();
        all.extend([
            Tensor::new("state.step", Dtype::U32, vec![state.len()], &state),
            Tensor::new("state.sums", Dtype::U32, vec![sums.len() / SUMS_WORDS, SUMS_WORDS], &sums),
            Tensor::new("state.watch", Dtype::F64, vec![watch.len()], &watch),
            Tensor::new("state.history", Dtype::F64, vec![epochs, Epoch::FIGURES], &history),
        ]);
        let set = |set: &Fingerprint| json!({ "rows": set.rows, "width": set.width, "crc32": set.crc32 });
        let [adapter, driver, family] = &run.adapter;
        let own = configuration::own_texts(&own_of(&run));
        let about = json!({ "checkpoint": {
            "format": format_of(&run.options),
            "options": configuration::to_json(&run.options),
            "own": own,
            "position": {
                "step": step, "rows": run.order.rows, "first_step": run.order.first_step, "epochs_before": run.order.epochs_before,
                "began": fit.began, "sums_began": fit.sums_began, "skipped_before": fit.skipped_before,
                "kept": fit.history.kept, "lowered": fit.history.lowered,
            },
            "train": set(&run.train),
            "validation": run.validation.as_ref().map(set),
            "adapter": { "name": adapter, "driver": driver, "family": family },
            "tiles": run.picks.by_product(),
            "notes": run.notes,
        } });
        let model = Model::new(run.network, weights, run.loss).keeping(run.origin);
        model.write_with(&folder::file(folder, step), all, about)
    }
}

/// The functions of the user's own in a run.
pub(crate) fn own_of(run: &Run) -> Vec<Wgsl> {
    let activations = run.network.activations().into_iter().filter_map(|activation| match activation {
        Activation::Custom(own) => Some(own),
        _ => None,
    });
    let loss = if let Loss::Custom(own) = run.loss { Some(own) } else { None };
    let rule = if let Rule::Custom(own) = run.options.optimizer.rule { Some(own) } else { None };
    activations.chain(loss).chain(rule).collect()
}
