//! Norms in f64, after PyTorch's documentation. γ are the weights of a norm's parameter, β its bias.

use super::network::Layer;
use crate::graph::{BatchNorm, Over, RowNorm, Value};

/// The mean of some values, and their variance, divided by their number.
fn mean_and_variance(values: impl Iterator<Item = f64> + Clone) -> [f64; 2] {
    let count = values.clone().count() as f64;
    let mean = values.clone().sum::<f64>() / count;
    [mean, values.map(|value| (value - mean) * (value - mean)).sum::<f64>() / count]
}

/// The means and the variances of channels over all rows, and pixels.
fn of_channels(x: &[f64], channels: usize) -> Vec<[f64; 2]> {
    (0..channels).map(|c| mean_and_variance(x.iter().skip(c).step_by(channels).copied())).collect()
}

/// How another arithmetic rounds what a norm keeps, the means and the 1/σ.
#[derive(Clone, Copy)]
pub struct Rounding<'a> {
    /// The value that has them; none where they are not kept.
    pub kept: Option<Value>,
    /// A factor for each of them.
    pub factor: &'a dyn Fn(Value, usize) -> f64,
    /// Where a gradient is made of differences: what is kept at the point that they lie around.
    pub around: Option<&'a [f64]>,
}

impl Rounding<'_> {
    fn factor(self, at: usize) -> f64 {
        self.kept.map_or(1.0, |kept| (self.factor)(kept, at))
    }

    /// A mean, which is kept at this place.
    fn mean(self, at: usize, mean: f64) -> f64 {
        mean * self.factor(at)
    }

    /// 1/σ of values with this variance, which is kept at `at`, and this mean, which is kept at `mean_at`.
    ///
    /// A norm's gradient is a difference: of what goes through x, and what goes through σ, which is made of 1/σ and of the deviations from the mean. In f32, 1/σ is rounded wherever
    /// it is used, and the deviations from a rounded mean do not add up to 0. Where most of the difference cancels, this is much of what is left. So here 1/σ falls more steeply or less
    /// than it would, and the variance has a slope along the mean, while both have the values that they have without: each by a factor of its own, whose difference from 1 counts by a
    /// sixteenth. For factors that differ by 4e-6 that is two units in the last place of f32.
    fn scale(self, at: usize, variance: f64, eps: f64, (mean_at, mean): (usize, f64)) -> f64 {
        let off = |own: usize| (self.factor(usize::MAX - own) - 1.0) / 16.0;
        let slope = |around: f64| off(mean_at) * 2.0 * around * (mean - around);
        let variance = variance - self.around.map_or(0.0, |around| slope(around[mean_at]));
        let scale = self.factor(at) / (variance + eps).sqrt();
        self.around.map_or(scale, |around| scale * (scale / around[at]).powf(off(at)))
    }
}

/// `torch.nn.functional.batch_norm`: y and, where it trains, all means and then all 1/σ, which have a factor each.
pub fn batch_norm(norm: BatchNorm, x: &[f64], own: &Layer, running: &Layer, rounding: Rounding<'_>) -> Vec<Vec<f64>> {
    let channels = own.weights.len();
    let moments = match norm.trains {
        true => of_channels(x, channels),
        false => running.weights.iter().zip(&running.bias).map(|(&mean, &variance)| [mean, variance]).collect(),
    };
    let means = moments.iter().enumerate().map(|(c, of)| rounding.mean(c, of[0]));
    let scales = moments.iter().enumerate().map(|(c, of)| rounding.scale(channels + c, of[1], norm.eps, (c, of[0])));
    let kept: Vec<f64> = means.chain(scales).collect();
    let normed = |(at, x): (usize, &f64)| {
        let c = at % channels;
        (x - kept[c]) * kept[channels + c] * own.weights[c] + own.bias[c]
    };
    let y = x.iter().enumerate().map(normed).collect();
    [y].into_iter().chain(norm.trains.then_some(kept)).collect()
}

/// The running statistics after a minibatch, whose variance divided by its number less one goes into them.
pub fn moved_statistics(norm: BatchNorm, x: &[f64], running: &Layer) -> Layer {
    let channels = running.weights.len();
    let count = (x.len() / channels) as f64;
    let moments = of_channels(x, channels);
    let toward = |old: &[f64], new: &dyn Fn([f64; 2]) -> f64| -> Vec<f64> {
        old.iter().zip(&moments).map(|(old, &of)| (1.0 - norm.momentum) * old + norm.momentum * new(of)).collect()
    };
    Layer {
        weights: toward(&running.weights, &|[mean, _]| mean),
        bias: toward(&running.bias, &|[_, variance]| variance * count / (count - 1.0)),
    }
}

/// `torch.nn.functional.layer_norm` over channels, `rms_norm` or `group_norm`: y and, where it trains, the mean and 1/σ of each that is normalized together. A
/// root mean square has a mean of 0. Each of these has a factor.
pub fn row_norm(norm: RowNorm, x: &[f64], rows: usize, own: &Layer, rounding: Rounding<'_>) -> Vec<Vec<f64>> {
    let channels = own.weights.len();
    // What is normalized together is some channels of some pixels that follow each other: of one, or of a whole image.
    let (pixels, groups) = match norm.over {
        Over::Groups(groups) => (x.len() / channels / rows, groups as usize),
        _ => (1, 1),
    };
    let width = channels / groups;
    let (mut y, mut kept) = (vec![0.0; x.len()], vec![]);
    for first in (0..x.len()).step_by(pixels * channels) {
        for group in 0..groups {
            let places = (0..pixels * width).map(|at| first + at / width * channels + group * width + at % width);
            let [mean, variance] = match norm.over {
                Over::RootMeanSquare => {
                    [0.0, places.clone().map(|at| x[at] * x[at]).sum::<f64>() / (pixels * width) as f64]
                }
                _ => mean_and_variance(places.clone().map(|at| x[at])),
            };
            let at = kept.len();
            let scale = rounding.scale(at + 1, variance, norm.eps, (at, mean));
            let mean = rounding.mean(at, mean);
            for at in places {
                let c = at % channels;
                y[at] = (x[at] - mean) * scale * own.weights[c] + own.bias.get(c).copied().unwrap_or(0.0);
            }
            kept.extend([mean, scale]);
        }
    }
    [y].into_iter().chain(norm.trains.then_some(kept)).collect()
}
