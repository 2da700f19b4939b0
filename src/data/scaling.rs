//! Scalings computed from a set's statistics.

use super::Dataset;
use crate::preprocessing::{ScaleBy, Scaling};

impl ScaleBy {
    /// The scaling of a set's features by these statistics; `None` for [`ScaleBy::None`]. Pass only the training rows, so that nothing is learned
    /// from held-out rows.
    pub fn of(self, train: &Dataset) -> Option<Scaling> {
        match self {
            ScaleBy::None => None,
            ScaleBy::Standardize => Some(Scaling::standardize(train)),
            ScaleBy::MinMax => Some(Scaling::min_max(train)),
        }
    }
}

impl Scaling {
    /// The scaling that gives each feature a mean of 0 and a standard deviation of 1 in these rows, with divisor `n` as in
    /// scikit-learn's `StandardScaler`. A constant feature becomes 0.
    pub fn standardize(train: &Dataset) -> Self {
        let statistics = Statistics::of(train);
        let deviation = |at: usize| (statistics.squares[at] / train.rows() as f64).sqrt();
        Scaling::from_parts((0..train.width()).map(|at| match statistics.is_constant(at) {
            true => (statistics.least[at], 1.0),
            false => (statistics.mean[at], deviation(at)),
        }))
    }

    /// The scaling that maps each feature's range in these rows to `[0, 1]`. A constant feature becomes 0.
    pub fn min_max(train: &Dataset) -> Self {
        let Statistics { least, most, .. } = Statistics::of(train);
        Scaling::from_parts(least.iter().zip(most).map(|(&least, most)| {
            let range = most - least;
            (least, if range > 0.0 { range } else { 1.0 })
        }))
    }
}

/// Statistics of each feature, in f64, from one pass: Welford, "Note on a method for calculating corrected sums of squares and products", 1962.
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
