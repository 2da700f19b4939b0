//! A plan as a table for people.

use std::fmt;

use super::{Dispatch, Plan, Role};
use crate::kernel::{Access, Cost};

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Set(0) => write!(f, "set"),
            Role::Set(part) => write!(f, "set, part {}", part + 1),
            Role::Scaling => write!(f, "scaling"),
            Role::Minibatch => write!(f, "minibatch"),
            Role::Targets => write!(f, "targets"),
            Role::State => write!(f, "state"),
            Role::Stats => write!(f, "stats"),
            Role::Visited => write!(f, "visited"),
            Role::OutputWeights => write!(f, "output_weights"),
            Role::Weights(layer) => write!(f, "weights.{layer}"),
            Role::OptimizerSlots(layer) => write!(f, "slots.{layer}"),
            Role::GradientSum(layer) => write!(f, "gradient_sum.{layer}"),
            Role::Shares => write!(f, "shares"),
            Role::Strip => write!(f, "strip"),
            Role::Averages(layer) => write!(f, "averages.{layer}"),
            Role::Activations(layer) => write!(f, "activations.{layer}"),
            Role::WeightGradient(layer) => write!(f, "weight_gradient.{layer}"),
            Role::Derivatives(layer) => write!(f, "derivatives.{layer}"),
            Role::Winners(layer) => write!(f, "winners.{layer}"),
            Role::Moments(layer) => write!(f, "moments.{layer}"),
            Role::Sums(layer) => write!(f, "sums.{layer}"),
            Role::Links(layer) => write!(f, "links.{layer}"),
            Role::Kept(layer) => write!(f, "kept.{layer}"),
            Role::Norms => write!(f, "norms"),
            Role::Partials(layer) => write!(f, "partials.{layer}"),
            Role::Gradient(layer) => write!(f, "gradient.{layer}"),
            Role::InputGradient(layer) => write!(f, "input_gradient.{layer}"),
            Role::Direction(at) => write!(f, "direction.{at}"),
            Role::DirectionNorm => write!(f, "direction_norm"),
            Role::Metrics => write!(f, "metrics"),
            Role::Scores => write!(f, "scores"),
            Role::Gram => write!(f, "gram"),
            Role::GramPolynomial => write!(f, "gram_polynomial"),
        }
    }
}

impl fmt::Display for Plan {
    /// Two tables: the dispatches of a step with their work, the layers it is of, what each fuses and binds, and the buffers with their memory.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<26}{:<32}{:>8}{:>10}{:>10}{:>8}", "dispatch", "tile", "groups", "MFLOP", "KiB", "FLOP/B")?;
        for (at, dispatch) in self.dispatches.iter().enumerate() {
            let launch = &dispatch.launch;
            row(f, launch.kernel, &launch.variant, &launch.workgroups.to_string(), launch.cost)?;
            let list = |access| {
                let roles = dispatch.touches(access).map(|role| format!("{role} {:?}", self.shape(role)));
                roles.collect::<Vec<_>>().join(", ")
            };
            for (what, words) in [
                (
                    "times",
                    if self.times(at) > 1 {
                        format!("{}, for each part of a minibatch", self.times(at))
                    } else {
                        String::new()
                    },
                ),
                ("of", dispatch.layers_in_words()),
                ("tiles", products_of(dispatch).join(", ")),
                ("fuses", launch.fuses().join(", ")),
                ("reads", list(Access::Read)),
                ("writes", list(Access::Write)),
            ] {
                if !words.is_empty() {
                    writeln!(f, "  {what:<8}{words}")?;
                }
            }
        }
        row(f, "a step", "", &format!("{} calls", self.calls()), self.cost())?;
        writeln!(f, "\n{:<28}{:<24}{:>14}", "buffer", "shape", "KiB")?;
        for buffer in &self.buffers {
            let shape = format!("{:?}", buffer.shape);
            writeln!(f, "{:<28}{shape:<24}{:>14.1}", buffer.role.to_string(), buffer.bytes as f64 / 1024.0)?;
        }
        writeln!(f, "{:<28}{:<24}{:>14.1}", "in all", "", self.bytes() as f64 / 1024.0)
    }
}

/// The products in a dispatch, as tiles are pinned for them.
fn products_of(dispatch: &Dispatch) -> Vec<String> {
    dispatch.parts().iter().filter_map(|part| Some(part.launch.shape?.to_string())).collect()
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, tile: &str, groups: &str, cost: Cost) -> fmt::Result {
    let (mflop, kib) = (cost.flops as f64 / 1e6, cost.bytes as f64 / 1024.0);
    writeln!(f, "{name:<26}{tile:<32}{groups:>8}{mflop:>10.2}{kib:>10.1}{:>8.1}", cost.intensity())
}
