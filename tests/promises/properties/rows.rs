//! A case's set, and which rows of it a step visits.

use half::f16;
use wgrad::{Dataset, Loss};

use super::case::{Case, Features};
use crate::reference::loss::{Targets, weighted_mean_loss};
use crate::reference::row_of;
use crate::support::Random;

/// A set, and the same values for the twin.
pub(super) struct Rows {
    pub set: Dataset,
    pub x: Vec<f64>,
    pub labels: Option<Vec<i64>>,
    pub values: Vec<f64>,
    pub weights: Vec<f64>,
}

impl Rows {
    pub fn of(case: &Case) -> Self {
        let (rows, width, outputs) = (case.rows(), case.widths[0], case.outputs());
        let random = &mut Random(case.seed);
        let x = random.values(rows * width);
        let labels: Vec<i64> = (0..rows)
            .map(|row| if case.loss_options && row % 5 == 3 { -100 } else { random.below(outputs) as i64 })
            .collect();
        // A label that is not ignored counts.
        let ignores = matches!(case.loss(), Loss::SoftmaxCrossEntropy { ignore_index: Some(_), .. });
        let labels = labels.into_iter().map(|label| if ignores { label } else { label.max(0) });
        let labels = case.has_labels().then(|| labels.collect::<Vec<i64>>());
        let mut drawn = || random.values(rows * outputs).into_iter();
        let values: Vec<f64> = match case.loss {
            "sigmoid-cross-entropy" => drawn().map(|value| f64::from(u8::from(value > 0.3))).collect(),
            "softmax-cross-entropy" | "kl-divergence" => random.distributions(rows, outputs),
            _ => drawn().collect(),
        };
        let weights = (0..rows).map(|row| if case.sample_weights { [0.5, 2.0, 1.5, 1.0][row % 4] } else { 1.0 });
        let weights: Vec<f64> = weights.collect();

        let device_labels = labels.clone().unwrap_or_else(|| vec![0; rows]).iter().map(|&label| label as u32).collect();
        let bytes: Vec<u8> = x.iter().map(|value| (127.5 * (value + 1.0)) as u8).collect();
        let halves: Vec<f16> = x.iter().map(|&value| f16::from_f64(value)).collect();
        let (set, x) = match case.features {
            Features::U8 => {
                let seen = bytes.iter().map(|&byte| f64::from(byte) / 255.0).collect();
                (Dataset::from_u8(bytes, width, device_labels), seen)
            }
            Features::F16 => {
                let seen = halves.iter().map(|&value| value.into()).collect();
                (Dataset::from_f16(halves, width, device_labels), seen)
            }
            Features::F32 => {
                (Dataset::from_f32(x.iter().map(|&value| value as f32).collect(), width, device_labels), x)
            }
        };
        let mut set = set.unwrap();
        if labels.is_none() {
            set = set.with_targets(values.iter().map(|&value| value as f32).collect(), outputs).unwrap();
        }
        if case.sample_weights {
            set = set.with_sample_weights(weights.iter().map(|&weight| weight as f32).collect()).unwrap();
        }
        Rows { set, x, labels, values, weights }
    }

    /// The rows of the minibatch of a step.
    pub fn visited(&self, case: &Case, step: u64) -> Vec<usize> {
        let rows = case.rows();
        let per_epoch = rows.div_ceil(case.batch) as u64;
        let (epoch, first) = (step / per_epoch, (step % per_epoch) as usize * case.batch);
        let row = |place: usize| match case.shuffle {
            true => row_of(place as u32, rows as u32, case.seed, epoch as u32) as usize,
            false => place,
        };
        (first..(first + case.batch).min(rows)).map(row).collect()
    }

    /// Loss of one row's logits, and the row's weight in the mean.
    pub fn row_loss(&self, loss: &Loss, row: usize, z: &[f64]) -> f64 {
        let outputs = z.len();
        let targets = match &self.labels {
            Some(labels) => Targets::Classes(&labels[row..=row]),
            None => Targets::Values(&self.values[row * outputs..(row + 1) * outputs]),
        };
        weighted_mean_loss(loss, z, &targets, outputs, &[1.0])
    }

    pub fn row_weight(&self, loss: &Loss, row: usize) -> f64 {
        match (loss, &self.labels) {
            (Loss::SoftmaxCrossEntropy { class_weights, ignore_index, .. }, Some(labels)) => {
                if Some(labels[row]) == *ignore_index {
                    return 0.0;
                }
                let of_class = |weights: &Vec<f64>| weights[labels[row] as usize];
                self.weights[row] * class_weights.as_ref().map_or(1.0, of_class)
            }
            _ => self.weights[row],
        }
    }
}
