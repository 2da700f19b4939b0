//! Scalings of features and targets, the same in training and in prediction.

use crate::error::Error;
use crate::named::{Elsewhere, Named, by_word};

/// A scaling, with one shift and one scale for each feature: the network sees `(x − shift) · scale`. A u8 feature is mapped to `[0, 1]` first.
/// Values with more digits than f32 has are rounded after the scaling.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// The shift of each feature, `[features]`.
    pub shift: Vec<f64>,
    /// The scale of each feature, `[features]`.
    pub scale: Vec<f32>,
}

/// The statistics of the training rows that a scaling is computed from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ScaleBy {
    /// No scaling.
    #[default]
    None,
    /// Scale to a mean of 0 and a standard deviation of 1.
    Standardize,
    /// Scale the channels of images to a mean of 0 and a standard deviation of 1, each by its values in all pixels.
    StandardizeChannels,
    /// Scale to the range `[0, 1]`.
    MinMax,
}

impl Named for ScaleBy {
    const WHAT: &'static str = "a scaling";
    const WORDS: &'static [(&'static str, Self)] = &[
        ("none", ScaleBy::None),
        ("standardize", ScaleBy::Standardize),
        ("standardize-channels", ScaleBy::StandardizeChannels),
        ("min-max", ScaleBy::MinMax),
    ];
    const ELSEWHERE: Elsewhere = &[
        (
            &["zscore", "z-score", "standard", "standardscaler", "standard-scaler", "std", "standardise", "mean-std"],
            "standardize",
        ),
        (&["per-channel", "channel", "channels", "channelwise", "imagenet"], "standardize-channels"),
        (&["minmax", "minmaxscaler", "min-max-scaler", "normalize", "normalise", "0-1", "unit"], "min-max"),
        (&["no", "off", "false", "identity"], "none"),
    ];
}

by_word!(ScaleBy);

impl Scaling {
    /// A scaling from pairs of a number to subtract and a number to divide by, one pair for each feature.
    pub(crate) fn from_parts(parts: impl Iterator<Item = (f64, f64)>) -> Self {
        // A divisor whose inverse is no finite f32 is taken as 1.
        let scale = |divisor: f64| Some((1.0 / divisor) as f32).filter(|scale| scale.is_finite()).unwrap_or(1.0);
        let (shift, scale) = parts.map(|(shift, divisor)| (shift, scale(divisor))).unzip();
        Scaling { shift, scale }
    }

    /// Whether all features of a channel have the same shift and scale, where the last axis of the features is `channels` channels.
    #[cfg(feature = "cli")]
    pub(crate) fn is_of_channels(&self, channels: usize) -> bool {
        let first = channels.min(self.shift.len());
        (first..self.shift.len())
            .all(|at| (self.shift[at], self.scale[at]) == (self.shift[at % first], self.scale[at % first]))
    }

    /// The scaled value of a feature, as the network sees it.
    pub(crate) fn apply(&self, feature: usize, value: f64) -> f32 {
        ((value - self.shift[feature]) * f64::from(self.scale[feature])) as f32
    }

    /// The value of a feature before the scaling: the reverse of [`apply`](Self::apply), to f32's precision.
    pub(crate) fn undo(&self, feature: usize, value: f32) -> f64 {
        f64::from(value) / f64::from(self.scale[feature]) + self.shift[feature]
    }

    /// Checks that there is a finite shift and a finite scale for each of `features` features.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] naming the first feature that has none.
    pub fn check(&self, features: usize) -> Result<(), Error> {
        let scale = self.scale.iter().copied().map(f64::from).collect();
        for (name, values) in [("shift", &self.shift), ("scale", &scale)] {
            if values.len() != features {
                return Err(Error::Data(format!(
                    "the scaling has {} values of {name} for {features} features: there must be one each",
                    values.len()
                )));
            }
            if let Some(at) = values.iter().position(|value| !value.is_finite()) {
                return Err(Error::Data(format!("the {name} of feature {at} is {}: it must be finite", values[at])));
            }
        }
        Ok(())
    }
}

/// Checks that a scaling of targets can be reversed: each target needs a finite shift and a finite scale other than 0.
///
/// # Errors
///
/// [`Error::Data`] naming the first target without them.
pub(crate) fn check_target_scaling(scaling: &Scaling, outputs: usize) -> Result<(), Error> {
    scaling.check(outputs).map_err(|error| Error::Data(format!("of targets, {error}")))?;
    match scaling.scale.iter().position(|&scale| !scale.is_normal()) {
        Some(at) => Err(Error::Data(format!(
            "the scale of target {at} is {}: it must not be 0, or almost 0, as predictions are divided by it",
            scaling.scale[at]
        ))),
        None => Ok(()),
    }
}

/// Converts outputs to the targets' own units, if there is a scaling.
pub(crate) fn in_own_units(scaling: Option<&Scaling>, outputs: &mut [f32]) {
    let Some(scaling) = scaling else { return };
    for row in outputs.chunks_exact_mut(scaling.shift.len()) {
        row.iter_mut().enumerate().for_each(|(output, value)| *value = scaling.undo(output, *value) as f32);
    }
}
