//! Scalings computed from a set's statistics.

use super::Dataset;
use crate::error::Error;
use crate::preprocessing::{Columns, ScaleBy, Scaling};

impl ScaleBy {
    /// The scaling of a set's features by these statistics; `None` for [`ScaleBy::None`]. Pass only the training rows, so that nothing is learned
    /// from held-out rows.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] for [`ScaleBy::StandardizeChannels`] where the rows are not images.
    pub fn of(self, train: &Dataset) -> Result<Option<Scaling>, Error> {
        Ok(match self {
            ScaleBy::None => None,
            ScaleBy::Standardize => Some(Scaling::standardize(train)),
            ScaleBy::StandardizeChannels => Some(Scaling::standardize_channels(train)?),
            ScaleBy::MinMax => Some(Scaling::min_max(train)),
        })
    }
}

impl Scaling {
    /// The scaling that gives each feature a mean of 0 and a standard deviation of 1 in these rows, with divisor `n` as in
    /// scikit-learn's `StandardScaler`. A constant feature becomes 0; the number of a word ([`Dataset::embed_layer`]) stays as it is.
    pub fn standardize(train: &Dataset) -> Self {
        Scaling::of_quantities(train, Statistics::of(train, train.width()).mean_and_deviation())
    }

    /// The scaling that gives each channel of images a mean of 0 and a standard deviation of 1 over all pixels of these rows, with divisor `n`:
    /// all features of a channel have the same shift and scale. A constant channel becomes 0.
    ///
    /// # Errors
    ///
    /// [`Error::Data`] where the rows are not images.
    pub fn standardize_channels(train: &Dataset) -> Result<Self, Error> {
        let Some(image) = train.image_shape() else {
            return Err(Error::Data(
                "the rows are not images, so they have no channels to standardize: standardize takes each feature by itself; rows of pixels become \
                 images with image = [height, width, channels] under [data] (in a program Dataset::with_image_shape)"
                    .into(),
            ));
        };
        // The channels are the last axis.
        let channels = Statistics::of(train, image.channels).mean_and_deviation().collect::<Vec<_>>();
        Ok(Scaling::from_parts(channels.into_iter().cycle().take(train.width())))
    }

    /// The scaling that maps each feature's range in these rows to `[0, 1]`. A constant feature becomes 0; the number of a word ([`Dataset::embed_layer`]) stays as it is.
    pub fn min_max(train: &Dataset) -> Self {
        let Statistics { least, most, .. } = Statistics::of(train, train.width());
        let parts = least.iter().zip(most).map(|(&least, most)| {
            let range = most - least;
            (least, if range > 0.0 { range } else { 1.0 })
        });
        Scaling::of_quantities(train, parts)
    }

    /// The scaling from what to subtract from each feature and to divide it by. The numbers of words stay as they are.
    fn of_quantities(train: &Dataset, parts: impl Iterator<Item = (f64, f64)>) -> Self {
        let words = train.columns().map(Columns::embedded).unwrap_or_default();
        let is_word = |feature: usize| words.iter().any(|own| own.feature == feature);
        Scaling::from_parts(parts.enumerate().map(|(at, part)| if is_word(at) { (0.0, 1.0) } else { part }))
    }
}

/// Statistics of groups of features, in f64, from one pass: Welford, "Note on a method for calculating corrected sums of squares and products", 1962.
struct Statistics {
    /// The number of values in each group.
    values: f64,
    mean: Vec<f64>,
    /// Sums of squared differences from the mean.
    squares: Vec<f64>,
    least: Vec<f64>,
    most: Vec<f64>,
}

impl Statistics {
    /// The statistics of `groups` groups, which divide a row: feature `i` is in group `i` modulo their number.
    fn of(set: &Dataset, groups: usize) -> Self {
        let mut all = Statistics {
            values: 0.0,
            mean: vec![0.0; groups],
            squares: vec![0.0; groups],
            least: vec![f64::INFINITY; groups],
            most: vec![f64::NEG_INFINITY; groups],
        };
        set.each_row(|row| {
            for (value, at) in row.zip((0..groups).cycle()) {
                all.values += f64::from(u8::from(at == 0));
                let difference = value - all.mean[at];
                all.mean[at] += difference / all.values;
                all.squares[at] += difference * (value - all.mean[at]);
                all.least[at] = all.least[at].min(value);
                all.most[at] = all.most[at].max(value);
            }
        });
        all
    }

    /// What to subtract from each group, and to divide it by.
    fn mean_and_deviation(&self) -> impl Iterator<Item = (f64, f64)> {
        (0..self.mean.len()).map(|at| match self.least[at] >= self.most[at] {
            true => (self.least[at], 1.0),
            false => (self.mean[at], (self.squares[at] / self.values).sqrt()),
        })
    }
}
