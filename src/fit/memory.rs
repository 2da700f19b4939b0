//! What a fit takes of the device, known from its plans before anything is made.
//!
//! wgpu tells how large one buffer may be and how much of it a kernel can bind, and nothing of how much memory there is in all: that is found
//! out by asking for it.

use crate::data::{Dataset, Source};
use crate::error::Error;
use crate::gpu::{Gpu, buffer_bytes};
use crate::network::Network;
use crate::options::TrainOptions;
use crate::plan::{Plan, Request, Role, STATE_BYTES};
use crate::run::rows::Rows;
use crate::trainer::Trainer;

/// That every layer's weights, and the optimizer's values beside them, are buffers that the device can bind.
///
/// # Errors
///
/// [`Error::Option`] with the units that would fit.
pub(crate) fn check_layers(gpu: &Gpu, network: &Network, options: &TrainOptions) -> Result<(), Error> {
    let (adapter, values) = (gpu.adapter(), u64::from(options.optimizer.slots().max(1)));
    let most = adapter.tiling().most_bytes;
    for (layer, dense) in network.dense_layers(1).into_iter().enumerate() {
        let [rows, columns] = dense.weights_shape().map(u64::from);
        let quad_bytes = 16 * values * rows;
        let bytes = quad_bytes * columns / 4;
        if bytes > most {
            let advice = match 4 * (most / quad_bytes) {
                0 => format!("not one unit with {} inputs fits: make the layer below smaller", dense.inputs),
                units => format!("with {} inputs, at most {units} units fit", dense.inputs),
            };
            return Err(Error::Option(format!(
                "layer {} of {} units takes {bytes} bytes in one buffer, and {} can bind at most {most}: {advice}",
                layer + 1,
                dense.outputs,
                adapter.name
            )));
        }
    }
    Ok(())
}

impl Trainer {
    /// The plan, once it is known that every buffer of it is one that the device can bind. What trains nothing takes a smaller batch where that
    /// is what it takes.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] with what was needed, what there is, and the largest batch that fits.
    pub(crate) fn fitting_plan(&self, request: Request<'_>) -> Result<Plan, Error> {
        let most = self.tiling.most_bytes;
        let (reason, too_large) = match Plan::new(request) {
            Ok(plan) => match plan.larger_than(most) {
                None => return Ok(plan),
                Some(buffer) => {
                    let (name, bytes) = (&self.gpu.adapter().name, buffer.bytes);
                    let reason = format!(
                        "{} takes {bytes} bytes in one buffer, and {name} can bind at most {most}",
                        buffer.role
                    );
                    (reason, Some(buffer.role))
                }
            },
            Err(error) => (error.to_string(), None),
        };
        let advice = match (Plan::largest_batch(request, most), too_large) {
            (Some(batch), _) if request.training.is_none() => return Plan::new(Request { batch, ..request }),
            (Some(batch), _) => format!("of a batch of {} rows, at most {batch} fit", request.batch),
            (None, Some(Role::Targets)) => {
                let row_bits = request.loss.targets(request.targets).row_bits(self.network.outputs() as u32);
                format!(
                    "at most {} rows of a set fit; with a memory budget, they are read in windows",
                    8 * most / row_bits
                )
            }
            (None, Some(Role::Scores)) => {
                format!("ask for the metrics of {} rows at most, or for the loss and the accuracy alone", most / 4)
            }
            (None, Some(Role::Metrics)) => "no batch changes that: ask for the loss and the accuracy alone".into(),
            (None, _) => "no batch is small enough: make the layers smaller".into(),
        };
        Err(Error::Option(format!("{reason}; {advice}")))
    }

    /// That what a fit on these sets will make fits, before any of it is made.
    ///
    /// # Errors
    ///
    /// As [`fitting_plan`](Self::fitting_plan) for either set.
    pub(crate) fn check_memory(&self, train: Rows<'_>, validation: Option<&Dataset>) -> Result<(), Error> {
        self.plan_over(train)?;
        self.validation_plan(validation)?;
        Ok(())
    }

    /// Device memory that [`fit`](Self::fit) takes: the weights, the optimizer's values, what is in between, both sets, the best weights where they
    /// are kept, what parameters are told by, and what is read back; and, where checkpoints are made, the copies of one.
    ///
    /// # Errors
    ///
    /// As [`plan`](Self::plan), for either set.
    pub fn device_bytes(&self, train: &dyn Source, validation: Option<&Dataset>) -> Result<u64, Error> {
        let first = self.first_of_windows(train)?;
        self.bytes_of_fit(self.rows_of(train, first.as_ref())?, validation)
    }

    /// The same, of rows as they are read.
    pub(crate) fn bytes_of_fit(&self, train: Rows<'_>, validation: Option<&Dataset>) -> Result<u64, Error> {
        let plan = self.plan_over(train)?;
        // A plan has one window, and the device two.
        let second = if matches!(train, Rows::Windows { .. }) { bytes_of(&plan, is_of_set) } else { 0 };
        let is_measured = |role| matches!(role, Role::Metrics | Role::Scores);
        let validating = self.validation_plan(validation)?.map_or(0, |plan| {
            let own = bytes_of(&plan, |role| !matches!(role, Role::Weights(_)));
            own + sums_bytes(&plan) + bytes_of(&plan, is_measured)
        });
        let telling = if self.tells_parameters { self.telling_bytes(train)? } else { 0 };
        let weights = bytes_of(&plan, |role| matches!(role, Role::Weights(_)));
        let best = if self.options.keep_best { weights } else { 0 };
        let is_kept = |role| matches!(role, Role::Weights(_) | Role::OptimizerSlots(_) | Role::State | Role::Stats);
        let snapshot = if self.options.checkpoint.is_some() { bytes_of(&plan, is_kept) + best } else { 0 };
        Ok(bytes_of(&plan, |_| true) + second + sums_bytes(&plan) + validating + telling + best + snapshot)
    }

    /// Device memory of the step that tells parameters, and of what they are read by.
    fn telling_bytes(&self, train: Rows<'_>) -> Result<u64, Error> {
        let shape = train.shape(self.tiling.most_bytes);
        let plan = Plan::gradients(self.options.training_request(&self.network, shape, &self.tiling))?;
        let is_shared =
            |role| is_of_set(role) || matches!(role, Role::Weights(_) | Role::Scaling | Role::OutputWeights);
        Ok(bytes_of(&plan, |role| !is_shared(role)) + sums_bytes(&plan) + self.told_bytes())
    }

    /// Bytes of all weights and of their gradients.
    fn told_bytes(&self) -> u64 {
        let bytes = |[rows, columns]: [u32; 2]| 4 * u64::from(rows) * u64::from(columns);
        2 * self.network.dense_layers(1).into_iter().map(|dense| bytes(dense.weights_shape())).sum::<u64>()
    }
}

fn is_of_set(role: Role) -> bool {
    matches!(role, Role::Set(_) | Role::Targets)
}

/// Bytes of those of a plan's buffers.
fn bytes_of(plan: &Plan, counts: impl Fn(Role) -> bool) -> u64 {
    plan.bytes_of(counts).into_iter().map(buffer_bytes).sum()
}

/// Bytes of what a runner's sums are read by.
fn sums_bytes(plan: &Plan) -> u64 {
    bytes_of(plan, |role| role == Role::Stats) + STATE_BYTES
}
