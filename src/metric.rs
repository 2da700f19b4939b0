//! Metrics of a model on a data set beyond its loss, computed from the device's counts and sums.

use crate::data::Dataset;
use crate::kernel::class_metrics::Counts;
use crate::kernel::regression_metrics::SUMS;
use crate::loss::{Loss, Task};
use crate::preprocessing::Scaling;

/// Mean loss and accuracy over some rows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Evaluation {
    /// The mean loss; each [`Loss`] says what it averages over.
    pub loss: f64,
    /// The share of right predictions: rows whose largest logit is the target's, or outputs on the right side of 0;
    /// none for the regression losses, or where every row is ignored.
    pub accuracy: Option<f64>,
    /// The number of rows.
    pub rows: u64,
}

/// Metrics of a model on a set. All rows count the same, regardless of their weights; ignored rows do not count.
#[derive(Clone, Debug, PartialEq)]
pub struct Metrics {
    /// Mean loss and accuracy.
    pub evaluation: Evaluation,
    /// Counts of each class; `None` unless the loss judges classes, or outputs that are a yes or no each.
    pub classes: Option<ClassMetrics>,
    /// Errors of predicted numbers; `None` unless the loss is a regression loss.
    pub regression: Option<RegressionMetrics>,
    /// The area under the receiver operating characteristic: the probability that a positive row scores above a negative one,
    /// with ties counted as half. For two classes, of which the second is the positive one, or one yes or no; `None` where all rows are
    /// of one class. Hanley & McNeil, Radiology 143 (1982).
    pub roc_auc: Option<f64>,
}

/// Right and wrong predictions of every class, or of every output that is a yes or no of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassMetrics {
    /// One entry a class.
    pub classes: Vec<ClassCounts>,
    /// The number of rows whose right class has each rank among the logits, highest logit first; empty where outputs are not
    /// classes. The sum of the first k entries is the number of rows whose class is among the k highest logits.
    pub ranks: Vec<u64>,
    /// The confusion matrix `[classes, classes]`, row-major: a row for each true class, a column for each predicted one. `None` over 1,000
    /// classes, and where outputs are not classes.
    pub confusion: Option<Vec<u64>>,
}

/// Numbers of rows that concern one class.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClassCounts {
    /// Rows whose target is the class.
    pub support: u64,
    /// Rows that are predicted to be of the class.
    pub predicted: u64,
    /// Rows of the class that are also predicted as it.
    pub hits: u64,
}

/// Errors of predicted numbers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegressionMetrics {
    /// The mean of |output − target| over rows and outputs, in the targets' own units, also where the network learned them
    /// [scaled](Dataset::with_target_scaling).
    pub mean_absolute_error: f64,
    /// The root of the mean of (output − target)² over rows and outputs, in the targets' own units.
    pub root_mean_squared_error: f64,
    /// The coefficient of determination R², 1 − Σ(output − target)² / Σ(target − mean)², the mean over outputs. An output whose
    /// target is constant has 1 where every prediction is exact, else 0, as in scikit-learn.
    pub r2: f64,
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

impl ClassCounts {
    /// The share of right predictions among the rows predicted as this class; 0 where no row is predicted as it.
    pub fn precision(&self) -> f64 {
        share(self.hits, self.predicted)
    }

    /// The share of this class' rows that are predicted as it; 0 where it has no rows.
    pub fn recall(&self) -> f64 {
        share(self.hits, self.support)
    }

    /// The harmonic mean of precision and recall; 0 where the class neither occurs nor is predicted.
    pub fn f1(&self) -> f64 {
        share(2 * self.hits, self.support + self.predicted)
    }
}

impl ClassMetrics {
    /// The mean of a metric over classes, unweighted: a rare class counts as much as a frequent one.
    pub fn macro_mean(&self, figure: impl Fn(&ClassCounts) -> f64) -> f64 {
        self.classes.iter().map(figure).sum::<f64>() / self.classes.len().max(1) as f64
    }

    /// The share of rows whose class is among the k highest logits; `None` where outputs are not classes, or no row counts.
    pub fn top_k(&self, k: usize) -> Option<f64> {
        let all: u64 = self.ranks.iter().sum();
        (all > 0).then(|| share(self.ranks.iter().take(k).sum(), all))
    }

    /// The metrics in the device's counts.
    pub(crate) fn of(words: &[u32], counts: Counts, outputs: usize) -> Self {
        let part = |at: usize| &words[at * outputs..(at + 1) * outputs];
        let classes = (0..outputs).map(|c| {
            let [support, predicted, hits] = [0, 1, 2].map(|at| u64::from(part(at)[c]));
            ClassCounts { support, predicted, hits }
        });
        let wide = |words: &[u32]| words.iter().copied().map(u64::from).collect();
        ClassMetrics {
            classes: classes.collect(),
            ranks: if counts.each_output { Vec::new() } else { wide(part(3)) },
            confusion: counts.confusion.then(|| wide(&words[4 * outputs..])),
        }
    }
}

impl RegressionMetrics {
    /// The metrics from the device's sums over `rows` rows: for every four outputs, the values of `regression_metrics.wesl`. The sums are of
    /// targets as the network learned them; the metrics are in the targets' own units.
    pub(crate) fn of(sums: &[f32], outputs: usize, rows: u64, scaling: Option<&Scaling>) -> Self {
        let rows = rows as f64;
        let (mut absolute, mut squared, mut r2) = (0.0, 0.0, 0.0);
        for c in 0..outputs {
            let own = &sums[c / 4 * 4 * SUMS as usize..];
            let sum = |at: usize| f64::from(own[8 * at + c % 4]) - f64::from(own[8 * at + 4 + c % 4]);
            let [off, off_squared, shifted, shifted_squared] = [0, 1, 2, 3].map(sum);
            let spread = shifted_squared - shifted * shifted / rows;
            let unit = scaling.map_or(1.0, |scaling| 1.0 / f64::from(scaling.scale[c]).abs());
            absolute += off * unit;
            squared += off_squared * unit * unit;
            r2 += match (shifted_squared == 0.0, off_squared == 0.0) {
                (true, met) => f64::from(u8::from(met)),
                (false, _) => 1.0 - off_squared / spread,
            };
        }
        let elements = rows * outputs as f64;
        RegressionMetrics {
            mean_absolute_error: absolute / elements,
            root_mean_squared_error: (squared / elements).sqrt(),
            r2: r2 / outputs as f64,
        }
    }
}

/// The area under the receiver operating characteristic of rows' scores, from the sum of the positive ones' ranks (Mann & Whitney, Annals of
/// Math. Stat. 18, 1947). Rows that are neither positive nor negative do not count.
pub(crate) fn roc_auc(scores: &[f32], is_positive: impl Fn(usize) -> Option<bool>) -> Option<f64> {
    let judged = scores.iter().enumerate().filter_map(|(row, &score)| Some((score, is_positive(row)?)));
    let mut judged: Vec<(f32, bool)> = judged.collect();
    judged.sort_by(|(a, _), (b, _)| a.total_cmp(b));
    // `above` counts pairs of a positive and a negative row in which the positive one scores higher; ties count half.
    let (mut negatives, mut positives, mut above) = (0u64, 0u64, 0.0);
    for tied in judged.chunk_by(|(a, _), (b, _)| a == b) {
        let here = tied.iter().filter(|(_, is_positive)| *is_positive).count() as u64;
        let others = tied.len() as u64 - here;
        above += here as f64 * (negatives as f64 + others as f64 / 2.0);
        (negatives, positives) = (negatives + others, positives + here);
    }
    (negatives > 0 && positives > 0).then(|| above / (negatives as f64 * positives as f64))
}

/// Whether a row is of the positive class; `None` where the loss ignores it.
pub(crate) fn is_positive(set: &Dataset, loss: &Loss, row: usize) -> Option<bool> {
    match (set.values(), loss.task()) {
        (Some(values), Task::Classes) => Some(values[2 * row + 1] > values[2 * row]),
        (Some(values), _) => Some(values[row] > 0.5),
        (None, _) => match set.labels()[row] {
            label @ (0 | 1) if !loss.ignores(label) => Some(label == 1),
            _ => None,
        },
    }
}
