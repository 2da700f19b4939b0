//! How an optimizer treats a network's parameters, where groups of weights are treated otherwise than the rest.

use super::{Network, Parameter, ParameterKind};
use crate::error::Error;
use crate::optimizer::{Optimizer, ParameterGroup, Tensor, Treated, Treatment, WeightKind, treatments};

impl Parameter {
    /// What its weights are of; none for what no optimizer updates.
    fn weight_kind(&self) -> Option<WeightKind> {
        match self.kind {
            ParameterKind::Matrix | ParameterKind::Projection => Some(WeightKind::Matrix),
            ParameterKind::Embedding => Some(WeightKind::Embedding),
            ParameterKind::Kernel { .. } => Some(WeightKind::Conv),
            ParameterKind::Scale => Some(WeightKind::Norm),
            ParameterKind::Statistics => None,
        }
    }
}

impl Network {
    /// How each parameter is treated, in the order of [`named_parameters`](Self::named_parameters); none where no groups are asked for.
    ///
    /// # Errors
    ///
    /// [`Error::Option`] for groups that match none of the weights, or have a value out of its range; where every weight is frozen.
    pub(crate) fn treated(&self, groups: &[ParameterGroup], optimizer: &Optimizer) -> Result<Vec<Treated>, Error> {
        if groups.is_empty() {
            return Ok(vec![]);
        }
        let parameters = self.named_parameters();
        let tensors_of = |parameter: &Parameter| {
            let [weight, bias] = parameter.tensor_names();
            let tensor = |kind, name, is_bias| Tensor { name, kind, is_bias };
            let own = parameter.weight_kind().map(|kind| tensor(kind, weight, false));
            own.into_iter()
                .chain(parameter.weight_kind().filter(|_| parameter.bias).map(|kind| tensor(kind, bias, true)))
                .collect::<Vec<_>>()
        };
        let tensors: Vec<Tensor> = parameters.iter().flat_map(tensors_of).collect();
        let mut all = treatments(groups, optimizer, &tensors)?.into_iter();
        let untouched = Treatment { weight_decay: 0.0, lr_scale: 1.0, frozen: false };
        Ok(parameters
            .iter()
            .map(|parameter| {
                let mut own = all.by_ref().take(tensors_of(parameter).len());
                let matrix = own.next().unwrap_or(untouched);
                let dense = parameter.dense(1);
                Treated { matrix, bias: own.next().unwrap_or(matrix), bias_at: dense.inputs * dense.out_quads() }
            })
            .collect())
    }
}
