//! The losses in f64, after PyTorch's documentation: the mean over a minibatch, and nothing else. Gradients come from central
//! differences.

use crate::loss::Loss;

/// The targets of a minibatch.
pub enum Targets<'a> {
    /// A class a row.
    Classes(&'a [i64]),
    /// A value for every output.
    Values(&'a [f64]),
}

/// `reduction="mean"`, for logits `[rows, outputs]`.
pub fn mean_loss(loss: &Loss, logits: &[f64], targets: &Targets<'_>, outputs: usize) -> f64 {
    weighted_mean_loss(loss, logits, targets, outputs, &vec![1.0; logits.len() / outputs])
}

/// [`mean_loss`] where each row has a weight.
pub fn weighted_mean_loss(loss: &Loss, logits: &[f64], targets: &Targets<'_>, outputs: usize, weights: &[f64]) -> f64 {
    let values: Vec<f64> = match targets {
        Targets::Values(values) => values.to_vec(),
        Targets::Classes(labels) if outputs == 1 => labels.iter().map(|&label| label as f64).collect(),
        Targets::Classes(labels) => {
            labels.iter().flat_map(|&label| (0..outputs).map(move |c| f64::from(u8::from(c as i64 == label)))).collect()
        }
    };
    let elements = |element: &dyn Fn(f64, f64, usize) -> f64| {
        let terms = logits.iter().zip(&values).enumerate();
        let sum: f64 = terms.map(|(at, (&z, &t))| weights[at / outputs] * element(z, t, at % outputs)).sum();
        sum / outputs as f64 / weights.iter().sum::<f64>()
    };
    match loss {
        Loss::SoftmaxCrossEntropy { label_smoothing, class_weights, ignore_index, gamma } => {
            let weight = |c: usize| class_weights.as_ref().map_or(1.0, |weights| weights[c]);
            let (mut sum, mut divisor) = (0.0, 0.0);
            for (row, z) in logits.chunks_exact(outputs).enumerate() {
                match targets {
                    Targets::Classes(labels) if Some(labels[row]) == *ignore_index => continue,
                    Targets::Classes(labels) => divisor += weights[row] * weight(labels[row] as usize),
                    Targets::Values(_) => divisor += weights[row],
                }
                let log_sum = log_sum_exp(z);
                for c in 0..outputs {
                    let t = (1.0 - label_smoothing) * values[row * outputs + c] + label_smoothing / outputs as f64;
                    let l = log_sum - z[c];
                    sum += weights[row] * weight(c) * t * (-(-l).exp_m1()).powf(*gamma) * l;
                }
            }
            if divisor == 0.0 { 0.0 } else { sum / divisor }
        }
        Loss::KlDivergence => {
            let rows_of = logits.chunks_exact(outputs).zip(values.chunks_exact(outputs));
            let row = |(z, t): (&[f64], &[f64])| -> f64 {
                let log_sum = log_sum_exp(z);
                z.iter().zip(t).filter(|(_, t)| **t > 0.0).map(|(z, t)| t * (t.ln() - (z - log_sum))).sum()
            };
            rows_of.map(row).zip(weights).map(|(loss, weight)| weight * loss).sum::<f64>() / weights.iter().sum::<f64>()
        }
        Loss::SigmoidCrossEntropy { pos_weight, gamma } => elements(&|z, t, c| {
            let positive = pos_weight.as_ref().map_or(1.0, |weights| weights[c]);
            let softplus = |v: f64| v.max(0.0) + (-v.abs()).exp().ln_1p();
            let p = 1.0 / (1.0 + (-z).exp());
            let missed: f64 = p * (1.0 - t) + (1.0 - p) * t;
            missed.powf(*gamma) * (positive * t * softplus(-z) + (1.0 - t) * softplus(z))
        }),
        Loss::MeanSquaredError => elements(&|z, t, _| (z - t).powi(2)),
        Loss::MeanAbsoluteError => elements(&|z, t, _| (z - t).abs()),
        Loss::Huber { delta } => elements(&|z, t, _| {
            let d = (z - t).abs();
            if d <= *delta { 0.5 * d * d } else { delta * (d - 0.5 * delta) }
        }),
        // A user's own loss has no twin: NaN is equal to nothing.
        Loss::Custom(_) => f64::NAN,
    }
}

fn log_sum_exp(z: &[f64]) -> f64 {
    let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + z.iter().map(|z| (z - largest).exp()).sum::<f64>().ln()
}
