//! The losses in f64, after PyTorch's documentation: the mean over a minibatch, and nothing else. Gradients come from central
//! differences.

use wgrad::Loss;

/// The targets of a minibatch.
pub enum Targets<'a> {
    Classes(&'a [i64]),
    Values(&'a [f64]),
}

/// `reduction="mean"`, for logits `[rows, outputs]`.
pub fn mean_loss(loss: &Loss, logits: &[f64], targets: &Targets<'_>, outputs: usize) -> f64 {
    let rows = logits.len() / outputs;
    let values: Vec<f64> = match targets {
        Targets::Values(values) => values.to_vec(),
        Targets::Classes(labels) if outputs == 1 => labels.iter().map(|&label| label as f64).collect(),
        Targets::Classes(labels) => {
            labels.iter().flat_map(|&label| (0..outputs).map(move |c| f64::from(u8::from(c as i64 == label)))).collect()
        }
    };
    let elements = |element: &dyn Fn(f64, f64, usize) -> f64| {
        let sum: f64 = logits.iter().zip(&values).enumerate().map(|(at, (&z, &t))| element(z, t, at % outputs)).sum();
        sum / (rows * outputs) as f64
    };
    match loss {
        Loss::SoftmaxCrossEntropy { label_smoothing, class_weights, ignore_index } => {
            let weight = |c: usize| class_weights.as_ref().map_or(1.0, |weights| weights[c]);
            let (mut sum, mut divisor) = (0.0, 0.0);
            for (row, z) in logits.chunks_exact(outputs).enumerate() {
                match targets {
                    Targets::Classes(labels) if Some(labels[row]) == *ignore_index => continue,
                    Targets::Classes(labels) => divisor += weight(labels[row] as usize),
                    Targets::Values(_) => divisor += 1.0,
                }
                let log_sum = log_sum_exp(z);
                for c in 0..outputs {
                    let t = (1.0 - label_smoothing) * values[row * outputs + c] + label_smoothing / outputs as f64;
                    sum += weight(c) * t * (log_sum - z[c]);
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
            rows_of.map(row).sum::<f64>() / rows as f64
        }
        Loss::SigmoidCrossEntropy { pos_weight } => elements(&|z, t, c| {
            let positive = pos_weight.as_ref().map_or(1.0, |weights| weights[c]);
            let softplus = |v: f64| v.max(0.0) + (-v.abs()).exp().ln_1p();
            positive * t * softplus(-z) + (1.0 - t) * softplus(z)
        }),
        Loss::MeanSquaredError => elements(&|z, t, _| (z - t).powi(2)),
        Loss::MeanAbsoluteError => elements(&|z, t, _| (z - t).abs()),
        Loss::Huber { delta } => elements(&|z, t, _| {
            let d = (z - t).abs();
            if d <= *delta { 0.5 * d * d } else { delta * (d - 0.5 * delta) }
        }),
        other => panic!("{other:?} has no twin yet"),
    }
}

fn log_sum_exp(z: &[f64]) -> f64 {
    let largest = z.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    largest + z.iter().map(|z| (z - largest).exp()).sum::<f64>().ln()
}
