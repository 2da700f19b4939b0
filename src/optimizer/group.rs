//! Groups of weights that an optimizer treats otherwise than the rest: another decay, another rate, or none.

use super::Optimizer;
use super::rule::FINITE;
use crate::error::Error;
use crate::named::{Elsewhere, unknown};

/// Weights with a weight decay or a learning rate of their own, or that stay as they are: a `param_group` of PyTorch. A weight belongs to the first
/// group that matches it; what none matches is treated as the optimizer says.
///
/// ```
/// use wgrad::{Optimizer, ParameterGroup, TrainOptions};
///
/// let plain = ParameterGroup::new(["norms", "biases", "embeddings"]).weight_decay(0.0);
/// let pretrained = ParameterGroup::new(["0.*", "2.body.*"]).lr_scale(0.1);
/// let options = TrainOptions { groups: vec![plain, pretrained], ..TrainOptions::default() };
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct ParameterGroup {
    /// What it matches. A kind: `matrices` (of dense layers), `convs`, `norms` (both of their tensors), `embeddings`, `biases` (of all layers, norms
    /// included). Or the name of a tensor as it is in model files, as `0.weight`, in which `*` stands for any characters.
    pub matches: Vec<String>,
    /// The weight decay in place of the optimizer's; `None` for the optimizer's.
    pub weight_decay: Option<f64>,
    /// The factor of the learning rate, which follows the schedule as before. 1 changes nothing.
    pub lr_scale: f64,
    /// Whether its weights are never changed: they have no gradient and no values of the optimizer. The running statistics of a frozen batch norm go
    /// on, as in PyTorch.
    pub frozen: bool,
}

impl ParameterGroup {
    /// A group of what these kinds and names match, which changes nothing yet.
    pub fn new<S: Into<String>>(matches: impl IntoIterator<Item = S>) -> Self {
        let matches = matches.into_iter().map(Into::into).collect();
        ParameterGroup { matches, weight_decay: None, lr_scale: 1.0, frozen: false }
    }

    /// The same group with a weight decay of its own.
    #[must_use]
    pub fn weight_decay(self, weight_decay: f64) -> Self {
        ParameterGroup { weight_decay: Some(weight_decay), ..self }
    }

    /// The same group with a factor of the learning rate.
    #[must_use]
    pub fn lr_scale(self, lr_scale: f64) -> Self {
        ParameterGroup { lr_scale, ..self }
    }

    /// The same group, whose weights stay as they are.
    #[must_use]
    pub fn frozen(self) -> Self {
        ParameterGroup { frozen: true, ..self }
    }

    fn treatment(&self, optimizer: &Optimizer) -> Treatment {
        let weight_decay = self.weight_decay.unwrap_or(optimizer.weight_decay);
        Treatment { weight_decay, lr_scale: self.lr_scale, frozen: self.frozen }
    }

    /// That its values can be used, and that its patterns are kinds or names.
    fn check(&self, number: usize) -> Result<(), Error> {
        let refused = |reason: String| Err(Error::Option(format!("group {number} of the optimizer: {reason}")));
        if self.matches.is_empty() {
            return refused("match is empty: it needs kinds of weights, or names".into());
        }
        let kinds = || WeightKind::ALL.iter().map(|kind| kind.word()).chain([BIASES]);
        // The name of a tensor has the layer's and its own, with a dot between.
        let is_unknown = |pattern: &&String| !pattern.contains(['.', '*']) && !kinds().any(|kind| kind == **pattern);
        if let Some(pattern) = self.matches.iter().find(is_unknown) {
            return refused(
                unknown(pattern, "a kind of weights or a name", kinds(), ELSEWHERE) + ", or a name as 0.weight",
            );
        }
        for (name, value) in [("weight_decay", self.weight_decay), ("lr_scale", Some(self.lr_scale))] {
            if let Some(value) = value.filter(|value| !FINITE.contains(value)) {
                return refused(format!("{name} is {value}: it must be finite and at least 0"));
            }
        }
        if self.frozen && (self.weight_decay.is_some() || self.lr_scale != 1.0) {
            return refused("it is frozen, so it has no weight_decay and no lr_scale: leave them out".into());
        }
        Ok(())
    }
}

/// The word for the biases of all layers.
const BIASES: &str = "biases";

/// Words of other programs for kinds of weights.
const ELSEWHERE: Elsewhere = &[
    (&["bias"], "biases"),
    (&["linear", "dense", "weight", "weights", "matrix", "fc", "linears", "kernel", "kernels"], "matrices, or convs"),
    (&["conv", "conv2d", "convolution", "convolutions"], "convs"),
    (&["norm", "batch-norm", "layer-norm", "rms-norm", "group-norm", "normalization", "bn", "ln", "gamma"], "norms"),
    (&["embedding", "embed", "embeds", "positions", "tokens"], "embeddings"),
    (&["all", "any", "everything"], "*"),
];

/// What a weight is of, for [`ParameterGroup::matches`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum WeightKind {
    Matrix,
    Conv,
    Norm,
    Embedding,
}

impl WeightKind {
    const ALL: [WeightKind; 4] = [WeightKind::Matrix, WeightKind::Conv, WeightKind::Norm, WeightKind::Embedding];

    fn word(self) -> &'static str {
        match self {
            WeightKind::Matrix => "matrices",
            WeightKind::Conv => "convs",
            WeightKind::Norm => "norms",
            WeightKind::Embedding => "embeddings",
        }
    }
}

/// A tensor that an optimizer may update, as groups see it.
#[derive(Clone, Debug)]
pub(crate) struct Tensor {
    /// Its name in files.
    pub name: String,
    pub kind: WeightKind,
    pub is_bias: bool,
}

impl Tensor {
    fn is_matched(&self, pattern: &str) -> bool {
        // What a norm adds is of the norm, and a bias.
        let of_kind = pattern == self.kind.word() && (!self.is_bias || self.kind == WeightKind::Norm);
        of_kind || (pattern == BIASES && self.is_bias) || is_like(&self.name, pattern)
    }
}

/// Whether a name is what a pattern describes, in which `*` stands for any characters.
fn is_like(name: &str, pattern: &str) -> bool {
    let Some((first, rest)) = pattern.split_once('*') else { return name == pattern };
    let (middle, last) = rest.rsplit_once('*').unwrap_or(("", rest));
    let Some(mut left) = name.strip_prefix(first).and_then(|name| name.strip_suffix(last)) else { return false };
    // Each stretch where it comes first, so that the most is left for those after it.
    middle.split('*').all(|stretch| {
        let end = left.find(stretch).map(|at| at + stretch.len());
        left = end.map_or(left, |end| &left[end..]);
        end.is_some()
    })
}

/// How the weights of a tensor are treated.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Treatment {
    pub weight_decay: f64,
    pub lr_scale: f64,
    pub frozen: bool,
}

/// How each of these tensors is treated: as the first group that matches it says, else as the optimizer does.
///
/// # Errors
///
/// [`Error::Option`] for a value out of its range; a name that no tensor has, a group that matches none of them, or whose tensors earlier groups
/// have taken; and where nothing is left to be trained.
pub(crate) fn treatments(
    groups: &[ParameterGroup],
    optimizer: &Optimizer,
    tensors: &[Tensor],
) -> Result<Vec<Treatment>, Error> {
    let own = Treatment { weight_decay: optimizer.weight_decay, lr_scale: 1.0, frozen: false };
    let mut treated: Vec<Option<Treatment>> = vec![None; tensors.len()];
    for (number, group) in (1..).zip(groups) {
        group.check(number)?;
        let refused = |reason: String| Err(Error::Option(format!("group {number} of the optimizer {reason}")));
        let is_matched = |pattern: &str| tensors.iter().any(|tensor| tensor.is_matched(pattern));
        let is_name = |pattern: &&String| pattern.contains(['.', '*']);
        let names = || group.matches.iter().filter(is_name);
        if let Some(pattern) = names().find(|pattern| !is_matched(pattern)) {
            return refused(format!("matches \"{pattern}\", and there is no such weight: {}", in_words(tensors)));
        }
        if !group.matches.iter().any(|pattern| is_matched(pattern)) {
            return refused(format!(
                "matches {}, and the network has none: {}",
                group.matches.join(", "),
                in_words(tensors)
            ));
        }
        let before = treated.iter().filter(|own| own.is_some()).count();
        for (own, tensor) in treated.iter_mut().zip(tensors).filter(|(own, _)| own.is_none()) {
            let is_member = group.matches.iter().any(|pattern| tensor.is_matched(pattern));
            *own = is_member.then(|| group.treatment(optimizer));
        }
        if treated.iter().filter(|own| own.is_some()).count() == before {
            return refused(format!(
                "({}) changes nothing: the groups before it have all that it matches, and the first group counts",
                group.matches.join(", ")
            ));
        }
    }
    let treated: Vec<Treatment> = treated.into_iter().map(|treated| treated.unwrap_or(own)).collect();
    if !groups.is_empty() && treated.iter().all(|treated| treated.frozen) {
        return Err(Error::Option(
            "every weight is frozen, so nothing would be trained: leave some of them out".into(),
        ));
    }
    Ok(treated)
}

/// The weights that there are, for messages.
fn in_words(tensors: &[Tensor]) -> String {
    const MOST: usize = 12;
    let names: Vec<&str> = tensors.iter().take(MOST).map(|tensor| &tensor.name[..]).collect();
    let rest = if tensors.len() > MOST { format!(", … ({} in all)", tensors.len()) } else { String::new() };
    let kinds = WeightKind::ALL.iter().map(|kind| kind.word()).chain([BIASES]);
    let there: Vec<&str> = kinds.filter(|kind| tensors.iter().any(|tensor| tensor.is_matched(kind))).collect();
    format!("there are {}; by name {}{rest}", there.join(", "), names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Finds a star that stands for too little, as no characters or a dot, or for too much.
    #[test]
    fn patterns_match_names() {
        for (pattern, name, is) in [
            ("0.weight", "0.weight", true),
            ("0.weight", "10.weight", false),
            ("0.*", "0.bias", true),
            ("0.*", "10.bias", false),
            ("*.bias", "2.body.0.bias", true),
            ("2.body.*", "2.body.0.weight", true),
            ("2.*.weight", "2.body.0.weight", true),
            ("2.*.weight", "2.weight", false),
            ("*", "7.weight", true),
            ("*weight*", "weight", true),
            ("*a*b", "xaxbxb", true),
            ("*a*b", "xbxa", false),
            ("0.*t*", "0.weight", true),
            ("0.0*0.0", "0.0.0", false),
            ("*.é*", "0.é", true),
        ] {
            assert_eq!(is_like(name, pattern), is, "{name} by {pattern}");
        }
    }
}
