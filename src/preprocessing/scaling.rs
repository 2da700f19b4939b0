//! What is done to features before a network sees them, the same in training and in prediction.

use crate::error::Error;
use crate::named::{Elsewhere, Named, by_word};

/// One shift and one scale for each feature: the network sees `(x − shift) · scale`. A u8 feature is in `[0, 1]` before that. Values that
/// were read with more digits than f32 has are rounded after it.
#[derive(Clone, Debug, PartialEq)]
pub struct Scaling {
    /// `[features]`
    pub shift: Vec<f64>,
    /// `[features]`
    pub scale: Vec<f32>,
}

/// Which statistics of the training rows features are scaled by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum ScaleBy {
    /// None: as they are.
    #[default]
    None,
    /// To a mean of 0 and a standard deviation of 1.
    Standardize,
    /// To `[0, 1]`.
    MinMax,
}

impl Named for ScaleBy {
    const WHAT: &'static str = "a scaling";
    const WORDS: &'static [(&'static str, Self)] =
        &[("none", ScaleBy::None), ("standardize", ScaleBy::Standardize), ("min-max", ScaleBy::MinMax)];
    const ELSEWHERE: Elsewhere = &[
        (
            &["zscore", "z-score", "standard", "standardscaler", "standard-scaler", "std", "standardise", "mean-std"],
            "standardize",
        ),
        (&["minmax", "minmaxscaler", "min-max-scaler", "normalize", "normalise", "0-1", "unit"], "min-max"),
        (&["no", "off", "false", "identity"], "none"),
    ];
}

by_word!(ScaleBy);

impl Scaling {
    /// What is taken away, and what is divided by.
    pub(crate) fn from_parts(parts: impl Iterator<Item = (f64, f64)>) -> Self {
        // Differences so small that f32 has no number to divide by them stay as they are.
        let scale = |divisor: f64| Some((1.0 / divisor) as f32).filter(|scale| scale.is_finite()).unwrap_or(1.0);
        let (shift, scale) = parts.map(|(shift, divisor)| (shift, scale(divisor))).unzip();
        Scaling { shift, scale }
    }

    /// What the network sees of a feature.
    pub(crate) fn apply(&self, feature: usize, value: f64) -> f32 {
        ((value - self.shift[feature]) * f64::from(self.scale[feature])) as f32
    }

    /// What a feature was before: the reverse of [`apply`](Self::apply), to f32's digits.
    pub(crate) fn undo(&self, feature: usize, value: f32) -> f64 {
        f64::from(value) / f64::from(self.scale[feature]) + self.shift[feature]
    }

    /// That there is a finite shift and a finite scale for each of so many features.
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

/// That a scaling of targets has what they can be found again by: a finite shift and a finite scale other than 0 for each.
///
/// # Errors
///
/// [`Error::Data`] naming the first that is not.
pub(crate) fn check_target_scaling(scaling: &Scaling, outputs: usize) -> Result<(), Error> {
    scaling.check(outputs).map_err(|error| Error::Data(format!("of targets, {error}")))?;
    match scaling.scale.iter().position(|&scale| !scale.is_normal()) {
        Some(at) => Err(Error::Data(format!(
            "the scale of target {at} is {}: it must not be 0, or next to it, as predictions are divided by it",
            scaling.scale[at]
        ))),
        None => Ok(()),
    }
}

/// Outputs of rows in the targets' own units.
pub(crate) fn in_own_units(scaling: Option<&Scaling>, outputs: &mut [f32]) {
    let Some(scaling) = scaling else { return };
    for row in outputs.chunks_exact_mut(scaling.shift.len()) {
        row.iter_mut().enumerate().for_each(|(output, value)| *value = scaling.undo(output, *value) as f32);
    }
}
