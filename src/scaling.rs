//! What is done to features before a network sees them, the same in training and in prediction.

use crate::named::{Elsewhere, Named, by_word};
use crate::{Dataset, Error};

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

impl ScaleBy {
    /// The scaling of a set's features, if any. Give it the training rows alone: what is held out is not to be known.
    pub fn of(self, train: &Dataset) -> Option<Scaling> {
        match self {
            ScaleBy::None => None,
            ScaleBy::Standardize => Some(Scaling::standardize(train)),
            ScaleBy::MinMax => Some(Scaling::min_max(train)),
        }
    }
}

impl Scaling {
    /// To a mean of 0 and a standard deviation of 1 (over `n`, as scikit-learn's `StandardScaler` has it) in these rows. A feature that is
    /// the same in all of them becomes 0.
    pub fn standardize(train: &Dataset) -> Self {
        let statistics = Statistics::of(train);
        let deviation = |at: usize| (statistics.squares[at] / train.rows() as f64).sqrt();
        Scaling::from_parts((0..train.width()).map(|at| match statistics.is_constant(at) {
            true => (statistics.least[at], 1.0),
            false => (statistics.mean[at], deviation(at)),
        }))
    }

    /// To `[0, 1]` in these rows. A feature that is the same in all of them becomes 0.
    pub fn min_max(train: &Dataset) -> Self {
        let Statistics { least, most, .. } = Statistics::of(train);
        Scaling::from_parts(least.iter().zip(most).map(|(&least, most)| {
            let range = most - least;
            (least, if range > 0.0 { range } else { 1.0 })
        }))
    }

    /// What is taken away, and what is divided by.
    fn from_parts(parts: impl Iterator<Item = (f64, f64)>) -> Self {
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

/// Of each feature, in f64, in one pass: Welford, "Note on a method for calculating corrected sums of squares and products", 1962.
struct Statistics {
    mean: Vec<f64>,
    /// Sums of squared differences from the mean.
    squares: Vec<f64>,
    least: Vec<f64>,
    most: Vec<f64>,
}

impl Statistics {
    fn of(set: &Dataset) -> Self {
        let width = set.width();
        let mut all = Statistics {
            mean: vec![0.0; width],
            squares: vec![0.0; width],
            least: vec![f64::INFINITY; width],
            most: vec![f64::NEG_INFINITY; width],
        };
        let mut rows = 0.0;
        set.each_row(|row| {
            rows += 1.0;
            for (at, value) in row.enumerate() {
                let difference = value - all.mean[at];
                all.mean[at] += difference / rows;
                all.squares[at] += difference * (value - all.mean[at]);
                all.least[at] = all.least[at].min(value);
                all.most[at] = all.most[at].max(value);
            }
        });
        all
    }

    fn is_constant(&self, at: usize) -> bool {
        self.least[at] >= self.most[at]
    }
}
