//! Norms in f64, after PyTorch's documentation. γ are the weights of a norm's parameter, β its bias.

use super::network::Layer;
use crate::graph::{BatchNorm, Over, RowNorm};

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

/// 1/σ of values with this mean and variance, with a rounding: a factor of it. The gradient of a norm is a difference in which much may cancel; f32 makes it of a mean that is
/// rounded, and of a 1/σ that is used twice. So the factor also acts on how the mean counts in the variance, by a sixteenth, and on how steeply 1/σ falls, by a quarter: f32 is off
/// by about as much of what the forward pass may be off by.
fn rounded_scale(mean: f64, variance: f64, eps: f64, rounding: f64) -> f64 {
    let off = rounding - 1.0;
    let variance = (variance + off / 16.0 * mean * mean).max(0.0);
    rounding * (variance + eps).powf(-0.5 * (1.0 + off / 4.0))
}

/// `torch.nn.functional.batch_norm`: y and, where it trains, all means and then all 1/σ, which have a factor each.
pub fn batch_norm(
    norm: BatchNorm,
    x: &[f64],
    own: &Layer,
    running: &Layer,
    rounding: &dyn Fn(usize) -> f64,
) -> Vec<Vec<f64>> {
    let channels = own.weights.len();
    let moments = match norm.trains {
        true => of_channels(x, channels),
        false => running.weights.iter().zip(&running.bias).map(|(&mean, &variance)| [mean, variance]).collect(),
    };
    let means = moments.iter().enumerate().map(|(c, of)| of[0] * rounding(c));
    let scales =
        moments.iter().enumerate().map(|(c, of)| rounded_scale(of[0], of[1], norm.eps, rounding(channels + c)));
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
pub fn row_norm(norm: RowNorm, x: &[f64], rows: usize, own: &Layer, rounding: &dyn Fn(usize) -> f64) -> Vec<Vec<f64>> {
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
            let scale = rounded_scale(mean, variance, norm.eps, rounding(kept.len() + 1));
            let mean = mean * rounding(kept.len());
            for at in places {
                let c = at % channels;
                y[at] = (x[at] - mean) * scale * own.weights[c] + own.bias.get(c).copied().unwrap_or(0.0);
            }
            kept.extend([mean, scale]);
        }
    }
    [y].into_iter().chain(norm.trains.then_some(kept)).collect()
}
